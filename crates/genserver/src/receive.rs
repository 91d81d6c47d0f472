//! Selective receive: inside a handler, the next message that one asks for, whatever else waits.
//!
//! What is skipped stays where it is, in the reader's batch: in order, in its lane, counted against the bound, and read in
//! its turn afterwards; a crash in the middle leaves it there for the next incarnation. Since a skipped message keeps its
//! room, a mailbox that is full of others lets nothing through that one could wait for (but in the control lane): use the
//! time limit.
//!
//! A [`Selector`] keeps its place: what it has looked at and left is not looked at again. A [`Mark`] is such a place, for
//! what cannot be older than the moment it was taken.

use crate::context::{Context, astray};
use crate::executor::CellRef;
use crate::message::Message;
use crate::server::GenServer;
use restante_core::cell::Own;
use restante_core::word::{CLOSED, DATA};
use restante_core::{Fate, Lane};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Cx, Poll};
use std::time::Duration;

/// A place in the mailbox: everything before it was there when the mark was taken.
#[derive(Debug, Clone, Copy)]
pub struct Mark([u64; 4]);

/// Why a selective receive came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// Nothing that was asked for came in time.
    #[error("nothing that was asked for came in time")]
    Timeout,
    /// The mailbox is closed and holds nothing that was asked for.
    #[error("the mailbox is closed")]
    Closed,
}

impl ReceiveError {
    /// Whether what was addressed is gone, for ever: the mailbox is [`Closed`](Self::Closed).
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Closed)
    }
}

impl<S: GenServer> Context<S> {
    /// The next message for which `which` holds, skipping others, which stay in order. Waits at most `limit` (zero: only
    /// looks; `Duration::MAX`: for ever). The oldest in the highest lane comes first.
    ///
    /// # Errors
    /// [`ReceiveError`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn receive(
        &mut self,
        limit: Duration,
        which: impl FnMut(&Message<S>) -> bool + Send,
    ) -> Result<Message<S>, ReceiveError> {
        self.select(which).next(limit).await
    }

    /// Receives like `receive` what cannot be older than `mark`: what was there before is not looked at.
    ///
    /// # Errors
    /// [`ReceiveError`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn receive_since(
        &mut self,
        mark: Mark,
        limit: Duration,
        which: impl FnMut(&Message<S>) -> bool + Send,
    ) -> Result<Message<S>, ReceiveError> {
        let mut selector = self.select(which);
        selector.place = mark.0;
        selector.next(limit).await
    }

    /// The present end of the mailbox. Take it before you cause what you will then wait for.
    pub fn mark(&mut self) -> Mark {
        let cell = self.cell();
        cell.both(|_, own| {
            cell.refill_all(own);
            let mut place = own.bases();
            for (at, lane) in place.iter_mut().zip(LANES) {
                *at += own.lanes().lane(lane).map_or(0, |l| l.len() as u64);
            }
            Mark(place)
        })
    }

    /// A selective receive that keeps its place from one [`Selector::next`] to the next.
    pub fn select<W: FnMut(&Message<S>) -> bool + Send>(&mut self, which: W) -> Selector<'_, S, W> {
        Selector { ctx: self, which, place: [0; 4] }
    }
}

const LANES: [Lane; 4] = [Lane::Control, Lane::High, Lane::Normal, Lane::Low];

/// A selective receive that keeps its place.
pub struct Selector<'a, S: GenServer, W> {
    ctx: &'a mut Context<S>,
    which: W,
    /// Up to where each lane has been looked at, counted over the mailbox's life.
    place: [u64; 4],
}

impl<S: GenServer, W> std::fmt::Debug for Selector<'_, S, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Selector({:?})", self.place)
    }
}

