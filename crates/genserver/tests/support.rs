//! What the tests share: a server that does what a test tells it to, gates instead of sleeps, and the conservation law.

use restante_genserver::{Context, ExitReason, ExitSignal, GenServer, Init, Next, Reply, Step};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The longest that a test waits for anything.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// What happened, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn push(&self, entry: impl fmt::Display) {
        self.0.lock().unwrap().push(entry.to_string());
    }
    /// All entries so far; none are left.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// Hears what the crate logs on the threads that it is set for: level and message of each event. (But for starts, which are
/// the beginning of everything: `trace` has them.)
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(pub(crate) Log);

impl Subscriber for Heard {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("restante_genserver")
    }
    fn event(&self, event: &Event<'_>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        if message.0 == "server started" {
            return;
        }
        self.0.push(format!("{} {}", event.metadata().level(), message.0));
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Sends what this thread tells `tracing` to `to`, while the guard lives.
///
/// As long as there has only ever been one listener, `tracing` asks the thread that first comes to an event whether it has a
/// listener for it, and remembers the answer for all threads: here often the thread of another test, which has none. So there
/// are always two.
pub(crate) fn listen<S: Subscriber + Send + Sync + 'static>(to: S) -> tracing::subscriber::DefaultGuard {
    static OTHER: std::sync::LazyLock<tracing::Dispatch> =
        std::sync::LazyLock::new(|| tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default()));
    std::sync::LazyLock::force(&OTHER);
    #[expect(clippy::disallowed_methods, reason = "this is the way")]
    tracing::subscriber::set_default(to)
}

/// Lets as many pass as it has been told to.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
    pub(crate) fn open(&self) {
        self.0.add_permits(1);
    }
    pub(crate) async fn pass(&self) {
        self.0.acquire().await.unwrap().forget();
    }
}

/// Counts the values that are alive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alive(Arc<AtomicUsize>);

impl Alive {
    pub(crate) fn one(&self) -> Counted {
        self.0.fetch_add(1, Ordering::SeqCst);
        Counted(self.clone())
    }
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Counts itself, and panics when it is dropped twice.
#[derive(Debug)]
pub(crate) struct Counted(Alive);

impl Drop for Counted {
    fn drop(&mut self) {
        let before = self.0.0.fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "dropped twice");
    }
}

/// Panics when it is dropped.
#[derive(Debug)]
pub(crate) struct Rude;

impl Drop for Rude {
    fn drop(&mut self) {
        // Dropped by an unwinding handler it would abort, as in all Rust.
        assert!(std::thread::panicking(), "rude drop");
    }
}

type Job = Box<dyn for<'a> FnOnce(&'a mut Lab, &'a mut Context<Lab>) -> Boxed<'a, Step> + Send>;
type Answer<T> =
    Box<dyn for<'a> FnOnce(&'a mut Lab, &'a mut Context<Lab>, Reply<T>) -> Boxed<'a, Step> + Send>;

/// A request to a [`Lab`].
pub(crate) enum Ask {
    /// The sum of what was added.
    Total(Reply<u64>),
    /// Says so in the log, then answers with the number.
    Echo(u64, Reply<u64>),
    /// Keeps the reply in the state.
    Keep(Reply<u64>),
    /// Drops the reply and goes on.
    Forget(Reply<u64>),
    /// Opens the first gate, passes the second, answers 1.
    Pass(Gate, Gate, Reply<u64>),
    /// Panics with the reply in hand.
    Boom(Reply<u64>),
    /// Fails with the reply in hand.
    Fail(Reply<u64>),
    /// Never comes back.
    Never(Reply<u64>),
    /// Does what the closure says.
    Do(Answer<u64>, Reply<u64>),
    /// Answers with a value that counts itself.
    Counted(Counted, Reply<Counted>),
    /// A big one.
    Big(Reply<[u64; 9]>),
    /// One of no size.
    Unit(Reply<()>),
}

