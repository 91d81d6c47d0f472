//! Stopping one child: how it is told, how long it is waited for, when it is killed, and when it is left behind. In which
//! order several are stopped is not decided here.

use super::notes::{absorb, note_killed, note_late};
use crate::branch::{SupervisorCore, SupervisorState};
use crate::child::Child;
use crate::child_options::{ChildKind, Shutdown};
use crate::rt::at_most;
use crate::rules::{Kill, Stopping};
use restante_core::{ExitReason, quiet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Stops one child, within its own limit, and waits until it is down. False: it is not, and was abandoned. `by_hand`: a
/// group restart under way will not start it again, and the end of the whole does not count it.
pub(crate) async fn stop_one(branch: &Arc<SupervisorCore>, key: u64, by_hand: bool) -> bool {
    let (stopping, told) = {
        let mut locked = branch.lock();
        let stopping = stops(&mut locked, key, by_hand);
        // A caller that has no hope of its end does not wait for it: each would stay in the list of those who do.
        let listens = !matches!(stopping, Stopping::Abandoned);
        let told = listens.then(|| locked.rules.listen(key)).flatten();
        (stopping, told)
    };
    let (child, incarnation, limit) = match stopping {
        Stopping::Down => return true,
        Stopping::Abandoned => return false,
        Stopping::Cancelled(tell) => {
            branch.cancelled(key, tell);
            return true;
        }
        Stopping::Unbegun => {
            if let Some(told) = told {
                let _ = told.await;
            }
            return true;
        }
        Stopping::Tell { child, incarnation, in_init, shutdown } => {
            order(&*child, incarnation, shutdown, in_init);
            (child, incarnation, limit(shutdown))
        }
    };
    let Some(mut told) = told else { return true };
    let late = match limit {
        Some(limit) => at_most(limit, &mut told).await.is_none().then_some(limit),
        None => None,
    };
    if let Some(limit) = late {
        note_late(&mut branch.lock(), key, limit, by_hand);
        child.kill(incarnation, ExitReason::Killed);
    }
    let down = (late.is_none() && limit.is_some())
        || at_most(branch.patience_with(&child), &mut told).await.is_some();
    if !down {
        abandon(branch, key);
    }
    if !by_hand {
        absorb(branch, key, &child, down);
    }
    down
}

/// Decides how a child is stopped, and notes that it is killed if it is.
pub(super) fn stops(locked: &mut SupervisorState, key: u64, by_hand: bool) -> Stopping<Arc<dyn Child>> {
    let mut stopping = locked.rules.stops(key, by_hand);
    if let Stopping::Tell { shutdown, .. } = &mut stopping {
        if locked.brutal {
            *shutdown = Shutdown::BrutalKill;
        }
        match locked.late.filter(|_| locked.brutal) {
            Some(limit) => note_late(locked, key, limit, by_hand),
            None if locked.brutal => note_killed(locked, key),
            None if *shutdown == Shutdown::BrutalKill => drop(locked.rules.kills(key, Kill::Plain)),
            None => {}
        }
    }
    stopping
}

/// How long a child may take; `None`: it is killed without that.
pub(super) fn limit(shutdown: Shutdown) -> Option<Duration> {
    match shutdown {
        Shutdown::BrutalKill => None,
        Shutdown::Timeout(limit) => Some(limit),
        Shutdown::Infinity => Some(Duration::MAX),
    }
}

/// Tells an incarnation to end, in the way that fits.
pub(super) fn order(child: &dyn Child, incarnation: u32, shutdown: Shutdown, in_init: bool) {
    if shutdown == Shutdown::BrutalKill {
        child.kill(incarnation, ExitReason::Killed);
    } else if in_init && child.kind() == ChildKind::Worker {
        // There is no state that `terminate` could clean up: it need not come to the end of `init`.
        child.kill(incarnation, ExitReason::Shutdown);
    } else {
        child.order_stop(incarnation, ExitReason::Shutdown);
    }
}

/// A child does not end: it is left behind.
pub(super) fn abandon(branch: &Arc<SupervisorCore>, key: u64) {
    let child = {
        let mut locked = branch.lock();
        locked.rules.abandon(key);
        SupervisorCore::id_of(&locked, key)
    };
    branch.tell(Vec::new());
    quiet::run("a tracing subscriber", || {
        tracing::error!(supervisors = %branch.path(), %child, "a child does not stop, not even killed: it is abandoned");
    });
}

impl SupervisorCore {
    /// A child will not be restarted after the pause that it waits out: it is down.
    pub(super) fn cancelled(&self, key: u64, tell: Vec<oneshot::Sender<()>>) {
        let over = self.lock().closes_for_good(key);
        self.close_over(over);
        self.tell(tell);
    }

    /// How long a killed child may take to be down.
    pub(super) fn patience_with(&self, child: &Arc<dyn Child>) -> Duration {
        match Arc::clone(child).as_branch() {
            None => self.grace,
            // It abandons what is below it first, so that it is down, and can say so, before it is abandoned itself.
            Some(below) => self.grace.max(SLACK).saturating_add(below.patience()),
        }
    }

    /// How long it may take itself, once it is killed.
    fn patience(&self) -> Duration {
        let below: Vec<_> = {
            let locked = self.lock();
            if locked.rules.supervisors == 0 {
                return self.grace;
            }
            let all = locked.rules.children.values().map(|entry| &entry.child);
            all.filter(|child| child.kind() == ChildKind::Supervisor).cloned().collect()
        };
        below.iter().map(|child| self.patience_with(child)).fold(self.grace, Duration::max)
    }
}

/// What a supervisor is given beyond the time that it gives others, however little that is.
const SLACK: Duration = Duration::from_millis(100);
