//! Starting: what `init` may say, and who hears of it.

use crate::support::{Alive, Ask, Gate, LONG, Lab, Log, Plan, Tell, echo, is_panic, law, say, settle, tell};
use restante_genserver::monitor::Event;
use restante_genserver::{
    CallError, Context, ExitReason, GenServer, Init, Next, Phase, Reply, SendOptions, Server, StartError,
    Step, start, start_again, start_link, start_monitor,
};
use restante_testkit::{Probe, expect_matching};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Row G1, clause 11.1: `start` returns when `init` has returned, and with its outcome.
#[tokio::test(start_paused = true)]
async fn start_returns_when_init_has_ended() {
    let plan = Plan::default().init(|plan, _| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            plan.log.push("init");
            Ok(Init::ok(Lab::new(plan)))
        })
    });
    let began = Instant::now();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    assert_eq!((plan.log.take(), began.elapsed()), (vec!["init".to_owned()], Duration::from_secs(3)));
    assert!(lab.is_alive() && lab.incarnation() == 1);
    assert_eq!(law(&lab).await.sent, 0);
}

/// Row G1, clause 11.3: `{continue, _}` runs right after the callback that asked for it and before any message, even
/// one that the server sent to itself in `init`; a continue may ask for another.
#[tokio::test(start_paused = true)]
async fn a_continue_runs_before_any_message_and_chains() {
    let plan = Plan::default()
        .init(|plan, ctx| {
            Box::pin(async move {
                ctx.server().cast(Tell::Say(1)).unwrap();
                ctx.server()
                    .info_with(say("high"), SendOptions::new().lane(restante_genserver::Lane::High))
                    .unwrap();
                Ok(Init::then_continue(Lab::new(plan)))
            })
        })
        .on_continue(|lab, _| {
            Box::pin(async move {
                lab.log.push("continue");
                lab.total += 1;
                Ok(if lab.total < 3 { Next::then_continue() } else { Next::go() })
            })
        });
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    lab.call(Ask::Total).await.unwrap();
    assert_eq!(plan.log.take(), ["continue", "continue", "continue", "high", "1"]);
    lab.cast(tell(|lab, _| {
        lab.total = 1;
        Box::pin(async { Ok(Next::then_continue()) })
    }))
    .unwrap();
    lab.cast(Tell::Say(2)).unwrap();
    lab.call(Ask::Total).await.unwrap();
    assert_eq!(plan.log.take(), ["continue", "continue", "2"]);
    law(&lab).await;
}

/// Row G1, clauses 11.1, 11.5: `ignore` is no failure, and the process ends normally.
#[tokio::test(start_paused = true)]
async fn init_may_say_that_there_is_nothing_to_serve() {
    let mailbox = Server::<Lab>::new("idle");
    let lab = mailbox.address();
    lab.cast(Tell::Add(1)).unwrap();
    let ignore = Plan::default().init(|_, _| Box::pin(async { Ok(Init::ignore()) }));
    assert_eq!(mailbox.start(ignore).await.unwrap_err(), StartError::Ignored);
    let exit = lab.last_exit().unwrap();
    assert_eq!((exit.reason, exit.incarnation), (ExitReason::Normal, 1));
    mailbox.start(Plan::default()).await.unwrap();
    assert_eq!(lab.call(Ask::Total).await, Ok(1), "the mailbox stays");
    law(&lab).await;
}

/// Row G1, clause 9.5: an idle time-out from `init`.
#[tokio::test(start_paused = true)]
async fn init_may_set_an_idle_timeout() {
    let fired = Gate::new();
    let told = fired.clone();
    let plan = Plan::default()
        .init(|plan, _| Box::pin(async { Ok(Init::idle_timeout(Lab::new(plan), Duration::from_secs(9))) }))
        .on_timeout(move |_, _| {
            told.open();
            Box::pin(async { Ok(Next::stop()) })
        });
    let began = Instant::now();
    let lab = start::<Lab>(plan).await.unwrap();
    fired.pass().await;
    assert_eq!(began.elapsed(), Duration::from_secs(9));
    assert_eq!(lab.join().await.reason, ExitReason::Normal);
    law(&lab).await;
}

