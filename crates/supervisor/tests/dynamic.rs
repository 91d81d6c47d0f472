//! Children that come and go.

use crate::support::{Args, Log, OnInit, Tell, Worker, noted, quiet, settle, worker};
use restante_core::ExitReason;
use restante_genserver::{Server, ServerRef, StartError};
use restante_supervisor::{
    Backoff, ChildError, ChildKind, ChildState, DynamicRef, DynamicSupervisor, Intensity, Restart,
    RestartLimit, Shutdown, SpecError, StartChildError, Supervise, Supervisor,
};
use std::time::Duration;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Restarts without limit and without pause.
fn relentless() -> DynamicSupervisor {
    DynamicSupervisor::new().with_intensity(Intensity::UNLIMITED).backoff(Backoff::NONE)
}

fn args(name: &'static str, log: &Log) -> Args {
    Args { name, log: log.clone(), terminate: Duration::ZERO }
}

/// Starts a worker with the supervisor's default options.
async fn begin(
    supervisor: &DynamicRef,
    name: &'static str,
    log: &Log,
) -> Result<ServerRef<Worker>, StartChildError> {
    supervisor.start(Server::new(name), args(name, log)).await
}

/// (specs, active).
fn counts(supervisor: &DynamicRef) -> (usize, usize) {
    let counts = supervisor.count_children();
    (counts.specs, counts.active)
}

/// Has a worker end, and waits until its supervisor knows.
async fn end(worker: &ServerRef<Worker>, reason: ExitReason) {
    worker.cast(Tell::Stop(reason)).unwrap();
    worker.join().await;
    settle().await;
}

/// Row G3. Elixir `DynamicSupervisor`: "can be supervised directly".
#[tokio::test]
async fn it_is_a_child_among_others() {
    let log = Log::new();
    let (rooms, spec) = DynamicSupervisor::new().into_child("rooms");
    let refused = begin(&rooms, "early", &log).await;
    assert_eq!(refused.unwrap_err(), StartChildError::Down);
    let tree = Supervisor::one_for_one().child(spec).start().await.unwrap();
    let a = begin(&rooms, "a", &log).await.unwrap();
    assert!(noted(&a).await.is_empty());
    assert_eq!(tree.which_children()[0].kind, ChildKind::Supervisor);
    assert!(tree.shutdown(ms(1000)).await.is_clean());
    assert_eq!(log.take(), ["+a", "-a"]);
    assert!(a.is_closed() && !rooms.as_supervisor().is_alive());
    assert_eq!(rooms.capacity().active, 0);
}

/// Elixir `DynamicSupervisor`: "multiple supervisors can be supervised and identified with simple child spec".
#[tokio::test]
async fn several_stand_under_one_supervisor_each_with_children_of_its_own() {
    let log = Log::new();
    let (rooms, a) = DynamicSupervisor::new().into_child("rooms");
    let (users, b) = DynamicSupervisor::new().into_child("users");
    let tree = Supervisor::one_for_one().child(a).child(b).start().await.unwrap();
    let room = begin(&rooms, "room", &log).await.unwrap();
    let user = begin(&users, "user", &log).await.unwrap();
    assert_eq!((counts(&rooms), counts(&users)), ((1, 1), (1, 1)));
    assert_eq!(users.terminate_child(&room).await, Err(ChildError::NotFound));
    let key = rooms.key_of(&room).unwrap();
    assert_eq!(users.terminate(key).await, Err(ChildError::NotFound), "a key is one supervisor's");
    assert_eq!((users.key_of(&room), rooms.key_of(&user)), (None, None));
    rooms.terminate(key).await.unwrap();
    assert_eq!((counts(&rooms), counts(&users)), ((0, 0), (1, 1)));
    assert!(tree.shutdown(ms(1000)).await.is_clean());
}

/// Elixir `DynamicSupervisor`: "supports new child spec", "sets initial call to the same as a regular supervisor".
#[tokio::test]
async fn any_kind_of_child_is_started_and_shown() {
    let log = Log::new();
    let rooms = DynamicSupervisor::new().start().await.unwrap();
    let (a, spec) = worker("a", &log);
    let key = rooms.start_child(spec).await.unwrap();
    assert_eq!(rooms.key_of(&a), Some(key));
    let (b, inner) = worker("b", &log);
    let nested = Supervisor::one_for_one().child(inner).into_child("nested").unwrap();
    rooms.start_child(nested).await.unwrap();
    let counts = rooms.count_children();
    assert_eq!((counts.specs, counts.active, counts.supervisors, counts.workers), (2, 2, 1, 1));
    let children = rooms.which_children();
    assert_eq!(
        children.iter().map(|c| c.kind).collect::<Vec<_>>(),
        [ChildKind::Supervisor, ChildKind::Worker]
    );
    assert_eq!((children[1].key, children[1].id.as_str(), children[1].type_name), (key, "a", "Worker"));
    assert_eq!(rooms.key_of(&b), None, "b is its supervisor's child");
    rooms.terminate(children[0].key).await.unwrap();
    assert!(b.is_closed());
    assert_eq!(rooms.count_children().supervisors, 0);
}

