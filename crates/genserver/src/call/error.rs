//! Why a call has no reply, and how that is told.

use crate::about::Who;
use crate::cycle::Path;
use crate::executor::Cell;
use crate::frame::Label;
use crate::message::Message;
use crate::server::GenServer;
use crate::slot::{Dead, Outcome};
use restante_core::{ExitReason, SendError};
use std::time::Duration;

/// Why a call has no reply.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No reply within the limit. The server skips the call if it has not come to it yet; if it has, its late reply is
    /// discarded. Who did not answer: [`Call::named`](crate::Call::named), [`ServerRef::about`](crate::ServerRef::about).
    #[error("no reply within the time allowed")]
    Timeout,
    /// Servers would wait for each other in a ring. Use a cast, or answer later, to break it.
    #[error("the call would close a ring of waiting servers: {path}")]
    Cycle {
        /// The ring.
        path: Path,
    },
    /// The server ended with the call in hand (or with the reply it kept), or had ended for good.
    #[error("the server ended: {0}")]
    Exited(ExitReason),
    /// The server dropped the reply and goes on.
    #[error("the server gave no reply")]
    NoReply,
    /// The mailbox is closed.
    #[error("the mailbox is closed")]
    Closed,
    /// No room, and the mailbox's policy is not to wait.
    #[error("the mailbox is full")]
    Full,
    /// The call was shed to make room, or was worth less than all that waits.
    #[error("the mailbox shed the call")]
    Shed,
    /// The mailbox takes so many messages per time.
    #[error("the mailbox is rate limited, room again in {retry_after:?}")]
    RateLimited {
        /// When the next one may come.
        retry_after: Duration,
    },
    /// The call weighs more than the mailbox holds.
    #[error("the call weighs {weight}, the mailbox holds {limit}")]
    TooHeavy {
        /// Its weight.
        weight: u32,
        /// The mailbox's limit.
        limit: u64,
    },
    /// A blocking call inside an async runtime would block its worker. Use `call(..).await`.
    #[error("a blocking call inside an async runtime would block its worker")]
    WouldBlock,
}

impl CallError {
    /// Whether the server is gone: its mailbox is [`Closed`](Self::Closed), or it ended, with the call in hand or for
    /// good ([`Exited`](Self::Exited)). A supervised server may be started again under the same address; one whose mailbox
    /// is closed never is.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Closed | Self::Exited(_))
    }
}

/// The caller's view of what the slot says.
#[inline(always)]
pub(crate) fn settle<S: GenServer, T>(cell: &Cell<S>, outcome: Outcome<T>) -> Result<T, CallError> {
    match outcome {
        Outcome::Value(value) => Ok(value),
        other => unanswered(cell, other),
    }
}

#[cold]
fn unanswered<S: GenServer, T>(cell: &Cell<S>, outcome: Outcome<T>) -> Result<T, CallError> {
    match outcome {
        Outcome::Value(value) => Ok(value),
        Outcome::Failed(Some(reason)) => Err(CallError::Exited(reason)),
        Outcome::Failed(None) if cell.is_closed() && !cell.is_leased() => Err(closed(cell)),
        Outcome::Failed(None) => Err(CallError::NoReply),
        Outcome::Late | Outcome::Dead(Dead::Expired) => Err(CallError::Timeout),
        Outcome::Dead(Dead::Shed) => Err(CallError::Shed),
        Outcome::Dead(Dead::Ended) => {
            let why = cell.closed_reason().or_else(|| cell.doomed());
            Err(why.map_or_else(|| closed(cell), CallError::Exited))
        }
    }
}

/// Closed, and why where that is known.
#[cold]
fn closed<S: GenServer>(cell: &Cell<S>) -> CallError {
    cell.last_exit().map_or(CallError::Closed, |exit| CallError::Exited(exit.reason))
}

#[cold]
pub(crate) fn refusal<S: GenServer>(cell: &Cell<S>, refused: SendError<Message<S>>) -> CallError {
    let error = match &refused {
        SendError::Closed(_) => closed(cell),
        SendError::RateLimited { retry_after, .. } => CallError::RateLimited { retry_after: *retry_after },
        SendError::TooHeavy { weight, limit, .. } => CallError::TooHeavy { weight: *weight, limit: *limit },
        SendError::Expired(_) | SendError::Timeout(_) => CallError::Timeout,
        SendError::WouldBlock(_) => CallError::WouldBlock,
        SendError::Shed(_) => CallError::Shed,
        _ => CallError::Full,
    };
    restante_core::drop_quietly(refused);
    error
}

pub(crate) fn who<S: GenServer>(cell: &Cell<S>) -> Who {
    Who { id: cell.id(), name: cell.name().cloned(), kind: std::any::type_name::<S>() }
}

pub(crate) fn label<S: GenServer>(cell: &Cell<S>) -> Label {
    Label { kind: std::any::type_name::<S>(), name: cell.name().cloned() }
}
