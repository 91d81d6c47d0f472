//! Closing: the mailbox takes nothing more, is drained, and is settled.

use super::after::Aftermath;
use super::halves::Own;
use super::mail_cell::{Guard, MailCell, Runner};
use crate::counters::Fate;
use crate::dead_letter::DeadCause;
use crate::error::closed_reason;
use crate::exit::ExitReason;
use crate::lane::Lane;
use crate::lanes::Lanes;
use crate::later;
use crate::monitor::Event;
use crate::on_close::{OnClose, ToldFirst};
use crate::quiet;
use crate::slim::slim;
use crate::sync::Ordering;
use crate::word::{self, RunGuard};
use std::sync::{Arc, Weak};
use std::task::Waker;

/// What is left to do when a mailbox has been closed.
struct Closing {
    /// The reader is to be woken, by this waker where it is a parked receiver.
    pub(super) owes: bool,
    pub(super) parked: Option<Waker>,
    /// Of those who waited for room.
    pub(super) wakers: Vec<Waker>,
    /// There is a reader, which settles it when it goes.
    pub(super) leased: bool,
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// Ends sending and tells the senders who wait. A reader can still read what is queued; without a reader it is
    /// dead-lettered. False when the mailbox was closed already.
    ///
    /// The mailbox takes nothing any more when this returns. The rest has its turn, where this is deep within other ends.
    pub fn close(self: &Arc<Self>, reason: ExitReason) -> bool {
        let Some(closing) = self.begin_closing(reason) else { return false };
        later::in_turn(self, |cell| cell.go_on_closing(closing));
        true
    }

    /// Closes a mailbox whose last handle has gone, by who has its turn already.
    pub(crate) fn close_unreachable(self: &Arc<Self>) {
        if let Some(closing) = self.begin_closing(ExitReason::Normal) {
            self.go_on_closing(closing);
        }
    }

    /// No more sends, and those who asked to be told first are; `None` where that was so already.
    fn begin_closing(self: &Arc<Self>, reason: ExitReason) -> Option<Closing> {
        let mut g = self.word.lock();
        if g.bits() & word::CLOSED != 0 {
            drop(g);
            quiet::discard("an exit reason", reason);
            return None;
        }
        let wakers = self.close_locked(&mut g, reason);
        // The holder of RUN may have looked for the close already.
        let owes = g.raise(0);
        let parked = if owes { g.take_parked() } else { None };
        let leased = g.bits() & word::LEASED != 0;
        drop(g);
        self.announce_closing();
        Some(Closing { owes, parked, wakers, leased })
    }

    fn go_on_closing(self: &Arc<Self>, closing: Closing) {
        let Closing { owes, parked, wakers, leased } = closing;
        if owes {
            self.wake(parked);
        }
        wakers.into_iter().for_each(quiet::wake);
        if !leased {
            self.settle();
        }
    }

    /// An open mailbox takes nothing any more; the wakers of those who waited for room.
    pub(super) fn close_locked(&self, g: &mut Guard<'_, M>, reason: ExitReason) -> Vec<Waker> {
        g.set(word::CLOSED);
        self.nobody_waits(g);
        if reason != ExitReason::Normal || g.cold.is_some() {
            g.cold().closed = Some(reason);
        }
        g.waiters.as_mut().map(|w| w.dismiss()).unwrap_or_default()
    }

    /// Where the mailbox has closed: tells those registered by `tell_first`, unless they have been told. A thread calls this
    /// before it tells others of an end, because the thread that closed the mailbox may not have told them yet. Two threads
    /// may tell the same ones at once; neither goes on before they have heard.
    pub(super) fn announce_closing(&self) {
        if self.word.bits_acquire() & word::CLOSED == 0 {
            return;
        }
        let told_first = {
            let g = self.word.lock();
            let Some(cold) = g.cold.as_ref().filter(|cold| !cold.on_close.is_empty()) else { return };
            ToldFirst { whom: cold.on_close.clone(), reason: closed_reason(cold.closed.as_ref()) }
        };
        told_first.tell();
        let told = self.word.lock().cold.as_mut().map(|cold| std::mem::take(&mut cold.on_close));
        drop(told);
    }

    /// Registers `whom` to be told of the closing before everyone else. False when the mailbox is closed: `whom` is not told.
    pub fn tell_first(&self, whom: Weak<dyn OnClose>) -> bool {
        let mut g = self.word.lock();
        let open = g.bits() & word::CLOSED == 0;
        // Where the mailbox is closed, `whom` is dropped under the lock: a weak reference frees memory at most.
        if open {
            g.cold().on_close.push(whom);
        }
        open
    }

