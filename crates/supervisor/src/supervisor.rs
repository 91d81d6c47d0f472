//! What one writes to have a supervisor, and what one holds of it.

use crate::backoff::Backoff;
use crate::branch::Branch;
use crate::child::Child;
use crate::child_spec::{ChildId, ChildKind, ChildOptions, ChildSpec};
use crate::dynamic::ChildKey;
use crate::intensity::Intensity;
use crate::perform;
use crate::restart::Restart;
use crate::rules::{AddError, Entry, Life, Settings, State};
use crate::shutdown::ShutdownReport;
use crate::strategy::{AutoShutdown, Strategy};
use restante_core::{Exit, ExitReason, Ledger};
use restante_genserver::StartError;
use restante_genserver::keeper::Place;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a killed child may take to end before it is abandoned, unless told otherwise.
const GRACE: Duration = Duration::from_secs(1);

/// A supervisor to be: its settings, and the children that it starts with.
///
/// Default: one for one, 3 restarts in 5 s, back-off from 50 ms to 5 s, no automatic shutdown.
///
/// Source: OTP `supervisor`. Differs: mailboxes stay over restarts; there is a back-off; times are in milliseconds.
#[derive(Debug)]
#[must_use = "a supervisor does nothing until it is started"]
pub struct Supervisor {
    name: Option<Arc<str>>,
    settings: Settings,
    children: Vec<ChildSpec>,
    seed: Option<u64>,
    grace: Duration,
}

impl Supervisor {
    /// With this strategy.
    pub fn new(strategy: Strategy) -> Self {
        let settings = Settings {
            strategy,
            intensity: Intensity::default(),
            backoff: Backoff::default(),
            auto_shutdown: AutoShutdown::Never,
            dynamic: false,
            max_children: usize::MAX,
            keep_children: false,
        };
        Self { name: None, settings, children: Vec::new(), seed: None, grace: GRACE }
    }

    /// [`Strategy::OneForOne`].
    pub fn one_for_one() -> Self {
        Self::new(Strategy::OneForOne)
    }

    /// [`Strategy::OneForAll`].
    pub fn one_for_all() -> Self {
        Self::new(Strategy::OneForAll)
    }

    /// [`Strategy::RestForOne`].
    pub fn rest_for_one() -> Self {
        Self::new(Strategy::RestForOne)
    }

    /// For children that come and go: see [`DynamicSupervisor`](crate::DynamicSupervisor).
    pub(crate) fn dynamic() -> Self {
        let mut this = Self::one_for_one();
        this.settings.dynamic = true;
        this
    }

    /// See [`DynamicSupervisor::max_children`](crate::DynamicSupervisor::max_children).
    pub(crate) fn max_children(mut self, max: usize) -> Self {
        self.settings.max_children = max;
        self
    }

    /// A name, for people.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// At most `max` restarts in any `period` (default: 3 in 5 s); with one more it gives up.
    pub fn intensity(self, max: u32, period: Duration) -> Self {
        self.with_intensity(Intensity::new(max, period))
    }

    /// The same as a value, [`Intensity::UNLIMITED`] among them.
    pub fn with_intensity(mut self, intensity: Intensity) -> Self {
        self.settings.intensity = intensity;
        self
    }

    /// The pause before a restart (default: see [`Backoff`]).
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// Whether it ends when significant children have (default: never).
    pub fn auto_shutdown(mut self, when: AutoShutdown) -> Self {
        self.settings.auto_shutdown = when;
        self
    }

    /// Whether children that were added later ([`SupervisorRef::start_child`]) stay in the table when the supervisor ends and
    /// is restarted by another (default: no; they are gone for good then, as in OTP).
    pub fn keep_children(mut self, keep: bool) -> Self {
        self.settings.keep_children = keep;
        self
    }

