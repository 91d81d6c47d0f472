//! The reference of a server: identity, messages, lifecycle.

use crate::about::About;
use crate::call::{Call, CallError, DEFAULT_CALL_TIMEOUT, call_blocking, label, who};
use crate::cycle::{self, Waiting};
use crate::executor::{Cell, Executor, ServerHandle};
use crate::message::{Message, Order, OrderKind};
use crate::reply::Reply;
use crate::server::GenServer;
use restante_core::addressable::{Addressable, GivenUp, OnClose};
use restante_core::handle::{Handle, WeakHandle};
use restante_core::monitor::{Event, MonitorId, Watch};
use restante_core::send::{Reserving, Sending, send_blocking_as};
use restante_core::{
    Accept, Exit, ExitReason, Lane, Ledger, Recipient, SendError, SendOptions, SendPermit, Stats,
};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Cx, Poll};
use std::time::Duration;
use uuid::Uuid;

/// Refers to a server over all its incarnations: messages go to its mailbox, orders to whoever reads it now.
///
/// Cheap to clone. While one is left the mailbox stays open; when the last goes, the server drains what is queued and
/// ends with [`ExitReason::Normal`].
pub struct ServerRef<S: GenServer> {
    pub(crate) handle: ServerHandle<S>,
}

/// Casts.
impl<S: GenServer> ServerRef<S> {
    /// Sends a cast at once or not at all.
    ///
    /// # Errors
    /// [`SendError`] with the message: `Full`, `Closed`, and what the mailbox's settings add.
    #[inline(always)]
    pub fn cast(&self, cast: S::Cast) -> Result<(), SendError<S::Cast>> {
        self.handle.cell().push(Message::Cast(cast)).map_err(|e| e.map(Self::cast_back))
    }

    /// Sends a cast at once or not at all, with options.
    ///
    /// # Errors
    /// As [`ServerRef::cast`].
    pub fn cast_with(&self, cast: S::Cast, options: SendOptions) -> Result<(), SendError<S::Cast>> {
        let sent = self.handle.cell().push_with(Message::Cast(cast), &options, false);
        sent.map_err(|refused| refused.error.map(Self::cast_back))
    }