/// A cast to a [`Lab`].
pub(crate) enum Tell {
    Add(u64),
    /// Says so in the log.
    Say(u64),
    Boom,
    Fail,
    Stop(ExitReason),
    Do(Job),
    /// Carries something along that is dropped with it.
    Carry(Box<dyn std::any::Any + Send>),
}

/// An info to a [`Lab`].
pub(crate) enum Note {
    Say(String),
    Boom,
    Exit(ExitSignal),
    /// Answers when it comes.
    Answer(Reply<u64>),
}

pub(crate) fn tell(
    job: impl for<'a> FnOnce(&'a mut Lab, &'a mut Context<Lab>) -> Boxed<'a, Step> + Send + 'static,
) -> Tell {
    Tell::Do(Box::new(job))
}

pub(crate) fn ask(
    answer: impl for<'a> FnOnce(&'a mut Lab, &'a mut Context<Lab>, Reply<u64>) -> Boxed<'a, Step> + Send + 'static,
) -> impl FnOnce(Reply<u64>) -> Ask {
    move |reply| Ask::Do(Box::new(answer), reply)
}

pub(crate) fn echo(n: u64) -> impl FnOnce(Reply<u64>) -> Ask {
    move |reply| Ask::Echo(n, reply)
}

/// A call that waits in its handler: the first gate opens when it has begun, the second lets it go on.
pub(crate) fn pass(entered: &Gate, go: &Gate) -> impl FnOnce(Reply<u64>) -> Ask + use<> {
    let (entered, go) = (entered.clone(), go.clone());
    move |reply| Ask::Pass(entered, go, reply)
}

pub(crate) fn say(text: impl Into<String>) -> Note {
    Note::Say(text.into())
}

type InitFn =
    dyn for<'a> Fn(&'a Plan, &'a mut Context<Lab>) -> Boxed<'a, Result<Init<Lab>, ExitReason>> + Send + Sync;
type EndFn = dyn for<'a> Fn(&'a mut Lab, &'a ExitReason, &'a mut Context<Lab>) -> Boxed<'a, Result<(), ExitReason>>
    + Send
    + Sync;
type StepFn = dyn for<'a> Fn(&'a mut Lab, &'a mut Context<Lab>) -> Boxed<'a, Step> + Send + Sync;

/// How a [`Lab`] begins and ends.
#[derive(Clone, Default)]
pub(crate) struct Plan {
    pub(crate) log: Log,
    init: Option<Arc<InitFn>>,
    end: Option<Arc<EndFn>>,
    on_continue: Option<Arc<StepFn>>,
    on_timeout: Option<Arc<StepFn>>,
}

impl Plan {
    pub(crate) fn init(
        mut self,
        f: impl for<'a> Fn(&'a Plan, &'a mut Context<Lab>) -> Boxed<'a, Result<Init<Lab>, ExitReason>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.init = Some(Arc::new(f));
        self
    }
    pub(crate) fn end(
        mut self,
        f: impl for<'a> Fn(&'a mut Lab, &'a ExitReason, &'a mut Context<Lab>) -> Boxed<'a, Result<(), ExitReason>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.end = Some(Arc::new(f));
        self
    }
    pub(crate) fn on_continue(
        mut self,
        f: impl for<'a> Fn(&'a mut Lab, &'a mut Context<Lab>) -> Boxed<'a, Step> + Send + Sync + 'static,
    ) -> Self {
        self.on_continue = Some(Arc::new(f));
        self
    }
    pub(crate) fn on_timeout(
        mut self,
        f: impl for<'a> Fn(&'a mut Lab, &'a mut Context<Lab>) -> Boxed<'a, Step> + Send + Sync + 'static,
    ) -> Self {
        self.on_timeout = Some(Arc::new(f));
        self
    }
}

/// A server that does what a test tells it to.
pub(crate) struct Lab {
    pub(crate) log: Log,
    pub(crate) total: u64,
    pub(crate) kept: Vec<Reply<u64>>,
    pub(crate) things: Vec<Box<dyn std::any::Any + Send>>,
    pub(crate) plan: Plan,
}

