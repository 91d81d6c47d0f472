//! Attacks: what a user should not do, does by mistake, or does at the worst moment. Each ends in a clear error or a
//! documented outcome; nothing is lost, nothing hangs.

use crate::support::{AGES, Ask, Log, OnInit, Tell, crash, noted, quiet, relentless, settled, worker};
use restante_core::ExitReason;
use restante_genserver::{Context, GenServer, Init, Next, Reply, Server, ServerRef, StartError, Step};
use restante_supervisor::{
    AutoShutdown, Backoff, ChildError, ChildState, DynamicSupervisor, Intensity, PartitionError,
    PartitionSupervisor, Reconfigure, ReconfigureError, Restart, RestartLimit, RunOptions, RunOutcome,
    Shutdown, SpecError, StartChildError, Started, Strategy, Supervise, Supervisor, SupervisorRef,
};
use restante_testkit::assert_conserved;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A hang is a failure.
async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("it hangs")
}

/// Polls a future so many times, letting all else run in between, and drops it. Its output, if it came that far.
async fn drop_after<F: Future>(polls: usize, what: F) -> Option<F::Output> {
    let mut what = Box::pin(what);
    for _ in 0..polls {
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(what.as_mut().poll(cx))).await;
        if let std::task::Poll::Ready(output) = polled {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// A server whose arguments panic when they are dropped.
struct Plain;

struct Rude(Arc<AtomicUsize>);

impl Drop for Rude {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("told to, by the drop of arguments");
    }
}

impl GenServer for Plain {
    type Args = Rude;
    type Call = Reply<()>;
    type Cast = ();
    type Info = ();
    async fn init(_: &Rude, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }
    async fn handle_call(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Step {
        reply.send(());
        Ok(Next::go())
    }
}

fn rude(name: &'static str, drops: &Arc<AtomicUsize>) -> restante_supervisor::ChildSpec {
    Server::<Plain>::new(name).child(Rude(Arc::clone(drops)))
}

/// Part 16: arguments that panic in their drop, given up in each way in which a supervisor gives up arguments: the callers
/// that wait are told, and the supervisor above as well.
#[tokio::test(start_paused = true)]
async fn arguments_that_panic_in_their_drop_hang_nobody() {
    quiet();
    for way in ["shutdown", "terminate", "delete", "group", "end", "refused"] {
        let drops = Arc::new(AtomicUsize::new(0));
        let log = Log::new();
        let (a, sa) = worker("a", &log);
        let inner = relentless(Supervisor::one_for_all()).child(sa).build().unwrap();
        let outer = Supervisor::one_for_one().child(inner.child("inner")).start().await.unwrap();
        inner.start_child(rude("rude", &drops).restart(Restart::Temporary)).await.unwrap();
        match way {
            "terminate" => assert_eq!(soon(inner.terminate_child("rude")).await, Ok(()), "{way}"),
            "delete" => {
                inner.start_child(rude("other", &drops)).await.unwrap();
                inner.terminate_child("other").await.unwrap();
                inner.delete_child("other").unwrap();
            }
            "group" => crash(&a).await,
            "end" => {
                a.cast(Tell::Note(1)).unwrap();
                crash(&a).await;
            }
            "refused" => drop(inner.start_child(rude("rude", &drops)).await.unwrap_err()),
            _ => {}
        }
        assert!(noted(&a).await.is_empty(), "{way}: the group goes on");
        let begun = tokio::time::Instant::now();
        let report = soon(outer.shutdown(Duration::from_secs(30))).await;
        assert!(report.is_clean(), "{way}: {report}");
        assert!(begun.elapsed() < Duration::from_secs(1), "{way}");
        assert!(!inner.is_alive() && !outer.is_alive(), "{way}");
        assert!(drops.load(Ordering::SeqCst) >= 1, "{way}");
    }
}

/// Two such children at once: the second panic must not fall into the unwinding of the first.
#[tokio::test(start_paused = true)]
async fn several_arguments_that_panic_in_their_drop_abort_nothing() {
    quiet();
    let drops = Arc::new(AtomicUsize::new(0));
    let tree = Supervisor::one_for_one().start().await.unwrap();
    for name in ["a", "b", "c"] {
        tree.start_child(rude(name, &drops)).await.unwrap();
    }
    assert!(soon(tree.shutdown(AGES)).await.is_clean());
    assert_eq!(drops.load(Ordering::SeqCst), 3);
}

/// Clause 21.22: a supervisor below itself, at once or by way of another: neither could ever be started, and a look would
/// never end.
#[tokio::test]
async fn a_supervisor_cannot_come_below_itself() {
    let refused = |id: &str| Err(ReconfigureError::Spec(SpecError::Supervised(id.into())));
    let alone = Supervisor::one_for_one().build().unwrap();
    assert_eq!(alone.reconfigure(Reconfigure::new().add_child(alone.child("me"))), refused("me"));
    let low = Supervisor::one_for_one().build().unwrap();
    let mid = Supervisor::one_for_one().child(low.child("low")).build().unwrap();
    let top = Supervisor::one_for_one().child(mid.child("mid")).build().unwrap();
    assert_eq!(low.reconfigure(Reconfigure::new().add_child(top.child("top"))), refused("top"));
    assert_eq!(top.tree().iter().count(), 3);
    top.start().await.unwrap();
    assert_eq!(
        low.start_child(top.child("top")).await,
        Err(StartChildError::Spec(SpecError::Supervised("top".into())))
    );
    assert_eq!(
        top.start_child(top.child("top")).await,
        Err(StartChildError::Spec(SpecError::Supervised("top".into())))
    );
    assert!(top.shutdown(AGES).await.is_clean());
}

/// An error whose drop asks the supervisor something: the exit that it lies in must not be dropped under the lock.
#[test]
fn an_error_whose_drop_asks_the_supervisor_blocks_nobody() {
    struct Curious(SupervisorRef, Arc<AtomicUsize>);
    impl std::fmt::Debug for Curious {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Curious")
        }
    }
    impl std::fmt::Display for Curious {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("curious")
        }
    }
    impl std::error::Error for Curious {}
    impl Drop for Curious {
        fn drop(&mut self) {
            self.1.fetch_add(self.0.count_children().specs, Ordering::SeqCst);
        }
    }
    quiet();
    let (done, waits) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        rt.block_on(async {
            let log = Log::new();
            let (a, sa) = worker("a", &log);
            let asked = Arc::new(AtomicUsize::new(0));
            let tree = relentless(Supervisor::one_for_one()).child(sa).start().await.unwrap();
            for _ in 0..5 {
                let error = Curious(tree.clone(), Arc::clone(&asked));
                a.cast(Tell::Stop(ExitReason::Error(Arc::new(error)))).unwrap();
                noted(&a).await;
            }
            tree.shutdown(AGES).await;
            done.send(asked.load(Ordering::SeqCst)).unwrap();
        });
    });
    assert!(waits.recv_timeout(Duration::from_secs(20)).expect("it hangs") >= 3);
}