impl<S: GenServer, W: FnMut(&Message<S>) -> bool + Send> Selector<'_, S, W> {
    /// The next message for which the selector's condition holds.
    ///
    /// # Errors
    /// [`ReceiveError`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing, and the selector keeps its place.
    pub async fn next(&mut self, limit: Duration) -> Result<Message<S>, ReceiveError> {
        let cell = self.ctx.cell().again();
        // A look is no wait: it must not say that there is nothing because the budget is used up.
        let charged = !limit.is_zero();
        let mut receive = Receive { cell, which: &mut self.which, place: &mut self.place, charged };
        match restante_core::timeout::at_most(limit, &mut receive).await {
            Some(result) => result,
            None => Err(ReceiveError::Timeout),
        }
    }
}

struct Receive<'a, S: GenServer, W> {
    cell: CellRef<S>,
    which: &'a mut W,
    place: &'a mut [u64; 4],
    /// What it takes is charged to tokio's cooperative budget: a handler that only receives lets others run.
    charged: bool,
}

impl<S: GenServer, W: FnMut(&Message<S>) -> bool> Receive<'_, S, W> {
    /// Looks at what the batch holds beyond the place.
    fn look(&mut self, own: &mut Own<Message<S>>) -> Option<Message<S>> {
        for (at, lane) in LANES.into_iter().enumerate() {
            loop {
                let base = own.bases()[at];
                let place = &mut self.place[at];
                *place = (*place).max(base);
                let index = usize::try_from(*place - base).unwrap_or(usize::MAX);
                let Some(message) = own.lanes().lane(lane).and_then(|l| l.get(index)) else { break };
                // Orders are for the loop, and so are notices that came too late for who asked.
                let not_mine = match message {
                    Message::Order(_) => true,
                    Message::Notice(notice) => notice.incarnation != self.cell.incarnation(),
                    _ => false,
                };
                if not_mine || !(self.which)(message) {
                    *place += 1;
                    continue;
                }
                // Taking one out moves those before it up by one: the place, counted from the base, moves with them.
                let taken = self.cell.take_at(own, lane, index);
                *place += 1;
                if let Some(message) = taken {
                    return Some(message);
                }
            }
        }
        None
    }
}

impl<S: GenServer, W: FnMut(&Message<S>) -> bool> Future for Receive<'_, S, W> {
    type Output = Result<Message<S>, ReceiveError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        let me = &mut *self;
        if !me.cell.is_polled_here() {
            astray::<S>();
        }
        let charge =
            if me.charged { Some(std::task::ready!(tokio::task::coop::poll_proceed(cx))) } else { None };
        let cell = me.cell.again();
        loop {
            if let Some(message) = cell.both(|_, own| me.look(own)) {
                cell.turn_state(|turn_state| turn_state.listening = false);
                match message {
                    // As in the loop: a caller who has gone is not worth a look.
                    Message::Call(call) if !call.slot.is_live() => {
                        let late = call.slot.is_late();
                        cell.count(if late { Fate::Expired } else { Fate::Cancelled }, 1);
                        restante_core::drop_quietly(call);
                    }
                    message => {
                        cell.handled();
                        if let Some(charge) = charge {
                            charge.made_progress();
                        }
                        return Poll::Ready(Ok(message));
                    }
                }
                continue;
            }
            if cell.both(|_, own| cell.refill_all(own)) {
                continue;
            }
            let bits = cell.word().bits_acquire();
            if bits & DATA != 0 {
                continue;
            }
            if bits & CLOSED != 0 {
                return Poll::Ready(Err(ReceiveError::Closed));
            }
            // Woken by data: see `Executor::leave`.
            cell.turn_state(|turn_state| turn_state.listening = true);
            return Poll::Pending;
        }
    }
}

impl<S: GenServer, W> Drop for Receive<'_, S, W> {
    fn drop(&mut self) {
        // On another thread there is nothing to be done: the callback that lent itself there goes on listening, to no harm.
        if self.cell.is_polled_here() {
            self.cell.turn_state(|turn_state| turn_state.listening = false);
        }
    }
}
