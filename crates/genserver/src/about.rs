//! An error, and whom it is about.

use std::error::Error;
use std::fmt;

/// An error with the name of the server that it is about: [`ServerRef::about`](crate::ServerRef::about) makes it. Displayed
/// as `name: error`, with the error's own source.
#[derive(Debug, Clone, PartialEq)]
pub struct About<E> {
    server: String,
    error: E,
}

impl<E> About<E> {
    pub(crate) fn new(server: impl fmt::Display, error: E) -> Self {
        Self { server: server.to_string(), error }
    }

    /// The server: its mailbox's name, else its type.
    pub fn server(&self) -> &str {
        &self.server
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
        write!(f, "{}: {}", self.server, self.error)
    }
}

impl<E: Error> Error for About<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}
