//! A tree runs until it ends by itself or is told to, and then ends within its deadline; the report says what did not.

use crate::stubborn::{block, stubborn};
use crate::support::{Log, OnInit, Tell, noted, quiet, relentless, slow_worker, worker};
use restante_core::ExitReason;
use restante_genserver::StartError;
use restante_supervisor::{
    AutoShutdown, Backoff, ChildNotStarted, ChildState, Restart, RestartLimit, RunOptions, RunOutcome,
    Shutdown, ShutdownReport, Stage, Supervisor, SupervisorRef,
};
use std::future::pending;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A tree that is run, and what tells it to stop.
struct Run {
    tree: SupervisorRef,
    stop: oneshot::Sender<()>,
    kill: oneshot::Sender<()>,
    outcome: JoinHandle<RunOutcome>,
}

fn run(tree: Supervisor, options: RunOptions) -> Run {
    run_built(&tree.build().unwrap(), options)
}

fn run_built(tree: &SupervisorRef, options: RunOptions) -> Run {
    let (stop, stopped) = oneshot::channel();
    let (kill, killed) = oneshot::channel();
    let tree = tree.clone();
    let outcome = tokio::spawn(tree.clone().run_until(
        async { drop(stopped.await) },
        async { drop(killed.await) },
        options,
    ));
    Run { tree, stop, kill, outcome }
}

impl Run {
    async fn stopped(self) -> RunOutcome {
        let Self { stop, outcome, kill, .. } = self;
        drop(stop);
        let outcome = outcome.await.unwrap();
        drop(kill);
        outcome
    }
}

async fn started(run: &Run) {
    while run.tree.tree().state != ChildState::Running {
        tokio::task::yield_now().await;
    }
}

fn killed(report: &ShutdownReport) -> Vec<(&str, u64)> {
    report.killed.iter().map(|(path, limit)| (path.as_str(), limit.as_secs())).collect()
}

/// Row G7, clause 22.4: told to stop, a tree ends in order, and says so.
#[tokio::test(start_paused = true)]
async fn a_tree_that_is_told_to_stop_ends_in_reverse_order() {
    let log = Log::new();
    let ((_a, sa), (_b, sb)) = (slow_worker("a", &log, secs(1)), slow_worker("b", &log, secs(2)));
    let run = run(Supervisor::one_for_one().child(sa).child(sb), RunOptions::default());
    started(&run).await;
    let before = Instant::now();
    let outcome = run.stopped().await;
    assert_eq!(before.elapsed().as_secs(), 3);
    let RunOutcome::Shutdown(report) = &outcome else { panic!("{outcome:?}") };
    assert_eq!((report.stage, report.stopped, report.is_clean()), (Stage::Drain, 2, true));
    assert_eq!((outcome.exit_code(), outcome.to_string().as_str()), (0, "shut down: 2 stopped"));
    assert_eq!(log.take(), ["+a", "+b", "-b", "-a"]);
}

/// Row G7, clause 22.4: the tree was not told to end, and the outcome has the reason.
#[tokio::test(start_paused = true)]
async fn a_tree_that_ends_by_itself_has_run_its_course() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let gives_up = run(Supervisor::one_for_one().intensity(0, secs(1)).child(sa), RunOptions::default());
    started(&gives_up).await;
    a.cast(Tell::Panic).unwrap();
    let outcome = gives_up.outcome.await.unwrap();
    let RunOutcome::Ended(exit) = &outcome else { panic!("{outcome:?}") };
    assert!(RestartLimit::of(&exit.reason).is_some());
    assert_eq!(outcome.exit_code(), 1);

    let (b, sb) = worker("b", &log);
    let done = Supervisor::one_for_one()
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(sb.restart(Restart::Transient).significant(true));
    let done = run(done, RunOptions::default());
    started(&done).await;
    b.cast(Tell::Stop(ExitReason::Normal)).unwrap();
    let outcome = done.outcome.await.unwrap();
    assert!(matches!(&outcome, RunOutcome::Ended(exit) if exit.reason == ExitReason::Shutdown));
    assert_eq!((outcome.exit_code(), outcome.report()), (0, None));
}

