//! How a supervisor starts, and how it does not.

use crate::support::{AGES, Args, Log, OnInit, Tell, Worker, counts, noted, quiet, settled, states, worker};
use restante_core::ExitReason;
use restante_genserver::{Server, StartError};
use restante_supervisor::{
    AutoShutdown, ChildNotStarted, ChildState, Restart, Shutdown, SpecError, Supervise, Supervisor, TreeError,
};
use std::error::Error;
use std::time::Duration;

/// What lies in the error of a start that one child's failure ended.
fn not_started(error: &TreeError) -> ChildNotStarted {
    let TreeError::Start(StartError::Failed(ExitReason::Error(error))) = error else { panic!("{error:?}") };
    error.downcast_ref::<ChildNotStarted>().expect("it names the child").clone()
}

/// OTP `supervisor_SUITE`: `sup_start_normal`. One without children is up at once, and ends in order.
#[tokio::test(start_paused = true)]
async fn a_supervisor_without_children_starts_and_stops() {
    let tree = Supervisor::one_for_one().start().await.unwrap();
    assert!(tree.is_alive());
    assert_eq!((counts(&tree), tree.incarnation()), ([0; 4], 1));
    assert!(tree.shutdown(AGES).await.is_clean());
    assert_eq!(tree.last_exit().unwrap().reason, ExitReason::Shutdown);
    assert!(!tree.is_alive());
}

/// OTP `supervisor_SUITE`: `sup_start_fail`. A failure of the first child leaves nothing behind, and can be tried again by a
/// new supervisor.
#[tokio::test(start_paused = true)]
async fn a_failure_names_the_child_and_its_reason() {
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    log.on_init("a", [OnInit::Fail]);
    let error = Supervisor::one_for_one().child(sa).start().await.unwrap_err();
    let failed = not_started(&error);
    assert_eq!(failed.child.as_str(), "a");
    assert!(matches!(&failed.error, StartError::Failed(why) if why.to_string().contains("init failed")));
    assert!(failed.source().is_some_and(|e| e.to_string().contains("init failed")));
    assert!(a.is_closed(), "there is nobody who could start it again");
}

/// OTP `supervisor_SUITE`: `sup_start_error_return`. A panic in an `init` is an error of the start, no more.
#[tokio::test(start_paused = true)]
async fn a_panic_in_init_fails_the_start_and_rolls_back() {
    quiet();
    let log = Log::new();
    let ((_a, sa), (_b, sb)) = (worker("a", &log), worker("b", &log));
    log.on_init("b", [OnInit::Panic]);
    let error = Supervisor::rest_for_one().child(sa).child(sb).start().await.unwrap_err();
    assert!(matches!(not_started(&error).error, StartError::Failed(ExitReason::Panic(_))));
    assert_eq!(log.take(), ["+a", "-a"]);
}

/// OTP `supervisor_SUITE`: `faulty_application_shutdown`. The reason comes up through all levels, with each child's id.
#[tokio::test(start_paused = true)]
async fn a_failure_two_levels_down_is_passed_on_with_its_path() {
    let log = Log::new();
    let ((_a, sa), (_b, sb)) = (worker("a", &log), worker("b", &log));
    log.on_init("b", [OnInit::Fail]);
    let inner = Supervisor::one_for_one().child(sb).into_child("inner").unwrap();
    let error = Supervisor::one_for_one().child(sa).child(inner).start().await.unwrap_err();
    let outer = not_started(&error);
    assert_eq!(outer.child.as_str(), "inner");
    let inner = not_started(&TreeError::Start(outer.error));
    assert_eq!(inner.child.as_str(), "b");
    assert_eq!(log.take(), ["+a", "b fails", "-a"]);
}

/// OTP `supervisor_SUITE`: `order_of_children`. Started in the order given, each when the one before is up; stopped in reverse.
#[tokio::test(start_paused = true)]
async fn children_start_one_after_the_other_and_stop_in_reverse() {
    let log = Log::new();
    let specs = ["ch7", "ch3", "ch10", "ch2", "ch5"].map(|id| worker(id, &log).1);
    log.on_init("ch3", [OnInit::Sleep(Duration::from_secs(1))]);
    let mut supervisor = Supervisor::rest_for_one();
    for spec in specs {
        supervisor = supervisor.child(spec);
    }
    let tree = supervisor.start().await.unwrap();
    assert_eq!(log.take(), ["+ch7", "ch3 inits", "+ch3", "+ch10", "+ch2", "+ch5"]);
    let ids: Vec<_> = states(&tree).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["ch5", "ch2", "ch10", "ch3", "ch7"]);
    tree.shutdown(AGES).await;
    assert_eq!(log.take(), ["-ch5", "-ch2", "-ch10", "-ch3", "-ch7"]);
}

/// OTP `supervisor_SUITE`: `sup_start_ignore_child`. The specification stays, counted, without a process; and the supervisor's
/// start goes on.
#[tokio::test(start_paused = true)]
async fn a_child_with_nothing_to_serve_keeps_its_specification() {
    let log = Log::new();
    let ((a, sa), (_b, sb)) = (worker("a", &log), worker("b", &log));
    log.on_init("a", [OnInit::Ignore]);
    let tree = Supervisor::one_for_one().child(sa).child(sb).start().await.unwrap();
    assert_eq!(states(&tree), [("b".into(), ChildState::Running), ("a".into(), ChildState::Stopped)]);
    assert_eq!(counts(&tree), [2, 1, 0, 2]);
    a.cast(Tell::Note(1)).expect("its mailbox takes messages meanwhile");
    tree.restart_child("a").await.unwrap();
    assert_eq!(noted(&a).await, [1]);
}

