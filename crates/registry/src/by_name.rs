//! Sending by name: look-up and message in one.

use crate::lookup::{LookupError, Whom};
use crate::registry::Registry;
use restante_core::monitor::{Event, MonitorId, Watch};
use restante_core::{Address, ExitReason, SendError};
use restante_genserver::{About, CallError, GenServer, Reply, Request, ServerRef, StopError};
use std::time::Duration;

/// Why a message did not go to whom it was meant for; the message comes back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendToError<T> {
    /// The look-up found no mailbox.
    #[error("{0}")]
    Lookup(#[source] LookupError, T),
    /// The mailbox did not take it.
    #[error(transparent)]
    Send(#[from] SendError<T>),
}

impl<T> SendToError<T> {
    /// Whether the receiver is gone: the look-up found no mailbox, or the mailbox is closed. Another may have the name later.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Lookup(error, _) => error.is_gone(),
            Self::Send(error) => error.is_gone(),
        }
    }
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallToError {
    /// The look-up found no server.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The server that was found did not answer in time: which one, it says.
    #[error(transparent)]
    Timeout(About<CallError>),
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl CallToError {
    /// Whether the receiver is gone: the look-up found no server, or the server has gone ([`CallError::is_gone`]). Another may
    /// have the name later.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Lookup(error) => error.is_gone(),
            Self::Timeout(late) => late.error().is_gone(),
            Self::Call(error) => error.is_gone(),
        }
    }

    fn of<S: GenServer>(server: &ServerRef<S>, error: CallError) -> Self {
        match error {
            late @ CallError::Timeout => Self::Timeout(server.about(late)),
            other => Self::Call(other),
        }
    }
}

/// Why a server did not end as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopToError {
    /// The look-up found no server.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The server that was found did not end in time, and the order stands: which one, it says.
    #[error(transparent)]
    Timeout(About<StopError>),
    /// It was found, and did not end so.
    #[error(transparent)]
    Stop(#[from] StopError),
}

impl StopToError {
    /// Whether the receiver is gone: the look-up found no server, or the server has gone ([`StopError::is_gone`]). Another may
    /// have the name later.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Lookup(error) => error.is_gone(),
            Self::Timeout(late) => late.error().is_gone(),
            Self::Stop(error) => error.is_gone(),
        }
    }

    fn of<S: GenServer>(server: &ServerRef<S>, error: StopError) -> Self {
        match error {
            late @ StopError::Timeout => Self::Timeout(server.about(late)),
            other => Self::Stop(other),
        }
    }
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
            // The closure takes the message, and the closure runs where there is no error.
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
        call(&server, make).await
    }

    /// Calls from a plain thread, with a limit.
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
        server.call_blocking_timeout(limit, make).map_err(|error| CallToError::of(&server, error))
    }

    /// Sends an info to the server of this name or id, at once or not at all.
    ///
    /// # Errors
    /// [`SendToError`], with the message.
    pub fn info<'a, S: GenServer>(
        &self,
        whom: impl Into<Whom<'a>>,
        info: S::Info,
    ) -> Result<(), SendToError<S::Info>> {
        let mut info = Some(info);
        let sent = self.with(whom, |server: &ServerRef<S>| info.take().map(|info| server.info(info)));
        match (sent, info) {
            (Ok(Some(sent)), _) => sent.map_err(SendToError::Send),
            (Err(error), Some(info)) => Err(SendToError::Lookup(error, info)),
            (Ok(None), _) | (Err(_), None) => Ok(()),
        }
    }

    /// Sends a request to the server of this name or id, without waiting for the response: see [`ServerRef::send_request`].
    /// Who is asked is settled at the look-up; over a restart that is the same server.
    ///
    /// # Errors
    /// [`LookupError`]: nothing was sent. Whatever else becomes of it the response says.
    ///
    /// **Source**: `gen_server:send_request/2` to a registered name. **Differs**: a name without a server is an error at once.
    pub fn send_request<'a, S: GenServer, T: Send>(
        &self,
        whom: impl Into<Whom<'a>>,
        make: impl FnOnce(Reply<T>) -> S::Call,
    ) -> Result<Request<T>, LookupError> {
        self.with(whom, |server: &ServerRef<S>| server.send_request(make))
    }

    /// Tells the server of this name or id to end, and waits for that, at most so long: see [`ServerRef::stop`]. The name stays
    /// where the mailbox does.
    ///
    /// # Errors
    /// [`StopToError`].
    ///
    /// # Cancel safety
    /// As [`ServerRef::stop`]'s.
    ///
    /// **Source**: `gen_server:stop/3` of a registered name.
    pub async fn stop<'a, S: GenServer>(
        &self,
        whom: impl Into<Whom<'a>>,
        reason: ExitReason,
        limit: Duration,
    ) -> Result<(), StopToError> {
        let server = self.whereis::<ServerRef<S>>(whom)?;
        stop(&server, reason, limit).await
    }

    /// Monitors the server of this name or id: see [`ServerRef::monitor`]. It is the server that is monitored, and not the name:
    /// should that come to lead to another, the monitor stays. It keeps no mailbox open.
    ///
    /// # Errors
    /// [`LookupError`]: no server is monitored.
    ///
    /// **Source**: `monitor/2` of a registered name. **Differs**: a name without a server is an error, and there is no notice.
    pub fn monitor<'a, S: GenServer>(
        &self,
        whom: impl Into<Whom<'a>>,
        watch: Watch,
        notify: impl FnMut(Event) + Send + 'static,
    ) -> Result<MonitorId, LookupError> {
        self.with(whom, |server: &ServerRef<S>| server.monitor(watch, notify))
    }
}

/// Calls a server that was found.
pub(crate) async fn call<S: GenServer, T: Send>(
    server: &ServerRef<S>,
    make: impl FnOnce(Reply<T>) -> S::Call + Send,
) -> Result<T, CallToError> {
    server.call(make).await.map_err(|error| CallToError::of(server, error))
}

/// Stops a server that was found.
pub(crate) async fn stop<S: GenServer>(
    server: &ServerRef<S>,
    reason: ExitReason,
    limit: Duration,
) -> Result<(), StopToError> {
    server.stop(reason, limit).await.map_err(|error| StopToError::of(server, error))
}
