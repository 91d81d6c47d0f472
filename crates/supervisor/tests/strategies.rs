//! Who is restarted when one ends, and in what order.

use crate::support::{Log, OnInit, Tell, noted, quiet, relentless, worker};
use restante_core::ExitReason;
use restante_supervisor::{Backoff, ChildState, Restart, RestartLimit, Supervisor, TreeError};
use std::time::Duration;

/// Clauses 21.8, 21.18, row G4: a crash is a pause; what was queued behind it is handled by the next incarnation.
#[tokio::test]
async fn a_child_that_panics_is_restarted_over_its_mailbox() {
    quiet();
    let log = Log::new();
    let (a, spec) = worker("a", &log);
    let tree = relentless(Supervisor::one_for_one()).child(spec).start().await.unwrap();
    a.cast(Tell::Note(1)).unwrap();
    a.cast(Tell::Panic).unwrap();
    a.cast(Tell::Note(2)).unwrap();
    a.cast(Tell::Note(3)).unwrap();
    assert_eq!(noted(&a).await, [2, 3]);
    assert_eq!((a.incarnation(), tree.restarts()), (2, 1));
    assert_eq!(log.take(), ["+a", "-a", "+a"]);
    assert!(tree.shutdown(Duration::from_secs(1)).await.is_clean());
    assert!(a.is_closed());
}

/// Clauses 21.4, 21.17, row G3: `one_for_one`. (OTP `supervisor_SUITE`: `one_for_one`.)
#[tokio::test]
async fn one_for_one_restarts_only_the_child_that_ended() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let tree = relentless(Supervisor::one_for_one()).child(sa).child(sb).start().await.unwrap();
    a.cast(Tell::Panic).unwrap();
    assert!(noted(&a).await.is_empty());
    assert_eq!((a.incarnation(), b.incarnation()), (2, 1));
    drop(tree);
    assert!(noted(&b).await.is_empty(), "a tree lives without anybody who holds it");
}

/// Clauses 21.2, 21.4, row G3: `one_for_all`: the others are stopped in reverse, all are started in order. (OTP:
/// `one_for_all`.)
#[tokio::test]
async fn one_for_all_stops_the_others_in_reverse_and_starts_all_in_order() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let tree = relentless(Supervisor::one_for_all()).child(sa).child(sb).child(sc).start().await.unwrap();
    assert_eq!(log.take(), ["+a", "+b", "+c"]);
    a.cast(Tell::Note(1)).unwrap();
    noted(&a).await;
    b.cast(Tell::Panic).unwrap();
    b.cast(Tell::Note(7)).unwrap();
    assert_eq!(noted(&b).await, [7]);
    assert!(noted(&a).await.is_empty(), "a is another incarnation");
    noted(&c).await;
    assert_eq!(log.take(), ["-b", "-c", "-a", "+a", "+b", "+c"]);
    assert!(tree.shutdown(Duration::from_secs(1)).await.is_clean());
    assert_eq!(log.take(), ["-c", "-b", "-a"]);
}

/// Clause 21.4, row G3: `rest_for_one`: the failed one and those started after it. (OTP: `rest_for_one`.)
#[tokio::test]
async fn rest_for_one_lets_those_before_be() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let _tree = relentless(Supervisor::rest_for_one()).child(sa).child(sb).child(sc).start().await.unwrap();
    log.take();
    b.cast(Tell::Fail("no")).unwrap();
    noted(&b).await;
    noted(&c).await;
    assert_eq!(log.take(), ["-b", "-c", "+b", "+c"]);
    assert_eq!((a.incarnation(), b.incarnation(), c.incarnation()), (1, 2, 2));
}

/// Clause 21.1, row G3: a failed start is rolled back in reverse, and the starter is told which child and why.
#[tokio::test]
async fn a_failed_start_is_rolled_back() {
    let log = Log::new();
    let ((_a, sa), (_b, sb), (_c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    log.on_init("c", [OnInit::Fail]);
    let failed = Supervisor::one_for_one().child(sa).child(sb).child(sc).start().await;
    let Err(TreeError::Start(error)) = failed else { panic!("{failed:?}") };
    assert_eq!(log.take(), ["+a", "+b", "c fails", "-b", "-a"]);
    assert!(error.to_string().contains("child c did not start"), "{error}");
}

/// Clauses 21.6, 21.11, row G3: giving up ends the supervisor with a reason that names child, count and window.
#[tokio::test(start_paused = true)]
async fn too_many_restarts_end_the_supervisor_with_a_typed_reason() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let tree = Supervisor::one_for_one().child(sa).child(sb).start().await.unwrap();
    for _ in 0..4 {
        a.cast(Tell::Panic).unwrap();
    }
    let exit = tree.join().await;
    let limit = RestartLimit::of(&exit.reason).expect("it gave up");
    assert_eq!((limit.child.as_str(), limit.count, limit.window), ("a", 4, Duration::from_secs(5)));
    assert!(a.is_closed() && b.is_closed(), "nobody is above");
}

/// Clauses 21.7, 21.14, row G3: during a back-off messages queue, and the table says that the child is being restarted.
#[tokio::test(start_paused = true)]
async fn messages_queue_while_a_restart_is_put_off() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = Supervisor::one_for_one().child(sa).start().await.unwrap();
    a.cast(Tell::Panic).unwrap();
    noted(&a).await;
    a.cast(Tell::Panic).unwrap();
    a.cast(Tell::Note(5)).unwrap();
    a.join().await;
    assert_eq!(tree.which_children()[0].state, ChildState::Restarting);
    let before = tokio::time::Instant::now();
    assert_eq!(noted(&a).await, [5]);
    let waited = before.elapsed();
    assert!(waited >= Duration::from_millis(50) && waited <= Duration::from_millis(61), "{waited:?}");
}

