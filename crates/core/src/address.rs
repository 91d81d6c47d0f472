//! Addresses: cheap to clone, they send.

use crate::addressable::{Addressable, OnClose};
use crate::cell::Parked;
use crate::counters::Stats;
use crate::error::SendError;
use crate::exit::ExitReason;
use crate::handle::{Handle, WeakHandle};
use crate::monitor::{Event, MonitorId, Watch};
use crate::options::SendOptions;
use crate::permit::SendPermit;
use crate::recipient::{Accept, Recipient};
use crate::send::{Reserving, Sending, send_blocking};
use std::fmt;
use std::sync::Weak;
use std::time::Duration;
use uuid::Uuid;

/// Sends to a mailbox, independently of its reader. Cheap to clone; while one is left, the mailbox stays open.
///
/// # Ordering
/// Messages of one sender in one lane arrive in the order in which they were sent. Nothing is promised between senders
/// or between lanes, but that higher lanes are read first.
pub struct Address<M: Send + 'static> {
    pub(crate) handle: Handle<M, Parked>,
}

impl<M: Send + 'static> Address<M> {
    pub(crate) fn new(handle: Handle<M, Parked>) -> Self {
        Self { handle }
    }

    /// Sends at once or not at all.
    ///
    /// # Errors
    /// [`SendError`] with the message: `Full` (also where the policy is to wait), `Closed`, and what the mailbox's
    /// settings add: `Shed`, `RateLimited`, `TooHeavy`, `Expired`.
    #[inline]
    pub fn try_send(&self, message: M) -> Result<(), SendError<M>> {
        self.handle.cell().push(message)
    }

    /// Sends at once or not at all, with options.
    ///
    /// # Errors
    /// As [`Address::try_send`].
    pub fn try_send_with(&self, message: M, options: SendOptions) -> Result<(), SendError<M>> {
        self.handle.cell().push_with(message, &options, false).map_err(|r| r.error)
    }

    /// Sends, waiting for room as long as it takes. First come, first served.
    ///
    /// # Errors
    /// As [`Address::try_send`]; `Full` only where the mailbox's policy is not to wait.
    ///
    /// # Cancel safety
    /// Dropping the future before it is done sends nothing and drops the message; use [`Address::reserve`] to keep it.
    pub async fn send(&self, message: M) -> Result<(), SendError<M>> {
        Sending::new(self.handle.cell(), message, SendOptions::new()).await
    }

    /// Sends with options, waiting for room.
    ///
    /// # Errors
    /// As [`Address::send`].
    ///
    /// # Cancel safety
    /// As [`Address::send`].
    pub async fn send_with(&self, message: M, options: SendOptions) -> Result<(), SendError<M>> {
        Sending::new(self.handle.cell(), message, options).await
    }

    /// Sends, waiting for room at most so long. Zero tries once; `Duration::MAX` is for ever.
    ///
    /// # Errors
    /// As [`Address::send`], and [`SendError::Timeout`] with the message.
    ///
    /// # Cancel safety
    /// As [`Address::send`].
    pub async fn send_timeout(&self, message: M, limit: Duration) -> Result<(), SendError<M>> {
        let mut sending = Sending::new(self.handle.cell(), message, SendOptions::new());
        if let Some(result) = crate::timeout::at_most(limit, &mut sending).await {
            return result;
        }
        match sending.take_back() {
            Some(message) => Err(SendError::Timeout(message)),
            None => Ok(()),
        }
    }

    /// Sends from a plain thread, waiting for room at most so long (`Duration::MAX`: for ever).
    ///
    /// # Errors
    /// As [`Address::send_timeout`], and [`SendError::WouldBlock`] with the message where it would have to wait on a
    /// thread that drives an async runtime.
    pub fn send_blocking(&self, message: M, limit: Duration) -> Result<(), SendError<M>> {
        send_blocking(self.handle.cell(), message, SendOptions::new(), limit)
    }

    /// Waits for a slot and holds it: what is sent with it cannot be refused as full.
    ///
    /// # Errors
    /// [`Closed`](crate::Closed).
    ///
    /// # Cancel safety
    /// Dropping the future leaves the line; no slot is lost.
    pub async fn reserve(&self) -> Result<SendPermit<'_, M>, crate::Closed> {
        Reserving::new(self.handle.cell()).await.map_err(|()| crate::Closed)?;
        Ok(SendPermit::new(self.handle.cell()))
    }

    /// Holds a slot, if one is free.
    ///
    /// # Errors
    /// [`SendError::Full`] or [`SendError::Closed`], without a message.
    pub fn try_reserve(&self) -> Result<SendPermit<'_, M>, SendError<()>> {
        match self.handle.cell().try_reserve() {
            Ok(true) => Ok(SendPermit::new(self.handle.cell())),
            Ok(false) => Err(SendError::Full(())),
            Err(()) => Err(SendError::Closed(())),
        }
    }

    /// The mailbox's id (UUID v7).
    pub fn id(&self) -> Uuid {
        self.handle.id()
    }

    /// The name it was given, for people.
    pub fn name(&self) -> Option<&str> {
        self.handle.cell().name().map(|n| &**n)
    }

    /// Whether the mailbox takes nothing any more.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// A cheap look at the mailbox.
    pub fn stats(&self) -> Stats {
        self.handle.stats()
    }

    /// The exact counters; `None` while a receiver is awake (ask [`Receiver::audit`](crate::Receiver::audit) then).
    pub fn audit(&self) -> Option<crate::Ledger> {
        self.handle.cell().audit()
    }

    /// Is told when the present reader ends ([`Watch::Incarnation`]) or of all that happens to the mailbox.
    pub fn monitor(&self, watch: Watch, notify: impl FnMut(Event) + Send + 'static) -> MonitorId {
        self.handle.cell().monitor(watch, Box::new(notify))
    }

    /// Takes a monitor down; false when it was gone.
    pub fn demonitor(&self, id: MonitorId) -> bool {
        self.handle.demonitor(id)
    }

    /// Why the mailbox closed; `None` while it is open.
    pub fn closed_reason(&self) -> Option<ExitReason> {
        self.handle.closed_reason()
    }

    /// An address that does not keep the mailbox open.
    pub fn downgrade(&self) -> WeakAddress<M> {
        WeakAddress { handle: self.handle.downgrade() }
    }

    /// This address with the mailbox's type erased.
    pub fn recipient(&self) -> Recipient<M> {
        Recipient::new(self.clone())
    }

    /// Whether both send to the same mailbox.
    pub fn same_mailbox(&self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(self.handle.cell(), other.handle.cell())
    }
}

