//! Operators at bad moments: on own threads, from other runtimes and none, in hooks, over stand-ins, all at once.

use crate::support::{Gate, LONG, Lab, Plan, Rude, Tell, ask, echo, law, pass, say, settle, tell};
use restante_genserver::stand_in::{Cue, Playing, StandIn, cast_for};
use restante_genserver::{
    CallError, Context, ExitReason, Init, Lane, Next, SendOptions, Server, ServerRef, SysError, start,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

fn single() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn names(lab: &ServerRef<Lab>) -> Vec<String> {
    lab.sys().status().hooks.iter().map(ToString::to_string).collect()
}

/// Row G6, clause 23.1: of a server on its own thread all that is queued can be looked at while its handler blocks, also what
/// was queued before the handler began; and the other verbs are answered.
#[tokio::test]
async fn operators_of_a_server_on_its_own_thread_do_not_wait_for_its_handler() {
    let plan = Plan::default();
    let lab = Server::<Lab>::settings().own_thread().start(plan.clone()).await.unwrap();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (go, goes) = channel::<()>();
    lab.sys().suspend();
    lab.cast(tell(move |_, _| {
        Box::pin(async move {
            begun.send(()).unwrap();
            let _ = goes.recv();
            Ok(Next::go())
        })
    }))
    .unwrap();
    for n in 0..10 {
        lab.cast(Tell::Say(n)).unwrap();
    }
    lab.info(say("info")).unwrap();
    assert!(lab.sys().resume());
    has_begun.await.unwrap();
    lab.cast_with(Tell::Boom, SendOptions::new().lane(Lane::Low)).unwrap();
    lab.cast_with(Tell::Fail, SendOptions::new().lane(Lane::High)).unwrap();
    let sys = lab.sys();
    let peek = sys.peek(100);
    let seen: Vec<_> = peek.messages.iter().map(|message| message.name).collect();
    assert_eq!(seen, [&["fail"][..], &["tell"; 10], &["note", "boom"]].concat());
    assert_eq!((peek.more, peek.partial), (0, false));
    assert_eq!((sys.peek(3).messages.len(), sys.peek(3).more), (3, 10));
    assert_eq!(sys.frequencies(), BTreeMap::from([("boom", 1), ("fail", 1), ("note", 1), ("tell", 10)]));
    assert_eq!(sys.message_queue_len(), 13);
    assert!(sys.suspend());
    assert_eq!((sys.status().in_hand.unwrap().name, sys.statistics().message_queue_len), ("tell", 13));
    let brief = lab.sys().timeout(Duration::from_millis(20));
    let busy = brief.get_state(|_| ()).await;
    assert!(matches!(busy, Err(SysError::Busy { message: "tell", .. })), "{busy:?}");
    go.send(()).unwrap();
    // Suspended as soon as the handler has returned, and its state can be had.
    assert_eq!(sys.get_state(|lab| lab.total).await, Ok(0));
    let fresh = plan.clone();
    sys.replace_state(move |_| Ok(Lab { total: 5, ..Lab::new(&fresh) })).await.unwrap();
    assert_eq!((plan.log.len(), sys.message_queue_len()), (0, 13));
    // The server's thread may still be on its way out of the poll that answered.
    let peek = loop {
        match sys.peek(100) {
            peek if peek.partial => tokio::task::yield_now().await,
            peek => break peek,
        }
    };
    assert_eq!(peek.messages.len(), 13);
    assert_eq!(sys.terminate(ExitReason::Shutdown).await, Ok(()));
    assert_eq!(plan.log.take(), ["terminate: shutdown"]);
    law(&lab).await;
}

/// Clauses 23.2, 6.10: a handler on a thread of its own that asks for its own state, blockingly, is told of the ring.
#[test]
fn a_server_on_its_own_thread_cannot_wait_for_its_own_state() {
    single().block_on(async {
        let lab: ServerRef<Lab> = Server::settings().own_thread().start(Plan::default()).await.unwrap();
        let itself = lab.downgrade();
        let (says, hears) = tokio::sync::oneshot::channel();
        lab.cast(tell(move |_, _| {
            let lab = itself.upgrade().unwrap();
            says.send(lab.sys().timeout(LONG).get_state_blocking(|lab| lab.total)).unwrap();
            Box::pin(async { Ok(Next::go()) })
        }))
        .unwrap();
        let got = hears.await.unwrap();
        assert!(matches!(got, Err(SysError::Cycle { .. })), "{got:?}");
        // That of another one it can, and is not taken for one of a runtime's.
        let other = start::<Lab>(Plan::default()).await.unwrap();
        let (says, hears) = tokio::sync::oneshot::channel();
        lab.cast(tell(move |_, _| {
            says.send(other.sys().timeout(LONG).get_state_blocking(|lab| lab.total)).unwrap();
            Box::pin(async { Ok(Next::go()) })
        }))
        .unwrap();
        assert_eq!(hears.await.unwrap(), Ok(0));
    });
}

/// Clauses 23.2, 15.6: on an executor that is not tokio's the limit is kept all the same.
#[test]
fn a_state_verb_keeps_its_limit_on_a_foreign_executor() {
    let rt = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let lab = rt.block_on(start::<Lab>(Plan::default())).unwrap();
    let (entered, go) = (Gate::new(), Gate::new());
    let stuck = rt.spawn({
        let (lab, call) = (lab.clone(), pass(&entered, &go));
        async move { lab.call(call).timeout(Duration::MAX).await }
    });
    rt.block_on(entered.pass());
    let brief = lab.sys().timeout(Duration::from_millis(20));
    let busy = futures::executor::block_on(brief.get_state(|lab| lab.total));
    assert!(matches!(busy, Err(SysError::Busy { .. })), "{busy:?}");
    go.open();
    assert_eq!(rt.block_on(stuck).unwrap(), Ok(1));
    assert_eq!(futures::executor::block_on(lab.sys().get_state(|lab| lab.total)), Ok(0));
}

/// Clause 23.2: the runtime ends under a server that is suspended, or in the middle of something: an asker from another
/// runtime is refused.
#[test]
fn a_runtime_that_ends_refuses_what_is_asked_of_its_servers() {
    for suspended in [false, true] {
        let rt = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let lab = rt.block_on(start::<Lab>(Plan::default())).unwrap();
        let (entered, go) = (Gate::new(), Gate::new());
        lab.cast(tell({
            let (entered, go) = (entered.clone(), go.clone());
            move |_, _| {
                Box::pin(async move {
                    entered.open();
                    go.pass().await;
                    Ok(Next::go())
                })
            }
        }))
        .unwrap();
        rt.block_on(entered.pass());
        if suspended {
            lab.sys().suspend();
        }
        let other = single();
        let asker = lab.clone();
        let asks =
            other.spawn(async move { asker.sys().timeout(Duration::MAX).get_state(|lab| lab.total).await });
        other.block_on(settle());
        rt.shutdown_background();
        let got = other.block_on(asks).unwrap();
        assert_eq!(got, Err(SysError::Exited(ExitReason::Killed)));
        assert_eq!(other.block_on(lab.sys().get_state(|lab| lab.total)), Err(SysError::NotRunning));
        assert_eq!(lab.sys().status().suspended, suspended);
    }
}

/// Clause 23.6: hooks that are running right now are there, as those are that wait for their turn.
#[tokio::test(start_paused = true)]
async fn hooks_that_run_keep_their_names() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    let (itself, seen) = (lab.downgrade(), Arc::new(Mutex::new(Vec::new())));
    let sees = Arc::clone(&seen);
    assert!(lab.sys().install("one", move |_| {
        let lab = itself.upgrade().unwrap();
        let refused = !lab.sys().install("two", |_| panic!("not installed"));
        let removed = lab.sys().remove("three");
        sees.lock().unwrap().push((names(&lab), refused, removed));
        ControlFlow::Continue(())
    }));
    assert!(lab.sys().install("two", |_| ControlFlow::Continue(())));
    lab.cast(Tell::Add(1)).unwrap();
    settle().await;
    let expected = (vec!["one".to_owned(), "two".to_owned()], true, false);
    assert_eq!(*seen.lock().unwrap(), [expected.clone(), expected]);
    assert_eq!(names(&lab), ["one", "two"]);
}