    /// What the jitter of back-offs is made from (default: chance).
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How long a killed child may take to end before it is abandoned (default 1 s).
    pub fn abandon_after(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// One more child, started after those before it.
    pub fn child(mut self, spec: ChildSpec) -> Self {
        self.children.push(spec);
        self
    }

    /// Makes the supervisor without starting it: it has an address, and can be the child of another.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn build(self) -> Result<SupervisorRef, SpecError> {
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        let when = self.settings.auto_shutdown;
        let branch = Branch::new(self.name, self.settings, seed, self.grace);
        for spec in self.children {
            check(&spec, when, false)?;
            let id = spec.id.clone();
            branch.add(spec, false).map_err(|e| match e {
                AddError::Taken { .. } => SpecError::DuplicateId(id),
                _ => SpecError::Supervised(id),
            })?;
        }
        Ok(SupervisorRef { branch })
    }

    /// Makes the supervisor a child to be.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn into_child(self, id: impl Into<ChildId>) -> Result<ChildSpec, SpecError> {
        Ok(self.build()?.child(id))
    }

    /// Starts it, with nobody above it: all children, in order, each when the one before has returned from `init`. When one
    /// fails, those before it are stopped again, in reverse. It then lives until it is stopped, gives up or its runtime ends,
    /// whether or not anybody holds its reference.
    ///
    /// # Errors
    /// [`TreeError`].
    ///
    /// # Cancel safety
    /// Dropping the future before all are up stops those that are.
    pub async fn start(self) -> Result<SupervisorRef, TreeError> {
        let supervisor = self.build()?;
        supervisor.start().await?;
        Ok(supervisor)
    }
}

/// Whether a child makes sense under such a supervisor.
pub(crate) fn check(spec: &ChildSpec, when: AutoShutdown, dynamic: bool) -> Result<(), SpecError> {
    check_options(&spec.id, &spec.options, when, dynamic)
}

pub(crate) fn check_options(
    id: &ChildId,
    options: &ChildOptions,
    when: AutoShutdown,
    dynamic: bool,
) -> Result<(), SpecError> {
    if options.significant && options.restart == Restart::Permanent {
        return Err(SpecError::SignificantPermanent(id.clone()));
    }
    if options.significant && (when == AutoShutdown::Never || dynamic) {
        return Err(SpecError::SignificantNever(id.clone()));
    }
    Ok(())
}

/// A specification that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Two children have this id.
    #[error("two children have the id {0}")]
    DuplicateId(ChildId),
    /// It is restarted whatever its end, so its end can end nothing else.
    #[error("child {0} is permanent, so it cannot be significant")]
    SignificantPermanent(ChildId),
    /// The supervisor does not end with its children.
    #[error("child {0} is significant, but its supervisor never ends by itself")]
    SignificantNever(ChildId),
    /// The mailbox, or the supervisor, has a supervisor already.
    #[error("child {0} has a supervisor already")]
    Supervised(ChildId),
}

/// Why a tree did not start.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A specification makes no sense. Nothing was started.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A child did not start ([`ChildNotStarted`](crate::ChildNotStarted) lies in the reason), or something else ended the start.
    #[error("the supervisor did not start: {0}")]
    Start(#[from] StartError),
}

/// Refers to a supervisor, over all its incarnations. Cheap to clone.
#[derive(Clone)]
pub struct SupervisorRef {
    pub(crate) branch: Arc<Branch>,
}

/// What a child is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum ChildState {
    /// No process; its specification stays.
    Stopped,
    /// In `init`, for the first time or by hand.
    Starting,
    /// It reads its mailbox.
    Running,
    /// It has crashed, or its group has, and is about to read its mailbox again.
    Restarting,
    /// It was told to end.
    Stopping,
    /// It was killed, and does not end.
    Abandoned,
}

/// One child, as [`SupervisorRef::which_children`] shows it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChildInfo {
    /// Its key in this supervisor's table, never used again.
    pub key: ChildKey,
    /// Its id; where it has none, the name of its mailbox; else its number.
    pub id: ChildId,
    /// Worker or supervisor.
    pub kind: ChildKind,
    /// What it is doing.
    pub state: ChildState,
    /// The type of server that it is.
    pub type_name: &'static str,
    /// How often its own end had it restarted.
    pub restarts: u64,
    /// Its present incarnation, or its last; 0: none yet.
    pub incarnation: u32,
    /// How its last incarnation ended.
    pub last_exit: Option<Exit>,
}

