//! Each write by itself: what is found afterwards, what is counted and told, and what a refusal leaves as it was.

use super::aftermath::Aftermath;
use super::*;
use crate::ending::{Ending, Outcome};
use crate::error::RegisterError;
use crate::family::Asker;
use crate::record::Resource;
use crate::secondary::Holder;
use restante_core::{Address, Mailbox};
use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Waker};

fn books() -> Arc<Books> {
    Arc::new(Books::new("written".into(), 64, Reaper::new(tokio::runtime::Handle::current())))
}

fn text(name: &str) -> NameText {
    NameText::new(name).unwrap()
}

fn name(of: &str) -> Label {
    Label::Name(text(of))
}

fn key(of: &str) -> Label {
    Label::Key(SecondaryKey::new("kind", of))
}

fn record(books: &Arc<Books>, of: &Address<u8>) -> Arc<Record> {
    Record::new(of, of.id(), books).unwrap()
}

/// A mailbox that is in under these labels, and its record.
fn with(books: &Arc<Books>, labels: &[Label]) -> (Address<u8>, Arc<Record>) {
    let at = Mailbox::new().address();
    let mut record = record(books, &at);
    books.insert(&mut record, labels, None, None).unwrap();
    (at, record)
}

fn sizes(books: &Books) -> (u64, u64) {
    let sizes = books.sizes();
    (sizes.mailboxes, sizes.names)
}

fn by_name(books: &Books, name: &str) -> Option<Uuid> {
    books.find_name(name, |record| record.id)
}

fn by_key(books: &Books, key: &str) -> Option<Uuid> {
    books.find_key("kind", key, |record| record.id)
}

/// What has been noted from this number on: the operation, the sizes since, and how the entry ended.
fn told(books: &Books, from: u64) -> Vec<(&'static str, (u64, u64), Option<Outcome>)> {
    books.with_history(|history, _| {
        let changes = history.since(from).unwrap();
        changes
            .map(|change| {
                assert_eq!(change.by, None);
                let outcome = change.ending().map(|ending| ending.outcome);
                (change.operation(), (change.after.mailboxes, change.after.names), outcome)
            })
            .collect()
    })
}

fn next(books: &Books) -> u64 {
    books.with_history(|history, _| history.next())
}

/// Row B1: it is found by all its labels, counted, and each step of it is a change with a number.
#[tokio::test]
async fn a_mailbox_comes_in_under_its_labels() {
    let books = books();
    let at = Mailbox::<u8>::new().address();
    let mut its = record(&books, &at);
    let number = books.insert(&mut its, &[name("a"), key("k"), name("b")], None, None).unwrap();
    assert_eq!(number, 5);
    assert_eq!(
        (by_name(&books, "a"), by_name(&books, "b"), by_key(&books, "k")),
        (Some(at.id()), Some(at.id()), Some(at.id()))
    );
    assert_eq!(books.find_id(at.id(), |record| record.is_in()), Some(true));
    let steps = [
        ("create", (1, 0), None),
        ("register", (1, 1), None),
        ("add_key", (1, 1), None),
        ("register", (1, 2), None),
    ];
    assert_eq!((told(&books, 1), sizes(&books), books.removals()), (steps.to_vec(), (1, 2), 0));
    // It comes in once: what is added later is on the record that is in.
    let mut another = record(&books, &at);
    assert_eq!(books.insert(&mut another, &[name("a"), name("c")], None, None).unwrap(), 6);
    assert!(Arc::ptr_eq(&another, &its));
    let (found, number) = books.add_labels(&Asker::another(), at.id(), &[name("d"), key("l")], None).unwrap();
    assert_eq!((Arc::ptr_eq(&found, &its), number, sizes(&books)), (true, 8, (1, 4)));
    assert_eq!((by_name(&books, "d"), by_key(&books, "l")), (Some(at.id()), Some(at.id())));
    let names: Vec<_> = its.labels.read(|labels| labels.names().map(NameText::to_string).collect()).unwrap();
    assert_eq!(names, ["a", "b", "c", "d"]);
}

