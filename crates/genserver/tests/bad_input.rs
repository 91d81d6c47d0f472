//! Bad input: rude drops, panics beside the callbacks, runtimes that go, limits without end. Nothing hangs or leaks.

use crate::support::{
    Alive, Ask, Gate, LONG, Lab, Note, Plan, Rude, Tell, ask, echo, is_panic, law, settle, tell,
};
use restante_genserver::{
    CallError, CallerRuns, Context, Every, ExitReason, GenServer, Init, Next, Reply, Server, ServerRef,
    StartError, Step, link, start,
};
use std::future::Future;
use std::time::Duration;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A state that panics in its drop takes nothing else along.
#[tokio::test(start_paused = true)]
async fn a_state_may_panic_in_its_drop() {
    let mailbox = Server::<Lab>::new("rude");
    let lab = mailbox.start(Plan::default()).await.unwrap();
    let rude = || {
        tell(|lab, _| {
            lab.things.push(Box::new(Rude));
            Box::pin(async { Ok(Next::go()) })
        })
    };
    lab.cast(rude()).unwrap();
    assert_eq!(lab.stop(ExitReason::Shutdown, LONG).await, Ok(()));
    mailbox.start(Plan::default()).await.unwrap();
    lab.cast(rude()).unwrap();
    lab.cast(Tell::Boom).unwrap();
    assert!(is_panic(&lab.join().await.reason, "boom"));
    mailbox.start(Plan::default()).await.unwrap();
    assert_eq!(lab.call(echo(1)).await, Ok(1));
    law(&lab).await;
}

/// Failure mode 21: a panic payload that panics in its drop.
#[tokio::test(start_paused = true)]
async fn a_panic_payload_may_panic_in_its_drop() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    lab.cast(tell(|_, _| Box::pin(async { std::panic::panic_any(Rude) }))).unwrap();
    assert!(matches!(lab.join().await.reason, ExitReason::Panic(_)));
    law(&lab).await;
}

/// A message that panics in its drop: in a handler it is the handler's panic, elsewhere it goes no further.
#[tokio::test(start_paused = true)]
async fn a_message_may_panic_in_its_drop() {
    let mailbox = Server::<Lab>::settings().ttl(Duration::from_secs(1)).build().unwrap();
    let lab = mailbox.address();
    let rude = || Tell::Carry(Box::new(Rude));
    lab.cast(rude()).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    mailbox.start(Plan::default()).await.unwrap();
    assert_eq!(lab.call(echo(1)).await, Ok(1), "expired");
    lab.cast(tell(|_, ctx| {
        ctx.purge(|m| matches!(m, restante_genserver::Message::Cast(Tell::Carry(_))));
        Box::pin(async { Ok(Next::go()) })
    }))
    .unwrap();
    lab.cast(rude()).unwrap();
    assert_eq!(lab.call(echo(2)).await, Ok(2), "purged");
    lab.cast(rude()).unwrap();
    assert!(is_panic(&lab.join().await.reason, "rude drop"));
    lab.cast(rude()).unwrap();
    lab.cast(Tell::Add(1)).unwrap();
    lab.close(ExitReason::Normal);
    let ledger = law(&lab).await;
    assert_eq!((ledger.expired, ledger.purged, ledger.failed, ledger.dead_lettered), (1, 1, 1, 2));
}

/// A panic in a closure that the loop runs beside the callbacks ends the server, and no caller hangs.
#[tokio::test(start_paused = true)]
async fn a_closure_may_panic() {
    let mailbox = Server::<Lab>::new("closures");
    let lab = mailbox.start(Plan::default()).await.unwrap();
    let kept = tokio::spawn({
        let lab = lab.clone();
        async move { lab.call(Ask::Keep).timeout(Duration::MAX).await }
    });
    lab.cast(tell(|_, ctx| {
        ctx.send_every(Every::FixedRate(Duration::from_secs(1)), || panic!("timer"));
        Box::pin(async { Ok(Next::go()) })
    }))
    .unwrap();
    assert!(is_panic(&lab.join().await.reason, "timer"));
    assert!(matches!(kept.await.unwrap(), Err(CallError::Exited(r)) if is_panic(&r, "timer")));
    mailbox.start(Plan::default()).await.unwrap();
    lab.cast(tell(|_, ctx| {
        ctx.trap_exit(|_| -> Note { panic!("trap") });
        Box::pin(async { Ok(Next::go()) })
    }))
    .unwrap();
    let other = start::<Lab>(Plan::default()).await.unwrap();
    lab.call(Ask::Total).await.unwrap();
    link(&lab, &other);
    other.kill();
    assert!(is_panic(&lab.join().await.reason, "trap"));
    mailbox.start(Plan::default()).await.unwrap();
    assert_eq!(lab.call(echo(1)).await, Ok(1));
    law(&lab).await;
}