/// Clause 23.6: hooks that panic in their drop, two at once, end nothing.
#[tokio::test(start_paused = true)]
async fn hooks_are_dropped_one_by_one_and_under_a_net() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    for name in ["one", "two", "three"] {
        let rude = Rude;
        assert!(lab.sys().install(name, move |_| {
            let _ = &rude;
            if name == "one" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }));
    }
    lab.call(echo(1)).await.unwrap();
    settle().await;
    assert_eq!(names(&lab), ["two", "three"]);
    lab.sys().no_debug();
    assert_eq!((names(&lab).len(), lab.call(echo(2)).await, lab.incarnation()), (0, Ok(2), 1));
}

/// A stand-in without a state.
struct Mute;

impl StandIn<Lab> for Mute {
    fn init<'a>(&'a mut self, _: Option<&'a Plan>, _: &'a mut Context<Lab>) -> Playing<'a, Init<()>> {
        Box::pin(async { Ok(Init::ok(())) })
    }
    fn play<'a>(&'a mut self, _: Cue<Lab>, _: &'a mut Context<Lab>) -> Playing<'a, Next> {
        Box::pin(async { Ok(Next::go()) })
    }
    fn terminate<'a>(&'a mut self, _: &'a ExitReason, _: &'a mut Context<Lab>) -> Playing<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// Clause 23.2: where a stand-in plays the server there is no state, and a question that panics in its drop hurts nothing
