//! How an entry of a registry ended.

use restante_core::ExitReason;
use std::fmt;

/// How an entry ended, and why: what watchers and events are told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Ending {
    /// Who ended it.
    pub outcome: Outcome,
    /// Why the mailbox closed; why the entry was taken out, where the mailbox lives on.
    pub reason: ExitReason,
}

/// Who ended an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Its mailbox closed: the last reference went, its server ended for good, or a caller closed it.
    Closed,
    /// The registry was told to destroy it.
    Destroyed,
    /// It was taken out; the mailbox lives on, without names.
    Removed,
    /// Its creation was given up after it had succeeded: the caller did not take what was created.
    Abandoned,
    /// Its registry ended.
    RegistryEnded,
}

impl Ending {
    /// Whether the mailbox has gone with the entry, or all entries have.
    pub(crate) fn is_of_the_mailbox(&self) -> bool {
        match self.outcome {
            Outcome::Closed | Outcome::Destroyed | Outcome::RegistryEnded => true,
            Outcome::Removed | Outcome::Abandoned => false,
        }
    }

    pub(crate) fn new(outcome: Outcome, reason: ExitReason) -> Self {
        Self { outcome, reason }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Closed => "its mailbox closed",
            Outcome::Destroyed => "it was destroyed",
            Outcome::Removed => "it was taken out",
            Outcome::Abandoned => "its creation was given up",
            Outcome::RegistryEnded => "its registry ended",
        })
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.outcome, self.reason)
    }
}
