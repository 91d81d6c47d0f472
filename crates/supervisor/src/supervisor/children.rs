//! What can be done to single children by hand: added, stopped, started again, taken away, looked at. Each start here is its
//! caller's own; what a supervisor starts by itself is [`crate::perform`]'s.

use super::{ChildCounts, ChildInfo, SupervisorRef};
use super::{check, too_slow, warn_of};
use crate::branch::SupervisorCore;
use crate::child::Child;
use crate::child_options::ChildOptions;
use crate::child_spec::ChildSpec;
use crate::dynamic::ChildKey;
use crate::error::{ChildError, SpecError, StartChildError};
use crate::nursery::Nursery;
use crate::perform;
use crate::rules::{AddError, Life, State};
use crate::waits;
use restante_core::ExitReason;
use restante_genserver::keeper;
use restante_genserver::{GenServer, ServerRef, StartError};
use std::sync::Arc;
use tokio::sync::oneshot;

/// How a start by hand went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It runs.
    Running,
    /// Its `init` had nothing to serve. The specification stays without a process, unless the child is temporary or its
    /// supervisor a dynamic one.
    Ignored,
}

/// Children.
impl SupervisorRef {
    /// Adds a child and starts it, beside whatever else is going on; in the supervisor's runtime, wherever this is called.
    ///
    /// # Errors
    /// [`StartChildError`]. A child that is refused is as it was before (see [`ChildSpec`]); when its `init` comes to
    /// nothing, its specification goes and its mailbox closes.
    ///
    /// # Cancel safety
    /// Dropping the future before the child is up kills it and takes it out of the table.
    pub async fn start_child(&self, spec: ChildSpec) -> Result<Started, StartChildError> {
        self.insert_and_start(spec).await.map(|(_, started)| started)
    }

    pub(crate) async fn insert_and_start(&self, spec: ChildSpec) -> Result<(u64, Started), StartChildError> {
        let branch = &self.branch;
        let (settings, is_news) = {
            let locked = branch.lock();
            (locked.rules.settings.clone(), locked.rules.is_news(&spec.options))
        };
        let dynamic = settings.dynamic;
        if let Err(error) = check(&spec, &settings) {
            spec.child.refused();
            return Err(error.into());
        }
        let id = spec.id.clone();
        // Of a million children that are started with the same options it is said once.
        let slow = spec.options.backoff.filter(|_| !dynamic || is_news);
        let slow = slow.and_then(|backoff| too_slow(&settings, backoff));
        if !dynamic {
            branch.forget_closed(id.as_str());
        }
        let child = Arc::clone(&spec.child);
        let _waits = waits::wait_for(&*child, id.as_str()).map_err(|path| {
            child.refused();
            StartError::Cycle { path }
        })?;
        // This stack says whose start it is, because the start may be made in the supervisor's runtime.
        let nursery = Nursery::here();
        let named = id.clone();
        let (key, start) = branch.add(spec, true).map_err(|e| {
            child.refused();
            match e {
                AddError::Taken { key } => {
                    let stopped =
                        branch.lock().rules.get(key).is_some_and(|e| e.state == State::Stopped && !e.wanted);
                    if stopped {
                        StartChildError::AlreadyPresent(id)
                    } else {
                        StartChildError::AlreadyStarted(id)
                    }
                }
                AddError::Full { active } => {
                    let max = branch.lock().rules.settings.max_children;
                    StartChildError::MaxChildren { active, max }
                }
                AddError::Spec(error) => error.into(),
                AddError::Supervised => SpecError::Supervised(id).into(),
                AddError::Running => StartError::AlreadyStarted.into(),
                AddError::Down => StartChildError::Down,
            }
        })?;
        if let Some(pause) = slow {
            warn_of(branch.label(), Some(&named), pause);
        }
        if let Some(nursery) = nursery {
            nursery.note(branch, key);
        }
        match start_by_hand(branch, key, start, Arc::clone(&child), true).await {
            Ok(started) => Ok((key, started)),
            Err(error) => {
                let down = match error {
                    // Its runtime has shut down.
                    StartError::NoRuntime => true,
                    // It was not let begin, for that reason.
                    StartError::Supervised => branch.is_over(),
                    _ => false,
                };
                if !down {
                    return Err(error.into());
                }
                // Where the child has begun all the same, its mailbox is closed.
                child.refused();
                Err(StartChildError::Down)
            }
        }
    }

    /// Stops a child, within its own limit. Its specification and its mailbox stay (see [`ChildOptions::keep_mailbox`]),
    /// unless it is temporary. A child that is stopped is let be, and one that is about to be restarted is not.
    ///
    /// # Errors
    /// [`ChildError::NotFound`], [`ChildError::Abandoned`]; [`ChildError::Down`] when the supervisor's runtime has shut down;
    /// [`ChildError::Cycle`], and nothing is ordered, in a handler of that very child, or of a server that the child waits for.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting; the child ends all the same.
    pub async fn terminate_child(&self, id: &str) -> Result<(), ChildError> {
        let key = self.branch.lock().rules.key_of(id).ok_or(ChildError::NotFound)?;
        self.end_child(key).await
    }