impl Lab {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { log: plan.log.clone(), total: 0, kept: Vec::new(), things: Vec::new(), plan: plan.clone() }
    }
}

impl GenServer for Lab {
    type Args = Plan;
    type Call = Ask;
    type Cast = Tell;
    type Info = Note;

    async fn init(plan: &Plan, ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        match &plan.init {
            Some(init) => init(plan, ctx).await,
            None => Ok(Init::ok(Self::new(plan))),
        }
    }

    async fn handle_call(&mut self, call: Ask, ctx: &mut Context<Self>) -> Step {
        match call {
            Ask::Total(reply) => drop(reply.send(self.total)),
            Ask::Echo(n, reply) => {
                self.log.push(n);
                reply.send(n);
            }
            Ask::Keep(reply) => self.kept.push(reply),
            Ask::Forget(reply) => drop(reply),
            Ask::Pass(entered, go, reply) => {
                entered.open();
                go.pass().await;
                reply.send(1);
            }
            Ask::Boom(_reply) => panic!("boom"),
            Ask::Fail(_reply) => return Err(ExitReason::error("failed")),
            Ask::Never(_reply) => std::future::pending::<()>().await,
            Ask::Do(answer, reply) => return answer(self, ctx, reply).await,
            Ask::Counted(value, reply) => drop(reply.send(value)),
            Ask::Big(reply) => drop(reply.send([7; 9])),
            Ask::Unit(reply) => drop(reply.send(())),
        }
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, cast: Tell, ctx: &mut Context<Self>) -> Step {
        match cast {
            Tell::Add(n) => self.total += n,
            Tell::Say(n) => self.log.push(n),
            Tell::Boom => panic!("boom"),
            Tell::Fail => return Err(ExitReason::error("failed")),
            Tell::Stop(reason) => return Ok(Next::stop_with(reason)),
            Tell::Do(job) => return job(self, ctx).await,
            Tell::Carry(thing) => drop(thing),
        }
        Ok(Next::go())
    }

    async fn handle_info(&mut self, info: Note, _: &mut Context<Self>) -> Step {
        match info {
            Note::Say(text) => self.log.push(text),
            Note::Boom => panic!("boom"),
            Note::Exit(signal) => self.log.push(format!("exit: {}", signal.reason)),
            Note::Answer(reply) => drop(reply.send(77)),
        }
        Ok(Next::go())
    }

    async fn handle_continue(&mut self, ctx: &mut Context<Self>) -> Step {
        match self.plan.on_continue.clone() {
            Some(f) => f(self, ctx).await,
            None => Ok(Next::go()),
        }
    }

    async fn handle_timeout(&mut self, ctx: &mut Context<Self>) -> Step {
        if let Some(f) = self.plan.on_timeout.clone() {
            return f(self, ctx).await;
        }
        self.log.push("timeout");
        Ok(Next::go())
    }

    async fn terminate(&mut self, reason: &ExitReason, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.log.push(format!("terminate: {reason}"));
        match self.plan.end.clone() {
            Some(f) => f(self, reason, ctx).await,
            None => Ok(()),
        }
    }

    fn call_name(call: &Ask) -> &'static str {
        match call {
            Ask::Total(_) => "total",
            Ask::Boom(_) => "boom",
            Ask::Never(_) => "never",
            _ => "ask",
        }
    }

    fn cast_name(cast: &Tell) -> &'static str {
        match cast {
            Tell::Boom => "boom",
            Tell::Fail => "fail",
            _ => "tell",
        }
    }

    fn info_name(_: &Note) -> &'static str {
        "note"
    }
}

/// The conservation law holds; the exact counters.
pub(crate) use restante_testkit::conserved as law;

/// Lets everything that is ready run (on a runtime of one thread).
pub(crate) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// The panic's message, or what else the reason says.
pub(crate) fn is_panic(reason: &ExitReason, message: &str) -> bool {
    matches!(reason, ExitReason::Panic(p) if p.message == message)
}