/// Row G1, clauses 11.4, 11.5: `{error, R}` and a callback's error give the starter the reason; no server is left behind.
#[tokio::test(start_paused = true)]
async fn init_may_fail_loudly_or_quietly() {
    let mailbox = Server::<Lab>::new("failing");
    let loud = Plan::default().init(|_, _| Box::pin(async { Err(ExitReason::error("no disk")) }));
    assert_eq!(mailbox.start(loud).await.unwrap_err(), StartError::Failed(ExitReason::error("no disk")));
    let exit = mailbox.address().last_exit().unwrap();
    assert_eq!((exit.phase, exit.message, exit.incarnation), (Phase::Init, None, 1));
    let quiet = Plan::default()
        .init(|_, _| Box::pin(async { Ok(Init::stop_quietly(ExitReason::shutdown_with("not today"))) }));
    let why = ExitReason::shutdown_with("not today");
    assert_eq!(mailbox.start(quiet).await.unwrap_err(), StartError::Failed(why));
    let lab = mailbox.start(Plan::default()).await.expect("an immediate retry succeeds");
    assert_eq!(lab.incarnation(), 3);
    assert_eq!(lab.call(echo(1)).await, Ok(1));
    law(&lab).await;
}

/// Row G1, clause 11.1: a panic in `init` is the starter's answer.
#[tokio::test(start_paused = true)]
async fn a_panic_in_init_is_told_to_the_starter() {
    let at_once = Plan::default().init(|_, _| Box::pin(async { panic!("no luck") }));
    let Err(StartError::Failed(reason)) = start::<Lab>(at_once).await else { panic!("started") };
    assert!(is_panic(&reason, "no luck"));
    let later = Plan::default().init(|_, _| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            panic!("no luck later")
        })
    });
    let mailbox = Server::<Lab>::new("later");
    let Err(StartError::Failed(reason)) = mailbox.start(later).await else { panic!("started") };
    assert!(is_panic(&reason, "no luck later"));
    assert!(!mailbox.address().is_alive(), "told when it is gone");
    law(&mailbox.address()).await;
}

fn never() -> Plan {
    Plan::default().init(|_, _| Box::pin(std::future::pending()))
}

/// Row G1, clauses 11.1, 11.4: the start time-out is 30 s unless told otherwise; on expiry the process is killed.
#[tokio::test(start_paused = true)]
async fn a_start_has_a_time_limit() {
    let began = Instant::now();
    assert_eq!(start::<Lab>(never()).await.unwrap_err(), StartError::Timeout);
    assert_eq!(began.elapsed(), Duration::from_secs(30));
    let limit = Duration::from_millis(250);
    let mailbox = Server::<Lab>::settings().start_timeout(limit).build().unwrap();
    let began = Instant::now();
    assert_eq!(mailbox.start(never()).await.unwrap_err(), StartError::Timeout);
    assert_eq!(began.elapsed(), limit);
    assert_eq!(mailbox.address().join().await.reason, ExitReason::Killed);
    mailbox.start(Plan::default()).await.unwrap();
    law(&mailbox.address()).await;
}

/// Clause 11.4: when the start says that the time is over, `init` and all that it held have gone, and the mailbox is free.
#[tokio::test(start_paused = true)]
async fn a_start_that_timed_out_has_ended() {
    let alive = Alive::default();
    let holds = {
        let alive = alive.clone();
        Plan::default().init(move |_, _| {
            let one = alive.one();
            Box::pin(async move {
                let _one = one;
                std::future::pending().await
            })
        })
    };
    for limit in [Duration::ZERO, Duration::from_secs(1)] {
        let mailbox = Server::<Lab>::settings().start_timeout(limit).build().unwrap();
        assert_eq!(mailbox.start(holds.clone()).await.unwrap_err(), StartError::Timeout);
        assert_eq!((alive.count(), mailbox.address().is_alive()), (0, false), "after {limit:?}");
        assert_eq!(mailbox.start(Plan::default()).await.unwrap().incarnation(), 2);
    }
}

