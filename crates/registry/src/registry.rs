//! A registry as one holds it, how it is made and how it is ended.

use crate::actor::{ActorArgs, RegistryActor};
use crate::admission::{Admission, Capacity, DEFAULT_MAX_CONCURRENT_CREATES, DEFAULT_RETRY_AFTER};
use crate::background;
use crate::books::Books;
use crate::error::RegisterError;
use crate::life::{ACTOR, EndsBooks, Life, RESTART_PERIOD, RESTARTS, begin};
use crate::limit::{self, at_most};
use crate::rt;
use crate::scope::Tenants;
use crate::scopes;
use crate::sync::{AtomicU64, Mutex, Ordering};
use restante_core::send::{block_on_until, may_block};
use restante_core::shield::shield;
use restante_core::{ExitReason, Reaper};
use restante_genserver::{Overflow, Server, ServerRef, Sys};
use restante_supervisor::{Backoff, Restart, Supervise, Supervisor, SupervisorRef};
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Commands that may wait for a registry's actor, unless told otherwise.
pub const DEFAULT_QUEUE: usize = 1024;
/// Changes that a registry remembers, unless told otherwise.
pub const DEFAULT_HISTORY: usize = 1024;

/// Gives mailboxes names. Cheap to clone: all clones are one registry, which ends when the last of them goes.
///
/// Reads ([`whereis`](Registry::whereis), [`with`](Registry::with)) go straight to the maps: they neither wait nor take a
/// lock, whatever writers do. What adds goes by the registry's actor, whose queue is bounded, and creations take a
/// place first ([`capacity`](Registry::capacity)); what removes is done at once, wherever it is asked for.
///
/// A name leads to a mailbox, not to the process before it: it stays over restarts, and is free again when the mailbox closes,
/// before anybody hears of that. It never keeps a mailbox open unless it is asked to
/// ([`EntryRef::keep_open`](crate::EntryRef::keep_open)).
#[derive(Clone)]
pub struct Registry(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) books: Arc<Books>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) actor: ServerRef<RegistryActor>,
    pub(crate) runtime: Handle,
    /// Creations under way.
    pub(crate) tasks: TaskTracker,
    /// Ends them.
    pub(crate) cancel: CancellationToken,
    pub(crate) life: Arc<Life>,
    /// Numbers them.
    pub(crate) creations: AtomicU64,
    pub(crate) parent: Option<Registry>,
    pub(crate) tenants: Mutex<Tenants>,
    /// How it was made: for those that are made like it.
    pub(crate) settings: RegistryBuilder,
    tree: SupervisorRef,
}

/// Settings of a registry.
#[derive(Debug, Clone)]
#[must_use = "a registry begins when it is started"]
pub struct RegistryBuilder {
    name: Arc<str>,
    max_concurrent_creates: Option<usize>,
    retry_after: Duration,
    queue: usize,
    history: usize,
    runtime: Option<Handle>,
    pub(crate) parent: Option<Registry>,
    pub(crate) private: bool,
}

impl Default for RegistryBuilder {
    fn default() -> Self {
        Self {
            name: "registry".into(),
            max_concurrent_creates: None,
            retry_after: DEFAULT_RETRY_AFTER,
            queue: DEFAULT_QUEUE,
            history: DEFAULT_HISTORY,
            runtime: None,
            parent: None,
            private: false,
        }
    }
}

impl RegistryBuilder {
    /// What it is called, for people: in errors, events and trees.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// How many creations may be under way at once. Default: what the environment variable `RESTANTE_MAX_CONCURRENT_CREATES`
    /// says when the registry starts, else 100. Zero admits none.
    pub fn max_concurrent_creates(mut self, max: usize) -> Self {
        self.max_concurrent_creates = Some(max);
        self
    }

