//! Whose turn it is: orders, ticks and messages, however long the handlers of ticks take.

use crate::support::{Boxed, LONG, Log, settle};
use restante_genserver::{
    Context, Every, ExitReason, GenServer, InHand, Init, Lane, Next, Redeliver, Reply, SendOptions, Server,
    ServerRef, ServerSettings, Step, ThreadPool, start,
};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);

/// What a handler does, and what it says at its end.
type Job = Arc<dyn Fn(&mut Clock, &mut Context<Clock>) -> Boxed<'static, Next> + Send + Sync>;

/// A server that does what its messages and ticks say.
struct Clock {
    log: Log,
    proceed: Option<Job>,
    timeout: Option<Job>,
}

struct Ping(Reply<u64>);

impl GenServer for Clock {
    type Args = Log;
    type Call = Ping;
    type Cast = Job;
    type Info = Job;

    async fn init(log: &Log, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self { log: log.clone(), proceed: None, timeout: None }))
    }
    async fn handle_call(&mut self, Ping(reply): Ping, _: &mut Context<Self>) -> Step {
        reply.send(1);
        Ok(Next::go())
    }
    async fn handle_cast(&mut self, job: Job, ctx: &mut Context<Self>) -> Step {
        Ok(job(self, ctx).await)
    }
    async fn handle_info(&mut self, job: Job, ctx: &mut Context<Self>) -> Step {
        Ok(job(self, ctx).await)
    }
    async fn handle_continue(&mut self, ctx: &mut Context<Self>) -> Step {
        match self.proceed.clone() {
            Some(job) => Ok(job(self, ctx).await),
            None => Ok(Next::go()),
        }
    }
    async fn handle_timeout(&mut self, ctx: &mut Context<Self>) -> Step {
        match self.timeout.clone() {
            Some(job) => Ok(job(self, ctx).await),
            None => Ok(Next::go()),
        }
    }
    async fn terminate(&mut self, reason: &ExitReason, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.log.push(format!("terminate: {reason}"));
        Ok(())
    }
}

impl Redeliver for Clock {
    fn retry_call(_: &Ping) -> Option<Ping> {
        None
    }
    fn retry_cast(job: &Job) -> Option<Job> {
        Some(Arc::clone(job))
    }
}

fn job(f: impl Fn(&mut Clock, &mut Context<Clock>) -> Boxed<'static, Next> + Send + Sync + 'static) -> Job {
    Arc::new(f)
}

/// One that does something at once.
fn now(f: impl Fn(&mut Clock, &mut Context<Clock>) + Send + Sync + 'static) -> Job {
    job(move |clock, ctx| {
        f(clock, ctx);
        Box::pin(async { Next::go() })
    })
}

/// One that says so in the log, and waits for so long.
fn slow(name: &'static str, takes: Duration) -> Job {
    job(move |clock, _| {
        clock.log.push(name);
        Box::pin(async move {
            sleep(takes).await;
            Next::go()
        })
    })
}

/// Is set again by its own tick, and takes five times as long.
fn anew(ctx: &mut Context<Clock>, after: Duration) {
    let tick = job(move |clock, ctx| {
        clock.log.push("anew");
        anew(ctx, after);
        Box::pin(async move {
            sleep(5 * after.max(MS)).await;
            Next::go()
        })
    });
    ctx.send_after(after, tick);
}

/// Ways to be always due.
fn greedy() -> Vec<(&'static str, Job)> {
    let every = |every: Every, takes| {
        now(move |_, ctx| {
            ctx.send_every(every, move || slow("tick", takes));
        })
    };
    let rate = |period| Every::FixedRate(period);
    vec![
        ("a fixed rate", every(rate(100 * MS), 120 * MS)),
        ("a fixed rate, exactly", every(rate(100 * MS), 100 * MS)),
        ("a fixed delay", every(Every::FixedDelay(MS), 120 * MS)),
        (
            "two of 60 % each",
            now(move |_, ctx| {
                ctx.send_every(rate(100 * MS), || slow("a", 60 * MS));
                ctx.send_every(rate(100 * MS), || slow("b", 60 * MS));
            }),
        ),
        ("one that is set anew", now(|_, ctx| anew(ctx, MS))),
        ("one that is set anew, at once", now(|_, ctx| anew(ctx, Duration::ZERO))),
    ]
}