/// Clause 26.2: a label that another has refuses the whole; a holder's own is its own.
#[tokio::test]
async fn a_label_that_another_has_is_refused_and_nothing_is_done() {
    let books = books();
    let (holder, its) = with(&books, &[name("taken"), key("taken")]);
    let (other, _) = with(&books, &[]);
    let before = (next(&books), sizes(&books));
    for label in [name("taken"), key("taken")] {
        let stranger = Mailbox::<u8>::new().address();
        let refused = [
            books
                .insert(&mut record(&books, &stranger), &[name("free"), label.clone()], None, None)
                .unwrap_err(),
            books
                .add_labels(&Asker::another(), other.id(), &[key("free"), label.clone()], None)
                .map(drop)
                .unwrap_err(),
            books.reserve(&[name("free"), label.clone()], 1, None).unwrap_err(),
        ];
        for refused in refused {
            assert_eq!(refused.holder(), Some(Holder::Mailbox(holder.id())), "{refused}");
        }
        assert!(books.find_id(stranger.id(), |_| ()).is_none());
        assert!(by_name(&books, "free").is_none() && by_key(&books, "free").is_none());
        assert!(!books.is_reserved(&text("free")));
        assert!(books.insert(&mut Arc::clone(&its), std::slice::from_ref(&label), None, None).is_ok());
        assert!(books.add_labels(&Asker::another(), holder.id(), &[label], None).is_ok());
    }
    assert_eq!((next(&books), sizes(&books)), before);
}

/// A label that is taken off is free, and leads to the mailbox no more; the mailbox stays. Taking off a label that no mailbox
/// has tells nothing.
#[tokio::test]
async fn labels_are_taken_off_one_by_one_and_all_names_at_once() {
    let books = books();
    let (at, its) = with(&books, &[name("a"), name("b"), name("c"), key("k")]);
    let from = next(&books);
    assert!(!books.remove_name("z", None) && !books.remove_key("kind", "z", None));
    assert_eq!((books.remove_names(Uuid::nil(), None), next(&books), books.removals()), (0, from, 0));
    assert!(books.remove_name("b", None) && !books.remove_name("b", None));
    let removals = books.removals();
    assert!(removals > 0 && by_name(&books, "b").is_none());
    assert!(books.remove_key("kind", "k", None) && !books.remove_key("kind", "k", None));
    assert!(by_key(&books, "k").is_none());
    assert_eq!(books.remove_names(at.id(), None), 2);
    assert_eq!(books.remove_names(at.id(), None), 0);
    assert!(books.removals() > removals, "whoever keeps what it found looks again");
    assert_eq!((sizes(&books), its.is_in()), ((1, 0), true));
    assert!(its.labels.read(|labels| labels.all().is_empty()).unwrap_or(true));
    let steps = [
        ("unregister", (1, 2), None),
        ("remove_key", (1, 2), None),
        ("unregister", (1, 1), None),
        ("unregister", (1, 0), None),
    ];
    assert_eq!(told(&books, from), steps);
    let (other, _) = with(&books, &[name("a"), key("k")]);
    assert_eq!((by_name(&books, "a"), by_key(&books, "k")), (Some(other.id()), Some(other.id())));
}

