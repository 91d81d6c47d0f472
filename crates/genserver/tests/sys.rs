//! What operators may ask of a live server: `sys`.

use crate::support::{Ask, Gate, LONG, Lab, Plan, Rude, Tell, echo, is_panic, law, pass, say, settle, tell};
use restante_core::Phase;
use restante_genserver::sys::{Moment, Peeked};
use restante_genserver::{
    CallError, Context, Every, ExitReason, GenServer, Init, Lane, Next, Reply, SendOptions, Server,
    ServerRef, Step, StopError, SysError, start,
};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

async fn lab() -> (ServerRef<Lab>, Plan) {
    let plan = Plan::default();
    (start::<Lab>(plan.clone()).await.unwrap(), plan)
}

/// A server whose handler waits until the gate opens, with a mailbox of `capacity` that is full behind it.
async fn stuck(capacity: usize) -> (ServerRef<Lab>, Plan, Gate) {
    let plan = Plan::default();
    let lab = Server::<Lab>::settings().capacity(capacity).start(plan.clone()).await.unwrap();
    let (entered, go) = (Gate::new(), Gate::new());
    let call = pass(&entered, &go);
    let caller = lab.clone();
    tokio::spawn(async move { caller.call(call).timeout(Duration::MAX).await });
    entered.pass().await;
    for n in 0..capacity as u64 {
        lab.cast(Tell::Say(n)).unwrap();
    }
    lab.cast(Tell::Say(99)).unwrap_err();
    (lab, plan, go)
}

/// Row G6, clause 23.2. OTP `gen_server_SUITE`: `get_state`.
#[tokio::test(start_paused = true)]
async fn a_closure_looks_at_the_state_between_two_messages() {
    let (lab, _) = lab().await;
    lab.cast(Tell::Add(40)).unwrap();
    lab.cast(Tell::Add(2)).unwrap();
    let seen = lab.sys().get_state(|lab| lab.total).await;
    // Before what was queued, or after some of it: never in the middle of a handler.
    assert!(matches!(seen, Ok(0 | 40 | 42)), "{seen:?}");
    assert_eq!(lab.call(Ask::Total).await, Ok(42));
    assert_eq!(lab.sys().get_state(|lab| lab.total).await, Ok(42));
}

/// Row G6, clause 23.3. OTP `gen_server_SUITE`: `replace_state`.
#[tokio::test(start_paused = true)]
async fn a_closure_replaces_the_state() {
    let (lab, plan) = lab().await;
    lab.cast(Tell::Add(5)).unwrap();
    let sys = lab.sys();
    let (fresh, again) = (plan.clone(), plan.clone());
    sys.replace_state(move |old| Ok(Lab { total: old.total + 7, ..Lab::new(&fresh) })).await.unwrap();
    assert_eq!(sys.get_state(|lab| lab.total).await, Ok(12));
    // One that fails changes nothing, whichever way it fails.
    let failed = sys.replace_state(|_| Err(ExitReason::error("no"))).await;
    assert!(
        matches!(&failed, Err(SysError::Failed(reason)) if reason.to_string().contains("no")),
        "{failed:?}"
    );
    let failed = sys.replace_state(|_| panic!("oops")).await;
    assert!(matches!(&failed, Err(SysError::Failed(reason)) if is_panic(reason, "oops")), "{failed:?}");
    let failed = sys.get_state(|_| -> u8 { panic!("ah") }).await;
    assert!(matches!(&failed, Err(SysError::Failed(reason)) if is_panic(reason, "ah")), "{failed:?}");
    assert_eq!(lab.call(Ask::Total).await, Ok(12));
    // An old state that panics in its drop is dropped all the same.
    lab.cast(tell(|lab, _| {
        lab.things.push(Box::new(Rude));
        Box::pin(async { Ok(Next::go()) })
    }))
    .unwrap();
    settle().await;
    sys.replace_state(move |_| Ok(Lab { total: 1, ..Lab::new(&again) })).await.unwrap();
    assert_eq!(lab.call(Ask::Total).await, Ok(1));
    assert_eq!(lab.incarnation(), 1);
}

/// Row G6, clause 23.2. OTP `sys_SUITE`: `suspend` (state is served while suspended).
#[tokio::test(start_paused = true)]
async fn state_verbs_are_obeyed_while_suspended() {
    let (lab, plan) = lab().await;
    assert!(lab.sys().suspend());
    let fresh = plan.clone();
    lab.sys().replace_state(move |_| Ok(Lab { total: 9, ..Lab::new(&fresh) })).await.unwrap();
    assert_eq!(lab.sys().get_state(|lab| lab.total).await, Ok(9));
    assert!(lab.sys().status().suspended);
    lab.sys().resume();
    assert_eq!(lab.call(Ask::Total).await, Ok(9));
}

