//! A supervisor whose runtime goes, or that has children in another one. Nothing hangs, nothing panics.

use crate::support::{AGES, Args, Ask, Log, OnInit, Tell, Worker, block, crash, quiet, settled, worker};
use restante_core::ExitReason;
use restante_genserver::Server;
use restante_supervisor::{
    Backoff, ChildSpec, Intensity, RestartLimit, Supervise, Supervisor, SupervisorRef,
};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn here() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Waits for the end of a supervisor from elsewhere: a hang is a failure, not a hang.
fn end_of(tree: &SupervisorRef) -> ExitReason {
    let exit = here().block_on(async { tokio::time::timeout(Duration::from_secs(20), tree.join()).await });
    exit.expect("nobody tells of the end").reason
}

/// Children that have been spoken to have tasks, which end with their runtime; and so does their supervisor.
#[test]
fn a_supervisor_ends_with_its_runtime() {
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let rt = runtime();
    let tree = rt.block_on(Supervisor::one_for_one().child(sa).child(sb).start()).unwrap();
    for child in [&a, &b] {
        child.cast(Tell::Note(1)).unwrap();
        child.call_blocking(Ask::Get).unwrap();
    }
    drop(rt);
    assert_eq!(end_of(&tree), ExitReason::Killed);
    assert!(a.is_closed() && b.is_closed());
    assert!(!tree.is_alive());
}

/// Children that were never sent a message have no tasks: only a caller that joins tells of the end.
#[test]
fn an_idle_tree_ends_with_its_runtime() {
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let rt = runtime();
    let inner = Supervisor::one_for_one().child(sa).build().unwrap();
    let tree = rt.block_on(Supervisor::one_for_one().child(inner.child("inner")).start()).unwrap();
    drop(rt);
    assert_eq!(end_of(&tree), ExitReason::Killed);
    assert!(!inner.is_alive() && !a.is_alive());
    assert!(a.is_closed());
}

/// A caller that has been waiting since before the runtime goes is told of the end.
#[test]
fn who_waits_from_another_runtime_is_told_when_the_runtime_goes() {
    let rt = runtime();
    let log = Log::new();
    let (_a, sa) = worker("a", &log);
    let tree = rt.block_on(Supervisor::one_for_one().child(sa).start()).unwrap();
    let (ready, waits) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn({
        let tree = tree.clone();
        move || {
            here().block_on(async {
                let mut join = Box::pin(tree.join());
                let first = std::future::poll_fn(|cx| std::task::Poll::Ready(join.as_mut().poll(cx))).await;
                assert!(first.is_pending());
                ready.send(()).unwrap();
                tokio::time::timeout(Duration::from_secs(20), join).await.expect("it is told").reason
            })
        }
    });
    waits.recv().unwrap();
    drop(rt);
    assert_eq!(waiting.join().unwrap(), ExitReason::Killed);
}

/// The runtime goes in the middle of things: a back-off, a group restart with a member in `init`, a start, a shutdown.
#[test]
fn a_runtime_may_go_at_any_moment() {
    quiet();
    for moment in ["back-off", "group", "hand", "shutdown"] {
        let log = Log::new();
        let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
        let rt = runtime();
        let supervisor = match moment {
            "group" => Supervisor::one_for_all(),
            _ => Supervisor::one_for_one(),
        };
        let supervisor = supervisor.with_intensity(Intensity::UNLIMITED).backoff(Backoff::new(AGES, AGES));
        let tree = rt.block_on(supervisor.child(sa).child(sb).start()).unwrap();
        rt.block_on(async {
            match moment {
                "back-off" => {
                    crash(&a).await;
                    crash(&a).await;
                }
                "group" => {
                    log.on_init("b", [OnInit::Hang]);
                    crash(&a).await;
                }
                "hand" => {
                    log.on_init("c", [OnInit::Hang]);
                    let tree = tree.clone();
                    tokio::spawn(async move { tree.start_child(sc).await });
                    settled().await;
                }
                _ => {
                    b.cast(Tell::Sleep(AGES)).unwrap();
                    settled().await;
                    let tree = tree.clone();
                    tokio::spawn(async move { tree.shutdown(AGES).await });
                    settled().await;
                }
            }
        });
        drop(rt);
        let reason = end_of(&tree);
        let expected = if moment == "shutdown" { ExitReason::Shutdown } else { ExitReason::Killed };
        assert_eq!(reason, expected, "{moment}");
        assert!(!a.is_alive() && !b.is_alive() && !c.is_alive(), "{moment}");
        assert!(a.is_closed() && b.is_closed(), "{moment}");
    }
}

