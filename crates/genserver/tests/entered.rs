//! Code that enters another runtime than its task's own: what is started and run there.

use crate::support::{Lab, Plan, ask, tell};
use restante_genserver::{Next, ServerRef, start};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::mpsc::channel;
use std::task::{Context as Cx, Poll, Waker};
use tokio::runtime::{Builder, Handle, Id, Runtime};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Polls what lies in it with another runtime entered, as wrappers for foreign runtimes do.
struct Inside<F>(Handle, Pin<Box<F>>);

impl<F: Future> Future for Inside<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<F::Output> {
        let handle = self.0.clone();
        let _inside = handle.enter();
        self.1.as_mut().poll(cx)
    }
}

/// Which runtime a handler finds itself in.
async fn finds(server: &ServerRef<Lab>) -> u64 {
    server
        .call(ask(|_, _, reply| {
            reply.send(number(Handle::current().id()));
            Box::pin(async { Ok(Next::go()) })
        }))
        .await
        .unwrap()
}

fn number(id: Id) -> u64 {
    id.to_string().parse().unwrap()
}

/// In which runtime a server's own task runs.
async fn lives(server: &ServerRef<Lab>) -> u64 {
    let (tell_it, told) = tokio::sync::oneshot::channel();
    server
        .cast(tell(move |_, _| {
            tell_it.send(number(Handle::current().id())).unwrap();
            Box::pin(async { Ok(Next::go()) })
        }))
        .unwrap();
    told.await.unwrap()
}

type Way = fn(&Handle, Job) -> u64;
type Job = Pin<Box<dyn Future<Output = u64> + Send>>;

/// The ways into another runtime within one poll of a task.
const WAYS: [(&str, Way); 3] = [
    ("block_on", |other, job| tokio::task::block_in_place(|| other.block_on(job))),
    ("enter", |other, job| {
        tokio::task::block_in_place(|| {
            let _inside = other.enter();
            futures::executor::block_on(job)
        })
    }),
    ("enter, with the task's own waker", |other, mut job| {
        let _inside = other.enter();
        match job.as_mut().poll(&mut Cx::from_waker(Waker::noop())) {
            Poll::Ready(found) => found,
            Poll::Pending => panic!("all is idle"),
        }
    }),
];

/// Row H6, clauses 15.1, 7.1: a task that has used the library in its own runtime, and goes on in another: what it starts
/// there lives there, and whose handlers it runs are of there.
#[test]
fn the_entered_runtime_counts_whatever_the_task_did_before() {
    for (way, enter) in WAYS {
        let (a, b) = (runtime(), runtime());
        let (at_a, at_b) = (number(a.handle().id()), number(b.handle().id()));
        let other = b.handle().clone();
        a.block_on(async move {
            tokio::spawn(async move {
                let mine = start::<Lab>(Plan::default()).await.unwrap();
                assert_eq!(finds(&mine).await, at_a);
                let (made, makes) = channel();
                enter(
                    &other,
                    Box::pin(async move {
                        made.send(start::<Lab>(Plan::default()).await.unwrap()).unwrap();
                        0
                    }),
                );
                let theirs = makes.recv().unwrap();
                assert_eq!(lives(&theirs).await, at_b, "{way}: started there");
                assert_eq!(lives(&mine).await, at_a);
                assert_eq!(finds(&theirs).await, at_b, "{way}: called from here");
            })
            .await
            .unwrap();
        });
    }
}

/// Row H6, clause 7.1: the same of a call whose future is polled inside another runtime, with the waker of its task.
#[test]
fn a_caller_inside_another_runtime_does_not_run_the_handler() {
    let (a, b) = (runtime(), runtime());
    let (at_a, other) = (number(a.handle().id()), b.handle().clone());
    a.block_on(async move {
        tokio::spawn(async move {
            let server = start::<Lab>(Plan::default()).await.unwrap();
            for _ in 0..3 {
                assert_eq!(finds(&server).await, at_a);
                assert_eq!(Inside(other.clone(), Box::pin(finds(&server))).await, at_a);
            }
        })
        .await
        .unwrap();
    });
}

/// Row H6, clause 7.1: even where it calls from the very same place in the code as before, and the library was never used in the
/// other runtime.
#[test]
fn a_caller_that_enters_another_runtime_now_and_then_is_found_out_at_once() {
    let (a, b) = (runtime(), runtime());
    let (at_a, other) = (number(a.handle().id()), b.handle().clone());
    a.block_on(async move {
        tokio::spawn(async move {
            let server = start::<Lab>(Plan::default()).await.unwrap();
            for inside in [false, false, true, false, true, true] {
                let mut call = pin!(finds(&server));
                let found = poll_fn(|cx| {
                    let _inside = inside.then(|| other.enter());
                    call.as_mut().poll(cx)
                });
                assert_eq!(found.await, at_a);
            }
        })
        .await
        .unwrap();
    });
}

/// Row H6, clause 15.1: a start asks each time, also of a runtime in which the library was never used.
#[test]
fn a_start_inside_an_unknown_runtime_is_made_there() {
    let (a, b) = (runtime(), runtime());
    let (at_a, at_b, other) = (number(a.handle().id()), number(b.handle().id()), b.handle().clone());
    a.block_on(async move {
        tokio::spawn(async move {
            for (inside, at) in [(false, at_a), (false, at_a), (true, at_b), (false, at_a), (true, at_b)] {
                let mut starts = pin!(start::<Lab>(Plan::default()));
                let server = poll_fn(|cx| {
                    let _inside = inside.then(|| other.enter());
                    starts.as_mut().poll(cx)
                });
                let server = server.await.unwrap();
                assert_eq!(lives(&server).await, at);
            }
        })
        .await
        .unwrap();
    });
}
