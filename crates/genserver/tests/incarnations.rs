//! What belongs to one incarnation and must not reach another: links, kills, runtimes, reasons; and readers of small
//! batches. Each was found by a reviewer, and failed before it was mended.

use crate::support::{Gate, LONG, Lab, Plan, Tell, ask, law, say, settle, tell};
use restante_genserver::keeper::{Beginner, End, Keeper, Verdict, keep, start_kept};
use restante_genserver::{Coalesce, ExitReason, Message, Next, Server, ServerRef, StartError, link};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Row G2, clause 12.2: a link with one that is down leaves nothing behind for later incarnations.
#[tokio::test]
async fn a_link_with_a_server_that_is_down_binds_no_later_incarnation() {
    let (a, b) = (Server::<Lab>::new("a"), Server::<Lab>::new("b"));
    a.start(Plan::default()).await.unwrap();
    link(&a.address(), &b.address());
    a.address().join().await;
    a.start(Plan::default()).await.unwrap();
    b.start(Plan::default()).await.unwrap();
    b.address().kill();
    b.address().join().await;
    settle().await;
    assert!(a.address().is_alive(), "{:?}", a.address().last_exit());
}

/// Row G4, clause 15.1: a runtime that a mailbox has moved away from takes nothing with it when it ends.
#[test]
fn the_first_runtimes_end_does_not_concern_a_server_that_has_moved() {
    let (first, second) = (runtime(), runtime());
    let server = std::sync::Arc::new(Server::<Lab>::new("moves"));
    let lab = server.address();
    let on_first = std::sync::Arc::clone(&server);
    first.block_on(async move {
        on_first.start(Plan::default()).await.unwrap();
        on_first.address().cast(Tell::Add(1)).unwrap();
        on_first.address().stop(ExitReason::Normal, LONG).await.unwrap();
    });
    second.block_on(async move {
        server.start(Plan::default()).await.unwrap();
        server.address().cast(Tell::Add(1)).unwrap();
        settle().await;
        first.shutdown_background();
        settle().await;
        assert!(server.address().is_alive());
    });
    drop(lab);
}

/// A start on a runtime that has ended fails at once, and leaves the mailbox as it was.
#[test]
fn a_start_on_an_ended_runtime_fails_and_wedges_nothing() {
    let (gone, here) = (runtime(), runtime());
    let settings = Server::<Lab>::settings().runtime(gone.handle().clone());
    let server = settings.build().unwrap();
    here.block_on(async {
        server.start(Plan::default()).await.unwrap();
        server.address().cast(Tell::Add(1)).unwrap();
    });
    drop(gone);
    for _ in 0..2 {
        let again = here.block_on(server.start(Plan::default()));
        assert!(matches!(again, Err(StartError::Failed(ExitReason::Killed))), "{again:?}");
        assert!(!server.address().is_alive());
    }
}

#[derive(Debug, thiserror::Error)]
#[error("an error that knows its server")]
struct Looks(ServerRef<Lab>);

impl Drop for Looks {
    fn drop(&mut self) {
        // Would wait for ever for a lock that is held while this drops.
        let _ = self.0.stats();
    }
}

/// No user code, the drop of an error's included, runs under the mailbox's lock.
#[tokio::test]
async fn the_reason_of_an_earlier_end_is_dropped_outside_the_lock() {
    let server = Server::<Lab>::new("looks");
    let lab = server.address();
    for _ in 0..3 {
        server.start(Plan::default()).await.unwrap();
        let me = lab.clone();
        lab.cast(tell(move |_, _| Box::pin(async move { Err(ExitReason::from(Looks(me))) }))).unwrap();
        assert!(!lab.join().await.reason.is_orderly());
    }
    law(&lab).await;
}

/// Row G1: a selective receive sees past more than one small batch of others, and keeps its limit.
#[tokio::test(start_paused = true)]
async fn a_selective_receive_passes_many_small_batches() {
    let server = Server::<Lab>::settings().capacity(256).coalesce(Coalesce::KeepPlace).build().unwrap();
    let lab = server.start(Plan::default()).await.unwrap();
    let (entered, go) = (Gate::new(), Gate::new());
    let gates = (entered.clone(), go.clone());
    lab.cast(tell(move |lab, ctx| {
        Box::pin(async move {
            gates.0.open();
            gates.1.pass().await;
            let found = ctx.receive(LONG, |m| matches!(m, Message::Info(_))).await;
            lab.log.push(format!("found {}", found.is_ok()));
            let none = ctx.receive(Duration::from_secs(1), |m| matches!(m, Message::Info(_))).await;
            lab.log.push(format!("none {}", none.is_err()));
            Ok(Next::go())
        })
    }))
    .unwrap();
    entered.pass().await;
    (0..200).for_each(|n| lab.cast(Tell::Add(n)).unwrap());
    lab.info(say("at last")).unwrap();
    go.open();
    let found = ask(|lab, _, reply| {
        Box::pin(async move {
            reply.send(u64::try_from(lab.log.len()).unwrap());
            Ok(Next::go())
        })
    });
    assert_eq!(lab.call(found).timeout(Duration::MAX).await, Ok(2));
    law(&lab).await;
}

/// Looking (an audit) beside a server at work loses no wake-up.
#[test]
fn audits_beside_a_server_lose_no_wake_up() {
    let rt = runtime();
    let lab = rt.block_on(async {
        tokio::spawn(async { restante_genserver::start::<Lab>(Plan::default()).await.unwrap() })
            .await
            .unwrap()
    });
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (looks, until) = (lab.clone(), done.clone());
    let looker = std::thread::spawn(move || {
        while !until.load(std::sync::atomic::Ordering::Relaxed) {
            looks.audit();
        }
    });
    for _ in 0..20_000 {
        lab.cast(Tell::Add(1)).unwrap();
        // Each one must be read for the next to find the server idle: that is where the wake-up was lost.
        while lab.stats().depth > 0 {
            std::hint::spin_loop();
        }
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    looker.join().unwrap();
}

/// Wants each incarnation followed by the next.
struct Forever(Plan);

impl Keeper<Lab> for Forever {
    fn args(&self) -> &Plan {
        &self.0
    }
    fn start_timeout(&self) -> Duration {
        LONG
    }
    fn begins(&self, _: u32, _: Beginner) -> bool {
        true
    }
    fn started(&self, _: u32) {}
    fn ended(&self, end: &End) -> Verdict {
        if end.closed { Verdict::Leave(None) } else { Verdict::Again }
    }
}

/// Clause 9.8: a server that crashes at each message lets others run: one poll of its task begins at most sixteen
/// incarnations.
#[tokio::test(start_paused = true)]
async fn a_server_that_crashes_at_each_message_lets_others_run() {
    let server = Server::<Lab>::new("crashes");
    let keeper: Arc<dyn Keeper<Lab>> = Arc::new(Forever(Plan::default()));
    keep(&server, Arc::downgrade(&keeper)).unwrap();
    start_kept(&server, Arc::clone(&keeper)).await.unwrap();
    let lab = server.address();
    settle().await;
    for _ in 0..100 {
        lab.cast(Tell::Boom).unwrap();
    }
    let seen = lab.clone();
    // A task beside it in the queue: each has its turn after the other's.
    let most = tokio::spawn(async move {
        let (mut before, mut most) = (seen.incarnation(), 0);
        while before <= 100 {
            let mut yielded = false;
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            let now = seen.incarnation();
            most = most.max(now - before);
            before = now;
        }
        most
    });
    // That which it had, and sixteen more.
    assert_eq!(most.await.unwrap(), 17);
    server.address().close(ExitReason::Normal);
    lab.join().await;
}
