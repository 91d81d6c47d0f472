//! Whole servers under shuttle: at least 10,000 random schedules of each test, and as many with few, well placed
//! preemptions (PCT).
//!
//! Run them with
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" cargo test --release -p restante-genserver --lib shuttle
//! ```
//!
//! and a target directory of their own (`CARGO_TARGET_DIR=target/shuttle`), or with `cargo xtask shuttle`. The runtime is
//! shuttle's (`rt_shuttle`): every atomic access of core and of the reply slots is a place where another thread or task
//! may go on. A hang shows as a deadlock. There is no time, so limits do not end, and no handler is found slow.

use crate::*;
use restante_core::handle::Handle;
use shuttle::future::block_on;
use shuttle::thread;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context as Cx, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

const SCHEDULES: usize = 10_000;
pub(crate) const EVER: Duration = Duration::MAX;

/// Both kinds of schedules.
pub(crate) fn explore<Fut: Future<Output = ()> + 'static>(
    test: impl Fn() -> Fut + Send + Sync + Clone + 'static,
) {
    let other = test.clone();
    shuttle::check_random(move || block_on(test()), SCHEDULES);
    shuttle::check_pct(move || block_on(other()), SCHEDULES, 3);
}

/// What the servers of one schedule have handled. A standard lock, held for no longer than a push.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<u32>>>);

impl Seen {
    pub(crate) fn push(&self, n: u32) {
        self.0.lock().unwrap().push(n);
    }

    pub(crate) fn all(&self) -> Vec<u32> {
        self.0.lock().unwrap().clone()
    }

    /// Those of one sender: casts are numbered sender × 100 + n.
    pub(crate) fn of(&self, sender: u32) -> Vec<u32> {
        self.all().into_iter().filter(|n| n / 100 == sender).collect()
    }
}

/// Pending once.
#[derive(Default)]
struct Once(bool);

impl Future for Once {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A server that writes down what it handles, and misbehaves when told to.
pub(crate) struct Probe {
    pub(crate) seen: Seen,
    kept: Vec<Reply<u32>>,
    peer: Option<ServerRef<Probe>>,
}

impl Probe {
    /// What comes after this one, having kept nothing.
    pub(crate) fn after(old: &Self) -> Self {
        Self { seen: old.seen.clone(), kept: Vec::new(), peer: None }
    }
}

pub(crate) enum Ask {
    /// Whatever was handled.
    Get(Reply<Vec<u32>>),
    /// Notes the number and gives it back.
    Echo(u32, Reply<u32>),
    /// Notes the number and gives it back, having been pending once.
    Later(u32, Reply<u32>),
    /// Pending for ever, in the first incarnation; else as `Echo`.
    Hang(u32, Reply<u32>),
    /// Kept until told to answer.
    Keep(Reply<u32>),
    Panic(Reply<u32>),
    /// The first cast of this number, whatever waits before it.
    Pick(u32, Reply<u32>),
    /// What the peer echoes.
    Relay(Reply<Result<u32, CallError>>),
    /// What the peer's relay says: a call that comes back here.
    Ring(Reply<Result<u32, CallError>>),
    /// What the peer echoes, collected.
    Gather(Reply<Result<u32, CallError>>),
}

pub(crate) enum Tell {
    Note(u32),
    Later(u32),
    Answer,
    Panic,
    Peer(ServerRef<Probe>),
}

#[derive(Clone, Default)]
pub(crate) struct Args {
    pub(crate) seen: Seen,
    /// `init` is pending once.
    pub(crate) slow: bool,
}

impl GenServer for Probe {
    type Args = Args;
    type Call = Ask;
    type Cast = Tell;
    type Info = u32;

    async fn init(args: &Args, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        if args.slow {
            Once::default().await;
        }
        Ok(Init::ok(Self { seen: args.seen.clone(), kept: Vec::new(), peer: None }))
    }

