//! Which limits count a child's restarts: those in the table, and what those further up leave to the whole. What follows from
//! them lies in [`crate::tempo`].

use super::settings::Settings;
use super::table::Rules;
use crate::tempo::Tempo;
use std::time::Duration;

impl<C: Clone> Rules<C> {
    /// What the supervisor with this key may take to give up, and what to compare to see whether that still holds.
    pub(crate) fn tempo_below(&self, key: u64) -> (Option<Duration>, u64) {
        let below = self.get(key).and_then(|entry| {
            let options = &entry.options;
            let set = options.backoff.unwrap_or(self.settings.backoff).longest();
            Tempo::new(self.settings.intensity, options.intensity, self.above).below(options.escalate, set)
        });
        (below, self.changes)
    }

    /// What those above leave to the whole. False: no change.
    pub(crate) fn hear_of_tempo(&mut self, above: Option<Duration>) -> bool {
        if self.above == above {
            return false;
        }
        self.above = above;
        self.changes += 1;
        true
    }

    /// The settings, or the options of children, change.
    pub(crate) fn change_settings(&mut self, settings: Settings) {
        self.settings = settings;
        self.changes += 1;
    }
}
