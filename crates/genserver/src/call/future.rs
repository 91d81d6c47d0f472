//! The future of a call.

use super::error::{CallError, label, refusal, settle};
use super::limit::{CallerRuns, Limit, timer, watch, watch_by_sweep};
use crate::about::Named;
use crate::cycle::{self, Path, Waiting};
use crate::executor::Executor;
use crate::message::{CallMessage, Message};
use crate::reply::Reply;
use crate::server::GenServer;
use crate::server_ref::ServerRef;
use crate::slot::{self, Wait};
use crate::tracker;
use restante_core::send::Sending;
use restante_core::shield::Shielded;
use restante_core::{SendError, SendOptions, clock};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Cx, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// A call that has not been answered yet. Nothing is sent before it is first polled.
///
/// # Cancel safety
/// Dropping it gives up: if a handler has not started on the call, none will; else the reply is discarded.
#[must_use = "a call is not made unless it is awaited"]
pub struct Call<'a, S: GenServer, T: Send, F> {
    pub(super) server: &'a ServerRef<S>,
    pub(super) limit: Limit,
    pub(super) inline: CallerRuns,
    options: SendOptions,
    state: State<'a, S, T, F>,
}

enum State<'a, S: GenServer, T: Send, F> {
    Start(F),
    Wait(Wait<T>, Option<Box<Extras>>),
    Room(Box<Room<'a, S, T>>),
    /// Answered on this stack; the coop budget was used up.
    Taxed(Result<T, CallError>),
    Done,
}

/// What few waits have.
struct Extras {
    pub(super) _waiting: Option<Waiting>,
    pub(super) sleep: Option<Shielded<Sleep>>,
}

/// No room yet.
struct Room<'a, S: GenServer, T: Send> {
    pub(super) sending: Sending<'a, Message<S>, Executor<S>>,
    pub(super) wait: Wait<T>,
    extras: Option<Box<Extras>>,
}

// Nothing in it is pinned.
impl<S: GenServer, T: Send, F> Unpin for Call<'_, S, T, F> {}