/// How many children there are. (OTP: `count_children`.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ChildCounts {
    /// In the table.
    pub specs: usize,
    /// With a process, one in `init` for the first time included; not those that are being restarted.
    pub active: usize,
    /// Supervisors in the table.
    pub supervisors: usize,
    /// Others in the table.
    pub workers: usize,
}

/// How a start by hand went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It runs.
    Running,
    /// Its `init` had nothing to serve. The specification stays without a process, unless the child is temporary or its supervisor a dynamic one.
    Ignored,
}

/// Why a child was not started.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StartChildError {
    /// A child with this id is running, or is about to.
    #[error("child {0} is running already")]
    AlreadyStarted(ChildId),
    /// A child with this id is there and stopped: [`SupervisorRef::restart_child`] starts it.
    #[error("child {0} is there already, stopped")]
    AlreadyPresent(ChildId),
    /// The table is full.
    #[error("the supervisor has {active} children of at most {max}")]
    MaxChildren {
        /// In the table, those being restarted included.
        active: usize,
        /// The limit.
        max: usize,
    },
    /// The specification makes no sense.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// It did not start. The specification is gone.
    #[error("the child did not start: {0}")]
    Start(#[from] StartError),
    /// The supervisor is not running, or is about to end.
    #[error("the supervisor is not running")]
    Down,
}

/// Why something could not be done to a child.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// There is no such child.
    #[error("no such child")]
    NotFound,
    /// It is running.
    #[error("the child is running")]
    Running,
    /// It is being restarted.
    #[error("the child is being restarted")]
    Restarting,
    /// It does not end, not even killed.
    #[error("the child does not end")]
    Abandoned,
    /// It did not start; its specification stays.
    #[error("the child did not start: {0}")]
    Start(#[from] StartError),
    /// The supervisor is not running, or is about to end.
    #[error("the supervisor is not running")]
    Down,
}

/// Children.
impl SupervisorRef {
    /// Adds a child and starts it, beside whatever else is going on; in the supervisor's runtime, wherever this is called.
    ///
    /// # Errors
    /// [`StartChildError`]. When the child does not start, its specification goes and its mailbox closes.
    ///
    /// # Cancel safety
    /// Dropping the future before the child is up kills it and takes it out of the table.
    pub async fn start_child(&self, spec: ChildSpec) -> Result<Started, StartChildError> {
        self.insert_and_start(spec).await.map(|(_, started)| started)
    }

    pub(crate) async fn insert_and_start(&self, spec: ChildSpec) -> Result<(u64, Started), StartChildError> {
        let branch = &self.branch;
        let (when, dynamic, max) = {
            let settings = &branch.desk().rules.settings;
            (settings.auto_shutdown, settings.dynamic, settings.max_children)
        };
        check(&spec, when, dynamic)?;
        let id = spec.id.clone();
        let child = Arc::clone(&spec.child);
        let (key, start) = branch.add(spec, true).map_err(|e| match e {
            AddError::Taken { key } => {
                let stopped =
                    branch.desk().rules.get(key).is_some_and(|e| e.state == State::Stopped && !e.wanted);
                if stopped {
                    StartChildError::AlreadyPresent(id)
                } else {
                    StartChildError::AlreadyStarted(id)
                }
            }
            AddError::Full { active } => StartChildError::MaxChildren { active, max },
            AddError::Supervised => SpecError::Supervised(id).into(),
            AddError::Down => StartChildError::Down,
        })?;
        match start_by_hand(branch, key, start, child, true).await {
            Ok(started) => Ok((key, started)),
            // It was not let begin, for that reason.
            Err(StartError::Supervised) if branch.is_ending() => Err(StartChildError::Down),
            // Its runtime has shut down.
            Err(StartError::NoRuntime) => Err(StartChildError::Down),
            Err(error) => Err(error.into()),
        }
    }

