//! Indexes that are broken on purpose, which no operation does, and their repair.

use super::*;
use crate::addition::Addition;
use crate::change::{Change, What};
use crate::consistency::Repaired;
use crate::ending::Outcome;
use crate::family::Asker;
use crate::registry::Registry;
use crate::secondary::FewLabels;
use crate::snapshot::Snapshot;
use restante_core::{Address, Mailbox};

fn books() -> Arc<Books> {
    Arc::new(Books::new("broken".into(), 64, Reaper::new(tokio::runtime::Handle::current())))
}

fn text(name: &str) -> NameText {
    NameText::new(name).unwrap()
}

/// A mailbox that is in under these names.
fn named(books: &Arc<Books>, names: &[&str]) -> (Address<u8>, Arc<Record>) {
    let at = Mailbox::new().address();
    let mut record = Record::new(&at, at.id(), books).unwrap();
    let labels: Vec<_> = names.iter().map(|name| Label::Name(text(name))).collect();
    books.insert(&mut record, &labels, None, None).unwrap();
    (at, record)
}

/// Repairs, and looks whether it was told of and is found right afterwards: what was changed, and the events.
fn repair(books: &Books) -> (Repaired, Vec<String>) {
    let mut followed: Snapshot = books.snapshot();
    let repaired = books.repair();
    let told = books.with_history(|history, _| {
        history.since(followed.seq() + 1).unwrap().cloned().collect::<Vec<Change>>()
    });
    told.iter().for_each(|change| followed.apply(change));
    let now = books.snapshot();
    let names = |snapshot: &Snapshot| {
        let mut names: Vec<_> = snapshot.names().map(|(name, id)| (name.clone(), id)).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&followed), names(&now), "whoever follows has it as it is");
    assert_eq!(books.sizes(), now.sizes());
    assert!(books.validate().is_consistent());
    assert_eq!(books.repair(), Repaired::default(), "once is enough");
    (repaired, told.iter().map(|change| format!("{} {}", change.operation(), about(change))).collect())
}

fn about(change: &Change) -> String {
    match &change.what {
        What::KeyAdded(key) | What::KeyRemoved(key, _) => key.key.to_string(),
        _ => change.name().unwrap().to_string(),
    }
}

fn count(added: usize, removed: usize, doubled: usize) -> Repaired {
    Repaired { added, removed, doubled, ..Repaired::default() }
}

fn count_keys(keys_added: usize, keys_removed: usize, keys_doubled: usize) -> Repaired {
    Repaired { keys_added, keys_removed, keys_doubled, ..Repaired::default() }
}

fn key(key: &str) -> SecondaryKey {
    SecondaryKey::new("kind", key)
}

/// A mailbox that is in with these keys.
fn keyed(books: &Arc<Books>, keys: &[&str]) -> (Address<u8>, Arc<Record>) {
    let (at, record) = named(books, &[]);
    for k in keys {
        books.add_labels(&Asker::another(), at.id(), &[Label::Key(key(k))], None).unwrap();
    }
    (at, record)
}

fn holds_key(books: &Books, key: &str) -> Option<Uuid> {
    books.find_key("kind", key, |record| record.id)
}

/// Row B8.
#[tokio::test]
async fn a_name_whose_mailbox_is_not_there_is_taken_off() {
    let books = books();
    let (_here, _) = named(&books, &["here"]);
    let (elsewhere, stranger) = {
        let at = Mailbox::<u8>::new().address();
        let record = Record::new(&at, at.id(), &books).unwrap();
        (at, record)
    };
    // These two are not counted either.
    for name in ["lost", "lost too"] {
        books.indexes.names.insert_sync(text(name), NameEntry::to(&stranger)).unwrap();
    }
    let found = books.validate();
    let id = elsewhere.id();
    assert_eq!(found.orphaned_names, [(text("lost"), id), (text("lost too"), id)]);
    assert!(!found.is_consistent() && found.missing_names.is_empty());
    let removals = books.removals();
    let (repaired, mut told) = repair(&books);
    told.sort_unstable();
    assert_eq!(
        (repaired, told),
        (count(0, 2, 0), vec!["unregister lost".into(), "unregister lost too".into()])
    );
    assert!(books.find_name("lost", |_| ()).is_none());
    assert!(books.removals() > removals, "whoever keeps what it found looks again");
}