/// Clause 11.4: for an `init` that does not come to an await, a starter waits another second, and no longer. (By the clock of
/// the starter's runtime, which stands still but for its timers; the server blocks in another runtime.)
#[test]
fn a_start_does_not_wait_for_an_init_that_blocks() {
    let theirs = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let ours = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    ours.block_on(a_start_of_an_init_that_blocks(theirs.handle()));
}

async fn a_start_of_an_init_that_blocks(theirs: &tokio::runtime::Handle) {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(std::sync::Mutex::new(wait));
    // The starter's clock does not move on while this waits: `init` is past its await before the limit is over.
    let (blocked, hears) = std::sync::mpsc::channel::<()>();
    let _holds_the_clock = tokio::task::spawn_blocking(move || hears.recv());
    let blocks = Plan::default().init(move |plan, _| {
        let (wait, blocked) = (Arc::clone(&wait), blocked.clone());
        Box::pin(async move {
            tokio::task::yield_now().await;
            blocked.send(()).unwrap();
            let _ = wait.lock().unwrap().recv();
            Ok(Init::ok(Lab::new(plan)))
        })
    });
    let settings = Server::<Lab>::settings().start_timeout(Duration::from_millis(10)).runtime(theirs.clone());
    let mailbox = settings.build().unwrap();
    let began = Instant::now();
    assert_eq!(mailbox.start(blocks).await.unwrap_err(), StartError::Timeout);
    assert_eq!(began.elapsed(), Duration::from_millis(1010));
    assert!(mailbox.address().is_alive(), "it cannot be ended while it blocks");
    drop(go);
    assert_eq!(mailbox.address().join().await.reason, ExitReason::Killed);
}

/// Bad input: limits of zero and of `Duration::MAX`.
#[tokio::test(start_paused = true)]
async fn a_start_limit_of_zero_asks_for_an_init_that_does_not_wait() {
    let zero = || Server::<Lab>::settings().start_timeout(Duration::ZERO);
    assert!(zero().start(Plan::default()).await.is_ok());
    assert_eq!(zero().start(never()).await.unwrap_err(), StartError::Timeout);
    let forever = Server::<Lab>::settings().start_timeout(Duration::MAX);
    let slow = Plan::default().init(|plan, _| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Ok(Init::ok(Lab::new(plan)))
        })
    });
    assert!(forever.start(slow).await.is_ok());
}

/// Clause 11.4: cancel safety of `start`: dropped midway, it kills what it began and gives the mailbox back.
#[tokio::test(start_paused = true)]
async fn a_start_that_is_dropped_kills_its_server() {
    let mailbox = Server::<Lab>::new("dropped");
    assert!(tokio::time::timeout(Duration::from_secs(1), mailbox.start(never())).await.is_err());
    assert_eq!(mailbox.address().join().await.reason, ExitReason::Killed);
    assert_eq!(mailbox.start(Plan::default()).await.unwrap().incarnation(), 2);
    law(&mailbox.address()).await;
}

/// Clauses 1.1, 11.1: a mailbox has one reader at a time.
#[tokio::test(start_paused = true)]
async fn a_mailbox_is_started_on_once() {
    let mailbox = Server::<Lab>::new("one");
    let lab = mailbox.start(Plan::default()).await.unwrap();
    assert_eq!(mailbox.start(Plan::default()).await.unwrap_err(), StartError::AlreadyStarted);
    assert_eq!(start_again(&lab, Plan::default()).await, Err(StartError::AlreadyStarted));
    assert_eq!(lab.incarnation(), 1);
    lab.stop(ExitReason::Normal, LONG).await.unwrap();
    start_again(&lab, Plan::default()).await.unwrap();
    mailbox.start_shared(Arc::new(Plan::default())).await.expect_err("runs again");
    law(&lab).await;
}

