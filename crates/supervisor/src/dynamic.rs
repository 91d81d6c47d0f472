//! A supervisor whose children come and go, up to millions of them.
//!
//! It is the supervisor of [`crate::branch`] with other rules: one for one, no order among the children, no ids, and no
//! specification without a process. What it adds is the key by which a child is found again: the child's mailbox remembers
//! the key ([`keeper::place_of`]), so that each holder of the reference has the key.

use crate::backoff::Backoff;
use crate::child_options::{ChildId, ChildKind, ChildOptions};
use crate::child_spec::{ChildSpec, Supervise};
use crate::error::{ChildError, StartChildError};
use crate::intensity::Intensity;
use crate::supervisor::{ChildCounts, ChildInfo, Started, Supervisor, SupervisorRef};
use restante_genserver::keeper::TableKey;
use restante_genserver::{GenServer, Server, ServerRef, StartError};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A supervisor to be that starts without children, which are started and stopped one by one later.
///
/// Default: 3 restarts in 5 s, back-off from 50 ms to 1 s ([`Backoff`]), no limit to the number of children, which are
/// permanent and are given 5 s to end.
///
/// All of its children are stopped together: each is ordered to at once, and each limit that occurs among them is waited for
/// once. When another supervisor restarts it, it begins with no children.
///
/// Source: Elixir `DynamicSupervisor`. Differs: mailboxes stay over restarts; there is a back-off; `extra_arguments` are what
/// a closure captures.
///
/// ```
/// use restante_genserver::*;
/// use restante_supervisor::{DynamicSupervisor, Restart};
/// use std::time::Duration;
///
/// struct Room(Vec<String>);
/// enum Ask { Lines(Reply<usize>) }
///
/// impl GenServer for Room {
///     type Args = String;
///     type Call = Ask;
///     type Cast = String;
///     type Info = ();
///     async fn init(topic: &String, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
///         Ok(Init::ok(Room(vec![topic.clone()])))
///     }
///     async fn handle_call(&mut self, Ask::Lines(reply): Ask, _: &mut Context<Self>) -> Step {
///         reply.send(self.0.len());
///         Ok(Next::go())
///     }
///     async fn handle_cast(&mut self, line: String, _: &mut Context<Self>) -> Step {
///         self.0.push(line);
///         Ok(Next::go())
///     }
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let rooms = DynamicSupervisor::new()
///     .name("rooms")
///     .max_children(100)
///     .default_options(|options| options.restart = Restart::Transient)
///     .start()
///     .await?;
/// let lobby = rooms.start_new::<Room>("welcome".to_owned()).await?;
/// lobby.cast("good morning".to_owned())?;
/// assert_eq!(lobby.call(Ask::Lines).await?, 2);
/// assert_eq!(rooms.capacity().available, 99);
/// rooms.terminate_child(&lobby).await?;
/// assert_eq!(rooms.count_children().specs, 0);
/// assert!(rooms.as_supervisor().shutdown(Duration::from_secs(5)).await.is_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "a supervisor does nothing until it is started"]
pub struct DynamicSupervisor {
    supervisor: Supervisor,
    defaults: ChildOptions,
}

impl DynamicSupervisor {
    /// With the default settings.
    pub fn new() -> Self {
        Self { supervisor: Supervisor::dynamic(), defaults: ChildOptions::of(ChildKind::Worker) }
    }

    fn with(mut self, f: impl FnOnce(Supervisor) -> Supervisor) -> Self {
        self.supervisor = f(self.supervisor);
        self
    }

