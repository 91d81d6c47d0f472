//! Several servers of one kind, and a rule that says which of them a key belongs to.
//!
//! ```text
//!              of(key)                          resize(n)
//!                 │ |key| or hash, mod n            │ starts, stops, then or before: n
//!                 v                                 v
//!   table:   [ 0 ][ 1 ] … [n-1] │ [ n ] …      made once each, never moved, never taken out
//!             switched on          switched off
//! ```
//!
//! The table only grows, so a reader needs no lock and no guard: it reads how many are switched on, and is lent what lies
//! at the place. A caller that resizes waits for the others that resize, and with each of them for the partitions whose end
//! or start that one waits for: a handler of one of these hears of the ring ([`Turn`]).
//!
//! What deliberately does not live here: starting, restarting, stopping. That is a `one_for_one` supervisor's, of which each
//! partition is a permanent child.

use crate::backoff::Backoff;
use crate::child::Child;
use crate::child_options::{ChildId, Shutdown};
use crate::child_spec::{ChildSpec, Supervise};
use crate::dynamic::{DynamicRef, DynamicSupervisor};
use crate::error::{ChildError, SpecError, StartChildError};
use crate::intensity::Intensity;
use crate::nursery::apart;
use crate::route::partition_of;
use crate::rows::Rows;
use crate::supervisor::{Supervisor, SupervisorRef};
use crate::waits::Resizing;
use futures::future::join_all;
use restante_core::SettingsError;
use restante_core::shield::shield;
use restante_genserver::cycle::{Ends, Path, Turn, is_in_handler};
use restante_genserver::{GenServer, Server, ServerRef, ServerSettings, StartError};
use std::fmt;
use std::hash::Hash;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What there can be partitions of: a server, or a [`DynamicSupervisor`] (where one is a bottleneck).
///
/// No other crate can add to that.
pub trait Partition: sealed::Sealed + 'static {
    /// How one of them is referred to.
    type Ref: Clone + Send + Sync + 'static;
}

mod sealed {
    pub trait Sealed {}
    impl<S: restante_genserver::GenServer> Sealed for S {}
    impl Sealed for super::DynamicSupervisor {}
}

impl<S: GenServer> Partition for S {
    type Ref = ServerRef<S>;
}

impl Partition for DynamicSupervisor {
    type Ref = DynamicRef;
}

/// Makes a partition, which has not been started yet.
type Make<R> = Box<dyn Fn(usize) -> Result<(R, ChildSpec), SettingsError> + Send + Sync>;

/// A supervisor to be, of several partitions of the same kind, among which keys are distributed.
///
/// Default: as many partitions as threads can run at once; 3 restarts in 5 s, back-off from 50 ms to 1 s ([`Backoff`]). A
/// partition that crashes is restarted by itself, over its mailbox; the others do not notice.
///
/// Source: Elixir `PartitionSupervisor`. Differs: it can grow beyond what it started with; a partition that is switched off
/// keeps its mailbox.
///
/// ```
/// use restante_genserver::*;
/// use restante_supervisor::PartitionSupervisor;
/// use std::collections::HashMap;
///
/// /// Counts words. Each partition has words of its own.
/// struct Words(HashMap<String, u64>);
/// enum Ask { Count(String, Reply<u64>) }
///
/// impl GenServer for Words {
///     type Args = usize;
///     type Call = Ask;
///     type Cast = String;
///     type Info = ();
///     async fn init(_partition: &usize, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
///         Ok(Init::ok(Words(HashMap::new())))
///     }
///     async fn handle_call(&mut self, Ask::Count(word, reply): Ask, _: &mut Context<Self>) -> Step {
///         reply.send(self.0.get(&word).copied().unwrap_or(0));
///         Ok(Next::go())
///     }
///     async fn handle_cast(&mut self, word: String, _: &mut Context<Self>) -> Step {
///         *self.0.entry(word).or_default() += 1;
///         Ok(Next::go())
///     }
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let words = PartitionSupervisor::<Words>::new(|partition| partition).partitions(4).start().await?;
/// for word in "the cat and the hat".split(' ') {
///     words.of(word)?.cast(word.to_owned())?;
/// }
/// assert_eq!(words.of("the")?.call(|reply| Ask::Count("the".to_owned(), reply)).await?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[must_use = "a supervisor does nothing until it is started"]
pub struct PartitionSupervisor<P: Partition> {
    supervisor: Supervisor,
    partitions: Option<usize>,
    shutdown: Option<Shutdown>,
    make: Make<P::Ref>,
}

