//! Timers and the idle time-out.

use crate::support::{Ask, Gate, Lab, Plan, Tell, ask, echo, law, say, settle, tell};
use restante_genserver::{
    Context, Every, ExitReason, GenServer, Init, Next, Reply, Server, ServerRef, Step, start,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// Runs `f` in a handler.
async fn within(lab: &ServerRef<Lab>, f: impl FnOnce(&mut Context<Lab>) + Send + 'static) {
    lab.cast(tell(move |_, ctx| {
        f(ctx);
        Box::pin(async { Ok(Next::go()) })
    }))
    .unwrap();
    lab.call(Ask::Total).await.unwrap();
}

/// Row G1, clauses 9.4, 9.6, 17.4: `send_after` fires once, in time; zero at once, `Duration::MAX` never.
#[tokio::test(start_paused = true)]
async fn a_timer_fires_once() {
    let plan = Plan::default();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    within(&lab, |ctx| {
        ctx.send_after(secs(3), say("three"));
        ctx.send_after(secs(1), say("one"));
        ctx.send_after(Duration::ZERO, say("zero"));
        ctx.send_after(Duration::MAX, say("never"));
    })
    .await;
    settle().await;
    assert_eq!(plan.log.take(), ["zero"]);
    sleep(Duration::from_millis(999)).await;
    assert!(plan.log.take().is_empty());
    sleep(Duration::from_millis(2)).await;
    assert_eq!(plan.log.take(), ["one"]);
    sleep(secs(1_000_000)).await;
    assert_eq!(plan.log.take(), ["three"]);
    assert_eq!(law(&lab).await.sent, 2, "ticks are no messages");
}

/// Clause 9.3: `apply_interval`: a fixed rate keeps its grid, skipping what a slow handler missed.
#[tokio::test(start_paused = true)]
async fn a_fixed_rate_keeps_its_grid() {
    let plan = Plan::default();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    let t0 = Instant::now();
    within(&lab, move |ctx| {
        ctx.send_every(Every::FixedRate(secs(10)), move || say(t0.elapsed().as_secs().to_string()));
    })
    .await;
    sleep(secs(21)).await;
    assert_eq!(plan.log.take(), ["10", "20"]);
    within(&lab, |_| ()).await;
    lab.cast(tell(|_, _| {
        Box::pin(async {
            sleep(secs(25)).await;
            Ok(Next::go())
        })
    }))
    .unwrap();
    sleep(secs(30)).await;
    assert_eq!(plan.log.take(), ["46", "50"]);
    law(&lab).await;
}

/// Clause 9.3: `apply_repeatedly`: a fixed delay counts from the end of the last tick's handler and catches up no backlog.
#[tokio::test(start_paused = true)]
async fn a_fixed_delay_counts_from_the_last_tick() {
    let plan = Plan::default();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    let t0 = Instant::now();
    within(&lab, move |ctx| {
        ctx.send_every(Every::FixedDelay(secs(10)), move || say(t0.elapsed().as_secs().to_string()));
    })
    .await;
    lab.cast(tell(|_, _| {
        Box::pin(async {
            sleep(secs(25)).await;
            Ok(Next::go())
        })
    }))
    .unwrap();
    sleep(secs(46)).await;
    assert_eq!(plan.log.take(), ["25", "35", "45"]);
    law(&lab).await;
}

/// Clause 9.1: a key belongs to its latest timer; a timer that is due already can still be cancelled.
#[tokio::test(start_paused = true)]
async fn a_timer_is_cancelled_though_due() {
    let plan = Plan::default();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    within(&lab, |ctx| {
        let first = ctx.send_after(secs(1), say("first"));
        ctx.key_timer("k", first);
        let second = ctx.send_after(secs(1), say("second"));
        ctx.key_timer("k", second);
        assert!(!ctx.cancel_timer(first), "replaced");
        assert!(!ctx.cancel_timer_key("other"));
    })
    .await;
    sleep(secs(2)).await;
    assert_eq!(plan.log.take(), ["second"]);
    let late = ask(|lab, ctx, reply| {
        let id = ctx.send_after(secs(1), say("late"));
        lab.log.push("set");
        Box::pin(async move {
            sleep(secs(5)).await;
            reply.send(u64::from(ctx.cancel_timer(id)));
            Ok(Next::go())
        })
    });
    assert_eq!(lab.call(late).timeout(secs(9)).await, Ok(1), "due for 4 s, and cancelled");
    sleep(secs(9)).await;
    assert_eq!(plan.log.take(), ["set"]);
    law(&lab).await;
}

/// Clauses 5.6, 9.1: survival: the timers of an incarnation end with it, and their ticks with them.
#[tokio::test(start_paused = true)]
async fn no_tick_reaches_a_later_incarnation() {
    let plan = Plan::default();
    let mailbox = Server::<Lab>::new("timed");
    let lab = mailbox.start(plan.clone()).await.unwrap();
    for end in [Tell::Boom, Tell::Stop(restante_genserver::ExitReason::Normal)] {
        within(&lab, |ctx| {
            ctx.send_after(secs(1), say("once"));
            ctx.send_every(Every::FixedRate(secs(1)), || say("rate"));
            ctx.send_every(Every::FixedDelay(secs(1)), || say("delay"));
        })
        .await;
        // Due already when the end comes.
        lab.cast(tell(|_, _| {
            Box::pin(async {
                sleep(secs(2)).await;
                Ok(Next::go())
            })
        }))
        .unwrap();
        lab.cast_with(end, restante_genserver::SendOptions::new().lane(restante_genserver::Lane::High))
            .unwrap();
        lab.join().await;
        mailbox.start(plan.clone()).await.unwrap();
        plan.log.take();
        sleep(secs(9)).await;
        assert!(plan.log.take().is_empty());
    }
    law(&lab).await;
}

/// Clause 9.2, failure mode 24: timers fire again and again under a flood of messages, and an order is heard. (Within how
/// many messages: `rounds`.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_fire_under_a_flood() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    let fired = Gate::new();
    let handled_at_tick = Arc::new(AtomicU64::new(0));
    let flooding = tokio::spawn({
        let lab = lab.clone();
        async move { while lab.send(Tell::Add(1)).await.is_ok() {} }
    });
    let (gate, at) = (fired.clone(), Arc::clone(&handled_at_tick));
    lab.send(tell(move |_, ctx| {
        let stats = ctx.server();
        ctx.send_every(Every::FixedRate(Duration::from_millis(1)), move || {
            at.store(stats.stats().ledger.handled, Ordering::SeqCst);
            gate.open();
            say("tick")
        });
        Box::pin(async { Ok(Next::go()) })
    }))
    .await
    .unwrap();
    for _ in 0..5 {
        tokio::time::timeout(secs(5), fired.pass()).await.expect("a tick under the flood");
    }
    let stop = lab.stop(restante_genserver::ExitReason::Shutdown, secs(5)).await;
    assert_eq!(stop, Ok(()), "a stop overtakes the flood");
    flooding.await.unwrap();
    assert!(handled_at_tick.load(Ordering::SeqCst) > 0);
    law(&lab).await;
}

