//! The reaper: asynchronous clean-up that outlives what asked for it.
//!
//! A `Drop` may not spawn, block or panic; it hands its clean-up over instead. The reaper runs it on the runtime it was
//! made for, and a shutdown awaits what it has been given.

use std::fmt;
use std::future::Future;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// Runs clean-up futures and can be waited for. Cheap to clone: all clones are one reaper.
#[derive(Clone)]
pub struct Reaper {
    tracker: TaskTracker,
    runtime: Handle,
}

impl Reaper {
    /// A reaper that works on this runtime.
    pub fn new(runtime: Handle) -> Self {
        let tracker = TaskTracker::new();
        // Closed from the start, which keeps nothing out: it lets those who wait see the end. (Closing and opening it
        // again for each drain would leave one drain waiting when another is over.)
        tracker.close();
        Self { tracker, runtime }
    }

    /// Hands over a clean-up. From anywhere: a plain thread, another runtime, an unwinding stack. A panic in it is
    /// logged and goes no further. When the runtime has shut down already the future is dropped unpolled.
    pub fn hand_over(&self, cleanup: impl Future<Output = ()> + Send + 'static) {
        let guarded = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(cleanup));
        self.tracker.spawn_on(
            async move {
                if let Err(payload) = guarded.await {
                    let reason = crate::ExitReason::from_panic(payload);
                    tracing::error!(%reason, "a clean-up panicked");
                }
            },
            &self.runtime,
        );
    }

    /// How many are under way.
    pub fn pending(&self) -> usize {
        self.tracker.len()
    }

    /// Waits until all that was handed over is done, at most so long; how many were left then. More can be handed over
    /// meanwhile and afterwards.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting, not the clean-up.
    pub async fn drain(&self, limit: Duration) -> usize {
        let mut wait = crate::shield::shield(self.tracker.wait());
        crate::timeout::at_most(limit, &mut wait).await;
        self.tracker.len()
    }
}

impl fmt::Debug for Reaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reaper({} pending)", self.pending())
    }
}