/// Clause 11.1: a start on a closed mailbox is refused.
#[tokio::test(start_paused = true)]
async fn a_closed_mailbox_starts_nobody() {
    let mailbox = Server::<Lab>::new("closed");
    assert!(mailbox.address().close(ExitReason::Shutdown));
    assert_eq!(mailbox.start(Plan::default()).await.unwrap_err(), StartError::Closed);
    let own = start::<Lab>(Plan::default()).await.unwrap();
    own.stop(ExitReason::Normal, LONG).await.unwrap();
    assert!(own.is_closed(), "a mailbox of its own closes with its server");
    assert_eq!(start_again(&own, Plan::default()).await, Err(StartError::Closed));
    law(&own).await;
}

/// Row G1, clause 12.1: `start_link` bonds parent and child.
#[tokio::test(start_paused = true)]
async fn start_link_bonds_the_child_with_its_parent() {
    let plan = Plan::default();
    let parent = start::<Lab>(plan.clone()).await.unwrap();
    let (tell_child, child) = tokio::sync::oneshot::channel();
    parent
        .cast(tell(move |_, ctx| {
            Box::pin(async move {
                let child = start_link::<Lab, Lab>(Plan::default(), ctx).await.unwrap();
                tell_child.send(child).unwrap();
                Ok(Next::go())
            })
        }))
        .unwrap();
    let child = child.await.unwrap();
    child.cast(Tell::Fail).unwrap();
    assert_eq!(parent.join().await.reason, ExitReason::error("failed"));
    assert!(plan.log.take().is_empty(), "not trapped: no terminate");
    law(&parent).await;
}

/// Row G1: `start_monitor`; when the start fails nothing stray is left.
#[tokio::test(start_paused = true)]
async fn start_monitor_tells_of_the_end() {
    let mut downs = Probe::new();
    let notify = downs.address();
    let (lab, _) =
        start_monitor::<Lab>(Plan::default(), move |event| notify.try_send(event).unwrap()).await.unwrap();
    lab.cast(Tell::Stop(ExitReason::Shutdown)).unwrap();
    expect_matching!(downs, Event::Down(exit) if exit.reason == ExitReason::Shutdown);
    let failing = Plan::default().init(|_, _| Box::pin(async { Err(ExitReason::error("no")) }));
    let notify = downs.address();
    start_monitor::<Lab>(failing, move |event| notify.try_send(event).unwrap()).await.unwrap_err();
    downs.expect_no_message(LONG).await;
}

/// Rows G1 and H6: both take settings, and fail as a start does: nothing is linked, no monitor is told.
#[tokio::test(start_paused = true)]
async fn a_linked_and_a_monitored_start_take_settings() {
    let mut downs = Probe::new();
    let notify = |to: &Probe<Event>| {
        let to = to.address();
        move |event| to.try_send(event).unwrap()
    };
    let settings = |name: &str| Server::<Lab>::settings().name(name);
    let (lab, _) = settings("watched").start_monitor(Plan::default(), notify(&downs)).await.unwrap();
    assert_eq!(lab.name(), Some("watched"));
    lab.cast(Tell::Stop(ExitReason::Shutdown)).unwrap();
    expect_matching!(downs, Event::Down(exit) if exit.reason == ExitReason::Shutdown);
    let zero = settings("no room").capacity(0).start_monitor(Plan::default(), notify(&downs)).await;
    assert!(matches!(zero, Err(StartError::Settings(_))));

    let parent = start::<Lab>(Plan::default()).await.unwrap();
    let (tell_child, child) = tokio::sync::oneshot::channel();
    parent
        .cast(tell(move |_, ctx| {
            Box::pin(async move {
                let failing = Plan::default().init(|_, _| Box::pin(async { Err(ExitReason::error("no")) }));
                let failed = Server::<Lab>::settings().start_link(failing, ctx).await;
                assert!(matches!(failed, Err(StartError::Failed(_))));
                let child = Server::<Lab>::settings().name("linked").start_link(Plan::default(), ctx);
                tell_child.send(child.await.unwrap()).unwrap();
                Ok(Next::go())
            })
        }))
        .unwrap();
    let child = child.await.unwrap();
    assert_eq!(child.name(), Some("linked"));
    child.cast(Tell::Fail).unwrap();
    assert_eq!(parent.join().await.reason, ExitReason::error("failed"));
    downs.expect_no_message(LONG).await;
}