/// It goes out once: first its labels, then itself; its watchers hear how.
#[tokio::test]
async fn a_mailbox_goes_out_with_all_its_labels() {
    let books = books();
    for (destroyed, outcome) in [(false, Outcome::Removed), (true, Outcome::Destroyed)] {
        let (at, its) = with(&books, &[name("a"), key("k")]);
        let (from, removals) = (next(&books), books.removals());
        let mut watcher = its.watch().unwrap();
        let out = || {
            if destroyed {
                books.destroy_record(&its, ExitReason::Shutdown, None)
            } else {
                books.remove(at.id(), outcome, ExitReason::Shutdown, None)
            }
        };
        assert!(out() && !out() && its.is_gone());
        assert_eq!(watcher.try_recv(), Ok(Ending::new(outcome, ExitReason::Shutdown)));
        assert_eq!(at.closed_reason(), destroyed.then_some(ExitReason::Shutdown));
        assert!(by_name(&books, "a").is_none() && by_key(&books, "k").is_none());
        assert!(books.find_id(at.id(), |_| ()).is_none() && books.removals() > removals);
        let ended = Some(outcome);
        let steps =
            [("unregister", (1, 0), ended), ("remove_key", (1, 0), ended), ("destroy", (0, 0), ended)];
        assert_eq!((told(&books, from), sizes(&books)), (steps.to_vec(), (0, 0)));
        assert!(its.labels.read(|labels| labels.all().is_empty()).unwrap_or(true));
    }
    assert!(!books.remove(Uuid::nil(), Outcome::Removed, ExitReason::Normal, None));
}

/// A mailbox that closes goes out, for its reason; one that has closed does not come in, and is told of nothing.
#[tokio::test]
async fn a_mailbox_that_has_closed_is_not_in() {
    let books = books();
    let mailbox = Mailbox::<u8>::new();
    let at = mailbox.address();
    let its = record(&books, &at);
    books.insert(&mut Arc::clone(&its), &[name("a")], None, None).unwrap();
    let mut late = record(&books, &at);
    mailbox.destroy(ExitReason::shutdown_with("done"));
    assert_eq!((sizes(&books), by_name(&books, "a"), its.is_gone()), ((0, 0), None, true));
    assert_eq!(its.ending().map(|ending| ending.outcome), Some(Outcome::Closed));
    assert_eq!(its.ending().map(|ending| ending.reason), Some(ExitReason::shutdown_with("done")));
    let from = next(&books);
    let gone = |result: Result<(), RegisterError>| matches!(result, Err(RegisterError::MailboxDoesNotExist(id)) if id == at.id());
    assert!(gone(books.insert(&mut late, &[name("a")], None, None).map(drop)));
    assert!(gone(books.insert(&mut Arc::clone(&its), &[], None, None).map(drop)));
    assert!(gone(books.add_labels(&Asker::another(), at.id(), &[name("a")], None).map(drop)));
    assert!(gone(books.set_metadata(&its, "k".into(), Some("v".into()))));
    assert!(gone(books.set_metadata(&late, "k".into(), Some("v".into()))));
    assert_eq!((next(&books), sizes(&books)), (from, (0, 0)));
}

/// Row B7: metadata is set, replaced and taken away, and is no change of the registry's.
#[tokio::test]
async fn metadata_is_no_change() {
    let books = books();
    let (_at, its) = with(&books, &[name("a")]);
    let from = next(&books);
    let read = |key: &str| its.labels.read(|labels| labels.metadata.get(key).cloned()).flatten();
    for value in [Some("1"), Some("2"), None] {
        books.set_metadata(&its, "k".into(), value.map(str::to_owned)).unwrap();
        assert_eq!(read("k").as_deref(), value);
    }
    assert_eq!(next(&books), from);
}

