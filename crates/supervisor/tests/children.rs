//! Children that are added, stopped, started and taken away by hand, and how the table shows them.

use crate::support::{AGES, Log, OnInit, Tell, again, counts, crash, end, noted, quiet, relentless, settled};
use crate::support::{slow_worker, states, worker};
use restante_core::ExitReason;
use restante_genserver::StartError;
use restante_supervisor::{
    ChildError, ChildKind, ChildState, Restart, Shutdown, SpecError, StartChildError, Started, Strategy,
    Supervisor,
};
use restante_testkit::assert_conserved;
use std::time::Duration;

const STRATEGIES: [Strategy; 3] = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];

/// OTP `supervisor_SUITE`: `child_adm`. The whole life of a child by hand, with the answer to each wrong step.
#[tokio::test(start_paused = true)]
async fn a_child_is_administered_by_hand() {
    let log = Log::new();
    let (a, sa) = worker("child1", &log);
    let tree = Supervisor::one_for_one().child(sa).start().await.unwrap();
    assert_eq!(counts(&tree), [1, 1, 0, 1]);
    let running = tree.start_child(again("child1", &log)).await;
    assert_eq!(running, Err(StartChildError::AlreadyStarted("child1".into())));

    assert_eq!(tree.terminate_child("hej").await, Err(ChildError::NotFound));
    tree.terminate_child("child1").await.unwrap();
    assert_eq!(a.last_exit().unwrap().reason, ExitReason::Shutdown);
    assert_eq!(states(&tree), [("child1".into(), ChildState::Stopped)]);
    assert_eq!(counts(&tree), [1, 0, 0, 1]);
    tree.terminate_child("child1").await.expect("like stopping what is stopped");
    let present = tree.start_child(again("child1", &log)).await;
    assert_eq!(present, Err(StartChildError::AlreadyPresent("child1".into())));

    assert_eq!(tree.restart_child("child1").await, Ok(Started::Running));
    assert_eq!(counts(&tree), [1, 1, 0, 1]);
    assert_eq!(tree.restart_child("child1").await, Err(ChildError::Running));
    assert_eq!(tree.restart_child("child2").await, Err(ChildError::NotFound));

    assert_eq!(tree.delete_child("child1"), Err(ChildError::Running));
    assert_eq!(tree.delete_child("hej"), Err(ChildError::NotFound));
    tree.terminate_child("child1").await.unwrap();
    tree.delete_child("child1").unwrap();
    assert!(a.is_closed());
    assert_eq!(tree.restart_child("child1").await, Err(ChildError::NotFound));
    assert_eq!(counts(&tree), [0; 4]);
    assert_eq!(tree.start_child(again("child1", &log)).await, Ok(Started::Running));
    assert_eq!(counts(&tree), [1, 1, 0, 1]);
}

/// Elixir `supervisor_test`: `child life cycle`. What is queued while a child is stopped waits for its restart by hand.
#[tokio::test(start_paused = true)]
async fn messages_wait_for_a_child_that_was_stopped_by_hand() {
    let log = Log::new();
    let tree = Supervisor::one_for_one().start().await.unwrap();
    let (a, sa) = worker("stack", &log);
    tree.start_child(sa).await.unwrap();
    a.cast(Tell::Note(1)).unwrap();
    assert_eq!(noted(&a).await, [1]);
    tree.terminate_child("stack").await.unwrap();
    a.cast(Tell::Note(2)).unwrap();
    tree.restart_child("stack").await.unwrap();
    assert_eq!(noted(&a).await, [2]);
    tree.terminate_child("stack").await.unwrap();
    tree.delete_child("stack").unwrap();
    assert!(a.cast(Tell::Note(3)).is_err());
}

