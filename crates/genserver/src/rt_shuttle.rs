//! Under `--cfg shuttle` this stands in for `rt`: one runtime, shuttle's, on which every thread and task is, and no time.
//! The sweep is never armed, so the default limit of a call is for ever; explicit limits are not for these tests.

use crate::slot::Wait;
use crate::waits::Waits;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::task::JoinSet;

/// One runtime.
#[derive(Debug)]
pub(crate) struct Rt {
    pub(crate) handle: Handle,
    pub(crate) reaper: Reaping,
}

/// Spawns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handle;

impl Handle {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(shuttle::future::spawn(task));
    }

    #[expect(clippy::unused_self, reason = "as tokio's")]
    pub(crate) fn enter(&self) -> Entered {
        Entered
    }
}

/// As tokio's guard.
#[derive(Debug)]
pub(crate) struct Entered;

/// Clean-ups.
#[derive(Debug)]
pub(crate) struct Reaping;

impl Reaping {
    pub(crate) fn hand_over(&self, cleanup: impl Future<Output = ()> + Send + 'static) {
        Handle.spawn(cleanup);
    }
}

/// Looks at an idle cell; true when it need not be looked at again.
pub(crate) type Look = Box<dyn FnMut() -> bool + Send>;

#[expect(clippy::unused_self, reason = "as `rt`")]
impl Rt {
    pub(crate) fn current() -> Option<Arc<Self>> {
        Self::with_current(Arc::clone)
    }

    /// There is one.
    pub(crate) fn name(&self) -> u32 {
        1
    }

    pub(crate) fn for_handle(_: &tokio::runtime::Handle) -> Arc<Self> {
        Self::with_current(Arc::clone).expect("there is always one")
    }

    pub(crate) fn with_current<R>(f: impl FnOnce(&Arc<Self>) -> R) -> Option<R> {
        static RT: OnceLock<Arc<Rt>> = OnceLock::new();
        // Nothing in it is shuttle's, so that it may outlive a schedule.
        Some(f(RT.get_or_init(|| Arc::new(Self { handle: Handle, reaper: Reaping }))))
    }

    pub(crate) fn is_entered(&self) -> bool {
        true
    }

    pub(crate) fn epoch(&self) -> (u32, u32) {
        (1, 0)
    }

    pub(crate) fn watch_over<T: Send>(self: &Arc<Self>, wait: &Wait<T>) {
        // There is no sweep. (Named, so that they are known to be used.)
        let _ = wait.entry().map(|entry| (entry, Waits::push, Waits::is_empty, Waits::sweep));
    }

    pub(crate) fn watch_fat(self: &Arc<Self>, look: Look) {
        drop(look);
    }

    /// Not aborted with the set.
    pub(crate) fn spawn_in(&self, _: &mut JoinSet<()>, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(task);
    }
}

/// Nothing is waited for.
#[expect(clippy::unused_async, reason = "as `rt`")]
pub async fn drain(_: Duration) -> usize {
    0
}