/// Clause 27.3: what a creation holds is refused to all others until it is released or registered.
#[tokio::test]
async fn what_a_creation_holds_is_its_own() {
    let books = books();
    let both = [name("held"), key("held")];
    books.reserve(&both, 1, None).unwrap();
    assert!(books.is_reserved(&text("held")) && !books.is_reserved(&text("free")));
    let (other, its) = with(&books, &[]);
    for label in &both {
        let label = std::slice::from_ref(label);
        let refused = [
            books.reserve(label, 2, None),
            books.add_labels(&Asker::another(), other.id(), label, None).map(drop),
            books.insert(&mut Arc::clone(&its), label, Some(2), None).map(drop),
        ];
        for refused in refused {
            assert_eq!(refused.unwrap_err().holder(), Some(Holder::Creation));
        }
    }
    books.reserve(&both, 1, None).unwrap();
    books.release(&both, 2);
    assert!(books.is_reserved(&text("held")), "it is not the other's to let go");
    books.release(&both[1..], 1);
    assert!(books.add_labels(&Asker::another(), other.id(), &both[1..], None).is_ok());
    assert_eq!(next(&books), 3, "holding is no change");
    let mine = Mailbox::<u8>::new().address();
    books.insert(&mut record(&books, &mine), &both[..1], Some(1), None).unwrap();
    assert!(!books.is_reserved(&text("held")) && by_name(&books, "held") == Some(mine.id()));
    // An addition without a creation lets go of nothing that a creation holds.
    books.reserve(&[name("kept")], 3, None).unwrap();
    books.release(&[name("kept")], 3);
    assert!(!books.is_reserved(&text("kept")));
}

/// Clause 26.2: a grant that was not accepted is taken back: its labels, where no other addition was granted them, and with
/// the last grant the mailbox.
#[tokio::test]
async fn what_nobody_took_is_taken_back() {
    let books = books();
    let at = Mailbox::<u8>::new().address();
    let mut its = record(&books, &at);
    let first = books.insert(&mut its, &[name("a")], None, None).unwrap();
    let (_, second) =
        books.add_labels(&Asker::another(), at.id(), &[name("a"), name("b"), key("k")], None).unwrap();
    books.take_back(&Asker::another(), &its, &[name("a"), name("b"), key("k")], second);
    assert_eq!(
        (by_name(&books, "a"), by_name(&books, "b"), by_key(&books, "k")),
        (Some(at.id()), None, None)
    );
    assert!(its.is_in());
    // One that was taken off and put on again meanwhile is another's.
    let (_, third) = books.add_labels(&Asker::another(), at.id(), &[name("c")], None).unwrap();
    assert!(books.remove_name("c", None));
    books.add_labels(&Asker::another(), at.id(), &[name("c")], None).unwrap();
    books.take_back(&Asker::another(), &its, &[name("c")], third);
    assert_eq!(by_name(&books, "c"), Some(at.id()));
    books.take_back(&Asker::another(), &its, &[name("c")], u64::MAX);
    assert_eq!((by_name(&books, "c"), its.is_in()), (None, true));
    books.take_back(&Asker::another(), &its, &[name("a")], first);
    assert!(its.is_gone() && sizes(&books) == (0, 0) && at.closed_reason().is_none());
    assert_eq!(its.ending(), Some(Ending::new(Outcome::Abandoned, ExitReason::Normal)));
    let from = next(&books);
    books.take_back(&Asker::another(), &its, &[name("a")], first);
    assert_eq!(next(&books), from);
}

