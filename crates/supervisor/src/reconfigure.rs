//! Changing a supervisor that runs: what OTP does in `code_change`, without new code.
//!
//! All or nothing: a change is looked at as a whole first, then made under one lock, so that no crash is dealt with by half
//! of it. What has been decided by the old rules, a pause or a group restart under way, goes on as it was decided.

use crate::backoff::Backoff;
use crate::branch::{StateGuard, SupervisorCore};
use crate::child::Child;
use crate::child_options::{ChildId, ChildKind, ChildOptions};
use crate::child_spec::ChildSpec;
use crate::error::SpecError;
use crate::intensity::Intensity;
use crate::nursery::Nursery;
use crate::parent_link::{NotAdopted, ParentLink};
use crate::rules::{Origin, Rules, Settings};
use crate::strategy::{AutoShutdown, Strategy};
use crate::supervisor::{SupervisorRef, check_options, check_settings, too_slow, warn_of};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What is to be different: only what is named changes.
///
/// Source: OTP `supervisor`, `code_change`: children that are there get their new options, new ones are added and *not*
/// started, missing ones stay. Differs: the change is given, not asked of a module.
#[derive(Default)]
#[must_use = "it is for `SupervisorRef::reconfigure`"]
pub struct Reconfigure {
    strategy: Option<Strategy>,
    intensity: Option<Intensity>,
    backoff: Option<Backoff>,
    auto_shutdown: Option<AutoShutdown>,
    max_children: Option<usize>,
    changes: Vec<(ChildId, Change)>,
    added: Vec<ChildSpec>,
}

type Change = Box<dyn Fn(&mut ChildOptions) + Send + Sync>;

impl Reconfigure {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who is restarted together, from the next end on.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = Some(strategy);
        self
    }

    /// How many restarts, in how long, are too many, from the next one on. Those that are remembered count: as many as the old
    /// limit and one; none where there was no limit.
    pub fn intensity(self, max: u32, period: Duration) -> Self {
        self.with_intensity(Intensity::new(max, period))
    }

    /// Sets the limit as a value, which may be [`Intensity::UNLIMITED`].
    pub fn with_intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = Some(intensity);
        self
    }

    /// The pause before a restart, from the next one on. One that is under way is waited for.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// Whether it ends when significant children have, from the next end on.
    pub fn auto_shutdown(mut self, when: AutoShutdown) -> Self {
        self.auto_shutdown = Some(when);
        self
    }

    /// How many children there may be. Those that are there stay, even if they are more.
    pub fn max_children(mut self, max: usize) -> Self {
        self.max_children = Some(max);
        self
    }

    /// Changes the options of a child that is there, in the order in which such changes are given. The closure runs before the
    /// lock is taken, and again when the options have changed meanwhile.
    pub fn child(
        mut self,
        id: impl Into<ChildId>,
        change: impl Fn(&mut ChildOptions) + Send + Sync + 'static,
    ) -> Self {
        self.changes.push((id.into(), Box::new(change)));
        self
    }

    /// Adds a child behind those that are there. It is not started: [`SupervisorRef::restart_child`] does, and so does a group
    /// restart that takes it in, or the next start of the supervisor, to which it belongs from now on.
    pub fn add_child(mut self, spec: ChildSpec) -> Self {
        self.added.push(spec);
        self
    }

    /// The settings as they are to be.
    fn settings(&self, old: &Settings) -> Settings {
        Settings {
            strategy: self.strategy.unwrap_or(old.strategy),
            intensity: self.intensity.unwrap_or(old.intensity),
            limit_given: old.limit_given || self.intensity.is_some(),
            backoff: self.backoff.unwrap_or(old.backoff),
            auto_shutdown: self.auto_shutdown.unwrap_or(old.auto_shutdown),
            max_children: self.max_children.unwrap_or(old.max_children),
            ..old.clone()
        }
    }
}

impl fmt::Debug for Reconfigure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconfigure")
            .field("strategy", &self.strategy)
            .field("intensity", &self.intensity)
            .field("backoff", &self.backoff)
            .field("auto_shutdown", &self.auto_shutdown)
            .field("max_children", &self.max_children)
            .field("changes", &self.changes.iter().map(|(id, _)| id).collect::<Vec<_>>())
            .field("added", &self.added)
            .finish()
    }
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReconfigureError {
    /// There is no such child.
    #[error("no child {0}")]
    NotFound(ChildId),
    /// A child would make no sense: one that is added, one that is changed, or one that is there and that a change of
    /// [`AutoShutdown`] concerns.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// There would be too many children.
    #[error("the supervisor would have {children} children of at most {max}")]
    MaxChildren {
        /// In the table, with those that were to be added.
        children: usize,
        /// The limit, as it was to be.
        max: usize,
    },
    /// A supervisor whose children come and go has no other strategy, no automatic shutdown, and no children that stay.
    #[error("a dynamic supervisor cannot have that")]
    Dynamic,
    /// It has ended for good.
    #[error("the supervisor has ended")]
    Closed,
}

