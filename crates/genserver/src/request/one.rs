//! One request.

use super::target::Asked;
use crate::about::{About, Named};
use crate::call::{self, CallError};
use crate::cycle::Waiting;
use crate::message::{CallMessage, Message};
use crate::reply::Reply;
use crate::server::GenServer;
use crate::server_ref::ServerRef;
use crate::slot::{self, Wait};
use restante_core::SendOptions;
use restante_core::clock;
use restante_core::send::{block_on_until, may_block};
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::Pin;
use std::task::{Context as Cx, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// Requests.
impl<S: GenServer> ServerRef<S> {
    /// Sends a request now, to be waited for later; `make` is that of [`ServerRef::call`].
    ///
    /// It neither waits nor fails: a mailbox that is closed or full, or has another reason to refuse it, shows as the
    /// request's response. So there is no waiting for room either: where a mailbox is full and its policy is to wait, the
    /// response is [`CallError::Full`]. (To wait for room, use [`ServerRef::call`].) No handler runs on the caller's stack.
    ///
    /// ```ignore
    /// let mut left = shop.send_request(|reply| Ask::Stock { item, reply });
    /// let price: Price = prices.call(|reply| Ask::Price { item, reply }).await?;
    /// let left: u32 = left.await?;
    /// ```
    ///
    /// # Ordering
    /// With what the sender sends to the same lane of the same server: first in, first out.
    ///
    /// Source: OTP `gen_server:send_request/2`. Differs: there no mailbox is ever full.
    pub fn send_request<T: Send>(&self, make: impl FnOnce(Reply<T>) -> S::Call) -> Request<T> {
        self.send_request_with(SendOptions::new(), make)
    }

    /// Sends a request with options: lane, weight, time to live of the message.
    pub fn send_request_with<T: Send>(
        &self,
        options: SendOptions,
        make: impl FnOnce(Reply<T>) -> S::Call,
    ) -> Request<T> {
        let cell = self.handle.cell();
        let (slot, wait) = slot::pair::<T>();
        let tag = slot.tag();
        let message = Message::Call(CallMessage { call: make(Reply::new(slot)), slot: tag });
        let sent = if options == SendOptions::new() {
            cell.push(message)
        } else {
            cell.push_with(message, &options, false).map_err(|refused| refused.error)
        };
        let state = match sent {
            Ok(()) => State::Waits(wait),
            Err(refused) => State::Told(Err(call::refusal(cell, refused))),
        };
        Request { state, asked: Asked::new(cell) }
    }
}

/// A request that has been sent: [`ServerRef::send_request`] makes it. It may be sent to other threads and runtimes, and
/// keeps neither its server nor the mailbox open.
///
/// | | until | then |
/// |---|---|---|
/// | [`check`](Self::check) | at once | stays |
/// | [`wait`](Self::wait), [`wait_until`](Self::wait_until), [`wait_blocking`](Self::wait_blocking) | the limit | stays |
/// | [`wait_or_abandon`](Self::wait_or_abandon) | the limit | is abandoned |
/// | `.await` | the default limit of a call, 5.0 to 5.25 s | is abandoned |
/// | [`Requests`](super::Requests) | whatever limit each wait has | stays |
///
/// Dropping it abandons it: the server skips the request if no handler has started on it yet, and else its late reply is
/// discarded and counted ([`late_replies`](crate::late_replies)).
///
/// Whatever came is the response, be it an error, and it comes once: a caller that asks again hears [`CallError::NoReply`].
///
/// Inside a handler, waiting for a server that (through others) waits for this one ends the request with
/// [`CallError::Cycle`], at once. `check` never does.
#[must_use = "a request that is dropped is abandoned"]
pub struct Request<T: Send> {
    state: State<T>,
    asked: Asked,
}

enum State<T: Send> {
    Waits(Wait<T>),
    /// Known, but not told yet.
    Told(Result<T, CallError>),
    Over,
}

// Nothing in it is pinned.
impl<T: Send> Unpin for Request<T> {}

impl<T: Send> Request<T> {
    /// The response, if it has come. `None`: not yet.
    ///
    /// Source: OTP `gen_server:check_response/2`, which looks at one message; here no message comes.
    pub fn check(&mut self) -> Option<Result<T, CallError>> {
        let response = match &mut self.state {
            State::Waits(wait) => self.asked.settle(wait.try_take()?),
            State::Told(_) | State::Over => return Some(self.told()),
        };
        self.state = State::Over;
        Some(response)
    }

    /// Waits for the response, at most so long. `None`: it has not come, and can be waited for again. Zero is
    /// [`check`](Self::check), `Duration::MAX` for ever.
    ///
    /// # Panics
    /// Where it has to wait, in a runtime without a time driver, for a limit that is neither.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the request stays, and can be waited for again.
    ///
    /// Source: OTP `gen_server:wait_response/2`.
    pub async fn wait(&mut self, limit: Duration) -> Option<Result<T, CallError>> {
        self.wait_to(clock::now().checked_add(limit)).await
    }

    /// Waits for the response until a point in time, which several waits may share. One that has passed is
    /// [`check`](Self::check).
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    ///
    /// # Cancel safety
    /// As [`wait`](Self::wait).
    pub async fn wait_until(&mut self, deadline: Instant) -> Option<Result<T, CallError>> {
        self.wait_to(Some(deadline)).await
    }

    async fn wait_to(&mut self, until: Option<Instant>) -> Option<Result<T, CallError>> {
        let now = self.check();
        if now.is_some() || until.is_some_and(|until| until <= clock::now()) {
            return now;
        }
        let _waiting = match self.asked.wait() {
            Ok(waiting) => waiting,
            Err(cycle) => return Some(self.end_with(cycle)),
        };
        let mut timer = until.and_then(|until| call::timer(until, || self.asked.rt()));
        poll_fn(|cx| match (self.poll_in_a_handler(cx), &mut timer) {
            (Poll::Ready(response), _) => Poll::Ready(Some(response)),
            (Poll::Pending, Some(timer)) => Pin::new(timer).poll(cx).map(|()| None),
            (Poll::Pending, None) => Poll::Pending,
        })
        .await
    }

    /// Waits for the response, at most so long, and abandons the request if it has not come.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Timeout`] when it is abandoned.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    ///
    /// # Cancel safety
    /// Dropping the future abandons the request.
    ///
    /// Source: OTP `gen_server:receive_response/2`.
    pub async fn wait_or_abandon(self, limit: Duration) -> Result<T, CallError> {
        let mut request = self;
        request.wait(limit).await.unwrap_or(Err(CallError::Timeout))
    }

    /// Waits on a plain thread, at most so long (`Duration::MAX`: for ever). `None`: it has not come, and can be waited for
    /// again.
    ///
    /// On a thread that drives an async runtime it says [`CallError::WouldBlock`] where it would have to wait. That is not
    /// the response, and the request stays.
    pub fn wait_blocking(&mut self, limit: Duration) -> Option<Result<T, CallError>> {
        let now = self.check();
        if now.is_some() || limit.is_zero() {
            return now;
        }
        if !may_block() {
            return Some(Err(CallError::WouldBlock));
        }
        let _waiting = match self.asked.wait() {
            Ok(waiting) => waiting,
            Err(cycle) => return Some(self.end_with(cycle)),
        };
        let until = std::time::Instant::now().checked_add(limit);
        block_on_until(&mut poll_fn(|cx| self.poll(cx)), until)
    }

    /// Gives the request up, as dropping it does.
    pub fn abandon(self) {
        drop(self);
    }

    /// Says of an error that the server that was asked is the one that it is about: see
    /// [`ServerRef::about`].
    pub fn about<E>(&self, error: E) -> About<E> {
        About::new(self.asked.who(), error)
    }

    pub(crate) fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Waits without a limit.
    pub(crate) fn poll(&mut self, cx: &mut Cx<'_>) -> Poll<Result<T, CallError>> {
        self.poll_by(cx, |wait, _, cx| {
            wait.unwatch(crate::tracker::unswept());
            wait.poll(cx)
        })
    }

    /// Polls, where a ring may close later than the wait begins.
    fn poll_in_a_handler(&mut self, cx: &mut Cx<'_>) -> Poll<Result<T, CallError>> {
        match self.poll(cx) {
            Poll::Pending => {
                self.asked.has_closed().map_or(Poll::Pending, |ring| Poll::Ready(self.end_with(ring)))
            }
            ready @ Poll::Ready(_) => ready,
        }
    }

    fn poll_by(
        &mut self,
        cx: &mut Cx<'_>,
        poll: impl FnOnce(&mut Wait<T>, &Asked, &mut Cx<'_>) -> Poll<slot::Outcome<T>>,
    ) -> Poll<Result<T, CallError>> {
        if let State::Waits(wait) = &mut self.state {
            let outcome = std::task::ready!(poll(wait, &self.asked, cx));
            self.state = State::Over;
            return Poll::Ready(self.asked.settle(outcome));
        }
        Poll::Ready(self.told())
    }

    /// Sees to it that this waker is told when the response has come. False: it has.
    pub(crate) fn tell(&mut self, cx: &mut Cx<'_>) -> bool {
        let State::Waits(_) = self.state else { return false };
        match self.poll(cx) {
            Poll::Pending => true,
            Poll::Ready(response) => {
                self.state = State::Told(response);
                false
            }
        }
    }

    /// It ends with this error, to be taken by the next look. False: its response has come.
    pub(crate) fn refuse(&mut self, error: CallError) -> bool {
        let response = self.check();
        let refused = response.is_none();
        self.state = State::Told(response.unwrap_or(Err(error)));
        refused
    }

    fn end_with(&mut self, error: CallError) -> Result<T, CallError> {
        self.state = State::Over;
        Err(error)
    }

    /// What is known already, and that once.
    fn told(&mut self) -> Result<T, CallError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Told(response) => response,
            State::Waits(_) | State::Over => Err(CallError::NoReply),
        }
    }
}