/// A mailbox that has ended keeps no hook, even while its memory is held.
/// Clause 1.9.
#[tokio::test(start_paused = true)]
async fn an_ended_server_keeps_no_hook() {
    let held = std::sync::Arc::new(());
    let hook = std::sync::Arc::clone(&held);
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    lab.sys().install("holds", move |_| {
        let _ = &hook;
        std::ops::ControlFlow::Continue(())
    });
    let memory = lab.downgrade();
    lab.stop(ExitReason::Normal, LONG).await.unwrap();
    assert_eq!(std::sync::Arc::strong_count(&held), 1);
    drop((memory, lab));
}

/// Clause 15.4: outside a runtime there is an error, not a panic.
#[test]
fn without_a_runtime_a_start_says_so() {
    let failed = futures::executor::block_on(start::<Lab>(Plan::default()));
    assert_eq!(failed.unwrap_err(), StartError::NoRuntime);
    let mailbox = Server::<Lab>::new("nowhere");
    let failed = futures::executor::block_on(mailbox.start(Plan::default()));
    assert_eq!(failed.unwrap_err(), StartError::NoRuntime);
}

/// Clause 15.1: a runtime that is given will do: the start itself may be awaited anywhere.
#[test]
fn a_runtime_can_be_given() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let settings = Server::<Lab>::settings().runtime(rt.handle().clone());
    let slow = Plan::default().init(|plan, _| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(Init::ok(Lab::new(plan)))
        })
    });
    let lab = futures::executor::block_on(settings.start(slow)).unwrap();
    assert_eq!(lab.call_blocking(echo(4)), Ok(4));
    rt.block_on(law(&lab));
}

/// Bad input: settings that make no mailbox are refused by name.
#[tokio::test(start_paused = true)]
async fn a_mailbox_without_room_is_refused() {
    let zero = || Server::<Lab>::settings().capacity(0);
    assert!(matches!(zero().start(Plan::default()).await, Err(StartError::Settings(_))));
    assert!(zero().build().is_err());
    assert!(Server::<Lab>::settings().weight_limit(0, |_| 1).build().is_err());
    assert!(Server::<Lab>::settings().rate_limit(0, LONG).build().is_err());
}

/// Clauses 1.1, 11.2, failure mode 3: a mailbox of one slot takes a message before `init` ends, and `init` does not
/// drain it.
#[tokio::test(start_paused = true)]
async fn a_message_before_init_ends_needs_no_more_than_one_slot() {
    let (entered, go) = (Gate::new(), Gate::new());
    let gates = (entered.clone(), go.clone());
    let plan = Plan::default().init(move |plan, _| {
        let (entered, go) = gates.clone();
        Box::pin(async move {
            entered.open();
            go.pass().await;
            plan.log.push("init");
            Ok(Init::ok(Lab::new(plan)))
        })
    });
    let mailbox = Server::<Lab>::settings().capacity(1).build().unwrap();
    let lab = mailbox.address();
    let starting = tokio::spawn({
        let plan = plan.clone();
        async move { mailbox.start(plan).await.map(|_| mailbox) }
    });
    entered.pass().await;
    lab.cast(Tell::Say(1)).unwrap();
    assert!(lab.cast(Tell::Say(2)).is_err(), "full");
    let waiting = tokio::spawn({
        let lab = lab.clone();
        async move { lab.call(echo(3)).await }
    });
    settle().await;
    go.open();
    starting.await.unwrap().unwrap();
    assert_eq!(waiting.await.unwrap(), Ok(3));
    assert_eq!(plan.log.take(), ["init", "1", "3"]);
    law(&lab).await;
}

