//! Starts: who may start a child, whether what they start may begin, and what is left of a start that fails. The next
//! incarnation of one that crashed is not decided here, but where its end is ([`super::ends`]).

use super::entry::{Entry, Kill, Origin, State};
use super::settings::Life;
use super::table::Rules;
use crate::error::ChildError;
use crate::restart::Restart;
use restante_core::ExitReason;
use restante_core::clock::Instant;
use restante_genserver::keeper::Beginner;
use tokio::sync::oneshot;

impl<C: Clone> Rules<C> {
    /// Marks this child as starting, for a caller that waits for its `init`. Returns the child, and what names this start
    /// among all others: a caller that comes back with its failure may find that it is over, and that another is under way.
    pub(crate) fn starts(&mut self, key: u64) -> Option<(C, u32)> {
        self.starts_as(key, State::Starting)
    }

    fn starts_as(&mut self, key: u64, state: State) -> Option<(C, u32)> {
        let entry = self.children.get_mut(&key)?;
        entry.wanted = false;
        if entry.state != State::Stopped {
            return None;
        }
        if let Some(cold) = entry.cold.as_mut() {
            cold.off = false;
        }
        entry.begun = false;
        entry.halted = false;
        entry.epoch += 1;
        let start = (entry.child.clone(), entry.epoch);
        self.change(key, state);
        Some(start)
    }

    /// Whether a child is stopped, and no caller is about to start it.
    pub(crate) fn must_be_stopped(&self, key: u64) -> Result<(), ChildError> {
        let entry = self.get(key).ok_or(ChildError::NotFound)?;
        match entry.state {
            State::Stopped if entry.wanted => Err(ChildError::Restarting),
            State::Stopped => Ok(()),
            State::Rejoining | State::Restarting => Err(ChildError::Restarting),
            State::Abandoned => Err(ChildError::Abandoned),
            State::Starting | State::Running | State::Stopping => Err(ChildError::Running),
        }
    }

    /// Whether a child that was stopped by hand leaves the table.
    pub(crate) fn goes_when_stopped(&self, key: u64) -> bool {
        self.settings.dynamic || self.get(key).is_some_and(|e| e.options.restart == Restart::Temporary)
    }

