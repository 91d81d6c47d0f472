//! Casts and infos, and what the mailbox's settings do to them.

use crate::support::{Ask, Gate, LONG, Lab, Log, Plan, Tell, echo, law, pass, say, settle, tell};
use restante_core::monitor::Watch;
use restante_core::{Mailbox, RateLimit};
use restante_genserver::{
    CallError, Coalesce, DeadCause, DeadLetter, ExitReason, Lane, Message, Next, Overflow, SendError,
    SendOptions, Server, ServerRef, start,
};
use std::task::Poll;
use std::time::Duration;

fn lane(lane: Lane) -> SendOptions {
    SendOptions::new().lane(lane)
}

/// A server of these settings whose handler is busy until the gate opens.
async fn busy(settings: restante_genserver::ServerSettings<Lab>) -> (ServerRef<Lab>, Log, Gate) {
    let plan = Plan::default();
    let lab = settings.start(plan.clone()).await.unwrap();
    let (entered, go) = (Gate::new(), Gate::new());
    let gates = (entered.clone(), go.clone());
    lab.cast(tell(move |_, _| {
        Box::pin(async move {
            gates.0.open();
            gates.1.pass().await;
            Ok(Next::go())
        })
    }))
    .unwrap();
    entered.pass().await;
    (lab, plan.log, go)
}

/// Row D1, clause 2.1: casts, infos and calls of one sender are handled in the order in which they were sent, one at a
/// time.
#[tokio::test(start_paused = true)]
async fn one_senders_messages_keep_their_order() {
    let (lab, log, go) = busy(Server::settings()).await;
    for n in 0..50 {
        lab.cast(Tell::Say(2 * n)).unwrap();
        lab.info(say((2 * n + 1).to_string())).unwrap();
    }
    go.open();
    lab.call(echo(100)).await.unwrap();
    assert_eq!(log.take(), (0..=100).map(|n| n.to_string()).collect::<Vec<_>>());
    law(&lab).await;
}

/// Row D5, clause 2.2: control > high > normal > low.
#[tokio::test(start_paused = true)]
async fn higher_lanes_are_read_first() {
    let (lab, log, go) = busy(Server::settings()).await;
    for (n, l) in [(4, Lane::Low), (3, Lane::Normal), (2, Lane::High), (1, Lane::Control)] {
        lab.cast_with(Tell::Say(n), lane(l)).unwrap();
        lab.info_with(say(format!("info {n}")), lane(l)).unwrap();
    }
    go.open();
    lab.stop(ExitReason::Normal, LONG).await.unwrap();
    let read = log.take();
    assert_eq!(read[..2], ["1", "info 1"], "the stop stands behind what was in the control lane before");
    assert_eq!(read[2], "terminate: normal");
    assert_eq!(law(&lab).await.dead_lettered, 6);
}

/// Row D5, clause 2.3: low is read at least once in so many messages.
#[tokio::test(start_paused = true)]
async fn the_low_lane_does_not_starve() {
    let (lab, log, go) = busy(Server::settings().starvation_bound(4)).await;
    for n in 0..40 {
        lab.cast_with(Tell::Say(n), lane(Lane::High)).unwrap();
    }
    lab.cast_with(Tell::Say(99), lane(Lane::Low)).unwrap();
    go.open();
    lab.call(echo(100)).await.unwrap();
    let at = log.take().iter().position(|e| e == "99").unwrap();
    assert!(at <= 4, "read at {at}");
    law(&lab).await;
}

