//! The books alone: threads that write what the actor and those who end things would write.

use super::*;
use crate::admission::{Admission, DEFAULT_RETRY_AFTER};
use crate::changes::{Changes, Followed};
use crate::creation::Reservation;
use crate::family::Asker;
use crate::record::Resource;
use crate::secondary::{FewLabels, Holder};
use crate::snapshot::Snapshot;
use restante_core::monitor::{Event, Watch};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

const SCHEDULES: usize = 10_000;

fn run<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::spawn(f)
}

/// Failure modes 14 and 15: a name leads to no mailbox whose end a monitor has been told of, and is free by then.
#[test]
fn shuttle_a_name_is_free_before_a_monitor_fires() {
    explore(SCHEDULES, || {
        let books = books(64);
        let (_a, at_a) = mailbox();
        let (b, at_b) = mailbox();
        let (c, at_c) = mailbox();
        register(&books, &at_a, "x").unwrap();
        let told = Arc::new(AtomicBool::new(false));
        // A panic of a monitor stays with it: noted, and looked at in the end.
        let seen = Arc::new(Mutex::new(None));
        at_a.monitor(Watch::Mailbox, {
            let (books, told, seen) = (Arc::clone(&books), Arc::clone(&told), Arc::clone(&seen));
            let (id, at_b) = (at_a.id(), at_b.clone());
            move |event| {
                if let Event::Closed(_) = event {
                    let here = leads_to(&books, "x") == Some(id) || books.find_id(id, |_| ()).is_some();
                    let again = register(&books, &at_b, "x");
                    *seen.lock().unwrap() = Some((here, again));
                    told.store(true, SeqCst);
                }
            }
        });
        let reader = run({
            let (books, told, id) = (Arc::clone(&books), Arc::clone(&told), at_a.id());
            move || {
                for _ in 0..3 {
                    let was_told = told.load(SeqCst);
                    looked(&books, "x");
                    assert!(!(was_told && leads_to(&books, "x") == Some(id)));
                }
            }
        });
        let rival = run({
            let (books, at_c) = (Arc::clone(&books), at_c.clone());
            move || register(&books, &at_c, "x")
        });
        at_a.close_mailbox(ExitReason::Shutdown);
        reader.join().unwrap();
        let rival = rival.join().unwrap();
        let (here, again) = seen.lock().unwrap().take().expect("the monitor was told");
        assert!(!here, "whoever is told finds it nowhere");
        let refused = |by: &Address<u32>| {
            let name = NameText::new("x").unwrap();
            Err(RegisterError::NameAlreadyExists { name, holder: Holder::Mailbox(by.id()) })
        };
        match &again {
            Ok(()) => assert!(rival == refused(&at_a) || rival == refused(&at_b), "{rival:?}"),
            Err(_) => assert_eq!((&again, &rival), (&refused(&at_c), &Ok(()))),
        }
        assert_eq!(endings(&books, at_a.id()), [Ending::new(Outcome::Closed, ExitReason::Shutdown)]);
        settled(&books);
        drop((b, c));
        drop((at_b, at_c));
        assert_eq!(books.sizes(), Sizes::default());
    });
}