/// Row G6, clause 23.4. OTP `sys_SUITE`: `suspend`; Elixir's `GenServer`: a suspended server answers no calls.
#[tokio::test(start_paused = true)]
async fn a_suspended_server_handles_nothing_until_it_is_resumed() {
    let (lab, plan) = lab().await;
    assert!(lab.sys().suspend());
    assert!(!lab.sys().suspend(), "twice is once");
    lab.cast(Tell::Say(1)).unwrap();
    lab.info(say("2")).unwrap();
    lab.cast_with(Tell::Say(0), SendOptions::new().lane(Lane::Control)).unwrap();
    let late = lab.call(echo(3)).timeout(Duration::from_secs(1)).await;
    assert_eq!(late, Err(CallError::Timeout));
    let caller = lab.clone();
    let waits = tokio::spawn(async move { caller.call(echo(4)).timeout(Duration::MAX).await });
    settle().await;
    assert_eq!((plan.log.len(), lab.sys().message_queue_len()), (0, 5));
    assert!(lab.sys().resume());
    assert!(!lab.sys().resume());
    assert_eq!(waits.await.unwrap(), Ok(4));
    // The call that was not waited for any more was skipped.
    assert_eq!(plan.log.take(), ["0", "1", "2", "4"]);
    assert_eq!(law(&lab).await.expired + law(&lab).await.cancelled, 1);
}