/// A kill ends an `init` that is under way.
#[tokio::test(start_paused = true)]
async fn a_kill_during_init_is_told_to_the_starter() {
    let mailbox = Arc::new(Server::<Lab>::new("killed"));
    let lab = mailbox.address();
    let starting = tokio::spawn({
        let mailbox = Arc::clone(&mailbox);
        async move { mailbox.start(never()).await }
    });
    settle().await;
    let call = tokio::spawn({
        let lab = lab.clone();
        async move { lab.call(echo(8)).await }
    });
    settle().await;
    assert!(lab.kill());
    assert_eq!(starting.await.unwrap().unwrap_err(), StartError::Failed(ExitReason::Killed));
    assert_eq!(lab.last_exit().unwrap().phase, Phase::Init);
    mailbox.start(Plan::default()).await.unwrap();
    assert_eq!(call.await.unwrap(), Ok(8), "who waited in the mailbox is answered by the next");
    law(&lab).await;
}

/// Starts one of its own kind in `init`, so many levels deep.
struct Nest {
    below: Option<restante_genserver::ServerRef<Nest>>,
}

impl GenServer for Nest {
    type Args = (u32, Log);
    type Call = Reply<u64>;
    type Cast = ();
    type Info = ();

    async fn init((depth, log): &(u32, Log), ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        let below = if *depth == 0 {
            None
        } else {
            Some(start_link::<Nest, Nest>((depth - 1, log.clone()), ctx).await?)
        };
        log.push(depth);
        Ok(Init::ok(Self { below }))
    }

    async fn handle_call(&mut self, reply: Reply<u64>, _: &mut Context<Self>) -> Step {
        let below = match &self.below {
            Some(below) => below.call(|r| r).await?,
            None => 0,
        };
        reply.send(below + 1);
        Ok(Next::go())
    }
}

/// A server that starts its own kind in `init`: deeper than callers run on one stack.
#[tokio::test(start_paused = true)]
async fn servers_start_servers_of_their_own_kind() {
    let log = Log::default();
    let top = start::<Nest>((40, log.clone())).await.unwrap();
    assert_eq!(log.len(), 41);
    assert_eq!(top.call(|r| r).await, Ok(41));
    law(&top).await;
    top.stop(ExitReason::Shutdown, LONG).await.unwrap();
    assert_eq!(top.call(|r| r).await, Err(CallError::Exited(ExitReason::Shutdown)));
}

/// Clause 8.2: a start that would close a ring of waiting servers is refused, and nothing is left of it.
#[tokio::test(start_paused = true)]
async fn a_start_that_would_wait_for_itself_is_refused() {
    let top = start::<Lab>(Plan::default()).await.unwrap();
    let back = top.clone();
    let calls_back = Plan::default().init(move |plan, _| {
        let back = back.clone();
        Box::pin(async move {
            // Goes pending first, so that the starter waits.
            tokio::time::sleep(Duration::from_millis(1)).await;
            back.call(Ask::Total).await?;
            Ok(Init::ok(Lab::new(plan)))
        })
    });
    let answer = top
        .call(crate::support::ask(move |_, _, reply| {
            Box::pin(async move {
                let failed = start::<Lab>(calls_back).await.unwrap_err();
                reply.send(u64::from(failed.to_string().contains("ring")));
                Ok(Next::go())
            })
        }))
        .await;
    assert_eq!(answer, Ok(1));
    law(&top).await;
}