/// Row D4, clauses 1.5, 3.5: refusals are variants of their own and give the message back.
#[tokio::test(start_paused = true)]
async fn a_full_mailbox_gives_the_cast_back() {
    let (lab, log, go) = busy(Server::settings().capacity(1)).await;
    lab.cast(Tell::Say(1)).unwrap();
    assert!(matches!(lab.cast(Tell::Say(2)), Err(SendError::Full(Tell::Say(2)))));
    assert!(matches!(lab.info(say("x")), Err(SendError::Full(_))));
    let timed = lab.send_timeout(Tell::Say(3), Duration::from_secs(1)).await;
    assert!(matches!(timed, Err(SendError::Timeout(Tell::Say(3)))));
    let tried = lab.send_timeout(Tell::Say(3), Duration::ZERO).await;
    assert!(matches!(tried, Err(SendError::Timeout(Tell::Say(3)) | SendError::Full(Tell::Say(3)))));
    lab.cast_with(Tell::Say(0), lane(Lane::Control)).expect("control is never full");
    let waits = tokio::spawn({
        let lab = lab.clone();
        async move {
            lab.send(Tell::Say(4)).await.unwrap();
            lab.reserve().await.unwrap().send(Tell::Say(5)).unwrap();
            lab.send_timeout(Tell::Say(6), Duration::MAX).await.unwrap();
            lab.send_info(say("7")).await.unwrap();
        }
    });
    settle().await;
    go.open();
    waits.await.unwrap();
    lab.call(echo(8)).await.unwrap();
    assert_eq!(log.take(), ["0", "1", "4", "5", "6", "7", "8"]);
    law(&lab).await;
}

/// Clauses 3.1, 3.4: a permit holds its slot against everybody, and gives it back when it is dropped.
#[tokio::test(start_paused = true)]
async fn a_permit_holds_a_slot() {
    let (lab, log, go) = busy(Server::settings().capacity(1)).await;
    let permit = lab.reserve().await.unwrap();
    assert!(lab.cast(Tell::Say(1)).is_err());
    drop(permit);
    lab.cast(Tell::Say(2)).unwrap();
    let cancelled = tokio::time::timeout(Duration::from_secs(1), lab.reserve()).await;
    assert!(cancelled.is_err());
    go.open();
    let permit = lab.reserve().await.unwrap();
    lab.close(ExitReason::Shutdown);
    assert!(matches!(permit.send(Tell::Say(3)), Err(SendError::Closed(_))));
    lab.join().await;
    assert_eq!(log.take(), ["2", "terminate: shutdown"]);
    law(&lab).await;
}

/// Clause 3.11: a plain thread sends, waiting for room.
#[test]
fn a_plain_thread_may_wait_for_room() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (lab, _, go) = rt.block_on(busy(Server::settings().capacity(1)));
    lab.send_blocking(Tell::Add(1), Duration::ZERO).unwrap();
    let short = lab.send_blocking(Tell::Add(1), Duration::from_millis(5));
    assert!(matches!(short, Err(SendError::Timeout(_))));
    let thread = std::thread::spawn({
        let lab = lab.clone();
        move || lab.send_blocking(Tell::Add(2), Duration::MAX)
    });
    go.open();
    thread.join().unwrap().unwrap();
    assert_eq!(lab.call_blocking(Ask::Total), Ok(3));
    rt.block_on(law(&lab));
}

fn dead_letters() -> (Mailbox<DeadLetter<Message<Lab>>>, restante_genserver::ServerSettings<Lab>) {
    let dead = Mailbox::<DeadLetter<Message<Lab>>>::new();
    let settings = Server::<Lab>::settings().dead_letters(dead.address().recipient());
    (dead, settings)
}

