//! Looking at the whole: snapshots, changes, history, events, consistency, search; and names that remember.

use crate::heard::Heard;
use crate::support::{AGES, mailbox, nothing_left, sizes};
use restante_core::{Address, ExitReason, Mailbox};
use restante_registry::{
    Change, Changes, Followed, LookupError, Outcome, Registry, Repaired, Sizes, Snapshot, What,
};
use restante_testkit::eventually;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::{Builder, Runtime};
use tracing::Level;

fn all(changes: &mut Changes) -> Vec<Change> {
    std::iter::from_fn(|| changes.try_next())
        .map(|followed| match followed {
            Followed::Change(change) => change,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn operations(changes: &[Change]) -> Vec<&'static str> {
    changes.iter().map(Change::operation).collect()
}

/// A registry that plain threads may use, with its runtime.
fn with_runtime(history: usize) -> (Runtime, Registry) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let registry = Registry::builder().runtime(runtime.handle().clone()).history(history).start();
    (runtime, registry)
}

/// Rows B9 and B10: every mutation is a change: numbered, with both sizes, who asked, and why it went.
#[tokio::test]
async fn every_mutation_is_a_change() {
    let registry = Registry::start();
    let mut changes = registry.changes();
    let kept = mailbox();
    registry.register(&kept, "x").await.unwrap();
    let line = line!() - 1;
    registry.add_key(kept.id(), "kind", "k").await.unwrap();
    registry.register_id(kept.id(), "y").await.unwrap();
    assert!(registry.unregister("x"));
    assert!(registry.remove_key("kind", "k"));
    let why = ExitReason::shutdown_with("why");
    assert!(registry.destroy(kept.id(), why.clone()));
    let told = all(&mut changes);
    let expected =
        ["create", "register", "add_key", "register", "unregister", "remove_key", "unregister", "destroy"];
    assert_eq!(operations(&told), expected);
    assert_eq!(told.iter().map(|change| change.seq).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    assert!(told.iter().all(|change| change.id == kept.id()));
    let by = told[1].by.expect("it is known");
    assert_eq!((by.file(), by.line()), (file!(), line));
    assert!(told.iter().all(|change| change.by.is_some_and(|by| by.file() == file!())), "{told:?}");
    let mut before = Sizes::default();
    for change in &told {
        assert_eq!(change.before, before, "{change}");
        before = change.after;
    }
    assert_eq!((told[3].after, before), (sizes(1, 2), sizes(0, 0)));
    assert_eq!(told[4].ending(), None, "by itself");
    for change in &told[6..] {
        let ending = change.ending().unwrap();
        assert_eq!((ending.outcome, &ending.reason), (Outcome::Destroyed, &why));
    }
    assert_eq!(told[6].name().unwrap(), "y");
    // One that closes by itself, and one that is taken out.
    let (closes, removed) = (mailbox(), mailbox());
    registry.register(&closes, "closes").await.unwrap();
    registry.register(&removed, "removed").await.unwrap();
    drop(closes);
    registry.remove(removed.id());
    let endings: Vec<_> = all(&mut changes)
        .iter()
        .filter(|change| matches!(change.what, What::Destroyed(_)))
        .map(|change| (change.ending().unwrap().outcome, change.by.is_some()))
        .collect();
    assert_eq!(endings, [(Outcome::Closed, false), (Outcome::Removed, true)]);
}

/// Row B9: a `tracing` event each, with the same; however short the history.
#[tokio::test]
async fn every_mutation_is_an_event() {
    for history in [1, 1024] {
        let (heard, _guard) = Heard::listen();
        let registry = Registry::builder().name("told").history(history).start();
        let kept = mailbox();
        registry.register(&kept, "x").await.unwrap();
        registry.register(&kept, "y").await.unwrap();
        let id = kept.id().to_string();
        registry.destroy(kept.id(), ExitReason::shutdown_with("why"));
        let told = heard.take_at(Level::DEBUG);
        let what: Vec<_> = told.iter().map(|line| (line.get("operation"), line.get("name"))).collect();
        let expected = [
            ("create", ""),
            ("register", "x"),
            ("register", "y"),
            ("unregister", "x"),
            ("unregister", "y"),
            ("destroy", ""),
        ];
        assert_eq!(what, expected, "history {history}");
        for (seq, line) in (1..).zip(&told) {
            assert_eq!((line.get("registry"), line.get("seq")), ("told", &*seq.to_string()));
            assert_eq!((line.message(), line.get("mailbox")), ("a registry changed", &*id));
            assert!(line.get("by").contains("looking.rs:"), "{line:?}");
        }
        let numbers = ["mailboxes_before", "mailboxes", "names_before", "names"];
        assert_eq!(numbers.map(|field| told[3].get(field)), ["1", "1", "2", "1"]);
        assert_eq!(numbers.map(|field| told[5].get(field)), ["1", "0", "0", "0"]);
        assert!(told[5].get("reason").contains("it was destroyed") && told[5].get("reason").contains("why"));
    }
}

/// Row B9: the last operations, which a failed look-up prints.
#[tokio::test]
async fn the_last_changes_are_remembered() {
    let registry = Registry::builder().history(3).start();
    let kept = mailbox();
    for name in ["a", "b", "c", "d"] {
        registry.register(&kept, name).await.unwrap();
    }
    let last = registry.history(10);
    assert_eq!(last.iter().map(|change| change.seq).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(registry.history(1)[0].name().unwrap(), "d");
    let Err(LookupError::NotFound(absent)) = registry.whereis::<Address<u8>>("e") else { panic!() };
    assert_eq!(absent.recent.len(), 3);
    assert!(absent.to_string().contains("#5 register \"d\""), "{absent}");
}

/// Row B10: a reader that is too late is told how much is missing; after the end, that it is the end.
/// Clause 26.8.
#[tokio::test]
async fn who_follows_too_slowly_is_told() {
    let registry = Registry::builder().history(4).start();
    let (_, mut changes) = registry.follow();
    let mut boxes: Vec<_> = (0..10).map(|_| mailbox()).collect();
    registry.insert_many(&boxes).await.unwrap();
    assert!(matches!(changes.next().await, Followed::Missed(6)));
    assert_eq!(operations(&all(&mut changes)), ["create"; 4]);
    let (snapshot, mut again) = registry.follow();
    assert_eq!((snapshot.seq(), snapshot.sizes()), (10, sizes(10, 0)));
    assert!(again.try_next().is_none());
    let mut waits = Box::pin(again.next());
    assert!(futures::poll!(&mut waits).is_pending());
    drop(boxes.pop());
    assert!(matches!(waits.await, Followed::Change(change) if change.seq == 11));
    assert!(registry.shutdown(AGES).await.is_clean());
    assert!(matches!(again.next().await, Followed::Missed(5)));
    for seq in 17..=20 {
        assert!(matches!(again.next().await, Followed::Change(change) if change.seq == seq));
    }
    for _ in 0..2 {
        assert!(matches!(again.next().await, Followed::Ended));
    }
}

/// Row B10: the end comes after the last change, however close they are.
#[test]
fn the_end_is_told_after_the_last_change() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for round in 0..300 {
        let registry = Registry::builder().runtime(runtime.handle().clone()).start();
        let boxes: Vec<_> = (0..4).map(|_| mailbox()).collect();
        runtime.block_on(registry.insert_many(&boxes)).unwrap();
        let mut changes = registry.changes();
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            let follower = scope.spawn(|| {
                barrier.wait();
                let mut gone = 0;
                loop {
                    match changes.try_next() {
                        Some(Followed::Change(_)) => gone += 1,
                        Some(Followed::Ended) => return gone,
                        Some(other) => panic!("{other:?}"),
                        None => std::hint::spin_loop(),
                    }
                }
            });
            barrier.wait();
            drop(registry);
            assert_eq!(follower.join().unwrap(), 4, "round {round}");
        });
    }
}

