//! What an operator may ask of a live server, without its help: look at it, halt it, watch it, change its state.
//!
//! [`ServerRef::sys`] gives a [`Sys`], and its verbs are of two kinds:
//!
//! - **Mailbox verbs** ([`status`](Sys::status), [`statistics`](Sys::statistics), [`peek`](Sys::peek),
//!   [`suspend`](Sys::suspend), [`trace`](Sys::trace), [`keep_log`](Sys::keep_log), [`install`](Sys::install), …) are
//!   answered on the asker's own stack, at once: with a full mailbox, a handler that waits for ever, a handler that blocks
//!   its thread, or no server at all.
//! - **State verbs** ([`get_state`](Sys::get_state), [`replace_state`](Sys::replace_state),
//!   [`status_with_state`](Sys::status_with_state)) run between two messages, on the server, before whatever waits in its
//!   mailbox. Where the handler under way does not end in time they say [`SysError::Busy`], and then have not run and
//!   never will.
//!
//! What has been asked lies with the mailbox, not with the incarnation: a server that is suspended, traced or
//! watched stays so when it crashes and is started again, and its log can be read when it has ended.
//!
//! How the loop hears of it: a bit of the state word (SYS, rule 8 of core's `word`), which stays set while anything is to
//! be watched. While it is not set none of this costs a message anything.
//!
//! Source: OTP `sys`. Differs: state verbs are typed closures; suspension outlives a crash; statistics are always on.

mod error;
mod log;
mod peek;
mod requests;
mod serve;
#[cfg(all(shuttle, test))]
mod shuttle_tests;
mod state;
mod status;
pub(crate) mod trace;

pub use error::SysError;
pub use log::{LogEntry, Moment, Observed};
pub use peek::{Peek, Peeked};
pub use status::{InHandNow, Statistics, Status};

pub(crate) use requests::SysRequests;
pub(crate) use serve::Open;

use crate::executor::Cell;
use crate::server::GenServer;
use crate::server_ref::{ServerRef, StopError};
use restante_core::ExitReason;
use restante_core::cell::Runner;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// How long a state verb waits for the handler under way, unless told otherwise.
pub const DEFAULT_SYS_TIMEOUT: Duration = Duration::from_secs(5);

/// What an operator may ask of one server: see the [module](self).
#[must_use = "a view of a server does nothing by itself"]
pub struct Sys<'a, S: GenServer> {
    server: &'a ServerRef<S>,
    limit: Duration,
}

impl<S: GenServer> ServerRef<S> {
    /// What an operator may ask of this server: see [`sys`](crate::sys).
    pub fn sys(&self) -> Sys<'_, S> {
        Sys { server: self, limit: DEFAULT_SYS_TIMEOUT }
    }
}

impl<S: GenServer> fmt::Debug for Sys<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sys({:?})", self.server)
    }
}

/// Halting and watching: mailbox verbs, answered at once.
impl<'a, S: GenServer> Sys<'a, S> {
    /// How long state verbs wait for the handler under way (default 5 s; zero: only a server that is between two messages
    /// right now; `Duration::MAX`: for ever).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    fn cell(&self) -> &'a Arc<Cell<S>> {
        self.server.handle.cell()
    }

    fn requests(&self) -> &'a SysRequests<S> {
        self.cell().runner.requests_or_new()
    }

    /// The loop is to see what has been wished.
    fn call_for(&self) {
        let cell = self.cell();
        if cell.word().call_for() {
            cell.runner.schedule(cell);
        }
    }

    /// Takes no more messages to its handlers, until [`Sys::resume`]: messages, calls, timers, notices of monitors and the
    /// exits of linked servers wait. Kills, orders to stop (a supervisor's among them) and state verbs are obeyed. False
    /// when it was suspended already.
    ///
    /// The handler under way, or one that begins this very moment, goes on to its end; once a state verb has answered as
    /// well, nothing is under way. The mailbox stays suspended when its server ends and another one is started (its
    /// `init` and `handle_continue` run); closing it ends the suspension, so that what is queued is handled.
    pub fn suspend(&self) -> bool {
        let changed = self.requests().suspend(true);
        self.call_for();
        if changed {
            tracing::info!(server = std::any::type_name::<S>(), mailbox = %self.cell().label(), "server suspended");
        }
        changed
    }

    /// Ends a suspension; what has waited is handled in its order. False when the server was not suspended.
    pub fn resume(&self) -> bool {
        let changed = self.requests().suspend(false);
        self.call_for();
        if changed {
            tracing::info!(server = std::any::type_name::<S>(), mailbox = %self.cell().label(), "server resumed");
        }
        changed
    }

    /// Tells `tracing`, at level INFO and with target `restante_genserver::sys::trace`, of each message that a handler is
    /// given and of each that it is done with, by name and without its contents; and has each handler run in a span of its
    /// own (`message`), whose parent is the span of its caller, or which follows from the span of who sent the cast.
    /// Returns whether it was on.
    ///
    /// While it is on, calls go through the mailbox: callers do not run handlers themselves.
    pub fn trace(&self, on: bool) -> bool {
        let was = self.requests().trace(on);
        self.call_for();
        was
    }

    /// Keeps the last `entries` (at most 10,000) of what [`Sys::trace`] would tell, from now on; 0 forgets them and keeps
    /// none. They can be read with [`Sys::log`] when the server has crashed, too.
    pub fn keep_log(&self, entries: usize) {
        self.requests().keep_log(entries);
        self.call_for();
    }

    /// What was kept, oldest first.
    pub fn log(&self) -> Vec<LogEntry> {
        self.cell().runner.requests().map_or_else(Vec::new, SysRequests::log)
    }

    /// Installs a hook, which is told of each message before its handler gets it, and when it is done. It runs on the
    /// server, between two messages. One that panics or says [`ControlFlow::Break`] is removed. False (and it is
    /// dropped) when there is one of this name already.
    pub fn install(
        &self,
        name: impl Into<Arc<str>>,
        hook: impl FnMut(&Observed<'_, S>) -> ControlFlow<()> + Send + 'static,
    ) -> bool {
        let installed = self.requests().install(name.into(), Box::new(hook));
        self.call_for();
        installed
    }

    /// Removes a hook; false when there was none of this name. One that is running right now ends its run.
    pub fn remove(&self, name: &str) -> bool {
        let removed = self.cell().runner.requests().is_some_and(|requests| requests.remove(name));
        self.call_for();
        removed
    }

    /// Watches nothing any more: tracing off, log forgotten, hooks removed. A suspension stays.
    pub fn no_debug(&self) {
        if let Some(requests) = self.cell().runner.requests() {
            requests.watch_nothing();
            self.call_for();
        }
    }

    /// Ends the server for this reason, after the handler under way and before all that is queued; suspended or not.
    /// `terminate` runs. Waits for the end as long as a state verb would.
    ///
    /// # Errors
    /// As [`ServerRef::stop`].
    ///
    /// # Cancel safety
    /// As [`ServerRef::stop`].
    pub async fn terminate(&self, reason: ExitReason) -> Result<(), StopError> {
        self.server.stop(reason, self.limit).await
    }
}
