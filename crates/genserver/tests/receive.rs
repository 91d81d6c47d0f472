//! Selective receive: inside a handler, the next message that one asks for.

use crate::support::{Ask, Gate, LONG, Lab, Plan, Tell, ask, echo, is_panic, law, pass, say, settle, tell};
use restante_genserver::monitor::Watch;
use restante_genserver::{
    CallError, ExitReason, Lane, Message, Next, ReceiveError, SendError, SendOptions, Server, ServerRef,
    start,
};
use std::time::Duration;
use tokio::time::Instant;

fn is_say(m: &Message<Lab>, n: u64) -> bool {
    matches!(m, Message::Cast(Tell::Say(k)) if *k == n)
}

/// Starts a handler that waits for the gate and then does what `job` says.
async fn begin(lab: &ServerRef<Lab>, job: Tell) -> Gate {
    let (entered, go) = (Gate::new(), Gate::new());
    let gates = (entered.clone(), go.clone());
    lab.cast(tell(move |lab, ctx| {
        Box::pin(async move {
            gates.0.open();
            gates.1.pass().await;
            let Tell::Do(job) = job else { return Ok(Next::go()) };
            job(lab, ctx).await
        })
    }))
    .unwrap();
    entered.pass().await;
    go
}

/// Row G1, clauses 10.1, 10.2: what is skipped stays in order, and is read in its turn.
#[tokio::test(start_paused = true)]
async fn what_is_skipped_stays_in_order() {
    let plan = Plan::default();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    let job = tell(|lab, ctx| {
        Box::pin(async move {
            for n in [3, 1] {
                ctx.receive(LONG, |m| is_say(m, n)).await.map_err(|e| ExitReason::error(e.to_string()))?;
                lab.log.push(format!("received {n}"));
            }
            Ok(Next::go())
        })
    });
    let go = begin(&lab, job).await;
    for n in 0..5 {
        lab.cast(Tell::Say(n)).unwrap();
    }
    go.open();
    lab.call(echo(9)).await.unwrap();
    assert_eq!(plan.log.take(), ["received 3", "received 1", "0", "2", "4", "9"]);
    assert_eq!(law(&lab).await.handled, 7);
}

/// Row G1, clause 10.1: it waits for what has not come yet, and no longer than its limit.
#[tokio::test(start_paused = true)]
async fn a_receive_has_a_time_limit() {
    let plan = Plan::default();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    let limits = || {
        ask(|lab, ctx, reply| {
            Box::pin(async move {
                let began = Instant::now();
                let zero = ctx.receive(Duration::ZERO, |m| is_say(m, 7)).await;
                assert!(matches!(zero, Err(ReceiveError::Timeout)) && began.elapsed().is_zero());
                let two = ctx.receive(Duration::from_secs(2), |m| is_say(m, 7)).await;
                assert!(
                    matches!(two, Err(ReceiveError::Timeout)) && began.elapsed() == Duration::from_secs(2)
                );
                lab.log.push("now");
                assert!(ctx.receive(Duration::MAX, |m| is_say(m, 7)).await.is_ok());
                reply.send(7);
                Ok(Next::go())
            })
        })
    };
    let call = tokio::spawn({
        let lab = lab.clone();
        async move { lab.call(limits()).timeout(LONG).await }
    });
    tokio::time::sleep(Duration::from_secs(30)).await;
    lab.cast(Tell::Say(6)).unwrap();
    lab.cast(Tell::Say(7)).unwrap();
    assert_eq!(call.await.unwrap(), Ok(7));
    settle().await;
    assert_eq!(plan.log.take(), ["now", "6"]);
    law(&lab).await;
}

/// Clause 10.5, failure mode 31: a selector keeps its place, and a mark skips what is older, whatever lies there.
#[tokio::test(start_paused = true)]
async fn what_was_looked_at_is_not_looked_at_again() {
    let lab = Server::<Lab>::settings().unbounded().start(Plan::default()).await.unwrap();
    let job = tell(|lab, ctx| {
        Box::pin(async move {
            let looked = std::sync::atomic::AtomicU32::new(0);
            let which = |m: &Message<Lab>| {
                looked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                matches!(m, Message::Cast(Tell::Say(_)))
            };
            let mut selector = ctx.select(&which);
            for _ in 0..3 {
                assert!(selector.next(Duration::ZERO).await.is_ok());
            }
            assert!(selector.next(Duration::ZERO).await.is_err());
            let first = looked.swap(0, std::sync::atomic::Ordering::Relaxed);
            assert!(selector.next(Duration::ZERO).await.is_err());
            let again = looked.swap(0, std::sync::atomic::Ordering::Relaxed);
            let mark = ctx.mark();
            ctx.server().cast(Tell::Say(8)).unwrap();
            assert!(ctx.receive_since(mark, Duration::ZERO, &which).await.is_ok());
            let since = looked.load(std::sync::atomic::Ordering::Relaxed);
            lab.log.push(format!("{first} {again} {since}"));
            Ok(Next::go())
        })
    });
    let go = begin(&lab, job).await;
    for n in 0..1000 {
        lab.cast(Tell::Add(1)).unwrap();
        if n % 400 == 0 {
            lab.cast(Tell::Say(n)).unwrap();
        }
    }
    go.open();
    let log = lab.call(ask(|lab, _, reply| {
        let log = lab.log.take();
        reply.send(lab.total);
        assert_eq!(log, ["1003 0 1"]);
        Box::pin(async { Ok(Next::go()) })
    }));
    assert_eq!(log.await, Ok(1000));
    law(&lab).await;
}