/// Failure mode 20: no entry of a closed mailbox stays.
#[test]
fn shuttle_insert_and_close() {
    explore(SCHEDULES, || {
        let books = books(64);
        let (_a, at) = mailbox();
        let inserter = run({
            let (books, at) = (Arc::clone(&books), at.clone());
            move || {
                ask(&books, &at, &[name("x"), Label::Key(SecondaryKey::new("k", "1"))]).map(Addition::accept)
            }
        });
        let second = run({
            let (books, at) = (Arc::clone(&books), at.clone());
            move || ask(&books, &at, &[]).map(Addition::accept)
        });
        at.close_mailbox(ExitReason::Killed);
        let closed = Err(RegisterError::MailboxDoesNotExist(at.id()));
        for inserted in [inserter.join().unwrap(), second.join().unwrap()] {
            assert!(inserted.is_ok() || inserted == closed, "{inserted:?}");
        }
        assert_eq!(books.sizes(), Sizes::default());
        assert_eq!((leads_to(&books, "x"), books.find_key("k", "1", |_| ())), (None, None));
        assert!(
            endings(&books, at.id()).iter().all(|e| *e == Ending::new(Outcome::Closed, ExitReason::Killed))
        );
        settled(&books);
    });
}

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Row B5, failure mode 16: however it is ended, it ends once, for everyone alike.
#[test]
fn shuttle_close_and_close() {
    explore(SCHEDULES, || {
        let books = books(64);
        let (a, at) = mailbox();
        let (id, dropped) = (at.id(), Arc::new(AtomicUsize::new(0)));
        register(&books, &at, "x").unwrap();
        let record = books.find_id(id, Arc::clone).unwrap();
        assert!(record.own(Resource::value(Dropped(Arc::clone(&dropped)))).is_ok());
        let mut told = record.watch().unwrap();
        let destroyers = ["one", "two"].map(|who| {
            let books = Arc::clone(&books);
            run(move || books.destroy(id, ExitReason::shutdown_with(who), None))
        });
        let closer = run(move || at.close_mailbox(ExitReason::shutdown_with("three")));
        // The last reference, where no other is left.
        drop(a);
        let destroyed = destroyers.map(|d| d.join().unwrap());
        closer.join().unwrap();
        let ended = endings(&books, id);
        assert_eq!(ended.len(), 1, "{ended:?}");
        assert_eq!(told.try_recv().ok().as_ref(), ended.first());
        assert_eq!(record.ending().as_ref(), ended.first());
        let by_whom = match ended[0].outcome {
            Outcome::Destroyed => 1,
            _ => 0,
        };
        assert_eq!(destroyed.into_iter().filter(|d| *d).count(), by_whom);
        assert_eq!(dropped.load(SeqCst), 1);
        assert!(record.mailbox.has_closed());
        assert!(record.own(Resource::value(Dropped(dropped))).is_err());
        assert!(!books.destroy(id, ExitReason::Normal, None));
        settled(&books);
    });
}

/// Clause 26.2: a mailbox is given again the name that it has, as it closes: the name goes with it, whichever comes first.
#[test]
fn shuttle_a_name_again_and_close() {
    explore(SCHEDULES, || {
        let books = books(64);
        let (_a, at) = mailbox();
        register(&books, &at, "x").unwrap();
        let again = {
            let (books, id) = (Arc::clone(&books), at.id());
            run(move || drop(books.add_labels(&Asker::another(), id, &[name("x"), name("y")], None)))
        };
        at.close_mailbox(ExitReason::Killed);
        again.join().unwrap();
        assert_eq!((leads_to(&books, "x"), leads_to(&books, "y")), (None, None));
        settled(&books);
    });
}

/// Row B2: one name, two mailboxes: one has it.
#[test]
fn shuttle_one_name_and_two_mailboxes() {
    explore(SCHEDULES, || {
        let books = books(64);
        let boxes = [mailbox(), mailbox()];
        let asked = [0, 1].map(|n| {
            let (books, at) = (Arc::clone(&books), boxes[n].1.clone());
            run(move || register(&books, &at, "x"))
        });
        let reader = run({
            let books = Arc::clone(&books);
            move || (0..3).for_each(|_| looked(&books, "x"))
        });
        let answers = asked.map(|a| a.join().unwrap());
        reader.join().unwrap();
        let winner = answers.iter().position(Result::is_ok).expect("one has it");
        assert_eq!(leads_to(&books, "x"), Some(boxes[winner].1.id()));
        let id = boxes[winner].1.id();
        assert!(matches!(&answers[1 - winner],
            Err(RegisterError::NameAlreadyExists { holder: Holder::Mailbox(by), .. }) if *by == id));
        assert!(books.find_id(boxes[1 - winner].1.id(), |_| ()).is_none(), "who was refused did not come in");
        settled(&books);
    });
}

