//! What OTP's `gen_server_SUITE` asserts of starting and ending, in our terms: each test names the case that it answers to,
//! and says where our rule is another. Cases about messages are in `otp_messages`, about requests and multi-calls in
//! `request` and `requests`.

use crate::support::{
    Ask, Heard, LONG, Lab, Note, Plan, Tell, ask, echo, is_panic, law, listen, settle, tell,
};
use restante_genserver::monitor::Event;
use restante_genserver::{
    CallError, ExitReason, Init, Next, Server, ServerRef, StartError, StopError, start, start_link,
    start_monitor,
};
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

pub(crate) async fn lab() -> ServerRef<Lab> {
    start::<Lab>(Plan::default()).await.unwrap()
}

/// A plan that traps exits: they are logged.
pub(crate) fn traps(plan: Plan) -> Plan {
    plan.init(|plan, ctx| {
        ctx.trap_exit(Note::Exit);
        Box::pin(async { Ok(Init::ok(Lab::new(plan))) })
    })
}

/// An `init` of this outcome, after so long.
pub(crate) fn inits(
    after: Duration,
    outcome: impl Fn() -> Result<(), ExitReason> + Send + Sync + 'static,
) -> Plan {
    let outcome = std::sync::Arc::new(outcome);
    Plan::default().init(move |plan, _| {
        let outcome = std::sync::Arc::clone(&outcome);
        Box::pin(async move {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            outcome().map(|()| Init::ok(Lab::new(plan)))
        })
    })
}

/// A call that is answered, and whose server stops then for this reason.
fn stop_by_call(reason: ExitReason) -> impl FnOnce(restante_genserver::Reply<u64>) -> Ask {
    ask(move |_, _, reply| {
        reply.send(0);
        Box::pin(async move { Ok(Next::stop_with(reason)) })
    })
}

/// Starts a child that is linked with a server that traps exits; what that logged, and the outcome.
pub(crate) async fn child_of(parent: &ServerRef<Lab>, plan: Plan) -> Result<ServerRef<Lab>, StartError> {
    let (tell_child, child) = tokio::sync::oneshot::channel();
    let job = tell(move |_, ctx| {
        Box::pin(async move {
            let _ = tell_child.send(start_link::<Lab, Lab>(plan, ctx).await);
            Ok(Next::go())
        })
    });
    parent.cast(job).unwrap();
    child.await.unwrap()
}

