//! Tasks: futures that run beside their starters, under a supervisor that knows them all.
//!
//! - [`TaskSupervisor`] starts and tracks them, bounds their number, ends them, and names those that do not stop.
//! - [`Task`] is one whose result is awaited: [`await_`](Task::await_), [`yield_`](Task::yield_),
//!   [`shutdown`](Task::shutdown), [`ignore`](Task::ignore); several at once: [`await_many`], [`yield_many`].
//! - [`AsyncStream`] runs one task per item of an iterator or a stream, a few at a time.
//!
//! | Elixir | here |
//! |---|---|
//! | `Task.Supervisor.async` in a server | [`TaskSupervisor::async_link`]: bonded with the server and with the [`Task`] |
//! | `Task.Supervisor.async` elsewhere | [`TaskSupervisor::async_`]: bonded with the [`Task`] |
//! | `Task.Supervisor.async_nolink` | [`TaskSupervisor::async_nolink`]: bonded with nothing |
//! | `Task.Supervisor.start_child` | [`TaskSupervisor::start_child`]; with `restart:`, [`TaskSupervisor::start_child_with`] |
//! | `Task.Supervisor.async_stream`, `async_stream_nolink` | [`TaskSupervisor::async_stream`]: a failure is an item |
//! | `exit(reason)` in a task | the future's own `Err(reason)`, or `?` |
//! | `Task.await`, `Task.yield` | [`Task::await_`] (or `.await`, without a limit), [`Task::yield_`] |
//!
//! A task that is aborted ends at its next await; one that never awaits cannot be ended, is abandoned when the time for
//! it is over, and stays in [`TaskSupervisor::children`]. Tasks run in the tracing span of their starter.
//!
//! What deliberately does not live here: the tree of supervisors, servers; when a child starts again and how it is ended,
//! which are settings of all children ([`Restart`](crate::Restart), [`Shutdown`](crate::Shutdown)). What exactly is
//! promised stands in the repository's `docs/SEMANTICS.md`, part 20.

mod handle;
mod many;
mod record;
mod restart;
mod shutdown;
mod start;
mod stream;
mod supervised;
mod supervisor;

pub use handle::{Task, TaskError};
pub use many::{OnTimeout, YieldMany, await_many, yield_many};
pub use record::TaskId;
pub use start::{TaskBuilder, TaskStartError};
pub use stream::{AsyncStream, DEFAULT_ITEM_TIMEOUT, OnItemTimeout};
pub use supervisor::{
    TaskInfo, TaskSupervisor, TaskSupervisorBuilder, TasksLeft, TerminateError, WeakTaskSupervisor,
};