/// Row D4, clauses 4.2, 4.5: a message whose time is over is not handled, but counted and dead-lettered.
#[tokio::test(start_paused = true)]
async fn expired_messages_are_dead_lettered() {
    let (dead, settings) = dead_letters();
    let (lab, log, go) = busy(settings.ttl(Duration::from_secs(10))).await;
    lab.cast(Tell::Say(1)).unwrap();
    lab.cast_with(Tell::Say(2), SendOptions::new().ttl(Duration::MAX)).unwrap();
    let zero = lab.cast_with(Tell::Say(3), SendOptions::new().ttl(Duration::ZERO));
    assert!(matches!(zero, Err(SendError::Expired(_))));
    let past = SendOptions::new().deadline(tokio::time::Instant::now());
    assert!(matches!(lab.cast_with(Tell::Say(4), past), Err(SendError::Expired(_))));
    tokio::time::sleep(Duration::from_secs(10)).await;
    go.open();
    settle().await;
    assert_eq!(log.take(), ["2"]);
    let mut reader = dead.receiver().unwrap();
    let letter = reader.receive().await.unwrap();
    assert_eq!(letter.cause, DeadCause::Expired);
    assert!(matches!(letter.body, Some(Message::Cast(Tell::Say(1)))));
    assert_eq!(law(&lab).await.expired, 1);
}

/// Row D4, clause 3.10: limits by weight.
#[tokio::test(start_paused = true)]
async fn a_mailbox_may_be_bounded_by_weight() {
    let weigh = |m: &Message<Lab>| match m {
        Message::Cast(Tell::Add(n)) => u32::try_from(*n).unwrap(),
        _ => 1,
    };
    let (lab, _, go) = busy(Server::settings().weight_limit(10, weigh)).await;
    lab.cast(Tell::Add(7)).unwrap();
    assert!(matches!(lab.cast(Tell::Add(4)), Err(SendError::Full(_))));
    assert!(matches!(lab.cast(Tell::Add(11)), Err(SendError::TooHeavy { weight: 11, limit: 10, .. })));
    let heavy = lab.call(Ask::Total).options(SendOptions::new().weight(12)).await;
    assert_eq!(heavy, Err(CallError::TooHeavy { weight: 12, limit: 10 }));
    lab.cast(Tell::Add(3)).unwrap();
    assert_eq!(lab.stats().weight, 10);
    go.open();
    lab.send(Tell::Add(10)).await.unwrap();
    assert_eq!(lab.call(Ask::Total).await, Ok(20));
    assert_eq!(lab.stats().weight, 0);
    law(&lab).await;
}

/// Row D4, clauses 3.7, 4.6, 6.6: the oldest of the lowest lane makes room; its caller, its dead-letter mailbox and the
/// counters know.
#[tokio::test(start_paused = true)]
async fn shedding_is_never_silent() {
    let (dead, settings) = dead_letters();
    let (lab, log, go) = busy(settings.capacity(2).overflow(Overflow::shed_oldest())).await;
    let shed = tokio::spawn({
        let lab = lab.clone();
        async move { lab.call(echo(1)).timeout(Duration::MAX).await }
    });
    settle().await;
    lab.cast_with(Tell::Say(2), lane(Lane::High)).unwrap();
    lab.cast_with(Tell::Say(3), lane(Lane::High)).unwrap();
    assert!(matches!(shed.await.unwrap(), Err(CallError::Shed)), "told at once");
    let low = lab.cast(Tell::Say(4));
    assert!(matches!(low, Err(SendError::Shed(Tell::Say(4)))), "itself worth least");
    go.open();
    settle().await;
    lab.cast(Tell::Stop(ExitReason::Normal)).unwrap();
    lab.join().await;
    assert_eq!(log.take(), ["2", "3", "terminate: normal"]);
    assert_eq!(dead.receiver().unwrap().receive().await.unwrap().cause, DeadCause::Shed);
    assert_eq!(law(&lab).await.shed, 1);
}