    /// Notes that this start has come to nothing, or is no longer awaited. Either there is no incarnation, or there is one
    /// that is being killed (and may have come up at the last moment).
    pub(crate) fn start_failed(&mut self, key: u64, start: u32) -> Vec<oneshot::Sender<()>> {
        let Some(entry) = self.children.get_mut(&key).filter(|e| e.epoch == start) else { return Vec::new() };
        match entry.state {
            State::Starting | State::Rejoining | State::Stopping if !entry.begun => self.rest(key),
            State::Starting | State::Rejoining | State::Running => {
                // The start that was given up kills it.
                entry.kill = Kill::Plain;
                self.change(key, State::Stopping);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Whether it does not matter that this start has come to nothing: the child was stopped by hand, or is another start's
    /// by now.
    pub(crate) fn is_moot(&self, key: u64, start: u32) -> bool {
        self.get(key).is_none_or(|entry| entry.halted || !entry.is_of(start))
    }

    /// Whether a child that was added has not been up yet.
    pub(crate) fn is_tentative(&self, key: u64) -> bool {
        self.get(key).is_some_and(Entry::is_tentative)
    }

    /// A child that was added had nothing to serve: its specification stays.
    pub(crate) fn keep(&mut self, key: u64) {
        if let Some(entry) = self.children.get_mut(&key).filter(|entry| entry.is_tentative()) {
            entry.origin = Origin::Added;
        }
    }

    /// The specification goes with this start, which came to nothing; unless the child is another's by now.
    pub(crate) fn discard_start(&mut self, key: u64, start: u32) -> Option<C> {
        if self.get(key).is_some_and(|entry| entry.is_of(start)) { self.discard(key) } else { None }
    }

    /// As [`Rules::discard_start`], for this reason, which closes the mailbox also where that has to wait for the incarnation.
    pub(crate) fn discard_failed(&mut self, key: u64, start: u32, why: &ExitReason) -> Option<C> {
        let gone = self.discard_start(key, start);
        if gone.is_none()
            && let Some(entry) =
                self.children.get_mut(&key).filter(|entry| entry.discarded && entry.is_of(start))
        {
            let old = entry.cold().why_discarded.replace(Box::new(why.clone()));
            if let Some(old) = old {
                self.aftermath.put(*old);
            }
        }
        gone
    }

    /// The specification goes, now or when the incarnation has ended.
    pub(crate) fn discard(&mut self, key: u64) -> Option<C> {
        let entry = self.children.get_mut(&key)?;
        if entry.state == State::Stopped {
            return self.remove(key);
        }
        entry.discarded = true;
        None
    }

    /// Decides whether an incarnation that is about to begin may do so. A child's own task, told to begin before one caller
    /// stopped the child and another started it, must not take the place of that start. Nothing begins in a supervisor that
    /// ends.
    pub(crate) fn begins(&mut self, key: u64, incarnation: u32, by: Beginner) -> bool {
        if matches!(self.life, Life::Ending(_)) {
            return false;
        }
        let Some(entry) = self.children.get_mut(&key) else { return false };
        let due = match by {
            Beginner::Starter => matches!(entry.state, State::Starting | State::Rejoining),
            Beginner::Task => entry.state == State::Restarting,
        };
        if entry.begun || !due {
            return false;
        }
        entry.incarnation = incarnation;
        entry.begun = true;
        entry.kill = Kill::No;
        true
    }

    /// Its `init` has returned.
    pub(crate) fn started(&mut self, key: u64, incarnation: u32, now: impl FnOnce() -> Instant) {
        let falls = self.falls(key);
        let Some(entry) = self.children.get_mut(&key) else { return };
        let begins =
            entry.begun && matches!(entry.state, State::Starting | State::Rejoining | State::Restarting);
        if entry.incarnation != incarnation || !begins {
            return;
        }
        if entry.origin == Origin::Tentative {
            entry.origin = Origin::Added;
            entry.wanted = falls && entry.options.restart != Restart::Temporary;
        }
        if let Some(cold) = entry.cold.as_mut() {
            cold.pauses.started(now());
        }
        let from = std::mem::replace(&mut entry.state, State::Running);
        self.count(from, State::Running);
    }

    /// A task is about to wait out the pause before a child's restart: by what it is told that it need not.
    pub(crate) fn pauses(&mut self, key: u64) -> Option<oneshot::Receiver<()>> {
        let (tell, told) = oneshot::channel();
        self.children.get_mut(&key)?.cold().pause = Some(tell);
        Some(told)
    }

    /// Whether a child whose pause is over is to be started by its own task.
    pub(crate) fn is_due(&self, key: u64, epoch: u32) -> Option<C> {
        let entry = self.get(key)?;
        (entry.state == State::Restarting && !entry.begun && entry.epoch == epoch)
            .then(|| entry.child.clone())
    }

    /// The next child from this key on that is to be started: it is, now.
    pub(crate) fn next_wanted(&mut self, from: u64) -> Option<(u64, Option<(C, u32)>)> {
        let key = self.children.range(from..).find(|(_, entry)| entry.wanted).map(|(key, _)| *key)?;
        // While the supervisor itself is starting, none of its children has been up.
        let state = if self.life == Life::Up { State::Rejoining } else { State::Starting };
        Some((key, self.starts_as(key, state)))
    }

    /// A fresh incarnation of the supervisor begins.
    pub(crate) fn begin_anew(&mut self) {
        self.life = Life::Starting;
        for entry in self.children.values_mut() {
            entry.wanted = !entry.is_tentative() && !entry.is_off();
            if let Some(cold) = entry.cold.as_mut() {
                cold.window.clear();
            }
        }
        self.group = None;
        self.falling = None;
        self.window.clear();
    }
}
