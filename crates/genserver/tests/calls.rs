//! Calls: limits, late replies, callers who give up, order, callers of every kind.

use crate::support::{Ask, Gate, LONG, Lab, Plan, Tell, ask, echo, is_panic, law, pass, settle, tell};
use restante_genserver::{
    CallError, CallerRuns, ExitReason, Next, Requests, SendOptions, Server, ServerRef, late_replies, start,
};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A server, and one whose callers never run its handlers.
async fn both() -> [ServerRef<Lab>; 2] {
    let never = Server::<Lab>::settings().caller_runs(CallerRuns::Never);
    [start::<Lab>(Plan::default()).await.unwrap(), never.start(Plan::default()).await.unwrap()]
}

/// Row G1, clause 6.1: a call waits 5 s unless told otherwise (kept to within a quarter of a second).
#[tokio::test(start_paused = true)]
async fn a_call_waits_five_seconds() {
    for lab in both().await {
        // Somewhere between two looks of the sweep, too.
        for offset in [0, 1, 100, 249] {
            tokio::time::sleep(Duration::from_millis(offset)).await;
            let began = Instant::now();
            assert_eq!(lab.call(Ask::Keep).await, Err(CallError::Timeout));
            let took = began.elapsed();
            assert!((Duration::from_secs(5)..=Duration::from_millis(5250)).contains(&took), "{took:?}");
        }
        law(&lab).await;
    }
}

/// Clause 6.1: a caller that goes on in another runtime keeps a limit, also where the first one has gone meanwhile.
#[test]
fn a_caller_that_moves_to_another_runtime_has_a_limit() {
    let runtime = |paused| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(paused).build().unwrap()
    };
    let (first, second) = (runtime(false), runtime(true));
    let lab = second.block_on(start::<Lab>(Plan::default())).unwrap();
    let mut call = Box::pin(lab.call(Ask::Keep));
    first.block_on(async { assert!(futures::poll!(&mut call).is_pending()) });
    drop(first);
    let answer = second.block_on(async { tokio::time::timeout(LONG, call).await });
    assert_eq!(answer, Ok(Err(CallError::Timeout)));
}

/// Clauses 6.1, 6.2, 6.6: the default limit holds for a busy server and for a mailbox that is not served.
#[tokio::test(start_paused = true)]
async fn the_default_limit_covers_the_queue() {
    let mailbox = Server::<Lab>::new("unserved");
    let began = Instant::now();
    assert_eq!(mailbox.address().call(Ask::Total).await, Err(CallError::Timeout));
    assert!(began.elapsed() >= Duration::from_secs(5) && began.elapsed() <= Duration::from_millis(5250));
    mailbox.start(Plan::default()).await.unwrap();
    assert_eq!(mailbox.address().call(Ask::Total).await, Ok(0));
    let ledger = law(&mailbox.address()).await;
    assert_eq!((ledger.handled, ledger.expired), (1, 1));
}

/// Clause 6.1: a call that waits for room waits for its limit, and no longer.
#[tokio::test(start_paused = true)]
async fn the_default_limit_covers_the_wait_for_room() {
    let mailbox = Server::<Lab>::settings().capacity(1).build().unwrap();
    let lab = mailbox.address();
    lab.cast(Tell::Add(1)).unwrap();
    let began = Instant::now();
    assert_eq!(lab.call(Ask::Total).await, Err(CallError::Timeout));
    assert!(began.elapsed() >= Duration::from_secs(5) && began.elapsed() <= Duration::from_millis(5250));
    let began = Instant::now();
    assert_eq!(lab.call(Ask::Total).timeout(Duration::from_secs(1)).await, Err(CallError::Timeout));
    assert_eq!(began.elapsed(), Duration::from_secs(1));
    assert_eq!(law(&lab).await.sent, 1, "what found no room was not sent");
    assert_eq!(lab.stats().waiting_senders, 0);
}

