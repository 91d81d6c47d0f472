//! The supervisor of tasks: who runs, how many may, and how all of them are ended.

use super::record::{Record, TaskId};
use super::shutdown;
use super::start::{TaskBuilder, TaskStartError};
use crate::child_options::Shutdown;
use restante_core::quiet;
use restante_core::shield::shield;
use restante_core::timeout::at_most;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Starts tasks and knows them all: a cheap handle to clone and share.
///
/// No task's failure ends the supervisor; each is reported by one `tracing` event at error level. When the last handle is
/// dropped, every task is told to shut down, at its next await, and that is not waited for. A task that keeps a handle of
/// its own supervisor keeps it alive: let it keep a [`WeakTaskSupervisor`].
///
/// Source: Elixir `Task.Supervisor`. Differs: it is no process, so starting a task asks no process and waits for nothing.
///
/// ```
/// # use restante_supervisor::task::TaskSupervisor;
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let tasks = TaskSupervisor::new();
/// let answer = tasks.async_(async { Ok(6 * 7) })?;
/// assert_eq!(answer.await?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct TaskSupervisor {
    inner: Arc<Inner>,
}

/// What the handles share, and the tasks do not.
struct Inner {
    table: Arc<Table>,
    runtime: Option<Handle>,
    shutdown: Shutdown,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.table.shut_down_all();
    }
}

impl TaskSupervisor {
    /// A supervisor with the defaults: no name, no limit, 5 s for a task to shut down.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A supervisor that is to be told more.
    pub fn builder() -> TaskSupervisorBuilder {
        TaskSupervisorBuilder::default()
    }

    /// A task that is to be told more than its future: its name, how it is ended, how often it may start again.
    pub fn task(&self) -> TaskBuilder<'_> {
        TaskBuilder::new(self)
    }

    /// How many tasks there are: started, and not gone yet.
    pub fn count(&self) -> usize {
        self.inner.table.running().tasks.len()
    }

    /// Which tasks there are, oldest first.
    pub fn children(&self) -> Vec<TaskInfo> {
        self.inner.table.children()
    }

    /// Ends one task in the way that its options say, and waits for that as long as they say.
    ///
    /// # Errors
    /// [`TerminateError`].
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting; the order stands.
    pub async fn terminate_child(&self, id: TaskId) -> Result<(), TerminateError> {
        let record = self.inner.table.running().tasks.get(&id).cloned();
        let record = record.ok_or(TerminateError::NotFound)?;
        record.shut_down();
        let mut ended = Box::pin(record.ended());
        at_most(shutdown::limit(record.shutdown), &mut ended).await.ok_or(TerminateError::Stuck)
    }

    /// Ends all tasks: takes no more, tells each to end in the way that its options say, waits until all are gone, at
    /// most for the longest of their times and at most `limit`, and gives up on those that are left: they are in the
    /// report, and in one warning.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting; the orders stand.
    pub async fn shutdown(&self, limit: Duration) -> TasksLeft {
        let table = &self.inner.table;
        let longest = table.shut_down_all();
        let mut wait = shield(table.tracker.wait());
        at_most(longest.min(limit), &mut wait).await;
        let left = table.children();
        if !left.is_empty() {
            let names: Vec<&str> = left.iter().map(|task| &*task.name).collect();
            quiet::run("a tracing subscriber", || {
                tracing::warn!(supervisor = table.label(), left = ?names, "tasks that did not stop");
            });
        }
        TasksLeft { left }
    }

    /// Whether it takes no more tasks: [`TaskSupervisor::shutdown`] has been called.
    pub fn is_closed(&self) -> bool {
        self.inner.table.running().closed
    }

    /// The name it was given, for people.
    pub fn name(&self) -> Option<&str> {
        self.inner.table.name.as_deref()
    }

    /// A handle that does not keep the supervisor, and so its tasks, alive.
    pub fn downgrade(&self) -> WeakTaskSupervisor {
        WeakTaskSupervisor(Arc::downgrade(&self.inner))
    }

    pub(super) fn table(&self) -> &Arc<Table> {
        &self.inner.table
    }

    pub(super) fn default_shutdown(&self) -> Shutdown {
        self.inner.shutdown
    }

    pub(super) fn runtime(&self) -> Result<Handle, TaskStartError> {
        match &self.inner.runtime {
            Some(runtime) => Ok(runtime.clone()),
            None => Handle::try_current().map_err(|_| TaskStartError::NoRuntime),
        }
    }
}

impl Default for TaskSupervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TaskSupervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskSupervisor({}, {} tasks)", self.inner.table.label(), self.count())
    }
}

