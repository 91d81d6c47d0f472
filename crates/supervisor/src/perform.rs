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
use crate::rules::{Group, Kill, Life, Outcome, State, Stopping};
use crate::shutdown::Stage;
use futures::future::{Either, select};
use restante_core::timeout::at_most;
use restante_core::{Exit, ExitReason, Phase, clock};
use restante_genserver::StartError;
use restante_genserver::keeper::End;
use std::collections::{BTreeMap, BTreeSet};
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
        let why = match &error {
            StartError::Failed(reason) => reason.clone(),
            other => other.clone().into(),
        };
        if desk.rules.life == Life::Starting {
            let reason = ExitReason::Error(Arc::new(ChildNotStarted { child, error }));
            desk.rules.end(reason);
            (Some(Outcome::NotStarted), Exit::new(why, Phase::Init, None, incarnation))
        } else {
            let outcome = desk.rules.group_start_failed(key, clock::now());
            (outcome, Exit::new(why, Phase::Init, None, incarnation))
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
                branch.retire(&gone, &ExitReason::Shutdown);
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
        branch.retire(&gone, &ExitReason::Normal);
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
            branch.retire(&gone, &ExitReason::Shutdown);
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
    if start_wanted(branch, group.from).await {
        // (A group that fell while the supervisor was starting has been started with all the rest.)
        branch.up();
    }
}

/// Stops one child, within its own limit, and waits until it is down. False: it is not, and was abandoned. `by_hand`: a
/// group restart under way will not start it again, and the end of the whole does not count it.
pub(crate) async fn stop_one(branch: &Arc<Branch>, key: u64, by_hand: bool) -> bool {
    let (stopping, told) = {
        let mut desk = branch.desk();
        (stops(&mut desk, key, by_hand), desk.rules.listen(key))
    };
    let (child, incarnation, limit) = match stopping {
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
            order(&*child, incarnation, shutdown, in_init);
            (child, incarnation, limit(shutdown))
        }
    };
    let Some(mut told) = told else { return true };
    let late = match limit {
        Some(limit) => at_most(limit, &mut told).await.is_none().then_some(limit),
        None => None,
    };
    if let Some(limit) = late {
        note_late(&mut branch.desk(), key, limit, by_hand);
        child.kill(incarnation, ExitReason::Killed);
    }
    let down = (late.is_none() && limit.is_some())
        || at_most(branch.patience_with(&child), &mut told).await.is_some();
    if !down {
        abandon(branch, key);
    }
    if !by_hand {
        absorb(branch, key, &child, down);
    }
    down
}

/// Decides how a child is stopped, and notes that it is killed if it is.
fn stops(desk: &mut Desk, key: u64, by_hand: bool) -> Stopping<Arc<dyn Child>> {
    let mut stopping = desk.rules.stops(key, by_hand);
    if let Stopping::Tell { shutdown, .. } = &mut stopping {
        if desk.brutal {
            *shutdown = Shutdown::BrutalKill;
        }
        match desk.late.filter(|_| desk.brutal) {
            Some(limit) => note_late(desk, key, limit, by_hand),
            None if desk.brutal => note_killed(desk, key),
            None if *shutdown == Shutdown::BrutalKill => drop(desk.rules.kills(key, Kill::Plain)),
            None => {}
        }
    }
    stopping
}

/// A child is killed with everything else.
fn note_killed(desk: &mut Desk, key: u64) {
    desk.rules.kills(key, Kill::Plain);
    desk.report.went_to(Stage::Cancel);
}

/// A child had so long, and is killed.
fn note_late(desk: &mut Desk, key: u64, limit: Duration, by_hand: bool) {
    let first = desk.rules.kills(key, Kill::Late);
    if first && !by_hand && matches!(desk.rules.life, Life::Ending(_)) {
        let id = Branch::id_of(desk, key);
        desk.report.went_to(Stage::Cancel);
        desk.report.killed.push((id.to_string(), limit));
    }
}

/// How long a child may take; `None`: it is killed without that.
fn limit(shutdown: Shutdown) -> Option<Duration> {
    match shutdown {
        Shutdown::BrutalKill => None,
        Shutdown::Timeout(limit) => Some(limit),
        Shutdown::Infinity => Some(Duration::MAX),
    }
}

