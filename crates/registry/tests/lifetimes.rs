//! What an entry owns, and how it ends.
//!
//! Long because an entry ends in so many ways, each with all that hangs on it.

use crate::heard::Heard;
use crate::support::{AGES, Ask, Counter, mailbox, nothing_left, sizes};
use restante_core::monitor::{Event, Watch};
use restante_core::{Address, Addressable, Closed, DeadLetter, ExitReason, Mailbox, Overflow};
use restante_genserver::{Context, GenServer, Init, Next, Reply, Server, ServerRef, Step, start};
use restante_registry::{EntryRef, NewEntry, Outcome, RegisterError, Registry, Signal};
use restante_supervisor::{Supervise, Supervisor};
use restante_testkit::{eventually, quiet_panics, settled};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use tracing::Level;

/// What was dropped, in order.
type Log = Arc<Mutex<Vec<&'static str>>>;

/// Notes its drop.
struct Noted(&'static str, Log);

impl Drop for Noted {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(self.0);
    }
}

/// Panics in its drop.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("as told, in a drop");
    }
}

/// Drops a reference somewhere.
type LetGo = dyn Fn(Address<u8>);

async fn watched(entry: &EntryRef) -> (Outcome, ExitReason) {
    match entry.closed().await {
        Signal::Closed(ending) => (ending.outcome, ending.reason),
        other => panic!("{other:?}"),
    }
}

/// A server under the name `x` that owns four things.
async fn owner(registry: &Registry) -> (ServerRef<Counter>, Log) {
    let log = Log::default();
    let noted = |what| Noted(what, Arc::clone(&log));
    let (first, second, before) = (noted("first"), noted("second"), noted("before"));
    let server = registry
        .creation()
        .name("x")
        .key("kind", "x")
        .own(before)
        .run(async {
            let server = start::<Counter>(1).await.map_err(|error| error.to_string())?;
            Ok::<_, String>(NewEntry::new(server).own(first).own(second))
        })
        .await
        .unwrap();
    assert!(registry.entry("x").unwrap().own(noted("later")).is_ok());
    (server, log)
}

/// Row F4: whatever the end, all that the entry owns goes, what came last first, and once.
/// Clause 27.5.
#[tokio::test]
async fn what_an_entry_owns_goes_with_it_however_it_ends() {
    let why = || ExitReason::shutdown_with("why");
    let ends = [
        ("last reference", Outcome::Closed, ExitReason::Normal),
        ("for good", Outcome::Closed, why()),
        ("destroy", Outcome::Destroyed, why()),
        ("remove", Outcome::Removed, ExitReason::Normal),
        ("shutdown", Outcome::RegistryEnded, ExitReason::Shutdown),
        ("dropped", Outcome::RegistryEnded, ExitReason::Shutdown),
    ];
    for (end, outcome, reason) in ends {
        let registry = Registry::start();
        let (server, log) = owner(&registry).await;
        let entry = registry.entry("x").unwrap();
        assert_eq!(entry.ending(), None);
        let mut server = Some(server);
        let mut registry = Some(registry);
        let here = registry.as_ref().unwrap();
        match end {
            "last reference" => drop(server.take()),
            "for good" => server.as_ref().unwrap().stop(why(), AGES).await.unwrap(),
            "destroy" => assert!(here.destroy(entry.id(), why())),
            "remove" => assert!(here.remove(entry.id())),
            "shutdown" => assert!(here.shutdown(AGES).await.is_clean()),
            _ => drop(registry.take()),
        }
        assert_eq!(*log.lock().unwrap(), ["later", "second", "first", "before"], "{end}");
        assert_eq!(watched(&entry).await, (outcome, reason), "{end}");
        assert!(entry.names().is_empty() && entry.keys().is_empty());
        if let Some(registry) = registry {
            assert!(registry.entry_by_key("kind", "x").is_none());
            nothing_left(&registry).await;
        }
        if let Some(server) = server {
            let lives_on = matches!(outcome, Outcome::Removed | Outcome::RegistryEnded);
            assert_eq!(!server.is_closed(), lives_on, "{end}");
        }
    }
}

