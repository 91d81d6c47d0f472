//! What the drivers ask of a supervisor: to restart a server that crashes, to start and stop children while it runs.

use std::{
    convert::Infallible,
    panic::{PanicHookInfo, panic_any},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A server under a supervisor, which crashes when it is told to and tells which incarnation it is.
pub(crate) trait Supervised: Send + 'static {
    /// Casts the order to crash. Does not wait until it is carried out.
    fn crash(&mut self) -> impl Future<Output = ()> + Send;

    /// Calls what the order leaves behind, the next incarnation; the reply is its number.
    ///
    /// Where queue and address survive, that is a call and no more. Where they do not, this waits first for what a
    /// user of the system would have to wait for.
    fn number(&mut self) -> impl Future<Output = u64> + Send;
}

/// How a supervised server is to be made. Every incarnation has one.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) crash: Crash,
    /// How many restarts the intensity window must have room to remember; `None`: it limits nothing.
    pub(crate) remembers: Option<u64>,
    begun: Arc<AtomicU64>,
}

impl Case {
    pub(crate) fn new(crash: Crash, remembers: Option<u64>) -> Self {
        Self { crash, remembers, begun: Arc::default() }
    }

    /// The number of an incarnation that begins: the first is 0.
    pub(crate) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::Relaxed)
    }
}

/// How a server ends when it is told to crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    Panic,
    /// Its handler returns an error, or has it stop where handlers return none.
    Error,
}

/// What a server dies of: the payload of the panic, and the text of the error.
const ASKED_FOR: &str = "the crash that was asked for";

/// The error of a crash without a panic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crashed;

impl std::fmt::Display for Crashed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(ASKED_FOR)
    }
}

impl std::error::Error for Crashed {}

impl Crash {
    /// Carries out the order, inside the handler.
    pub(crate) fn happen(self) -> Result<Infallible, Crashed> {
        match self {
            // With the payload of `panic!("a literal")`, which is what users throw.
            Self::Panic => panic_any(ASKED_FOR),
            Self::Error => Err(Crashed),
        }
    }
}

/// Whether a panic is one that a workload has ordered. Hooks say nothing of those: all systems pay for the same hook.
pub(crate) fn is_asked_for(panic: &PanicHookInfo<'_>) -> bool {
    panic.payload().downcast_ref::<&str>() == Some(&ASKED_FOR)
}

/// A supervisor whose children come and go while it runs.
pub(crate) trait Dynamic: Send + 'static {
    type Child: Send;

    /// Starts an idle child; returns when it can be sent to.
    fn start(&mut self) -> impl Future<Output = Self::Child> + Send;

    /// Stops a child; returns when it has ended.
    fn stop(&mut self, child: Self::Child) -> impl Future<Output = ()> + Send;
}

/// The dynamic supervisor of a system that has none.
pub(crate) enum Lacking {}

impl Dynamic for Lacking {
    type Child = Infallible;

    async fn start(&mut self) -> Infallible {
        match *self {}
    }

    async fn stop(&mut self, child: Infallible) {
        match child {}
    }
}