/// Tells an incarnation to end, in the way that fits.
fn order(child: &dyn Child, incarnation: u32, shutdown: Shutdown, in_init: bool) {
    if shutdown == Shutdown::BrutalKill {
        child.kill(incarnation, ExitReason::Killed);
    } else if in_init && child.kind() == ChildKind::Worker {
        // There is no state that `terminate` could clean up: it need not come to the end of `init`.
        child.kill(incarnation, ExitReason::Shutdown);
    } else {
        child.order_stop(incarnation, ExitReason::Shutdown);
    }
}

/// A child does not end: it is left behind.
fn abandon(branch: &Arc<Branch>, key: u64) {
    let child = {
        let mut desk = branch.desk();
        desk.rules.abandon(key);
        Branch::id_of(&desk, key)
    };
    branch.tell(Vec::new());
    tracing::error!(supervisors = %branch.path(), %child, "a child does not stop, not even killed: it is abandoned");
}

/// Takes what there is to say of a child into the report of the whole's end, if it is that. A supervisor has its own report; one
/// that was abandoned has said what it knew by then.
fn absorb(branch: &Arc<Branch>, key: u64, child: &Arc<dyn Child>, down: bool) {
    let below = Arc::clone(child).as_branch().map(|below| below.desk().report.clone());
    let mut desk = branch.desk();
    if !matches!(desk.rules.life, Life::Ending(_)) {
        return;
    }
    match below {
        Some(below) => {
            let id = Branch::id_of(&desk, key);
            desk.report.absorb(id.as_str(), below);
        }
        None => desk.report.stopped += usize::from(down),
    }
}

impl Branch {
    /// How long a killed child may take to be down.
    fn patience_with(&self, child: &Arc<dyn Child>) -> Duration {
        match Arc::clone(child).as_branch() {
            None => self.grace,
            // It abandons what is below it first, so that it is down, and can say so, before it is abandoned itself.
            Some(below) => self.grace.max(SLACK).saturating_add(below.patience()),
        }
    }

    /// How long it may take itself, once it is killed.
    fn patience(&self) -> Duration {
        let below: Vec<_> = {
            let desk = self.desk();
            if desk.rules.supervisors == 0 {
                return self.grace;
            }
            let all = desk.rules.children.values().map(|entry| &entry.child);
            all.filter(|child| child.kind() == ChildKind::Supervisor).cloned().collect()
        };
        below.iter().map(|child| self.patience_with(child)).fold(self.grace, Duration::max)
    }
}

/// What a supervisor is given beyond the time that it gives others, however little that is.
const SLACK: Duration = Duration::from_millis(100);

/// Stops everything: one after the other in reverse order, or, where there is no order among them, together.
async fn stop_all(branch: &Arc<Branch>) {
    let (dynamic, brutal) = {
        let mut desk = branch.desk();
        desk.ending_since.get_or_insert_with(clock::now);
        (desk.rules.settings.dynamic, desk.brutal)
    };
    if dynamic || brutal {
        stop_together(branch).await;
    } else {
        stop_in_turn(branch).await;
    }
    let mut desk = branch.desk();
    let abandoned = desk.rules.abandoned();
    for key in abandoned {
        let id = Branch::id_of(&desk, key);
        desk.report.went_to(Stage::Abandon);
        desk.report.abandoned.push(id.to_string());
    }
}

