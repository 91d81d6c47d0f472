//! The work whose instructions are counted. One thread, so that two runs take the same way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use restante_core::{Address, Mailbox, Receiver};
use restante_genserver::{
    CallerRuns, Context, ExitReason, GenServer, Init, Next, Reply, Server, ServerRef, Step, start,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::yield_now;

/// Casts that are sent before the server comes to run.
const BATCH: u64 = 1024;
/// Of this many turns of a server one is timed, the first of them. Under valgrind every handler is found slow, and then
/// callers no longer run it: between two samples they do.
const SAMPLED: u64 = 64;

/// Made ready once, then run: what is counted is the run.
pub(crate) trait Workload {
    fn ready() -> Self;
    fn run(&self, ops: u64);
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime can be built")
}

/// Runs `work` as a task: what the main future of a runtime does costs more, since it has no task that is remembered.
fn on_task(runtime: &Runtime, work: impl Future<Output = ()> + Send + 'static) {
    runtime.block_on(runtime.spawn(work)).expect("the task ends well");
}

/// A message into a core mailbox and out again, no server.
pub(crate) struct SendReceive {
    address: Address<(u64, u64)>,
    receiver: std::cell::RefCell<Receiver<(u64, u64)>>,
    _mailbox: Mailbox<(u64, u64)>,
}

impl Workload for SendReceive {
    fn ready() -> Self {
        let mailbox = Mailbox::new();
        let address = mailbox.address();
        let receiver = mailbox.receiver().expect("nobody else reads").into();
        let ready = Self { address, receiver, _mailbox: mailbox };
        ready.run(1);
        ready
    }

    fn run(&self, ops: u64) {
        let mut receiver = self.receiver.borrow_mut();
        for x in 0..ops {
            self.address.try_send((x, x)).expect("there is room");
            assert_eq!(receiver.try_receive(), Ok((x, x)));
        }
    }
}

/// A call for a count.
pub(crate) type Asked<'a, S, F> = restante_genserver::Call<'a, S, u64, F>;

/// A server that counts what it is sent, and replies with the count; shows what it has seen.
pub(crate) trait Counts: GenServer<Args = Arc<AtomicU64>> {
    /// Casts both.
    fn add(server: &ServerRef<Self>, a: u64, b: u64);

    /// Calls.
    fn get(server: &ServerRef<Self>, x: u64)
    -> Asked<'_, Self, impl FnOnce(Reply<u64>) -> Self::Call + Send>;
}

/// The one that is written by hand.
pub(crate) struct Counter {
    seen: Arc<AtomicU64>,
    count: u64,
}

impl Counts for Counter {
    #[inline]
    fn add(server: &ServerRef<Self>, a: u64, b: u64) {
        server.cast(Add(a, b)).expect("there is room");
    }

    #[inline]
    fn get(server: &ServerRef<Self>, x: u64) -> Asked<'_, Self, impl FnOnce(Reply<u64>) -> Get + Send> {
        server.call(move |reply| Get(x, reply))
    }
}

pub(crate) struct Add(u64, u64);
pub(crate) struct Get(u64, Reply<u64>);

impl GenServer for Counter {
    type Args = Arc<AtomicU64>;
    type Call = Get;
    type Cast = Add;
    type Info = ();

    async fn init(seen: &Arc<AtomicU64>, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self { seen: Arc::clone(seen), count: 0 }))
    }

    async fn handle_call(&mut self, Get(x, reply): Get, _: &mut Context<Self>) -> Step {
        self.count += x;
        reply.send(self.count);
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, Add(a, b): Add, _: &mut Context<Self>) -> Step {
        self.count += a + b;
        self.seen.store(self.count, Ordering::Relaxed);
        Ok(Next::go())
    }
}

/// A counter on a runtime of its own, which has worked before: its task exists.
struct Worked<S: Counts> {
    runtime: Runtime,
    server: ServerRef<S>,
    seen: Arc<AtomicU64>,
}

impl<S: Counts> Worked<S> {
    fn ready() -> Self {
        let runtime = runtime();
        let seen = Arc::new(AtomicU64::new(0));
        let server = runtime.block_on(async {
            let settings = Server::<S>::settings().capacity(usize::try_from(BATCH).expect("it is small"));
            let server = settings.start(Arc::clone(&seen)).await.expect("the counter starts");
            // Through the mailbox: the sampled turn is this one.
            let first = S::get(&server, 0).caller_runs(CallerRuns::Never).await;
            assert_eq!(first, Ok(0));
            server
        });
        Self { runtime, server, seen }
    }
}

/// Casts to a server that handles them, in batches of 1024.
pub(crate) struct Cast<S: Counts>(Worked<S>);

