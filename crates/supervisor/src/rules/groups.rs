//! A group restart, as a note: which children it takes in, and what becomes of it when it is interrupted or a start within it
//! fails. The stopping and starting itself is [`crate::perform`]'s.

use super::ends::Outcome;
use super::entry::State;
use super::group::Group;
use super::settings::Life;
use super::table::Rules;
use crate::restart::Restart;
use crate::strategy::Strategy;
use restante_core::ExitReason;
use restante_core::clock::Instant;
use std::sync::Arc;
use std::time::Duration;

impl<C: Clone> Rules<C> {
    /// Whether a group restart is about to stop this child, or has.
    pub(super) fn falls(&self, key: u64) -> bool {
        [self.falling, self.group].iter().flatten().any(|group| group.takes_in(key))
    }

    /// A start within a group restart has failed: the group is due again, or the supervisor gives up.
    pub(crate) fn group_start_failed(&mut self, key: u64, now: Instant) -> Option<Outcome> {
        if matches!(self.life, Life::Ending(_) | Life::Down) {
            return None;
        }
        match self.attempt(key, || now) {
            Ok(pause) => {
                // Under one for one the strategy has changed since: this child falls, with those of the group that are not
                // up yet.
                let first = if self.settings.strategy == Strategy::OneForAll { 0 } else { key };
                self.fall_together(first, pause);
                Some(Outcome::Restarts)
            }
            Err(limit) => {
                self.end(ExitReason::Error(Arc::new(limit)));
                Some(Outcome::GivesUp)
            }
        }
    }

    /// A group restart is due; with one that is due already it becomes one.
    pub(super) fn fall_together(&mut self, from: u64, pause: Duration) {
        let until = self.next_key;
        let group = self.group.get_or_insert(Group { from, until, pause });
        group.from = group.from.min(from);
        group.until = until;
        group.pause = group.pause.max(pause);
        let from = group.from;
        for entry in self.children.range_mut(from..).map(|(_, entry)| entry) {
            // A child that has been added and was never up is only stopped: its starter hears so, and it goes.
            entry.wanted = entry.options.restart != Restart::Temporary && !entry.is_tentative();
        }
    }

    /// A child that was being started again with its group has been stopped by hand before it was up. Under *rest for one*
    /// those after it rest as well, as they may rely on it; those of other groups do without. What is wanted by a group
    /// that has fallen since is that one's.
    pub(crate) fn taken_back(&mut self, key: u64) {
        let stopped = self.get(key).is_none_or(|entry| entry.halted && entry.state == State::Stopped);
        if stopped && self.settings.strategy == Strategy::RestForOne && self.life == Life::Up {
            let due = self.group;
            let others = |key| !due.is_some_and(|group| group.takes_in(key));
            for (_, entry) in self.children.range_mut(key..).filter(|(key, _)| others(**key)) {
                entry.wanted = false;
            }
        }
    }

    /// A start of several children, `starting` among them if it is given, was interrupted. If a group restart did so, what
    /// has not been started joins that group; otherwise nothing would come back to it.
    pub(crate) fn put_off(&mut self, starting: Option<u64>) {
        let Some(group) = self.group else { return };
        let wanted = self.children.range(..group.from).find(|(_, entry)| entry.wanted).map(|(key, _)| *key);
        if let Some(first) = starting.into_iter().chain(wanted).min().filter(|first| *first < group.from) {
            self.fall_together(first, Duration::ZERO);
        }
    }

    /// A group restart has been interrupted in its pause: what interrupted it takes it over.
    pub(crate) fn resume(&mut self, before: Group) {
        if let Some(group) = &mut self.group {
            group.from = group.from.min(before.from);
            group.until = group.until.max(before.until);
            group.pause = group.pause.max(before.pause);
        }
        self.put_off(None);
    }
}