/// Clause 23.4: nothing wakes a suspended server again and again, and nothing of a backlog is lost.
#[tokio::test(start_paused = true)]
async fn a_suspended_server_sleeps() {
    let (lab, plan) = lab().await;
    lab.sys().suspend();
    for n in 0..500 {
        lab.cast(Tell::Say(n)).unwrap();
        if n % 100 == 0 {
            settle().await;
        }
    }
    // A paused clock moves on only while nothing is ready to run.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(plan.log.len(), 0);
    lab.sys().resume();
    lab.call(echo(500)).await.unwrap();
    assert_eq!(plan.log.take(), (0..=500).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// Clause 23.4: timers and the idle time-out wait as well, and are not lost.
#[tokio::test(start_paused = true)]
async fn timers_wait_while_suspended() {
    let plan = Plan::default().init(|plan, ctx| {
        ctx.send_after(Duration::from_secs(1), say("once"));
        ctx.send_every(Every::FixedRate(Duration::from_secs(10)), || say("tick"));
        Box::pin(async { Ok(Init::idle_timeout(Lab::new(plan), Duration::from_secs(2))) })
    });
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    lab.sys().suspend();
    tokio::time::sleep(Duration::from_secs(35)).await;
    assert_eq!(plan.log.take(), [""; 0]);
    lab.sys().resume();
    settle().await;
    // What is due comes once, and the rate keeps its grid.
    assert_eq!(plan.log.take(), ["once", "tick", "timeout"]);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(plan.log.take(), ["tick"]);
}

/// Clause 23.4: orders to stop, kills and the exits of linked servers that are not trapped come through.
#[tokio::test(start_paused = true)]
async fn a_suspended_server_can_be_ended() {
    let (stopped, plan) = lab().await;
    stopped.sys().suspend();
    stopped.cast(Tell::Say(1)).unwrap();
    stopped.stop(ExitReason::Shutdown, LONG).await.unwrap();
    assert_eq!(plan.log.take(), ["terminate: shutdown"]);
    let (killed, plan) = lab().await;
    killed.sys().suspend();
    settle().await;
    assert!(killed.kill());
    assert_eq!(killed.join().await.reason, ExitReason::Killed);
    assert_eq!(plan.log.take(), [""; 0]);
    let (linked, _) = lab().await;
    let (other, _) = lab().await;
    restante_genserver::link(&linked, &other);
    linked.sys().suspend();
    settle().await;
    other.cast(Tell::Fail).unwrap();
    assert_eq!(linked.join().await.reason, ExitReason::error("failed"));
}

/// Clause 23.4. OTP `sys_SUITE`: `special_process`, its end; the order does not wait for `resume`.
#[tokio::test(start_paused = true)]
async fn terminate_ends_a_server_suspended_or_not() {
    for suspended in [false, true] {
        let (lab, plan) = lab().await;
        if suspended {
            lab.sys().suspend();
        }
        lab.sys().terminate(ExitReason::shutdown_with("by hand")).await.unwrap();
        assert_eq!(plan.log.take(), ["terminate: shutdown: by hand"]);
        assert_eq!(lab.sys().terminate(ExitReason::Normal).await, Err(StopError::NotRunning));
    }
    let (lab, _, go) = stuck(4).await;
    let late = lab.sys().timeout(Duration::from_secs(1)).terminate(ExitReason::Normal).await;
    assert_eq!(late, Err(StopError::Timeout));
    go.open();
    assert_eq!(lab.join().await.reason, ExitReason::Normal);
}

/// Clause 23.5: the suspension is the mailbox's: it outlives a crash, and the next incarnation's `init` and `handle_continue`
/// run.
#[tokio::test(start_paused = true)]
async fn a_suspension_outlives_a_crash() {
    let plan = Plan::default()
        .init(|plan, _| {
            plan.log.push("init");
            Box::pin(async { Ok(Init::then_continue(Lab::new(plan))) })
        })
        .on_continue(|lab, _| {
            lab.log.push("continue");
            Box::pin(async { Ok(Next::go()) })
        });
    let server = Server::<Lab>::new("held");
    let lab = server.start(plan.clone()).await.unwrap();
    settle().await;
    lab.sys().suspend();
    lab.cast(Tell::Say(1)).unwrap();
    lab.kill();
    lab.join().await;
    assert!(lab.sys().status().suspended && !lab.sys().status().running);
    server.start(plan.clone()).await.unwrap();
    settle().await;
    assert_eq!(plan.log.take(), ["init", "continue", "init", "continue"]);
    lab.sys().resume();
    lab.call(echo(2)).await.unwrap();
    assert_eq!(plan.log.take(), ["1", "2"]);
    // And so does its end.
    lab.sys().suspend();
    lab.kill();
    lab.join().await;
    lab.sys().resume();
    server.start(plan.clone()).await.unwrap();
    assert_eq!(lab.call(echo(3)).await, Ok(3));
    law(&lab).await;
}

/// Clause 23.5: no operator may be left to resume it.
#[tokio::test(start_paused = true)]
async fn closing_a_suspended_mailbox_drains_it() {
    let (lab, plan) = lab().await;
    lab.sys().suspend();
    lab.cast(Tell::Say(1)).unwrap();
    settle().await;
    drop(lab);
    settle().await;
    assert_eq!(plan.log.take(), ["1", "terminate: normal"]);
}

/// Clause 23.4: a server can be suspended before it is started.
#[tokio::test(start_paused = true)]
async fn a_mailbox_is_suspended_before_anybody_reads_it() {
    let server = Server::<Lab>::new("early");
    let lab = server.address();
    lab.sys().suspend();
    lab.cast(Tell::Say(1)).unwrap();
    let plan = Plan::default();
    server.start(plan.clone()).await.unwrap();
    settle().await;
    assert_eq!(plan.log.len(), 0);
    lab.sys().resume();
    lab.call(echo(2)).await.unwrap();
    assert_eq!(plan.log.take(), ["1", "2"]);
}

/// Row G6, D8, clause 23.1: with a full mailbox and a handler that waits, mailbox verbs are answered at once: no await in
/// them.
#[tokio::test(start_paused = true)]
async fn mailbox_verbs_do_not_wait_for_a_handler() {
    let (lab, plan, go) = stuck(8).await;
    let sys = lab.sys();
    let status = sys.status();
    assert!(status.running && !status.suspended);
    let now = status.in_hand.unwrap();
    assert_eq!((now.phase, now.name), (Phase::Call, "ask"));
    assert!(now.since.is_some(), "it waits for something");
    assert_eq!(sys.message_queue_len(), 8);
    assert_eq!(sys.frequencies(), BTreeMap::from([("tell", 8)]));
    let peek = sys.peek(3);
    assert_eq!((peek.messages.len(), peek.more, peek.partial), (3, 5, false));
    assert!(peek.messages.iter().all(|m: &Peeked| m.name == "tell" && m.lane == Lane::Normal));
    let statistics = sys.statistics();
    assert_eq!((statistics.incarnations, statistics.messages_in, statistics.handled), (1, 9, 0));
    assert!(sys.suspend() && !sys.trace(true));
    sys.keep_log(2);
    assert!(sys.install("hook", |_| ControlFlow::Continue(())));
    go.open();
    settle().await;
    // The handler went on to its end, and then nothing more was handled.
    assert_eq!((plan.log.len(), sys.message_queue_len()), (0, 8));
    sys.resume();
    lab.call(echo(8)).await.unwrap();
    assert_eq!(plan.log.take(), (0..=8).map(|n| n.to_string()).collect::<Vec<_>>());
    law(&lab).await;
}

/// Row G6, clause 23.2: state verbs say `Busy`, and then have not run and never will.
#[tokio::test(start_paused = true)]
async fn state_verbs_say_what_the_server_is_busy_with() {
    let (lab, plan, go) = stuck(2).await;
    let ran = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&ran);
    let count = move |_: &Lab| *counter.lock().unwrap() += 1;
    let busy = lab.sys().timeout(Duration::from_secs(3)).get_state(count.clone()).await;
    let Err(SysError::Busy { message, .. }) = busy else { panic!("{busy:?}") };
    assert_eq!(message, "ask");
    assert!(busy.unwrap_err().to_string().contains("busy with ask"));
    assert!(matches!(
        lab.sys().timeout(Duration::ZERO).get_state(count.clone()).await,
        Err(SysError::Busy { .. })
    ));
    // One that is dropped while it waits has not run either.
    {
        let sys = lab.sys();
        let mut dropped = Box::pin(sys.get_state(count.clone()));
        assert!(futures::poll!(&mut dropped).is_pending());
    }
    // One that waits long enough is obeyed as soon as the handler is done, before what is queued.
    let operator = lab.clone();
    let log = plan.log.clone();
    let waits = tokio::spawn(async move {
        operator.sys().timeout(Duration::MAX).get_state(move |_| log.push("seen")).await
    });
    settle().await;
    go.open();
    waits.await.unwrap().unwrap();
    settle().await;
    assert_eq!(*ran.lock().unwrap(), 0);
    assert_eq!(plan.log.take(), ["seen", "0", "1"]);
    assert_eq!(lab.sys().timeout(Duration::ZERO).get_state(|lab| lab.total).await, Ok(0));
}

/// Clause 23.2: each state verb waits 5 s unless told otherwise, and one that was not obeyed by then never is; from a plain
/// thread it waits as well, and inside a runtime it says so at once and has not run.
#[tokio::test(start_paused = true)]
async fn state_verbs_wait_for_five_seconds() {
    let (lab, plan, go) = stuck(2).await;
    let began = tokio::time::Instant::now();
    let log = plan.log.clone();
    let looked = lab.sys().get_state(move |_| log.push("looked")).await;
    assert!(matches!(looked, Err(SysError::Busy { .. })), "{looked:?}");
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    let (log, fresh) = (plan.log.clone(), plan.clone());
    let replaced = lab
        .sys()
        .replace_state(move |_| {
            log.push("replaced");
            Ok(Lab { total: 7, ..Lab::new(&fresh) })
        })
        .await;
    assert!(matches!(replaced, Err(SysError::Busy { .. })), "{replaced:?}");
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    assert!(lab.sys().status_with_state().await.is_err());
    assert_eq!(began.elapsed(), Duration::from_secs(15));
    let log = plan.log.clone();
    let blocks = lab.sys().get_state_blocking(move |_| log.push("blocked"));
    assert_eq!(blocks, Err(SysError::WouldBlock));
    go.open();
    settle().await;
    assert_eq!(plan.log.take(), ["0", "1"], "nothing but what was queued");
    assert_eq!(lab.call(Ask::Total).await, Ok(0));
    // A closure that fails has run, and once.
    let log = plan.log.clone();
    let failed = lab
        .sys()
        .replace_state(move |_| {
            log.push("ran");
            Err(ExitReason::error("no"))
        })
        .await;
    assert!(matches!(failed, Err(SysError::Failed(_))), "{failed:?}");
    settle().await;
    assert_eq!(plan.log.take(), ["ran"]);
}

/// Clause 23.2: `init` counts as busy, no server as not running, one that ends meanwhile as exited.
#[tokio::test(start_paused = true)]
async fn state_verbs_need_a_server_that_lives() {
    let server = Server::<Lab>::new("none");
    let lab = server.address();
    assert_eq!(lab.sys().get_state(|_| ()).await, Err(SysError::NotRunning));
    let (entered, go) = (Gate::new(), Gate::new());
    let gates = (entered.clone(), go.clone());
    let plan = Plan::default().init(move |plan, _| {
        let gates = gates.clone();
        Box::pin(async move {
            gates.0.open();
            gates.1.pass().await;
            Ok(Init::ok(Lab::new(plan)))
        })
    });
    let starts = tokio::spawn(async move { server.start(plan).await.map(|_| server) });
    entered.pass().await;
    let busy = lab.sys().timeout(Duration::from_secs(1)).get_state(|_| ()).await;
    assert!(matches!(busy, Err(SysError::Busy { message: "init", .. })), "{busy:?}");
    go.open();
    let _server = starts.await.unwrap().unwrap();
    let caller = lab.clone();
    tokio::spawn(async move { caller.call(Ask::Never).await });
    settle().await;
    let operator = lab.clone();
    let asks = tokio::spawn(async move { operator.sys().get_state(|_| ()).await });
    settle().await;
    lab.kill();
    assert_eq!(asks.await.unwrap(), Err(SysError::Exited(ExitReason::Killed)));
}

/// Clause 23.2: a server that asks itself would wait for itself.
#[tokio::test(start_paused = true)]
async fn a_server_cannot_ask_for_its_own_state() {
    let (lab, plan) = lab().await;
    lab.cast(tell(|lab, ctx| {
        Box::pin(async move {
            let itself = ctx.server();
            let asked = itself.sys().get_state(|_| ()).await;
            lab.log.push(matches!(asked, Err(SysError::Cycle { .. })));
            // What needs no help it may ask.
            lab.log.push(itself.sys().status().in_hand.is_some());
            Ok(Next::go())
        })
    }))
    .unwrap();
    settle().await;
    assert_eq!(plan.log.take(), ["true", "true"]);
}

/// Row G6, clause 23.1: the same from a server inside a handler that blocks its thread.
#[test]
fn mailbox_verbs_do_not_wait_for_a_blocking_handler() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let plan = Plan::default();
    let lab = rt.block_on(start::<Lab>(plan.clone())).unwrap();
    let (entered, inside) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    lab.cast(tell(move |_, _| {
        entered.send(()).unwrap();
        gone.recv().unwrap();
        Box::pin(async { Ok(Next::go()) })
    }))
    .unwrap();
    inside.recv().unwrap();
    for n in 0..10 {
        lab.cast(Tell::Say(n)).unwrap();
    }
    let sys = lab.sys();
    let now = sys.status().in_hand.unwrap();
    assert_eq!((now.phase, now.name, now.since), (Phase::Cast, "tell", None));
    assert_eq!(sys.message_queue_len(), 10);
    // What came since the handler began lies where every thread can see it.
    let peek = sys.peek(100);
    assert_eq!((peek.messages.len(), peek.partial), (10, false));
    assert_eq!(sys.frequencies()["tell"], 10);
    assert!(sys.suspend());
    let busy = sys.timeout(Duration::from_millis(30)).get_state_blocking(|_| ());
    let Err(SysError::Busy { message, since }) = busy else { panic!("{busy:?}") };
    assert_eq!(message, "tell");
    assert!(since >= Duration::from_millis(30), "{since:?}: it was under way all that time");
    go.send(()).unwrap();
    assert_eq!(lab.sys().get_state_blocking(|lab| lab.total), Ok(0));
    assert_eq!(plan.log.len(), 0, "suspended");
    lab.sys().resume();
    lab.call_blocking(echo(10)).unwrap();
    assert_eq!(plan.log.take(), (0..=10).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(rt.block_on(async { lab.sys().get_state_blocking(|_| ()) }), Err(SysError::WouldBlock));
}

/// Row G6, D8, clause 23.6. OTP `sys_SUITE`: `log`: a ring of the last N, off again, readable when the server has crashed.
#[tokio::test(start_paused = true)]
async fn the_log_keeps_the_last_few_steps() {
    let server = Server::<Lab>::new("logged");
    let lab = server.start(Plan::default()).await.unwrap();
    let sys = lab.sys();
    assert_eq!(sys.log(), []);
    sys.keep_log(4);
    lab.cast(Tell::Say(1)).unwrap();
    lab.call(Ask::Total).await.unwrap();
    lab.info(say("x")).unwrap();
    settle().await;
    let told = |sys: &restante_genserver::Sys<'_, Lab>| {
        sys.log().iter().map(|e| format!("{} {:?}", e.name, e.moment)).collect::<Vec<_>>()
    };
    assert_eq!(
        told(&sys),
        ["total Taken", "total Done { took: 0ns }", "note Taken", "note Done { took: 0ns }"]
    );
    sys.keep_log(2);
    assert_eq!(told(&sys), ["note Taken", "note Done { took: 0ns }"]);
    lab.cast(Tell::Boom).unwrap();
    lab.join().await;
    let log = sys.log();
    assert!(matches!(&log[1].moment, Moment::Failed { reason, .. } if is_panic(reason, "boom")), "{log:?}");
    assert!(log[1].to_string().starts_with("#1 handle_cast boom: failed after 0ns: panic"), "{}", log[1]);
    sys.keep_log(0);
    assert_eq!(sys.log(), []);
    server.start(Plan::default()).await.unwrap();
    lab.call(Ask::Total).await.unwrap();
    assert_eq!(sys.log(), []);
}