/// Stopping costs the same for each child, however many there are and whatever the supervisor's kind.
#[tokio::test]
async fn stopping_many_children_in_order_takes_time_in_proportion() {
    let mut took = Vec::new();
    for children in [4_000_usize, 32_000] {
        let mut supervisor = Supervisor::one_for_one();
        for n in 0..children {
            let server = Server::<Quiet>::settings().build().unwrap();
            supervisor = supervisor.child(server.child(()).id(n.to_string()));
        }
        let tree = supervisor.start().await.unwrap();
        let begun = Instant::now();
        assert!(tree.shutdown(AGES).await.is_clean());
        took.push(begun.elapsed());
    }
    assert!(took[1] < took[0] * 32, "{took:?}");
}

/// Does nothing.
struct Quiet;

impl GenServer for Quiet {
    type Args = ();
    type Call = Reply<()>;
    type Cast = ();
    type Info = ();
    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }
    async fn handle_call(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Step {
        reply.send(());
        Ok(Next::go())
    }
}

/// Clause 21.21: a reader that looks at a mailbox just when it leaves its tree takes none of its counters away.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn counters_of_children_that_go_survive_being_looked_at() {
    let tree = DynamicSupervisor::new().start().await.unwrap();
    let present: Arc<Mutex<Option<ServerRef<Quiet>>>> = Arc::default();
    let done = Arc::new(AtomicBool::new(false));
    let looking = std::thread::spawn({
        let (present, done) = (Arc::clone(&present), Arc::clone(&done));
        move || {
            while !done.load(Ordering::Relaxed) {
                let now = present.lock().unwrap().clone();
                if let Some(child) = now {
                    for _ in 0..100 {
                        let _ = child.audit();
                    }
                }
            }
        }
    });
    let mut sent = 0;
    for _ in 0..3_000 {
        let child = tree.start_new::<Quiet>(()).await.unwrap();
        *present.lock().unwrap() = Some(child.clone());
        for _ in 0..3 {
            child.cast(()).unwrap();
            sent += 1;
        }
        tree.terminate_child(&child).await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    looking.join().unwrap();
    let ledger = assert_conserved!(tree.as_supervisor());
    // Each was told to stop as well, which is a message of the control lane.
    assert!(ledger.sent >= sent, "{ledger} of {sent}");
}

