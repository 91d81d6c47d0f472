//! Indexes that are broken on purpose, which no operation does, and their repair.

use super::*;
use crate::change::Change;
use crate::consistency::Repaired;
use crate::ending::Outcome;
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
    (
        repaired,
        told.iter().map(|change| format!("{} {}", change.operation(), change.name().unwrap())).collect(),
    )
}

fn count(added: usize, removed: usize, doubled: usize) -> Repaired {
    Repaired { added, removed, doubled }
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
    // (Not counted either, and two of them.)
    for name in ["lost", "lost too"] {
        books.indexes.names.insert_sync(text(name), Lead::to(&stranger)).unwrap();
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
    books.indexes.names.insert_sync(text("not its own"), Lead::to(&record)).unwrap();
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
    books.indexes.names.insert_sync(text("mine"), Lead::to(&record)).unwrap();
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
    record.labels.change(|labels| labels.names.push(text("mine")));
    assert_eq!(books.validate().missing_names, [(text("mine"), other.id())]);
    assert_eq!(repair(&books), (count(0, 0, 1), vec![]));
    assert_eq!(books.find_name("mine", |record| record.id), Some(at.id()));
    assert_eq!(record.labels.read(|labels| labels.names.to_vec()).unwrap(), ["other"]);
    assert!(books.remove(other.id(), Outcome::Removed, ExitReason::Normal, None));
    assert_eq!(books.sizes(), Sizes { mailboxes: 1, names: 1 });
}

/// What is right stays as it is, and nobody is told anything.
#[tokio::test]
async fn a_repair_of_what_is_right_changes_nothing() {
    let books = books();
    let _held = [named(&books, &["a", "b"]), named(&books, &[])];
    assert_eq!(repair(&books), (Repaired::default(), vec![]));
    assert_eq!(books.validate().unnamed_mailboxes.len(), 1);
}