    /// [`SupervisorRef::terminate_child`] by the child's key.
    ///
    /// # Errors
    /// As [`SupervisorRef::terminate_child`].
    ///
    /// # Cancel safety
    /// As [`SupervisorRef::terminate_child`].
    pub async fn terminate(&self, key: ChildKey) -> Result<(), ChildError> {
        self.end_child(self.branch.here(key).ok_or(ChildError::NotFound)?).await
    }

    /// Tells a child to end as [`SupervisorRef::terminate_child`] does, and waits for nothing: a child's own handler may ask
    /// for it, and is obeyed once it has returned.
    ///
    /// # Errors
    /// [`ChildError::NotFound`]; [`ChildError::Down`] when the supervisor's runtime has shut down.
    pub fn request_stop_child(&self, id: &str) -> Result<(), ChildError> {
        let key = self.branch.lock().rules.key_of(id).ok_or(ChildError::NotFound)?;
        self.begin_terminate(key).map(drop)
    }

    /// Stops a child, like [`SupervisorRef::terminate_child`]; it does not start with its supervisor either until it is
    /// started by hand. The caller has looked for rings.
    pub(crate) async fn switch_off(&self, id: &str) -> Result<(), ChildError> {
        let key = {
            let mut locked = self.branch.lock();
            let key = locked.rules.key_of(id).ok_or(ChildError::NotFound)?;
            locked.rules.switch_off(key);
            key
        };
        ended(self.begin_terminate(key)?).await
    }

    async fn end_child(&self, key: u64) -> Result<(), ChildError> {
        let _waits = self.branch.wait_for_children(&[key]).map_err(|path| ChildError::Cycle { path })?;
        ended(self.begin_terminate(key)?).await
    }

    /// Has a child stopped. What is told is whether it has ended; `None`: there is nothing to stop.
    pub(crate) fn begin_terminate(&self, key: u64) -> Result<Option<oneshot::Receiver<bool>>, ChildError> {
        let rt = {
            let locked = self.branch.lock();
            let entry = locked.rules.get(key).ok_or(ChildError::NotFound)?;
            if entry.state == State::Stopped && !entry.wanted && !locked.rules.goes_when_stopped(key) {
                return Ok(None);
            }
            locked.rt.clone().ok_or(ChildError::Down)?
        };
        let (tell, told) = oneshot::channel();
        let branch = Arc::clone(&self.branch);
        // In a task of its own: who asked may go away, and what was begun is to be ended.
        rt.spawn(async move {
            let stopped = perform::stop_one(&branch, key, true).await;
            branch.stopped_by_hand(key);
            crate::branch::tell(tell, stopped);
        });
        Ok(Some(told))
    }

    /// Starts a child that is stopped.
    ///
    /// # Errors
    /// [`ChildError`]; after [`ChildError::Start`] the specification is still there. One whose mailbox has been closed is gone:
    /// [`ChildError::NotFound`].
    ///
    /// # Cancel safety
    /// Dropping the future before the child is up kills it; its specification stays.
    pub async fn restart_child(&self, id: &str) -> Result<Started, ChildError> {
        let branch = &self.branch;
        branch.forget_closed(id);
        let stopped = {
            let locked = branch.lock();
            locked.rules.key_of(id).filter(|key| locked.rules.must_be_stopped(*key).is_ok())
        };
        let _waits =
            branch.wait_for_children(stopped.as_slice()).map_err(|path| ChildError::Cycle { path })?;
        let (key, child, start) = {
            let mut locked = branch.lock();
            if !matches!(locked.rules.life, Life::Up | Life::Starting) {
                return Err(ChildError::Down);
            }
            let key = locked.rules.key_of(id).ok_or(ChildError::NotFound)?;
            locked.rules.must_be_stopped(key)?;
            let (child, start) = locked.rules.starts(key).ok_or(ChildError::Running)?;
            (key, child, start)
        };
        start_by_hand(branch, key, start, child, false).await.map_err(|error| match error {
            // It was not let begin, for that reason.
            StartError::Supervised if branch.is_over() => ChildError::Down,
            // Its runtime has shut down.
            StartError::NoRuntime => ChildError::Down,
            StartError::Cycle { path } => ChildError::Cycle { path },
            error => error.into(),
        })
    }