/// An executor that is no runtime: this thread.
fn on_this_thread<F: Future>(what: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut what = std::pin::pin!(what);
    loop {
        match what.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park_timeout(Duration::from_secs(1)),
        }
    }
}

fn here() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Clause 21.20: a runtime from which a caller has merely asked for a child: the supervisor, which lives elsewhere,
/// outlives it.
#[test]
fn a_runtime_that_a_child_was_asked_for_from_takes_no_supervisor_along() {
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let (b, sb) = worker("b", &log);
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let tree = rt.block_on(Supervisor::one_for_one().child(sa).start()).unwrap();
    let other = here();
    other.block_on(async {
        tree.start_child(sb).await.unwrap();
        b.cast(Tell::Note(1)).unwrap();
        noted(&b).await;
    });
    drop(other);
    // A child that lived there would be over by now.
    assert!(
        b.call_blocking(Ask::Get).is_ok(),
        "the child ended with a runtime that it was merely asked for from"
    );
    assert!(a.call_blocking(Ask::Get).is_ok());
    assert_eq!((a.incarnation(), b.incarnation()), (1, 1));
    assert!(tree.is_alive(), "the tree ended with a runtime that it never lived in");
}

/// From a plain thread without a runtime, and from another executor: the supervisor's own runtime does the work.
#[test]
fn a_plain_thread_may_do_all_that_a_task_may() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let tree = rt.block_on(Supervisor::one_for_one().child(sa).start()).unwrap();
    let wait = |what: &mut dyn FnMut()| {
        let begun = Instant::now();
        what();
        assert!(begun.elapsed() < Duration::from_secs(20));
    };
    wait(&mut || {
        on_this_thread(async {
            assert_eq!(tree.terminate_child("a").await, Ok(()));
            assert_eq!(tree.restart_child("a").await, Ok(Started::Running));
            assert_eq!(tree.terminate_child("x").await, Err(ChildError::NotFound));
            assert!(a.call_blocking(Ask::Get).is_ok());
        });
    });
    let mut sb = Some(sb);
    wait(&mut || {
        assert_eq!(on_this_thread(tree.start_child(sb.take().unwrap())), Ok(Started::Running));
    });
    assert!(b.call_blocking(Ask::Get).is_ok());
    assert_eq!(tree.count_children().active, 2);
    let none = on_this_thread(Supervisor::one_for_one().start()).err();
    assert!(format!("{none:?}").contains("NoRuntime"), "{none:?}");
    wait(&mut || assert!(on_this_thread(tree.shutdown(Duration::MAX)).is_clean()));
    assert_eq!(on_this_thread(tree.start_child(worker("c", &log).1)), Err(StartChildError::Down));
}

/// A start from another runtime, when the supervisor's own has gone: an answer, and nothing left behind.
#[test]
fn a_start_on_a_supervisor_whose_runtime_has_gone_is_refused() {
    let log = Log::new();
    let (b, sb) = worker("b", &log);
    let rt = here();
    // No message has been sent to the supervisor or a child: it does not know yet.
    let tree = rt.block_on(Supervisor::one_for_one().start()).unwrap();
    drop(rt);
    here().block_on(async {
        assert_eq!(soon(tree.start_child(sb)).await, Err(StartChildError::Down));
        assert_eq!(tree.count_children().specs, 0);
        assert!(!b.is_alive() && !b.is_closed(), "it is given back");
        soon(tree.shutdown(AGES)).await;
    });
    assert!(!tree.is_alive());
}

