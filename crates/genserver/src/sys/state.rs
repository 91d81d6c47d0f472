//! State verbs: typed closures that run between two messages.
//!
//! The asker leaves its closure with the mailbox and waits for the answer, for the end of the incarnation, or for its time to
//! be over; in the last two cases it takes the closure back. Either the asker gets the closure, and then it never runs; or the
//! loop has it, and then the answer is there in a moment. So a verb is obeyed exactly when its asker is told so.

use super::{Sys, SysError};
use crate::call::{self, label};
use crate::cycle;
use crate::server::GenServer;
use crate::server_ref::ServerRef;
use restante_core::clock;
use restante_core::monitor::{Event, MonitorId, Watch};
use restante_core::send::{block_on_until, may_block};
use restante_core::shield::LastShield;
use restante_core::{ExitReason, drop_quietly, quiet, word};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context as Cx, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

impl<S: GenServer> Sys<'_, S> {
    /// Looks at the state, between two messages.
    ///
    /// # Errors
    /// [`SysError`].
    ///
    /// # Panics
    /// Where it has to wait in a runtime without a time driver, and the limit is not `Duration::MAX`.
    ///
    /// # Cancel safety
    /// Dropping the future takes the question back, unless it is being answered right now.
    pub async fn get_state<T: Send + 'static>(
        &self,
        look: impl FnOnce(&S) -> T + Send + 'static,
    ) -> Result<T, SysError> {
        self.ask(move |state| Ok(look(state))).await
    }

    /// Replaces the state by what `make` makes of it, between two messages; the old state is dropped. If `make` fails or
    /// panics the state is what it was.
    ///
    /// # Errors
    /// [`SysError`].
    ///
    /// # Panics
    /// As [`Sys::get_state`].
    ///
    /// # Cancel safety
    /// As [`Sys::get_state`].
    pub async fn replace_state(
        &self,
        make: impl FnOnce(&S) -> Result<S, ExitReason> + Send + 'static,
    ) -> Result<(), SysError> {
        self.ask(replacing(make)).await
    }

    /// [`Sys::get_state`] from a plain thread.
    ///
    /// # Errors
    /// [`SysError`].
    pub fn get_state_blocking<T: Send + 'static>(
        &self,
        look: impl FnOnce(&S) -> T + Send + 'static,
    ) -> Result<T, SysError> {
        self.ask_blocking(move |state| Ok(look(state)))
    }

    /// [`Sys::replace_state`] from a plain thread.
    ///
    /// # Errors
    /// [`SysError`].
    pub fn replace_state_blocking(
        &self,
        make: impl FnOnce(&S) -> Result<S, ExitReason> + Send + 'static,
    ) -> Result<(), SysError> {
        self.ask_blocking(replacing(make))
    }

    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut S) -> Result<T, ExitReason> + Send + 'static,
    ) -> Result<T, SysError> {
        let cell = self.cell();
        let _waiting =
            cycle::wait_for(cell.link_id(), || label(cell)).map_err(|path| SysError::Cycle { path })?;
        let mut asked = Asked::new(self.server, question)?;
        // A server that sits between two messages needs to be polled first, and so a moment.
        let limit = if self.limit.is_zero() && !asked.is_busy() { AT_ONCE } else { self.limit };
        match asked.within(limit).await {
            Some(answer) => answer,
            None => match asked.give_up() {
                Some(busy) => Err(busy),
                None => asked.await,
            },
        }
    }

    fn ask_blocking<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut S) -> Result<T, ExitReason> + Send + 'static,
    ) -> Result<T, SysError> {
        if !may_block() {
            return Err(SysError::WouldBlock);
        }
        // A handler on a thread of its own may block, and then waits as one that awaits does.
        let cell = self.cell();
        let _waiting =
            cycle::wait_for(cell.link_id(), || label(cell)).map_err(|path| SysError::Cycle { path })?;
        let mut asked = Asked::new(self.server, question)?;
        let limit = if self.limit.is_zero() && !asked.is_busy() { AT_ONCE } else { self.limit };
        let answer = block_on_until(&mut asked, Instant::now().checked_add(limit)).or_else(|| {
            let busy = asked.give_up();
            busy.map_or_else(|| block_on_until(&mut asked, None), |busy| Some(Err(busy)))
        });
        answer.unwrap_or(Err(SysError::NotRunning))
    }
}

/// What an idle server is given to wake up, where its asker would not wait at all.
const AT_ONCE: Duration = Duration::from_secs(1);

fn replacing<S: GenServer>(
    make: impl FnOnce(&S) -> Result<S, ExitReason> + Send + 'static,
) -> impl FnOnce(&mut S) -> Result<(), ExitReason> + Send + 'static {
    move |state| {
        let new = make(state)?;
        if let Some(reason) = drop_quietly(std::mem::replace(state, new)) {
            quiet::run("a subscriber", || {
                tracing::error!(server = std::any::type_name::<S>(), %reason, "the old state panicked in its drop");
            });
        }
        Ok(())
    }
}

/// A question that is out.
struct Asked<'a, S: GenServer, T> {
    server: &'a ServerRef<S>,
    number: u64,
    incarnation: u32,
    answer: oneshot::Receiver<Result<T, ExitReason>>,
    /// The end of the incarnation.
    down: oneshot::Receiver<ExitReason>,
    /// Of both.
    shield: LastShield,
    monitor: MonitorId,
    began: Instant,
    /// What was in hand then.
    hand: (u64, u64),
}

