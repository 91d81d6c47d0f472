//! What is known of one task while it lives, and how it is ended from outside.

use super::shutdown;
use crate::child_options::Shutdown;
use restante_core::link::Linked;
use restante_core::shield::shield;
use restante_core::{ExitReason, quiet};
use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Names one task, among all of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(u64);

impl TaskId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One task. Its supervisor's table, its handle and the task itself share it.
pub(super) struct Record {
    pub(super) id: TaskId,
    pub(super) name: Cow<'static, str>,
    pub(super) since: Instant,
    pub(super) shutdown: Shutdown,
    pub(super) restarts: AtomicU32,
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Default)]
struct State {
    abort: Option<AbortHandle>,
    /// Why it was told to end.
    doom: Option<ExitReason>,
    /// The server that it is linked with.
    owner: Option<Arc<dyn Linked>>,
    ended: bool,
}

impl Record {
    pub(super) fn new(name: Cow<'static, str>, shutdown: Shutdown) -> Arc<Self> {
        Arc::new(Self {
            id: TaskId::next(),
            name,
            since: Instant::now(),
            shutdown,
            restarts: AtomicU32::new(0),
            state: Mutex::default(),
            ended: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It runs, and can be aborted in this way.
    pub(super) fn started(&self, abort: &AbortHandle) {
        let doomed = {
            let mut state = self.state();
            if !state.ended {
                state.abort = Some(abort.clone());
            }
            state.doom.is_some()
        };
        if doomed {
            abort.abort();
        }
    }

    /// Tells it to end, at its next await, for this reason. The first reason stays.
    pub(super) fn doom(&self, reason: ExitReason) {
        let mut reason = Some(reason);
        let abort = {
            let mut state = self.state();
            if state.doom.is_none() {
                state.doom = reason.take();
            }
            state.abort.clone()
        };
        if let Some(abort) = abort {
            abort.abort();
        }
    }

    /// Tells it to end in the way that its options say.
    pub(super) fn shut_down(&self) {
        self.doom(shutdown::reason(self.shutdown));
    }

    /// Why it was told to end, if it was.
    pub(super) fn doomed(&self) -> Option<ExitReason> {
        self.state().doom.clone()
    }

    /// Bonds it with a server. Before it starts: or its end could come in between.
    pub(super) fn link(self: &Arc<Self>, owner: Arc<dyn Linked>) {
        owner.add_link(Arc::new(TaskEnd(Arc::downgrade(self), self.link_id())), self.link_id());
        let before = self.state().owner.replace(owner);
        drop(before);
    }

    /// Ends the bond: neither will hear of the other's end.
    pub(super) fn unlink(self: &Arc<Self>) {
        if let Some(owner) = self.forget_owner() {
            owner.remove_link(self.link_id());
        }
    }

    fn forget_owner(&self) -> Option<Arc<dyn Linked>> {
        self.state().owner.take()
    }

    /// What names this task to the server that it is linked with.
    pub(super) fn link_id(self: &Arc<Self>) -> usize {
        // The server's side holds a weak pointer as long as it holds the link: no other record can get this address.
        Arc::as_ptr(self).cast::<()>().addr()
    }

    /// Notes the end. Tells the server that the task was linked with, and the callers that wait for it.
    pub(super) fn end(self: &Arc<Self>, reason: &ExitReason) {
        let owner = {
            let mut state = self.state();
            state.ended = true;
            state.abort = None;
            state.owner.take()
        };
        if let Some(owner) = owner {
            owner.exit_signal(self.link_id(), reason);
        }
        quiet::run("a waker", || self.ended.notify_waiters());
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self) {
        let mut notified = std::pin::pin!(self.ended.notified());
        // Listen first, then look: or the end could come in between.
        notified.as_mut().enable();
        if !self.state().ended {
            shield(notified).await;
        }
    }
}

/// The task's side of a link, as the server keeps it.
struct TaskEnd(Weak<Record>, usize);

impl Linked for TaskEnd {
    fn link_id(&self) -> usize {
        self.1
    }

    /// The server ended. Whatever the reason: no caller is left that could want the result.
    fn exit_signal(&self, _from: usize, reason: &ExitReason) {
        if let Some(record) = self.0.upgrade() {
            record.forget_owner();
            record.doom(reason.clone());
        }
    }

    fn add_link(&self, other: Arc<dyn Linked>, _id: usize) {
        if let Some(record) = self.0.upgrade() {
            let before = record.state().owner.replace(other);
            drop(before);
        }
    }

    fn remove_link(&self, _id: usize) {
        if let Some(record) = self.0.upgrade() {
            record.forget_owner();
        }
    }
}
