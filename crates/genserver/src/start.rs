//! Starting: the hand-shake between a starter and `init`, and the mailbox that comes before its server.

use crate::call::{CallerRuns, label};
use crate::context::Context;
use crate::cycle::{self, Path};
use crate::executor::{Cell, Executor, NewCell, NoLease, new_cell};
use crate::in_hand::{InHand, Redeliver, Rule};
use crate::keeper::{Beginner, Keeper};
use crate::message::Message;
use crate::rt::Rt;
use crate::server::GenServer;
use crate::server_ref::ServerRef;
use crate::thread::{ThreadError, ThreadPool, Threads};
use crate::tracker;
#[cfg(not(any(loom, shuttle)))]
use restante_core::alarm::at_most;
use restante_core::handle::Handle;
use restante_core::monitor::{Event, MonitorId, Watch};
// Models have no time.
#[cfg(any(loom, shuttle))]
use restante_core::timeout::at_most;
use restante_core::word::{LEASED, RUN, RunGuard};
use restante_core::{
    Coalesce, DEFAULT_CAPACITY, DeadLetter, ExitReason, Overflow, Recipient, Settings, SettingsError,
};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

/// How long `init` may take unless told otherwise.
pub const DEFAULT_START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the end of an `init` that was killed for its time is waited for.
const GRACE: Duration = Duration::from_secs(1);

/// What became of `init`.
#[derive(Debug)]
pub(crate) enum Outcome {
    Started,
    Ignored,
    Stopped(ExitReason),
}

/// Where a starter who has to wait is told.
pub(crate) type StartSender = tokio::sync::oneshot::Sender<Outcome>;

/// Arguments, given or lent.
pub(crate) enum Lent<S: GenServer> {
    Given(S::Args),
    Shared(Arc<S::Args>),
    Kept(Arc<dyn Keeper<S>>),
    /// For a stand-in, which needs none.
    Nothing,
}

impl<S: GenServer> Lent<S> {
    pub(crate) fn get(&self) -> &S::Args {
        self.given().expect("only where a stand-in plays is there nothing to lend")
    }

    pub(crate) fn given(&self) -> Option<&S::Args> {
        match self {
            Self::Given(args) => Some(args),
            Self::Shared(args) => Some(args),
            Self::Kept(keeper) => Some(keeper.args()),
            Self::Nothing => None,
        }
    }
}

/// Why a server did not start.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// `init` said that there is nothing to serve. No failure.
    #[error("the server had nothing to serve")]
    Ignored,
    /// `init` failed, panicked, or was killed. Everything that it had made is gone by now.
    #[error("init failed: {0}")]
    Failed(ExitReason),
    /// `init` took too long, and was killed. It is gone by now, unless it went another second without an await.
    #[error("init did not end within the time allowed")]
    Timeout,
    /// Another incarnation reads the mailbox.
    #[error("the server is running already")]
    AlreadyStarted,
    /// The mailbox belongs to a supervisor, which has not asked for this start (or does no longer).
    #[error("only its supervisor starts this server")]
    Supervised,
    /// The mailbox is closed.
    #[error("the mailbox is closed")]
    Closed,
    /// Neither is this thread in a tokio runtime, nor was one given ([`ServerSettings::runtime`]).
    #[error("no tokio runtime to run on")]
    NoRuntime,
    /// No thread for the server ([`ServerSettings::own_thread`], [`ServerSettings::thread_pool`]).
    #[error(transparent)]
    Thread(#[from] ThreadError),
    /// The settings make no mailbox.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The server is waited for, through others, by the one that starts it.
    #[error("the start would close a ring of waiting servers: {path}")]
    Cycle {
        /// The ring.
        path: Path,
    },
}

impl StartError {
    /// Whether what was to be started, or to run it, is gone, so that no server will ever start there: the mailbox is
    /// [`Closed`](Self::Closed), or the thread pool has been shut down ([`ThreadError::is_gone`]).
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Closed => true,
            Self::Thread(error) => error.is_gone(),
            _ => false,
        }
    }
}

/// Starts a server with a mailbox of its own (1024 messages, senders wait), which closes with it. Returns when `init` has
/// returned.
///
/// Where it can, `init` is first polled on the starter's stack, and so are the first few messages that the server may find
/// or send itself; one that ends there (a failed `init` included) ends on that stack. A server that nobody has spoken to
/// has no task.
///
/// With settings (a name for people, a capacity, a thread of its own): [`Server::settings`]. Under a name by which others find
/// it: a registry's `create`, as in `registry.create("name", start::<S>(args))`, which holds the name from before `init` on,
/// or `register` once it runs. Under a supervisor: `Supervise::child`.
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

