//! Handlers that wait for the ends and starts of others: what would wait for itself is refused before anything is ordered.

use crate::support::AGES;
use futures::future::BoxFuture;
use restante_core::ExitReason;
use restante_genserver::{
    CallError, Context, GenServer, Init, Next, Reply, Requests, Server, ServerRef, StartError, Step,
};
use restante_supervisor::{
    Backoff, ChildError, ChildSpec, ChildState, DynamicSupervisor, PartitionRef, PartitionSupervisor,
    Reconfigure, ResizeError, Restart, RunOptions, RunOutcome, Shutdown, Started, Strategy, Supervise,
    Supervisor, SupervisorRef,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;

/// Work that a handler is given.
type Work = BoxFuture<'static, ()>;

/// Does what it is given, in the handler; then what lies ready for its next `init` or its `terminate`.
struct Node {
    ready: Ready,
}

#[derive(Clone, Default)]
struct Ready {
    init: Arc<Mutex<Option<Work>>>,
    terminate: Arc<Mutex<Option<Work>>>,
}

impl GenServer for Node {
    type Args = Ready;
    type Call = (Work, Reply<()>);
    type Cast = Work;
    type Info = ();

    async fn init(ready: &Ready, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        let work = ready.init.lock().unwrap().take();
        if let Some(work) = work {
            work.await;
        }
        Ok(Init::ok(Self { ready: ready.clone() }))
    }

    async fn handle_call(&mut self, (work, reply): (Work, Reply<()>), _: &mut Context<Self>) -> Step {
        work.await;
        reply.send(());
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, work: Work, _: &mut Context<Self>) -> Step {
        work.await;
        Ok(Next::go())
    }

    async fn terminate(&mut self, _: &ExitReason, _: &mut Context<Self>) -> Result<(), ExitReason> {
        let work = self.ready.terminate.lock().unwrap().take();
        if let Some(work) = work {
            work.await;
        }
        Ok(())
    }
}

type At = ServerRef<Node>;

/// A node, its specification (it may take as long as it likes to end), and what lies ready for it.
fn node(name: &'static str) -> (At, ChildSpec, Ready) {
    let (server, ready) = (Server::<Node>::new(name), Ready::default());
    let at = server.address();
    (at, server.child(ready.clone()).shutdown(Shutdown::Infinity), ready)
}

/// Has this done in a handler of the node, and says what came of it; `None`: nothing, for ages.
async fn within<T: Send + 'static>(at: &At, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let (tell, told) = oneshot::channel();
    at.cast(Box::pin(async move {
        let _ = tell.send(work.await);
    }))
    .expect("it takes casts");
    tokio::time::timeout(AGES, told).await.ok()?.ok()
}

/// It answers, and is the incarnation that it was at first.
async fn is_untouched(at: &At) {
    let answer = at.call(|reply| (Box::pin(async {}) as Work, reply)).await;
    assert_eq!((answer, at.incarnation()), (Ok(()), 1));
}

/// Clause 8.1: terminating oneself is a ring, under each strategy; nothing is ordered.
#[tokio::test(start_paused = true)]
async fn a_handler_that_terminates_its_own_server_hears_of_the_ring() {
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        let ((a, sa, _), (b, sb, _)) = (node("a"), node("b"));
        let tree = Supervisor::new(strategy).child(sa).child(sb).start().await.unwrap();
        let asked = tree.clone();
        let refused = within(&a, async move { asked.terminate_child("a").await }).await;
        let Some(Err(ChildError::Cycle { path })) = refused else { panic!("{refused:?}") };
        assert_eq!(path.servers(), ["supervisor", "a"]);
        is_untouched(&a).await;
        is_untouched(&b).await;
        assert!(tree.shutdown(AGES).await.is_clean());
    }
}

