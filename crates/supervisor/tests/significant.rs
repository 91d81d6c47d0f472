//! Children whose end is their supervisor's.

use crate::support::{AGES, Log, Tell, again, counts, crash, end, quiet, settled, worker};
use restante_core::ExitReason;
use restante_genserver::ServerRef;
use restante_supervisor::{AutoShutdown, Restart, Strategy, Supervisor, SupervisorRef};

use crate::support::Worker;

const ALWAYS: [AutoShutdown; 3] =
    [AutoShutdown::Never, AutoShutdown::AnySignificant, AutoShutdown::AllSignificant];

/// Three children, of which the first two are significant, under a supervisor that ends when `when` says.
async fn tree(when: AutoShutdown, restart: Restart) -> (SupervisorRef, [ServerRef<Worker>; 3]) {
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) =
        (worker("child1", &log), worker("child2", &log), worker("child3", &log));
    let tree = Supervisor::one_for_one().intensity(5, AGES).auto_shutdown(when).start().await.unwrap();
    for spec in [sa.significant(true), sb.significant(true), sc] {
        tree.start_child(spec.restart(restart)).await.unwrap();
    }
    (tree, [a, b, c])
}

/// The tree has ended by itself, in order, and all children with it.
async fn ended(tree: &SupervisorRef, children: &[ServerRef<Worker>]) {
    assert!(!tree.is_alive());
    assert_eq!(tree.join().await.reason, ExitReason::Shutdown);
    assert!(children.iter().all(|child| !child.is_alive() && child.is_closed()));
}

/// OTP `supervisor_SUITE`: `nonsignificant_temporary`. Who is not significant ends nothing, however it ends.
#[tokio::test(start_paused = true)]
async fn temporary_children_that_are_not_significant_end_nothing() {
    quiet();
    for when in ALWAYS {
        let log = Log::new();
        let tree = Supervisor::one_for_one().auto_shutdown(when).start().await.unwrap();
        for how in 0..4 {
            let (child, spec) = worker("child1", &log);
            tree.start_child(spec.restart(Restart::Temporary)).await.unwrap();
            match how {
                0 => tree.terminate_child("child1").await.unwrap(),
                1 => assert!(child.kill()),
                2 => crash(&child).await,
                _ => end(&child, ExitReason::Normal).await,
            }
            settled().await;
            assert!(tree.is_alive() && !child.is_alive(), "{when:?} {how}");
            assert_eq!(counts(&tree), [0; 4]);
        }
    }
}

/// OTP `supervisor_SUITE`: `nonsignificant_transient`.
#[tokio::test(start_paused = true)]
async fn transient_children_that_are_not_significant_end_nothing() {
    quiet();
    for when in ALWAYS {
        let log = Log::new();
        let (child, spec) = worker("child1", &log);
        let supervisor = Supervisor::one_for_one().intensity(5, AGES).auto_shutdown(when);
        let tree = supervisor.child(spec.restart(Restart::Transient)).start().await.unwrap();
        tree.terminate_child("child1").await.unwrap();
        tree.restart_child("child1").await.unwrap();
        child.kill();
        settled().await;
        assert_eq!(child.incarnation(), 3);
        tokio::time::sleep(AGES).await;
        crash(&child).await;
        assert_eq!(child.incarnation(), 4);
        end(&child, ExitReason::Normal).await;
        assert!(tree.is_alive() && !child.is_alive(), "{when:?}");
    }
}

/// OTP `supervisor_SUITE`: `significant_temporary`, any. Not when it is stopped by hand; when it is killed, fails, or ends.
#[tokio::test(start_paused = true)]
async fn the_first_significant_temporary_child_to_end_ends_its_supervisor() {
    quiet();
    for how in 0..3 {
        let (tree, children) = tree(AutoShutdown::AnySignificant, Restart::Temporary).await;
        tree.terminate_child("child1").await.unwrap();
        settled().await;
        assert!(tree.is_alive() && children[1].is_alive() && children[2].is_alive());
        match how {
            0 => assert!(children[1].kill()),
            1 => children[1].cast(Tell::Panic).unwrap(),
            _ => children[1].cast(Tell::Stop(ExitReason::Normal)).unwrap(),
        }
        settled().await;
        ended(&tree, &children).await;
    }
}

/// Clause 21.12: OTP `supervisor_SUITE`: `significant_temporary`, all. The last one.
#[tokio::test(start_paused = true)]
async fn the_last_significant_temporary_child_to_end_ends_its_supervisor() {
    let (tree, children) = tree(AutoShutdown::AllSignificant, Restart::Temporary).await;
    end(&children[0], ExitReason::Normal).await;
    assert!(tree.is_alive() && children[1].is_alive() && children[2].is_alive());
    end(&children[1], ExitReason::Normal).await;
    ended(&tree, &children).await;
}