/// Clause 6.1: explicit limits are kept to the millisecond; zero asks for what can be answered at once.
#[tokio::test(start_paused = true)]
async fn explicit_limits_are_kept() {
    for lab in both().await {
        let began = Instant::now();
        let limit = Duration::from_millis(1234);
        assert_eq!(lab.call(Ask::Keep).timeout(limit).await, Err(CallError::Timeout));
        assert_eq!(began.elapsed(), limit);
        let began = Instant::now();
        assert_eq!(lab.call(Ask::Keep).timeout(Duration::ZERO).await, Err(CallError::Timeout));
        assert_eq!(began.elapsed(), Duration::ZERO);
        let slow = ask(|_, _, reply| {
            Box::pin(async {
                tokio::time::sleep(Duration::from_secs(100_000)).await;
                reply.send(5);
                Ok(Next::go())
            })
        });
        assert_eq!(lab.call(slow).timeout(Duration::MAX).await, Ok(5));
        law(&lab).await;
    }
    let idle = start::<Lab>(Plan::default()).await.unwrap();
    assert_eq!(idle.call(echo(6)).timeout(Duration::ZERO).await, Ok(6), "an idle server answers at once");
}

/// Row G1, failure mode 5, clause 6.3: a reply after the limit is discarded and counted; it never comes to the caller's
/// mailbox.
#[tokio::test(start_paused = true)]
async fn a_late_reply_is_discarded_and_counted() {
    let caller = start::<Lab>(Plan::default()).await.unwrap();
    for lab in both().await {
        let before = late_replies();
        let server = lab.clone();
        let called = caller
            .call(ask(move |_, _, reply| {
                Box::pin(async move {
                    let slow = server.call(Ask::Keep).timeout(Duration::from_secs(1)).await;
                    reply.send(u64::from(slow == Err(CallError::Timeout)));
                    Ok(Next::go())
                })
            }))
            .await;
        assert_eq!(called, Ok(1));
        let answered = lab.call(ask(|lab, _, reply| {
            let kept = lab.kept.pop().unwrap();
            Box::pin(async move {
                assert!(!kept.is_awaited());
                reply.send(u64::from(kept.send(9)));
                Ok(Next::go())
            })
        }));
        assert_eq!(answered.await, Ok(0), "nobody took it");
        assert!(late_replies() > before);
        assert_eq!(caller.stats().depth, 0);
        law(&lab).await;
    }
    let ledger = law(&caller).await;
    assert_eq!((ledger.sent, ledger.handled), (2, 2), "nothing but the test's own calls came to the caller");
}

/// Clause 6.2, failure mode 6: a call whose time is over is skipped before the handler, and counted.
#[tokio::test(start_paused = true)]
async fn a_thousand_expired_calls_see_no_handler() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    let (entered, go) = (Gate::new(), Gate::new());
    let slow = tokio::spawn({
        let (lab, make) = (lab.clone(), pass(&entered, &go));
        async move { lab.call(make).timeout(LONG).await }
    });
    entered.pass().await;
    let calls = (0..1000).map(|n| {
        let lab = lab.clone();
        tokio::spawn(async move { lab.call(echo(n)).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), Err(CallError::Timeout));
    }
    go.open();
    assert_eq!(slow.await.unwrap(), Ok(1));
    assert_eq!(lab.call(Ask::Total).await, Ok(0));
    let ledger = law(&lab).await;
    assert_eq!((ledger.handled, ledger.expired, ledger.cancelled), (2, 1000, 0));
}

