//! What did not go as it should when a tree was stopped.

use crate::path::step;
use restante_core::ExitReason;
use restante_genserver::cycle::Path;
use std::fmt;
use std::time::Duration;

/// How far a stop had to go; a later one is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Stage {
    /// Every child ended in its own way, each within its limit: after the message in hand, and after `terminate`.
    #[default]
    Drain,
    /// Some had to be killed, which ends them at their next await.
    Cancel,
    /// Some did not end even so, and were left behind.
    Abandon,
}

/// What came of stopping a supervisor and all that is below it.
///
/// A path is the ids from that supervisor down, its own not included, with `/` between: as in
/// [`Tree::find`](crate::Tree::find). The lists are no longer than there are children.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// How far it had to go.
    pub stage: Stage,
    /// How many workers were running and have ended. (Supervisors are not counted.)
    pub stopped: usize,
    /// Children that had not ended in time and were killed, with the time that they had: their own limit, or, where the
    /// whole was late, how long it had been ending. A supervisor stands for those below it that it had not come to.
    pub killed: Vec<(String, Duration)>,
    /// Children that have not ended even so: blocked in a handler that does not await. They are left behind.
    pub abandoned: Vec<String>,
    /// Children that ended for another reason than they were given.
    pub unexpected: Vec<(String, ExitReason)>,
    /// Nothing was ordered, and nothing has been stopped: the handler that asked would have waited for the end of its own
    /// server, or of one that waits for it. The ring. ([`SupervisorRef::request_stop`](crate::SupervisorRef::request_stop)
    /// waits for nothing.)
    pub cycle: Option<Path>,
}

impl ShutdownReport {
    /// Whether every child ended in order and in time; false as well where nothing was ordered ([`ShutdownReport::cycle`]).
    pub fn is_clean(&self) -> bool {
        self.stage == Stage::Drain && self.unexpected.is_empty() && self.cycle.is_none()
    }

    /// It had to go as far as this.
    pub(crate) fn went_to(&mut self, stage: Stage) {
        self.stage = self.stage.max(stage);
    }

    /// Takes over what a supervisor below reports.
    pub(crate) fn absorb(&mut self, id: &str, other: Self) {
        let id = step(id);
        let under = |path: String| format!("{id}/{path}");
        self.went_to(other.stage);
        self.stopped += other.stopped;
        self.killed.extend(other.killed.into_iter().map(|(path, limit)| (under(path), limit)));
        self.abandoned.extend(other.abandoned.into_iter().map(under));
        self.unexpected.extend(other.unexpected.into_iter().map(|(path, why)| (under(path), why)));
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.cycle {
            return write!(f, "not stopped: the wait would close a ring of waiting servers: {path}");
        }
        write!(f, "{} stopped", self.stopped)?;
        for (path, limit) in &self.killed {
            write!(f, "; {path} was killed after {limit:?}")?;
        }
        for (path, reason) in &self.unexpected {
            write!(f, "; {path} ended otherwise: {reason}")?;
        }
        for path in &self.abandoned {
            write!(f, "; {path} did not stop and was abandoned")?;
        }
        Ok(())
    }
}
