//! Casts and infos, sent at once or waiting for room.

use super::reference::ServerRef;
use crate::call::label;
use crate::cycle::{self, Waiting};
use crate::executor::{Cell, Executor};
use crate::message::Message;
use crate::server::GenServer;
use restante_core::send::{Reserving, Sending, send_blocking_as};
use restante_core::{SendError, SendOptions, SendPermit};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Cx, Poll};
use std::time::Duration;

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
    pub(super) cell: &'a Arc<Cell<S>>,
    /// What the message was made of.
    back: fn(Message<S>) -> T,
    pub(super) waits: Option<Box<Waits<'a, S>>>,
}

/// A wait inside a handler is known to the graph of waits.
pub(super) struct Waits<'a, S: GenServer> {
    inner: Sending<'a, Message<S>, Executor<S>>,
    pub(super) waiting: Option<Waiting>,
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
    pub(super) fn new(
        cell: &'a Arc<Cell<S>>,
        inner: Sending<'a, Message<S>, Executor<S>>,
        back: fn(Message<S>) -> T,
    ) -> Self {
        Self { cell, back, waits: Some(Box::new(Waits { inner, waiting: None })) }
    }

    pub(super) fn wait(
        &mut self,
        mut waits: Box<Waits<'a, S>>,
        cx: &mut Cx<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
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
        // The message goes straight from here into the queue, not by way of a future that holds it.
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
}
