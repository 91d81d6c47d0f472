//! Calls: a message with a reply slot, and the caller who waits at it.
//!
//! A call to an idle server of the same runtime runs its handler on the caller's own stack, and then costs no wake-up at
//! all (`executor`); otherwise the message goes through the mailbox and the reply straight to the slot.

use crate::about::{Named, Who};
use crate::cycle::{self, Path, Waiting};
use crate::executor::{Cell, Executor};
use crate::frame::Label;
use crate::message::{CallMessage, Message};
use crate::reply::Reply;
use crate::rt::Rt;
use crate::server::GenServer;
use crate::server_ref::ServerRef;
use crate::slot::{self, Dead, Outcome, Wait};
use crate::tracker;
use crate::watchdog;
use restante_core::clock;
use restante_core::send::{Sending, block_on_until, may_block};
use restante_core::shield::Shielded;
use restante_core::{ExitReason, SendError, SendOptions, timeout};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Cx, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;

/// The default limit of a call. It is kept to within a quarter of a second: 5.0 to 5.25 s.
pub const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a call has no reply.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No reply within the limit. The server skips the call if it has not come to it yet; if it has, its late reply is
    /// discarded. Who did not answer: [`Call::named`], [`ServerRef::about`].
    #[error("no reply within the time allowed")]
    Timeout,
    /// Servers would wait for each other in a ring. Use a cast, or answer later, to break it.
    #[error("the call would close a ring of waiting servers: {path}")]
    Cycle {
        /// The ring.
        path: Path,
    },
    /// The server ended with the call in hand (or with the reply it kept), or had ended for good.
    #[error("the server ended: {0}")]
    Exited(ExitReason),
    /// The server dropped the reply and goes on.
    #[error("the server gave no reply")]
    NoReply,
    /// The mailbox is closed.
    #[error("the mailbox is closed")]
    Closed,
    /// No room, and the mailbox's policy is not to wait.
    #[error("the mailbox is full")]
    Full,
    /// The call was shed to make room, or was worth less than all that waits.
    #[error("the mailbox shed the call")]
    Shed,
    /// The mailbox takes so many messages per time.
    #[error("the mailbox is rate limited, room again in {retry_after:?}")]
    RateLimited {
        /// When the next one may come.
        retry_after: Duration,
    },
    /// The call weighs more than the mailbox holds.
    #[error("the call weighs {weight}, the mailbox holds {limit}")]
    TooHeavy {
        /// Its weight.
        weight: u32,
        /// The mailbox's limit.
        limit: u64,
    },
    /// A blocking call inside an async runtime would block its worker. Use `call(..).await`.
    #[error("a blocking call inside an async runtime would block its worker")]
    WouldBlock,
}

impl CallError {
    /// Whether the server is gone: its mailbox is [`Closed`](Self::Closed), or it ended, with the call in hand or for
    /// good ([`Exited`](Self::Exited)). A supervised server may be started again under the same address; one whose mailbox
    /// is closed never is.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Closed | Self::Exited(_))
    }
}

/// Whether callers may run the handler themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CallerRuns {
    /// A call to an idle server of the same runtime runs its handler on the caller's stack, unless handlers have been
    /// seen, twice in a row, to take longer than 2 µs. What a handler can notice: tokio's task-locals, task id and coop budget, and the
    /// current tracing span, are then the caller's. What a caller can notice: a `std` lock that it holds over the call
    /// and that the handler wants blocks for good, where through the mailbox the limit would have freed it.
    #[default]
    Auto,
    /// Handlers run on the server's own task only.
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// The sweep's.
    Default,
    After(Duration),
}

/// A call that has not been answered yet. Nothing is sent before it is first polled.
///
/// # Cancel safety
/// Dropping it gives up: if a handler has not started on the call, none will; else the reply is discarded.
#[must_use = "a call is not made unless it is awaited"]
pub struct Call<'a, S: GenServer, T: Send, F> {
    server: &'a ServerRef<S>,
    limit: Limit,
    inline: CallerRuns,
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
    _waiting: Option<Waiting>,
    sleep: Option<Shielded<Sleep>>,
}