/// Clause 8.1: so is shutting down the tree, or one further up, that the handler's server is in.
#[tokio::test(start_paused = true)]
async fn a_handler_that_shuts_its_own_tree_down_hears_of_the_ring() {
    let ((a, sa, _), (b, sb, _)) = (node("a"), node("b"));
    let inner = Supervisor::one_for_one().name("inner").child(sa).build().unwrap();
    let tree = Supervisor::one_for_all().name("app").child(inner.child("inner")).child(sb);
    let tree = tree.start().await.unwrap();
    for asked in [inner.clone(), tree.clone()] {
        let report = within(&a, async move { asked.shutdown(AGES).await }).await.expect("it hears at once");
        assert!(!report.is_clean());
        assert!(report.to_string().starts_with("not stopped: "), "{report}");
        assert_eq!(report.cycle.expect("a ring").servers().last().unwrap(), "a");
    }
    // The supervisor in between, by its id.
    let asked = tree.clone();
    let refused = within(&a, async move { asked.terminate_child("inner").await }).await;
    assert!(matches!(refused, Some(Err(ChildError::Cycle { .. }))), "{refused:?}");
    assert!(tree.is_alive() && inner.is_alive());
    is_untouched(&a).await;
    is_untouched(&b).await;
    let report = tree.shutdown(AGES).await;
    assert_eq!((report.stopped, report.cycle), (2, None));
}

/// Clause 8.1: a child of a dynamic supervisor, by reference and by key.
#[tokio::test(start_paused = true)]
async fn a_dynamic_child_that_terminates_itself_hears_of_the_ring() {
    let nodes = DynamicSupervisor::new().start().await.unwrap();
    let (a, spec, _) = node("a");
    let key = nodes.start_child(spec).await.unwrap();
    let (asked, me) = (nodes.clone(), a.clone());
    let refused =
        within(&a, async move { (asked.terminate_child(&me).await, asked.terminate(key).await) }).await;
    let refused = refused.expect("it hears at once");
    assert!(matches!(refused, (Err(ChildError::Cycle { .. }), Err(ChildError::Cycle { .. }))), "{refused:?}");
    is_untouched(&a).await;
    assert!(nodes.as_supervisor().shutdown(AGES).await.is_clean());
}

/// Clause 8.1: a partition that switches itself off with others. None of them is stopped.
#[tokio::test(start_paused = true)]
async fn a_partition_that_switches_itself_off_hears_of_the_ring() {
    let nodes = PartitionSupervisor::<Node>::new(|_| Ready::default()).partitions(3).start().await.unwrap();
    let nodes = Arc::new(nodes);
    let all: Vec<At> = nodes.partitions().cloned().collect();
    let asked = Arc::clone(&nodes);
    let refused = within(&all[1], async move { asked.resize(1).await }).await;
    assert!(matches!(refused, Some(Err(ResizeError::Cycle { .. }))), "{refused:?}");
    assert_eq!(nodes.len(), 3);
    for at in &all {
        is_untouched(at).await;
    }
    // Others it may switch off, and on.
    let asked = Arc::clone(&nodes);
    let resized = within(&all[1], async move { (asked.resize(2).await, asked.resize(3).await) }).await;
    assert_eq!(resized, Some((Ok(3), Ok(2))));
    assert!(nodes.as_supervisor().shutdown(AGES).await.is_clean());
}

/// Clause 8.2: `a` calls `b`, and `b` would end `a`, or what `a` is in.
#[tokio::test(start_paused = true)]
async fn to_end_a_caller_of_ones_own_is_a_ring() {
    let ((a, sa, _), (b, sb, _)) = (node("a"), node("b"));
    let tree = Supervisor::one_for_one().child(sa).start().await.unwrap();
    let other = Supervisor::one_for_one().child(sb).start().await.unwrap();
    let asked = tree.clone();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (notes, at_b) = (Arc::clone(&heard), b.clone());
    let work = async move {
        tokio::task::yield_now().await;
        let refused = asked.terminate_child("a").await;
        let report = asked.shutdown(AGES).await;
        let rings = [matches!(refused, Err(ChildError::Cycle { .. })), report.cycle.is_some()];
        notes.lock().unwrap().extend(rings);
    };
    let answer = within(&a, async move { at_b.call(|reply| (Box::pin(work) as Work, reply)).await }).await;
    assert_eq!(answer, Some(Ok(())));
    assert_eq!(*heard.lock().unwrap(), [true, true]);
    is_untouched(&a).await;
    assert!(tree.shutdown(AGES).await.is_clean() && other.shutdown(AGES).await.is_clean());
}