/// Whatever is asked of a supervisor may be given up at any await of its future. What is left is a tree that works, ends in
/// order, and has lost nothing.
#[tokio::test(start_paused = true)]
async fn a_future_may_be_dropped_at_each_of_its_awaits() {
    quiet();
    for what in
        ["start", "start_child", "terminate", "restart", "shutdown", "run", "slow start_child", "slow start"]
    {
        for polls in 0..40 {
            let log = Log::new();
            let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
            let tree = relentless(Supervisor::one_for_one()).child(sa).child(sb).build().unwrap();
            for n in 0..5 {
                a.cast(Tell::Note(n)).unwrap();
            }
            if what.starts_with("slow") {
                log.on_init("b", [OnInit::Sleep(Duration::from_millis(1))]);
                log.on_init("c", [OnInit::Sleep(Duration::from_millis(1))]);
            }
            let done = if what.ends_with("start") {
                drop_after(polls, tree.start()).await.is_some()
            } else if what == "run" {
                let run = tree.clone().run_until(
                    std::future::ready(()),
                    std::future::pending(),
                    RunOptions::default(),
                );
                drop_after(polls, run).await.is_some()
            } else {
                tree.start().await.unwrap();
                match what {
                    "terminate" => drop_after(polls, tree.terminate_child("a")).await.is_some(),
                    "restart" => {
                        tree.terminate_child("a").await.unwrap();
                        drop_after(polls, tree.restart_child("a")).await.is_some()
                    }
                    "shutdown" => drop_after(polls, tree.shutdown(AGES)).await.is_some(),
                    _ => drop_after(polls, tree.start_child(sc)).await.is_some(),
                }
            };
            settled().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let states: Vec<_> = tree.which_children().iter().map(|child| child.state).collect();
            let settled = |state: &ChildState| matches!(state, ChildState::Running | ChildState::Stopped);
            assert!(states.iter().all(settled), "{what} {polls}: {states:?}");
            if what.ends_with("start_child") && !done && tree.count_children().specs == 2 {
                assert!(c.is_closed() && !c.is_alive(), "{what} {polls}");
            }
            let begun = tokio::time::Instant::now();
            let report = soon(tree.shutdown(AGES)).await;
            assert!(report.is_clean(), "{what} {polls}: {report}");
            assert!(begun.elapsed() < Duration::from_millis(10), "{what} {polls}");
            assert!(!a.is_alive() && !b.is_alive() && !c.is_alive(), "{what} {polls}");
            let ledger = tree.audit().unwrap();
            if tree.incarnation() == 0 {
                // Nothing was ever started, and nothing is closed.
                assert_eq!((ledger.lost(), ledger.queued), (0, 5), "{what} {polls}: {ledger}");
                continue;
            }
            assert_eq!((ledger.lost(), ledger.queued, ledger.in_hand), (0, 0, 0), "{what} {polls}: {ledger}");
        }
    }
}

/// What a server does with its own supervisor.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Deed {
    Look,
    StartSibling,
    StopSelf,
    StopSibling,
    DeleteSelf,
    RestartSelf,
    StartSelf,
    Shutdown,
    Kill,
    CloseSelf,
}

const DEEDS: [Deed; 10] = [
    Deed::Look,
    Deed::StartSibling,
    Deed::StopSelf,
    Deed::StopSibling,
    Deed::DeleteSelf,
    Deed::RestartSelf,
    Deed::StartSelf,
    Deed::Shutdown,
    Deed::Kill,
    Deed::CloseSelf,
];

struct Meddler(Meddling);

#[derive(Clone)]
struct Meddling {
    tree: SupervisorRef,
    me: Arc<Mutex<Option<ServerRef<Meddler>>>>,
    log: Log,
    in_init: Option<Deed>,
    done: Arc<AtomicBool>,
}

impl Meddling {
    async fn meddle(&self, deed: Deed) {
        let Self { tree, me, log, .. } = self;
        match deed {
            Deed::Look => {
                assert_eq!(tree.which_children().len(), tree.count_children().specs);
                let _ = (tree.tree().to_string(), tree.audit(), tree.report());
            }
            Deed::StartSibling => drop(tree.start_child(worker("new", log).1).await),
            Deed::StopSelf => drop(tree.terminate_child("me").await),
            Deed::StopSibling => drop(tree.terminate_child("a").await),
            Deed::DeleteSelf => assert_eq!(tree.delete_child("me"), Err(ChildError::Running)),
            Deed::RestartSelf => assert_eq!(tree.restart_child("me").await, Err(ChildError::Running)),
            Deed::StartSelf => assert_eq!(
                tree.start_child(worker("me", log).1).await,
                Err(StartChildError::AlreadyStarted("me".into()))
            ),
            Deed::Shutdown => drop(tree.shutdown(AGES).await),
            Deed::Kill => tree.kill(),
            Deed::CloseSelf => {
                me.lock().unwrap().as_ref().unwrap().close(ExitReason::Shutdown);
            }
        }
        self.done.store(true, Ordering::SeqCst);
    }
}