/// No room yet.
struct Room<'a, S: GenServer, T: Send> {
    sending: Sending<'a, Message<S>, Executor<S>>,
    wait: Wait<T>,
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
    fn wait(&mut self, mut wait: Wait<T>, cx: &mut Cx<'_>) -> Poll<Result<T, CallError>> {
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

/// A timer for a wait at a server of that runtime. None can be had in a thread's last destructors ([`can_enter`]).
pub(crate) fn timer(
    at: tokio::time::Instant,
    rt: impl FnOnce() -> Option<Arc<Rt>>,
) -> Option<Shielded<Sleep>> {
    match tokio::runtime::Handle::try_current() {
        Ok(_) => return Some(timeout::sleep_until(at)),
        Err(gone) if gone.is_thread_local_destroyed() => return None,
        Err(_) => {}
    }
    // On a foreign executor the server's runtime keeps the time.
    let rt = rt()?;
    let _inside = rt.handle.enter();
    Some(timeout::sleep_until(at))
}

/// Waits at the slot, under the sweep's eyes where the limit is the default.
#[inline]
fn watch<S: GenServer, T: Send>(
    wait: &mut Wait<T>,
    limit: Limit,
    cell: &Arc<Cell<S>>,
    cx: &mut Cx<'_>,
) -> Poll<Outcome<T>> {
    if limit != Limit::Default {
        wait.unwatch(tracker::unswept());
        return wait.poll(cx);
    }
    watch_by_sweep(wait, || cell.runner.rt(), cx)
}

/// Waits with the default limit: the sweep of this runtime keeps it, else that of the server's.
#[inline]
pub(crate) fn watch_by_sweep<T: Send>(
    wait: &mut Wait<T>,
    rt: impl FnOnce() -> Option<Arc<Rt>>,
    cx: &mut Cx<'_>,
) -> Poll<Outcome<T>> {
    if wait.is_watched() {
        let polled = wait.poll(cx);
        if polled.is_ready() {
            return polled;
        }
    }
    let mut watched = |rt: &Arc<Rt>| {
        let (sweep, epoch) = rt.epoch();
        wait.watch_once(sweep, epoch);
        let polled = wait.poll(cx);
        if polled.is_pending() {
            rt.watch_over(wait);
        }
        polled
    };
    if let Some(polled) = Rt::with_current(&mut watched) {
        return polled;
    }
    if let Some(rt) = rt() {
        return watched(&rt);
    }
    // Neither the caller nor the server has a runtime: nobody keeps the time, and nobody serves.
    wait.unwatch(0);
    wait.poll(cx)
}

/// The caller's view of what the slot says.
#[inline(always)]
pub(crate) fn settle<S: GenServer, T>(cell: &Cell<S>, outcome: Outcome<T>) -> Result<T, CallError> {
    match outcome {
        Outcome::Value(value) => Ok(value),
        other => unanswered(cell, other),
    }
}

#[cold]
fn unanswered<S: GenServer, T>(cell: &Cell<S>, outcome: Outcome<T>) -> Result<T, CallError> {
    match outcome {
        Outcome::Value(value) => Ok(value),
        Outcome::Failed(Some(reason)) => Err(CallError::Exited(reason)),
        Outcome::Failed(None) if cell.is_closed() && !cell.is_leased() => Err(closed(cell)),
        Outcome::Failed(None) => Err(CallError::NoReply),
        Outcome::Late | Outcome::Dead(Dead::Expired) => Err(CallError::Timeout),
        Outcome::Dead(Dead::Shed) => Err(CallError::Shed),
        Outcome::Dead(Dead::Ended) => {
            let why = cell.closed_reason().or_else(|| cell.doomed());
            Err(why.map_or_else(|| closed(cell), CallError::Exited))
        }
    }
}

/// Closed, and why where that is known.
#[cold]
fn closed<S: GenServer>(cell: &Cell<S>) -> CallError {
    cell.last_exit().map_or(CallError::Closed, |exit| CallError::Exited(exit.reason))
}

#[cold]
pub(crate) fn refusal<S: GenServer>(cell: &Cell<S>, refused: SendError<Message<S>>) -> CallError {
    let error = match &refused {
        SendError::Closed(_) => closed(cell),
        SendError::RateLimited { retry_after, .. } => CallError::RateLimited { retry_after: *retry_after },
        SendError::TooHeavy { weight, limit, .. } => CallError::TooHeavy { weight: *weight, limit: *limit },
        SendError::Expired(_) | SendError::Timeout(_) => CallError::Timeout,
        SendError::WouldBlock(_) => CallError::WouldBlock,
        SendError::Shed(_) => CallError::Shed,
        _ => CallError::Full,
    };
    restante_core::drop_quietly(refused);
    error
}

pub(crate) fn who<S: GenServer>(cell: &Cell<S>) -> Who {
    Who { id: cell.id(), name: cell.name().cloned(), kind: std::any::type_name::<S>() }
}

pub(crate) fn label<S: GenServer>(cell: &Cell<S>) -> Label {
    Label { kind: std::any::type_name::<S>(), name: cell.name().cloned() }
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

/// Whether a runtime can be entered here: not in a thread's last destructors, once tokio's own thread-locals have gone.
fn can_enter() -> bool {
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
        // It may take its time there: the thread is nobody's worker.
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
