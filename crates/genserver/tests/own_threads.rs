//! Servers on threads of their own: where they run, that they may block, and how threads and servers end.

use crate::support::{Alive, Ask, LONG, Lab, Plan, Tell, ask, echo, is_panic, law, tell};
use restante_genserver::{
    CallError, CallerRuns, ExitReason, Init, Next, PoolReport, SendError, Server, ServerRef, StartError,
    StopError, ThreadError, ThreadPool, start, start_again,
};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// One that stands still when a handler blocks on its only thread.
fn single() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn own(plan: Plan) -> ServerRef<Lab> {
    Server::settings().own_thread().start(plan).await.unwrap()
}

/// A cast whose handler says that it has begun and then blocks its thread until it is let go.
fn block() -> (Tell, oneshot::Receiver<()>, Sender<()>) {
    let (begun, has_begun) = oneshot::channel();
    let (go, goes) = channel();
    let job = tell(move |_, _| {
        Box::pin(async move {
            begun.send(()).unwrap();
            let _ = goes.recv();
            Ok(Next::go())
        })
    });
    (job, has_begun, go)
}

/// Runs a closure in a handler, outside of any await.
fn run<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> (Tell, oneshot::Receiver<T>) {
    let (said, says) = oneshot::channel();
    let job = tell(move |_, _| {
        Box::pin(async move {
            let _ = said.send(f());
            Ok(Next::go())
        })
    });
    (job, says)
}

async fn ran<T: Send + 'static>(lab: &ServerRef<Lab>, f: impl FnOnce() -> T + Send + 'static) -> T {
    let (job, says) = run(f);
    lab.send(job).await.unwrap();
    says.await.unwrap()
}

async fn thread_of(lab: &ServerRef<Lab>) -> ThreadId {
    ran(lab, || thread::current().id()).await
}

/// Says on which thread it is dropped.
struct DropsOn(Arc<Mutex<Vec<ThreadId>>>);

impl Drop for DropsOn {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(thread::current().id());
    }
}

/// Hears when the thread that this is called on has ended: what it holds in a thread-local is dropped then.
fn hears_the_end() -> Receiver<()> {
    struct Says(#[expect(dead_code, reason = "its drop is heard")] Sender<()>);
    thread_local!(static SAYS: std::cell::RefCell<Vec<Says>> = const { std::cell::RefCell::new(Vec::new()) });
    let (says, hears) = channel();
    SAYS.with_borrow_mut(|all| all.push(Says(says)));
    hears
}

/// Waits for that, if need be for long.
fn has_ended(hears: &Receiver<()>) -> bool {
    hears.recv_timeout(LONG) == Err(std::sync::mpsc::RecvTimeoutError::Disconnected)
}

/// Row D8: all that a server does is done on its thread, the drop of its state included, and nothing on its starter's or its
/// callers'.
/// Clause 15.7.
#[tokio::test]
async fn a_server_on_its_own_thread_begins_handles_and_ends_there() {
    let places = Arc::new(Mutex::new(Vec::new()));
    let [at_init, at_end] = [(); 2].map(|()| Arc::clone(&places));
    let plan = Plan::default()
        .init(move |plan, _| {
            let places = Arc::clone(&at_init);
            Box::pin(async move {
                places.lock().unwrap().push(thread::current().id());
                let mut lab = Lab::new(plan);
                lab.things.push(Box::new(DropsOn(places)));
                Ok(Init::ok(lab))
            })
        })
        .end(move |_, _, _| {
            at_end.lock().unwrap().push(thread::current().id());
            Box::pin(async { Ok(()) })
        });
    let lab = own(plan).await;
    let there = Arc::clone(&places);
    let call = lab.call(ask(move |_, _, reply| {
        there.lock().unwrap().push(thread::current().id());
        reply.send(1);
        Box::pin(async { Ok(Next::go()) })
    }));
    assert_eq!(call.await, Ok(1));
    lab.stop(ExitReason::Shutdown, LONG).await.unwrap();
    let places = places.lock().unwrap();
    let [init, call, end, drop] = places[..] else { panic!("init, a call, terminate, the drop: {places:?}") };
    assert_ne!(init, thread::current().id());
    assert_eq!([call, end, drop], [init; 3]);
}

/// Row D8: while a handler blocks, a runtime of one thread ticks and its other servers answer.
#[test]
fn a_handler_that_blocks_holds_up_nobody_but_its_own_server() {
    single().block_on(async {
        let (lab, other) = (own(Plan::default()).await, start::<Lab>(Plan::default()).await.unwrap());
        let (job, begun, go) = block();
        lab.send(job).await.unwrap();
        begun.await.unwrap();
        let mut waits = Box::pin(lab.call(echo(1)).into_future());
        for n in 0..3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(other.call(echo(n)).caller_runs(CallerRuns::Never).await, Ok(n));
        }
        assert!(futures::poll!(&mut waits).is_pending());
        go.send(()).unwrap();
        assert_eq!(waits.await, Ok(1));
    });
}

