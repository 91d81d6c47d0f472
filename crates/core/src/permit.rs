//! A slot that is held.

use crate::cell::{MailCell, Parked, Runner};
use crate::error::SendError;
use crate::options::SendOptions;
use std::fmt;
use std::sync::Arc;

/// A slot in a mailbox. Dropping it gives the slot to the next who waits.
///
/// It holds room, not the mailbox open: a send with it is still refused when the mailbox has closed meanwhile.
#[must_use = "a permit that is dropped gives its slot back"]
pub struct SendPermit<'a, M: Send + 'static, X: Runner<M> + ?Sized = Parked> {
    cell: Option<&'a Arc<MailCell<M, X>>>,
}

impl<'a, M: Send + 'static, X: Runner<M> + ?Sized> SendPermit<'a, M, X> {
    /// A permit for a slot that has been promised.
    pub fn new(cell: &'a Arc<MailCell<M, X>>) -> Self {
        Self { cell: Some(cell) }
    }

    /// Uses the slot.
    ///
    /// # Errors
    /// [`SendError::Closed`] and, where the mailbox's settings say so, `Expired` or `TooHeavy`; under a limit by weight
    /// also `Full`, since a slot holds weight 1 and what is heavier must find room for the rest.
    pub fn send(self, message: M) -> Result<(), SendError<M>> {
        self.send_with(message, SendOptions::new())
    }

    /// Uses the slot, with options.
    ///
    /// # Errors
    /// As [`SendPermit::send`].
    pub fn send_with(mut self, message: M, options: SendOptions) -> Result<(), SendError<M>> {
        match self.cell.take() {
            Some(cell) => cell.push_reserved(message, &options),
            None => Err(SendError::Closed(message)),
        }
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> Drop for SendPermit<'_, M, X> {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            cell.unreserve();
        }
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> fmt::Debug for SendPermit<'_, M, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendPermit")
    }
}
