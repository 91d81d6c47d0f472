//! What others' wakers do is nothing to us: one that panics is reported, and the next one is woken.

use restante_core::ExitReason;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Runs what may wake somebody.
pub(crate) fn run(wakes: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(wakes)) {
        let reason = ExitReason::from_panic(payload);
        tracing::error!(%reason, "a waker panicked");
    }
}

/// Wakes.
pub(crate) fn wake(waker: Waker) {
    run(|| waker.wake());
}