    /// What is suggested to a caller that is refused (default 5 s), and to others in proportion to the load
    /// ([`Capacity::retry_after`]).
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = delay;
        self
    }

    /// How many commands may wait for the actor (default 1024); further ones are refused as overload.
    pub fn queue(mut self, commands: usize) -> Self {
        self.queue = commands;
        self
    }

    /// How many changes are remembered (default 1024): for failed look-ups, and for those who follow.
    pub fn history(mut self, changes: usize) -> Self {
        self.history = changes;
        self
    }

    /// The runtime of its actor. Default: the one in which it is started, else one that registries without a runtime share,
    /// on a thread of its own.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Its actor lives in the runtime that registries without one share, wherever it is started: for a registry in a static,
    /// which is to outlive the runtime that asks for it first.
    ///
    /// # Panics
    /// When the thread of that runtime can't be started.
    pub fn shared_runtime(self) -> Self {
        self.runtime(background::runtime())
    }

    /// Begins the registry. From anywhere: inside a runtime, outside one, from a plain thread, from a lazy static. It can be
    /// used at once; the actor begins in its runtime.
    ///
    /// # Panics
    /// When the thread of the shared runtime can't be started, where that is needed.
    pub fn start(self) -> Registry {
        let runtime =
            self.runtime.clone().or_else(|| Handle::try_current().ok()).unwrap_or_else(background::runtime);
        let max = self
            .max_concurrent_creates
            .or_else(Admission::from_environment)
            .unwrap_or(DEFAULT_MAX_CONCURRENT_CREATES);
        let settings = RegistryBuilder { parent: None, runtime: Some(runtime.clone()), ..self.clone() };
        let reaper = Reaper::new(runtime.clone());
        let books = Arc::new(Books::new(Arc::clone(&self.name), self.history, reaper));
        let server = Server::<RegistryActor>::settings()
            .name(Arc::clone(&self.name))
            .capacity(self.queue.max(1))
            .overflow(Overflow::reject())
            .runtime(runtime.clone())
            .build()
            .expect("these settings are valid");
        let actor = server.address();
        let child = server.child(ActorArgs(Arc::clone(&books))).id(ACTOR).restart(Restart::Permanent);
        let tree = Supervisor::one_for_one()
            .name(format!("{} supervisor", self.name))
            .intensity(RESTARTS, RESTART_PERIOD)
            // It keeps nothing that could be broken when it begins again; a caller that waits for it is not to wait longer.
            .backoff(Backoff::NONE)
            .build()
            .expect("no child has no twin");
        tracing::info!(
            registry = &*self.name,
            max_concurrent_creates = max,
            queue = self.queue,
            "a registry starts"
        );
        let tasks = TaskTracker::new();
        tasks.close();
        let (cancel, life) = (CancellationToken::new(), Life::new());
        let ends = EndsBooks {
            books: Arc::clone(&books),
            actor: actor.clone(),
            cancel: cancel.clone(),
            life: Arc::clone(&life),
        };
        begin(&runtime, tree.clone(), child, ends);
        let registry = Registry(Arc::new(Inner {
            books,
            admission: Arc::new(Admission::new(max, self.retry_after)),
            actor,
            runtime,
            tasks,
            cancel,
            life,
            creations: AtomicU64::new(1),
            parent: self.parent,
            tenants: Mutex::default(),
            settings,
            tree,
        }));
        if !self.private {
            scopes::note(&registry.0.books);
        }
        registry
    }
}

/// How long an actor that was killed at the end is waited for.
const GRACE: Duration = if cfg!(shuttle) { Duration::MAX } else { Duration::from_secs(1) };

static GLOBAL: LazyLock<Registry> =
    LazyLock::new(|| Registry::builder().name("global").shared_runtime().start());

