//! Requests: calls that are sent now and waited for later, by the one, by the collection, or many at once.
//!
//! - [`ServerRef::send_request`](crate::ServerRef::send_request) sends and gives a [`Request`]; what went wrong shows where
//!   it is waited for.
//! - [`Requests`] collects labelled ones, and gives their responses as they come.
//! - [`multi_call`] asks many servers under one deadline, [`multi_cast`] tells them.
//!
//! A request is the caller's side of a reply slot (`slot`). Of its server it knows only what a caller is told, see
//! [`Target`](target::Target): requests to servers of different types go into one collection, as long as their replies are of
//! one type. The message itself is that of any call, and so is all that its server does with it.
//!
//! What deliberately does not live here: calls that are waited for where they are made (`call`), which may run the handler on
//! the caller's stack and wait for room. A request does neither: it never keeps its sender.

mod collection;
mod multi_call;
mod one;
mod ready;
#[cfg(all(shuttle, test))]
mod shuttle_tests;
mod target;

pub use collection::Requests;
pub use multi_call::{MultiReplies, multi_call, multi_cast};
pub use one::{Request, Response};