/// Panics before it has made its futures, or when it is asked for names.
struct Eager;

enum EagerCall {
    InName(#[expect(dead_code, reason = "only dropped")] Reply<u64>),
    InCall(#[expect(dead_code, reason = "only dropped")] Reply<u64>),
}

impl GenServer for Eager {
    type Args = bool;
    type Call = EagerCall;
    type Cast = ();
    type Info = ();

    fn init(
        args: &bool,
        _: &mut Context<Self>,
    ) -> impl Future<Output = Result<Init<Self>, ExitReason>> + Send {
        assert!(!args, "eager init");
        async { Ok(Init::ok(Self)) }
    }

    fn handle_call(&mut self, call: EagerCall, _: &mut Context<Self>) -> impl Future<Output = Step> + Send {
        let _call = call;
        assert!(std::hint::black_box(false), "eager call");
        async { Ok(Next::go()) }
    }

    fn call_name(call: &EagerCall) -> &'static str {
        assert!(matches!(call, EagerCall::InCall(_)), "name");
        "call"
    }
}

/// A callback may panic before it has made its future, and a name may panic.
#[tokio::test(start_paused = true)]
async fn a_callback_may_panic_before_its_first_poll() {
    assert!(matches!(start::<Eager>(true).await, Err(StartError::Failed(r)) if is_panic(&r, "eager init")));
    for runs in [CallerRuns::Auto, CallerRuns::Never] {
        let mailbox = Server::<Eager>::settings().caller_runs(runs).build().unwrap();
        let eager = mailbox.start(false).await.unwrap();
        let told = eager.call(EagerCall::InCall).await;
        assert!(matches!(told, Err(CallError::Exited(r)) if is_panic(&r, "eager call")));
        eager.join().await;
        mailbox.start(false).await.unwrap();
        let told = eager.call(EagerCall::InName).await;
        assert!(matches!(told, Err(CallError::Exited(r)) if is_panic(&r, "name")));
        eager.join().await;
        assert_eq!(law(&eager).await.failed, 2);
    }
}

/// A server's own limits without end: `Duration::MAX` is for ever, and overflows nothing.
#[tokio::test(start_paused = true)]
async fn limits_without_end_do_not_overflow() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    lab.cast(tell(|_, ctx| {
        ctx.send_every(Every::FixedRate(Duration::MAX), || panic!("never"));
        ctx.send_every(Every::FixedDelay(Duration::MAX), || panic!("never"));
        ctx.send_every(Every::FixedDelay(Duration::ZERO), || Note::Say(String::new()));
        Box::pin(async { Ok(Next::idle_timeout(Duration::MAX)) })
    }))
    .unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(lab.call(echo(1)).timeout(Duration::MAX).await, Ok(1));
    lab.send_timeout(Tell::Add(1), Duration::MAX).await.unwrap();
    assert_eq!(lab.stop(ExitReason::Normal, Duration::MAX).await, Ok(()));
    law(&lab).await;
}

/// Clause 15.3: a runtime that shuts down under live servers: callers hear of it, nothing hangs, and the mailbox can be
/// served elsewhere.
#[test]
fn a_runtime_may_shut_down_under_live_servers() {
    let (first, second) = (runtime(), runtime());
    let alive = Alive::default();
    let mailbox = Server::<Lab>::new("homeless");
    let lab = first.block_on(mailbox.start(Plan::default())).unwrap();
    let own = first.block_on(start::<Lab>(Plan::default())).unwrap();
    let entered = Gate::new();
    let call = |lab: &ServerRef<Lab>| {
        let (lab, entered, value) = (lab.clone(), entered.clone(), alive.one());
        second.spawn(async move {
            lab.call(ask(move |_, _, reply| {
                Box::pin(async move {
                    let _held = (value, reply);
                    entered.open();
                    std::future::pending().await
                })
            }))
            .timeout(Duration::MAX)
            .await
        })
    };
    let in_hand = [call(&lab), call(&own)];
    second.block_on(entered.pass());
    second.block_on(entered.pass());
    let queued = second.spawn({
        let lab = lab.clone();
        async move { lab.call(echo(5)).timeout(Duration::MAX).await }
    });
    let orphan = second.spawn({
        let own = own.clone();
        async move { own.call(echo(6)).timeout(Duration::MAX).await }
    });
    while lab.stats().depth == 0 || own.stats().depth == 0 {
        std::thread::yield_now();
    }
    drop(first);
    for call in in_hand {
        assert_eq!(second.block_on(call).unwrap(), Err(CallError::Exited(ExitReason::Killed)));
    }
    assert_eq!(second.block_on(orphan).unwrap(), Err(CallError::Exited(ExitReason::Killed)));
    assert_eq!(alive.count(), 0, "handlers were dropped");
    assert!(!lab.is_alive() && own.is_closed());
    second.block_on(mailbox.start(Plan::default())).unwrap();
    assert_eq!(second.block_on(queued).unwrap(), Ok(5), "who waited is served on the other runtime");
    assert_eq!(second.block_on(law(&lab)).failed, 1);
    second.block_on(law(&own));
}