impl<'a, S, T, F> Call<'a, S, T, F>
where
    S: GenServer,
    T: Send,
    F: FnOnce(Reply<T>) -> S::Call,
{
    #[inline(always)]
    pub(crate) fn new(server: &'a ServerRef<S>, make: F) -> Self {
        Self {
            server,
            limit: Limit::Default,
            inline: CallerRuns::Auto,
            options: SendOptions::new(),
            state: State::Start(make),
        }
    }

    /// Waits at most so long (default 5 s), waiting for room included. Zero: only what can be answered at once;
    /// `Duration::MAX`: for ever.
    ///
    /// The call panics where it has to wait, in a runtime without a time driver, for a limit that is neither. (The default
    /// limit is kept there too.)
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Limit::After(limit);
        self
    }

    /// Whether this call may run the handler on this stack (default: what the server allows).
    pub fn caller_runs(mut self, runs: CallerRuns) -> Self {
        self.inline = runs;
        self
    }

    /// Lane, weight, time to live of the message. A call with options goes through the mailbox.
    pub fn options(mut self, options: SendOptions) -> Self {
        self.options = options;
        self
    }

    /// Has its error name the server: awaited, it gives a `Result<T, About<CallError>>`. The name is looked up when there is an
    /// error, and not before.
    ///
    /// ```ignore
    /// let left = stock.call(Ask::Left).named().await?;
    /// // "stock: no reply within the time allowed"
    /// ```
    pub fn named(self) -> Named<Self> {
        Named(self)
    }

    /// Whom it asks.
    pub(crate) fn server(&self) -> &'a ServerRef<S> {
        self.server
    }

    #[inline(always)]
    fn start(&mut self, make: F, cx: &mut Cx<'_>) -> Poll<Result<T, CallError>> {
        let cell = self.server.handle.cell();
        let (slot, mut wait) = slot::pair::<T>();
        let tag = slot.tag();
        let message = Message::Call(CallMessage { call: make(Reply::new(slot)), slot: tag });
        let plain = self.options == SendOptions::new();
        let message = if self.inline == CallerRuns::Auto && plain {
            match Executor::run_inline(cell, message, slot, None) {
                Ok(()) => match wait.try_take() {
                    Some(outcome) => return self.taxed(settle(cell, outcome), cx),
                    None => return self.wait(wait, cx),
                },
                Err(message) => message,
            }
        } else {
            message
        };
        let sent = if plain {
            cell.push(message)
        } else {
            cell.push_with(message, &self.options, true).map_err(|refused| {
                // Waiting for room is what a call does where the policy is to wait.
                if refused.may_wait { SendError::Full(refused.error.into_message()) } else { refused.error }
            })
        };
        match sent {
            Ok(()) => self.wait(wait, cx),
            Err(SendError::Full(message)) => self.wait_for_room(message, wait, cx),
            Err(refused) => Poll::Ready(Err(refusal(cell, refused))),
        }
    }

    /// A run of calls that are all answered on this stack must let other tasks live: one in 16 is charged.
    #[inline(always)]
    fn taxed(&mut self, result: Result<T, CallError>, cx: &mut Cx<'_>) -> Poll<Result<T, CallError>> {
        thread_local!(static CALLS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
        let n = CALLS.get().wrapping_add(1);
        CALLS.set(n);
        if n & 15 != 0 {
            return Poll::Ready(result);
        }
        self.state = State::Taxed(result);
        self.pay(cx)
    }

    fn pay(&mut self, cx: &mut Cx<'_>) -> Poll<Result<T, CallError>> {
        let proceed = std::task::ready!(tokio::task::coop::poll_proceed(cx));
        proceed.made_progress();
        match std::mem::replace(&mut self.state, State::Done) {
            State::Taxed(result) => Poll::Ready(result),
            _ => Poll::Pending,
        }
    }

    /// From here on the caller waits: edge, limit, waker.
    fn extras(&self) -> Result<Option<Box<Extras>>, CallError> {
        let cell = self.server.handle.cell();
        let waiting =
            cycle::wait_for(cell.link_id(), || label(cell)).map_err(|path| CallError::Cycle { path })?;
        let sleep = match self.limit {
            Limit::Default => None,
            Limit::After(limit) => match clock::now().checked_add(limit) {
                None => None,
                Some(at) => timer(at, || self.server.handle.cell().runner.rt()),
            },
        };
        Ok((waiting.is_some() || sleep.is_some()).then(|| Box::new(Extras { _waiting: waiting, sleep })))
    }

    #[inline]
    pub(super) fn wait(&mut self, mut wait: Wait<T>, cx: &mut Cx<'_>) -> Poll<Result<T, CallError>> {
        let cell = self.server.handle.cell();
        if self.limit == Limit::After(Duration::ZERO) {
            wait.unwatch(tracker::unswept());
            return Poll::Ready(match wait.try_take() {
                Some(outcome) => settle(cell, outcome),
                None => Err(CallError::Timeout),
            });
        }
        let extras = match self.extras() {
            Ok(extras) => extras,
            Err(e) => return Poll::Ready(Err(e)),
        };
        if let Poll::Ready(outcome) = watch(&mut wait, self.limit, cell, cx) {
            return Poll::Ready(settle(cell, outcome));
        }
        self.state = State::Wait(wait, extras);
        self.poll_sleep(cx)
    }

    fn poll_sleep(&mut self, cx: &mut Cx<'_>) -> Poll<Result<T, CallError>> {
        let extras = match &mut self.state {
            State::Wait(_, extras) => extras,
            State::Room(room) => &mut room.extras,
            _ => return Poll::Pending,
        };
        let Some(sleep) = extras.as_mut().and_then(|e| e.sleep.as_mut()) else { return Poll::Pending };
        std::task::ready!(Pin::new(sleep).poll(cx));
        self.state = State::Done;
        Poll::Ready(Err(CallError::Timeout))
    }

    #[cold]
    fn wait_for_room(
        &mut self,
        message: Message<S>,
        wait: Wait<T>,
        cx: &mut Cx<'_>,
    ) -> Poll<Result<T, CallError>> {
        let cell = self.server.handle.cell();
        if self.limit == Limit::After(Duration::ZERO) {
            return Poll::Ready(Err(CallError::Full));
        }
        let extras = match self.extras() {
            Ok(extras) => extras,
            Err(e) => return Poll::Ready(Err(e)),
        };
        let plain = self.options == SendOptions::new();
        let sending =
            if plain { Sending::refused(cell, message) } else { Sending::new(cell, message, self.options) };
        self.state = State::Room(Box::new(Room { sending, wait, extras }));
        self.poll_room(cx)
    }

    fn poll_room(&mut self, cx: &mut Cx<'_>) -> Poll<Result<T, CallError>> {
        let cell = self.server.handle.cell();
        let State::Room(room) = &mut self.state else { return Poll::Pending };
        match Pin::new(&mut room.sending).poll(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(refused)) => {
                let error = refusal(cell, refused);
                self.state = State::Done;
                return Poll::Ready(Err(error));
            }
            Poll::Pending => {
                // The sweep watches over the wait for room as well.
                if let Poll::Ready(outcome) = watch(&mut room.wait, self.limit, cell, cx) {
                    self.state = State::Done;
                    return Poll::Ready(settle(cell, outcome));
                }
                return self.poll_sleep(cx);
            }
        }
        let State::Room(room) = std::mem::replace(&mut self.state, State::Done) else { return Poll::Pending };
        let Room { mut wait, extras, .. } = *room;
        if let Poll::Ready(outcome) = watch(&mut wait, self.limit, cell, cx) {
            return Poll::Ready(settle(cell, outcome));
        }
        self.state = State::Wait(wait, extras);
        self.poll_sleep(cx)
    }
}

