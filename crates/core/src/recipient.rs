//! An address whose mailbox type is erased to the one message type it accepts.

use crate::error::SendError;
use crate::options::SendOptions;
use std::fmt;
use std::sync::Arc;

/// Whatever accepts a `T` without waiting.
pub trait Accept<T>: Send + Sync + 'static {
    /// Takes the message or gives it back, at once.
    ///
    /// # Errors
    /// As [`Address::try_send_with`](crate::Address::try_send_with).
    fn accept(&self, message: T, options: SendOptions) -> Result<(), SendError<T>>;
    /// Whether it takes nothing any more.
    fn is_closed(&self) -> bool;
}

/// An address with its mailbox type erased: it accepts `T`, and does not show what stands behind it.
///
/// Cheap to clone; counts as an address, so it keeps a mailbox open.
pub struct Recipient<T>(Arc<dyn Accept<T>>);

impl<T: 'static> Recipient<T> {
    /// Wraps whatever accepts a `T`.
    pub fn new(accepts: impl Accept<T>) -> Self {
        Self(Arc::new(accepts))
    }

    /// Sends without waiting.
    ///
    /// # Errors
    /// As [`Address::try_send`](crate::Address::try_send).
    pub fn try_send(&self, message: T) -> Result<(), SendError<T>> {
        self.0.accept(message, SendOptions::default())
    }

    /// Sends without waiting, with options.
    ///
    /// # Errors
    /// As [`Address::try_send_with`](crate::Address::try_send_with).
    pub fn try_send_with(&self, message: T, options: SendOptions) -> Result<(), SendError<T>> {
        self.0.accept(message, options)
    }

    /// Whether its mailbox takes nothing any more.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// A recipient for another type of message that is turned into this one's. `back` recovers the message of a
    /// refused send; it is only called with what `there` made.
    pub fn contramap<U: 'static>(
        &self,
        there: impl Fn(U) -> T + Send + Sync + 'static,
        back: impl Fn(T) -> U + Send + Sync + 'static,
    ) -> Recipient<U> {
        Recipient::new(Mapped { inner: self.clone(), there, back })
    }
}

struct Mapped<T, There, Back> {
    inner: Recipient<T>,
    there: There,
    back: Back,
}

impl<T, U, There, Back> Accept<U> for Mapped<T, There, Back>
where
    T: 'static,
    There: Fn(U) -> T + Send + Sync + 'static,
    Back: Fn(T) -> U + Send + Sync + 'static,
{
    fn accept(&self, message: U, options: SendOptions) -> Result<(), SendError<U>> {
        self.inner.0.accept((self.there)(message), options).map_err(|e| e.map(&self.back))
    }
    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }
}

impl<T> Clone for Recipient<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Recipient<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient<{}>", std::any::type_name::<T>())
    }
}
