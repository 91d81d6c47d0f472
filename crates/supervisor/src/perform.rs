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
pub(crate) struct Performer {
    branch: Arc<Branch>,
    done: bool,
}

impl Performer {
    /// To be spawned: from here on it is a performer, also if it is never polled.
    pub(crate) fn new(branch: Arc<Branch>) -> Self {
        Self { branch, done: false }
    }

    pub(crate) async fn perform(mut self) {
        let branch = &self.branch;
        while let Some(job) = next_job(branch) {
            match job {
                Job::Start => {
                    if start_wanted(branch, 0).await {
                        branch.up();
                    }
                }
                Job::Group(group) => {
                    restart_group(branch, group).await;
                    // Without a pause, and with an `init` that fails at once, nothing else waits here.
                    Runtime::yield_now().await;
                }
                Job::End => {
                    stop_all(branch).await;
                    if branch.down() {
                        Runtime::yield_now().await;
                        branch.begin_again();
                    }
                }
            }
        }
        self.done = true;
    }
}

/// The most urgent thing to do; none: the performer has gone, as of this moment.
fn next_job(branch: &Branch) -> Option<Job> {
    let mut desk = branch.desk();
    if matches!(desk.rules.life, Life::Ending(_)) {
        return Some(Job::End);
    }
    if let Some(group) = desk.rules.group.take() {
        desk.rules.falling = Some(group);
        return Some(Job::Group(group));
    }
    if desk.rules.life == Life::Starting {
        return Some(Job::Start);
    }
    desk.performing = false;
    None
}

impl Drop for Performer {
    fn drop(&mut self) {
        if !self.done {
            self.branch.orphaned();
        }
    }
}

impl Branch {
    /// The supervisor's runtime has shut down: nobody will perform there. All that is left is killed; it is down when that
    /// has ended, which mostly is at once.
    pub(crate) fn orphaned(self: &Arc<Self>) {
        let live = {
            let mut desk = self.desk();
            if desk.rules.life == Life::Down {
                desk.performing = false;
                return;
            }
            // Until this is done it need not be begun again for each child that ends by it.
            desk.performing = true;
            desk.brutal = true;
            desk.rules.end(ExitReason::Killed);
            desk.rules.live_keys()
        };
        for key in live {
            let stopping = self.desk().rules.stops(key, false);
            match stopping {
                Stopping::Down | Stopping::Abandoned | Stopping::Unbegun => {}
                Stopping::Cancelled(tell) => self.tell(tell),
                Stopping::Tell { child, incarnation, .. } => child.kill(incarnation, ExitReason::Killed),
            }
        }
        let down = {
            let mut desk = self.desk();
            desk.performing = false;
            desk.rules.live == 0
        };
        if down {
            self.down();
        }
    }

    /// The start of a child has come to nothing: who waited for its end is told.
    pub(crate) fn start_failed(self: &Arc<Self>, key: u64, epoch: u32) {
        let (tell, down) = {
            let mut desk = self.desk();
            let tell = desk.rules.start_failed(key, epoch);
            (tell, desk.is_ending() && desk.rules.live == 0)
        };
        self.tell(tell);
        if down {
            self.ensure_performer();
        }
    }

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

    /// Tells those who wait for a child's end; and the performer, if it was the last.
    pub(crate) fn tell(&self, tell: Vec<tokio::sync::oneshot::Sender<()>>) {
        for waiting in tell {
            let _ = waiting.send(());
        }
        if self.desk().rules.live == 0 {
            self.bell.notify_waiters();
        }
    }
}

