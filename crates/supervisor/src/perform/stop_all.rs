//! Stopping everything: in turn, or together, where each limit that occurs is waited for once. How one child is told, and
//! what becomes of one that does not end, lies in [`super::stop`].

use super::notes::{absorb, note_killed, note_late};
use super::stop::{abandon, limit, order, stop_one, stops};
use crate::branch::{SupervisorCore, SupervisorState};
use crate::child::Child;
use crate::child_options::ChildKind;
use crate::path::step;
use crate::rt::{Runtime, at_most};
use crate::rules::{Life, State, Stopping};
use crate::shutdown::Stage;
use crate::waits::Falling;
use futures::future::{Either, select};
use restante_core::{ExitReason, clock};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Stops everything: one after the other in reverse order, or, where there is no order among them, together.
pub(super) async fn stop_all(branch: &Arc<SupervisorCore>) {
    // Who waits for a restart is down: none of the others waits for it, neither here nor there.
    branch.take_back(0..u64::MAX);
    branch.note_for_good();
    let (dynamic, brutal) = {
        let mut locked = branch.lock();
        locked.ending_since.get_or_insert_with(clock::now);
        (locked.rules.settings.dynamic, locked.brutal)
    };
    if dynamic || brutal {
        stop_together(branch).await;
    } else {
        stop_in_turn(branch).await;
    }
    branch.note_for_good();
    let mut given_up = Vec::new();
    {
        let mut locked = branch.lock();
        let abandoned = locked.rules.abandoned();
        for key in abandoned {
            let id = SupervisorCore::id_of(&locked, key);
            locked.report.went_to(Stage::Abandon);
            locked.report.abandoned.push(step(id.as_str()).into_owned());
            if let (true, Life::Ending(reason), Some(entry)) =
                (locked.for_good, &locked.rules.life, locked.rules.get(key))
            {
                given_up.push((Arc::clone(&entry.child), reason.clone()));
            }
        }
    }
    for (child, reason) in given_up {
        child.give_up(&reason);
    }
}

async fn stop_in_turn(branch: &Arc<SupervisorCore>) {
    // A child that is down stays down while the whole ends, so no child behind the last one is looked at again.
    let mut before = u64::MAX;
    let mut falling = falling(branch);
    loop {
        let last = {
            let locked = branch.lock();
            let key = locked.rules.last_live(before);
            key.and_then(|key| Some((key, Arc::clone(&locked.rules.get(key)?.child))))
        };
        let Some((key, child)) = last else { return };
        before = key;
        // The supervisor above may have begun to end as well.
        branch.note_for_good();
        if branch.lock().for_good {
            falling = None;
        }
        if let Some(falling) = &mut falling {
            falling.stops(std::iter::once(&child));
        }
        let killed = {
            let stop = pin!(stop_one(branch, key, false));
            let killed = pin!(branch.until(|locked| locked.brutal));
            matches!(select(stop, killed).await, Either::Right(_))
        };
        if killed {
            drop(falling);
            return stop_together(branch).await;
        }
        if let Some(falling) = &mut falling {
            falling.down(&child);
        }
    }
}