/// Row D4, clauses 3.6, 3.8: reject, and hand to a fallback mailbox.
#[tokio::test(start_paused = true)]
async fn a_full_mailbox_may_reject_or_divert() {
    let (lab, _, go) = busy(Server::settings().capacity(1).overflow(Overflow::reject())).await;
    lab.cast(Tell::Add(1)).unwrap();
    assert!(matches!(lab.send(Tell::Add(1)).await, Err(SendError::Full(_))), "nobody waits");
    assert_eq!(lab.call(Ask::Total).await, Err(CallError::Full));
    go.open();
    law(&lab).await;

    let other = Mailbox::<Message<Lab>>::new();
    let fallback = Overflow::fallback(other.address().recipient());
    let (lab, _, go) = busy(Server::settings().capacity(1).overflow(fallback)).await;
    lab.cast(Tell::Add(1)).unwrap();
    lab.cast(Tell::Add(2)).unwrap();
    assert_eq!(law_later(&lab, &go).await.diverted, 1);
    assert!(matches!(other.receiver().unwrap().receive().await, Ok(Message::Cast(Tell::Add(2)))));
}

async fn law_later(lab: &ServerRef<Lab>, go: &Gate) -> restante_genserver::Ledger {
    go.open();
    settle().await;
    law(lab).await
}

/// Row D2, clause 4.3: of messages with one key the newest waits, in the older one's place or at the back.
#[tokio::test(start_paused = true)]
async fn messages_of_one_key_coalesce() {
    for (place, expected) in [(Coalesce::KeepPlace, ["3", "2"]), (Coalesce::MoveBack, ["2", "3"])] {
        let (lab, log, go) = busy(Server::settings().coalesce(place)).await;
        let key = SendOptions::new().key(7_u64);
        lab.cast_with(Tell::Say(1), key).unwrap();
        lab.cast(Tell::Say(2)).unwrap();
        lab.cast_with(Tell::Say(3), key).unwrap();
        assert_eq!(law_later(&lab, &go).await.coalesced, 1);
        assert_eq!(log.take(), expected);
    }
}

/// Row D2, clauses 4.4, 4.6: a server throws out queued messages of its own; their callers hear of it.
#[tokio::test(start_paused = true)]
async fn a_server_may_purge_its_mailbox() {
    let (lab, log, go) = busy(Server::settings()).await;
    lab.cast(tell(|lab, ctx| {
        let purged = ctx.purge(|m| matches!(m, Message::Call(_) | Message::Cast(Tell::Say(1))));
        lab.log.push(format!("purged {purged}"));
        Box::pin(async { Ok(Next::go()) })
    }))
    .unwrap();
    lab.cast(Tell::Say(1)).unwrap();
    lab.cast(Tell::Say(2)).unwrap();
    let call = tokio::spawn({
        let lab = lab.clone();
        async move { lab.call(echo(3)).await }
    });
    settle().await;
    go.open();
    assert_eq!(call.await.unwrap(), Err(CallError::NoReply));
    settle().await;
    assert_eq!(log.take(), ["purged 2", "2"]);
    assert_eq!(law(&lab).await.purged, 2);
}

/// Row D4, clause 3.9: so many per time.
#[tokio::test(start_paused = true)]
async fn a_mailbox_may_be_rate_limited() {
    let limit = RateLimit { burst: 2, period: Duration::from_secs(1) };
    let lab =
        Server::<Lab>::settings().rate_limit(limit.burst, limit.period).start(Plan::default()).await.unwrap();
    lab.cast(Tell::Add(1)).unwrap();
    lab.cast(Tell::Add(1)).unwrap();
    let Err(SendError::RateLimited { retry_after, .. }) = lab.cast(Tell::Add(1)) else {
        panic!("let through")
    };
    tokio::time::sleep(retry_after).await;
    lab.cast(Tell::Add(1)).unwrap();
    settle().await;
    assert_eq!(law(&lab).await.handled, 3);
}

