//! Sending: a message goes into a lane, or comes back.

use super::after::Aftermath;
use super::mail_cell::{Guard, MailCell, Runner};
use crate::clock;
use crate::counters::Fate;
use crate::dead_letter::DeadCause;
use crate::error::SendError;
use crate::hops::hop;
use crate::lane::Lane;
use crate::options::{Meta, SendOptions};
use crate::overflow::{Overflow, Verdict};
use crate::quiet;
use crate::settings::Coalesce;
use crate::sync::Ordering;
use crate::word;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

/// A refusal, and whether waiting for room may help.
pub struct Refused<M> {
    /// The refusal.
    pub error: SendError<M>,
    /// Whether the mailbox's policy is to wait.
    pub may_wait: bool,
}

impl<M> std::fmt::Debug for Refused<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Refused({:?}, may_wait {})", self.error, self.may_wait)
    }
}

/// What is done where there is no room.
pub(super) struct Full<'a, M> {
    /// `None`: the default one.
    pub(super) policy: Option<&'a Overflow<M>>,
    /// The sender will wait if it has to.
    pub(super) asks: bool,
}

pub(super) enum Unplaced<M> {
    Refused(Refused<M>),
    Divert(M, crate::recipient::Recipient<M>),
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// Queues a message in the normal lane, or gives it back.
    ///
    /// # Errors
    /// [`SendError`] with the message.
    #[inline(always)]
    pub fn push(self: &Arc<Self>, message: M) -> Result<(), SendError<M>> {
        let mut g = self.word.lock();
        if g.bits() & (word::CLOSED | word::WAIT | word::POLICY | word::SYS) == 0 {
            if g.room.looks_full() {
                g.room.see(self.tally.out.load(Ordering::Acquire), 0);
            }
            if !g.room.looks_full() {
                g.room.enter();
                g.lanes.normal.push_plain(message);
                Self::stamp(&mut g);
                if g.announce(0) {
                    let parked = g.take_parked();
                    drop(g);
                    self.wake(parked);
                }
                return Ok(());
            }
            if self.is_plain() {
                return Err(SendError::Full(message));
            }
        }
        drop(g);
        self.push_with(message, &SendOptions::default(), false).map_err(|r| r.error)
    }

    /// Whether the settings are the default ones, but for the capacity: then the policy is to wait.
    pub(crate) fn is_plain(&self) -> bool {
        self.settings.is_none()
    }

    /// Queues a message with options, or gives it back. `asks`: the sender will wait if it has to, and does not push
    /// past those who wait already.
    ///
    /// # Errors
    /// [`Refused`] with the message.
    #[cold]
    #[inline(never)]
    pub fn push_with(
        self: &Arc<Self>,
        message: M,
        options: &SendOptions,
        asks: bool,
    ) -> Result<(), Refused<M>> {
        let (message, meta) = self.weighed(message, options, || {});
        let Ok(meta) = meta else {
            return Err(Refused { error: SendError::Expired(message), may_wait: false });
        };
        // Kept here as well: the last one that goes is not to go under the lock.
        let _span = meta.span().cloned();
        // Before the lock: under LOCK no other is taken, and it may be the last to have the policy.
        let policy = self.settings.as_ref().and_then(|s| s.overflow.get());
        let mut after = Aftermath::default();
        let full = Full { policy: policy.as_ref(), asks };
        let result = self.place(self.word.lock(), message, options.lane, meta, &full, &mut after);
        self.afterwards(after);
        quiet::discard("a fallback", policy);
        match result {
            Ok(()) => Ok(()),
            Err(Unplaced::Refused(refused)) => Err(refused),
            Err(Unplaced::Divert(message, to)) => match hop(message, |m| to.try_send_with(m, *options)) {
                Ok(Ok(())) => {
                    let mut g = self.word.lock();
                    let ledger = g.ledger();
                    ledger.sent += 1;
                    ledger.count(Fate::Diverted, 1);
                    Ok(())
                }
                Ok(Err(e)) => Err(Refused { error: SendError::Full(e.into_message()), may_wait: false }),
                Err(message) => Err(Refused { error: SendError::Full(message), may_wait: false }),
            },
        }
    }

