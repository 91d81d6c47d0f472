//! How a task is started, and what it may be told.

use super::handle::Task;
use super::record::{Record, TaskId};
use super::restart::restarting;
use super::supervised::{Ending, Supervised};
use super::supervisor::TaskSupervisor;
use crate::child_options::Shutdown;
use crate::intensity::Intensity;
use crate::restart::Restart;
use restante_core::ExitReason;
use restante_core::link::Linked;
use restante_genserver::{Context, GenServer};
use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Why a task was not started. Its future has been dropped unpolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskStartError {
    /// There are as many tasks as there may be.
    #[error("{active} tasks of at most {max} are running")]
    MaxChildren {
        /// How many there are.
        active: usize,
        /// How many there may be.
        max: usize,
    },
    /// The period of its limit of restarts is zero: nothing would ever count.
    #[error("the limit of restarts has a period of zero")]
    ZeroPeriod,
    /// The supervisor has been shut down.
    #[error("the task supervisor takes no more tasks")]
    Closed,
    /// Neither is this thread in a tokio runtime, nor was one given.
    #[error("no tokio runtime to run on")]
    NoRuntime,
}

impl TaskStartError {
    /// Whether the supervisor is gone, for ever ([`Closed`](Self::Closed)).
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Closed)
    }
}

/// Starting tasks. None of these waits: the task is first polled by its runtime.
impl TaskSupervisor {
    /// Starts a task whose result is awaited; it is bonded with its [`Task`]: when that is dropped, the task is aborted.
    ///
    /// # Errors
    /// [`TaskStartError`].
    pub fn async_<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T, ExitReason>> + Send + 'static,
    ) -> Result<Task<T>, TaskStartError> {
        self.task().async_(future)
    }

    /// Starts a task whose result is awaited, for a server, from inside its callbacks. The task is bonded with its
    /// [`Task`], and linked with this incarnation as well. Its end reaches the server as that of a linked server does: a
    /// failure ends it, unless it traps exits ([`Task::link_id`] then says which task it was). The end of the server, for
    /// whatever reason, aborts the task. To drop the [`Task`], or to shut it down, ends the link first.
    ///
    /// # Errors
    /// [`TaskStartError`].
    pub fn async_link<S: GenServer, T: Send + 'static>(
        &self,
        ctx: &Context<S>,
        future: impl Future<Output = Result<T, ExitReason>> + Send + 'static,
    ) -> Result<Task<T>, TaskStartError> {
        self.task().async_link(ctx, future)
    }

    /// Starts a task whose result may be awaited, and that is bonded with nothing: when its [`Task`] is dropped, the task
    /// goes on and its result is dropped.
    ///
    /// # Errors
    /// [`TaskStartError`].
    pub fn async_nolink<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T, ExitReason>> + Send + 'static,
    ) -> Result<Task<T>, TaskStartError> {
        self.task().async_nolink(future)
    }

    /// Starts a task that is not awaited, [`Restart::Temporary`].
    ///
    /// # Errors
    /// [`TaskStartError`].
    pub fn start_child(
        &self,
        future: impl Future<Output = Result<(), ExitReason>> + Send + 'static,
    ) -> Result<TaskId, TaskStartError> {
        self.task().start_child(future)
    }

    /// Starts a task that is not awaited, and that is made anew when it ends and `restart` says so: at once, at most 3
    /// times in 5 s ([`TaskBuilder::intensity`]).
    ///
    /// # Errors
    /// [`TaskStartError`].
    pub fn start_child_with<F>(
        &self,
        restart: Restart,
        make: impl FnMut() -> F + Send + 'static,
    ) -> Result<TaskId, TaskStartError>
    where
        F: Future<Output = Result<(), ExitReason>> + Send + 'static,
    {
        self.task().start_child_with(restart, make)
    }
}

/// A task that is about to be started: [`TaskSupervisor::task`].
#[derive(Debug)]
#[must_use = "it is started by one of its verbs"]
pub struct TaskBuilder<'a> {
    supervisor: &'a TaskSupervisor,
    name: Option<Cow<'static, str>>,
    shutdown: Shutdown,
    intensity: Intensity,
}

