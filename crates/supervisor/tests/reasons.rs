//! Which ends of a child call for a restart: each restart type by each kind of reason, under each strategy.

use crate::support::{Log, Tell, counts, end, quiet, relentless, settled, states, worker};
use restante_core::ExitReason;
use restante_supervisor::{ChildState, Restart, Strategy, Supervisor};

/// What is expected of a child that ended.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Restarted,
    Rests,
    Gone,
}

/// Has the middle one of three children end for each of these reasons, under each strategy.
async fn check(restart: Restart, reasons: &[ExitReason], then: Then) {
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        for reason in reasons {
            let log = Log::new();
            let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
            let supervisor = relentless(Supervisor::new(strategy));
            let supervisor = supervisor.child(sa).child(sb.restart(restart)).child(sc);
            let tree = supervisor.start().await.unwrap();
            end(&b, reason.clone()).await;
            let others = match (then, strategy) {
                (Then::Restarted, Strategy::OneForAll) => (2, 2),
                (Then::Restarted, Strategy::RestForOne) => (1, 2),
                _ => (1, 1),
            };
            let what = format!("{strategy:?} {reason}");
            assert_eq!((a.incarnation(), c.incarnation()), others, "{what}");
            assert_eq!(tree.restarts(), u64::from(then == Then::Restarted), "{what}");
            let state = tree.which_children().into_iter().find(|c| c.id.as_str() == "b").map(|c| c.state);
            match then {
                Then::Restarted => {
                    assert_eq!((state, counts(&tree)), (Some(ChildState::Running), [3, 3, 0, 3]), "{what}");
                }
                Then::Rests => {
                    assert_eq!((state, counts(&tree)), (Some(ChildState::Stopped), [3, 2, 0, 3]), "{what}");
                    assert!(!b.is_closed());
                    tree.restart_child("b").await.unwrap();
                }
                Then::Gone => {
                    assert_eq!((state, counts(&tree)), (None, [2, 2, 0, 2]), "{what}");
                    assert!(b.is_closed());
                }
            }
        }
    }
}

fn shutdowns() -> [ExitReason; 2] {
    [ExitReason::Shutdown, ExitReason::shutdown_with("done")]
}

fn abnormal() -> [ExitReason; 2] {
    [ExitReason::error("abnormal"), ExitReason::NoProcess]
}

/// OTP `supervisor_SUITE`: `permanent_normal`.
#[tokio::test(start_paused = true)]
async fn a_permanent_child_that_ended_normally_is_restarted() {
    check(Restart::Permanent, &[ExitReason::Normal], Then::Restarted).await;
}

/// OTP `supervisor_SUITE`: `permanent_shutdown`.
#[tokio::test(start_paused = true)]
async fn a_permanent_child_that_shut_down_is_restarted() {
    check(Restart::Permanent, &shutdowns(), Then::Restarted).await;
}

/// OTP `supervisor_SUITE`: `permanent_abnormal`.
#[tokio::test(start_paused = true)]
async fn a_permanent_child_that_failed_is_restarted() {
    check(Restart::Permanent, &abnormal(), Then::Restarted).await;
}

/// OTP `supervisor_SUITE`: `transient_normal`.
#[tokio::test(start_paused = true)]
async fn a_transient_child_that_ended_normally_rests() {
    check(Restart::Transient, &[ExitReason::Normal], Then::Rests).await;
}

/// OTP `supervisor_SUITE`: `transient_shutdown`.
#[tokio::test(start_paused = true)]
async fn a_transient_child_that_shut_down_rests() {
    check(Restart::Transient, &shutdowns(), Then::Rests).await;
}

/// OTP `supervisor_SUITE`: `transient_abnormal`.
#[tokio::test(start_paused = true)]
async fn a_transient_child_that_failed_is_restarted() {
    check(Restart::Transient, &abnormal(), Then::Restarted).await;
}

/// OTP `supervisor_SUITE`: `temporary_normal`.
#[tokio::test(start_paused = true)]
async fn a_temporary_child_that_ended_normally_is_gone() {
    check(Restart::Temporary, &[ExitReason::Normal], Then::Gone).await;
}

/// OTP `supervisor_SUITE`: `temporary_shutdown`.
#[tokio::test(start_paused = true)]
async fn a_temporary_child_that_shut_down_is_gone() {
    check(Restart::Temporary, &shutdowns(), Then::Gone).await;
}

/// OTP `supervisor_SUITE`: `temporary_abnormal`.
#[tokio::test(start_paused = true)]
async fn a_temporary_child_that_failed_is_gone() {
    check(Restart::Temporary, &abnormal(), Then::Gone).await;
}

/// OTP `supervisor_SUITE`: `simple_global_supervisor` (its `kill_worker` and `exit_worker`). A kill and a panic are abnormal.
#[tokio::test(start_paused = true)]
async fn kills_and_panics_are_abnormal() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let supervisor = relentless(Supervisor::one_for_one()).child(sa.restart(Restart::Transient));
    let tree = supervisor.child(sb.restart(Restart::Temporary)).start().await.unwrap();
    a.kill();
    settled().await;
    assert_eq!(a.incarnation(), 2);
    a.cast(Tell::Panic).unwrap();
    settled().await;
    assert_eq!(a.incarnation(), 3);
    b.kill();
    settled().await;
    assert_eq!(states(&tree), [("a".into(), ChildState::Running)]);
}

/// Peer bug 3. A child that has ended for good is in no other's way: it has left the table when the next group falls.
#[tokio::test(start_paused = true)]
async fn a_child_that_ended_for_good_is_not_waited_for() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let supervisor = relentless(Supervisor::one_for_all()).child(sa).child(sb.restart(Restart::Temporary));
    let tree = supervisor.child(sc.restart(Restart::Transient)).start().await.unwrap();
    end(&b, ExitReason::Normal).await;
    end(&c, ExitReason::Normal).await;
    crate::support::crash(&a).await;
    let running = ChildState::Running;
    assert_eq!(states(&tree), [("c".into(), running), ("a".into(), running)], "a stopped one comes back");
    assert!(b.is_closed());
}