/// Clauses 6.1, 6.8: cancel safety of `call`: dropped at each of its awaits, it leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn a_caller_may_go_at_any_await() {
    let mailbox = Server::<Lab>::settings().capacity(1).build().unwrap();
    let lab = mailbox.start(Plan::default()).await.unwrap();
    // Not polled: nothing was sent.
    drop(lab.call(echo(1)));
    assert_eq!(law(&lab).await.sent, 0);
    // In the handler: its reply is discarded.
    let (entered, go) = (Gate::new(), Gate::new());
    let in_hand = tokio::spawn({
        let (lab, make) = (lab.clone(), pass(&entered, &go));
        async move { lab.call(make).await }
    });
    entered.pass().await;
    // In the queue: no handler starts on it.
    let queued = tokio::spawn({
        let lab = lab.clone();
        async move { lab.call(echo(2)).await }
    });
    settle().await;
    // In the line for room: it is not sent.
    let in_line = tokio::spawn({
        let lab = lab.clone();
        async move { lab.call(echo(3)).await }
    });
    settle().await;
    assert_eq!((lab.stats().depth, lab.stats().waiting_senders), (1, 1));
    for call in [&in_hand, &queued, &in_line] {
        call.abort();
    }
    assert!(in_hand.await.unwrap_err().is_cancelled());
    assert!(queued.await.unwrap_err().is_cancelled() && in_line.await.unwrap_err().is_cancelled());
    assert_eq!(lab.stats().waiting_senders, 0);
    go.open();
    assert_eq!(lab.call(Ask::Total).await, Ok(0));
    let ledger = law(&lab).await;
    assert_eq!((ledger.sent, ledger.handled, ledger.cancelled), (3, 2, 1));
}

/// Row G1, clause 6.4: a deferred reply comes from another task, or from a plain thread.
#[tokio::test]
async fn a_reply_may_come_from_elsewhere() {
    for lab in both().await {
        let by_task = ask(|_, _, reply| {
            tokio::spawn(async move { reply.send(11) });
            Box::pin(async { Ok(Next::go()) })
        });
        assert_eq!(lab.call(by_task).await, Ok(11));
        let by_thread = ask(|_, _, reply| {
            std::thread::spawn(move || reply.send(12));
            Box::pin(async { Ok(Next::go()) })
        });
        assert_eq!(lab.call(by_thread).await, Ok(12));
        law(&lab).await;
    }
}

/// Clause 6.5: a reply that is dropped tells its caller at once.
#[tokio::test(start_paused = true)]
async fn a_dropped_reply_is_told_at_once() {
    for lab in both().await {
        let began = Instant::now();
        assert_eq!(lab.call(Ask::Forget).await, Err(CallError::NoReply));
        let elsewhere = ask(|_, _, reply| {
            tokio::spawn(async move { drop(reply) });
            Box::pin(async { Ok(Next::go()) })
        });
        assert_eq!(lab.call(elsewhere).await, Err(CallError::NoReply));
        let before_an_await = ask(|_, _, reply| {
            Box::pin(async move {
                drop(reply);
                tokio::time::sleep(Duration::from_secs(3)).await;
                Ok(Next::go())
            })
        });
        assert_eq!(lab.call(before_an_await).await, Err(CallError::NoReply));
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(law(&lab).await.failed, 0);
    }
}

/// Row G1, clauses 5.4, 6.5: a call in hand at a crash, an error or a kill fails at once with the reason.
#[tokio::test(start_paused = true)]
async fn a_call_in_hand_fails_with_its_servers_reason() {
    for runs in [CallerRuns::Auto, CallerRuns::Never] {
        let mailbox = Server::<Lab>::settings().caller_runs(runs).build().unwrap();
        let lab = mailbox.start(Plan::default()).await.unwrap();
        let began = Instant::now();
        let Err(CallError::Exited(reason)) = lab.call(Ask::Boom).await else { panic!("no reason") };
        assert!(is_panic(&reason, "boom"));
        lab.join().await;
        mailbox.start(Plan::default()).await.unwrap();
        assert_eq!(lab.call(Ask::Fail).await, Err(CallError::Exited(ExitReason::error("failed"))));
        lab.join().await;
        mailbox.start(Plan::default()).await.unwrap();
        let call = tokio::spawn({
            let lab = lab.clone();
            async move { lab.call(Ask::Never).await }
        });
        settle().await;
        lab.kill();
        assert_eq!(call.await.unwrap(), Err(CallError::Exited(ExitReason::Killed)));
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(law(&lab).await.failed, 3);
    }
}