fn idle_for(after: Duration) -> Plan {
    Plan::default()
        .init(move |plan, _| Box::pin(async move { Ok(Init::idle_timeout(Lab::new(plan), after)) }))
}

/// Row G1, clause 9.5: the idle time-out fires once, and any message ends it.
#[tokio::test(start_paused = true)]
async fn a_message_ends_the_idle_timeout() {
    let plan = idle_for(secs(10));
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    sleep(secs(9)).await;
    lab.call(echo(1)).await.unwrap();
    sleep(secs(100)).await;
    assert_eq!(plan.log.take(), ["1"]);
    lab.cast(tell(|_, _| Box::pin(async { Ok(Next::idle_timeout(secs(5))) }))).unwrap();
    sleep(secs(100)).await;
    assert_eq!(plan.log.take(), ["timeout"], "once");
    law(&lab).await;
}

/// Clause 9.5: zero: only if nothing waits; `Duration::MAX`: never.
#[tokio::test(start_paused = true)]
async fn an_idle_timeout_of_zero_asks_whether_anything_waits() {
    let plan = Plan::default();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    let (entered, go) = (Gate::new(), Gate::new());
    let gates = (entered.clone(), go.clone());
    lab.cast(tell(move |_, _| {
        Box::pin(async move {
            gates.0.open();
            gates.1.pass().await;
            Ok(Next::idle_timeout(Duration::ZERO))
        })
    }))
    .unwrap();
    entered.pass().await;
    lab.cast(Tell::Say(1)).unwrap();
    go.open();
    settle().await;
    assert_eq!(plan.log.take(), ["1"]);
    lab.cast(tell(|_, _| Box::pin(async { Ok(Next::idle_timeout(Duration::ZERO)) }))).unwrap();
    settle().await;
    assert_eq!(plan.log.take(), ["timeout"]);
    lab.cast(tell(|_, _| Box::pin(async { Ok(Next::idle_timeout(Duration::MAX)) }))).unwrap();
    sleep(secs(1_000_000)).await;
    assert!(plan.log.take().is_empty());
    law(&lab).await;
}