impl GenServer for Meddler {
    type Args = Meddling;
    type Call = Reply<()>;
    type Cast = Deed;
    type Info = ();
    async fn init(args: &Meddling, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        if let Some(deed) = args.in_init {
            args.meddle(deed).await;
        }
        Ok(Init::ok(Self(args.clone())))
    }
    async fn handle_call(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Step {
        reply.send(());
        Ok(Next::go())
    }
    async fn handle_cast(&mut self, deed: Deed, _: &mut Context<Self>) -> Step {
        self.0.meddle(deed).await;
        Ok(Next::go())
    }
}

/// A child that turns to its own supervisor, in `init` (where it is started with it, and by hand) and in a handler. It may
/// be killed for it in the end, but no caller hangs, and the tree can be stopped.
#[tokio::test(start_paused = true)]
async fn a_child_may_turn_to_its_own_supervisor() {
    quiet();
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        for deed in DEEDS {
            for when in ["init", "init by hand", "handler"] {
                let case = format!("{strategy:?} {deed:?} in {when}");
                let log = Log::new();
                let ((a, sa), (z, sz)) = (worker("a", &log), worker("z", &log));
                let tree = relentless(Supervisor::new(strategy)).child(sa).build().unwrap();
                let server = Server::<Meddler>::new("me");
                let me = server.address();
                let args = Meddling {
                    tree: tree.clone(),
                    me: Arc::new(Mutex::new(Some(me.clone()))),
                    log: log.clone(),
                    in_init: (when != "handler").then_some(deed),
                    done: Arc::default(),
                };
                let done = Arc::clone(&args.done);
                let spec = server.child(args).restart(Restart::Transient);
                if when == "init by hand" {
                    soon(tree.start()).await.unwrap();
                    let _ = soon(tree.start_child(spec)).await;
                } else {
                    tree.reconfigure(Reconfigure::new().add_child(spec).add_child(sz)).unwrap();
                    let _ = soon(tree.start()).await;
                }
                if when == "handler" {
                    me.cast(deed).unwrap();
                }
                // As long as a worker has that is told to end, and waits for itself.
                tokio::time::sleep(Duration::from_secs(12)).await;
                assert!(
                    done.load(Ordering::SeqCst) || matches!(deed, Deed::StopSelf | Deed::Shutdown),
                    "{case}: it was let do so"
                );
                let begun = tokio::time::Instant::now();
                soon(tree.shutdown(AGES)).await;
                assert!(begun.elapsed() < Duration::from_secs(6), "{case}");
                assert!(!tree.is_alive() && !a.is_alive() && !z.is_alive() && !me.is_alive(), "{case}");
                assert_eq!(
                    tree.audit().map(|ledger| (ledger.lost(), ledger.in_hand)),
                    Some((0, 0)),
                    "{case}"
                );
                drop(me);
            }
        }
    }
}

