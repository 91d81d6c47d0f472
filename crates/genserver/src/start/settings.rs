//! What is fixed when a server's mailbox is made.

use super::begin::{linked, monitored, start_with};
use super::error::StartError;
use super::opts::Opts;
use super::server_mailbox::Server;
use crate::call::CallerRuns;
use crate::context::Context;
use crate::executor::NewCell;
use crate::in_hand::{InHand, Redeliver, Rule};
use crate::message::Message;
use crate::server::GenServer;
use crate::server_ref::ServerRef;
use crate::thread::{ThreadPool, Threads};
use restante_core::monitor::{Event, MonitorId};
use restante_core::{Coalesce, DeadLetter, Overflow, Recipient, Settings, SettingsError};
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// How long `init` may take unless told otherwise.
pub const DEFAULT_START_TIMEOUT: Duration = Duration::from_secs(30);

/// What a server's mailbox is made from, and how the server is run.
#[derive(Debug)]
#[must_use]
pub struct ServerSettings<S: GenServer> {
    pub(super) mailbox: Settings<Message<S>>,
    pub(super) opts: Opts<S>,
}

impl<S: GenServer> ServerSettings<S> {
    pub(super) fn mailbox(mut self, f: impl FnOnce(Settings<Message<S>>) -> Settings<Message<S>>) -> Self {
        self.mailbox = f(self.mailbox);
        self
    }

    /// See [`Settings::name`].
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        self.mailbox(|m| m.name(name))
    }

    /// See [`Settings::capacity`].
    pub fn capacity(self, messages: usize) -> Self {
        self.mailbox(|m| m.capacity(messages))
    }

    /// See [`Settings::unbounded`].
    pub fn unbounded(self) -> Self {
        self.mailbox(Settings::unbounded)
    }

    /// See [`Settings::weight_limit`].
    pub fn weight_limit(
        self,
        limit: u64,
        weigh: impl Fn(&Message<S>) -> u32 + Send + Sync + 'static,
    ) -> Self {
        self.mailbox(|m| m.weight_limit(limit, weigh))
    }

    /// See [`Settings::overflow`].
    pub fn overflow(self, overflow: Overflow<Message<S>>) -> Self {
        self.mailbox(|m| m.overflow(overflow))
    }

    /// See [`Settings::ttl`].
    pub fn ttl(self, ttl: Duration) -> Self {
        self.mailbox(|m| m.ttl(ttl))
    }

    /// See [`Settings::dead_letters`].
    pub fn dead_letters(self, to: Recipient<DeadLetter<Message<S>>>) -> Self {
        self.mailbox(|m| m.dead_letters(to))
    }

    /// See [`Settings::coalesce`].
    pub fn coalesce(self, place: Coalesce) -> Self {
        self.mailbox(|m| m.coalesce(place))
    }

    /// See [`Settings::starvation_bound`].
    pub fn starvation_bound(self, messages: u32) -> Self {
        self.mailbox(|m| m.starvation_bound(messages))
    }

    /// See [`Settings::rate_limit`].
    pub fn rate_limit(self, messages: u32, period: Duration) -> Self {
        self.mailbox(|m| m.rate_limit(messages, period))
    }

    /// Whether callers may run handlers (default: yes, where the server is idle and fast).
    pub fn caller_runs(mut self, runs: CallerRuns) -> Self {
        self.opts.caller_runs = runs;
        self
    }

    /// What becomes of the message in hand at a crash (default [`InHand::Drop`]).
    pub fn in_hand(mut self, policy: InHand) -> Self
    where
        S: Redeliver,
    {
        self.opts.in_hand = Some(Rule::new(policy));
        self
    }

    /// How long `init` may take (default 30 s; `Duration::MAX`: for ever). One that takes longer is killed.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.opts.timeout = limit;
        self
    }

    /// Tells `tracing` of each message, and runs its handler in a span, from the first one on: see [`Sys::trace`]. Off by
    /// default.
    ///
    /// [`Sys::trace`]: crate::Sys::trace
    pub fn trace_messages(mut self) -> Self {
        self.opts.traced = true;
        self
    }

    /// The runtime to run on; by default the starter's.
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.opts.runtime = Some(runtime);
        self
    }

    /// Runs the server on an OS thread of its own, where its handlers may block (default: on the runtime's threads). See
    /// [`ThreadPool`] for what that means.
    ///
    /// The thread is made by the first start, is kept over restarts, and ends when the mailbox is closed and its last server
    /// has ended.
    pub fn own_thread(self) -> Self {
        self.run_on(Threads::Own)
    }

    /// Runs the server on the threads of this pool, where its handlers may block (default: on the runtime's threads).
    pub fn thread_pool(self, pool: &ThreadPool) -> Self {
        self.run_on(Threads::Shared(pool.clone()))
    }

    fn run_on(mut self, threads: Threads) -> Self {
        self.opts.threads = Some(threads);
        // While a handler blocks, the queue is to lie where others can look at it.
        self.mailbox(|m| m.batch_max(1))
    }

    /// Makes the mailbox, which has no reader yet.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting that makes no mailbox.
    #[track_caller]
    pub fn build(self) -> Result<Server<S>, SettingsError> {
        self.mailbox.check()?;
        Ok(Server::made(new(self.mailbox), self.opts))
    }

    /// Makes a mailbox and starts a server on it, with which it closes.
    ///
    /// # Errors
    /// As [`start`](crate::start).
    ///
    /// # Cancel safety
    /// As [`start`](crate::start).
    #[track_caller]
    pub fn start(self, args: S::Args) -> impl Future<Output = Result<ServerRef<S>, StartError>> + Send {
        let made = Some(Location::caller());
        async move {
            self.mailbox.check()?;
            start_with(new(self.mailbox), args, Opts { made, ..self.opts }).await
        }
    }

    /// [`ServerSettings::start`], and links the server with the one whose context this is, as
    /// [`start_link`](crate::start_link) does.
    ///
    /// # Errors
    /// As [`start`](crate::start): nothing is linked.
    ///
    /// # Cancel safety
    /// As [`start`](crate::start).
    #[track_caller]
    pub fn start_link<P: GenServer>(
        self,
        args: S::Args,
        parent: &mut Context<P>,
    ) -> impl Future<Output = Result<ServerRef<S>, StartError>> + Send {
        linked(self.start(args), parent)
    }

    /// [`ServerSettings::start`], and monitors the server, as [`start_monitor`](crate::start_monitor) does.
    ///
    /// # Errors
    /// As [`start`](crate::start): nothing is left of the monitor.
    ///
    /// # Cancel safety
    /// As [`start`](crate::start).
    #[track_caller]
    pub fn start_monitor(
        self,
        args: S::Args,
        notify: impl FnMut(Event) + Send + 'static,
    ) -> impl Future<Output = Result<(ServerRef<S>, MonitorId), StartError>> + Send {
        monitored(self.start(args), notify)
    }
}

pub(super) fn new<S: GenServer>(settings: Settings<Message<S>>) -> NewCell<S> {
    match settings.only_capacity() {
        Some(capacity) => NewCell::Plain(capacity),
        None => NewCell::With(Box::new(settings)),
    }
}