/// Clauses 5.5, 6.5: a reply that was kept in the state ends with it.
#[tokio::test(start_paused = true)]
async fn a_kept_reply_ends_with_the_state() {
    for (end, reason) in [
        (Tell::Boom, None),
        (Tell::Fail, Some(ExitReason::error("failed"))),
        (Tell::Stop(ExitReason::Normal), Some(ExitReason::Normal)),
        (Tell::Stop(ExitReason::shutdown_with("tired")), Some(ExitReason::shutdown_with("tired"))),
    ] {
        let mailbox = Server::<Lab>::new("keeps");
        let lab = mailbox.start(Plan::default()).await.unwrap();
        let kept = tokio::spawn({
            let lab = lab.clone();
            async move { lab.call(Ask::Keep).await }
        });
        settle().await;
        let began = Instant::now();
        lab.cast(end).unwrap();
        let Err(CallError::Exited(told)) = kept.await.unwrap() else { panic!("no reason") };
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert!(reason.map_or_else(|| is_panic(&told, "boom"), |r| r == told));
        law(&lab).await;
    }
}

/// Clause 6.5: `gen_server`: a server that stops without a reply gives its caller the exit reason.
#[tokio::test(start_paused = true)]
async fn a_stop_without_a_reply_gives_the_reason() {
    for runs in [CallerRuns::Auto, CallerRuns::Never] {
        let mailbox = Server::<Lab>::settings().caller_runs(runs).build().unwrap();
        let lab = mailbox.start(Plan::default()).await.unwrap();
        let stops = ask(|_, _, reply| {
            drop(reply);
            Box::pin(async { Ok(Next::stop_with(ExitReason::Shutdown)) })
        });
        assert_eq!(lab.call(stops).await, Err(CallError::Exited(ExitReason::Shutdown)));
        lab.join().await;
        assert_eq!(law(&lab).await.handled, 1);
    }
}

/// Clause 6.9: differs from `gen_server`: a reply that is sent before a stop reaches its caller before `terminate`
/// runs.
#[tokio::test(start_paused = true)]
async fn a_reply_before_a_stop_does_not_wait_for_terminate() {
    for runs in [CallerRuns::Auto, CallerRuns::Never] {
        let plan = Plan::default().end(|_, _, _| {
            Box::pin(async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(())
            })
        });
        let lab = Server::<Lab>::settings().caller_runs(runs).start(plan).await.unwrap();
        let began = Instant::now();
        let stops = ask(|_, _, reply| {
            reply.send(3);
            Box::pin(async { Ok(Next::stop()) })
        });
        assert_eq!(lab.call(stops).await, Ok(3));
        assert_eq!(began.elapsed(), Duration::ZERO);
        lab.join().await;
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        law(&lab).await;
    }
}

/// Row G4, clause 5.3: who waits in the mailbox does not notice a crash, and is answered by the next incarnation.
#[tokio::test(start_paused = true)]
async fn queued_callers_are_answered_by_the_next_incarnation() {
    let mailbox = Server::<Lab>::new("survivor");
    let lab = mailbox.start(Plan::default()).await.unwrap();
    let (entered, go) = (Gate::new(), Gate::new());
    lab.cast(tell({
        let (entered, go) = (entered.clone(), go.clone());
        move |_, _| {
            Box::pin(async move {
                entered.open();
                go.pass().await;
                panic!("boom")
            })
        }
    }))
    .unwrap();
    entered.pass().await;
    let calls: Vec<_> = (0..5)
        .map(|n| {
            let lab = lab.clone();
            tokio::spawn(async move { lab.call(echo(n)).await })
        })
        .collect();
    settle().await;
    go.open();
    lab.join().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    mailbox.start(Plan::default()).await.unwrap();
    for (n, call) in (0..).zip(calls) {
        assert_eq!(call.await.unwrap(), Ok(n));
    }
    law(&lab).await;
}

