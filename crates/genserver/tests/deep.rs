//! Handlers that take much stack, nested by calls that run them on their callers' stacks.

use restante_genserver::{Context, ExitReason, GenServer, Init, Next, Reply, ServerRef, Step, start};
use std::future::Future;
use std::hint::black_box;
use std::sync::{Arc, Mutex};

/// Calls the next one, with so much on its stack.
struct Deep<const BYTES: usize> {
    next: Option<ServerRef<Self>>,
    /// Where on the stack its handler ran.
    at: Arc<Mutex<Vec<usize>>>,
}

impl<const BYTES: usize> GenServer for Deep<BYTES> {
    type Args = (Option<ServerRef<Self>>, Arc<Mutex<Vec<usize>>>);
    type Call = Reply<u32>;
    type Cast = ();
    type Info = ();

    async fn init((next, at): &Self::Args, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self { next: next.clone(), at: at.clone() }))
    }

    async fn handle_call(&mut self, reply: Reply<u32>, _: &mut Context<Self>) -> Step {
        let mut next = self.next.as_ref().map(|next| Box::pin(next.call(|reply| reply)));
        let at = &self.at;
        // Polled from below the big frame, as a call from within a deep library is.
        let below = std::future::poll_fn(|cx| {
            let big = black_box([1_u8; BYTES]);
            at.lock().unwrap().push((&raw const big).addr());
            let polled = match &mut next {
                Some(next) => next.as_mut().poll(cx).map(|answer| answer.unwrap() + 1),
                None => std::task::Poll::Ready(0),
            };
            black_box(&big);
            polled
        })
        .await;
        reply.send(below);
        Ok(Next::go())
    }
}

async fn tower<const BYTES: usize>(storeys: u32) -> (u32, Vec<usize>) {
    let at = Arc::<Mutex<Vec<usize>>>::default();
    let mut next = None;
    for _ in 0..=storeys {
        next = Some(start::<Deep<BYTES>>((next, at.clone())).await.unwrap());
    }
    let answer = next.unwrap().call(|reply| reply).await.unwrap();
    let at = at.lock().unwrap().clone();
    (answer, at)
}

/// Row H6, clause 7.1: handlers with 128 KiB of locals, on a worker of 2 MiB.
#[test]
fn big_handlers_do_not_overflow_their_callers_stack() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_stack_size(2 << 20)
        .build()
        .unwrap();
    let (answer, at) = runtime.block_on(async { tokio::spawn(tower::<{ 128 << 10 }>(40)).await.unwrap() });
    assert_eq!(answer, 40);
    // From the highest to the lowest, over all stacks in use there: far less than the whole.
    let most = at.iter().max().unwrap() - at.iter().min().unwrap();
    assert!(most < 1 << 20, "{most} bytes of a caller's stack");
}

/// Clause 7.1: handlers that take little are nested as deep as before.
#[tokio::test]
async fn small_handlers_are_nested_sixteen_deep() {
    let (answer, at) = tower::<64>(12).await;
    assert_eq!((answer, at.len()), (12, 13), "each was polled once, on its caller's stack");
}

/// Where its handler runs.
struct Where;

impl GenServer for Where {
    type Args = ();
    type Call = Reply<std::thread::ThreadId>;
    type Cast = ();
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, reply: Reply<std::thread::ThreadId>, _: &mut Context<Self>) -> Step {
        reply.send(std::thread::current().id());
        Ok(Next::go())
    }
}

/// Calls from so many bytes below `top` on the stack: whether the handler ran on this thread.
#[inline(never)]
fn runs_here_below(server: &ServerRef<Where>, top: usize, bytes: usize) -> bool {
    let big = black_box([1_u8; 4 << 10]);
    let here = if top - (&raw const big).addr() < bytes {
        runs_here_below(server, top, bytes)
    } else {
        server.call_blocking(|reply| reply).unwrap() == std::thread::current().id()
    };
    black_box(&big);
    here
}

/// Row H6, clause 7.1: a caller who has used most of a small stack by itself, before any code of ours, does not run the handler
/// there; one that has used little does.
#[test]
#[cfg(target_os = "linux")]
fn a_caller_deep_in_a_small_stack_does_not_run_the_handler() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let server = runtime.block_on(start::<Where>(())).unwrap();
    for (stack, used, runs_here) in
        [(1024, 0, true), (1024, 640, false), (8192, 640, true), (8192, 7424, false)]
    {
        let server = server.clone();
        let caller = std::thread::Builder::new().stack_size(stack << 10);
        let caller = caller.spawn(move || {
            let top = 0_u8;
            runs_here_below(&server, (&raw const top).addr(), used << 10)
        });
        let caller = caller.unwrap();
        assert_eq!(caller.join().unwrap(), runs_here, "{used} of {stack} KiB");
    }
}
