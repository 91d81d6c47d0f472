//! What one holds of a supervisor, and its own life seen from outside. What can be done to its children lies in
//! [`super::children`].

use crate::branch::SupervisorCore;
use crate::child::Child;
use crate::child_options::ChildId;
use crate::child_spec::ChildSpec;
use crate::nursery::Nursery;
use crate::shutdown::ShutdownReport;
use restante_core::{Exit, ExitReason, Ledger};
use restante_genserver::StartError;
use std::fmt;
use std::sync::Arc;

/// Refers to a supervisor, over all its incarnations. Cheap to clone.
#[derive(Clone)]
pub struct SupervisorRef {
    pub(crate) branch: Arc<SupervisorCore>,
}

/// Its own life.
impl SupervisorRef {
    /// Starts a supervisor that was built, without one above it.
    ///
    /// # Errors
    /// [`StartError`]: [`StartError::AlreadyStarted`], [`StartError::Closed`] after it has ended,
    /// [`StartError::Supervised`] where another starts it, [`StartError::NoRuntime`], [`StartError::Failed`] when a child
    /// did not start; [`StartError::Cycle`] in a handler that a server below waits for.
    ///
    /// # Cancel safety
    /// Dropping the future before all children are up stops those that are.
    pub async fn start(&self) -> Result<(), StartError> {
        if self.branch.parent().is_some() {
            return Err(StartError::Supervised);
        }
        let _waits = self.branch.wait_for_all().map_err(|path| StartError::Cycle { path })?;
        Arc::clone(&self.branch).start_noted(Nursery::here()).await
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
        self.branch.lock().report.clone()
    }

    /// Whether it is up, or about to be.
    pub fn is_alive(&self) -> bool {
        self.branch.lock().is_alive()
    }

    /// How its last incarnation ended.
    pub fn last_exit(&self) -> Option<Exit> {
        self.branch.lock().last_exit.clone()
    }

    /// Which incarnation it is, counted from 1; 0: none yet.
    pub fn incarnation(&self) -> u32 {
        self.branch.lock().incarnation
    }

    /// How many restarts it has attempted, over all its incarnations.
    pub fn restarts(&self) -> u64 {
        self.branch.lock().rules.restarts
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