/// Row G1, clauses 1.4, 6.7: a call whose server has ended for good fails at once with the reason.
#[tokio::test(start_paused = true)]
async fn a_call_to_a_closed_server_fails_at_once() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    lab.cast(Tell::Fail).unwrap();
    lab.join().await;
    let began = Instant::now();
    let gone = Err(CallError::Exited(ExitReason::error("failed")));
    assert_eq!(lab.call(Ask::Total).await, gone);
    assert_eq!(lab.call(Ask::Total).timeout(Duration::MAX).await, gone);
    assert!(lab.cast(Tell::Add(1)).is_err());
    assert_eq!(began.elapsed(), Duration::ZERO);
    law(&lab).await;
}

/// Clauses 4.6, 14.3: callers who wait when the mailbox closes hear the reason at once: in the queue, and in the line
/// for room.
#[tokio::test(start_paused = true)]
async fn waiting_callers_hear_of_the_closing() {
    let mailbox = Server::<Lab>::settings().capacity(1).build().unwrap();
    let lab = mailbox.address();
    let calls: Vec<_> = (0..3)
        .map(|n| {
            let lab = lab.clone();
            tokio::spawn(async move { lab.call(echo(n)).await })
        })
        .collect();
    settle().await;
    let began = Instant::now();
    assert!(lab.close(ExitReason::Shutdown));
    for (n, call) in calls.into_iter().enumerate() {
        let told = call.await.unwrap();
        // Those who were not sent yet are refused.
        let expected = if n == 0 { CallError::Exited(ExitReason::Shutdown) } else { CallError::Closed };
        assert_eq!(told, Err(expected));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(law(&lab).await.dead_lettered, 1);
}

/// Clauses 7.1, 7.4: a call to an idle server runs on the caller's stack, but not where that is turned off.
#[tokio::test]
async fn callers_run_handlers_unless_told_not_to() {
    tokio::task_local!(static CALLER: u64);
    let seen = || {
        ask(|_, _, reply| {
            reply.send(CALLER.try_with(|n| *n).unwrap_or(0));
            Box::pin(async { Ok(Next::go()) })
        })
    };
    let [auto, never] = both().await;
    assert_eq!(CALLER.scope(5, auto.call(seen())).await, Ok(5));
    assert_eq!(CALLER.scope(5, auto.call(seen()).caller_runs(CallerRuns::Never)).await, Ok(0));
    assert_eq!(CALLER.scope(5, never.call(seen())).await, Ok(0));
    law(&auto).await;
    law(&never).await;
}

/// Clause 7.3: a handler that goes pending under its caller is carried on by the server's own task.
#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_moves_to_its_own_task() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    let slow = || {
        ask(|_, _, reply| {
            Box::pin(async {
                for _ in 0..3 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    tokio::task::yield_now().await;
                }
                reply.send(4);
                Ok(Next::go())
            })
        })
    };
    assert_eq!(lab.call(slow()).await, Ok(4));
    // The caller goes while its handler waits: the handler goes on.
    assert_eq!(lab.call(slow()).timeout(Duration::from_millis(15)).await, Err(CallError::Timeout));
    assert_eq!(lab.call(echo(1)).await, Ok(1));
    let ledger = law(&lab).await;
    assert_eq!((ledger.handled, ledger.cancelled), (3, 0));
}

/// Clauses 7.6, 13.2: a panic under a caller does not unwind into it; the end is dealt with elsewhere.
#[tokio::test(start_paused = true)]
async fn a_panic_under_a_caller_is_the_servers_own() {
    let plan = Plan::default();
    let mailbox = Server::<Lab>::new("panics");
    let lab = mailbox.start(plan.clone()).await.unwrap();
    assert!(matches!(lab.call(Ask::Boom).await, Err(CallError::Exited(ExitReason::Panic(_)))));
    assert!(plan.log.take().is_empty(), "terminate does not run on a caller's stack");
    assert_eq!(lab.join().await.message, Some("boom"));
    assert_eq!(plan.log.take(), ["terminate: panic: boom"]);
    assert_eq!(law(&lab).await.failed, 1);
}