/// Messages, calls and a stop reach the server, which ends in order.
async fn is_served(name: &str, clock: &ServerRef<Clock>, log: &Log) {
    clock.cast(now(|clock, _| clock.log.push("cast"))).unwrap();
    assert_eq!(clock.call(Ping).timeout(LONG).await, Ok(1), "{name}");
    let stopped = clock.stop(ExitReason::Shutdown, LONG).await;
    assert_eq!(stopped, Ok(()), "{name}");
    let log = log.take();
    let ticks = log.iter().filter(|entry| ["a", "b", "tick", "anew"].contains(&entry.as_str())).count();
    assert!(ticks > 1, "{name}: {log:?}");
    assert!(log.contains(&"cast".to_owned()), "{name}: {log:?}");
    assert_eq!(log.last().map(String::as_str), Some("terminate: shutdown"), "{name}");
}

/// Clause 9.2: a timer that is always due, whatever the reason, lets messages and a stop through.
#[tokio::test(start_paused = true)]
async fn ticks_that_take_longer_than_their_period_lock_nobody_out() {
    for (name, set) in greedy() {
        let log = Log::default();
        let clock = start::<Clock>(log.clone()).await.unwrap();
        clock.cast(set).unwrap();
        sleep(300 * MS).await;
        is_served(name, &clock, &log).await;
    }
}

/// Clause 9.2: the ticks are those of servers on threads of their own as well, whose handlers block there.
#[tokio::test]
async fn ticks_on_threads_of_their_own_lock_nobody_out() {
    type Place = fn(ServerSettings<Clock>, &ThreadPool) -> ServerSettings<Clock>;
    let blocks = |log: &Log| {
        let log = log.clone();
        move || {
            let log = log.clone();
            now(move |_, _| {
                std::thread::sleep(3 * MS);
                log.push("tick");
            })
        }
    };
    let pool = ThreadPool::new(1);
    let places: [(&str, Place); 2] = [
        ("an own thread", |settings, _| settings.own_thread()),
        ("a pool", |settings, pool| settings.thread_pool(pool)),
    ];
    for (name, place) in places {
        for every in [Every::FixedRate(MS), Every::FixedDelay(MS)] {
            let log = Log::default();
            let clock = place(Server::<Clock>::settings(), &pool).start(log.clone()).await.unwrap();
            let make = blocks(&log);
            clock
                .cast(now(move |_, ctx| {
                    ctx.send_every(every, make.clone());
                }))
                .unwrap();
            while log.len() < 3 {
                tokio::task::yield_now().await;
            }
            is_served(name, &clock, &log).await;
        }
    }
}

/// Clauses 2.4, 9.2: of what waits when a handler returns, the control lane comes first, then a tick of each due timer, then
/// data; and so again, one message at a time, while timers are due.
#[tokio::test(start_paused = true)]
async fn control_comes_before_ticks_and_ticks_before_data() {
    let log = Log::default();
    let clock = start::<Clock>(log.clone()).await.unwrap();
    let say = |entry: &'static str| now(move |clock, _| clock.log.push(entry));
    clock
        .cast(job(|_, ctx| {
            ctx.send_after(2 * MS, slow("once", 50 * MS));
            ctx.send_every(Every::FixedRate(10 * MS), || slow("rate", 50 * MS));
            ctx.send_every(Every::FixedDelay(5 * MS), || slow("delay", 50 * MS));
            Box::pin(async {
                sleep(100 * MS).await;
                Next::go()
            })
        }))
        .unwrap();
    settle().await;
    for (entry, lane) in
        [("low", Lane::Low), ("normal", Lane::Normal), ("high", Lane::High), ("control", Lane::Control)]
    {
        clock.cast_with(say(entry), SendOptions::new().lane(lane)).unwrap();
    }
    sleep(600 * MS).await;
    let log = log.take();
    let first =
        ["control", "once", "delay", "rate", "high", "delay", "rate", "normal", "delay", "rate", "low"];
    assert_eq!(log[..first.len()], first);
}