/// Elixir `DynamicSupervisor`: "with invalid child spec".
#[tokio::test]
async fn a_significant_child_is_refused() {
    let log = Log::new();
    let rooms = DynamicSupervisor::new().start().await.unwrap();
    let (_a, spec) = worker("a", &log);
    let refused = rooms.start_child(spec.restart(Restart::Temporary).significant(true)).await;
    assert!(matches!(refused, Err(StartChildError::Spec(SpecError::SignificantNever(_)))), "{refused:?}");
    assert_eq!((counts(&rooms), log.take()), ((0, 0), vec![]));
}

/// Elixir `DynamicSupervisor`: "with different returns".
#[tokio::test]
async fn a_child_that_ignores_or_fails_is_not_kept() {
    let log = Log::new();
    let rooms = DynamicSupervisor::new().start().await.unwrap();
    log.on_init("a", [OnInit::Succeed, OnInit::Ignore, OnInit::Fail]);
    begin(&rooms, "a", &log).await.unwrap();
    let (ignores, spec) = worker("a", &log);
    assert_eq!(rooms.start_child(spec).await, Err(StartChildError::Start(StartError::Ignored)));
    let (fails, spec) = worker("a", &log);
    let failed = rooms.start_child(spec).await;
    assert!(
        matches!(failed, Err(StartChildError::Start(StartError::Failed(ExitReason::Error(_))))),
        "{failed:?}"
    );
    assert!(ignores.is_closed() && fails.is_closed());
    assert_eq!(counts(&rooms), (1, 1));
    assert_eq!(rooms.as_supervisor().restarts(), 0);
}

/// Elixir `DynamicSupervisor`: "with throw/error/exit".
#[tokio::test]
async fn a_panic_in_init_is_an_error_value() {
    quiet();
    let log = Log::new();
    let rooms = DynamicSupervisor::new().start().await.unwrap();
    log.on_init("a", [OnInit::Panic]);
    let failed = begin(&rooms, "a", &log).await;
    assert!(
        matches!(failed, Err(StartChildError::Start(StartError::Failed(ExitReason::Panic(_))))),
        "{failed:?}"
    );
    begin(&rooms, "a", &log).await.expect("the supervisor lives");
    assert_eq!(counts(&rooms), (1, 1));
}

/// Elixir `DynamicSupervisor`: "with max_children".
#[tokio::test]
async fn no_more_children_than_the_limit() {
    let log = Log::new();
    let none = DynamicSupervisor::new().max_children(0).start().await.unwrap();
    let full = StartChildError::MaxChildren { active: 0, max: 0 };
    assert_eq!(begin(&none, "a", &log).await.unwrap_err(), full);
    let two = DynamicSupervisor::new().max_children(2).start().await.unwrap();
    let a = begin(&two, "a", &log).await.unwrap();
    begin(&two, "b", &log).await.unwrap();
    let full = StartChildError::MaxChildren { active: 2, max: 2 };
    assert_eq!(begin(&two, "c", &log).await.unwrap_err(), full);
    assert_eq!((two.capacity().max, two.capacity().available), (2, 0));
    two.terminate_child(&a).await.unwrap();
    assert_eq!((two.capacity().active, two.capacity().available), (1, 1));
    begin(&two, "c", &log).await.unwrap();
}

/// Elixir `DynamicSupervisor`: "temporary child is not restarted regardless of reason".
#[tokio::test]
async fn a_temporary_child_is_gone_after_any_end() {
    quiet();
    let log = Log::new();
    let rooms = relentless().default_options(|o| o.restart = Restart::Temporary).start().await.unwrap();
    for reason in [ExitReason::Normal, ExitReason::Shutdown, ExitReason::error("whatever")] {
        let a = begin(&rooms, "a", &log).await.unwrap();
        end(&a, reason).await;
        assert_eq!(counts(&rooms), (0, 0));
        assert!(a.is_closed());
        assert_eq!(rooms.terminate_child(&a).await, Err(ChildError::NotFound));
    }
    assert_eq!(rooms.as_supervisor().restarts(), 0);
}

