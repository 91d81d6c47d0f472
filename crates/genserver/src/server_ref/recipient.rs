//! Recipients, whose server's type is erased.

use super::reference::ServerRef;
use crate::call::CallError;
use crate::reply::Reply;
use crate::server::GenServer;
use restante_core::{Accept, Recipient, SendError, SendOptions};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

struct Casts<S: GenServer>(ServerRef<S>);

impl<S: GenServer> Accept<S::Cast> for Casts<S> {
    fn accept(&self, cast: S::Cast, options: SendOptions) -> Result<(), SendError<S::Cast>> {
        self.0.cast_with(cast, options)
    }
    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

struct Infos<S: GenServer>(ServerRef<S>);

impl<S: GenServer> Accept<S::Info> for Infos<S> {
    fn accept(&self, info: S::Info, options: SendOptions) -> Result<(), SendError<S::Info>> {
        self.0.info_with(info, options)
    }
    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

type Asked<T> = Pin<Box<dyn Future<Output = Result<T, CallError>> + Send>>;

/// A server that answers a `Q` with a `T`, its type erased. A call through it allocates its future.
pub struct CallRecipient<Q, T>(Arc<dyn Fn(Q) -> Asked<T> + Send + Sync>);

impl<Q, T> CallRecipient<Q, T> {
    /// Asks, with the default limit.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(&self, question: Q) -> Result<T, CallError> {
        (self.0)(question).await
    }
}

impl<Q, T> Clone for CallRecipient<Q, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Q, T> fmt::Debug for CallRecipient<Q, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallRecipient<{}, {}>", std::any::type_name::<Q>(), std::any::type_name::<T>())
    }
}

impl<S: GenServer> ServerRef<S> {
    /// A recipient of casts, with the server's type erased.
    pub fn cast_recipient(&self) -> Recipient<S::Cast> {
        Recipient::new(Casts(self.clone()))
    }

    /// A recipient of infos, with the server's type erased.
    pub fn info_recipient(&self) -> Recipient<S::Info> {
        Recipient::new(Infos(self.clone()))
    }

    /// A recipient of requests with a reply, with the server's type erased.
    pub fn call_recipient<Q, T>(
        &self,
        make: impl Fn(Q, Reply<T>) -> S::Call + Send + Sync + 'static,
    ) -> CallRecipient<Q, T>
    where
        Q: Send + 'static,
        T: Send + 'static,
    {
        let (server, make) = (self.clone(), Arc::new(make));
        CallRecipient(Arc::new(move |question| {
            let (server, make) = (server.clone(), Arc::clone(&make));
            Box::pin(async move { server.call(|reply| make(question, reply)).await })
        }))
    }
}
