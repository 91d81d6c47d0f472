//! The mailbox that comes before its server.

use super::begin::start_on;
use super::error::StartError;
use super::lent::Lent;
use super::opts::Opts;
use super::settings::ServerSettings;
use crate::executor::{NewCell, new_cell};
use crate::in_hand::{InHand, Redeliver, Rule};
use crate::server::GenServer;
use crate::server_ref::ServerRef;
use crate::tracker;
use restante_core::Settings;
use restante_core::handle::Handle;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A mailbox for servers of type `S`: the identity that processes come and go in front of.
///
/// It can be sent to and called before anybody reads it, and stays when its server ends, crashes or is killed: the next
/// [`Server::start`] goes on with what is queued. It closes when the last of this value and its references goes.
#[derive(Debug)]
pub struct Server<S: GenServer> {
    pub(super) server: ServerRef<S>,
    pub(super) opts: Opts<S>,
}

impl<S: GenServer> Server<S> {
    /// A mailbox with the default settings and this name (for people; no registry knows it).
    #[track_caller]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self::made(NewCell::With(Box::new(Settings::default().name(name))), Opts::default())
    }

    /// Settings to fill in.
    pub fn settings() -> ServerSettings<S> {
        ServerSettings { mailbox: Settings::default(), opts: Opts::default() }
    }

    #[track_caller]
    pub(super) fn made(new: NewCell<S>, opts: Opts<S>) -> Self {
        let opts = Opts { made: Some(Location::caller()), ..opts };
        let cell = new_cell(new, 0, false, None);
        tracker::note(&cell, opts.made, opts.runtime.as_ref());
        cell.runner.never_inline.store(opts.never_inline(), Ordering::Relaxed);
        let server = ServerRef::new(Handle::first(cell));
        opts.watch(&server);
        Self { server, opts }
    }

    /// What becomes of the message in hand at a crash (default [`InHand::Drop`]), from the next start by this value on: one
    /// by [`start_again`](crate::start_again) goes on with what was set last.
    #[must_use]
    pub fn in_hand(mut self, policy: InHand) -> Self
    where
        S: Redeliver,
    {
        self.opts.in_hand = Some(Rule::new(policy));
        self
    }

    /// The reference of the server that reads this mailbox, now or later.
    pub fn address(&self) -> ServerRef<S> {
        self.server.clone()
    }

    /// Puts a server in front of the mailbox. Returns when `init` has returned; queued messages are read after it.
    ///
    /// # Errors
    /// [`StartError`]; [`StartError::AlreadyStarted`] while another incarnation reads.
    ///
    /// # Cancel safety
    /// Dropping the future before `init` is done kills the incarnation; the mailbox stays.
    pub async fn start(&self, args: S::Args) -> Result<ServerRef<S>, StartError> {
        self.begin(Lent::Given(args)).await
    }

    /// Starts like `start`, with arguments that are kept for further incarnations.
    ///
    /// # Errors
    /// As [`Server::start`].
    ///
    /// # Cancel safety
    /// As [`Server::start`].
    pub async fn start_shared(&self, args: Arc<S::Args>) -> Result<ServerRef<S>, StartError> {
        self.begin(Lent::Shared(args)).await
    }

    /// Lends the reference of the server that reads this mailbox, now or later.
    pub fn server(&self) -> &ServerRef<S> {
        &self.server
    }

    /// How long `init` may take.
    pub(crate) fn start_timeout(&self) -> Duration {
        self.opts.timeout
    }

    /// How its servers are started.
    pub(crate) fn opts(&self) -> &Opts<S> {
        &self.opts
    }

    pub(super) async fn begin(&self, lent: Lent<S>) -> Result<ServerRef<S>, StartError> {
        start_on(&self.server, lent, &self.opts).await?;
        Ok(self.server.clone())
    }
}