impl<S: GenServer> PartitionSupervisor<S> {
    /// Of servers that are given these arguments, with mailboxes of the default settings. Partitions count from 0.
    pub fn new(with_args: impl Fn(usize) -> S::Args + Send + Sync + 'static) -> Self {
        Self::with_settings(|_| Server::settings(), with_args)
    }

    /// Of servers that are given these arguments, with mailboxes of these settings.
    pub fn with_settings(
        settings: impl Fn(usize) -> ServerSettings<S> + Send + Sync + 'static,
        with_args: impl Fn(usize) -> S::Args + Send + Sync + 'static,
    ) -> Self {
        Self::made_by(Box::new(move |partition| {
            let server = settings(partition).build()?;
            Ok((server.address(), server.child(with_args(partition)).id(id(partition))))
        }))
    }
}

impl PartitionSupervisor<DynamicSupervisor> {
    /// Of dynamic supervisors: where children are started faster than one supervisor's table lets them in.
    pub fn dynamic(make: impl Fn(usize) -> DynamicSupervisor + Send + Sync + 'static) -> Self {
        Self::made_by(Box::new(move |partition| Ok(make(partition).into_child(id(partition)))))
    }
}

/// What a partition is called in its supervisor.
fn id(partition: usize) -> ChildId {
    ChildId::from(partition.to_string())
}

impl<P: Partition> PartitionSupervisor<P> {
    fn made_by(make: Make<P::Ref>) -> Self {
        // What has been added by a resize stays over a restart of the supervisor: it is referred to.
        let supervisor = Supervisor::one_for_one().keep_children(true);
        Self { supervisor, partitions: None, shutdown: None, make }
    }

    fn with(mut self, f: impl FnOnce(Supervisor) -> Supervisor) -> Self {
        self.supervisor = f(self.supervisor);
        self
    }

    /// How many to begin with, at least one (default: [`std::thread::available_parallelism`]).
    pub fn partitions(mut self, partitions: usize) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// How a partition is ended (default: servers 5 s, dynamic supervisors infinity).
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = Some(shutdown);
        self
    }

    /// A name, for people.
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        self.with(|s| s.name(name))
    }

    /// At most `max` restarts in any `period`, of all partitions together (default: 3 in 5 s). A period of zero is
    /// refused.
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

    /// What the jitter of back-offs is made from (default: chance).
    pub fn seed(self, seed: u64) -> Self {
        self.with(|s| s.seed(seed))
    }

    /// How long a killed partition may take to end before it is abandoned (default 1 s).
    pub fn abandon_after(self, grace: Duration) -> Self {
        self.with(|s| s.abandon_after(grace))
    }

    /// Makes the supervisor and its partitions without starting them: they can be sent to, and it can be the child of another.
    ///
    /// # Errors
    /// [`PartitionError::NoPartitions`], [`PartitionError::Settings`], [`PartitionError::Spec`].
    pub fn build(self) -> Result<PartitionRef<P>, PartitionError> {
        let partitions =
            self.partitions.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get));
        if partitions == 0 {
            return Err(PartitionError::NoPartitions);
        }
        let table = Rows::new();
        let mut supervisor = self.supervisor;
        for partition in 0..partitions {
            let (made, spec) =
                (self.make)(partition).map_err(|error| PartitionError::Settings { partition, error })?;
            table.put(partition, made);
            supervisor = supervisor.child(ended_by(spec, self.shutdown));
        }
        let supervisor = supervisor.build()?;
        let on = AtomicUsize::new(partitions);
        let made = tokio::sync::Mutex::new(Made { count: partitions, unfinished: false });
        let turn = Turn::new("resize");
        let shared = Shared { supervisor, table, on, make: self.make, shutdown: self.shutdown, made, turn };
        Ok(PartitionRef { shared: Arc::new(shared) })
    }

    /// Makes the supervisor, and of it a child to be.
    ///
    /// # Errors
    /// As [`PartitionSupervisor::build`].
    pub fn into_child(self, id: impl Into<ChildId>) -> Result<(PartitionRef<P>, ChildSpec), PartitionError> {
        let partitions = self.build()?;
        let spec = partitions.shared.supervisor.child(id);
        Ok((partitions, spec))
    }

    /// Starts it, without a supervisor above it: all partitions, in order.
    ///
    /// # Errors
    /// [`PartitionError`].
    ///
    /// # Cancel safety
    /// Dropping the future before all are up stops those that are.
    pub async fn start(self) -> Result<PartitionRef<P>, PartitionError> {
        let partitions = self.build()?;
        partitions.shared.supervisor.start().await?;
        Ok(partitions)
    }
}

