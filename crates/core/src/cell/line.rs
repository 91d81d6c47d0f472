//! The line of senders who wait for room, and slots that are promised.

use super::after::Aftermath;
use super::mail_cell::{MailCell, Runner};
use crate::error::SendError;
use crate::lane::Lane;
use crate::options::SendOptions;
use crate::quiet;
use crate::waiters::Ticket;
use crate::word;
use std::sync::Arc;
use std::task::Waker;

/// A place in the line of senders who wait for room.
#[derive(Debug, Clone, Copy)]
pub struct WaitTicket {
    pub(super) ticket: Ticket,
    pub(super) weight: u32,
}

/// What a waiting sender finds.
#[derive(Debug)]
pub enum Waited {
    /// Still waiting.
    Waiting(WaitTicket),
    /// There is room: try again at once.
    TryNow,
}

/// Why a message did not go in by a slot that was promised.
#[derive(Debug)]
pub enum PushError<M> {
    /// It was not promised yet.
    Waiting(M),
    /// Closed, expired, or heavier than the promise.
    Refused(SendError<M>),
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// Joins the line for room, or says that there is some by now.
    ///
    /// # Errors
    /// [`SendError::Closed`] (without a message) when the mailbox has closed.
    pub fn line_up(
        self: &Arc<Self>,
        message: &M,
        options: &SendOptions,
        waker: &Waker,
    ) -> Result<Waited, ()> {
        let weight = self.resolve(message, options).map_or(1, |m| m.weight());
        // Cloned before the lock.
        let waker = waker.clone();
        let mut g = self.word.lock();
        self.see(&mut g);
        let closed = g.bits() & word::CLOSED != 0;
        if closed || g.bits() & word::WAIT == 0 && g.room.fits(weight) {
            drop(g);
            quiet::discard("a waker", waker);
            return if closed { Err(()) } else { Ok(Waited::TryNow) };
        }
        let ticket = g.waiters.get_or_insert_default().enroll(weight, waker);
        self.somebody_waits(&mut g);
        // What the reader frees from here on it gives back itself, at the latest when it leaves and has no turn to come: rule 5
        // of `word`.
        let seen = g.room.seen();
        drop(g);
        self.look_again(seen);
        Ok(Waited::Waiting(WaitTicket { ticket, weight }))
    }

    /// Whether the slot has been granted; if not, notes the waker of the latest poll.
    ///
    /// # Errors
    /// The mailbox has closed.
    pub fn in_line(&self, place: WaitTicket, waker: &Waker) -> Result<bool, ()> {
        // Cloned before the lock.
        let waker = waker.clone();
        let mut g = self.word.lock();
        let closed = g.bits() & word::CLOSED != 0;
        let old = match g.waiters.as_mut().filter(|_| !closed) {
            Some(w) => w.refresh(place.ticket, waker),
            None => Err(waker),
        };
        drop(g);
        let waits = old.is_ok();
        quiet::discard("a waker", old);
        if closed { Err(()) } else { Ok(!waits) }
    }

    /// Leaves the line, giving an unused grant to the next.
    pub fn leave_line(self: &Arc<Self>, place: WaitTicket) {
        let mut g = self.word.lock();
        let left = g.waiters.as_mut().and_then(|w| w.leave(place.ticket));
        let mut after = Aftermath::default();
        if g.bits() & word::CLOSED == 0 {
            if left.is_none() {
                g.room.unreserve(place.weight);
            }
            // Also without a slot to give: one who stood behind may be lighter and fit.
            self.see(&mut g);
            self.grant(&mut g, &mut after);
        }
        drop(g);
        self.afterwards(after);
        quiet::discard("a waker", left);
    }

    /// Sends with a slot that was reserved; the slot is used up either way.
    ///
    /// # Errors
    /// Closed or expired, with the message.
    pub fn push_reserved(self: &Arc<Self>, message: M, options: &SendOptions) -> Result<(), SendError<M>> {
        self.push_in(message, options, None).map_err(|e| match e {
            PushError::Waiting(message) => SendError::Full(message),
            PushError::Refused(e) => e,
        })
    }

    /// Like `push_reserved`, with the slot of a wait ticket, if it has been granted.
    ///
    /// # Errors
    /// Still waiting, or refused; both with the message.
    pub fn push_in_line(
        self: &Arc<Self>,
        message: M,
        options: &SendOptions,
        place: WaitTicket,
    ) -> Result<(), PushError<M>> {
        self.push_in(message, options, Some(place))
    }

