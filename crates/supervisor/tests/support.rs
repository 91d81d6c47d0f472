//! A server that does as it is told, and a log of what happened in which order.

use restante_core::ExitReason;
use restante_genserver::{Context, GenServer, Init, Next, Reply, Server, ServerRef, Step};
use restante_supervisor::{Backoff, ChildSpec, ChildState, Intensity, Supervise, Supervisor, SupervisorRef};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happened, in order; and what `init` of whom is to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    lines: Vec<String>,
    /// What the next inits of a server do; then they succeed.
    inits: HashMap<String, VecDeque<OnInit>>,
}

/// What an `init` does.
#[derive(Debug, Clone)]
pub(crate) enum OnInit {
    Fail,
    Panic,
    Ignore,
    /// Takes so long.
    Sleep(Duration),
    /// Never returns.
    Hang,
    Succeed,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().lines.push(line.into());
    }

    /// What has been noted since the last look.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().lines)
    }

    /// The next inits of this server do this, in this order.
    pub(crate) fn on_init(&self, who: &str, what: impl IntoIterator<Item = OnInit>) {
        self.0.lock().unwrap().inits.entry(who.to_owned()).or_default().extend(what);
    }

    fn next_init(&self, who: &str) -> OnInit {
        let mut notes = self.0.lock().unwrap();
        let inits = notes.inits.get_mut(who);
        inits.and_then(VecDeque::pop_front).unwrap_or(OnInit::Succeed)
    }
}

/// See the module.
pub(crate) struct Worker {
    args: Args,
    handled: Vec<u32>,
}

#[derive(Debug, Clone)]
pub(crate) struct Args {
    pub name: &'static str,
    pub log: Log,
    /// How long `terminate` takes.
    pub terminate: Duration,
}

#[derive(Debug)]
pub(crate) enum Tell {
    Note(u32),
    Panic,
    Fail(&'static str),
    Stop(ExitReason),
    /// Handled for so long.
    Sleep(Duration),
    /// Tells that it has begun, then blocks its thread until the other end is dropped.
    Block(tokio::sync::oneshot::Sender<()>, std::sync::mpsc::Receiver<()>),
    /// Asks another one.
    Ask(ServerRef<Worker>),
}

pub(crate) enum Ask {
    /// What this incarnation has noted.
    Get(Reply<Vec<u32>>),
    Panic(Reply<()>),
    Incarnation(Reply<u32>),
}

impl GenServer for Worker {
    type Args = Args;
    type Call = Ask;
    type Cast = Tell;
    type Info = ();

    async fn init(args: &Args, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        match args.log.next_init(args.name) {
            OnInit::Fail => {
                args.log.note(format!("{} fails", args.name));
                return Err(ExitReason::error("init failed"));
            }
            OnInit::Panic => panic!("init panicked"),
            OnInit::Ignore => {
                args.log.note(format!("{} ignores", args.name));
                return Ok(Init::ignore());
            }
            OnInit::Sleep(time) => {
                args.log.note(format!("{} inits", args.name));
                tokio::time::sleep(time).await;
            }
            OnInit::Hang => std::future::pending().await,
            OnInit::Succeed => {}
        }
        args.log.note(format!("+{}", args.name));
        Ok(Init::ok(Self { args: args.clone(), handled: Vec::new() }))
    }

    async fn handle_call(&mut self, ask: Ask, ctx: &mut Context<Self>) -> Step {
        match ask {
            Ask::Get(reply) => drop(reply.send(self.handled.clone())),
            Ask::Panic(_reply) => panic!("told to, in a call"),
            Ask::Incarnation(reply) => drop(reply.send(ctx.incarnation())),
        }
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, tell: Tell, _: &mut Context<Self>) -> Step {
        match tell {
            Tell::Note(n) => self.handled.push(n),
            Tell::Panic => panic!("told to"),
            Tell::Fail(why) => return Err(ExitReason::error(why)),
            Tell::Stop(reason) => return Ok(Next::stop_with(reason)),
            Tell::Sleep(time) => tokio::time::sleep(time).await,
            Tell::Block(begun, gate) => {
                let _ = begun.send(());
                let _ = gate.recv();
            }
            Tell::Ask(other) => {
                let answered = other.call(Ask::Get).await.is_ok();
                let how = if answered { "was answered" } else { "was not answered" };
                self.args.log.note(format!("{} {how}", self.args.name));
            }
        }
        Ok(Next::go())
    }