    /// Sends a cast, waiting for room.
    ///
    /// # Errors
    /// As [`ServerRef::cast`]; `Full` only where the policy is not to wait; [`SendError::Cycle`] where a handler would wait
    /// for a server that (through others) waits for it.
    ///
    /// # Cancel safety
    /// Dropping the future before it is done sends nothing and drops the message.
    #[inline]
    #[expect(clippy::manual_async_fn, reason = "the arguments of an `async fn` lie in its future twice")]
    pub fn send(&self, cast: S::Cast) -> impl Future<Output = Result<(), SendError<S::Cast>>> + Send + '_ {
        // (Not by a future that holds the message: it goes straight from here into the queue.)
        async move {
            match self.handle.cell().push(Message::Cast(cast)) {
                Ok(()) => Ok(()),
                Err(refused) => self.refused(refused, Self::cast_back)?.await,
            }
        }
    }

    /// Sends a cast with options, waiting for room.
    ///
    /// # Errors
    /// As [`ServerRef::send`].
    ///
    /// # Cancel safety
    /// As [`ServerRef::send`].
    #[inline]
    pub fn send_with(
        &self,
        cast: S::Cast,
        options: SendOptions,
    ) -> impl Future<Output = Result<(), SendError<S::Cast>>> + Send + '_ {
        let cell = self.handle.cell();
        SendMessage::new(cell, Sending::new(cell, Message::Cast(cast), options), Self::cast_back)
    }

    /// Sends a cast, waiting for room at most so long. Zero tries once; `Duration::MAX` is for ever.
    ///
    /// # Errors
    /// As [`ServerRef::send`], and [`SendError::Timeout`] with the message.
    ///
    /// # Cancel safety
    /// As [`ServerRef::send`].
    pub async fn send_timeout(&self, cast: S::Cast, limit: Duration) -> Result<(), SendError<S::Cast>> {
        let Err(refused) = self.handle.cell().push(Message::Cast(cast)) else { return Ok(()) };
        let mut sending = self.refused(refused, Self::cast_back)?;
        if let Some(result) = restante_core::timeout::at_most(limit, &mut sending).await {
            return result;
        }
        sending.take_back().map_or(Ok(()), |cast| Err(SendError::Timeout(cast)))
    }

    /// Sends a cast from a plain thread, waiting for room at most so long (`Duration::MAX`: for ever).
    ///
    /// # Errors
    /// As [`ServerRef::send_timeout`], and [`SendError::WouldBlock`] where it would have to wait on a thread that drives an
    /// async runtime.
    pub fn send_blocking(&self, cast: S::Cast, limit: Duration) -> Result<(), SendError<S::Cast>> {
        let cell = self.handle.cell();
        let begin = || cycle::wait_for(cell.link_id(), || label(cell)).map_err(|path| path.to_string());
        send_blocking_as(cell, Message::Cast(cast), SendOptions::new(), limit, begin)
            .map_err(|e| e.map(Self::cast_back))
    }

    /// Waits for a slot and holds it: the cast sent with it cannot be refused as full.
    ///
    /// # Errors
    /// [`SendError::Closed`], or [`SendError::Cycle`] as for [`ServerRef::send`]; without a message.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the line; no slot is lost.
    pub async fn reserve(&self) -> Result<CastPermit<'_, S>, SendError<()>> {
        let cell = self.handle.cell();
        let mut reserving = Reserving::new(cell);
        let first = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut reserving).poll(cx))).await;
        let reserved = match first {
            Poll::Ready(reserved) => reserved,
            Poll::Pending => {
                let (to, in_a_ring) = (cell.link_id(), |path: cycle::Path| SendError::Cycle {
                    message: (),
                    path: path.to_string(),
                });
                let _waiting = cycle::wait_for(to, || label(cell)).map_err(in_a_ring)?;
                std::future::poll_fn(|cx| match Pin::new(&mut reserving).poll(cx) {
                    Poll::Ready(reserved) => Poll::Ready(Ok(reserved)),
                    // A ring may close later than the wait begins.
                    Poll::Pending => match cycle::has_closed(to, || label(cell)) {
                        Some(path) => Poll::Ready(Err(in_a_ring(path))),
                        None => Poll::Pending,
                    },
                })
                .await?
            }
        };
        reserved.map_err(|()| SendError::Closed(()))?;
        Ok(CastPermit(SendPermit::new(cell)))
    }

    /// Sends an info at once or not at all.
    ///
    /// # Errors
    /// As [`ServerRef::cast`].
    pub fn info(&self, info: S::Info) -> Result<(), SendError<S::Info>> {
        self.handle.cell().push(Message::Info(info)).map_err(|e| e.map(Self::info_back))
    }

    /// Sends an info at once or not at all, with options.
    ///
    /// # Errors
    /// As [`ServerRef::cast`].
    pub fn info_with(&self, info: S::Info, options: SendOptions) -> Result<(), SendError<S::Info>> {
        let sent = self.handle.cell().push_with(Message::Info(info), &options, false);
        sent.map_err(|refused| refused.error.map(Self::info_back))
    }

    /// Sends an info, waiting for room.
    ///
    /// # Errors
    /// As [`ServerRef::send`].
    ///
    /// # Cancel safety
    /// As [`ServerRef::send`].
    pub async fn send_info(&self, info: S::Info) -> Result<(), SendError<S::Info>> {
        match self.handle.cell().push(Message::Info(info)) {
            Ok(()) => Ok(()),
            Err(refused) => self.refused(refused, Self::info_back)?.await,
        }
    }

    /// Where waiting for room may help: the wait.
    #[cold]
    fn refused<T>(
        &self,
        refused: SendError<Message<S>>,
        back: fn(Message<S>) -> T,
    ) -> Result<SendMessage<'_, S, T>, SendError<T>> {
        match refused {
            SendError::Full(message) => {
                let cell = self.handle.cell();
                Ok(SendMessage::new(cell, Sending::refused(cell, message), back))
            }
            other => Err(other.map(back)),
        }
    }

    fn cast_back(message: Message<S>) -> S::Cast {
        match message {
            Message::Cast(cast) => cast,
            _ => unreachable!("a refused send gives back what went in: a cast"),
        }
    }

    fn info_back(message: Message<S>) -> S::Info {
        match message {
            Message::Info(info) => info,
            _ => unreachable!("a refused send gives back what went in: an info"),
        }
    }

    /// A recipient of casts, with the server's type erased.
    pub fn cast_recipient(&self) -> Recipient<S::Cast> {
        Recipient::new(Casts(self.clone()))
    }

    /// A recipient of infos, with the server's type erased.
    pub fn info_recipient(&self) -> Recipient<S::Info> {
        Recipient::new(Infos(self.clone()))
    }

    /// A recipient of requests with a reply, with the server's type erased.
    pub fn call_recipient<Q, T>(
        &self,
        make: impl Fn(Q, Reply<T>) -> S::Call + Send + Sync + 'static,
    ) -> CallRecipient<Q, T>
    where
        Q: Send + 'static,
        T: Send + 'static,
    {
        let (server, make) = (self.clone(), Arc::new(make));
        CallRecipient(Arc::new(move |question| {
            let (server, make) = (server.clone(), Arc::clone(&make));
            Box::pin(async move { server.call(|reply| make(question, reply)).await })
        }))
    }
}