/// OTP `gen_server_SUITE`: `start` (anonymous). The server is there when the start returns, and answers no more when it has
/// stopped.
#[tokio::test(start_paused = true)]
async fn a_started_server_answers_until_it_stops() {
    let lab = lab().await;
    assert_eq!(lab.call(Ask::Total).await, Ok(0));
    assert_eq!(lab.call(stop_by_call(ExitReason::Normal)).await, Ok(0));
    lab.join().await;
    let began = Instant::now();
    let gone = lab.call(Ask::Total).timeout(Duration::MAX).await;
    assert_eq!(gone, Err(CallError::Exited(ExitReason::Normal)));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// OTP `gen_server_SUITE`: `start` (with a time-out). An `init` within the limit is a start; one beyond it is a time-out,
/// after just that limit.
#[tokio::test(start_paused = true)]
async fn a_start_keeps_its_limit() {
    let limited = || Server::<Lab>::settings().start_timeout(SECOND);
    let lab = limited().start(inits(Duration::from_millis(900), || Ok(()))).await.unwrap();
    assert_eq!(lab.call(Ask::Total).await, Ok(0));
    let began = Instant::now();
    let late = limited().start(inits(LONG, || Ok(()))).await;
    assert_eq!((late.unwrap_err(), began.elapsed()), (StartError::Timeout, SECOND));
}

/// OTP `gen_server_SUITE`: `start` (ignore, error, stop). Three ways to have no server, told apart.
#[tokio::test(start_paused = true)]
async fn a_start_says_why_there_is_no_server() {
    let ignore = Plan::default().init(|_, _| Box::pin(async { Ok(Init::ignore()) }));
    assert_eq!(start::<Lab>(ignore).await.unwrap_err(), StartError::Ignored);
    let quiet =
        Plan::default().init(|_, _| Box::pin(async { Ok(Init::stop_quietly(ExitReason::error("foobar"))) }));
    let failed = |text: &str| StartError::Failed(ExitReason::error(text));
    assert_eq!(start::<Lab>(quiet).await.unwrap_err(), failed("foobar"));
    let loud = inits(Duration::ZERO, || Err(ExitReason::error("stopped")));
    assert_eq!(start::<Lab>(loud).await.unwrap_err(), failed("stopped"));
}

/// OTP `gen_server_SUITE`: `start` (linked, monitored). The end is told to the linked server and to the watcher, with its
/// reason, once, and nothing else is.
#[tokio::test(start_paused = true)]
async fn a_linked_or_monitored_start_tells_of_the_end() {
    let plan = traps(Plan::default());
    let parent = start::<Lab>(plan.clone()).await.unwrap();
    let child = child_of(&parent, Plan::default()).await.unwrap();
    assert_eq!(child.call(stop_by_call(ExitReason::error("stopped"))).await, Ok(0));
    child.join().await;
    settle().await;
    assert_eq!(plan.log.take(), ["exit: error: stopped"]);
    let (down, mut downs) = tokio::sync::mpsc::unbounded_channel();
    let (lab, _) =
        start_monitor::<Lab>(Plan::default(), move |event| down.send(event).unwrap()).await.unwrap();
    assert_eq!(lab.call(stop_by_call(ExitReason::error("stopped"))).await, Ok(0));
    let Some(Event::Down(exit)) = downs.recv().await else { panic!("not told") };
    assert_eq!(exit.reason, ExitReason::error("stopped"));
    assert_eq!(downs.recv().await, None);
}

/// OTP `gen_server_SUITE`: `start` (registered), `otp_5854`. Who has a name already keeps it: a second start is refused, and
/// the first goes on. Here the name is the mailbox.
#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_read_refuses_a_second_server() {
    let mailbox = Server::<Lab>::new("my_test_name");
    let lab = mailbox.start(Plan::default()).await.unwrap();
    lab.cast(Tell::Add(3)).unwrap();
    for _ in 0..3 {
        assert_eq!(mailbox.start(Plan::default()).await.unwrap_err(), StartError::AlreadyStarted);
    }
    assert_eq!(lab.call(Ask::Total).await, Ok(3), "the state is the first one's");
    assert_eq!(lab.call(stop_by_call(ExitReason::Normal)).await, Ok(0));
    lab.join().await;
    assert_eq!(mailbox.start(Plan::default()).await.map(|lab| lab.incarnation()), Ok(2), "it is free again");
    law(&lab).await;
}

/// OTP `gen_server_SUITE`: `stop1`, `stop2`. A stop is ok when the server has ended for that reason, whichever, and says so
/// when there is none.
#[tokio::test(start_paused = true)]
async fn a_stop_returns_when_the_server_has_ended() {
    for reason in [ExitReason::Normal, ExitReason::error("other"), ExitReason::shutdown_with("why")] {
        let lab = lab().await;
        assert_eq!(lab.stop(reason.clone(), Duration::MAX).await, Ok(()));
        assert!(!lab.is_alive());
        assert_eq!(lab.last_exit().unwrap().reason, reason);
        assert_eq!(lab.stop(ExitReason::Normal, Duration::MAX).await, Err(StopError::NotRunning));
    }
}

/// OTP `gen_server_SUITE`: `stop3`. Differs: a limit cannot be bad here; one that is over leaves the order standing, and the
/// server ends for that reason, and for no later one.
#[tokio::test(start_paused = true)]
async fn a_stop_that_waits_for_nothing_is_an_order() {
    let lab = lab().await;
    assert_eq!(lab.stop(ExitReason::error("first"), Duration::ZERO).await, Err(StopError::Timeout));
    let later = lab.stop(ExitReason::Normal, SECOND).await;
    assert_eq!(later, Err(StopError::Other(ExitReason::error("first"))));
    assert!(!lab.is_alive());
}

