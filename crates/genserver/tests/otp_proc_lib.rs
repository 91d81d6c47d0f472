//! What OTP's `proc_lib_SUITE` and Elixir's `GenServer` tests assert, in our terms: each test names the case that it answers
//! to, and says where our rule is another. (Of `proc_lib_SUITE`, `t_format` and `t_format_arbitrary` are about the layout of
//! printed reports, of which we have none.)

use crate::otp_gen_server::{child_of, inits, lab, traps};
use crate::support::{Ask, Gate, Heard, LONG, Lab, Plan, Tell, ask, echo, is_panic, listen, settle, tell};
use restante_genserver::monitor::Event;
use restante_genserver::{
    CallError, ExitReason, Init, Next, Phase, Server, StartError, StopError, cycle, multi_call, multi_cast,
    start, start_monitor,
};
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// OTP `proc_lib_SUITE`: `crash`. A report says what crashed, and of what; ends by shutdown make none.
#[tokio::test(start_paused = true)]
async fn a_report_says_what_crashed() {
    let heard = Heard::default();
    let _listens = listen(heard.clone());
    for (reason, report) in [
        (ExitReason::Shutdown, "DEBUG server ended"),
        (ExitReason::shutdown_with("a, b, c"), "DEBUG server ended"),
        (ExitReason::error("die"), "ERROR server crashed"),
    ] {
        let lab = lab().await;
        lab.cast(Tell::Stop(reason.clone())).unwrap();
        assert_eq!(lab.join().await.reason, reason);
        assert_eq!(heard.0.take(), [report], "{reason}");
    }
    let lab = lab().await;
    assert!(lab.call(Ask::Boom).await.is_err());
    let exit = lab.join().await;
    assert!(is_panic(&exit.reason, "boom"));
    assert_eq!((exit.phase, exit.message, exit.incarnation), (Phase::Call, Some("boom"), 1));
}

/// OTP `proc_lib_SUITE`: `stacktrace`. Each way of going wrong has a reason of its own kind, and the link carries it.
#[tokio::test(start_paused = true)]
async fn each_way_of_going_wrong_has_its_reason() {
    let plan = traps(Plan::default());
    let parent = start::<Lab>(plan.clone()).await.unwrap();
    let ball = tell(|_, _| Box::pin(async { std::panic::panic_any(7_u8) }));
    let missing = tell(|_, _| {
        Box::pin(async {
            std::fs::read("/nowhere/at/all")?;
            Ok(Next::go())
        })
    });
    for (end, starts, is_crash) in [
        (Tell::Boom, "exit: panic: boom", true),
        (ball, "exit: panic: ", true),
        (Tell::Fail, "exit: error: failed", true),
        (missing, "exit: error: ", true),
        (Tell::Stop(ExitReason::Shutdown), "exit: shutdown", false),
    ] {
        let child = child_of(&parent, Plan::default()).await.unwrap();
        child.cast(end).unwrap();
        let reason = child.join().await.reason;
        settle().await;
        let told = plan.log.take();
        assert!(told.len() == 1 && told[0].starts_with(starts), "{told:?}");
        assert_eq!(matches!(reason, ExitReason::Panic(_) | ExitReason::Error(_)), is_crash);
    }
}

/// OTP `proc_lib_SUITE`: `sync_start_nolink`, `sync_start_link`. A start returns when `init` has, and not before, linked or not.
#[tokio::test(start_paused = true)]
async fn a_start_waits_for_init() {
    for linked in [false, true] {
        let (entered, go) = (Gate::new(), Gate::new());
        let gates = (entered.clone(), go.clone());
        let waits = Plan::default().init(move |plan, _| {
            let gates = gates.clone();
            Box::pin(async move {
                gates.0.open();
                gates.1.pass().await;
                Ok(Init::ok(Lab::new(plan)))
            })
        });
        let parent = lab().await;
        let started = tokio::spawn(async move {
            if linked { child_of(&parent, waits).await } else { start::<Lab>(waits).await }
        });
        entered.pass().await;
        tokio::time::sleep(SECOND).await;
        assert!(!started.is_finished());
        go.open();
        assert!(started.await.unwrap().unwrap().is_alive());
    }
}

