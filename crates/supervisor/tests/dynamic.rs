//! Children that come and go.

use crate::support::{Args, Log, OnInit, Tell, Worker, noted, quiet, settle, until, worker};
use restante_core::{ExitReason, Ledger};
use restante_genserver::{
    CallerRuns, Context, GenServer, Init, Next, Reply, Server, ServerRef, StartError, Step,
};
use restante_supervisor::{
    Backoff, ChildError, ChildKind, ChildState, DynamicRef, DynamicSupervisor, Intensity, Restart,
    RestartLimit, Shutdown, SpecError, StartChildError, Supervise, Supervisor,
};
use restante_testkit::assert_conserved;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
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

/// The counts of specs and of active children.
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

/// Elixir `DynamicSupervisor`: "with `max_children`".
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

/// Elixir `DynamicSupervisor`: "restarting on init children counted in `max_children`".
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

/// Elixir `DynamicSupervisor`: "restarting on exit children counted in `max_children`".
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
    let killed = [("c", 100), ("b", 100), ("a", 100)].map(|(id, limit)| (id.to_owned(), ms(limit)));
    assert_eq!(report.killed, killed);
    assert!(took >= ms(100) && took < ms(110), "{took:?}");
}

/// Does not end before it is let go, whatever it is told: a handler that does not await.
struct Stubborn;

impl GenServer for Stubborn {
    type Args = ();
    type Call = ();
    type Cast = (tokio::sync::oneshot::Sender<()>, mpsc::Receiver<()>);
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, (): (), _: &mut Context<Self>) -> Step {
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, (begun, hold): Self::Cast, _: &mut Context<Self>) -> Step {
        let _ = begun.send(());
        let _ = hold.recv();
        Ok(Next::go())
    }
}

/// A stubborn child, which holds up a thread of another runtime; that runtime; what lets it go (and is dropped first).
async fn stubborn(
    rooms: &DynamicRef,
    shutdown: Shutdown,
) -> (ServerRef<Stubborn>, tokio::runtime::Runtime, mpsc::Sender<()>) {
    let elsewhere = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let settings = Server::<Stubborn>::settings().name("stubborn").caller_runs(CallerRuns::Never);
    // The clock of the test is ahead of other threads.
    let settings = settings.start_timeout(Duration::MAX);
    let server = settings.runtime(elsewhere.handle().clone()).build().unwrap();
    let address = server.address();
    rooms.start_child(server.child(()).shutdown(shutdown)).await.unwrap();
    let (release, hold) = mpsc::channel();
    let (begun, begins) = tokio::sync::oneshot::channel();
    address.cast((begun, hold)).unwrap();
    begins.await.unwrap();
    (address, elsewhere, release)
}

/// Elixir `DynamicSupervisor`: "terminates with mixed children". Each limit is waited for once.
#[tokio::test(start_paused = true)]
async fn each_limit_among_the_children_is_waited_for_once() {
    let log = Log::new();
    let rooms = DynamicSupervisor::new().start().await.unwrap();
    let kinds = [
        ("quick", Shutdown::Timeout(ms(3000)), ms(10)),
        ("one", Shutdown::Timeout(ms(1000)), ms(60_000)),
        ("killed", Shutdown::BrutalKill, ms(60_000)),
        ("two", Shutdown::Timeout(ms(2000)), ms(60_000)),
        ("one too", Shutdown::Timeout(ms(1000)), ms(60_000)),
        ("patient", Shutdown::Infinity, ms(7000)),
        ("zero", Shutdown::Timeout(ms(0)), ms(60_000)),
    ];
    let mut children = Vec::new();
    for (name, shutdown, terminate) in kinds {
        let server = Server::<Worker>::new(name);
        children.push(server.address());
        let spec = server.child(Args { terminate, ..args(name, &log) });
        rooms.start_child(spec.shutdown(shutdown)).await.unwrap();
    }
    let began = tokio::time::Instant::now();
    let report = rooms.as_supervisor().shutdown(Duration::from_secs(60)).await;
    assert!(began.elapsed() >= ms(7000) && began.elapsed() < ms(7100), "{:?}", began.elapsed());
    let killed: Vec<_> = report.killed.iter().map(|(id, limit)| (id.as_str(), limit.as_millis())).collect();
    assert_eq!(killed, [("zero", 0), ("one too", 1000), ("one", 1000), ("two", 2000)]);
    assert_eq!((report.stopped, report.abandoned.len()), (7, 0), "{report}");
    let reasons = children.iter().map(|child| child.last_exit().unwrap().reason == ExitReason::Shutdown);
    assert_eq!(reasons.collect::<Vec<_>>(), [true, false, false, false, false, true, false]);
}

