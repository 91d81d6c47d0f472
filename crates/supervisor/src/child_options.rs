//! What is fixed of a child beside how it is started: its id, its kind, when it is restarted, how it is stopped.

use crate::backoff::Backoff;
use crate::intensity::Intensity;
use crate::restart::Restart;
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Names a child within its supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildId(Arc<str>);

impl ChildId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for ChildId {
    fn from(id: T) -> Self {
        Self(id.into())
    }
}

impl Borrow<str> for ChildId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a supervisor ends a child.
///
/// A [task](crate::task) has neither a message in hand nor a `terminate`: it is aborted at its next await in any case.
/// `BrutalKill` makes its reason [`ExitReason::Killed`](restante_core::ExitReason::Killed) and waits for it at most 1 s; the
/// other two make it `Shutdown`, and wait as long as they say. Then it is given up.
///
/// Source: OTP `supervisor`, the child specification's `shutdown`. Differs: a server need not trap exits for its
/// `terminate` to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// Killed at once, at its next await; `terminate` does not run.
    BrutalKill,
    /// Ordered to stop after the message in hand, by way of the control lane; killed when it has not ended by then.
    Timeout(Duration),
    /// Ordered to stop, and waited for as long as it takes. (For supervisors; a worker that hangs would hang the tree.)
    Infinity,
}

impl Shutdown {
    /// What workers get unless told otherwise: 5 s.
    pub const WORKER: Self = Self::Timeout(Duration::from_secs(5));
}

/// Worker or supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum ChildKind {
    /// Anything but a supervisor.
    Worker,
    /// A supervisor.
    Supervisor,
}

/// The part of a specification that can be changed while the child lives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildOptions {
    /// When it is restarted (default: permanent).
    pub restart: Restart,
    /// How it is ended (default: workers 5 s, supervisors infinity).
    pub shutdown: Shutdown,
    /// Whether its end may end the supervisor (default: no). See [`AutoShutdown`](crate::AutoShutdown).
    pub significant: bool,
    /// A limit of its own, beside the supervisor's (default: none). A period of zero is refused.
    pub intensity: Option<Intensity>,
    /// A back-off of its own in place of the supervisor's (default: none).
    pub backoff: Option<Backoff>,
    /// Whether what is queued waits while the child is stopped and its specification stays (default: yes); else it is
    /// dead-lettered.
    pub keep_mailbox: bool,
    /// When it is a supervisor that gives up: whether the one above gives up as well, at once, rather than restart
    /// it (default: no).
    pub escalate: bool,
}

impl ChildOptions {
    pub(crate) fn of(kind: ChildKind) -> Self {
        Self {
            restart: Restart::Permanent,
            shutdown: match kind {
                ChildKind::Worker => Shutdown::WORKER,
                ChildKind::Supervisor => Shutdown::Infinity,
            },
            significant: false,
            intensity: None,
            backoff: None,
            keep_mailbox: true,
            escalate: false,
        }
    }
}