/// Clauses 4.5, 4.6: what waits when the mailbox closes goes to the dead-letter mailbox; callers among them hear the
/// reason.
#[tokio::test(start_paused = true)]
async fn what_is_left_at_the_closing_is_dead_lettered() {
    let (dead, settings) = dead_letters();
    let lab = settings.start(Plan::default()).await.unwrap();
    let (entered, go) = (Gate::new(), Gate::new());
    let in_hand = tokio::spawn({
        let (lab, make) = (lab.clone(), pass(&entered, &go));
        async move { lab.call(make).await }
    });
    entered.pass().await;
    lab.cast(Tell::Say(1)).unwrap();
    let queued = tokio::spawn({
        let lab = lab.clone();
        async move { lab.call(echo(2)).await }
    });
    settle().await;
    lab.kill();
    lab.join().await;
    assert_eq!(in_hand.await.unwrap(), Err(CallError::Exited(ExitReason::Killed)));
    // The letter holds the call and its reply: the caller is told all the same, and no other caller is.
    assert_eq!(queued.await.unwrap(), Err(CallError::Exited(ExitReason::Killed)));
    let mut reader = dead.receiver().unwrap();
    for _ in 0..2 {
        let letter = reader.receive().await.unwrap();
        assert_eq!(letter.cause, DeadCause::Closed(ExitReason::Killed));
        if let Some(Message::Call(call)) = letter.body {
            let Ask::Echo(2, reply) = call.into_call() else { panic!("another call") };
            assert!(!reply.send(5), "too late");
        }
    }
    assert_eq!(law(&lab).await.dead_lettered, 2);
}

/// Clause 9.7: however much waits for a server, other tasks of its runtime have their turn.
#[tokio::test]
async fn a_turn_ends_by_time() {
    let lab = Server::<Lab>::settings().unbounded().start(Plan::default()).await.unwrap();
    // Before the server in the queue: it sees every turn.
    let looks = tokio::spawn({
        let lab = lab.clone();
        async move {
            let (mut handled, mut most) = (0, 0);
            while handled < 200 {
                // To the back of the queue that the server's task is in. (After `yield_now` that one has many turns.)
                let mut yielded = false;
                std::future::poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                let now = lab.stats().ledger.handled;
                most = most.max(now - handled);
                handled = now;
            }
            most
        }
    });
    for _ in 0..200 {
        lab.cast(tell(|_, _| {
            Box::pin(async {
                let began = std::time::Instant::now();
                while began.elapsed() < Duration::from_millis(1) {
                    std::hint::spin_loop();
                }
                Ok(Next::go())
            })
        }))
        .unwrap();
    }
    let most = looks.await.unwrap();
    // Of a millisecond each: 8 and a look at the coarse clock, every 16.
    assert!(most <= 48, "{most} in one turn");
    law(&lab).await;
}

/// Clause 12.4: a monitor that is told of the end, and a caller that joins, find the mailbox that closes with its server
/// settled.
#[tokio::test(start_paused = true)]
async fn a_mailbox_is_settled_before_its_servers_end_is_told() {
    let (dead, settings) = dead_letters();
    let (lab, _, _go) = busy(settings).await;
    for n in 0..3 {
        lab.cast(Tell::Say(n)).unwrap();
    }
    let (tell, told) = tokio::sync::oneshot::channel();
    let (mut tell, letters) = (Some(tell), dead.address());
    lab.monitor(Watch::Incarnation, move |_| {
        tell.take().map(|tell| tell.send(letters.stats().depth));
    });
    lab.kill();
    assert_eq!(told.await, Ok(3));
    assert_eq!(law(&lab).await.dead_lettered, 3);
}

/// Recipients hide the server's type.
#[tokio::test(start_paused = true)]
async fn recipients_take_casts_and_infos() {
    let plan = Plan::default();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    lab.cast_recipient().try_send(Tell::Say(1)).unwrap();
    lab.info_recipient().try_send(say("2")).unwrap();
    lab.call(Ask::Total).await.unwrap();
    assert_eq!(plan.log.take(), ["1", "2"]);
    lab.close(ExitReason::Normal);
    assert!(lab.cast_recipient().is_closed());
    assert!(matches!(lab.info_recipient().try_send(say("3")), Err(SendError::Closed(_))));
    lab.join().await;
    law(&lab).await;
}
