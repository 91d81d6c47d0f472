//! What the end of a child means, for itself and for the whole: it is restarted, rests, goes, or takes its supervisor with it.
//! In two phases: [`Rules::goes_on`] while the lease is held, [`Rules::ended`] once it is given back.
//!
//! How a group is restarted lies in [`super::groups`]; how the supervisor itself ends, in [`super::stops`].

use super::entry::{Entry, Kill, State};
use super::settings::Life;
use super::table::Rules;
use crate::child_options::{ChildId, Shutdown};
use crate::restart::{Fate, Restart, fate};
use crate::strategy::{AutoShutdown, Strategy};
use crate::tempo::Tempo;
use restante_core::ExitReason;
use restante_core::clock::Instant;
use restante_genserver::keeper::End;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What came of counting an attempt to restart: the pause before it, or that it is one too many.
pub(crate) type Attempt = Result<Duration, RestartLimit>;

/// What can be said of an end before the lease is given back.
#[derive(Debug, PartialEq)]
pub(crate) enum Early {
    /// The next incarnation begins in its place.
    Again,
    /// All the rest; with the attempt, if one has been counted.
    Settle(Option<Attempt>),
}

/// What is to be done after a decision, outside the lock.
pub(crate) struct Then<C> {
    /// The performer has something to do: a group restart, or the supervisor's own end.
    pub(crate) perform: bool,
    /// The child's own task goes on after this pause, if its epoch is still that.
    pub(crate) after: Option<(Duration, u32)>,
    /// It has left the table: its mailbox closes.
    pub(crate) gone: Option<C>,
    /// For this reason, where that is not its end's.
    pub(crate) why: Option<Box<ExitReason>>,
    /// It rests, and what is queued is not kept.
    pub(crate) clear_out: bool,
    /// Who waited for this.
    pub(crate) tell: Vec<oneshot::Sender<()>>,
    /// This is worth a report; with what came of it.
    pub(crate) report: Option<Outcome>,
}

/// What came of an end, for the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Restarts,
    Rests,
    Goes,
    GivesUp,
    Escalates,
    /// It ended while it was told to, but for another reason.
    Unexpected,
    /// It was told to end, did not in its time, and was killed.
    Late,
    /// It did not start with its supervisor, which is rolled back.
    NotStarted,
}

impl<C> Then<C> {
    pub(super) fn nothing() -> Self {
        Self {
            perform: false,
            after: None,
            gone: None,
            why: None,
            clear_out: false,
            tell: Vec::new(),
            report: None,
        }
    }
}

/// A supervisor gave up: one of its children had to be restarted too often.
///
/// The [`ExitReason::Error`] of a supervisor that ended so; see [`RestartLimit::of`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("child {child} was restarted too often: {count} attempts in {window:?}")]
#[non_exhaustive]
pub struct RestartLimit {
    /// The child whose end was one too many.
    pub child: ChildId,
    /// Restarts within the window, that one included.
    pub count: u32,
    /// The period that was set.
    pub window: Duration,
}

impl RestartLimit {
    /// The limit that this reason tells of, if it does.
    pub fn of(reason: &ExitReason) -> Option<&Self> {
        match reason {
            ExitReason::Error(error) => error.downcast_ref(),
            _ => None,
        }
    }
}

