//! How a tree is stopped: in what order, within what limits, and what is said of it.

use crate::support::{AGES, Log, OnInit, Tell, again, crash, noted, quiet, relentless, settled, slow_worker};
use crate::support::{block, states, worker};
use restante_core::ExitReason;
use restante_supervisor::{
    Backoff, ChildError, ChildState, Intensity, Shutdown, StartChildError, Strategy, Supervisor,
};
use std::time::Duration;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// OTP `supervisor_SUITE`: `sup_stop_infinity`. However long they take, worker or supervisor.
#[tokio::test(start_paused = true)]
async fn children_without_limit_are_waited_for() {
    let log = Log::new();
    let (_a, sa) = slow_worker("a", &log, secs(1000));
    let (_b, sb) = slow_worker("b", &log, secs(1000));
    let inner = Supervisor::one_for_one().child(sb.shutdown(Shutdown::Infinity)).into_child("inner").unwrap();
    let tree = Supervisor::one_for_one().child(sa.shutdown(Shutdown::Infinity)).child(inner);
    let tree = tree.start().await.unwrap();
    let begun = tokio::time::Instant::now();
    let report = tree.shutdown(Duration::MAX).await;
    assert_eq!((report.is_clean(), report.stopped, begun.elapsed()), (true, 2, secs(2000)));
    assert_eq!(log.take(), ["+a", "+b", "-b", "-a"]);
}

/// OTP `supervisor_SUITE`: `sup_stop_timeout`. Who is over its limit is killed, and named with that limit; the others go on.
#[tokio::test(start_paused = true)]
async fn a_child_over_its_limit_is_killed_and_named() {
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let limit = Shutdown::Timeout(secs(1));
    let supervisor = Supervisor::one_for_one().child(sa.shutdown(limit)).child(sb.shutdown(limit));
    let tree = supervisor.child(sc.shutdown(limit)).start().await.unwrap();
    b.cast(Tell::Sleep(secs(200))).unwrap();
    settled().await;
    let begun = tokio::time::Instant::now();
    let report = tree.shutdown(AGES).await;
    assert_eq!(begun.elapsed(), secs(1));
    assert_eq!(report.killed, [("b".to_owned(), secs(1))]);
    assert_eq!((report.unexpected.as_slice(), report.abandoned.as_slice()), (&[][..], &[][..]));
    assert_eq!(report.stopped, 3);
    assert_eq!(b.last_exit().unwrap().reason, ExitReason::Killed);
    assert_eq!(a.last_exit().unwrap().reason, ExitReason::Shutdown);
    assert_eq!(c.last_exit().unwrap().reason, ExitReason::Shutdown);
    assert_eq!(report.to_string(), "3 stopped; b was killed after 1s");
}

/// OTP `supervisor_SUITE`: `sup_stop_brutal_kill`. No `terminate`, no waiting for the message in hand, and that is as it
/// should be.
#[tokio::test(start_paused = true)]
async fn brutally_killed_children_do_not_terminate() {
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let tree =
        Supervisor::one_for_one().child(sa).child(sb.shutdown(Shutdown::BrutalKill)).start().await.unwrap();
    b.cast(Tell::Sleep(AGES)).unwrap();
    settled().await;
    assert!(tree.shutdown(AGES).await.is_clean());
    assert_eq!(log.take(), ["+a", "+b", "-a"]);
    assert_eq!(b.last_exit().unwrap().reason, ExitReason::Killed);
    assert_eq!(a.last_exit().unwrap().reason, ExitReason::Shutdown);
}

/// OTP `supervisor_SUITE`: `sup_stop_race`. A child that ends by itself, in order, at the moment at which it is told to.
#[tokio::test(start_paused = true)]
async fn a_child_that_ends_while_it_is_told_to_is_not_waited_for() {
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), slow_worker("b", &log, secs(1)));
    let tree = relentless(Supervisor::one_for_one()).child(sa).child(sb).start().await.unwrap();
    let stop = tokio::spawn({
        let tree = tree.clone();
        async move { tree.shutdown(AGES).await }
    });
    settled().await;
    // `a` has not been told yet: `b` is in `terminate`.
    a.cast(Tell::Stop(ExitReason::Shutdown)).unwrap();
    let report = stop.await.unwrap();
    assert_eq!((a.incarnation(), b.incarnation(), tree.restarts()), (1, 1, 0));
    assert!(report.is_clean(), "{report}");
}

/// OTP `supervisor_SUITE`: `sup_stop_non_shutdown_exit_dynamic`, of static children. Ends for another reason than the one given
/// are reported; the shutdown goes on.
#[tokio::test(start_paused = true)]
async fn ends_for_other_reasons_are_reported() {
    quiet();
    let log = Log::new();
    let ((_a, sa), (b, sb)) = (worker("a", &log), slow_worker("b", &log, secs(1)));
    let tree = Supervisor::one_for_one().name("top").child(sa).child(sb).start().await.unwrap();
    b.cast(Tell::Sleep(secs(1))).unwrap();
    settled().await;
    b.cast(Tell::Note(1)).unwrap();
    let stop = tokio::spawn({
        let tree = tree.clone();
        async move { tree.shutdown(AGES).await }
    });
    settled().await;
    b.kill();
    let report = stop.await.unwrap();
    assert_eq!(report.unexpected, [("b".to_owned(), ExitReason::Killed)]);
    assert_eq!((report.stopped, report.killed.len()), (2, 0));
    assert!(log.take().contains(&"-a".to_owned()));
}

