//! What the crate's [`Shutdown`] means for a task: the reason that it has, and how long it is waited for. A task is ended
//! in one way only, an abort at its next await. What a server makes of the same word lives with the supervisor of servers.

use crate::child_options::Shutdown;
use restante_core::ExitReason;
use std::time::Duration;

/// How long a killed task is waited for. An abort takes effect as soon as the runtime gets to it, so a task that needs
/// longer is not awaiting anything.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// The reason that a task ended in this way has.
pub(super) fn reason(how: Shutdown) -> ExitReason {
    match how {
        Shutdown::BrutalKill => ExitReason::Killed,
        Shutdown::Timeout(_) | Shutdown::Infinity => ExitReason::Shutdown,
    }
}

/// How long it is waited for.
pub(super) fn limit(how: Shutdown) -> Duration {
    match how {
        Shutdown::BrutalKill => KILL_GRACE,
        Shutdown::Timeout(limit) => limit,
        Shutdown::Infinity => Duration::MAX,
    }
}