/// Clause 23.6: it keeps no more than 10,000 steps, whatever is asked for.
#[tokio::test(start_paused = true)]
async fn the_log_has_a_bound() {
    let lab = Server::<Lab>::settings().unbounded().start(Plan::default()).await.unwrap();
    lab.sys().keep_log(usize::MAX);
    for n in 0..6_000 {
        lab.cast(Tell::Add(n)).unwrap();
    }
    lab.call(Ask::Total).await.unwrap();
    assert_eq!(lab.sys().log().len(), 10_000);
}

/// Clause 23.6: steps without a message of the mailbox are steps too; orders, and calls that no caller waits for, are none.
#[tokio::test(start_paused = true)]
async fn every_callback_is_a_step() {
    let plan = Plan::default()
        .init(|plan, ctx| {
            ctx.send_after(Duration::from_secs(1), say("once"));
            Box::pin(async { Ok(Init::then_continue(Lab::new(plan))) })
        })
        .on_continue(|_, _| Box::pin(async { Ok(Next::idle_timeout(Duration::from_secs(5))) }));
    let server = Server::<Lab>::new("steps");
    let lab = server.address();
    lab.sys().keep_log(100);
    server.start(plan).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    lab.cast(tell(|_, _| Box::pin(async { Ok(Next::idle_timeout(Duration::from_secs(1))) }))).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    lab.sys().suspend();
    let _ = lab.call(echo(1)).timeout(Duration::from_secs(1)).await;
    lab.sys().resume();
    lab.stop(ExitReason::Normal, LONG).await.unwrap();
    let names: Vec<_> =
        lab.sys().log().iter().filter(|e| e.moment == Moment::Taken).map(|e| (e.phase, e.name)).collect();
    assert_eq!(
        names,
        [
            (Phase::Continue, "continue"),
            (Phase::Info, "note"),
            (Phase::Cast, "tell"),
            (Phase::Idle, "timeout")
        ]
    );
}