/// Row D8, clauses 3.1, 15.8: what is queued while a handler blocks lies in the mailbox, within its bound, to be looked at: it
/// is not in the thread's hands.
#[tokio::test]
async fn what_is_queued_behind_a_blocking_handler_stays_in_the_mailbox() {
    let lab = Server::<Lab>::settings().own_thread().capacity(4).start(Plan::default()).await.unwrap();
    let (job, begun, go) = block();
    lab.send(job).await.unwrap();
    begun.await.unwrap();
    for n in 0..4 {
        lab.cast(Tell::Say(n)).unwrap();
    }
    assert!(matches!(lab.cast(Tell::Say(4)), Err(SendError::Full(_))));
    assert_eq!(lab.stats().depth, 4);
    let looked = lab.sys().peek(9);
    assert!(looked.messages.len() >= 3 && looked.messages.len() as u64 + looked.more == 4, "{looked:?}");
    go.send(()).unwrap();
    assert_eq!(lab.call(Ask::Total).await, Ok(0));
    law(&lab).await;
}

/// Row D8, clauses 3.11, 6.10: a handler on a thread of its own calls and sends blockingly: to a server of a runtime, which is
/// entered there, and to one on another thread.
/// Clause 15.8.
#[test]
fn a_handler_on_its_own_thread_makes_blocking_calls_and_sends() {
    single().block_on(async {
        let lab = own(Plan::default()).await;
        let idle = start::<Lab>(Plan::default()).await.unwrap();
        let mailed = Server::<Lab>::settings().caller_runs(CallerRuns::Never).start(Plan::default());
        let mailed = mailed.await.unwrap();
        for (n, other) in [(1, idle), (2, mailed), (3, own(Plan::default()).await)] {
            let asked = other.clone();
            assert_eq!(ran(&lab, move || asked.call_blocking(echo(n))).await, Ok(n));
            assert!(ran(&lab, move || other.send_blocking(Tell::Add(n), LONG).is_ok()).await);
        }
    });
}

/// Row D8: a blocking send waits for room, on a thread that has entered a runtime as well.
#[test]
fn a_blocking_send_from_an_own_thread_waits_for_room() {
    single().block_on(async {
        let lab = own(Plan::default()).await;
        let full = Server::<Lab>::settings().own_thread().capacity(1).start(Plan::default()).await.unwrap();
        let (job, begun, go) = block();
        full.send(job).await.unwrap();
        begun.await.unwrap();
        full.cast(Tell::Add(1)).unwrap();
        let to = full.clone();
        let (job, said) = run(move || {
            (to.send_blocking(Tell::Add(1), Duration::ZERO), to.send_blocking(Tell::Add(2), LONG))
        });
        lab.send(job).await.unwrap();
        // The go may come before or after the other sender has lined up.
        go.send(()).unwrap();
        let (at_once, later) = said.await.unwrap();
        assert!(later.is_ok(), "{later:?}");
        let expected = 3 + u64::from(at_once.is_ok());
        assert_eq!(full.call(Ask::Total).await, Ok(expected));
    });
}

