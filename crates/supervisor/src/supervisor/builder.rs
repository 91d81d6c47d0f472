//! What one writes to have a supervisor: its settings, and the children that it starts with. What these mean is told by
//! their own types.

use super::{SupervisorRef, check, check_options, check_settings, too_slow, warn_of};
use crate::backoff::Backoff;
use crate::branch::SupervisorCore;
use crate::child_options::{ChildId, ChildOptions};
use crate::child_spec::ChildSpec;
use crate::error::{SpecError, TreeError};
use crate::intensity::Intensity;
use crate::rules::{AddError, Settings};
use crate::strategy::{AutoShutdown, Strategy};
use std::sync::Arc;
use std::time::Duration;

/// How long a killed child may take to end before it is abandoned, unless told otherwise.
const GRACE: Duration = Duration::from_secs(1);

/// A supervisor to be: its settings, and the children that it starts with.
///
/// Default: one for one, 3 restarts in 5 s, back-off from 50 ms to 1 s ([`Backoff`]), no automatic shutdown.
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
            limit_given: false,
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

    /// At most `max` restarts in any `period` (default: 3 in 5 s); with one more it gives up. A period of zero is refused.
    pub fn intensity(self, max: u32, period: Duration) -> Self {
        self.with_intensity(Intensity::new(max, period))
    }

    /// Sets the limit as a value, which may be [`Intensity::UNLIMITED`].
    pub fn with_intensity(mut self, intensity: Intensity) -> Self {
        self.settings.intensity = intensity;
        self.settings.limit_given = true;
        self
    }

    /// The pause before a restart (default: see [`Backoff`]). Beside a limit that was set and that it is too slow for, it is
    /// refused; beside the default limit, it is taken as it is.
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
    /// [`SpecError`]. All children are as they were before: see [`ChildSpec`].
    pub fn build(self) -> Result<SupervisorRef, SpecError> {
        if let Err(error) = check_settings(&self.settings) {
            for spec in &self.children {
                spec.child.refused();
            }
            return Err(error);
        }
        let settings = self.settings.clone();
        let (children, branch) = self.make(None);
        let all: Vec<_> = children.iter().map(|spec| Arc::clone(&spec.child)).collect();
        let mut slow = Vec::new();
        for spec in children {
            let id = spec.id.clone();
            let pause = spec.options.backoff.and_then(|backoff| too_slow(&settings, backoff));
            slow.extend(pause.map(|pause| (id.clone(), pause)));
            let added = check(&spec, &settings).and_then(|()| {
                branch.add(spec, false).map_err(|why| match why {
                    AddError::Taken { .. } => SpecError::DuplicateId(id),
                    AddError::Running => SpecError::Running(id),
                    _ => SpecError::Supervised(id),
                })
            });
            if let Err(error) = added {
                branch.give_back_all();
                for child in &all {
                    child.refused();
                }
                return Err(error);
            }
        }
        warn_of_all(&branch, &settings);
        for (child, pause) in slow {
            warn_of(branch.label(), Some(&child), pause);
        }
        Ok(SupervisorRef { branch })
    }

    /// The supervisor, and the children that it is to have. `unsound`: why it must not start.
    fn make(self, unsound: Option<SpecError>) -> (Vec<ChildSpec>, Arc<SupervisorCore>) {
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        let branch = SupervisorCore::new(self.name, self.settings, seed, self.grace, unsound);
        (self.children, branch)
    }

    /// Makes a supervisor without children. One that makes no sense is made as well, and does not start.
    pub(crate) fn make_empty(self, defaults: &ChildOptions) -> SupervisorRef {
        let (settings, default) = (self.settings.clone(), ChildId::from("default"));
        let unsound =
            check_settings(&settings).and_then(|()| check_options(&default, defaults, &settings)).err();
        let is_sound = unsound.is_none();
        let (_, branch) = self.make(unsound);
        if is_sound {
            warn_of_all(&branch, &settings);
            if let Some(pause) = defaults.backoff.and_then(|backoff| too_slow(&settings, backoff)) {
                warn_of(branch.label(), Some(&default), pause);
            }
        }
        SupervisorRef { branch }
    }

    /// Makes the supervisor a child to be.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn into_child(self, id: impl Into<ChildId>) -> Result<ChildSpec, SpecError> {
        Ok(self.build()?.child(id))
    }

    /// Starts it, without a supervisor above it: all children, in order, each when the one before has returned from `init`.
    /// When one fails, those before it are stopped again, in reverse. It then lives until it is stopped, gives up or its
    /// runtime ends, whether or not its reference is held.
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

/// Tells of the back-off of all children, where it is too slow.
fn warn_of_all(branch: &SupervisorCore, settings: &Settings) {
    if let Some(pause) = too_slow(settings, settings.backoff) {
        warn_of(branch.label(), None, pause);
    }
}
