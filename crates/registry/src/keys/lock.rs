//! A lock per key: held over awaits, first come first served, free again when its guard goes.
//!
//! What is decided is decided in [`Lines`], synchronously; the future around it ([`Waiting`]) only sleeps.
//!
//! ```text
//! (nobody) --take--> held by 1 --wait--> held by 1, [2, 3] --leave(1)--> held by 2, [3] --leave(2)--> held by 3
//!                       |                     |                              |
//!                   leave(1): no line     leave(2): [3]        2 never came to know of it: leave(2) all the same
//! ```
//!
//! The lock is handed over, not let go: the first in line holds it from the moment in which the one before leaves, whether it
//! has woken up by then or not. So no other can slip in between, and a waiter that goes away before it was told leaves as a
//! holder would.
//!
//! No code of the user's runs under the mutex but `Hash`, `Eq` and `Clone` of keys.

use crate::sync::Mutex;
use foldhash::fast::RandomState;
use restante_core::quiet;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Holds the lock of one key; dropping it lets the next one in.
///
/// It may be held over awaits. Dropping it on an unwinding stack, with an aborted task or with a killed server's state is
/// as good as any other way.
#[must_use = "the lock is let go when its guard is dropped"]
pub struct KeyGuard<K: Hash + Eq> {
    place: Place<K>,
}

impl<K: Hash + Eq> KeyGuard<K> {
    /// Whose lock it is.
    pub fn key(&self) -> &K {
        &self.place.key
    }
}

impl<K: Hash + Eq + fmt::Debug> fmt::Debug for KeyGuard<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyGuard").field("key", &self.place.key).finish_non_exhaustive()
    }
}

/// The locks of many keys. Nothing is kept of a key that is not held.
pub(super) struct KeyLocks<K> {
    lines: Mutex<Lines<K>>,
}

impl<K: Hash + Eq + Clone> KeyLocks<K> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { lines: Mutex::new(Lines { next: 1, lines: HashMap::default() }) })
    }

    /// Stands in line from its first poll on.
    pub(super) async fn lock(self: &Arc<Self>, key: &K) -> KeyGuard<K> {
        let mine = key.clone();
        let (number, holds) = self.lines.lock().wait(key);
        let place = Place { locks: Arc::clone(self), key: mine, number };
        if holds {
            return KeyGuard { place };
        }
        Waiting { place: Some(place) }.await
    }

    /// Takes the lock only where it is neither held nor waited for.
    pub(super) fn try_lock(self: &Arc<Self>, key: &K) -> Option<KeyGuard<K>> {
        let mine = key.clone();
        let number = self.lines.lock().take(key)?;
        Some(KeyGuard { place: Place { locks: Arc::clone(self), key: mine, number } })
    }

    /// How many keys are held.
    pub(super) fn held(&self) -> usize {
        self.lines.lock().lines.len()
    }
}

/// Who holds what and who waits for it.
struct Lines<K> {
    /// The number of the next who comes.
    next: u64,
    lines: HashMap<K, Line, RandomState>,
}

/// Who holds one key's lock, and who comes next.
struct Line {
    holder: u64,
    waiting: VecDeque<(u64, Option<Waker>)>,
}

/// What came of leaving, to be seen to when the mutex has been let go.
enum Left<K> {
    /// It held the lock, and the next in line holds it now: the waker of that one.
    HandedOver(Option<Waker>),
    /// It held the lock, and the lock is free now: the key, to be dropped.
    Free(Option<K>),
    /// It stood in line: its waker, to be dropped.
    Line(Option<Waker>),
}

impl<K: Hash + Eq + Clone> Lines<K> {
    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    fn hold(&mut self, key: &K) -> u64 {
        let number = self.number();
        self.lines.insert(key.clone(), Line { holder: number, waiting: VecDeque::new() });
        number
    }

    fn take(&mut self, key: &K) -> Option<u64> {
        (!self.lines.contains_key(key)).then(|| self.hold(key))
    }

    /// A number, and whether it holds the lock already.
    fn wait(&mut self, key: &K) -> (u64, bool) {
        let number = self.next;
        let Some(line) = self.lines.get_mut(key) else { return (self.hold(key), true) };
        line.waiting.push_back((number, None));
        self.next += 1;
        (number, false)
    }
}

impl<K: Hash + Eq> Lines<K> {
    /// Whether it holds the lock; else it is woken when it does. The old waker, to be dropped elsewhere.
    fn poll(&mut self, key: &K, number: u64, waker: &mut Option<Waker>) -> bool {
        let Some(line) = self.lines.get_mut(key) else { return false };
        if line.holder == number {
            return true;
        }
        if let Ok(at) = line.waiting.binary_search_by_key(&number, |(number, _)| *number) {
            std::mem::swap(&mut line.waiting[at].1, waker);
        }
        false
    }