    /// The message, and what it will carry (`Err` when it has expired already). Should its measure panic, which goes on to the
    /// sender, `undo` is done first, and the message is dropped before anything unwinds: its drop may panic as well.
    pub(super) fn weighed(
        &self,
        message: M,
        options: &SendOptions,
        undo: impl FnOnce(),
    ) -> (M, Result<Meta, ()>) {
        match catch_unwind(AssertUnwindSafe(|| self.resolve(&message, options))) {
            Ok(meta) => (message, meta),
            Err(payload) => {
                undo();
                quiet::discard("a message", message);
                resume_unwind(payload);
            }
        }
    }

    /// What the message will carry. `Err` when it has expired already.
    pub(super) fn resolve(&self, message: &M, options: &SendOptions) -> Result<Meta, ()> {
        let meta = self.resolve_settings(message, options)?;
        // User code, and so before the lock.
        Ok(if self.word.bits() & word::SYS == 0 { meta } else { meta.with_span(self.runner.span()) })
    }

    fn resolve_settings(&self, message: &M, options: &SendOptions) -> Result<Meta, ()> {
        // What the settings say of data does not hold for orders and notices: they are neither weighed nor do they expire
        // unless they say so themselves.
        let Some(settings) = self.settings.as_ref().filter(|_| options.lane != Lane::Control) else {
            if options.is_plain() {
                return Ok(Meta::default());
            }
            return Self::meta(options, None, options.weight.unwrap_or(1));
        };
        let weight = match options.weight {
            Some(weight) => weight,
            // User code, and so before the lock.
            None => settings.weigh.get().map_or(1, |weigh| weigh(message)),
        };
        Self::meta(options, settings.ttl, weight)
    }

    pub(super) fn meta(options: &SendOptions, ttl: Option<Duration>, weight: u32) -> Result<Meta, ()> {
        let mut meta = Meta::default().with_deadline(options.resolve_deadline(ttl)?);
        if let Some(key) = options.get_key() {
            meta = meta.with_key(key);
        }
        if weight > 1 {
            meta = meta.with_weight(weight);
        }
        Ok(meta)
    }

    pub(super) fn place(
        &self,
        mut g: Guard<'_, M>,
        message: M,
        lane: Lane,
        meta: Meta,
        full: &Full<'_, M>,
        after: &mut Aftermath<M>,
    ) -> Result<(), Unplaced<M>> {
        let refuse = |error| Err(Unplaced::Refused(Refused { error, may_wait: false }));
        if g.bits() & word::CLOSED != 0 {
            return refuse(SendError::Closed(message));
        }
        if lane == Lane::Control {
            Self::put(&mut g, message, lane, meta, after);
            self.count_control(&mut g);
            return Ok(());
        }
        let weight = meta.weight();
        if g.room.is_too_heavy(weight) {
            let limit = g.room.weight_limit().unwrap_or_default();
            return refuse(SendError::TooHeavy { message, weight, limit });
        }
        // First, so that nothing is thrown out for a message that may not come in.
        let mut now = None;
        if let Some(rate) = g.cold.as_ref().and_then(|c| c.rate.as_ref())
            && let Err(retry_after) = rate.check(*now.insert(clock::now()))
        {
            return refuse(SendError::RateLimited { message, retry_after });
        }
        self.see(&mut g);
        if let Some(at) = Self::coalesces_with(&g, lane, &meta) {
            self.coalesce(&mut g, message, lane, meta, at, after);
            return Ok(());
        }
        if g.bits() & word::WAIT != 0 {
            // Where the policy is not to wait, only reservations wait, and they come first as all in line do.
            if full.asks && self.settings.as_ref().is_none_or(|s| s.waits()) {
                return Err(Unplaced::Refused(Refused { error: SendError::Full(message), may_wait: true }));
            }
            // Those who wait come first; what is left is for senders that do not wait.
            self.grant(&mut g, after);
        }
        while !g.room.fits(weight) {
            let verdict = match full.policy {
                None => Verdict::Refuse { wait: true },
                Some(overflow) => overflow.policy().on_full(&mut g.lanes, lane),
            };
            match verdict {
                Verdict::Refuse { wait } => {
                    return Err(Unplaced::Refused(Refused {
                        error: SendError::Full(message),
                        may_wait: wait,
                    }));
                }
                Verdict::ShedIncoming => return refuse(SendError::Shed(message)),
                Verdict::Divert(to) => return Err(Unplaced::Divert(message, to)),
                Verdict::Shed(victim, meta) => {
                    g.room.remove(meta.weight());
                    g.ledger().count(Fate::Shed, 1);
                    after.dead.push((victim, meta, DeadCause::Shed));
                }
            }
        }
        // Charged only now that it is sent.
        if let (Some(rate), Some(now)) = (g.cold.as_mut().and_then(|c| c.rate.as_mut()), now) {
            rate.charge(now);
        }
        Self::put(&mut g, message, lane, meta, after);
        g.room.enter();
        g.room.enter_weight(weight);
        Ok(())
    }