/// Calls.
impl<S: GenServer> ServerRef<S> {
    /// Asks and waits for the reply, at most 5 s unless [`Call::timeout`] says otherwise. `make` puts the reply into the
    /// request: a variant of the call enum is such a function.
    ///
    /// ```ignore
    /// let n: u64 = counter.call(Ask::Get).await?;
    /// let left = account.call(|reply| Ask::Take { amount: 5, reply }).timeout(Duration::from_secs(1)).await?;
    /// ```
    ///
    /// # Errors
    /// [`CallError`]. A queued call outlives a crash of the server: it waits for the next incarnation, within its limit.
    ///
    /// # Cancel safety
    /// See [`Call`].
    #[inline(always)]
    pub fn call<T, F>(&self, make: F) -> Call<'_, S, T, F>
    where
        T: Send,
        F: FnOnce(Reply<T>) -> S::Call,
    {
        Call::new(self, make)
    }

    /// Asks from a plain thread and waits for the reply, at most 5 s.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::WouldBlock`] on a thread that drives an async runtime, where the server was not idle.
    pub fn call_blocking<T: Send>(&self, make: impl FnOnce(Reply<T>) -> S::Call) -> Result<T, CallError> {
        call_blocking(self, make, DEFAULT_CALL_TIMEOUT)
    }

    /// The same with a limit of its own; `Duration::MAX` is for ever.
    ///
    /// # Errors
    /// As [`ServerRef::call_blocking`].
    pub fn call_blocking_timeout<T: Send>(
        &self,
        limit: Duration,
        make: impl FnOnce(Reply<T>) -> S::Call,
    ) -> Result<T, CallError> {
        call_blocking(self, make, limit)
    }
}

/// Lifecycle.
impl<S: GenServer> ServerRef<S> {
    pub(crate) fn new(handle: ServerHandle<S>) -> Self {
        Self { handle }
    }

    pub(crate) fn upgrade(cell: &Arc<Cell<S>>) -> Option<Self> {
        Handle::upgrade(cell).map(Self::new)
    }

    /// From inside the server itself: also when the last other reference has gone (and the mailbox is closed).
    pub(crate) fn of_cell(cell: &Arc<Cell<S>>) -> Self {
        Self::new(Handle::another(cell))
    }

    /// Whether an incarnation reads the mailbox now.
    pub fn is_alive(&self) -> bool {
        self.handle.is_leased()
    }

    /// Whether the mailbox takes nothing any more.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Which incarnation reads, or read last; 0: none yet.
    pub fn incarnation(&self) -> u32 {
        self.handle.incarnation()
    }

    /// Ends the present incarnation, now: a handler that is under way is dropped at its next await, `terminate` does not
    /// run. Queued messages stay where the mailbox does. False when none was running.
    pub fn kill(&self) -> bool {
        self.handle.cell().kill(ExitReason::Killed)
    }