/// `keep_mailbox(false)`: what is queued while a child is stopped goes to the dead letters.
#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_not_kept_is_emptied_when_its_child_is_stopped() {
    let log = Log::new();
    let (a, sa) = slow_worker("a", &log, Duration::from_secs(1));
    let tree = Supervisor::one_for_one().child(sa.keep_mailbox(false)).start().await.unwrap();
    let stop = tokio::spawn({
        let tree = tree.clone();
        async move { tree.terminate_child("a").await }
    });
    settled().await;
    a.cast(Tell::Note(1)).expect("it is open while `terminate` runs");
    stop.await.unwrap().unwrap();
    tree.restart_child("a").await.unwrap();
    assert!(noted(&a).await.is_empty());
    assert_eq!(a.audit().unwrap().dead_lettered, 1);
}

/// Clause 21.15: OTP `supervisor_SUITE`: `sup_start_child_returns_error`. A start that fails leaves no specification.
#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_start_leaves_no_specification() {
    quiet();
    let log = Log::new();
    let tree = Supervisor::one_for_one().start().await.unwrap();
    log.on_init("a", [OnInit::Fail, OnInit::Panic]);
    for panics in [false, true] {
        let (a, sa) = worker("a", &log);
        let failed = tree.start_child(sa).await;
        let Err(StartChildError::Start(StartError::Failed(reason))) = failed else { panic!("{failed:?}") };
        assert_eq!(matches!(reason, ExitReason::Panic(_)), panics);
        assert!(tree.which_children().is_empty());
        assert!(a.is_closed());
    }
    assert_eq!(tree.restarts(), 0, "a start by hand is no restart");
}

/// OTP `supervisor_SUITE`: `sup_start_restart_child_returns_error`. A restart by hand that fails keeps the specification.
#[tokio::test(start_paused = true)]
async fn a_restart_by_hand_that_fails_keeps_the_specification() {
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = Supervisor::one_for_one().child(sa).start().await.unwrap();
    tree.terminate_child("a").await.unwrap();
    log.on_init("a", [OnInit::Fail, OnInit::Ignore]);
    assert!(matches!(tree.restart_child("a").await, Err(ChildError::Start(StartError::Failed(_)))));
    assert_eq!(states(&tree), [("a".into(), ChildState::Stopped)]);
    assert_eq!(tree.restart_child("a").await, Ok(Started::Ignored));
    assert_eq!(states(&tree), [("a".into(), ChildState::Stopped)]);
    assert_eq!((tree.restart_child("a").await, a.incarnation()), (Ok(Started::Running), 4));
}

/// OTP `supervisor_SUITE`: `sup_start_ignore_temporary_child_start_child`. Only temporary ones are dropped.
#[tokio::test(start_paused = true)]
async fn starting_by_hand_what_has_nothing_to_serve_is_no_failure() {
    let log = Log::new();
    log.on_init("a", [OnInit::Ignore]);
    log.on_init("b", [OnInit::Ignore]);
    let tree = Supervisor::one_for_one().start().await.unwrap();
    let temporary = again("a", &log).restart(Restart::Temporary);
    assert_eq!(tree.start_child(temporary).await, Ok(Started::Ignored));
    assert_eq!(counts(&tree), [0; 4]);
    assert_eq!(tree.start_child(again("b", &log)).await, Ok(Started::Ignored));
    assert_eq!(states(&tree), [("b".into(), ChildState::Stopped)]);
    tree.restart_child("b").await.unwrap();
    assert_eq!(counts(&tree), [1, 1, 0, 1]);
}

