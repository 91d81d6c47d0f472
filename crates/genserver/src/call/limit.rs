//! How long a call waits, and whether its caller may run the handler.

use crate::executor::Cell;
use crate::rt::Rt;
use crate::server::GenServer;
use crate::slot::{Outcome, Wait};
use crate::tracker;
use restante_core::shield::Shielded;
use restante_core::timeout;
use std::sync::Arc;
use std::task::{Context as Cx, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// The default limit of a call. It is kept to within a quarter of a second: 5.0 to 5.25 s.
pub const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether callers may run the handler themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CallerRuns {
    /// A call to an idle server of the same runtime runs its handler on the caller's stack, unless handlers have been seen,
    /// twice in a row, to take longer than 2 µs. What a handler can notice: tokio's task-locals, task id and coop budget, and
    /// the current tracing span, are then the caller's. What a caller can notice: a `std` lock that it holds over the call and
    /// that the handler wants blocks for good, where through the mailbox the limit would have freed it.
    #[default]
    Auto,
    /// Handlers run on the server's own task only.
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// The sweep's.
    Default,
    After(Duration),
}

/// A timer for a wait at a server of that runtime. None can be had in a thread's last destructors ([`can_enter`]).
pub(crate) fn timer(
    at: tokio::time::Instant,
    rt: impl FnOnce() -> Option<Arc<Rt>>,
) -> Option<Shielded<Sleep>> {
    match tokio::runtime::Handle::try_current() {
        Ok(_) => return Some(timeout::sleep_until(at)),
        Err(gone) if gone.is_thread_local_destroyed() => return None,
        Err(_) => {}
    }
    // On a foreign executor the server's runtime keeps the time.
    let rt = rt()?;
    let _inside = rt.handle.enter();
    Some(timeout::sleep_until(at))
}

/// Waits at the slot, under the sweep's eyes where the limit is the default.
#[inline]
pub(super) fn watch<S: GenServer, T: Send>(
    wait: &mut Wait<T>,
    limit: Limit,
    cell: &Arc<Cell<S>>,
    cx: &mut Cx<'_>,
) -> Poll<Outcome<T>> {
    if limit != Limit::Default {
        wait.unwatch(tracker::unswept());
        return wait.poll(cx);
    }
    watch_by_sweep(wait, || cell.runner.rt(), cx)
}

/// Waits with the default limit: the sweep of this runtime keeps it, else that of the server's.
#[inline]
pub(crate) fn watch_by_sweep<T: Send>(
    wait: &mut Wait<T>,
    rt: impl FnOnce() -> Option<Arc<Rt>>,
    cx: &mut Cx<'_>,
) -> Poll<Outcome<T>> {
    if wait.is_watched() {
        let polled = wait.poll(cx);
        if polled.is_ready() {
            return polled;
        }
    }
    let mut watched = |rt: &Arc<Rt>| {
        let (sweep, epoch) = rt.epoch();
        wait.watch_once(sweep, epoch);
        let polled = wait.poll(cx);
        if polled.is_pending() {
            rt.watch_over(wait);
        }
        polled
    };
    if let Some(polled) = Rt::with_current(&mut watched) {
        return polled;
    }
    if let Some(rt) = rt() {
        return watched(&rt);
    }
    // Neither the caller nor the server has a runtime: no timer keeps the limit, and no task serves.
    wait.unwatch(0);
    wait.poll(cx)
}