/// Settings that make little sense do what they say.
#[tokio::test(start_paused = true)]
async fn extreme_settings_do_what_they_say() {
    quiet();
    let log = Log::new();
    // No restart at all.
    let (a, sa) = worker("a", &log);
    let tree = Supervisor::one_for_one().intensity(0, Duration::MAX).child(sa).start().await.unwrap();
    crash(&a).await;
    let limit = RestartLimit::of(&soon(tree.join()).await.reason).cloned().unwrap();
    assert_eq!((limit.count, limit.window), (1, Duration::MAX));
    // A pause without end: the second crash waits for good, and all else is served.
    let (a, sa) = worker("a", &log);
    let backoff =
        Backoff::new(Duration::MAX, Duration::MAX).jitter_percent(u32::MAX).reset_after(Duration::MAX);
    let tree = Supervisor::one_for_one()
        .with_intensity(Intensity::UNLIMITED)
        .backoff(backoff)
        .abandon_after(Duration::MAX)
        .child(sa.shutdown(Shutdown::Timeout(Duration::MAX)))
        .start()
        .await
        .unwrap();
    crash(&a).await;
    crash(&a).await;
    assert_eq!(tree.which_children()[0].state, ChildState::Restarting);
    assert_eq!(tree.delete_child("a"), Err(ChildError::Restarting));
    assert_eq!(tree.restart_child("a").await, Err(ChildError::Restarting));
    a.cast(Tell::Note(7)).unwrap();
    assert_eq!(soon(tree.terminate_child("a")).await, Ok(()));
    assert_eq!(soon(tree.restart_child("a")).await, Ok(Started::Running));
    assert_eq!(noted(&a).await, [7]);
    assert!(soon(tree.shutdown(Duration::MAX)).await.is_clean());
    // No time to end in: killed at once, and named.
    let (a, sa) = worker("a", &log);
    let tree = Supervisor::one_for_one()
        .abandon_after(Duration::ZERO)
        .child(sa.shutdown(Shutdown::Timeout(Duration::ZERO)));
    let tree = tree.start().await.unwrap();
    a.cast(Tell::Sleep(AGES)).unwrap();
    settled().await;
    soon(tree.shutdown(AGES)).await;
    settled().await;
    assert!(!a.is_alive() && !tree.is_alive());
    // Room for no child.
    let dynamic = DynamicSupervisor::new().max_children(0).start().await.unwrap();
    let full = dynamic.start_new::<Quiet>(()).await.err();
    assert_eq!(full, Some(StartChildError::MaxChildren { active: 0, max: 0 }));
    let none = PartitionSupervisor::<Quiet>::new(|_| ()).partitions(0).start().await.err();
    assert_eq!(none, Some(PartitionError::NoPartitions));
}

/// Ids that repeat, are empty, very long, or contain what paths and lines are made of.
#[tokio::test(start_paused = true)]
async fn strange_ids_are_ids() {
    let log = Log::new();
    let long: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    let ids = ["", " ", "/", "a/b", "a", "line\nbreak", "\u{202e}esc\u{1b}[31m", "#0", long];
    let mut supervisor = Supervisor::one_for_one();
    for id in ids {
        supervisor = supervisor.child(worker(id, &log).1);
    }
    let tree = supervisor.start().await.unwrap();
    let twice = Supervisor::one_for_one().child(worker("", &log).1).child(worker("", &log).1).build().err();
    assert_eq!(twice, Some(SpecError::DuplicateId("".into())));
    for id in ids {
        assert_eq!(
            tree.start_child(worker(id, &log).1).await,
            Err(StartChildError::AlreadyStarted(id.into()))
        );
        let seen = tree.tree();
        assert!(id.is_empty() || seen.find(id).is_some_and(|node| node.id == id), "{id:.20?}");
        for (path, node) in &seen {
            assert!(std::ptr::eq(seen.find(&path).unwrap(), node), "{path:.20?}");
        }
        assert_eq!(seen.to_string().lines().count(), ids.len() + 1);
        assert_eq!(tree.terminate_child(id).await, Ok(()));
        assert_eq!(tree.restart_child(id).await, Ok(Started::Running));
    }
    assert!(tree.shutdown(AGES).await.is_clean());
    let dynamic = DynamicSupervisor::new().start().await.unwrap();
    for _ in 0..3 {
        dynamic.start_child(worker("", &log).1.id("")).await.unwrap();
    }
    assert_eq!(dynamic.count_children().active, 3);
}

/// A child that closes its own mailbox while its group falls, while it is restarted, while it is stopped.
#[tokio::test(start_paused = true)]
async fn a_mailbox_may_close_at_any_moment() {
    quiet();
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        for moment in 0..5 {
            let log = Log::new();
            let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
            let supervisor = Supervisor::new(strategy).with_intensity(Intensity::UNLIMITED);
            let tree = supervisor.child(sa).child(sb).child(sc).start().await.unwrap();
            match moment {
                0 => drop(b.close(ExitReason::Normal)),
                1 => {
                    a.cast(Tell::Panic).unwrap();
                    b.close(ExitReason::Normal);
                }
                2 => {
                    crash(&b).await;
                    b.cast(Tell::Panic).unwrap();
                    settled().await;
                    b.close(ExitReason::Normal);
                }
                3 => {
                    b.cast(Tell::Sleep(Duration::from_secs(1))).unwrap();
                    b.cast(Tell::Note(1)).unwrap();
                    settled().await;
                    a.cast(Tell::Panic).unwrap();
                    settled().await;
                    b.close(ExitReason::Normal);
                }
                _ => {
                    tree.terminate_child("b").await.unwrap();
                    b.close(ExitReason::Normal);
                    let _ = soon(tree.restart_child("b")).await;
                }
            }
            tokio::time::sleep(Duration::from_secs(30)).await;
            assert!(noted(&a).await.is_empty() && noted(&c).await.is_empty());
            assert!(!b.is_alive());
            assert!(
                tree.start_child(worker("b", &log).1).await.is_ok() || moment == 4,
                "{strategy:?} {moment}"
            );
            assert!(soon(tree.shutdown(AGES)).await.is_clean(), "{strategy:?} {moment}");
            assert_conserved!(tree);
        }
    }
}