/// Elixir `DynamicSupervisor`: "transient child is restarted unless normal/shutdown/{shutdown, _}".
#[tokio::test]
async fn a_transient_child_is_gone_after_an_orderly_end_and_restarted_after_another() {
    quiet();
    let log = Log::new();
    let rooms = relentless().default_options(|o| o.restart = Restart::Transient).start().await.unwrap();
    for reason in [ExitReason::Normal, ExitReason::Shutdown, ExitReason::shutdown_with("signal")] {
        let a = begin(&rooms, "a", &log).await.unwrap();
        end(&a, reason).await;
        assert_eq!(counts(&rooms), (0, 0));
        assert!(a.is_closed());
    }
    let a = begin(&rooms, "a", &log).await.unwrap();
    end(&a, ExitReason::error("whatever")).await;
    assert_eq!((counts(&rooms), a.incarnation()), ((1, 1), 2));
}

/// Elixir `DynamicSupervisor`: "permanent child is restarted regardless of reason".
#[tokio::test]
async fn a_permanent_child_is_restarted_after_any_end() {
    quiet();
    let log = Log::new();
    let rooms = relentless().start().await.unwrap();
    let reasons = [
        ExitReason::Normal,
        ExitReason::Shutdown,
        ExitReason::shutdown_with("signal"),
        ExitReason::error("no"),
    ];
    for (n, reason) in reasons.into_iter().enumerate() {
        let a = begin(&rooms, "a", &log).await.unwrap();
        end(&a, reason).await;
        assert_eq!((counts(&rooms), a.incarnation()), ((n + 1, n + 1), 2));
    }
}

/// Elixir `DynamicSupervisor`: "child is restarted with different values".
#[tokio::test(start_paused = true)]
async fn a_child_that_ignores_its_restart_is_gone_and_one_that_fails_is_tried_again() {
    quiet();
    let log = Log::new();
    let rooms = DynamicSupervisor::new().with_intensity(Intensity::UNLIMITED).start().await.unwrap();
    log.on_init("ignores", [OnInit::Succeed, OnInit::Ignore]);
    log.on_init("fails", [OnInit::Succeed, OnInit::Fail]);
    let ignores = begin(&rooms, "ignores", &log).await.unwrap();
    end(&ignores, ExitReason::Shutdown).await;
    assert_eq!(counts(&rooms), (0, 0));
    assert!(ignores.is_closed());
    let fails = begin(&rooms, "fails", &log).await.unwrap();
    end(&fails, ExitReason::Shutdown).await;
    assert_eq!(counts(&rooms), (1, 0), "its next attempt waits");
    assert_eq!(rooms.which_children()[0].state, ChildState::Restarting);
    assert!(noted(&fails).await.is_empty(), "and comes");
    assert_eq!((counts(&rooms), fails.incarnation(), rooms.as_supervisor().restarts()), ((1, 1), 3, 3));
}

/// Elixir `DynamicSupervisor`: "restarting on init children counted in max_children".
#[tokio::test(start_paused = true)]
async fn a_child_that_waits_for_its_restart_takes_a_place() {
    quiet();
    let log = Log::new();
    let rooms =
        DynamicSupervisor::new().max_children(1).with_intensity(Intensity::UNLIMITED).start().await.unwrap();
    log.on_init("a", [OnInit::Succeed, OnInit::Fail]);
    let a = begin(&rooms, "a", &log).await.unwrap();
    end(&a, ExitReason::Shutdown).await;
    assert_eq!(counts(&rooms), (1, 0));
    let full = StartChildError::MaxChildren { active: 1, max: 1 };
    assert_eq!(begin(&rooms, "b", &log).await.unwrap_err(), full);
}

/// Elixir `DynamicSupervisor`: "restarting on exit children counted in max_children".
#[tokio::test]
async fn a_child_that_was_restarted_takes_one_place() {
    quiet();
    let log = Log::new();
    let rooms = relentless().max_children(1).start().await.unwrap();
    let a = begin(&rooms, "a", &log).await.unwrap();
    end(&a, ExitReason::Shutdown).await;
    assert_eq!(counts(&rooms), (1, 1));
    let full = StartChildError::MaxChildren { active: 1, max: 1 };
    assert_eq!(begin(&rooms, "b", &log).await.unwrap_err(), full);
}

/// Elixir `DynamicSupervisor`: "child is restarted when trying again".
#[tokio::test(start_paused = true)]
async fn an_attempt_that_fails_is_followed_by_another() {
    quiet();
    let log = Log::new();
    let rooms = DynamicSupervisor::new().intensity(2, Duration::from_secs(5)).start().await.unwrap();
    log.on_init("a", [OnInit::Succeed, OnInit::Fail]);
    let a = begin(&rooms, "a", &log).await.unwrap();
    a.cast(Tell::Stop(ExitReason::Shutdown)).unwrap();
    assert!(noted(&a).await.is_empty());
    assert_eq!(log.take(), ["+a", "-a", "a fails", "+a"]);
    assert_eq!(counts(&rooms), (1, 1));
}