/// Clause 8.2: who is waited for, as one of many, and calls the one that waits, hears it; the wait goes on.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_stopped_by_a_handler_cannot_call_that_one() {
    let ((a, sa, ready), (b, sb, _)) = (node("a"), node("b"));
    let inner = Supervisor::one_for_one().child(sa).into_child("inner").unwrap();
    let tree = Supervisor::one_for_one().child(inner).child(node("c").1).start().await.unwrap();
    let other = Supervisor::one_for_one().child(sb).start().await.unwrap();
    let heard = Arc::new(Mutex::new(None));
    let (note, at_b) = (Arc::clone(&heard), b.clone());
    *ready.terminate.lock().unwrap() = Some(Box::pin(async move {
        let answer = at_b.call(|reply| (Box::pin(async {}) as Work, reply)).timeout(Duration::MAX).await;
        *note.lock().unwrap() = Some(answer);
    }));
    let asked = tree.clone();
    let report = within(&b, async move { asked.shutdown(Duration::MAX).await }).await.expect("it ends");
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.stopped, a.is_alive()), (2, false));
    let answer = heard.lock().unwrap().take();
    assert!(matches!(answer, Some(Err(CallError::Cycle { .. }))), "{answer:?}");
    assert!(other.shutdown(AGES).await.is_clean());
}

/// Clause 8.1: a handler that starts a child, or a tree, waits for the `init` of all that is in it.
#[tokio::test(start_paused = true)]
async fn an_init_cannot_call_the_handler_that_waits_for_it() {
    let (b, sb, _) = node("b");
    let other = Supervisor::one_for_one().child(sb).start().await.unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let calls_back = |ready: &Ready| {
        let (heard, b) = (Arc::clone(&heard), b.clone());
        *ready.init.lock().unwrap() = Some(Box::pin(async move {
            let answer = b.call(|reply| (Box::pin(async {}) as Work, reply)).timeout(Duration::MAX).await;
            heard.lock().unwrap().push(matches!(answer, Err(CallError::Cycle { .. })));
        }));
    };
    // A tree of its own; a supervisor that is added; one that is started again.
    let (_a, sa, ready) = node("a");
    calls_back(&ready);
    let tree = Supervisor::one_for_one().child(sa);
    let tree = within(&b, async move { tree.start().await }).await.expect("it starts").unwrap();
    let (_c, sc, ready) = node("c");
    calls_back(&ready);
    let inner = Supervisor::one_for_one().child(sc).into_child("inner").unwrap();
    let asked = tree.clone();
    let started = within(&b, async move { asked.start_child(inner).await }).await;
    assert_eq!(started, Some(Ok(Started::Running)));
    tree.terminate_child("inner").await.unwrap();
    calls_back(&ready);
    let asked = tree.clone();
    let started = within(&b, async move { asked.restart_child("inner").await }).await;
    assert_eq!(started, Some(Ok(Started::Running)));
    assert_eq!(*heard.lock().unwrap(), [true, true, true]);
    assert!(tree.shutdown(AGES).await.is_clean() && other.shutdown(AGES).await.is_clean());
}

/// Clause 8.4: a task that the handler has spawned may end the handler's server, and its tree.
#[tokio::test(start_paused = true)]
async fn a_spawned_task_closes_no_ring() {
    let ((a, sa, _), (_b, sb, _)) = (node("a"), node("b"));
    let tree = Supervisor::one_for_one().child(sa).child(sb).start().await.unwrap();
    let (tell, told) = oneshot::channel();
    let asked = tree.clone();
    a.cast(Box::pin(async move {
        tokio::spawn(async move {
            let ended = asked.terminate_child("a").await;
            let _ = tell.send((ended, asked.shutdown(AGES).await.is_clean()));
        });
    }))
    .unwrap();
    assert_eq!(tokio::time::timeout(AGES, told).await, Ok(Ok((Ok(()), true))));
    assert!(!tree.is_alive());
}

/// Clause 8.1: no ring, no refusal: a handler may stop its siblings, and a tree that it is not in.
#[tokio::test(start_paused = true)]
async fn a_handler_may_stop_others() {
    let ((a, sa, _), (b, sb, _), (c, sc, _)) = (node("a"), node("b"), node("c"));
    let tree = Supervisor::one_for_one().child(sa).child(sb).start().await.unwrap();
    let other = Supervisor::one_for_one().child(sc).start().await.unwrap();
    let asked = (tree.clone(), other.clone());
    let ended = within(&a, async move {
        let ended = asked.0.terminate_child("b").await;
        let again = asked.0.restart_child("b").await;
        (ended, again, asked.1.shutdown(AGES).await.is_clean())
    });
    assert_eq!(ended.await, Some((Ok(()), Ok(Started::Running), true)));
    assert_eq!((a.incarnation(), b.incarnation(), c.is_alive()), (1, 2, false));
    // To start what runs is no wait.
    let asked = tree.clone();
    let refused = within(&a, async move { asked.restart_child("a").await }).await;
    assert_eq!(refused, Some(Err(ChildError::Running)));
    assert!(tree.shutdown(AGES).await.is_clean());
}