/// OTP `proc_lib_SUITE`: `spawn_opt`. How a server is to run is said at its start; what we have of it is the runtime.
#[test]
fn a_server_runs_where_it_is_told_to() {
    let runtime = |name: &str| {
        let builder = &mut tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).thread_name(name).enable_all().build().unwrap()
    };
    let (here, there) = (runtime("here"), runtime("there"));
    let settings = Server::<Lab>::settings()
        .runtime(there.handle().clone())
        .caller_runs(restante_genserver::CallerRuns::Never);
    let lab = here.block_on(settings.start(Plan::default())).unwrap();
    let where_am_i = ask(|_, _, reply| {
        reply.send(u64::from(std::thread::current().name() == Some("there")));
        Box::pin(async { Ok(Next::go()) })
    });
    assert_eq!(here.block_on(async { lab.call(where_am_i).await }), Ok(1));
}

/// OTP `proc_lib_SUITE`: `hibernate`. A server that sleeps wakes for a message with the state that it had; what goes wrong
/// then is told as ever.
#[tokio::test(start_paused = true)]
async fn a_sleeping_server_wakes_with_its_state() {
    let plan = Plan::default().init(|plan, _| Box::pin(async { Ok(Init::hibernate(Lab::new(plan))) }));
    let lab = start::<Lab>(plan).await.unwrap();
    lab.cast(Tell::Add(5)).unwrap();
    let sleeps = || tell(|_, _| Box::pin(async { Ok(Next::hibernate()) }));
    lab.cast(sleeps()).unwrap();
    tokio::time::sleep(LONG).await;
    assert_eq!(lab.call(Ask::Total).await, Ok(5));
    let asleep = ask(|lab, _, reply| {
        reply.send(lab.total);
        Box::pin(async { Ok(Next::hibernate()) })
    });
    assert_eq!(lab.call(asleep).await, Ok(5));
    lab.info(crate::support::say("wakes")).unwrap();
    settle().await;
    lab.cast(sleeps()).unwrap();
    settle().await;
    let Err(CallError::Exited(reason)) = lab.call(Ask::Boom).await else { panic!("answered") };
    assert!(is_panic(&reason, "boom"));
}

/// OTP `proc_lib_SUITE`: `otp_6345`. Differs: to start and to watch is one function, and no option that must be refused; who
/// ends before the start has returned is told of as well.
#[tokio::test(start_paused = true)]
async fn a_monitored_start_misses_no_end() {
    let stops = Plan::default().init(|plan, ctx| {
        ctx.server().cast(Tell::Stop(ExitReason::Shutdown)).unwrap();
        Box::pin(async { Ok(Init::ok(Lab::new(plan))) })
    });
    let (down, mut downs) = tokio::sync::mpsc::unbounded_channel();
    let (lab, _) = start_monitor::<Lab>(stops, move |event| down.send(event).unwrap()).await.unwrap();
    let Some(Event::Down(exit)) = downs.recv().await else { panic!("not told") };
    assert_eq!((exit.reason, lab.is_alive()), (ExitReason::Shutdown, false));
    assert_eq!(downs.recv().await, None, "and once");
}

