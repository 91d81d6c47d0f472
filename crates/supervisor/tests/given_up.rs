//! What is left when something is given up: an abandoned child's callers, and a pause that is not waited for any more.

use crate::support::{
    AGES, Args, Ask, Log, OnInit, Tell, Worker, block, counts, crash, noted, quiet, relentless, states,
    until, worker,
};
use restante_core::ExitReason;
use restante_genserver::{CallError, Server, ServerRef};
use restante_supervisor::nursery::Nursery;
use restante_supervisor::{
    Backoff, ChildError, ChildState, DynamicSupervisor, Restart, Shutdown, Strategy, Supervise, Supervisor,
};
use restante_testkit::Universe;
use std::time::Duration;
use tokio::task::JoinHandle;

type At = ServerRef<crate::support::Worker>;

/// A call without a limit, from a task.
fn asks(at: &At) -> JoinHandle<Result<Vec<u32>, CallError>> {
    let at = at.clone();
    tokio::spawn(async move { at.call(Ask::Get).timeout(Duration::MAX).await })
}

/// Clause 21.31: who has queued behind a handler that does not end, not even killed, hears so when the child is abandoned for
/// good.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn callers_behind_an_abandoned_child_are_told() {
    let log = Log::new();
    for nested in [false, true] {
        let (a, spec) = worker("a", &log);
        let spec = spec.shutdown(Shutdown::BrutalKill);
        let tree = if nested {
            let inner = Supervisor::one_for_one().abandon_after(Duration::from_millis(1)).child(spec);
            Supervisor::one_for_one().child(inner.into_child("inner").unwrap())
        } else {
            Supervisor::one_for_one().child(spec)
        };
        let tree = tree.abandon_after(Duration::from_millis(1)).start().await.unwrap();
        let (blocks, gate) = block(&a);
        blocks.await.unwrap();
        let caller = asks(&a);
        until(|| a.stats().depth == 1).await;
        let report = tree.shutdown(AGES).await;
        assert_eq!(report.abandoned.len(), 1, "{report}");
        assert_eq!(caller.await.unwrap(), Err(CallError::Exited(ExitReason::Shutdown)));
        assert!(a.is_alive() && a.is_closed());
        drop(gate);
        a.join().await;
        until(|| a.audit().is_some_and(|ledger| ledger.queued == 0 && ledger.lost() == 0)).await;
        assert_eq!(a.stats().ledger.dead_lettered, 1);
    }
}

/// Clause 21.31: so it is where a child that is abandoned by hand is to leave the table.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn callers_behind_an_abandoned_dynamic_child_are_told() {
    let log = Log::new();
    let nodes = DynamicSupervisor::new().abandon_after(Duration::from_millis(1)).start().await.unwrap();
    let (a, spec) = worker("a", &log);
    nodes.start_child(spec.shutdown(Shutdown::BrutalKill)).await.unwrap();
    let (blocks, gate) = block(&a);
    blocks.await.unwrap();
    let caller = asks(&a);
    until(|| a.stats().depth == 1).await;
    assert_eq!(nodes.terminate_child(&a).await, Err(ChildError::Abandoned));
    assert_eq!(caller.await.unwrap(), Err(CallError::Exited(ExitReason::Killed)));
    drop(gate);
    until(|| nodes.count_children().specs == 0).await;
    assert!(nodes.as_supervisor().shutdown(AGES).await.is_clean());
}

/// Clause 21.14: the task that waits out a pause goes with the restart that is taken back, and with the tree; the universe
/// of the test finds nothing left.
#[test]
fn a_pause_that_leads_to_nothing_leaves_no_task() {
    quiet();
    for how in 0..4 {
        Universe::new().run(async |_| {
            let log = Log::new();
            let ((a, sa), (_b, sb)) = (worker("a", &log), worker("b", &log));
            let pauses = relentless(Supervisor::one_for_one()).backoff(Backoff::new(AGES, AGES));
            let inner = pauses.child(sa).child(sb).build().unwrap();
            let tree = Supervisor::one_for_one().child(inner.child("inner")).start().await.unwrap();
            for incarnation in 1..=2 {
                // The first restart is immediate.
                until(|| a.incarnation() == incarnation && a.is_alive()).await;
                crash(&a).await;
            }
            until(|| states(&inner).contains(&("a".to_owned(), ChildState::Restarting))).await;
            match how {
                0 => inner.terminate_child("a").await.unwrap(),
                1 => tree.terminate_child("inner").await.unwrap(),
                2 => tree.kill(),
                _ => {}
            }
            let _ = tree.shutdown(AGES).await;
        });
    }
}