impl<S, T, F> Future for Call<'_, S, T, F>
where
    S: GenServer,
    T: Send,
    F: FnOnce(Reply<T>) -> S::Call,
{
    type Output = Result<T, CallError>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        let me = &mut *self;
        if matches!(me.state, State::Start(_)) {
            let State::Start(make) = std::mem::replace(&mut me.state, State::Done) else {
                return Poll::Pending;
            };
            return me.start(make, cx);
        }
        me.poll_on(cx)
    }
}

impl<S, T, F> Call<'_, S, T, F>
where
    S: GenServer,
    T: Send,
    F: FnOnce(Reply<T>) -> S::Call,
{
    /// A wait that goes on: the ring that it is part of by now.
    fn has_closed(&self) -> Option<Path> {
        let cell = self.server.handle.cell();
        cycle::has_closed(cell.link_id(), || label(cell))
    }

    fn poll_on(&mut self, cx: &mut Cx<'_>) -> Poll<Result<T, CallError>> {
        match &mut self.state {
            State::Wait(wait, _) => {
                let cell = self.server.handle.cell();
                let polled = match self.limit {
                    Limit::Default => watch_by_sweep(wait, || cell.runner.rt(), cx),
                    Limit::After(_) => wait.poll(cx),
                };
                if let Poll::Ready(outcome) = polled {
                    let result = settle(cell, outcome);
                    self.state = State::Done;
                    return Poll::Ready(result);
                }
                if let Some(path) = self.has_closed() {
                    self.state = State::Done;
                    return Poll::Ready(Err(CallError::Cycle { path }));
                }
                self.poll_sleep(cx)
            }
            State::Room(_) => {
                let polled = self.poll_room(cx);
                match polled.is_pending().then(|| self.has_closed()).flatten() {
                    None => polled,
                    Some(path) => {
                        self.state = State::Done;
                        Poll::Ready(Err(CallError::Cycle { path }))
                    }
                }
            }
            State::Taxed(_) => self.pay(cx),
            // Polled after its end: as every future may, it says nothing any more.
            State::Start(_) | State::Done => Poll::Pending,
        }
    }
}

impl<S: GenServer, T: Send, F> fmt::Debug for Call<'_, S, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Start(_) => "not made",
            State::Wait(..) => "waiting",
            State::Room(_) => "waiting for room",
            State::Taxed(_) | State::Done => "done",
        };
        write!(f, "Call<{}>({state})", std::any::type_name::<S>())
    }
}
