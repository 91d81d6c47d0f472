//! Servers whose handlers block, on OS threads of their own.
//!
//! Threads of ours poll the task that would else be spawned on the runtime. Nothing else of a server changes: its mailbox, its
//! loop and all who hold its reference do not know the difference.
//!
//! ```text
//!   wake-up ──> queue of runnables ──> a thread: enters the server's runtime, polls the task for a turn
//!                     ▲                                     │
//!                     └──────── more to do: to the back ────┘
//! ```
//!
//! - [`pool`]: what users hold, and how a pool is ended.
//! - [`crew`]: the threads, and the servers that live there.
//! - [`stay`]: a server's task while it lives there, bound to its runtime's life.
//! - [`queue`]: where runnables wait.
//! - [`still`]: tokio's paused clock, which waits for these threads.
//!
//! What deliberately does not live here: who may poll the loop (`executor`).

mod pool;
mod pooled;
mod queue;
#[cfg(all(shuttle, test))]
mod shuttle_tests;
#[cfg_attr(shuttle, path = "still_shuttle.rs")]
mod still;
mod workers;

pub use pool::{PoolReport, ThreadPool, ThreadPoolBuilder};
pub(crate) use pooled::task;

use std::io;

/// Which threads a server runs on.
#[derive(Debug, Clone)]
pub(crate) enum Threads {
    /// One of its own.
    Own,
    Shared(ThreadPool),
}

/// Why there is no thread for a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ThreadError {
    /// The operating system made none.
    #[error("the system made no thread: {message}")]
    Spawn {
        /// What kind of failure.
        kind: io::ErrorKind,
        /// The system's own words.
        message: String,
    },
    /// The pool has been shut down ([`ThreadPool::shutdown`]).
    #[error("the thread pool has been shut down")]
    ShutDown,
}

impl ThreadError {
    /// Whether the pool is gone, for ever ([`ShutDown`](Self::ShutDown)).
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::ShutDown)
    }
}