impl Registry {
    /// A registry with the default settings.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Settings to fill in.
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    /// The one registry of the process. It starts when it is first asked for, and never ends; its actor lives in the runtime
    /// that registries without a runtime share.
    pub fn global() -> &'static Self {
        &GLOBAL
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.0.books.name
    }

    /// How much it has to do: a look that does not wait.
    pub fn capacity(&self) -> Capacity {
        self.0.admission.capacity(self.queued())
    }

    /// How many creations may be under way from now on; those that are stay. Returns what it was.
    pub fn set_max_concurrent_creates(&self, max: usize) -> usize {
        let old = self.0.admission.set_max(max);
        tracing::info!(registry = self.name(), old, max, "max_concurrent_creates was changed");
        old
    }

    /// Why it has ended; `None`: it has not.
    pub fn ended(&self) -> Option<ExitReason> {
        self.0.books.ended()
    }

    /// Its actor, for operators: state verbs, traces, statistics.
    pub fn sys(&self) -> Sys<'_, RegistryActor> {
        self.0.actor.sys()
    }

    /// Its actor. It may be killed: its supervisor puts another one over the same books.
    pub fn actor(&self) -> &ServerRef<RegistryActor> {
        &self.0.actor
    }

    /// The registry in which this one is nested.
    pub fn parent(&self) -> Option<&Self> {
        self.0.parent.as_ref()
    }

    /// Whether both are one registry.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Ends it in order: nothing comes in any more, creations that are under way are aborted, every entry ends, and
    /// asynchronous clean-up is waited for, at most so long: by the clock of the runtime in which one waits, and where that has
    /// none, or outside of tokio, by that of the runtime which registries without one share.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting, not the end.
    pub async fn shutdown(&self, limit: Duration) -> RegistryReport {
        self.0.end_entries();
        self.0.settle(limit).await
    }

    /// [`Registry::shutdown`] from a plain thread, which keeps the limit by itself, whether anybody drives the registry's
    /// runtime or not.
    ///
    /// # Errors
    /// [`RegisterError::WouldBlock`] inside a runtime: nothing has been done.
    pub fn shutdown_blocking(&self, limit: Duration) -> Result<RegistryReport, RegisterError> {
        if !may_block() {
            return Err(RegisterError::WouldBlock);
        }
        let inner = &self.0;
        inner.end_entries();
        let until = std::time::Instant::now().checked_add(limit);
        // (The actor first: what it was about to begin has begun, and is waited for. Killed, it ends as soon as its runtime
        // sees to it: that is waited for, but not for ever.)
        let stopped = async {
            inner.tree.shutdown(Duration::MAX).await;
            inner.life.over().await;
        };
        if block_on_until(&mut pin!(stopped), until).is_none() {
            inner.tree.kill();
            block_on_until(&mut pin!(inner.life.over()), std::time::Instant::now().checked_add(GRACE));
        }
        block_on_until(&mut pin!(inner.tasks.wait()), until);
        block_on_until(&mut pin!(inner.books.reaper.drain(Duration::MAX)), until);
        Ok(inner.report())
    }

    /// A pause, timed by the runtime of the one who waits, or by the registry's where there is none; should that one go, it is
    /// over.
    pub(crate) async fn pause(&self, pause: Duration) {
        if Handle::try_current().is_ok() {
            return limit::sleep(pause).await;
        }
        let (mut tell, over) = oneshot::channel::<()>();
        rt::spawn(&self.0.runtime, async move {
            // It ends when the one who waits has gone.
            let gone = pin!(tell.closed());
            futures::future::select(pin!(limit::sleep(pause)), gone).await;
        });
        // No message is sent: the drop tells it.
        let _ = shield(over).await;
    }

    pub(crate) fn queued(&self) -> usize {
        usize::try_from(self.0.actor.stats().depth).unwrap_or(usize::MAX)
    }

    pub(crate) fn next_creation(&self) -> u64 {
        self.0.creations.fetch_add(1, Ordering::Relaxed)
    }
}

/// What a registry's end left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistryReport {
    /// Creations that did not end in time.
    pub creations: usize,
    /// Clean-ups that did not end in time.
    pub cleanups: usize,
    /// Whether the actor has ended.
    pub actor_stopped: bool,
}

impl RegistryReport {
    /// Whether nothing was left.
    pub fn is_clean(&self) -> bool {
        self.creations == 0 && self.cleanups == 0 && self.actor_stopped
    }
}

impl Inner {
    /// Ends it without waiting for anything.
    pub(crate) fn end(&self) {
        self.end_entries();
        self.tree.kill();
    }

    /// Nothing comes in any more, what is in goes, and creations are aborted.
    fn end_entries(&self) {
        self.books.end(&ExitReason::Shutdown, || {
            self.cancel.cancel();
            if self.life.forbid() {
                // No other thread will tell those who wait in its queue.
                self.actor.close(ExitReason::Shutdown);
            }
        });
    }

    /// Ends the actor, and waits for it and for what goes on after the registry's end, at most so long.
    async fn settle(&self, limit: Duration) -> RegistryReport {
        let mut stopped = Box::pin(self.tree.shutdown(Duration::MAX));
        // Told before anything is waited for: a caller that drops this stops the waiting, not the end. (One that is just
        // beginning hears of it when it has begun.)
        let told = futures::poll!(&mut stopped);
        let mut over = Box::pin(async {
            // The actor first: what it was about to begin has begun, and is waited for.
            if told.is_pending() {
                stopped.await;
            }
            self.life.over().await;
            self.tasks.wait().await;
            self.books.reaper.drain(Duration::MAX).await;
        });
        at_most(limit, &mut shield(&mut over)).await;
        drop(over);
        if !self.life.is_over() {
            // Killed, it ends as soon as its runtime sees to it: that is waited for, but not for ever.
            self.tree.kill();
            at_most(GRACE, &mut shield(self.life.over())).await;
        }
        self.report()
    }

    /// What is left.
    fn report(&self) -> RegistryReport {
        RegistryReport {
            creations: self.tasks.len(),
            cleanups: self.books.reaper.pending(),
            actor_stopped: self.life.is_over() && self.tree.report().abandoned.is_empty(),
        }
    }
}

/// The last handle has gone.
impl Drop for Inner {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry({}, {})", self.name(), self.0.books.sizes())
    }
}