/// else.
#[tokio::test(start_paused = true)]
async fn a_question_to_a_stand_in_is_refused_whatever_it_holds() {
    let server = Server::<Lab>::settings().build().unwrap();
    assert!(cast_for(&server.address(), Arc::new(|_| Box::new(Mute))));
    let lab = server.start(Plan::default()).await.unwrap();
    let rude = Rude;
    let got = lab
        .sys()
        .get_state(move |_| {
            let _ = &rude;
        })
        .await;
    assert!(matches!(got, Err(SysError::Failed(_))), "{got:?}");
    settle().await;
    assert!(lab.is_alive());
    // Suspended, it is as others are.
    assert!(lab.sys().suspend());
    assert!(matches!(lab.sys().get_state(|lab| lab.total).await, Err(SysError::Failed(_))));
    assert_eq!(lab.sys().terminate(ExitReason::Shutdown).await, Ok(()));
}

/// Clauses 23.2 to 23.9, 3.2: from plain threads, all at once, over a server that is killed, crashes, and is started again:
/// everything is answered or refused, nothing is lost, and in the end the server is as if it had never been asked.
#[test]
fn a_storm_of_operators_leaves_nothing_behind() {
    const OPERATORS: u64 = 3;
    const STEPS: u64 = 400;
    let rt = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let plan = Plan::default();
    let server = Server::<Lab>::settings().capacity(64).build().unwrap();
    let lab = server.address();
    rt.block_on(server.start(plan.clone())).unwrap();
    let keeps = rt.spawn({
        let lab = lab.clone();
        async move {
            loop {
                lab.join().await;
                if lab.is_closed() {
                    break;
                }
                // A server that was killed in its start is started again.
                let _ = server.start(plan.clone()).await;
            }
        }
    });
    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        let operators: Vec<_> = (0..OPERATORS)
            .map(|seed| {
                let lab = &lab;
                threads.spawn(move || (0..STEPS).for_each(|step| operate(lab, seed, step)))
            })
            .collect();
        threads.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = lab.cast(Tell::Add(1));
                let _ = lab.call_blocking_timeout(Duration::from_millis(5), echo(1));
            }
        });
        for operator in operators {
            operator.join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
    lab.sys().no_debug();
    lab.sys().resume();
    rt.block_on(async {
        while lab.call(echo(2)).timeout(LONG).await != Ok(2) {}
        // Callers run handlers themselves again. (Not each time: a handler is found slow now and then.)
        let mut here = false;
        for _ in 0..10_000 {
            let caller = thread::current().id();
            let call = lab.call(ask(move |_, _, reply| {
                reply.send(u64::from(thread::current().id() == caller));
                Box::pin(async { Ok(Next::go()) })
            }));
            here |= call.await == Ok(1);
            if here {
                break;
            }
        }
        assert!(here, "SYS is still up");
        lab.close(ExitReason::Normal);
        keeps.await.unwrap();
        law(&lab).await;
    });
}

/// One thing that an operator does.
fn operate(lab: &ServerRef<Lab>, seed: u64, step: u64) {
    let dice = (seed * 1_000_003 + step).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let more = dice / 16;
    let sys = lab.sys().timeout(Duration::from_millis(5));
    let name = format!("hook {}", more % 3);
    match dice % 16 {
        0 | 1 => drop(sys.suspend()),
        2..=4 => drop(sys.resume()),
        5 => drop(sys.trace(more.is_multiple_of(2))),
        6 => sys.keep_log(usize::try_from(more % 4).unwrap()),
        7 => drop(sys.install(name, move |_| {
            assert!(!more.is_multiple_of(5), "a hook that panics");
            ControlFlow::Continue(())
        })),
        8 => drop(sys.remove(&name)),
        9 => sys.no_debug(),
        10 => drop((sys.status().to_string(), sys.peek(3), sys.frequencies(), sys.log())),
        11 => match sys.get_state_blocking(|lab| lab.total) {
            Ok(_) | Err(SysError::Busy { .. } | SysError::NotRunning | SysError::Exited(_)) => {}
            Err(other) => panic!("{other}"),
        },
        12 => {
            let applied = Arc::new(AtomicBool::new(false));
            let notes = Arc::clone(&applied);
            let replaced = sys.replace_state_blocking(move |old| {
                notes.store(true, Ordering::SeqCst);
                Ok(Lab { total: old.total, ..Lab::new(&old.plan) })
            });
            assert_eq!(replaced.is_ok(), applied.load(Ordering::SeqCst), "{replaced:?}");
        }
        13 => drop(lab.cast(Tell::Boom)),
        14 if more.is_multiple_of(4) => drop(lab.kill()),
        _ => match lab.call_blocking_timeout(Duration::from_millis(5), echo(3)) {
            Ok(3) | Err(CallError::Timeout | CallError::Full | CallError::Exited(_)) => {}
            other => panic!("{other:?}"),
        },
    }
}