/// What it may be told.
impl<'a> TaskBuilder<'a> {
    pub(super) fn new(supervisor: &'a TaskSupervisor) -> Self {
        let shutdown = supervisor.default_shutdown();
        Self { supervisor, name: None, shutdown, intensity: Intensity::default() }
    }

    /// A name, for reports. The type of its future, unless given.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How it is ended by its supervisor, in place of the supervisor's default.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// How often it may start again within how long, which is more than zero: 3 in 5 s unless set. Only
    /// [`TaskBuilder::start_child_with`] asks.
    pub fn intensity(mut self, max: u32, period: Duration) -> Self {
        self.intensity = Intensity::new(max, period);
        self
    }
}

/// Its verbs: see those of [`TaskSupervisor`].
impl TaskBuilder<'_> {
    /// [`TaskSupervisor::async_`].
    ///
    /// # Errors
    /// [`TaskStartError`].
    pub fn async_<T: Send + 'static>(
        self,
        future: impl Future<Output = Result<T, ExitReason>> + Send + 'static,
    ) -> Result<Task<T>, TaskStartError> {
        self.start(None, |_| future).map(Task::bonded)
    }

    /// [`TaskSupervisor::async_link`].
    ///
    /// # Errors
    /// [`TaskStartError`].
    pub fn async_link<S: GenServer, T: Send + 'static>(
        self,
        ctx: &Context<S>,
        future: impl Future<Output = Result<T, ExitReason>> + Send + 'static,
    ) -> Result<Task<T>, TaskStartError> {
        self.start(Some(ctx.server().link_end()), |_| future).map(Task::bonded)
    }

    /// [`TaskSupervisor::async_nolink`].
    ///
    /// # Errors
    /// [`TaskStartError`].
    pub fn async_nolink<T: Send + 'static>(
        self,
        future: impl Future<Output = Result<T, ExitReason>> + Send + 'static,
    ) -> Result<Task<T>, TaskStartError> {
        self.start(None, |_| future)
    }

    /// [`TaskSupervisor::start_child`].
    ///
    /// # Errors
    /// [`TaskStartError`].
    pub fn start_child(
        self,
        future: impl Future<Output = Result<(), ExitReason>> + Send + 'static,
    ) -> Result<TaskId, TaskStartError> {
        self.start(None, |_| future).map(Task::into_id)
    }

    /// [`TaskSupervisor::start_child_with`].
    ///
    /// # Errors
    /// [`TaskStartError`].
    pub fn start_child_with<M, F>(mut self, restart: Restart, make: M) -> Result<TaskId, TaskStartError>
    where
        M: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<(), ExitReason>> + Send + 'static,
    {
        if self.intensity.is_void() {
            return Err(TaskStartError::ZeroPeriod);
        }
        // What runs is the loop around them: it has a name that says nothing.
        self.name.get_or_insert(Cow::Borrowed(std::any::type_name::<F>()));
        let intensity = self.intensity;
        let table = Arc::clone(self.supervisor.table());
        let started =
            self.start(None, |record| restarting(make, restart, intensity, Arc::clone(record), table));
        started.map(Task::into_id)
    }

    fn start<T, F>(
        self,
        owner: Option<Arc<dyn Linked>>,
        make: impl FnOnce(&Arc<Record>) -> F,
    ) -> Result<Task<T>, TaskStartError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ExitReason>> + Send + 'static,
    {
        let runtime = self.supervisor.runtime()?;
        let name = self.name.unwrap_or(Cow::Borrowed(std::any::type_name::<F>()));
        let record = Record::new(name, self.shutdown);
        // Asked before anything is noted: it may panic here, into the caller that starts the task.
        let span = tracing::Span::current();
        let table = Arc::clone(self.supervisor.table());
        let token = table.enter(&record)?;
        if let Some(owner) = owner {
            record.link(owner);
        }
        let ending = Ending::new(Arc::clone(&record), table, span, token);
        let join = runtime.spawn(Supervised::new(make(&record), ending));
        record.started(&join.abort_handle());
        Ok(Task::running(record, join))
    }
}
