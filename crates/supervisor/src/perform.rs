//! What takes a supervisor longer than a decision: starting all its children, stopping them, and restarting a group. One
//! task at a time does it, and is there only while there is something to do.
//!
//! Whatever it waits for, it stops waiting when something more urgent is noted: the supervisor's end, or a group restart
//! that takes in more children. What it had begun it leaves in a state from which the next job goes on.

use crate::branch::{Branch, Desk};
use crate::child::Child;
use crate::child_spec::{ChildId, ChildKind, Shutdown};
use crate::restart::Restart;
use crate::rt::Runtime;
use crate::rules::{Group, Life, Outcome, State, Stopping};
use futures::future::{Either, select};
use restante_core::timeout::at_most;
use restante_core::{Exit, ExitReason, Phase, clock};
use restante_genserver::StartError;
use restante_genserver::keeper::End;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

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

enum Job {
    Start,
    Group(Group),
    End,
}

/// What came of starting one child.
enum Begun {
    Up,
    Failed(StartError),
    Interrupted,
}

/// Does what is noted, until there is nothing more.
pub(crate) async fn perform(branch: Arc<Branch>) {
    let mut guard = Performing { branch: &branch, done: false };
    while let Some(job) = next_job(&branch) {
        match job {
            Job::Start => {
                if start_wanted(&branch).await {
                    branch.up();
                }
            }
            Job::Group(group) => {
                restart_group(&branch, group).await;
                if branch.desk().rules.group.is_some() {
                    // A start that fails at once, and without end, would keep all others from this thread.
                    tokio::task::yield_now().await;
                }
            }
            Job::End => {
                stop_all(&branch).await;
                if branch.down() {
                    branch.begin_again();
                }
            }
        }
    }
    guard.done = true;
}

/// The most urgent thing to do; none: the performer has gone, as of this moment.
fn next_job(branch: &Branch) -> Option<Job> {
    let mut desk = branch.desk();
    if matches!(desk.rules.life, Life::Ending(_)) {
        return Some(Job::End);
    }
    if let Some(group) = desk.rules.group.take() {
        desk.rules.falling = Some(group.from);
        return Some(Job::Group(group));
    }
    if desk.rules.life == Life::Starting {
        return Some(Job::Start);
    }
    desk.performing = false;
    None
}

/// The performer was dropped half-way: its runtime has shut down, and nobody else will perform there.
struct Performing<'a> {
    branch: &'a Arc<Branch>,
    done: bool,
}

impl Drop for Performing<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let down = {
            let mut desk = self.branch.desk();
            desk.performing = false;
            desk.rules.end(ExitReason::Killed);
            desk.rules.live == 0
        };
        if down {
            self.branch.down();
        }
    }
}

impl Branch {
    /// Waits until `holds`, which is looked at again when the bell is rung.
    pub(crate) async fn until(&self, holds: impl Fn(&Desk) -> bool) {
        loop {
            // Listen first, then look: or the bell could be rung in between.
            let rung = self.bell.notified();
            if holds(&self.desk()) {
                return;
            }
            rung.await;
        }
    }

    /// Something more urgent than a start has been noted.
    fn is_interrupted(desk: &Desk) -> bool {
        matches!(desk.rules.life, Life::Ending(_) | Life::Down) || desk.rules.group.is_some()
    }

    fn tell(tell: Vec<tokio::sync::oneshot::Sender<()>>) {
        for waiting in tell {
            let _ = waiting.send(());
        }
    }
}

/// Starts what is wanted, in order. False: interrupted, or failed (which is noted).
async fn start_wanted(branch: &Arc<Branch>) -> bool {
    let mut from = 0;
    loop {
        let next = {
            let mut desk = branch.desk();
            if Branch::is_interrupted(&desk) {
                return false;
            }
            desk.rules.next_wanted(from)
        };
        let Some((key, child)) = next else { return true };
        let begun = match child {
            Some(child) => start_one(branch, key, child).await,
            // Somebody else has started it, or it was abandoned and still is not down.
            None if branch.desk().rules.get(key).is_some_and(|e| e.state == State::Stopping) => {
                Begun::Failed(StartError::AlreadyStarted)
            }
            None => Begun::Up,
        };
        match begun {
            Begun::Up => from = key + 1,
            Begun::Interrupted => return false,
            Begun::Failed(error) => {
                failed(branch, key, error);
                return false;
            }
        }
    }
}

