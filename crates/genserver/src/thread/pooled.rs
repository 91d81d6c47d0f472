//! A server's task while it lives on threads of ours.
//!
//! The life of the runtime that the server belongs to is watched by a sentinel: a task there that does nothing. When the
//! runtime shuts down it drops the sentinel, and with it one end of a channel; the server then ends here, on its thread, and
//! not under the runtime's hands.

use super::pool::ThreadPool;
use super::still::Still;
use super::workers::Resident;
use crate::call::label;
use crate::executor::{Cell, Task};
use crate::rt::Rt;
use crate::server::GenServer;
use crate::server_ref::ServerRef;
use async_task::Runnable;
use restante_core::ExitReason;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context as Cx, Poll};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Makes a runnable of a server's task, to be scheduled on these threads; false: they take no server any more, and it is to
/// be dropped, which ends the incarnation.
pub(crate) fn task<S: GenServer>(
    task: Task<S>,
    cell: &Arc<Cell<S>>,
    rt: Arc<Rt>,
    threads: ThreadPool,
) -> (Runnable, bool) {
    let workers = Arc::clone(threads.workers());
    let key = workers.move_in(Arc::new(PooledServer(Arc::downgrade(cell))));
    let handle = rt.handle.clone();
    let task = PooledTask {
        task: Some(task),
        cell: Arc::downgrade(cell),
        rt,
        turn: Turn::FIRST,
        threads,
        key,
        sentinel: None,
        told: 0,
    };
    let (runnable, task) =
        async_task::spawn(task, move |runnable| workers.put(runnable, Still::hold(&handle)));
    task.detach();
    (runnable, key.is_some())
}

/// A server on its threads.
struct PooledTask<S: GenServer> {
    /// Until it has left.
    task: Option<Task<S>>,
    cell: Weak<Cell<S>>,
    rt: Arc<Rt>,
    /// Keeps them.
    threads: ThreadPool,
    /// In the crew's list.
    key: Option<u64>,
    /// Ends when the runtime does. Made at the first poll.
    sentinel: Option<oneshot::Receiver<Infallible>>,
    /// The incarnation that was told to end with its threads.
    told: u32,
    turn: Turn,
}

impl<S: GenServer> PooledTask<S> {
    /// Whether the runtime has shut down.
    fn is_bereft(&mut self, cx: &mut Cx<'_>) -> bool {
        let rt = &self.rt;
        let sentinel = self.sentinel.get_or_insert_with(|| {
            let (mut held, sentinel) = oneshot::channel::<Infallible>();
            // A runtime that has shut down drops the future at once.
            rt.handle.spawn(async move { held.closed().await });
            sentinel
        });
        Pin::new(sentinel).poll(cx).is_ready()
    }

    /// The threads are to end: an incarnation that is still there is told, once. True: none is.
    fn is_shut_out(&mut self) -> bool {
        if !self.threads.workers().is_shut() {
            return false;
        }
        let Some(cell) = self.cell.upgrade() else { return true };
        let incarnation = cell.incarnation();
        if cell.is_leased() && self.told != incarnation {
            self.told = incarnation;
            // Mostly it has heard of it already; but this one may have begun at that very moment.
            ServerRef::of_cell(&cell).order_stop(incarnation, ExitReason::Shutdown);
        }
        !cell.is_leased()
    }

    /// Drops the task, which ends the incarnation where there is one.
    fn leave(&mut self) {
        self.task = None;
        if let Some(key) = self.key.take() {
            self.threads.workers().moved_out(key);
        }
    }
}

impl<S: GenServer> Future for PooledTask<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<()> {
        let me = self.get_mut();
        let rt = Arc::clone(&me.rt);
        let _inside = rt.handle.enter();
        if !me.is_bereft(cx) && !me.is_shut_out() {
            let began = Instant::now();
            let polled = me.task.as_mut().map_or(Poll::Ready(()), |task| task.poll_turn(cx, Some(me.turn.0)));
            me.turn = me.turn.after(began.elapsed());
            // The runtime's end may be what the threads wait for.
            if polled.is_pending() && !me.is_shut_out() {
                return Poll::Pending;
            }
        }
        me.leave();
        Poll::Ready(())
    }
}

impl<S: GenServer> Drop for PooledTask<S> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// How many messages the next turn may have: one after a turn that took long, twice as many after each that did not. So
/// servers whose handlers are slow take turns by the message, and others hardly notice that there are turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn(u16);

impl Turn {
    const FIRST: Self = Self(1);
    const MOST: u16 = 64;
    const LONG: Duration = Duration::from_millis(1);

    fn after(self, took: Duration) -> Self {
        if took > Self::LONG { Self::FIRST } else { Self((self.0 * 2).min(Self::MOST)) }
    }
}

/// What the pool's end sees of a server.
struct PooledServer<S: GenServer>(Weak<Cell<S>>);

impl<S: GenServer> Resident for PooledServer<S> {
    fn label(&self) -> String {
        self.0.upgrade().map_or_else(String::new, |cell| label(&cell).to_string())
    }

    fn move_out(&self) {
        let Some(cell) = self.0.upgrade() else { return };
        cell.runner.evict();
        if cell.is_leased() {
            let server = ServerRef::of_cell(&cell);
            server.order_stop(server.incarnation(), ExitReason::Shutdown);
        }
        // It may be between two incarnations.
        cell.runner.wake_task();
    }

    fn kill(&self) {
        if let Some(cell) = self.0.upgrade() {
            cell.kill(ExitReason::Killed);
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn quick_turns_grow_to_a_bound_and_a_slow_one_is_followed_by_the_shortest() {
        let mut turn = Turn::FIRST;
        let mut seen = Vec::new();
        for _ in 0..8 {
            turn = turn.after(Turn::LONG);
            seen.push(turn.0);
        }
        assert_eq!(seen, [2, 4, 8, 16, 32, 64, 64, 64]);
        assert_eq!(turn.after(Turn::LONG + Duration::from_nanos(1)), Turn::FIRST);
        assert_eq!(Turn::FIRST.after(Duration::MAX), Turn::FIRST);
    }
}
