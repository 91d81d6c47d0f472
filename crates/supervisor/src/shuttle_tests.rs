//! Whole trees under shuttle: random schedules and schedules with few, well placed preemptions (PCT), at least 10,000 of
//! each for every test.
//!
//! Run them with
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" cargo test --release -p restante-supervisor --lib shuttle
//! ```
//!
//! and a target directory of their own (`CARGO_TARGET_DIR=target/shuttle`), or with `cargo xtask shuttle`. A hang shows as a
//! deadlock, or as a schedule without end. There is no time: limits do not end (but for zero), pauses are over at once.
//!
//! At the end of each schedule ([`Lab::over`]): every mailbox is closed and its counters add up, the table is empty and
//! nothing of it is live, no server was ever there twice, and the supervisor and its children have no holders any more.

use crate::branch::SupervisorCore;
use crate::child::Child as _;
use crate::rules::Life;
use crate::*;
use restante_core::monitor::Watch;
use restante_core::{ExitReason, Ledger};
use restante_genserver::{
    CallError, Context, GenServer, Init, Next, Reply, Server, ServerRef, StartError, Step,
};
use shuttle::future::{block_on, yield_now};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context as Cx, Poll};
use std::time::Duration;

const SCHEDULES: usize = 10_000;
const EVER: Duration = Duration::MAX;

/// Both kinds of schedules.
fn explore<Fut: Future<Output = ()> + 'static>(test: impl Fn() -> Fut + Send + Sync + Clone + 'static) {
    let other = test.clone();
    shuttle::check_random(move || block_on(test()), SCHEDULES);
    shuttle::check_pct(move || block_on(other()), SCHEDULES, 3);
}

fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> impl Future<Output = T> {
    let task = shuttle::future::spawn(future);
    async move { task.await.unwrap() }
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

/// What the workers of one schedule have done. A standard lock, held for moments.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    /// Which of them are there: from the begin of `init` until the state is dropped.
    live: [u32; 4],
    handled: Vec<u32>,
    /// When one begins, those after it must not be there.
    in_order: bool,
    wrong: Vec<String>,
}

impl Log {
    fn with<R>(&self, f: impl FnOnce(&mut Notes) -> R) -> R {
        f(&mut self.0.lock().unwrap())
    }

    fn handled(&self) -> Vec<u32> {
        self.with(|notes| notes.handled.clone())
    }
}

/// That a worker is there.
struct Presence(usize, Log);

impl Presence {
    fn new(worker: usize, log: &Log) -> Self {
        log.with(|notes| {
            notes.live[worker] += 1;
            if notes.live[worker] > 1 {
                notes.wrong.push(format!("{worker} is there twice"));
            }
            let later: u32 = notes.live[worker + 1..].iter().sum();
            if notes.in_order && later > 0 {
                notes.wrong.push(format!("{worker} begins while {:?} are there", notes.live));
            }
        });
        Self(worker, log.clone())
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.1.with(|notes| notes.live[self.0] -= 1);
    }
}

struct Worker {
    _presence: Presence,
    log: Log,
}

struct Args {
    worker: usize,
    log: Log,
    /// `init` is pending once.
    slow: bool,
}