/// Clause 14.5: an order that is not awaited is obeyed when the handler has returned, `terminate` included.
#[tokio::test(start_paused = true)]
async fn what_is_requested_is_obeyed_after_the_handler() {
    let seen: Arc<Mutex<Vec<&str>>> = Arc::default();
    let note = |what: &'static str| {
        let seen = Arc::clone(&seen);
        async move { seen.lock().unwrap().push(what) }
    };
    // One's own end, and that of one's tree.
    let (a, sa, ready) = node("a");
    *ready.terminate.lock().unwrap() = Some(Box::pin(note("terminate")));
    let (b, sb, _) = node("b");
    let tree =
        Supervisor::one_for_one().child(sa.restart(Restart::Temporary)).child(sb).start().await.unwrap();
    let (asked, done) = (tree.clone(), note("handler"));
    let told = within(&a, async move {
        let told = asked.request_stop_child("a");
        tokio::time::sleep(Duration::from_secs(1)).await;
        done.await;
        told
    });
    assert_eq!(told.await, Some(Ok(())));
    assert_eq!(a.join().await.reason, ExitReason::Shutdown);
    assert_eq!(*seen.lock().unwrap(), ["handler", "terminate"]);
    assert_eq!(tree.request_stop_child("x"), Err(ChildError::NotFound));
    let asked = tree.clone();
    let told = within(&b, async move { (asked.request_stop(), asked.is_alive()) }).await;
    assert_eq!(told, Some((true, true)));
    assert_eq!(tree.join().await.reason, ExitReason::Shutdown);
    assert!(tree.report().is_clean());
    assert!(!tree.request_stop(), "it is down");
    // A server without a supervisor.
    let d = restante_genserver::start::<Node>(Ready::default()).await.unwrap();
    let me = d.clone();
    assert_eq!(within(&d, async move { me.request_stop(ExitReason::Normal) }).await, Some(true));
    assert_eq!(d.join().await.reason, ExitReason::Normal);
    assert!(!d.request_stop(ExitReason::Normal), "it is over");
    // A child of a dynamic supervisor.
    let nodes = DynamicSupervisor::new().start().await.unwrap();
    let (c, sc, _) = node("c");
    nodes.start_child(sc).await.unwrap();
    let (asked, me) = (nodes.clone(), c.clone());
    assert_eq!(within(&c, async move { asked.request_stop_child(&me) }).await, Some(Ok(())));
    c.join().await;
    assert!(nodes.as_supervisor().shutdown(AGES).await.is_clean());
}

/// Clause 22.4: a "quit" command: the tree that is run ends within the deadline, and says what did not go well.
#[tokio::test(start_paused = true)]
async fn a_tree_that_is_run_ends_when_it_is_requested() {
    let ((a, sa, _), (b, sb, _)) = (node("a"), node("b"));
    let tree = Supervisor::one_for_one().child(sa).child(sb).build().unwrap();
    let never = std::future::pending::<()>;
    let options = RunOptions::default().deadline(Duration::from_secs(5));
    let running = tokio::spawn(tree.clone().run_until(never(), never(), options));
    is_untouched(&a).await;
    b.cast(Box::pin(never())).unwrap();
    let asked = tree.clone();
    assert_eq!(within(&a, async move { asked.request_stop() }).await, Some(true));
    let begun = tokio::time::Instant::now();
    let outcome = running.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    let RunOutcome::Shutdown(report) = outcome else { panic!("{outcome:?}") };
    assert_eq!(report.killed, ["b", "a"].map(|late| (late.to_owned(), Duration::from_secs(5))));
}

