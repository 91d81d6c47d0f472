//! The lease to read a mailbox.

use crate::cell::{MailCell, Parked};
use crate::counters::Ledger;
use crate::error::{Closed, LeaseError, TryReceiveError};
use crate::exit::{Exit, ExitReason, Phase};
use crate::word::{self, RunGuard};
use futures::Stream;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Reads a mailbox; there is one at a time. Dropping it, by return, cancellation or panic, gives the lease back with
/// every unread message still in order.
///
/// It is also a `Stream`, which ends when the mailbox is closed and read to its end.
pub struct Receiver<M: Send + 'static> {
    cell: Arc<MailCell<M, Parked>>,
    incarnation: u32,
    /// RUN: held while awake, given up to sleep.
    awake: Option<RunGuard<MailCell<M, Parked>>>,
}

impl<M: Send + 'static> Receiver<M> {
    pub(crate) fn lease(cell: &Arc<MailCell<M, Parked>>) -> Result<Self, LeaseError> {
        let incarnation = cell.lease()?;
        Ok(Self { cell: Arc::clone(cell), incarnation, awake: None })
    }

    /// The next message; waits for one. A task that only receives lets others run: each message is charged to tokio's
    /// cooperative budget, as those of tokio's own channels are.
    ///
    /// # Errors
    /// [`Closed`] once the mailbox is closed and everything in it has been read.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: a message leaves the mailbox only when it is returned.
    pub async fn receive(&mut self) -> Result<M, Closed> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// The next message, if one waits.
    ///
    /// # Errors
    /// [`TryReceiveError::Empty`], or [`TryReceiveError::Closed`] as for [`Receiver::receive`].
    pub fn try_receive(&mut self) -> Result<M, TryReceiveError> {
        self.take().map_err(|closed| if closed { TryReceiveError::Closed } else { TryReceiveError::Empty })
    }

    /// The next message, or the value made by `otherwise` when none comes in time. Zero looks once; `Duration::MAX`
    /// waits for ever.
    ///
    /// # Errors
    /// [`Closed`] as for [`Receiver::receive`].
    ///
    /// # Cancel safety
    /// As [`Receiver::receive`].
    pub async fn receive_timeout(
        &mut self,
        limit: Duration,
        otherwise: impl FnOnce() -> M,
    ) -> Result<M, Closed> {
        if limit.is_zero() {
            // Not by a poll, which says Pending also where the budget is used up.
            return match self.take() {
                Ok(message) => Ok(message),
                Err(true) => Err(Closed),
                Err(false) => Ok(otherwise()),
            };
        }
        let mut receive = poll_fn(|cx| self.poll_receive(cx));
        crate::timeout::at_most(limit, &mut receive).await.unwrap_or_else(|| Ok(otherwise()))
    }

    /// Polls for the next message. The waker of the latest poll is the one that is woken.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<M, Closed>> {
        let coop = std::task::ready!(tokio::task::coop::poll_proceed(cx));
        loop {
            match self.take() {
                Ok(message) => {
                    coop.made_progress();
                    return Poll::Ready(Ok(message));
                }
                Err(true) => {
                    coop.made_progress();
                    return Poll::Ready(Err(Closed));
                }
                // Cloned before the lock: cloning a waker is user code.
                Err(false) => {
                    let waker = cx.waker().clone();
                    let Some(permit) = self.awake.take() else { continue };
                    self.awake = self.cell.park(permit, waker);
                    if self.awake.is_none() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// `Err(true)`: closed.
    fn take(&mut self) -> Result<M, bool> {
        self.wake_up();
        let Some(permit) = &mut self.awake else { return Err(false) };
        let (cell, own) = permit.split();
        loop {
            if let Some(message) = cell.take(own) {
                cell.handled();
                // The next look may come late: a sender who waits is not to wait for half a mailbox.
                cell.end_look();
                return Ok(message);
            }
            let bits = cell.word().bits_acquire();
            if bits & word::DATA == 0 {
                return Err(bits & word::CLOSED != 0);
            }
        }
    }

    /// Takes RUN back. The lease is ours, so only a look by another thread (an audit) can stand in the way, briefly.
    fn wake_up(&mut self) {
        let mut spin = crate::sync::Spin::default();
        while self.awake.is_none() {
            self.awake = RunGuard::enter(&self.cell);
            if self.awake.is_none() {
                spin.wait();
            }
        }
    }

    /// Throws out every waiting message for which `which` holds; how many. They are counted as purged.
    pub fn purge(&mut self, which: impl FnMut(&M) -> bool) -> u64 {
        self.wake_up();
        match &mut self.awake {
            Some(permit) => {
                let (cell, own) = permit.split();
                cell.purge(own, which)
            }
            None => 0,
        }
    }

    /// The exact counters.
    pub fn audit(&mut self) -> Ledger {
        self.wake_up();
        match &mut self.awake {
            Some(permit) => {
                let (cell, own) = permit.split();
                cell.audit_as_reader(own)
            }
            None => Ledger::default(),
        }
    }

    /// Gives back the memory that a burst has left behind; bytes still held.
    pub fn shrink(&mut self) -> usize {
        self.wake_up();
        match &mut self.awake {
            Some(permit) => {
                let (cell, own) = permit.split();
                cell.shrink(own)
            }
            None => 0,
        }
    }

    /// Which reader of the mailbox this is, counted from 1.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }
}

impl<M: Send + 'static> Drop for Receiver<M> {
    fn drop(&mut self) {
        self.wake_up();
        let reason = if std::thread::panicking() {
            ExitReason::error("the receiver was dropped by a panic")
        } else {
            ExitReason::Normal
        };
        if let Some(permit) = self.awake.take() {
            let exit = Exit::new(reason, Phase::Idle, None, self.incarnation);
            self.cell.end_lease(permit, Some(exit), false);
        }
    }
}

impl<M: Send + 'static> Stream for Receiver<M> {
    type Item = M;
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<M>> {
        self.get_mut().poll_receive(cx).map(Result::ok)
    }
}

impl<M: Send + 'static> fmt::Debug for Receiver<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({}, incarnation {})", self.cell.label(), self.incarnation)
    }
}
