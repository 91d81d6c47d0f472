//! The watchdog: whom it names, and whom it does not. A handler that holds its worker here does so until it has been told of,
//! so that no test depends on how fast the machine is.

use crate::support::{Ask, LONG, Lab, Plan, ask, echo, tell};
use restante_genserver::watchdog::{Hold, Watchdog, blocking};
use restante_genserver::{CallerRuns, Next, Phase, Server, ServerRef, start};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

const LIMIT: Duration = Duration::from_millis(5);

fn single() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A watchdog, and what it says.
fn watchdog() -> (Watchdog, Told) {
    watchdog_of(LIMIT)
}

fn watchdog_of(threshold: Duration) -> (Watchdog, Told) {
    let (says, hears) = channel();
    let watchdog =
        Watchdog::builder().threshold(threshold).on_hold(move |hold| drop(says.send(hold.clone())));
    (watchdog.start().unwrap(), Told(Arc::new(Mutex::new(hears))))
}

#[derive(Clone)]
struct Told(Arc<Mutex<Receiver<Hold>>>);

impl Told {
    /// What it says next; waits for it, blocking its thread.
    fn next(&self) -> Hold {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(LONG).unwrap()
    }
}

async fn named(name: &str) -> ServerRef<Lab> {
    Server::settings().name(name).start(Plan::default()).await.unwrap()
}

/// Has a server's handler hold its worker until that is told of, and returns what is.
async fn holds(lab: &ServerRef<Lab>, runs: CallerRuns, told: &Told) -> Hold {
    let (first, hears) = (Arc::new(Mutex::new(None)), told.clone());
    let noted = Arc::clone(&first);
    let call = lab.call(ask(move |_, _, reply| {
        *noted.lock().unwrap() = Some(hears.next());
        reply.send(1);
        Box::pin(async { Ok(Next::go()) })
    }));
    assert_eq!(call.caller_runs(runs).timeout(LONG).await, Ok(1));
    first.lock().unwrap().take().unwrap()
}

/// Row D8: it names server and message while the handler holds its worker, and says in the end how long it was; on the
/// server's task as on its caller's stack.
/// Clause 15.13.
#[test]
fn it_names_who_holds_a_worker_and_says_when_that_is_over() {
    let (_watchdog, told) = watchdog();
    single().block_on(async {
        let lab = named("slow").await;
        for runs in [CallerRuns::Never, CallerRuns::Auto] {
            let hold = holds(&lab, runs, &told).await;
            assert_eq!((&*hold.server, hold.phase, hold.ended), ("slow", Phase::Call, false));
            assert_eq!(hold.message, "ask");
            assert!(hold.held >= LIMIT);
            let over = told.next();
            assert!(over.ended && over.held >= hold.held, "{over:?}");
            assert_eq!((over.server, over.message, over.thread), (hold.server, hold.message, hold.thread));
        }
    });
}

/// A hold that goes on is told of once by each watchdog that it is too long for, and its end as well.
#[test]
fn it_says_the_end_of_a_hold_that_went_on_after_it_was_told_of() {
    let ((_first, told), (_second, later)) = (watchdog(), watchdog_of(8 * LIMIT));
    single().block_on(async {
        let lab = named("slow").await;
        let (hears, hears_later) = (told.clone(), later.clone());
        let call = lab.call(ask(move |_, _, reply| {
            let both = [hears.next(), hears_later.next()];
            assert!(both.iter().all(|hold| hold.server == "slow" && !hold.ended), "{both:?}");
            reply.send(1);
            Box::pin(async { Ok(Next::go()) })
        }));
        assert_eq!(call.timeout(LONG).await, Ok(1));
        let [over, over_later] = [told.next(), later.next()];
        assert!(over.ended && over_later.ended, "{over:?} {over_later:?}");
        assert!(over.held >= LIMIT && over_later.held >= 8 * LIMIT, "{over:?} {over_later:?}");
    });
}

