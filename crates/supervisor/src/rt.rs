//! What a supervisor needs of the runtime it lives in: a task now and then. Pauses, and limits on its waits, it needs of no
//! runtime: it has them of its own accord (back-off, the time that a child may take to end), so they are kept where the
//! runtime has no time driver as well. Under `--cfg shuttle` the tasks are shuttle's, and there is no time: a pause is over
//! at once, and no limit is ever over but zero.

use std::future::Future;
use std::time::Duration;

#[cfg(shuttle)]
pub(crate) use shuttle::sync::MutexGuard;
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(not(shuttle))]
pub(crate) use restante_core::alarm::at_most;
#[cfg(shuttle)]
pub(crate) use restante_core::timeout::at_most;

/// A runtime.
#[derive(Debug, Clone)]
pub(crate) struct Runtime {
    #[cfg(not(shuttle))]
    handle: tokio::runtime::Handle,
}

#[cfg(not(shuttle))]
impl Runtime {
    /// The one that this thread is in.
    pub(crate) fn current() -> Option<Self> {
        tokio::runtime::Handle::try_current().ok().map(|handle| Self { handle })
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(task));
    }

    /// Runs this in this runtime: here and now where the caller is in it, else in a task, which is aborted when the caller
    /// does not wait for it any more. `None`: the runtime has shut down.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        if tokio::runtime::Handle::try_current().is_ok_and(|here| here.id() == self.handle.id()) {
            return Some(work.await);
        }
        tokio_util::task::AbortOnDropHandle::new(self.handle.spawn(work)).await.ok()
    }

    /// To be polled in a task of this runtime.
    pub(crate) async fn sleep(pause: Duration) {
        restante_core::alarm::sleep(pause).await;
    }

    /// To be polled in a task of this runtime.
    pub(crate) async fn yield_now() {
        tokio::task::yield_now().await;
    }
}

/// Shuttle's, but never slept for: there a thread and the task that it polls are woken by the same bell, and a wake-up of
/// the task that came while its thread slept for a lock would be lost.
#[cfg(shuttle)]
#[derive(Debug)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

#[cfg(shuttle)]
impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> std::sync::LockResult<MutexGuard<'_, T>> {
        loop {
            match self.0.try_lock() {
                Ok(guard) => return Ok(guard),
                Err(std::sync::TryLockError::Poisoned(poisoned)) => return Err(poisoned),
                Err(std::sync::TryLockError::WouldBlock) => shuttle::thread::yield_now(),
            }
        }
    }
}

#[cfg(shuttle)]
impl Runtime {
    pub(crate) fn current() -> Option<Self> {
        Some(Self {})
    }

    #[expect(clippy::unused_self, reason = "as tokio's")]
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(shuttle::future::spawn(task));
    }

    pub(crate) async fn run<T>(self, work: impl Future<Output = T>) -> Option<T> {
        Some(work.await)
    }

    pub(crate) async fn sleep(_: Duration) {
        shuttle::future::yield_now().await;
    }

    pub(crate) async fn yield_now() {
        shuttle::future::yield_now().await;
    }
}