#[tokio::test]
async fn a_name_that_leads_to_a_mailbox_without_it_is_taken_off() {
    let books = books();
    let (at, record) = named(&books, &["its own"]);
    books.indexes.names.insert_sync(text("not its own"), NameEntry::to(&record)).unwrap();
    assert_eq!(books.validate().orphaned_names, [(text("not its own"), at.id())]);
    assert_eq!(repair(&books), (count(0, 1, 0), vec!["unregister not its own".into()]));
    assert_eq!(books.find_name("its own", |record| record.id), Some(at.id()));
}

/// Row B8: the index is made from the truth again.
#[tokio::test]
async fn a_name_that_is_missing_is_put_in_again() {
    let books = books();
    let (at, _) = named(&books, &["a", "b"]);
    assert!(books.indexes.names.remove_sync("b"));
    let found = books.validate();
    assert_eq!((found.missing_names, found.orphaned_names), (vec![(text("b"), at.id())], vec![]));
    assert_eq!(repair(&books), (count(1, 0, 0), vec!["register b".into()]));
    assert_eq!(books.find_name("b", |record| record.id), Some(at.id()));
    assert_eq!(books.sizes(), Sizes { mailboxes: 1, names: 2 });
}

#[tokio::test]
async fn a_name_that_leads_to_another_leads_back() {
    let books = books();
    let (at, _) = named(&books, &["mine"]);
    let (other, record) = named(&books, &[]);
    books.indexes.names.remove_sync("mine");
    books.indexes.names.insert_sync(text("mine"), NameEntry::to(&record)).unwrap();
    let found = books.validate();
    assert_eq!(found.orphaned_names, [(text("mine"), other.id())]);
    assert_eq!(found.missing_names, [(text("mine"), at.id())]);
    assert_eq!(repair(&books).0, count(1, 1, 0));
    assert_eq!(books.find_name("mine", |record| record.id), Some(at.id()));
}

#[tokio::test]
async fn a_name_that_two_mailboxes_have_stays_with_the_one_it_leads_to() {
    let books = books();
    let (at, _) = named(&books, &["mine"]);
    let (other, record) = named(&books, &["other"]);
    record.labels.put_on(&Label::Name(text("mine")), 0);
    assert_eq!(books.validate().missing_names, [(text("mine"), other.id())]);
    assert_eq!(repair(&books), (count(0, 0, 1), vec![]));
    assert_eq!(books.find_name("mine", |record| record.id), Some(at.id()));
    assert_eq!(record.labels.read(|labels| labels.names().cloned().collect::<Vec<_>>()).unwrap(), ["other"]);
    assert!(books.remove(other.id(), Outcome::Removed, ExitReason::Normal, None));
    assert_eq!(books.sizes(), Sizes { mailboxes: 1, names: 1 });
}

/// Row B8, of keys.
#[tokio::test]
async fn a_key_whose_mailbox_is_not_there_or_has_it_not_is_taken_off() {
    let books = books();
    let (at, record) = keyed(&books, &["its own"]);
    let elsewhere = Mailbox::<u8>::new().address();
    let stranger = Record::new(&elsewhere, elsewhere.id(), &books).unwrap();
    books.indexes.keys.insert_sync(key("lost"), stranger).unwrap();
    books.indexes.keys.insert_sync(key("not its own"), record).unwrap();
    let found = books.validate();
    assert_eq!(found.orphaned_keys, [(key("lost"), elsewhere.id()), (key("not its own"), at.id())]);
    assert!(!found.is_consistent() && found.missing_keys.is_empty());
    let (repaired, mut told) = repair(&books);
    told.sort_unstable();
    assert_eq!(
        (repaired, told),
        (count_keys(0, 2, 0), vec!["remove_key lost".into(), "remove_key not its own".into()])
    );
    assert_eq!((holds_key(&books, "lost"), holds_key(&books, "its own")), (None, Some(at.id())));
}

