//! The runtime and the task that serve a mailbox.

use super::server_cell::Executor;
use crate::rt::Rt;
use crate::server::GenServer;
use crate::thread::ThreadPool;
use restante_core::quiet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Waker;

/// A runtime, and the task there once it has been polled.
pub(crate) struct RuntimeBinding {
    pub(crate) rt: Arc<Rt>,
    pub(super) task: OnceLock<Waker>,
    /// The task was dropped: its runtime has shut down.
    pub(super) gone: AtomicBool,
}

impl RuntimeBinding {
    pub(super) fn new(rt: Arc<Rt>) -> Self {
        Self { rt, task: OnceLock::new(), gone: AtomicBool::new(false) }
    }
}

impl<S: GenServer> Executor<S> {
    /// The home that it has moved to, if it has.
    #[inline(always)]
    pub(super) fn moved(&self) -> Option<&Mutex<Arc<RuntimeBinding>>> {
        self.cold.get().and_then(|cold| cold.moved.get())
    }

    /// The runtime that serves the mailbox, once one does.
    #[inline(always)]
    pub(super) fn with_binding<R>(&self, f: impl FnOnce(&RuntimeBinding) -> R) -> Option<R> {
        if let Some(moved) = self.moved() {
            let binding = Arc::clone(&moved.lock().unwrap_or_else(PoisonError::into_inner));
            return Some(f(&binding));
        }
        self.binding.get().map(f)
    }

    /// The runtime that serves the mailbox, once one does.
    pub(crate) fn rt(&self) -> Option<Arc<Rt>> {
        self.with_binding(|h| Arc::clone(&h.rt))
    }

    /// Whether a task of the runtime that serves it belongs to it.
    pub(crate) fn has_task(&self) -> bool {
        self.with_binding(|binding| binding.task.get().is_some() && !binding.gone.load(Ordering::Acquire))
            == Some(true)
    }

    /// From now on this runtime serves the mailbox.
    pub(crate) fn settle_in(&self, rt: Arc<Rt>) {
        match self.binding.get() {
            None => {
                let _ = self.binding.set(RuntimeBinding::new(rt));
            }
            Some(_)
                if self.with_binding(|h| Arc::ptr_eq(&h.rt, &rt) && !h.gone.load(Ordering::Acquire))
                    == Some(true) => {}
            Some(_) => {
                let binding = Arc::new(RuntimeBinding::new(rt));
                let moved = self
                    .cold
                    .get_or_init(Box::default)
                    .moved
                    .get_or_init(|| Mutex::new(Arc::clone(&binding)));
                let old =
                    std::mem::replace(&mut *moved.lock().unwrap_or_else(PoisonError::into_inner), binding);
                // The tasks that served it elsewhere find that they are done.
                for left in [old.task.get(), self.binding.get().and_then(|h| h.task.get())] {
                    left.map(quiet::wake_by_ref);
                }
            }
        }
    }

    /// The threads that it runs on, where it does not run on the runtime's.
    pub(crate) fn threads(&self) -> Option<ThreadPool> {
        self.cold.get()?.threads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on it runs on these threads, or (`None`) has none to hold on to.
    pub(crate) fn move_to(&self, threads: Option<ThreadPool>) {
        if threads.is_none() && self.cold.get().is_none() {
            return;
        }
        let place = &self.cold.get_or_init(Box::default).threads;
        let old = std::mem::replace(&mut *place.lock().unwrap_or_else(PoisonError::into_inner), threads);
        drop(old);
    }

    /// The runtime that it runs on counts as gone: no other incarnation can begin there.
    pub(crate) fn evict(&self) {
        self.with_binding(|binding| binding.gone.store(true, Ordering::Release));
    }

    /// Has the task, if there is one, look.
    pub(crate) fn wake_task(&self) {
        self.with_binding(|binding| binding.task.get().map(Waker::wake_by_ref));
    }
}
