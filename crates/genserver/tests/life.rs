//! The end: stop, kill, close, terminate; links, monitors, exit reports.

use crate::support::{
    Ask, Gate, Heard, LONG, Lab, Log, Note, Plan, Tell, ask, echo, is_panic, law, listen, say, settle, tell,
};
use restante_genserver::monitor::Watch;
use restante_genserver::{
    CallError, CallerRuns, ExitReason, Init, Lane, Next, Phase, SendOptions, Server, ServerRef, StopError,
    drain, link, start, unlink,
};
use restante_testkit::MonitorProbe;
use std::time::Duration;
use tokio::time::Instant;

async fn lab() -> (ServerRef<Lab>, Log) {
    let plan = Plan::default();
    (start::<Lab>(plan.clone()).await.unwrap(), plan.log)
}

fn traps(plan: Plan) -> Plan {
    plan.init(|plan, ctx| {
        ctx.trap_exit(Note::Exit);
        Box::pin(async { Ok(Init::ok(Lab::new(plan))) })
    })
}

/// Row G1, clauses 13.3, 13.4: terminate runs on a stop, a callback's error or panic, an order to stop, and when the
/// mailbox closes.
#[tokio::test(start_paused = true)]
async fn terminate_runs_on_every_end_but_a_kill() {
    for (end, why) in [
        (Tell::Stop(ExitReason::Normal), "normal"),
        (Tell::Stop(ExitReason::shutdown_with("tired")), "shutdown: tired"),
        (Tell::Fail, "error: failed"),
        (Tell::Boom, "panic: boom"),
    ] {
        let (lab, log) = lab().await;
        lab.cast(end).unwrap();
        assert_eq!(lab.join().await.reason.to_string(), why);
        assert_eq!(log.take(), [format!("terminate: {why}")]);
        law(&lab).await;
    }
    let (ordered, log) = lab().await;
    assert_eq!(ordered.stop(ExitReason::Shutdown, LONG).await, Ok(()));
    assert_eq!(log.take(), ["terminate: shutdown"]);
    let (closed, log) = lab().await;
    closed.close(ExitReason::shutdown_with("sold"));
    assert_eq!(closed.join().await.reason, ExitReason::shutdown_with("sold"));
    assert_eq!(log.take(), ["terminate: shutdown: sold"]);
    let (killed, log) = lab().await;
    assert!(killed.kill());
    assert_eq!(killed.join().await.reason, ExitReason::Killed);
    assert!(log.take().is_empty());
    assert!(!killed.kill(), "none is running");
    law(&killed).await;
}

/// Row G1, clauses 13.1, 13.3: if terminate itself fails, its reason replaces the original, and the exit says so: that it was
/// in `terminate`, and how the server was ending before.
#[tokio::test(start_paused = true)]
async fn a_failing_terminate_has_the_last_word() {
    let fails = Plan::default().end(|_, _, _| Box::pin(async { Err(ExitReason::error("worse")) }));
    let lab = start::<Lab>(fails).await.unwrap();
    assert_eq!(lab.stop(ExitReason::Shutdown, LONG).await, Err(StopError::Other(ExitReason::error("worse"))));
    let exit = lab.last_exit().unwrap();
    assert_eq!((exit.phase, exit.message), (Phase::Terminate, None));
    let before = exit.before.as_deref().unwrap();
    assert_eq!((before.reason.clone(), before.phase), (ExitReason::Shutdown, Phase::Idle));
    let panics = Plan::default().end(|_, _, _| Box::pin(async { panic!("worst") }));
    let lab = start::<Lab>(panics).await.unwrap();
    let kept = tokio::spawn({
        let lab = lab.clone();
        async move { lab.call(Ask::Keep).await }
    });
    settle().await;
    lab.cast(Tell::Boom).unwrap();
    let exit = lab.join().await;
    assert!(is_panic(&exit.reason, "worst"));
    assert_eq!((exit.phase, exit.message), (Phase::Terminate, None));
    let before = exit.before.as_deref().unwrap();
    assert!(is_panic(&before.reason, "boom"));
    assert_eq!((before.phase, before.message), (Phase::Cast, Some("boom")), "where it began to end");
    assert_eq!(exit.to_string(), "panic: worst in terminate, after panic: boom in handle_cast of boom");
    assert!(matches!(kept.await.unwrap(), Err(CallError::Exited(r)) if is_panic(&r, "worst")));
    law(&lab).await;
}

