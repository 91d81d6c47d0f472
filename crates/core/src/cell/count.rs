//! The counters, as the reader keeps them and as others read them.

use super::halves::Own;
use super::mail_cell::{MailCell, Runner};
use crate::clock;
use crate::counters::{Fate, Ledger, Stats};
use crate::sync::Ordering;
use crate::word::RunGuard;
use std::sync::Arc;
use std::time::Duration;

impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// How many messages were handled to their end so far.
    pub fn handled_so_far(&self) -> u64 {
        self.tally.handled.load(Ordering::Relaxed)
    }

    /// One more message was handled to its end.
    #[inline(always)]
    pub fn handled(&self) {
        let n = self.tally.handled.load(Ordering::Relaxed);
        self.tally.handled.store(n + 1, Ordering::Relaxed);
    }

    /// One more call was taken from its caller's hand and did not pass through a lane.
    #[inline(always)]
    pub fn came_inline(&self) {
        let n = self.tally.inline.load(Ordering::Relaxed);
        self.tally.inline.store(n + 1, Ordering::Relaxed);
    }

    /// A message was put back for another attempt.
    #[cold]
    pub fn redelivered(&self) {
        self.word.lock().ledger().redelivered += 1;
    }

    /// Counts messages that ended otherwise.
    #[cold]
    pub fn count(&self, fate: Fate, n: u64) {
        self.word.lock().ledger().count(fate, n);
    }

    /// The exact counters, with what is queued counted one by one; `None` while a handler or receiver is at work.
    pub fn audit(self: &Arc<Self>) -> Option<Ledger> {
        let mut permit = RunGuard::enter_quietly(self)?;
        let (_, own) = permit.split();
        let ledger = self.audit_as_reader(own);
        Self::leave_quietly_by(permit);
        Some(ledger)
    }

    /// Like `audit`, for the holder of RUN.
    pub fn audit_as_reader(&self, own: &Own<M>) -> Ledger {
        let g = self.word.lock();
        let mut ledger = g.cold.as_ref().map(|c| c.ledger).unwrap_or_default();
        ledger.sent += g.room.sent()
            + u64::from(self.tally.control.load(Ordering::Relaxed))
            + self.tally.inline.load(Ordering::Relaxed);
        ledger.handled = self.tally.handled.load(Ordering::Relaxed);
        ledger.in_hand = u64::from(own.in_hand);
        ledger.queued = (own.lanes.len() + g.lanes.len()) as u64;
        ledger
    }
}

impl<M: 'static, X: ?Sized> MailCell<M, X> {
    /// See [`Stats`].
    pub fn stats(&self) -> Stats {
        let handled = self.tally.handled.load(Ordering::Acquire);
        let inline = self.tally.inline.load(Ordering::Acquire);
        let mut g = self.word.lock();
        let weight_out = self.settings.as_ref().map_or(0, |s| s.weight_out.load(Ordering::Acquire));
        g.room.see(self.tally.out.load(Ordering::Acquire), weight_out);
        let depth = g.room.len();
        let shared = g.lanes.len() as u64;
        let mut stamp = self.tally.batch_since.load(Ordering::Relaxed);
        if depth <= shared || stamp == 0 {
            if shared > 0 && g.stamp == 0 {
                g.stamp = clock::coarse_ms_u32();
            }
            stamp = g.stamp;
        }
        let mut ledger = g.cold.as_ref().map(|c| c.ledger).unwrap_or_default();
        ledger.sent += g.room.sent() + u64::from(self.tally.control.load(Ordering::Relaxed)) + inline;
        ledger.handled = handled;
        ledger.queued = depth + g.lanes.control_len() as u64;
        ledger.in_hand = ledger.sent.saturating_sub(ledger.accounted());
        Stats {
            depth,
            weight: g.room.weight(),
            capacity: g.room.capacity(),
            oldest_age: (depth > 0 && stamp > 0)
                .then(|| Duration::from_millis(u64::from(clock::coarse_ms_u32().wrapping_sub(stamp)))),
            waiting_senders: g.waiters.as_ref().map_or(0, |w| w.len()),
            ledger,
        }
    }
}