/// Row G3: one that does not end even when it is killed is left behind, and named.
#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_end_holds_up_nobody() {
    let log = Log::new();
    let rooms = DynamicSupervisor::new().abandon_after(ms(200)).start().await.unwrap();
    let (child, elsewhere, release) = stubborn(&rooms, Shutdown::Timeout(ms(1000))).await;
    begin(&rooms, "a", &log).await.unwrap();
    let began = tokio::time::Instant::now();
    let report = rooms.as_supervisor().shutdown(Duration::from_secs(60)).await;
    assert_eq!(
        (report.abandoned, report.killed),
        (vec!["stubborn".to_owned()], vec![("stubborn".to_owned(), ms(1000))])
    );
    assert_eq!((report.stopped, began.elapsed()), (1, ms(1200)));
    assert_eq!(counts(&rooms), (0, 0));
    release.send(()).unwrap();
    child.join().await;
    assert!(child.is_closed());
    elsewhere.shutdown_background();
}

/// Row G3: nor does one that was killed hold up another that has all the time it wants.
#[tokio::test(start_paused = true)]
async fn who_is_waited_for_without_end_does_not_wait_for_who_does_not_end() {
    let log = Log::new();
    let rooms = DynamicSupervisor::new().abandon_after(ms(200)).start().await.unwrap();
    let (child, elsewhere, release) = stubborn(&rooms, Shutdown::BrutalKill).await;
    let patient = Server::<Worker>::new("patient").child(Args { terminate: ms(3000), ..args("p", &log) });
    rooms.start_child(patient.shutdown(Shutdown::Infinity)).await.unwrap();
    let began = tokio::time::Instant::now();
    let report = rooms.as_supervisor().shutdown(Duration::from_secs(60)).await;
    assert_eq!(report.abandoned, ["stubborn"]);
    assert_eq!((report.stopped, began.elapsed()), (1, ms(3000)), "{report}");
    release.send(()).unwrap();
    child.join().await;
    elsewhere.shutdown_background();
}

/// Row G3: the same by hand; it leaves the table when it ends at last.
#[tokio::test(start_paused = true)]
async fn a_child_that_is_abandoned_takes_a_place_until_it_ends() {
    let rooms = DynamicSupervisor::new().abandon_after(ms(200)).start().await.unwrap();
    let (child, elsewhere, release) = stubborn(&rooms, Shutdown::BrutalKill).await;
    assert_eq!(rooms.terminate_child(&child).await, Err(ChildError::Abandoned));
    assert_eq!(rooms.which_children()[0].state, ChildState::Abandoned);
    assert_eq!((counts(&rooms), rooms.capacity().active), ((1, 1), 1));
    release.send(()).unwrap();
    child.join().await;
    until(|| rooms.capacity().active == 0).await;
    assert_eq!(rooms.terminate_child(&child).await, Err(ChildError::NotFound));
    elsewhere.shutdown_background();
}

/// Elixir `DynamicSupervisor`: "terminates child with brutal kill", "terminates child with integer shutdown".
#[tokio::test(start_paused = true)]
async fn a_child_is_stopped_by_its_reference_and_then_it_is_not_there() {
    let log = Log::new();
    for (shutdown, reason) in
        [(Shutdown::BrutalKill, ExitReason::Killed), (Shutdown::Timeout(ms(1000)), ExitReason::Shutdown)]
    {
        let rooms =
            DynamicSupervisor::new().default_options(|o| o.shutdown = shutdown).start().await.unwrap();
        let a = begin(&rooms, "a", &log).await.unwrap();
        a.cast(Tell::Note(1)).unwrap();
        assert_eq!(noted(&a).await, [1]);
        assert_eq!(rooms.terminate_child(&a).await, Ok(()));
        assert_eq!(a.last_exit().unwrap().reason, reason);
        assert_eq!((counts(&rooms), a.is_closed()), ((0, 0), true));
        assert_eq!(rooms.terminate_child(&a).await, Err(ChildError::NotFound));
    }
}