/// Clause 10.4: what is skipped keeps its room, and only the control lane gets past it.
#[tokio::test(start_paused = true)]
async fn what_is_skipped_keeps_its_room() {
    let plan = Plan::default();
    let lab = Server::<Lab>::settings().capacity(3).start(plan.clone()).await.unwrap();
    let job = tell(|lab, ctx| {
        Box::pin(async move {
            let got = ctx.receive(Duration::MAX, |m| is_say(m, 9)).await;
            lab.log.push(format!("received {}", got.is_ok()));
            Ok(Next::go())
        })
    });
    let go = begin(&lab, job).await;
    go.open();
    for n in 0..3 {
        lab.cast(Tell::Say(n)).unwrap();
        settle().await;
    }
    let refused = lab.cast(Tell::Say(9));
    assert!(
        matches!(refused, Err(SendError::Full(Tell::Say(9)))),
        "all three have been looked at and lie there"
    );
    lab.cast_with(Tell::Say(9), SendOptions::new().lane(Lane::Control)).unwrap();
    settle().await;
    assert_eq!(plan.log.take(), ["received true", "0", "1", "2"]);
    law(&lab).await;
}

/// Clauses 5.8, 10.3: survival: a crash in the middle leaves what was skipped at the front, in order, for the next
/// incarnation.
#[tokio::test(start_paused = true)]
async fn a_crash_in_the_middle_leaves_the_skipped_in_order() {
    let plan = Plan::default();
    let mailbox = Server::<Lab>::new("crashes");
    let lab = mailbox.start(plan.clone()).await.unwrap();
    let job = tell(|_, ctx| {
        Box::pin(async move {
            let _ = ctx.receive(LONG, |m| is_say(m, 2)).await;
            let _ = ctx.receive(Duration::from_secs(1), |m| is_say(m, 99)).await;
            panic!("boom")
        })
    });
    let go = begin(&lab, job).await;
    for n in 0..4 {
        lab.cast(Tell::Say(n)).unwrap();
    }
    go.open();
    assert!(is_panic(&lab.join().await.reason, "boom"));
    lab.cast(Tell::Say(4)).unwrap();
    plan.log.take();
    mailbox.start(plan.clone()).await.unwrap();
    lab.call(echo(5)).await.unwrap();
    assert_eq!(plan.log.take(), ["0", "1", "3", "4", "5"]);
    let ledger = law(&lab).await;
    assert_eq!((ledger.failed, ledger.handled), (1, 6));
}

/// Failure mode 7: a call during it defers what comes meanwhile, and drops nothing.
#[tokio::test(start_paused = true)]
async fn a_nested_call_defers_what_comes_meanwhile() {
    let plan = Plan::default();
    let other = start::<Lab>(Plan::default()).await.unwrap();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    let (entered, go) = (Gate::new(), Gate::new());
    let nested = {
        let (other, entered, go) = (other.clone(), entered.clone(), go.clone());
        tell(move |lab, ctx| {
            Box::pin(async move {
                let _ = ctx.receive(LONG, |m| is_say(m, 1)).await;
                lab.log.push(other.call(pass(&entered, &go)).timeout(LONG).await?);
                let _ = ctx.receive(LONG, |m| is_say(m, 3)).await;
                lab.log.push("received");
                Ok(Next::go())
            })
        })
    };
    lab.cast(nested).unwrap();
    lab.cast(Tell::Say(0)).unwrap();
    lab.cast(Tell::Say(1)).unwrap();
    entered.pass().await;
    lab.cast(Tell::Say(2)).unwrap();
    lab.cast(Tell::Say(3)).unwrap();
    go.open();
    lab.call(echo(4)).await.unwrap();
    assert_eq!(plan.log.take(), ["1", "received", "0", "2", "4"]);
    law(&lab).await;
    law(&other).await;
}

