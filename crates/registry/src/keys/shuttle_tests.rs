//! Keys under shuttle: random schedules and schedules with few, well placed preemptions (PCT), 10,000 of each for every
//! test. What is modelled: mailboxes and their closing, the writers' lock, listeners, the lock per key. What is not: the map
//! under the index, whose operations are single steps here.
//!
//! Run them with
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" cargo test --release -p restante-registry --lib shuttle
//! ```
//!
//! and a target directory of their own (`CARGO_TARGET_DIR=target/shuttle`).

use super::*;
use restante_core::Mailbox;
use shuttle::future::{block_on, yield_now};
use shuttle::thread;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

const SCHEDULES: usize = 10_000;

/// Both kinds of schedules.
fn explore(test: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(test.clone(), SCHEDULES);
    shuttle::check_pct(test, SCHEDULES, 3);
}

/// The holder of the lock is alone, over a moment in which others run. The counter is a standard one: it is the model's, not
/// modelled.
async fn alone_with<K: std::hash::Hash + Eq>(inside: &AtomicU32, guard: KeyGuard<K>) {
    assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "two hold it");
    yield_now().await;
    inside.fetch_sub(1, Ordering::Relaxed);
    drop(guard);
}

/// Polls it so many times, then drops it: what it came to.
async fn give_up_after<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if let Poll::Ready(done) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        left -= 1;
        if left == 0 {
            return Poll::Ready(None);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Row G5: lock × cancel × unlock. One holds and lets go, one gives up at any moment, two stay: these get it, whatever happens,
/// and nothing is left.
#[test]
fn shuttle_lock_cancel_unlock() {
    explore(|| {
        let keys: Keys<u32, ()> = Keys::unique();
        let inside = Arc::new(AtomicU32::new(0));
        let served = Arc::new(AtomicU32::new(0));
        let stays = || {
            let (keys, inside, served) = (keys.clone(), Arc::clone(&inside), Arc::clone(&served));
            thread::spawn(move || {
                block_on(async {
                    alone_with(&inside, keys.lock(&1).await).await;
                    served.fetch_add(1, Ordering::Relaxed);
                });
            })
        };
        let gives_up = {
            let (keys, inside) = (keys.clone(), Arc::clone(&inside));
            thread::spawn(move || {
                block_on(async {
                    if let Some(guard) = give_up_after(2, keys.lock(&1)).await {
                        alone_with(&inside, guard).await;
                    }
                });
            })
        };
        let threads = [stays(), gives_up, stays()];
        if let Some(guard) = keys.try_lock(&1) {
            block_on(alone_with(&inside, guard));
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!((served.load(Ordering::Relaxed), keys.locked()), (2, 0));
    });
}

/// Row B5: register × close × lookup. Who knows that the mailbox has closed sees nothing of it; in the end nothing is left.
#[test]
fn shuttle_register_close_lookup() {
    explore(|| {
        let keys: Keys<u32, u32> = Keys::unique();
        let mailbox = Mailbox::<()>::new();
        let holder = mailbox.address();
        let registers = {
            let (keys, holder) = (keys.clone(), holder.clone());
            thread::spawn(move || {
                let one = keys.register(&holder, 1, 1).is_ok();
                let two = keys.register(&holder, 2, 1).is_ok();
                assert!(one || !two, "closed is closed");
            })
        };
        let looks = {
            let (keys, holder) = (keys.clone(), holder.clone());
            thread::spawn(move || {
                for key in [1, 2, 1] {
                    let closed = holder.is_closed();
                    let found =
                        keys.with(&key, |found| found.iter().any(|one| one.holder_id() == holder.id()));
                    assert!(!(closed && found), "its holder has closed");
                    assert!(!closed || keys.keys_of(&holder).is_empty());
                }
            })
        };
        mailbox.close();
        // It was this thread that closed it: so what it held is free.
        let (heir, heirs) = (Mailbox::<()>::new(), keys.clone());
        let taken = heirs.register(&heir.address(), 1, 2);
        assert!(taken.is_ok());
        registers.join().unwrap();
        looks.join().unwrap();
        assert_eq!((keys.count(), keys.value_of(&1), keys.lookup(&2).len()), (1, Some(2), 0));
        heir.close();
        assert_eq!(keys.count(), 0);
    });
}

/// The last registration of a holder goes, with its watch, while the next one comes and its mailbox closes.
#[test]
fn shuttle_unregister_register_close() {
    explore(|| {
        let keys: Keys<u32, u32> = Keys::duplicate();
        let mailbox = Mailbox::<()>::new();
        let holder = mailbox.address();
        let first = keys.register(&holder, 1, 1).unwrap();
        let goes = thread::spawn(move || first.unregister());
        let comes = {
            let (keys, holder) = (keys.clone(), holder.clone());
            thread::spawn(move || drop(keys.register(&holder, 2, 2)))
        };
        mailbox.close();
        goes.join().unwrap();
        comes.join().unwrap();
        assert_eq!((keys.count(), keys.select(|_| Some(())).len()), (0, 0));
    });
}

/// Row F1: update × update × lookup: no update is lost, what is there is found, and its value never goes back.
#[test]
fn shuttle_update_lookup() {
    explore(|| {
        let keys: Keys<u32, u32> = Keys::unique();
        let mailbox = Mailbox::<()>::new();
        let registration = keys.register(&mailbox.address(), 1, 0).unwrap();
        let updates = || {
            let registration = registration.clone();
            thread::spawn(move || assert!(registration.update_value(|n| n + 1).is_ok()))
        };
        let threads = [updates(), updates()];
        let mut last = 0;
        for _ in 0..3 {
            let value = keys.value_of(&1).expect("it is there all the while");
            assert!(value >= last);
            last = value;
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!((registration.value(), keys.values_of(&1, &mailbox.address())), (Some(2), vec![2]));
    });
}

/// Row B10: a snapshot and the events after it make the present; who waits for them is woken.
#[test]
fn shuttle_snapshot_follow() {
    explore(|| {
        let keys: Keys<u32, u32> = Keys::duplicate();
        let (stays, goes) = (Mailbox::<()>::new(), Mailbox::<()>::new());
        keys.register(&goes.address(), 1, 1).unwrap();
        let writes = {
            let (keys, address) = (keys.clone(), stays.address());
            thread::spawn(move || {
                keys.register(&address, 1, 2).unwrap();
                assert_eq!(keys.update_value(&1, &address, |n| n + 1), Ok((3, 2)));
            })
        };
        let closes = thread::spawn(move || goes.close());
        let (snapshot, mut listener) = keys.snapshot_and_listen(8);
        let follows = thread::spawn(move || {
            let mut image: BTreeMap<_, _> =
                snapshot.entries.iter().map(|entry| (entry.number(), *entry.value())).collect();
            let mut seq = snapshot.seq;
            // One, three: registered; two: updated; four: closed.
            while seq < 4 {
                let event = block_on(listener.next()).expect("the registry is there");
                seq += 1;
                assert_eq!(event.seq(), seq, "there is a gap");
                match event {
                    KeyEvent::Registered { entry, .. } | KeyEvent::Updated { entry, .. } => {
                        image.insert(entry.number(), *entry.value());
                    }
                    KeyEvent::Unregistered { entry, .. } => {
                        assert!(image.remove(&entry.number()).is_some());
                    }
                    KeyEvent::Missed { .. } => panic!("it has room"),
                }
            }
            image
        });
        writes.join().unwrap();
        closes.join().unwrap();
        assert_eq!(follows.join().unwrap(), BTreeMap::from([(2, 3)]));
    });
}
