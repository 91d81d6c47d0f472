//! What is left to do once the lock is free: wake-ups, dead letters, drops. All of it is foreign code, and RUN may be held.

use super::mail_cell::{MailCell, Runner};
use crate::dead_letter::{DeadCause, DeadLetter};
use crate::error::SendError;
use crate::exit::ExitReason;
use crate::hops::hop;
use crate::options::Meta;
use crate::quiet;
use std::sync::Arc;
use std::task::Waker;

/// What is left to do after the lock.
pub(super) struct Aftermath<M> {
    pub(super) owes: bool,
    pub(super) parked: Option<Waker>,
    pub(super) wakers: Vec<Waker>,
    pub(super) dead: Vec<(M, Meta, DeadCause)>,
    pub(super) dropped: Option<(M, Meta)>,
    /// What the line of waiting senders needs no more.
    pub(super) spare: Option<crate::waiters::Spare>,
}

impl<M> Default for Aftermath<M> {
    fn default() -> Self {
        Self { owes: false, parked: None, wakers: Vec::new(), dead: Vec::new(), dropped: None, spare: None }
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// Wakes, drops and dead-letters, now that the lock is free. All of it is foreign code, and RUN may be held.
    pub(super) fn afterwards(self: &Arc<Self>, after: Aftermath<M>) {
        let Aftermath { owes, parked, wakers, dead, dropped, spare: _ } = after;
        if owes {
            self.wake(parked);
        }
        wakers.into_iter().for_each(quiet::wake);
        dead.into_iter().for_each(|(message, meta, cause)| self.bury(message, meta, cause));
        if let Some((message, meta)) = dropped {
            quiet::discard("a coalesced message", message);
            quiet::discard("a span", meta);
        }
    }

    /// The wake-up that SCHED owes.
    #[inline]
    pub(super) fn wake(self: &Arc<Self>, parked: Option<Waker>) {
        match parked {
            Some(waker) => quiet::wake(waker),
            None => self.schedule(),
        }
    }

    /// Has the runner see to it that the cell is polled.
    #[inline]
    pub(super) fn schedule(self: &Arc<Self>) {
        quiet::run("a runner", || self.runner.schedule(self));
    }

    /// Hands a message that will not be handled to the dead-letter mailbox, where there is one, and traces it. The caller
    /// counts it, and may hold RUN: nothing unwinds out of here.
    #[cold]
    pub(super) fn bury(&self, message: M, meta: Meta, cause: DeadCause) {
        let attempts = meta.attempts();
        quiet::run("a subscriber", || {
            tracing::debug!(mailbox = %self.label(), ?cause, attempts, "message not handled");
        });
        quiet::run("a runner", || self.runner.on_dead(&message, &cause));
        self.post(Some(message), None, attempts, cause);
        quiet::discard("a span", meta);
    }

    /// Like `bury`, for a message that was in hand at a crash. Its handler has consumed it, so only a copy is left.
    #[cold]
    pub fn bury_copy(&self, copy: Option<M>, name: &'static str, attempts: u32, reason: ExitReason) {
        let cause = DeadCause::InHand(reason);
        quiet::run("a subscriber", || {
            tracing::debug!(mailbox = %self.label(), in_hand = name, ?cause, attempts, "message not handled");
        });
        if let Some(copy) = &copy {
            quiet::run("a runner", || self.runner.on_dead(copy, &cause));
        }
        self.post(copy, Some(name), attempts, cause);
    }

    fn post(&self, message: Option<M>, name: Option<&'static str>, attempts: u32, cause: DeadCause) {
        let Some(to) = self.settings.as_ref().and_then(|s| s.dead_letters.get()) else {
            quiet::discard("a message", message);
            quiet::discard("an exit reason", cause);
            return;
        };
        let mut letter = DeadLetter::new(message, self.label(), cause, attempts);
        letter.message = name;
        let posted = || hop(letter, |letter| to.try_send(letter)).unwrap_or_else(|l| Err(SendError::Full(l)));
        if let Some(Err(refused)) = quiet::run("a dead letter's taker", posted) {
            quiet::run("a subscriber", || {
                tracing::warn!(mailbox = %self.label(), %refused, "a dead letter found no taker");
            });
            quiet::discard("a dead letter", refused);
        }
        quiet::discard("a taker of dead letters", to);
    }
}
