//! What OTP's `gen_server_SUITE` asserts of calls, casts, infos, continues and idle time-outs, in our terms: see
//! `otp_gen_server`.

use crate::otp_gen_server::{elsewhere, lab};
use crate::support::{Ask, LONG, Lab, Log, Note, Plan, Tell, ask, echo, law, say, settle, tell};
use restante_genserver::{
    CallError, ExitReason, Init, Next, Overflow, SendError, Server, ServerRef, cycle, start,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const HALF: Duration = Duration::from_millis(500);

/// Answers after so long, by a timer.
fn delayed(after: Duration) -> impl FnOnce(restante_genserver::Reply<u64>) -> Ask {
    ask(move |_, ctx, reply| {
        ctx.send_after(after, Note::Answer(reply));
        Box::pin(async { Ok(Next::go()) })
    })
}

/// A step that asks for an idle time-out.
fn idle(after: Duration) -> Tell {
    tell(move |_, _| Box::pin(async move { Ok(Next::idle_timeout(after)) }))
}

/// OTP `gen_server_SUITE`: `call`. An answer may come later than the handler's end; a limit holds for it, and one that is long
/// enough is not noticed.
#[tokio::test(start_paused = true)]
async fn a_delayed_answer_comes_within_its_limit_or_not() {
    let lab = lab().await;
    let millis = Duration::from_millis;
    assert_eq!(lab.call(delayed(millis(1))).await, Ok(77));
    assert_eq!(lab.call(delayed(millis(1))).timeout(millis(30)).await, Ok(77));
    assert_eq!(lab.call(delayed(millis(30))).timeout(millis(1)).await, Err(CallError::Timeout));
    settle().await;
    assert_eq!(lab.call(Ask::Total).await, Ok(0), "the late answer goes to no later call");
    law(&lab).await;
}

/// OTP `gen_server_SUITE`: `call` (two requests within a time). The second in time finds the server waiting for it; one too
/// late finds that the time is over.
#[tokio::test(start_paused = true)]
async fn two_calls_within_a_time() {
    for (pause, in_time) in [(HALF, true), (3 * HALF, false)] {
        let plan = Plan::default().on_timeout(|lab, _| {
            lab.total = 99;
            Box::pin(async { Ok(Next::go()) })
        });
        let lab = start::<Lab>(plan).await.unwrap();
        let within = ask(|_, _, reply| {
            reply.send(1);
            Box::pin(async { Ok(Next::idle_timeout(SECOND)) })
        });
        assert_eq!(lab.call(within).await, Ok(1));
        sleep(pause).await;
        assert_eq!(lab.call(Ask::Total).await == Ok(0), in_time);
        sleep(LONG).await;
        assert_eq!(lab.call(Ask::Total).await == Ok(0), in_time, "a message has ended it");
    }
}

/// OTP `gen_server_SUITE`: `calling_self`. A server that calls itself is told so at once, with any limit.
#[tokio::test(start_paused = true)]
async fn a_server_that_calls_itself_is_told() {
    let lab = lab().await;
    let began = Instant::now();
    for limit in [None, Some(Duration::MAX)] {
        let oops = ask(move |_, ctx, reply| {
            let me = ctx.server();
            Box::pin(async move {
                let call = me.call(Ask::Total);
                let result = match limit {
                    Some(limit) => call.timeout(limit).await,
                    None => call.await,
                };
                reply.send(u64::from(matches!(result, Err(CallError::Cycle { .. }))));
                Ok(Next::go())
            })
        });
        assert_eq!(lab.call(oops).await, Ok(1));
    }
    assert_eq!((began.elapsed(), cycle::waits()), (Duration::ZERO, 0));
}

/// OTP `gen_server_SUITE`: `call_remote1`, `call_remote2`, `call_remote3`, their nodes being runtimes: a server of another is
/// called like any, and when it has been killed its callers are told why, whatever their limit.
#[tokio::test]
async fn a_server_of_another_runtime_is_called_and_dies() {
    let (runtime, lab) = elsewhere().await;
    assert_eq!(lab.call(echo(1)).timeout(Duration::MAX).await, Ok(1));
    let waits = lab.send_request(Ask::Never);
    lab.kill();
    let killed = Err(CallError::Exited(ExitReason::Killed));
    assert_eq!(waits.wait_or_abandon(Duration::MAX).await, killed);
    assert_eq!(lab.call(echo(1)).timeout(Duration::MAX).await, killed);
    runtime.shutdown_background();
}

/// OTP `gen_server_SUITE`: `call_remote_n1`, `call_remote_n2`, `call_remote_n3`: when the other runtime has gone, so has its
/// server, and callers hear of it at once, whatever their limit.
#[tokio::test]
async fn a_server_goes_with_its_runtime() {
    let (runtime, lab) = elsewhere().await;
    assert_eq!(lab.call(echo(1)).await, Ok(1));
    let waits = lab.send_request(Ask::Never);
    tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
    let waited = waits.wait_or_abandon(Duration::MAX).await;
    assert!(matches!(waited, Err(CallError::Exited(_))), "{waited:?}");
    let called = lab.call(echo(1)).timeout(Duration::MAX).await;
    assert!(matches!(called, Err(CallError::Exited(_) | CallError::Closed)), "{called:?}");
}

/// OTP `gen_server_SUITE`: `cast`, `info`. One that is handled, one that is answered by a later tick, one that stops the
/// server.
#[tokio::test(start_paused = true)]
async fn casts_and_infos_are_handled_delayed_and_stop() {
    let plan = Plan::default();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    lab.cast(Tell::Say(1)).unwrap();
    lab.info(say("handled info")).unwrap();
    lab.cast(tell(|_, ctx| {
        ctx.send_after(Duration::from_millis(1), say("delayed"));
        Box::pin(async { Ok(Next::go()) })
    }))
    .unwrap();
    sleep(SECOND).await;
    assert_eq!(plan.log.take(), ["1", "handled info", "delayed"]);
    lab.cast(Tell::Stop(ExitReason::Normal)).unwrap();
    assert_eq!(lab.join().await.reason, ExitReason::Normal);
    assert_eq!(plan.log.take(), ["terminate: normal"]);
    law(&lab).await;
}

/// OTP `gen_server_SUITE`: `cast_fast`. A cast returns at once, however badly its server is off. Differs: it says so.
#[tokio::test(start_paused = true)]
async fn a_cast_returns_at_once() {
    let began = Instant::now();
    let stuck = Server::<Lab>::settings().capacity(1).overflow(Overflow::wait()).start(Plan::default());
    let stuck = stuck.await.unwrap();
    stuck.cast(tell(|_, _| Box::pin(std::future::pending()))).unwrap();
    settle().await;
    stuck.cast(Tell::Add(1)).unwrap();
    assert!(matches!(stuck.cast(Tell::Add(1)), Err(SendError::Full(Tell::Add(1)))));
    let unserved = Server::<Lab>::new("hopp");
    assert!(unserved.address().cast(Tell::Add(1)).is_ok(), "it waits for a server");
    let gone = lab().await;
    gone.kill();
    gone.join().await;
    assert!(matches!(gone.cast(Tell::Add(1)), Err(SendError::Closed(Tell::Add(1)))));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// Casts to itself first, so that it can be seen what comes before any message.
fn continues(lab: &Lab, ctx: &restante_genserver::Context<Lab>) -> Next {
    lab.log.push("asked");
    ctx.server().info(say("after")).unwrap();
    Next::then_continue()
}

/// OTP `gen_server_SUITE`: `continue`. It runs before all that waits, whichever callback asked for it; it may ask again, and may
/// stop the server.
#[tokio::test(start_paused = true)]
async fn a_continue_comes_before_all_that_waits() {
    let plan = Plan::default()
        .init(|plan, ctx| {
            let lab = Lab::new(plan);
            let _ = continues(&lab, ctx);
            Box::pin(async { Ok(Init::then_continue(lab)) })
        })
        .on_continue(|lab, _| {
            lab.log.push("continue");
            let again = lab.total > 0;
            lab.total = lab.total.saturating_sub(1);
            let stops = lab.kept.len() > 1;
            Box::pin(async move {
                match (stops, again) {
                    (true, _) => Ok(Next::stop()),
                    (_, true) => Ok(Next::then_continue()),
                    _ => Ok(Next::go()),
                }
            })
        });
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    settle().await;
    assert_eq!(plan.log.take(), ["asked", "continue", "after"], "from init");
    let replies = ask(|lab, ctx, reply| {
        let next = continues(lab, ctx);
        reply.send(1);
        Box::pin(async { Ok(next) })
    });
    assert_eq!(lab.call(replies).await, Ok(1));
    settle().await;
    assert_eq!(plan.log.take(), ["asked", "continue", "after"], "from a call with a reply");
    let mut kept = lab.send_request(ask(|lab, ctx, reply| {
        let next = continues(lab, ctx);
        lab.kept.push(reply);
        Box::pin(async { Ok(next) })
    }));
    settle().await;
    assert_eq!(plan.log.take(), ["asked", "continue", "after"], "from a call without one");
    assert_eq!(kept.check(), None);
    lab.cast(tell(|lab, ctx| {
        let next = continues(lab, ctx);
        lab.total = 2;
        Box::pin(async { Ok(next) })
    }))
    .unwrap();
    settle().await;
    assert_eq!(
        plan.log.take(),
        ["asked", "continue", "continue", "continue", "after"],
        "thrice, from a cast"
    );
    let second = lab.send_request(ask(|lab, _, reply| {
        lab.kept.push(reply);
        Box::pin(async { Ok(Next::then_continue()) })
    }));
    assert_eq!(second.await, Err(CallError::Exited(ExitReason::Normal)), "a continue may stop");
    assert_eq!(plan.log.take(), ["continue", "terminate: normal"]);
}

/// Whether a time-out of half a second fires, alone and when a message comes before its time.
async fn fires(lab: &ServerRef<Lab>, log: &Log, interrupted: bool) {
    let began = Instant::now();
    settle().await;
    if interrupted {
        sleep(HALF / 2).await;
        assert_eq!(lab.call(Ask::Total).await, Ok(0));
    }
    sleep(LONG).await;
    assert_eq!(log.take(), if interrupted { vec![] } else { vec!["timeout".to_owned()] });
    assert!(began.elapsed() >= LONG);
}

/// OTP `gen_server_SUITE`: `start_event_timeout`. A time-out that `init` asks for, itself or by a continue, fires in its time,
/// unless a message comes first. Differs: there it may also be told to outlive messages.
#[tokio::test(start_paused = true)]
async fn init_asks_for_a_timeout_itself_or_by_a_continue() {
    for interrupted in [false, true] {
        let plan =
            Plan::default().init(|plan, _| Box::pin(async { Ok(Init::idle_timeout(Lab::new(plan), HALF)) }));
        let lab = start::<Lab>(plan.clone()).await.unwrap();
        fires(&lab, &plan.log, interrupted).await;
        let plan = Plan::default()
            .init(|plan, _| Box::pin(async { Ok(Init::then_continue(Lab::new(plan))) }))
            .on_continue(|_, _| Box::pin(async { Ok(Next::idle_timeout(HALF)) }));
        let lab = start::<Lab>(plan.clone()).await.unwrap();
        fires(&lab, &plan.log, interrupted).await;
    }
}

/// OTP `gen_server_SUITE`: `start_event_timeout_zero`. Zero fires at once where nothing waits. Differs: what waits comes first,
/// and ends it, as with the plain time-out there.
#[tokio::test(start_paused = true)]
async fn init_asks_for_a_timeout_of_zero() {
    for waits in [false, true] {
        let plan = Plan::default().init(move |plan, ctx| {
            if waits {
                ctx.server().info(say("waits")).unwrap();
            }
            Box::pin(async { Ok(Init::idle_timeout(Lab::new(plan), Duration::ZERO)) })
        });
        let began = Instant::now();
        let lab = start::<Lab>(plan.clone()).await.unwrap();
        settle().await;
        assert_eq!(plan.log.take(), [if waits { "waits" } else { "timeout" }]);
        assert_eq!((lab.is_alive(), began.elapsed()), (true, Duration::ZERO));
    }
}

/// OTP `gen_server_SUITE`: `handle_event_timeout`. The same from a call, a cast, an info and a continue.
#[tokio::test(start_paused = true)]
async fn every_handler_may_ask_for_a_timeout() {
    for interrupted in [false, true] {
        let plan = Plan::default().on_continue(|_, _| Box::pin(async { Ok(Next::idle_timeout(HALF)) }));
        let lab = start::<Lab>(plan.clone()).await.unwrap();
        let by_call = ask(|_, _, reply| {
            reply.send(1);
            Box::pin(async { Ok(Next::idle_timeout(HALF)) })
        });
        assert_eq!(lab.call(by_call).await, Ok(1));
        fires(&lab, &plan.log, interrupted).await;
        lab.cast(idle(HALF)).unwrap();
        fires(&lab, &plan.log, interrupted).await;
        lab.cast(tell(|_, _| Box::pin(async { Ok(Next::then_continue()) }))).unwrap();
        fires(&lab, &plan.log, interrupted).await;
    }
}

/// OTP `gen_server_SUITE`: `handle_event_timeout_zero`. Zero from a handler fires before what comes afterwards.
#[tokio::test(start_paused = true)]
async fn a_timeout_of_zero_comes_before_what_comes_later() {
    let plan = Plan::default();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    lab.cast(idle(Duration::ZERO)).unwrap();
    settle().await;
    lab.cast(Tell::Say(1)).unwrap();
    let by_call = ask(|_, _, reply| {
        reply.send(1);
        Box::pin(async { Ok(Next::idle_timeout(Duration::ZERO)) })
    });
    settle().await;
    assert_eq!(lab.call(by_call).await, Ok(1));
    settle().await;
    lab.info(say("2")).unwrap();
    settle().await;
    assert_eq!(plan.log.take(), ["timeout", "1", "timeout", "2"]);
}

/// OTP `gen_server_SUITE`: `handle_event_timeout_plain`. A look at the server does not end its time-out, a request does.
/// Differs: nor does a look extend it.
#[tokio::test(start_paused = true)]
async fn a_look_does_not_end_a_timeout() {
    let plan = Plan::default();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    lab.cast(idle(HALF)).unwrap();
    settle().await;
    let began = Instant::now();
    for _ in 0..5 {
        sleep(Duration::from_millis(90)).await;
        law(&lab).await;
        let _ = (lab.stats(), lab.is_alive());
    }
    assert!(plan.log.take().is_empty());
    sleep(Duration::from_millis(60)).await;
    assert_eq!(plan.log.take(), ["timeout"]);
    assert!(began.elapsed() < 2 * HALF);
    lab.cast(idle(HALF)).unwrap();
    fires(&lab, &plan.log, true).await;
}
