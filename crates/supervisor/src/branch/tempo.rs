//! How long a supervisor may take to give up, for those above to be able to: asked of the one above when it begins, and
//! passed down when that changes ([`crate::tempo`] says what follows from it).
//!
//! Two may be at it at once for the same supervisor, one that begins it and one that changes something above. Each looks
//! again after it has written whether what it was told still holds, so that what is written last is what holds.

use super::SupervisorCore;
use crate::child::Child;
use std::sync::Arc;
use std::time::Duration;

impl SupervisorCore {
    /// Asks the supervisor above. False: no change.
    pub(super) fn hear_of_tempo(self: &Arc<Self>) -> bool {
        let (mut above, mut version) = self.tempo_above();
        let mut changed = false;
        loop {
            changed |= self.lock().rules.hear_of_tempo(above);
            let before = version;
            (above, version) = self.tempo_above();
            if before == version {
                return changed;
            }
        }
    }

    fn tempo_above(&self) -> (Option<Duration>, u64) {
        self.parent().map_or((None, 0), |(parent, key)| parent.lock().rules.tempo_below(key))
    }

    /// Tells those below that something has changed.
    pub(crate) fn pass_tempo(&self) {
        let below: Vec<_> = {
            let locked = self.lock();
            if locked.rules.supervisors == 0 {
                return;
            }
            locked.rules.children.values().map(|entry| Arc::clone(&entry.child)).collect()
        };
        for branch in below.into_iter().filter_map(Child::as_branch) {
            if branch.hear_of_tempo() {
                branch.pass_tempo();
            }
        }
    }
}