/// Row B8, of keys.
#[tokio::test]
async fn a_key_that_is_missing_is_put_in_again() {
    let books = books();
    let (at, _) = keyed(&books, &["a", "b"]);
    assert!(books.indexes.keys.remove_sync(&key("b")));
    let found = books.validate();
    assert_eq!((&found.missing_keys, found.is_consistent()), (&vec![(key("b"), at.id())], false));
    assert_eq!(repair(&books), (count_keys(1, 0, 0), vec!["add_key b".into()]));
    assert_eq!(holds_key(&books, "b"), Some(at.id()));
}

#[tokio::test]
async fn a_key_that_leads_to_another_leads_back() {
    let books = books();
    let (at, _) = keyed(&books, &["mine"]);
    let (other, record) = keyed(&books, &[]);
    books.indexes.keys.remove_sync(&key("mine"));
    books.indexes.keys.insert_sync(key("mine"), record).unwrap();
    let found = books.validate();
    assert_eq!(found.orphaned_keys, [(key("mine"), other.id())]);
    assert_eq!(found.missing_keys, [(key("mine"), at.id())]);
    assert_eq!(repair(&books).0, count_keys(1, 1, 0));
    assert_eq!(holds_key(&books, "mine"), Some(at.id()));
}

#[tokio::test]
async fn a_key_that_two_mailboxes_have_stays_with_the_one_it_leads_to() {
    let books = books();
    let (at, _) = keyed(&books, &["mine"]);
    let (other, record) = keyed(&books, &["other"]);
    record.labels.put_on(&Label::Key(key("mine")), 0);
    assert_eq!(books.validate().missing_keys, [(key("mine"), other.id())]);
    assert_eq!(repair(&books), (count_keys(0, 0, 1), vec![]));
    assert_eq!(holds_key(&books, "mine"), Some(at.id()));
    assert_eq!(
        record.labels.read(|labels| labels.keys().cloned().collect::<Vec<_>>()).unwrap(),
        [key("other")]
    );
}

/// An actor that begins again serves at once; the books are looked through beside it, and repaired.
/// Clause 26.12.
#[test]
fn a_new_actor_serves_while_the_books_are_looked_through() {
    let home = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let registry = Registry::builder().runtime(home.handle().clone()).start();
    let kept = Mailbox::<u8>::new().address();
    registry.register_blocking(&kept, "lost").unwrap();
    assert!(registry.0.books.indexes.names.remove_sync("lost"));
    // The one thread for it is taken.
    let (let_go, taken) = std::sync::mpsc::channel::<()>();
    home.spawn_blocking(move || taken.recv().unwrap_err());
    for n in 0..3 {
        assert!(registry.actor().kill());
        while let Err(error) = registry.register_blocking(&kept, format!("{n}")) {
            assert!(matches!(error, crate::RegisterError::ActorDied(_)), "{error}");
        }
    }
    assert!(!registry.contains("lost"), "nobody has looked yet");
    drop(let_go);
    while !registry.contains("lost") {
        std::thread::yield_now();
    }
    assert!(registry.shutdown_blocking(std::time::Duration::from_secs(60)).unwrap().is_clean());
    assert_eq!(registry.0.books.looks.load(Ordering::Relaxed), 0);
}

/// A label of an addition that was not accepted is taken off again, unless it was taken off meanwhile and put on by another,
/// on the same mailbox.
/// Clause 26.2.
#[tokio::test]
async fn an_undo_leaves_alone_what_another_has_put_on_since() {
    let books = books();
    let (at, _) = named(&books, &["kept"]);
    for label in [Label::Name(text("x")), Label::Key(key("x"))] {
        let add = || {
            let labels = FewLabels::from([label.clone()]);
            Addition::to_id(&books, at.id(), labels, None).perform(&books).map_err(|error| *error).unwrap()
        };
        let is_on = || books.holder(&label).is_some();
        let mine = add();
        assert!(remove(&books, &label));
        add().accept();
        drop(mine);
        assert!(is_on(), "it is the other's");
        // Each of two additions follows a removal of the label. Dropping the first leaves the label; dropping the second takes
        // it off.
        let first = add_after(&books, &label, &add);
        let second = add_after(&books, &label, &add);
        drop(first);
        assert!(is_on());
        drop(second);
        assert!(!is_on());
        drop(add());
        assert!(!is_on(), "what was taken off before is not counted");
    }
    assert_eq!(books.find_name("kept", |record| record.id), Some(at.id()));
}