/// A handle that does not keep the supervisor alive.
#[derive(Clone)]
pub struct WeakTaskSupervisor(Weak<Inner>);

impl WeakTaskSupervisor {
    /// A handle, unless the last one has gone.
    pub fn upgrade(&self) -> Option<TaskSupervisor> {
        self.0.upgrade().map(|inner| TaskSupervisor { inner })
    }
}

impl fmt::Debug for WeakTaskSupervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakTaskSupervisor")
    }
}

/// How a [`TaskSupervisor`] is to be.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct TaskSupervisorBuilder {
    name: Option<String>,
    max_children: Option<usize>,
    shutdown: Option<Shutdown>,
    runtime: Option<Handle>,
}

impl TaskSupervisorBuilder {
    /// A name, for reports.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// At most so many tasks at a time; without it, as many as are started. A start beyond it is refused.
    pub fn max_children(mut self, max: usize) -> Self {
        self.max_children = Some(max);
        self
    }

    /// How tasks are ended that do not say it themselves: [`Shutdown::WORKER`] (5 s) unless set.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = Some(shutdown);
        self
    }

    /// The runtime that all tasks run in. Without it, each runs in its starter's.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// The supervisor.
    pub fn build(self) -> TaskSupervisor {
        let tracker = TaskTracker::new();
        // Closed from the start, which keeps nothing out: it lets those who wait see the end.
        tracker.close();
        let table = Arc::new(Table {
            name: self.name,
            max_children: self.max_children.unwrap_or(usize::MAX),
            tracker,
            running: Mutex::default(),
        });
        let shutdown = self.shutdown.unwrap_or(Shutdown::WORKER);
        TaskSupervisor { inner: Arc::new(Inner { table, runtime: self.runtime, shutdown }) }
    }
}

/// What is known of a running task.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Which.
    pub id: TaskId,
    /// Its name; the type of its future, where it was not given one.
    pub name: String,
    /// How long ago it was started (the first time), by tokio's clock.
    pub age: Duration,
    /// How often it has started again.
    pub restarts: u32,
}

/// Which tasks had not stopped when [`TaskSupervisor::shutdown`] gave up.
///
/// They have been aborted, and end at their next await if they ever reach one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "it names the tasks that still run"]
pub struct TasksLeft {
    /// Those, oldest first.
    pub left: Vec<TaskInfo>,
}

impl TasksLeft {
    /// Whether all have stopped.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }
}

/// Why a task was not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TerminateError {
    /// There is no such task (any more).
    #[error("no such task")]
    NotFound,
    /// It has been told, and has not reached an await in its time.
    #[error("the task did not stop within the time allowed")]
    Stuck,
}

impl TerminateError {
    /// Whether the task is gone ([`NotFound`](Self::NotFound)).
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::NotFound)
    }
}

/// All tasks of one supervisor.
pub(super) struct Table {
    name: Option<String>,
    max_children: usize,
    tracker: TaskTracker,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    closed: bool,
    tasks: HashMap<TaskId, Arc<Record>>,
}

impl Table {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or("tasks")
    }

    /// Takes a task in, or not.
    pub(super) fn enter(&self, record: &Arc<Record>) -> Result<TaskTrackerToken, TaskStartError> {
        let mut running = self.running();
        if running.closed {
            return Err(TaskStartError::Closed);
        }
        let active = running.tasks.len();
        if active >= self.max_children {
            return Err(TaskStartError::MaxChildren { active, max: self.max_children });
        }
        running.tasks.insert(record.id, Arc::clone(record));
        Ok(self.tracker.token())
    }

    pub(super) fn leave(&self, id: TaskId) {
        let left = self.running().tasks.remove(&id);
        // Dropped outside the lock.
        drop(left);
    }

    /// Takes no more tasks and tells all to end: the longest time that one of them has for it.
    fn shut_down_all(&self) -> Duration {
        let records: Vec<_> = {
            let mut running = self.running();
            running.closed = true;
            running.tasks.values().cloned().collect()
        };
        for record in &records {
            record.shut_down();
        }
        records.iter().map(|record| shutdown::limit(record.shutdown)).max().unwrap_or_default()
    }

    fn children(&self) -> Vec<TaskInfo> {
        let mut children: Vec<_> = self
            .running()
            .tasks
            .values()
            .map(|record| TaskInfo {
                id: record.id,
                name: record.name.clone().into_owned(),
                age: record.since.elapsed(),
                restarts: record.restarts.load(Ordering::Relaxed),
            })
            .collect();
        children.sort_by_key(|task| task.id);
        children
    }
}