/// 10^5 children that came and went are gone.
#[tokio::test]
#[ignore = "looks at the memory of the whole process, in which other tests run: to be run alone"]
async fn children_that_are_gone_take_no_memory() {
    fn resident() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }
    if !std::path::Path::new("/proc/self/statm").exists() {
        return;
    }
    let dynamic = DynamicSupervisor::new().start().await.unwrap();
    let tree = Supervisor::one_for_one().start().await.unwrap();
    let mut before = 0;
    for n in 0..100_000 {
        let child = dynamic.start_new::<Quiet>(()).await.unwrap();
        dynamic.terminate_child(&child).await.unwrap();
        tree.start_child(Server::<Quiet>::new("a").child(())).await.unwrap();
        tree.terminate_child("a").await.unwrap();
        tree.delete_child("a").unwrap();
        if n == 10_000 {
            before = resident();
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more");
    assert_eq!((tree.count_children().specs, dynamic.count_children().specs), (0, 0));
}

/// A look while everything crashes, starts and stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_at_a_tree_that_crashes_all_over() {
    quiet();
    let log = Log::new();
    let (workers, specs): (Vec<_>, Vec<_>) =
        ["a", "b", "c", "d", "e", "f"].into_iter().map(|name| worker(name, &log)).unzip();
    let mut specs = specs.into_iter();
    let mut sub = |strategy| {
        relentless(Supervisor::new(strategy)).child(specs.next().unwrap()).child(specs.next().unwrap())
    };
    let one = sub(Strategy::OneForAll).into_child("one").unwrap();
    let two = sub(Strategy::RestForOne).into_child("two").unwrap();
    let three = sub(Strategy::OneForOne).into_child("three").unwrap();
    let tree =
        relentless(Supervisor::one_for_one()).child(one).child(two).child(three).start().await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let crashing = tokio::spawn({
        let (workers, done) = (workers.clone(), Arc::clone(&done));
        async move {
            while !done.load(Ordering::Relaxed) {
                for worker in &workers {
                    let _ = worker.cast(Tell::Panic);
                }
                tokio::task::yield_now().await;
            }
        }
    });
    let mut looks = 0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        let seen = tree.tree();
        assert_eq!(seen.iter().count(), 10);
        let _ = (seen.to_string(), seen.ledger(), tree.audit());
        looks += 1;
        if looks % 7 == 0 {
            tree.reconfigure(Reconfigure::new().backoff(Backoff::NONE).child("one", |o| o.escalate ^= true))
                .unwrap();
        }
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::Relaxed);
    crashing.await.unwrap();
    for worker in &workers {
        assert!(worker.call(Ask::Get).timeout(AGES).await.is_ok());
    }
    assert!(soon(tree.shutdown(AGES)).await.is_clean());
    assert_conserved!(tree);
}

/// Everything is changed in the middle of a group restart.
#[tokio::test(start_paused = true)]
async fn a_group_restart_may_be_reconfigured_in_its_middle() {
    quiet();
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        for to in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
            for phase in ["stopping", "pause", "starting"] {
                let log = Log::new();
                let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
                let (c, sc) = crate::support::slow_worker("c", &log, Duration::from_secs(1));
                let supervisor = Supervisor::new(strategy).with_intensity(Intensity::UNLIMITED);
                let supervisor =
                    supervisor.backoff(Backoff::new(Duration::from_secs(1), Duration::from_secs(1)));
                let tree = supervisor.child(sa).child(sb).child(sc).start().await.unwrap();
                crash(&a).await;
                tokio::time::sleep(Duration::from_secs(2)).await;
                for server in [&a, &b, &c] {
                    server.cast(Tell::Panic).unwrap();
                    server.cast(Tell::Note(1)).unwrap();
                }
                log.on_init("b", [OnInit::Sleep(Duration::from_secs(1)), OnInit::Fail]);
                tokio::time::sleep(Duration::from_millis(match phase {
                    "stopping" => 500,
                    "pause" => 1500,
                    _ => 2500,
                }))
                .await;
                let (d, sd) = worker("d", &log);
                let change = Reconfigure::new()
                    .strategy(to)
                    .backoff(Backoff::NONE)
                    .child("b", |options| options.restart = Restart::Temporary)
                    .add_child(sd);
                tree.reconfigure(change).unwrap();
                tokio::time::sleep(Duration::from_secs(60)).await;
                let case = format!("{strategy:?} to {to:?} in {phase}");
                assert!(noted(&a).await.contains(&1) && noted(&c).await.contains(&1), "{case}");
                if d.is_alive() {
                    noted(&d).await;
                } else {
                    assert_eq!(tree.restart_child("d").await, Ok(Started::Running), "{case}");
                }
                assert!(soon(tree.shutdown(AGES)).await.is_clean(), "{case}");
                assert_conserved!(tree);
                drop(b);
            }
        }
    }
}