/// OTP `supervisor_SUITE`: `do_not_save_child_specs_for_temporary_children`. However it ends, a temporary child's id is
/// free; the others' ids are taken, by a child that runs or by a specification.
#[tokio::test(start_paused = true)]
async fn only_a_temporary_childs_specification_goes_with_it() {
    quiet();
    for strategy in STRATEGIES {
        for how in ["kill", "normal", "abnormal", "by hand"] {
            let tree = relentless(Supervisor::new(strategy)).start().await.unwrap();
            let log = Log::new();
            for (id, restart) in
                [("p", Restart::Permanent), ("t", Restart::Transient), ("x", Restart::Temporary)]
            {
                let (child, spec) = worker(id, &log);
                tree.start_child(spec.restart(restart)).await.unwrap();
                match how {
                    "kill" => assert!(child.kill()),
                    "normal" => child.cast(Tell::Stop(ExitReason::Normal)).unwrap(),
                    "abnormal" => child.cast(Tell::Fail("no")).unwrap(),
                    _ => tree.terminate_child(id).await.unwrap(),
                }
                settled().await;
                let id_of = |id: &str| id.to_owned().into();
                let expected = match (restart, how) {
                    (Restart::Temporary, _) => Ok(Started::Running),
                    (_, "by hand") | (Restart::Transient, "normal") => {
                        Err(StartChildError::AlreadyPresent(id_of(id)))
                    }
                    _ => Err(StartChildError::AlreadyStarted(id_of(id))),
                };
                assert_eq!(tree.start_child(again(id, &log)).await, expected, "{strategy:?} {how} {id}");
                if matches!(expected, Err(StartChildError::AlreadyPresent(_))) {
                    tree.restart_child(id).await.unwrap();
                }
            }
        }
    }
}

/// OTP `supervisor_SUITE`: `count_children_supervisor` and `which_children`. Supervisors and workers are told apart; the last
/// one comes first.
#[tokio::test(start_paused = true)]
async fn supervisors_and_workers_are_counted_apart() {
    let log = Log::new();
    let tree = Supervisor::one_for_one().child(again("a", &log)).start().await.unwrap();
    let inner = Supervisor::one_for_one().child(again("x", &log)).child(again("y", &log));
    tree.start_child(inner.into_child("inner").unwrap()).await.unwrap();
    tree.start_child(again("b", &log)).await.unwrap();
    assert_eq!(counts(&tree), [3, 3, 1, 2]);
    let shown: Vec<_> = tree.which_children().into_iter().map(|c| (c.id.to_string(), c.kind)).collect();
    let (sup, work) = (ChildKind::Supervisor, ChildKind::Worker);
    assert_eq!(shown, [("b".into(), work), ("inner".into(), sup), ("a".into(), work)]);
    tree.terminate_child("inner").await.unwrap();
    assert_eq!(counts(&tree), [3, 2, 1, 2]);
    assert_eq!(log.take(), ["+a", "+x", "+y", "+b", "-y", "-x"]);
    tree.restart_child("inner").await.unwrap();
    assert_eq!(log.take(), ["+x", "+y"]);
}

/// OTP `supervisor_SUITE`: `which_children`. The table tells of each child what happened to it.
#[tokio::test(start_paused = true)]
async fn the_table_tells_incarnation_restarts_and_last_exit() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = relentless(Supervisor::one_for_one()).child(sa).start().await.unwrap();
    assert_eq!(tree.which_children()[0].last_exit, None);
    crash(&a).await;
    end(&a, ExitReason::Normal).await;
    let info = tree.which_children().remove(0);
    assert_eq!((info.incarnation, info.restarts, info.type_name), (3, 2, "Worker"));
    let exit = info.last_exit.unwrap();
    assert_eq!((exit.reason, exit.incarnation), (ExitReason::Normal, 2));
}

/// Elixir `supervisor_test`: `start_child/2 with valid child spec`. A limit of zero is a limit: ordered to stop, then killed.
#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_orders_and_kills() {
    let log = Log::new();
    let tree = Supervisor::one_for_one().start().await.unwrap();
    let (a, sa) = slow_worker("a", &log, Duration::from_secs(1));
    tree.start_child(sa.shutdown(Shutdown::Timeout(Duration::ZERO))).await.unwrap();
    tree.terminate_child("a").await.unwrap();
    assert_eq!(a.last_exit().unwrap().reason, ExitReason::Killed);
}