    /// One more order or notice has entered: no room counts them.
    pub(super) fn count_control(&self, g: &mut Guard<'_, M>) {
        let n = self.tally.control.load(Ordering::Relaxed);
        if let Some(n) = n.checked_add(1) {
            self.tally.control.store(n, Ordering::Relaxed);
        } else {
            self.tally.control.store(0, Ordering::Relaxed);
            g.ledger().sent += u64::from(n) + 1;
        }
    }

    /// Into its lane, and the reader told.
    pub(super) fn put(g: &mut Guard<'_, M>, message: M, lane: Lane, meta: Meta, after: &mut Aftermath<M>) {
        if meta.is_plain() {
            g.lanes.lane_mut(lane).push_plain(message);
        } else {
            g.lanes.lane_mut(lane).push(message, meta);
        }
        Self::stamp(g);
        let owes = match lane {
            Lane::Normal => g.announce(0),
            Lane::Control => g.announce_order(),
            Lane::High | Lane::Low => g.announce(word::SIDE),
        };
        if owes {
            after.owes = true;
            after.parked = g.take_parked();
        }
    }

    /// Where an older message lies whose place this one takes; none if the weight would not fit even then.
    pub(super) fn coalesces_with(g: &Guard<'_, M>, lane: Lane, meta: &Meta) -> Option<usize> {
        let queue = g.lanes.lane(lane)?;
        let at = queue.find_key(meta.key()?)?;
        let old = queue.meta(at).map_or(1, Meta::weight);
        g.room.fits_instead(old, meta.weight()).then_some(at)
    }

    pub(super) fn coalesce(
        &self,
        g: &mut Guard<'_, M>,
        message: M,
        lane: Lane,
        meta: Meta,
        at: usize,
        after: &mut Aftermath<M>,
    ) {
        let place = self.settings.as_ref().and_then(|s| s.coalesce).unwrap_or_default();
        let weight = meta.weight();
        let old = match place {
            Coalesce::KeepPlace => g.lanes.lane_mut(lane).replace(at, message, meta),
            Coalesce::MoveBack => {
                let old = g.lanes.lane_mut(lane).remove(at);
                g.lanes.lane_mut(lane).push(message, meta);
                old
            }
        };
        g.room.enter();
        g.room.enter_weight(weight);
        if let Some((old, old_meta)) = old {
            g.room.remove(old_meta.weight());
            g.ledger().count(Fate::Coalesced, 1);
            after.dropped = Some((old, old_meta));
        }
        // The newer one may be lighter.
        self.grant(g, after);
    }

    /// Remembers since when something waits behind a busy reader. (One that is idle will have it in no time.)
    #[inline(always)]
    pub(super) fn stamp(g: &mut Guard<'_, M>) {
        let busy = g.bits() & word::LEASED == 0 || g.bits() & (word::RUN | word::PEND | word::SCHED) != 0;
        if g.stamp == 0 && busy {
            g.stamp = clock::coarse_ms_u32();
        }
    }
}
