//! Sending to whoever has a name: look-up and message in one.

use crate::lookup::{LookupError, Whom};
use crate::registry::Registry;
use restante_core::{Address, SendError};
use restante_genserver::{CallError, GenServer, Reply, ServerRef};
use std::time::Duration;

/// Why a message did not go to whom it was meant for; the message comes back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendToError<T> {
    /// Nobody was found.
    #[error("{0}")]
    Lookup(#[source] LookupError, T),
    /// The mailbox did not take it.
    #[error(transparent)]
    Send(#[from] SendError<T>),
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallToError {
    /// Nobody was found.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Registry {
    /// Sends a cast to the server of this name or id, at once or not at all: look-up and cast in one.
    ///
    /// # Errors
    /// [`SendToError`], with the message.
    #[inline]
    pub fn cast<'a, S: GenServer>(
        &self,
        whom: impl Into<Whom<'a>>,
        cast: S::Cast,
    ) -> Result<(), SendToError<S::Cast>> {
        let mut cast = Some(cast);
        let sent = self.with(whom, |server: &ServerRef<S>| cast.take().map(|cast| server.cast(cast)));
        match (sent, cast) {
            (Ok(Some(sent)), _) => sent.map_err(SendToError::Send),
            (Err(error), Some(cast)) => Err(SendToError::Lookup(error, cast)),
            // (It is taken by the closure, and the closure runs where there is no error.)
            (Ok(None), _) | (Err(_), None) => Ok(()),
        }
    }

    /// Sends a message to the mailbox of this name or id, at once or not at all.
    ///
    /// # Errors
    /// [`SendToError`], with the message.
    pub fn send<'a, M: Send + 'static>(
        &self,
        whom: impl Into<Whom<'a>>,
        message: M,
    ) -> Result<(), SendToError<M>> {
        let mut message = Some(message);
        let sent =
            self.with(whom, |address: &Address<M>| message.take().map(|message| address.try_send(message)));
        match (sent, message) {
            (Ok(Some(sent)), _) => sent.map_err(SendToError::Send),
            (Err(error), Some(message)) => Err(SendToError::Lookup(error, message)),
            (Ok(None), _) | (Err(_), None) => Ok(()),
        }
    }

    /// Calls the server of this name or id, and waits for the reply: 5 s at most. Who is called is settled at the look-up; over a
    /// restart that is the same server.
    ///
    /// # Errors
    /// [`CallToError`].
    ///
    /// # Cancel safety
    /// As [`ServerRef::call`]'s.
    pub async fn call<'a, S: GenServer, T: Send>(
        &self,
        whom: impl Into<Whom<'a>>,
        make: impl FnOnce(Reply<T>) -> S::Call + Send,
    ) -> Result<T, CallToError> {
        let server = self.whereis::<ServerRef<S>>(whom)?;
        Ok(server.call(make).await?)
    }

    /// The same from a plain thread, with a limit.
    ///
    /// # Errors
    /// [`CallToError`]; [`CallError::WouldBlock`] inside a runtime.
    pub fn call_blocking<'a, S: GenServer, T: Send>(
        &self,
        whom: impl Into<Whom<'a>>,
        limit: Duration,
        make: impl FnOnce(Reply<T>) -> S::Call,
    ) -> Result<T, CallToError> {
        let server = self.whereis::<ServerRef<S>>(whom)?;
        Ok(server.call_blocking_timeout(limit, make)?)
    }
}