/// OTP `proc_lib_SUITE`: `init_dont_hang`. An `init` that crashes is told to the starter, in the same words however it was
/// started, and keeps no starter waiting.
#[tokio::test(start_paused = true)]
async fn an_init_that_crashes_keeps_nobody_waiting() {
    let began = Instant::now();
    let bad = || inits(Duration::ZERO, || panic!("bad_init"));
    let parent = start::<Lab>(traps(Plan::default())).await.unwrap();
    let limited = Server::<Lab>::settings().start_timeout(SECOND);
    for failed in [
        start::<Lab>(bad()).await,
        child_of(&parent, bad()).await,
        limited.start(bad()).await,
        Server::<Lab>::new("named").start(bad()).await,
    ] {
        let Err(StartError::Failed(reason)) = failed else { panic!("started") };
        assert!(is_panic(&reason, "bad_init"));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(parent.is_alive());
}

/// OTP `proc_lib_SUITE`: `stop`. All that may come of it: ended as told, ended otherwise, not in time, no server there.
#[tokio::test(start_paused = true)]
async fn a_stop_tells_what_came_of_it() {
    let stopped = lab().await;
    assert_eq!(stopped.stop(ExitReason::Normal, Duration::MAX).await, Ok(()));
    assert_eq!(stopped.stop(ExitReason::Normal, Duration::MAX).await, Err(StopError::NotRunning));
    // It dies of something else while it is to stop.
    let dies = lab().await;
    let (entered, go) = (Gate::new(), Gate::new());
    let gates = (entered.clone(), go.clone());
    dies.cast(tell(move |_, _| {
        Box::pin(async move {
            gates.0.open();
            gates.1.pass().await;
            Err(ExitReason::error("die"))
        })
    }))
    .unwrap();
    entered.pass().await;
    let stop = tokio::spawn({
        let dies = dies.clone();
        async move { dies.stop(ExitReason::Normal, LONG).await }
    });
    settle().await;
    go.open();
    assert_eq!(stop.await.unwrap(), Err(StopError::Other(ExitReason::error("die"))));
    // It hangs.
    let hangs = lab().await;
    hangs.cast(tell(|_, _| Box::pin(std::future::pending()))).unwrap();
    settle().await;
    let began = Instant::now();
    assert_eq!(hangs.stop(ExitReason::Normal, SECOND).await, Err(StopError::Timeout));
    assert_eq!((began.elapsed(), hangs.is_alive()), (SECOND, true));
    // For another reason; and for none that it ends by.
    assert_eq!(lab().await.stop(ExitReason::error("other"), Duration::MAX).await, Ok(()));
    let crashes = Plan::default().end(|_, _, _| Box::pin(async { Err(ExitReason::error("badmatch")) }));
    let crashes = start::<Lab>(crashes).await.unwrap();
    let crashed = crashes.stop(ExitReason::error("crash"), Duration::MAX).await;
    assert_eq!(crashed, Err(StopError::Other(ExitReason::error("badmatch"))));
}

/// Elixir `GenServer`: `start_link/2, call/2 and cast/2`, `start/2`. A linked start binds, a plain one does not; call, cast
/// and stop are ok. Differs: a cast to a server that is not there says so.
#[tokio::test(start_paused = true)]
async fn a_linked_start_binds_and_a_plain_one_does_not() {
    let plan = traps(Plan::default());
    let parent = start::<Lab>(plan.clone()).await.unwrap();
    let (linked, plain) = (child_of(&parent, Plan::default()).await.unwrap(), lab().await);
    for (server, told) in [(linked, vec!["exit: normal".to_owned()]), (plain, vec![])] {
        assert_eq!(server.call(Ask::Total).await, Ok(0));
        assert!(server.cast(Tell::Add(4)).is_ok());
        assert_eq!(server.call(Ask::Total).await, Ok(4));
        assert_eq!(server.stop(ExitReason::Normal, LONG).await, Ok(()));
        settle().await;
        assert_eq!(plan.log.take(), told);
        assert!(server.cast(Tell::Add(4)).is_err());
    }
}

/// Elixir `GenServer`: `start_link/3 with local`, `nil name`. A name is given at the start, or there is none.
#[tokio::test(start_paused = true)]
async fn a_server_has_a_name_or_none() {
    let named = Server::<Lab>::settings().name("stack").start(Plan::default()).await.unwrap();
    assert_eq!((named.name(), named.call(Ask::Total).await), (Some("stack"), Ok(0)));
    assert_eq!(lab().await.name(), None);
}

/// Elixir `GenServer`: `call/3 exit messages`. Each way in which a call fails has words of its own, and a ring is named.
#[tokio::test(start_paused = true)]
async fn each_failure_of_a_call_has_words_of_its_own() {
    let named = Server::<Lab>::settings().name("self").start(Plan::default()).await.unwrap();
    let (tell_words, words) = tokio::sync::oneshot::channel();
    let asks_itself = tell(move |_, ctx| {
        let me = ctx.server();
        Box::pin(async move {
            let _ = tell_words.send(me.call(Ask::Total).await.unwrap_err().to_string());
            Ok(Next::go())
        })
    });
    named.cast(asks_itself).unwrap();
    assert_eq!(words.await.unwrap(), "the call would close a ring of waiting servers: self → self");
    let late = named.call(Ask::Keep).timeout(Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(late.to_string(), "no reply within the time allowed");
    let stopped = lab().await;
    stopped.stop(ExitReason::Normal, LONG).await.unwrap();
    assert_eq!(stopped.call(echo(1)).await.unwrap_err().to_string(), "the server ended: normal");
    let closed = Server::<Lab>::new("nobody").address();
    closed.close(ExitReason::Normal);
    assert_eq!(closed.call(echo(1)).await.unwrap_err().to_string(), "the mailbox is closed");
}

/// Elixir `GenServer`: `abcast/3`, `multi_call/4`. All that are there have it, or answer; those that are not are named.
#[tokio::test(start_paused = true)]
async fn those_that_are_there_have_it_and_the_others_are_named() {
    let (here, foo) = (lab().await, lab().await);
    foo.stop(ExitReason::Normal, LONG).await.unwrap();
    let both = [here.clone(), foo];
    assert!(multi_cast(&both[..1], || Tell::Add(1)).is_empty());
    let refused: Vec<usize> = multi_cast(&both, || Tell::Add(1)).into_iter().map(|(n, _)| n).collect();
    assert_eq!(refused, [1]);
    let all = multi_call(&both, LONG, Ask::Total).await;
    assert_eq!((all.replies, all.failures.len()), (vec![(0, 2)], 1));
}

/// Elixir `GenServer`: `whereis/1`. What one holds of a server that is not to be kept leads to it while it is there.
#[tokio::test(start_paused = true)]
async fn a_weak_reference_leads_to_who_is_there() {
    let lab = lab().await;
    let weak = lab.downgrade();
    assert!(weak.upgrade().is_some_and(|found| found.same_server(&lab)));
    drop(lab);
    settle().await;
    assert!(weak.upgrade().is_none());
}

/// Elixir `GenServer`: `stop/3`. Also from inside: a server that stops itself by a wait for its own end is told that it would
/// wait for itself, and goes on.
#[tokio::test(start_paused = true)]
async fn a_server_that_waits_for_its_own_end_is_told() {
    let (one, other) = (lab().await, lab().await);
    let began = Instant::now();
    let stops = |whom: Option<restante_genserver::ServerRef<Lab>>| {
        ask(move |_, ctx, reply| {
            let whom = whom.unwrap_or_else(|| ctx.server());
            Box::pin(async move {
                let stopped = whom.stop(ExitReason::Normal, Duration::MAX).await;
                reply.send(u64::from(matches!(stopped, Err(StopError::Cycle { .. }))));
                Ok(Next::go())
            })
        })
    };
    assert_eq!(one.call(stops(None)).await, Ok(1));
    assert!(one.is_alive());
    // One that waits for us; told through its mailbox, and on this stack.
    for runs in [restante_genserver::CallerRuns::Auto, restante_genserver::CallerRuns::Never] {
        let (whom, by) = (one.clone(), other.clone());
        let make = stops(Some(whom));
        let asked = one.call(ask(move |_, _, reply| {
            Box::pin(async move {
                reply.send(by.call(make).caller_runs(runs).await.unwrap_or(9));
                Ok(Next::go())
            })
        }));
        assert_eq!(asked.await, Ok(1));
    }
    assert_eq!((began.elapsed(), cycle::waits()), (Duration::ZERO, 0));
    // It may stop others, and tell itself without a wait.
    assert_eq!(other.call(stops(Some(one.clone()))).await, Ok(0));
    assert!(!one.is_alive());
    let tells_itself = ask(|_, ctx, reply| {
        let me = ctx.server();
        Box::pin(async move {
            let told = me.stop(ExitReason::Normal, Duration::ZERO).await;
            reply.send(u64::from(told == Err(StopError::Timeout)));
            Ok(Next::go())
        })
    });
    assert_eq!(other.call(tells_itself).await, Ok(1));
    assert_eq!(other.join().await.reason, ExitReason::Normal);
    assert_eq!(other.stop(ExitReason::Normal, LONG).await, Err(StopError::NotRunning));
}