/// Row F4: channels close, tasks stop.
#[tokio::test]
async fn channels_close_and_tasks_stop() {
    let registry = Registry::start();
    let (tell, mut told) = mpsc::channel::<u8>(1);
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        std::future::pending::<()>().await;
        drop(held);
    }));
    let made = async { Ok::<_, Infallible>(NewEntry::new(mailbox()).own(tell).own(task)) };
    let created: Address<u8> = registry.create("x", made).await.unwrap();
    assert_eq!(Arc::strong_count(&alive), 2);
    drop(created);
    assert_eq!(told.recv().await, None);
    eventually(AGES, || Arc::strong_count(&alive) == 1).await;
}

/// Row F4, row 20: a drop that panics is told of, and hurts neither the other drops, nor the thread that closed, nor the
/// registry.
#[tokio::test]
async fn a_resource_that_panics_in_its_drop_hurts_nobody() {
    let _quiet = quiet_panics("as told");
    let (heard, _guard) = Heard::listen();
    let registry = Registry::start();
    let (server, log) = owner(&registry).await;
    let entry = registry.entry("x").unwrap();
    assert!(entry.own(Bomb).is_ok());
    assert!(entry.own(Noted("last", Arc::clone(&log))).is_ok());
    drop(server);
    assert_eq!(*log.lock().unwrap(), ["last", "later", "second", "first", "before"]);
    assert_eq!(watched(&entry).await.0, Outcome::Closed);
    let errors = heard.take_at(Level::ERROR);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].get("reason").contains("as told"), "{errors:?}");
    nothing_left(&registry).await;
}

/// Row F4, row 20: clean-up runs in the registry's runtime and is told how the entry ended, wherever the last reference goes.
#[test]
fn clean_up_runs_at_home_wherever_the_last_reference_goes() {
    let _quiet = quiet_panics("as told");
    let home = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("home")
        .enable_all()
        .build()
        .unwrap();
    let registry = Registry::builder().runtime(home.handle().clone()).start();
    let away = |address: Address<u8>| {
        let away = tokio::runtime::Builder::new_current_thread().build().unwrap();
        away.block_on(async move { drop(address) });
    };
    let unwinding = |address: Address<u8>| {
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let _address = address;
            panic!("as told");
        }));
        assert!(unwound.is_err());
    };
    let thread = |address: Address<u8>| std::thread::spawn(move || drop(address)).join().unwrap();
    let places: [(&str, &LetGo); 4] =
        [("here", &drop), ("thread", &thread), ("runtime", &away), ("unwinding", &unwinding)];
    for (place, let_go) in places {
        let (tell, told) = std::sync::mpsc::channel();
        let made = async { Ok::<_, Infallible>(mailbox()) };
        let cleanup = move |ending: restante_registry::Ending| async move {
            tokio::task::yield_now().await;
            let thread = std::thread::current().name().unwrap_or_default().to_owned();
            tell.send((ending.outcome, thread)).unwrap();
        };
        let created = registry.creation().name("x").on_close(cleanup).own(Bomb).run_blocking(made).unwrap();
        let_go(created);
        assert_eq!(told.recv().unwrap(), (Outcome::Closed, "home".to_owned()), "{place}");
        assert_eq!(registry.sizes(), sizes(0, 0));
    }
}

