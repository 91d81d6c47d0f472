//! An error, and whom it is about.
//!
//! The errors of calls are small, and hold what went wrong; who is asked is known where they are made, and not where they are
//! passed on to. So the name comes beside the error, and is looked up when there is an error and not before.

use crate::call::{Call, CallError};
use crate::reply::Reply;
use crate::request::Response;
use crate::server::GenServer;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Cx, Poll};
use uuid::Uuid;

/// An error with the server that it is about: [`ServerRef::about`](crate::ServerRef::about), [`Call::named`],
/// [`Request::about`](crate::Request::about) and [`Response::named`] make it. Displayed as `name: error`, without a name as
/// `type id: error`, with the error's own source.
#[derive(Debug, Clone, PartialEq)]
pub struct About<E> {
    who: Who,
    error: E,
}

/// A server, as errors name it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Who {
    pub(crate) id: Uuid,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) kind: &'static str,
}

impl<E> About<E> {
    pub(crate) fn new(who: Who, error: E) -> Self {
        Self { who, error }
    }

    /// The server: its mailbox's name, else its type.
    pub fn server(&self) -> &str {
        self.who.name.as_deref().unwrap_or(self.who.kind)
    }

    /// The id of its mailbox.
    pub fn id(&self) -> Uuid {
        self.who.id
    }

    /// Its mailbox's name, where it has one.
    pub fn name(&self) -> Option<&str> {
        self.who.name.as_deref()
    }

    /// Its type.
    pub fn server_type(&self) -> &'static str {
        self.who.kind
    }

    /// What went wrong.
    pub fn error(&self) -> &E {
        &self.error
    }

    /// What went wrong, by itself.
    pub fn into_error(self) -> E {
        self.error
    }
}

impl<E: fmt::Display> fmt::Display for About<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who.name {
            Some(name) => write!(f, "{name}: {}", self.error),
            None => write!(f, "{} {}: {}", self.who.kind, self.who.id, self.error),
        }
    }
}

impl<E: Error> Error for About<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// A wait for a server's answer whose error names the server: [`Call::named`] and [`Response::named`] make it.
///
/// # Cancel safety
/// As that of what it was made of.
#[derive(Debug)]
#[must_use = "nothing happens unless it is awaited"]
pub struct Named<W>(pub(crate) W);

impl<S, T, F> Future for Named<Call<'_, S, T, F>>
where
    S: GenServer,
    T: Send,
    F: FnOnce(Reply<T>) -> S::Call,
{
    type Output = Result<T, About<CallError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        let call = &mut self.0;
        let answer = std::task::ready!(Pin::new(&mut *call).poll(cx));
        Poll::Ready(answer.map_err(|error| call.server().about(error)))
    }
}

impl<T: Send> Future for Named<Response<T>> {
    type Output = Result<T, About<CallError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        let response = &mut self.0;
        let answer = std::task::ready!(Pin::new(&mut *response).poll(cx));
        Poll::Ready(answer.map_err(|error| response.about(error)))
    }
}