/// Clause 15.3: a server that has not been spoken to has no task: it hears of its runtime's end when it is spoken to.
#[test]
fn a_server_without_a_task_hears_of_its_runtimes_end_late() {
    let (first, second) = (runtime(), runtime());
    let lab = first.block_on(start::<Lab>(Plan::default())).unwrap();
    drop(first);
    let told = second.block_on(async { lab.call(echo(1)).timeout(Duration::from_secs(5)).await });
    assert_eq!(told, Err(CallError::Exited(ExitReason::Killed)));
    let failed = Server::<Lab>::settings().runtime({
        let third = runtime();
        third.handle().clone()
    });
    assert_eq!(
        second.block_on(failed.start(Plan::default())).unwrap_err(),
        StartError::Failed(ExitReason::Killed),
        "a runtime that has gone starts nobody"
    );
    second.block_on(law(&lab));
}

/// Clause 15.1: a mailbox that has moved to another runtime has nothing to do with the first any more.
#[test]
fn a_mailbox_may_move_between_runtimes() {
    let (first, second) = (runtime(), runtime());
    let mailbox = Server::<Lab>::settings().caller_runs(CallerRuns::Never).build().unwrap();
    let lab = mailbox.address();
    for _ in 0..2 {
        for rt in [&first, &second] {
            rt.block_on(mailbox.start(Plan::default())).unwrap();
            for from in [&first, &second] {
                assert_eq!(from.block_on(lab.call(echo(1))), Ok(1));
            }
            rt.block_on(lab.stop(ExitReason::Normal, LONG)).unwrap();
        }
    }
    second.block_on(mailbox.start(Plan::default())).unwrap();
    assert_eq!(second.block_on(lab.call(echo(2))), Ok(2));
    drop(first);
    assert!(lab.is_alive(), "the first runtime's end is not its business");
    assert_eq!(second.block_on(lab.call(echo(3))), Ok(3));
    assert_eq!(lab.call_blocking(echo(4)), Ok(4));
    second.block_on(law(&lab));
}

/// Clause 15.5, failure mode 20: references are dropped anywhere, even while a thread unwinds.
#[test]
fn references_may_be_dropped_anywhere() {
    let rt = runtime();
    let weak: Vec<_> = (0..3)
        .map(|n| {
            let lab = rt.block_on(start::<Lab>(Plan::default())).unwrap();
            lab.cast(Tell::Add(1)).unwrap();
            let weak = lab.downgrade();
            match n {
                0 => drop(lab),
                1 => std::thread::spawn(move || drop(lab)).join().unwrap(),
                _ => {
                    let unwinds = std::thread::spawn(move || {
                        let _lab = lab;
                        panic!("boom");
                    });
                    assert!(unwinds.join().is_err());
                }
            }
            weak
        })
        .collect();
    assert!(weak.iter().all(|w| w.upgrade().is_none()));
}

/// A call's maker that panics sends nothing and leaves nothing.
#[tokio::test(start_paused = true)]
async fn a_maker_may_panic() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    let asks = tokio::spawn({
        let lab = lab.clone();
        async move { lab.call(|_: Reply<u64>| -> Ask { panic!("maker") }).await }
    });
    assert!(asks.await.unwrap_err().is_panic());
    settle().await;
    assert_eq!(lab.call(echo(1)).await, Ok(1));
    assert_eq!(law(&lab).await.sent, 1);
}
