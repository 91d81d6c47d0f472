//! Starting what is wanted, in order, and what becomes of a start that fails. Starts by hand are not made here but by who
//! asks for them ([`crate::supervisor`]); they share [`ignored`] and [`SupervisorCore::start_failed`].

use crate::branch::SupervisorCore;
use crate::child::Child;
use crate::child_options::ChildId;
use crate::rules::{Life, Outcome, State};
use futures::future::{Either, select};
use restante_core::{Exit, ExitReason, Phase, clock};
use restante_genserver::StartError;
use restante_genserver::keeper::End;
use std::pin::pin;
use std::sync::Arc;

/// A supervisor could not start, because one of its children could not. Those started before it have been stopped again.
///
/// What lies in the [`ExitReason::Error`] of such a supervisor.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("child {child} did not start")]
#[non_exhaustive]
pub struct ChildNotStarted {
    /// Which child.
    pub child: ChildId,
    /// Why.
    #[source]
    pub error: StartError,
}

/// What came of starting one child.
enum Begun {
    Up,
    Failed(StartError),
    Interrupted,
}

/// Starts what is wanted from this key on, in order. False: interrupted, or failed (which is noted).
pub(super) async fn start_wanted(branch: &Arc<SupervisorCore>, from: u64) -> bool {
    let mut from = from;
    loop {
        let next = {
            let mut locked = branch.lock();
            if SupervisorCore::is_interrupted(&locked) {
                locked.rules.put_off(None);
                return false;
            }
            locked.rules.next_wanted(from)
        };
        let Some((key, child)) = next else { return true };
        let begun = match child {
            Some((child, start)) => start_one(branch, key, child, start).await,
            // It was abandoned, and still is not down.
            None if branch
                .lock()
                .rules
                .get(key)
                .is_some_and(|e| matches!(e.state, State::Stopping | State::Abandoned)) =>
            {
                Begun::Failed(StartError::AlreadyStarted)
            }
            // Another caller has started it.
            None => Begun::Up,
        };
        match begun {
            Begun::Up => from = key + 1,
            Begun::Interrupted => {
                branch.lock().rules.put_off(Some(key));
                return false;
            }
            Begun::Failed(error) => {
                failed(branch, key, error);
                return false;
            }
        }
    }
}

/// A child did not start: the whole is rolled back, or, if it was up before, the restart is tried again.
fn failed(branch: &Arc<SupervisorCore>, key: u64, error: StartError) {
    let (outcome, exit) = {
        let mut locked = branch.lock();
        let child = SupervisorCore::id_of(&locked, key);
        let incarnation = locked.rules.get(key).map_or(0, |e| e.incarnation);
        let why = reason(&error);
        if locked.rules.life == Life::Starting {
            let reason = ExitReason::Error(Arc::new(ChildNotStarted { child, error }));
            locked.rules.end(reason);
            (Some(Outcome::NotStarted), Exit::new(why, Phase::Init, None, incarnation))
        } else {
            let outcome = locked.rules.group_start_failed(key, clock::now());
            (outcome, Exit::new(why, Phase::Init, None, incarnation))
        }
    };
    if let Some(outcome) = outcome {
        branch.report(key, &End::new(exit, false), outcome);
    }
}

/// The reason of an exit that such a failure is.
fn reason(error: &StartError) -> ExitReason {
    match error {
        StartError::Failed(reason) => reason.clone(),
        other => other.clone().into(),
    }
}

/// What is told to those who wait in the queue of a child that did not start by hand, and that closes with that.
pub(crate) fn why_not_started(error: &StartError) -> ExitReason {
    match error {
        // It was not let begin: its supervisor is about to end, or a caller has stopped it.
        StartError::Supervised | StartError::NoRuntime | StartError::Closed | StartError::AlreadyStarted => {
            ExitReason::Shutdown
        }
        failed => reason(failed),
    }
}

/// Starts one child, which the table shows as starting.
async fn start_one(branch: &Arc<SupervisorCore>, key: u64, child: Arc<dyn Child>, start: u32) -> Begun {
    let mut starting = child.start();
    let started = {
        let interrupted = pin!(branch.until(SupervisorCore::is_interrupted));
        match select(&mut starting, interrupted).await {
            Either::Left((started, _)) => Some(started),
            Either::Right(_) => None,
        }
    };
    let error = match started {
        Some(Ok(())) => return Begun::Up,
        Some(Err(StartError::Ignored)) => {
            ignored(branch, key, start);
            return Begun::Up;
        }
        Some(Err(error)) => Some(error),
        None => None,
    };
    let moot = {
        branch.start_failed(key, start, None);
        branch.lock().rules.is_moot(key, start)
    };
    // Noted first: an end that came before the note would be taken for a crash.
    drop(starting);
    match error {
        None => Begun::Interrupted,
        // It was stopped by hand, or another start has it by now.
        Some(_) if moot => {
            branch.lock().rules.taken_back(key);
            Begun::Up
        }
        // Its mailbox was closed while it was stopped: it is gone for good, as if it had been running.
        Some(StartError::Closed) if branch.lock().incarnation > 1 || branch.lock().rules.life == Life::Up => {
            let gone = branch.lock().rules.remove(key);
            if let Some(gone) = gone {
                branch.retire(&gone, &ExitReason::Shutdown);
            }
            Begun::Up
        }
        Some(error) => Begun::Failed(error),
    }
}

/// A child's `init` had nothing to serve: its specification stays, unless it is temporary.
pub(crate) fn ignored(branch: &Arc<SupervisorCore>, key: u64, start: u32) {
    branch.start_failed(key, start, None);
    let gone = {
        let mut locked = branch.lock();
        if locked.rules.goes_when_stopped(key) {
            locked.rules.discard_start(key, start)
        } else {
            locked.rules.keep(key);
            None
        }
    };
    if let Some(gone) = gone {
        branch.retire(&gone, &ExitReason::Normal);
    }
}

impl SupervisorCore {
    /// Notes that the start of a child has come to nothing. Tells the callers that wait for its end. `discards`: the
    /// specification goes with it, for that reason, in the same moment, so that no other caller closes a mailbox that is
    /// to be given back. Returns what has left the table, and whether an incarnation of it has begun.
    pub(crate) fn start_failed(
        self: &Arc<Self>,
        key: u64,
        epoch: u32,
        discards: Option<&ExitReason>,
    ) -> Option<(Arc<dyn Child>, bool)> {
        let (tell, gone, over, down) = {
            let mut locked = self.lock();
            let tell = locked.rules.start_failed(key, epoch);
            let begun = locked.rules.get(key).is_none_or(|entry| entry.incarnation > 0);
            let gone = discards.and_then(|why| locked.rules.discard_failed(key, epoch, why));
            let over = locked.closes_for_good(key);
            (tell, gone.map(|gone| (gone, begun)), over, locked.is_ending() && locked.rules.live == 0)
        };
        self.close_over(over);
        self.tell(tell);
        if down {
            // A caller that waits by hand may get here by being dropped. Each caller that notes an end sees to a performer,
            // which mostly is only woken. A performer that has gone with its runtime is spawned there once more, which
            // drops it at once and ends the rest.
            self.ensure_performer();
        }
        gone
    }
}
