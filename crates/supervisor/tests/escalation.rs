//! Too many restarts, and what becomes of the supervisors above.

use crate::support::worker;
use crate::support::{
    AGES, Log, OnInit, Tell, again, counts, crash, noted, quiet, relentless, settled, states,
};
use restante_core::ExitReason;
use restante_supervisor::{
    Backoff, ChildState, Intensity, Restart, RestartLimit, Strategy, Supervisor, SupervisorRef,
};
use std::time::Duration;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

async fn limit(tree: &SupervisorRef) -> RestartLimit {
    let exit = tree.join().await;
    RestartLimit::of(&exit.reason).unwrap_or_else(|| panic!("{exit:?}")).clone()
}

/// OTP `supervisor_SUITE`: `one_for_one`, `one_for_all`, `rest_for_one`: their last step. Two in a period are within the
/// limit, whichever child falls; the third ends the supervisor and its children.
#[tokio::test(start_paused = true)]
async fn the_limit_is_the_supervisors_whoever_falls() {
    quiet();
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        let log = Log::new();
        let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
        let supervisor = Supervisor::new(strategy).intensity(2, AGES).child(sa).child(sb);
        let tree = supervisor.start().await.unwrap();
        crash(&a).await;
        crash(&b).await;
        assert_eq!(counts(&tree), [2, 2, 0, 2], "{strategy:?}");
        b.cast(Tell::Panic).unwrap();
        let limit = limit(&tree).await;
        assert_eq!((limit.child.as_str(), limit.count, limit.window), ("b", 3, AGES));
        assert!(!a.is_alive() && !b.is_alive());
        assert_eq!(a.last_exit().unwrap().reason, ExitReason::Shutdown);
    }
}

/// OTP `supervisor_SUITE`: `one_for_one_escalation`, `one_for_all_escalation`, `rest_for_one_escalation`. A restart that fails
/// counts as often as it is tried, until the supervisor gives up; the others are stopped then.
#[tokio::test(start_paused = true)]
async fn failed_attempts_count_until_it_gives_up() {
    quiet();
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        let log = Log::new();
        let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
        let tree = Supervisor::new(strategy).intensity(4, AGES).child(sa).child(sb).start().await.unwrap();
        log.take();
        log.on_init("a", vec![OnInit::Fail; 10]);
        a.cast(Tell::Panic).unwrap();
        let limit = limit(&tree).await;
        assert_eq!((limit.child.as_str(), limit.count, tree.restarts()), ("a", 5, 5), "{strategy:?}");
        let lines = log.take();
        assert_eq!(lines.iter().filter(|line| *line == "a fails").count(), 4, "{strategy:?}: {lines:?}");
        assert_eq!((b.is_alive(), b.is_closed()), (false, true));
    }
}

/// OTP `supervisor`: an intensity of zero. The first end that would call for a restart is one too many.
#[tokio::test(start_paused = true)]
async fn with_an_intensity_of_zero_the_first_crash_ends_the_supervisor() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let supervisor = Supervisor::one_for_one().intensity(0, secs(5)).child(sa).child(sb);
    let tree = supervisor.child(sc.restart(Restart::Temporary)).start().await.unwrap();
    crash(&c).await;
    assert!(tree.is_alive(), "what is not restarted does not count");
    b.cast(Tell::Stop(ExitReason::Normal)).unwrap();
    assert_eq!(limit(&tree).await.count, 1);
    assert_eq!(a.last_exit().unwrap().reason, ExitReason::Shutdown);
}

/// OTP `supervisor_SUITE`: `multiple_restarts`. Spaced out they go on for ever.
#[tokio::test(start_paused = true)]
async fn restarts_that_are_far_enough_apart_never_end_it() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let supervisor = Supervisor::one_for_one().intensity(1, secs(1)).backoff(Backoff::NONE);
    let tree = supervisor.child(sa).start().await.unwrap();
    for _ in 0..20 {
        crash(&a).await;
        tokio::time::sleep(Duration::from_millis(1001)).await;
    }
    assert_eq!((tree.restarts(), a.incarnation()), (20, 21));
    crash(&a).await;
    a.cast(Tell::Panic).unwrap();
    assert_eq!(limit(&tree).await.window, secs(1));
}

/// Peer bug 23. The window slides: it is no counter that a quiet while, or a healthy one, sets back, and none that steady
/// crashes within the limit run up.
#[tokio::test(start_paused = true)]
async fn the_window_slides() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let supervisor = Supervisor::one_for_one().intensity(2, Duration::from_millis(500));
    let tree = supervisor.backoff(Backoff::NONE).child(sa).start().await.unwrap();
    for _ in 0..50 {
        crash(&a).await;
        tokio::time::sleep(Duration::from_millis(349)).await;
    }
    assert!(tree.is_alive());
    for _ in 0..2 {
        crash(&a).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!tree.is_alive(), "three within 500 ms");
}