/// OTP `gen_server_SUITE`: `stop4`. By its name, which is its mailbox: whichever incarnation reads it is the one that stops.
#[tokio::test(start_paused = true)]
async fn a_stop_by_the_mailbox_ends_whoever_reads_it() {
    let mailbox = Server::<Lab>::new("to_stop");
    for incarnation in 1..4 {
        assert_eq!(mailbox.address().stop(ExitReason::Normal, SECOND).await, Err(StopError::NotRunning));
        mailbox.start(Plan::default()).await.unwrap();
        assert_eq!(mailbox.address().stop(ExitReason::Normal, SECOND).await, Ok(()));
        assert_eq!(mailbox.address().last_exit().unwrap().incarnation, incarnation);
    }
}

/// A server in a runtime of its own.
pub(crate) async fn elsewhere() -> (tokio::runtime::Runtime, ServerRef<Lab>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let lab = runtime.spawn(lab()).await.unwrap();
    (runtime, lab)
}

/// OTP `gen_server_SUITE`: `stop8`, `stop9`, `stop10`, their nodes being runtimes: a server of another is stopped like any;
/// when its runtime has gone there is none to stop.
#[tokio::test]
async fn a_stop_reaches_into_another_runtime() {
    let (runtime, lab) = elsewhere().await;
    assert_eq!(lab.stop(ExitReason::Normal, LONG).await, Ok(()));
    assert_eq!(lab.stop(ExitReason::Normal, LONG).await, Err(StopError::NotRunning));
    runtime.shutdown_background();
    assert_eq!(lab.stop(ExitReason::Normal, LONG).await, Err(StopError::NotRunning));
    let (runtime, lab) = elsewhere().await;
    // Spoken to, it has a task there that goes with the runtime: one without a task ends at its next wake-up, clause 15.3.
    assert_eq!(lab.call(Ask::Total).await, Ok(0));
    tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
    assert_eq!(lab.join().await.reason, ExitReason::Killed);
    assert_eq!(lab.stop(ExitReason::Normal, LONG).await, Err(StopError::NotRunning));
}

/// OTP `gen_server_SUITE`: `crash`. Ends by shutdown, whatever causes them, are told to callers and links and make no report;
/// a crash makes one.
#[tokio::test(start_paused = true)]
async fn a_shutdown_makes_no_report_and_a_crash_makes_one() {
    let heard = Heard::default();
    let _listens = listen(heard.clone());
    let plan = traps(Plan::default());
    let parent = start::<Lab>(plan.clone()).await.unwrap();
    let shutdowns = [ExitReason::shutdown_with("reason"), ExitReason::Shutdown];
    for (reason, by_error) in shutdowns.into_iter().flat_map(|r| [(r.clone(), true), (r, false)]) {
        let child = child_of(&parent, Plan::default()).await.unwrap();
        let end = reason.clone();
        let ends = ask(move |_, _, reply| {
            drop(reply);
            Box::pin(async move { if by_error { Err(end) } else { Ok(Next::stop_with(end)) } })
        });
        assert_eq!(child.call(ends).await, Err(CallError::Exited(reason.clone())));
        settle().await;
        assert_eq!(plan.log.take(), [format!("exit: {reason}")]);
        assert_eq!(heard.0.take(), ["DEBUG server ended"], "{reason}, {by_error}");
    }
    let crashes = lab().await;
    let Err(CallError::Exited(reason)) = crashes.call(Ask::Boom).await else { panic!("answered") };
    assert!(is_panic(&reason, "boom"));
    // The caller hears before the end is reported.
    crashes.join().await;
    assert_eq!(heard.0.take(), ["ERROR server crashed"], "one, and not two");
}