    /// Stops a child, within its own limit. Its specification and its mailbox stay (see [`ChildOptions::keep_mailbox`]), unless it
    /// is temporary. A child that is stopped is let be, and one that is about to be restarted is not.
    ///
    /// # Errors
    /// [`ChildError::NotFound`], [`ChildError::Abandoned`]; [`ChildError::Down`] when the supervisor's runtime has shut down.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting; the child ends all the same.
    pub async fn terminate_child(&self, id: &str) -> Result<(), ChildError> {
        let key = self.branch.desk().rules.key_of(id).ok_or(ChildError::NotFound)?;
        self.terminate(key).await
    }

    /// The same, and it does not start with its supervisor either until it is started by hand.
    pub(crate) async fn switch_off(&self, id: &str) -> Result<(), ChildError> {
        let key = {
            let mut desk = self.branch.desk();
            let key = desk.rules.key_of(id).ok_or(ChildError::NotFound)?;
            desk.rules.switch_off(key);
            key
        };
        self.terminate(key).await
    }

    pub(crate) async fn terminate(&self, key: u64) -> Result<(), ChildError> {
        let rt = {
            let desk = self.branch.desk();
            let entry = desk.rules.get(key).ok_or(ChildError::NotFound)?;
            if entry.state == State::Stopped && !entry.wanted && !desk.rules.goes_when_stopped(key) {
                return Ok(());
            }
            desk.rt.clone().ok_or(ChildError::Down)?
        };
        let (tell, told) = oneshot::channel();
        let branch = Arc::clone(&self.branch);
        // In a task of its own: who asked may go away, and what was begun is to be ended.
        rt.spawn(async move {
            let stopped = perform::stop_one(&branch, key, true).await;
            branch.stopped_by_hand(key);
            let _ = tell.send(stopped);
        });
        match told.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(ChildError::Abandoned),
            // Its runtime has shut down.
            Err(_) => Err(ChildError::Down),
        }
    }

    /// Starts a child that is stopped.
    ///
    /// # Errors
    /// [`ChildError`]; after [`ChildError::Start`] the specification is still there.
    ///
    /// # Cancel safety
    /// Dropping the future before the child is up kills it; its specification stays.
    pub async fn restart_child(&self, id: &str) -> Result<Started, ChildError> {
        let branch = &self.branch;
        let (key, child, start) = {
            let mut desk = branch.desk();
            if !matches!(desk.rules.life, Life::Up | Life::Starting) {
                return Err(ChildError::Down);
            }
            let key = desk.rules.key_of(id).ok_or(ChildError::NotFound)?;
            desk.rules.must_be_stopped(key)?;
            let (child, start) = desk.rules.starts(key).ok_or(ChildError::Running)?;
            (key, child, start)
        };
        start_by_hand(branch, key, start, child, false).await.map_err(|error| match error {
            // It was not let begin, for that reason.
            StartError::Supervised if branch.is_ending() => ChildError::Down,
            // Its runtime has shut down.
            StartError::NoRuntime => ChildError::Down,
            error => error.into(),
        })
    }

    /// Takes a stopped child out of the table; its mailbox closes.
    ///
    /// # Errors
    /// [`ChildError::NotFound`], [`ChildError::Running`], [`ChildError::Restarting`].
    pub fn delete_child(&self, id: &str) -> Result<(), ChildError> {
        let gone = {
            let mut desk = self.branch.desk();
            let key = desk.rules.key_of(id).ok_or(ChildError::NotFound)?;
            desk.rules.must_be_stopped(key)?;
            desk.rules.remove(key)
        };
        if let Some(gone) = gone {
            self.branch.retire(&gone, &ExitReason::Shutdown);
        }
        Ok(())
    }

    /// All children, the one started last first. Reads the table, and waits for nothing.
    pub fn which_children(&self) -> Vec<ChildInfo> {
        self.branch.infos().into_iter().rev().map(|(info, _)| info).collect()
    }

    /// How many there are. Waits for nothing, and takes the same time however many there are.
    pub fn count_children(&self) -> ChildCounts {
        let desk = self.branch.desk();
        let (specs, supervisors) = (desk.rules.children.len(), desk.rules.supervisors);
        ChildCounts { specs, active: desk.rules.active, supervisors, workers: specs - supervisors }
    }

    /// The options of a child.
    pub fn child_options(&self, id: &str) -> Option<ChildOptions> {
        let desk = self.branch.desk();
        let key = desk.rules.key_of(id)?;
        desk.rules.get(key).map(|entry| (*entry.options).clone())
    }
}