/// Clauses 8.1 to 8.3: a handler that blocks waits in the same graph as one that awaits.
/// Clause 8.3.
#[test]
fn a_blocking_call_or_send_to_oneself_is_a_cycle() {
    single().block_on(async {
        let lab = Server::<Lab>::settings()
            .name("me")
            .own_thread()
            .capacity(1)
            .start(Plan::default())
            .await
            .unwrap();
        let me = lab.clone();
        match ran(&lab, move || me.call_blocking(Ask::Total)).await {
            Err(CallError::Cycle { path }) => assert_eq!(path.servers(), ["me"]),
            other => panic!("{other:?}"),
        }
        let me = lab.clone();
        let sent = ran(&lab, move || {
            // The first one finds room.
            (me.send_blocking(Tell::Add(1), LONG).is_ok(), me.send_blocking(Tell::Add(2), LONG))
        });
        match sent.await {
            (true, Err(SendError::Cycle { message: Tell::Add(2), .. })) => {}
            other => panic!("{:?}", (other.0, other.1.map_err(|e| e.to_string()))),
        }
        assert_eq!(lab.call(Ask::Total).await, Ok(1));
        law(&lab).await;
    });
}

/// Clause 8.2: the last wait of a ring of two is refused, whether it blocks or awaits.
#[test]
fn a_ring_of_blocking_calls_is_refused_to_the_one_that_closes_it() {
    single().block_on(async {
        let (a, b) = (own(Plan::default()).await, own(Plan::default()).await);
        let (back, to) = (a.clone(), b.clone());
        let answer = ran(&a, move || {
            to.call_blocking(ask(move |_, _, reply| {
                Box::pin(async move {
                    let blocking = matches!(back.call_blocking(Ask::Total), Err(CallError::Cycle { .. }));
                    let awaiting = matches!(back.call(Ask::Total).await, Err(CallError::Cycle { .. }));
                    reply.send(u64::from(blocking) * 10 + u64::from(awaiting));
                    Ok(Next::go())
                })
            }))
        });
        assert_eq!(answer.await, Ok(11));
    });
}

/// Clause 6.10: an async server whose handler runs on the stack of a caller that may block is not allowed what that one is.
/// Clause 15.8.
#[test]
fn a_guest_on_an_own_thread_may_not_block() {
    single().block_on(async {
        let (lab, busy) = (own(Plan::default()).await, own(Plan::default()).await);
        let guest = start::<Lab>(Plan::default()).await.unwrap();
        let (job, begun, go) = block();
        busy.send(job).await.unwrap();
        begun.await.unwrap();
        let host = Arc::new(Mutex::new(None));
        let noted = Arc::clone(&host);
        let answer = ran(&lab, move || {
            let answer = guest.call_blocking(ask(move |_, _, reply| {
                *noted.lock().unwrap() = Some(thread::current().id());
                let refused = busy.call_blocking(Ask::Total) == Err(CallError::WouldBlock);
                reply.send(u64::from(refused));
                Box::pin(async { Ok(Next::go()) })
            }));
            (answer, thread::current().id())
        });
        let (answer, on) = answer.await;
        assert_eq!(answer, Ok(1));
        assert_eq!(*host.lock().unwrap(), Some(on), "the handler ran on its caller's stack");
        go.send(()).unwrap();
    });
}

/// Clauses 5.1, 5.2, 13.2: a crash is one as elsewhere; the next incarnation has the same thread, and what was queued.
/// Clause 15.7.
#[test]
fn after_a_crash_the_next_incarnation_has_the_same_thread() {
    single().block_on(async {
        let server = Server::<Lab>::settings().own_thread().build().unwrap();
        let plan = Plan::default();
        let log = plan.log.clone();
        let lab = server.start(plan.clone()).await.unwrap();
        let first = thread_of(&lab).await;
        let (job, begun, go) = block();
        lab.send(job).await.unwrap();
        begun.await.unwrap();
        lab.cast(Tell::Boom).unwrap();
        lab.cast(Tell::Say(7)).unwrap();
        go.send(()).unwrap();
        assert!(is_panic(&lab.join().await.reason, "boom"));
        server.start(plan.clone()).await.unwrap();
        assert_eq!(thread_of(&lab).await, first);
        assert_eq!(log.take(), ["terminate: panic: boom", "7"]);
        assert!(lab.kill());
        assert_eq!(lab.join().await.reason, ExitReason::Killed);
        // Also for a starter that has but the reference.
        start_again(&lab, plan).await.unwrap();
        assert_eq!(thread_of(&lab).await, first);
        law(&lab).await;
    });
}