/// What a report counts is this shutdown: not the stops of group restarts and stops by hand before it.
#[tokio::test(start_paused = true)]
async fn a_report_is_of_the_shutdown_alone() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (_c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let limit = Shutdown::Timeout(secs(1));
    let supervisor = relentless(Supervisor::one_for_all()).child(sa).child(sb.shutdown(limit)).child(sc);
    let tree = supervisor.start().await.unwrap();
    b.cast(Tell::Sleep(AGES)).unwrap();
    settled().await;
    crash(&a).await;
    noted(&b).await;
    tree.terminate_child("c").await.unwrap();
    let report = tree.shutdown(AGES).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.stopped, 2);
}

/// A deadline for the whole: what is left then is killed at once, and the report says that not all was well.
#[tokio::test(start_paused = true)]
async fn at_the_deadline_all_that_is_left_is_killed() {
    let log = Log::new();
    let (_a, sa) = slow_worker("a", &log, secs(100));
    let (_b, sb) = slow_worker("b", &log, secs(100));
    let inner = Supervisor::one_for_one().child(sb.shutdown(Shutdown::Infinity)).into_child("inner").unwrap();
    let tree = Supervisor::one_for_one().child(sa.shutdown(Shutdown::Infinity)).child(inner);
    let tree = tree.start().await.unwrap();
    let begun = tokio::time::Instant::now();
    let report = tree.shutdown(secs(3)).await;
    assert_eq!(begun.elapsed(), secs(3));
    assert!(!report.is_clean());
    assert_eq!(tree.last_exit().unwrap().reason, ExitReason::Shutdown);
    assert_eq!(log.take(), ["+a", "+b"]);
}

/// Row 18 of the failure modes. A handler that blocks its thread cannot be ended: it is left behind, and named with its path,
/// at any depth; all others are stopped in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_blocked_child_is_abandoned_and_named() {
    let log = Log::new();
    let ((_a, sa), (b, sb), (_c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let limit = Shutdown::Timeout(Duration::from_millis(20));
    let brief = Duration::from_millis(50);
    let inner = Supervisor::one_for_one().abandon_after(brief).child(sb.shutdown(limit)).child(sc);
    let tree =
        Supervisor::one_for_one().abandon_after(brief).child(sa).child(inner.into_child("inner").unwrap());
    let tree = tree.start().await.unwrap();
    let (blocks, gate) = block(&b);
    blocks.await.unwrap();
    let report = tree.shutdown(AGES).await;
    assert_eq!(report.abandoned, ["inner/b"]);
    assert_eq!(report.killed, [("inner/b".to_owned(), Duration::from_millis(20))]);
    assert_eq!(report.stopped, 2);
    assert_eq!(log.take(), ["+a", "+b", "+c", "-c", "-a"]);
    drop(gate);
    assert_eq!(b.join().await.reason, ExitReason::Killed);
}

/// A blocked child, at the deadline for the whole: the child is named, not the supervisor that it is under.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_blocked_child_is_named_at_the_deadline() {
    let log = Log::new();
    let ((_a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let brief = Duration::from_millis(50);
    let inner = Supervisor::one_for_one().abandon_after(brief).child(sb).into_child("inner").unwrap();
    let tree = Supervisor::one_for_one().abandon_after(brief).child(sa).child(inner).start().await.unwrap();
    let (blocks, gate) = block(&b);
    blocks.await.unwrap();
    let report = tree.shutdown(Duration::from_millis(20)).await;
    assert_eq!(report.abandoned, ["inner/b"]);
    drop(gate);
}

/// OTP `supervisor_SUITE`: `child_unlink`. A child that cannot be ended hangs no caller: the one that stops it is told so,
/// and its supervisor goes on with everything else. When it has ended at last it can be started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_child_that_cannot_be_ended_hangs_nobody() {
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let supervisor = Supervisor::one_for_one().abandon_after(Duration::from_millis(50));
    let tree = supervisor.child(sa.shutdown(Shutdown::BrutalKill)).child(sb).start().await.unwrap();
    let (blocks, gate) = block(&a);
    blocks.await.unwrap();
    assert_eq!(tree.terminate_child("a").await, Err(ChildError::Abandoned));
    assert_eq!(tree.terminate_child("a").await, Err(ChildError::Abandoned), "it still is");
    assert_eq!(states(&tree)[1].1, ChildState::Abandoned);
    assert_eq!(tree.restart_child("a").await, Err(ChildError::Abandoned));
    assert!(noted(&b).await.is_empty());
    drop(gate);
    a.join().await;
    while tree.restart_child("a").await == Err(ChildError::Abandoned) {
        tokio::task::yield_now().await;
    }
    assert!(noted(&a).await.is_empty());
}

/// Failure mode 16 (a zombie that its supervisor takes for alive): a member of a group that cannot be ended
/// is not passed over. Each attempt without it fails, until it ends or the supervisor gives up.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_group_does_not_come_back_over_a_member_that_does_not_end() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let ms = Duration::from_millis;
    let supervisor = Supervisor::one_for_all().abandon_after(ms(20)).with_intensity(Intensity::UNLIMITED);
    let supervisor = supervisor.backoff(Backoff::new(ms(1), ms(5)));
    let tree = supervisor.child(sa).child(sb.shutdown(Shutdown::BrutalKill)).start().await.unwrap();
    let (blocks, gate) = block(&b);
    blocks.await.unwrap();
    a.cast(Tell::Panic).unwrap();
    while tree.restarts() < 3 {
        tokio::task::yield_now().await;
    }
    drop(gate);
    assert!(noted(&b).await.is_empty());
    assert!(noted(&a).await.is_empty());
    assert!(tree.is_alive());
}