/// Row D1, clause 7.2: a call never overtakes what its caller has cast before; the casts' order is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_does_not_overtake_its_callers_casts() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    let callers: Vec<_> = (0..4u64)
        .map(|_| {
            let mine = lab.clone();
            tokio::spawn(async move {
                let log = crate::support::Log::default();
                for round in 0..300u64 {
                    for n in 0..round % 4 {
                        let log = log.clone();
                        let entry = round * 10 + n;
                        let cast = tell(move |_, _| {
                            log.push(entry);
                            Box::pin(async { Ok(Next::go()) })
                        });
                        mine.send(cast).await.unwrap();
                    }
                    mine.call(echo(0)).timeout(LONG).await.unwrap();
                    let expected: Vec<_> = (0..round % 4).map(|n| (round * 10 + n).to_string()).collect();
                    assert_eq!(log.take(), expected);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    law(&lab).await;
}

/// Clause 15.2: bad input: a server called from another runtime works in its own.
#[test]
fn a_call_may_come_from_another_runtime() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let home = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let away = runtime();
    let lab = home.block_on(start::<Lab>(Plan::default())).unwrap();
    let where_am_i = || {
        ask(|_, _, reply| {
            let id = tokio::runtime::Handle::current().id();
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                assert_eq!(tokio::runtime::Handle::current().id(), id);
                reply.send(1);
                Ok(Next::go())
            })
        })
    };
    assert_eq!(away.block_on(lab.call(where_am_i()).timeout(Duration::MAX)), Ok(1));
    // The default limit is kept by the caller's runtime, in its own time.
    let began = std::time::Instant::now();
    let late = away.block_on(async {
        let began = Instant::now();
        let result = lab.call(Ask::Never).await;
        (result, began.elapsed())
    });
    assert_eq!(late.0, Err(CallError::Timeout));
    assert!(late.1 >= Duration::from_secs(5) && late.1 <= Duration::from_millis(5250), "{:?}", late.1);
    assert!(began.elapsed() < Duration::from_secs(4), "the caller's time is paused");
    lab.kill();
    home.block_on(law(&lab));
}

/// Row F7, clause 6.10: a plain thread calls an idle server, a busy one, one that does not answer.
#[test]
fn a_plain_thread_may_call() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let lab = rt.block_on(start::<Lab>(Plan::default())).unwrap();
    assert_eq!(lab.call_blocking(echo(1)), Ok(1));
    let sleeps = ask(|_, _, reply| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            reply.send(2);
            Ok(Next::go())
        })
    });
    assert_eq!(lab.call_blocking(sleeps), Ok(2), "in its own runtime, whose timers it may use");
    let (entered, go) = (Gate::new(), Gate::new());
    let busy = rt.spawn({
        let (lab, make) = (lab.clone(), pass(&entered, &go));
        async move { lab.call(make).await }
    });
    rt.block_on(entered.pass());
    let short = Duration::from_millis(10);
    assert_eq!(lab.call_blocking_timeout(short, echo(3)), Err(CallError::Timeout));
    assert_eq!(lab.call_blocking_timeout(Duration::ZERO, echo(3)), Err(CallError::Timeout));
    let thread = std::thread::spawn({
        let lab = lab.clone();
        move || lab.call_blocking_timeout(Duration::MAX, echo(4))
    });
    go.open();
    assert_eq!(thread.join().unwrap(), Ok(4));
    assert_eq!(rt.block_on(busy).unwrap(), Ok(1));
    let ledger = rt.block_on(law(&lab));
    assert_eq!(ledger.cancelled, 2);
}