    /// Tells the present incarnation to end: after the handler that is under way, before everything that is queued.
    /// `terminate` runs. Waits for the end, at most so long; after a time-out the order stands. Zero only tells it.
    ///
    /// # Errors
    /// [`StopError`]; [`StopError::Other`] when the server ended for another reason than this; [`StopError::Cycle`], and
    /// nobody is told to stop, where a handler would wait for the end of its own server or of one that waits for it.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting; the order stands.
    pub async fn stop(&self, reason: ExitReason, limit: Duration) -> Result<(), StopError> {
        if !self.is_alive() {
            return Err(StopError::NotRunning);
        }
        let incarnation = self.incarnation();
        let mut end = Box::pin(self.join());
        // Listen first, then tell: or the end could come in between.
        let now = std::future::poll_fn(|cx| Poll::Ready(end.as_mut().poll(cx))).await;
        let exit = match now {
            Poll::Ready(exit) => exit,
            Poll::Pending => {
                let cell = self.handle.cell();
                let _waiting = match limit {
                    Duration::ZERO => None,
                    _ => cycle::wait_for(cell.link_id(), || label(cell))
                        .map_err(|path| StopError::Cycle { path })?,
                };
                self.order_stop(incarnation, reason.clone());
                restante_core::timeout::at_most(limit, &mut end).await.ok_or(StopError::Timeout)?
            }
        };
        if exit.reason == reason { Ok(()) } else { Err(StopError::Other(exit.reason)) }
    }

    /// Tells the present incarnation to end as [`ServerRef::stop`] does, and waits for nothing: a handler may ask for its own
    /// server's end in this way, and is obeyed once it has returned. False: none was running.
    pub fn request_stop(&self, reason: ExitReason) -> bool {
        let incarnation = self.incarnation();
        let runs = self.is_alive();
        if runs {
            self.order_stop(incarnation, reason);
        }
        runs
    }

    /// Says of an error that this server is the one that it is about: by its mailbox's name, else by its type and id.
    ///
    /// The errors of calls, sends, stops and state verbs are small, and do not carry what their asker knows. Where one is
    /// passed on, the next reader does not know it any more. (Of a call, [`Call::named`] does this.)
    ///
    /// ```ignore
    /// stock.stop(ExitReason::Shutdown, LIMIT).await.map_err(|e| stock.about(e))?;
    /// // "stock: the server did not end within the time allowed"
    /// ```
    pub fn about<E>(&self, error: E) -> About<E> {
        About::new(who(self.handle.cell()), error)
    }

    /// Tells an incarnation to stop.
    pub(crate) fn order_stop(&self, incarnation: u32, reason: ExitReason) {
        let order = Message::Order(Order { kind: Box::new(OrderKind::Stop(reason)), incarnation });
        // (Refused only where the mailbox is closed: then it is ending already.)
        let _ = self.handle.cell().push_with(order, &SendOptions::new().lane(Lane::Control), false);
    }

    /// Waits for the end of the present incarnation; if none reads, tells at once how the last one ended.
    ///
    /// # Cancel safety
    /// Dropping the future takes the monitor down.
    pub async fn join(&self) -> Exit {
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut tell = Some(tell);
        let id = self.monitor(Watch::Incarnation, move |event| {
            if let (Event::Down(exit), Some(tell)) = (event, tell.take()) {
                let _ = tell.send(exit);
            }
        });
        let guard = Demonitor { server: self, id };
        let exit = told.await;
        drop(guard);
        // The monitor tells before it goes; only a panicking process loses it.
        exit.unwrap_or_else(|_| Exit::new(ExitReason::Killed, restante_core::Phase::Idle, None, 0))
    }

    /// Is told when the present incarnation ends, or of all that happens to the mailbox. `notify` runs on the thread that
    /// ends the server: it must not block.
    pub fn monitor(&self, watch: Watch, notify: impl FnMut(Event) + Send + 'static) -> MonitorId {
        self.handle.cell().monitor(watch, Box::new(notify))
    }

    /// Takes a monitor down; false when it was gone.
    pub fn demonitor(&self, id: MonitorId) -> bool {
        self.handle.demonitor(id)
    }

    /// How the last incarnation ended.
    pub fn last_exit(&self) -> Option<Exit> {
        self.handle.last_exit()
    }

    /// What names this server in [`ExitSignal`](crate::ExitSignal).
    pub fn link_id(&self) -> usize {
        self.handle.cell().link_id()
    }

    /// Takes nothing any more. The present incarnation drains what is queued and ends; where none reads, what is queued
    /// goes to the dead-letter mailbox and its callers hear the reason. False when it was closed already.
    pub fn close(&self, reason: ExitReason) -> bool {
        self.handle.cell().close(reason)
    }

