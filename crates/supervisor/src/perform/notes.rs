//! What is noted for the report of a supervisor's end ([`ShutdownReport`](crate::ShutdownReport)) while its children are being
//! stopped. The report itself lives in [`crate::shutdown`].

use crate::branch::{SupervisorCore, SupervisorState};
use crate::child::Child;
use crate::path::step;
use crate::rules::{Kill, Life};
use crate::shutdown::Stage;
use std::sync::Arc;
use std::time::Duration;

/// A child is killed with everything else.
pub(super) fn note_killed(locked: &mut SupervisorState, key: u64) {
    locked.rules.kills(key, Kill::Plain);
    locked.report.went_to(Stage::Cancel);
}

/// A child had so long, and is killed.
pub(super) fn note_late(locked: &mut SupervisorState, key: u64, limit: Duration, by_hand: bool) {
    let first = locked.rules.kills(key, Kill::Late);
    if first && !by_hand && matches!(locked.rules.life, Life::Ending(_)) {
        let id = SupervisorCore::id_of(locked, key);
        locked.report.went_to(Stage::Cancel);
        locked.report.killed.push((step(id.as_str()).into_owned(), limit));
    }
}

/// Takes what there is to say of a child into the report of the whole's end, if it is that. A supervisor has its own
/// report; one that was abandoned has said what it knew by then.
pub(super) fn absorb(branch: &Arc<SupervisorCore>, key: u64, child: &Arc<dyn Child>, down: bool) {
    let below = Arc::clone(child).as_branch().map(|below| below.lock().report.clone());
    let mut locked = branch.lock();
    if !matches!(locked.rules.life, Life::Ending(_)) {
        return;
    }
    match below {
        Some(below) => {
            let id = SupervisorCore::id_of(&locked, key);
            locked.report.absorb(id.as_str(), below);
        }
        None => locked.report.stopped += usize::from(down),
    }
}
