//! The batch: what senders have queued goes over to the reader, and buffers go back.

use super::after::Aftermath;
use super::halves::Own;
use super::mail_cell::{Guard, MailCell, Runner};
use crate::sync::Ordering;
use crate::word::{self};
use std::sync::Arc;

impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// Becomes the reader and takes over what senders have queued, with one instruction. False when another holds RUN, who is
    /// left a note.
    ///
    /// # Safety
    /// As for [`StateWord::running`]: nothing else refers to the reader's half from here on, if RUN is taken.
    #[expect(unsafe_code, reason = "RUN and LOCK are taken in one")]
    #[inline]
    pub unsafe fn enter_and_refill(self: &Arc<Self>) -> bool {
        let Some(guard) = self.word.enter_locked() else { return false };
        // SAFETY: RUN has just been taken.
        let own = unsafe { self.word.running() };
        if own.is_empty() && guard.bits() & word::DATA != 0 {
            self.refill_locked(guard, own);
        }
        true
    }

    /// Takes over what senders have queued. True when there was anything.
    #[inline]
    pub fn refill(self: &Arc<Self>, own: &mut Own<M>) -> bool {
        if self.word.bits() & (word::DATA | word::WAIT) == 0 {
            return false;
        }
        let guard = self.word.lock();
        self.refill_locked(guard, own)
    }

    #[inline]
    fn refill_locked(self: &Arc<Self>, mut g: Guard<'_, M>, own: &mut Own<M>) -> bool {
        if self.settings.is_none()
            && g.bits() & (word::SIDE | word::WAIT) == 0
            && own.lanes.normal.is_empty()
            && g.lanes.side_len() == 0
        {
            // All there is lies in the normal lane: a swap.
            std::mem::swap(&mut own.lanes.normal, &mut g.lanes.normal);
            own.lends(g.lanes.normal.buffer_bytes());
            g.clear(word::DATA);
            let since = std::mem::take(&mut g.stamp);
            self.tally.batch_since.store(since, Ordering::Relaxed);
            return !own.lanes.normal.is_empty();
        }
        self.refill_slow(g, own)
    }

    #[inline(never)]
    fn refill_slow(self: &Arc<Self>, mut g: Guard<'_, M>, own: &mut Own<M>) -> bool {
        let limit = self.settings.as_ref().map_or(usize::MAX, |s| s.batch_limit());
        let any = !g.lanes.is_empty();
        let fresh = own.lanes.is_empty();
        let much = own.lanes.take_quickly(&mut g.lanes, limit);
        own.lends(g.lanes.buffer_bytes());
        own.side_pending =
            own.lanes.side_len() != 0 || much.as_ref().is_some_and(|much| much.side_len() != 0);
        // What is left in a side lane still goes before what is in the batch's lower ones.
        if g.lanes.side_len() == 0 {
            g.clear(word::SIDE);
        }
        let left = !g.lanes.is_empty();
        if left {
            g.set(word::DATA);
        } else {
            g.clear(word::DATA);
        }
        let since = std::mem::take(&mut g.stamp);
        if left {
            g.stamp = since;
        }
        self.note_since(fresh, since);
        let mut after = Aftermath::default();
        if g.bits() & word::WAIT != 0 {
            self.see(&mut g);
            self.grant(&mut g, &mut after);
        }
        drop(g);
        own.lanes.append(much);
        self.afterwards(after);
        any
    }

    /// Since when the oldest of the batch has waited: what was there before is older than what has come.
    pub(super) fn note_since(&self, fresh: bool, since: u32) {
        if fresh || self.tally.batch_since.load(Ordering::Relaxed) == 0 {
            self.tally.batch_since.store(since, Ordering::Relaxed);
        }
    }

    /// For selective reading: takes over all that senders have queued, however small the batches are kept otherwise: what
    /// is skipped must not stand in the way of what comes behind it. True when anything came.
    pub fn refill_all(self: &Arc<Self>, own: &mut Own<M>) -> bool {
        if self.word.bits() & (word::DATA | word::WAIT) == 0 {
            return false;
        }
        let mut g = self.word.lock();
        let any = !g.lanes.is_empty();
        let much = own.lanes.take_quickly(&mut g.lanes, usize::MAX);
        own.lends(g.lanes.buffer_bytes());
        g.clear(word::SIDE | word::DATA);
        let mut after = Aftermath::default();
        self.see(&mut g);
        self.grant(&mut g, &mut after);
        drop(g);
        own.lanes.append(much);
        own.side_pending = own.lanes.side_len() != 0;
        self.afterwards(after);
        any
    }

    /// Gives buffers back that are mostly empty; bytes still held, by lanes, line and lists. (Senders do not wait until much is
    /// moved: what a long queue lies in stays, until the reader has taken it.)
    pub fn shrink(&self, own: &mut Own<M>) -> usize {
        own.lanes.shrink();
        own.lent = 0;
        let mut g = self.word.lock();
        // What is dropped is dropped after the lock.
        let lanes = g.lanes.slim();
        let line = g.waiters.as_mut().and_then(|w| w.slim());
        let lists = g.cold.as_mut().map(|cold| cold.slim());
        let held = own.lanes.buffer_bytes()
            + g.lanes.buffer_bytes()
            + g.waiters.as_ref().map_or(0, |w| w.buffer_bytes())
            + g.cold.as_ref().map_or(0, |cold| cold.buffer_bytes());
        drop(g);
        drop((lanes, line, lists));
        held
    }

    /// Bytes that the buffers hold: the reader's, and at most those that it has left with the senders.
    pub fn batch_bytes(&self, own: &Own<M>) -> usize {
        own.lanes.buffer_bytes() + own.lent as usize
    }
}