/// OTP `supervisor_SUITE`: `significant_transient`, any. One that is restarted has not ended.
#[tokio::test(start_paused = true)]
async fn a_significant_transient_child_ends_its_supervisor_when_it_is_not_restarted() {
    quiet();
    for reason in [ExitReason::Normal, ExitReason::Shutdown, ExitReason::shutdown_with("done")] {
        let (tree, children) = tree(AutoShutdown::AnySignificant, Restart::Transient).await;
        tree.terminate_child("child1").await.unwrap();
        tree.restart_child("child1").await.unwrap();
        children[0].kill();
        settled().await;
        assert!(tree.is_alive());
        tokio::time::sleep(AGES).await;
        crash(&children[0]).await;
        assert_eq!((tree.is_alive(), children[0].incarnation()), (true, 4));
        end(&children[2], ExitReason::Normal).await;
        assert!(tree.is_alive());
        end(&children[0], reason).await;
        ended(&tree, &children).await;
    }
}

/// OTP `supervisor_SUITE`: `significant_transient`, all. One that rests does not count as running; nor one stopped by hand.
#[tokio::test(start_paused = true)]
async fn the_last_significant_transient_child_to_rest_ends_its_supervisor() {
    let (tree1, children) = tree(AutoShutdown::AllSignificant, Restart::Transient).await;
    end(&children[1], ExitReason::Normal).await;
    assert!(tree1.is_alive());
    tree1.restart_child("child2").await.unwrap();
    end(&children[0], ExitReason::Normal).await;
    assert!(tree1.is_alive(), "the other has been started again");
    end(&children[1], ExitReason::Normal).await;
    ended(&tree1, &children).await;

    let (tree2, children) = tree(AutoShutdown::AllSignificant, Restart::Transient).await;
    end(&children[0], ExitReason::Normal).await;
    tree2.terminate_child("child2").await.unwrap();
    settled().await;
    assert!(tree2.is_alive(), "stopped by hand: that ends nothing, though it was the last");
}

/// OTP `supervisor_SUITE`: `significant_bystander`. What a sibling's crash does to a significant child ends nothing.
#[tokio::test(start_paused = true)]
async fn significant_children_that_fall_with_a_sibling_end_nothing() {
    quiet();
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        for when in [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant] {
            for restart in [Restart::Transient, Restart::Temporary] {
                let log = Log::new();
                let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
                let tree = Supervisor::new(strategy).intensity(5, AGES).auto_shutdown(when);
                let tree =
                    tree.child(sa.restart(restart).significant(true)).child(sb.restart(Restart::Transient));
                let tree = tree.child(sc.restart(restart).significant(true)).start().await.unwrap();
                b.kill();
                settled().await;
                assert!(tree.is_alive() && b.is_alive(), "{strategy:?} {when:?} {restart:?}");
                let fell = |yes: bool| u32::from(yes && restart == Restart::Transient);
                let all = strategy == Strategy::OneForAll;
                let rest = strategy != Strategy::OneForOne;
                assert_eq!((a.incarnation(), c.incarnation()), (1 + fell(all), 1 + fell(rest)));
            }
        }
    }
}

/// OTP `supervisor_SUITE`: `significant_escalation`. A supervisor that ends with its significant child ends the one above,
/// if it is significant itself; else it rests.
#[tokio::test(start_paused = true)]
async fn ending_with_a_significant_child_goes_up_where_the_supervisor_is_significant() {
    for significant in [true, false] {
        let log = Log::new();
        let (c, sc) = worker("child1", &log);
        let any = AutoShutdown::AnySignificant;
        let low = Supervisor::one_for_one().auto_shutdown(any).build().unwrap();
        let top = Supervisor::one_for_one().auto_shutdown(any).start().await.unwrap();
        let spec = low.child("sup1").restart(Restart::Transient).significant(significant);
        top.start_child(spec).await.unwrap();
        low.start_child(sc.restart(Restart::Transient).significant(true)).await.unwrap();
        end(&c, ExitReason::Normal).await;
        assert!(!low.is_alive());
        assert_eq!(low.last_exit().unwrap().reason, ExitReason::Shutdown);
        assert_eq!(top.is_alive(), !significant);
    }
}

/// A permanent supervisor that ends with its significant child is restarted, as any other permanent child is.
#[tokio::test(start_paused = true)]
async fn a_permanent_supervisor_that_ended_with_its_child_is_restarted() {
    let log = Log::new();
    let (c, sc) = worker("c", &log);
    let low = Supervisor::one_for_one().auto_shutdown(AutoShutdown::AllSignificant);
    let low = low.child(sc.restart(Restart::Transient).significant(true)).build().unwrap();
    let top =
        Supervisor::one_for_one().child(low.child("low")).child(again("d", &log)).start().await.unwrap();
    end(&c, ExitReason::Normal).await;
    assert_eq!((low.incarnation(), c.incarnation(), top.restarts()), (2, 2, 1));
}

/// One that has nothing to serve has not ended: it never began.
#[tokio::test(start_paused = true)]
async fn a_significant_child_with_nothing_to_serve_ends_nothing() {
    let log = Log::new();
    log.on_init("a", [crate::support::OnInit::Ignore]);
    let spec = again("a", &log).restart(Restart::Transient).significant(true);
    let tree = Supervisor::one_for_one().auto_shutdown(AutoShutdown::AllSignificant).child(spec);
    let tree = tree.start().await.unwrap();
    settled().await;
    assert_eq!((tree.is_alive(), counts(&tree)), (true, [1, 0, 0, 1]));
}