/// Clause 8.2: a start by hand that would close a ring adds nothing to the table.
#[tokio::test(start_paused = true)]
async fn a_refused_start_leaves_nothing() {
    // A supervisor that runs already, with the asking handler below it, is no child to be started; the ring is seen first.
    let (a, sa, _) = node("a");
    let inner = Supervisor::one_for_one().child(sa).build().unwrap();
    inner.start().await.unwrap();
    let tree = Supervisor::one_for_one().start().await.unwrap();
    let (asked, spec) = (tree.clone(), inner.child("inner"));
    let refused = within(&a, async move { asked.start_child(spec).await }).await.expect("it hears at once");
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(states(&tree), []);
    let refused = within(&a, {
        let inner = inner.clone();
        async move { inner.start().await }
    })
    .await;
    assert!(
        matches!(refused, Some(Err(StartError::AlreadyStarted | StartError::Cycle { .. }))),
        "{refused:?}"
    );
    is_untouched(&a).await;
    assert!(inner.shutdown(AGES).await.is_clean() && tree.shutdown(AGES).await.is_clean());
}

fn states(tree: &SupervisorRef) -> Vec<ChildState> {
    tree.which_children().iter().map(|child| child.state).collect()
}

/// Asks it without a limit.
async fn ask(at: At) -> Result<(), CallError> {
    at.call(|reply| (Box::pin(async {}) as Work, reply)).timeout(Duration::MAX).await
}

fn is_ring<T: std::fmt::Debug>(heard: &T) -> bool {
    format!("{heard:?}").contains("Cycle")
}

/// Clause 21.32: a group falls; `b` is down and comes back when `a` has ended: what `a` asks it is a ring, whether it asks
/// when it is down or has asked before, in whatever way. Who is outside goes on waiting, and is answered.
#[tokio::test(start_paused = true)]
async fn one_that_is_stopped_with_its_group_does_not_wait_for_one_that_comes_back_later() {
    let sec = Duration::from_secs(1);
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        for how in 0..7 {
            let ((first, s_first, _), (a, sa, _), (c, sc, _)) = (node("first"), node("a"), node("c"));
            // A request is sent at once or not at all: it needs room beside the call from outside.
            let room = if matches!(how, 1 | 2) { 2 } else { 1 };
            let server = Server::<Node>::settings().name("b").capacity(room).build().unwrap();
            let (b, ready) = (server.address(), Ready::default());
            let sb = server.child(ready).shutdown(Shutdown::Infinity);
            let tree = Supervisor::new(strategy).child(s_first).child(sa).child(sb).child(sc);
            let tree = crate::support::relentless(tree).start().await.unwrap();
            let begun = tokio::time::Instant::now();
            // The last three have asked before.
            if how >= 4 {
                b.cast(Box::pin(tokio::time::sleep(sec))).unwrap();
                crate::support::settled().await;
            }
            let asked = b.clone();
            let (at, asked) = (a.clone(), asked);
            let heard = async move {
                within(&at, async move {
                    if how < 4 {
                        tokio::time::sleep(sec).await;
                    }
                    match how {
                        0 | 4 => format!("{:?}", ask(asked).await),
                        1 => format!(
                            "{:?}",
                            asked.send_request(|r| (Box::pin(async {}) as Work, r)).wait(Duration::MAX).await
                        ),
                        2 => format!("{:?}", asked.send_request(|r| (Box::pin(async {}) as Work, r)).await),
                        5 => {
                            let mut all = Requests::new();
                            all.add((), asked.send_request(|r| (Box::pin(async {}) as Work, r)));
                            format!("{:?}", all.next().await)
                        }
                        6 => {
                            asked.cast(Box::pin(async {})).unwrap();
                            asked.reserve().await.map(drop).map_err(|e| e.to_string()).unwrap_err()
                        }
                        _ => {
                            asked.cast(Box::pin(async {})).unwrap();
                            asked.send(Box::pin(async {})).await.map_err(|e| e.to_string()).unwrap_err()
                        }
                    }
                })
                .await
            };
            let heard = tokio::spawn(heard);
            crate::support::settled().await;
            if strategy == Strategy::OneForAll {
                c.kill()
            } else {
                first.kill()
            };
            crate::support::settled().await;
            let outside = (how < 3).then(|| tokio::spawn(ask(b.clone())));
            let heard = heard.await.unwrap().expect("it hears");
            assert!(is_ring(&heard) || heard.contains("ring"), "{strategy:?} {how} {heard}");
            assert_eq!(begun.elapsed(), sec, "{strategy:?} {how}");
            if let Some(outside) = outside {
                assert_eq!(outside.await.unwrap(), Ok(()));
            }
            assert_eq!(ask(b.clone()).await, Ok(()));
            assert_eq!((a.incarnation(), b.incarnation(), c.incarnation()), (2, 2, 2));
            assert_eq!(a.last_exit().unwrap().reason, ExitReason::Shutdown);
            assert!(tree.shutdown(AGES).await.is_clean());
        }
    }
}