/// Row G7, clauses 22.5, 22.6: at the deadline of the whole what is left is killed, and named with the time that it had.
#[tokio::test(start_paused = true)]
async fn what_is_left_at_the_deadline_is_killed_and_named() {
    let log = Log::new();
    let (_a, sa) = worker("a", &log);
    let (_x, sx) = slow_worker("x", &log, secs(1000));
    let (_y, sy) = worker("y", &log);
    let sub = Supervisor::one_for_one().child(sx.shutdown(Shutdown::Infinity)).child(sy);
    let tree = Supervisor::one_for_one().child(sa).child(sub.into_child("sub").unwrap());
    let run = run(tree, RunOptions::default());
    started(&run).await;
    let before = Instant::now();
    let outcome = run.stopped().await;
    assert_eq!(before.elapsed(), secs(30), "the default");
    let RunOutcome::Shutdown(report) = &outcome else { panic!("{outcome:?}") };
    // The stop had not come to `a`: it was given no more time than the others.
    assert_eq!(killed(report), [("sub", 30), ("a", 30), ("sub/x", 30)]);
    assert_eq!((report.stage, report.stopped), (Stage::Cancel, 3));
    assert!(report.abandoned.is_empty() && report.unexpected.is_empty(), "{report}");
    assert_eq!(outcome.exit_code(), 2);
    assert_eq!(log.take(), ["+a", "+x", "+y", "-y"]);
}

/// Row G7, clause 22.4: a deadline of its own, down to none at all and up to never.
#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_whole_is_a_setting() {
    for (deadline, took, stage) in
        [(Duration::ZERO, 0, Stage::Cancel), (secs(7), 7, Stage::Cancel), (Duration::MAX, 500, Stage::Drain)]
    {
        let log = Log::new();
        let (_a, sa) = slow_worker("a", &log, secs(500));
        let tree = Supervisor::one_for_one().child(sa.shutdown(Shutdown::Infinity));
        let run = run(tree, RunOptions::default().deadline(deadline));
        started(&run).await;
        let before = Instant::now();
        let outcome = run.stopped().await;
        assert_eq!((before.elapsed().as_secs(), outcome.report().unwrap().stage), (took, stage));
    }
}

/// Row G7, clause 22.4: told twice, it does not wait.
#[tokio::test(start_paused = true)]
async fn a_second_word_kills_what_is_left_at_once() {
    let log = Log::new();
    let ((_a, sa), (_b, sb)) = (worker("a", &log), slow_worker("b", &log, secs(1000)));
    let tree = Supervisor::one_for_one().child(sa).child(sb.shutdown(Shutdown::Infinity));
    let run = run(tree, RunOptions::default());
    started(&run).await;
    let Run { tree, stop, kill, mut outcome } = run;
    let before = Instant::now();
    drop(stop);
    assert!(tokio::time::timeout(secs(3), &mut outcome).await.is_err(), "it ends in order");
    drop(kill);
    let outcome = outcome.await.unwrap();
    let RunOutcome::Killed(report) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(before.elapsed(), secs(3));
    assert_eq!((killed(report), report.stopped), (vec![("b", 3), ("a", 3)], 2));
    assert_eq!((outcome.exit_code(), report.stage), (2, Stage::Cancel));
    assert!(!tree.is_alive());
}

