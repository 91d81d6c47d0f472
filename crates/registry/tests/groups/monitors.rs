//! Monitors of groups and of scopes.

use super::{ids, member};
use restante_core::ExitReason;
use restante_registry::{GroupChange, GroupEvent, GroupMonitor, Groups, Missed, ScopeMonitor, ScopeSnapshot};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

type Said = Result<(String, GroupChange, Vec<Uuid>), Missed>;

fn said(event: Result<Arc<GroupEvent<u32>>, Missed>) -> Said {
    event.map(|event| (event.group.to_string(), event.change.clone(), event.ids()))
}

fn told(monitor: &mut GroupMonitor<u32>) -> Vec<Said> {
    std::iter::from_fn(|| monitor.try_next()).map(said).collect()
}

fn told_of_all(monitor: &mut ScopeMonitor<u32>) -> Vec<Said> {
    std::iter::from_fn(|| monitor.try_next()).map(said).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "what is expected has the form of what is told")]
fn event(group: &str, change: GroupChange, of: &[Uuid]) -> Said {
    Ok((group.to_owned(), change, of.to_vec()))
}

/// Row G5. `pg_SUITE:monitor`: a second monitor finds who is there; then both hear the same, and all ids of one operation in
/// one event; a monitor that was taken down hears nothing, and cannot be taken down twice.
#[test]
fn a_monitor_of_a_group_hears_of_it_and_of_nothing_else() {
    let groups = Groups::<u32>::new();
    let ((_one_mailbox, one), (two_mailbox, two), (_mailbox, three)) = (member(), member(), member());
    let (before, mut first) = groups.monitor("watched");
    assert_eq!(before, []);
    groups.join("watched", &one).unwrap();
    assert_eq!(told(&mut first), [event("watched", GroupChange::Joined, &[one.id()])]);
    let (before, mut second) = groups.monitor("watched");
    assert_eq!(ids(&before), [one.id()]);
    assert_eq!(second.seq(), first.seq());

    groups.join_many("watched", &[two.clone(), two.clone(), three.clone()]).unwrap();
    groups.join("elsewhere", &three).unwrap();
    groups.leave("watched", &one).unwrap();
    assert_eq!(groups.leave_many("watched", &[three.clone(), one.clone(), two.clone()]), Ok(2));
    two_mailbox.destroy(ExitReason::Killed);
    groups.leave("watched", &one).unwrap_err();
    let expected = [
        event("watched", GroupChange::Joined, &[two.id(), two.id(), three.id()]),
        event("watched", GroupChange::Left, &[one.id()]),
        event("watched", GroupChange::Left, &[three.id(), two.id()]),
        event("watched", GroupChange::Closed(ExitReason::Killed), &[two.id()]),
    ];
    assert_eq!(told(&mut second), expected);
    assert_eq!(told(&mut first), expected);

    groups.join("watched", &one).unwrap();
    assert!(second.demonitor());
    assert!(!second.demonitor());
    assert_eq!(told(&mut second), [], "what had not been read is gone");
    groups.join("watched", &one).unwrap();
    assert_eq!(told(&mut second), []);
    assert_eq!(second.snapshot().len(), 2, "it can be asked who is there, but not hear of changes");
    assert_eq!(told(&mut first).len(), 2, "the other one hears on");
}

