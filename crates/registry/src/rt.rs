//! What a registry needs of the runtime it lives in: its tree's task, and creations that can be aborted and waited for.
//! Under `--cfg shuttle` the tasks are shuttle's, whatever runtime is named: that is never driven.

use restante_core::Reaper;
use std::future::Future;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

#[cfg(shuttle)]
pub(crate) use shuttle::future::AbortHandle;
#[cfg(not(shuttle))]
pub(crate) use tokio::task::AbortHandle;

/// A task that is not awaited.
#[cfg(not(shuttle))]
pub(crate) fn spawn(runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
    drop(runtime.spawn(task));
}

/// A task that is waited for with the others of `tasks`.
#[cfg(not(shuttle))]
pub(crate) fn spawn_in(
    tasks: &TaskTracker,
    task: impl Future<Output = ()> + Send + 'static,
    runtime: &Handle,
) -> AbortHandle {
    tasks.spawn_on(task, runtime).abort_handle()
}

/// Work that takes long and awaits nothing: on no worker, and waited for with the clean-up.
#[cfg(not(shuttle))]
pub(crate) fn beside(reaper: &Reaper, work: impl FnOnce() + Send + 'static) {
    // Where the runtime shuts down it is not begun.
    reaper.hand_over(async move { drop(tokio::task::spawn_blocking(work).await) });
}

#[cfg(shuttle)]
pub(crate) fn beside(_: &Reaper, work: impl FnOnce() + Send + 'static) {
    drop(shuttle::future::spawn(async move { work() }));
}

/// A wait that a shutdown shares.
#[cfg(not(shuttle))]
pub(crate) fn hand_over(reaper: &Reaper, wait: impl Future<Output = ()> + Send + 'static) {
    reaper.hand_over(wait);
}

#[cfg(shuttle)]
pub(crate) fn hand_over(_: &Reaper, wait: impl Future<Output = ()> + Send + 'static) {
    drop(shuttle::future::spawn(wait));
}

#[cfg(shuttle)]
pub(crate) fn spawn(_: &Handle, task: impl Future<Output = ()> + Send + 'static) {
    drop(shuttle::future::spawn(task));
}

#[cfg(shuttle)]
pub(crate) fn spawn_in(
    tasks: &TaskTracker,
    task: impl Future<Output = ()> + Send + 'static,
    _: &Handle,
) -> AbortHandle {
    shuttle::future::spawn(tasks.track_future(task)).abort_handle()
}