    async fn terminate(&mut self, _: &ExitReason, _: &mut Context<Self>) -> Result<(), ExitReason> {
        tokio::time::sleep(self.args.terminate).await;
        self.args.log.note(format!("-{}", self.args.name));
        Ok(())
    }
}

/// A worker's mailbox and its specification.
pub(crate) fn worker(name: &'static str, log: &Log) -> (ServerRef<Worker>, ChildSpec) {
    slow_worker(name, log, Duration::ZERO)
}

/// A worker's mailbox and its specification, with a slow `terminate`.
pub(crate) fn slow_worker(
    name: &'static str,
    log: &Log,
    terminate: Duration,
) -> (ServerRef<Worker>, ChildSpec) {
    let server = Server::<Worker>::new(name);
    let address = server.address();
    (address, server.child(Args { name, log: log.clone(), terminate }))
}

/// Restarts without limit and without pause.
pub(crate) fn relentless(supervisor: Supervisor) -> Supervisor {
    supervisor.with_intensity(Intensity::UNLIMITED).backoff(Backoff::NONE)
}

/// What this incarnation of a worker has noted, once it is up.
pub(crate) async fn noted(worker: &ServerRef<Worker>) -> Vec<u32> {
    worker.call(Ask::Get).timeout(AGES).await.expect("it answers")
}

/// No panic of these tests is worth a line.
pub(crate) fn quiet() {
    // For good: what a worker is told to do may come after the test's own end.
    std::mem::forget((
        restante_testkit::quiet_panics("told to"),
        restante_testkit::quiet_panics("init panicked"),
    ));
}

/// Lets everything that is ready run (on a runtime of one thread).
pub(crate) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// Waits for what will come about by itself.
#[track_caller]
pub(crate) fn until(holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    restante_testkit::eventually(AGES, holds)
}

pub(crate) use restante_testkit::settled;

/// Has a worker panic, and returns when all that follows from it without a pause has happened.
pub(crate) async fn crash(worker: &ServerRef<Worker>) {
    worker.cast(Tell::Panic).expect("it takes casts");
    settled().await;
}

/// Has a worker end by itself, for this reason, and returns when what follows from it has happened.
pub(crate) async fn end(worker: &ServerRef<Worker>, reason: ExitReason) {
    worker.cast(Tell::Stop(reason)).expect("it takes casts");
    settled().await;
}

/// Ids and states, the child started last first.
pub(crate) fn states(tree: &SupervisorRef) -> Vec<(String, ChildState)> {
    tree.which_children().iter().map(|child| (child.id.to_string(), child.state)).collect()
}

/// Specifications, active, supervisors, workers: in the order in which OTP's tests write them.
pub(crate) fn counts(tree: &SupervisorRef) -> [usize; 4] {
    let counts = tree.count_children();
    [counts.specs, counts.active, counts.supervisors, counts.workers]
}

/// A second specification with the same id, over a mailbox of its own.
pub(crate) fn again(name: &'static str, log: &Log) -> ChildSpec {
    worker(name, log).1
}

/// More time than any test's tree needs.
pub(crate) const AGES: Duration = Duration::from_secs(3600);

/// Has a worker block its thread: tells when it does; it goes on when what is returned second is dropped.
pub(crate) fn block(
    worker: &ServerRef<Worker>,
) -> (tokio::sync::oneshot::Receiver<()>, std::sync::mpsc::Sender<()>) {
    let (begun, blocks) = tokio::sync::oneshot::channel();
    let (gate, closed) = std::sync::mpsc::channel();
    worker.cast(Tell::Block(begun, closed)).expect("it takes casts");
    (blocks, gate)
}

/// Listens to `tracing` on this thread.
///
/// As long as there has only ever been one listener, `tracing` asks the thread that first comes to an event whether it has
/// a listener, and remembers the answer for all threads: here often the thread of another test, which has none. So there
/// are always two.
pub(crate) fn listen<S: tracing::Subscriber + Send + Sync + 'static>(
    to: S,
) -> tracing::subscriber::DefaultGuard {
    static OTHER: std::sync::LazyLock<tracing::Dispatch> =
        std::sync::LazyLock::new(|| tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default()));
    std::sync::LazyLock::force(&OTHER);
    #[expect(clippy::disallowed_methods, reason = "this is the way")]
    tracing::subscriber::set_default(to)
}