/// [`start`], and links the server with the one whose context this is. With settings: [`ServerSettings::start_link`].
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
/// [`ServerSettings::start_monitor`].
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

/// How to start, beside the mailbox's settings.
#[derive(Debug)]
pub(crate) struct Opts<S: GenServer> {
    caller_runs: CallerRuns,
    timeout: Duration,
    runtime: Option<tokio::runtime::Handle>,
    /// `None`: as it is; in the beginning, none but the runtime's.
    threads: Option<Threads>,
    /// `None`: as it is.
    in_hand: Option<Rule<S>>,
    /// Traced from the first message on.
    traced: bool,
    /// Where in the program the mailbox was made, where that is known.
    made: Option<&'static Location<'static>>,
}

impl<S: GenServer> Default for Opts<S> {
    fn default() -> Self {
        Self {
            caller_runs: CallerRuns::Auto,
            timeout: DEFAULT_START_TIMEOUT,
            runtime: None,
            threads: None,
            in_hand: None,
            traced: false,
            made: None,
        }
    }
}

impl<S: GenServer> Opts<S> {
    /// Whether callers never run handlers.
    fn never_inline(&self) -> bool {
        self.caller_runs == CallerRuns::Never
            || self.threads.is_some()
            || self.in_hand.is_some_and(|rule| rule.keeps())
    }

    /// Puts what these say of the message in hand before the cell's next incarnation. RUN is held.
    fn equip(&self, cell: &Arc<Cell<S>>) {
        if let Some(rule) = self.in_hand {
            cell.runner.never_inline.store(self.never_inline(), Ordering::Relaxed);
            Executor::equip(cell, rule);
        }
    }

    /// Sees to what is to be watched from the beginning.
    fn watch(&self, server: &ServerRef<S>) {
        if self.traced {
            server.sys().trace(true);
        }
    }

    /// The runtime to run on, and whether that is the one that is entered here.
    fn rt(&self) -> Result<(Arc<Rt>, bool), StartError> {
        match &self.runtime {
            Some(handle) => {
                let rt = Rt::for_handle(handle);
                let at_home = rt.is_entered();
                Ok((rt, at_home))
            }
            None => Rt::current().map(|rt| (rt, true)).ok_or(StartError::NoRuntime),
        }
    }

    /// The threads to run on, which are there by then: those of the last incarnation, where these say nothing else.
    fn threads(&self, cell: &Arc<Cell<S>>) -> Result<Option<ThreadPool>, StartError> {
        let present = cell.runner.threads();
        let threads = match &self.threads {
            None => present,
            Some(Threads::Own) => {
                Some(present.unwrap_or_else(|| ThreadPool::of_one(&label(cell).to_string())))
            }
            Some(Threads::Shared(pool)) => Some(pool.clone()),
        };
        if let Some(threads) = &threads {
            threads.man()?;
        }
        Ok(threads)
    }
}

async fn start_with<S: GenServer>(
    new: NewCell<S>,
    args: S::Args,
    opts: Opts<S>,
) -> Result<ServerRef<S>, StartError> {
    let (rt, at_home) = opts.rt()?;
    // A fresh cell begins with lease and RUN: nobody else knows of it yet.
    let cell = new_cell(new, LEASED | RUN, true, Some(rt));
    cell.runner.never_inline.store(opts.never_inline(), Ordering::Relaxed);
    opts.equip(&cell);
    cell.runner.move_to(opts.threads(&cell)?);
    tracker::note(&cell, opts.made, None);
    let server = ServerRef::new(Handle::first(cell));
    opts.watch(&server);
    begin(&server, 1, Lent::Given(args), opts.timeout, at_home).await?;
    Ok(server)
}

/// Begins an incarnation on a cell that has a home and whose lease and RUN are held, and waits for `init`.
async fn begin<S: GenServer>(
    server: &ServerRef<S>,
    incarnation: u32,
    lent: Lent<S>,
    limit: Duration,
    at_home: bool,
) -> Result<(), StartError> {
    let cell = server.handle.cell();
    let mut told = None;
    let at_once = Executor::begin(cell, incarnation, lent, at_home, || {
        let (tell, tells) = tokio::sync::oneshot::channel();
        told = Some(tells);
        tell
    });
    let outcome = match (at_once, told) {
        (Some(outcome), _) => outcome,
        (None, None) => Outcome::Stopped(ExitReason::Killed),
        (None, Some(mut told)) => {
            // From here on the starter waits; if it goes, so does the server.
            let mut guard = StartGuard { cell, incarnation, done: false };
            let _waiting =
                cycle::wait_for(cell.link_id(), || label(cell)).map_err(|path| StartError::Cycle { path })?;
            let Some(outcome) = at_most(limit, &mut told).await else {
                drop(guard);
                // (By a monitor: `told` would be content with a start that came a moment too late.)
                if cell.incarnation() == incarnation {
                    at_most(GRACE, &mut Box::pin(server.join())).await;
                }
                return Err(StartError::Timeout);
            };
            guard.done = true;
            outcome.unwrap_or(Outcome::Stopped(ExitReason::Killed))
        }
    };
    match outcome {
        Outcome::Started => Ok(()),
        Outcome::Ignored => Err(StartError::Ignored),
        Outcome::Stopped(reason) => Err(StartError::Failed(reason)),
    }
}