impl<C: Clone> Rules<C> {
    /// An incarnation has ended, and its lease has not been given back yet: whether it simply goes on with the next, which is
    /// what mostly happens. Else all the rest is for [`Rules::ended`], after the lease.
    pub(crate) fn goes_on(&mut self, key: u64, end: &End, now: impl Fn() -> Instant) -> Early {
        let Some(entry) = self.children.get_mut(&key) else { return Early::Settle(None) };
        let comes_back = match entry.state {
            State::Running => fate(entry.options.restart, &end.exit.reason) == Fate::Restarts,
            State::Restarting => !end.ignored,
            _ => false,
        };
        let plain = comes_back
            && entry.begun
            && entry.incarnation == end.exit.incarnation
            && !(end.closed || end.orphaned || entry.options.escalate)
            && self.settings.strategy == Strategy::OneForOne
            && matches!(self.life, Life::Up | Life::Starting);
        if !plain {
            return Early::Settle(None);
        }
        match self.attempt(key, now) {
            Ok(pause) if pause.is_zero() => {}
            other => return Early::Settle(Some(other)),
        }
        let Some(entry) = self.children.get_mut(&key) else { return Early::Settle(None) };
        entry.incarnation += 1;
        entry.epoch += 1;
        let old = entry.cold().last_exit.replace(end.exit.clone());
        let from = std::mem::replace(&mut entry.state, State::Restarting);
        self.count(from, State::Restarting);
        if let Some(old) = old {
            self.aftermath.put(old.reason);
        }
        Early::Again
    }

    /// An incarnation has ended, and its lease has been given back. `attempted`: the restart has been counted already.
    pub(crate) fn ended(&mut self, key: u64, end: &End, now: Instant, attempted: Option<Attempt>) -> Then<C> {
        let mut then = Then::nothing();
        let falls = self.falls(key);
        let Some(entry) = self.children.get_mut(&key) else { return then };
        if end.exit.incarnation < entry.incarnation || entry.state == State::Stopped {
            return then;
        }
        entry.begun = false;
        let (state, options) = (entry.state, Arc::clone(&entry.options));
        let reason = &end.exit.reason;
        let keeps_history = self.settings.dynamic && options.restart == Restart::Temporary;
        if !keeps_history && let Some(old) = entry.cold().last_exit.replace(end.exit.clone()) {
            self.aftermath.put(old.reason);
        }
        let ending = matches!(self.life, Life::Down | Life::Ending(_)) || end.orphaned;
        // A group restart will stop it, or is about to: its own end makes no difference. A temporary child, though, is gone
        // with its end, as ever.
        let falls = falls && options.restart != Restart::Temporary;
        let settled = match state {
            // The caller that started it or told it to end decides.
            State::Starting | State::Rejoining | State::Abandoned => true,
            State::Stopping => {
                let told = match options.shutdown {
                    Shutdown::BrutalKill => *reason == ExitReason::Killed,
                    _ => matches!(reason, ExitReason::Shutdown | ExitReason::ShutdownWith(_)),
                };
                // One that may end by itself may do so just when it is told.
                let expected = told || options.restart != Restart::Permanent && reason.is_orderly();
                let killed = *reason == ExitReason::Killed;
                then.report = match entry.kill {
                    Kill::Late if killed || expected => Some(Outcome::Late),
                    Kill::Plain if killed => None,
                    _ => (!expected).then_some(Outcome::Unexpected),
                };
                true
            }
            _ => ending || falls,
        };
        if settled && !end.closed {
            let discarded = entry.discarded;
            // A child that was stopped by hand, was left behind, and has ended at last.
            then.clear_out = state == State::Abandoned && entry.halted && !options.keep_mailbox;
            // It may have been added or started by hand when the group had been told off already.
            entry.wanted |= falls && !ending && matches!(state, State::Running | State::Restarting);
            then.tell = self.rest(key);
            if discarded {
                then.why = self.children.get_mut(&key).and_then(|e| e.cold.as_mut()?.why_discarded.take());
                then.gone = self.remove(key);
            }
            return then;
        }
        let fate = match state {
            _ if end.closed => Fate::Goes,
            // It had been up, and comes back whatever its type (OTP): only that its `init` has nothing to serve ends that.
            State::Restarting if end.ignored && self.settings.dynamic => Fate::Goes,
            State::Restarting if end.ignored => Fate::Rests,
            State::Restarting => Fate::Restarts,
            // Under a dynamic supervisor it could not be restarted by hand, because there is no id to do it by.
            _ if self.settings.dynamic => fate(options.restart, reason).without_rest(),
            _ => fate(options.restart, reason),
        };
        match fate {
            Fate::Goes | Fate::Rests => {
                let significant = options.significant && !end.ignored && !settled;
                then.tell = self.rest(key);
                if fate == Fate::Goes {
                    then.gone = self.remove(key);
                    then.report = Some(Outcome::Goes);
                } else {
                    then.clear_out = !options.keep_mailbox;
                    then.report = Some(Outcome::Rests);
                }
                // Of a child that was abandoned all has been said.
                let worth = state != State::Abandoned && (!reason.is_orderly() || end.closed);
                then.report = then.report.filter(|_| worth);
                if significant && self.shuts_down() {
                    self.end(ExitReason::Shutdown);
                    then.perform = true;
                }
            }
            Fate::Restarts => self.restart(key, reason, now, attempted, &mut then),
        }
        then
    }