/// OTP `supervisor_SUITE`: `sup_start_ignore_temporary_child`. A temporary one is dropped.
#[tokio::test(start_paused = true)]
async fn a_temporary_child_with_nothing_to_serve_is_dropped() {
    let log = Log::new();
    let ((a, sa), (_b, sb)) = (worker("a", &log), worker("b", &log));
    log.on_init("a", [OnInit::Ignore]);
    let (sa, sb) = (sa.restart(Restart::Temporary), sb.restart(Restart::Temporary));
    let tree = Supervisor::one_for_one().child(sa).child(sb).start().await.unwrap();
    assert_eq!(states(&tree), [("b".into(), ChildState::Running)]);
    assert_eq!(counts(&tree), [1, 1, 0, 1]);
    assert!(a.is_closed());
}

/// OTP `supervisor_SUITE`: `sup_start_map`. What a specification says when it says nothing.
#[tokio::test(start_paused = true)]
async fn the_defaults_of_a_specification_are_those_of_the_manual() {
    let log = Log::new();
    let brutal = worker("brutal", &log).1.shutdown(Shutdown::BrutalKill);
    let inner = Supervisor::one_for_one().into_child("inner").unwrap();
    let tree = Supervisor::one_for_one()
        .child(worker("a", &log).1)
        .child(brutal)
        .child(inner)
        .start()
        .await
        .unwrap();
    let options = |id| tree.child_options(id).unwrap();
    assert_eq!((options("a").restart, options("a").significant), (Restart::Permanent, false));
    assert_eq!(options("a").shutdown, Shutdown::Timeout(Duration::from_secs(5)));
    assert_eq!(options("brutal").shutdown, Shutdown::BrutalKill);
    assert_eq!(options("inner").shutdown, Shutdown::Infinity);
    assert_eq!(tree.child_options("nobody"), None);
}

/// OTP `supervisor_SUITE`: `child_specs` and `sup_start_map_faulty_specs`. Two of one name are refused before anything starts.
#[tokio::test(start_paused = true)]
async fn two_children_of_one_id_are_refused_before_anything_starts() {
    let log = Log::new();
    let (first, second) = (worker("a", &log).1, worker("b", &log).1.id("a"));
    let refused = Supervisor::one_for_one().child(first).child(second).start().await.unwrap_err();
    assert_eq!(refused, TreeError::Spec(SpecError::DuplicateId("a".into())));
    settled().await;
    assert!(log.take().is_empty());
}

/// OTP `supervisor_SUITE`: `sup_flags`, with the combinations of `significant` and `auto_shutdown` that make no sense.
#[tokio::test(start_paused = true)]
async fn senseless_combinations_are_refused() {
    let log = Log::new();
    let significant = |restart| worker("a", &log).1.restart(restart).significant(true);
    let permanent = Supervisor::one_for_one()
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(significant(Restart::Permanent));
    assert_eq!(permanent.build().unwrap_err(), SpecError::SignificantPermanent("a".into()));
    let never = Supervisor::one_for_one().child(significant(Restart::Transient));
    assert_eq!(never.build().unwrap_err(), SpecError::SignificantNever("a".into()));
}

/// OTP `supervisor`: the start function's own time limit (`proc_lib`). An `init` that takes too long is killed, and the start
/// rolled back.
#[tokio::test(start_paused = true)]
async fn an_init_that_takes_too_long_is_killed_and_fails_the_start() {
    let log = Log::new();
    log.on_init("slow", [OnInit::Hang]);
    let slow =
        Server::<Worker>::settings().name("slow").start_timeout(Duration::from_secs(2)).build().unwrap();
    let address = slow.address();
    let slow = slow.child(Args { name: "slow", log: log.clone(), terminate: Duration::ZERO });
    let begun = tokio::time::Instant::now();
    let (_a, sa) = worker("a", &log);
    let error = Supervisor::one_for_one().child(sa).child(slow).start().await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    assert_eq!(not_started(&error).error, StartError::Timeout);
    assert!(!address.is_alive());
    assert_eq!(log.take(), ["+a", "-a"]);
}

/// An `init` that is slow in a restart that is not awaited is killed after its time as well, and that is a failed attempt.
#[tokio::test(start_paused = true)]
async fn an_init_that_hangs_in_a_restart_is_killed_and_tried_again() {
    quiet();
    let log = Log::new();
    let server =
        Server::<Worker>::settings().name("a").start_timeout(Duration::from_secs(2)).build().unwrap();
    let a = server.address();
    let spec = server.child(Args { name: "a", log: log.clone(), terminate: Duration::ZERO });
    let tree = crate::support::relentless(Supervisor::one_for_one()).child(spec).start().await.unwrap();
    log.on_init("a", [OnInit::Hang]);
    a.cast(Tell::Panic).unwrap();
    a.cast(Tell::Note(1)).unwrap();
    assert_eq!(noted(&a).await, [1]);
    assert_eq!((a.incarnation(), tree.restarts()), (3, 2));
}

/// Peer bug 7. A failed start keeps neither id nor name: the same can be tried again at once.
#[tokio::test(start_paused = true)]
async fn an_id_is_free_again_after_a_failed_start() {
    let log = Log::new();
    let tree = Supervisor::one_for_one().start().await.unwrap();
    log.on_init("a", [OnInit::Fail, OnInit::Fail]);
    for _ in 0..2 {
        tree.start_child(worker("a", &log).1).await.unwrap_err();
        assert_eq!(counts(&tree), [0; 4]);
    }
    let (a, sa) = worker("a", &log);
    tree.start_child(sa).await.unwrap();
    assert!(noted(&a).await.is_empty());
}
