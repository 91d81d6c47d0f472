//! Groups under shuttle: random schedules and schedules with few, well placed preemptions (PCT), at least 10,000 of each for
//! every test.
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" cargo test --release -p restante-registry --lib -- shuttle_
//! ```
//!
//! The table's own operations are single steps here. Every schedule ends with empty groups, and keeps its mailboxes to its
//! end: what the table drops later must have nothing of an old schedule's in it.

use super::*;
use crate::Topics;
use restante_core::Mailbox;
use shuttle::thread;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

const SCHEDULES: usize = 10_000;

fn explore(test: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(test.clone(), SCHEDULES);
    shuttle::check_pct(test, SCHEDULES, 3);
}

type Scope = Groups<u32, u8>;

/// A mailbox that a test may close while others refer to it.
fn member() -> (Arc<Mailbox<u32>>, Member<u32>) {
    let mailbox = Arc::new(Mailbox::new());
    let member = Member::address(&mailbox.address());
    (mailbox, member)
}

fn close(mailbox: &Arc<Mailbox<u32>>) -> thread::JoinHandle<()> {
    let mailbox = Arc::clone(mailbox);
    thread::spawn(move || assert!(mailbox.close()))
}

fn ids(groups: &Scope, group: u8) -> Vec<Uuid> {
    groups.with_members(&group, |members| members.iter().map(Member::id).collect())
}

/// No member is left, and none is remembered.
fn over(groups: &Scope) {
    assert!(groups.which_groups().is_empty());
    groups.scope.locked(|state, _| assert_eq!(state.books.everybody().count(), 0));
}

/// join × close × members: after the close the group is empty, whichever came first; a join that comes later is refused.
#[test]
fn shuttle_a_join_and_a_close_leave_nobody_in_the_group() {
    explore(|| {
        let groups = Scope::new();
        let ((one_mailbox, one), (mailbox, stays)) = (member(), member());
        groups.join(1, &stays).unwrap();
        let joining = {
            let (groups, one) = (groups.clone(), one.clone());
            thread::spawn(move || {
                let first = groups.join_many(1, &[one.clone(), one.clone()]);
                (first, groups.join(2, &one))
            })
        };
        let reading = {
            let (groups, one, stays) = (groups.clone(), one.id(), stays.id());
            thread::spawn(move || {
                let seen = ids(&groups, 1);
                assert!(seen == [stays] || seen == [stays, one, one], "{seen:?}");
                assert!([0, 1].contains(&groups.count(&2)));
            })
        };
        let closing = close(&one_mailbox);
        let (first, second) = joining.join().unwrap();
        reading.join().unwrap();
        closing.join().unwrap();
        assert!(first.is_ok() || second.is_err(), "who has closed has closed for good");
        assert_eq!((ids(&groups, 1), ids(&groups, 2)), (vec![stays.id()], vec![]));
        mailbox.close();
        over(&groups);
    });
}

/// leave × close × another's leave: each membership ends once, and places are right after it.
#[test]
fn shuttle_a_leave_and_a_close_end_a_membership_once() {
    explore(|| {
        let groups = Scope::new();
        let ((one_mailbox, one), (_mailbox, two)) = (member(), member());
        groups.join_many(1, &[one.clone(), two.clone(), one.clone()]).unwrap();
        let (_, mut monitor) = groups.monitor(1);
        let leaving = {
            let (groups, one) = (groups.clone(), one.clone());
            thread::spawn(move || usize::from(groups.leave(&1, &one).is_ok()))
        };
        let others = {
            let (groups, two) = (groups.clone(), two.clone());
            thread::spawn(move || groups.leave(&1, &two).unwrap())
        };
        let closing = close(&one_mailbox);
        let left = leaving.join().unwrap();
        others.join().unwrap();
        closing.join().unwrap();
        over(&groups);
        let mut ends = [0, 0];
        while let Some(Ok(event)) = monitor.try_next() {
            let whose = event.ids().iter().filter(|id| **id == one.id()).count();
            ends[usize::from(event.change == GroupChange::Left)] += whose;
        }
        assert_eq!(ends, [2 - left, left]);
    });
}

/// A member that leaves its last group, and comes back while its scope forgets it; and its end.
#[test]
fn shuttle_a_member_that_comes_back_is_taken_out_at_its_end() {
    explore(|| {
        let groups = Scope::new();
        let (mailbox, one) = member();
        groups.join(1, &one).unwrap();
        let leaving = {
            let (groups, one) = (groups.clone(), one.clone());
            thread::spawn(move || groups.leave(&1, &one).is_ok())
        };
        let joining = {
            let (groups, one) = (groups.clone(), one.clone());
            thread::spawn(move || groups.join(2, &one).is_ok())
        };
        let (left, joined) = (leaving.join().unwrap(), joining.join().unwrap());
        assert!(left && joined);
        assert_eq!((groups.count(&1), groups.count(&2)), (0, 1));
        mailbox.close();
        over(&groups);
    });
}