/// Row G7: the report of a shutdown is about that shutdown.
#[tokio::test(start_paused = true)]
async fn what_was_stopped_before_is_not_reported() {
    let log = Log::new();
    let rooms = DynamicSupervisor::new().start().await.unwrap();
    let server = Server::<Worker>::new("slow");
    let slow = server.address();
    let spec = server.child(Args { terminate: ms(60_000), ..args("slow", &log) });
    rooms.start_child(spec).await.unwrap();
    let a = begin(&rooms, "a", &log).await.unwrap();
    rooms.terminate_child(&slow).await.unwrap();
    rooms.terminate_child(&a).await.unwrap();
    begin(&rooms, "b", &log).await.unwrap();
    let report = rooms.as_supervisor().shutdown(ms(1000)).await;
    assert_eq!((report.stopped, report.is_clean()), (1, true), "{report}");
}

/// Row G3: who stops a child twice at once is told by the same end.
#[tokio::test(start_paused = true)]
async fn two_may_wait_for_the_same_end() {
    let log = Log::new();
    let rooms = DynamicSupervisor::new().start().await.unwrap();
    let server = Server::<Worker>::new("a");
    let a = server.address();
    let key = rooms.start_child(server.child(Args { terminate: ms(500), ..args("a", &log) })).await.unwrap();
    let (one, other) = tokio::join!(rooms.terminate_child(&a), rooms.terminate(key));
    assert_eq!((one, other), (Ok(()), Ok(())));
    assert_eq!(counts(&rooms), (0, 0));
    assert_eq!(log.take(), ["+a", "-a"]);
}

/// Row G3: who stops a child and goes away has stopped it all the same, within its limit.
#[tokio::test(start_paused = true)]
async fn a_stop_that_nobody_waits_for_is_carried_through() {
    let log = Log::new();
    let rooms = DynamicSupervisor::new().start().await.unwrap();
    let server = Server::<Worker>::new("a");
    let a = server.address();
    let spec = server.child(Args { terminate: ms(60_000), ..args("a", &log) });
    rooms.start_child(spec.shutdown(Shutdown::Timeout(ms(1000)))).await.unwrap();
    let began = tokio::time::Instant::now();
    assert!(tokio::time::timeout(ms(10), rooms.terminate_child(&a)).await.is_err());
    assert_eq!(a.join().await.reason, ExitReason::Killed);
    assert_eq!(began.elapsed(), ms(1000));
    settle().await;
    assert_eq!((counts(&rooms), a.is_closed()), ((0, 0), true));
}

/// Elixir `DynamicSupervisor`: "terminates restarting child".
#[tokio::test(start_paused = true)]
async fn a_child_that_waits_for_its_restart_can_be_stopped() {
    quiet();
    let log = Log::new();
    let rooms = DynamicSupervisor::new().with_intensity(Intensity::UNLIMITED).start().await.unwrap();
    log.on_init("a", [OnInit::Succeed, OnInit::Fail]);
    let a = begin(&rooms, "a", &log).await.unwrap();
    a.cast(Tell::Stop(ExitReason::Shutdown)).unwrap();
    a.cast(Tell::Note(1)).unwrap();
    until(|| rooms.as_supervisor().restarts() == 2).await;
    assert_eq!(rooms.which_children()[0].state, ChildState::Restarting);
    assert_eq!(rooms.terminate_child(&a).await, Ok(()));
    assert_eq!(rooms.terminate_child(&a).await, Err(ChildError::NotFound));
    assert_eq!((counts(&rooms), a.is_closed()), ((0, 0), true));
    assert_eq!(a.audit().unwrap().dead_lettered, 1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(log.take(), ["+a", "-a", "a fails"], "it was not started again");
}

/// Row G3: one that hangs in `init` while it is restarted is stopped as well.
#[tokio::test(start_paused = true)]
async fn a_child_that_is_being_restarted_can_be_stopped() {
    let log = Log::new();
    let rooms = relentless().start().await.unwrap();
    log.on_init("a", [OnInit::Succeed, OnInit::Hang]);
    let a = begin(&rooms, "a", &log).await.unwrap();
    end(&a, ExitReason::Normal).await;
    assert_eq!((counts(&rooms), rooms.which_children()[0].state), ((1, 0), ChildState::Restarting));
    assert_eq!(rooms.terminate_child(&a).await, Ok(()));
    assert_eq!((counts(&rooms), a.is_closed()), ((0, 0), true));
}

/// Failure mode 29: an `init` that hangs is waited for by its starter alone. Given up, it leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn a_slow_start_holds_up_nobody_and_may_be_given_up() {
    let log = Log::new();
    let rooms = DynamicSupervisor::new().max_children(2).start().await.unwrap();
    log.on_init("slow", [OnInit::Hang]);
    let (slow, spec) = worker("slow", &log);
    {
        let mut start = std::pin::pin!(rooms.start_child(spec));
        assert!(futures::poll!(start.as_mut()).is_pending());
        assert_eq!(rooms.which_children()[0].state, ChildState::Starting);
        let a = begin(&rooms, "a", &log).await.unwrap();
        assert!(noted(&a).await.is_empty());
        assert_eq!(counts(&rooms), (2, 2));
    }
    settle().await;
    assert_eq!((counts(&rooms), slow.is_closed()), ((1, 1), true));
}

