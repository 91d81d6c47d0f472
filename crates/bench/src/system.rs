//! What the drivers ask of an actor system, and what a server does there.
//!
//! The drivers are written once, against [`System`]; each system says how it starts a server, casts and calls
//! in the way that its own documentation calls the fastest. What a server does is written once too, as a
//! [`Behaviour`], and every system wraps it in its own kind of actor.

use std::{future::ready, sync::Arc};

use tokio::runtime::Builder;

use crate::{
    directory::Directory,
    latch::Latch,
    measured::Measured,
    supervised::{Case, Dynamic, Supervised},
    workload::{CAPACITY, Registry, Workload},
};

/// An actor system under measurement.
pub(crate) trait System: Sized + Send + Sync + 'static {
    /// Whether [`System::cast`] waits for room. A driver that floods a system that does not yields now and then.
    const BOUNDED: bool = true;

    /// Whether a mailbox hands out messages of one sender in the order in which they came.
    const ORDERED: bool = true;

    /// An address of a server. The driver keeps one until the server may go.
    type Ref<B: Behaviour<Self>>: Clone + Send + Sync + Unpin + 'static;

    /// A server that is restarted.
    type Supervised: Supervised;

    /// A supervisor of children that come and go; [`Lacking`](crate::supervised::Lacking) where there is none.
    type Dynamic: Dynamic;

    /// A local registry; [`Lacking`](crate::supervised::Lacking) where there is none.
    type Directory: Directory<Self>;

    /// Runs the driver as a task inside a runtime of `threads` workers.
    fn run<D>(threads: usize, driver: D) -> D::Output
    where
        D: Future + Send + 'static,
        D::Output: Send + 'static,
    {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .expect("a tokio runtime starts");
        let output = runtime.block_on(async { tokio::spawn(driver).await.expect("the driver ends well") });
        // What still runs ends with the process; taking a million servers apart would only cost time.
        runtime.shutdown_background();
        output
    }

    /// Starts one more driver task at once; the future is its end.
    fn task<D>(driver: D) -> impl Future<Output = D::Output> + Send
    where
        D: Future + Send + 'static,
        D::Output: Send + 'static,
    {
        let task = tokio::spawn(driver);
        async move { task.await.expect("the driver task ends well") }
    }

    /// Starts a server. Does not wait for [`Behaviour::started`], which may wait for the driver.
    fn start<B: Behaviour<Self>>(start: Start, behaviour: B) -> impl Future<Output = Self::Ref<B>> + Send;

    /// Has a server stop; does not wait until it has.
    fn stop<B: Behaviour<Self>>(server: Self::Ref<B>) -> impl Future<Output = ()> + Send;

    /// Casts where there is known to be room: from a handler, or to an unbounded mailbox.
    fn cast_now<B: Behaviour<Self>>(server: &Self::Ref<B>, a: u64, b: u64);

    /// Casts to a bounded mailbox, and waits for room.
    fn cast<B: Behaviour<Self>>(server: &Self::Ref<B>, a: u64, b: u64) -> impl Future<Output = ()> + Send;

    /// Calls, and waits for the reply.
    fn call<B: Behaviour<Self>>(server: &Self::Ref<B>, x: u64) -> impl Future<Output = u64> + Send;

    /// Calls from a thread that belongs to no runtime.
    fn call_blocking<B: Behaviour<Self>>(server: &Self::Ref<B>, x: u64) -> u64;

    /// Starts a target and `watchers` servers that monitor it, each of which arrives at the latch when it
    /// learns that the target has ended. `None`: the system has no monitors.
    fn watched(watchers: u64, latch: Arc<Latch>) -> impl Future<Output = Option<Target>> + Send {
        let _ = (watchers, latch);
        ready(None)
    }

    /// Measures one of the `selective-*` workloads, all of it, behind `queued` messages that do not match.
    /// `None`: the system has no selective receive.
    fn selective(workload: Workload, queued: u64) -> impl Future<Output = Option<Measured>> + Send {
        let _ = (workload, queued);
        ready(None)
    }

    /// Starts a server that is restarted after every crash, at once. `None`: the system does not outlive such a
    /// crash, or remembers no restarts where the case asks for that.
    fn supervised(case: Case) -> impl Future<Output = Option<Self::Supervised>> + Send;

    /// Starts a supervisor without children. `None`: the system has no supervisors.
    fn dynamic() -> impl Future<Output = Option<Self::Dynamic>> + Send {
        ready(None)
    }

    /// The registry, in which the names that the drivers use are free. `None`: the system gives no names.
    fn directory() -> impl Future<Output = Option<Self::Directory>> + Send {
        ready(None)
    }

    /// Measures one of the `registry-*` workloads, all of it. `None`: the system has nothing to compare.
    fn registry(work: Registry, count: u64) -> impl Future<Output = Option<Measured>> + Send {
        let _ = (work, count);
        ready(None)
    }
}

/// Ends the target of [`System::watched`].
pub(crate) type Target = Box<dyn FnOnce() + Send>;

/// How a server is started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// The mailbox's capacity; `None` for an unbounded one. ractor knows no other.
    pub(crate) capacity: Option<usize>,
    /// Whether a caller may run the handler of an idle server itself, where the system knows how.
    pub(crate) caller_runs: bool,
}

impl Start {
    pub(crate) const BOUNDED: Self = Self { capacity: Some(CAPACITY), caller_runs: true };
    pub(crate) const THROUGH_MAILBOX: Self = Self { caller_runs: false, ..Self::BOUNDED };
    pub(crate) const UNBOUNDED: Self = Self { capacity: None, caller_runs: true };
}

/// What a server does, on any system.
pub(crate) trait Behaviour<S: System>: Sized + Send + Unpin + 'static {
    /// Whether [`Behaviour::started`] is to be run at all: a server without it starts as lightly as it can.
    const STARTS: bool = false;

    /// Runs in the server, before its first message. May start servers and may wait.
    fn started(&mut self, me: &S::Ref<Self>) -> impl Future<Output = Then> + Send {
        let _ = me;
        ready(Then::Continue)
    }

    /// Handles a cast.
    fn on_cast(&mut self, a: u64, b: u64) -> Then;

    /// Handles a call; the result is the reply.
    fn on_call(&mut self, x: u64) -> u64 {
        x
    }
}

/// What a server does after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Then {
    Continue,
    Stop,
}