/// Clause 13.6: an orderly end is no error; every other is logged as one, once.
#[test]
fn each_end_is_logged_once() {
    let heard = Heard::default();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let _listens = listen(heard.clone());
    runtime.block_on(async {
        for (end, said) in [
            (Tell::Stop(ExitReason::Normal), "DEBUG server ended"),
            (Tell::Stop(ExitReason::Shutdown), "DEBUG server ended"),
            (Tell::Stop(ExitReason::shutdown_with("tired")), "DEBUG server ended"),
            (Tell::Fail, "ERROR server crashed"),
            (Tell::Boom, "ERROR server crashed"),
        ] {
            let (lab, _) = lab().await;
            lab.cast(end).unwrap();
            lab.join().await;
            assert_eq!(heard.0.take(), [said]);
        }
        let (lab, _) = lab().await;
        lab.kill();
        lab.join().await;
        assert_eq!(heard.0.take(), ["ERROR server crashed"]);
        let (left, _) = self::lab().await;
        left.cast(Tell::Add(1)).unwrap();
        settle().await;
    });
    drop(runtime);
    assert_eq!(heard.0.take(), ["WARN the runtime ended under a server"]);
}

/// Clause 13.4: a kill also ends a terminate that is under way.
#[tokio::test(start_paused = true)]
async fn a_kill_interrupts_terminate() {
    let hangs = Plan::default().end(|_, _, _| Box::pin(std::future::pending()));
    let lab = start::<Lab>(hangs).await.unwrap();
    assert_eq!(lab.stop(ExitReason::Shutdown, Duration::from_secs(3)).await, Err(StopError::Timeout));
    assert!(lab.is_alive(), "the order stands");
    lab.kill();
    let exit = lab.join().await;
    assert_eq!((&exit.reason, exit.phase), (&ExitReason::Killed, Phase::Terminate));
    assert_eq!(exit.before.map(|before| before.reason), Some(ExitReason::Shutdown));
    law(&lab).await;
}

/// Clause 14.1: a stop is taken in its turn among what the control lane holds, and before all data. Clause 14.2: a kill of an
/// idle server takes effect when its task is next polled, which on a runtime of one thread is after the killer's next await.
#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_control_lane_and_a_kill_for_a_poll() {
    let (lab, log) = lab().await;
    let control = SendOptions::new().lane(Lane::Control);
    for n in 0..20 {
        lab.cast(Tell::Say(100 + n)).unwrap();
        if n < 10 {
            lab.cast_with(Tell::Say(n), control).unwrap();
        }
    }
    lab.request_stop(ExitReason::Normal);
    lab.cast_with(Tell::Say(10), control).unwrap();
    lab.join().await;
    let mut expected: Vec<_> = (0..10).map(|n| n.to_string()).collect();
    expected.push("terminate: normal".to_owned());
    assert_eq!(log.take(), expected);
    let (lab, _) = self::lab().await;
    lab.kill();
    assert!(lab.is_alive());
    settle().await;
    assert!(!lab.is_alive());
}

/// Row G1, clauses 14.1, 14.4: `stop` is ok only if the reason is the one that was asked for; it overtakes what is
/// queued.
#[tokio::test(start_paused = true)]
async fn a_stop_compares_reasons_and_overtakes_a_full_mailbox() {
    let mailbox = Server::<Lab>::settings().capacity(2).build().unwrap();
    let plan = Plan::default();
    let log = plan.log.clone();
    let lab = mailbox.start(plan.clone()).await.unwrap();
    let (entered, go) = (Gate::new(), Gate::new());
    let busy = tokio::spawn({
        let (lab, make) = (lab.clone(), crate::support::pass(&entered, &go));
        async move { lab.call(make).await }
    });
    entered.pass().await;
    lab.cast(Tell::Say(1)).unwrap();
    lab.cast(Tell::Say(2)).unwrap();
    let began = Instant::now();
    let short = Duration::from_secs(2);
    assert_eq!(lab.stop(ExitReason::Shutdown, short).await, Err(StopError::Timeout));
    assert_eq!(began.elapsed(), short);
    assert_eq!(lab.stop(ExitReason::Shutdown, Duration::ZERO).await, Err(StopError::Timeout));
    go.open();
    assert_eq!(busy.await.unwrap(), Ok(1), "the handler under way ends first");
    lab.join().await;
    assert_eq!(log.take(), ["terminate: shutdown"]);
    assert_eq!(lab.stop(ExitReason::Normal, LONG).await, Err(StopError::NotRunning));
    // The second order was left in the mailbox, and is the first thing that the next incarnation reads.
    mailbox.start(plan).await.unwrap();
    assert_eq!(lab.call(Ask::Total).await, Ok(0), "it was not for this one");
    assert!(lab.is_alive());
    law(&lab).await;
}