/// Clause 21.3, row G3: transient: its specification stays after an orderly end; temporary: it goes.
#[tokio::test]
async fn transient_and_temporary_children_end_as_the_manual_says() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let tree = relentless(Supervisor::one_for_one())
        .child(sa.restart(Restart::Transient))
        .child(sb.restart(Restart::Temporary))
        .start()
        .await
        .unwrap();
    a.cast(Tell::Stop(ExitReason::Normal)).unwrap();
    b.cast(Tell::Panic).unwrap();
    a.join().await;
    b.join().await;
    // The supervisor is told when those who join have been.
    tokio::task::yield_now().await;
    assert_eq!(tree.which_children().iter().map(|c| c.state).collect::<Vec<_>>(), [ChildState::Stopped]);
    assert!(!a.is_closed() && b.is_closed());
    tree.restart_child("a").await.unwrap();
    assert_eq!(a.incarnation(), 2);
}

/// Clauses 21.4, 21.16: a mailbox that was closed while it was not being read is no reason to try the restart of its group,
/// or of its supervisor, again and again.
#[tokio::test(start_paused = true)]
async fn a_member_whose_mailbox_was_closed_leaves_its_group() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let below = relentless(Supervisor::one_for_all()).child(sa).child(sb).child(sc).build().unwrap();
    let tree = relentless(Supervisor::one_for_one()).child(below.child("below")).start().await.unwrap();
    for (closed, left) in [(&b, 2), (&c, 1)] {
        let name = closed.name().unwrap();
        below.terminate_child(name).await.unwrap();
        closed.close(ExitReason::Normal);
        assert_eq!(below.which_children().len(), left + 1, "nothing has looked at it yet");
        if left == 2 {
            a.cast(Tell::Panic).unwrap();
        } else {
            below.kill();
        }
        a.cast(Tell::Note(1)).unwrap();
        assert_eq!(noted(&a).await, [1]);
        assert_eq!(below.which_children().len(), left, "it goes when it is to be started");
    }
    assert_eq!((tree.restarts(), below.restarts()), (1, 1));
}

/// Row G3: a group that cannot start, and tries again without pause, leaves the thread to others in between.
#[tokio::test]
async fn a_group_that_fails_without_end_can_be_stopped() {
    quiet();
    let log = Log::new();
    let ((a, sa), (_, sb)) = (worker("a", &log), worker("b", &log));
    let tree = relentless(Supervisor::one_for_all()).child(sa).child(sb).start().await.unwrap();
    log.on_init("a", std::iter::repeat_n(OnInit::Fail, 100_000));
    a.cast(Tell::Panic).unwrap();
    while tree.restarts() < 100 {
        tokio::task::yield_now().await;
    }
    assert!(tree.restarts() < 10_000, "{}", tree.restarts());
    assert!(tree.shutdown(Duration::from_secs(5)).await.is_clean());
}

/// Rows G3, G4, clause 21.4: a group that waits for its pause is not forgotten over a later member that crashes meanwhile.
#[tokio::test(start_paused = true)]
async fn a_group_restart_that_waits_is_not_lost_over_another() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1)).jitter_percent(0);
    let tree = relentless(Supervisor::rest_for_one()).backoff(backoff).child(sa).child(sb);
    let tree = tree.start().await.unwrap();
    log.on_init("b", [OnInit::Fail]);
    b.cast(Tell::Panic).unwrap();
    b.cast(Tell::Note(1)).unwrap();
    while tree.restarts() < 2 {
        tokio::task::yield_now().await;
    }
    // `b` waits for its second attempt; another is added behind it, and crashes.
    tree.start_child(sc).await.unwrap();
    c.cast(Tell::Panic).unwrap();
    assert_eq!(noted(&b).await, [1]);
    assert!(noted(&c).await.is_empty());
    assert_eq!((a.incarnation(), b.incarnation(), c.incarnation()), (1, 3, 2));
}