/// Row B2, failure mode 20: one mailbox, three callers, of whom one goes before its answer comes: what the others were told
/// stays, and where all go nothing does.
#[test]
fn shuttle_two_names_of_one_mailbox_and_a_caller_who_goes() {
    explore(SCHEDULES, || {
        let books = books(64);
        let (_a, at) = mailbox();
        let id = at.id();
        let dropped = run({
            let (books, at) = (Arc::clone(&books), at.clone());
            move || drop(ask(&books, &at, &[name("x")]))
        });
        let keyed = run({
            let books = Arc::clone(&books);
            let label = Label::Key(SecondaryKey::new("k", "1"));
            move || match Addition::to_id(&books, id, FewLabels::from([label]), None).perform(&books) {
                Ok(granted) => granted.accept(),
                Err(error) => assert_eq!(*error, RegisterError::MailboxDoesNotExist(id)),
            }
        });
        let kept = run({
            let (books, at) = (Arc::clone(&books), at.clone());
            move || register(&books, &at, "y")
        });
        dropped.join().unwrap();
        keyed.join().unwrap();
        assert_eq!(kept.join().unwrap(), Ok(()));
        assert_eq!((leads_to(&books, "y"), leads_to(&books, "x")), (Some(id), None));
        settled(&books);
        drop(ask(&books, &at, &[name("z")]));
        assert_eq!(books.sizes().names, 1);
        assert!(books.remove(id, Outcome::Removed, ExitReason::Normal, None));
        let both = [ask(&books, &at, &[name("x")]), ask(&books, &at, &[name("y")])];
        let both = both.map(|granted| run(move || drop(granted)));
        let _: [(); 2] = both.map(|b| b.join().unwrap());
        assert_eq!(books.sizes(), Sizes::default());
        settled(&books);
    });
}

/// Row F1: a place and names are held together: who has the only place is not in the way of names that another held before.
#[test]
fn shuttle_reserve_and_give_up_and_commit() {
    explore(SCHEDULES, || {
        let books = books(64);
        let places = Arc::new(Admission::new(1, DEFAULT_RETRY_AFTER));
        let boxes = [mailbox(), mailbox()];
        let creators = [0, 1].map(|n| {
            let (books, places, at) = (Arc::clone(&books), Arc::clone(&places), boxes[n].1.clone());
            run(move || {
                let Ok(place) = places.admit(|| 0) else { return None };
                let labels = vec![name("x"), name("y")];
                let mut reservation = Reservation::new(Arc::clone(&books), n as u64, labels, None, place);
                let held = reservation.hold();
                if let Err(error) = held {
                    assert!(
                        matches!(error, RegisterError::NameAlreadyExists { holder: Holder::Mailbox(_), .. }),
                        "{error:?}"
                    );
                    return None;
                }
                assert_eq!((leads_to(&books, "x"), books.reserved()), (None, 2), "held, and nobody finds it");
                if n == 0 {
                    return None;
                }
                let mut record = Record::new(&at, at.id(), &books)?;
                match reservation.commit(&mut record) {
                    Ok(_) => {
                        let both = [leads_to(&books, "x"), leads_to(&books, "y")];
                        // Or closed since.
                        assert!(both == [Some(record.id); 2] || record.mailbox.has_closed(), "{both:?}");
                        Some(record.id)
                    }
                    Err(error) => {
                        assert_eq!(error, RegisterError::MailboxDoesNotExist(at.id()));
                        None
                    }
                }
            })
        });
        let other = run({
            let (books, (_own, at)) = (Arc::clone(&books), mailbox());
            move || {
                let registered = register(&books, &at, "y");
                looked(&books, "x");
                looked(&books, "y");
                drop(at);
                registered.is_ok()
            }
        });
        // The mailbox may close while it is committed.
        boxes[1].0.close();
        let _: [Option<uuid::Uuid>; 2] = creators.map(|c| c.join().unwrap());
        other.join().unwrap();
        assert_eq!((places.active(), books.reserved()), (0, 0));
        assert_eq!(books.sizes(), Sizes::default(), "all have closed");
        settled(&books);
        assert_eq!(register(&books, &boxes[0].1, "x"), Ok(()));
    });
}

