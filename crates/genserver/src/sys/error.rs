//! Why a state verb was not obeyed.

use crate::cycle::Path;
use restante_core::ExitReason;
use std::time::Duration;

/// Why a state verb was not obeyed. Whatever it says, the closure has not run and never will; but for
/// [`SysError::Failed`], where it has and came to nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SysError {
    /// A handler (or `init`) was under way all the time that was allowed.
    #[error("the server is busy with {message}, for {since:?} at least")]
    Busy {
        /// What it is busy with.
        message: &'static str,
        /// For how long, as far as that is known: no longer than it really is. To within some ms.
        since: Duration,
    },
    /// The mailbox has no reader.
    #[error("the server is not running")]
    NotRunning,
    /// The server ended before it came to it.
    #[error("the server ended: {0}")]
    Exited(ExitReason),
    /// The closure failed, or panicked; the state is what it was. (So too, without having run, where a test kit's stand-in
    /// that has no state plays the server.)
    #[error("the function failed, and the state is what it was: {0}")]
    Failed(ExitReason),
    /// The asker is waited for, through others, by the server it asks (or is it).
    #[error("the question would close a ring of waiting servers: {path}")]
    Cycle {
        /// The ring.
        path: Path,
    },
    /// A blocking verb inside an async runtime would block its worker. Use the one that is awaited.
    #[error("a blocking verb inside an async runtime would block its worker")]
    WouldBlock,
}

impl SysError {
    /// Whether the server is gone: none runs, or it ended before it came to the question. A supervised server may be
    /// started again under the same address.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::NotRunning | Self::Exited(_))
    }
}
