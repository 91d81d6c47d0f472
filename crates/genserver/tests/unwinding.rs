//! Foreign code that panics where a server holds its mailbox: the server and who waits for it come out of it as they should.

use crate::support::{LONG, Lab, Plan, Tell, echo, law, tell};
use restante_core::drop_quietly;
use restante_genserver::monitor::Watch;
use restante_genserver::{Next, Server, ThreadPool, start};
use std::future::Future;
use std::sync::Arc;
use std::task::{Context as Cx, Wake, Waker};
use std::time::Duration;

/// A waker that panics in each of its ways.
struct Rude;

impl Wake for Rude {
    fn wake(self: Arc<Self>) {
        panic!("rude")
    }
}

impl Drop for Rude {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "rude as well");
    }
}

/// Polls once with a waker that panics; the future goes on waiting.
fn poll_rudely<F: Future>(future: &mut std::pin::Pin<Box<F>>) {
    let waker = Waker::from(Arc::new(Rude));
    assert!(future.as_mut().poll(&mut Cx::from_waker(&waker)).is_pending());
    // Where the clone that was kept is the last, its drop is not this stack's.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(waker)));
}

/// Row H6, clause 13.9: a waiting sender whose waker panics is let in, and the server that gave it room goes on: it is awake,
/// handles what comes, and ends when it is told to.
#[tokio::test]
async fn a_waiting_senders_waker_does_not_stop_the_server() {
    let server = Server::<Lab>::settings().capacity(2).start(Plan::default()).await.unwrap();
    for n in 0..2 {
        server.cast(Tell::Say(n)).unwrap();
    }
    let mut send = Box::pin(server.send(Tell::Say(2)));
    poll_rudely(&mut send);
    tokio::task::yield_now().await;
    send.await.unwrap();
    assert_eq!(server.call(echo(3)).await, Ok(3));
    law(&server).await;
    assert!(server.kill());
    server.join().await;
}

/// Row H6, clause 13.9: a starter whose waker panics does not keep its server from serving; nor does one whose `init` fails.
#[tokio::test]
async fn a_starters_waker_does_not_stop_the_server() {
    for fails in [false, true] {
        let gate = crate::support::Gate::new();
        let go = gate.clone();
        let plan = Plan::default().init(move |plan, _| {
            let go = go.clone();
            Box::pin(async move {
                go.pass().await;
                if fails {
                    Err(restante_genserver::ExitReason::error("no"))
                } else {
                    Ok(restante_genserver::Init::ok(Lab::new(plan)))
                }
            })
        });
        let server = Server::<Lab>::settings().build().unwrap();
        let at = server.address();
        let mut starts = Box::pin(server.start(plan));
        poll_rudely(&mut starts);
        gate.open();
        tokio::task::yield_now().await;
        if fails {
            assert_eq!(at.join().await.reason.to_string(), "error: no");
        } else {
            assert_eq!(at.call(echo(1)).await, Ok(1));
        }
        // The drop of the starter's waker is its owner's affair.
        drop_quietly(starts);
        law(&at).await;
    }
}

/// Row H6, clause 13.9: an operator's waker that panics does not crash the server that answers it.
#[tokio::test]
async fn an_operators_waker_does_not_crash_the_server() {
    let server = start::<Lab>(Plan::default()).await.unwrap();
    let gate = crate::support::Gate::new();
    let go = gate.clone();
    server
        .cast(tell(move |_, _| {
            Box::pin(async move {
                go.pass().await;
                Ok(Next::go())
            })
        }))
        .unwrap();
    tokio::task::yield_now().await;
    let sys = server.sys();
    let mut asks = Box::pin(sys.get_state(|lab| lab.total));
    poll_rudely(&mut asks);
    gate.open();
    tokio::task::yield_now().await;
    assert_eq!(server.call(echo(1)).await, Ok(1));
    assert!(server.is_alive());
    drop_quietly(asks);
}

/// Row H6, clause 13.9: who waits for a pool's end with a waker that panics does not keep others from hearing of it.
#[tokio::test]
async fn a_rude_waiter_does_not_keep_the_end_of_a_pool_from_others() {
    let pool = ThreadPool::new(1);
    let server = Server::<Lab>::settings().thread_pool(&pool).start(Plan::default()).await.unwrap();
    let gate = crate::support::Gate::new();
    let (entered, go) = (crate::support::Gate::new(), gate.clone());
    let seen = entered.clone();
    server
        .cast(tell(move |_, _| {
            Box::pin(async move {
                seen.open();
                go.pass().await;
                Ok(Next::go())
            })
        }))
        .unwrap();
    entered.pass().await;
    let mut first = Box::pin(pool.shutdown(Duration::MAX));
    poll_rudely(&mut first);
    let second = pool.clone();
    let second = tokio::spawn(async move { second.shutdown(LONG).await });
    tokio::task::yield_now().await;
    gate.open();
    let report = second.await.unwrap();
    assert_eq!((report.threads_left, report.left), (0, Vec::new()));
}

/// Row H6, clause 13.4: guards in a handler that has been cut off by a killed server may still ask their context.
#[tokio::test]
async fn a_guard_may_ask_its_context_while_its_server_is_cleared_away() {
    struct Asks<'a>(&'a mut restante_genserver::Context<Lab>, crate::support::Log);
    impl Drop for Asks<'_> {
        fn drop(&mut self) {
            self.1.push(self.0.stats().depth);
        }
    }
    let plan = Plan::default();
    let log = plan.log.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let server = std::thread::spawn(move || {
        let server = runtime.block_on(start::<Lab>(plan)).unwrap();
        runtime.block_on(async {
            server
                .cast(tell(|lab, ctx| {
                    let guard = Asks(ctx, lab.log.clone());
                    Box::pin(async move {
                        let _guard = guard;
                        std::future::pending().await
                    })
                }))
                .unwrap();
            tokio::task::yield_now().await;
        });
        drop(runtime);
        server
    })
    .join()
    .unwrap();
    assert_eq!(log.take(), ["0"]);
    assert!(!server.is_alive());
    server.monitor(Watch::Mailbox, |_| ());
}

/// Panics in its drop, also where a panic unwinds already: two of them that are dropped as one end the process.
struct Bitter;

impl Drop for Bitter {
    fn drop(&mut self) {
        panic!("bitter")
    }
}

/// Clauses 13.9, 15.3: what lies in a server whose runtime ends goes piece by piece: what its handler has, its state, what is
/// queued.
#[test]
fn the_end_of_a_runtime_drops_each_piece_by_itself() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let lab = runtime.block_on(async {
        let lab = start::<Lab>(Plan::default()).await.unwrap();
        lab.cast(tell(|lab, _| {
            lab.things.push(Box::new(Bitter));
            Box::pin(async {
                let _in_hand = Bitter;
                std::future::pending().await
            })
        }))
        .unwrap();
        lab.cast(Tell::Carry(Box::new(Bitter))).unwrap();
        lab
    });
    let entered = std::time::Instant::now();
    while lab.stats().ledger.queued > 1 {
        assert!(entered.elapsed() < LONG, "the first cast is taken");
        std::thread::yield_now();
    }
    drop(runtime);
    assert!(!lab.is_alive());
    let exit = lab.last_exit().unwrap();
    assert!(matches!(exit.reason, restante_core::ExitReason::Killed), "{exit:?}");
    futures::executor::block_on(law(&lab));
}
