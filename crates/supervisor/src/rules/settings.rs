//! What is fixed of a supervisor, and where it is in its life.

use crate::backoff::Backoff;
use crate::intensity::Intensity;
use crate::strategy::{AutoShutdown, Strategy};
use restante_core::ExitReason;

/// What a supervisor is told about itself.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) strategy: Strategy,
    pub(crate) intensity: Intensity,
    /// The limit was set, and is not the default.
    pub(crate) limit_given: bool,
    pub(crate) backoff: Backoff,
    pub(crate) auto_shutdown: AutoShutdown,
    /// Children come and go: no order among them, and they go together.
    pub(crate) dynamic: bool,
    pub(crate) max_children: usize,
    /// Children that were added later survive a restart of the supervisor.
    pub(crate) keep_children: bool,
}

/// Where a supervisor is in its life.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Life {
    Down,
    Starting,
    Up,
    Ending(ExitReason),
}