/// Nothing that is asked of a supervisor whose runtime has gone hangs or panics.
#[test]
fn a_supervisor_whose_runtime_has_gone_answers() {
    let log = Log::new();
    let (_a, sa) = worker("a", &log);
    let rt = runtime();
    let tree = rt.block_on(Supervisor::one_for_one().child(sa).start()).unwrap();
    drop(rt);
    here().block_on(async {
        let limit = Duration::from_secs(20);
        let report =
            tokio::time::timeout(limit, tree.shutdown(Duration::from_secs(1))).await.expect("it ends");
        assert_eq!(report.abandoned.len(), 0);
        assert_eq!(tree.which_children().len(), 0, "they left with it");
        assert!(tokio::time::timeout(limit, tree.terminate_child("a")).await.expect("it is told").is_err());
    });
    tree.kill();
}

/// References may be dropped anywhere, also by a plain thread, also the last ones of a tree that is up.
#[test]
fn references_may_be_dropped_on_a_plain_thread() {
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let rt = runtime();
    let tree = rt.block_on(Supervisor::one_for_one().child(sa).start()).unwrap();
    std::thread::spawn(move || drop(tree)).join().unwrap();
    assert!(a.call_blocking(Ask::Get).is_ok(), "it lives without anybody who holds it");
    std::thread::spawn(move || drop(rt)).join().unwrap();
}

fn on(rt: &Runtime, name: &'static str, log: &Log) -> (restante_genserver::ServerRef<Worker>, ChildSpec) {
    let server = Server::<Worker>::settings().name(name).runtime(rt.handle().clone()).build().unwrap();
    let address = server.address();
    (address, server.child(Args { name, log: log.clone(), terminate: Duration::ZERO }))
}

/// Two runtimes: a child runs where its settings say, is restarted there, and is stopped from here in order.
#[test]
fn a_child_in_another_runtime_is_restarted_there() {
    quiet();
    let log = Log::new();
    let (mine, other) = (here(), runtime());
    let ((a, sa), (b, sb)) = (on(&other, "a", &log), worker("b", &log));
    mine.block_on(async {
        let supervisor =
            Supervisor::one_for_all().with_intensity(Intensity::UNLIMITED).backoff(Backoff::NONE);
        let tree = supervisor.child(sa).child(sb).start().await.unwrap();
        for _ in 0..3 {
            a.cast(Tell::Panic).unwrap();
            a.call(Ask::Get).await.unwrap();
            b.call(Ask::Get).await.unwrap();
        }
        assert_eq!((a.incarnation(), b.incarnation(), tree.restarts()), (4, 4, 3));
        assert!(tree.shutdown(AGES).await.is_clean());
    });
}

/// A child whose own runtime has gone cannot come back: its supervisor, which goes on elsewhere, stops the others in order
/// and ends; the callers that join are told.
#[test]
fn a_child_whose_runtime_has_gone_ends_its_supervisor() {
    let log = Log::new();
    let (mine, other) = (runtime(), runtime());
    let ((a, sa), (_b, sb)) = (on(&other, "a", &log), worker("b", &log));
    let tree = mine.block_on(Supervisor::one_for_one().child(sa).child(sb).start()).unwrap();
    a.cast(Tell::Note(1)).unwrap();
    a.call_blocking(Ask::Get).unwrap();
    drop(other);
    let reason = end_of(&tree);
    assert!(reason == ExitReason::Killed || RestartLimit::of(&reason).is_some(), "{reason}");
    assert_eq!(log.take(), ["+a", "+b", "-b"]);
}

/// A blocked handler holds its runtime up, not those who wait elsewhere for longer than that.
#[test]
fn a_runtime_that_goes_under_a_blocked_child_ends_the_tree_when_that_ends() {
    let log = Log::new();
    let ((a, sa), (_b, sb)) = (worker("a", &log), worker("b", &log));
    let rt = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let tree = rt.block_on(Supervisor::one_for_one().child(sa).child(sb).start()).unwrap();
    let (blocks, gate) = block(&a);
    blocks.blocking_recv().unwrap();
    rt.shutdown_background();
    drop(gate);
    assert_eq!(end_of(&tree), ExitReason::Killed);
}