    async fn handle_call(&mut self, call: Ask, ctx: &mut Context<Self>) -> Step {
        match call {
            Ask::Get(reply) => {
                reply.send(self.seen.all());
            }
            Ask::Echo(n, reply) => {
                self.seen.push(n);
                reply.send(n);
            }
            Ask::Later(n, reply) => {
                Once::default().await;
                self.seen.push(n);
                reply.send(n);
            }
            Ask::Hang(n, reply) => {
                if ctx.incarnation() == 1 {
                    pending::<()>().await;
                }
                reply.send(n);
            }
            Ask::Keep(reply) => self.kept.push(reply),
            Ask::Panic(reply) => {
                let _reply = reply;
                // Past the hook, which would print 10,000 times.
                std::panic::resume_unwind(Box::new("asked to"));
            }
            Ask::Pick(n, reply) => {
                let picked =
                    ctx.receive(EVER, |m| matches!(m, Message::Cast(Tell::Note(m)) if *m == n)).await;
                if let Ok(Message::Cast(Tell::Note(n))) = picked {
                    reply.send(n);
                }
            }
            Ask::Relay(reply) => {
                let answer = match &self.peer {
                    Some(peer) => peer.call(|reply| Ask::Echo(7, reply)).await,
                    None => Ok(0),
                };
                reply.send(answer);
            }
            Ask::Ring(reply) => {
                let answer = match &self.peer {
                    Some(peer) => peer.call(Ask::Relay).await,
                    None => Ok(Ok(0)),
                };
                reply.send(answer.flatten());
            }
            Ask::Gather(reply) => {
                let peer = self.peer.iter().map(|peer| ((), peer.send_request(|reply| Ask::Echo(7, reply))));
                let mut requests: Requests<(), u32> = peer.collect();
                let mut answer = Ok(0);
                while let Some(((), response)) = requests.next().await {
                    answer = response;
                }
                reply.send(answer);
            }
        }
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, cast: Tell, _: &mut Context<Self>) -> Step {
        match cast {
            Tell::Note(n) => self.seen.push(n),
            Tell::Later(n) => {
                Once::default().await;
                self.seen.push(n);
            }
            Tell::Answer => self.kept.drain(..).for_each(|reply| {
                reply.send(1);
            }),
            Tell::Panic => std::panic::resume_unwind(Box::new("told to")),
            Tell::Peer(peer) => self.peer = Some(peer),
        }
        Ok(Next::go())
    }

    async fn handle_info(&mut self, n: u32, _: &mut Context<Self>) -> Step {
        self.seen.push(n);
        Ok(Next::go())
    }
}

impl Redeliver for Probe {
    fn retry_call(call: &Ask) -> Option<Ask> {
        match call {
            Ask::Echo(n, reply) => Some(Ask::Echo(*n, reply.again())),
            Ask::Later(n, reply) => Some(Ask::Later(*n, reply.again())),
            Ask::Hang(n, reply) => Some(Ask::Hang(*n, reply.again())),
            Ask::Panic(reply) => Some(Ask::Panic(reply.again())),
            _ => None,
        }
    }