/// OTP `gen_server_SUITE`: `loop_start_fail`. Starts that fail, again and again, each in the same way, however started: with a
/// link or a monitor, only the start tells of an end.
#[tokio::test(start_paused = true)]
async fn starts_that_fail_again_and_again_leave_nothing() {
    let plan = traps(Plan::default());
    let parent = start::<Lab>(plan.clone()).await.unwrap();
    let ignore = || Plan::default().init(|_, _| Box::pin(async { Ok(Init::ignore()) }));
    let stops = || inits(Duration::ZERO, || Err(ExitReason::error("failed_to_start")));
    let panics = || inits(Duration::ZERO, || panic!("bailout"));
    let later = || inits(SECOND, || Err(ExitReason::error("bailout")));
    let is_right = |n: usize, error: &StartError| match (n, error) {
        (0, StartError::Ignored) => true,
        (1, StartError::Failed(r)) => *r == ExitReason::error("failed_to_start"),
        (2, StartError::Failed(r)) => is_panic(r, "bailout"),
        (3, StartError::Failed(r)) => *r == ExitReason::error("bailout"),
        _ => false,
    };
    for _ in 0..5 {
        for (n, plan) in [ignore(), stops(), panics(), later()].into_iter().enumerate() {
            let error = start::<Lab>(plan.clone()).await.unwrap_err();
            assert!(is_right(n, &error), "{error}");
            let error = child_of(&parent, plan.clone()).await.unwrap_err();
            assert!(is_right(n, &error), "{error}");
            let (down, mut downs) = tokio::sync::mpsc::unbounded_channel();
            let notify = move |event: Event| down.send(event).unwrap();
            let error = start_monitor::<Lab>(plan, notify).await.unwrap_err();
            assert!(is_right(n, &error), "{error}");
            assert_eq!(downs.recv().await, None);
        }
        let slow = Server::<Lab>::settings().start_timeout(SECOND / 5);
        assert_eq!(slow.start(later()).await.unwrap_err(), StartError::Timeout);
    }
    settle().await;
    assert!(parent.is_alive() && plan.log.take().is_empty());
}

/// OTP `gen_server_SUITE`: `otp_7669`. When the start has said that there is no server, its name is free, every time; here
/// the name is the mailbox.
#[tokio::test(start_paused = true)]
async fn a_failed_start_gives_the_mailbox_back() {
    let mailbox = Server::<Lab>::new("free");
    for n in 0..100 {
        let plan = match n % 3 {
            0 => Plan::default().init(|_, _| Box::pin(async { Ok(Init::ignore()) })),
            1 => inits(Duration::ZERO, || Err(ExitReason::error("stopped"))),
            _ => inits(Duration::from_millis(1), || Err(ExitReason::error("stopped"))),
        };
        assert!(mailbox.start(plan).await.is_err());
        assert!(!mailbox.address().is_alive());
    }
    assert_eq!(mailbox.start(Plan::default()).await.map(|lab| lab.incarnation()), Ok(101));
}

/// OTP `gen_server_SUITE`: `spec_init`. A server with a first phase of its own: it has a name, and takes messages, before it
/// begins to serve. Differs: what stands for the name is a mailbox, so that no server can serve under another's.
#[tokio::test(start_paused = true)]
async fn a_mailbox_may_be_there_before_its_server() {
    let mailbox = Server::<Lab>::new("my_server");
    let lab = mailbox.address();
    let mut early = lab.send_request(Ask::Total);
    lab.cast(Tell::Add(1)).unwrap();
    settle().await;
    assert_eq!(early.check(), None);
    mailbox.start(Plan::default()).await.unwrap();
    assert_eq!(early.await, Ok(0), "served in order");
    assert_eq!(lab.call(Ask::Total).await, Ok(1));
}