/// Clause 21.32: the same in `terminate`, where a supervisor is stopped that may be started again: its children together or
/// one after the other, and those further below.
#[tokio::test(start_paused = true)]
async fn a_terminate_does_not_wait_for_a_sibling_that_comes_back_later() {
    for dynamic in [false, true] {
        let ((a, sa, ready), (b, sb, _)) = (node("a"), node("b"));
        let heard = Arc::new(Mutex::new(None));
        let (note, asked) = (Arc::clone(&heard), b.clone());
        *ready.terminate.lock().unwrap() = Some(Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            *note.lock().unwrap() = Some(ask(asked).await);
        }));
        let inner = if dynamic {
            let (nodes, spec) = DynamicSupervisor::new().keep_children(true).into_child("inner");
            let tree = Supervisor::one_for_one().child(spec).start().await.unwrap();
            nodes.start_child(sa).await.unwrap();
            nodes.start_child(sb).await.unwrap();
            tree
        } else {
            let lowest = Supervisor::one_for_one().child(sb).into_child("lowest").unwrap();
            let inner = Supervisor::one_for_one().child(sa).child(lowest).into_child("inner").unwrap();
            Supervisor::one_for_one().child(inner).start().await.unwrap()
        };
        let begun = tokio::time::Instant::now();
        let ended = tokio::time::timeout(AGES, inner.terminate_child("inner")).await;
        assert_eq!((ended, begun.elapsed()), (Ok(Ok(())), Duration::from_secs(1)));
        assert!(is_ring(&heard.lock().unwrap().take()));
        // The mailboxes are there, and who asks from outside is answered when they are read again.
        let waits = tokio::spawn(ask(b.clone()));
        assert_eq!(inner.restart_child("inner").await, Ok(Started::Running));
        assert_eq!((waits.await.unwrap(), a.incarnation()), (Ok(()), 2));
        assert!(inner.shutdown(AGES).await.is_clean());
    }
}

/// Clause 21.32: one that waits out the pause before its restart is down as well, where its supervisor may be started
/// again, and where a group falls that it has come into meanwhile.
#[tokio::test(start_paused = true)]
async fn a_terminate_does_not_wait_for_a_sibling_that_waits_for_its_restart() {
    for falls in [false, true] {
        let ((first, s_first, _), (b, sb, _), (_a, sa, ready)) = (node("first"), node("b"), node("a"));
        let heard = Arc::new(Mutex::new(None));
        let (note, asked) = (Arc::clone(&heard), b.clone());
        *ready.terminate.lock().unwrap() = Some(Box::pin(async move {
            *note.lock().unwrap() = Some(ask(asked).await);
        }));
        let inner = crate::support::relentless(Supervisor::one_for_one()).backoff(Backoff::new(AGES, AGES));
        let inner = inner.child(s_first).child(sb).child(sa).build().unwrap();
        let tree = Supervisor::one_for_one().child(inner.child("inner")).start().await.unwrap();
        for incarnation in 1..=2 {
            crate::support::until(|| b.incarnation() == incarnation && b.is_alive()).await;
            b.kill();
            b.join().await;
        }
        crate::support::settled().await;
        let begun = tokio::time::Instant::now();
        if falls {
            inner.reconfigure(Reconfigure::new().strategy(Strategy::OneForAll)).unwrap();
            first.kill();
            crate::support::until(|| heard.lock().unwrap().is_some()).await;
        } else {
            let ended = tokio::time::timeout(AGES / 2, tree.terminate_child("inner")).await;
            assert_eq!(ended, Ok(Ok(())));
        }
        assert!(is_ring(&heard.lock().unwrap().take()));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        if !falls {
            assert_eq!(tree.restart_child("inner").await, Ok(Started::Running));
        }
        assert_eq!(ask(b.clone()).await, Ok(()));
        assert!(tree.shutdown(AGES).await.is_clean());
    }
}

/// Partitions that take as long as they like to end.
async fn partitions(count: usize) -> (Arc<PartitionRef<Node>>, Vec<At>) {
    let nodes = PartitionSupervisor::<Node>::new(|_| Ready::default()).shutdown(Shutdown::Infinity);
    let nodes = Arc::new(nodes.partitions(count).start().await.unwrap());
    let all = nodes.partitions().cloned().collect();
    (nodes, all)
}

