//! A supervisor is changed while it runs: all or nothing, for the next event.

use crate::support::{Log, OnInit, Tell, noted, quiet, relentless, slow_worker, worker};
use restante_core::ExitReason;
use restante_supervisor::{
    AutoShutdown, Backoff, ChildState, Intensity, Reconfigure, ReconfigureError, Restart, RestartLimit,
    Shutdown, SpecError, Strategy, Supervisor, SupervisorRef,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn states(tree: &SupervisorRef) -> Vec<(String, ChildState)> {
    tree.which_children().into_iter().rev().map(|child| (child.id.to_string(), child.state)).collect()
}

/// Clause 22.8: the next end is dealt with by the new strategy.
#[tokio::test]
async fn the_next_end_is_dealt_with_by_the_new_strategy() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let tree = relentless(Supervisor::one_for_one()).child(sa).child(sb).start().await.unwrap();
    tree.reconfigure(Reconfigure::new().strategy(Strategy::OneForAll)).unwrap();
    log.take();
    b.cast(Tell::Panic).unwrap();
    noted(&b).await;
    noted(&a).await;
    assert_eq!(log.take(), ["-b", "-a", "+a", "+b"]);
    tree.reconfigure(Reconfigure::new().strategy(Strategy::OneForOne)).unwrap();
    a.cast(Tell::Panic).unwrap();
    noted(&a).await;
    assert_eq!((a.incarnation(), b.incarnation()), (3, 2));
}

/// Clause 22.9: restarts that are remembered count under a smaller limit.
#[tokio::test(start_paused = true)]
async fn a_smaller_intensity_counts_the_restarts_that_are_remembered() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = Supervisor::one_for_one()
        .backoff(Backoff::NONE)
        .intensity(5, secs(60))
        .child(sa)
        .start()
        .await
        .unwrap();
    for _ in 0..2 {
        a.cast(Tell::Panic).unwrap();
        noted(&a).await;
    }
    tree.reconfigure(Reconfigure::new().intensity(2, secs(60))).unwrap();
    assert!(tree.is_alive(), "what has been is not judged again");
    a.cast(Tell::Panic).unwrap();
    let exit = tree.join().await;
    let limit = RestartLimit::of(&exit.reason).unwrap();
    assert_eq!((limit.count, limit.window), (3, secs(60)));
}

/// Clause 22.9: a larger limit and a shorter period let more pass; nothing is remembered of a time without limit.
#[tokio::test(start_paused = true)]
async fn a_larger_intensity_lets_more_pass() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = relentless(Supervisor::one_for_one()).child(sa).start().await.unwrap();
    let crash = async |times: u32| {
        for _ in 0..times {
            a.cast(Tell::Panic).unwrap();
            noted(&a).await;
        }
    };
    crash(10).await;
    tree.reconfigure(Reconfigure::new().intensity(1, secs(60))).unwrap();
    crash(1).await;
    tree.reconfigure(Reconfigure::new().intensity(3, secs(60))).unwrap();
    crash(2).await;
    tree.reconfigure(Reconfigure::new().with_intensity(Intensity::new(1, secs(1)))).unwrap();
    tokio::time::advance(secs(2)).await;
    crash(1).await;
    assert!(tree.is_alive());
    a.cast(Tell::Panic).unwrap();
    assert!(RestartLimit::of(&tree.join().await.reason).is_some());
}

/// Clause 22.8: a pause that is under way is waited for, whatever the new back-off; the next restart goes by that.
#[tokio::test(start_paused = true)]
async fn a_back_off_under_way_goes_on_and_the_next_is_the_new_one() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = Supervisor::one_for_one()
        .with_intensity(Intensity::UNLIMITED)
        .backoff(Backoff::new(secs(10), secs(10)).jitter_percent(0))
        .child(sa)
        .start()
        .await
        .unwrap();
    // The first restart is immediate.
    a.cast(Tell::Panic).unwrap();
    noted(&a).await;
    a.cast(Tell::Panic).unwrap();
    a.join().await;
    let before = Instant::now();
    while tree.which_children()[0].state != ChildState::Restarting {
        tokio::task::yield_now().await;
    }
    tree.reconfigure(Reconfigure::new().backoff(Backoff::new(secs(1), secs(1)).jitter_percent(0))).unwrap();
    up(&tree, "a").await;
    assert_eq!(before.elapsed().as_secs(), 10);
    a.cast(Tell::Panic).unwrap();
    a.join().await;
    let before = Instant::now();
    up(&tree, "a").await;
    assert_eq!(before.elapsed().as_secs(), 1);
}