/// Row G1, clause 14.1: an order to stop that was not taken up before the end is not for the next incarnation.
#[tokio::test(start_paused = true)]
async fn stops_that_meet_are_all_answered() {
    let (lab, _) = lab().await;
    let stops = (0..3).map(|_| lab.stop(ExitReason::Shutdown, LONG));
    assert!(futures::future::join_all(stops).await.into_iter().all(|r| r == Ok(())));
    law(&lab).await;
}

/// Clause 14.2: kill interrupts a handler at its next await, with all that it holds.
#[tokio::test(start_paused = true)]
async fn a_kill_interrupts_a_pending_handler() {
    for runs in [CallerRuns::Auto, CallerRuns::Never] {
        let alive = crate::support::Alive::default();
        let lab = Server::<Lab>::settings().caller_runs(runs).start(Plan::default()).await.unwrap();
        let value = alive.one();
        lab.cast(tell(move |_, _| {
            Box::pin(async move {
                let _value = value;
                std::future::pending().await
            })
        }))
        .unwrap();
        settle().await;
        assert_eq!(alive.count(), 1);
        lab.kill();
        let exit = lab.join().await;
        assert_eq!((exit.reason, exit.phase), (ExitReason::Killed, Phase::Cast));
        assert_eq!(alive.count(), 0);
        assert_eq!(law(&lab).await.failed, 1);
    }
}

/// Clauses 1.3, 13.3: the last reference that goes closes the mailbox: what is queued is drained, the end is normal.
#[tokio::test(start_paused = true)]
async fn a_server_that_nobody_refers_to_drains_and_ends() {
    let (lab, log) = lab().await;
    let mut life = MonitorProbe::of_mailbox(&lab);
    for n in 0..3 {
        lab.cast(Tell::Say(n)).unwrap();
    }
    drop(lab);
    life.expect_down().await;
    assert_eq!(log.take(), ["0", "1", "2", "terminate: normal"]);
    assert_eq!(life.expect_closed().await, ExitReason::Normal);
}

/// Row G2, clause 13.1: an exit says why, where, in which message, and of which incarnation.
#[tokio::test(start_paused = true)]
async fn an_exit_remembers_phase_and_message() {
    let mailbox = Server::<Lab>::new("reports");
    let lab = mailbox.address();
    let tick = || {
        tell(|_, ctx| {
            ctx.send_after(Duration::ZERO, Note::Boom);
            Box::pin(async { Ok(Next::go()) })
        })
    };
    let plan = Plan::default()
        .on_continue(|_, _| Box::pin(async { panic!("boom") }))
        .on_timeout(|_, _| Box::pin(async { panic!("boom") }));
    let cases: Vec<(Tell, Phase, Option<&str>)> = vec![
        (Tell::Boom, Phase::Cast, Some("boom")),
        (Tell::Fail, Phase::Cast, Some("fail")),
        (tick(), Phase::Info, Some("note")),
        (tell(|_, _| Box::pin(async { Ok(Next::then_continue()) })), Phase::Continue, None),
        (tell(|_, _| Box::pin(async { Ok(Next::idle_timeout(Duration::from_secs(1))) })), Phase::Idle, None),
        (Tell::Stop(ExitReason::Normal), Phase::Idle, None),
    ];
    for (n, (end, phase, message)) in (1..).zip(cases) {
        mailbox.start(plan.clone()).await.unwrap();
        lab.cast(end).unwrap();
        let exit = lab.join().await;
        assert_eq!((exit.phase, exit.message, exit.incarnation), (phase, message, n));
        assert_eq!(lab.last_exit(), Some(exit));
    }
    mailbox.start(plan.clone()).await.unwrap();
    assert!(lab.call(Ask::Boom).await.is_err());
    assert_eq!((lab.join().await.phase, lab.last_exit().unwrap().message), (Phase::Call, Some("boom")));
    // Killed, or closed, between two messages.
    mailbox.start(plan.clone()).await.unwrap();
    lab.cast(Tell::Add(1)).unwrap();
    settle().await;
    lab.kill();
    let exit = lab.join().await;
    assert_eq!((exit.phase, exit.message), (Phase::Idle, None), "no handler was at work");
    mailbox.start(plan).await.unwrap();
    lab.call(Ask::Total).await.unwrap();
    lab.close(ExitReason::Normal);
    let exit = lab.join().await;
    assert_eq!((exit.phase, exit.message), (Phase::Idle, None));
    law(&lab).await;
}