/// Clause 8.1: a caller that resizes waits for one that does so already, and so for the partitions whose end that one waits
/// for: one of these that would resize hears of the ring, whichever caller has it stopped, and nothing hangs.
#[tokio::test(start_paused = true)]
async fn a_partition_that_is_being_switched_off_does_not_wait_to_resize() {
    let sec = Duration::from_secs(1);
    for by_handler in [true, false] {
        let (nodes, all) = partitions(3).await;
        let begun = tokio::time::Instant::now();
        let (at, asked) = (all[1].clone(), Arc::clone(&nodes));
        let second = tokio::spawn(async move {
            within(&at, async move {
                tokio::time::sleep(sec).await;
                asked.resize(3).await
            })
            .await
        });
        crate::support::settled().await;
        let (at, asked) = (all[0].clone(), Arc::clone(&nodes));
        let work = async move { asked.resize(1).await };
        let first = if by_handler { within(&at, work).await } else { Some(work.await) };
        assert_eq!((first, nodes.len()), (Some(Ok(3)), 1), "{by_handler}");
        let heard = second.await.unwrap();
        assert!(matches!(heard, Some(Err(ResizeError::Cycle { .. }))), "{by_handler} {heard:?}");
        assert_eq!(begun.elapsed(), sec, "{by_handler}");
        assert!(nodes.as_supervisor().shutdown(AGES).await.is_clean());
    }
}

/// Clause 8.1: one that waits in line to resize when another, which was in line before it, comes to have it stopped, hears
/// of the ring as well; and so does one whose `init` a resize waits for. Who would only have to wait does.
#[tokio::test(start_paused = true)]
async fn who_waits_in_line_to_resize_hears_of_a_ring_that_comes_later() {
    let sec = Duration::from_secs(1);
    // The third partition takes a second to start; in the `init` of the fourth it is tried to resize.
    let seen: Arc<Mutex<Vec<Result<usize, ResizeError>>>> = Arc::default();
    let here: Arc<Mutex<Option<Arc<PartitionRef<Node>>>>> = Arc::default();
    let (note, place) = (Arc::clone(&seen), Arc::clone(&here));
    let make = move |partition| {
        let ready = Ready::default();
        let (note, place) = (Arc::clone(&note), Arc::clone(&place));
        let work: Option<Work> = match partition {
            2 => Some(Box::pin(tokio::time::sleep(sec))),
            3 => Some(Box::pin(async move {
                let nodes = place.lock().unwrap().take().expect("it is there");
                let resized = nodes.resize(1).await;
                note.lock().unwrap().push(resized);
            })),
            _ => None,
        };
        *ready.init.lock().unwrap() = work;
        ready
    };
    let nodes = PartitionSupervisor::<Node>::new(make).shutdown(Shutdown::Infinity).partitions(2);
    let nodes = Arc::new(nodes.start().await.unwrap());
    let all: Vec<At> = nodes.partitions().cloned().collect();
    *here.lock().unwrap() = Some(Arc::clone(&nodes));
    let resize = |at: &At, partitions: usize| {
        let (at, asked) = (at.clone(), Arc::clone(&nodes));
        tokio::spawn(async move { within(&at, async move { asked.resize(partitions).await }).await })
    };
    let begun = tokio::time::Instant::now();
    let outside = Arc::clone(&nodes);
    let first = tokio::spawn(async move { outside.resize(3).await });
    crate::support::settled().await;
    let second = resize(&all[0], 1);
    crate::support::settled().await;
    let third = resize(&all[1], 2);
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok(2), Some(Ok(3))));
    let heard = third.await.unwrap();
    assert!(matches!(heard, Some(Err(ResizeError::Cycle { .. }))), "{heard:?}");
    assert_eq!((begun.elapsed(), nodes.len()), (sec, 1));
    assert_eq!(nodes.resize(4).await, Ok(1));
    let heard = seen.lock().unwrap().pop();
    assert!(matches!(heard, Some(Err(ResizeError::Cycle { .. }))), "{heard:?}");
    assert_eq!(nodes.len(), 4);
    assert!(nodes.as_supervisor().shutdown(AGES).await.is_clean());
}