    /// It holds no longer, or waits no longer.
    fn leave(&mut self, key: &K, number: u64) -> Left<K> {
        let Some(line) = self.lines.get_mut(key) else { return Left::Free(None) };
        if line.holder != number {
            let at = line.waiting.binary_search_by_key(&number, |(number, _)| *number);
            let place = at.ok().and_then(|at| line.waiting.remove(at));
            return Left::Line(place.and_then(|(_, waker)| waker));
        }
        if let Some((next, waker)) = line.waiting.pop_front() {
            line.holder = next;
            return Left::HandedOver(waker);
        }
        Left::Free(self.lines.remove_entry(key).map(|(key, _)| key))
    }
}

/// A place at a lock: it holds the lock or stands in line, until it is dropped.
struct Place<K: Hash + Eq> {
    locks: Arc<KeyLocks<K>>,
    key: K,
    number: u64,
}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        // The mutex is let go at the end of this line.
        let left = self.locks.lines.lock().leave(&self.key, self.number);
        match left {
            Left::HandedOver(Some(waker)) => quiet::wake(waker),
            Left::HandedOver(None) => {}
            Left::Free(key) => quiet::discard("a key", key),
            Left::Line(waker) => quiet::discard("a waker", waker),
        }
    }
}

/// Sleeps until it holds the lock.
struct Waiting<K: Hash + Eq> {
    place: Option<Place<K>>,
}

impl<K: Hash + Eq> Unpin for Waiting<K> {}

impl<K: Hash + Eq> Future for Waiting<K> {
    type Output = KeyGuard<K>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<KeyGuard<K>> {
        let place = self.place.as_ref().expect("it is not polled again once it is done");
        // Cloned and dropped outside of the mutex, because a waker is foreign code.
        let mut waker = Some(cx.waker().clone());
        let holds = place.locks.lines.lock().poll(&place.key, place.number, &mut waker);
        quiet::discard("a waker", waker);
        match holds.then(|| self.place.take()).flatten() {
            Some(place) => Poll::Ready(KeyGuard { place }),
            None => Poll::Pending,
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::task::noop_waker_ref;

    fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
        future.poll_unpin(&mut Context::from_waker(noop_waker_ref()))
    }

    #[test]
    fn nothing_is_left_of_a_key_that_nobody_holds() {
        let locks = KeyLocks::new();
        let first = locks.try_lock(&"a").expect("it is free");
        let mut second = Box::pin(locks.lock(&"a"));
        assert!(poll(&mut second).is_pending());
        let other = locks.try_lock(&"b").expect("another key");
        assert_eq!((locks.held(), *other.key()), (2, "b"));
        drop(first);
        let Poll::Ready(second) = poll(&mut second) else { panic!("it was handed over") };
        drop((second, other));
        assert_eq!(locks.held(), 0);
    }

    #[test]
    fn the_lock_is_handed_over_and_nobody_slips_in() {
        let locks = KeyLocks::new();
        let first = locks.try_lock(&1).expect("it is free");
        let mut second = Box::pin(locks.lock(&1));
        assert!(poll(&mut second).is_pending());
        drop(first);
        assert!(locks.try_lock(&1).is_none(), "the second holds it, though it has not woken up");
        let mut third = Box::pin(locks.lock(&1));
        assert!(poll(&mut third).is_pending());
        // It goes away without ever knowing.
        drop(second);
        assert!(poll(&mut third).is_ready());
        assert_eq!(locks.held(), 0);
    }

    #[test]
    fn a_future_that_was_never_polled_is_not_in_line() {
        let locks = KeyLocks::new();
        let never = Box::pin(locks.lock(&1));
        assert!(locks.try_lock(&1).is_some());
        drop(never);
        assert_eq!(locks.held(), 0);
    }

    /// Against all small histories: holders never overlap, those who stay are served in the order in which they came.
    #[test]
    fn every_history_of_four_is_served_in_order() {
        // Each digit: who leaves next (holding or waiting); four come first, in order.
        for history in 0..4_u32.pow(4) {
            let locks = KeyLocks::new();
            let mut places: Vec<_> = (0..4).map(|_| Some(Box::pin(locks.lock(&())))).collect();
            let mut held: Vec<Option<KeyGuard<()>>> = vec![None, None, None, None];
            let settle = |places: &mut Vec<Option<_>>, held: &mut Vec<Option<_>>| {
                for (place, held) in places.iter_mut().zip(held) {
                    if let Some(Poll::Ready(guard)) = place.as_mut().map(poll) {
                        (*held, *place) = (Some(guard), None);
                    }
                }
            };
            settle(&mut places, &mut held);
            for step in 0..4 {
                let who = (history / 4_u32.pow(step) % 4) as usize;
                (held[who], places[who]) = (None, None);
                settle(&mut places, &mut held);
                let holders: Vec<_> = (0..4).filter(|one| held[*one].is_some()).collect();
                let first_in_line = (0..4).find(|one| places[*one].is_some());
                assert!(holders.len() <= 1);
                match (holders.first(), first_in_line) {
                    (Some(holder), Some(waiter)) => assert!(*holder < waiter),
                    (None, Some(_)) => panic!("it is free, and somebody waits: {history}"),
                    _ => {}
                }
            }
            drop((places, held));
            assert_eq!(locks.held(), 0);
        }
    }
}