    fn retry_cast(cast: &Tell) -> Option<Tell> {
        match cast {
            Tell::Note(n) => Some(Tell::Note(*n)),
            Tell::Later(n) => Some(Tell::Later(*n)),
            Tell::Panic => Some(Tell::Panic),
            Tell::Answer | Tell::Peer(_) => None,
        }
    }
}

pub(crate) type Probes = ServerRef<Probe>;

pub(crate) async fn probe(runs: CallerRuns) -> (Probes, Seen) {
    let args = Args::default();
    let seen = args.seen.clone();
    (Server::settings().caller_runs(runs).start(args).await.unwrap(), seen)
}

/// A mailbox that outlives its server, which has been started.
pub(crate) async fn lasting() -> (Server<Probe>, Probes, Args) {
    let server = Server::settings().build().unwrap();
    let args = Args::default();
    let at = server.start(args.clone()).await.unwrap();
    (server, at, args)
}

/// As `lasting`, with a policy for what is in hand at a crash.
async fn lasting_under(policy: InHand) -> (Server<Probe>, Probes, Args) {
    let server = Server::settings().in_hand(policy).build().unwrap();
    let args = Args::default();
    let at = server.start(args.clone()).await.unwrap();
    (server, at, args)
}

/// Is told how the present incarnation ends.
pub(crate) fn down(server: &Probes) -> oneshot::Receiver<Exit> {
    let (tell, told) = oneshot::channel();
    let mut tell = Some(tell);
    server.monitor(monitor::Watch::Incarnation, move |event| {
        if let (monitor::Event::Down(exit), Some(tell)) = (event, tell.take()) {
            let _ = tell.send(exit);
        }
    });
    told
}

/// Nothing is lost, and the server, having lost its last reference, ends.
pub(crate) async fn end(server: Probes) {
    let told = down(&server);
    let cell = Arc::clone(server.handle.cell());
    drop(server);
    let exit = told.await.unwrap();
    assert_eq!(exit.reason, ExitReason::Normal, "{exit:?}");
    balanced(&cell);
}

pub(crate) fn balanced(cell: &Arc<crate::executor::Cell<Probe>>) -> Ledger {
    loop {
        if let Some(ledger) = cell.audit() {
            assert_eq!(ledger.lost(), 0, "{ledger}");
            return ledger;
        }
        thread::yield_now();
    }
}

pub(crate) fn notes(server: &Probes, numbers: impl IntoIterator<Item = u32>) {
    for n in numbers {
        server.cast(Tell::Note(n)).unwrap();
    }
}

/// Polls once.
pub(crate) async fn once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

pub(crate) fn spawn<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> {
    let task = shuttle::future::spawn(future);
    async move { task.await.unwrap() }
}

/// Cast × cast × the server reads: in order from each sender, and all of it.
#[test]
fn shuttle_casts_come_in_order_and_all_of_them() {
    explore(|| async {
        let (server, seen) = probe(CallerRuns::Auto).await;
        let senders: Vec<_> = (1..=2)
            .map(|sender| {
                let server = server.clone();
                thread::spawn(move || notes(&server, (0..3).map(|n| sender * 100 + n)))
            })
            .collect();
        notes(&server, [300, 301]);
        senders.into_iter().for_each(|s| s.join().unwrap());
        end(server).await;
        assert_eq!(seen.of(1), [100, 101, 102]);
        assert_eq!(seen.of(2), [200, 201, 202]);
        assert_eq!(seen.of(3), [300, 301]);
    });
}

/// Call × call × cast: everybody has their own answer, and everything is handled once.
async fn calls_and_casts(runs: CallerRuns) {
    let (server, seen) = probe(runs).await;
    let callers: Vec<_> = (1..=2)
        .map(|sender| {
            let server = server.clone();
            spawn(async move {
                for n in [sender * 100, sender * 100 + 1] {
                    assert_eq!(server.call(|reply| Ask::Echo(n, reply)).await, Ok(n));
                }
            })
        })
        .collect();
    notes(&server, [300, 301]);
    for caller in callers {
        caller.await;
    }
    end(server).await;
    assert_eq!((seen.of(1), seen.of(2), seen.of(3)), (vec![100, 101], vec![200, 201], vec![300, 301]));
}

#[test]
fn shuttle_calls_and_casts_with_callers_that_run_handlers() {
    explore(|| calls_and_casts(CallerRuns::Auto));
}

#[test]
fn shuttle_calls_and_casts_with_callers_that_do_not() {
    explore(|| calls_and_casts(CallerRuns::Never));
}

/// A call never overtakes what its caller has cast before it.
#[test]
fn shuttle_a_call_does_not_overtake_the_callers_casts() {
    explore(|| async {
        let (server, _) = probe(CallerRuns::Auto).await;
        let callers: Vec<_> = (1..=2)
            .map(|sender| {
                let server = server.clone();
                spawn(async move {
                    for round in [0, 10] {
                        let first = sender * 100 + round;
                        notes(&server, [first, first + 1]);
                        let mine: Vec<u32> = server.call(Ask::Get).await.unwrap();
                        let mine: Vec<_> = mine.into_iter().filter(|n| *n / 10 == first / 10).collect();
                        assert_eq!(mine, [first, first + 1]);
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await;
        }
        end(server).await;
    });
}

/// A handler goes pending under its caller × casts × a caller who gives up: the server's task takes over.
#[test]
fn shuttle_a_handler_pending_under_a_caller_who_goes() {
    explore(|| async {
        let (server, seen) = probe(CallerRuns::Auto).await;
        let stays = {
            let server = server.clone();
            spawn(async move { server.call(|reply| Ask::Later(100, reply)).await })
        };
        let goes = {
            let server = server.clone();
            spawn(async move { drop(once(&mut server.call(|reply| Ask::Later(200, reply))).await) })
        };
        notes(&server, [300, 301]);
        assert_eq!(stays.await, Ok(100));
        goes.await;
        let all: Vec<u32> = server.call(Ask::Get).await.unwrap();
        assert!(all.contains(&100) && all.contains(&300) && all.contains(&301));
        end(server).await;
        assert_eq!(seen.of(3), [300, 301]);
    });
}

/// A cast's handler goes pending × callers, who come through the mailbox.
#[test]
fn shuttle_a_pending_cast_keeps_callers_out() {
    explore(|| async {
        let (server, seen) = probe(CallerRuns::Auto).await;
        let caller = {
            let server = server.clone();
            spawn(async move {
                server.cast(Tell::Later(100)).unwrap();
                server.call(|reply| Ask::Echo(101, reply)).await
            })
        };
        server.cast(Tell::Later(200)).unwrap();
        assert_eq!(server.call(|reply| Ask::Later(201, reply)).await, Ok(201));
        assert_eq!(caller.await, Ok(101));
        end(server).await;
        assert_eq!((seen.of(1), seen.of(2)), (vec![100, 101], vec![200, 201]));
    });
}

/// Kill × a call that is in hand or on its way: it fails with the incarnation or waits for the next.
#[test]
fn shuttle_kill_and_a_call_in_hand() {
    explore(|| async {
        let (server, at, args) = lasting().await;
        let told = down(&at);
        let caller = {
            let at = at.clone();
            spawn(async move { at.call(|reply| Ask::Hang(1, reply)).await })
        };
        assert!(at.kill());
        assert_eq!(told.await.unwrap().reason, ExitReason::Killed);
        server.start(args).await.unwrap();
        let answer = caller.await;
        assert!(matches!(answer, Ok(1) | Err(CallError::Exited(ExitReason::Killed))), "{answer:?}");
        drop(server);
        end(at).await;
    });
}

/// Kill × a call that is delivered again: it is answered by the next incarnation, whenever the kill comes.
#[test]
fn shuttle_kill_and_a_call_that_is_delivered_again() {
    explore(|| async {
        let (server, at, args) = lasting_under(InHand::redeliver(1)).await;
        let told = down(&at);
        let caller = {
            let at = at.clone();
            spawn(async move { at.call(|reply| Ask::Hang(1, reply)).await })
        };
        assert!(at.kill());
        assert_eq!(told.await.unwrap().reason, ExitReason::Killed);
        server.start(args).await.unwrap();
        assert_eq!(caller.await, Ok(1));
        drop(server);
        end(at).await;
    });
}

/// A poison cast and a poison call × good casts × a caller: the poison is given up after its last attempt, and its caller
/// told; all the rest is handled once and in order.
#[test]
fn shuttle_poison_is_given_up_and_the_rest_is_handled() {
    explore(|| async {
        let (server, at, args) = lasting_under(InHand::redeliver(1)).await;
        let sender = {
            let at = at.clone();
            thread::spawn(move || {
                notes(&at, [100]);
                at.cast(Tell::Panic).unwrap();
                notes(&at, [101]);
            })
        };
        let poison = {
            let at = at.clone();
            spawn(async move { at.call(Ask::Panic).await })
        };
        let caller = {
            let at = at.clone();
            spawn(async move { at.call(|reply| Ask::Later(200, reply)).await })
        };
        // Two attempts at each.
        for _ in 0..4 {
            let told = down(&at);
            assert!(matches!(told.await.unwrap().reason, ExitReason::Panic(_)));
            server.start(args.clone()).await.unwrap();
        }
        assert!(matches!(poison.await, Err(CallError::Exited(ExitReason::Panic(_)))));
        assert_eq!(caller.await, Ok(200));
        sender.join().unwrap();
        let cell = Arc::clone(at.handle.cell());
        drop(server);
        end(at).await;
        assert_eq!((args.seen.of(1), args.seen.of(2)), (vec![100, 101], vec![200]));
        let ledger = balanced(&cell);
        assert_eq!((ledger.handled, ledger.dead_lettered, ledger.redelivered), (3, 2, 2));
    });
}

/// Kill × a pending handler × queued casts × the next incarnation: what was queued survives, in order.
#[test]
fn shuttle_queued_casts_survive_a_kill_in_order() {
    explore(|| async {
        let (server, at, args) = lasting().await;
        let told = down(&at);
        let sender = {
            let at = at.clone();
            thread::spawn(move || notes(&at, [100, 101, 102]))
        };
        let caller = {
            let at = at.clone();
            spawn(async move { at.call(|reply| Ask::Hang(1, reply)).await })
        };
        notes(&at, [200]);
        at.kill();
        told.await.unwrap();
        server.start(args.clone()).await.unwrap();
        notes(&at, [201]);
        let _ = caller.await;
        sender.join().unwrap();
        drop(server);
        end(at).await;
        assert_eq!((args.seen.of(1), args.seen.of(2)), (vec![100, 101, 102], vec![200, 201]));
    });
}

/// Stop × casts: what is not handled before the end is there for the next incarnation.
#[test]
fn shuttle_stop_and_casts() {
    explore(|| async {
        let (server, at, args) = lasting().await;
        let sender = {
            let at = at.clone();
            thread::spawn(move || notes(&at, [100, 101, 102]))
        };
        assert_eq!(at.stop(ExitReason::Shutdown, EVER).await, Ok(()));
        let ledger = balanced(at.handle.cell());
        assert_eq!(ledger.failed + ledger.dead_lettered + ledger.in_hand, 0);
        server.start(args.clone()).await.unwrap();
        sender.join().unwrap();
        drop(server);
        end(at).await;
        assert_eq!(args.seen.of(1), [100, 101, 102]);
    });
}

/// Stop × kill × stop: everybody hears of the end.
#[test]
fn shuttle_stop_and_kill() {
    explore(|| async {
        let (server, at, args) = lasting().await;
        let stopper = {
            let at = at.clone();
            spawn(async move { at.stop(ExitReason::Shutdown, EVER).await })
        };
        at.kill();
        let exit = at.join().await;
        let stopped = stopper.await;
        match exit.reason {
            ExitReason::Shutdown => assert_eq!(stopped, Ok(())),
            ExitReason::Killed => assert!(
                matches!(stopped, Err(StopError::NotRunning | StopError::Other(ExitReason::Killed))),
                "{stopped:?}"
            ),
            other => panic!("{other}"),
        }
        server.start(args).await.unwrap();
        drop(server);
        at.kill();
        at.join().await;
        balanced(at.handle.cell());
    });
}

/// The last references go × casts in flight: what was accepted is handled before the end.
#[test]
fn shuttle_the_last_reference_goes_with_casts_in_flight() {
    explore(|| async {
        let (server, seen) = probe(CallerRuns::Auto).await;
        let told = down(&server);
        let cell = Arc::clone(server.handle.cell());
        let weak = server.downgrade();
        let senders: Vec<_> = (1..=2)
            .map(|sender| {
                let server = server.clone();
                thread::spawn(move || notes(&server, [sender * 100, sender * 100 + 1]))
            })
            .collect();
        let late = thread::spawn(move || weak.upgrade().map(|server| server.cast(Tell::Note(300)).is_ok()));
        drop(server);
        assert_eq!(told.await.unwrap().reason, ExitReason::Normal);
        senders.into_iter().for_each(|s| s.join().unwrap());
        let late = late.join().unwrap();
        assert_eq!(balanced(&cell).queued, 0);
        assert_eq!((seen.of(1), seen.of(2)), (vec![100, 101], vec![200, 201]));
        assert_eq!(seen.of(3).len(), usize::from(late == Some(true)));
    });
}

/// A reference goes with a call of its own still waiting × the other goes.
#[test]
fn shuttle_the_last_reference_is_a_callers() {
    explore(|| async {
        let (server, _) = probe(CallerRuns::Auto).await;
        let told = down(&server);
        let callers: Vec<_> = (1..=2)
            .map(|n| {
                let server = server.clone();
                spawn(async move { server.call(|reply| Ask::Later(n, reply)).await })
            })
            .collect();
        drop(server);
        for (caller, n) in callers.into_iter().zip(1..) {
            assert_eq!(caller.await, Ok(n));
        }
        assert_eq!(told.await.unwrap().reason, ExitReason::Normal);
    });
}

/// A panic in a handler × queued callers × the next incarnation: the callers are answered by it.
#[test]
fn shuttle_callers_wait_over_a_panic() {
    explore(|| async {
        let (server, at, args) = lasting().await;
        let told = down(&at);
        let callers: Vec<_> = (1..=2)
            .map(|n| {
                let at = at.clone();
                spawn(async move { at.call(|reply| Ask::Echo(n, reply)).await })
            })
            .collect();
        at.cast(Tell::Panic).unwrap();
        assert!(matches!(told.await.unwrap().reason, ExitReason::Panic(_)));
        server.start(args).await.unwrap();
        for (caller, n) in callers.into_iter().zip(1..) {
            assert_eq!(caller.await, Ok(n));
        }
        assert_eq!(balanced(at.handle.cell()).failed, 1);
        drop(server);
        end(at).await;
    });
}

/// A panic in a call's handler, perhaps on its caller's stack × queued callers × the next incarnation: only that caller hears
/// of it.
#[test]
fn shuttle_a_panic_on_a_callers_stack() {
    explore(|| async {
        let (server, at, args) = lasting().await;
        let told = down(&at);
        let other = {
            let at = at.clone();
            spawn(async move { at.call(|reply| Ask::Echo(1, reply)).await })
        };
        notes(&at, [200]);
        let failed = at.call(Ask::Panic).await;
        assert!(matches!(failed, Err(CallError::Exited(ExitReason::Panic(_)))), "{failed:?}");
        told.await.unwrap();
        server.start(args.clone()).await.unwrap();
        assert_eq!(other.await, Ok(1));
        drop(server);
        end(at).await;
        assert_eq!(args.seen.of(2), [200]);
    });
}

/// A reply that is kept × its answer × kill: exactly one of them reaches the caller.
#[test]
fn shuttle_a_kept_reply_and_a_kill() {
    explore(|| async {
        let (server, at, args) = lasting().await;
        let told = down(&at);
        let caller = {
            let at = at.clone();
            spawn(async move { at.call(Ask::Keep).await })
        };
        at.cast(Tell::Answer).unwrap();
        at.kill();
        told.await.unwrap();
        server.start(args).await.unwrap();
        // The call may wait for this incarnation, behind the order to answer.
        let nudge = {
            let at = at.clone();
            spawn(async move {
                let mut caller = pin!(caller);
                loop {
                    if let Poll::Ready(answer) = poll_fn(|cx| Poll::Ready(caller.as_mut().poll(cx))).await {
                        return answer;
                    }
                    let _ = at.send(Tell::Answer).await;
                    shuttle::future::yield_now().await;
                }
            })
        };
        let answer = nudge.await;
        assert!(matches!(answer, Ok(1) | Err(CallError::Exited(ExitReason::Killed))), "{answer:?}");
        drop(server);
        end(at).await;
    });
}

/// Start × casts × audit × another start: one of them starts, what was sent before is read, no audit is out of balance.
#[test]
fn shuttle_starts_and_casts_and_an_audit() {
    explore(|| async {
        let server = Arc::new(Server::<Probe>::settings().build().unwrap());
        let at = server.address();
        let args = Args::default();
        let auditor = {
            let at = at.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    if let Some(ledger) = at.audit() {
                        assert_eq!(ledger.lost(), 0, "{ledger}");
                    }
                }
            })
        };
        let sender = {
            let at = at.clone();
            thread::spawn(move || notes(&at, [100, 101]))
        };
        let other = {
            let (server, args) = (Arc::clone(&server), args.clone());
            spawn(async move { server.start(args).await.map(|_| ()) })
        };
        let mine = server.start(args.clone()).await.map(|_| ());
        let others = other.await;
        assert!(
            matches!(
                (&mine, &others),
                (Ok(()), Err(StartError::AlreadyStarted)) | (Err(StartError::AlreadyStarted), Ok(()))
            ),
            "{mine:?} {others:?}"
        );
        sender.join().unwrap();
        auditor.join().unwrap();
        drop(server);
        end(at).await;
        assert_eq!(args.seen.of(1), [100, 101]);
    });
}

/// A start that is given up while `init` is pending × casts: that incarnation ends, the mailbox stays.
#[test]
fn shuttle_a_start_given_up() {
    explore(|| async {
        let server = Server::<Probe>::settings().build().unwrap();
        let at = server.address();
        let args = Args { slow: true, ..Args::default() };
        let sender = {
            let at = at.clone();
            thread::spawn(move || notes(&at, [100, 101]))
        };
        let first = once(&mut Box::pin(server.start(args.clone()))).await;
        if let Poll::Ready(first) = first {
            first.unwrap();
            at.kill();
        }
        at.join().await;
        server.start(args.clone()).await.unwrap();
        sender.join().unwrap();
        drop(server);
        end(at).await;
        assert_eq!(args.seen.of(1), [100, 101]);
    });
}

/// Two servers that know each other.
pub(crate) async fn peers() -> (Probes, Probes) {
    let ((a, _), (b, _)) = (probe(CallerRuns::Auto).await, probe(CallerRuns::Auto).await);
    a.cast(Tell::Peer(b.clone())).unwrap();
    b.cast(Tell::Peer(a.clone())).unwrap();
    (a, b)
}

/// They hold each other: none would end by itself.
pub(crate) async fn end_both((a, b): (Probes, Probes)) {
    for server in [&a, &b] {
        assert_eq!(server.stop(ExitReason::Normal, EVER).await, Ok(()));
        balanced(server.handle.cell());
    }
    assert_eq!(cycle::waits(), 0);
}

/// A calls B, which calls A: exactly that last call is refused, from whichever side one begins.
#[test]
fn shuttle_a_call_that_comes_back_is_refused() {
    explore(|| async {
        let (a, b) = peers().await;
        let noise = {
            let b = b.clone();
            spawn(async move { b.call(|reply| Ask::Later(1, reply)).await })
        };
        let answer = a.call(Ask::Ring).await.unwrap();
        assert!(matches!(answer, Err(CallError::Cycle { .. })), "{answer:?}");
        assert_eq!(noise.await, Ok(1));
        end_both((a, b)).await;
    });
}

/// A calls B while B calls A: either they come after each other, or exactly one is refused. None hangs.
#[test]
fn shuttle_servers_that_call_each_other() {
    explore(|| async {
        let (a, b) = peers().await;
        let other = {
            let b = b.clone();
            spawn(async move { b.call(Ask::Relay).await.unwrap() })
        };
        let (mine, others) = (a.call(Ask::Relay).await.unwrap(), other.await);
        let refused =
            [&mine, &others].into_iter().filter(|a| matches!(a, Err(CallError::Cycle { .. }))).count();
        let answered = [&mine, &others].into_iter().filter(|a| **a == Ok(7)).count();
        assert!(refused <= 1 && refused + answered == 2, "{mine:?} {others:?}");
        end_both((a, b)).await;
    });
}

/// A full mailbox: senders wait × the server reads × one gives up × a call waits for room. Nothing is lost, no slot either.
#[test]
fn shuttle_a_full_mailbox() {
    explore(|| async {
        let args = Args::default();
        let server = Server::settings().capacity(1).start(args.clone()).await.unwrap();
        let senders: Vec<_> = (1..=2)
            .map(|sender| {
                let server = server.clone();
                spawn(async move {
                    for n in 0..2 {
                        server.send(Tell::Note(sender * 100 + n)).await.unwrap();
                    }
                })
            })
            .collect();
        let quits = {
            let server = server.clone();
            spawn(async move { once(&mut pin!(server.send(Tell::Note(300)))).await.is_ready() })
        };
        let caller = {
            let server = server.clone();
            spawn(async move { server.call(|reply| Ask::Later(400, reply)).await })
        };
        for sender in senders {
            sender.await;
        }
        let sent = quits.await;
        assert_eq!(caller.await, Ok(400));
        server.reserve().await.unwrap().send(Tell::Note(500)).unwrap();
        end(server).await;
        assert_eq!((args.seen.of(1), args.seen.of(2)), (vec![100, 101], vec![200, 201]));
        assert_eq!(args.seen.of(3).len(), usize::from(sent));
    });
}

/// A full mailbox: senders wait × kill × the next incarnation.
#[test]
fn shuttle_a_full_mailbox_and_a_kill() {
    explore(|| async {
        let server = Server::settings().capacity(1).build().unwrap();
        let args = Args::default();
        let at = server.start(args.clone()).await.unwrap();
        let told = down(&at);
        let senders: Vec<_> = (1..=2)
            .map(|sender| {
                let at = at.clone();
                spawn(async move {
                    for n in 0..2 {
                        at.send(Tell::Note(sender * 100 + n)).await.unwrap();
                    }
                })
            })
            .collect();
        at.kill();
        told.await.unwrap();
        server.start(args.clone()).await.unwrap();
        for sender in senders {
            sender.await;
        }
        drop(server);
        end(at).await;
        assert_eq!((args.seen.of(1), args.seen.of(2)), (vec![100, 101], vec![200, 201]));
    });
}

/// Close × senders who wait × the server reads: who was told that it was sent is handled, the others have it back.
#[test]
fn shuttle_close_and_senders_who_wait() {
    explore(|| async {
        let args = Args::default();
        let server = Server::settings().capacity(1).start(args.clone()).await.unwrap();
        let told = down(&server);
        let senders: Vec<_> = (1..=3)
            .map(|sender| {
                let server = server.clone();
                spawn(async move { server.send(Tell::Note(sender * 100)).await.is_ok() })
            })
            .collect();
        server.close(ExitReason::Shutdown);
        assert_eq!(told.await.unwrap().reason, ExitReason::Shutdown);
        for (sender, n) in senders.into_iter().zip(1..) {
            let sent = sender.await;
            assert_eq!(args.seen.of(n).len(), usize::from(sent));
        }
        assert_eq!(balanced(server.handle.cell()).queued, 0);
    });
}

/// Selective receive × casts: it finds what it waits for, whenever that comes, and leaves the rest in order.
#[test]
fn shuttle_selective_receive() {
    explore(|| async {
        let (server, seen) = probe(CallerRuns::Auto).await;
        let sender = {
            let server = server.clone();
            thread::spawn(move || notes(&server, [100, 900, 101]))
        };
        let caller = server.clone();
        let mut call = caller.call(|reply| Ask::Pick(900, reply));
        let first = once(&mut call).await;
        // Behind the call, so that it finds one in any case.
        notes(&server, [900]);
        let picked = match first {
            Poll::Ready(picked) => picked,
            Poll::Pending => (&mut call).await,
        };
        drop(call);
        drop(caller);
        sender.join().unwrap();
        assert_eq!(picked, Ok(900));
        notes(&server, [102]);
        end(server).await;
        assert_eq!(seen.of(1), [100, 101, 102]);
    });
}

/// Selective receive × kill: what it had skipped is there for the next incarnation, in order.
#[test]
fn shuttle_selective_receive_and_a_kill() {
    explore(|| async {
        let (server, at, args) = lasting().await;
        let told = down(&at);
        let sender = {
            let at = at.clone();
            thread::spawn(move || notes(&at, [100, 101]))
        };
        let picker = {
            let at = at.clone();
            spawn(async move { at.call(|reply| Ask::Pick(900, reply)).await })
        };
        at.kill();
        told.await.unwrap();
        server.start(args.clone()).await.unwrap();
        sender.join().unwrap();
        let mut picker = pin!(picker);
        let picked = loop {
            if let Poll::Ready(picked) = once(&mut picker).await {
                break picked;
            }
            notes(&at, [900]);
            shuttle::future::yield_now().await;
        };
        assert!(matches!(picked, Ok(900) | Err(CallError::Exited(ExitReason::Killed))), "{picked:?}");
        drop(server);
        end(at).await;
        assert_eq!(args.seen.of(1), [100, 101]);
    });
}

/// A link × both ends: the other ends too, for the same reason.
#[test]
fn shuttle_a_link_takes_both() {
    explore(|| async {
        let ((a, _), (b, _)) = (probe(CallerRuns::Auto).await, probe(CallerRuns::Auto).await);
        let (a_down, b_down) = (down(&a), down(&b));
        let linker = {
            let (a, b) = (a.clone(), b.clone());
            thread::spawn(move || link(&a, &b))
        };
        a.cast(Tell::Panic).unwrap();
        linker.join().unwrap();
        assert!(matches!(a_down.await.unwrap().reason, ExitReason::Panic(_)));
        assert!(matches!(b_down.await.unwrap().reason, ExitReason::Panic(_)));
        for server in [a, b] {
            balanced(Handle::cell(&server.handle));
        }
    });
}