/// Elixir `DynamicSupervisor`: "child triggers maximum restarts".
#[tokio::test(start_paused = true)]
async fn one_restart_too_many_ends_it_and_all_its_children() {
    quiet();
    let log = Log::new();
    let rooms = DynamicSupervisor::new().intensity(1, Duration::from_secs(5)).start().await.unwrap();
    let (a, b) = (begin(&rooms, "a", &log).await.unwrap(), begin(&rooms, "b", &log).await.unwrap());
    log.on_init("a", [OnInit::Fail]);
    a.cast(Tell::Stop(ExitReason::Shutdown)).unwrap();
    let exit = rooms.as_supervisor().join().await;
    let limit = RestartLimit::of(&exit.reason).expect("it gave up");
    assert_eq!((limit.count, limit.window), (2, Duration::from_secs(5)));
    assert!(a.is_closed() && b.is_closed());
    assert_eq!(counts(&rooms), (0, 0));
    assert_eq!(begin(&rooms, "c", &log).await.unwrap_err(), StartChildError::Down);
}

/// Elixir `DynamicSupervisor`: "child triggers maximum intensity when trying again".
#[tokio::test(start_paused = true)]
async fn attempts_that_fail_count_towards_the_limit() {
    quiet();
    let log = Log::new();
    let rooms = DynamicSupervisor::new()
        .intensity(10, Duration::from_secs(60))
        .backoff(Backoff::NONE)
        .start()
        .await
        .unwrap();
    log.on_init("a", std::iter::once(OnInit::Succeed).chain(std::iter::repeat_n(OnInit::Fail, 100)));
    let a = begin(&rooms, "a", &log).await.unwrap();
    a.cast(Tell::Stop(ExitReason::Shutdown)).unwrap();
    let exit = rooms.as_supervisor().join().await;
    assert_eq!(RestartLimit::of(&exit.reason).map(|limit| limit.count), Some(11));
    assert_eq!(log.take().iter().filter(|line| *line == "a fails").count(), 10);
}

/// Three children of the same kind, and how each of them ended when their supervisor was stopped.
async fn stop_three(
    shutdown: Shutdown,
    terminate: Duration,
) -> (Vec<ExitReason>, restante_supervisor::ShutdownReport, Duration) {
    let log = Log::new();
    let rooms = DynamicSupervisor::new().start().await.unwrap();
    let mut children = Vec::new();
    for name in ["a", "b", "c"] {
        let server = Server::<Worker>::new(name);
        children.push(server.address());
        let spec = server.child(Args { terminate, ..args(name, &log) });
        rooms.start_child(spec.shutdown(shutdown)).await.unwrap();
    }
    let began = tokio::time::Instant::now();
    let report = rooms.as_supervisor().shutdown(Duration::from_secs(60)).await;
    let took = began.elapsed();
    assert_eq!(counts(&rooms), (0, 0));
    let ends = children.iter().map(|child| child.last_exit().expect("it has ended").reason).collect();
    (ends, report, took)
}

/// Elixir `DynamicSupervisor`: "terminates children with brutal kill".
#[tokio::test(start_paused = true)]
async fn children_are_killed_where_their_specification_says_so() {
    let (ends, report, took) = stop_three(Shutdown::BrutalKill, ms(100)).await;
    assert_eq!(ends, vec![ExitReason::Killed; 3]);
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.stopped, took), (3, Duration::ZERO));
}

/// Elixir `DynamicSupervisor`: "terminates children with infinity shutdown".
#[tokio::test(start_paused = true)]
async fn children_without_a_limit_are_waited_for_together() {
    let (ends, report, took) = stop_three(Shutdown::Infinity, Duration::from_secs(30)).await;
    assert_eq!(ends, vec![ExitReason::Shutdown; 3]);
    assert!(report.is_clean() && took < Duration::from_secs(31), "{report}, {took:?}");
}

/// Elixir `DynamicSupervisor`: "terminates children with integer shutdown".
#[tokio::test(start_paused = true)]
async fn children_within_their_limit_end_in_order_and_together() {
    let (ends, report, took) = stop_three(Shutdown::Timeout(ms(1000)), ms(900)).await;
    assert_eq!(ends, vec![ExitReason::Shutdown; 3]);
    assert!(report.is_clean() && report.stopped == 3, "{report}");
    assert!(took >= ms(900) && took < ms(1000), "{took:?}");
}

/// Elixir `DynamicSupervisor`: "terminates children with expired integer shutdown".
#[tokio::test(start_paused = true)]
async fn children_beyond_their_limit_are_killed_and_named() {
    let (ends, report, took) = stop_three(Shutdown::Timeout(ms(100)), ms(900)).await;
    assert_eq!(ends, vec![ExitReason::Killed; 3]);
    let killed = [("a", 100), ("b", 100), ("c", 100)].map(|(id, limit)| (id.to_owned(), ms(limit)));
    assert_eq!(report.killed, killed);
    assert!(took >= ms(100) && took < ms(110), "{took:?}");
}
