//! Very many groups, members and monitors at once.

use super::member;
use restante_registry::{Groups, Member};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;

const GROUPS: usize = 10_000;
const SYNCS: usize = 2_000;

/// Row G5. `pg_SUITE:thundering_herd`: ten thousand groups of one member, two thousand monitors that ask for all of them, and
/// joins meanwhile. Monitors read beside the lock, so a join waits for a few short sections and for no look at all groups.
#[test]
fn no_join_stalls_while_a_herd_of_monitors_syncs() {
    let groups = Groups::<u32>::new();
    let (mailbox, one) = member();
    for n in 0..GROUPS {
        groups.join(format!("group {n}"), &one).unwrap();
    }
    let threads = 4;
    let ready = Arc::new(Barrier::new(threads + 1));
    let herd: Vec<_> = (0..threads)
        .map(|_| {
            let (groups, ready) = (groups.clone(), Arc::clone(&ready));
            std::thread::spawn(move || {
                ready.wait();
                let mut kept = Vec::new();
                for _ in 0..SYNCS / threads {
                    let (all, monitor) = groups.monitor_scope();
                    assert!(all.len() >= GROUPS);
                    kept.push(monitor);
                }
                kept
            })
        })
        .collect();
    ready.wait();
    loop {
        groups.join("herd", &one).unwrap();
        groups.leave("herd", &one).unwrap();
        if herd.iter().all(JoinHandle::is_finished) {
            break;
        }
        std::thread::yield_now();
    }
    let monitors: usize = herd.into_iter().map(|herd| herd.join().unwrap().len()).sum();
    assert_eq!(monitors, SYNCS);
    drop(mailbox);
    assert_eq!(groups.which_groups().len(), 0, "an end in ten thousand groups");
}

/// Row G5. The same with events: each of two thousand monitors hears of a join.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_monitors_hear_of_one_join() {
    let groups = Groups::<u32>::new();
    let (_mailbox, one) = member();
    let waiting: Vec<_> = (0..SYNCS)
        .map(|_| {
            let (_, mut monitor) = groups.monitor_scope();
            tokio::spawn(async move { monitor.next().await.unwrap().unwrap().ids() })
        })
        .collect();
    groups.join("herd", &one).unwrap();
    for heard in waiting {
        assert_eq!(heard.await.unwrap(), [one.id()]);
    }
}

/// Row G5. A group of twenty thousand is joined, looked at and left in no more than a few steps each.
#[test]
fn a_group_may_be_large() {
    let groups = Groups::<u32>::new();
    let (boxes, all): (Vec<_>, Vec<_>) = (0..20_000).map(|_| member()).unzip();
    for one in &all {
        groups.join("large", one).unwrap();
    }
    assert_eq!(groups.count("large"), all.len());
    assert_eq!(groups.broadcast("large", 1).delivered, all.len());
    all[..10_000].iter().for_each(|one| groups.leave("large", one).unwrap());
    drop(boxes);
    assert_eq!((groups.count("large"), groups.which_groups().len()), (0, 0));
    assert!(all.iter().all(Member::is_closed));
}
