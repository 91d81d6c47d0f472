//! A server started with the default settings.

use super::begin::{linked, monitored, start_with};
use super::error::StartError;
use super::opts::Opts;
use crate::context::Context;
use crate::executor::NewCell;
use crate::server::GenServer;
use crate::server_ref::ServerRef;
use restante_core::DEFAULT_CAPACITY;
use restante_core::monitor::{Event, MonitorId};
use std::future::Future;
use std::panic::Location;

/// Starts a server with a mailbox of its own (1024 messages, senders wait), which closes with it. Returns when `init` has
/// returned.
///
/// Where it can, `init` is first polled on the starter's stack, and so are the first few messages that the server may find or
/// send itself; one that ends there, as by a failed `init`, ends on that stack. A server has no task until it is spoken to.
///
/// With settings (a name for people, a capacity, a thread of its own): [`Server::settings`](crate::Server::settings). Under a
/// name by which others find it: a registry's `create`, as in `registry.create("name", start::<S>(args))`, which holds the
/// name from before `init` on, or `register` once it runs. Under a supervisor: `Supervise::child`.
///
/// # Errors
/// [`StartError`].
///
/// # Cancel safety
/// Dropping the future before `init` is done kills the server.
#[track_caller]
pub fn start<S: GenServer>(args: S::Args) -> impl Future<Output = Result<ServerRef<S>, StartError>> + Send {
    let made = Some(Location::caller());
    async move { start_with(NewCell::Plain(Some(DEFAULT_CAPACITY)), args, Opts { made, ..Opts::default() }).await }
}

/// [`start`], and links the server with the one whose context this is. With settings:
/// [`ServerSettings::start_link`](crate::ServerSettings::start_link).
///
/// # Errors
/// As [`start`].
///
/// # Cancel safety
/// As [`start`].
#[track_caller]
pub fn start_link<S: GenServer, P: GenServer>(
    args: S::Args,
    parent: &mut Context<P>,
) -> impl Future<Output = Result<ServerRef<S>, StartError>> + Send {
    linked(start(args), parent)
}

/// [`start`], and monitors the server. When the start fails nothing is left of the monitor. With settings:
/// [`ServerSettings::start_monitor`](crate::ServerSettings::start_monitor).
///
/// # Errors
/// As [`start`].
///
/// # Cancel safety
/// As [`start`].
#[track_caller]
pub fn start_monitor<S: GenServer>(
    args: S::Args,
    notify: impl FnMut(Event) + Send + 'static,
) -> impl Future<Output = Result<(ServerRef<S>, MonitorId), StartError>> + Send {
    monitored(start(args), notify)
}
