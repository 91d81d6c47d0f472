//! The waits that a sweep watches over: a list of the slots whose callers wait with the default limit, one per runtime.
//!
//! The list follows what waits now. A caller that goes pending sees to it that its slot has an entry ([`Watched::enlist`]);
//! the sweep, at each tick, drops the entries of slots at which no caller waits any more. So a burst of a million calls costs
//! the sweep one look at each, and a slot that is used a thousand times between two ticks is entered once.
//!
//! Of each slot, [`Watched`] says which sweep watches it, since which epoch, and which entry is its own:
//!
//! ```text
//!   unlisted (ticket n) ── the caller: enlist ──> listed (ticket n + 1) ── its sweep: unlist ──> unlisted (ticket n + 1)
//!          ^                                        │        ^                                        │
//!          └── the caller: another sweep (n + 2) ───┘        └──── its sweep: it waits after all ─────┘
//! ```
//!
//! Who may change what: the one caller of a slot stores the sweep, the epoch and a new ticket. A sweep takes the mark
//! "listed" off, or puts it on again, by an exchange that names the ticket of an entry that it holds. What that needs:
//! 1. A slot has one valid entry at most, that with its present ticket. (Else entries pile up where a slot goes to and fro
//!    between two runtimes.) An entry with another ticket is dropped wherever it is found.
//! 2. The caller publishes its wait and then looks whether the slot is listed; the sweep takes the mark off and then looks
//!    whether the slot waits. Both by sequentially consistent accesses, so that at least one of them sees the other. (Else
//!    a wait is in no list, and its limit is not kept.)
//! 3. A sweep goes to sleep only with an empty list, and looks into it once more after it has said so. An entry is made
//!    before its maker looks whether the sweep is armed.
//! 4. Where another sweep is to watch, the epoch is taken away first and set last. (Else a sweep reads the other's epoch for
//!    one of its own.)

use crate::slot::{Seen, SlotPtr};
use restante_core::sync::{AtomicU16, AtomicU32, Mutex, Ordering, fence};

/// Which sweep watches the wait at a slot, and since when.
pub(crate) struct Watched {
    /// Its name; 0: none so far.
    sweep: AtomicU32,
    /// Its epoch when the wait began, or [`NEVER`].
    epoch: AtomicU16,
    /// The ticket of the slot's entry; its lowest bit says that this entry is in the list.
    ticket: AtomicU16,
}

/// In the place of an epoch: no sweep watches.
const NEVER: u16 = 1 << 15;
/// The bits of a sweep's epoch that are kept: enough for two hours, where five seconds are the limit.
const EPOCH: u16 = NEVER - 1;
/// The entry with this ticket is in the list.
const LISTED: u16 = 1;
/// In a sweep's name: this runtime's sweep does not watch, and the wait is counted for the runtime all the same.
const UNSWEPT: u32 = 1 << 31;

#[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
#[inline(always)]
const fn short(epoch: u32) -> u16 {
    epoch as u16 & EPOCH
}

impl Watched {
    pub(crate) fn new() -> Self {
        Self { sweep: AtomicU32::new(0), epoch: AtomicU16::new(NEVER), ticket: AtomicU16::new(0) }
    }

    /// The caller's wait begins: this sweep is to watch, from its present epoch on.
    #[inline(always)]
    pub(crate) fn begin(&self, sweep: u32, epoch: u32) {
        if self.sweep.load(Ordering::Relaxed) != sweep {
            self.turn_to(sweep);
        }
        self.epoch.store(short(epoch), Ordering::Release);
    }

    /// The caller's wait begins, and no sweep is to watch. `name`: that of the runtime for which it is counted, or 0.
    #[inline(always)]
    pub(crate) fn none(&self, name: u32) {
        self.epoch.store(NEVER, Ordering::Release);
        if name != 0 {
            self.turn_to(name | UNSWEPT);
        }
    }

    #[cold]
    fn turn_to(&self, sweep: u32) {
        // Rule 4; the release pairs with the acquire in `age`.
        self.epoch.store(NEVER, Ordering::Relaxed);
        // The entry that the other sweep may have is valid no more.
        self.ticket.store((self.ticket.load(Ordering::Relaxed) & !LISTED).wrapping_add(2), Ordering::Relaxed);
        self.sweep.store(sweep, Ordering::Release);
    }

    /// For how many epochs this sweep has watched; `None`: it does not.
    pub(crate) fn age(&self, sweep: u32, epoch: u32) -> Option<u16> {
        let since = self.epoch.load(Ordering::Acquire);
        if since == NEVER || self.sweep.load(Ordering::Acquire) != sweep {
            return None;
        }
        // Still that one: the epoch is that of this sweep (rule 4).
        if self.epoch.load(Ordering::Relaxed) != since {
            return None;
        }
        let age = short(epoch).wrapping_sub(since) & EPOCH;
        // A caller may have read a later epoch than its sweep has now.
        Some(if age > EPOCH / 2 { 0 } else { age })
    }

    /// Whether it waits, or waited last, in the runtime of this name.
    pub(crate) fn is_of(&self, name: u32) -> bool {
        let sweep = self.sweep.load(Ordering::Acquire);
        let counts = sweep & UNSWEPT != 0 || self.epoch.load(Ordering::Relaxed) != NEVER;
        counts && sweep & !UNSWEPT == name
    }

    /// The caller has published its wait: the ticket for an entry in the list of its sweep, unless it is there.
    #[inline(always)]
    pub(crate) fn enlist(&self) -> Option<u16> {
        let ticket = self.ticket.load(Ordering::SeqCst);
        if ticket & LISTED != 0 {
            return None;
        }
        let next = ticket.wrapping_add(2) | LISTED;
        // Only a sweep that puts the mark on again may come between, and its entry is valid no more then.
        self.ticket.store(next, Ordering::Relaxed);
        Some(next)
    }