impl ReconfigureError {
    /// Whether what was addressed is gone: a child, as [`NotFound`](Self::NotFound) says, or the
    /// supervisor, as [`Closed`](Self::Closed) says.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::Closed)
    }
}

impl SupervisorRef {
    /// Changes what is named, all of it or nothing, effective for the next event: for the next end of a child, not for a
    /// pause or a group restart under way. Waits for nothing. What was changed stays over restarts of the supervisor.
    ///
    /// # Errors
    /// [`ReconfigureError`]: nothing was changed. Children that were to be added are as they were before (see [`ChildSpec`]).
    ///
    /// ```
    /// # use restante_genserver::*;
    /// use restante_supervisor::{Reconfigure, Restart, Strategy, Supervise, Supervisor};
    /// use std::time::Duration;
    /// # struct Echo;
    /// # impl GenServer for Echo {
    /// #     type Args = (); type Call = (); type Cast = (); type Info = ();
    /// #     async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> { Ok(Init::ok(Echo)) }
    /// #     async fn handle_call(&mut self, (): (), _: &mut Context<Self>) -> Step { Ok(Next::go()) }
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let tree = Supervisor::one_for_one().child(Server::<Echo>::new("a").child(())).start().await?;
    /// tree.reconfigure(
    ///     Reconfigure::new()
    ///         .strategy(Strategy::RestForOne)
    ///         .intensity(10, Duration::from_secs(60))
    ///         .child("a", |options| options.restart = Restart::Transient)
    ///         .add_child(Server::<Echo>::new("b").child(())),
    /// )?;
    /// assert_eq!(tree.count_children().active, 1); // b is there, and stopped
    /// tree.restart_child("b").await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn reconfigure(&self, mut change: Reconfigure) -> Result<(), ReconfigureError> {
        let added = std::mem::take(&mut change.added);
        let all: Vec<_> = added.iter().map(|spec| Arc::clone(&spec.child)).collect();
        let made = self.make(&change, added);
        if made.is_err() {
            for child in &all {
                child.refused();
            }
        }
        made
    }

    fn make(&self, change: &Reconfigure, added: Vec<ChildSpec>) -> Result<(), ReconfigureError> {
        let branch = &self.branch;
        if let Some(error) = added.iter().find_map(|spec| spec.child.unsound()) {
            return Err(error.into());
        }
        let mut changed = changed_options(branch, &change.changes)?;
        // Looked at before any child is adopted; and once more when it is made.
        let newcomers = {
            let rules = &mut open(branch)?.rules;
            let newcomers: Vec<_> =
                added.into_iter().map(|spec| Newcomer::of(spec, rules.take_key())).collect();
            rules.may_become(&change.settings(&rules.settings), &changed, &newcomers)?;
            newcomers
        };
        let newcomers = Newcomers::adopt(newcomers, branch)?;
        let slow;
        let mut added = Vec::new();
        loop {
            {
                let rules = &mut open(branch)?.rules;
                if changed.values().all(|changed| changed.still_holds(rules)) {
                    let settings = change.settings(&rules.settings);
                    rules.may_become(&settings, &changed, &newcomers.0)?;
                    slow = rules.too_slow(&settings, &changed, &newcomers.0);
                    let newcomers = newcomers.stay();
                    added.extend(newcomers.iter().map(|newcomer| newcomer.key));
                    rules.become_so(settings, changed, newcomers);
                    break;
                }
            }
            changed = changed_options(branch, &change.changes)?;
        }
        for (child, pause) in slow {
            warn_of(branch.label(), child.as_ref(), pause);
        }
        if let Some(nursery) = Nursery::here() {
            for key in added {
                nursery.note(branch, key);
            }
        }
        branch.pass_tempo();
        Ok(())
    }
}

/// The state of a supervisor that has not ended for good.
fn open(branch: &SupervisorCore) -> Result<StateGuard<'_>, ReconfigureError> {
    let locked = branch.lock();
    if locked.closed { Err(ReconfigureError::Closed) } else { Ok(locked) }
}

/// A child's options before and after.
struct Changed {
    key: u64,
    before: Arc<ChildOptions>,
    after: ChildOptions,
}

impl Changed {
    fn still_holds<C>(&self, rules: &Rules<C>) -> bool {
        rules.children.get(&self.key).is_some_and(|entry| Arc::ptr_eq(&entry.options, &self.before))
    }
}

/// Asks the closures, outside the lock, because they are user code.
fn changed_options(
    branch: &SupervisorCore,
    changes: &[(ChildId, Change)],
) -> Result<BTreeMap<u64, Changed>, ReconfigureError> {
    let mut all = BTreeMap::new();
    for (id, change) in changes {
        let found = {
            let locked = branch.lock();
            let key = locked.rules.key_of(id.as_str());
            key.and_then(|key| Some((key, Arc::clone(&locked.rules.get(key)?.options))))
        };
        let (key, before) = found.ok_or_else(|| ReconfigureError::NotFound(id.clone()))?;
        let changed = all.entry(key).or_insert_with(|| Changed { key, after: (*before).clone(), before });
        change(&mut changed.after);
    }
    Ok(all)
}

