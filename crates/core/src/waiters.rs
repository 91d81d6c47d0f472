//! Senders who wait for room: first come, first served, one woken for each free slot, and the slot promised to it.
//!
//! A waiter whose ticket is no longer in the list has been granted its slot (or the mailbox has closed). One that goes
//! away with an unused grant gives the slot to the next: no permit is lost.

use crate::room::Room;
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

/// The line.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    line: VecDeque<Waiter>,
    next: u64,
}

impl Waiters {
    /// Whether nobody waits.
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
        self.line.drain(..).map(|w| w.waker).collect()
    }
}