/// Clause 9.2: while a flood is handled, a timer that becomes due ticks at the latest 16 messages later.
#[tokio::test]
async fn a_timer_ticks_within_sixteen_messages() {
    let log = Log::default();
    let clock = start::<Clock>(log.clone()).await.unwrap();
    let handled = Arc::new(AtomicU64::new(0));
    for at in [0, 1, 15, 16, 17, 100] {
        let count = Arc::clone(&handled);
        let note = now(move |_, _| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        for _ in 0..at {
            clock.cast(Arc::clone(&note)).unwrap();
        }
        let (before, seen) = (Arc::clone(&handled), Arc::clone(&handled));
        clock
            .cast(now(move |_, ctx| {
                let (before, seen) = (before.load(Ordering::SeqCst), Arc::clone(&seen));
                ctx.send_after(MS, now(move |clock, _| clock.log.push(seen.load(Ordering::SeqCst) - before)));
                // It is due when this returns, and has not been waited for.
                let set = Instant::now();
                while set.elapsed() <= MS {
                    std::hint::spin_loop();
                }
            }))
            .unwrap();
        for _ in 0..200 {
            clock.cast(Arc::clone(&note)).unwrap();
        }
        assert_eq!(clock.call(Ping).timeout(LONG).await, Ok(1));
        let after: Vec<u64> = log.take().iter().map(|n| n.parse().unwrap()).collect();
        assert!(after.len() == 1 && after[0] <= 16, "behind {at} messages: {after:?} messages later");
    }
}

/// Clause 9.3: a fixed delay counts from the end of the handler, of one that waits as of one that does not.
#[tokio::test(start_paused = true)]
async fn a_fixed_delay_counts_from_the_end_of_the_handler() {
    for takes in [Duration::ZERO, 7 * MS, 70 * MS] {
        let log = Log::default();
        let clock = start::<Clock>(log.clone()).await.unwrap();
        let t0 = Instant::now();
        clock
            .cast(now(move |_, ctx| {
                ctx.send_every(Every::FixedDelay(10 * MS), move || {
                    job(move |clock, _| {
                        clock.log.push(t0.elapsed().as_millis());
                        Box::pin(async move {
                            sleep(takes).await;
                            Next::go()
                        })
                    })
                });
            }))
            .unwrap();
        sleep(400 * MS).await;
        let at: Vec<u128> = log.take().iter().map(|at| at.parse().unwrap()).collect();
        let step = 10 + takes.as_millis();
        // A wait is over up to a millisecond late.
        assert!(at.len() > 3 && at.windows(2).all(|w| (step..=step + 2).contains(&(w[1] - w[0]))), "{at:?}");
    }
}

/// Clause 9.3: an end that comes while the tick of a fixed delay waits ends the timer too.
#[tokio::test(start_paused = true)]
async fn a_kill_ends_a_tick_that_waits() {
    let log = Log::default();
    let server = Server::<Clock>::new("clock");
    let clock = server.start(log.clone()).await.unwrap();
    clock
        .cast(now(|_, ctx| {
            ctx.send_every(Every::FixedDelay(MS), || slow("tick", LONG));
        }))
        .unwrap();
    sleep(10 * MS).await;
    assert!(clock.kill());
    clock.join().await;
    server.start(log.clone()).await.unwrap();
    sleep(100 * MS).await;
    assert_eq!(log.take(), ["tick"]);
}

/// Clause 9.2: a selective receive in a tick's handler, longer than the period, locks out no stop.
#[tokio::test(start_paused = true)]
async fn a_tick_that_receives_selectively_locks_no_stop_out() {
    /// Receives by itself, in the tick.
    struct Picky(Log);
    impl GenServer for Picky {
        type Args = Log;
        type Call = Ping;
        type Cast = &'static str;
        type Info = ();
        async fn init(log: &Log, ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
            ctx.send_every(Every::FixedRate(10 * MS), || ());
            Ok(Init::ok(Self(log.clone())))
        }
        async fn handle_call(&mut self, Ping(reply): Ping, _: &mut Context<Self>) -> Step {
            reply.send(1);
            Ok(Next::go())
        }
        async fn handle_cast(&mut self, cast: &'static str, _: &mut Context<Self>) -> Step {
            self.0.push(cast);
            Ok(Next::go())
        }
        async fn handle_info(&mut self, (): (), ctx: &mut Context<Self>) -> Step {
            let picked =
                ctx.receive(25 * MS, |m| matches!(m, restante_genserver::Message::Cast("pick"))).await;
            self.0.push(if picked.is_ok() { "picked" } else { "nothing" });
            Ok(Next::go())
        }
    }
    let log = Log::default();
    let picky = start::<Picky>(log.clone()).await.unwrap();
    sleep(15 * MS).await;
    for cast in ["one", "pick", "two"] {
        picky.cast(cast).unwrap();
    }
    assert_eq!(picky.call(Ping).timeout(LONG).await, Ok(1));
    assert_eq!(picky.stop(ExitReason::Shutdown, LONG).await, Ok(()));
    let mut said = log.take();
    said.retain(|entry| entry != "nothing");
    assert_eq!(said, ["picked", "one", "two"]);
}

/// Clauses 5.12, 9.2: while a message waits out its back-off, slow ticks keep neither an order nor that message out.
#[tokio::test(start_paused = true)]
async fn ticks_in_a_back_off_lock_nobody_out() {
    for (name, set) in greedy() {
        let log = Log::default();
        let server = Server::<Clock>::settings()
            .in_hand(InHand::redeliver(3).backoff(Duration::from_secs(2)))
            .build()
            .unwrap();
        let clock = server.start(log.clone()).await.unwrap();
        let attempts = Arc::new(AtomicU64::new(0));
        let tried = Arc::clone(&attempts);
        clock
            .cast(now(move |clock, _| {
                clock.log.push("try");
                assert!(tried.fetch_add(1, Ordering::SeqCst) > 0, "the first time");
            }))
            .unwrap();
        clock.join().await;
        server.start(log.clone()).await.unwrap();
        let control = SendOptions::new().lane(Lane::Control);
        clock.cast_with(set, control).unwrap();
        sleep(500 * MS).await;
        clock.cast_with(now(|clock, _| clock.log.push("order")), control).unwrap();
        sleep(500 * MS).await;
        let before = log.take();
        assert!(before.contains(&"order".to_owned()), "{name}: {before:?}");
        assert_eq!(before.iter().filter(|entry| *entry == "try").count(), 1, "{name}: {before:?}");
        sleep(3000 * MS).await;
        assert!(log.take().contains(&"try".to_owned()), "{name}");
        assert_eq!(clock.stop(ExitReason::Shutdown, LONG).await, Ok(()), "{name}");
    }
}

/// Clauses 9.2, 9.5: beside a timer that is always due the idle time-out comes.
#[tokio::test(start_paused = true)]
async fn ticks_do_not_lock_the_idle_timeout_out() {
    for (name, set) in greedy() {
        let log = Log::default();
        let clock = start::<Clock>(log.clone()).await.unwrap();
        clock.cast(set).unwrap();
        clock
            .cast(job(|clock, _| {
                clock.timeout = Some(now(|clock, _| clock.log.push("idle")));
                Box::pin(async { Next::idle_timeout(250 * MS) })
            }))
            .unwrap();
        sleep(900 * MS).await;
        assert!(log.take().contains(&"idle".to_owned()), "{name}");
    }
}

/// Clauses 9.2, 14.3: a closed mailbox whose server has a timer that is always due is drained, and the server ends.
#[tokio::test(start_paused = true)]
async fn ticks_do_not_keep_a_closed_server() {
    for (name, set) in greedy() {
        let log = Log::default();
        let clock = start::<Clock>(log.clone()).await.unwrap();
        clock.cast(set).unwrap();
        sleep(300 * MS).await;
        clock.cast(now(|clock, _| clock.log.push("last"))).unwrap();
        clock.close(ExitReason::Shutdown);
        let exit = tokio::time::timeout(LONG, clock.join()).await.expect(name);
        assert_eq!(exit.reason, ExitReason::Shutdown, "{name}");
        assert!(log.take().contains(&"last".to_owned()), "{name}");
    }
}

/// Clauses 9.7, 11.3: a chain of `handle_continue` comes before all messages, but lets an order to stop and other tasks in.
#[tokio::test]
async fn a_chain_of_handle_continue_can_be_stopped() {
    let log = Log::default();
    let clock = start::<Clock>(log.clone()).await.unwrap();
    let turns = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&turns);
    clock
        .cast(job(move |clock, _| {
            let counted = Arc::clone(&counted);
            clock.proceed = Some(job(move |_, _| {
                counted.fetch_add(1, Ordering::SeqCst);
                Box::pin(async { Next::then_continue() })
            }));
            Box::pin(async { Next::then_continue() })
        }))
        .unwrap();
    clock.cast(now(|clock, _| clock.log.push("message"))).unwrap();
    settle().await;
    assert!(turns.load(Ordering::SeqCst) > 1);
    assert_eq!(clock.stop(ExitReason::Shutdown, LONG).await, Ok(()));
    assert_eq!(log.take(), ["terminate: shutdown"]);
}

