//! A callback's future, with a net under it: a panic becomes a reason, a kill ends it at its next await.

use crate::executor::CellRef;
use crate::frame;
use crate::server::GenServer;
use pin_project_lite::pin_project;
use restante_core::word::KILL;
use restante_core::{ExitReason, drop_quietly};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context as Cx, Poll};

pin_project! {
    /// Polls a callback; never touches the state that it borrows.
    pub(crate) struct Guarded<S: GenServer, F> {
        cell: CellRef<S>,
        // Where the context lies that the callback is lent.
        context: usize,
        #[pin]
        future: Option<F>,
    }

    impl<S: GenServer, F> PinnedDrop for Guarded<S, F> {
        fn drop(this: Pin<&mut Self>) {
            // What is dropped with the callback's future may use the context.
            frame::lend(this.context);
        }
    }
}

impl<S: GenServer, F> Guarded<S, F> {
    /// A callback that is lent a context: to be made from [`Context::lend`].
    #[inline(always)]
    pub(crate) fn new((cell, context): (CellRef<S>, usize), future: F) -> Self {
        Self { cell, context, future: Some(future) }
    }
}

impl<S, F, T> Future for Guarded<S, F>
where
    S: GenServer,
    F: Future<Output = Result<T, ExitReason>>,
{
    type Output = Result<T, ExitReason>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        frame::lend(*this.context);
        if this.cell.word().bits() & KILL != 0 {
            // Dropped here, under the net, and not by the loop.
            let mut future = this.future;
            drop_quietly(OnDrop(|| future.set(None)));
            return Poll::Ready(Err(this.cell.doom()));
        }
        let polled = match this.future.as_mut().as_pin_mut() {
            Some(future) => in_net(|| future.poll(cx)),
            None => return Poll::Pending,
        };
        match polled {
            Ok(Poll::Ready(result)) => Poll::Ready(result),
            // The frame tells of replies that were dropped in this poll when the poll is over.
            Ok(Poll::Pending) => Poll::Pending,
            Err(payload) => {
                let reason = ExitReason::from_panic(payload);
                let mut future = this.future;
                drop_quietly(OnDrop(|| future.set(None)));
                Poll::Ready(Err(reason))
            }
        }
    }
}

/// A function of its own: on its way a panic searches the table of landing pads of each function that it leaves, from the
/// front, and the loop around this one has a long one.
#[inline(never)]
fn in_net<R>(poll: impl FnOnce() -> R) -> std::thread::Result<R> {
    catch_unwind(AssertUnwindSafe(poll))
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Tells the callers whose replies were dropped in this poll, now that it is known why.
#[inline(always)]
pub(crate) fn fail_orphans(reason: Option<&ExitReason>) {
    if frame::has_orphans() {
        fail(reason);
    }
}

#[cold]
#[inline(never)]
fn fail(reason: Option<&ExitReason>) {
    for slot in frame::take_orphans() {
        slot.fail(reason.cloned());
    }
}