fn state(snapshot: &Snapshot) -> (Vec<uuid::Uuid>, BTreeMap<String, uuid::Uuid>) {
    let mut mailboxes: Vec<_> = snapshot.mailboxes().collect();
    mailboxes.sort_unstable();
    (mailboxes, snapshot.names().map(|(name, id)| (name.to_string(), id)).collect())
}

/// Rows B6, B7, B10: while others write, each snapshot is of one instant, and a snapshot with every change since is the
/// registry.
/// Clause 26.8.
#[test]
fn a_snapshot_and_what_follows_are_the_registry_under_concurrent_writers() {
    const WRITERS: u64 = 3;
    let (runtime, registry) = with_runtime(1 << 20);
    let over = AtomicBool::new(false);
    let (mut snapshot, mut changes) = registry.follow();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (registry, runtime) = (&registry, &runtime);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(writer);
                    let mut mine: Vec<Address<u8>> = Vec::new();
                    for _ in 0..1000 {
                        let name = format!("n{}", random.u32(..20));
                        let pick = random.usize(..mine.len().max(1));
                        match (random.u32(..8), mine.get(pick)) {
                            (0..=2, _) => mine.push(mailbox()),
                            (3..=4, Some(one)) => drop(registry.register_blocking(one, name)),
                            (5, Some(one)) => drop(registry.destroy(one.id(), ExitReason::Normal)),
                            (6, Some(_)) => drop(mine.swap_remove(pick)),
                            (7, _) => drop(registry.unregister(&name)),
                            (_, _) => drop(runtime.block_on(registry.insert_many(&mine))),
                        }
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut seen = 0;
            let mut looks = 0;
            while !over.load(Ordering::Relaxed) || looks == 0 {
                let snapshot = registry.snapshot();
                let found = snapshot.validate();
                assert!(found.is_consistent(), "{found:?}");
                assert!(snapshot.seq() >= seen, "it goes forward");
                seen = snapshot.seq();
                // What is found by name is found by id.
                for i in 0..20 {
                    let name = format!("n{i}");
                    let nameless = registry.entry(name.as_str()).filter(|entry| {
                        entry.ending().is_none() && !registry.contains(entry.id()) && entry.ending().is_none()
                    });
                    // Closing comes first; an entry that is on its way out says so a moment later.
                    if let Some(entry) = nameless {
                        assert!(entry.mailbox::<Address<u8>>().is_none(), "{entry:?}");
                    }
                }
                looks += 1;
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    let told = all(&mut changes);
    for (seq, change) in (snapshot.seq() + 1..).zip(&told) {
        assert_eq!((change.seq, change.before), (seq, snapshot.sizes()), "{change}");
        snapshot.apply(change);
        assert_eq!(change.after, snapshot.sizes(), "{change}");
    }
    assert_eq!(state(&snapshot), state(&registry.snapshot()));
    assert!(told.len() > 500, "{}", told.len());
    assert_eq!(registry.repair(), Repaired::default());
    assert_eq!(registry.sizes(), snapshot.sizes());
}

/// Rows B7 and F6: looking for entries.
#[tokio::test]
async fn entries_are_found_by_what_they_are() {
    let registry = Registry::start();
    let boxes: Vec<_> = (0..10).map(|_| mailbox()).collect();
    registry.insert_many(&boxes).await.unwrap();
    for (i, one) in boxes.iter().enumerate().take(4) {
        registry.register(one, format!("n{i}")).await.unwrap();
        registry.add_key(one.id(), "conversation", format!("{i}")).await.unwrap();
    }
    assert_eq!((registry.entries().len(), registry.sizes()), (10, sizes(10, 4)));
    assert_eq!(registry.count(|entry| !entry.names().is_empty()), 4);
    let third = registry.search(|entry| entry.names().iter().any(|name| *name == "n3"));
    assert_eq!((third.len(), third[0].id()), (1, boxes[3].id()));
    let by_key = registry.entry_by_key("conversation", "2").unwrap();
    assert_eq!((by_key.id(), by_key.keys().len()), (boxes[2].id(), 1));
    assert!(registry.entry_by_key("another kind", "2").is_none());
    let taken = registry.add_key(boxes[0].id(), "conversation", "2").await.unwrap_err();
    assert!(matches!(taken, restante_registry::RegisterError::KeyAlreadyExists { .. }), "{taken}");
    let found = registry.validate_consistency();
    assert!(found.is_consistent() && found.orphaned_names.is_empty());
    assert_eq!(found.unnamed_mailboxes.len(), 6);
    // A closure that looks may write.
    assert_eq!(registry.count(|entry| registry.remove(entry.id())), 10);
    nothing_left(&registry).await;
}

/// A name that remembers notices when it leads elsewhere, or nowhere.
/// Clause 26.10.
#[tokio::test]
async fn a_cached_name_notices_when_it_is_stale() {
    let registry = Registry::start();
    let mut cached = registry.cached::<Address<u8>>("x");
    assert!(matches!(cached.get(), Err(LookupError::NotFound(_))));
    let (one, two) = (mailbox(), mailbox());
    registry.register(&one, "x").await.unwrap();
    assert_eq!(cached.get().unwrap().id(), one.id());
    cached.get().unwrap().try_send(1).unwrap();
    // Moved.
    assert!(registry.unregister("x"));
    registry.register(&two, "x").await.unwrap();
    assert_eq!(cached.get().unwrap().id(), two.id());
    assert_eq!(cached.clone().get().unwrap().id(), two.id());
    // Closed: it did not keep it open.
    drop(two);
    assert!(matches!(cached.get(), Err(LookupError::Closed { .. })));
    // Registered again; taken out; destroyed.
    registry.register(&one, "x").await.unwrap();
    assert_eq!(cached.get().unwrap().id(), one.id());
    assert!(registry.remove(one.id()));
    assert!(cached.get().is_err());
    registry.register(&one, "x").await.unwrap();
    assert_eq!(cached.get().unwrap().id(), one.id());
    registry.destroy(one.id(), ExitReason::Normal);
    assert!(cached.get().is_err());
    // By id as well.
    let three = mailbox();
    registry.insert(&three).await.unwrap();
    let mut by_id = registry.cached::<Address<u8>>(three.id().to_string());
    assert_eq!(by_id.get().unwrap().id(), three.id());
    drop(three);
    assert!(by_id.get().is_err());
    assert!(registry.shutdown(AGES).await.is_clean());
    assert!(cached.get().is_err());
}

/// Row B10: memory of what has gone is given back: at once for what entries owned and what the mailbox was set up with, by
/// and by for what is left of a mailbox.
/// Clause 1.9.
#[tokio::test]
async fn what_is_unused_is_given_back() {
    let registry = Registry::start();
    let (owned, setting) = (Arc::new(()), Arc::new(()));
    let mut boxes = Vec::new();
    for i in 0..100 {
        let weigh = Arc::clone(&setting);
        let settings = Mailbox::<u8>::settings()
            .weight_limit(1000, move |_: &u8| u32::try_from(Arc::strong_count(&weigh)).unwrap_or(1));
        let mailbox = registry.create_mailbox(settings).await.unwrap();
        registry.register_id(mailbox.id(), format!("n{i}")).await.unwrap();
        assert!(registry.entry(mailbox.id()).unwrap().own(Arc::clone(&owned)).is_ok());
        boxes.push(mailbox);
    }
    assert_eq!((Arc::strong_count(&owned), Arc::strong_count(&setting)), (101, 101));
    let looked_at = registry.entry("n7").unwrap();
    boxes.clear();
    assert_eq!((Arc::strong_count(&owned), Arc::strong_count(&setting)), (1, 1), "at once");
    eventually(AGES, || registry.compact() == 1).await;
    drop(looked_at);
    eventually(AGES, || registry.compact() == 0).await;
    nothing_left(&registry).await;
}
