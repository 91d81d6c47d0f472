//! Very many groups, members and monitors at once.

use super::member;
use restante_registry::{Groups, Member};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Instant;

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
    let (threads, synced) = (4, Arc::new(AtomicUsize::new(0)));
    let ready = Arc::new(Barrier::new(threads + 1));
    let herd: Vec<_> = (0..threads)
        .map(|_| {
            let (groups, ready, synced) = (groups.clone(), Arc::clone(&ready), Arc::clone(&synced));
            std::thread::spawn(move || {
                ready.wait();
                let mut kept = Vec::new();
                for _ in 0..SYNCS / threads {
                    let (all, monitor) = groups.monitor_scope();
                    assert!(all.len() >= GROUPS);
                    kept.push(monitor);
                    synced.fetch_add(1, Ordering::Relaxed);
                }
                kept
            })
        })
        .collect();
    ready.wait();
    let begun = Instant::now();
    let (mut joins, mut slowest) = (0_u32, std::time::Duration::ZERO);
    while herd.iter().any(|herd| !herd.is_finished()) {
        let now = Instant::now();
        groups.join("herd", &one).unwrap();
        groups.leave("herd", &one).unwrap();
        slowest = slowest.max(now.elapsed());
        joins += 1;
        std::thread::yield_now();
    }
    let monitors: Vec<_> = herd.into_iter().flat_map(|herd| herd.join().unwrap()).collect();
    let syncs = synced.load(Ordering::Relaxed);
    // (A measure for people: what is asserted is that everything comes to its end.)
    tracing::info!(?slowest, joins, syncs, took = ?begun.elapsed(), "the herd");
    assert_eq!((monitors.len(), syncs), (SYNCS, SYNCS));
    assert!(joins > 0);
    let now = Instant::now();
    drop(mailbox);
    tracing::info!(took = ?now.elapsed(), "an end in {GROUPS} groups");
    assert_eq!(groups.which_groups().len(), 0);
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
    let now = Instant::now();
    all.iter().for_each(|one| groups.join("large", one).unwrap());
    tracing::info!(took = ?now.elapsed(), "twenty thousand joins of one group");
    assert_eq!(groups.count("large"), all.len());
    let now = Instant::now();
    assert_eq!(groups.broadcast("large", 1).delivered, all.len());
    tracing::info!(took = ?now.elapsed(), "a broadcast to twenty thousand");
    let now = Instant::now();
    all[..10_000].iter().for_each(|one| groups.leave("large", one).unwrap());
    drop(boxes);
    tracing::info!(took = ?now.elapsed(), "ten thousand leaves and as many ends");
    assert_eq!((groups.count("large"), groups.which_groups().len()), (0, 0));
    assert!(all.iter().all(Member::is_closed));
}