/// Clause 21.4: a child that is in `init` with its group is being restarted, and counts and is spoken of as such, under each
/// strategy; one that is started for the first time is not.
#[tokio::test(start_paused = true)]
async fn a_child_in_the_init_of_a_group_restart_is_restarting() {
    quiet();
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        let log = Log::new();
        let ((a, sa), (_b, sb), (_c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
        let tree = relentless(Supervisor::new(strategy)).child(sa).child(sb).start().await.unwrap();
        log.on_init("a", [OnInit::Hang]);
        crash(&a).await;
        assert!(states(&tree).contains(&("a".to_owned(), ChildState::Restarting)), "{strategy:?}");
        let others = usize::from(strategy == Strategy::OneForOne);
        assert_eq!(counts(&tree), [2, others, 0, 2], "{strategy:?}");
        assert_eq!(tree.restart_child("a").await, Err(ChildError::Restarting));
        assert_eq!(tree.delete_child("a"), Err(ChildError::Restarting));
        log.on_init("c", [OnInit::Hang]);
        let starting = tokio::spawn({
            let tree = tree.clone();
            async move { tree.start_child(sc.restart(Restart::Temporary)).await }
        });
        crate::support::settled().await;
        assert!(states(&tree).contains(&("c".to_owned(), ChildState::Starting)), "{strategy:?}");
        starting.abort();
        // It can be stopped, and the others go on; but for those of rest for one, which may rely on it (21.27).
        tree.terminate_child("a").await.unwrap();
        let b = match strategy {
            Strategy::RestForOne => ChildState::Stopped,
            _ => ChildState::Running,
        };
        until(|| states(&tree).iter().any(|child| *child == ("b".to_owned(), b))).await;
        assert!(states(&tree).contains(&("a".to_owned(), ChildState::Stopped)));
        assert!(tree.shutdown(AGES).await.is_clean());
    }
}

/// Clause 21.31: so it is on every road on which a child leaves the table that has not ended: that of a creation that came
/// to nothing, that of a group in which it is temporary, and that of a supervisor that forgets what was added by hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn callers_behind_an_abandoned_child_that_leaves_the_table_are_told() {
    quiet();
    for road in 0..4 {
        let log = Log::new();
        let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
        let sa = sa.shutdown(Shutdown::BrutalKill);
        let strategy = if road == 2 { Strategy::OneForAll } else { Strategy::OneForOne };
        let inner = relentless(Supervisor::new(strategy)).abandon_after(Duration::from_millis(1));
        let inner = inner.child(sb).build().unwrap();
        let tree = Supervisor::one_for_one().child(inner.child("inner")).start().await.unwrap();
        let nursery = Nursery::default();
        let sa = if road == 2 { sa.restart(Restart::Temporary) } else { sa };
        nursery.tend(inner.start_child(sa)).await.unwrap();
        let (blocks, gate) = block(&a);
        blocks.await.unwrap();
        let caller = asks(&a);
        until(|| a.stats().depth == 1).await;
        match road {
            0 => {}
            1 => assert_eq!(inner.terminate_child("a").await, Err(ChildError::Abandoned)),
            2 => crash(&b).await,
            _ => tree.terminate_child("inner").await.unwrap(),
        }
        if road < 2 {
            for end in nursery.end_all() {
                end.await;
            }
        }
        assert!(matches!(caller.await.unwrap(), Err(CallError::Exited(_))), "{road}");
        assert!(a.is_alive() && a.is_closed(), "{road}");
        drop(gate);
        a.join().await;
        until(|| !states(&inner).iter().any(|(id, _)| id == "a")).await;
        until(|| a.audit().is_some_and(|ledger| ledger.queued == 0 && ledger.lost() == 0)).await;
        let _ = tree.shutdown(AGES).await;
    }
}

/// Clause 21.9: where the mailbox is not kept over a stop, what is queued behind a child that is abandoned is dead-lettered
/// at once, and what has come since when it has ended at last; the mailbox stays open, and who waits for room in it gets
/// it.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_is_queued_behind_an_abandoned_child_is_not_kept() {
    let log = Log::new();
    let server = Server::<Worker>::settings().name("a").capacity(2).build().unwrap();
    let a = server.address();
    let spec = server.child(Args { name: "a", log: log.clone(), terminate: Duration::ZERO });
    let spec = spec.shutdown(Shutdown::BrutalKill).keep_mailbox(false);
    let tree = Supervisor::one_for_one().abandon_after(Duration::from_millis(1)).child(spec);
    let tree = tree.start().await.unwrap();
    let (blocks, gate) = block(&a);
    blocks.await.unwrap();
    let caller = asks(&a);
    until(|| a.stats().depth == 1).await;
    while a.cast(Tell::Note(1)).is_ok() {}
    let full = a.stats().depth;
    let waits = tokio::spawn({
        let a = a.clone();
        async move { a.send(Tell::Note(2)).await }
    });
    until(|| a.stats().waiting_senders == 1).await;
    assert_eq!(tree.terminate_child("a").await, Err(ChildError::Abandoned));
    assert_eq!(caller.await.unwrap(), Err(CallError::Exited(ExitReason::Killed)));
    waits.await.unwrap().unwrap();
    assert!(a.is_alive() && !a.is_closed());
    assert_eq!(a.stats().ledger.dead_lettered, full);
    drop(gate);
    until(|| a.stats().ledger.dead_lettered == full + 1).await;
    until(|| states(&tree).contains(&("a".to_owned(), ChildState::Stopped))).await;
    a.cast(Tell::Note(3)).unwrap();
    tree.restart_child("a").await.unwrap();
    assert_eq!(noted(&a).await, [3]);
    assert!(tree.shutdown(AGES).await.is_clean());
}