/// OTP `supervisor_SUITE`: `already_started_outside_supervisor`. A mailbox that is served already is told of, not taken over.
#[tokio::test(start_paused = true)]
async fn a_server_that_runs_already_is_not_taken_over() {
    use crate::support::{Args, Worker};
    use restante_supervisor::Supervise;
    let log = Log::new();
    let tree = Supervisor::one_for_one().start().await.unwrap();
    let args = Args { name: "a", log: log.clone(), terminate: Duration::ZERO };
    let server = restante_genserver::Server::<Worker>::new("a");
    let running = server.start(args.clone()).await.unwrap();
    let refused = tree.start_child(server.child(args)).await;
    assert_eq!(refused, Err(StartChildError::Start(StartError::AlreadyStarted)));
    assert_eq!(counts(&tree), [0; 4]);
    assert_eq!(running.incarnation(), 1);
}

/// A supervised mailbox is started by its supervisor alone, whatever state the child is in: running, stopped, waiting for
/// its restart.
#[tokio::test(start_paused = true)]
async fn nobody_else_starts_a_supervised_mailbox() {
    use crate::support::Args;
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = Supervisor::one_for_one().child(sa).start().await.unwrap();
    let args = || Args { name: "foreign", log: log.clone(), terminate: Duration::ZERO };
    let start = || restante_genserver::start_again(&a, args());
    assert_eq!(start().await, Err(StartError::Supervised), "while it runs");
    crash(&a).await;
    crash(&a).await;
    assert_eq!(states(&tree), [("a".into(), ChildState::Restarting)]);
    assert_eq!(start().await, Err(StartError::Supervised), "while it waits for its restart");
    tree.terminate_child("a").await.unwrap();
    assert_eq!(start().await, Err(StartError::Supervised), "while it is stopped");
    assert!(!log.take().contains(&"+foreign".to_owned()));
    tree.restart_child("a").await.unwrap();
    assert_eq!(noted(&a).await, [0; 0]);
}

/// A supervised supervisor is started by the supervisor above it alone.
#[tokio::test(start_paused = true)]
async fn nobody_else_starts_a_supervised_supervisor() {
    let log = Log::new();
    let inner = Supervisor::one_for_one().child(again("a", &log)).build().unwrap();
    let tree = Supervisor::one_for_one().child(inner.child("inner")).start().await.unwrap();
    for _ in 0..2 {
        inner.kill();
        settled().await;
    }
    assert_eq!(states(&tree), [("inner".into(), ChildState::Restarting)]);
    assert_eq!(inner.start().await, Err(StartError::Supervised));
    tree.terminate_child("inner").await.unwrap();
    assert_eq!(inner.start().await, Err(StartError::Supervised));
    assert!(!inner.is_alive());
}

/// One supervisor cannot have two above it, nor itself, nor one that runs by itself already.
#[tokio::test(start_paused = true)]
async fn a_supervisor_has_at_most_one_above_it() {
    let inner = Supervisor::one_for_one().build().unwrap();
    let twice = Supervisor::one_for_one().child(inner.child("one")).child(inner.child("two"));
    assert_eq!(twice.build().unwrap_err(), SpecError::Supervised("two".into()));

    let tree = Supervisor::one_for_one().name("top").start().await.unwrap();
    let refused = tree.start_child(tree.child("myself")).await;
    assert_eq!(refused, Err(StartChildError::Spec(SpecError::Supervised("myself".into()))));
    let other = Supervisor::one_for_one().start().await.unwrap();
    let refused = tree.start_child(other.child("other")).await;
    assert_eq!(refused, Err(StartChildError::Spec(SpecError::Supervised("other".into()))));
    assert_eq!(counts(&tree), [0; 4]);
    assert!(tree.shutdown(AGES).await.is_clean());
    assert!(other.is_alive());
}