/// A child is asked for at each moment of a supervisor that gives up: it runs until that has ended, or it was never there.
#[tokio::test(start_paused = true)]
async fn a_start_into_a_supervisor_that_gives_up_is_answered() {
    quiet();
    for polls in 0..30 {
        let log = Log::new();
        let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
        let tree = Supervisor::one_for_one()
            .intensity(0, Duration::from_secs(5))
            .auto_shutdown(AutoShutdown::Never)
            .child(sa)
            .start()
            .await
            .unwrap();
        a.cast(Tell::Panic).unwrap();
        for _ in 0..polls {
            tokio::task::yield_now().await;
        }
        let started = soon(tree.start_child(sb)).await;
        assert!(
            matches!(
                started,
                Ok(Started::Running)
                    | Err(StartChildError::Down | StartChildError::Start(StartError::Failed(_)))
            ),
            "{polls}: {started:?}"
        );
        assert!(RestartLimit::of(&soon(tree.join()).await.reason).is_some());
        let given_back = started == Err(StartChildError::Down) && b.incarnation() == 0;
        assert_eq!((b.is_alive(), b.is_closed()), (false, !given_back), "{polls}: {started:?}");
        assert_conserved!(tree);
    }
}

/// Told to end before it runs, by one who says so at once, and by one who says so twice.
#[tokio::test(start_paused = true)]
async fn a_run_that_is_told_to_stop_at_once_stops() {
    for polls in 0..4 {
        let log = Log::new();
        let (a, sa) = worker("a", &log);
        log.on_init("a", [OnInit::Hang]);
        let tree = Supervisor::one_for_one().child(sa).build().unwrap();
        let stop = async move {
            for _ in 0..polls {
                tokio::task::yield_now().await;
            }
        };
        let options = RunOptions::default().deadline(Duration::ZERO);
        let outcome = soon(tree.clone().run_until(stop, std::future::ready(()), options)).await;
        assert!(matches!(outcome, RunOutcome::Shutdown(_) | RunOutcome::Killed(_)), "{outcome}");
        assert!(!a.is_alive() && a.is_closed() && !tree.is_alive());
        assert!(matches!(
            tree.run_until(std::future::pending(), std::future::pending(), options).await,
            RunOutcome::Ended(_)
        ));
    }
}

/// Clause 21.16, second half: when the mailbox of a stopped child closes, the supervisor is not told.
#[tokio::test(start_paused = true)]
async fn closing_the_mailbox_of_a_stopped_child_takes_it_out() {
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = Supervisor::one_for_one().child(sa).start().await.unwrap();
    tree.terminate_child("a").await.unwrap();
    a.close(ExitReason::Normal);
    assert_eq!(tree.restart_child("a").await, Err(ChildError::NotFound));
    assert_eq!(tree.count_children().specs, 0);
    let (b, sb) = worker("a", &log);
    assert_eq!(tree.start_child(sb).await, Ok(Started::Running));
    tree.terminate_child("a").await.unwrap();
    b.close(ExitReason::Normal);
    assert_eq!(tree.start_child(worker("a", &log).1).await, Ok(Started::Running), "the id is free");
}

/// Clause 21.17: a tree whose children were never sent a message, and whose end is not awaited.
#[test]
fn an_idle_tree_that_nobody_joins_ends_with_its_runtime() {
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let rt = here();
    let tree = rt.block_on(Supervisor::one_for_one().child(sa).start()).unwrap();
    drop(rt);
    assert!(!tree.is_alive() && a.is_closed());
}
