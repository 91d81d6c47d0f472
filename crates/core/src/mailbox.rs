//! The mailbox as its owner sees it.

use crate::address::Address;
use crate::cell::{MailCell, Parked};
use crate::counters::{Ledger, Stats};
use crate::error::{LeaseError, SettingsError};
use crate::exit::ExitReason;
use crate::handle::Handle;
use crate::receiver::Receiver;
use crate::settings::Settings;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// Fills in a mailbox's [`Settings`].
pub type MailboxBuilder<M> = Settings<M>;

/// Holds messages for one reader at a time, bounded, and outlives that reader.
///
/// A mailbox exists, and can be sent to, before anybody reads it. It closes when it is [closed](Mailbox::close) or when
/// the last of this value and all [addresses](Address) goes.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use restante_core::Mailbox;
/// let mailbox = Mailbox::<&str>::new();
/// mailbox.address().try_send("poste restante")?;
/// let mut reader = mailbox.receiver()?;
/// assert_eq!(reader.receive().await?, "poste restante");
/// drop(reader); // The next reader goes on where this one stopped.
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct Mailbox<M: Send + 'static> {
    handle: Handle<M, Parked>,
}

impl<M: Send + 'static> Mailbox<M> {
    /// A mailbox with the default settings: 1024 messages, senders wait.
    pub fn new() -> Self {
        Self { handle: Handle::first(Arc::new(MailCell::plain(Some(crate::DEFAULT_CAPACITY), 0, Parked))) }
    }

    /// Settings to fill in, for [`Mailbox::with`].
    pub fn settings() -> Settings<M> {
        Settings::default()
    }

    /// A mailbox with these settings.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting that makes no mailbox.
    pub fn with(settings: Settings<M>) -> Result<Self, SettingsError> {
        settings.check()?;
        Ok(Self { handle: Handle::first(Arc::new(MailCell::new(settings, 0, Parked))) })
    }

    /// An address of it.
    pub fn address(&self) -> Address<M> {
        Address::new(self.handle.clone())
    }

    /// Takes the lease to read.
    ///
    /// # Errors
    /// [`LeaseError::Leased`] while another receiver lives, [`LeaseError::Closed`] when the mailbox has been settled.
    pub fn receiver(&self) -> Result<Receiver<M>, LeaseError> {
        Receiver::lease(self.handle.cell())
    }

    /// The mailbox's id (UUID v7), made when it is first asked for.
    pub fn id(&self) -> Uuid {
        self.handle.id()
    }

    /// A cheap look: depth, weight, age, counters.
    pub fn stats(&self) -> Stats {
        self.handle.stats()
    }

    /// The exact counters; `None` while a receiver is awake (ask [`Receiver::audit`] then).
    pub fn audit(&self) -> Option<Ledger> {
        self.handle.cell().audit()
    }

    /// Takes nothing any more. What is queued can still be read by the present receiver; where there is none it goes to
    /// the dead-letter mailbox. Senders who wait get their message back. False when it was closed already.
    pub fn close(&self) -> bool {
        self.handle.cell().close(ExitReason::Normal)
    }

    /// Closes for this reason and lets go of it.
    pub fn destroy(self, reason: ExitReason) {
        self.handle.cell().close(reason);
    }
}

#[cfg(all(loom, test))]
impl<M: Send + 'static> Mailbox<M> {
    /// The cell, for models.
    pub(crate) fn cell(&self) -> &Arc<MailCell<M, Parked>> {
        self.handle.cell()
    }
}

impl<M: Send + 'static> Default for Mailbox<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Send + 'static> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("name", &self.handle.cell().label())
            .field("depth", &self.handle.stats().depth)
            .finish_non_exhaustive()
    }
}