/// Where the supervisor may be started again, its children come back when all of them have been stopped. `None`: they do not.
fn falling(branch: &Arc<SupervisorCore>) -> Option<Falling> {
    let down: Vec<_> = {
        let locked = branch.lock();
        if locked.for_good {
            return None;
        }
        let down = locked.rules.children.values().filter(|entry| entry.state == State::Stopped);
        down.map(|entry| Arc::clone(&entry.child)).collect()
    };
    let mut falling = Falling::new(branch);
    for child in &down {
        falling.down(child);
    }
    Some(falling)
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
async fn stop_together(branch: &Arc<SupervisorCore>) {
    let mut told = order_all(branch).await;
    // None of them serves another one any more: each has its order.
    let mut falling = falling(branch).filter(|_| branch.lock().rules.settings.keep_children);
    if let Some(falling) = &mut falling {
        falling.stops(told.iter().map(|told| &told.child));
        for told in &told {
            falling.down(&told.child);
        }
        for told in &told {
            told.child.nudge();
        }
    }
    // A child's time does not run before the child has been told, and to tell a million takes its time.
    let begun = clock::now();
    let mut limits: BTreeMap<Duration, Vec<usize>> = BTreeMap::new();
    for (n, limit) in told.iter().enumerate().filter_map(|(n, told)| Some((n, told.limit?))) {
        limits.entry(limit).or_default().push(n);
    }
    for (limit, whose) in limits {
        let waits = {
            let locked = branch.lock();
            whose.iter().any(|n| !locked.rules.is_down(told[*n].key))
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
        wait(branch, left, |locked| locked.rules.live == 0 || locked.brutal).await;
        let (down, brutal) = {
            let locked = branch.lock();
            (locked.rules.live == 0, locked.brutal)
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
    if !wait(branch, branch.grace, |locked| locked.rules.live == 0).await {
        abandon_all(branch, &told).await;
    }
    for Told { key, child, .. } in &told {
        let left = branch.lock().rules.get(*key).is_some_and(|entry| entry.state == State::Abandoned);
        absorb(branch, *key, child, !left);
    }
}

/// Workers that were killed have had their time, while others are waited for.
async fn abandon_killed(branch: &Arc<SupervisorCore>, told: &[Told]) {
    let killed = |told: &&Told| told.limit.is_none() && told.child.kind() == ChildKind::Worker;
    let is_live = |told: &&Told| !branch.lock().rules.is_down(told.key);
    if !told.iter().filter(killed).any(|told| is_live(&told)) {
        return;
    }
    wait(branch, branch.grace, |locked| locked.rules.live == 0 || locked.brutal).await;
    for told in told.iter().filter(killed).filter(is_live) {
        abandon(branch, told.key);
    }
}

/// Tells all that live to end.
async fn order_all(branch: &Arc<SupervisorCore>) -> Vec<Told> {
    let keys: Vec<u64> = branch.lock().rules.live_keys();
    let mut told = Vec::new();
    for (n, key) in keys.into_iter().rev().enumerate() {
        let stopping = stops(&mut branch.lock(), key, false);
        match stopping {
            Stopping::Down | Stopping::Abandoned | Stopping::Unbegun => {}
            Stopping::Cancelled(tell) => branch.cancelled(key, tell),
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
fn kill_late(branch: &Arc<SupervisorCore>, told: &mut Told) {
    let Some(limit) = told.limit else { return };
    {
        let mut locked = branch.lock();
        if locked.rules.is_down(told.key) {
            return;
        }
        match (locked.brutal, locked.late) {
            (true, Some(late)) => note_late(&mut locked, told.key, late, false),
            (true, None) => note_killed(&mut locked, told.key),
            (false, _) => note_late(&mut locked, told.key, limit, false),
        }
    }
    told.limit = None;
    told.child.kill(told.incarnation, ExitReason::Killed);
}

/// What was killed has had its time: it is abandoned, but for supervisors, which have first to do the same below.
async fn abandon_all(branch: &Arc<SupervisorCore>, told: &[Told]) {
    let mut patience = Duration::ZERO;
    let mut busy = BTreeSet::new();
    for told in told.iter().filter(|told| told.child.kind() == ChildKind::Supervisor) {
        if !branch.lock().rules.is_down(told.key) {
            busy.insert(told.key);
            patience = patience.max(branch.patience_with(&told.child));
        }
    }
    let live = branch.lock().rules.live_keys();
    for key in live.into_iter().filter(|key| !busy.contains(key)) {
        abandon(branch, key);
    }
    if !wait(branch, patience.saturating_sub(branch.grace), |locked| locked.rules.live == 0).await {
        let live = branch.lock().rules.live_keys();
        for key in live {
            abandon(branch, key);
        }
    }
}

/// Waits until `holds`, but no longer than this: whether it does.
async fn wait(
    branch: &Arc<SupervisorCore>,
    limit: Duration,
    holds: impl Fn(&SupervisorState) -> bool,
) -> bool {
    let mut until = Box::pin(branch.until(holds));
    at_most(limit, &mut until).await.is_some()
}