/// Clause 9.7: ticks and idle time-outs that come one after the other leave other tasks their turns, and can be stopped.
#[tokio::test]
async fn what_is_no_message_uses_up_a_turn_as_well() {
    fn again(ctx: &mut Context<Clock>) {
        ctx.send_after(
            Duration::ZERO,
            now(|clock, ctx| {
                clock.log.push("again");
                again(ctx);
            }),
        );
    }
    let idle = job(|clock: &mut Clock, _| {
        clock.timeout = Some(job(|clock, _| {
            clock.log.push("idle");
            Box::pin(async { Next::idle_timeout(Duration::ZERO) })
        }));
        Box::pin(async { Next::idle_timeout(Duration::ZERO) })
    });
    for (name, set) in [("idle", idle), ("again", now(|_, ctx| again(ctx)))] {
        let log = Log::default();
        let clock = start::<Clock>(log.clone()).await.unwrap();
        clock.cast(set).unwrap();
        settle().await;
        let said = log.take();
        assert!(said.len() > 1 && said.iter().all(|entry| entry == name), "{name}: {said:?}");
        assert_eq!(clock.call(Ping).timeout(LONG).await, Ok(1), "{name}");
        assert_eq!(clock.stop(ExitReason::Shutdown, LONG).await, Ok(()), "{name}");
    }
}

