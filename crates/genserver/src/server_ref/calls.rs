//! Calls, awaited and blocking.

use super::reference::ServerRef;
use crate::call::{Call, CallError, DEFAULT_CALL_TIMEOUT, call_blocking};
use crate::reply::Reply;
use crate::server::GenServer;
use std::time::Duration;

impl<S: GenServer> ServerRef<S> {
    /// Asks and waits for the reply, at most 5 s unless [`Call::timeout`] says otherwise. `make` puts the reply into the
    /// request: a variant of the call enum is such a function.
    ///
    /// ```ignore
    /// let n: u64 = counter.call(Ask::Get).await?;
    /// let left = account.call(|reply| Ask::Take { amount: 5, reply }).timeout(Duration::from_secs(1)).await?;
    /// ```
    ///
    /// # Errors
    /// [`CallError`]. A queued call outlives a crash of the server: it waits for the next incarnation, within its limit.
    ///
    /// # Cancel safety
    /// See [`Call`].
    #[inline(always)]
    pub fn call<T, F>(&self, make: F) -> Call<'_, S, T, F>
    where
        T: Send,
        F: FnOnce(Reply<T>) -> S::Call,
    {
        Call::new(self, make)
    }

    /// Asks from a plain thread and waits for the reply, at most 5 s.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::WouldBlock`] on a thread that drives an async runtime, where the server was not idle.
    pub fn call_blocking<T: Send>(&self, make: impl FnOnce(Reply<T>) -> S::Call) -> Result<T, CallError> {
        call_blocking(self, make, DEFAULT_CALL_TIMEOUT)
    }

    /// Asks from a plain thread, with a limit of its own; `Duration::MAX` is for ever.
    ///
    /// # Errors
    /// As [`ServerRef::call_blocking`].
    pub fn call_blocking_timeout<T: Send>(
        &self,
        limit: Duration,
        make: impl FnOnce(Reply<T>) -> S::Call,
    ) -> Result<T, CallError> {
        call_blocking(self, make, limit)
    }
}