fn remove(books: &Books, label: &Label) -> bool {
    match label {
        Label::Name(name) => books.remove_name(name, None),
        Label::Key(key) => books.remove_key(key.kind, &key.key, None),
    }
}

/// Adds it, after it was taken off.
fn add_after(books: &Books, label: &Label, add: &dyn Fn() -> Addition) -> Addition {
    assert!(remove(books, label));
    add()
}

/// What is right stays as it is, and no change is told.
#[tokio::test]
async fn a_repair_of_what_is_right_changes_nothing() {
    let books = books();
    let _held = [named(&books, &["a", "b"]), named(&books, &[])];
    assert_eq!(repair(&books), (Repaired::default(), vec![]));
    assert_eq!(books.validate().unnamed_mailboxes.len(), 1);
}

/// What a repair has taken out goes once its last reader has left it, whether it is in or named twice.
#[tokio::test]
async fn a_repair_keeps_nothing() {
    let books = books();
    let (at, record) = named(&books, &["its own"]);
    let elsewhere = Mailbox::<u8>::new().address();
    let stranger = Record::new(&elsewhere, elsewhere.id(), &books).unwrap();
    for (name, record) in [("lost", &stranger), ("lost too", &stranger), ("not its own", &record)] {
        books.indexes.names.insert_sync(text(name), NameEntry::to(record)).unwrap();
    }
    assert_eq!(books.repair(), count(0, 3, 0));
    drop((record, stranger, at, elsewhere));
    assert_eq!(books.sizes(), Sizes::default());
    // The map lets go of what was removed after some rounds of others' reads.
    assert!((0..10_000).any(|_| books.compact() == 0), "{} are left", books.compact());
}

/// What maps have been rid of may be a user's, whose drop may ask the registry: not under its lock.
#[tokio::test]
async fn what_is_dropped_late_is_not_dropped_under_the_lock() {
    let books = books();
    let (at, record) = named(&books, &["its own"]);
    let dropped = Arc::new(AtomicUsize::new(0));
    for n in 0..1000 {
        // A name that looks wrong, so that there is a second look, under the lock.
        let name = format!("not its own {n}");
        books.indexes.names.insert_sync(text(&name), NameEntry::to(&record)).unwrap();
        let (asks, count) = (Arc::clone(&books), Arc::clone(&dropped));
        scc::Guard::new().defer_execute(move || {
            assert!(asks.ended().is_none());
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert!(!books.validate().is_consistent());
        books.indexes.names.remove_sync(name.as_str());
    }
    assert!(dropped.load(Ordering::Relaxed) > 0);
    drop(at);
}

/// A look-up takes no lock, whether it finds anybody or not; that would hang here, where this thread has it.
/// Clause 26.4.
#[tokio::test]
async fn a_look_up_takes_no_lock() {
    let registry = Registry::start();
    let at = Mailbox::<u8>::new();
    registry.register(&at.address(), "x").await.unwrap();
    registry.add_key(at.id(), "kind", "key").await.unwrap();
    let (id, text) = (at.id(), at.id().to_string());
    let mut cached = registry.cached::<Address<u8>>("x");
    {
        let _held = registry.0.books.writers.lock();
        for whom in ["x", text.as_str()] {
            assert_eq!(registry.whereis::<Address<u8>>(whom).unwrap().id(), id);
            assert_eq!(registry.with(whom, Address::<u8>::id).unwrap(), id);
            assert_eq!(registry.find(whom, Address::<u8>::id), Some(id));
            assert_eq!(registry.id_of(whom), Some(id));
            registry.send(whom, 1_u8).unwrap();
        }
        assert_eq!(cached.get().unwrap().id(), id);
        assert_eq!(registry.entry_by_key("kind", "key").map(|entry| entry.id()), Some(id));
        for nobody in ["y", "", "00000000-0000-0000-0000-000000000000"] {
            assert_eq!(registry.find(nobody, Address::<u8>::id), None);
            assert!(registry.id_of(nobody).is_none() && !registry.contains(nobody));
        }
    }
    assert_eq!(at.stats().depth, 2);
}
