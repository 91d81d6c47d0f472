//! Senders who wait for room: first come, first served, one woken for each free slot, and the slot promised to it.
//!
//! A waiter whose ticket is no longer in the list has been granted its slot (or the mailbox has closed). One that goes
//! away with an unused grant gives the slot to the next: no permit is lost.
//!
//! The line's buffer follows its length: a line that was long once does not stay in memory when no sender waits any more.

use crate::room::Room;
use crate::slim::KEPT;
use std::collections::VecDeque;
use std::task::Waker;

/// A place in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

#[derive(Debug)]
struct Waiter {
    ticket: Ticket,
    weight: u32,
    waker: Waker,
}

/// A buffer that the line needs no more, to be dropped after the lock.
#[derive(Debug)]
pub(crate) struct Spare(#[expect(dead_code, reason = "for its drop")] VecDeque<Waiter>);

/// The line.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    line: VecDeque<Waiter>,
    next: u64,
}

impl Waiters {
    /// Whether no sender waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.line.len()
    }

    /// Joins the line at its end.
    pub(crate) fn enroll(&mut self, weight: u32, waker: Waker) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.line.push_back(Waiter { ticket, weight, waker });
        ticket
    }

    fn place(&self, ticket: Ticket) -> Option<usize> {
        self.line.binary_search_by_key(&ticket, |w| w.ticket).ok()
    }

    /// Whether this one still waits.
    pub(crate) fn holds(&self, ticket: Ticket) -> bool {
        self.place(ticket).is_some()
    }

    /// Still waiting: notes the waker of the latest poll and returns the old one, to be dropped outside the lock.
    /// `Err` gives the waker back: this ticket waits no more.
    pub(crate) fn refresh(&mut self, ticket: Ticket, waker: Waker) -> Result<Waker, Waker> {
        match self.place(ticket) {
            Some(i) => Ok(std::mem::replace(&mut self.line[i].waker, waker)),
            None => Err(waker),
        }
    }

    /// Leaves the line; `None` when the slot had been granted before.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Option<Waker> {
        let i = self.place(ticket)?;
        self.line.remove(i).map(|w| w.waker)
    }

    /// Promises free slots to those in front; the wakers are for after the lock.
    pub(crate) fn grant(&mut self, room: &mut Room, wakers: &mut Vec<Waker>) {
        if self.line.front().is_some_and(|w| room.fits(w.weight)) {
            wakers.reserve(self.line.len().min(64));
        }
        while self.line.front().is_some_and(|w| room.fits(w.weight)) {
            let Some(waiter) = self.line.pop_front() else { return };
            room.reserve(waiter.weight);
            wakers.push(waiter.waker);
        }
    }

    /// Sends everybody away: the mailbox has closed.
    pub(crate) fn dismiss(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.line).into_iter().map(|w| w.waker).collect()
    }

    /// A line that has become much shorter than it was moves to a buffer of twice its length; the old one comes back. (So the
    /// moves cost less than the removals before them.)
    pub(crate) fn slim(&mut self) -> Option<Spare> {
        let line = &mut self.line;
        (line.capacity() > KEPT && line.len() * 4 <= line.capacity()).then(|| {
            let mut fresh = VecDeque::with_capacity(line.len() * 2);
            fresh.append(line);
            Spare(std::mem::replace(line, fresh))
        })
    }

    /// Bytes that the line holds, used or not.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.line.capacity() * size_of::<Waiter>()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::Wake;

    struct Counts(AtomicUsize);
    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// The waker of the latest poll is the one that is woken; the one before it comes back.
    #[test]
    fn a_waiter_that_was_polled_again_is_woken_by_its_new_waker() {
        let [old, new] = [(); 2].map(|()| Arc::new(Counts(AtomicUsize::new(0))));
        let mut line = Waiters::default();
        let ticket = line.enroll(1, Waker::from(Arc::clone(&old)));
        let replaced = line.refresh(ticket, Waker::from(Arc::clone(&new))).expect("it still waits");
        assert!(replaced.will_wake(&Waker::from(Arc::clone(&old))));
        let mut wakers = Vec::new();
        line.grant(&mut Room::new(Some(1), None), &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
        assert_eq!((old.0.load(Relaxed), new.0.load(Relaxed)), (0, 1));
        assert!(line.refresh(ticket, Waker::noop().clone()).is_err(), "it waits no more");
    }

    /// Clause 1.7: the line's buffer follows its length, whether those who wait go by themselves, get room or are dismissed.
    #[test]
    fn the_line_gives_its_buffer_back_as_it_gets_shorter() {
        let full = |n: u64| {
            let mut line = Waiters::default();
            let tickets: Vec<_> = (0..n).map(|_| line.enroll(1, Waker::noop().clone())).collect();
            assert!(line.buffer_bytes() > 100_000 && line.slim().is_none());
            (line, tickets)
        };
        let (mut line, tickets) = full(10_000);
        let mut moves = 0;
        for ticket in &tickets[10..] {
            assert!(line.leave(*ticket).is_some());
            moves += usize::from(line.slim().is_some());
        }
        assert!(line.buffer_bytes() < 4096 && moves < 20, "{} bytes, {moves} moves", line.buffer_bytes());
        assert!(tickets[..10].iter().all(|t| line.holds(*t)) && line.len() == 10);
        let (mut line, _) = full(10_000);
        line.grant(&mut Room::new(None, None), &mut Vec::new());
        assert!(line.slim().is_some() && line.is_empty());
        assert_eq!(line.buffer_bytes(), 0);
        let (mut line, _) = full(10_000);
        assert_eq!(line.dismiss().len(), 10_000);
        assert_eq!(line.buffer_bytes(), 0);
        // A ticket is not used again.
        let late = line.enroll(1, Waker::noop().clone());
        assert_eq!(late, Ticket(10_000));
    }

    /// A short line keeps its buffer: senders who wait one at a time cost no allocation each.
    #[test]
    fn a_short_line_keeps_its_buffer() {
        let mut line = Waiters::default();
        let ticket = line.enroll(1, Waker::noop().clone());
        let bytes = line.buffer_bytes();
        line.leave(ticket);
        assert!(line.slim().is_none() && line.buffer_bytes() == bytes);
    }

    /// Clause 3.3: the line is served in its order. A light message does not overtake a heavy one that waits for its room, and
    /// a heavy one at the end does not keep the first from its slot.
    #[test]
    fn the_line_is_served_from_its_front_only() {
        let mut line = Waiters::default();
        let tickets = [8, 1].map(|weight| line.enroll(weight, Waker::noop().clone()));
        let mut wakers = Vec::new();
        let mut room = Room::new(None, Some(4));
        line.grant(&mut room, &mut wakers);
        assert!(wakers.is_empty() && tickets.iter().all(|t| line.holds(*t)), "the first does not fit");
        assert!(room.fits(4), "nothing was promised");
        let mut line = Waiters::default();
        let tickets = [1, 8].map(|weight| line.enroll(weight, Waker::noop().clone()));
        line.grant(&mut room, &mut wakers);
        assert_eq!((wakers.len(), tickets.map(|t| line.holds(t))), (1, [false, true]));
        assert!(room.fits(3) && !room.fits(4), "one is promised to the first");
    }

    /// Clause 1.7: three quarters must have gone before the line moves, to a buffer of twice its length; up to [`KEPT`] it stays
    /// where it is.
    #[test]
    fn the_line_moves_when_three_quarters_of_its_buffer_are_free() {
        let mut line = Waiters { line: VecDeque::with_capacity(400), next: 0 };
        let tickets: Vec<_> = (0..102).map(|_| line.enroll(1, Waker::noop().clone())).collect();
        assert_eq!(line.line.capacity(), 400);
        line.leave(tickets[0]);
        assert!(line.slim().is_none(), "101 of 400");
        line.leave(tickets[1]);
        assert!(line.slim().is_some(), "100 of 400");
        assert_eq!((line.len(), line.line.capacity()), (100, 200));
        for (capacity, moves) in [(KEPT, false), (KEPT + 1, true)] {
            let mut line = Waiters { line: VecDeque::with_capacity(capacity), next: 0 };
            line.enroll(1, Waker::noop().clone());
            assert_eq!((line.line.capacity(), line.slim().is_some()), (capacity, moves));
        }
    }
}