/// Row G3: what a restart from above leaves of the children.
#[tokio::test]
async fn when_it_is_restarted_itself_its_children_are_gone_unless_they_are_kept() {
    quiet();
    for keep in [false, true] {
        let log = Log::new();
        let (rooms, spec) = relentless().keep_children(keep).into_child("rooms");
        let tree = Supervisor::one_for_one()
            .with_intensity(Intensity::UNLIMITED)
            .backoff(Backoff::NONE)
            .child(spec)
            .start()
            .await
            .unwrap();
        let a = begin(&rooms, "a", &log).await.unwrap();
        a.cast(Tell::Note(1)).unwrap();
        rooms.as_supervisor().kill();
        a.join().await;
        let queued = a.cast(Tell::Note(2)).is_ok();
        until(|| rooms.as_supervisor().incarnation() == 2).await;
        settle().await;
        let b = begin(&rooms, "b", &log).await.unwrap();
        if keep {
            assert!(queued, "its mailbox takes messages in between");
            assert_eq!(noted(&a).await.last(), Some(&2));
            assert_eq!((counts(&rooms), a.incarnation()), ((2, 2), 2));
        } else {
            assert_eq!((counts(&rooms), a.is_closed()), ((1, 1), true));
            assert_eq!(rooms.key_of(&a), None);
        }
        assert_conserved!(tree);
        assert!(tree.shutdown(ms(1000)).await.is_clean());
        assert!(b.is_closed());
    }
}

/// Row G3: what is told about a child, and the two ways to have options.
#[tokio::test]
async fn a_specification_begins_with_the_default_options() {
    let log = Log::new();
    let rooms = relentless().default_options(|o| o.restart = Restart::Temporary).start().await.unwrap();
    let a = begin(&rooms, "a", &log).await.unwrap();
    let server = Server::<Worker>::new("b");
    let b = server.address();
    rooms.start_child(rooms.spec(server, args("b", &log)).restart(Restart::Permanent)).await.unwrap();
    let (c, spec) = worker("c", &log);
    rooms.start_child(spec).await.unwrap();
    for child in [&a, &b, &c] {
        end(child, ExitReason::Normal).await;
    }
    assert_eq!((a.is_closed(), b.incarnation(), c.incarnation()), (true, 2, 2));
}

/// One of very many.
struct Unit(Arc<AtomicU64>);

enum Do {
    Work,
    Panic,
    Fail,
    Stop,
}

impl GenServer for Unit {
    /// How many casts have come to a handler.
    type Args = Arc<AtomicU64>;
    type Call = Reply<()>;
    type Cast = Do;
    type Info = ();

    async fn init(begun: &Arc<AtomicU64>, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self(Arc::clone(begun))))
    }

    async fn handle_call(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Step {
        reply.send(());
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, what: Do, _: &mut Context<Self>) -> Step {
        self.0.fetch_add(1, Ordering::Relaxed);
        match what {
            Do::Work => Ok(Next::go()),
            Do::Panic => panic!("told to"),
            Do::Fail => Err(ExitReason::error("told to")),
            Do::Stop => Ok(Next::stop()),
        }
    }
}

/// What can be counted is what has been counted (once nothing happens between the two).
fn counts_are_right(rooms: &DynamicRef) -> bool {
    let children = rooms.which_children();
    let active = children.iter().filter(|c| !matches!(c.state, ChildState::Restarting | ChildState::Stopped));
    counts(rooms) == (children.len(), active.count())
}

