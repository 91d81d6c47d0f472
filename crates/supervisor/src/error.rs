//! What can be wrong with a specification, a start, or an order about one child. How a supervisor that ended tells why lies
//! in its [`ExitReason`](restante_core::ExitReason).

use crate::child_options::ChildId;
use restante_genserver::StartError;
use restante_genserver::cycle::Path;
use std::time::Duration;

/// A specification that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Two children have this id.
    #[error("two children have the id {0}")]
    DuplicateId(ChildId),
    /// It is restarted whatever its end, so its end can end nothing else.
    #[error("child {0} is permanent, so it cannot be significant")]
    SignificantPermanent(ChildId),
    /// The supervisor does not end with its children.
    #[error("child {0} is significant, but its supervisor never ends by itself")]
    SignificantNever(ChildId),
    /// The mailbox, or the supervisor, has a supervisor already.
    #[error("child {0} has a supervisor already")]
    Supervised(ChildId),
    /// Its server runs already, started by no supervisor. It goes on, and its mailbox stays open.
    #[error("child {0} is running already, without a supervisor")]
    Running(ChildId),
    /// The period of a limit of restarts is zero: nothing would ever count. Without a limit:
    /// [`Intensity::UNLIMITED`](crate::Intensity::UNLIMITED).
    #[error("the limit of restarts of {} has a period of zero", whose(.child.as_ref()))]
    ZeroPeriod {
        /// The child whose own limit it is; `None`: the supervisor's.
        child: Option<ChildId>,
    },
    /// A child that fails at once, again and again, would never reach this limit, so long are the pauses of its back-off, which
    /// was set as well. Shorter pauses do, and a back-off without a maximum ([`Backoff::default`](crate::Backoff::default)); to
    /// go on for ever, take [`Intensity::UNLIMITED`](crate::Intensity::UNLIMITED).
    #[error(
        "{max} restarts in {period:?}, the limit of {}, cannot be exceeded with pauses of up to {pause:?}",
        whose(.child.as_ref())
    )]
    CannotTrip {
        /// The child whose own limit or back-off it is; `None`: both are the supervisor's.
        child: Option<ChildId>,
        /// The limit.
        max: u32,
        /// Its period.
        period: Duration,
        /// The longest pause, jitter included.
        pause: Duration,
    },
}

fn whose(child: Option<&ChildId>) -> String {
    child.map_or_else(|| "the supervisor".to_owned(), |id| format!("child {id}"))
}

/// Why a tree did not start.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A specification makes no sense. Nothing was started.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A child did not start ([`ChildNotStarted`](crate::ChildNotStarted) lies in the reason), or something else ended the
    /// start.
    #[error("the supervisor did not start: {0}")]
    Start(#[from] StartError),
}

impl TreeError {
    /// Whether what was to be started, or to run it, is gone ([`StartError::is_gone`] of the supervisor itself; why a child
    /// did not start lies in a reason).
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Start(error) => error.is_gone(),
            Self::Spec(_) => false,
        }
    }
}

/// Why a child was not started.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StartChildError {
    /// A child with this id is running, or is about to.
    #[error("child {0} is running already")]
    AlreadyStarted(ChildId),
    /// A child with this id is there and stopped: [`SupervisorRef::restart_child`](super::SupervisorRef::restart_child)
    /// starts it.
    #[error("child {0} is there already, stopped")]
    AlreadyPresent(ChildId),
    /// The table is full.
    #[error("the supervisor has {active} children of at most {max}")]
    MaxChildren {
        /// In the table, those being restarted included.
        active: usize,
        /// The limit.
        max: usize,
    },
    /// The specification makes no sense.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// It did not start. The specification is gone.
    #[error("the child did not start: {0}")]
    Start(#[from] StartError),
    /// The supervisor is not running, or is about to end.
    #[error("the supervisor is not running")]
    Down,
}

impl StartChildError {
    /// Whether what was addressed is gone: the supervisor ([`Down`](Self::Down)), or the child, as its start
    /// said ([`StartError::is_gone`]).
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Down => true,
            Self::Start(error) => error.is_gone(),
            _ => false,
        }
    }
}

/// Why something could not be done to a child.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// There is no such child.
    #[error("no such child")]
    NotFound,
    /// It is running.
    #[error("the child is running")]
    Running,
    /// It is being restarted.
    #[error("the child is being restarted")]
    Restarting,
    /// It does not end, not even killed.
    #[error("the child does not end")]
    Abandoned,
    /// A handler would wait for the end, or the start, of its own server or of one that waits for it. Nothing was ordered.
    /// What a handler may do instead: [`SupervisorRef::request_stop_child`](super::SupervisorRef::request_stop_child).
    #[error("the wait would close a ring of waiting servers: {path}")]
    Cycle {
        /// The ring.
        path: Path,
    },
    /// It did not start; its specification stays.
    #[error("the child did not start: {0}")]
    Start(#[from] StartError),
    /// The supervisor is not running, or is about to end.
    #[error("the supervisor is not running")]
    Down,
}

impl ChildError {
    /// Whether what was addressed is gone: the child ([`NotFound`](Self::NotFound), or as its start said,
    /// [`StartError::is_gone`]), or the supervisor ([`Down`](Self::Down)).
    pub fn is_gone(&self) -> bool {
        match self {
            Self::NotFound | Self::Down => true,
            Self::Start(error) => error.is_gone(),
            _ => false,
        }
    }
}