/// Row F4: the end waits for clean-up, at most so long, and says what was left.
/// Clause 27.5.
#[tokio::test(start_paused = true)]
async fn clean_up_is_waited_for_at_the_end() {
    let took = Duration::from_secs(3);
    for (limit, left) in [(Duration::from_secs(2), 1), (Duration::from_secs(4), 0)] {
        let _quiet = quiet_panics("as told");
        let registry = Registry::start();
        let (kept, early) = (mailbox(), mailbox());
        let done = Arc::new(AtomicUsize::new(0));
        for (name, address) in [("kept", &kept), ("early", &early)] {
            registry.register(address, name).await.unwrap();
            let done = Arc::clone(&done);
            let cleanup = move |_| async move {
                tokio::time::sleep(if name == "kept" { took } else { Duration::from_secs(1) }).await;
                done.fetch_add(1, Ordering::Relaxed);
            };
            assert!(registry.entry(name).unwrap().on_close(cleanup).is_ok());
        }
        assert!(registry.entry("kept").unwrap().on_close(|_| async { panic!("as told") }).is_ok());
        drop(early);
        let report = registry.shutdown(limit).await;
        assert_eq!((report.cleanups, report.is_clean()), (left, left == 0), "{report:?}");
        assert_eq!(done.load(Ordering::Relaxed), 2 - left);
    }
}