/// Row G5. `pg_SUITE:monitor_scope`, the same for all groups.
#[test]
fn a_monitor_of_a_scope_hears_of_all_groups() {
    let groups = Groups::<u32>::new();
    let ((one_mailbox, one), (_mailbox, two)) = (member(), member());
    let (before, mut monitor) = groups.monitor_scope();
    assert_eq!((before.len(), before.is_empty(), monitor.seq()), (0, true, 0));
    groups.join("a", &one).unwrap();
    groups.join_many("b", &[one.clone(), two.clone()]).unwrap();
    groups.leave("b", &two).unwrap();
    let mut numbers = Vec::new();
    let events: Vec<_> = std::iter::from_fn(|| monitor.try_next())
        .map(|event| {
            numbers.push(event.as_ref().unwrap().seq);
            said(event)
        })
        .collect();
    let expected = [
        event("a", GroupChange::Joined, &[one.id()]),
        event("b", GroupChange::Joined, &[one.id(), two.id()]),
        event("b", GroupChange::Left, &[two.id()]),
    ];
    assert_eq!((events.as_slice(), numbers), (expected.as_slice(), vec![1, 2, 3]));
    one_mailbox.close();
    let ends = told_of_all(&mut monitor);
    let expected = ["a", "b"].map(|group| event(group, GroupChange::Closed(ExitReason::Normal), &[one.id()]));
    assert!(ends.len() == 2 && expected.iter().all(|event| ends.contains(event)), "{ends:?}");
    assert!(monitor.demonitor());
    assert!(!monitor.demonitor());
    groups.join("a", &two).unwrap();
    assert_eq!(told_of_all(&mut monitor), []);
    assert_eq!(monitor.snapshot().len(), 1);
}

/// Row G5. `pg_SUITE:monitor_nonempty_scope`: the first answer is all groups; the same again after a demonitor.
#[test]
fn a_monitor_of_a_scope_begins_with_all_groups() {
    let groups = Groups::<u32>::new();
    let ((_one_mailbox, one), (_two_mailbox, two)) = (member(), member());
    groups.join("one", &one).unwrap();
    groups.join("one", &two).unwrap();
    groups.join("gone", &two).unwrap();
    groups.leave("gone", &two).unwrap();
    for _ in 0..2 {
        let (now, mut monitor) = groups.monitor_scope();
        assert_eq!(now.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["one"]);
        assert_eq!(
            ids(&now.members("one").iter().cloned().collect::<Vec<_>>()),
            ids(&[one.clone(), two.clone()])
        );
        assert_eq!(told_of_all(&mut monitor), []);
        assert!(monitor.demonitor());
    }
}

/// Row G5. `pg_SUITE:monitor_self`: a member that monitors its own group and ends.
#[tokio::test]
async fn a_member_may_monitor_its_own_group() {
    let groups = Groups::<u32>::new();
    let (mailbox, one) = member();
    let own = groups.clone();
    let own_member = one.clone();
    let running = tokio::spawn(async move {
        let (_, mut monitor) = own.monitor("self");
        own.join("self", &own_member).unwrap();
        drop(mailbox);
        [monitor.next().await.map(said), monitor.next().await.map(said)]
    });
    let expected = [
        event("self", GroupChange::Joined, &[one.id()]),
        event("self", GroupChange::Closed(ExitReason::Normal), &[one.id()]),
    ];
    assert_eq!(running.await.unwrap(), expected.map(Some));
    assert_eq!(groups.count("self"), 0);
}

/// Row G5. `pg_SUITE:multi_monitor`: two groups and the scope at once, two events for each join.
#[test]
fn one_may_monitor_several_groups_and_the_scope() {
    let groups = Groups::<u32>::new();
    let (_mailbox, one) = member();
    let ((_, mut of_one), (_, mut of_two)) = (groups.monitor("one"), groups.monitor("two"));
    let (_, mut of_all) = groups.monitor_scope();
    groups.join("one", &one).unwrap();
    groups.join("two", &one).unwrap();
    let joined = |group| event(group, GroupChange::Joined, &[one.id()]);
    assert_eq!(told(&mut of_one), [joined("one")]);
    assert_eq!(told(&mut of_two), [joined("two")]);
    assert_eq!(told_of_all(&mut of_all), [joined("one"), joined("two")]);
}