/// A child did not start: the whole is rolled back, or, if it was up before, the restart is tried again.
fn failed(branch: &Arc<Branch>, key: u64, error: StartError) {
    let (outcome, exit) = {
        let mut desk = branch.desk();
        let child = Branch::id_of(&desk, key);
        let incarnation = desk.rules.get(key).map_or(0, |e| e.incarnation);
        if desk.rules.life == Life::Starting {
            let reason = ExitReason::Error(Arc::new(ChildNotStarted { child, error }));
            desk.rules.end(reason.clone());
            (Some(Outcome::GivesUp), Exit::new(reason, Phase::Init, None, incarnation))
        } else {
            let reason = match error {
                StartError::Failed(reason) => reason,
                other => other.into(),
            };
            let outcome = desk.rules.group_start_failed(key, clock::now());
            (outcome, Exit::new(reason, Phase::Init, None, incarnation))
        }
    };
    if let Some(outcome) = outcome {
        branch.report(key, &End::new(exit, false), outcome);
    }
}

/// Starts one child, which the table shows as starting.
async fn start_one(branch: &Arc<Branch>, key: u64, child: Arc<dyn Child>) -> Begun {
    let started = {
        let start = child.start();
        let interrupted = pin!(branch.until(Branch::is_interrupted));
        match select(start, interrupted).await {
            Either::Left((started, _)) => Some(started),
            Either::Right(_) => None,
        }
    };
    let error = match started {
        Some(Ok(())) => return Begun::Up,
        Some(Err(StartError::Ignored)) => {
            ignored(branch, key);
            return Begun::Up;
        }
        Some(Err(error)) => Some(error),
        None => None,
    };
    let (tell, gone) = {
        let mut desk = branch.desk();
        let tell = desk.rules.start_failed(key);
        // Closed while nobody was there: to try that again would help nobody. (At the very first start it is a mistake.)
        let closed = error == Some(StartError::Closed) && !desk.is_first_start();
        (tell, closed.then(|| desk.rules.discard(key)))
    };
    Branch::tell(tell);
    match gone {
        Some(gone) => {
            if let Some(gone) = gone {
                branch.retire(&*gone, &ExitReason::Normal);
            }
            Begun::Up
        }
        None => error.map_or(Begun::Interrupted, Begun::Failed),
    }
}

/// A child's `init` had nothing to serve: its specification stays, unless it is temporary.
pub(crate) fn ignored(branch: &Arc<Branch>, key: u64) {
    let (tell, gone) = {
        let mut desk = branch.desk();
        let tell = desk.rules.start_failed(key);
        let goes = desk.rules.settings.dynamic
            || desk.rules.get(key).is_some_and(|e| e.options.restart == Restart::Temporary);
        (tell, if goes { desk.rules.discard(key) } else { None })
    };
    Branch::tell(tell);
    if let Some(gone) = gone {
        branch.retire(&*gone, &ExitReason::Normal);
    }
}

/// Stops the group in reverse order, waits, starts it in order.
async fn restart_group(branch: &Arc<Branch>, group: Group) {
    let members: Vec<u64> = branch.desk().rules.children.range(group.from..).map(|(key, _)| *key).collect();
    for key in members.iter().rev() {
        {
            let stop = pin!(stop_one(branch, *key, false));
            let ends = pin!(branch.until(|desk| matches!(desk.rules.life, Life::Ending(_) | Life::Down)));
            if let Either::Right(_) = select(stop, ends).await {
                return;
            }
        }
        let gone = {
            let mut desk = branch.desk();
            let rules = &mut desk.rules;
            let temporary = rules.get(*key).is_some_and(|e| e.options.restart == Restart::Temporary);
            if temporary { rules.discard(*key) } else { None }
        };
        if let Some(gone) = gone {
            branch.retire(&*gone, &ExitReason::Shutdown);
        }
    }
    branch.desk().rules.falling = None;
    if !group.pause.is_zero() {
        let pause = pin!(Runtime::sleep(group.pause));
        let interrupted = pin!(branch.until(Branch::is_interrupted));
        if let Either::Right(_) = select(pause, interrupted).await {
            branch.desk().rules.resume(group);
            return;
        }
    }
    if start_wanted(branch).await {
        // (A group that fell while the supervisor was starting has been started with all the rest.)
        branch.up();
    }
}