/// Row F1: two that share a name, with a place for each: one holds all of its names, the other none.
#[test]
fn shuttle_two_reservations_that_share_a_name() {
    explore(SCHEDULES, || {
        let books = books(64);
        let places = Arc::new(Admission::new(2, DEFAULT_RETRY_AFTER));
        let boxes = [mailbox(), mailbox()];
        let creators = [("x", "y"), ("z", "x")].map(|(first, second)| {
            let (books, places) = (Arc::clone(&books), Arc::clone(&places));
            let (n, at) = if first == "x" { (0, boxes[0].1.clone()) } else { (1, boxes[1].1.clone()) };
            run(move || {
                let place = places.admit(|| 0).expect("there are two");
                let labels = vec![name(first), name(second)];
                let mut reservation = Reservation::new(Arc::clone(&books), n, labels, None, place);
                if let Err(error) = reservation.hold() {
                    return Some(error);
                }
                assert_eq!(books.reserved(), 2, "both of its own, and nobody else's");
                // The second goes, perhaps just before the first would have been refused.
                if n == 0 {
                    let mut record = Record::new(&at, at.id(), &books).expect("it is open");
                    reservation.commit(&mut record).expect("they are held");
                }
                None
            })
        });
        let [one, two] = creators.map(|c| c.join().unwrap());
        let of = |error: Option<RegisterError>| match error {
            Some(RegisterError::NameAlreadyExists { holder, .. }) => Some(holder),
            None => None,
            Some(other) => panic!("{other:?}"),
        };
        let first = boxes[0].1.id();
        assert_eq!(leads_to(&books, "z"), None);
        let leads = [leads_to(&books, "x"), leads_to(&books, "y")];
        match (of(one), of(two)) {
            (None, None | Some(Holder::Creation)) => assert_eq!(leads, [Some(first); 2]),
            (None, Some(Holder::Mailbox(by))) => assert_eq!((by, leads), (first, [Some(first); 2])),
            (Some(Holder::Creation), None) => assert_eq!(leads, [None; 2]),
            other => panic!("{other:?}"),
        }
        assert_eq!((places.active(), books.reserved()), (0, 0));
        settled(&books);
    });
}

/// Failure modes 14 and 20: a mailbox dies while its name is looked up and wanted for another: it is found, then nobody, then
/// the other; not itself once its last reference has gone.
#[test]
fn shuttle_look_up_and_die_and_register_again() {
    explore(SCHEDULES, || {
        let books = books(64);
        let (a, at_a) = mailbox();
        let (_b, at_b) = mailbox();
        let (old, new) = (at_a.id(), at_b.id());
        register(&books, &at_a, "x").unwrap();
        drop(at_a);
        let died = Arc::new(AtomicBool::new(false));
        let reader = run({
            let (books, died) = (Arc::clone(&books), Arc::clone(&died));
            move || {
                let mut newest = false;
                for _ in 0..4 {
                    let has_died = died.load(SeqCst);
                    let led = leads_to(&books, "x");
                    assert!(led != Some(old) || !(has_died || newest), "it comes back from the dead");
                    assert!(led == Some(new) || !newest, "the other has it for good");
                    newest = led == Some(new);
                    looked(&books, "x");
                }
            }
        });
        let registrar = run({
            let (books, died, at_b) = (Arc::clone(&books), Arc::clone(&died), at_b.clone());
            move || {
                loop {
                    let has_died = died.load(SeqCst);
                    match register(&books, &at_b, "x") {
                        Ok(()) => return,
                        Err(error) => assert!(!has_died, "the name is free: {error}"),
                    }
                    thread::yield_now();
                }
            }
        });
        drop(a);
        died.store(true, SeqCst);
        reader.join().unwrap();
        registrar.join().unwrap();
        assert_eq!(leads_to(&books, "x"), Some(new));
        assert_eq!(endings(&books, old), [Ending::new(Outcome::Closed, ExitReason::Normal)]);
        settled(&books);
    });
}