/// Waits until this child is up again.
async fn up(tree: &SupervisorRef, id: &str) {
    while tree.tree().find(id).is_none_or(|child| child.state != ChildState::Running) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Clause 22.8: a group restart that is under way is ended as it was begun; the next crash goes by the new rules.
#[tokio::test(start_paused = true)]
async fn a_group_restart_under_way_is_ended_as_it_was_begun() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let tree = relentless(Supervisor::one_for_all()).child(sa).child(sb).child(sc).start().await.unwrap();
    log.take();
    log.on_init("b", [OnInit::Sleep(secs(5))]);
    a.cast(Tell::Panic).unwrap();
    while log.take().last().is_none_or(|last| last != "b inits") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tree.reconfigure(Reconfigure::new().strategy(Strategy::OneForOne)).unwrap();
    noted(&c).await;
    assert_eq!(log.take(), ["+b", "+c"]);
    b.cast(Tell::Panic).unwrap();
    noted(&b).await;
    assert_eq!((a.incarnation(), b.incarnation(), c.incarnation()), (2, 3, 2));
}

/// Clause 22.8: a start that fails within such a group is tried again by the new rules: those that are up stay so.
#[tokio::test(start_paused = true)]
async fn a_start_that_fails_in_a_group_is_tried_again_by_the_new_rules() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let tree = relentless(Supervisor::one_for_all()).child(sa).child(sb).child(sc).start().await.unwrap();
    log.take();
    log.on_init("b", [OnInit::Sleep(secs(1)), OnInit::Fail, OnInit::Succeed]);
    // The first of these inits succeeds, and what it starts is told to crash with the whole group.
    c.cast(Tell::Panic).unwrap();
    noted(&c).await;
    log.take();
    log.on_init("a", [OnInit::Sleep(secs(1))]);
    c.cast(Tell::Panic).unwrap();
    while log.take().last().is_none_or(|last| last != "a inits") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tree.reconfigure(Reconfigure::new().strategy(Strategy::OneForOne)).unwrap();
    noted(&c).await;
    assert_eq!(log.take(), ["+a", "b fails", "+b", "+c"]);
    assert_eq!(a.incarnation(), 3);
    noted(&b).await;
}

/// Clause 22.8: a child's options are those that it is judged by next.
#[tokio::test(start_paused = true)]
async fn the_options_of_a_child_change() {
    quiet();
    let log = Log::new();
    let ((a, sa), (_b, sb)) = (worker("a", &log), slow_worker("b", &log, secs(1000)));
    let tree = relentless(Supervisor::one_for_one()).child(sa).child(sb.shutdown(Shutdown::Infinity));
    let tree = tree.start().await.unwrap();
    let change = Reconfigure::new()
        .child("a", |options| options.restart = Restart::Permanent)
        .child("a", |options| {
            assert_eq!(options.restart, Restart::Permanent, "one after the other");
            options.restart = Restart::Temporary;
        })
        .child("b", |options| options.shutdown = Shutdown::Timeout(secs(3)));
    tree.reconfigure(change).unwrap();
    assert_eq!(tree.child_options("a").unwrap().restart, Restart::Temporary);
    a.cast(Tell::Panic).unwrap();
    a.join().await;
    tokio::task::yield_now().await;
    assert_eq!(states(&tree), [("b".to_owned(), ChildState::Running)]);
    let before = Instant::now();
    tree.terminate_child("b").await.unwrap();
    assert_eq!(before.elapsed(), secs(3));
}

/// Clause 22.10: new children come behind those that are there, and are not started.
#[tokio::test]
async fn new_children_are_added_and_not_started() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let tree = relentless(Supervisor::one_for_all()).child(sa).start().await.unwrap();
    tree.reconfigure(Reconfigure::new().add_child(sb).add_child(sc)).unwrap();
    let stopped = ["b", "c"].map(|id| (id.to_owned(), ChildState::Stopped));
    assert_eq!(states(&tree)[1..], stopped);
    b.cast(Tell::Note(3)).unwrap();
    tree.restart_child("c").await.unwrap();
    assert_eq!(log.take(), ["+a", "+c"]);
    a.cast(Tell::Panic).unwrap();
    assert_eq!(noted(&b).await, [3], "a group restart takes it in");
    noted(&c).await;
    assert_eq!(log.take(), ["-a", "-c", "+a", "+b", "+c"]);
    assert!(tree.shutdown(secs(5)).await.is_clean());
    assert!(b.is_closed() && c.is_closed());
}