/// Row G6, clause 23.6. OTP `sys_SUITE`: `install`: hooks are told of each step, and are removed by hand, by their own word
/// and when they panic.
#[tokio::test(start_paused = true)]
async fn hooks_come_and_go_at_run_time() {
    let (lab, plan) = lab().await;
    let sys = lab.sys();
    let log = plan.log.clone();
    assert!(sys.install("names", move |step| {
        if step.moment == Moment::Taken {
            log.push(format!("{} {}", step.name, step.message.is_some()));
        }
        ControlFlow::Continue(())
    }));
    assert!(!sys.install("names", |_| ControlFlow::Continue(())), "one of each name");
    let mut left = 2;
    let log = plan.log.clone();
    sys.install("twice", move |_| {
        left -= 1;
        log.push("twice");
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    sys.install("panics", |_| panic!("a hook"));
    assert_eq!(sys.status().hooks.len(), 3);
    lab.cast(Tell::Say(1)).unwrap();
    lab.call(echo(2)).await.unwrap();
    settle().await;
    assert_eq!(plan.log.take(), ["tell true", "twice", "1", "twice", "ask true", "2"]);
    assert_eq!(sys.status().hooks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["names"]);
    assert!(sys.remove("names"));
    assert!(!sys.remove("names"));
    lab.call(echo(3)).await.unwrap();
    assert_eq!(plan.log.take(), ["3"]);
    assert_eq!(lab.incarnation(), 1);
}

/// Clause 23.6: a hook may install and remove hooks, itself among them.
#[tokio::test(start_paused = true)]
async fn hooks_may_change_the_hooks() {
    let (lab, plan) = lab().await;
    let (itself, log) = (lab.downgrade(), plan.log.clone());
    lab.sys().install("first", move |_| {
        let Some(lab) = itself.upgrade() else { return ControlFlow::Break(()) };
        log.push("first");
        assert!(lab.sys().remove("first"));
        let log = log.clone();
        assert!(lab.sys().install("second", move |_| {
            log.push("second");
            ControlFlow::Continue(())
        }));
        ControlFlow::Continue(())
    });
    lab.cast(Tell::Add(1)).unwrap();
    settle().await;
    assert_eq!(plan.log.take(), ["first", "second"]);
    let itself = lab.downgrade();
    lab.sys().install("third", move |_| {
        itself.upgrade().unwrap().sys().no_debug();
        ControlFlow::Continue(())
    });
    lab.cast(Tell::Add(1)).unwrap();
    settle().await;
    plan.log.take();
    lab.cast(Tell::Add(1)).unwrap();
    settle().await;
    assert_eq!((plan.log.take(), lab.sys().status().hooks.len()), (Vec::new(), 0));
}

/// Row G6. OTP `sys_SUITE`: `stats`: messages in and handled; ours are always on.
#[tokio::test(start_paused = true)]
async fn statistics_are_always_on() {
    let (lab, _) = lab().await;
    for n in 0..4 {
        lab.cast(Tell::Say(n)).unwrap();
    }
    lab.call(Ask::Total).await.unwrap();
    let statistics = lab.sys().statistics();
    assert_eq!((statistics.messages_in, statistics.handled, statistics.message_queue_len), (5, 5, 0));
    assert_eq!(statistics.stats.ledger.sent, 5);
}

/// A server whose state holds a secret.
struct Safe {
    secret: &'static str,
    how: How,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Redacts,
    Fails,
    Panics,
}

impl GenServer for Safe {
    type Args = How;
    type Call = Reply<()>;
    type Cast = ();
    type Info = ();
    async fn init(how: &How, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self { secret: "hunter2", how: *how }))
    }
    async fn handle_call(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Step {
        reply.send(());
        Ok(Next::go())
    }
    fn format_status(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.how {
            How::Redacts => write!(f, "Safe {{ secret: {} letters }}", self.secret.len()),
            How::Fails => {
                f.write_str(self.secret)?;
                Err(fmt::Error)
            }
            How::Panics => panic!("{}", self.secret),
        }
    }
}

/// Row G6, clause 23.7. OTP `gen_server_SUITE`: `call_format_status`, `crash_in_format_status`: never the raw data.
#[tokio::test(start_paused = true)]
async fn a_status_shows_what_the_server_allows() {
    for (how, shown) in [
        (How::Redacts, "Safe { secret: 7 letters }"),
        (How::Fails, "<format_status failed>"),
        (How::Panics, "<format_status failed>"),
    ] {
        let safe = start::<Safe>(how).await.unwrap();
        let status = safe.sys().status_with_state().await.unwrap();
        assert_eq!(status.state.as_deref(), Some(shown));
        assert!(!status.to_string().contains("hunter2") && !format!("{status:?}").contains("hunter2"));
        assert!(status.to_string().ends_with(&format!("state: {shown}")), "{status}");
        assert_eq!(safe.incarnation(), 1);
    }
    // Without a hook of its own, a server shows nothing of its state.
    let (lab, _) = lab().await;
    assert!(lab.sys().status_with_state().await.unwrap().state.unwrap().ends_with("Lab"));
}

/// Clause 23.1. What OTP has in `sys:get_status`, as text.
#[tokio::test(start_paused = true)]
async fn a_status_can_be_read() {
    let server = Server::<Lab>::new("worker 7");
    let lab = server.address();
    assert!(lab.sys().status().to_string().contains("incarnation 0\nnot running\nqueued 0 of 1024"));
    server.start(Plan::default()).await.unwrap();
    lab.cast(Tell::Boom).unwrap();
    lab.join().await;
    server.start(Plan::default()).await.unwrap();
    lab.sys().suspend();
    lab.sys().trace(true);
    lab.sys().keep_log(1);
    lab.sys().install("a hook", |_| ControlFlow::Continue(()));
    lab.cast(Tell::Add(1)).unwrap();
    settle().await;
    let text = lab.sys().status().to_string();
    for part in [
        "worker 7 (",
        "incarnation 2",
        "suspended",
        "queued 1 of 1024",
        "traced",
        "logged",
        "hooks: a hook",
        "last exit: panic",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

/// Row D8: what is queued, in the order of reading, over all lanes.
#[tokio::test(start_paused = true)]
async fn a_peek_shows_lanes_and_names() {
    let (lab, _) = lab().await;
    lab.sys().suspend();
    lab.cast_with(Tell::Boom, SendOptions::new().lane(Lane::Low)).unwrap();
    lab.cast(Tell::Fail).unwrap();
    lab.info_with(say("x"), SendOptions::new().lane(Lane::High)).unwrap();
    settle().await;
    lab.cast(Tell::Add(1)).unwrap();
    let peek = lab.sys().peek(usize::MAX);
    let seen: Vec<_> = peek.messages.iter().map(|m| (m.lane, m.name, m.attempts)).collect();
    assert_eq!(
        seen,
        [
            (Lane::High, "note", 0),
            (Lane::Normal, "fail", 0),
            (Lane::Normal, "tell", 0),
            (Lane::Low, "boom", 0)
        ]
    );
    assert_eq!((peek.more, peek.partial), (0, false));
    assert_eq!(lab.sys().peek(0).more, 4);
    assert_eq!(law(&lab).await.queued, 4, "a look changes nothing");
}

/// Clause 23.8. The idle time-out is not extended by operators (OTP's is: otp-semantics, section 15).
#[tokio::test(start_paused = true)]
async fn operators_do_not_keep_a_server_from_being_idle() {
    let plan = Plan::default().init(|plan, _| {
        Box::pin(async { Ok(Init::idle_timeout(Lab::new(plan), Duration::from_millis(200))) })
    });
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(120)).await;
    lab.sys().get_state(|_| ()).await.unwrap();
    lab.sys().keep_log(5);
    tokio::time::sleep(Duration::from_millis(81)).await;
    assert_eq!(plan.log.take(), ["timeout"]);
}

/// Clause 23.6: who watches a server does not change what it does, message by message.
#[tokio::test(start_paused = true)]
async fn a_watched_server_does_the_same() {
    let (lab, plan) = lab().await;
    for n in 0..300 {
        match n % 60 {
            0 => drop(lab.sys().trace(true)),
            10 => lab.sys().keep_log(3),
            20 => drop(lab.sys().install("hook", |_| ControlFlow::Continue(()))),
            40 => drop(lab.sys().trace(false)),
            50 => lab.sys().no_debug(),
            _ => {}
        }
        lab.cast(Tell::Say(n)).unwrap();
        if n % 7 == 0 {
            lab.call(Ask::Total).await.unwrap();
        }
    }
    lab.call(Ask::Total).await.unwrap();
    assert_eq!(plan.log.take(), (0..300).map(|n| n.to_string()).collect::<Vec<_>>());
    lab.sys().no_debug();
    settle().await;
    // Back on the short way: a caller runs the handler itself again.
    let before = lab.stats().ledger.handled;
    lab.call(Ask::Total).await.unwrap();
    assert_eq!(lab.stats().ledger.handled, before + 1);
    law(&lab).await;
}

/// Counts how often it is asked for a name.
struct Named;

static NAMES: AtomicUsize = AtomicUsize::new(0);

impl GenServer for Named {
    type Args = ();
    type Call = ();
    type Cast = u32;
    type Info = ();
    async fn init((): &(), ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        ctx.server().sys().suspend();
        Ok(Init::ok(Self))
    }
    async fn handle_call(&mut self, (): (), _: &mut Context<Self>) -> Step {
        Ok(Next::go())
    }
    fn cast_name(_: &u32) -> &'static str {
        NAMES.fetch_add(1, Ordering::Relaxed);
        "named"
    }
}

/// Clause 23.10: senders are not kept waiting for what was not asked for.
#[tokio::test(start_paused = true)]
async fn a_peek_looks_at_no_more_than_it_was_asked_for() {
    let named = Server::<Named>::settings().unbounded().start(()).await.unwrap();
    settle().await;
    for n in 0..10_000 {
        named.cast(n).unwrap();
    }
    let asked = |most| {
        let before = NAMES.load(Ordering::Relaxed);
        let peek = named.sys().peek(most);
        assert_eq!(peek.messages.len() as u64 + peek.more, 10_000);
        (peek.messages.len(), NAMES.load(Ordering::Relaxed) - before)
    };
    assert_eq!([asked(0), asked(1), asked(100)], [(0, 0), (1, 1), (100, 100)]);
    assert_eq!(asked(usize::MAX), (10_000, 10_000));
    assert_eq!(named.sys().frequencies(), BTreeMap::from([("named", 10_000)]));
}