impl<'a, S: GenServer, T: Send + 'static> Asked<'a, S, T> {
    fn new(
        server: &'a ServerRef<S>,
        question: impl FnOnce(&mut S) -> Result<T, ExitReason> + Send + 'static,
    ) -> Result<Self, SysError> {
        let cell = server.handle.cell();
        if !cell.is_leased() {
            drop_quietly(question);
            return Err(SysError::NotRunning);
        }
        let (incarnation, monitor, down) = Self::watch(server);
        let (tell, answer) = oneshot::channel();
        let question = move |state: &mut S| {
            let answer = catch_unwind(AssertUnwindSafe(|| question(state)))
                .unwrap_or_else(|payload| Err(ExitReason::from_panic(payload)));
            // The asker's waker is foreign code, and its panic not the server's.
            quiet::run("an operator's waker", || tell.send(answer).err()).map(drop_quietly);
        };
        let number = cell.runner.requests_or_new().ask(incarnation, Box::new(question));
        let hand = (cell.runner.current.bits(), cell.handled_so_far());
        let (shield, began) = (LastShield::default(), Instant::now());
        let asked = Self { server, number, incarnation, answer, down, shield, monitor, began, hand };
        server.sys().call_for();
        Ok(asked)
    }

    /// The present incarnation, and the news of its end.
    fn watch(server: &ServerRef<S>) -> (u32, MonitorId, oneshot::Receiver<ExitReason>) {
        let cell = server.handle.cell();
        loop {
            let incarnation = cell.incarnation();
            let (tell, down) = oneshot::channel();
            let mut tell = Some(tell);
            let monitor = server.monitor(Watch::Incarnation, move |event| {
                if let (Event::Down(exit), Some(tell)) = (event, tell.take()) {
                    let _ = tell.send(exit.reason);
                }
            });
            if cell.incarnation() == incarnation {
                return (incarnation, monitor, down);
            }
            // Another incarnation has begun in between, and it is not known which of them the monitor is of. A question to the
            // one and news of the other would be neither answered nor refused.
            server.demonitor(monitor);
        }
    }

    /// Waits for the answer, at most so long. On a foreign executor the server's runtime keeps the time.
    async fn within(&mut self, limit: Duration) -> Option<Result<T, SysError>> {
        let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut *self).poll(cx))).await;
        if first.is_ready() || limit.is_zero() {
            return match first {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => None,
            };
        }
        let until = clock::now().checked_add(limit);
        let mut sleep = until.and_then(|until| call::timer(until, || self.server.handle.cell().runner.rt()));
        poll_fn(|cx| match (Pin::new(&mut *self).poll(cx), &mut sleep) {
            (Poll::Ready(answer), _) => Poll::Ready(Some(answer)),
            (Poll::Pending, Some(sleep)) => Pin::new(sleep).poll(cx).map(|()| None),
            (Poll::Pending, None) => Poll::Pending,
        })
        .await
    }

    fn is_busy(&self) -> bool {
        let (phase, name) = self.server.handle.cell().runner.current.get();
        phase != restante_core::Phase::Idle || !name.is_empty()
    }

    /// Takes the question back: what there is to say then. `None`: it is being answered.
    fn give_up(&mut self) -> Option<SysError> {
        let cell = self.server.handle.cell();
        if !cell.runner.requests().is_some_and(|requests| requests.withdraw(self.number)) {
            return None;
        }
        let (message, known) = cell
            .runner
            .in_hand_now_of(cell.word().bits())
            .map_or(("its mailbox", None), |now| (now.name, now.since));
        let unchanged = (cell.runner.current.bits(), cell.handled_so_far()) == self.hand;
        let waited = if unchanged { self.began.elapsed() } else { Duration::ZERO };
        Some(SysError::Busy { message, since: known.unwrap_or_default().max(waited) })
    }
}

impl<S: GenServer, T> Unpin for Asked<'_, S, T> {}

impl<S: GenServer, T: Send + 'static> Future for Asked<'_, S, T> {
    type Output = Result<T, SysError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        let waker = self.shield.waker(cx.waker());
        let cx = &mut Cx::from_waker(&waker);
        if let Poll::Ready(answer) = Pin::new(&mut self.answer).poll(cx) {
            let answer = answer.unwrap_or_else(|_| {
                Err(ExitReason::error("there is no state: somebody stands in for the server"))
            });
            return Poll::Ready(answer.map_err(SysError::Failed));
        }
        let reason = ready!(Pin::new(&mut self.down).poll(cx)).unwrap_or(ExitReason::Killed);
        // The answer may have come just before the end. None comes after it.
        if let Some(requests) = self.server.handle.cell().runner.requests() {
            requests.withdraw(self.number);
        }
        Poll::Ready(match self.answer.try_recv() {
            Ok(answer) => answer.map_err(SysError::Failed),
            Err(_) => Err(SysError::Exited(reason)),
        })
    }
}

impl<S: GenServer, T> Drop for Asked<'_, S, T> {
    fn drop(&mut self) {
        let cell = self.server.handle.cell();
        if let Some(requests) = cell.runner.requests() {
            requests.withdraw(self.number);
        }
        debug_assert!(self.incarnation <= cell.incarnation() || cell.word().bits() & word::LEASED == 0);
        self.server.demonitor(self.monitor);
    }
}
