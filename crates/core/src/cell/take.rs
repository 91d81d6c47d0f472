//! Reading. The caller holds RUN, for which `own` stands.

use super::halves::Own;
use super::mail_cell::{MailCell, Runner};
use crate::clock::{self, Instant};
use crate::counters::Fate;
use crate::dead_letter::DeadCause;
use crate::lane::Lane;
use crate::lanes::Lanes;
use crate::options::Meta;
use crate::quiet;
use crate::sync::Ordering;
use crate::word;
use std::sync::Arc;

impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// The next message; `None` when nothing waits.
    #[inline(always)]
    pub fn take(self: &Arc<Self>, own: &mut Own<M>) -> Option<M> {
        self.take_unless(own, 0)
    }

    /// Like `take`, but takes nothing queued after one of `alarms` was set.
    #[inline(always)]
    pub fn take_unless(self: &Arc<Self>, own: &mut Own<M>, alarms: u32) -> Option<M> {
        if let Some(message) = self.take_calmly(own) {
            return Some(message);
        }
        self.take_slow(own, alarms)
    }

    /// The next message of the batch, if that is sure to be the next of all, without a look at anything that senders write.
    #[inline(always)]
    pub fn take_calmly(self: &Arc<Self>, own: &mut Own<M>) -> Option<M> {
        // Under a policy even a message that carries nothing has its weight.
        if !self.word.is_calm() || own.side_pending {
            return None;
        }
        let message = own.lanes.normal.pop_plain()?;
        own.took_plain();
        self.took(own);
        Some(message)
    }

    #[inline(always)]
    fn took(self: &Arc<Self>, own: &Own<M>) {
        let out = own.out();
        // Pairs with the senders' acquire when the mailbox looks full: the slot is empty before it is seen free.
        self.tally.out.store(out, Ordering::Release);
        if out >= self.tally.wake_at.load(Ordering::Relaxed) {
            self.give_back();
        }
    }

    #[inline(never)]
    fn take_slow(self: &Arc<Self>, own: &mut Own<M>, alarms: u32) -> Option<M> {
        let bits = self.word.look();
        if own.is_empty() {
            if bits & (word::DATA | word::WAIT) == 0 {
                return None;
            }
            self.refill(own);
            if self.word.bits() & alarms != 0 {
                return None;
            }
            // What most refills bring: a batch of plain messages.
            if let Some(message) = self.take_calmly(own) {
                return Some(message);
            }
        }
        let mut now = None;
        loop {
            let bits = self.word.bits();
            // DATA without SIDE: of a batch that only the low lane is left of, something may have come in before it.
            let passed_by = own.lanes.normal.is_empty() && bits & word::DATA != 0;
            if bits & word::SIDE != 0 || own.is_empty() || passed_by {
                self.refill(own);
                if self.word.bits() & alarms != 0 {
                    return None;
                }
            }
            let Some(lane) = own.order.next(&own.lanes) else {
                own.side_pending = false;
                return None;
            };
            let Some((message, meta)) = own.lanes.lane_mut(lane).pop() else { continue };
            own.side_pending = own.lanes.side_len() != 0;
            own.hand_lane = lane;
            if let Some(message) = self.leave_lane(own, lane, message, meta, &mut now) {
                return Some(message);
            }
        }
    }

    /// The next message of the control lane, whatever waits in the others.
    pub fn take_order(self: &Arc<Self>, own: &mut Own<M>) -> Option<M> {
        self.take_order_unless(own, 0)
    }

    /// Like `take_order`, but takes nothing queued after one of `alarms` was set.
    pub fn take_order_unless(self: &Arc<Self>, own: &mut Own<M>, alarms: u32) -> Option<M> {
        let mut now = None;
        loop {
            if self.word.bits() & word::SIDE != 0 {
                self.refill(own);
                if self.word.bits() & alarms != 0 {
                    return None;
                }
            }
            own.lanes.lane(Lane::Control).filter(|l| !l.is_empty())?;
            let (message, meta) = own.lanes.lane_mut(Lane::Control).pop()?;
            own.side_pending = own.lanes.side_len() != 0;
            own.hand_lane = Lane::Control;
            if let Some(message) = self.leave_lane(own, Lane::Control, message, meta, &mut now) {
                return Some(message);
            }
        }
    }

    /// The first message of the control lane for which `which` holds, whatever waits before it and in the other lanes.
    pub fn take_order_where(
        self: &Arc<Self>,
        own: &mut Own<M>,
        mut which: impl FnMut(&M) -> bool,
    ) -> Option<M> {
        if self.word.bits() & word::SIDE != 0 {
            self.refill(own);
        }
        let index = own.lanes.lane(Lane::Control)?.iter().position(&mut which)?;
        let message = self.take_at(own, Lane::Control, index);
        own.side_pending = own.lanes.side_len() != 0;
        message
    }

    /// Accounts for a message that was taken out of the batch; `None` when it had expired.
    fn leave_lane(
        self: &Arc<Self>,
        own: &mut Own<M>,
        lane: Lane,
        message: M,
        meta: Meta,
        now: &mut Option<Instant>,
    ) -> Option<M> {
        own.left(lane);
        if lane != Lane::Control {
            if let Some(settings) = &self.settings {
                settings.weight_left(meta.weight());
            }
            self.took(own);
        }
        if let Some(due) = meta.deadline()
            && due <= *now.get_or_insert_with(clock::now)
        {
            self.word.lock().ledger().count(Fate::Expired, 1);
            self.bury(message, meta, DeadCause::Expired);
            return None;
        }
        if own.hand.is_some() || !meta.is_plain() {
            own.put_hand((!meta.is_plain()).then(|| Box::new(meta)));
        }
        Some(message)
    }

    /// Puts the message in hand, or a copy of it, back at the front of its lane for another attempt, with what it carried.
    /// It is in no sense sent again. (It takes up room again, which others may have been given meanwhile: there may be one
    /// message more than the bound allows, and none comes in before there is room anew.)
    pub fn put_back(&self, own: &mut Own<M>, message: M, lane: Lane, attempts: u32) {
        let meta = own.hand.take().map_or_else(Meta::default, |m| *m).with_attempts(attempts);
        if lane != Lane::Control
            && let Some(settings) = &self.settings
        {
            settings.weight_back(meta.weight());
        }
        own.lanes.lane_mut(lane).push_front(message, meta);
        own.side_pending = own.lanes.side_len() != 0;
        match lane {
            Lane::Normal => own.normal_out -= 1,
            Lane::Control => own.side_base[0] = own.side_base[0].wrapping_sub(1),
            Lane::High => {
                own.side_base[1] = own.side_base[1].wrapping_sub(1);
                own.side_out -= 1;
            }
            Lane::Low => {
                own.side_base[2] = own.side_base[2].wrapping_sub(1);
                own.side_out -= 1;
            }
        }
        self.tally.out.store(own.out(), Ordering::Release);
    }

    /// Selective reading: takes out of the batch the message at `index` of `lane`; `None` when it has expired.
    pub fn take_at(self: &Arc<Self>, own: &mut Own<M>, lane: Lane, index: usize) -> Option<M> {
        let (message, meta) = own.lanes.lane_mut(lane).remove(index)?;
        // What the handler had in hand before, it still has.
        let hand = own.hand.take();
        let message = self.leave_lane(own, lane, message, meta, &mut None);
        if hand.is_some() || own.hand.is_some() {
            own.put_hand(hand);
        }
        message
    }

    /// Throws out every waiting message for which `which` holds; how many.
    pub fn purge(self: &Arc<Self>, own: &mut Own<M>, mut which: impl FnMut(&M) -> bool) -> u64 {
        // Unbounded: what is in the batch can be looked at without the lock.
        let much = {
            let mut g = self.word.lock();
            let fresh = own.lanes.is_empty();
            let much = own.lanes.take_quickly(&mut g.lanes, usize::MAX);
            own.lends(g.lanes.buffer_bytes());
            g.clear(word::SIDE | word::DATA);
            let since = std::mem::take(&mut g.stamp);
            self.note_since(fresh, since);
            much
        };
        own.lanes.append(much);
        own.side_pending = own.lanes.side_len() != 0;
        let mut purged = 0;
        for lane in Lanes::<M>::ORDER {
            if own.lanes.lane(lane).is_none_or(crate::lanes::Fifo::is_empty) {
                continue;
            }
            // Should `which` panic, this lane is untouched and those before it are accounted for.
            let out = own.lanes.lane_mut(lane).extract(|m, _| which(m));
            out.iter().for_each(|_| own.left(lane));
            self.tally.out.store(own.out(), Ordering::Release);
            if !out.is_empty() {
                self.count(Fate::Purged, out.len() as u64);
            }
            for (message, meta) in out {
                if lane != Lane::Control
                    && let Some(settings) = &self.settings
                {
                    settings.weight_left(meta.weight());
                }
                purged += 1;
                quiet::discard("a purged message", message);
                quiet::discard("a span", meta);
            }
        }
        if purged > 0 {
            self.end_turn();
            quiet::run(
                "a subscriber",
                || tracing::debug!(mailbox = %self.label(), purged, "messages purged"),
            );
        }
        purged
    }
}