/// Clause 9.5: differs from `gen_server`: what no handler sees (a look, a skipped call) neither ends nor extends the
/// idle time-out.
#[tokio::test(start_paused = true)]
async fn what_no_handler_sees_does_not_touch_the_idle_timeout() {
    let plan = idle_for(secs(10));
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    let began = Instant::now();
    sleep(secs(6)).await;
    law(&lab).await;
    lab.stats();
    // Sent, and its caller gone before the server gets to it.
    let mut call = Box::pin(lab.call(echo(1)).caller_runs(restante_genserver::CallerRuns::Never));
    assert!(futures::poll!(call.as_mut()).is_pending());
    drop(call);
    settle().await;
    assert_eq!(law(&lab).await.cancelled, 1);
    while plan.log.len() == 0 && began.elapsed() < secs(60) {
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(plan.log.take(), ["timeout"]);
    assert!(began.elapsed() < secs(11));
}

/// Panics in its drop, whatever unwinds already.
struct Rude;
impl Drop for Rude {
    fn drop(&mut self) {
        panic!("a rude drop");
    }
}

/// Sets timers and a trap that all hold something rude.
struct Sets;
impl GenServer for Sets {
    type Args = ();
    type Call = Reply<()>;
    type Cast = ();
    type Info = Rude;
    async fn init((): &(), ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        let make = || {
            let rude = Rude;
            move || {
                let _ = &rude;
                panic!("a rude closure")
            }
        };
        for n in 1..4 {
            ctx.send_after(secs(n * 1000), Rude);
            ctx.send_every(Every::FixedRate(secs(n * 100)), make());
            ctx.at_exit(std::future::pending());
        }
        let never = make();
        ctx.trap_exit(move |_| never());
        Ok(Init::ok(Self))
    }
    async fn handle_call(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Step {
        reply.send(());
        Ok(Next::go())
    }
}

/// Clauses 13.9, 17.6: what an ending server's timers and closures hold goes one by one, so that two that panic in their drop do not
/// end the program; nor does a closure that panics and then does so in its drop.
#[tokio::test(start_paused = true)]
async fn rude_timers_go_one_by_one() {
    let at = start::<Sets>(()).await.unwrap();
    assert_eq!(at.stop(ExitReason::Normal, secs(1)).await, Ok(()));
    let at = start::<Sets>(()).await.unwrap();
    let exit = at.join().await;
    assert!(exit.reason.to_string().contains("a rude closure"), "{exit:?}");
}
