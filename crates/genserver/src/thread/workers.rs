//! The threads of a pool, and the servers that live there.

use super::ThreadError;
use super::queue::{Job, Queue};
use super::still::Still;
use crate::{frame, watchdog};
use restante_core::quiet;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

#[cfg(shuttle)]
use shuttle::thread;
#[cfg(not(shuttle))]
use std::thread;

/// A server that lives on these threads, as the pool's end sees it.
pub(super) trait Resident: Send + Sync {
    /// For people.
    fn label(&self) -> String;
    /// Tells it to end, and all who ask that it cannot begin again here.
    fn move_out(&self);
    /// Ends it at its next await.
    fn kill(&self);
}

/// Threads, and what they share.
pub(super) struct Workers {
    name: Box<str>,
    size: usize,
    stack: Option<usize>,
    jobs: Queue,
    /// No server begins here any more. Changed under the lock, and read without where a moment does not matter.
    shut: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those that live, or are being made.
    threads: usize,
    /// All threads have been told to leave.
    dismissed: bool,
    residents: BTreeMap<u64, Arc<dyn Resident>>,
    last_key: u64,
    /// Who waits for the threads to end.
    waiting: Vec<Waker>,
}

impl Workers {
    pub(super) fn new(name: &str, size: usize, stack: Option<usize>) -> Self {
        Self {
            name: name.into(),
            size: size.max(1),
            stack,
            jobs: Queue::new(),
            shut: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Threads, servers.
    pub(super) fn count(&self) -> (usize, usize) {
        let state = self.state();
        (state.threads, state.residents.len())
    }

    pub(super) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Acquire)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is to be run.
    pub(super) fn put(&self, runnable: async_task::Runnable, still: Still) {
        self.jobs.put(Job::Run(runnable, still));
    }

    /// Sees to it that there are threads.
    pub(super) fn man(self: &Arc<Self>) -> Result<(), ThreadError> {
        loop {
            {
                let mut state = self.state();
                if self.is_shut() {
                    return Err(ThreadError::ShutDown);
                }
                if state.threads == self.size {
                    return Ok(());
                }
                state.threads += 1;
            }
            let counted = Counted(Arc::clone(self));
            let mut builder = thread::Builder::new().name(self.name.to_string());
            if let Some(stack) = self.stack {
                builder = builder.stack_size(stack);
            }
            // When the spawn fails, the count is dropped with the closure.
            let work = move || {
                let still = counted.0.work();
                drop(counted);
                drop(still);
            };
            let Err(e) = builder.spawn(work) else { continue };
            if self.state().threads == 0 {
                return Err(ThreadError::Spawn { kind: e.kind(), message: e.to_string() });
            }
            tracing::warn!(pool = self.name(), error = %e, "a thread pool has fewer threads than it should");
            return Ok(());
        }
    }

    /// What each thread does. What comes back is to be dropped when it counts no more.
    fn work(&self) -> Still {
        // The thread has entered a runtime while it polls a server, but drives none of its tasks. Only the server that lives
        // here may block: one whose handler runs on top of it, as its caller's guest, is to find what it finds elsewhere.
        restante_core::send::allow_blocking(|| frame::depth() <= 1);
        watchdog::exempt_for_good();
        if let Some(stack) = self.stack {
            frame::on_a_stack_of(stack);
        }
        loop {
            match self.jobs.take() {
                Job::Leave(still) => return still,
                Job::Run(runnable, still) => still.during(|| {
                    quiet::run("a server's task", || runnable.run());
                }),
            }
        }
    }

    /// From now on, and until its key is given back, there are threads for this server. `None`: none any more.
    pub(super) fn move_in(&self, resident: Arc<dyn Resident>) -> Option<u64> {
        let mut state = self.state();
        if self.is_shut() {
            drop(state);
            return None;
        }
        state.last_key += 1;
        let key = state.last_key;
        state.residents.insert(key, resident);
        Some(key)
    }

    /// The last use of a key.
    pub(super) fn moved_out(&self, key: u64) {
        let mut state = self.state();
        let resident = state.residents.remove(&key);
        let last = self.is_shut() && state.residents.is_empty();
        drop(state);
        drop(resident);
        if last {
            self.dismiss();
        }
    }

    /// Nothing will be run any more: all threads leave when they have done what waits.
    pub(super) fn dismiss(&self) {
        let threads = {
            let mut state = self.state();
            if std::mem::replace(&mut state.dismissed, true) { 0 } else { state.threads }
        };
        for _ in 0..threads {
            self.jobs.put(Job::Leave(Still::hold_here()));
        }
    }

    /// No server begins here any more: those that live here now.
    pub(super) fn shut(&self) -> Vec<Arc<dyn Resident>> {
        let residents: Vec<_> = {
            let state = self.state();
            self.shut.store(true, Ordering::Release);
            state.residents.values().cloned().collect()
        };
        if residents.is_empty() {
            self.dismiss();
        }
        residents
    }

    /// Those that live here.
    pub(super) fn residents(&self) -> Vec<Arc<dyn Resident>> {
        self.state().residents.values().cloned().collect()
    }

    /// Returns when all threads have ended.
    pub(super) async fn emptied(&self) {
        poll_fn(|cx| {
            // Copied before the lock: a waker is foreign code.
            let waker = cx.waker().clone();
            let mut state = self.state();
            if state.threads == 0 {
                drop(state);
                return Poll::Ready(());
            }
            let mut spare = Some(waker);
            if !state.waiting.iter().any(|other| other.will_wake(cx.waker())) {
                state.waiting.extend(spare.take());
            }
            drop(state);
            quiet::discard("a waker", spare);
            Poll::Pending
        })
        .await;
    }
}

/// A thread that counts.
struct Counted(Arc<Workers>);

impl Drop for Counted {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.state();
            state.threads -= 1;
            if state.threads == 0 { std::mem::take(&mut state.waiting) } else { Vec::new() }
        };
        waiting.into_iter().for_each(quiet::wake);
    }
}
