//! The server's own task, and its wake-ups.

use super::server_cell::{Cell, Executor};
use crate::message::Message;
use crate::rt::Rt;
use crate::server::GenServer;
use crate::slot::Dead;
use crate::sys::trace;
use crate::thread::{self, ThreadPool};
use restante_core::cell::{MailCell, Runner};
use restante_core::{DeadCause, word};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as Cx, Poll};
use tracing::Span;

impl<S: GenServer> Runner<Message<S>> for Executor<S> {
    fn schedule(&self, cell: &Arc<MailCell<Message<S>, Self>>) {
        if cell.word().bits() & word::ORPHAN != 0 {
            return Executor::abandon(cell);
        }
        let woken = self.with_binding(|binding| match binding.task.get() {
            Some(task) => {
                task.wake_by_ref();
                None
            }
            None => Some(Arc::clone(&binding.rt)),
        });
        if let Some(Some(rt)) = woken {
            match self.threads() {
                // On a runtime that has shut down the task is dropped at once, which ends the incarnation.
                None => {
                    rt.handle.spawn(Task::new(cell, &rt));
                }
                Some(threads) => self.schedule_on(cell, rt, threads),
            }
        }
    }

    fn on_dead(&self, message: &Message<S>, cause: &DeadCause) {
        if let Message::Call(call) = message {
            call.slot.kill(match cause {
                DeadCause::InHand(reason) => return call.slot.fail(reason.clone()),
                DeadCause::Expired => Dead::Expired,
                DeadCause::Shed => Dead::Shed,
                _ => Dead::Ended,
            });
        }
    }

    fn span(&self) -> Option<Arc<Span>> {
        self.requests().filter(|requests| requests.is_traced()).and_then(|_| trace::current())
    }

    fn on_settled(&self) {
        // The task, if there is one, finds that it is done.
        self.wake_task();
        self.move_to(None);
        // Nothing is told to them any more, and the cell's memory may stay for long.
        self.requests().inspect(|requests| requests.drop_hooks());
    }
}

/// The server's own task, and the runtime ([`Rt::name`]) that it is in.
pub(crate) struct Task<S: GenServer>(Option<Arc<Cell<S>>>, u32);

impl<S: GenServer> Task<S> {
    pub(super) fn new(cell: &Arc<Cell<S>>, rt: &Rt) -> Self {
        Self(Some(Arc::clone(cell)), rt.name())
    }

    /// One turn, of so many messages at most where the thread is one of ours.
    #[inline(always)]
    pub(crate) fn poll_turn(&mut self, cx: &mut Cx<'_>, turn: Option<u16>) -> Poll<()> {
        let Some(cell) = &self.0 else { return Poll::Ready(()) };
        let result = if self.is_home(cell) {
            // The task goes on when its incarnation has ended, see `Held`, because the next one may come.
            catch_unwind(AssertUnwindSafe(|| Executor::poll_task(cell, cx, turn)))
                .unwrap_or_else(|payload| Executor::unwound(cell, payload))
        } else {
            Poll::Ready(())
        };
        if result.is_ready() {
            self.0 = None;
        }
        result
    }

    /// Whether the mailbox is served from this task's runtime (still, or again).
    fn is_home(&self, cell: &Arc<Cell<S>>) -> bool {
        cell.runner.moved().is_none()
            || cell.runner.with_binding(|binding| binding.rt.name() == self.1) == Some(true)
    }
}

impl<S: GenServer> Future for Task<S> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<()> {
        self.poll_turn(cx, None)
    }
}

impl<S: GenServer> Drop for Task<S> {
    fn drop(&mut self) {
        if let Some(cell) = self.0.take()
            && self.is_home(&cell)
        {
            cell.runner.with_binding(|binding| binding.gone.store(true, Ordering::Release));
            Executor::abandon(&cell);
        }
    }
}

impl<S: GenServer> Executor<S> {
    /// The first wake-up of a server that runs on threads: there it is polled from now on.
    #[cold]
    fn schedule_on(&self, cell: &Arc<Cell<S>>, rt: Arc<Rt>, threads: ThreadPool) {
        self.with_binding(|binding| {
            let mut first = None;
            // Made and noted in one step: there is one task at most.
            let task = binding.task.get_or_init(|| {
                let (runnable, taken_in) = thread::task(Task::new(cell, &rt), cell, rt, threads);
                let waker = runnable.waker();
                first = Some((runnable, taken_in));
                waker
            });
            match first {
                Some((runnable, true)) => runnable.schedule(),
                // As on a runtime that has shut down.
                Some((runnable, false)) => drop(runnable),
                None => task.wake_by_ref(),
            }
        });
    }
}