/// OTP `gen_server_SUITE`: `spec_init_local_registered_parent`, `spec_init_global_registered_parent`. `terminate` runs at a
/// stop, whatever name the parent has.
#[tokio::test(start_paused = true)]
async fn a_child_of_a_named_parent_terminates() {
    let parents = Server::<Lab>::new("foobar");
    let parent = parents.start(traps(Plan::default())).await.unwrap();
    let plan = Plan::default();
    let child = child_of(&parent, plan.clone()).await.unwrap();
    child.cast(Tell::Stop(ExitReason::Normal)).unwrap();
    child.join().await;
    assert_eq!(plan.log.take(), ["terminate: normal"]);
}

/// OTP `gen_server_SUITE`: `undef_terminate1`, `undef_terminate2`. A server without a `terminate` of its own ends for the
/// reason that it is given.
#[tokio::test(start_paused = true)]
async fn a_server_without_terminate_ends_as_told() {
    for reason in [ExitReason::Normal, ExitReason::error("test")] {
        let bare = start::<Bare>(false).await.unwrap();
        assert_eq!(bare.stop(reason.clone(), Duration::MAX).await, Ok(()));
        assert_eq!(bare.join().await.reason, reason);
    }
}

/// OTP `gen_server_SUITE`: `undef_in_terminate`. What goes wrong in `terminate` is the reason of the end, and who stops the
/// server hears it.
#[tokio::test(start_paused = true)]
async fn what_goes_wrong_in_terminate_is_the_reason() {
    let plan = Plan::default().end(|_, _, _| Box::pin(async { panic!("undef") }));
    let lab = start::<Lab>(plan).await.unwrap();
    let Err(StopError::Other(reason)) = lab.stop(ExitReason::Normal, LONG).await else { panic!("ok") };
    assert!(is_panic(&reason, "undef"));
}

/// A server with no more than it must have.
struct Bare;

impl restante_genserver::GenServer for Bare {
    type Args = bool;
    type Call = restante_genserver::Reply<u64>;
    type Cast = u64;
    type Info = u64;

    async fn init(
        continues: &bool,
        _: &mut restante_genserver::Context<Self>,
    ) -> Result<Init<Self>, ExitReason> {
        Ok(if *continues { Init::then_continue(Self) } else { Init::ok(Self) })
    }

    async fn handle_call(
        &mut self,
        reply: Self::Call,
        _: &mut restante_genserver::Context<Self>,
    ) -> restante_genserver::Step {
        reply.send(1);
        Ok(Next::go())
    }
}

/// OTP `gen_server_SUITE`: `undef_handle_info`, `undef_handle_cast`, `undef_handle_continue`. What the server has no handler for
/// is logged, and it goes on. Differs for a cast and a continue, at which it crashes there; `undef_handle_call` and `undef_init`
/// are errors of the compiler's.
#[tokio::test(start_paused = true)]
async fn what_has_no_handler_is_logged() {
    let heard = Heard::default();
    let _listens = listen(heard.clone());
    let bare = start::<Bare>(true).await.unwrap();
    bare.info(1).unwrap();
    bare.cast(1).unwrap();
    assert_eq!(bare.call(|reply| reply).await, Ok(1));
    assert!(bare.is_alive());
    assert_eq!(
        heard.0.take(),
        [
            "WARN an info that the server does not handle (info)",
            "WARN a cast that the server does not handle (cast)"
        ]
    );
}

/// OTP `gen_server_SUITE`: `undef_in_handle_info`. What goes wrong inside a handler is a crash, and is not taken for a handler
/// that is missing.
#[tokio::test(start_paused = true)]
async fn what_goes_wrong_in_handle_info_is_a_crash() {
    let (down, mut downs) = tokio::sync::mpsc::unbounded_channel();
    let (lab, _) =
        start_monitor::<Lab>(Plan::default(), move |event| down.send(event).unwrap()).await.unwrap();
    lab.info(Note::Boom).unwrap();
    let Some(Event::Down(exit)) = downs.recv().await else { panic!("not told") };
    assert!(is_panic(&exit.reason, "boom"));
    assert_eq!(lab.call(echo(1)).await.map_err(|e| matches!(e, CallError::Exited(_))), Err(true));
}
