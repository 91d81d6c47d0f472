//! What happened last, for any number of readers at their own pace: a ring.
//!
//! An event is written once, however many read it. A reader that is slower than the ring is long is told how many events it
//! has missed.

use crate::sync::Mutex;
use restante_core::quiet;
use restante_core::shield::shield;
use std::collections::VecDeque;
use std::fmt;
use tokio::sync::Notify;

/// A monitor was too slow: so many events are gone. Take a new snapshot, or go on with what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{count} events were missed")]
pub struct Missed {
    /// How many.
    pub count: u64,
}

/// What a reader finds at its cursor.
enum Look<E> {
    Found(Result<E, Missed>),
    /// As yet.
    Nothing,
    /// And there will be nothing any more.
    Over,
}

/// A ring of events.
pub(super) struct Feed<E> {
    ring: Mutex<Ring<E>>,
    changed: Notify,
}

struct Ring<E> {
    events: VecDeque<E>,
    /// The number of the event that comes next.
    next: u64,
    /// None comes any more.
    over: bool,
}

impl<E: Clone> Feed<E> {
    pub(super) fn new() -> Self {
        Self {
            ring: Mutex::new(Ring { events: VecDeque::new(), next: 0, over: false }),
            changed: Notify::new(),
        }
    }

    /// Adds an event; which one had to go for it.
    pub(super) fn push(&self, event: E, capacity: usize) -> Option<E> {
        let mut ring = self.ring.lock();
        let old = if ring.events.len() >= capacity { ring.events.pop_front() } else { None };
        ring.events.push_back(event);
        ring.next += 1;
        old
    }

    /// No event comes any more. (Who waits is to be woken.)
    pub(super) fn end(&self) {
        self.ring.lock().over = true;
    }

    /// Wakes who waits for events. Not under a lock: wakers are the user's.
    pub(super) fn ring_bell(&self) {
        quiet::run("a waker", || self.changed.notify_waiters());
    }

    /// The number of the event that comes next.
    pub(super) fn next(&self) -> u64 {
        self.ring.lock().next
    }

    /// The event that the cursor points at.
    pub(super) fn read(&self, cursor: &mut u64) -> Option<Result<E, Missed>> {
        match self.look(cursor) {
            Look::Found(read) => Some(read),
            Look::Nothing | Look::Over => None,
        }
    }

    fn look(&self, cursor: &mut u64) -> Look<E> {
        let ring = self.ring.lock();
        let oldest = ring.oldest();
        if *cursor < oldest {
            let count = oldest - *cursor;
            *cursor = oldest;
            return Look::Found(Err(Missed { count }));
        }
        match ring.at(*cursor) {
            Some(event) => {
                *cursor += 1;
                Look::Found(Ok(event.clone()))
            }
            None if ring.over => Look::Over,
            None => Look::Nothing,
        }
    }

    /// The event that the cursor points at, or what is missed, once there is one; `None`: there will be none any more.
    ///
    /// # Cancel safety
    /// The cursor moves when the future is done, and not before.
    pub(super) async fn wait(&self, cursor: &mut u64) -> Option<Result<E, Missed>> {
        loop {
            // Listen first, then look: or the event could come in between. (Who rings reaches all that have been made by then,
            // polled or not.)
            let rung = self.changed.notified();
            match self.look(cursor) {
                Look::Found(read) => return Some(read),
                Look::Over => return None,
                Look::Nothing => shield(rung).await,
            }
        }
    }

    /// All events from this number on; `None` where some of them are gone.
    pub(super) fn since(&self, number: u64) -> Option<Vec<E>> {
        let ring = self.ring.lock();
        (number >= ring.oldest()).then(|| (number..).map_while(|n| ring.at(n)).cloned().collect())
    }
}

impl<E> Ring<E> {
    fn oldest(&self) -> u64 {
        self.next - self.events.len() as u64
    }

    fn at(&self, number: u64) -> Option<&E> {
        let at = number.checked_sub(self.oldest())?;
        self.events.get(usize::try_from(at).ok()?)
    }
}

impl<E> fmt::Debug for Feed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_reader_reads_in_order_and_is_told_what_it_missed() {
        let feed = Feed::new();
        let mut cursor = feed.next();
        assert_eq!(feed.read(&mut cursor), None);
        assert!((0..3).all(|n| feed.push(n, 3).is_none()));
        assert_eq!(feed.since(0), Some(vec![0, 1, 2]));
        assert_eq!(feed.read(&mut cursor), Some(Ok(0)));
        assert_eq!((feed.push(3, 3), feed.push(4, 3)), (Some(0), Some(1)));
        assert_eq!((feed.since(1), feed.since(2)), (None, Some(vec![2, 3, 4])));
        assert_eq!(feed.read(&mut cursor), Some(Err(Missed { count: 1 })));
        assert_eq!([2, 3, 4].map(|n| feed.read(&mut cursor) == Some(Ok(n))), [true; 3]);
        assert_eq!(feed.read(&mut cursor), None);
    }
}