    /// Takes the mark of the entry with this ticket off; false when another is valid.
    fn unlist(&self, ticket: u16) -> bool {
        self.exchange(ticket, ticket & !LISTED)
    }

    /// Puts it on again; false when the caller has made another entry meanwhile.
    fn relist(&self, ticket: u16) -> bool {
        self.exchange(ticket & !LISTED, ticket)
    }

    fn exchange(&self, from: u16, to: u16) -> bool {
        self.ticket.compare_exchange(from, to, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }
}

/// A slot in a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    slot: SlotPtr,
    ticket: u16,
}

impl Entry {
    pub(crate) fn new(slot: SlotPtr, ticket: u16) -> Self {
        Self { slot, ticket }
    }

    /// Looks at the slot, as [`SlotPtr::look`]; whether the entry is to stay.
    fn look(self, sweep: u32, epoch: u32, ticks: u16) -> bool {
        let watched = self.slot.watched();
        if watched.ticket.load(Ordering::Relaxed) != self.ticket {
            return false;
        }
        if self.slot.look(sweep, epoch, ticks) == Seen::Waits {
            return true;
        }
        // Rule 2: a caller may have begun to wait since.
        if !watched.unlist(self.ticket) {
            return false;
        }
        fence(Ordering::SeqCst);
        self.slot.look(sweep, epoch, ticks) == Seen::Waits && watched.relist(self.ticket)
    }
}

/// The list of one sweep.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<Vec<Entry>>);

impl Waits {
    fn lock(&self) -> impl std::ops::DerefMut<Target = Vec<Entry>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Enters a slot.
    #[cold]
    pub(crate) fn push(&self, entry: Entry) {
        self.lock().push(entry);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// How many entries there are.
    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Ends every wait that began more than `ticks` epochs before `epoch`, and drops what does not wait any more. The lock
    /// is not held while it looks: wakers are foreign code.
    pub(crate) fn sweep(&self, sweep: u32, epoch: u32, ticks: u16) {
        let mut out = Out { list: self, entries: std::mem::take(&mut *self.lock()) };
        out.entries.retain(|entry| entry.look(sweep, epoch, ticks));
    }
}

/// Entries that a sweep has out: they go back, whatever ends the sweep.
struct Out<'a> {
    list: &'a Waits,
    entries: Vec<Entry>,
}

impl Drop for Out<'_> {
    fn drop(&mut self) {
        let mut list = self.list.lock();
        // What came meanwhile is mostly less. The room of a burst is given back.
        std::mem::swap(&mut *list, &mut self.entries);
        list.append(&mut self.entries);
        if list.len() < list.capacity() / 4 {
            let len = list.len();
            list.shrink_to(len * 2);
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use crate::reply::Reply;
    use crate::slot::{Wait, pair};
    use std::task::{Context, Waker};

    /// A call that waits under this sweep. (Slots are used by all tests of the program: each has sweeps of its own.)
    fn waiting(sweep: u32, list: &Waits) -> (Reply<u8>, Wait<u8>) {
        let (slot, wait) = pair();
        let mut call = (Reply::new(slot), wait);
        wait_again(&mut call.1, sweep, list);
        call
    }

    fn wait_again(wait: &mut Wait<u8>, sweep: u32, list: &Waits) {
        wait.watch(sweep, 0);
        assert!(wait.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        if let Some(entry) = wait.entry() {
            list.push(entry);
        }
    }

    /// Issue 13, S5: what a burst has left behind is looked at once more, and then no more.
    #[test]
    fn the_list_follows_what_waits_now() {
        let list = Waits::default();
        let one = waiting(1001, &list);
        let burst: Vec<_> = (0..1000).map(|_| waiting(1001, &list)).collect();
        list.sweep(1001, 1, 20);
        assert_eq!(list.len(), 1001);
        drop(burst);
        list.sweep(1001, 2, 20);
        assert_eq!(list.len(), 1);
        assert!(list.lock().capacity() < 1001, "nor is its room kept");
        drop(one);
        list.sweep(1001, 3, 20);
        assert!(list.is_empty());
    }

    /// A slot is entered once, however many calls use it between two ticks, and wherever it goes between them.
    #[test]
    fn a_slot_has_one_entry() {
        let (one, two) = (Waits::default(), Waits::default());
        for _ in 0..10 {
            drop(waiting(1002, &one));
        }
        assert_eq!(one.len(), 1);
        let (_reply, mut wait) = waiting(1002, &one);
        for _ in 0..10 {
            wait_again(&mut wait, 1003, &two);
            wait_again(&mut wait, 1002, &one);
        }
        one.sweep(1002, 1, 20);
        two.sweep(1003, 1, 20);
        assert_eq!((one.len(), two.len()), (1, 0));
    }

    /// Clause 6.1: the epoch's few bits come round; what waits from before that is as old as it is.
    #[test]
    fn an_epoch_that_comes_round_makes_no_wait_older() {
        let watched = Watched::new();
        for begun in [0, 5, u32::from(EPOCH) - 3, u32::from(EPOCH), u32::MAX - 3] {
            watched.begin(1, begun);
            for age in [0, 1, 20, 21] {
                assert_eq!(watched.age(1, begun.wrapping_add(age)).map(u32::from), Some(age), "{begun}");
            }
            assert_eq!(
                watched.age(1, begun.wrapping_sub(1)),
                Some(0),
                "begun in an epoch that has just come"
            );
            assert_eq!(watched.age(2, begun), None);
        }
        watched.none(0);
        assert_eq!(watched.age(1, 30), None);
    }
}