/// Stops one child, within its own limit, and waits until it is down. False: it is not, and was abandoned. `by_hand`: a
/// group restart under way will not start it again.
pub(crate) async fn stop_one(branch: &Arc<Branch>, key: u64, by_hand: bool) -> bool {
    let (stopping, told, brutal) = {
        let mut desk = branch.desk();
        let stopping = desk.rules.stops(key, by_hand);
        (stopping, desk.rules.listen(key), desk.brutal)
    };
    let (child, incarnation, shutdown) = match stopping {
        Stopping::Down => return true,
        Stopping::Cancelled(tell) => {
            Branch::tell(tell);
            return true;
        }
        Stopping::Unbegun => {
            if let Some(told) = told {
                let _ = told.await;
            }
            return true;
        }
        Stopping::Tell { child, incarnation, in_init, shutdown } => {
            let shutdown = order(&*child, incarnation, shutdown, in_init, brutal);
            (child, incarnation, shutdown)
        }
    };
    let Some(mut told) = told else { return true };
    let limit = match shutdown {
        Shutdown::BrutalKill => Duration::ZERO,
        Shutdown::Timeout(limit) => limit,
        Shutdown::Infinity => Duration::MAX,
    };
    if at_most(limit, &mut told).await.is_none() {
        if shutdown != Shutdown::BrutalKill {
            note_killed(branch, key, limit);
        }
        child.kill(incarnation, ExitReason::Killed);
        if at_most(branch.grace, &mut told).await.is_none() {
            abandon(branch, key);
            return false;
        }
    }
    absorb(branch, key, &child);
    true
}

/// Tells an incarnation to end, in the way that fits; that way.
fn order(child: &dyn Child, incarnation: u32, shutdown: Shutdown, in_init: bool, brutal: bool) -> Shutdown {
    if shutdown == Shutdown::BrutalKill || brutal {
        child.kill(incarnation, ExitReason::Killed);
        return Shutdown::BrutalKill;
    }
    if in_init && child.kind() == ChildKind::Worker {
        // There is no state that `terminate` could clean up: it need not come to the end of `init`.
        child.kill(incarnation, ExitReason::Shutdown);
    } else {
        child.order_stop(incarnation, ExitReason::Shutdown);
    }
    shutdown
}

/// A child was killed because it had not ended within its limit.
fn note_killed(branch: &Arc<Branch>, key: u64, limit: Duration) {
    if let Some((id, report)) = branch.desk().ending(key) {
        report.killed.push((id.to_string(), limit));
    }
}

/// A child does not end: it is left behind, and named.
fn abandon(branch: &Arc<Branch>, key: u64) {
    let child = {
        let mut desk = branch.desk();
        desk.rules.abandon(key);
        Branch::id_of(&desk, key)
    };
    tracing::error!(supervisors = %branch.path(), %child, "a child does not stop, not even killed: it is abandoned");
}

/// Takes over what a child that is a supervisor has to report.
fn absorb(branch: &Arc<Branch>, key: u64, child: &Arc<dyn Child>) {
    let below = Arc::clone(child).as_branch().map(|below| std::mem::take(&mut below.desk().report));
    let mut desk = branch.desk();
    let Some((id, report)) = desk.ending(key) else { return };
    match below {
        Some(below) => report.absorb(id.as_str(), below),
        None => report.stopped += 1,
    }
}