impl<T: Send> fmt::Debug for Request<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Waits(_) => "sent",
            State::Told(_) => "answered",
            State::Over => "over",
        };
        write!(f, "Request({}: {state})", self.asked.label())
    }
}

/// Waits as a call does: with the default limit, which runs from when the wait begins.
///
/// A request is no future itself. A future that is polled once and then put aside would go on being a wait, in which other
/// servers find their rings; this one owns its request, so that putting it aside is a choice.
impl<T: Send> IntoFuture for Request<T> {
    type Output = Result<T, CallError>;
    type IntoFuture = Response<T>;

    fn into_future(self) -> Response<T> {
        Response { request: self, waiting: None, begun: false }
    }
}

/// The response to a [`Request`], waited for with the default limit of a call (5.0 to 5.25 s from when it is first polled).
///
/// # Cancel safety
/// Dropping it abandons the request.
#[derive(Debug)]
#[must_use = "a request that is dropped is abandoned"]
pub struct Response<T: Send> {
    request: Request<T>,
    waiting: Option<Waiting>,
    begun: bool,
}

impl<T: Send> Response<T> {
    /// Has its error name the server: see [`Call::named`](crate::Call::named).
    pub fn named(self) -> Named<Self> {
        Named(self)
    }

    /// See [`Request::about`].
    pub fn about<E>(&self, error: E) -> About<E> {
        self.request.about(error)
    }
}

impl<T: Send> Future for Response<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        let me = &mut *self;
        if !me.begun {
            me.begun = true;
            if let Some(response) = me.request.check() {
                return Poll::Ready(response);
            }
            match me.request.asked.wait() {
                Ok(waiting) => me.waiting = waiting,
                Err(cycle) => return Poll::Ready(me.request.end_with(cycle)),
            }
        }
        let polled = me.request.poll_by(cx, |wait, asked, cx| call::watch_by_sweep(wait, || asked.rt(), cx));
        let polled = match polled {
            Poll::Pending => me
                .request
                .asked
                .has_closed()
                .map_or(Poll::Pending, |ring| Poll::Ready(me.request.end_with(ring))),
            ready @ Poll::Ready(_) => ready,
        };
        if polled.is_ready() {
            me.waiting = None;
        }
        polled
    }
}