/// What a monitor knows: its snapshot, and what it was told since.
fn known(
    mut state: HashMap<(u8, Uuid), usize>,
    mut monitor: ScopeMonitor<u32, u8>,
) -> HashMap<(u8, Uuid), usize> {
    let mut last = monitor.seq();
    while let Some(read) = monitor.try_next() {
        let Ok(event) = read else {
            state = state_of(&monitor.snapshot());
            last = monitor.seq();
            continue;
        };
        assert_eq!(event.seq, last + 1, "nothing is lost, and nothing comes twice");
        last = event.seq;
        for id in event.ids() {
            let times = state.entry((event.group, id)).or_default();
            *times = match event.change {
                GroupChange::Joined => *times + 1,
                _ => times.checked_sub(1).expect("who leaves was there"),
            };
        }
    }
    state.retain(|_, times| *times > 0);
    state
}

fn state_of(snapshot: &ScopeSnapshot<u32, u8>) -> HashMap<(u8, Uuid), usize> {
    let mut state = HashMap::new();
    for (group, members) in snapshot.iter() {
        members.iter().for_each(|member| *state.entry((*group, member.id())).or_default() += 1);
    }
    state
}

fn snapshot_and_joins(capacity: usize) {
    let groups = Scope::with_monitor_capacity(capacity);
    let ((one_mailbox, one), (mailbox, two)) = (member(), member());
    groups.join(1, &one).unwrap();
    groups.join(2, &two).unwrap();
    let joining = {
        let (groups, one, two) = (groups.clone(), one.clone(), two.clone());
        thread::spawn(move || {
            groups.join(1, &two).unwrap();
            groups.leave(&2, &two).unwrap();
            let _ = groups.join(3, &one);
        })
    };
    let closing = close(&one_mailbox);
    let (now, monitor) = groups.monitor_scope();
    let (of_one, mut one_monitor) = groups.monitor(1);
    joining.join().unwrap();
    closing.join().unwrap();
    assert_eq!(known(state_of(&now), monitor), HashMap::from([((1, two.id()), 1)]));
    let mut there: Vec<_> = of_one.iter().map(Member::id).collect();
    while let Some(read) = one_monitor.try_next() {
        match read {
            Err(Missed { .. }) => there = one_monitor.snapshot().iter().map(Member::id).collect(),
            Ok(event) if event.change == GroupChange::Joined => there.extend(event.ids()),
            Ok(event) => event.ids().iter().for_each(|id| {
                let at = there.iter().position(|other| other == id).expect("who leaves was there");
                there.remove(at);
            }),
        }
    }
    assert_eq!(there, [two.id()]);
    mailbox.close();
    over(&groups);
}

/// monitor's snapshot × join × leave × close: what it was told after the snapshot makes it the truth.
#[test]
fn shuttle_a_snapshot_and_its_events_are_the_truth() {
    explore(|| snapshot_and_joins(100));
}

/// A snapshot beside joins, where the monitor lags, and where more happens during a look than is kept.
#[test]
fn shuttle_a_monitor_that_lags_finds_the_truth_again() {
    explore(|| snapshot_and_joins(1));
}

/// `next` × join: no wake-up is lost.
#[test]
fn shuttle_a_waiting_monitor_hears_of_a_join() {
    explore(|| {
        let groups = Scope::new();
        let (mailbox, one) = member();
        let (_, mut monitor) = groups.monitor(1);
        let joining = {
            let (groups, one) = (groups.clone(), one.clone());
            thread::spawn(move || groups.join(1, &one).unwrap())
        };
        let event = shuttle::future::block_on(monitor.next()).unwrap().unwrap();
        assert_eq!(event.ids(), [one.id()]);
        joining.join().unwrap();
        mailbox.close();
        over(&groups);
    });
}

/// publish × close × unsubscribe: each copy is delivered, refused, or was not for a subscriber any more.
#[test]
fn shuttle_a_copy_is_delivered_or_comes_back() {
    explore(|| {
        let topics = Topics::<u32, u8>::new();
        let ((one_mailbox, one), (mailbox, two)) = (member(), member());
        topics.subscribe(1, &one).unwrap();
        let token = topics.subscription(1, &two).unwrap();
        let publishing = {
            let topics = topics.clone();
            thread::spawn(move || {
                let published = topics.publish(&1, 7);
                (published.delivered, published.refused.len())
            })
        };
        let closing = close(&one_mailbox);
        drop(token);
        closing.join().unwrap();
        let (delivered, refused) = publishing.join().unwrap();
        assert!(delivered + refused <= 2);
        let mut receiver = mailbox.receiver().unwrap();
        let got = std::iter::from_fn(|| receiver.try_receive().ok()).count();
        let ledger = one_mailbox.audit().expect("nobody reads it");
        let accepted = usize::try_from(ledger.sent).unwrap();
        assert_eq!(got + accepted, delivered);
        drop(receiver);
        mailbox.close();
        over(topics.groups());
    });
}