/// Nothing comes in any more, for that reason; what was in goes, after what is to be done in between.
#[tokio::test]
async fn what_has_ended_takes_nothing_in() {
    let books = books();
    let (at, its) = with(&books, &[name("a")]);
    let (other, _) = with(&books, &[]);
    let from = next(&books);
    let mut place = from;
    assert!(!books.read(&mut place).1 && books.ended().is_none());
    let mut between = 0;
    assert!(books.end(&ExitReason::Shutdown, || {
        between = books.sizes().mailboxes;
        assert!(matches!(
            books.add_labels(&Asker::another(), at.id(), &[name("b")], None),
            Err(RegisterError::Ended(ExitReason::Shutdown))
        ));
        assert!(matches!(books.set_metadata(&its, "k".into(), None), Err(RegisterError::Ended(_))));
        assert!(!books.read(&mut place).1, "there are some yet");
    }));
    assert_eq!((between, sizes(&books), books.ended()), (2, (0, 0), Some(ExitReason::Shutdown)));
    assert!(told(&books, from).iter().all(|(.., outcome)| *outcome == Some(Outcome::RegistryEnded)));
    assert_eq!(told(&books, from).len(), 3);
    let mut again = 0;
    assert!(!books.end(&ExitReason::Killed, || again += 1));
    assert_eq!((again, books.ended()), (1, Some(ExitReason::Shutdown)), "the first reason counts");
    let late = Mailbox::<u8>::new().address();
    let refused = [
        books.insert(&mut record(&books, &late), &[], None, None).map(drop),
        books.reserve(&[name("b")], 1, None),
        books.add_labels(&Asker::another(), other.id(), &[], None).map(drop),
    ];
    assert!(refused.iter().all(|refused| matches!(refused, Err(RegisterError::Ended(ExitReason::Shutdown)))));
    let mut read = 0;
    while let (At::Next(_), over) = books.read(&mut place) {
        read += 1;
        assert!(over);
    }
    assert_eq!(read, 3);
    assert!(at.closed_reason().is_none(), "the mailbox lives on");
}

/// Who follows is woken by a change, and by nothing else; the end wakes it in any case.
#[tokio::test]
async fn who_follows_is_woken_by_changes() {
    let books = books();
    let (at, _its) = with(&books, &[name("a")]);
    let rings = |act: &dyn Fn()| {
        let mut changed = pin!(books.changed.notified());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(changed.as_mut().poll(&mut cx).is_pending());
        act();
        changed.poll(&mut cx).is_ready()
    };
    let change = || {
        drop(
            books
                .add_labels(&Asker::another(), at.id(), &[name("b")], None)
                .map(|_| books.remove_name("b", None)),
        );
    };
    assert!(!rings(&change), "nobody follows");
    books.followers.fetch_add(1, Ordering::Relaxed);
    assert!(rings(&change));
    assert!(!rings(&|| _ = books.remove_name("nobody's", None)));
    books.followers.fetch_sub(1, Ordering::Relaxed);
    assert!(rings(&|| _ = books.end(&ExitReason::Shutdown, || ())));
}

/// The history keeps its length, whatever comes.
#[tokio::test]
async fn the_history_is_as_long_as_it_was_asked_for() {
    let books = books();
    let held: Vec<_> = (0..70).map(|_| with(&books, &[])).collect();
    books.with_history(|history, _| {
        assert_eq!((history.next(), history.last(1000).len()), (71, 64));
        assert!(history.since(6).is_none() && history.since(7).is_some());
    });
    assert_eq!(sizes(&books), (70, 0));
    let mut seen = 0;
    assert!(books.each_mailbox(|_| {
        seen += 1;
        true
    }));
    assert!(seen >= held.len());
    assert!(!books.each_mailbox(|_| false));
    drop(held);
    assert_eq!(sizes(&books), (0, 0));
}

/// A few aftermath are looked at after each section, from the oldest on; one that is still visited waits for its next turn.
#[tokio::test]
async fn a_record_is_buried_when_nobody_visits_it() {
    let books = books();
    let mailboxes: Vec<_> = (0..6).map(|_| Mailbox::<u8>::new().address()).collect();
    let mut aftermath = Aftermath::new();
    let mut visited = Vec::new();
    for (n, at) in mailboxes.iter().enumerate() {
        let record = record(&books, at);
        if n == 0 || n == 2 {
            visited.push(Arc::clone(&record));
        }
        aftermath.push(record);
    }
    let bury =
        |aftermath: &mut Aftermath| aftermath.bury_some().iter().map(|record| record.id).collect::<Vec<_>>();
    let ids: Vec<_> = mailboxes.iter().map(Address::id).collect();
    assert_eq!(bury(&mut aftermath), [ids[1], ids[3]]);
    assert_eq!(bury(&mut aftermath), [ids[4], ids[5]]);
    assert!(bury(&mut aftermath).is_empty());
    let second = visited.pop().expect("there are two");
    aftermath.push_once(Arc::clone(&second));
    drop(second);
    assert_eq!(bury(&mut aftermath), [ids[2]], "it has one grave");
    aftermath.push_once(record(&books, &mailboxes[5]));
    visited.clear();
    assert_eq!(bury(&mut aftermath), [ids[0], ids[5]]);
    assert!(bury(&mut aftermath).is_empty());
}