fn ended_by(spec: ChildSpec, shutdown: Option<Shutdown>) -> ChildSpec {
    match shutdown {
        Some(shutdown) => spec.shutdown(shutdown),
        None => spec,
    }
}

impl<P: Partition> fmt::Debug for PartitionSupervisor<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionSupervisor")
            .field("supervisor", &self.supervisor)
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

/// Why partitions did not start.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PartitionError {
    /// There must be one at least to begin with.
    #[error("there are to be no partitions")]
    NoPartitions,
    /// A partition's settings make no mailbox. Nothing was started.
    #[error("partition {partition} has no sound settings: {error}")]
    Settings {
        /// Which.
        partition: usize,
        /// Why.
        #[source]
        error: SettingsError,
    },
    /// A limit or a back-off makes no sense. Nothing was started.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The supervisor did not start; those partitions that had, have been stopped again.
    #[error("the partitions did not start: {0}")]
    Start(#[from] StartError),
}

impl PartitionError {
    /// Whether what was to be started, or to run it, is gone ([`StartError::is_gone`]).
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Start(error) => error.is_gone(),
            Self::NoPartitions | Self::Settings { .. } | Self::Spec(_) => false,
        }
    }
}

/// All partitions are switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are no partitions")]
pub struct NoPartitions;

impl NoPartitions {
    /// Whether what was addressed is gone. Always: no partition is there. There may be some again.
    pub fn is_gone(&self) -> bool {
        true
    }
}

/// Why there are not as many partitions as there should be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResizeError {
    /// A partition did not start. Those that had are switched off again: there are as many as before.
    #[error("partition {partition} did not start: {error}")]
    Start {
        /// Which.
        partition: usize,
        /// Why.
        #[source]
        error: StartError,
    },
    /// A partition makes no sense: a dynamic supervisor with settings that do not. There are as many as before.
    #[error("partition {partition} makes no sense: {error}")]
    Spec {
        /// Which.
        partition: usize,
        /// Why.
        #[source]
        error: SpecError,
    },
    /// A partition did not end, not even killed. (There are as many as there should be, when there were to be fewer.)
    #[error("partition {partition} does not end")]
    Abandoned {
        /// Which.
        partition: usize,
    },
    /// The supervisor is not running, or is about to end.
    #[error("the supervisor is not running")]
    Down,
    /// A handler would wait for the end, or the start, of its own partition or of one that waits for it, be it this call's
    /// doing or that of a resize that is under way. Nothing was ordered.
    #[error("the wait would close a ring of waiting servers: {path}")]
    Cycle {
        /// The ring.
        path: Path,
    },
}

impl ResizeError {
    /// Whether what was addressed is gone: the supervisor ([`Down`](Self::Down)), or a partition, as its start
    /// said ([`StartError::is_gone`]).
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Down => true,
            Self::Start { error, .. } => error.is_gone(),
            Self::Spec { .. } | Self::Abandoned { .. } | Self::Cycle { .. } => false,
        }
    }
}

