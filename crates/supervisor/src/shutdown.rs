//! What did not go as it should when a tree was stopped.

use restante_core::ExitReason;
use std::fmt;
use std::time::Duration;

/// What came of stopping a supervisor and all that is below it. Paths are ids from the topmost supervisor down, with `/` between.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// How many children were running and have ended.
    pub stopped: usize,
    /// Children that had not ended within their limit and were killed, with that limit.
    pub killed: Vec<(String, Duration)>,
    /// Children that have not ended even so: blocked in a handler that does not await. They are left behind.
    pub abandoned: Vec<String>,
    /// Children that ended for another reason than they were given.
    pub unexpected: Vec<(String, ExitReason)>,
}

impl ShutdownReport {
    /// Whether every child ended in order and in time.
    pub fn is_clean(&self) -> bool {
        self.killed.is_empty() && self.abandoned.is_empty() && self.unexpected.is_empty()
    }

    /// Takes over what a supervisor below reports.
    pub(crate) fn absorb(&mut self, id: &str, other: Self) {
        let under = |path: String| format!("{id}/{path}");
        self.stopped += other.stopped;
        self.killed.extend(other.killed.into_iter().map(|(path, limit)| (under(path), limit)));
        self.abandoned.extend(other.abandoned.into_iter().map(under));
        self.unexpected.extend(other.unexpected.into_iter().map(|(path, why)| (under(path), why)));
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