/// Row F4, row 20: of the threads that end an entry at once, one ends it; each watcher is told once, and all are told alike.
/// Clause 26.7.
#[test]
fn ending_is_idempotent_under_concurrency() {
    const THREADS: usize = 4;
    const EACH: usize = 25;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let registry = Registry::builder().runtime(runtime.handle().clone()).start();
    for round in 0..40 {
        let (entry, kept, cleaned) = runtime.block_on(async {
            let kept = mailbox();
            registry.register(&kept, "x").await.unwrap();
            registry.register(&kept, "y").await.unwrap();
            let entry = registry.entry("x").unwrap();
            let cleaned = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&cleaned);
            assert!(entry.own(Count(count)).is_ok());
            (entry, kept, cleaned)
        });
        let told = Arc::new(AtomicUsize::new(0));
        for watch in [Watch::Mailbox, Watch::Mailbox] {
            let told = Arc::clone(&told);
            kept.monitor(watch, move |event| {
                assert!(matches!(event, Event::Closed(_)), "{event:?}");
                told.fetch_add(1, Ordering::Relaxed);
            });
        }
        let mut watchers: Vec<_> = (0..10).map(|_| Box::pin(entry.closed())).collect();
        for watcher in &mut watchers {
            assert!(futures::FutureExt::now_or_never(watcher).is_none());
        }
        let barrier = std::sync::Barrier::new(THREADS);
        let done: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (registry, entry, barrier, kept) = (&registry, &entry, &barrier, &kept);
                    scope.spawn(move || {
                        barrier.wait();
                        (0..EACH)
                            .filter(|i| {
                                let reason = ExitReason::shutdown_with(format!("{thread} {i}"));
                                // In every second round one thread closes the mailbox itself.
                                match (thread, round % 2) {
                                    (0, _) => entry.destroy(reason),
                                    (1, 1) => {
                                        kept.close_mailbox(reason);
                                        false
                                    }
                                    _ => registry.destroy(entry.id(), reason),
                                }
                            })
                            .count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let ending = entry.ending().unwrap();
        assert_eq!(done, usize::from(ending.outcome == Outcome::Destroyed), "round {round}");
        assert!(round % 2 == 1 || done == 1);
        for watcher in watchers {
            assert_eq!(runtime.block_on(watcher), Signal::Closed(ending.clone()));
        }
        // A thread that closes the mailbox itself may come between the entry's end and the mailbox's.
        assert!(round % 2 == 1 || kept.why_closed() == Some(ending.reason), "the first reason");
        assert_eq!((told.load(Ordering::Relaxed), cleaned.load(Ordering::Relaxed)), (2, 1));
        let destroyed = registry.history(1);
        assert_eq!((destroyed[0].operation(), registry.sizes()), ("destroy", sizes(0, 0)));
    }
}

/// Counts its drops.
struct Count(Arc<AtomicUsize>);

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A registration keeps a mailbox open where it is asked to, until it is destroyed, for the reason that is given.
#[tokio::test]
async fn an_entry_keeps_its_mailbox_open_where_it_is_told_to() {
    let registry = Registry::start();
    let made = || async { Ok::<_, Infallible>(NewEntry::new(mailbox()).keep_open()) };
    let created: Address<u8> = registry.create("x", made()).await.unwrap();
    let (tell, closed) = oneshot::channel();
    let mut tell = Some(tell);
    created.monitor(Watch::Mailbox, move |event| {
        if let (Event::Closed(exit), Some(tell)) = (event, tell.take()) {
            tell.send(exit.clone()).unwrap();
        }
    });
    let weak = created.downgrade();
    drop(created);
    registry.send("x", 7_u8).unwrap();
    let entry = registry.entry("x").unwrap();
    assert!(entry.keep_open(), "it does already");
    let reason = ExitReason::shutdown_with("moved");
    assert!(registry.destroy(entry.id(), reason.clone()));
    assert!(weak.upgrade().is_none());
    assert_eq!(closed.await.unwrap(), reason, "though the entry's was the last reference");
    assert_eq!(watched(&entry).await, (Outcome::Destroyed, reason));
    assert!(!entry.keep_open() && !registry.contains("x"));
    // Until it is told not to; or taken out.
    let lets_go: [fn(&EntryRef); 2] =
        [EntryRef::keep_open_no_more, |entry| assert!(entry.destroy(ExitReason::Normal))];
    for last in lets_go {
        let created = registry.creation().name("x").keep_open().run(made()).await.unwrap();
        let entry = registry.entry("x").unwrap();
        let weak = created.downgrade();
        drop(created);
        assert!(weak.upgrade().is_some() && registry.contains("x"));
        last(&entry);
        assert!(weak.upgrade().is_none() && !registry.contains("x"));
    }
    drop(registry.creation().name("x").keep_open().run(made()).await.unwrap());
    assert!(registry.remove(registry.id_of("x").unwrap()));
    nothing_left(&registry).await;
}

/// Row B10: an entry keeps nothing open; and of one that has ended nothing reaches a later one of the same mailbox.
#[tokio::test]
async fn an_entry_is_weak() {
    let registry = Registry::start();
    let kept = mailbox();
    let again = kept.clone();
    let creation = registry.creation().name("x").metadata("colour", "red");
    drop(creation.run(async { Ok::<_, Infallible>(again) }).await.unwrap());
    let entry = registry.entry("x").unwrap();
    assert_eq!((entry.metadata("colour").as_deref(), entry.metadata("size")), (Some("red"), None));
    entry.set_metadata("size", Some("small".into())).unwrap();
    entry.set_metadata("colour", None).unwrap();
    assert_eq!((entry.metadata("colour"), entry.metadata("size").as_deref()), (None, Some("small")));
    assert_eq!(registry.search(|entry| entry.metadata("size").is_some())[0].id(), kept.id());
    assert!(entry.type_name().contains("Address<u8>"), "{}", entry.type_name());
    assert!(registry.remove(kept.id()));
    registry.register(&kept, "again").await.unwrap();
    let again = registry.entry("again").unwrap();
    let gone = RegisterError::MailboxDoesNotExist(kept.id());
    assert_eq!(entry.set_metadata("size", Some("large".into())), Err(gone.clone()));
    assert_eq!((again.metadata("size"), again.ending()), (None, None));
    assert!(!entry.destroy(ExitReason::Normal) && !kept.is_closed(), "it is another's by now");
    let resource = entry.own(5).unwrap_err();
    assert_eq!((resource.resource, resource.ending.outcome), (5, Outcome::Removed));
    assert!(entry.on_close(|_| async {}).is_err() && !entry.keep_open());
    drop(kept);
    assert_eq!(watched(&again).await.0, Outcome::Closed);
    assert!(again.mailbox::<Address<u8>>().is_none());
    assert_eq!(again.set_metadata("size", None), Err(gone));
    nothing_left(&registry).await;
}

/// Lets nothing begin until it is told to.
#[derive(Debug)]
struct Slow(u32);

impl GenServer for Slow {
    type Args = Arc<Semaphore>;
    type Call = Reply<u32>;
    type Cast = ();
    type Info = ();

    async fn init(gate: &Arc<Semaphore>, ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        gate.acquire().await.unwrap().forget();
        Ok(Init::ok(Self(ctx.incarnation())))
    }

    async fn handle_call(&mut self, reply: Reply<u32>, _: &mut Context<Self>) -> Step {
        reply.send(self.0);
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, (): (), _: &mut Context<Self>) -> Step {
        panic!("as told");
    }
}

/// The mailbox is the identity: its name leads to it before, during and after a restart of the server behind it.
/// Clause 26.1.
#[tokio::test(start_paused = true)]
async fn names_stay_over_a_restart() {
    let _quiet = quiet_panics("as told");
    let registry = Registry::start();
    let gate = Arc::new(Semaphore::new(1));
    let server = Server::<Slow>::new("slow");
    let address = server.address();
    let child = server.child(Arc::clone(&gate));
    let tree = Supervisor::one_for_one().child(child).start().await.unwrap();
    registry.register(&address, "slow").await.unwrap();
    let before = registry.history(10).len();
    let found: ServerRef<Slow> = registry.whereis("slow").unwrap();
    assert_eq!(found.call(|reply| reply).await, Ok(1));
    registry.cast::<Slow>("slow", ()).unwrap();
    settled().await;
    assert_eq!((address.incarnation(), gate.available_permits()), (2, 0), "it died, and is coming up again");
    let meanwhile: ServerRef<Slow> = registry.whereis("slow").unwrap();
    assert!(meanwhile.same_server(&address));
    let asked = tokio::spawn(async move { meanwhile.call(|reply| reply).timeout(AGES).await });
    settled().await;
    assert!(!asked.is_finished());
    gate.add_permits(1);
    assert_eq!(asked.await.unwrap(), Ok(2));
    assert_eq!(registry.history(10).len(), before, "the registry had nothing to do with it");
    let id = address.id();
    drop(address);
    drop(found);
    assert!(registry.contains(id), "its supervisor keeps it");
    tree.shutdown(AGES).await;
    nothing_left(&registry).await;
}

/// Row B5: a receiver whose mailbox is destroyed drains what was queued, then is told that the mailbox has closed.
/// Clause 26.7.
#[tokio::test]
async fn a_receiver_drains_what_was_queued_when_its_mailbox_is_destroyed() {
    let registry = Registry::start();
    let mailbox = registry.create_mailbox(Mailbox::<u8>::settings()).await.unwrap();
    registry.register_id(mailbox.id(), "x").await.unwrap();
    let mut receiver = mailbox.receiver().unwrap();
    let mut waiting = Box::pin(receiver.receive());
    assert!(futures::poll!(&mut waiting).is_pending());
    registry.send("x", 1_u8).unwrap();
    registry.send("x", 2_u8).unwrap();
    assert!(registry.destroy(mailbox.id(), ExitReason::Shutdown));
    assert_eq!(waiting.await, Ok(1));
    assert_eq!(receiver.receive().await, Ok(2));
    assert_eq!(receiver.receive().await, Err(Closed));
    drop(receiver);
    let other = registry.create_mailbox(Mailbox::<u8>::settings()).await.unwrap();
    let mut receiver = other.receiver().unwrap();
    let waiting = tokio::spawn(async move { receiver.receive().await });
    tokio::task::yield_now().await;
    assert!(registry.destroy(other.id(), ExitReason::Normal));
    assert_eq!(waiting.await.unwrap(), Err(Closed), "it is woken");
    assert!(registry.send(mailbox.id(), 3_u8).is_err());
    nothing_left(&registry).await;
}

/// Longer than any stack.
const CHAIN: u64 = 20_000;

/// Clause 27.5: each owns the next: all go with the first. And a drop may use the registry.
#[tokio::test]
async fn an_entry_may_own_what_keeps_another_one_open() {
    let registry = Registry::start();
    let mut next = mailbox();
    registry.register(&next, "0").await.unwrap();
    for i in 1..CHAIN {
        let first = mailbox();
        registry.register(&first, i.to_string() + " of them").await.unwrap();
        assert!(registry.entry(first.id()).unwrap().own(next).is_ok());
        next = first;
    }
    let id = next.id();
    let (here, seen) = (registry.clone(), Arc::new(Mutex::new(None)));
    let note = Arc::clone(&seen);
    let uses = scopeguard(move || {
        *note.lock().unwrap() = Some((here.sizes(), here.contains(id), here.unregister("0")));
    });
    assert!(registry.entry(id).unwrap().own(uses).is_ok());
    assert_eq!(registry.sizes(), sizes(CHAIN, CHAIN));
    drop(next);
    assert_eq!(*seen.lock().unwrap(), Some((sizes(CHAIN - 1, CHAIN - 1), false, true)));
    nothing_left(&registry).await;
}

/// Runs when it is dropped.
fn scopeguard(f: impl FnOnce() + Send + 'static) -> impl Send + 'static {
    struct Guard<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for Guard<F> {
        fn drop(&mut self) {
            if let Some(f) = self.0.take() {
                f();
            }
        }
    }
    Guard(Some(f))
}

/// A mailbox may be in several registries; each is told of its end.
#[tokio::test]
async fn a_mailbox_in_two_registries_goes_from_both() {
    let (one, two) = (Registry::start(), Registry::start());
    let counter = start::<Counter>(3).await.unwrap();
    one.register(&counter, "x").await.unwrap();
    two.register(&counter, "x").await.unwrap();
    assert!(one.remove(counter.id()));
    let found: ServerRef<Counter> = two.whereis("x").unwrap();
    assert_eq!(found.call(Ask::Get).await, Ok(3));
    one.register(&counter, "x").await.unwrap();
    assert!(two.destroy(counter.id(), ExitReason::Normal));
    assert_eq!((one.sizes(), two.sizes()), (sizes(0, 0), sizes(0, 0)));
}

/// What an ended mailbox was set up with keeps no other mailbox open, whatever has its memory: the books, an entry, a cached
/// name, a key's registration, a group.
/// Clause 1.9.
#[tokio::test]
async fn nothing_in_the_books_keeps_what_an_ended_mailbox_had() {
    let registry = Registry::start();
    let keys = restante_registry::keys::Keys::<u8, u8>::unique();
    let groups = restante_registry::Groups::<u8>::new();
    let (mut open, mut have) = (Vec::new(), Vec::new());
    for n in 0..20 {
        let (letters, spare) = (Mailbox::<DeadLetter<u8>>::new(), Mailbox::<u8>::new());
        let settings = Mailbox::settings()
            .capacity(1)
            .dead_letters(letters.address().recipient())
            .overflow(Overflow::fallback(spare.address().recipient()));
        let mailbox = Mailbox::with(settings).unwrap();
        let (at, name) = (mailbox.address(), n.to_string());
        registry.register(&at, &name).await.unwrap();
        groups.join("all", &restante_registry::Member::address(&at)).unwrap();
        let mut cached = registry.cached::<Address<u8>>(name.as_str());
        assert_eq!(cached.get().unwrap().id(), at.id());
        have.push((keys.register(&at, n, 0).unwrap(), registry.entry(name.as_str()).unwrap(), cached));
        open.push((letters.address().downgrade(), spare.address().downgrade()));
    }
    let left = open.iter().filter(|(a, b)| a.upgrade().is_some() || b.upgrade().is_some());
    assert_eq!((left.count(), have.len()), (0, 20));
}