/// Clause 6.10: so may its last destructors, in which no runtime can be entered any more: the server's own task answers, timers
/// included.
#[test]
fn a_threads_last_destructors_may_call() {
    /// Calls when its thread's locals go: after tokio's, which the thread has used later.
    struct Farewell(RefCell<Option<ServerRef<Lab>>>);
    impl Drop for Farewell {
        fn drop(&mut self) {
            let Some(lab) = self.0.take() else { return };
            let sleeps = ask(|_, _, reply| {
                Box::pin(async {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    reply.send(3);
                    Ok(Next::go())
                })
            });
            assert_eq!(lab.call_blocking(sleeps), Ok(3));
            assert_eq!(lab.send_request(echo(4)).wait_blocking(LONG), Some(Ok(4)));
            let limited = lab.call(echo(5)).timeout(LONG);
            assert_eq!(futures::executor::block_on(limited), Ok(5));
            let answer = futures::executor::block_on(async { lab.send_request(echo(6)).wait(LONG).await });
            assert_eq!(answer, Some(Ok(6)));
            let mut requests = Requests::new();
            requests.add((), lab.send_request(echo(7)));
            assert_eq!(futures::executor::block_on(requests.next_within(LONG)), Some(((), Ok(7))));
        }
    }
    // From here on tokio looks which clock it is that tells the time, and finds it by a local that has gone by then.
    let _paused =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    thread_local! {
        static FAREWELL: Farewell = const { Farewell(RefCell::new(None)) };
    }
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for lab in rt.block_on(both()) {
        let theirs = lab.clone();
        let thread = std::thread::spawn(move || {
            FAREWELL.with(|farewell| farewell.0.replace(Some(theirs.clone())));
            theirs.call_blocking(echo(1))
        });
        assert_eq!(thread.join().unwrap(), Ok(1));
        assert_eq!(rt.block_on(law(&lab)).handled, 6);
    }
}

/// Clause 6.10: blocking inside a runtime is refused where it would have to wait.
#[tokio::test(start_paused = true)]
async fn a_blocking_call_inside_a_runtime_says_so() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    assert_eq!(lab.call_blocking(echo(1)), Ok(1), "an idle server answers on this stack");
    assert_eq!(lab.call_blocking(Ask::Never), Err(CallError::WouldBlock));
    assert_eq!(lab.call_blocking(echo(1)), Err(CallError::WouldBlock));
    let unserved = Server::<Lab>::settings().capacity(1).build().unwrap();
    assert!(unserved.address().send_blocking(Tell::Add(1), LONG).is_ok(), "there is room");
    assert!(unserved.address().send_blocking(Tell::Add(1), LONG).is_err());
    lab.kill();
    law(&lab).await;
}

/// Clauses 15.2, 15.4: a foreign executor: the server's runtime serves, and keeps the time.
#[test]
fn a_foreign_executor_may_call() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let lab = rt.block_on(start::<Lab>(Plan::default())).unwrap();
    futures::executor::block_on(async {
        assert_eq!(lab.call(echo(1)).await, Ok(1));
        lab.send(Tell::Add(2)).await.unwrap();
        assert_eq!(lab.call(Ask::Total).await, Ok(2));
        let short = Duration::from_millis(10);
        assert_eq!(lab.call(Ask::Never).timeout(short).await, Err(CallError::Timeout));
    });
    lab.kill();
    rt.block_on(law(&lab));
}

/// A recipient of requests hides the server's type.
#[tokio::test(start_paused = true)]
async fn a_call_recipient_asks() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    let recipient = lab.call_recipient(|n: u64, reply| Ask::Echo(n, reply));
    let weak = lab.downgrade();
    drop(lab);
    assert_eq!(recipient.clone().call(8).await, Ok(8));
    law(&weak.upgrade().unwrap()).await;
    drop(recipient);
    settle().await;
    assert!(weak.upgrade().is_none(), "it kept the mailbox open");
}

/// Clause 2.2: a call with options goes through the mailbox, in the lane that they name.
#[tokio::test(start_paused = true)]
async fn a_call_may_have_options() {
    let plan = Plan::default();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    let lane = |lane| SendOptions::new().lane(lane);
    let low = lab.call(echo(3)).options(lane(restante_genserver::Lane::Low));
    let normal = lab.call(echo(2));
    let high = lab.call(echo(1)).options(lane(restante_genserver::Lane::High));
    let busy = lab.call(ask(|_, _, reply| {
        Box::pin(async move {
            settle().await;
            reply.send(0);
            Ok(Next::go())
        })
    }));
    assert_eq!(tokio::join!(busy, low, normal, high), (Ok(0), Ok(3), Ok(2), Ok(1)));
    assert_eq!(plan.log.take(), ["1", "2", "3"]);
    let expired = SendOptions::new().ttl(Duration::ZERO);
    assert_eq!(lab.call(echo(2)).options(expired).await, Err(CallError::Timeout));
    assert_eq!(law(&lab).await.handled, 4);
}

