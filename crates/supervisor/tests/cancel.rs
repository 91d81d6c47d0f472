//! Futures that are dropped half-way: nothing is left behind, and nothing that was begun stays half done.

use crate::support::{
    AGES, Log, OnInit, Tell, Worker, counts, noted, relentless, settled, slow_worker, states,
};
use crate::support::{quiet, worker};
use restante_core::ExitReason;
use restante_genserver::ServerRef;
use restante_supervisor::{ChildState, Supervisor};
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Polls once; it must not be done yet.
async fn begin<F: Future>(mut future: Pin<&mut F>) {
    let first = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
    assert!(first.is_pending());
}

async fn is_down(server: &ServerRef<Worker>) {
    settled().await;
    assert!(!server.is_alive());
}

/// A tree whose start is given up stops what had been started, in reverse, and no child stays in its `init`.
#[tokio::test(start_paused = true)]
async fn a_start_that_is_given_up_is_rolled_back() {
    let log = Log::new();
    let ((_a, sa), (_b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    log.on_init("c", [OnInit::Hang]);
    {
        let start = std::pin::pin!(Supervisor::one_for_one().child(sa).child(sb).child(sc).start());
        let _ = tokio::time::timeout(secs(1), start).await.unwrap_err();
    }
    is_down(&c).await;
    assert_eq!(log.take(), ["+a", "+b", "-b", "-a"]);
    assert!(c.is_closed());
}

/// The start is given up at the worst moment: all are up, and the waiting caller has not been told yet. What is dropped
/// spawns nothing.
#[tokio::test(start_paused = true)]
async fn a_start_that_is_given_up_when_it_is_done_is_rolled_back() {
    let log = Log::new();
    let ((_a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let tree = Supervisor::one_for_one().child(sa).child(sb).build().unwrap();
    let mut start = Box::pin(tree.start());
    begin(start.as_mut()).await;
    settled().await;
    assert_eq!(log.take(), ["+a", "+b"]);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    drop(start);
    assert_eq!(tasks(), before);
    assert_eq!(tree.join().await.reason, ExitReason::Shutdown);
    is_down(&b).await;
    assert_eq!(log.take(), ["-b", "-a"]);
}

/// A start that is dropped before it was polled has done nothing, and after the last `init` it has been: all or nothing.
#[tokio::test(start_paused = true)]
async fn a_start_that_is_dropped_unpolled_does_nothing() {
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    drop(Supervisor::one_for_one().child(sa).start());
    is_down(&a).await;
    assert!(log.take().is_empty());
}

/// `start_child` dropped while `init` runs: the child is killed, its specification and its mailbox are gone, its id is free.
#[tokio::test(start_paused = true)]
async fn a_start_by_hand_that_is_given_up_leaves_nothing() {
    let log = Log::new();
    let tree = relentless(Supervisor::one_for_one()).start().await.unwrap();
    let (a, sa) = worker("a", &log);
    log.on_init("a", [OnInit::Hang]);
    {
        let mut start = Box::pin(tree.start_child(sa));
        begin(start.as_mut()).await;
        settled().await;
        assert_eq!(states(&tree), [("a".into(), ChildState::Starting)]);
    }
    is_down(&a).await;
    assert_eq!((counts(&tree), a.is_closed()), ([0; 4], true));
    let (a, sa) = worker("a", &log);
    tree.start_child(sa).await.unwrap();
    assert!(noted(&a).await.is_empty());
}

/// `start_child` dropped at the worst moment: `init` has returned, and the waiting caller has not been told yet.
#[tokio::test(start_paused = true)]
async fn a_start_by_hand_that_is_given_up_when_it_is_done_leaves_nothing() {
    let log = Log::new();
    let tree = relentless(Supervisor::one_for_one()).start().await.unwrap();
    let (a, sa) = worker("a", &log);
    log.on_init("a", [OnInit::Sleep(secs(1))]);
    {
        let mut start = Box::pin(tree.start_child(sa));
        begin(start.as_mut()).await;
        tokio::time::sleep(secs(2)).await;
        assert_eq!(log.take(), ["a inits", "+a"]);
    }
    is_down(&a).await;
    assert_eq!((counts(&tree), a.incarnation(), tree.restarts()), ([0; 4], 1, 0));
}

/// Clause 21.15: `start_child` whose child fails once it has begun leaves nothing, however it fails; one that had nothing
/// to serve leaves its specification, unless it is temporary.
#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_start_leaves_nothing() {
    use restante_supervisor::{Restart, Started};
    quiet();
    let log = Log::new();
    let tree = Supervisor::one_for_one().start().await.unwrap();
    for fails in [OnInit::Fail, OnInit::Panic, OnInit::Sleep(AGES)] {
        log.on_init("a", [fails.clone()]);
        let (a, spec) = worker("a", &log);
        assert!(tree.start_child(spec).await.is_err(), "{fails:?}");
        assert!(a.is_closed() && tree.which_children().is_empty(), "{fails:?}");
        log.on_init("a", [OnInit::Hang]);
        let (a, spec) = worker("a", &log);
        let dropped = tokio::time::timeout(AGES / 1000, tree.start_child(spec)).await;
        assert!(dropped.is_err());
        settled().await;
        assert!(a.is_closed() && tree.which_children().is_empty(), "{fails:?}");
    }
    for (restart, left) in [(Restart::Permanent, 1), (Restart::Transient, 2), (Restart::Temporary, 2)] {
        log.on_init("a", [OnInit::Ignore]);
        let (a, spec) = worker("a", &log);
        let started = tree.start_child(spec.restart(restart).id(format!("{restart:?}"))).await;
        assert_eq!(started, Ok(Started::Ignored));
        assert_eq!((tree.count_children().specs, a.is_closed()), (left, restart == Restart::Temporary));
    }
}

/// `restart_child` dropped while `init` runs: the child is down, and can be started again.
#[tokio::test(start_paused = true)]
async fn a_restart_by_hand_that_is_given_up_keeps_the_specification() {
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = relentless(Supervisor::one_for_one()).child(sa).start().await.unwrap();
    for init in [OnInit::Hang, OnInit::Sleep(secs(1))] {
        tree.terminate_child("a").await.unwrap();
        log.on_init("a", [init]);
        {
            let mut restart = Box::pin(tree.restart_child("a"));
            begin(restart.as_mut()).await;
            tokio::time::sleep(secs(2)).await;
        }
        is_down(&a).await;
        assert_eq!(states(&tree), [("a".into(), ChildState::Stopped)]);
        assert_eq!(tree.restarts(), 0, "that was no crash");
        tree.restart_child("a").await.unwrap();
    }
}

/// `terminate_child` dropped: the child ends all the same, its limit is kept, and a temporary one leaves the table.
#[tokio::test(start_paused = true)]
async fn a_stop_that_nobody_waits_for_is_carried_out() {
    let log = Log::new();
    let (a, sa) = slow_worker("a", &log, secs(2));
    let (b, sb) = slow_worker("b", &log, AGES);
    let temporary = restante_supervisor::Restart::Temporary;
    let tree = Supervisor::one_for_one().child(sa).child(sb.restart(temporary)).start().await.unwrap();
    for id in ["a", "b"] {
        let mut stop = Box::pin(tree.terminate_child(id));
        begin(stop.as_mut()).await;
    }
    tokio::time::sleep(secs(6)).await;
    assert_eq!(states(&tree), [("a".into(), ChildState::Stopped)]);
    assert_eq!(a.last_exit().unwrap().reason, ExitReason::Shutdown);
    assert_eq!(b.last_exit().unwrap().reason, ExitReason::Killed);
    assert_eq!(log.take(), ["+a", "+b", "-a"]);
}

/// `shutdown` dropped: the supervisor ends all the same, without the deadline.
#[tokio::test(start_paused = true)]
async fn a_shutdown_that_nobody_waits_for_is_carried_out() {
    let log = Log::new();
    let (_a, sa) = slow_worker("a", &log, secs(4));
    let tree = Supervisor::one_for_one().child(sa).start().await.unwrap();
    {
        let mut stop = Box::pin(tree.shutdown(secs(1)));
        begin(stop.as_mut()).await;
    }
    assert_eq!(tree.join().await.reason, ExitReason::Shutdown);
    assert_eq!(log.take(), ["+a", "-a"]);
    assert!(tree.report().is_clean());
}

/// `join` dropped: nothing changes.
#[tokio::test(start_paused = true)]
async fn a_join_that_is_given_up_changes_nothing() {
    let tree = Supervisor::one_for_one().start().await.unwrap();
    for _ in 0..3 {
        let mut join = Box::pin(tree.join());
        begin(join.as_mut()).await;
    }
    assert!(tree.is_alive());
    tree.shutdown(AGES).await;
}

/// `start_child` of a supervisor, dropped half-way: what it had started is stopped in order, and it is gone.
#[tokio::test(start_paused = true)]
async fn a_start_of_a_supervisor_that_is_given_up_is_rolled_back() {
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    log.on_init("b", [OnInit::Hang]);
    let tree = relentless(Supervisor::one_for_one()).start().await.unwrap();
    let inner = Supervisor::one_for_one().child(sa).child(sb).build().unwrap();
    {
        let mut start = Box::pin(tree.start_child(inner.child("inner")));
        begin(start.as_mut()).await;
        settled().await;
    }
    is_down(&b).await;
    assert_eq!(log.take(), ["+a", "-a"]);
    assert_eq!((counts(&tree), inner.is_alive()), ([0; 4], false));
    assert!(a.is_closed() && b.is_closed());
}

/// Two who ask for the same at once are both answered.
#[tokio::test(start_paused = true)]
async fn two_stops_of_one_child_are_both_answered() {
    let log = Log::new();
    let (a, sa) = slow_worker("a", &log, secs(2));
    let tree = Supervisor::one_for_one().child(sa).start().await.unwrap();
    let begun = tokio::time::Instant::now();
    let (first, second) = tokio::join!(tree.terminate_child("a"), tree.terminate_child("a"));
    assert_eq!((first, second, begun.elapsed()), (Ok(()), Ok(()), secs(2)));
    a.cast(Tell::Note(1)).unwrap();
    let (first, second) = tokio::join!(tree.restart_child("a"), tree.restart_child("a"));
    assert!(first.is_ok() != second.is_ok());
    assert_eq!(noted(&a).await, [1]);
    let (first, second) = tokio::join!(tree.shutdown(AGES), tree.shutdown(AGES));
    assert!(first.is_clean() && second.is_clean());
}