/// What has gone is dropped when it has no reader, and what is read stays until then.
#[tokio::test]
async fn compacting_leaves_what_is_read() {
    let books = books();
    let (_at, its) = with(&books, &[name("a")]);
    assert_eq!(books.compact(), 0, "all are in");
    assert!(books.destroy_record(&its, ExitReason::Shutdown, None));
    assert_eq!(books.compact(), 1, "this test reads it");
    drop(its);
    assert!((0..10_000).any(|_| books.compact() == 0));
    let (kept, _) = with(&books, &[name("a"), key("k")]);
    assert_eq!(books.compact(), 0);
    assert_eq!(
        (by_name(&books, "a"), by_key(&books, "k"), sizes(&books)),
        (Some(kept.id()), Some(kept.id()), (1, 1))
    );
    assert!(books.find_id(kept.id(), |_| ()).is_some());
}

/// Does this in its drop, as a user's value may.
struct OnDrop(Option<Box<dyn FnOnce() + Send>>);
impl OnDrop {
    fn resource(act: impl FnOnce() + Send + 'static) -> Resource {
        Resource::value(Self(Some(Box::new(act))))
    }
}
impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.take().expect("it is dropped once")();
    }
}

/// Of ends that come in the middle of another end, those that no caller asked for wait until that one is through, in their
/// order. What was asked for is done when it returns. So it is each time.
#[tokio::test]
async fn ends_that_come_in_the_middle_of_another_wait_for_it() {
    let books = books();
    for _ in 0..2 {
        let log = Arc::new(std::sync::Mutex::new(Vec::new()));
        let note = |what: &'static str| {
            let log = Arc::clone(&log);
            move || log.lock().unwrap().push(what)
        };
        let [first, second, asked] = [(); 3].map(|()| Mailbox::<u8>::new());
        for (mailbox, what) in
            [(&first, "the first"), (&second, "the second"), (&asked, "what was asked for")]
        {
            let mut its = record(&books, &mailbox.address());
            books.insert(&mut its, &[], None, None).unwrap();
            its.own(OnDrop::resource(note(what))).ok().expect("it is in");
        }
        let (owner, its) = with(&books, &[]);
        let (own, closed, returned) = (Arc::clone(&books), note("both have closed"), note("it has returned"));
        its.own(OnDrop::resource(move || {
            first.close();
            second.close();
            assert!([first.id(), second.id()].iter().all(|id| own.find_id(*id, |_| ()).is_none()));
            closed();
            assert!(own.destroy(asked.id(), ExitReason::Shutdown, None));
            returned();
        }))
        .ok()
        .expect("it is in");
        assert!(books.remove(owner.id(), Outcome::Removed, ExitReason::Normal, None));
        let log = log.lock().unwrap();
        assert_eq!(
            *log,
            ["both have closed", "what was asked for", "it has returned", "the first", "the second"]
        );
    }
}

/// One that is destroyed is in no more when that returns, and one that is not in is not destroyed.
#[tokio::test]
async fn what_is_destroyed_is_out() {
    let books = books();
    let (at, _) = with(&books, &[]);
    let removals = books.removals();
    assert!(
        books.destroy(at.id(), ExitReason::Killed, None) && !books.destroy(at.id(), ExitReason::Normal, None)
    );
    assert_eq!((at.closed_reason(), sizes(&books)), (Some(ExitReason::Killed), (0, 0)));
    assert!(books.removals() > removals, "one without a name may be kept by its id");
}