/// Row G7, clause 22.4: told to stop before it is up, it gives up the start.
#[tokio::test(start_paused = true)]
async fn a_start_is_given_up_and_rolled_back() {
    let log = Log::new();
    let ((a, sa), (b, sb), (_c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    log.on_init("b", [OnInit::Hang]);
    let run = run(Supervisor::one_for_one().child(sa).child(sb).child(sc), RunOptions::default());
    while run.tree.tree().children.first().is_none_or(|a| a.state != ChildState::Running) {
        tokio::task::yield_now().await;
    }
    let outcome = run.stopped().await;
    let RunOutcome::Shutdown(report) = &outcome else { panic!("{outcome:?}") };
    assert!(report.is_clean(), "{report}");
    assert_eq!(outcome.exit_code(), 0);
    assert_eq!(log.take(), ["+a", "-a"]);
    assert!(a.is_closed() && b.is_closed());
}

/// Row G7, clause 22.4: a start that fails is an outcome.
#[tokio::test]
async fn a_start_that_fails_is_an_outcome() {
    let log = Log::new();
    let ((_a, sa), (_b, sb)) = (worker("a", &log), worker("b", &log));
    log.on_init("b", [OnInit::Fail]);
    let run = run(Supervisor::one_for_one().child(sa).child(sb), RunOptions::default());
    let outcome = run.outcome.await.unwrap();
    let RunOutcome::NotStarted(StartError::Failed(ExitReason::Error(error))) = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(error.downcast_ref::<ChildNotStarted>().unwrap().child.as_str(), "b");
    assert_eq!(outcome.exit_code(), 1);
    assert_eq!(log.take(), ["+a", "b fails", "-a"]);
}

/// Clause 22.4: a tree that was started before is run, and of one that has ended the end is told.
#[tokio::test(start_paused = true)]
async fn a_tree_that_was_started_before_is_run() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = Supervisor::one_for_one().intensity(0, secs(1)).child(sa).start().await.unwrap();
    let mut running = run_built(&tree, RunOptions::default());
    assert!(tokio::time::timeout(secs(1000), &mut running.outcome).await.is_err());
    a.cast(Tell::Panic).unwrap();
    for outcome in [running, run_built(&tree, RunOptions::default())] {
        let outcome = outcome.outcome.await.unwrap();
        assert!(matches!(&outcome, RunOutcome::Ended(exit) if RestartLimit::of(&exit.reason).is_some()));
    }
    let parent = Supervisor::one_for_one();
    let sub = Supervisor::one_for_one().build().unwrap();
    let _parent = parent.child(sub.child("sub")).build().unwrap();
    let outcome = sub.run_until(pending(), pending(), RunOptions::default()).await;
    assert_eq!(outcome, RunOutcome::NotStarted(StartError::Supervised));
}

/// Row G7, clauses 22.5, 22.6: what does not end even when it is killed is left behind and named, by the supervisor that it
/// belongs to; that one, and those above, are down.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_does_not_end_even_killed_is_left_behind_and_named() {
    let log = Log::new();
    let ((_a, sa), (x, sx), (_y, sy)) = (worker("a", &log), stubborn("x"), worker("y", &log));
    let grace = Duration::from_millis(20);
    let sub = Supervisor::one_for_one().abandon_after(grace).child(sy).child(sx);
    let mid = Supervisor::one_for_one().abandon_after(grace).child(sub.into_child("sub").unwrap());
    let tree = Supervisor::one_for_one().abandon_after(grace).child(sa).child(mid.into_child("mid").unwrap());
    let run = run(tree, RunOptions::default().deadline(grace));
    // A first turn may be taken on the starter's stack: the thread that is blocked must not be that one.
    started(&run).await;
    let release = block(&x).await;
    let outcome = run.stopped().await;
    let RunOutcome::Shutdown(report) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(report.abandoned, ["mid/sub/x"], "{report}");
    assert_eq!((report.stage, report.stopped), (Stage::Abandon, 2));
    assert_eq!(outcome.exit_code(), 2);
    drop(release);
    x.join().await;
}

/// Clause 22.6: what was abandoned earlier and has not ended since did not stop either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_abandoned_earlier_is_named_at_the_end() {
    let (x, sx) = stubborn("x");
    let tree = Supervisor::one_for_one()
        .abandon_after(Duration::from_millis(1))
        .child(sx.shutdown(Shutdown::BrutalKill))
        .start()
        .await
        .unwrap();
    let release = block(&x).await;
    tree.terminate_child("x").await.unwrap_err();
    let report = tree.shutdown(secs(60)).await;
    assert_eq!((report.abandoned, report.stopped, report.stage), (vec!["x".to_owned()], 0, Stage::Abandon));
    drop(release);
}