/// Clause 21.16: A child whose mailbox a caller closes ends with it, for good, and that is no restart; so does one that is
/// waiting for its restart, and one that is stopped can be taken away.
#[tokio::test(start_paused = true)]
async fn a_child_whose_mailbox_is_closed_by_hand_is_gone() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let tree = Supervisor::one_for_one().child(sa).child(sb).child(sc).start().await.unwrap();
    a.close(ExitReason::Shutdown);
    settled().await;
    crash(&b).await;
    crash(&b).await;
    assert_eq!(tree.which_children()[1].state, ChildState::Restarting);
    b.close(ExitReason::Shutdown);
    tokio::time::sleep(AGES).await;
    assert_eq!(states(&tree), [("c".into(), ChildState::Running)]);
    tree.terminate_child("c").await.unwrap();
    c.close(ExitReason::Shutdown);
    tree.delete_child("c").unwrap();
    assert!(tree.shutdown(AGES).await.is_clean());
}

/// Peer bug 9. A child that is stopped through its supervisor is not restarted, permanent or not; one that is stopped through
/// its own reference is, as OTP's `permanent_shutdown` says.
#[tokio::test(start_paused = true)]
async fn stopping_a_permanent_child_by_its_supervisor_does_not_restart_it() {
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = relentless(Supervisor::one_for_one()).child(sa).start().await.unwrap();
    a.stop(ExitReason::Shutdown, AGES).await.unwrap();
    settled().await;
    assert_eq!((a.incarnation(), tree.restarts()), (2, 1));
    tree.terminate_child("a").await.unwrap();
    settled().await;
    assert_eq!((a.is_alive(), tree.restarts()), (false, 1));
}

/// Peer bug 2. An address from before a restart still controls the child after it.
#[tokio::test(start_paused = true)]
async fn an_old_address_controls_the_new_incarnation() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let _tree = relentless(Supervisor::one_for_one()).child(sa).start().await.unwrap();
    let old = a.clone();
    crash(&a).await;
    old.cast(Tell::Note(1)).unwrap();
    assert_eq!(noted(&a).await, [1]);
    assert!(old.kill());
    settled().await;
    assert_eq!(old.incarnation(), 3);
}

/// Peer bug 21. Who begins to wait after the end is told at once; who waits twice is told twice.
#[tokio::test(start_paused = true)]
async fn waiting_for_what_has_ended_returns_at_once() {
    let tree = Supervisor::one_for_one().start().await.unwrap();
    let early = [tokio::spawn({
        let tree = tree.clone();
        async move { tree.join().await }
    })];
    settled().await;
    tree.shutdown(AGES).await;
    for waited in early {
        assert_eq!(waited.await.unwrap().reason, ExitReason::Shutdown);
    }
    assert_eq!(tree.join().await.reason, ExitReason::Shutdown);
    assert!(tree.shutdown(AGES).await.is_clean());
}

/// Peer bug 11. What is counted of messages adds up over restarts, stops and children that are gone.
#[tokio::test(start_paused = true)]
async fn the_counters_of_a_tree_add_up() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let inner = Supervisor::one_for_one().child(sb.restart(Restart::Temporary)).into_child("inner").unwrap();
    let tree = relentless(Supervisor::one_for_one()).child(sa).child(inner).start().await.unwrap();
    for n in 0..10 {
        a.cast(Tell::Note(n)).unwrap();
        b.cast(Tell::Note(n)).unwrap();
    }
    crash(&a).await;
    crash(&b).await;
    assert!(b.is_closed());
    tree.shutdown(AGES).await;
    let ledger = assert_conserved!(tree);
    assert!(ledger.failed == 2 && ledger.sent >= 22, "{ledger}");
}

/// SEMANTICS 5.3 and 5.4. The caller whose call was in hand hears why; one behind it is answered by the next incarnation.
#[tokio::test(start_paused = true)]
async fn the_caller_in_hand_is_told_and_the_next_one_is_answered() {
    use crate::support::Ask;
    use restante_genserver::CallError;
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let _tree = relentless(Supervisor::one_for_one()).child(sa).start().await.unwrap();
    let (in_hand, in_line) = tokio::join!(a.call(Ask::Panic), a.call(Ask::Incarnation));
    assert!(matches!(in_hand, Err(CallError::Exited(ExitReason::Panic(_)))), "{in_hand:?}");
    assert_eq!(in_line, Ok(2));
}
