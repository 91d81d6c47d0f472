//! Contexts that were moved from where they were lent: what Rust lets one do with any `&mut` to a sized type.

use crate::support::{LONG, Lab, Log, Plan, Tell, law, tell};
use restante_genserver::{
    Context, ExitReason, Init, Next, Server, ServerRef, StartError, WeakServerRef, start,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Puts what comes by one end into the place, and sends what was there by the other.
struct Swap(Sender<Context<Lab>>, Receiver<Context<Lab>>);

impl Swap {
    fn pair() -> (Self, Self) {
        let ((to_a, of_a), (to_b, of_b)) = (channel(), channel());
        (Self(to_b, of_a), Self(to_a, of_b))
    }

    fn swap(self, ctx: &mut Context<Lab>) {
        replace_with::replace_with_or_abort(ctx, |mine| {
            self.0.send(mine).expect("the other one waits");
            self.1.recv().expect("the other one sends")
        });
    }
}

/// Two servers whose handlers may wait for each other.
async fn two() -> (ServerRef<Lab>, ServerRef<Lab>) {
    let one = async || Server::<Lab>::settings().own_thread().start(Plan::default()).await.unwrap();
    (one().await, one().await)
}

fn is_astray(reason: &ExitReason) -> bool {
    matches!(reason, ExitReason::Panic(panic) if panic.message.contains("was moved from where it was lent"))
}

fn is_misplaced(reason: &ExitReason) -> bool {
    reason.to_string().contains("another server's context")
}

/// Row H6, clause 13.7: what a handler asks of another server's context panics, and touches neither server; not even when the
/// other one and its mailbox are long gone.
#[tokio::test]
async fn a_context_that_was_swapped_reaches_no_server() {
    let (a, b) = two().await;
    let (with_a, with_b) = Swap::pair();
    let (gone, is_gone) = channel::<()>();
    a.cast(tell(move |_, ctx| {
        with_a.swap(ctx);
        Box::pin(async move {
            let _ = is_gone.recv();
            tokio::task::yield_now().await;
            let ledger = ctx.stats().ledger;
            panic!("its ledger was shown: {ledger:?}")
        })
    }))
    .unwrap();
    b.cast(tell(move |_, ctx| {
        with_b.swap(ctx);
        Box::pin(async { Ok(Next::go()) })
    }))
    .unwrap();
    assert!(is_misplaced(&b.join().await.reason));
    law(&b).await;
    let weak: WeakServerRef<Lab> = b.downgrade();
    drop(b);
    assert!(weak.upgrade().is_none());
    drop(gone);
    let end = a.join().await;
    assert!(is_astray(&end.reason), "{}", end.reason);
    law(&a).await;
}

/// Row H6, clause 13.7: each verb of a context refuses when it is not where it was lent.
#[tokio::test]
async fn every_verb_refuses_in_a_context_that_is_not_the_handlers_own() {
    type Verb = fn(&mut Context<Lab>);
    let verbs: [(&str, Verb); 14] = [
        ("server", |ctx| {
            let _ = ctx.server();
        }),
        ("stats", |ctx| {
            let _ = ctx.stats();
        }),
        ("audit", |ctx| {
            let _ = ctx.audit();
        }),
        ("purge", |ctx| {
            let _ = ctx.purge(|_| true);
        }),
        ("send_after", |ctx| {
            let _ = ctx.send_after(LONG, crate::support::say("tick"));
        }),
        ("send_every", |ctx| {
            ctx.send_every(restante_genserver::Every::FixedRate(LONG), || crate::support::say("tick"));
        }),
        ("cancel_timer_key", |ctx| {
            let _ = ctx.cancel_timer_key("none");
        }),
        ("trap_exit", |ctx| ctx.trap_exit(crate::support::Note::Exit)),
        ("spawn", |ctx| ctx.spawn(async { crate::support::say("done") })),
        ("at_exit", |ctx| ctx.at_exit(async {})),
        ("mark", |ctx| {
            let _ = ctx.mark();
        }),
        ("receive", |ctx| {
            let _ = futures::executor::block_on(ctx.receive(std::time::Duration::ZERO, |_| true));
        }),
        ("link", |ctx| {
            let other = futures::executor::block_on(start::<Lab>(Plan::default())).unwrap();
            ctx.link(&other);
        }),
        ("monitor", |ctx| {
            let other = futures::executor::block_on(start::<Lab>(Plan::default())).unwrap();
            ctx.monitor(&other, restante_genserver::monitor::Watch::Mailbox, |_| crate::support::say("end"));
        }),
    ];
    let (a, b) = two().await;
    let (with_a, with_b) = Swap::pair();
    let refused = Log::default();
    let seen = refused.clone();
    a.cast(tell(move |_, ctx| {
        with_a.swap(ctx);
        for (name, verb) in verbs {
            match catch_unwind(AssertUnwindSafe(|| verb(ctx))) {
                Ok(()) => seen.push(format!("{name} did it")),
                Err(_) => seen.push(name),
            }
        }
        Box::pin(async { Ok(Next::go()) })
    }))
    .unwrap();
    b.cast(tell(move |_, ctx| {
        with_b.swap(ctx);
        Box::pin(async { Ok(Next::go()) })
    }))
    .unwrap();
    let (a_end, b_end) = (a.join().await, b.join().await);
    assert_eq!(refused.take(), verbs.map(|(name, _)| name.to_owned()));
    assert!(is_misplaced(&a_end.reason) && is_misplaced(&b_end.reason));
}

/// Row H6, clause 13.7: a server that finds another's context in the place of its own ends without `terminate`; what is queued
/// waits for the next incarnation.
#[tokio::test]
async fn a_server_whose_context_was_taken_ends_and_its_mailbox_goes_on() {
    let plans = [Plan::default(), Plan::default()];
    let server = |plan: &Plan| {
        let server = Server::<Lab>::settings().own_thread().build().unwrap();
        let plan = plan.clone();
        async move { (server.start(plan).await.unwrap(), server) }
    };
    let ((a, a_box), (b, _b_box)) = (server(&plans[0]).await, server(&plans[1]).await);
    let (with_a, with_b) = Swap::pair();
    for (server, swap) in [(&a, with_a), (&b, with_b)] {
        server
            .cast(tell(move |_, ctx| {
                swap.swap(ctx);
                Box::pin(async { Ok(Next::go()) })
            }))
            .unwrap();
        server.cast(Tell::Say(7)).unwrap();
    }
    for (server, plan) in [(&a, &plans[0]), (&b, &plans[1])] {
        assert!(is_misplaced(&server.join().await.reason));
        assert!(plan.log.take().is_empty(), "neither terminate nor the next message");
    }
    let again = a_box.start(plans[0].clone()).await.unwrap();
    again.call(crate::support::echo(8)).await.unwrap();
    assert_eq!(plans[0].log.take(), ["7", "8"]);
    law(&again).await;
}

/// Row H6, clause 13.7: a context that was kept from an earlier incarnation is refused by the later one, beside its own.
#[tokio::test]
async fn a_context_of_an_earlier_incarnation_is_refused() {
    let kept = std::sync::Arc::new(std::sync::Mutex::new(None::<Context<Lab>>));
    let (with_a, with_b) = Swap::pair();
    let server = Server::<Lab>::settings().own_thread().build().unwrap();
    let a = server.start(Plan::default()).await.unwrap();
    let b = Server::<Lab>::settings().own_thread().start(Plan::default()).await.unwrap();
    let keeps = kept.clone();
    a.cast(tell(move |_, ctx| {
        replace_with::replace_with_or_abort(ctx, |mine| {
            *keeps.lock().unwrap() = Some(mine);
            with_a.1.recv().expect("the other one sends")
        });
        Box::pin(async { Ok(Next::go()) })
    }))
    .unwrap();
    b.cast(tell(move |_, ctx| {
        with_b.swap(ctx);
        Box::pin(async { Ok(Next::go()) })
    }))
    .unwrap();
    assert!(is_misplaced(&a.join().await.reason));
    server.start(Plan::default()).await.unwrap();
    let old = kept.clone();
    a.cast(tell(move |_, ctx| {
        assert_eq!(ctx.stats().depth, 0, "its own works");
        let mut old = old.lock().unwrap();
        let old = old.as_mut().expect("it was kept");
        assert_eq!((ctx.incarnation(), old.incarnation()), (2, 1));
        old.stats();
        unreachable!("it was refused")
    }))
    .unwrap();
    assert!(is_astray(&a.join().await.reason));
    let lost = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take().unwrap();
    with_a.0.send(lost).unwrap();
    assert!(is_misplaced(&b.join().await.reason));
    law(&a).await;
}

/// Row H6, clause 13.7: in `init` and in `terminate` it is the same.
#[tokio::test]
async fn init_and_terminate_may_not_leave_another_context_either() {
    for in_init in [true, false] {
        let (with_a, with_b) = Swap::pair();
        let once = std::sync::Mutex::new(Some(with_a));
        let swap = move |ctx: &mut Context<Lab>| once.lock().unwrap().take().unwrap().swap(ctx);
        let plan = if in_init {
            Plan::default().init(move |plan, ctx| {
                swap(ctx);
                Box::pin(async { Ok(Init::ok(Lab::new(plan))) })
            })
        } else {
            Plan::default().end(move |_, _, ctx| {
                swap(ctx);
                Box::pin(async { Ok(()) })
            })
        };
        let b = Server::<Lab>::settings().own_thread().start(Plan::default()).await.unwrap();
        b.cast(tell(move |_, ctx| {
            with_b.swap(ctx);
            Box::pin(async { Ok(Next::go()) })
        }))
        .unwrap();
        match Server::<Lab>::settings().own_thread().start(plan).await {
            Err(StartError::Failed(reason)) => assert!(in_init && is_misplaced(&reason), "{reason}"),
            Err(other) => panic!("{other}"),
            Ok(a) => {
                assert!(!in_init);
                a.cast(Tell::Stop(ExitReason::Normal)).unwrap();
                assert!(is_misplaced(&a.join().await.reason));
            }
        }
        assert!(is_misplaced(&b.join().await.reason));
    }
}

/// Clause 13.7: a context works on the thread that runs its callback, and refuses on others.
#[tokio::test]
async fn a_context_refuses_on_another_thread_than_its_callbacks() {
    let a = Server::<Lab>::settings().own_thread().start(Plan::default()).await.unwrap();
    let log = Log::default();
    let seen = log.clone();
    a.cast(tell(move |_, ctx| {
        let lent = &mut *ctx;
        let there = std::thread::scope(|scope| scope.spawn(move || lent.stats()).join().is_ok());
        seen.push(format!("there {there}, here {}", ctx.stats().depth));
        Box::pin(async { Ok(Next::stop()) })
    }))
    .unwrap();
    assert_eq!(a.join().await.reason, ExitReason::Normal);
    assert_eq!(log.take(), ["there false, here 0"]);
}