async fn stop_in_turn(branch: &Arc<Branch>) {
    // (Who is down stays down while the whole ends, so nobody behind the last one is looked at again.)
    let mut before = u64::MAX;
    loop {
        let last = branch.desk().rules.last_live(before);
        let Some(key) = last else { return };
        before = key;
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

/// A child that has been told to end.
struct Told {
    key: u64,
    child: Arc<dyn Child>,
    incarnation: u32,
    /// `None`: it has been killed.
    limit: Option<Duration>,
}

/// Orders all to stop at once; each limit that occurs among them is waited for once.
async fn stop_together(branch: &Arc<Branch>) {
    let begun = clock::now();
    let mut told = order_all(branch).await;
    let mut limits: BTreeMap<Duration, Vec<usize>> = BTreeMap::new();
    for (n, limit) in told.iter().enumerate().filter_map(|(n, told)| Some((n, told.limit?))) {
        limits.entry(limit).or_default().push(n);
    }
    for (limit, whose) in limits {
        let waits = {
            let desk = branch.desk();
            whose.iter().any(|n| !desk.rules.is_down(told[*n].key))
        };
        if !waits {
            continue;
        }
        let left = if limit == Duration::MAX {
            // Who is waited for without end must not wait for who was killed and does not end either.
            abandon_killed(branch, &told).await;
            limit
        } else {
            limit.saturating_sub(clock::now().saturating_duration_since(begun))
        };
        wait(branch, left, |desk| desk.rules.live == 0 || desk.brutal).await;
        let (down, brutal) = {
            let desk = branch.desk();
            (desk.rules.live == 0, desk.brutal)
        };
        if down {
            break;
        }
        if brutal {
            for told in &mut told {
                kill_late(branch, told);
            }
            break;
        }
        for n in whose {
            kill_late(branch, &mut told[n]);
        }
    }
    if !wait(branch, branch.grace, |desk| desk.rules.live == 0).await {
        abandon_all(branch, &told).await;
    }
    for Told { key, child, .. } in &told {
        let left = branch.desk().rules.get(*key).is_some_and(|entry| entry.state == State::Abandoned);
        absorb(branch, *key, child, !left);
    }
}

/// Workers that were killed have had their time, while others are waited for.
async fn abandon_killed(branch: &Arc<Branch>, told: &[Told]) {
    let killed = |told: &&Told| told.limit.is_none() && told.child.kind() == ChildKind::Worker;
    let is_live = |told: &&Told| !branch.desk().rules.is_down(told.key);
    if !told.iter().filter(killed).any(|told| is_live(&told)) {
        return;
    }
    wait(branch, branch.grace, |desk| desk.rules.live == 0 || desk.brutal).await;
    for told in told.iter().filter(killed).filter(is_live) {
        abandon(branch, told.key);
    }
}

/// Tells all that live to end.
async fn order_all(branch: &Arc<Branch>) -> Vec<Told> {
    let keys: Vec<u64> = branch.desk().rules.live_keys();
    let mut told = Vec::new();
    for (n, key) in keys.into_iter().rev().enumerate() {
        let stopping = stops(&mut branch.desk(), key, false);
        match stopping {
            Stopping::Down | Stopping::Abandoned | Stopping::Unbegun => {}
            Stopping::Cancelled(tell) => branch.tell(tell),
            Stopping::Tell { child, incarnation, in_init, shutdown } => {
                order(&*child, incarnation, shutdown, in_init);
                told.push(Told { key, child, incarnation, limit: limit(shutdown) });
            }
        }
        if n % 256 == 255 {
            // So that what has been told can happen.
            Runtime::yield_now().await;
        }
    }
    told
}

/// Kills a child whose time is over, or whose supervisor's is, unless it is down.
fn kill_late(branch: &Arc<Branch>, told: &mut Told) {
    let Some(limit) = told.limit else { return };
    {
        let mut desk = branch.desk();
        if desk.rules.is_down(told.key) {
            return;
        }
        match (desk.brutal, desk.late) {
            (true, Some(late)) => note_late(&mut desk, told.key, late, false),
            (true, None) => note_killed(&mut desk, told.key),
            (false, _) => note_late(&mut desk, told.key, limit, false),
        }
    }
    told.limit = None;
    told.child.kill(told.incarnation, ExitReason::Killed);
}

/// What was killed has had its time: it is abandoned, but for supervisors, which have first to do the same below.
async fn abandon_all(branch: &Arc<Branch>, told: &[Told]) {
    let mut patience = Duration::ZERO;
    let mut busy = BTreeSet::new();
    for told in told.iter().filter(|told| told.child.kind() == ChildKind::Supervisor) {
        if !branch.desk().rules.is_down(told.key) {
            busy.insert(told.key);
            patience = patience.max(branch.patience_with(&told.child));
        }
    }
    let live = branch.desk().rules.live_keys();
    for key in live.into_iter().filter(|key| !busy.contains(key)) {
        abandon(branch, key);
    }
    if !wait(branch, patience.saturating_sub(branch.grace), |desk| desk.rules.live == 0).await {
        let live = branch.desk().rules.live_keys();
        for key in live {
            abandon(branch, key);
        }
    }
}

/// Waits until `holds`, but no longer than this: whether it does.
async fn wait(branch: &Arc<Branch>, limit: Duration, holds: impl Fn(&Desk) -> bool) -> bool {
    let mut until = Box::pin(branch.until(holds));
    at_most(limit, &mut until).await.is_some()
}
