//! Why a message was not taken. Every refusal is a variant of its own and gives the message back.

use crate::exit::ExitReason;
use std::fmt;
use std::time::Duration;

/// A message that was not sent, and why.
#[non_exhaustive]
#[derive(thiserror::Error)]
pub enum SendError<M> {
    /// No room, and the mailbox or the caller does not wait for it. Try again later, or use `send`.
    #[error("the mailbox is full")]
    Full(M),
    /// The mailbox takes nothing any more.
    #[error("the mailbox is closed")]
    Closed(M),
    /// The time to live or the deadline had passed before the message could be queued.
    #[error("the message expired before it was queued")]
    Expired(M),
    /// No room, and everything that waits is worth more: the message itself is what the mailbox sheds.
    #[error("the mailbox shed the message")]
    Shed(M),
    /// The mailbox takes so many per time.
    #[error("the mailbox is rate limited, room again in {retry_after:?}")]
    RateLimited {
        /// The message.
        message: M,
        /// When the next one may come.
        retry_after: Duration,
    },
    /// The message alone is heavier than all that may wait together: it can never fit.
    #[error("the message weighs {weight}, the mailbox holds {limit}")]
    TooHeavy {
        /// The message.
        message: M,
        /// Its weight.
        weight: u32,
        /// The mailbox's limit.
        limit: u64,
    },
    /// No room within the time allowed.
    #[error("no room in the mailbox within the time allowed")]
    Timeout(M),
    /// Waiting for room would close a ring of servers that wait for each other.
    #[error("waiting for room would close a ring of waiting servers: {path}")]
    Cycle {
        /// The message.
        message: M,
        /// The ring.
        path: String,
    },
    /// Blocking here would stop an async worker that may be needed to make room. Use `send(..).await`.
    #[error("a blocking send inside an async runtime would block its worker")]
    WouldBlock(M),
}

impl<M> SendError<M> {
    /// The message.
    pub fn into_message(self) -> M {
        match self {
            Self::Full(m)
            | Self::Closed(m)
            | Self::Expired(m)
            | Self::Shed(m)
            | Self::Timeout(m)
            | Self::WouldBlock(m)
            | Self::RateLimited { message: m, .. }
            | Self::TooHeavy { message: m, .. }
            | Self::Cycle { message: m, .. } => m,
        }
    }

    /// This refusal of another form of the message.
    pub fn map<T>(self, f: impl FnOnce(M) -> T) -> SendError<T> {
        match self {
            Self::Full(m) => SendError::Full(f(m)),
            Self::Closed(m) => SendError::Closed(f(m)),
            Self::Expired(m) => SendError::Expired(f(m)),
            Self::Shed(m) => SendError::Shed(f(m)),
            Self::Timeout(m) => SendError::Timeout(f(m)),
            Self::WouldBlock(m) => SendError::WouldBlock(f(m)),
            Self::RateLimited { message, retry_after } => {
                SendError::RateLimited { message: f(message), retry_after }
            }
            Self::TooHeavy { message, weight, limit } => {
                SendError::TooHeavy { message: f(message), weight, limit }
            }
            Self::Cycle { message, path } => SendError::Cycle { message: f(message), path },
        }
    }

    /// Whether waiting may help: [`Full`](Self::Full) and [`RateLimited`](Self::RateLimited).
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Full(_) | Self::RateLimited { .. } | Self::Timeout(_))
    }

    /// Whether what was addressed is gone, for ever: its mailbox is [`Closed`](Self::Closed).
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Full(_) => "Full",
            Self::Closed(_) => "Closed",
            Self::Expired(_) => "Expired",
            Self::Shed(_) => "Shed",
            Self::RateLimited { .. } => "RateLimited",
            Self::TooHeavy { .. } => "TooHeavy",
            Self::Timeout(_) => "Timeout",
            Self::Cycle { .. } => "Cycle",
            Self::WouldBlock(_) => "WouldBlock",
        };
        write!(f, "{name}(..)")
    }
}

/// The mailbox is closed and everything in it has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox is closed")]
pub struct Closed;

impl Closed {
    /// Whether what was addressed is gone. Always: nothing comes any more, for ever.
    pub fn is_gone(&self) -> bool {
        true
    }
}

/// Nothing to read just now, or never again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TryReceiveError {
    /// Nothing waits.
    #[error("the mailbox is empty")]
    Empty,
    /// The mailbox is closed and everything in it has been read.
    #[error("the mailbox is closed")]
    Closed,
}

/// Why a reader could not have the lease.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The mailbox has a reader. Wait for that reader to end, or monitor the mailbox.
    #[error("the mailbox has a reader already")]
    Leased,
    /// The mailbox is closed and its messages have been settled.
    #[error("the mailbox is closed")]
    Closed,
}

impl TryReceiveError {
    /// Whether what was addressed is gone, for ever: the mailbox is [`Closed`](Self::Closed).
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Closed)
    }
}

impl LeaseError {
    /// Whether what was addressed is gone, for ever: the mailbox is [`Closed`](Self::Closed).
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Closed)
    }
}

/// Why a mailbox could not be made.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A mailbox without room could never take a message.
    #[error("capacity must be at least 1 (leave it out for the default, or ask for `unbounded`)")]
    ZeroCapacity,
    /// A weight limit of 0 fits no message.
    #[error("the weight limit must be at least 1")]
    ZeroWeight,
    /// A rate of 0 messages, or per no time, lets nothing through.
    #[error("a rate limit needs at least one message and a period above zero")]
    ZeroRate,
}

/// Why a mailbox ended, for later questions.
pub(crate) fn closed_reason(reason: Option<&ExitReason>) -> ExitReason {
    reason.cloned().unwrap_or(ExitReason::Normal)
}