    /// The mailbox's id (UUID v7), made when it is first asked for.
    pub fn id(&self) -> Uuid {
        self.handle.id()
    }

    /// The name it was given, for people.
    pub fn name(&self) -> Option<&str> {
        self.handle.cell().name().map(|n| &**n)
    }

    /// A cheap look at the mailbox: depth, weight, age, counters.
    pub fn stats(&self) -> Stats {
        self.handle.stats()
    }

    /// The exact counters; `None` while a poll of the server is under way.
    pub fn audit(&self) -> Option<Ledger> {
        self.handle.cell().audit()
    }

    /// A reference that does not keep the mailbox open.
    pub fn downgrade(&self) -> WeakServerRef<S> {
        WeakServerRef { handle: self.handle.downgrade() }
    }

    /// Whether both refer to the same server.
    pub fn same_server(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.handle.cell(), other.handle.cell())
    }
}

impl<S: GenServer> Addressable for ServerRef<S> {
    fn mailbox_id(&self) -> Uuid {
        self.id()
    }
    #[inline(always)]
    fn has_closed(&self) -> bool {
        self.is_closed()
    }
    fn why_closed(&self) -> Option<ExitReason> {
        self.handle.closed_reason()
    }
    fn close_mailbox(&self, reason: ExitReason) -> bool {
        self.close(reason)
    }
    fn label(&self) -> String {
        label(self.handle.cell()).to_string()
    }
    fn counted(&self) -> Option<Self> {
        Self::upgrade(self.handle.cell())
    }
    fn uncounted(&self) -> Self {
        Self::new(Handle::uncounted(self.handle.cell()))
    }
    fn drop_uncounted(self) {
        self.handle.drop_uncounted();
    }
    fn tell_first(&self, whom: std::sync::Weak<dyn OnClose>) -> bool {
        self.handle.cell().tell_first(whom)
    }
    fn tell_no_more_at(&self, whom: usize) -> bool {
        self.handle.cell().tell_no_more(whom)
    }
    fn is_served_here(&self) -> bool {
        crate::frame::current() == Some(self.handle.cell().link_id())
    }
    fn give_up(&self, since: u64) -> Option<GivenUp> {
        self.handle.cell().runner.keeper()?.end_for_good(since)
    }
}

struct Demonitor<'a, S: GenServer> {
    server: &'a ServerRef<S>,
    id: MonitorId,
}

impl<S: GenServer> Drop for Demonitor<'_, S> {
    fn drop(&mut self) {
        self.server.demonitor(self.id);
    }
}

/// Why a stop did not end as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// Nobody reads the mailbox.
    #[error("the server is not running")]
    NotRunning,
    /// It has not ended yet; the order stands.
    #[error("the server did not end within the time allowed")]
    Timeout,
    /// It ended, but for this reason.
    #[error("the server ended for another reason: {0}")]
    Other(ExitReason),
    /// Whoever would stop it is waited for by it, or is it. To end its own server a handler returns
    /// [`Next::stop`](crate::Next::stop), or uses [`ServerRef::request_stop`].
    #[error("the wait for the server's end would close a ring of waiting servers: {path}")]
    Cycle {
        /// The ring.
        path: cycle::Path,
    },
}

impl StopError {
    /// Whether the server is gone: none was running, or it ended for another reason. A supervised server may be started
    /// again under the same address.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::NotRunning | Self::Other(_))
    }
}

impl<S: GenServer> Clone for ServerRef<S> {
    #[inline]
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<S: GenServer> fmt::Debug for ServerRef<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerRef({})", self.handle.cell().label())
    }
}

/// A reference that does not keep the mailbox open.
pub struct WeakServerRef<S: GenServer> {
    handle: WeakHandle<Message<S>, Executor<S>>,
}

impl<S: GenServer> WeakServerRef<S> {
    /// A reference, unless the last one has gone.
    pub fn upgrade(&self) -> Option<ServerRef<S>> {
        self.handle.upgrade().map(ServerRef::new)
    }
}

impl<S: GenServer> Clone for WeakServerRef<S> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<S: GenServer> fmt::Debug for WeakServerRef<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WeakServerRef<{}>", std::any::type_name::<S>())
    }
}