struct StartGuard<'a, S: GenServer> {
    cell: &'a Arc<Cell<S>>,
    incarnation: u32,
    done: bool,
}

impl<S: GenServer> Drop for StartGuard<'_, S> {
    fn drop(&mut self) {
        if !self.done {
            self.cell.kill_incarnation(Some(self.incarnation), ExitReason::Killed);
        }
    }
}

/// What a server's mailbox is made from, and how the server is run.
#[derive(Debug)]
#[must_use]
pub struct ServerSettings<S: GenServer> {
    mailbox: Settings<Message<S>>,
    opts: Opts<S>,
}

impl<S: GenServer> ServerSettings<S> {
    fn mailbox(mut self, f: impl FnOnce(Settings<Message<S>>) -> Settings<Message<S>>) -> Self {
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

    /// Tells `tracing` of each message, and runs its handler in a span, from the first one on: see [`Sys::trace`]
    /// (default: not).
    ///
    /// [`Sys::trace`]: crate::Sys::trace
    pub fn trace_messages(mut self) -> Self {
        self.opts.traced = true;
        self
    }

    /// The runtime to run on (default: that of whoever starts it).
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

    /// Makes the mailbox; nobody reads it yet.
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
    /// As [`start`].
    ///
    /// # Cancel safety
    /// As [`start`].
    #[track_caller]
    pub fn start(self, args: S::Args) -> impl Future<Output = Result<ServerRef<S>, StartError>> + Send {
        let made = Some(Location::caller());
        async move {
            self.mailbox.check()?;
            start_with(new(self.mailbox), args, Opts { made, ..self.opts }).await
        }
    }

    /// [`ServerSettings::start`], and links the server with the one whose context this is, as [`start_link`] does.
    ///
    /// # Errors
    /// As [`start`]: nothing is linked.
    ///
    /// # Cancel safety
    /// As [`start`].
    #[track_caller]
    pub fn start_link<P: GenServer>(
        self,
        args: S::Args,
        parent: &mut Context<P>,
    ) -> impl Future<Output = Result<ServerRef<S>, StartError>> + Send {
        linked(self.start(args), parent)
    }

    /// [`ServerSettings::start`], and monitors the server, as [`start_monitor`] does.
    ///
    /// # Errors
    /// As [`start`]: nothing is left of the monitor.
    ///
    /// # Cancel safety
    /// As [`start`].
    #[track_caller]
    pub fn start_monitor(
        self,
        args: S::Args,
        notify: impl FnMut(Event) + Send + 'static,
    ) -> impl Future<Output = Result<(ServerRef<S>, MonitorId), StartError>> + Send {
        monitored(self.start(args), notify)
    }
}

async fn linked<S: GenServer, P: GenServer>(
    started: impl Future<Output = Result<ServerRef<S>, StartError>> + Send,
    parent: &mut Context<P>,
) -> Result<ServerRef<S>, StartError> {
    let server = started.await?;
    parent.link(&server);
    Ok(server)
}

async fn monitored<S: GenServer>(
    started: impl Future<Output = Result<ServerRef<S>, StartError>> + Send,
    notify: impl FnMut(Event) + Send + 'static,
) -> Result<(ServerRef<S>, MonitorId), StartError> {
    let server = started.await?;
    let id = server.monitor(Watch::Incarnation, notify);
    Ok((server, id))
}

fn new<S: GenServer>(settings: Settings<Message<S>>) -> NewCell<S> {
    match settings.only_capacity() {
        Some(capacity) => NewCell::Plain(capacity),
        None => NewCell::With(Box::new(settings)),
    }
}

/// A mailbox for servers of type `S`: the identity that processes come and go in front of.
///
/// It can be sent to and called before anybody reads it, and stays when its server ends, crashes or is killed: the next
/// [`Server::start`] goes on with what is queued. It closes when the last of this value and its references goes.
#[derive(Debug)]
pub struct Server<S: GenServer> {
    server: ServerRef<S>,
    opts: Opts<S>,
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
    fn made(new: NewCell<S>, opts: Opts<S>) -> Self {
        let opts = Opts { made: Some(Location::caller()), ..opts };
        let cell = new_cell(new, 0, false, None);
        tracker::note(&cell, opts.made, opts.runtime.as_ref());
        cell.runner.never_inline.store(opts.never_inline(), Ordering::Relaxed);
        let server = ServerRef::new(Handle::first(cell));
        opts.watch(&server);
        Self { server, opts }
    }