/// Clause 6.2, failure mode 6: a call whose caller gave up is not received; one whose time is over counts as expired.
#[tokio::test(start_paused = true)]
async fn dead_calls_are_not_received() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    let job = tell(|lab, ctx| {
        Box::pin(async move {
            let got = ctx.receive(Duration::ZERO, |m| matches!(m, Message::Call(_))).await;
            let Ok(Message::Call(call)) = got else { panic!("no call") };
            let Ask::Echo(n, reply) = call.into_call() else { panic!("another call") };
            lab.log.push(n);
            reply.send(n);
            Ok(Next::go())
        })
    });
    let go = begin(&lab, job).await;
    let call = |n| {
        let lab = lab.clone();
        tokio::spawn(async move { lab.call(echo(n)).await })
    };
    let (expired, gone) = (call(1), call(2));
    settle().await;
    gone.abort();
    assert_eq!(expired.await.unwrap(), Err(CallError::Timeout));
    let answered = call(3);
    settle().await;
    go.open();
    assert_eq!(answered.await.unwrap(), Ok(3));
    let ledger = law(&lab).await;
    assert_eq!((ledger.handled, ledger.expired, ledger.cancelled), (2, 1, 1));
}

/// Clause 10.6: a received call's caller hears of a crash as any caller in hand does.
#[tokio::test(start_paused = true)]
async fn a_received_call_is_in_hand() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    let job = tell(|_, ctx| {
        Box::pin(async move {
            let _call = ctx.receive(LONG, |m| matches!(m, Message::Call(_))).await;
            panic!("boom")
        })
    });
    let go = begin(&lab, job).await;
    go.open();
    let Err(CallError::Exited(reason)) = lab.call(echo(1)).await else { panic!("no reason") };
    assert!(is_panic(&reason, "boom"));
    lab.join().await;
    law(&lab).await;
}

/// Clauses 10.7, 12.5: notices of the control lane can be received; an order cannot, and waits for the handler's end.
#[tokio::test(start_paused = true)]
async fn a_down_notice_can_be_received() {
    let plan = Plan::default();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    let other = start::<Lab>(Plan::default()).await.unwrap();
    let watched = other.clone();
    let job = tell(move |lab, ctx| {
        Box::pin(async move {
            ctx.monitor(&watched, Watch::Incarnation, |event| say(format!("{event:?}")));
            watched.cast(Tell::Stop(ExitReason::Shutdown)).map_err(|e| ExitReason::error(e.to_string()))?;
            let notice = ctx.receive(LONG, |m| matches!(m, Message::Notice(_))).await;
            lab.log.push(format!("down {}", notice.is_ok()));
            assert!(matches!(
                ctx.receive(Duration::from_secs(1), |m| matches!(m, Message::Order(_))).await,
                Err(ReceiveError::Timeout)
            ));
            lab.log.push("end");
            Ok(Next::go())
        })
    });
    let go = begin(&lab, job).await;
    lab.cast(Tell::Say(1)).unwrap();
    go.open();
    settle().await;
    assert_eq!(lab.stop(ExitReason::Shutdown, LONG).await, Ok(()));
    assert_eq!(plan.log.take(), ["down true", "end", "terminate: shutdown"]);
    law(&lab).await;
    law(&other).await;
}

/// A receive in a closed mailbox gets what is there, and then hears of it.
#[tokio::test(start_paused = true)]
async fn a_receive_hears_of_the_closing() {
    let plan = Plan::default();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    let job = tell(|lab, ctx| {
        Box::pin(async move {
            let got = ctx.receive(Duration::MAX, |m| is_say(m, 1)).await.is_ok();
            let end = ctx.receive(Duration::MAX, |m| is_say(m, 1)).await.map(drop);
            lab.log.push(format!("{got} {end:?}"));
            Ok(Next::go())
        })
    });
    let go = begin(&lab, job).await;
    go.open();
    settle().await;
    lab.cast(Tell::Say(0)).unwrap();
    lab.cast(Tell::Say(1)).unwrap();
    lab.close(ExitReason::Normal);
    lab.join().await;
    assert_eq!(plan.log.take(), ["true Err(Closed)", "0", "terminate: normal"]);
    law(&lab).await;
}

/// Cancel safety of `receive`: dropped midway, it loses nothing.
#[tokio::test(start_paused = true)]
async fn a_receive_that_is_dropped_loses_nothing() {
    let plan = Plan::default();
    let log = plan.log.clone();
    let lab = start::<Lab>(plan).await.unwrap();
    let job = tell(|lab, ctx| {
        Box::pin(async move {
            for _ in 0..3 {
                let limit = Duration::from_millis(10);
                let receive = ctx.receive(Duration::MAX, |m| is_say(m, 5));
                assert!(tokio::time::timeout(limit, receive).await.is_err());
            }
            lab.log.push("gave up");
            Ok(Next::go())
        })
    });
    let go = begin(&lab, job).await;
    go.open();
    lab.cast(Tell::Say(1)).unwrap();
    tokio::time::sleep(Duration::from_millis(15)).await;
    lab.cast(Tell::Say(2)).unwrap();
    lab.call(echo(3)).await.unwrap();
    assert_eq!(log.take(), ["gave up", "1", "2", "3"]);
    law(&lab).await;
}