/// Refers to the partitions of a [`PartitionSupervisor`], over all their incarnations. Cheap to clone.
pub struct PartitionRef<P: Partition> {
    shared: Arc<Shared<P::Ref>>,
}

struct Shared<R> {
    supervisor: SupervisorRef,
    table: Rows<R>,
    /// How many of the table are switched on: no more than have been put there. A reader of this count (acquire) finds
    /// those, as they were put there before it was written (release).
    on: AtomicUsize,
    make: Make<R>,
    shutdown: Option<Shutdown>,
    /// Held by the caller that resizes.
    made: tokio::sync::Mutex<Made>,
    /// What a handler that waits for that lock waits for.
    turn: Turn,
}

struct Made {
    /// How many there are, switched on or off.
    count: usize,
    /// A resize was given up half-way.
    unfinished: bool,
}

impl<P: Partition> PartitionRef<P> {
    /// The partition that this key belongs to.
    ///
    /// A key that hashes as one integer (any integer, a `struct` of one) belongs to partition |key| mod [`len`](Self::len); any
    /// other to that of its hash. The same key belongs to the same partition as long as the number of partitions and the
    /// program stay the same; do not write it down. Takes no lock and allocates nothing.
    ///
    /// # Errors
    /// [`NoPartitions`]: all are switched off.
    pub fn of(&self, key: impl Hash) -> Result<P::Ref, NoPartitions> {
        self.of_ref(key).cloned()
    }

    /// Lends the reference of the partition that this key belongs to.
    ///
    /// # Errors
    /// As [`PartitionRef::of`].
    pub fn of_ref(&self, key: impl Hash) -> Result<&P::Ref, NoPartitions> {
        let partitions = self.len();
        if partitions == 0 {
            return Err(NoPartitions);
        }
        Ok(self.shared.get(partition_of(&key, partitions)))
    }

    /// Those that are switched on, in order.
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = &P::Ref> {
        (0..self.len()).map(|partition| self.shared.get(partition))
    }

    /// How many are switched on.
    pub fn len(&self) -> usize {
        self.shared.on.load(Ordering::Acquire)
    }

    /// Whether all are switched off.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has so many partitions from now on; how many there were. Keys are distributed among them anew.
    ///
    /// Surplus partitions are first cut off from new look-ups, the last first, then stopped, together, each within its
    /// limit. They are *switched off*: the mailbox stays and takes what the holders of a reference send to it; what is
    /// queued waits until the partition is switched on again, or is dead-lettered when the supervisor ends. Missing
    /// partitions are started, in order, over the mailboxes that are there or else new ones; look-ups find them when all of
    /// them are up.
    ///
    /// State does not move with the keys: that is for the servers to see to.
    ///
    /// # Errors
    /// [`ResizeError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves some partitions running that are switched off, or switched off ones not yet started. A
    /// further call, with any number, puts that right.
    pub async fn resize(&self, partitions: usize) -> Result<usize, ResizeError> {
        let shared = &*self.shared;
        let cycle = |path| ResizeError::Cycle { path };
        // The guard's drop wakes the next who waits, whose waker is not ours.
        let mut made = shared.turn.wait(shield(shared.made.lock())).await.map_err(cycle)?;
        if !shared.supervisor.is_alive() {
            return Err(ResizeError::Down);
        }
        let before = self.len();
        let concerned = before.min(partitions)..made.count + 1;
        let mut resizing = Resizing::new(&shared.supervisor.branch, &shared.turn);
        resizing.waits_for(&shared.children(concerned.clone()));
        let _waits = shared.waits(concerned)?;
        if std::mem::replace(&mut made.unfinished, true) {
            // One that is still being stopped would pass for one that runs; and there may be one more, whose start was given
            // up before it counted.
            shared.switch_off(before..made.count + 1).await?;
        }
        for partition in before..partitions {
            if let Err(error) = shared.switch_on(partition, &mut made, &mut resizing).await {
                shared.switch_off(before..made.count).await?;
                made.unfinished = false;
                return Err(error);
            }
        }
        shared.on.store(partitions, Ordering::Release);
        shared.switch_off(partitions..made.count).await?;
        made.unfinished = false;
        Ok(before)
    }