/// Clause 14.2: a kill takes effect at the next await, which a handler that blocks comes to when it returns.
#[test]
fn a_kill_waits_for_a_handler_that_blocks() {
    single().block_on(async {
        let lab = own(Plan::default()).await;
        let (job, begun, go) = block();
        lab.send(job).await.unwrap();
        begun.await.unwrap();
        lab.cast(Tell::Boom).unwrap();
        assert!(lab.kill());
        let stopped = lab.stop(ExitReason::Shutdown, Duration::ZERO).await;
        assert_eq!(stopped, Err(StopError::Timeout));
        assert!(lab.is_alive());
        go.send(()).unwrap();
        assert_eq!(lab.join().await.reason, ExitReason::Killed);
    });
}

/// A handler that awaits on its own thread is killed there, and has timers and tasks of its runtime.
#[test]
fn a_handler_on_its_own_thread_awaits_sleeps_and_spawns() {
    single().block_on(async {
        let lab = own(Plan::default()).await;
        let slept = lab.call(ask(|_, _, reply| {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let n = tokio::spawn(async { 5 }).await.unwrap();
                reply.send(n);
                Ok(Next::go())
            })
        }));
        assert_eq!(slept.await, Ok(5));
        let mut never = Box::pin(lab.call(Ask::Never).into_future());
        assert!(futures::poll!(&mut never).is_pending());
        lab.kill();
        assert_eq!(never.await, Err(CallError::Exited(ExitReason::Killed)));
    });
}

/// Row D8, clause 1.3: the thread ends when its mailbox is closed and has no reader, even while references are still held.
/// Clause 15.9.
#[test]
fn the_thread_ends_with_its_mailbox_and_not_before() {
    single().block_on(async {
        let server = Server::<Lab>::settings().own_thread().build().unwrap();
        let lab = server.start(Plan::default()).await.unwrap();
        let ended = ran(&lab, hears_the_end).await;
        lab.stop(ExitReason::Normal, LONG).await.unwrap();
        server.start(Plan::default()).await.unwrap();
        lab.kill();
        lab.join().await;
        assert_eq!(ended.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty));
        lab.close(ExitReason::Normal);
        assert!(has_ended(&ended));
        // One that closes with its server.
        let lab = own(Plan::default()).await;
        let ended = ran(&lab, hears_the_end).await;
        lab.cast(Tell::Boom).unwrap();
        assert!(has_ended(&ended));
    });
}

/// Clause 15.3: when the runtime shuts down the server ends as others do, on its own thread; the mailbox can be served again.
/// Clause 15.10.
#[test]
fn a_runtime_that_ends_takes_its_servers_on_other_threads_along() {
    let (first, second) = (single(), single());
    let server = Server::<Lab>::settings().own_thread().build().unwrap();
    let places = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&places);
    let ended = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&ended);
    let plan = Plan::default()
        .init(move |plan, _| {
            let mut lab = Lab::new(plan);
            lab.things.push(Box::new(DropsOn(Arc::clone(&noted))));
            Box::pin(async { Ok(Init::ok(lab)) })
        })
        .end(move |_, _, _| {
            *counted.lock().unwrap() += 1;
            Box::pin(async { Ok(()) })
        });
    let lab = first.block_on(server.start(plan.clone())).unwrap();
    let home = second.block_on(thread_of(&lab));
    drop(first);
    let exit = second.block_on(lab.join());
    assert_eq!(exit.reason, ExitReason::Killed);
    assert_eq!(*places.lock().unwrap(), [home]);
    assert_eq!(*ended.lock().unwrap(), 0, "terminate does not run");
    second.block_on(server.start(plan)).unwrap();
    assert_eq!(second.block_on(thread_of(&lab)), home);
    assert_eq!(second.block_on(lab.call(echo(1))), Ok(1));
}

