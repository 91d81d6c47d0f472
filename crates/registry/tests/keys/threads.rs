//! Readers beside writers, on threads of their own.

use super::mailbox;
use restante_core::Mailbox;
use restante_registry::keys::{KeyEvent, Keys};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

const ROUNDS: u32 = 2_000;

/// Row F1: what is there all the while is always found, whatever is written meanwhile.
/// Clause 30.3.
#[test]
fn a_registration_that_stays_is_always_found() {
    let keys: Keys<u32, u32> = Keys::duplicate();
    let (_m, me) = mailbox();
    // In a group of its own, in one of several chunks, among keys enough to make the index grow.
    let alone = keys.register(&me, 0, 0).unwrap();
    let others: Vec<_> = (0..100).map(|n| keys.register(&me, 1, n).unwrap()).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let value = keys.value_of(&0).expect("it is there all the while");
                    assert!(value >= last, "it goes back in time");
                    last = value;
                    let there = keys.lookup_match(&1, |n| *n < 100);
                    assert!(there.windows(2).all(|two| two[0].number() < two[1].number()));
                    assert_eq!(there.len(), 100);
                    let stays = |key, value| key == 0 || key == 1 && value < 100;
                    assert_eq!(keys.count_select(|entry| stays(*entry.key(), *entry.value())), 101);
                    assert!(keys.keys_of(&me).len() >= 101);
                }
            });
        }
        scope.spawn(|| {
            for n in 0..ROUNDS {
                alone.update_value(|n| n + 1).unwrap();
                others[n as usize % 100].update_value(|n| *n).unwrap();
                // Goes again, and makes the group and the index change beside it.
                let (mailbox, passing) = mailbox();
                keys.register(&passing, 1, ROUNDS).unwrap();
                keys.register(&passing, 2 + n % 500, ROUNDS).unwrap();
                if n % 2 == 0 {
                    mailbox.close();
                }
            }
            done.store(true, Ordering::Relaxed);
        });
    });
    assert_eq!((alone.value(), keys.count()), (Some(ROUNDS), 101));
}

/// Row F1, row B5: no thread sees a registration whose holder it knows to have closed, and the key is free then.
#[test]
fn a_key_passes_from_hand_to_hand() {
    let keys: Keys<&str, u32> = Keys::unique();
    let held = AtomicU32::new(0);
    thread::scope(|scope| {
        for thread in 0..3 {
            let (keys, held) = (&keys, &held);
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let mailbox = Mailbox::<u32>::new();
                    let me = mailbox.address();
                    if keys.register(&me, "the key", thread).is_ok() {
                        assert_eq!(keys.value_of("the key"), Some(thread));
                        held.fetch_add(1, Ordering::Relaxed);
                    }
                    mailbox.close();
                    assert!(keys.with("the key", |entries| entries.iter().all(|e| e.holder_id() != me.id())));
                    assert!(keys.keys_of(&me).is_empty());
                }
            });
        }
    });
    assert!(held.load(Ordering::Relaxed) > 0);
    assert_eq!(keys.count(), 0);
}

/// Row B10: a snapshot and the events after it make the present, whenever they were taken.
#[test]
fn a_snapshot_and_what_follows_make_the_present() {
    let keys: Keys<u32, u32> = Keys::duplicate();
    let (_m, stays) = mailbox();
    let followed = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..ROUNDS {
                let (mailbox, passing) = mailbox();
                let registration = keys.register(&stays, n % 50, n).unwrap();
                keys.register(&passing, n % 50, n).unwrap();
                registration.update_value(|n| n + 1).unwrap();
                mailbox.close();
                if n % 3 > 0 {
                    registration.unregister();
                }
            }
        });
        let mut followed = Vec::new();
        while !writer.is_finished() && followed.len() < 50 {
            followed.push(keys.snapshot_and_listen(usize::MAX));
            thread::yield_now();
        }
        followed
    });
    let present: BTreeMap<_, _> =
        keys.select(|entry| Some((entry.number(), *entry.value()))).into_iter().collect();
    assert_eq!(present.len(), (0..ROUNDS).filter(|n| n % 3 == 0).count());
    for (snapshot, mut listener) in followed {
        let mut image: BTreeMap<_, _> = snapshot.entries.iter().map(|e| (e.number(), *e.value())).collect();
        let mut seq = snapshot.seq;
        while let Some(event) = listener.try_next() {
            seq += 1;
            assert_eq!(event.seq(), seq, "there is a gap");
            let changed = match event {
                KeyEvent::Registered { entry, .. } => image.insert(entry.number(), *entry.value()).is_none(),
                KeyEvent::Updated { entry, .. } => image.insert(entry.number(), *entry.value()).is_some(),
                KeyEvent::Unregistered { entry, .. } => image.remove(&entry.number()) == Some(*entry.value()),
                other => panic!("{other:?}"),
            };
            assert!(changed);
        }
        assert_eq!(image, present);
    }
}