/// Rows G3, G4: 20,000 children, crashed, stopped and restarted by chance: no message is lost, none is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_children_come_and_go_and_nothing_is_lost() {
    const CHILDREN: usize = 20_000;
    quiet();
    let seed =
        std::env::var("RESTANTE_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let mut rng = fastrand::Rng::with_seed(seed);
    let rooms = relentless().max_children(CHILDREN).start().await.unwrap();
    let begun = Arc::new(AtomicU64::new(0));
    let mut children = Vec::new();
    for _ in 0..CHILDREN {
        let server = Server::<Unit>::settings().build().unwrap();
        children.push(server.address());
        let restart = rng.choice([Restart::Permanent, Restart::Transient, Restart::Temporary]).unwrap();
        rooms.start_child(rooms.spec(server, Arc::clone(&begun)).restart(restart)).await.unwrap();
    }
    assert_eq!((counts(&rooms), rooms.capacity().available), ((CHILDREN, CHILDREN), 0));
    let (mut sent, mut stopped, mut missing) = (0_u64, 0, 0);
    for _ in 0..3 * CHILDREN {
        let child = rng.choice(&children).unwrap();
        let orders = match rng.u8(0..10) {
            0 => [Do::Work, Do::Panic, Do::Work],
            1 => [Do::Work, Do::Fail, Do::Work],
            2 => [Do::Work, Do::Stop, Do::Work],
            3 => {
                match rooms.terminate_child(child).await {
                    Ok(()) => stopped += 1,
                    Err(error) => {
                        assert_eq!(error, ChildError::NotFound, "RESTANTE_SEED={seed}");
                        missing += 1;
                    }
                }
                continue;
            }
            _ => [Do::Work, Do::Work, Do::Work],
        };
        sent += orders.into_iter().map(|order| u64::from(child.cast(order).is_ok())).sum::<u64>();
    }
    assert!(
        stopped > 1000 && missing > 100 && rooms.as_supervisor().restarts() > 1000,
        "RESTANTE_SEED={seed}"
    );
    until(|| counts_are_right(&rooms)).await;
    let report = rooms.as_supervisor().shutdown(Duration::from_secs(60)).await;
    assert!(report.abandoned.is_empty() && report.killed.is_empty(), "{report}; RESTANTE_SEED={seed}");
    assert_eq!((counts(&rooms), rooms.which_children().len()), ((0, 0), 0), "RESTANTE_SEED={seed}");
    let mut sum = Ledger::default();
    for child in &children {
        assert!(child.is_closed() && !child.is_alive(), "RESTANTE_SEED={seed}");
        sum += child.audit().expect("it is at rest");
    }
    // Orders to stop are messages too.
    assert!(sum.sent >= sent && sent > 50_000, "{sum}; RESTANTE_SEED={seed}");
    assert_eq!((sum.lost(), sum.queued, sum.in_hand), (0, 0, 0), "{sum}; RESTANTE_SEED={seed}");
    let begun = begun.load(Ordering::Relaxed);
    assert!(begun <= sent && begun + sum.dead_lettered >= sent, "{begun} of {sum}; RESTANTE_SEED={seed}");
    assert_eq!(
        rooms.as_supervisor().audit(),
        Some(sum),
        "what has gone is still counted; RESTANTE_SEED={seed}"
    );
}

/// Row G3: a million children at once; each does its work, none is forgotten when they are stopped together, and one of them is
/// found among the others.
#[tokio::test]
async fn a_million_children_are_up_at_once() {
    const CHILDREN: usize = 1_000_000;
    let rooms = DynamicSupervisor::new().max_children(CHILDREN).start().await.unwrap();
    let begun = Arc::new(AtomicU64::new(0));
    let mut some = Vec::new();
    for n in 0..CHILDREN {
        let child = rooms.start_new::<Unit>(Arc::clone(&begun)).await.unwrap();
        child.cast(Do::Work).unwrap();
        if n % 100_000 == 50_000 {
            some.push(child);
        }
    }
    assert_eq!((counts(&rooms), rooms.capacity().available), ((CHILDREN, CHILDREN), 0));
    let one_more = rooms.start_new::<Unit>(Arc::clone(&begun)).await;
    assert!(matches!(one_more, Err(StartChildError::MaxChildren { .. })), "{one_more:?}");
    until(|| begun.load(Ordering::Relaxed) == CHILDREN as u64).await;
    for child in &some {
        assert_eq!(child.call(|reply| reply).await, Ok(()));
        rooms.terminate_child(child).await.unwrap();
        assert!(child.is_closed());
    }
    let report = rooms.as_supervisor().shutdown(Duration::from_secs(600)).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.stopped, CHILDREN - some.len());
    assert_conserved!(rooms.as_supervisor());
}