/// Row G5. `pg_SUITE:forced_sync`: a monitor that has lost the thread is told how much is missing, and takes a new snapshot.
/// Clause 29.4.
#[test]
fn a_monitor_that_lags_is_told_how_many_it_missed_and_starts_afresh() {
    let groups = Groups::<u32>::with_monitor_capacity(4);
    let ((_one_mailbox, one), (_two_mailbox, two)) = (member(), member());
    let ((_, mut lagging), (_, mut of_all)) = (groups.monitor("busy"), groups.monitor_scope());
    for _ in 0..3 {
        groups.join("busy", &one).unwrap();
        groups.leave("busy", &one).unwrap();
        groups.join("quiet", &two).unwrap();
    }
    let left = event("busy", GroupChange::Left, &[one.id()]);
    let joined = event("busy", GroupChange::Joined, &[one.id()]);
    let missed = |count| Err(Missed { count });
    assert_eq!(told(&mut lagging), [missed(2), joined.clone(), left.clone(), joined.clone(), left.clone()]);
    let quiet = event("quiet", GroupChange::Joined, &[two.id()]);
    assert_eq!(told_of_all(&mut of_all), [missed(5), quiet.clone(), joined, left, quiet]);

    (0..9).for_each(|_| groups.join("busy", &two).unwrap());
    assert_eq!(ids(&lagging.snapshot()), [two.id(); 9]);
    assert_eq!(of_all.snapshot().len(), 2);
    assert_eq!((told(&mut lagging), told_of_all(&mut of_all)), (vec![], vec![]));
    groups.leave("busy", &two).unwrap();
    assert_eq!(told(&mut lagging), [event("busy", GroupChange::Left, &[two.id()])]);
    assert_eq!((told_of_all(&mut of_all).len(), of_all.seq()), (1, lagging.seq()));
}

/// Row G5. `next` waits, and a wait that is given up loses nothing.
#[tokio::test]
async fn a_wait_for_an_event_may_be_given_up() {
    let groups = Groups::<u32>::new();
    let (_mailbox, one) = member();
    let (_, mut monitor) = groups.monitor("slow");
    for _ in 0..2 {
        let waiting = std::future::poll_fn(|cx| {
            let mut next = std::pin::pin!(monitor.next());
            std::task::Poll::Ready(next.as_mut().poll(cx).is_pending())
        });
        assert!(waiting.await);
    }
    let waiting = tokio::spawn(async move {
        let first = monitor.next().await.map(said);
        monitor.demonitor();
        (first, monitor.next().await.is_none())
    });
    tokio::task::yield_now().await;
    groups.join("slow", &one).unwrap();
    let (first, ended) = waiting.await.unwrap();
    assert_eq!((first, ended), (Some(event("slow", GroupChange::Joined, &[one.id()])), true));
}

/// Who is in which group, as told: a snapshot, and events after it.
fn apply(state: &mut HashMap<String, HashMap<Uuid, usize>>, event: &GroupEvent<u32>) {
    let of_group = state.entry(event.group.to_string()).or_default();
    for id in event.ids() {
        let times = of_group.entry(id).or_default();
        *times = match event.change {
            GroupChange::Joined => *times + 1,
            _ => times.checked_sub(1).expect("who leaves was there"),
        };
    }
    of_group.retain(|_, times| *times > 0);
    state.retain(|_, of_group| !of_group.is_empty());
}

fn state_of(snapshot: &ScopeSnapshot<u32>) -> HashMap<String, HashMap<Uuid, usize>> {
    let mut state: HashMap<String, HashMap<Uuid, usize>> = HashMap::new();
    for (group, members) in snapshot.iter() {
        let of_group = state.entry(group.to_string()).or_default();
        members.iter().for_each(|member| *of_group.entry(member.id()).or_default() += 1);
    }
    state
}