    /// The opposite, by the address of who was to be told; false when it was not, or is told already.
    pub fn tell_no_more(&self, whom: usize) -> bool {
        let mut g = self.word.lock();
        if g.bits() & word::CLOSED != 0 {
            return false;
        }
        let Some(cold) = g.cold.as_mut() else { return false };
        match cold.on_close.iter().position(|other| other.as_ptr().cast::<()>().addr() == whom) {
            Some(at) => {
                let gone = cold.on_close.swap_remove(at);
                let spare = slim(&mut cold.on_close);
                drop(g);
                drop((gone, spare));
                true
            }
            None => false,
        }
    }

    /// Settles a closed mailbox without a reader: dead-letters what is left and tells the monitors of the end. False when
    /// another thread holds RUN for a look: that thread settles the mailbox when it leaves.
    pub(super) fn settle(self: &Arc<Self>) -> bool {
        let Some(mut permit) = RunGuard::enter_quietly(self) else { return false };
        // The thread that closed it may not have come to it yet; those who sent what is buried are about to hear of the end.
        // Under RUN, so that one who looks from in there does not settle it once more.
        self.announce_closing();
        let reason = closed_reason(self.word.lock().cold.as_ref().and_then(|c| c.closed.as_ref()));
        let (_, own) = permit.split();
        // A net for our own mistakes: who waits for the end must hear of it.
        quiet::run("settling a mailbox", || self.bury_all(own, &reason));
        permit.leave_with(&mut self.word.lock());
        if self.word.lock().note_event(|| Event::Closed(reason.clone())) {
            self.tell();
        }
        quiet::run("a runner", || self.runner.on_settled());
        if let Some(settings) = &self.settings {
            settings.let_go();
        }
        quiet::discard("an exit reason", reason);
        true
    }

    /// Dead-letters what is queued, for this reason, while there is no reader; returns how many. An open mailbox goes on taking
    /// messages.
    pub fn clear_out(self: &Arc<Self>, reason: &ExitReason) -> u64 {
        let Some(mut permit) = RunGuard::enter_quietly(self) else { return 0 };
        if self.is_leased() {
            Self::leave_quietly_by(permit);
            return 0;
        }
        let (_, own) = permit.split();
        let left = self.bury_all(own, reason);
        self.end_turn();
        Self::leave_quietly_by(permit);
        left
    }

    /// Dead-letters what senders have queued in a mailbox whose reader was killed and does not end: it will take none
    /// of that any more. How many. (What lies in its batch is out of reach until it ends.) An open mailbox has room again
    /// then, for those who wait for it.
    pub fn bury_unread(self: &Arc<Self>, reason: &ExitReason) -> u64 {
        let mut dead = Vec::new();
        let mut after = Aftermath::default();
        {
            let mut g = self.word.lock();
            let hopeless = word::LEASED | word::KILL;
            if g.bits() & hopeless != hopeless {
                return 0;
            }
            for lane in Lanes::<M>::ORDER {
                while let Some((message, meta)) = g.lanes.lane_mut(lane).pop() {
                    if lane != Lane::Control {
                        g.room.remove(meta.weight());
                    }
                    dead.push((message, meta));
                }
            }
            g.ledger().count(Fate::DeadLettered, dead.len() as u64);
            if g.bits() & word::CLOSED == 0 {
                self.see(&mut g);
                self.grant(&mut g, &mut after);
            }
        }
        self.afterwards(after);
        let buried = dead.len() as u64;
        for (message, meta) in dead {
            self.bury(message, meta, DeadCause::Closed(reason.clone()));
        }
        buried
    }

    /// Buries all that is queued; how many.
    fn bury_all(self: &Arc<Self>, own: &mut Own<M>, reason: &ExitReason) -> u64 {
        let mut left = 0;
        loop {
            self.refill(own);
            let Some(lane) =
                Lanes::<M>::ORDER.into_iter().find(|l| own.lanes.lane(*l).is_some_and(|l| !l.is_empty()))
            else {
                break;
            };
            while let Some((message, meta)) = own.lanes.lane_mut(lane).pop() {
                own.left(lane);
                left += 1;
                if lane != Lane::Control
                    && let Some(settings) = &self.settings
                {
                    settings.weight_left(meta.weight());
                }
                self.bury(message, meta, DeadCause::Closed(reason.clone()));
            }
        }
        self.tally.out.store(own.out(), Ordering::Release);
        if left > 0 {
            self.count(Fate::DeadLettered, left);
        }
        self.shrink(own);
        left
    }

    /// Why the mailbox closed; `None` while it is open.
    pub fn closed_reason(&self) -> Option<ExitReason> {
        let g = self.word.lock();
        (g.bits() & word::CLOSED != 0).then(|| closed_reason(g.cold.as_ref().and_then(|c| c.closed.as_ref())))
    }
}

impl<M: 'static, X: ?Sized> MailCell<M, X> {
    /// Whether it takes nothing any more.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.word.bits() & word::CLOSED != 0
    }

    /// Whether it is closed and has no reader: it will have none.
    pub fn is_closed_unread(&self) -> bool {
        self.word.bits() & (word::CLOSED | word::LEASED) == word::CLOSED
    }
}
