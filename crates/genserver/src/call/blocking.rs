//! A call made by a plain thread.

use super::error::{CallError, label, refusal, settle};
use crate::cycle;
use crate::executor::{Cell, Executor};
use crate::message::{CallMessage, Message};
use crate::reply::Reply;
use crate::server::GenServer;
use crate::server_ref::ServerRef;
use crate::slot::{self, Outcome, Wait};
use crate::watchdog;
use restante_core::SendOptions;
use restante_core::send::{Sending, block_on_until, may_block};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Cx, Poll};
use std::time::{Duration, Instant};

/// Whether a runtime can be entered here: not in a thread's last destructors, once tokio's own thread-locals have gone.
pub(super) fn can_enter() -> bool {
    !tokio::runtime::Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed())
}

/// Calls from a plain thread: on this stack if the server is idle, else through the mailbox, looking and then parking.
pub(crate) fn call_blocking<S: GenServer, T: Send>(
    server: &ServerRef<S>,
    make: impl FnOnce(Reply<T>) -> S::Call,
    limit: Duration,
) -> Result<T, CallError> {
    let cell = server.handle.cell();
    let may_block = may_block();
    let (slot, mut wait) = slot::pair::<T>();
    let tag = slot.tag();
    let mut message = Message::Call(CallMessage { call: make(Reply::new(slot)), slot: tag });
    // The handler may spawn and sleep, and must do so in its own runtime: one that cannot be entered here is left to its tasks.
    if let Some(rt) = cell.runner.rt().filter(|_| !may_block || can_enter()) {
        let inside = may_block.then(|| rt.handle.enter());
        // It may take its time there, because the thread is no runtime's worker.
        let unwatched = (may_block && watchdog::is_on()).then(watchdog::exempt);
        let ran = Executor::run_inline(cell, message, slot, may_block.then_some(&rt));
        drop((inside, unwatched));
        match ran {
            Ok(()) => match wait.try_take() {
                Some(outcome) => return settle(cell, outcome),
                None if may_block => {
                    let _waiting = cycle::wait_for(cell.link_id(), || label(cell))
                        .map_err(|path| CallError::Cycle { path })?;
                    return finish_blocking(cell, wait, Instant::now().checked_add(limit));
                }
                None => return Err(CallError::WouldBlock),
            },
            Err(back) => message = back,
        }
    }
    if !may_block {
        restante_core::drop_quietly(message);
        return Err(CallError::WouldBlock);
    }
    // From here on a handler that blocks waits, as one that awaits does.
    let _waiting = match cycle::wait_for(cell.link_id(), || label(cell)) {
        Ok(waiting) => waiting,
        Err(path) => {
            restante_core::drop_quietly(message);
            return Err(CallError::Cycle { path });
        }
    };
    let until = Instant::now().checked_add(limit);
    let mut sending = Sending::new(cell, message, SendOptions::new());
    match block_on_until(&mut sending, until) {
        Some(Ok(())) => {}
        Some(Err(refused)) => return Err(refusal(cell, refused)),
        None => return Err(CallError::Timeout),
    }
    drop(sending);
    finish_blocking(cell, wait, until)
}

fn finish_blocking<S: GenServer, T: Send>(
    cell: &Arc<Cell<S>>,
    wait: Wait<T>,
    until: Option<Instant>,
) -> Result<T, CallError> {
    struct Waits<T: Send>(Wait<T>);
    impl<T: Send> Future for Waits<T> {
        type Output = Outcome<T>;
        fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Outcome<T>> {
            self.0.poll(cx)
        }
    }
    impl<T: Send> Unpin for Waits<T> {}
    wait.unwatch(0);
    match block_on_until(&mut Waits(wait), until) {
        Some(outcome) => settle(cell, outcome),
        None => Err(CallError::Timeout),
    }
}