    /// A name, for people.
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        self.with(|s| s.name(name))
    }

    /// At most so many children, those that are being restarted included (default: no limit).
    pub fn max_children(self, max: usize) -> Self {
        self.with(|s| s.max_children(max))
    }

    /// At most `max` restarts in any `period`, of all children together (default: 3 in 5 s); with one more it gives up, and all
    /// its children end with it. A period of zero is refused.
    pub fn intensity(self, max: u32, period: Duration) -> Self {
        self.with(|s| s.intensity(max, period))
    }

    /// Sets the limit as a value, which may be [`Intensity::UNLIMITED`].
    pub fn with_intensity(self, intensity: Intensity) -> Self {
        self.with(|s| s.with_intensity(intensity))
    }

    /// The pause before a restart (default: see [`Backoff`]).
    pub fn backoff(self, backoff: Backoff) -> Self {
        self.with(|s| s.backoff(backoff))
    }

    /// Whether children stay when the supervisor ends and is restarted by another: their mailboxes keep what is queued, and
    /// they are started again with it, one after the other (default: no; what is queued is dead-lettered, as the mailboxes
    /// close). One that does not start then has the supervisor's start fail.
    pub fn keep_children(self, keep: bool) -> Self {
        self.with(|s| s.keep_children(keep))
    }

    /// The options of children that are started by [`DynamicRef::start`] and [`DynamicRef::start_new`] (default: permanent, 5 s
    /// to end).
    ///
    /// A child that comes as a [`ChildSpec`] has its own; [`DynamicRef::spec`] makes one with these.
    pub fn default_options(mut self, set: impl FnOnce(&mut ChildOptions)) -> Self {
        set(&mut self.defaults);
        self
    }

    /// What the jitter of back-offs is made from (default: chance).
    pub fn seed(self, seed: u64) -> Self {
        self.with(|s| s.seed(seed))
    }

    /// How long a killed child may take to end before it is abandoned (default 1 s).
    pub fn abandon_after(self, grace: Duration) -> Self {
        self.with(|s| s.abandon_after(grace))
    }

    /// Makes the supervisor without starting it: it has an address, and can be the child of another.
    ///
    /// Settings or default options that make no sense are told of when it is to start, with the
    /// [`SpecError`](crate::SpecError) in the reason, and by the supervisor that it is offered to.
    pub fn build(self) -> DynamicRef {
        let supervisor = self.supervisor.make_empty(&self.defaults);
        DynamicRef { supervisor, defaults: Arc::new(self.defaults) }
    }

    /// Makes the supervisor, and of it a child to be.
    pub fn into_child(self, id: impl Into<ChildId>) -> (DynamicRef, ChildSpec) {
        let dynamic = self.build();
        let spec = dynamic.supervisor.child(id);
        (dynamic, spec)
    }

    /// Starts it, without a supervisor above it. It then lives until it is stopped, gives up or its runtime ends, whether
    /// or not its reference is held.
    ///
    /// # Errors
    /// [`StartError::NoRuntime`]; [`StartError::Failed`] where a setting or a default option makes no sense: a
    /// [`SpecError`](crate::SpecError) lies in the reason.
    ///
    /// # Cancel safety
    /// Dropping the future before it is up stops it.
    pub async fn start(self) -> Result<DynamicRef, StartError> {
        let dynamic = self.build();
        dynamic.supervisor.start().await?;
        Ok(dynamic)
    }
}

impl Default for DynamicSupervisor {
    fn default() -> Self {
        Self::new()
    }
}

/// Names a child of one supervisor for good: over all its incarnations, and never another after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChildKey(pub(crate) TableKey);

impl fmt::Display for ChildKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0.key)
    }
}

/// How many children there are, and how many more there may be. See [`DynamicRef::capacity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capacity {
    /// In the table, those that are being restarted or stopped included.
    pub active: usize,
    /// The limit; `usize::MAX`: none.
    pub max: usize,
    /// How many more may be started, if no other caller starts any.
    pub available: usize,
}

/// Refers to a dynamic supervisor, over all its incarnations. Cheap to clone.
#[derive(Clone)]
pub struct DynamicRef {
    supervisor: SupervisorRef,
    defaults: Arc<ChildOptions>,
}

/// Children.
impl DynamicRef {
    /// Starts a child of any kind, and waits for its `init`. Others are started and stopped meanwhile.
    ///
    /// Its id is for people only: any number of children may have the same.
    ///
    /// # Errors
    /// [`StartChildError`]: [`MaxChildren`](StartChildError::MaxChildren) says how many there are and may be;
    /// [`Start`](StartChildError::Start) says why its `init` came to nothing, [`StartError::Ignored`] included, and its
    /// mailbox closes. In no case is there such a child. One that is refused is as it was before (see [`ChildSpec`]).
    ///
    /// # Cancel safety
    /// Dropping the future before the child is up kills it and takes it out of the table.
    pub async fn start_child(&self, spec: ChildSpec) -> Result<ChildKey, StartChildError> {
        match self.supervisor.insert_and_start(spec).await? {
            (key, Started::Running) => Ok(self.key(key)),
            (_, Started::Ignored) => Err(StartError::Ignored.into()),
        }
    }

