//! Room that the reader has freed, given to the senders who wait for it.

use super::after::Aftermath;
use super::mail_cell::{Guard, MailCell, Runner};
use crate::sync::{Ordering, fence};
use crate::word;
use std::sync::Arc;

impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// Reads how far the reader is.
    pub(super) fn see(&self, g: &mut Guard<'_, M>) {
        let weight_out = self.settings.as_ref().map_or(0, |s| s.weight_out.load(Ordering::Acquire));
        g.room.see(self.tally.out.load(Ordering::Acquire), weight_out);
    }

    /// Free slots to those who wait.
    pub(super) fn grant(&self, g: &mut Guard<'_, M>, after: &mut Aftermath<M>) {
        let shared = &mut **g;
        let Some(waiters) = &mut shared.waiters else { return };
        waiters.grant(&mut shared.room, &mut after.wakers);
        after.spare = waiters.slim().or(after.spare.take());
        if waiters.is_empty() {
            self.nobody_waits(g);
        } else {
            self.somebody_waits(g);
        }
    }

    pub(super) fn somebody_waits(&self, g: &mut Guard<'_, M>) {
        g.set(word::WAIT);
        // Not before the next slot is free; with hysteresis, so that a fast reader does not wake one at a time.
        self.tally.wake_at.store(g.room.half_empty_at(), Ordering::Relaxed);
    }

    pub(super) fn nobody_waits(&self, g: &mut Guard<'_, M>) {
        g.clear(word::WAIT);
        self.tally.wake_at.store(u64::MAX, Ordering::Relaxed);
    }

    /// A plain receiver may stay awake for long after it has freed a slot, without looking at WAIT once more. So either it
    /// sees WAIT, or the sender that set WAIT sees the slot: the receiver's fence is in [`MailCell::end_look`].
    pub(super) fn look_again(self: &Arc<Self>, seen: u64) {
        fence(Ordering::SeqCst);
        if self.tally.out.load(Ordering::Acquire) == seen {
            return;
        }
        self.give_back();
    }

    /// Gives room back to those who wait for it.
    #[cold]
    #[inline(never)]
    pub(super) fn give_back(self: &Arc<Self>) {
        let mut g = self.word.lock();
        let mut after = Aftermath::default();
        self.see(&mut g);
        self.grant(&mut g, &mut after);
        drop(g);
        self.afterwards(after);
    }

    /// At the end of a turn: slow handlers must not make senders wait for half a mailbox.
    #[inline]
    pub fn end_turn(self: &Arc<Self>) {
        if self.word.bits() & word::WAIT != 0 {
            self.give_back();
        }
    }

    /// For readers that may not return soon: hands free slots to waiting senders.
    pub(crate) fn end_look(self: &Arc<Self>) {
        // Pairs with the fence of `look_again`.
        fence(Ordering::SeqCst);
        self.end_turn();
    }
}