    /// The supervisor as one among others: its life, its place in a tree, its counters. The ids of its children are the
    /// partitions' numbers.
    pub fn as_supervisor(&self) -> &SupervisorRef {
        &self.shared.supervisor
    }
}

impl<R> Shared<R> {
    /// One that is, or was, switched on.
    fn get(&self, partition: usize) -> &R {
        self.table.get(partition).expect("a partition is made before it is switched on")
    }

    /// Has a partition running.
    async fn switch_on(
        &self,
        partition: usize,
        made: &mut Made,
        resizing: &mut Resizing,
    ) -> Result<(), ResizeError> {
        let failed = |error| ResizeError::Start { partition, error };
        if partition < made.count {
            return match self.supervisor.restart_child(id(partition).as_str()).await {
                Ok(_) | Err(ChildError::Running | ChildError::Restarting) => Ok(()),
                Err(ChildError::Start(error)) => Err(failed(error)),
                Err(ChildError::Abandoned) => Err(ResizeError::Abandoned { partition }),
                Err(ChildError::Down) => Err(ResizeError::Down),
                Err(ChildError::Cycle { path }) => Err(ResizeError::Cycle { path }),
                // A caller has deleted it by hand.
                Err(ChildError::NotFound) => Err(failed(StartError::Closed)),
            };
        }
        let (reference, spec) = (self.make)(partition).map_err(|error| failed(error.into()))?;
        resizing.waits_for(std::slice::from_ref(&spec.child));
        // For all who use the partitions: a creation that grows them and comes to nothing takes none away.
        match apart(self.supervisor.start_child(ended_by(spec, self.shutdown))).await {
            Ok(_) => {}
            Err(StartChildError::Start(error)) => return Err(failed(error)),
            Err(StartChildError::Spec(error)) => return Err(ResizeError::Spec { partition, error }),
            // Its id is new, its mailbox is no other's, and there is no limit.
            Err(_) => return Err(ResizeError::Down),
        }
        self.table.put(partition, reference);
        made.count += 1;
        Ok(())
    }

    /// These partitions, as far as they are there.
    fn children(&self, partitions: std::ops::Range<usize>) -> Vec<Arc<dyn Child>> {
        let locked = self.supervisor.branch.lock();
        let keys = partitions.filter_map(|partition| locked.rules.key_of(id(partition).as_str()));
        keys.filter_map(|key| locked.rules.get(key)).map(|entry| Arc::clone(&entry.child)).collect()
    }

    /// The handler that runs here, if one does, begins to wait for these partitions, those that run and those that do not.
    fn waits(&self, partitions: std::ops::Range<usize>) -> Result<Option<Ends>, ResizeError> {
        let branch = &self.supervisor.branch;
        if !is_in_handler() {
            return Ok(None);
        }
        let keys: Vec<u64> = {
            let locked = branch.lock();
            partitions.filter_map(|partition| locked.rules.key_of(id(partition).as_str())).collect()
        };
        branch.wait_for_children(&keys).map_err(|path| ResizeError::Cycle { path })
    }

    /// Stops partitions, together.
    async fn switch_off(&self, partitions: std::ops::Range<usize>) -> Result<(), ResizeError> {
        let ends = partitions.rev().map(|partition| async move {
            match self.supervisor.switch_off(id(partition).as_str()).await {
                Err(ChildError::Abandoned) => Err(ResizeError::Abandoned { partition }),
                Err(ChildError::Down) => Err(ResizeError::Down),
                _ => Ok(()),
            }
        });
        // Behind one shield: each of these ends would hold, and drop, a waker of its own.
        shield(join_all(ends)).await.into_iter().collect()
    }
}

impl<P: Partition> Clone for PartitionRef<P> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<P: Partition> fmt::Debug for PartitionRef<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionRef({}; {})", self.shared.supervisor.name().unwrap_or("-"), self.len())
    }
}