    /// A child that is up, or was to be, has to be restarted.
    fn restart(
        &mut self,
        key: u64,
        reason: &ExitReason,
        now: Instant,
        attempted: Option<Attempt>,
        then: &mut Then<C>,
    ) {
        let escalates =
            self.get(key).is_some_and(|e| e.options.escalate) && RestartLimit::of(reason).is_some();
        let attempt = match attempted {
            _ if escalates => None,
            Some(attempt) => Some(attempt),
            None => Some(self.attempt(key, || now)),
        };
        let (outcome, why) = match attempt {
            Some(Ok(pause)) => {
                then.report = Some(Outcome::Restarts);
                self.restart_after(key, pause, then);
                return;
            }
            Some(Err(limit)) => (Outcome::GivesUp, ExitReason::Error(Arc::new(limit))),
            None => (Outcome::Escalates, reason.clone()),
        };
        then.report = Some(outcome);
        then.tell = self.rest(key);
        self.end(why);
        then.perform = true;
    }

    fn restart_after(&mut self, key: u64, pause: Duration, then: &mut Then<C>) {
        let first = match self.settings.strategy {
            Strategy::OneForOne => {
                let Some(entry) = self.children.get_mut(&key) else { return };
                entry.epoch += 1;
                then.after = Some((pause, entry.epoch));
                self.change(key, State::Restarting);
                return;
            }
            Strategy::OneForAll => 0,
            Strategy::RestForOne => key,
        };
        then.tell = self.rest(key);
        self.fall_together(first, pause);
        then.perform = true;
    }

    /// An attempt to restart a child: how long to wait before it, or that it is one too many. The clock, which is no small
    /// part of a restart, is read where a limit or a pause depends on it.
    pub(super) fn attempt(&mut self, key: u64, now: impl Fn() -> Instant) -> Attempt {
        let above = self.above;
        let Some(Entry { options, cold, supervisor, .. }) = self.children.get_mut(&key) else {
            return Ok(Duration::ZERO);
        };
        self.restarts += 1;
        let cold = cold.get_or_insert_default();
        cold.restarts += 1;
        let intensity = self.settings.intensity;
        let all = self.window.note(&now, intensity).map_err(|count| (count, intensity.period));
        let alone = match options.intensity {
            Some(own) => cold.window.note(&now, own).map_err(|count| (count, own.period)),
            None => Ok(()),
        };
        if let Err((count, window)) = all.and(alone) {
            return Err(RestartLimit { child: self.id_of(key), count, window });
        }
        let backoff = options.backoff.unwrap_or(self.settings.backoff);
        let bound = || Tempo::new(intensity, options.intensity, above).pause(*supervisor);
        Ok(cold.pauses.next(&backoff, bound, now, &mut self.rng))
    }

    /// Whether the end of a significant child is the supervisor's as well.
    fn shuts_down(&self) -> bool {
        match self.settings.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => {
                let lives = |e: &Entry<C>| e.state != State::Stopped || e.wanted;
                !self.children.values().any(|e| e.options.significant && lives(e))
            }
        }
    }
}