/// A slot for one cast.
#[derive(Debug)]
#[must_use = "a permit that is dropped gives its slot back"]
pub struct CastPermit<'a, S: GenServer>(SendPermit<'a, Message<S>, Executor<S>>);

impl<S: GenServer> CastPermit<'_, S> {
    /// Uses the slot.
    ///
    /// # Errors
    /// [`SendError::Closed`] and, where the mailbox's settings say so, `Expired` or `TooHeavy`.
    pub fn send(self, cast: S::Cast) -> Result<(), SendError<S::Cast>> {
        self.0.send(Message::Cast(cast)).map_err(|e| e.map(ServerRef::<S>::cast_back))
    }
}

/// A message that waits for room. In an allocation of its own: most never do.
struct SendMessage<'a, S: GenServer, T> {
    cell: &'a Arc<Cell<S>>,
    /// What the message was made of.
    back: fn(Message<S>) -> T,
    waits: Option<Box<Waits<'a, S>>>,
}

/// A wait inside a handler is known to the graph of waits.
struct Waits<'a, S: GenServer> {
    inner: Sending<'a, Message<S>, Executor<S>>,
    waiting: Option<Waiting>,
}

impl<S: GenServer, T> Unpin for SendMessage<'_, S, T> {}

impl<S: GenServer, T> Future for SendMessage<'_, S, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        match self.waits.take() {
            Some(waits) => self.wait(waits, cx),
            None => Poll::Pending,
        }
    }
}

impl<'a, S: GenServer, T> SendMessage<'a, S, T> {
    fn new(
        cell: &'a Arc<Cell<S>>,
        inner: Sending<'a, Message<S>, Executor<S>>,
        back: fn(Message<S>) -> T,
    ) -> Self {
        Self { cell, back, waits: Some(Box::new(Waits { inner, waiting: None })) }
    }

    fn wait(&mut self, mut waits: Box<Waits<'a, S>>, cx: &mut Cx<'_>) -> Poll<Result<(), SendError<T>>> {
        if let Poll::Ready(result) = Pin::new(&mut waits.inner).poll(cx) {
            return Poll::Ready(result.map_err(|e| e.map(self.back)));
        }
        let (to, label) = (self.cell.link_id(), || label(self.cell));
        let ring = match waits.waiting {
            Some(_) => cycle::has_closed(to, label),
            None => match cycle::wait_for(to, label) {
                Ok(waiting) => {
                    waits.waiting = waiting;
                    None
                }
                Err(path) => Some(path),
            },
        };
        if let Some(path) = ring {
            let back = waits.inner.take_back().map(self.back);
            let path = path.to_string();
            return Poll::Ready(back.map_or(Ok(()), |message| Err(SendError::Cycle { message, path })));
        }
        self.waits = Some(waits);
        Poll::Pending
    }

    /// Takes the message back, leaving the line.
    fn take_back(&mut self) -> Option<T> {
        self.waits.take().and_then(|mut waits| waits.inner.take_back()).map(self.back)
    }
}

struct Casts<S: GenServer>(ServerRef<S>);

impl<S: GenServer> Accept<S::Cast> for Casts<S> {
    fn accept(&self, cast: S::Cast, options: SendOptions) -> Result<(), SendError<S::Cast>> {
        self.0.cast_with(cast, options)
    }
    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

struct Infos<S: GenServer>(ServerRef<S>);

impl<S: GenServer> Accept<S::Info> for Infos<S> {
    fn accept(&self, info: S::Info, options: SendOptions) -> Result<(), SendError<S::Info>> {
        self.0.info_with(info, options)
    }
    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

type Asked<T> = Pin<Box<dyn Future<Output = Result<T, CallError>> + Send>>;

/// Whoever answers a `Q` with a `T`, the server's type erased. A call through it allocates its future.
pub struct CallRecipient<Q, T>(Arc<dyn Fn(Q) -> Asked<T> + Send + Sync>);

impl<Q, T> CallRecipient<Q, T> {
    /// Asks, with the default limit.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(&self, question: Q) -> Result<T, CallError> {
        (self.0)(question).await
    }
}

impl<Q, T> Clone for CallRecipient<Q, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Q, T> fmt::Debug for CallRecipient<Q, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallRecipient<{}, {}>", std::any::type_name::<Q>(), std::any::type_name::<T>())
    }
}
