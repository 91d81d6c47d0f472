//! The handle of a task whose result is awaited.

use super::record::{Record, TaskId};
use super::shutdown;
use super::start::TaskStartError;
use crate::child_options::Shutdown;
use restante_core::ExitReason;
use restante_core::shield::LastShield;
use restante_core::timeout::at_most;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Cx, Poll, Waker, ready};
use std::time::Duration;
use tokio::task::{JoinHandle, unconstrained};

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The task did not end in time.
    #[error("the task did not end within the time allowed")]
    Timeout,
    /// It ended without a result: it failed, panicked, or was told to end. `NoProcess`: the result had been taken.
    #[error("the task ended: {0}")]
    Exited(ExitReason),
    /// It could not be started. Only of an [`AsyncStream`](super::AsyncStream).
    #[error(transparent)]
    Start(#[from] TaskStartError),
}

impl TaskError {
    /// Whether what was addressed is gone: the task ended without a result ([`Exited`](Self::Exited)), or its supervisor took
    /// no more ([`TaskStartError::is_gone`]).
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Exited(_) => true,
            Self::Start(error) => error.is_gone(),
            Self::Timeout => false,
        }
    }
}

/// A task, and the result that it will have.
///
/// It is a future itself, without a limit: its output is the result, or [`TaskError::Exited`]. Dropped, it aborts the task
/// where it is bonded with it: after [`async_`](super::TaskSupervisor::async_) and
/// [`async_link`](super::TaskSupervisor::async_link). After [`async_nolink`](super::TaskSupervisor::async_nolink) it lets
/// the task go on. The result can be taken once.
///
/// Source: Elixir `Task`. Differs: what is waited for in vain is an error value and not the caller's end; any holder of the
/// value may wait, since there is only one.
///
/// # Cancel safety
/// Polled by reference (in a `select!`), it loses nothing when the other branch wins.
#[must_use = "a bonded task is aborted when its handle is dropped"]
pub struct Task<T> {
    /// `None`: there never was a task.
    record: Option<Arc<Record>>,
    source: Source<T>,
    /// Of the waker of who waits, which tokio may drop in the middle of a poll.
    shield: LastShield,
    bonded: bool,
}

enum Source<T> {
    Running(JoinHandle<Result<T, ExitReason>>),
    Completed(T),
    /// The result has been taken.
    Taken,
}

impl<T> Unpin for Task<T> {}

impl<T> Task<T> {
    /// A task that has ended already, with this result: for where a `Task` is wanted and nothing has to be done.
    pub fn completed(result: T) -> Self {
        Self { record: None, source: Source::Completed(result), shield: LastShield::default(), bonded: false }
    }

    /// Waits for the result, at most so long. Zero looks once; `Duration::MAX` is for ever. After a time-out the handle
    /// is dropped: a bonded task is aborted (and the server that it is linked with is not told), another goes on.
    ///
    /// # Errors
    /// [`TaskError::Timeout`], [`TaskError::Exited`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the handle.
    pub async fn await_(mut self, limit: Duration) -> Result<T, TaskError> {
        self.yield_(limit).await.map_or(Err(TaskError::Timeout), |outcome| outcome.map_err(TaskError::Exited))
    }

