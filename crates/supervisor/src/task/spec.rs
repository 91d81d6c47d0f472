//! When a child starts again, and how it is ended.

use restante_core::ExitReason;
use std::time::Duration;

/// How long a task is waited for when it is ended, unless its options say otherwise: 5 s.
pub const DEFAULT_SHUTDOWN: Duration = Duration::from_secs(5);

/// How long a killed task is waited for. An abort takes effect as soon as the runtime gets to it, so that whoever needs
/// longer is not awaiting anything.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// When a child that has ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Restart {
    /// Always.
    Permanent,
    /// When it failed: its reason was neither normal nor a shutdown.
    Transient,
    /// Never.
    Temporary,
}

/// How a child is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// It is killed: its reason is [`ExitReason::Killed`]. It is waited for at most 1 s.
    BrutalKill,
    /// It is told to shut down, waited for at most so long, then given up.
    Timeout(Duration),
    /// It is told to shut down and waited for, however long that takes.
    Infinity,
}

impl Shutdown {
    /// The reason that a task ended in this way has.
    pub(super) fn reason(self) -> ExitReason {
        match self {
            Self::BrutalKill => ExitReason::Killed,
            Self::Timeout(_) | Self::Infinity => ExitReason::Shutdown,
        }
    }

    /// How long it is waited for.
    pub(super) fn limit(self) -> Duration {
        match self {
            Self::BrutalKill => KILL_GRACE,
            Self::Timeout(limit) => limit,
            Self::Infinity => Duration::MAX,
        }
    }
}