/// Stops everything: one after the other in reverse order, or, where there is no order among them, together.
async fn stop_all(branch: &Arc<Branch>) {
    let (dynamic, brutal) = {
        let desk = branch.desk();
        (desk.rules.settings.dynamic, desk.brutal)
    };
    if dynamic || brutal {
        return stop_together(branch).await;
    }
    loop {
        let last = branch.desk().rules.last_live();
        let Some(key) = last else { return };
        let killed = {
            let stop = pin!(stop_one(branch, key, false));
            let killed = pin!(branch.until(|desk| desk.brutal));
            matches!(select(stop, killed).await, Either::Right(_))
        };
        if killed {
            return stop_together(branch).await;
        }
    }
}

/// Orders all to stop at once; each limit that occurs among them is waited for once.
async fn stop_together(branch: &Arc<Branch>) {
    let begun = clock::now();
    let keys: Vec<u64> = branch.desk().rules.live_keys();
    let mut limits = std::collections::BTreeSet::new();
    let mut waiting: Vec<(u64, Arc<dyn Child>, u32, Shutdown)> = Vec::new();
    for (n, key) in keys.into_iter().enumerate() {
        let (stopping, brutal) = {
            let mut desk = branch.desk();
            (desk.rules.stops(key, false), desk.brutal)
        };
        match stopping {
            Stopping::Down | Stopping::Unbegun => {}
            Stopping::Cancelled(tell) => Branch::tell(tell),
            Stopping::Tell { child, incarnation, in_init, shutdown } => {
                let shutdown = order(&*child, incarnation, shutdown, in_init, brutal);
                if let Shutdown::Timeout(limit) = shutdown {
                    limits.insert(limit);
                }
                waiting.push((key, child, incarnation, shutdown));
            }
        }
        if n % 256 == 255 {
            // So that what has been told can happen.
            tokio::task::yield_now().await;
        }
    }
    let mut brutal = branch.desk().brutal;
    for limit in limits {
        let left = limit.saturating_sub(clock::now().saturating_duration_since(begun));
        let mut down = Box::pin(branch.until(|desk| desk.rules.live == 0 || (desk.brutal && !brutal)));
        let over = at_most(left, &mut down).await.is_none();
        drop(down);
        if branch.desk().brutal && !brutal {
            brutal = true;
            for (_, child, incarnation, shutdown) in &mut waiting {
                child.kill(*incarnation, ExitReason::Killed);
                *shutdown = Shutdown::BrutalKill;
            }
        }
        if over {
            for (key, child, incarnation, shutdown) in &mut waiting {
                if *shutdown == Shutdown::Timeout(limit) && !branch.desk().rules.is_down(*key) {
                    note_killed(branch, *key, limit);
                    child.kill(*incarnation, ExitReason::Killed);
                    *shutdown = Shutdown::BrutalKill;
                }
            }
        }
        if branch.desk().rules.live == 0 {
            break;
        }
    }
    let patient = waiting
        .iter()
        .any(|(key, _, _, shutdown)| *shutdown == Shutdown::Infinity && !branch.desk().rules.is_down(*key));
    if patient {
        branch.until(|desk| desk.rules.live == 0 || (desk.brutal && !brutal)).await;
        if branch.desk().rules.live > 0 {
            for (_, child, incarnation, _) in &waiting {
                child.kill(*incarnation, ExitReason::Killed);
            }
        }
    }
    let mut down = Box::pin(branch.until(|desk| desk.rules.live == 0));
    if at_most(branch.grace, &mut down).await.is_none() {
        for key in branch.desk().rules.live_keys() {
            abandon(branch, key);
        }
    }
    drop(down);
    let mut workers = 0;
    for (key, child, ..) in &waiting {
        if branch.desk().rules.get(*key).is_some_and(|e| e.state == State::Abandoned) {
            continue;
        }
        if child.kind() == ChildKind::Supervisor { absorb(branch, *key, child) } else { workers += 1 }
    }
    branch.desk().report.stopped += workers;
}
