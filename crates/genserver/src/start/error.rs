//! Why a server did not start.

use crate::cycle::Path;
use crate::thread::ThreadError;
use restante_core::{ExitReason, SettingsError};

/// Why a server did not start.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// `init` said that there is nothing to serve. No failure.
    #[error("the server had nothing to serve")]
    Ignored,
    /// `init` failed, panicked, or was killed. Everything that it had made is gone by now.
    #[error("init failed: {0}")]
    Failed(ExitReason),
    /// `init` took too long, and was killed. It is gone by now, unless it went another second without an await.
    #[error("init did not end within the time allowed")]
    Timeout,
    /// Another incarnation reads the mailbox.
    #[error("the server is running already")]
    AlreadyStarted,
    /// The mailbox belongs to a supervisor, which has not asked for this start (or does no longer).
    #[error("only its supervisor starts this server")]
    Supervised,
    /// The mailbox is closed.
    #[error("the mailbox is closed")]
    Closed,
    /// Neither is this thread in a tokio runtime, nor was one given
    /// ([`ServerSettings::runtime`](crate::ServerSettings::runtime)).
    #[error("no tokio runtime to run on")]
    NoRuntime,
    /// No thread for the server ([`ServerSettings::own_thread`](crate::ServerSettings::own_thread),
    /// [`ServerSettings::thread_pool`](crate::ServerSettings::thread_pool)).
    #[error(transparent)]
    Thread(#[from] ThreadError),
    /// The settings make no mailbox.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The server is waited for, through others, by the one that starts it.
    #[error("the start would close a ring of waiting servers: {path}")]
    Cycle {
        /// The ring.
        path: Path,
    },
}

impl StartError {
    /// Whether what was to be started, or to run it, is gone, so that no server will ever start there: the mailbox is
    /// [`Closed`](Self::Closed), or the thread pool has been shut down ([`ThreadError::is_gone`]).
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Closed => true,
            Self::Thread(error) => error.is_gone(),
            _ => false,
        }
    }
}