/// Names that are tracked are so as long as they are on their mailbox.
#[tokio::test]
async fn a_name_that_is_taken_off_is_tracked_no_more() {
    let books = books();
    let (at, _its) = with(&books, &[name("a"), name("b"), name("c")]);
    let by: By = Some(std::panic::Location::caller());
    books.track(at.id(), &[name("a"), name("b"), name("z"), key("a")], by);
    let tracked = || {
        let mut names: Vec<_> = books.with_tracked(|names| names.keys().map(NameText::to_string).collect());
        names.sort_unstable();
        names
    };
    assert_eq!(tracked(), ["a", "b"]);
    assert!(books.remove_name("a", None) && books.remove_name("c", None));
    assert_eq!(tracked(), ["b"]);
    assert!(books.destroy(at.id(), ExitReason::Shutdown, None));
    assert!(tracked().is_empty());
}

/// An error whose drop asks the books, which hangs under their lock.
#[derive(Debug)]
struct Asks(std::sync::Weak<Books>, Arc<AtomicUsize>);
impl std::fmt::Display for Asks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it asks")
    }
}
impl std::error::Error for Asks {}
impl Drop for Asks {
    fn drop(&mut self) {
        assert!(self.0.upgrade().is_none_or(|books| books.ended().is_none()));
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

/// A reason that falls out of the history is a user's, and is dropped after the lock.
#[tokio::test]
async fn a_reason_that_is_forgotten_is_dropped_after_the_lock() {
    let books = books();
    let dropped = Arc::new(AtomicUsize::new(0));
    let (at, its) = with(&books, &[name("a")]);
    let reason = ExitReason::Error(Arc::new(Asks(Arc::downgrade(&books), Arc::clone(&dropped))));
    assert!(books.remove(at.id(), Outcome::Removed, reason, None));
    drop(its);
    assert_eq!(dropped.load(Ordering::Relaxed), 0, "the history has it");
    let _held: Vec<_> = (0..70).map(|_| with(&books, &[])).collect();
    assert!((0..10_000).any(|_| books.compact() == 0));
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

/// The numbers of the changes that `tracing` is told of.
#[derive(Clone, Default)]
struct Told(Arc<std::sync::Mutex<Vec<u64>>>);
impl tracing::field::Visit for Told {
    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        if field.name() == "seq" {
            self.0.lock().unwrap().push(value);
        }
    }
    fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn std::fmt::Debug) {}
}
impl tracing::Subscriber for Told {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Has `tracing` tell this listener of what `work` does. There are always two listeners: while there is only one, `tracing`
/// remembers for all threads what the thread said that first came to an event.
fn listening(told: &Told, work: impl FnOnce()) {
    static OTHER: std::sync::LazyLock<tracing::Dispatch> =
        std::sync::LazyLock::new(|| tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default()));
    std::sync::LazyLock::force(&OTHER);
    #[expect(clippy::disallowed_methods, reason = "this is the way")]
    tracing::subscriber::with_default(told.clone(), work);
}

/// Row B5: each change is told once and in order, also where one step makes more than the history keeps.
#[tokio::test]
async fn tracing_is_told_of_each_change_once() {
    for keep in [1, 2, 3, 5, 64] {
        let books =
            Arc::new(Books::new("traced".into(), keep, Reaper::new(tokio::runtime::Handle::current())));
        let told = Told::default();
        listening(&told, || {
            let (first, _) = with(&books, &[name("a"), name("b"), key("k"), name("c")]);
            let (_second, _) = with(&books, &[name("d")]);
            assert!(!books.remove_name("z", None) && books.remove_name("d", None));
            assert!(books.destroy(first.id(), ExitReason::Shutdown, None));
        });
        assert_eq!(*told.0.lock().unwrap(), (1..next(&books)).collect::<Vec<_>>(), "a history of {keep}");
    }
}