/// Clause 15.3: a handler that blocks while its runtime shuts down is not waited for; its server ends when it has returned.
#[test]
fn a_runtime_ends_though_a_handler_on_another_thread_blocks() {
    let (first, second) = (single(), single());
    let server = Server::<Lab>::settings().own_thread().build().unwrap();
    let lab = first.block_on(server.start(Plan::default())).unwrap();
    let (job, begun, go) = block();
    second.block_on(async {
        lab.send(job).await.unwrap();
        begun.await.unwrap();
    });
    drop(first);
    assert!(lab.is_alive());
    go.send(()).unwrap();
    let exit = second.block_on(lab.join());
    assert_eq!(exit.reason, ExitReason::Killed);
    second.block_on(async {
        server.start(Plan::default()).await.unwrap();
        assert_eq!(lab.call(echo(1)).await, Ok(1));
        law(&lab).await;
    });
}

/// Clause 15.2: servers of two runtimes on one pool, called from either.
#[test]
fn servers_of_two_runtimes_share_a_pool() {
    let runtimes = [Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(), single()];
    let pool = ThreadPool::new(1);
    let settings = || Server::<Lab>::settings().thread_pool(&pool);
    let labs = [0, 1].map(|n| runtimes[n].block_on(settings().start(Plan::default())).unwrap());
    for (n, runtime) in runtimes.iter().enumerate() {
        for lab in &labs {
            let id = lab.call(ask(|_, _, reply| {
                Box::pin(async move {
                    // Which runtime its tasks are spawned on.
                    let id = tokio::runtime::Handle::current().id();
                    tokio::spawn(async move {
                        reply.send(u64::from(tokio::runtime::Handle::current().id() == id))
                    });
                    Ok(Next::go())
                })
            }));
            // The other runtime only goes on while it is driven, if it is of one thread.
            if n == 1 || !std::ptr::eq(lab, &raw const labs[1]) {
                assert_eq!(runtime.block_on(id), Ok(1));
            }
        }
    }
    assert_eq!((pool.threads(), pool.servers()), (1, 2));
}

/// A start says what the system says when it makes no thread; nothing is left of it.
/// Clauses 11.1, 15.7.
#[tokio::test]
async fn a_thread_that_cannot_be_made_is_a_start_error() {
    let pool = ThreadPool::builder(2).stack_size(1 << 47).build();
    let alive = Alive::default();
    let counted = alive.clone();
    let plan = Plan::default().init(move |plan, _| {
        let mut lab = Lab::new(plan);
        lab.things.push(Box::new(counted.one()));
        Box::pin(async { Ok(Init::ok(lab)) })
    });
    let server = Server::<Lab>::settings().thread_pool(&pool).build().unwrap();
    for _ in 0..2 {
        let error = server.start(plan.clone()).await.map(drop).unwrap_err();
        assert!(matches!(error, StartError::Thread(ThreadError::Spawn { .. })), "{error:?}");
    }
    assert_eq!((server.address().incarnation(), alive.count(), pool.threads()), (0, 0, 0));
    assert!(!server.address().is_closed());
}

/// Row D8: two servers that always have work do not keep a third from its turns, on two threads; nor does one on a single one.
/// Clause 15.12.
#[test]
fn servers_with_endless_work_leave_turns_to_others_of_their_pool() {
    fn again(lab: ServerRef<Lab>) -> Tell {
        tell(move |_, _| {
            let _ = lab.cast(again(lab.clone()));
            Box::pin(async { Ok(Next::go()) })
        })
    }
    for threads in [1, 2] {
        single().block_on(async {
            let pool = ThreadPool::new(threads);
            let on = || Server::<Lab>::settings().thread_pool(&pool).start(Plan::default());
            let mut busy = Vec::new();
            for _ in 0..threads {
                let lab = on().await.unwrap();
                lab.cast(again(lab.clone())).unwrap();
                busy.push(lab);
            }
            let quiet = on().await.unwrap();
            for n in 0..100 {
                assert_eq!(quiet.call(echo(n)).await, Ok(n));
            }
            for lab in busy {
                assert!(lab.is_alive());
                lab.stop(ExitReason::Shutdown, LONG).await.unwrap();
            }
        });
    }
}

