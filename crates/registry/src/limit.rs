//! Limits and pauses wherever one waits: by the clock of the runtime that one is in, else (on another executor, or in a runtime
//! without a time driver) by that of the runtime which registries without one share.

#[cfg(not(shuttle))]
use std::future::Future;
#[cfg(not(shuttle))]
use std::time::Duration;

/// As [`restante_core::timeout::at_most`], anywhere.
#[cfg(not(shuttle))]
pub(crate) async fn at_most<F: Future + Unpin>(limit: Duration, future: &mut F) -> Option<F::Output> {
    if limit.is_zero() || limit == Duration::MAX || here::keeps_time() {
        return restante_core::timeout::at_most(limit, future).await;
    }
    match futures::future::select(future, elsewhere::timer(limit)).await {
        futures::future::Either::Left((output, _)) => Some(output),
        futures::future::Either::Right(_) => None,
    }
}

/// A pause.
#[cfg(not(shuttle))]
pub(crate) async fn sleep(pause: Duration) {
    if here::keeps_time() {
        return tokio::time::sleep(pause).await;
    }
    // (That runtime never ends.)
    let _ = elsewhere::timer(pause).await;
}

/// The runtime that one is in.
#[cfg(not(shuttle))]
mod here {
    use std::cell::Cell;
    use std::panic::catch_unwind;
    use std::time::Duration;
    use tokio::runtime::{Handle, Id};

    thread_local! {
        /// The one that this thread was last seen in, and whether it keeps time.
        static SEEN: Cell<Option<(Id, bool)>> = const { Cell::new(None) };
    }

    /// Whether there is one that keeps time.
    pub(super) fn keeps_time() -> bool {
        let Ok(runtime) = Handle::try_current() else { return false };
        let id = runtime.id();
        if let Some((seen, timed)) = SEEN.get()
            && seen == id
        {
            return timed;
        }
        // (Tokio says by a panic, and in no other way, that there is no time driver.)
        let timed = catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok();
        if !timed {
            warn_of_no_timer();
        }
        SEEN.set(Some((id, timed)));
        timed
    }

    /// Said once: what the user's own futures time there panics.
    fn warn_of_no_timer() {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            tracing::warn!(
                "a registry is used on a tokio runtime without a time driver: its limits are kept by a thread of its own; \
                 call `enable_time` on the runtime's builder"
            );
        });
    }
}

/// The runtime that registries without one share.
#[cfg(not(shuttle))]
mod elsewhere {
    use crate::background;
    use std::time::Duration;
    use tokio_util::task::AbortOnDropHandle;

    /// Dropped, nothing is left of it there.
    pub(super) fn timer(limit: Duration) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(background::runtime().spawn(async move { tokio::time::sleep(limit).await }))
    }
}

#[cfg(shuttle)]
pub(crate) use restante_core::timeout::at_most;
#[cfg(shuttle)]
pub(crate) use tokio::time::sleep;