/// Starts what is wanted from this key on, in order. False: interrupted, or failed (which is noted).
async fn start_wanted(branch: &Arc<Branch>, from: u64) -> bool {
    let mut from = from;
    loop {
        let next = {
            let mut desk = branch.desk();
            if Branch::is_interrupted(&desk) {
                desk.rules.put_off(None);
                return false;
            }
            desk.rules.next_wanted(from)
        };
        let Some((key, child)) = next else { return true };
        let begun = match child {
            Some((child, start)) => start_one(branch, key, child, start).await,
            // It was abandoned, and still is not down.
            None if branch
                .desk()
                .rules
                .get(key)
                .is_some_and(|e| matches!(e.state, State::Stopping | State::Abandoned)) =>
            {
                Begun::Failed(StartError::AlreadyStarted)
            }
            // Somebody else has started it.
            None => Begun::Up,
        };
        match begun {
            Begun::Up => from = key + 1,
            Begun::Interrupted => {
                branch.desk().rules.put_off(Some(key));
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
async fn start_one(branch: &Arc<Branch>, key: u64, child: Arc<dyn Child>, start: u32) -> Begun {
    let mut starting = child.start();
    let started = {
        let interrupted = pin!(branch.until(Branch::is_interrupted));
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
        branch.start_failed(key, start);
        branch.desk().rules.is_moot(key, start)
    };
    // Noted first: an end that came before the note would be taken for a crash.
    drop(starting);
    match error {
        None => Begun::Interrupted,
        // Somebody has stopped it by hand: the others do without.
        Some(_) if moot => Begun::Up,
        // Its mailbox was closed while it was stopped: it is gone for good, as if it had been running.
        Some(StartError::Closed) if branch.desk().incarnation > 1 || branch.desk().rules.life == Life::Up => {
            let gone = branch.desk().rules.remove(key);
            if let Some(gone) = gone {
                branch.retire(&*gone, &ExitReason::Shutdown);
            }
            Begun::Up
        }
        Some(error) => Begun::Failed(error),
    }
}

/// A child's `init` had nothing to serve: its specification stays, unless it is temporary.
pub(crate) fn ignored(branch: &Arc<Branch>, key: u64, start: u32) {
    branch.start_failed(key, start);
    let gone = {
        let mut desk = branch.desk();
        if desk.rules.goes_when_stopped(key) {
            desk.rules.discard_start(key, start)
        } else {
            desk.rules.keep(key);
            None
        }
    };
    if let Some(gone) = gone {
        branch.retire(&*gone, &ExitReason::Normal);
    }
}

/// Stops the group in reverse order, waits, starts it in order.
async fn restart_group(branch: &Arc<Branch>, group: Group) {
    let members = group.from..group.until;
    let members: Vec<u64> = branch.desk().rules.children.range(members).map(|(key, _)| *key).collect();
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
            branch.desk().rules.put_off(None);
            return;
        }
    }
    if start_wanted(branch, group.from).await {
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
        Stopping::Abandoned => return false,
        Stopping::Cancelled(tell) => {
            branch.tell(tell);
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
            overdue(branch, key, limit);
        }
        child.kill(incarnation, ExitReason::Killed);
        // (A supervisor that is killed ends: what does not end below it, it abandons itself.)
        let grace = if child.kind() == ChildKind::Supervisor { Duration::MAX } else { branch.grace };
        if at_most(grace, &mut told).await.is_none() {
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

/// A child is over its limit, and will be killed.
fn overdue(branch: &Branch, key: u64, limit: Duration) {
    let mut desk = branch.desk();
    if desk.rules.overdue(key) && desk.is_ending() {
        let id = Branch::id_of(&desk, key);
        desk.report.killed.push((id.to_string(), limit));
    }
}

/// A child does not end: it is left behind, and named.
fn abandon(branch: &Arc<Branch>, key: u64) {
    let child = {
        let mut desk = branch.desk();
        let id = Branch::id_of(&desk, key);
        if desk.is_ending() {
            desk.report.abandoned.push(id.to_string());
        }
        desk.rules.abandon(key);
        id
    };
    branch.tell(Vec::new());
    tracing::error!(supervisors = %branch.path(), %child, "a child does not stop, not even killed: it is abandoned");
}

/// Takes over what a child that is a supervisor has to report, if this one has to report as well.
fn absorb(branch: &Arc<Branch>, key: u64, child: &Arc<dyn Child>) {
    let Some(below) = Arc::clone(child).as_branch() else { return };
    if !branch.desk().is_ending() {
        return;
    }
    let report = std::mem::take(&mut below.desk().report);
    let mut desk = branch.desk();
    let id = Branch::id_of(&desk, key);
    desk.report.absorb(id.as_str(), report);
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
            Stopping::Down | Stopping::Abandoned | Stopping::Unbegun => {}
            Stopping::Cancelled(tell) => branch.tell(tell),
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
            Runtime::yield_now().await;
        }
    }
    let mut brutal = branch.desk().brutal;
    for limit in limits {
        let has_it = |shutdown: &Shutdown| *shutdown == Shutdown::Timeout(limit);
        if !waiting.iter().any(|(key, _, _, how)| has_it(how) && !branch.desk().rules.is_down(*key)) {
            continue;
        }
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
                    overdue(branch, *key, limit);
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
        // (Not in the head of the loop: the lock would be held throughout.)
        let live = branch.desk().rules.live_keys();
        let is_worker =
            |key: &u64| branch.desk().rules.get(*key).is_some_and(|e| e.child.kind() == ChildKind::Worker);
        for key in live.into_iter().filter(is_worker) {
            abandon(branch, key);
        }
        // A supervisor that is killed ends: what does not end below it, it abandons itself.
        down.await;
    }
    for (key, child, ..) in &waiting {
        absorb(branch, *key, child);
    }
}