/// Its own life.
impl SupervisorRef {
    /// Starts a supervisor that was built, with nobody above it.
    ///
    /// # Errors
    /// [`StartError`]: [`StartError::AlreadyStarted`], [`StartError::Closed`] after it has ended, [`StartError::Supervised`] where another
    /// starts it, [`StartError::NoRuntime`], [`StartError::Failed`] when a child did not start.
    ///
    /// # Cancel safety
    /// Dropping the future before all children are up stops those that are.
    pub async fn start(&self) -> Result<(), StartError> {
        if self.branch.parent().is_some() {
            return Err(StartError::Supervised);
        }
        Arc::clone(&self.branch).start().await
    }

    /// Makes it a child to be.
    pub fn child(&self, id: impl Into<ChildId>) -> ChildSpec {
        ChildSpec::new(id.into(), Arc::clone(&self.branch) as Arc<dyn Child>)
    }

    /// Kills it, and all that is below it: no `terminate` runs. Returns at once.
    pub fn kill(&self) {
        self.branch.end(ExitReason::Killed, true);
    }

    /// Waits for the end of its present incarnation; if there is none, tells at once how the last one ended.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn join(&self) -> Exit {
        match self.branch.join() {
            Err(exit) => exit,
            Ok(ended) => {
                let last = || Exit::new(ExitReason::Killed, restante_core::Phase::Idle, None, 0);
                ended.await.unwrap_or_else(|_| self.last_exit().unwrap_or_else(last))
            }
        }
    }

    /// What did not go as it should when it last ended.
    pub fn report(&self) -> ShutdownReport {
        self.branch.desk().report.clone()
    }

    /// Whether it is up, or about to be.
    pub fn is_alive(&self) -> bool {
        self.branch.desk().rules.life != Life::Down
    }

    /// How its last incarnation ended.
    pub fn last_exit(&self) -> Option<Exit> {
        self.branch.desk().last_exit.clone()
    }

    /// Which incarnation it is, counted from 1; 0: none yet.
    pub fn incarnation(&self) -> u32 {
        self.branch.desk().incarnation
    }

    /// How many restarts it has attempted, over all its incarnations.
    pub fn restarts(&self) -> u64 {
        self.branch.desk().rules.restarts
    }

    /// The name it was given, for people.
    pub fn name(&self) -> Option<&str> {
        self.branch.name.as_deref()
    }

    /// The exact counters of all mailboxes in the tree, those of children that are gone included; `None` while one of them
    /// is at work.
    pub fn audit(&self) -> Option<Ledger> {
        Child::audit(&*self.branch)
    }
}

impl fmt::Debug for SupervisorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SupervisorRef({})", self.branch.name.as_deref().unwrap_or("-"))
    }
}

/// What a child is doing, in such a life of its supervisor.
pub(crate) fn child_state<C>(entry: &Entry<C>, life: &Life) -> ChildState {
    match entry.state {
        State::Stopped if entry.wanted && *life == Life::Starting => ChildState::Starting,
        State::Stopped if entry.wanted => ChildState::Restarting,
        State::Stopped => ChildState::Stopped,
        State::Starting => ChildState::Starting,
        State::Running => ChildState::Running,
        State::Restarting => ChildState::Restarting,
        State::Stopping => ChildState::Stopping,
        State::Abandoned => ChildState::Abandoned,
    }
}