/// Row G5. Snapshot and events give the whole truth, while four threads join, leave and end: nothing is lost and nothing comes
/// twice, also where the monitor has to take a new snapshot in between.
fn a_monitor_knows_the_truth(capacity: usize) {
    for seed in 0..8 {
        let groups = Groups::<u32>::with_monitor_capacity(capacity);
        let writers: Vec<_> = (0..3)
            .map(|n| {
                let groups = groups.clone();
                std::thread::spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed * 10 + n);
                    let (mut boxes, mut all) = (Vec::new(), Vec::new());
                    for _ in 0..600 {
                        let name = random.u8(..20).to_string();
                        match random.u8(..10) {
                            0..2 => {
                                let (mailbox, new) = member();
                                groups.join(name, &new).unwrap();
                                boxes.push(mailbox);
                                all.push(new);
                            }
                            2 if !boxes.is_empty() => {
                                drop(boxes.swap_remove(random.usize(..boxes.len())));
                            }
                            3..7 => {
                                if let Some(one) = random.choice(&all) {
                                    let _ = groups.join(name, one);
                                }
                            }
                            _ => {
                                if let Some(one) = random.choice(&all) {
                                    let _ = groups.leave(name.as_str(), one);
                                }
                            }
                        }
                    }
                    boxes
                })
            })
            .collect();
        let (now, mut monitor) = groups.monitor_scope();
        let mut state = state_of(&now);
        let mut last = monitor.seq();
        let mut done = false;
        while !done {
            done = writers.iter().all(std::thread::JoinHandle::is_finished);
            while let Some(read) = monitor.try_next() {
                let Ok(event) = read else {
                    state = state_of(&monitor.snapshot());
                    last = monitor.seq();
                    continue;
                };
                assert_eq!(event.seq, last + 1);
                last = event.seq;
                apply(&mut state, &event);
            }
        }
        assert_eq!(state, state_of(&groups.monitor_scope().0));
        let boxes: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        drop(boxes);
        assert_eq!(groups.which_groups().len(), 0);
    }
}

/// With the last handle gone, no member can join: a monitor tells what was not read, then that it is over. A waiting reader
/// is told too, and so whatever members do.
/// Clause 29.4.
#[tokio::test]
async fn a_monitor_ends_with_the_last_handle() {
    let groups = Groups::<u32>::new();
    let ((mailbox, one), (_mailbox, two)) = (member(), member());
    let ((_, mut read), (_, mut unread), (_, mut of_all)) =
        (groups.monitor("one"), groups.monitor("one"), groups.monitor_scope());
    groups.join_many("one", &[one.clone(), two.clone()]).unwrap();
    assert!(read.next().await.is_some());
    let other = groups.clone();
    let mut waits = Box::pin(read.next());
    assert!(futures::poll!(&mut waits).is_pending());
    drop(groups);
    assert!(futures::poll!(&mut waits).is_pending(), "there is another handle");
    other.leave("one", &two).unwrap();
    assert_eq!(waits.await.unwrap().unwrap().change, GroupChange::Left);
    let mut waits = Box::pin(read.next());
    assert!(futures::poll!(&mut waits).is_pending());
    drop(other);
    assert!(waits.await.is_none());
    mailbox.close();
    let (joined, left) = (
        event("one", GroupChange::Joined, &[one.id(), two.id()]),
        event("one", GroupChange::Left, &[two.id()]),
    );
    assert_eq!(told(&mut unread), [joined.clone(), left.clone()]);
    assert_eq!(told_of_all(&mut of_all), [joined, left]);
    assert!(unread.next().await.is_none() && of_all.next().await.is_none() && read.next().await.is_none());
    assert!(read.snapshot().is_empty() && of_all.snapshot().is_empty());
    assert!(read.demonitor() && read.next().await.is_none());
}

/// Row G5: see above.
/// Clause 29.4.
#[test]
fn a_snapshot_and_what_follows_are_the_whole_truth() {
    a_monitor_knows_the_truth(1_000_000);
}

/// Row G5: see above.
#[test]
fn new_snapshots_in_between_are_the_whole_truth_too() {
    a_monitor_knows_the_truth(8);
}