    /// Starts a server in front of a mailbox, with the default options ([`DynamicSupervisor::default_options`]). The reference
    /// is that of the mailbox.
    ///
    /// # Errors
    /// As [`DynamicRef::start_child`].
    ///
    /// # Cancel safety
    /// As [`DynamicRef::start_child`].
    pub async fn start<S: GenServer>(
        &self,
        server: Server<S>,
        args: S::Args,
    ) -> Result<ServerRef<S>, StartChildError> {
        let address = server.address();
        self.start_child(self.spec(server, args)).await?;
        Ok(address)
    }

    /// Starts a server with a new mailbox, whose settings are the default ones.
    ///
    /// # Errors
    /// As [`DynamicRef::start_child`].
    ///
    /// # Cancel safety
    /// As [`DynamicRef::start_child`].
    pub async fn start_new<S: GenServer>(&self, args: S::Args) -> Result<ServerRef<S>, StartChildError> {
        let server = Server::settings().build().map_err(StartError::from)?;
        self.start(server, args).await
    }

    /// The specification of a server with the default options, to be changed and given to [`DynamicRef::start_child`].
    pub fn spec<S: GenServer>(&self, server: Server<S>, args: S::Args) -> ChildSpec {
        let mut spec = server.child(args);
        spec.options = (*self.defaults).clone();
        spec
    }

    /// The key of a server that is a child here, whatever it is doing.
    pub fn key_of<S: GenServer>(&self, server: &ServerRef<S>) -> Option<ChildKey> {
        self.supervisor.key_of(server)
    }

    /// Stops a child, within its own limit, and takes it out of the table; its mailbox closes. One that is being restarted, or
    /// waits for that, is not started again.
    ///
    /// # Errors
    /// [`ChildError::NotFound`]: it is no child here, or no longer. [`ChildError::Abandoned`]: it does not end even though it
    /// was killed; it leaves the table when it does. [`ChildError::Cycle`], and nothing is ordered, in a handler of that very
    /// child, or of a server that the child waits for.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting; the child ends all the same.
    pub async fn terminate_child<S: GenServer>(&self, server: &ServerRef<S>) -> Result<(), ChildError> {
        let key = self.key_of(server).ok_or(ChildError::NotFound)?;
        self.terminate(key).await
    }

    /// Tells a child to end as [`DynamicRef::terminate_child`] does, and waits for nothing: a child's own handler may ask for
    /// it, and is obeyed once it has returned.
    ///
    /// # Errors
    /// [`ChildError::NotFound`]; [`ChildError::Down`] when the supervisor's runtime has shut down.
    pub fn request_stop_child<S: GenServer>(&self, server: &ServerRef<S>) -> Result<(), ChildError> {
        let key = self.key_of(server).ok_or(ChildError::NotFound)?;
        self.supervisor.begin_terminate(key.0.key).map(drop)
    }

    /// Stops a child, like [`DynamicRef::terminate_child`], by its key.
    ///
    /// # Errors
    /// As [`DynamicRef::terminate_child`].
    ///
    /// # Cancel safety
    /// As [`DynamicRef::terminate_child`].
    pub async fn terminate(&self, key: ChildKey) -> Result<(), ChildError> {
        self.supervisor.terminate(key).await
    }

    /// All children, the one started last first. Reads the table, and waits for nothing; takes time, and holds up starts and
    /// ends, in proportion to their number.
    pub fn which_children(&self) -> Vec<ChildInfo> {
        self.supervisor.which_children()
    }

    /// How many there are. Takes the same time however many there are.
    pub fn count_children(&self) -> ChildCounts {
        self.supervisor.count_children()
    }

    /// How many there are, and how many more there may be. Takes the same time however many there are. What it says may be
    /// over by the time it is read: a start has the last word.
    pub fn capacity(&self) -> Capacity {
        let locked = self.supervisor.branch.lock();
        let (active, max) = (locked.rules.children.len(), locked.rules.settings.max_children);
        Capacity { active, max, available: max.saturating_sub(active) }
    }

    /// The supervisor as one among others: its life, its place in a tree, its counters.
    pub fn as_supervisor(&self) -> &SupervisorRef {
        &self.supervisor
    }

    fn key(&self, key: u64) -> ChildKey {
        ChildKey(TableKey { table: self.supervisor.branch.serial, key })
    }
}

impl fmt::Debug for DynamicRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DynamicRef({})", self.supervisor.name().unwrap_or("-"))
    }
}