    /// What becomes of the message in hand at a crash (default [`InHand::Drop`]), from the next start by this value on: one
    /// by [`start_again`] goes on with what was set last.
    #[must_use]
    pub fn in_hand(mut self, policy: InHand) -> Self
    where
        S: Redeliver,
    {
        self.opts.in_hand = Some(Rule::new(policy));
        self
    }

    /// The reference of whoever reads this mailbox, now or later.
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

    /// The same with arguments that are kept for further incarnations.
    ///
    /// # Errors
    /// As [`Server::start`].
    ///
    /// # Cancel safety
    /// As [`Server::start`].
    pub async fn start_shared(&self, args: Arc<S::Args>) -> Result<ServerRef<S>, StartError> {
        self.begin(Lent::Shared(args)).await
    }

    /// The reference of whoever reads this mailbox, lent.
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

    async fn begin(&self, lent: Lent<S>) -> Result<ServerRef<S>, StartError> {
        start_on(&self.server, lent, &self.opts).await?;
        Ok(self.server.clone())
    }
}

/// Starts on a mailbox that is there already. RUN first, then the lease: from the lease on senders would wake somebody.
pub(crate) async fn start_on<S: GenServer>(
    server: &ServerRef<S>,
    lent: Lent<S>,
    opts: &Opts<S>,
) -> Result<(), StartError> {
    let (rt, at_home) = opts.rt()?;
    let cell = server.handle.cell();
    let threads = opts.threads(cell)?;
    let mut spin = restante_core::sync::Spin::default();
    loop {
        if cell.runner.is_kept() && !matches!(lent, Lent::Kept(_)) {
            // Before anything is touched: a keeper that would have an incarnation begin does not mean this one.
            return Err(StartError::Supervised);
        }
        if cell.is_leased() {
            return Err(StartError::AlreadyStarted);
        }
        if cell.is_closed() {
            return Err(StartError::Closed);
        }
        // Without a lease RUN is held only for a look (an audit) or by another starter: for a moment. Or what lies there is dropped:
        // then it is perhaps the drop of a message that asks, on the very stack that holds RUN. So others have their turn.
        if let Some(permit) = RunGuard::enter_quietly(cell) {
            // A keeper comes under RUN as well: one that has come meanwhile is the first.
            if cell.runner.is_kept() && !matches!(lent, Lent::Kept(_)) {
                Cell::<S>::leave_quietly_by(permit);
                return Err(StartError::Supervised);
            }
            permit.give_up();
            break;
        }
        spin.wait();
        others_turn().await;
    }
    // Before the lease: from then on the task of an older home would end this incarnation with its runtime.
    let settle = || {
        cell.runner.settle_in(rt);
        if threads.is_some() {
            cell.runner.move_to(threads);
        }
    };
    match Executor::lease(cell, Beginner::Starter, settle) {
        Ok(incarnation) => {
            opts.equip(cell);
            tracker::note(cell, opts.made, None);
            begin(server, incarnation, lent, opts.timeout, at_home).await
        }
        Err(NoLease::Refused) => Err(StartError::Supervised),
        Err(NoLease::Closed) => {
            // Closed in between: nobody else will see to it.
            cell.runner.move_to(None);
            Err(StartError::Closed)
        }
        Err(NoLease::Taken) => Err(StartError::AlreadyStarted),
    }
}

/// Pending once, and to be polled again at once.
async fn others_turn() {
    let mut over = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut over, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Starts a server on the mailbox of a reference, whose server has ended: for whoever has no [`Server`] at hand.
///
/// # Errors
/// As [`Server::start`].
///
/// # Cancel safety
/// As [`Server::start`].
pub async fn start_again<S: GenServer>(server: &ServerRef<S>, args: S::Args) -> Result<(), StartError> {
    start_on(server, Lent::Given(args), &Opts::default()).await
}

impl<S: GenServer> fmt::Debug for Lent<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lent")
    }
}