/// Row G2, clause 12.1: an exit signal ends a linked server at once, without terminate; a normal end does not.
#[tokio::test(start_paused = true)]
async fn linked_servers_end_together_unless_normally() {
    for (reason, dies) in [
        (ExitReason::Normal, false),
        (ExitReason::Shutdown, true),
        (ExitReason::Killed, true),
        (ExitReason::error("bad"), true),
    ] {
        let (a, log) = lab().await;
        let (b, _) = lab().await;
        let (c, _) = lab().await;
        link(&a, &b);
        link(&a, &b);
        link(&a, &c);
        unlink(&c, &a);
        if reason == ExitReason::Killed {
            b.kill();
        } else {
            b.cast(Tell::Stop(reason.clone())).unwrap();
        }
        b.join().await;
        settle().await;
        assert_eq!(a.is_alive(), !dies, "{reason}");
        if dies {
            assert_eq!(a.join().await.reason, reason);
            assert!(log.take().is_empty());
        }
        assert!(c.is_alive(), "unlinked");
        law(&a).await;
    }
}

/// Row G2, clauses 12.1, 12.2: a server that traps exits is told of them, normal ones too, and lives on.
#[tokio::test(start_paused = true)]
async fn a_trapping_server_is_told() {
    let plan = traps(Plan::default());
    let a = start::<Lab>(plan.clone()).await.unwrap();
    for (end, told) in [(Tell::Stop(ExitReason::Normal), "exit: normal"), (Tell::Boom, "exit: panic: boom")] {
        let (b, _) = lab().await;
        link(&a, &b);
        b.cast(end).unwrap();
        b.join().await;
        settle().await;
        assert_eq!(plan.log.take(), [told]);
    }
    let (dead, _) = lab().await;
    dead.kill();
    dead.join().await;
    link(&a, &dead);
    settle().await;
    assert_eq!(plan.log.take(), ["exit: killed"], "a link with the dead counts as its end");
    assert!(a.is_alive());
    law(&a).await;
}

/// Clause 12.1: a link is of incarnations: one that began after the other side's end does not bind.
#[tokio::test(start_paused = true)]
async fn a_link_does_not_pass_to_the_next_incarnation() {
    let plan = traps(Plan::default());
    let a = start::<Lab>(plan.clone()).await.unwrap();
    let mailbox = Server::<Lab>::new("again");
    let b = mailbox.start(Plan::default()).await.unwrap();
    b.kill();
    b.join().await;
    link(&a, &b);
    settle().await;
    assert_eq!(plan.log.take(), ["exit: killed"]);
    mailbox.start(Plan::default()).await.unwrap();
    b.cast(Tell::Fail).unwrap();
    b.join().await;
    settle().await;
    assert!(plan.log.take().is_empty(), "told twice");
    law(&a).await;
}

/// Row G2, clauses 12.3, 12.5: monitors of an incarnation hear its end once; those of the mailbox hear everything, to
/// its closing.
#[tokio::test(start_paused = true)]
async fn monitors_watch_an_incarnation_or_a_mailbox() {
    let mailbox = Server::<Lab>::new("watched");
    let lab = mailbox.address();
    let mut all = MonitorProbe::of_mailbox(&lab);
    mailbox.start(Plan::default()).await.unwrap();
    let mut first = MonitorProbe::of(&lab);
    let gone = lab.monitor(Watch::Incarnation, |_| panic!("demonitored"));
    assert!(lab.demonitor(gone) && !lab.demonitor(gone));
    lab.monitor(Watch::Incarnation, |_| panic!("a rude monitor"));
    lab.kill();
    lab.join().await;
    mailbox.start(Plan::default()).await.unwrap();
    lab.stop(ExitReason::Normal, LONG).await.unwrap();
    lab.close(ExitReason::Shutdown);
    assert_eq!(first.expect_down().await.incarnation, 1);
    first.expect_nothing(LONG).await;
    assert_eq!(all.expect_started().await, 1);
    assert_eq!(all.expect_down().await.reason, ExitReason::Killed);
    assert_eq!(all.expect_started().await, 2);
    assert_eq!(all.expect_down().await.reason, ExitReason::Normal);
    assert_eq!(all.expect_closed().await, ExitReason::Shutdown);
    all.expect_nothing(LONG).await;
    // One that comes too late is told at once.
    assert_eq!(MonitorProbe::of_mailbox(&lab).expect_closed().await, ExitReason::Shutdown);
    law(&lab).await;
}