/// A child's own limit ends the supervisor however patient that is; crashes of others do not count against it.
#[tokio::test(start_paused = true)]
async fn a_child_can_have_a_limit_of_its_own() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let supervisor = relentless(Supervisor::one_for_one()).child(sa.intensity(1, secs(60))).child(sb);
    let tree = supervisor.start().await.unwrap();
    for _ in 0..10 {
        crash(&b).await;
    }
    crash(&a).await;
    assert!(tree.is_alive());
    a.cast(Tell::Panic).unwrap();
    let limit = limit(&tree).await;
    assert_eq!((limit.child.as_str(), limit.count, limit.window), ("a", 2, secs(60)));
}

/// OTP `supervisor_SUITE`: `tree`. A supervisor that gives up is restarted by the one above, with its own children and without
/// those that were added later; its siblings with it, where the strategy says so.
#[tokio::test(start_paused = true)]
async fn a_tree_is_restarted_without_the_children_added_later() {
    quiet();
    let log = Log::new();
    let sup1 = Supervisor::one_for_one().intensity(4, AGES).child(again("child1", &log));
    let sup1 = sup1.child(again("child2", &log)).build().unwrap();
    let sup2 = Supervisor::one_for_one().intensity(4, AGES).build().unwrap();
    let top = Supervisor::one_for_all().intensity(4, AGES).start().await.unwrap();
    top.start_child(sup1.child("supchild1")).await.unwrap();
    top.start_child(sup2.child("supchild2")).await.unwrap();
    assert_eq!((counts(&top), counts(&sup1), counts(&sup2)), ([2, 2, 2, 0], [2, 2, 0, 2], [0; 4]));
    let ((c3, s3), (c4, s4)) = (worker("child3", &log), worker("child4", &log));
    sup2.start_child(s3).await.unwrap();
    sup2.start_child(s4).await.unwrap();
    log.take();
    crash(&c4).await;
    assert_eq!(log.take(), ["-child4", "+child4"], "only who fell is restarted");
    log.on_init("child3", vec![OnInit::Fail; 10]);
    c3.cast(Tell::Panic).unwrap();
    tokio::time::sleep(secs(60)).await;
    assert_eq!((counts(&top), counts(&sup1), counts(&sup2)), ([2, 2, 2, 0], [2, 2, 0, 2], [0; 4]));
    assert_eq!((sup1.incarnation(), sup2.incarnation(), top.restarts()), (2, 2, 1));
    assert!(c3.is_closed() && c4.is_closed());
    assert!(RestartLimit::of(&sup2.last_exit().unwrap().reason).is_some());
}

/// Peer bug 4. When a supervisor gives up and is restarted, the mailboxes of its own children stay, with all that is
/// queued, also the messages that came while no child was up.
#[tokio::test(start_paused = true)]
async fn queues_survive_a_supervisor_that_gives_up() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let inner = Supervisor::one_for_one().intensity(0, secs(5)).child(sa).child(sb).build().unwrap();
    let backoff = Backoff::new(secs(1), secs(1)).jitter_percent(0);
    let top = Supervisor::one_for_one().backoff(backoff).child(inner.child("inner")).start().await.unwrap();
    for n in 0..2 {
        b.cast(Tell::Sleep(secs(1))).unwrap();
        settled().await;
        b.cast(Tell::Note(n)).unwrap();
        a.cast(Tell::Panic).unwrap();
        a.cast(Tell::Note(n)).unwrap();
        a.join().await;
        b.join().await;
        b.cast(Tell::Note(n + 10)).unwrap();
        assert_eq!(noted(&b).await, [n, n + 10]);
        assert_eq!(noted(&a).await, [n]);
    }
    assert_eq!((inner.incarnation(), top.restarts()), (3, 2));
    assert_eq!((a.incarnation(), b.incarnation()), (3, 3));
}

/// A supervisor that has been restarted begins with a clean slate: its own window, and those of its children.
#[tokio::test(start_paused = true)]
async fn a_restarted_supervisor_forgets_what_was_counted() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let inner = Supervisor::one_for_one().intensity(1, AGES).backoff(Backoff::NONE);
    let inner = inner.child(sa.intensity(1, AGES)).build().unwrap();
    let _top = relentless(Supervisor::one_for_one()).child(inner.child("inner")).start().await.unwrap();
    for n in 1..4 {
        assert_eq!(inner.incarnation(), n);
        crash(&a).await;
        assert_eq!(inner.incarnation(), n, "once is within the limit");
        crash(&a).await;
    }
}

