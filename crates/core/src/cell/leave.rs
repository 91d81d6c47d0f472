//! Giving RUN up.

use super::after::Aftermath;
use super::halves::{Own, Shared};
use super::mail_cell::{MailCell, Runner};
use crate::later;
use crate::quiet;
use crate::word::{self, HasStateWord, RunGuard, Senders, StateWord};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::task::Waker;

#[expect(unsafe_code, reason = "permits rely on the word")]
// SAFETY: the state word is a field, which nothing here replaces or lends but as a state word.
unsafe impl<M: Send + 'static, X: Runner<M> + ?Sized> HasStateWord for MailCell<M, X> {
    type Locked = Shared<M>;
    type Running = Own<M>;
    fn word(&self) -> &StateWord<Shared<M>, Own<M>> {
        &self.word
    }
    #[cold]
    fn abandoned(permit: RunGuard<Self>) {
        let cell = Arc::clone(permit.cell());
        if cfg!(shuttle) && std::thread::panicking() {
            // At a schedule's end the tasks that are left are unwound where they stand: a lock of theirs is given back by none.
            return permit.give_up();
        }
        // Should anything unwind before RUN is given up, this is not tried again.
        let permit = ManuallyDrop::new(permit);
        let mut after = Aftermath::default();
        let mut g = cell.word.lock();
        if g.bits() & word::WAIT != 0 {
            cell.see(&mut g);
            cell.grant(&mut g, &mut after);
        }
        // Something may be left of a batch: a reader that looks in vain clears it.
        g.set(word::DATA);
        after.owes = ManuallyDrop::into_inner(permit).leave_quietly_with(&mut g);
        if after.owes {
            after.parked = g.take_parked();
        }
        drop(g);
        cell.afterwards(after);
        cell.settle_if_closed();
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// Gives RUN up; `kept` as for [`StateWord::leave`]. Senders who wait get what room there is first.
    ///
    /// # Safety
    /// RUN is the caller's, no [`RunGuard`] stands for it, and no reference to the reader's half is alive.
    #[expect(unsafe_code, reason = "the caller's word that RUN is theirs to give up")]
    #[inline(always)]
    pub unsafe fn leave(self: &Arc<Self>, kept: u32) {
        // SAFETY: the caller's.
        if unsafe { self.leave_owing(kept, Senders::Unserved) } {
            self.schedule();
        }
    }

    /// Like `leave`, but leaves an owed wake-up to the caller. True: SCHED is set, and only the caller can make that wake-up.
    /// [`Senders::Later`] leaves the senders who wait to the reader's next turn, if one is to come: while the mailbox is more
    /// than half full they are not woken for a few slots.
    ///
    /// # Safety
    /// As [`MailCell::leave`].
    #[expect(unsafe_code, reason = "the caller's word that RUN is theirs to give up")]
    #[inline(always)]
    #[must_use]
    pub unsafe fn leave_owing(self: &Arc<Self>, kept: u32, senders: Senders) -> bool {
        // SAFETY: the caller's.
        match unsafe { self.word.leave(kept, senders) } {
            word::Left::Asleep => false,
            word::Left::Owes => true,
            // SAFETY: the caller's; RUN has not been given up yet.
            word::Left::SendersWait => unsafe { self.leave_slow(kept) },
        }
    }

    /// # Safety
    /// As [`MailCell::leave`].
    #[expect(unsafe_code, reason = "the caller's word that RUN is theirs to give up")]
    #[cold]
    #[inline(never)]
    unsafe fn leave_slow(self: &Arc<Self>, kept: u32) -> bool {
        self.give_back();
        // SAFETY: the caller's.
        unsafe { self.word.leave(kept, Senders::Served) == word::Left::Owes }
    }

    /// Gives RUN up by its value, as [`MailCell::leave`] does.
    pub fn leave_by(permit: RunGuard<Self>, kept: u32) {
        let cell = Arc::clone(permit.cell());
        if Self::leave_owing_by(permit, kept, Senders::Unserved) {
            cell.schedule();
        }
    }

    /// Gives RUN up by its value, as [`MailCell::leave_owing`] does.
    #[expect(unsafe_code, reason = "the value is RUN")]
    #[must_use]
    pub fn leave_owing_by(permit: RunGuard<Self>, kept: u32, senders: Senders) -> bool {
        let cell = Arc::clone(permit.cell());
        permit.give_up();
        // SAFETY: RUN was the value's, which nothing is lent from any more.
        unsafe { cell.leave_owing(kept, senders) }
    }

    /// For a receiver: goes to sleep, unless something came. The waker is one cloned before the lock. The permit comes back
    /// where there is something to read, or the mailbox has closed; else RUN was given up under the lock, and the value that
    /// stood for it with it: whatever the old waker does in its drop, no reader is left that believes itself awake.
    pub(crate) fn park(self: &Arc<Self>, permit: RunGuard<Self>, waker: Waker) -> Option<RunGuard<Self>> {
        let mut g = self.word.lock();
        let mut after = Aftermath::default();
        if g.bits() & word::WAIT != 0 {
            self.see(&mut g);
            self.grant(&mut g, &mut after);
        }
        let (old, kept) = if g.bits() & (word::DATA | word::CLOSED) == 0 {
            permit.leave_with(&mut g);
            (g.cold().parked.replace(waker), None)
        } else {
            (Some(waker), Some(permit))
        };
        drop(g);
        self.afterwards(after);
        quiet::discard("a waker", old);
        kept
    }

    /// Gives RUN up after a mere look, and does what others could not do meanwhile: wakes, or settles a mailbox that was
    /// closed under the look.
    ///
    /// # Safety
    /// RUN is the caller's, no [`RunGuard`] stands for it, and no reference to the reader's half is alive.
    #[expect(unsafe_code, reason = "the caller's word that RUN is theirs to give up")]
    pub unsafe fn leave_quietly(self: &Arc<Self>) {
        // SAFETY: the caller's.
        let permit = unsafe { RunGuard::assume(self) };
        Self::leave_quietly_by(permit);
    }

    /// Gives RUN up by its value, as [`MailCell::leave_quietly`] does.
    pub fn leave_quietly_by(permit: RunGuard<Self>) {
        let cell = Arc::clone(permit.cell());
        if permit.leave_quietly() {
            let parked = cell.word.lock().take_parked();
            cell.wake(parked);
        }
        cell.settle_if_closed();
    }

    /// Settles a mailbox that was closed while RUN was taken for a look.
    pub(super) fn settle_if_closed(self: &Arc<Self>) {
        if self.word.bits_acquire() & (word::CLOSED | word::LEASED) == word::CLOSED {
            later::in_turn(self, |cell| _ = cell.settle());
        }
    }
}