impl<M: Send + 'static> Accept<M> for Address<M> {
    fn accept(&self, message: M, options: SendOptions) -> Result<(), SendError<M>> {
        self.try_send_with(message, options)
    }
    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }
}

impl<M: Send + 'static> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<M: Send + 'static> fmt::Debug for Address<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.handle.label())
    }
}

/// An address that does not keep the mailbox open.
pub struct WeakAddress<M: Send + 'static> {
    handle: WeakHandle<M, Parked>,
}

impl<M: Send + 'static> WeakAddress<M> {
    /// An address, unless the last one has gone.
    pub fn upgrade(&self) -> Option<Address<M>> {
        self.handle.upgrade().map(Address::new)
    }
}

impl<M: Send + 'static> Clone for WeakAddress<M> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<M: Send + 'static> fmt::Debug for WeakAddress<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakAddress")
    }
}

impl<M: Send + 'static> Addressable for Address<M> {
    fn mailbox_id(&self) -> Uuid {
        self.id()
    }
    #[inline(always)]
    fn has_closed(&self) -> bool {
        self.is_closed()
    }
    fn why_closed(&self) -> Option<ExitReason> {
        self.closed_reason()
    }
    fn close_mailbox(&self, reason: ExitReason) -> bool {
        self.handle.cell().close(reason)
    }
    fn label(&self) -> String {
        self.handle.label()
    }
    fn counted(&self) -> Option<Self> {
        Handle::upgrade(self.handle.cell()).map(Self::new)
    }
    fn uncounted(&self) -> Self {
        Self::new(Handle::uncounted(self.handle.cell()))
    }
    fn drop_uncounted(self) {
        self.handle.drop_uncounted();
    }
    fn tell_first(&self, whom: Weak<dyn OnClose>) -> bool {
        self.handle.cell().tell_first(whom)
    }
    fn tell_no_more_at(&self, whom: usize) -> bool {
        self.handle.cell().tell_no_more(whom)
    }
}