/// Clause 12.5: a notice is for the incarnation that asked.
#[tokio::test(start_paused = true)]
async fn a_down_notice_is_for_who_asked() {
    let plan = Plan::default();
    let mailbox = Server::<Lab>::new("asks");
    let lab = mailbox.start(plan.clone()).await.unwrap();
    let (other, _) = self::lab().await;
    let watch = |other: ServerRef<Lab>| {
        tell(move |_, ctx| {
            ctx.monitor(&other, Watch::Incarnation, |_| say("down"));
            Box::pin(async { Ok(Next::go()) })
        })
    };
    lab.cast(watch(other.clone())).unwrap();
    lab.call(Ask::Total).await.unwrap();
    lab.kill();
    lab.join().await;
    mailbox.start(plan.clone()).await.unwrap();
    other.kill();
    other.join().await;
    settle().await;
    assert!(plan.log.take().is_empty());
    lab.cast(watch(other)).unwrap();
    settle().await;
    assert_eq!(plan.log.take(), ["down"], "of the dead: at once");
    law(&lab).await;
}

/// Clause 13.5: clean-up that was handed over runs whatever the end, and `drain` waits for it.
#[tokio::test(start_paused = true)]
async fn clean_up_runs_after_a_kill_and_can_be_awaited() {
    let (lab, log) = lab().await;
    let cleaned = log.clone();
    lab.cast(tell(move |_, ctx| {
        ctx.at_exit(async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            cleaned.push("clean");
        });
        ctx.at_exit(async { panic!("a rude clean-up") });
        Box::pin(async { Ok(Next::go()) })
    }))
    .unwrap();
    lab.call(Ask::Total).await.unwrap();
    lab.kill();
    lab.join().await;
    law(&lab).await;
    drop(lab);
    settle().await;
    assert_eq!(drain(Duration::from_secs(1)).await, 1, "still under way");
    assert_eq!(drain(LONG).await, 0);
    assert_eq!(log.take(), ["clean"]);
}

/// Clause 5.6: a task that a server spawned sends its result as an info, and is aborted at the end.
#[tokio::test(start_paused = true)]
async fn a_spawned_task_ends_with_its_server() {
    let mailbox = Server::<Lab>::new("spawns");
    let plan = Plan::default();
    let lab = mailbox.start(plan.clone()).await.unwrap();
    let alive = crate::support::Alive::default();
    let value = alive.one();
    lab.cast(tell(move |_, ctx| {
        ctx.spawn(async { say("result") });
        ctx.spawn(async { panic!("a rude task") });
        ctx.spawn(async move {
            let _value = value;
            std::future::pending().await
        });
        Box::pin(async { Ok(Next::go()) })
    }))
    .unwrap();
    settle().await;
    assert_eq!((plan.log.take(), alive.count()), (vec!["result".to_owned()], 1));
    lab.kill();
    lab.join().await;
    settle().await;
    assert_eq!(alive.count(), 0);
    mailbox.start(plan.clone()).await.unwrap();
    lab.call(echo(1)).await.unwrap();
    assert_eq!(plan.log.take(), ["1"]);
    law(&lab).await;
}

/// Clause 6.5: a reply that lies in a timer, or in what else the context keeps, ends with the server as any other does.
#[tokio::test(start_paused = true)]
async fn a_reply_in_a_timer_is_told_of_the_end() {
    for end in [Tell::Boom, Tell::Stop(ExitReason::Normal)] {
        let mailbox = Server::<Lab>::new("later");
        let lab = mailbox.start(Plan::default()).await.unwrap();
        let later = || {
            ask(|_, ctx, reply| {
                ctx.send_after(Duration::from_secs(2), Note::Answer(reply));
                Box::pin(async { Ok(Next::go()) })
            })
        };
        assert_eq!(lab.call(later()).await, Ok(77));
        let waits = tokio::spawn({
            let lab = lab.clone();
            async move { lab.call(later()).timeout(Duration::MAX).await }
        });
        settle().await;
        lab.cast(end).unwrap();
        lab.join().await;
        let told = tokio::time::timeout(LONG, waits).await.expect("a caller must not hang").unwrap();
        assert!(matches!(told, Err(CallError::Exited(_))), "{told:?}");
        law(&lab).await;
    }
}