/// Clause 9.1: a timer's name is good for the incarnation that set it, and for no other's timers.
#[tokio::test(start_paused = true)]
async fn a_timers_name_is_one_timers_only() {
    let log = Log::default();
    let servers = ["one", "two"].map(Server::<Clock>::new);
    let names = Arc::new(std::sync::Mutex::new(Vec::new()));
    for server in [&servers[0], &servers[1], &servers[0]] {
        let clock = server.address();
        if clock.is_alive() {
            clock.stop(ExitReason::Normal, LONG).await.unwrap();
        }
        server.start(log.clone()).await.unwrap();
        let all = Arc::clone(&names);
        clock
            .cast(now(move |_, ctx| {
                let mut all = all.lock().unwrap();
                let mine = ctx.send_after(MS, slow("tick", Duration::ZERO));
                for other in &*all {
                    assert!(*other != mine && !ctx.cancel_timer(*other));
                    ctx.key_timer("key", mine);
                    ctx.key_timer("key", *other);
                }
                all.push(mine);
            }))
            .unwrap();
        assert_eq!(clock.call(Ping).await, Ok(1));
    }
    log.take();
    sleep(10 * MS).await;
    assert_eq!(log.take().len(), 2, "of the first incarnation nothing is left");
}

/// Clause 9.2: no more than sixteen messages come before a tick that is due, also where the last round's ticks came from the
/// middle of a turn.
#[tokio::test(start_paused = true)]
async fn a_tick_that_is_due_waits_for_sixteen_messages_at_most() {
    let log = Log::default();
    let clock = start::<Clock>(log.clone()).await.unwrap();
    let tick = || now(|clock, _| clock.log.push("tick"));
    clock
        .cast(now(move |_, ctx| {
            ctx.send_every(Every::FixedRate(MS), tick);
        }))
        .unwrap();
    settle().await;
    for _ in 0..500 {
        clock
            .cast(now(|clock, _| {
                // The clock goes on, and the handler does not wait.
                let goes_on = std::pin::pin!(tokio::time::advance(MS / 5));
                let _ = goes_on.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
                clock.log.push("cast");
            }))
            .unwrap();
    }
    assert_eq!(clock.call(Ping).timeout(LONG).await, Ok(1));
    let log = log.take();
    let between: Vec<usize> = log.split(|entry| entry == "tick").map(<[String]>::len).collect();
    assert!(between.len() > 20, "{between:?}");
    assert!(between.iter().all(|casts| *casts <= 16), "{between:?}");
}