impl Branch {
    /// What there is to see of each child, in the order of their start.
    pub(crate) fn infos(&self) -> Vec<(ChildInfo, Arc<dyn Child>)> {
        let desk = self.desk();
        let info = |key: u64, entry: &Entry<Arc<dyn Child>>| ChildInfo {
            key: ChildKey(Place { table: self.serial, key }),
            id: Self::id_of(&desk, key),
            kind: entry.child.kind(),
            state: child_state(entry, &desk.rules.life),
            type_name: entry.child.type_name(),
            restarts: entry.restarts(),
            incarnation: entry.incarnation,
            last_exit: entry.last_exit().cloned(),
        };
        desk.rules.children.iter().map(|(key, entry)| (info(*key, entry), Arc::clone(&entry.child))).collect()
    }

    /// Whether it is not to be up.
    fn is_ending(&self) -> bool {
        matches!(self.desk().rules.life, Life::Ending(_) | Life::Down)
    }

    /// A child was stopped by hand: what goes with that.
    fn stopped_by_hand(&self, key: u64) {
        let (gone, rests) = {
            let mut desk = self.desk();
            if desk.rules.goes_when_stopped(key) {
                (desk.rules.discard(key), None)
            } else {
                let rests =
                    desk.rules.get(key).filter(|e| e.state == State::Stopped && !e.options.keep_mailbox);
                (None, rests.map(|entry| Arc::clone(&entry.child)))
            }
        };
        if let Some(gone) = gone {
            self.retire(&gone, &ExitReason::Shutdown);
        }
        if let Some(child) = rests {
            child.clear_out(&ExitReason::Shutdown);
        }
    }
}

/// Starts a child, which the table shows as starting, in its supervisor's runtime, whoever asks: a child that lived in
/// another would end its supervisor with that one, and would not be restarted any more after its supervisor's.
async fn start_by_hand(
    branch: &Arc<Branch>,
    key: u64,
    start: u32,
    child: Arc<dyn Child>,
    discards: bool,
) -> Result<Started, StartError> {
    let rt = branch.desk().rt.clone();
    // (Made here: where nobody ever polls the rest it is dropped with it, and does its work.)
    let guard = StartGuard { branch: Arc::clone(branch), key, start, discards, done: false };
    let starting = start_here(child, guard);
    match rt {
        Some(rt) => rt.run(starting).await.unwrap_or(Err(StartError::NoRuntime)),
        None => starting.await,
    }
}

async fn start_here(child: Arc<dyn Child>, guard: StartGuard) -> Result<Started, StartError> {
    let mut starting = child.start();
    // (Dropped before the start is: the table must know that the child is to end before it does.)
    let mut guard = guard;
    match starting.as_mut().await {
        // Told to end before it was seen to be up: nobody else would start it again.
        Ok(()) if guard.branch.desk().rules.is_tentative(guard.key) => {
            Err(StartError::Failed(ExitReason::Shutdown))
        }
        Ok(()) => {
            guard.done = true;
            Ok(Started::Running)
        }
        Err(StartError::Ignored) => {
            guard.done = true;
            perform::ignored(&guard.branch, guard.key, guard.start);
            Ok(Started::Ignored)
        }
        Err(error) => Err(error),
    }
}

/// A start by hand that comes to nothing leaves nothing behind. What has been decided over the child since (it fell with a
/// group, say) is none of its business.
struct StartGuard {
    branch: Arc<Branch>,
    key: u64,
    start: u32,
    /// The specification goes as well.
    discards: bool,
    done: bool,
}

impl Drop for StartGuard {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let gone = {
            self.branch.start_failed(self.key, self.start);
            let mut desk = self.branch.desk();
            if self.discards { desk.rules.discard_start(self.key, self.start) } else { None }
        };
        if let Some(gone) = gone {
            self.branch.retire(&gone, &ExitReason::Shutdown);
        }
    }
}