    /// Takes a stopped child out of the table; its mailbox closes.
    ///
    /// # Errors
    /// [`ChildError::NotFound`], [`ChildError::Running`], [`ChildError::Restarting`].
    pub fn delete_child(&self, id: &str) -> Result<(), ChildError> {
        let gone = {
            let mut locked = self.branch.lock();
            let key = locked.rules.key_of(id).ok_or(ChildError::NotFound)?;
            locked.rules.must_be_stopped(key)?;
            locked.rules.remove(key)
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

    /// The key of a server that is a child here, whatever it is doing.
    pub fn key_of<S: GenServer>(&self, server: &ServerRef<S>) -> Option<ChildKey> {
        let key = ChildKey(keeper::place_of(server)?);
        self.branch.here(key).map(|_| key)
    }

    /// What there is to see of one child: by its key, which leads to its id and to its reference.
    pub fn child_info(&self, key: ChildKey) -> Option<ChildInfo> {
        self.branch.info(self.branch.here(key)?)
    }

    /// How many there are. Waits for nothing, and takes the same time however many there are.
    pub fn count_children(&self) -> ChildCounts {
        let locked = self.branch.lock();
        let (specs, supervisors) = (locked.rules.children.len(), locked.rules.supervisors);
        ChildCounts { specs, active: locked.rules.active, supervisors, workers: specs - supervisors }
    }

    /// The options of a child.
    pub fn child_options(&self, id: &str) -> Option<ChildOptions> {
        let locked = self.branch.lock();
        let key = locked.rules.key_of(id)?;
        locked.rules.get(key).map(|entry| (*entry.options).clone())
    }
}

/// Waits for the end of a child that has been told to.
async fn ended(told: Option<oneshot::Receiver<bool>>) -> Result<(), ChildError> {
    let Some(told) = told else { return Ok(()) };
    match told.await {
        Ok(true) => Ok(()),
        Ok(false) => Err(ChildError::Abandoned),
        // Its runtime has shut down.
        Err(_) => Err(ChildError::Down),
    }
}

impl SupervisorCore {
    /// The child of this key, if it is one here.
    fn here(&self, key: ChildKey) -> Option<u64> {
        let key = (key.0.table == self.serial).then_some(key.0.key)?;
        self.lock().rules.get(key).map(|_| key)
    }

    /// Whether it is down, or about to be.
    fn is_over(&self) -> bool {
        matches!(self.lock().rules.life, Life::Ending(_) | Life::Down)
    }

    /// A child was stopped by hand: what goes with that.
    fn stopped_by_hand(&self, key: u64) {
        let goes = self.lock().rules.goes_when_stopped(key);
        if goes {
            self.dismiss(key);
            return;
        }
        let rests = {
            let locked = self.lock();
            let is_over = |state| matches!(state, State::Stopped | State::Abandoned);
            let rests = locked.rules.get(key).filter(|e| is_over(e.state) && !e.options.keep_mailbox);
            rests.map(|entry| Arc::clone(&entry.child))
        };
        if let Some(child) = rests {
            child.clear_out(&ExitReason::Shutdown);
        }
    }
}

/// Starts a child, which the table shows as starting, in its supervisor's runtime, from any caller: a child that lived in
/// another runtime would end its supervisor with that one, and would not be restarted any more after its supervisor's.
async fn start_by_hand(
    branch: &Arc<SupervisorCore>,
    key: u64,
    start: u32,
    child: Arc<dyn Child>,
    discards: bool,
) -> Result<Started, StartError> {
    let rt = branch.lock().rt.clone();
    // Made here: where the rest is never polled, the guard is dropped with it, and does its work.
    let guard = StartGuard {
        branch: Arc::clone(branch),
        key,
        start,
        discards,
        done: false,
        why: ExitReason::Shutdown,
    };
    let starting = start_here(child, guard);
    match rt {
        Some(rt) => rt.run(starting).await.unwrap_or(Err(StartError::NoRuntime)),
        None => starting.await,
    }
}

async fn start_here(child: Arc<dyn Child>, guard: StartGuard) -> Result<Started, StartError> {
    let mut starting = child.start();
    // The guard is dropped before the start: the table must know that the child is to end before it does.
    let mut guard = guard;
    match starting.as_mut().await {
        // The child was told to end before it was seen to be up: no other would start it again.
        Ok(()) if guard.branch.lock().rules.is_tentative(guard.key) => {
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
        Err(error) => {
            guard.why = perform::why_not_started(&error);
            Err(error)
        }
    }
}

/// A start by hand that comes to nothing leaves nothing behind. What has been decided over the child since (it fell with a
/// group, say) is none of its business.
struct StartGuard {
    branch: Arc<SupervisorCore>,
    key: u64,
    start: u32,
    /// The specification goes as well.
    discards: bool,
    done: bool,
    /// Told to those who wait in the queue of a mailbox that closes.
    why: ExitReason,
}

impl Drop for StartGuard {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let discards = self.discards.then_some(&self.why);
        match self.branch.start_failed(self.key, self.start, discards) {
            Some((gone, true)) => self.branch.retire(&gone, &self.why),
            // Nothing of it has begun: it is as it was before.
            Some((gone, false)) => self.branch.give_back(&gone),
            None => {}
        }
    }
}