/// Clause 6.17: an error tells whether the server is not there, and, where it is told of whom, about which it is.
#[tokio::test(start_paused = true)]
async fn an_error_can_say_who_and_whether_it_has_gone() {
    let named = Server::<Lab>::new("stock");
    let lab = named.start(Plan::default()).await.unwrap();
    let late = lab.call(Ask::Never).timeout(Duration::from_secs(1)).await.unwrap_err();
    assert!(!late.is_gone());
    let about = lab.about(late.clone());
    assert_eq!(about.to_string(), "stock: no reply within the time allowed");
    assert_eq!((about.server(), about.error(), about.clone().into_error()), ("stock", &late, late.clone()));
    assert_eq!((about.id(), about.name()), (lab.id(), Some("stock")));
    assert_eq!(about.server_type(), std::any::type_name::<Lab>());
    lab.kill();
    lab.join().await;
    assert!(lab.stop(ExitReason::Normal, LONG).await.unwrap_err().is_gone());
    assert!(lab.sys().get_state(|_| ()).await.unwrap_err().is_gone());
    lab.close(ExitReason::Shutdown);
    assert!(lab.call(Ask::Total).await.unwrap_err().is_gone());
    assert!(lab.cast(Tell::Add(1)).unwrap_err().is_gone());
    assert!(named.start(Plan::default()).await.unwrap_err().is_gone());
    for still_there in [CallError::Full, CallError::Shed, CallError::NoReply, CallError::WouldBlock] {
        assert!(!still_there.is_gone(), "{still_there}");
    }
    assert!(CallError::Closed.is_gone());
}

/// Clause 6.17: each road that ends in a time-out can say who did not answer; without a name, two servers of one type are told
/// apart.
#[tokio::test(start_paused = true)]
async fn whatever_ends_in_a_time_out_can_say_who_did_not_answer() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    let kind = std::any::type_name::<Lab>();
    let expected = format!("{kind} {}: no reply within the time allowed", lab.id());
    let second = Duration::from_secs(1);
    let late = [
        lab.call(Ask::Never).timeout(second).named().await.unwrap_err(),
        lab.call(Ask::Never).named().await.unwrap_err(),
        lab.call(Ask::Never).options(SendOptions::new()).timeout(Duration::ZERO).named().await.unwrap_err(),
        lab.send_request(Ask::Never).into_future().named().await.unwrap_err(),
        {
            let mut request = lab.send_request(Ask::Never);
            assert_eq!(request.wait(second).await, None);
            request.about(CallError::Timeout)
        },
    ];
    for late in late {
        assert_eq!(late.error(), &CallError::Timeout);
        assert_eq!((late.id(), late.name(), late.server(), late.server_type()), (lab.id(), None, kind, kind));
        assert_eq!(late.to_string(), expected);
    }
    let idle = start::<Lab>(Plan::default()).await.unwrap();
    assert_eq!(idle.call(Ask::Total).named().await, Ok(0));
    assert_eq!(idle.send_request(Ask::Total).into_future().named().await, Ok(0));
}

/// Two calls of one task at once: `join!` gets both answers.
#[tokio::test(start_paused = true)]
async fn one_task_may_wait_for_several_calls() {
    let lab = Arc::new(start::<Lab>(Plan::default()).await.unwrap());
    let slow = |n: u64| {
        ask(move |_, _, reply| {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(n)).await;
                reply.send(n);
                Ok(Next::go())
            })
        })
    };
    let answers =
        tokio::join!(lab.call(slow(3)), lab.call(slow(1)), lab.call(Ask::Total), lab.call(Ask::Forget));
    assert_eq!(answers, (Ok(3), Ok(1), Ok(0), Err(CallError::NoReply)));
    law(&lab).await;
}