/// Row D8: a pool has as many threads as it says, which its servers use at the same time.
#[test]
fn as_many_handlers_block_at_once_as_a_pool_has_threads() {
    single().block_on(async {
        let pool = ThreadPool::builder(3).name("files").build();
        assert_eq!(pool.threads(), 0);
        let mut all = Vec::new();
        let mut waiting = Vec::new();
        for _ in 0..3 {
            let lab = Server::<Lab>::settings().thread_pool(&pool).start(Plan::default()).await.unwrap();
            let (job, begun, go) = block();
            lab.send(job).await.unwrap();
            all.push((lab, go));
            waiting.push(begun);
        }
        for begun in waiting {
            begun.await.unwrap();
        }
        assert_eq!((pool.threads(), pool.servers(), pool.name()), (3, 3, "files"));
        for (lab, go) in all {
            go.send(()).unwrap();
            let name = ran(&lab, || thread::current().name().map(str::to_owned)).await;
            assert_eq!(name.as_deref(), Some("files"));
        }
    });
}

/// The threads of a pool end when its last handle and the last of its mailboxes have gone.
/// Clause 15.9.
#[test]
fn a_pool_ends_with_its_last_handle_and_its_last_server() {
    single().block_on(async {
        let pool = ThreadPool::new(2);
        let lab = Server::<Lab>::settings().thread_pool(&pool).start(Plan::default()).await.unwrap();
        let ended = ran(&lab, hears_the_end).await;
        drop(pool.clone());
        drop(pool);
        assert_eq!(lab.call(echo(1)).await, Ok(1));
        assert_eq!(ended.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty));
        lab.stop(ExitReason::Normal, LONG).await.unwrap();
        assert!(has_ended(&ended));
    });
}

/// `shutdown` ends servers in order, with `terminate`, and their threads; their mailboxes can be served elsewhere.
#[test]
fn shutting_a_pool_down_stops_its_servers_and_ends_its_threads() {
    single().block_on(async {
        let plan = Plan::default();
        let log = plan.log.clone();
        let pool = ThreadPool::new(2);
        let server = Server::<Lab>::settings().thread_pool(&pool).build().unwrap();
        let lab = server.start(plan.clone()).await.unwrap();
        let other = Server::<Lab>::settings().thread_pool(&pool).start(plan.clone()).await.unwrap();
        let ended = ran(&lab, hears_the_end).await;
        let report = pool.shutdown(LONG).await;
        assert!(
            matches!(report, PoolReport { ended: 2, threads_left: 0, ref left, .. } if left.is_empty()),
            "{report:?}"
        );
        assert!(has_ended(&ended));
        assert_eq!(log.take(), ["terminate: shutdown", "terminate: shutdown"]);
        assert!(other.is_closed() && !lab.is_closed() && !lab.is_alive());
        let refused = server.start(plan.clone()).await.map(drop);
        assert_eq!(refused, Err(StartError::Thread(ThreadError::ShutDown)));
    });
}

/// A handler that never returns is named, and the shutdown does not wait for it; when it does return, its server and its
/// thread end.
/// Clause 15.11.
#[test]
fn shutting_a_pool_down_names_a_server_that_does_not_end() {
    single().block_on(async {
        let pool = ThreadPool::new(2);
        let stuck =
            Server::<Lab>::settings().thread_pool(&pool).name("stuck").start(Plan::default()).await.unwrap();
        let _other = Server::<Lab>::settings().thread_pool(&pool).start(Plan::default()).await.unwrap();
        let ended = ran(&stuck, hears_the_end).await;
        let (job, begun, go) = block();
        stuck.send(job).await.unwrap();
        begun.await.unwrap();
        let report = pool.shutdown(Duration::from_millis(20)).await;
        assert_eq!((report.left, report.ended), (vec!["stuck".to_owned()], 1));
        assert!(report.threads_left >= 1);
        drop(pool);
        assert!(stuck.is_alive());
        go.send(()).unwrap();
        assert_eq!(stuck.join().await.reason, ExitReason::Killed);
        assert!(has_ended(&ended));
    });
}

