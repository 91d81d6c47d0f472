//! Messages that will not be handled, and why.

use crate::counters::Fate;
use crate::exit::ExitReason;

/// A message that will not be handled, as it arrives in a dead-letter mailbox.
#[derive(Debug)]
#[non_exhaustive]
pub struct DeadLetter<M> {
    /// The message; where a handler had it at a crash: the copy that was kept, or `None` where none was.
    pub body: Option<M>,
    /// What the mailbox is called.
    pub name: String,
    /// What the message is called, where it was in hand at a crash.
    pub message: Option<&'static str>,
    /// Why it was not handled.
    pub cause: DeadCause,
    /// How many handlers had started on it.
    pub attempts: u32,
}

/// Why a message will not be handled.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DeadCause {
    /// Its time was over before a handler got to it.
    Expired,
    /// It made room for another.
    Shed,
    /// Its mailbox closed for this reason.
    Closed(ExitReason),
    /// It was in hand when its server ended for this reason, and its policy gives it up.
    InHand(ExitReason),
}

impl<M> DeadLetter<M> {
    /// A dead letter.
    pub fn new(body: Option<M>, name: impl Into<String>, cause: DeadCause, attempts: u32) -> Self {
        Self { body, name: name.into(), message: None, cause, attempts }
    }
}

impl DeadCause {
    /// The counter that such a message falls under.
    pub fn fate(&self) -> Fate {
        match self {
            Self::Expired => Fate::Expired,
            Self::Shed => Fate::Shed,
            Self::Closed(_) | Self::InHand(_) => Fate::DeadLettered,
        }
    }
}