    fn push_in(
        self: &Arc<Self>,
        message: M,
        options: &SendOptions,
        place: Option<WaitTicket>,
    ) -> Result<(), PushError<M>> {
        let held = place.map_or(1, |p| p.weight);
        // Weighing is user code; if it panics the slot must not go with it.
        let (message, meta) = self.weighed(message, options, || match place {
            Some(place) => self.leave_line(place),
            None => self.give_up_slot(held),
        });
        // As in `push_with`.
        let _span = meta.as_ref().ok().and_then(|meta| meta.span().cloned());
        let mut g = self.word.lock();
        if g.bits() & word::CLOSED != 0 {
            return Err(PushError::Refused(SendError::Closed(message)));
        }
        if place.is_some_and(|p| g.waiters.as_ref().is_some_and(|w| w.holds(p.ticket))) {
            return Err(PushError::Waiting(message));
        }
        g.room.unreserve(held);
        let mut after = Aftermath::default();
        let result = match meta {
            Err(()) => {
                self.see(&mut g);
                self.grant(&mut g, &mut after);
                Err(SendError::Expired(message))
            }
            Ok(meta) if g.room.is_too_heavy(meta.weight()) => {
                let limit = g.room.weight_limit().unwrap_or_default();
                self.grant(&mut g, &mut after);
                Err(SendError::TooHeavy { message, weight: meta.weight(), limit })
            }
            // A slot reserved for nothing in particular holds weight 1; what is heavier must find room for the rest.
            Ok(meta)
                if options.lane != Lane::Control && meta.weight() > held && {
                    self.see(&mut g);
                    !g.room.fits(meta.weight())
                } =>
            {
                self.grant(&mut g, &mut after);
                Err(SendError::Full(message))
            }
            Ok(meta) => {
                let at = Self::coalesces_with(&g, options.lane, &meta);
                if options.lane == Lane::Control {
                    Self::put(&mut g, message, options.lane, meta, &mut after);
                    self.count_control(&mut g);
                } else if let Some(at) = at {
                    self.coalesce(&mut g, message, options.lane, meta, at, &mut after);
                } else {
                    let weight = meta.weight();
                    Self::put(&mut g, message, options.lane, meta, &mut after);
                    g.room.enter();
                    g.room.enter_weight(weight);
                }
                if options.lane == Lane::Control || at.is_some() {
                    // The slot itself was not needed.
                    self.see(&mut g);
                    self.grant(&mut g, &mut after);
                }
                Ok(())
            }
        };
        drop(g);
        self.afterwards(after);
        result.map_err(PushError::Refused)
    }

    /// Promises a slot without waiting; false when there is none.
    ///
    /// # Errors
    /// The mailbox has closed.
    pub fn try_reserve(self: &Arc<Self>) -> Result<bool, ()> {
        let mut g = self.word.lock();
        if g.bits() & word::CLOSED != 0 {
            return Err(());
        }
        self.see(&mut g);
        let mut after = Aftermath::default();
        if g.bits() & word::WAIT != 0 {
            // Those who wait come first.
            self.grant(&mut g, &mut after);
        }
        let free = g.bits() & word::WAIT == 0 && g.room.fits(1);
        if free {
            g.room.reserve(1);
        }
        drop(g);
        self.afterwards(after);
        Ok(free)
    }

    /// Takes back a promised slot that was not used.
    pub fn unreserve(self: &Arc<Self>) {
        self.give_up_slot(1);
    }

    fn give_up_slot(self: &Arc<Self>, weight: u32) {
        let mut g = self.word.lock();
        if g.bits() & word::CLOSED != 0 {
            return;
        }
        g.room.unreserve(weight);
        self.see(&mut g);
        let mut after = Aftermath::default();
        self.grant(&mut g, &mut after);
        drop(g);
        self.afterwards(after);
    }

    /// Joins the line for a slot.
    ///
    /// # Errors
    /// The mailbox has closed.
    pub fn line_up_for_permit(self: &Arc<Self>, waker: &Waker) -> Result<Option<WaitTicket>, ()> {
        // Cloned before the lock.
        let waker = waker.clone();
        let mut g = self.word.lock();
        self.see(&mut g);
        let closed = g.bits() & word::CLOSED != 0;
        if closed || g.bits() & word::WAIT == 0 && g.room.fits(1) {
            if !closed {
                g.room.reserve(1);
            }
            drop(g);
            quiet::discard("a waker", waker);
            return if closed { Err(()) } else { Ok(None) };
        }
        let ticket = g.waiters.get_or_insert_default().enroll(1, waker);
        self.somebody_waits(&mut g);
        let seen = g.room.seen();
        drop(g);
        self.look_again(seen);
        Ok(Some(WaitTicket { ticket, weight: 1 }))
    }
}

impl<M: 'static, X: ?Sized> MailCell<M, X> {
    /// From which message on waiting senders are to be woken, for models.
    #[cfg(all(loom, test))]
    pub(crate) fn wake_at(&self) -> u64 {
        self.tally.wake_at.load(crate::sync::Ordering::Relaxed)
    }
}