/// Clause 14.3: a closed mailbox is drained on the thread; 15.5: the last reference may go anywhere.
#[test]
fn a_closed_mailbox_is_drained_by_its_thread() {
    single().block_on(async {
        let plan = Plan::default();
        let log = plan.log.clone();
        let lab = own(plan).await;
        let ended = ran(&lab, hears_the_end).await;
        let (job, begun, go) = block();
        lab.send(job).await.unwrap();
        begun.await.unwrap();
        for n in 0..5 {
            lab.cast(Tell::Say(n)).unwrap();
        }
        drop(lab);
        go.send(()).unwrap();
        assert!(has_ended(&ended));
        assert_eq!(log.take(), ["0", "1", "2", "3", "4", "terminate: normal"]);
    });
}

/// Clause 11.1: a slow `init` blocks its thread and not the runtime; the limit holds.
#[test]
fn an_init_that_blocks_holds_up_nobody_else() {
    single().block_on(async {
        let (go, goes) = channel::<()>();
        let goes = Mutex::new(goes);
        let plan = Plan::default().init(move |plan, _| {
            let _ = goes.lock().unwrap().recv();
            let lab = Lab::new(plan);
            Box::pin(async { Ok(Init::ok(lab)) })
        });
        let settings = Server::<Lab>::settings().own_thread().start_timeout(LONG);
        let mut starts = Box::pin(settings.start(plan));
        assert!(futures::poll!(&mut starts).is_pending());
        tokio::time::sleep(Duration::from_millis(1)).await;
        go.send(()).unwrap();
        assert_eq!(starts.await.unwrap().call(echo(3)).await, Ok(3));
    });
}

/// Clauses 9.6, 15.7: under a paused clock a server on a thread of its own starts, is called, waits, blocks and is stopped as
/// elsewhere: time stands still while its handlers run, and moves on while they wait.
#[tokio::test(start_paused = true)]
async fn a_paused_clock_waits_for_threads() {
    let pool = ThreadPool::new(1);
    for threads in [Server::<Lab>::settings().own_thread(), Server::settings().thread_pool(&pool)] {
        let began = tokio::time::Instant::now();
        let lab = threads.start(Plan::default()).await.unwrap();
        assert_eq!(lab.call(echo(1)).await, Ok(1));
        // A handler that blocks, for a while that tokio knows nothing of.
        let blocks = ask(|_, _, reply| {
            Box::pin(async move {
                thread::sleep(Duration::from_millis(20));
                reply.send(2);
                Ok(Next::go())
            })
        });
        assert_eq!(lab.call(blocks).timeout(Duration::from_millis(10)).await, Ok(2));
        assert_eq!(began.elapsed(), Duration::ZERO);
        // One that waits by the clock, ...
        let waits = ask(|_, _, reply| {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(100)).await;
                reply.send(3);
                Ok(Next::go())
            })
        });
        assert_eq!(lab.call(waits).timeout(Duration::from_secs(101)).await, Ok(3));
        // ... or for a server that does.
        let other = start::<Lab>(Plan::default()).await.unwrap();
        let asks = ask(move |_, _, reply| {
            Box::pin(async move {
                let waits = ask(|_, _, reply| {
                    Box::pin(async move {
                        tokio::time::sleep(Duration::from_secs(3)).await;
                        reply.send(4);
                        Ok(Next::go())
                    })
                });
                reply.send(other.call_blocking(waits).unwrap());
                Ok(Next::go())
            })
        });
        assert_eq!(lab.call(asks).timeout(Duration::from_secs(9)).await, Ok(4));
        assert_eq!(lab.stop(ExitReason::Shutdown, Duration::from_secs(1)).await, Ok(()));
    }
    let report = pool.shutdown(Duration::from_secs(1)).await;
    assert_eq!((report.left.len(), report.threads_left), (0, 0));
}