enum Tell {
    Note(u32),
    Panic,
    /// Is done in the handler.
    Do(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl GenServer for Worker {
    type Args = Args;
    type Call = Reply<()>;
    type Cast = Tell;
    type Info = ();

    async fn init(args: &Args, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        let presence = Presence::new(args.worker, &args.log);
        if args.slow {
            Once::default().await;
        }
        Ok(Init::ok(Self { _presence: presence, log: args.log.clone() }))
    }

    async fn handle_call(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Step {
        reply.send(());
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, tell: Tell, _: &mut Context<Self>) -> Step {
        match tell {
            Tell::Note(n) => self.log.with(|notes| notes.handled.push(n)),
            Tell::Do(work) => work.await,
            // Past the hook, which would print 10,000 times.
            Tell::Panic => std::panic::resume_unwind(Box::new("told to")),
        }
        Ok(Next::go())
    }
}

type At = ServerRef<Worker>;

/// The workers that one schedule has to do with.
#[derive(Clone, Default)]
struct Lab {
    log: Log,
    all: Arc<Mutex<Vec<At>>>,
}

impl Lab {
    /// A worker by this name (`a` to `d`) and its specification.
    fn worker(&self, name: &'static str, slow: bool) -> (At, ChildSpec) {
        let server = Server::<Worker>::settings().name(name).build().unwrap();
        let at = server.address();
        self.all.lock().unwrap().push(at.clone());
        let worker = usize::from(name.as_bytes()[0] - b'a');
        (at, server.child(Args { worker, log: self.log.clone(), slow }))
    }

    /// Ends the tree, and looks whether everything is as it should be.
    async fn over(self, tree: SupervisorRef) {
        tree.shutdown(EVER).await;
        let abandoned = tree.report().abandoned.len();
        let branch: Arc<SupervisorCore> = Arc::clone(&tree.branch);
        drop(tree);
        for at in self.all.lock().unwrap().iter() {
            // Where the tree had ended by itself, the closing may just be under way.
            while !at.is_closed() {
                yield_now().await;
            }
            while balanced(at).await.queued > 0 {
                yield_now().await;
            }
        }
        while abandoned > 0 && self.log.with(|notes| notes.live != [0; 4]) {
            yield_now().await;
        }
        self.log.with(|notes| {
            assert_eq!(notes.wrong, [""; 0]);
            assert_eq!(notes.live, [0; 4]);
        });
        {
            let locked = branch.lock();
            assert_eq!((&locked.rules.life, locked.rules.live), (&Life::Down, 0));
            assert!(locked.rules.children.is_empty(), "it is closed");
        }
        // The performer, and callers that stopped something by hand, go when they are done; so do the workers' arguments.
        // What is left when a schedule is over is torn down task by task, and one task may then wait for another in vain.
        self.all.lock().unwrap().clear();
        loop {
            // A child that was looked at when it left the table is kept until its counters are read.
            if let Some(ledger) = branch.audit() {
                assert_eq!(ledger.lost(), 0, "{ledger}");
            }
            if Arc::strong_count(&branch) == 1 && Arc::strong_count(&self.log.0) == 1 {
                break;
            }
            yield_now().await;
        }
    }
}

async fn balanced(at: &At) -> Ledger {
    loop {
        if let Some(ledger) = at.audit() {
            assert_eq!(ledger.lost(), 0, "{ledger}");
            return ledger;
        }
        yield_now().await;
    }
}

/// Restarts without limit and without pause.
fn relentless(strategy: Strategy) -> Supervisor {
    Supervisor::new(strategy).with_intensity(Intensity::UNLIMITED).backoff(Backoff::NONE).seed(1)
}

/// Such a tree over `a`, `b`, …, which is up.
async fn tree<const N: usize>(lab: &Lab, supervisor: Supervisor, slow: bool) -> (SupervisorRef, [At; N]) {
    let names: [&'static str; N] = std::array::from_fn(|n| ["a", "b", "c", "d"][n]);
    let mut supervisor = supervisor;
    let workers = names.map(|name| {
        let (at, spec) = lab.worker(name, slow);
        let made = std::mem::replace(&mut supervisor, Supervisor::one_for_one());
        supervisor = made.child(spec);
        at
    });
    (supervisor.start().await.unwrap(), workers)
}

/// Asserts that a server reads this mailbox, or will.
async fn served(at: &At) {
    assert_eq!(at.call(|reply| reply).await, Ok(()));
}

fn crash(at: &At) {
    // The cast is refused where the mailbox is closed by then.
    let _ = at.cast(Tell::Panic);
}

fn state(tree: &SupervisorRef, id: &str) -> Option<ChildState> {
    tree.which_children().into_iter().find(|c| c.id.as_str() == id).map(|c| c.state)
}

fn terminate(tree: &SupervisorRef, id: &'static str) -> impl Future<Output = Result<(), ChildError>> {
    let tree = tree.clone();
    spawn(async move { tree.terminate_child(id).await })
}

/// Drops a future before one of its polls, or when it is done; what it gave then.
async fn for_a_while<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..thread_rng().gen_range(0..5) {
        if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return Some(output);
        }
        yield_now().await;
    }
    None
}

/// Row G4: die × restart × send, by a whole tree.
#[test]
fn shuttle_a_crash_loses_only_what_was_in_hand() {
    explore(|| async {
        let lab = Lab::default();
        let (tree, [a]) = tree(&lab, relentless(Strategy::OneForOne), false).await;
        let sender = {
            let a = a.clone();
            thread::spawn(move || (1..=3).for_each(|n| a.cast(Tell::Note(n)).unwrap()))
        };
        crash(&a);
        crash(&a);
        sender.join().unwrap();
        served(&a).await;
        assert_eq!(lab.log.handled(), [1, 2, 3]);
        assert_eq!((a.incarnation(), tree.restarts()), (3, 2));
        assert_eq!(balanced(&a).await.failed, 2);
        lab.over(tree).await;
    });
}

/// Row G3: stop × crash. Who stops a child finds it stopped, and it stays so until it is started by hand.
async fn stop_and_crash(supervisor: Supervisor) {
    let lab = Lab::default();
    let (tree, [a]) = tree(&lab, supervisor, true).await;
    let stopper = {
        let (tree, a, log) = (tree.clone(), a.clone(), lab.log.clone());
        spawn(async move {
            assert_eq!(tree.terminate_child("a").await, Ok(()));
            assert_eq!(state(&tree, "a"), Some(ChildState::Stopped));
            assert_eq!(log.with(|notes| notes.live[0]), 0);
            let last = a.incarnation();
            yield_now().await;
            assert_eq!(a.incarnation(), last, "nobody else starts it");
            // The mailbox's own task may have been told to, before: it must not come in the way.
            assert_eq!(tree.restart_child("a").await, Ok(Started::Running));
        })
    };
    crash(&a);
    a.cast(Tell::Note(1)).unwrap();
    crash(&a);
    a.cast(Tell::Note(2)).unwrap();
    stopper.await;
    served(&a).await;
    assert_eq!(state(&tree, "a"), Some(ChildState::Running));
    assert_eq!(lab.log.handled(), [1, 2]);
    lab.over(tree).await;
}

#[test]
fn shuttle_stop_and_crash() {
    explore(|| stop_and_crash(relentless(Strategy::OneForOne)));
}

/// Stop and crash with pauses, after which the restart comes by another way.
#[test]
fn shuttle_stop_and_a_put_off_restart() {
    let pause = Duration::from_millis(1);
    explore(move || {
        stop_and_crash(relentless(Strategy::OneForOne).backoff(Backoff::new(pause, pause).jitter_percent(0)))
    });
}

/// Row G3: a group restart × crashes of its members: all of them serve in the end, and none begins before those after it
/// have ended.
async fn group_and_crash(strategy: Strategy) {
    let lab = Lab::default();
    lab.log.with(|notes| notes.in_order = true);
    let (tree, [a, b, c]) = tree(&lab, relentless(strategy), false).await;
    let other = {
        let b = b.clone();
        thread::spawn(move || {
            crash(&b);
            b.cast(Tell::Note(1)).unwrap();
        })
    };
    crash(&c);
    c.cast(Tell::Note(2)).unwrap();
    crash(&b);
    other.join().unwrap();
    for at in [&a, &b, &c] {
        served(at).await;
    }
    // `c` runs again by a restart of the group: its members may have been served by the incarnations before that.
    while state(&tree, "c") != Some(ChildState::Running) {
        yield_now().await;
    }
    let restarts = tree.restarts();
    assert!((1..=3).contains(&restarts), "{restarts}");
    lab.over(tree).await;
}

#[test]
fn shuttle_one_for_all_and_another_crash() {
    explore(|| group_and_crash(Strategy::OneForAll));
}

#[test]
fn shuttle_rest_for_one_and_another_crash() {
    explore(|| group_and_crash(Strategy::RestForOne));
}

/// A group restart × a member that is stopped by hand: that is no failed start, and nothing is restarted for it.
#[test]
fn shuttle_a_group_restart_and_a_stop_by_hand() {
    explore(|| async {
        let lab = Lab::default();
        let (tree, [a, b]) = tree(&lab, relentless(Strategy::OneForAll), true).await;
        let stopper = terminate(&tree, "b");
        crash(&a);
        assert_eq!(stopper.await, Ok(()));
        while state(&tree, "a") != Some(ChildState::Running) || a.incarnation() < 2 {
            yield_now().await;
        }
        served(&a).await;
        assert_eq!(tree.restarts(), 1);
        if state(&tree, "b") == Some(ChildState::Stopped) {
            assert_eq!(tree.restart_child("b").await, Ok(Started::Running));
        }
        served(&b).await;
        lab.over(tree).await;
    });
}

/// A group restart × a child that is added: it is up and stays in service, or it is not and its mailbox is closed.
async fn group_and_start(strategy: Strategy, restart: Restart) {
    let lab = Lab::default();
    let (tree, [a, b]) = tree(&lab, relentless(strategy), true).await;
    let adder = {
        let (tree, (c, spec)) = (tree.clone(), lab.worker("c", false));
        spawn(async move {
            let started = tree.start_child(spec.restart(restart)).await;
            crash(&c);
            (started, c)
        })
    };
    crash(&a);
    let (started, c) = adder.await;
    match started {
        Ok(Started::Running) if restart == Restart::Permanent => served(&c).await,
        Ok(Started::Running) | Err(StartChildError::Start(_)) => {
            // A temporary child has ended, and a start within another caller's restart may come to nothing.
            while !c.is_closed() || state(&tree, "c").is_some() {
                yield_now().await;
            }
        }
        other => panic!("{other:?}"),
    }
    served(&a).await;
    served(&b).await;
    lab.over(tree).await;
}

#[test]
fn shuttle_one_for_all_and_a_start() {
    explore(|| group_and_start(Strategy::OneForAll, Restart::Permanent));
}

#[test]
fn shuttle_rest_for_one_and_a_start() {
    explore(|| group_and_start(Strategy::RestForOne, Restart::Permanent));
}

#[test]
fn shuttle_rest_for_one_and_a_temporary_child() {
    explore(|| group_and_start(Strategy::RestForOne, Restart::Temporary));
}

/// Clause 21.25: what was refused by a supervisor that ends is as it was before, unless it has begun: its offerer closes it.
fn closes_what_is_given_back(started: &Result<Started, StartChildError>, at: &At) {
    if *started == Err(StartChildError::Down) && !at.is_closed() {
        assert_eq!(at.incarnation(), 0);
        at.close(ExitReason::Shutdown);
    }
}

/// Row G3: shutdown × start: the child is up for a while, or was never; no caller hangs.
async fn shutdown_and_start(supervisor: Supervisor) {
    let lab = Lab::default();
    let (tree, []) = tree(&lab, supervisor, false).await;
    let (a, spec) = lab.worker("a", true);
    assert_eq!(tree.start_child(spec).await, Ok(Started::Running));
    let adder = {
        let (tree, (b, spec)) = (tree.clone(), lab.worker("b", true));
        spawn(async move { (tree.start_child(spec).await, b) })
    };
    let other = {
        let a = a.clone();
        thread::spawn(move || crash(&a))
    };
    let report = tree.shutdown(EVER).await;
    assert_eq!(report.abandoned, [""; 0]);
    let (started, b) = adder.await;
    assert!(
        matches!(
            started,
            Ok(Started::Running) | Err(StartChildError::Down | StartChildError::Start(StartError::Failed(_)))
        ),
        "{started:?}"
    );
    other.join().unwrap();
    closes_what_is_given_back(&started, &b);
    drop((a, b));
    lab.over(tree).await;
}

#[test]
fn shuttle_shutdown_and_start() {
    explore(|| shutdown_and_start(relentless(Strategy::OneForOne)));
}

#[test]
fn shuttle_shutdown_of_a_dynamic_supervisor_and_start() {
    explore(|| {
        let dynamic = Supervisor::dynamic().max_children(8);
        shutdown_and_start(dynamic.with_intensity(Intensity::UNLIMITED).backoff(Backoff::NONE).seed(1))
    });
}

/// Shutdown × crash × callers: every caller is answered or told.
#[test]
fn shuttle_shutdown_and_crash() {
    explore(|| async {
        let lab = Lab::default();
        let (tree, [a, b]) = tree(&lab, relentless(Strategy::OneForAll), true).await;
        let caller = {
            let b = b.clone();
            spawn(async move { b.call(|reply| reply).await })
        };
        crash(&a);
        tree.shutdown(EVER).await;
        let answer = caller.await;
        assert!(matches!(answer, Ok(()) | Err(CallError::Exited(_) | CallError::Closed)), "{answer:?}");
        lab.over(tree).await;
    });
}

/// Kill × group restart.
#[test]
fn shuttle_kill_and_a_group_restart() {
    explore(|| async {
        let lab = Lab::default();
        let (tree, [a, _b]) = tree(&lab, relentless(Strategy::OneForAll), true).await;
        crash(&a);
        let killer = {
            let tree = tree.clone();
            thread::spawn(move || tree.kill())
        };
        let exit = tree.join().await;
        assert_eq!(exit.reason, ExitReason::Killed);
        killer.join().unwrap();
        lab.over(tree).await;
    });
}

/// Kill × crash, without patience: a child that has not ended at once is abandoned, and ends later.
#[test]
fn shuttle_kill_without_patience() {
    explore(|| async {
        let lab = Lab::default();
        let hasty = relentless(Strategy::OneForOne).abandon_after(Duration::ZERO);
        let (tree, [a, _b]) = tree(&lab, hasty, true).await;
        crash(&a);
        tree.kill();
        assert_eq!(tree.join().await.reason, ExitReason::Killed);
        lab.over(tree).await;
    });
}

/// A shutdown whose time is over at once × crash: what has not ended by then is killed.
#[test]
fn shuttle_shutdown_at_once() {
    explore(|| async {
        let lab = Lab::default();
        let (tree, [a, _b]) = tree(&lab, relentless(Strategy::OneForAll), true).await;
        crash(&a);
        let report = tree.shutdown(Duration::ZERO).await;
        assert_eq!(report.abandoned, [""; 0]);
        lab.over(tree).await;
    });
}

/// A supervisor's own start × its shutdown × kill: the starter is told.
#[test]
fn shuttle_start_and_shutdown() {
    explore(|| async {
        let lab = Lab::default();
        let (_a, spec) = lab.worker("a", true);
        let tree = relentless(Strategy::OneForOne).child(spec).build().unwrap();
        let starter = {
            let tree = tree.clone();
            spawn(async move { tree.start().await })
        };
        tree.shutdown(EVER).await;
        let started = starter.await;
        assert!(matches!(started, Ok(()) | Err(StartError::Failed(_))), "{started:?}");
        lab.over(tree).await;
    });
}

/// Row G3: delete × crash: only what is stopped can be taken out, and then its mailbox is closed.
#[test]
fn shuttle_delete_and_crash() {
    explore(|| async {
        let lab = Lab::default();
        let (tree, [a, b]) = tree(&lab, relentless(Strategy::OneForOne), false).await;
        let deleter = {
            let tree = tree.clone();
            spawn(async move {
                assert_eq!(tree.terminate_child("a").await, Ok(()));
                assert_eq!(tree.delete_child("a"), Ok(()));
            })
        };
        crash(&a);
        crash(&b);
        let refused = tree.delete_child("b");
        assert!(matches!(refused, Err(ChildError::Running | ChildError::Restarting)), "{refused:?}");
        deleter.await;
        assert!(a.is_closed());
        served(&b).await;
        assert_eq!(tree.count_children().specs, 1);
        lab.over(tree).await;
    });
}

/// Clause 21.25: of two starts under one id one is refused, in either order; what it offered is as it was before, and good for
/// another supervisor.
#[test]
fn shuttle_two_starts_under_one_id() {
    explore(|| async {
        let lab = Lab::default();
        let (tree, []) = tree(&lab, relentless(Strategy::OneForOne), false).await;
        let ((a, sa), (b, sb)) = (lab.worker("a", true), lab.worker("b", true));
        let kept = [sa.clone(), sb.clone()];
        let other = {
            let tree = tree.clone();
            spawn(async move { tree.start_child(sb.id("one")).await })
        };
        let (first, second) = (tree.start_child(sa.id("one")).await, other.await);
        let (up, refused, of_whom) = match (&first, &second) {
            (Ok(Started::Running), Err(StartChildError::AlreadyStarted(_))) => (a, b, 1),
            (Err(StartChildError::AlreadyStarted(_)), Ok(Started::Running)) => (b, a, 0),
            _ => panic!("{first:?} {second:?}"),
        };
        let kept = kept.into_iter().nth(of_whom).unwrap();
        served(&up).await;
        assert!(!refused.is_closed(), "it is as it was before");
        refused.cast(Tell::Note(1)).unwrap();
        assert_eq!(tree.start_child(kept.id("two")).await, Ok(Started::Running));
        served(&refused).await;
        assert_eq!(lab.log.handled(), [1]);
        lab.over(tree).await;
    });
}

/// A start that is given up at any time × a crash: nothing is left of the child, unless it was up.
#[test]
fn shuttle_a_start_that_is_given_up() {
    explore(|| async {
        let lab = Lab::default();
        let (tree, [a]) = tree(&lab, relentless(Strategy::OneForOne), false).await;
        let (b, spec) = lab.worker("b", true);
        let quits = {
            let tree = tree.clone();
            spawn(async move { for_a_while(tree.start_child(spec)).await })
        };
        crash(&a);
        match quits.await {
            Some(started) => {
                assert_eq!(started, Ok(Started::Running));
                served(&b).await;
            }
            None => {
                while state(&tree, "b").is_some() || !b.is_closed() {
                    yield_now().await;
                }
            }
        }
        lab.over(tree).await;
    });
}

/// A start of a child that was there is given up: the child stays, and can be started.
#[test]
fn shuttle_a_restart_by_hand_that_is_given_up() {
    explore(|| async {
        let lab = Lab::default();
        let (tree, [a]) = tree(&lab, relentless(Strategy::OneForOne), true).await;
        assert_eq!(tree.terminate_child("a").await, Ok(()));
        let quits = {
            let tree = tree.clone();
            spawn(async move { for_a_while(tree.restart_child("a")).await })
        };
        if quits.await.is_none() {
            while state(&tree, "a") != Some(ChildState::Stopped) {
                yield_now().await;
            }
            assert_eq!(tree.restart_child("a").await, Ok(Started::Running));
        }
        served(&a).await;
        assert_eq!(tree.restarts(), 0, "giving up is no crash");
        lab.over(tree).await;
    });
}

/// Two who start the same child by hand × a crash in `init`'s wake: the failure of one start is not the other's.
#[test]
fn shuttle_two_restarts_by_hand() {
    explore(|| async {
        let lab = Lab::default();
        let (tree, [a]) = tree(&lab, relentless(Strategy::OneForOne), true).await;
        assert_eq!(tree.terminate_child("a").await, Ok(()));
        let quits = {
            let tree = tree.clone();
            spawn(async move { for_a_while(tree.restart_child("a")).await })
        };
        let mine = tree.restart_child("a").await;
        let others = quits.await;
        match (&mine, &others) {
            // The other gave up, or came second.
            (Ok(Started::Running), _) | (Err(ChildError::Running), Some(Ok(Started::Running))) => {
                served(&a).await
            }
            (Err(ChildError::Running), None) => {}
            _ => panic!("{mine:?} {others:?}"),
        }
        lab.over(tree).await;
    });
}

/// A supervisor below gives up × the one above is shut down.
#[test]
fn shuttle_shutdown_and_a_supervisor_that_gives_up() {
    explore(|| async {
        let lab = Lab::default();
        let (a, spec) = lab.worker("a", true);
        let below =
            Supervisor::one_for_one().intensity(0, EVER).seed(1).child(spec).into_child("below").unwrap();
        let tree = relentless(Strategy::OneForOne).child(below).start().await.unwrap();
        crash(&a);
        tree.shutdown(EVER).await;
        lab.over(tree).await;
    });
}

/// A supervisor below gives up × it is stopped by hand × started by hand.
#[test]
fn shuttle_a_supervisor_that_gives_up_and_a_stop() {
    explore(|| async {
        let lab = Lab::default();
        let (a, spec) = lab.worker("a", false);
        let below =
            Supervisor::one_for_one().intensity(0, EVER).seed(1).child(spec).into_child("below").unwrap();
        let tree = relentless(Strategy::OneForOne).child(below).start().await.unwrap();
        let stopper = {
            let tree = tree.clone();
            spawn(async move {
                assert_eq!(tree.terminate_child("below").await, Ok(()));
                assert_eq!(state(&tree, "below"), Some(ChildState::Stopped));
                let restarted = tree.restart_child("below").await;
                if let Err(error) = restarted {
                    // The crash came to the new incarnation, before it was up.
                    assert!(matches!(error, ChildError::Start(StartError::Failed(_))), "{error:?}");
                    assert_eq!(tree.restart_child("below").await, Ok(Started::Running));
                }
            })
        };
        crash(&a);
        stopper.await;
        served(&a).await;
        lab.over(tree).await;
    });
}

/// Two crashes of which the second is one too many × a child that is added.
#[test]
fn shuttle_giving_up_and_a_start() {
    explore(|| async {
        let lab = Lab::default();
        let few = relentless(Strategy::OneForOne).intensity(1, EVER);
        let (tree, [a, b]) = tree(&lab, few, false).await;
        let adder = {
            let (tree, (c, spec)) = (tree.clone(), lab.worker("c", true));
            spawn(async move { (tree.start_child(spec).await, c) })
        };
        crash(&a);
        crash(&b);
        let exit = tree.join().await;
        assert!(RestartLimit::of(&exit.reason).is_some(), "{exit:?}");
        let (started, c) = adder.await;
        assert!(
            matches!(
                started,
                Ok(Started::Running)
                    | Err(StartChildError::Down | StartChildError::Start(StartError::Failed(_)))
            ),
            "{started:?}"
        );
        closes_what_is_given_back(&started, &c);
        drop(c);
        lab.over(tree).await;
    });
}

/// Waits until a child is seen to have ended, in a way that the schedule chooses; looks whether everything else says so too.
async fn has_ended(tree: &SupervisorRef, at: &At, then: Option<ChildState>) {
    match thread_rng().gen_range(0..4) {
        0 => drop(at.join().await),
        1 => {
            let (tell, mut told) = tokio::sync::oneshot::channel();
            let mut tell = Some(tell);
            at.monitor(Watch::Incarnation, move |event| {
                let _ = tell.take().map(|tell| tell.send(event));
            });
            while told.try_recv().is_err() {
                yield_now().await;
            }
        }
        2 => {
            while at.is_alive() {
                yield_now().await;
            }
        }
        _ => {
            while state(tree, at.name().unwrap()) != then {
                yield_now().await;
            }
        }
    }
    assert_eq!(state(tree, at.name().unwrap()), then);
    assert!(!at.is_alive());
    assert_eq!(tree.count_children().active, 0);
}

/// Clause 12.7: an end shows in the table, in the server's reference and to its monitors at once, and the place is free.
async fn end_and_look(supervisor: Supervisor) {
    let lab = Lab::default();
    let (tree, []) = tree(&lab, supervisor, false).await;
    let (a, spec) = lab.worker("a", false);
    assert_eq!(tree.start_child(spec.restart(Restart::Temporary)).await, Ok(Started::Running));
    let other = {
        let a = a.clone();
        thread::spawn(move || crash(&a))
    };
    has_ended(&tree, &a, None).await;
    let (_b, spec) = lab.worker("b", false);
    assert_eq!(tree.start_child(spec.id("a")).await, Ok(Started::Running));
    other.join().unwrap();
    lab.over(tree).await;
}

#[test]
fn shuttle_who_hears_of_an_end_finds_it_noted() {
    explore(|| end_and_look(relentless(Strategy::OneForOne)));
}

#[test]
fn shuttle_who_hears_of_an_end_finds_room_for_another() {
    explore(|| {
        let dynamic = Supervisor::dynamic().max_children(1);
        end_and_look(dynamic.with_intensity(Intensity::UNLIMITED).backoff(Backoff::NONE).seed(1))
    });
}

/// Clause 12.7: who hears that a child has been stopped can start it again.
#[test]
fn shuttle_who_hears_of_a_stop_can_start_it_again() {
    explore(|| async {
        let lab = Lab::default();
        let (tree, [a]) = tree(&lab, relentless(Strategy::OneForOne), false).await;
        let stopper = {
            let tree = tree.clone();
            thread::spawn(move || tree.request_stop_child("a"))
        };
        has_ended(&tree, &a, Some(ChildState::Stopped)).await;
        assert_eq!(tree.restart_child("a").await, Ok(Started::Running));
        assert_eq!(a.incarnation(), 2);
        assert_eq!(stopper.join().unwrap(), Ok(()));
        served(&a).await;
        lab.over(tree).await;
    });
}

/// Clauses 21.10 and 21.30: a shutdown × handlers that ask a sibling: none waits for one that has gone, and a caller that
/// hears that the tree is down finds all mailboxes closed. There is no time here: a caller that waits for what never comes
/// hangs.
async fn shutdown_and_a_handler_that_asks(supervisor: Supervisor, crashes: usize) {
    let lab = Lab::default();
    let (tree, [a, b]) = tree(&lab, supervisor, false).await;
    (0..crashes).for_each(|_| crash(&b));
    let asked = b.clone();
    a.cast(Tell::Do(Box::pin(async move {
        for _ in 0..2 {
            let answer = asked.call(|reply| reply).timeout(EVER).await;
            assert!(matches!(answer, Ok(()) | Err(CallError::Exited(_) | CallError::Closed)), "{answer:?}");
        }
    })))
    .unwrap();
    let watcher = {
        let (tree, all) = (tree.clone(), [a, b]);
        spawn(async move {
            while tree.is_alive() {
                yield_now().await;
            }
            assert!(all.iter().all(ServerRef::is_closed));
            assert_eq!(tree.join().await.reason, ExitReason::Shutdown);
        })
    };
    tree.shutdown(EVER).await;
    watcher.await;
    lab.over(tree).await;
}

#[test]
fn shuttle_shutdown_and_a_handler_that_asks_a_sibling() {
    explore(|| shutdown_and_a_handler_that_asks(relentless(Strategy::OneForOne), 0));
}

/// Clause 21.30: the sibling has crashed, and may wait out the pause before its restart when the end begins, or be about to
/// begin.
#[test]
fn shuttle_shutdown_and_a_handler_that_asks_a_sibling_in_its_pause() {
    let pause = Duration::from_millis(1);
    let backoff = Backoff::new(pause, pause).jitter_percent(0);
    explore(move || shutdown_and_a_handler_that_asks(relentless(Strategy::OneForOne).backoff(backoff), 2));
}

/// Clause 8.2: two handlers that would end each other: one of them, or both, hear of the ring; neither hangs.
#[test]
fn shuttle_handlers_that_stop_each_other() {
    explore(|| async {
        let lab = Lab::default();
        let (tree, [a, b]) = tree(&lab, relentless(Strategy::OneForOne), false).await;
        let heard: Arc<Mutex<Vec<bool>>> = Arc::default();
        for (at, other) in [(&a, "b"), (&b, "a")] {
            let (tree, heard) = (tree.clone(), Arc::clone(&heard));
            let stop = Tell::Do(Box::pin(async move {
                let ended = tree.terminate_child(other).await;
                assert!(matches!(ended, Ok(()) | Err(ChildError::Cycle { .. })), "{ended:?}");
                heard.lock().unwrap().push(ended.is_err());
            }));
            at.cast(stop).unwrap();
        }
        // One server may be stopped before it comes to its order: what it was told waits in its mailbox then.
        while heard.lock().unwrap().is_empty() || state(&tree, "a") == Some(ChildState::Stopping) {
            yield_now().await;
        }
        lab.over(tree).await;
    });
}