/// Clause 22.6: a child's own limit, and that of a supervisor: who is named, with which path, and what is counted.
#[tokio::test(start_paused = true)]
async fn limits_below_are_reported_with_their_paths() {
    let log = Log::new();
    let slow = |name| slow_worker(name, &log, secs(1000)).1;
    // x has a limit of its own; y has none, but the supervisor above it has.
    let own = Supervisor::one_for_one()
        .child(worker("w", &log).1)
        .child(slow("x").shutdown(Shutdown::Timeout(secs(1))))
        .into_child("own")
        .unwrap();
    let above = Supervisor::one_for_one()
        .child(worker("v", &log).1)
        .child(slow("y").shutdown(Shutdown::Infinity))
        .into_child("above")
        .unwrap()
        .shutdown(Shutdown::Timeout(secs(2)));
    let tree = Supervisor::one_for_one().child(own).child(above).start().await.unwrap();
    let before = Instant::now();
    let report = tree.shutdown(secs(60)).await;
    assert_eq!(before.elapsed(), secs(3));
    assert_eq!(killed(&report), [("above", 2), ("above/y", 2), ("above/v", 2), ("own/x", 1)]);
    assert_eq!((report.stopped, report.unexpected.len(), report.abandoned.len()), (4, 0, 0), "{report}");
}

/// Clause 22.6: the report is of the end, and of nothing that went on before.
#[tokio::test(start_paused = true)]
async fn what_was_stopped_before_the_end_is_not_counted_again() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), slow_worker("b", &log, secs(1000)));
    let (_c, sc) = slow_worker("c", &log, secs(2));
    let tree = relentless(Supervisor::one_for_all()).child(sa).child(sb.shutdown(Shutdown::Timeout(secs(1))));
    let tree = tree.child(sc).start().await.unwrap();
    for _ in 0..3 {
        a.cast(Tell::Panic).unwrap();
        a.join().await;
        noted(&a).await;
        noted(&b).await;
    }
    tree.terminate_child("b").await.unwrap();
    let report = tree.shutdown(secs(60)).await;
    assert_eq!((report.stopped, report.is_clean()), (2, true), "{report}");
}

/// Clause 22.6: an end that is not the one that was ordered; and a report that the supervisor below keeps.
#[tokio::test(start_paused = true)]
async fn an_end_for_another_reason_is_named() {
    let (_x, sx) = stubborn("x");
    let sub = Supervisor::one_for_one().child(sx).build().unwrap();
    let tree = Supervisor::one_for_one().child(sub.child("sub")).start().await.unwrap();
    let report = tree.shutdown(secs(60)).await;
    assert_eq!(report.unexpected, [("sub/x".to_owned(), ExitReason::error("no time to die"))]);
    assert_eq!((report.stage, report.is_clean(), report.stopped), (Stage::Drain, false, 1));
    assert_eq!(sub.report().unexpected, [("x".to_owned(), ExitReason::error("no time to die"))]);
}

/// Clause 22.6: killed on purpose, a tree names no child: that they did not end in order is what was asked for.
#[tokio::test(start_paused = true)]
async fn a_tree_that_is_killed_outright_names_nobody() {
    let log = Log::new();
    let sub = Supervisor::one_for_one().child(slow_worker("x", &log, secs(9)).1);
    let tree = Supervisor::one_for_one().child(worker("a", &log).1).child(sub.into_child("sub").unwrap());
    let tree = tree.start().await.unwrap();
    tree.kill();
    assert_eq!(tree.join().await.reason, ExitReason::Killed);
    let report = tree.report();
    assert_eq!((report.stage, report.stopped), (Stage::Cancel, 2), "{report}");
    assert!(report.killed.is_empty() && report.unexpected.is_empty(), "{report}");
    assert_eq!(log.take(), ["+a", "+x"]);
}

/// Row G7, clause 22.4: a tree that is giving up when it is told to stop has the same deadline.
#[tokio::test(start_paused = true)]
async fn a_tree_that_gives_up_slowly_has_the_deadline_too() {
    quiet();
    let log = Log::new();
    let ((_a, sa), (b, sb)) = (slow_worker("a", &log, secs(1000)), worker("b", &log));
    let tree = Supervisor::one_for_one()
        .intensity(0, secs(1))
        .backoff(Backoff::NONE)
        .child(sa.shutdown(Shutdown::Infinity))
        .child(sb);
    let run = run(tree, RunOptions::default().deadline(secs(4)));
    started(&run).await;
    b.cast(Tell::Panic).unwrap();
    tokio::time::sleep(secs(10)).await;
    let before = Instant::now();
    let outcome = run.stopped().await;
    assert_eq!(before.elapsed(), secs(4));
    assert_eq!(killed(outcome.report().unwrap()), [("a", 14)]);
}