impl<S: Counts> Workload for Cast<S> {
    fn ready() -> Self {
        let ready = Self(Worked::ready());
        // The buffers are grown to their size.
        ready.run(BATCH);
        ready
    }

    fn run(&self, ops: u64) {
        let Worked { runtime, server, seen } = &self.0;
        assert_eq!(ops % BATCH, 0, "whole batches");
        runtime.block_on(async {
            let mut sum = seen.load(Ordering::Relaxed);
            for _ in 0..ops / BATCH {
                for _ in 0..BATCH {
                    S::add(server, 1, 0);
                }
                sum += BATCH;
                while seen.load(Ordering::Relaxed) != sum {
                    yield_now().await;
                }
            }
        });
    }
}

/// Calls that the caller runs.
pub(crate) struct Call<S: Counts>(Worked<S>);

impl<S: Counts> Workload for Call<S> {
    fn ready() -> Self {
        Self(Worked::ready())
    }

    fn run(&self, ops: u64) {
        let Worked { runtime, server, .. } = &self.0;
        assert!(ops < SAMPLED - 4, "the next sample would be among them");
        let server = server.clone();
        on_task(runtime, async move {
            for x in 0..ops {
                let reply = S::get(&server, 1).now_or_never().expect("the caller runs it");
                assert_eq!(reply, Ok(x + 1));
            }
        });
    }
}

/// Calls through the mailbox.
pub(crate) struct CallMailbox(Worked<Counter>);

impl Workload for CallMailbox {
    fn ready() -> Self {
        Self(Worked::ready())
    }

    fn run(&self, ops: u64) {
        let Worked { runtime, server, .. } = &self.0;
        let server = server.clone();
        on_task(runtime, async move {
            for x in 0..ops {
                let reply = server.call(|reply| Get(1, reply)).caller_runs(CallerRuns::Never).await;
                assert_eq!(reply, Ok(x + 1));
            }
        });
    }
}

/// A token that two servers hand to each other.
pub(crate) struct Hop {
    runtime: Runtime,
    first: ServerRef<Player>,
    done: Arc<Notify>,
}

/// Hands on how many hops are still to go.
pub(crate) struct Player {
    to: Arc<OnceLock<ServerRef<Player>>>,
    done: Arc<Notify>,
}

impl GenServer for Player {
    type Args = (Arc<OnceLock<ServerRef<Self>>>, Arc<Notify>);
    type Call = ();
    type Cast = u64;
    type Info = ();

    async fn init((to, done): &Self::Args, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self { to: Arc::clone(to), done: Arc::clone(done) }))
    }

    async fn handle_call(&mut self, (): (), _: &mut Context<Self>) -> Step {
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, to_go: u64, _: &mut Context<Self>) -> Step {
        match self.to.get() {
            Some(to) if to_go > 0 => to.cast(to_go - 1).expect("there is room"),
            _ => self.done.notify_one(),
        }
        Ok(Next::go())
    }
}

impl Workload for Hop {
    fn ready() -> Self {
        let runtime = runtime();
        let done = Arc::new(Notify::new());
        let (to_first, to_second) = (Arc::default(), Arc::default());
        let first = runtime.block_on(async {
            let first =
                start::<Player>((Arc::clone(&to_second), Arc::clone(&done))).await.expect("a player starts");
            let second =
                start::<Player>((Arc::clone(&to_first), Arc::clone(&done))).await.expect("a player starts");
            assert!(to_first.set(first.clone()).is_ok() && to_second.set(second).is_ok());
            first
        });
        let ready = Self { runtime, first, done };
        // Both have worked before: their tasks exist.
        ready.run(4);
        ready
    }

    fn run(&self, ops: u64) {
        self.runtime.block_on(async {
            self.first.cast(ops).expect("there is room");
            self.done.notified().await;
        });
    }
}

/// Starts servers that stay idle.
pub(crate) struct Start {
    runtime: Runtime,
    seen: Arc<AtomicU64>,
}

impl Workload for Start {
    fn ready() -> Self {
        // No call has waited here: a wait's limit is kept by a thread, and in a process with a second thread each of a start's
        // four allocations takes a lock of glibc's, which would be counted.
        Self { runtime: runtime(), seen: Arc::new(AtomicU64::new(0)) }
    }

    fn run(&self, ops: u64) {
        let seen = Arc::clone(&self.seen);
        on_task(&self.runtime, async move {
            for _ in 0..ops {
                let server = start::<Counter>(Arc::clone(&seen)).await.expect("the counter starts");
                // Its end is not counted, nor is what it holds given back.
                std::mem::forget(server);
            }
        });
    }
}