/// OTP `supervisor_SUITE`: `hanging_restart_loop`, its end: the supervisor's own end is not put off by a restart loop,
/// under any strategy, without any pause.
#[tokio::test(start_paused = true)]
async fn a_supervisor_can_be_stopped_in_a_hot_restart_loop() {
    quiet();
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        let log = Log::new();
        let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
        let tree = relentless(Supervisor::new(strategy)).child(sa).child(sb).start().await.unwrap();
        log.on_init("a", vec![OnInit::Fail; 1_000_000]);
        a.cast(Tell::Panic).unwrap();
        while tree.restarts() < 100 {
            tokio::task::yield_now().await;
        }
        assert!(tree.shutdown(AGES).await.is_clean(), "{strategy:?}");
        assert!(a.is_closed() && b.is_closed());
    }
}

/// Peer bug 22. Who is added while the supervisor is ending is refused, and nothing of it is left; the same when it is down.
#[tokio::test(start_paused = true)]
async fn nobody_is_added_to_a_supervisor_that_ends() {
    let log = Log::new();
    let (_a, sa) = slow_worker("a", &log, secs(2));
    let (c, sc) = worker("c", &log);
    let tree = Supervisor::one_for_one().child(sa).child(sc).start().await.unwrap();
    tree.terminate_child("c").await.unwrap();
    let stop = tokio::spawn({
        let tree = tree.clone();
        async move { tree.shutdown(AGES).await }
    });
    settled().await;
    assert_eq!(tree.start_child(again("b", &log)).await, Err(StartChildError::Down));
    assert_eq!(tree.restart_child("c").await, Err(ChildError::Down));
    stop.await.unwrap();
    assert_eq!(tree.start_child(again("b", &log)).await, Err(StartChildError::Down));
    assert_eq!(log.take(), ["+a", "+c", "-c", "-a"]);
    assert!(c.is_closed());
}

/// A start by hand whose `init` is under way when the supervisor ends is broken off.
#[tokio::test(start_paused = true)]
async fn a_start_that_is_under_way_when_the_supervisor_ends_is_broken_off() {
    let log = Log::new();
    let (_a, sa) = worker("a", &log);
    let tree = Supervisor::one_for_one().child(sa).start().await.unwrap();
    log.on_init("b", [OnInit::Hang]);
    let (b, sb) = worker("b", &log);
    let start = tokio::spawn({
        let tree = tree.clone();
        async move { tree.start_child(sb).await }
    });
    settled().await;
    let begun = tokio::time::Instant::now();
    assert!(tree.shutdown(AGES).await.is_clean());
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(matches!(start.await.unwrap(), Err(StartChildError::Start(_))));
    assert!(b.is_closed());
}

/// Peer bug 5. A child that calls, in its `terminate` or before it, a server that is stopped already does not wait: it is
/// told. Here: its supervisor's stop goes on while it waits for a sibling, which is stopped after it and so still answers.
#[tokio::test(start_paused = true)]
async fn a_child_that_waits_for_an_earlier_sibling_is_answered_before_both_are_stopped() {
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let tree = Supervisor::one_for_one().child(sa).child(sb).start().await.unwrap();
    a.cast(Tell::Sleep(secs(2))).unwrap();
    b.cast(Tell::Ask(a.clone())).unwrap();
    settled().await;
    let report = tree.shutdown(AGES).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(log.take(), ["+a", "+b", "b was answered", "-b", "-a"]);
}

/// `join` returns, and `shutdown` does, when the last `terminate` has run (failure mode 19).
#[tokio::test(start_paused = true)]
async fn a_supervisor_has_ended_when_all_below_have() {
    let log = Log::new();
    let (_a, sa) = slow_worker("a", &log, secs(3));
    let tree = Supervisor::one_for_one().child(sa).start().await.unwrap();
    let joined = tokio::spawn({
        let (tree, log) = (tree.clone(), log.clone());
        async move {
            tree.join().await;
            log.note("joined");
        }
    });
    settled().await;
    tree.shutdown(AGES).await;
    joined.await.unwrap();
    assert_eq!(log.take(), ["+a", "-a", "joined"]);
}