/// Giving up goes on upwards, level by level, where each level gives up in turn; the top one's reason names its own child.
#[tokio::test(start_paused = true)]
async fn giving_up_climbs_level_by_level() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let low = Supervisor::one_for_one().intensity(1, AGES).backoff(Backoff::NONE).child(sa);
    let mid = Supervisor::one_for_one()
        .intensity(1, AGES)
        .backoff(Backoff::NONE)
        .child(low.into_child("low").unwrap());
    let top = Supervisor::one_for_one()
        .intensity(1, AGES)
        .backoff(Backoff::NONE)
        .child(mid.into_child("mid").unwrap());
    let top = top.start().await.unwrap();
    for _ in 0..7 {
        crash(&a).await;
    }
    assert!(top.is_alive());
    assert_eq!(a.incarnation(), 8, "2 x 2 x 2 incarnations");
    a.cast(Tell::Panic).unwrap();
    assert_eq!(limit(&top).await.child.as_str(), "mid");
}

/// `escalate(true)`: the one above gives up at once with the one that gave up, for its reason, whatever its own limit.
#[tokio::test(start_paused = true)]
async fn an_escalating_supervisor_takes_the_one_above_with_it() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let low = Supervisor::one_for_one().intensity(0, secs(5)).child(sa).into_child("low").unwrap();
    let top =
        relentless(Supervisor::one_for_one()).child(sb).child(low.escalate(true)).start().await.unwrap();
    a.cast(Tell::Panic).unwrap();
    assert_eq!(limit(&top).await.child.as_str(), "a");
    assert_eq!((b.last_exit().unwrap().reason, top.restarts()), (ExitReason::Shutdown, 0));
}

/// An escalating supervisor is restarted as usual when it ends for another reason than having given up.
#[tokio::test(start_paused = true)]
async fn only_giving_up_escalates() {
    let log = Log::new();
    let (_a, sa) = worker("a", &log);
    let low = Supervisor::one_for_one().child(sa).build().unwrap();
    let spec = low.child("low").escalate(true);
    let top = relentless(Supervisor::one_for_one()).child(spec).start().await.unwrap();
    low.kill();
    settled().await;
    assert_eq!((low.incarnation(), top.is_alive(), top.restarts()), (2, true, 1));
}

/// OTP `supervisor_SUITE`: `simple_global_supervisor` (its `kill_supervisor`). A supervisor that is killed takes its children
/// with it, and comes back with them.
#[tokio::test(start_paused = true)]
async fn a_killed_supervisor_comes_back_with_its_children() {
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let middle = Supervisor::one_for_all().child(sa).build().unwrap();
    let top = Supervisor::one_for_all().child(middle.child("middle")).start().await.unwrap();
    a.cast(Tell::Sleep(AGES)).unwrap();
    settled().await;
    a.cast(Tell::Note(1)).unwrap();
    middle.kill();
    assert_eq!(middle.join().await.reason, ExitReason::Killed);
    settled().await;
    assert_eq!((middle.incarnation(), a.incarnation()), (2, 2));
    assert_eq!(log.take(), ["+a", "+a"], "no `terminate` ran");
    assert_eq!(noted(&a).await, [1]);
    top.kill();
    assert_eq!(top.join().await.reason, ExitReason::Killed);
    assert!(a.is_closed());
}

/// A transient supervisor that gave up did not end in order, and is restarted. (Here OTP's would not be: it exits with
/// `shutdown`. Ours has a reason of its own.)
#[tokio::test(start_paused = true)]
async fn a_transient_supervisor_that_gave_up_is_restarted() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let low = Supervisor::one_for_one().intensity(0, secs(5)).child(sa).build().unwrap();
    let spec = low.child("low").restart(Restart::Transient);
    let top = relentless(Supervisor::one_for_one()).child(spec).start().await.unwrap();
    crash(&a).await;
    assert_eq!((low.incarnation(), a.incarnation()), (2, 2));
    low.shutdown(AGES).await;
    settled().await;
    assert_eq!(states(&top), [("low".into(), ChildState::Stopped)]);
}

/// A restarted supervisor whose child then does not start ends again, which counts above.
#[tokio::test(start_paused = true)]
async fn a_supervisor_that_cannot_come_back_counts_above() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let low = Supervisor::one_for_one().intensity(0, secs(5)).child(sa).build().unwrap();
    let top = Supervisor::one_for_one().intensity(2, AGES).child(low.child("low")).start().await.unwrap();
    log.on_init("a", vec![OnInit::Fail; 5]);
    a.cast(Tell::Panic).unwrap();
    let limit = limit(&top).await;
    assert_eq!((limit.child.as_str(), limit.count, low.incarnation()), ("low", 3, 3));
}

/// Without limit and with a back-off a hopeless child keeps no thread busy: the attempts are far apart.
#[tokio::test(start_paused = true)]
async fn a_hopeless_child_is_tried_ever_more_rarely() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let supervisor = Supervisor::one_for_one().with_intensity(Intensity::UNLIMITED).child(sa);
    let tree = supervisor.start().await.unwrap();
    log.on_init("a", vec![OnInit::Fail; 10_000]);
    crash(&a).await;
    tokio::time::sleep(AGES).await;
    let attempts = tree.restarts();
    assert!((3000..=3610).contains(&attempts), "{attempts}: every 1 s to 1.2 s");
}