    /// Waits for the result, at most so long, and leaves a task that still runs alone: `None`, and it can be asked again.
    /// Zero looks once; `Duration::MAX` is for ever. When the result has been taken: [`ExitReason::NoProcess`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn yield_(&mut self, limit: Duration) -> Option<Result<T, ExitReason>> {
        match self.try_outcome() {
            Some(outcome) => Some(outcome),
            None if limit.is_zero() => None,
            None => at_most(limit, &mut Outcome(self)).await,
        }
    }

    /// Ends the task, and the link with its server first, and waits for the end as long as `how` says.
    ///
    /// `Some(Ok)`: the result came before the end. `None`: it ended for this shutdown. `Some(Err)`: it had ended for
    /// another reason; or it was given up, and runs until its next await, which [`ExitReason::Killed`] says; or the result
    /// had been taken, which [`ExitReason::NoProcess`] says.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting; the order stands.
    pub async fn shutdown(mut self, how: Shutdown) -> Option<Result<T, ExitReason>> {
        let expected = shutdown::reason(how);
        self.doom(&expected);
        match at_most(shutdown::limit(how), &mut Outcome(&mut self)).await {
            None => Some(Err(ExitReason::Killed)),
            Some(Err(reason)) if reason == expected => None,
            outcome => outcome,
        }
    }

    /// Gives up the result and lets the task go on, without a bond. Returns the result, if it is there already.
    pub fn ignore(mut self) -> Option<Result<T, ExitReason>> {
        let outcome = self.try_outcome();
        self.let_go();
        outcome
    }

    /// Which task it is; `None` where there never was one ([`Task::completed`]).
    pub fn id(&self) -> Option<TaskId> {
        self.record.as_ref().map(|record| record.id)
    }

    /// What names it in [`ExitSignal::from`](restante_genserver::ExitSignal::from), to the server that it is linked with.
    pub fn link_id(&self) -> Option<usize> {
        self.record.as_ref().map(Record::link_id)
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        match &self.source {
            Source::Running(join) => join.is_finished(),
            Source::Completed(_) | Source::Taken => true,
        }
    }
}

/// For the supervisor, and for what waits for many.
impl<T> Task<T> {
    pub(super) fn running(record: Arc<Record>, join: JoinHandle<Result<T, ExitReason>>) -> Self {
        Self {
            record: Some(record),
            source: Source::Running(join),
            shield: LastShield::default(),
            bonded: false,
        }
    }

    pub(super) fn bonded(mut self) -> Self {
        self.bonded = true;
        self
    }

    /// Ends the link with its server, then the task.
    pub(super) fn doom(&self, reason: &ExitReason) {
        if let Some(record) = self.record.as_ref().filter(|_| matches!(self.source, Source::Running(_))) {
            record.unlink();
            record.doom(reason.clone());
        }
    }

    /// Lets it go on by itself.
    pub(super) fn let_go(&mut self) {
        if let Some(record) = &self.record {
            record.unlink();
        }
        self.bonded = false;
        self.source = Source::Taken;
    }

    pub(super) fn poll_outcome(&mut self, cx: &mut Cx<'_>) -> Poll<Result<T, ExitReason>> {
        let joined = match &mut self.source {
            Source::Running(join) => {
                let waker = self.shield.waker(cx.waker());
                ready!(Pin::new(join).poll(&mut Cx::from_waker(&waker)))
            }
            Source::Completed(_) | Source::Taken => Ok(Err(ExitReason::NoProcess)),
        };
        let outcome = match std::mem::replace(&mut self.source, Source::Taken) {
            Source::Completed(result) => Ok(result),
            Source::Running(_) | Source::Taken => joined.unwrap_or_else(|error| Err(self.reason(error))),
        };
        Poll::Ready(outcome)
    }

    /// What there is without waiting. Asks past tokio's budget, which would make a task that has ended look as if it had
    /// not.
    pub(super) fn try_outcome(&mut self) -> Option<Result<T, ExitReason>> {
        if !self.is_finished() {
            return None;
        }
        let mut cx = Cx::from_waker(Waker::noop());
        match pin!(unconstrained(Outcome(self))).poll(&mut cx) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }

    /// Why there is nothing to join.
    fn reason(&self, error: tokio::task::JoinError) -> ExitReason {
        match error.try_into_panic() {
            // Panics of the task end under its own net: this is one of tokio's.
            Ok(payload) => ExitReason::from_panic(payload),
            Err(_) => self.record.as_ref().and_then(|r| r.doomed()).unwrap_or(ExitReason::Killed),
        }
    }
}

impl Task<()> {
    /// Its id, for a task that is not awaited.
    pub(super) fn into_id(self) -> TaskId {
        self.id().expect("a task that was started has a record")
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        self.poll_outcome(cx).map_err(TaskError::Exited)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.bonded {
            self.doom(&ExitReason::Shutdown);
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.record {
            Some(record) => write!(f, "Task({}, {})", record.id, record.name),
            None => f.write_str("Task(completed)"),
        }
    }
}

/// The outcome of a task that is only lent.
pub(super) struct Outcome<'a, T>(pub(super) &'a mut Task<T>);

impl<T> Future for Outcome<'_, T> {
    type Output = Result<T, ExitReason>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        self.0.poll_outcome(cx)
    }
}