/// Reads until there is nothing more for now; false: it is over.
fn catch_up(books: &Arc<Books>, snapshot: &mut Snapshot, changes: &mut Changes) -> bool {
    loop {
        match changes.try_next() {
            None => return true,
            Some(Followed::Ended) => return false,
            Some(Followed::Change(change)) => {
                assert_eq!(change.seq, snapshot.seq() + 1, "none is missed, none told twice");
                snapshot.apply(&change);
                assert!(snapshot.validate().is_consistent(), "{change}");
                assert_eq!(snapshot.sizes(), change.after, "{change}");
            }
            Some(Followed::Missed(_)) => {
                *snapshot = books.snapshot();
                *changes = Changes::new(Arc::clone(books), snapshot.seq() + 1);
                assert!(snapshot.validate().is_consistent());
            }
        }
    }
}

fn same(one: &Snapshot, two: &Snapshot) {
    let all = |s: &Snapshot| {
        let mut mailboxes: Vec<_> = s.mailboxes().collect();
        let mut names: Vec<_> = s.names().map(|(name, id)| (name.clone(), id)).collect();
        mailboxes.sort_unstable();
        names.sort_unstable();
        (s.seq(), mailboxes, names)
    };
    assert_eq!(all(one), all(two));
}

fn follow_beside_writers(history: usize) {
    let books = books(history);
    let (a, at_a) = mailbox();
    let (_b, at_b) = mailbox();
    register(&books, &at_a, "x").unwrap();
    let one = run({
        let (books, at_a) = (Arc::clone(&books), at_a.clone());
        move || {
            books.remove_name("x", None);
            // Unless it has closed.
            let _ = register(&books, &at_a, "y");
        }
    });
    let two = run({
        let books = Arc::clone(&books);
        move || {
            let _ = register(&books, &at_b, "x");
            books.remove_names(at_b.id(), None);
            let _ = register(&books, &at_b, "z");
        }
    });
    let follower = run({
        let books = Arc::clone(&books);
        move || {
            let mut snapshot = books.snapshot();
            assert!(snapshot.validate().is_consistent());
            let mut changes = Changes::new(Arc::clone(&books), snapshot.seq() + 1);
            assert!(catch_up(&books, &mut snapshot, &mut changes));
            (snapshot, changes)
        }
    });
    a.close();
    one.join().unwrap();
    two.join().unwrap();
    let (mut snapshot, mut changes) = follower.join().unwrap();
    assert!(catch_up(&books, &mut snapshot, &mut changes));
    same(&snapshot, &books.snapshot());
    settled(&books);
}

/// Row B7: a snapshot and the changes since make what is there.
#[test]
fn shuttle_follow_and_writers() {
    explore(SCHEDULES, || follow_beside_writers(64));
}

/// The same where the history is short, so that changes are missed and a snapshot is overrun.
#[test]
fn shuttle_follow_and_writers_with_a_short_history() {
    explore(SCHEDULES, || follow_beside_writers(2));
}

/// Who follows is told of the end when all else has been told.
#[test]
fn shuttle_follow_and_end() {
    explore(SCHEDULES, || {
        let books = books(64);
        let (a, at_a) = mailbox();
        let (_b, at_b) = mailbox();
        register(&books, &at_a, "x").unwrap();
        let follower = run({
            let books = Arc::clone(&books);
            move || {
                let mut snapshot = books.snapshot();
                let mut changes = Changes::new(Arc::clone(&books), snapshot.seq() + 1);
                while catch_up(&books, &mut snapshot, &mut changes) {
                    thread::yield_now();
                }
                assert_eq!(snapshot.sizes(), Sizes::default(), "all has been told");
                snapshot.seq()
            }
        });
        let newcomer = run({
            let (books, at_b) = (Arc::clone(&books), at_b.clone());
            move || register(&books, &at_b, "y")
        });
        let ender = run({
            let books = Arc::clone(&books);
            move || assert!(books.end(&ExitReason::Shutdown, || ()))
        });
        a.close();
        let came = newcomer.join().unwrap();
        assert!(came.is_ok() || came == Err(RegisterError::Ended(ExitReason::Shutdown)), "{came:?}");
        ender.join().unwrap();
        let last = follower.join().unwrap();
        assert_eq!(books.with_history(|history, _| history.next()), last + 1);
        assert_eq!(endings(&books, at_a.id()).len(), 1);
        settled(&books);
    });
}
