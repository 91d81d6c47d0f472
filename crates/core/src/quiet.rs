//! Foreign code under a net: the one road to a waker's `wake` and drop, and to closures of users, from our rooms.
//!
//! A waker, a `Drop` and a closure are foreign code: each may panic, re-enter the mailbox, or leave a payload whose own
//! drop panics. A holder of RUN or of a lock of ours calls none of it; what is collected there is passed to this room
//! afterwards. Nothing here unwinds: a panic is reported to `tracing` and the caller goes on.
//!
//! A waker's `clone` is not here: it runs on the stack of the future that was polled with that waker, before anything of
//! ours is touched, and its panic belongs to that future's poller.

use crate::exit::{ExitReason, drop_quietly};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Runs foreign code; `None`, and an event at ERROR that says `what`, where it panicked.
pub fn run<R>(what: &'static str, foreign: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(foreign)) {
        Ok(done) => Some(done),
        Err(payload) => {
            report(what, &ExitReason::from_panic(payload));
            None
        }
    }
}

/// Wakes a task.
#[inline]
pub fn wake(waker: Waker) {
    run("a waker", || waker.wake());
}

/// Wakes a task, and keeps the waker.
#[inline]
pub fn wake_by_ref(waker: &Waker) {
    run("a waker", || waker.wake_by_ref());
}

/// Drops a value of the user's, a waker among them.
#[inline]
pub fn discard<T>(what: &'static str, value: T) {
    if std::mem::needs_drop::<T>()
        && let Some(reason) = drop_quietly(value)
    {
        report(what, &reason);
    }
}

/// A subscriber is foreign code as well: its panic is dropped with the event.
#[cold]
fn report(what: &'static str, reason: &ExitReason) {
    let told = catch_unwind(AssertUnwindSafe(|| tracing::error!(%reason, "{what} panicked")));
    if let Err(payload) = told {
        drop_quietly(payload);
    }
}
