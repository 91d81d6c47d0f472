//! Messages that nobody will handle, and why.

use crate::counters::Fate;
use crate::exit::ExitReason;

/// A message that nobody will handle, as it arrives in a dead-letter mailbox.
#[derive(Debug)]
#[non_exhaustive]
pub struct DeadLetter<M> {
    /// The message; `None` where it was in a handler that crashed and no copy was kept.
    pub body: Option<M>,
    /// What the mailbox or the message is called.
    pub name: String,
    /// Why it was not handled.
    pub cause: DeadCause,
    /// How many handlers had started on it.
    pub attempts: u32,
}

/// Why nobody will handle a message.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DeadCause {
    /// Its time was over before a handler got to it.
    Expired,
    /// It made room for another.
    Shed,
    /// Its mailbox closed for this reason.
    Closed(ExitReason),
    /// It was in hand when its handler ended for this reason.
    InHand(ExitReason),
}

impl<M> DeadLetter<M> {
    /// A dead letter.
    pub fn new(body: Option<M>, name: impl Into<String>, cause: DeadCause, attempts: u32) -> Self {
        Self { body, name: name.into(), cause, attempts }
    }
}

impl DeadCause {
    /// The counter that such a message falls under.
    pub fn fate(&self) -> Fate {
        match self {
            Self::Expired => Fate::Expired,
            Self::Shed => Fate::Shed,
            Self::Closed(_) => Fate::DeadLettered,
            Self::InHand(_) => Fate::Failed,
        }
    }
}