/// Clause 22.10: what was changed and added belongs to the supervisor: its next incarnation has it too.
#[tokio::test]
async fn changes_outlive_an_incarnation_of_the_supervisor() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let sub = Supervisor::one_for_one().child(sa).build().unwrap();
    let _tree = relentless(Supervisor::one_for_one()).child(sub.child("sub")).start().await.unwrap();
    sub.reconfigure(Reconfigure::new().intensity(0, secs(1)).add_child(sb)).unwrap();
    a.cast(Tell::Panic).unwrap();
    noted(&b).await;
    assert_eq!((sub.incarnation(), log.take()), (2, ["+a", "-a", "+a", "+b"].map(str::to_owned).to_vec()));
    assert_eq!(sub.tree().supervisor.unwrap().intensity, Intensity::new(0, secs(1)));
}

/// Clause 22.7: whatever is wrong with a change, nothing of it is made.
#[tokio::test]
async fn a_change_that_makes_no_sense_changes_nothing() {
    let log = Log::new();
    let tree = Supervisor::one_for_one()
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(worker("a", &log).1)
        .child(worker("s", &log).1.restart(Restart::Transient).significant(true))
        .start()
        .await
        .unwrap();
    let taken = Supervisor::one_for_one().build().unwrap();
    let _elsewhere = Supervisor::one_for_one().child(taken.child("x")).build().unwrap();
    let new = |id: &'static str| worker(id, &log).1;
    let id = |id: &'static str| id.into();
    let cases = [
        (Reconfigure::new().child("z", |_| ()), ReconfigureError::NotFound(id("z"))),
        (
            Reconfigure::new().child("s", |o| o.restart = Restart::Permanent),
            SpecError::SignificantPermanent(id("s")).into(),
        ),
        (Reconfigure::new().auto_shutdown(AutoShutdown::Never), SpecError::SignificantNever(id("s")).into()),
        (
            Reconfigure::new().add_child(new("b").significant(true)),
            SpecError::SignificantPermanent(id("b")).into(),
        ),
        (Reconfigure::new().add_child(new("a")), SpecError::DuplicateId(id("a")).into()),
        (
            Reconfigure::new().add_child(new("b")).add_child(new("c").id("b")),
            SpecError::DuplicateId(id("b")).into(),
        ),
        (Reconfigure::new().add_child(taken.child("x")), SpecError::Supervised(id("x")).into()),
        (
            Reconfigure::new().max_children(3).add_child(new("b")).add_child(new("c")),
            ReconfigureError::MaxChildren { children: 4, max: 3 },
        ),
    ];
    let options = tree.child_options("a");
    for (change, error) in cases {
        let change = change
            .strategy(Strategy::OneForAll)
            .with_intensity(Intensity::UNLIMITED)
            .child("a", |options| options.escalate = true)
            .add_child(new("fine"));
        let error = match error {
            ReconfigureError::MaxChildren { children, max } => {
                ReconfigureError::MaxChildren { children: children + 1, max }
            }
            other => other,
        };
        assert_eq!(tree.reconfigure(change), Err(error));
        let seen = tree.tree();
        let rules = seen.supervisor.unwrap();
        assert_eq!((rules.strategy, rules.intensity), (Strategy::OneForOne, Intensity::default()));
        assert_eq!((seen.children.len(), tree.child_options("a")), (2, options.clone()));
    }
    // All at once it does make sense.
    let change = Reconfigure::new()
        .auto_shutdown(AutoShutdown::Never)
        .child("s", |options| options.significant = false)
        .max_children(1);
    tree.reconfigure(change).unwrap();
    tree.shutdown(secs(5)).await;
    assert_eq!(tree.reconfigure(Reconfigure::new()), Err(ReconfigureError::Closed));
}

/// Clause 22.8: significant from now on.
#[tokio::test]
async fn an_automatic_shutdown_can_be_turned_on() {
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = Supervisor::one_for_one().child(sa.restart(Restart::Transient)).start().await.unwrap();
    let change = Reconfigure::new()
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child("a", |options| options.significant = true);
    tree.reconfigure(change).unwrap();
    a.cast(Tell::Stop(ExitReason::Normal)).unwrap();
    assert_eq!(tree.join().await.reason, ExitReason::Shutdown);
}

/// Clause 22.7: the closures may look at the tree, and see options that do not change under them.
#[tokio::test]
async fn a_change_is_asked_again_when_the_options_have_changed_meanwhile() {
    let log = Log::new();
    let tree = Supervisor::one_for_one().child(worker("a", &log).1).start().await.unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let change = Reconfigure::new().child("a", {
        let (tree, asked) = (tree.clone(), Arc::clone(&asked));
        move |options| {
            if asked.fetch_add(1, Ordering::Relaxed) == 0 {
                let other = Reconfigure::new().child("a", |options| options.escalate = true);
                tree.reconfigure(other).unwrap();
            }
            options.restart = Restart::Temporary;
        }
    });
    tree.reconfigure(change).unwrap();
    let options = tree.child_options("a").unwrap();
    assert_eq!((options.escalate, options.restart), (true, Restart::Temporary));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}