/// Awaiting is not holding, nor is blocking on a thread of one's own or in what was said to block.
/// Clause 15.13.
#[test]
fn it_does_not_mind_who_awaits_or_may_block() {
    let (_watchdog, told) = watchdog();
    single().block_on(async {
        let (awaits, own, escapes, last) = (
            named("awaits").await,
            Server::<Lab>::settings().name("own").own_thread().start(Plan::default()).await.unwrap(),
            named("escapes").await,
            named("last").await,
        );
        let mut never = Box::pin(awaits.call(Ask::Never).into_future());
        assert!(futures::poll!(&mut never).is_pending());
        let (go, goes) = channel::<()>();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        own.cast(tell(move |_, _| {
            begun.send(()).unwrap();
            let _ = goes.recv();
            Box::pin(async { Ok(Next::go()) })
        }))
        .unwrap();
        has_begun.await.unwrap();
        let hears = told.clone();
        let call = escapes.call(ask(move |_, _, reply| {
            // Until one that began later, on another thread, has been told of.
            let witness = || {
                single().block_on(async {
                    let hold = holds(&named("witness").await, CallerRuns::Never, &hears).await;
                    [hold, hears.next()].map(|hold| hold.server)
                })
            };
            let seen = blocking(|| std::thread::scope(|threads| threads.spawn(witness).join().unwrap()));
            assert_eq!(seen, ["witness", "witness"]);
            reply.send(1);
            Box::pin(async { Ok(Next::go()) })
        }));
        assert_eq!(call.timeout(LONG).await, Ok(1));
        assert_eq!(holds(&last, CallerRuns::Never, &told).await.server, "last");
        assert!(told.next().ended);
        go.send(()).unwrap();
        assert_eq!(own.call(echo(1)).await, Ok(1));
    });
}

/// A handler that calls one which holds their worker, on the same stack, is not blamed for it.
#[test]
fn it_blames_the_innermost_of_the_servers_on_a_stack() {
    let (_watchdog, told) = watchdog();
    single().block_on(async {
        let (outer, inner) = (named("outer").await, named("inner").await);
        let hears = told.clone();
        let call = outer.call(ask(move |_, _, reply| {
            Box::pin(async move {
                let hold = holds(&inner, CallerRuns::Auto, &hears).await;
                assert_eq!(hold.server, "inner");
                let over = hears.next();
                assert!(over.ended && over.server == "inner");
                reply.send(1);
                Ok(Next::go())
            })
        }));
        assert_eq!(call.await, Ok(1));
    });
}

/// A panic in its callback does not end it; its drop does, and its thread goes with it.
#[test]
fn it_survives_its_callback_and_ends_when_it_is_dropped() {
    let (says, hears) = channel();
    let told = Told(Arc::new(Mutex::new(hears)));
    let watchdog = Watchdog::builder().threshold(LIMIT).on_hold(move |hold| {
        says.send(hold.clone()).unwrap();
        assert!(hold.ended, "said once too often");
    });
    let watchdog = watchdog.start().unwrap();
    single().block_on(async {
        let lab = named("slow").await;
        assert!(!holds(&lab, CallerRuns::Never, &told).await.ended);
        assert!(told.next().ended);
        drop(watchdog);
        let silent = told.0.lock().unwrap().recv_timeout(LONG);
        assert_eq!(silent, Err(std::sync::mpsc::RecvTimeoutError::Disconnected));
        assert_eq!(start::<Lab>(Plan::default()).await.unwrap().call(echo(1)).await, Ok(1));
    });
}

/// Clause 15.13: unless it is told another, its threshold is 10 ms.
#[test]
fn its_threshold_is_ten_milliseconds_unless_set() {
    let ten = Duration::from_millis(10);
    assert_eq!(restante_genserver::watchdog::DEFAULT_THRESHOLD, ten);
    let dog = Watchdog::builder().start().unwrap();
    assert!(format!("{dog:?}").contains("10ms"), "{dog:?}");
    drop(dog);
}