/// A child to be added, and the key that it will have. (A key that is not used after all is none the worse.)
struct Newcomer {
    key: u64,
    id: ChildId,
    child: Arc<dyn Child>,
    options: ChildOptions,
}

impl Newcomer {
    fn of(spec: ChildSpec, key: u64) -> Self {
        Self { key, id: spec.id, child: spec.child, options: spec.options }
    }

    fn adopt(&self, branch: &Arc<SupervisorCore>) -> Result<(), SpecError> {
        let post = ParentLink::new(branch, self.key);
        Arc::clone(&self.child).adopt(post).map_err(|why| match why {
            NotAdopted::Supervised => SpecError::Supervised(self.id.clone()),
            NotAdopted::Running => SpecError::Running(self.id.clone()),
        })
    }
}

/// Those that have been adopted. Unless they stay they are given back.
struct Newcomers(Vec<Newcomer>);

impl Newcomers {
    fn adopt(newcomers: Vec<Newcomer>, branch: &Arc<SupervisorCore>) -> Result<Self, SpecError> {
        let mut adopted = Self(Vec::new());
        for newcomer in newcomers {
            newcomer.adopt(branch)?;
            adopted.0.push(newcomer);
        }
        Ok(adopted)
    }

    fn stay(mut self) -> Vec<Newcomer> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Newcomers {
    fn drop(&mut self) {
        for newcomer in &self.0 {
            newcomer.child.release();
            newcomer.child.refused();
        }
    }
}

impl Rules<Arc<dyn Child>> {
    /// Whether all of it makes sense together.
    fn may_become(
        &self,
        settings: &Settings,
        changed: &BTreeMap<u64, Changed>,
        newcomers: &[Newcomer],
    ) -> Result<(), ReconfigureError> {
        check_settings(settings)?;
        let (when, dynamic) = (settings.auto_shutdown, settings.dynamic);
        let stays_dynamic =
            settings.strategy == Strategy::OneForOne && when == AutoShutdown::Never && newcomers.is_empty();
        if dynamic && !stays_dynamic {
            return Err(ReconfigureError::Dynamic);
        }
        let (children, max) = (self.children.len() + newcomers.len(), settings.max_children);
        if !newcomers.is_empty() && children > max {
            return Err(ReconfigureError::MaxChildren { children, max });
        }
        let mut ids = HashSet::new();
        for Newcomer { id, options, .. } in newcomers {
            if self.key_of(id.as_str()).is_some() || !ids.insert(id) {
                return Err(SpecError::DuplicateId(id.clone()).into());
            }
            check_options(id, options, settings)?;
        }
        for Changed { key, after, .. } in changed.values() {
            check_options(&self.id_of(*key), after, settings)?;
        }
        let old = &self.settings;
        let limit = |settings: &Settings| (settings.intensity, settings.limit_given);
        if when != old.auto_shutdown || limit(settings) != limit(old) || settings.backoff != old.backoff {
            for (key, entry) in self.children.iter().filter(|(key, _)| !changed.contains_key(key)) {
                check_options(&self.id_of(*key), &entry.options, settings)?;
            }
        }
        Ok(())
    }

    /// What is new of it, and too slow for the default limit: of which child, if of one; and how long the pause.
    fn too_slow(
        &self,
        settings: &Settings,
        changed: &BTreeMap<u64, Changed>,
        newcomers: &[Newcomer],
    ) -> Vec<(Option<ChildId>, Duration)> {
        let whole = (settings.backoff != self.settings.backoff).then_some((None, settings.backoff));
        let children = changed.iter().filter(|(_, child)| child.before.backoff != child.after.backoff);
        let children =
            children.filter_map(|(key, child)| Some((Some(self.id_of(*key)), child.after.backoff?)));
        let added = newcomers.iter().filter_map(|new| Some((Some(new.id.clone()), new.options.backoff?)));
        let all = whole.into_iter().chain(children).chain(added);
        all.filter_map(|(child, backoff)| Some((child, too_slow(settings, backoff)?))).collect()
    }

    /// Makes what has been looked at.
    fn become_so(&mut self, settings: Settings, changed: BTreeMap<u64, Changed>, newcomers: Vec<Newcomer>) {
        self.change_settings(settings);
        for (key, Changed { after, .. }) in changed {
            if let Some(entry) = self.children.get_mut(&key) {
                entry.options = Arc::new(after);
            }
        }
        for Newcomer { key, id, child, options } in newcomers {
            let supervisor = child.kind() == ChildKind::Supervisor;
            let options = self.shared(options);
            self.insert(key, Some(id), child, options, Origin::Spec);
            if supervisor {
                self.note_supervisor(key);
            }
        }
    }
}
