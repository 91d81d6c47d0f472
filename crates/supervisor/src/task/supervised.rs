//! The future that runs a task: a net under it, and the one place in which every task ends.

use super::record::Record;
use super::supervisor::Table;
use pin_project_lite::pin_project;
use restante_core::{ExitReason, drop_quietly, quiet};
use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Cx, Poll};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Span;

pin_project! {
    /// Polls a task's future in its starter's span. Whether it returns, panics or is aborted: the future is dropped,
    /// then the end is told.
    pub(super) struct Supervised<F> {
        #[pin]
        future: Option<F>,
        ending: Ending,
    }

    impl<F> PinnedDrop for Supervised<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.ending.settled.get() {
                return;
            }
            let _in = Entered::new(&this.ending.span);
            if this.future.is_some() {
                this.ending.drop_future(|| this.future.set(None));
            }
            this.ending.settle(Ended::Aborted);
        }
    }
}

impl<F> Supervised<F> {
    pub(super) fn new(future: F, ending: Ending) -> Self {
        Self { future: Some(future), ending }
    }
}

impl<F, T> Future for Supervised<F>
where
    F: Future<Output = Result<T, ExitReason>>,
{
    type Output = Result<T, ExitReason>;

    fn poll(self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let _in = Entered::new(&this.ending.span);
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Pending };
        let outcome = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(outcome)) => outcome,
            Err(payload) => Err(ExitReason::from_panic(payload)),
        };
        this.ending.drop_future(|| this.future.set(None));
        this.ending.settle(match &outcome {
            Ok(_) => Ended::Returned(&ExitReason::Normal),
            Err(reason) => Ended::Returned(reason),
        });
        Poll::Ready(outcome)
    }
}

/// How a task's future came to its end.
#[derive(Clone, Copy)]
enum Ended<'a> {
    /// By itself.
    Returned(&'a ExitReason),
    /// By being dropped.
    Aborted,
}

/// What a task does at its end.
pub(super) struct Ending {
    record: Arc<Record>,
    table: Arc<Table>,
    span: ItsSpan,
    settled: Cell<bool>,
    /// The last to go: a caller that waits for the token finds everything done.
    _token: TaskTrackerToken,
}

/// The span of who started it. Its subscriber is not ours, here and in [`Entered`].
struct ItsSpan(Span);

impl Drop for ItsSpan {
    fn drop(&mut self) {
        quiet::discard("a span", std::mem::replace(&mut self.0, Span::none()));
    }
}

/// In that span, until this is dropped.
struct Entered<'a>(Option<tracing::span::Entered<'a>>);

impl<'a> Entered<'a> {
    fn new(span: &'a ItsSpan) -> Self {
        Self(quiet::run("a tracing subscriber", || span.0.enter()))
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        quiet::discard("a tracing subscriber", self.0.take());
    }
}

impl Ending {
    pub(super) fn new(record: Arc<Record>, table: Arc<Table>, span: Span, token: TaskTrackerToken) -> Self {
        Self { record, table, span: ItsSpan(span), settled: Cell::new(false), _token: token }
    }

    fn drop_future(&self, drop_it: impl FnMut()) {
        if let Some(reason) = drop_quietly(OnDrop(drop_it)) {
            let (supervisor, task) = (self.table.label(), &*self.record.name);
            quiet::run("a tracing subscriber", || {
                tracing::error!(supervisor, task, id = %self.record.id, %reason, "a task's future panicked in its drop");
            });
        }
    }

    /// Leaves the table, then emits the event, then tells those who wait.
    fn settle(&self, ended: Ended<'_>) {
        self.settled.set(true);
        let (record, supervisor) = (&self.record, self.table.label());
        self.table.leave(record.id);
        let (id, task) = (record.id, &*record.name);
        let aborted;
        let reason = match ended {
            Ended::Returned(reason) => reason,
            // Not told to end, and dropped all the same: its runtime shuts down.
            Ended::Aborted => {
                aborted = record.doomed().unwrap_or(ExitReason::Killed);
                &aborted
            }
        };
        // The subscriber is foreign code, and those who wait are told whatever it does.
        quiet::run("a tracing subscriber", || match ended {
            Ended::Returned(reason) if reason.is_orderly() => {
                tracing::debug!(supervisor, task, %id, %reason, "task ended");
            }
            Ended::Returned(reason) => tracing::error!(supervisor, task, %id, %reason, "task failed"),
            Ended::Aborted => tracing::debug!(supervisor, task, %id, %reason, "task aborted"),
        });
        record.end(reason);
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
