//! restante: a server per behaviour. Calls run on the caller's stack where the workload lets them.

use std::{sync::Arc, time::Duration};

use ::restante_registry::Registry;
use restante_core::monitor::{Event, Watch};
use restante_genserver::{
    CallerRuns, Context, ExitReason, GenServer, Init, Message, Next, Reply, Server, ServerRef, Step,
};
use restante_supervisor::{Backoff, DynamicRef, DynamicSupervisor, Intensity, Supervise as _, Supervisor};

use super::restante_registry::{self, Names};
use crate::{
    latch::Latch,
    measured::{Measured, Stopwatch},
    supervised::{Case, Crash, Dynamic, Supervised},
    system::{Behaviour, Start, System, Target, Then},
    workload::{CAPACITY, Registry as Work, Workload},
};

pub(crate) struct Restante;

/// A server made of a behaviour.
pub(crate) struct Host<B>(B);

/// Two words: the 16-byte message. Both all ones: stop.
pub(crate) struct Cast(u64, u64);
pub(crate) struct Call(u64, Reply<u64>);

/// A behaviour is given to its server once: these servers are not started again.
pub(crate) struct Once<B>(std::sync::Mutex<Option<B>>);

#[expect(clippy::unnecessary_wraps, reason = "what handlers return")]
fn step(then: Then) -> Step {
    match then {
        Then::Continue => Ok(Next::go()),
        Then::Stop => Ok(Next::stop()),
    }
}

impl<B: Behaviour<Restante>> GenServer for Host<B> {
    type Args = Once<B>;
    type Call = Call;
    type Cast = Cast;
    type Info = ();

    async fn init(args: &Once<B>, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        let behaviour = args.0.lock().ok().and_then(|mut b| b.take()).expect("a behaviour is given once");
        Ok(if B::STARTS { Init::then_continue(Self(behaviour)) } else { Init::ok(Self(behaviour)) })
    }

    async fn handle_continue(&mut self, ctx: &mut Context<Self>) -> Step {
        step(self.0.started(&ctx.server()).await)
    }

    async fn handle_call(&mut self, Call(x, reply): Call, _: &mut Context<Self>) -> Step {
        reply.send(self.0.on_call(x));
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, Cast(a, b): Cast, _: &mut Context<Self>) -> Step {
        step(self.0.on_cast(a, b))
    }

    async fn handle_info(&mut self, (): (), _: &mut Context<Self>) -> Step {
        Ok(Next::stop())
    }
}

impl System for Restante {
    type Ref<B: Behaviour<Self>> = ServerRef<Host<B>>;
    type Supervised = ServerRef<Patient>;
    type Dynamic = Family;
    type Directory = Names;

    async fn start<B: Behaviour<Self>>(start: Start, behaviour: B) -> Self::Ref<B> {
        let settings = Server::<Host<B>>::settings();
        let settings = match start.capacity {
            Some(capacity) => settings.capacity(capacity),
            None => settings.unbounded(),
        };
        let runs = if start.caller_runs { CallerRuns::Auto } else { CallerRuns::Never };
        let args = Once(std::sync::Mutex::new(Some(behaviour)));
        settings.caller_runs(runs).start(args).await.expect("the server starts")
    }

    async fn stop<B: Behaviour<Self>>(server: Self::Ref<B>) {
        server.info(()).expect("the server lives");
    }

    #[inline]
    fn cast_now<B: Behaviour<Self>>(server: &Self::Ref<B>, a: u64, b: u64) {
        server.cast(Cast(a, b)).expect("the server lives and has room");
    }

    #[inline]
    async fn cast<B: Behaviour<Self>>(server: &Self::Ref<B>, a: u64, b: u64) {
        server.send(Cast(a, b)).await.expect("the server lives");
    }

    #[inline]
    async fn call<B: Behaviour<Self>>(server: &Self::Ref<B>, x: u64) -> u64 {
        server.call(|reply| Call(x, reply)).await.expect("the server replies")
    }

    fn call_blocking<B: Behaviour<Self>>(server: &Self::Ref<B>, x: u64) -> u64 {
        server.call_blocking(|reply| Call(x, reply)).expect("the server replies")
    }

    async fn watched(watchers: u64, latch: Arc<Latch>) -> Option<Target> {
        let settings = Server::<Watcher>::settings().unbounded();
        let target = settings.start(None).await.expect("the target starts");
        let mut list = Vec::new();
        for _ in 0..watchers {
            let args = Some((target.clone(), Arc::clone(&latch)));
            let watcher =
                Server::<Watcher>::settings().unbounded().start(args).await.expect("a watcher starts");
            // Like its peers', a watcher has worked before: its task exists.
            watcher.call(|reply| Call(0, reply)).caller_runs(CallerRuns::Never).await.expect("it replies");
            list.push(watcher);
        }
        Some(Box::new(move || {
            target.kill();
            std::mem::forget((list, target));
        }))
    }

    async fn selective(workload: Workload, queued: u64) -> Option<Measured> {
        let server = Server::<Chooser>::settings().unbounded().build().expect("sound settings");
        let chooser = server.address();
        for _ in 0..queued {
            chooser.cast(Pick::Other).expect("the mailbox is unbounded");
        }
        // The handler must start before the others are read: it is asked in the control lane.
        let (done, ends) = tokio::sync::oneshot::channel();
        let order = Pick::Choose { workload, queued, done };
        let first = restante_core::SendOptions::new().lane(restante_core::Lane::Control);
        assert!(chooser.cast_with(order, first).is_ok(), "the mailbox is unbounded");
        server.start(()).await.expect("the chooser starts");
        ends.await.ok()
    }

    /// Queue and reference survive, queued calls too: the client needs nothing but its reference.
    async fn supervised(case: Case) -> Option<ServerRef<Patient>> {
        supervise(case).await
    }

    async fn dynamic() -> Option<Family> {
        Some(Family(DynamicSupervisor::new().start().await.expect("there is a runtime")))
    }

    async fn directory() -> Option<Names> {
        Some(Names(Registry::start()))
    }

    async fn registry(work: Work, count: u64) -> Option<Measured> {
        Some(restante_registry::measure(work, count).await)
    }
}

/// A supervisor of children that have nothing to do.
pub(crate) struct Family(DynamicRef);

impl Dynamic for Family {
    type Child = ServerRef<Child>;

    async fn start(&mut self) -> ServerRef<Child> {
        self.0.start_new(()).await.expect("the child starts")
    }

    async fn stop(&mut self, child: ServerRef<Child>) {
        self.0.terminate_child(&child).await.expect("the child is there");
    }
}

pub(crate) struct Child;

impl GenServer for Child {
    type Args = ();
    type Call = Call;
    type Cast = ();
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, Call(x, reply): Call, _: &mut Context<Self>) -> Step {
        reply.send(x);
        Ok(Next::go())
    }
}

/// Starts a patient under a supervisor that restarts it without end and without pause, or that remembers so many restarts.
async fn supervise(case: Case) -> Option<ServerRef<Patient>> {
    // More than the client will count in any such time.
    const EVER: Duration = Duration::from_secs(1 << 30);
    let intensity = match case.remembers {
        Some(n) => Intensity::new(u32::try_from(n).expect("a sound number"), EVER),
        None => Intensity::UNLIMITED,
    };
    let server = Server::<Patient>::settings().capacity(CAPACITY).build().expect("sound settings");
    let patient = server.address();
    let supervisor = Supervisor::one_for_one().with_intensity(intensity).backoff(Backoff::NONE);
    supervisor.child(server.child(case)).start().await.expect("the patient starts");
    Some(patient)
}

pub(crate) struct Patient {
    number: u64,
    crash: Crash,
}

impl GenServer for Patient {
    type Args = Case;
    type Call = Call;
    type Cast = ();
    type Info = ();

    async fn init(case: &Case, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self { number: case.begin(), crash: case.crash }))
    }

    async fn handle_call(&mut self, Call(_, reply): Call, _: &mut Context<Self>) -> Step {
        reply.send(self.number);
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, (): (), _: &mut Context<Self>) -> Step {
        match self.crash.happen()? {}
    }
}

impl Supervised for ServerRef<Patient> {
    async fn crash(&mut self) {
        self.cast(()).expect("there is room");
    }

    async fn number(&mut self) -> u64 {
        self.call(|reply| Call(0, reply)).await.expect("the next incarnation replies")
    }
}

/// Receives selectively behind a backlog that it does not want.
struct Chooser;

enum Pick {
    Other,
    Wanted(u64),
    Choose { workload: Workload, queued: u64, done: tokio::sync::oneshot::Sender<Measured> },
}

/// Receives a run of wanted messages, one after the other.
const WANTED: u64 = 1000;

impl GenServer for Chooser {
    type Args = ();
    type Call = Call;
    type Cast = Pick;
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, Call(x, reply): Call, _: &mut Context<Self>) -> Step {
        reply.send(x);
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, pick: Pick, ctx: &mut Context<Self>) -> Step {
        let Pick::Choose { workload, queued, done } = pick else { return Ok(Next::go()) };
        let me = ctx.server();
        let wanted = |m: &Message<Self>| matches!(m, Message::Cast(Pick::Wanted(_)));
        let measured = match workload {
            Workload::SelectiveCall => {
                let echo = restante_genserver::start::<Echo>(()).await.expect("the echo starts");
                let stopwatch = Stopwatch::start();
                for x in 0..WANTED {
                    let back = echo.call(|reply| Call(x, reply)).caller_runs(CallerRuns::Never).await;
                    assert_eq!(back, Ok(x));
                }
                stopwatch.stop(WANTED)
            }
            Workload::SelectiveNext => {
                let mut selector = ctx.select(wanted);
                assert!(me.cast(Pick::Wanted(0)).is_ok());
                selector.next(Duration::from_secs(5)).await.expect("it is there");
                let stopwatch = Stopwatch::start();
                for x in 0..WANTED {
                    assert!(me.cast(Pick::Wanted(x)).is_ok());
                    match selector.next(Duration::from_secs(5)).await {
                        Ok(Message::Cast(Pick::Wanted(y))) => assert_eq!(x, y),
                        other => panic!("not what was asked for: {other:?}"),
                    }
                }
                stopwatch.stop(WANTED)
            }
            _ => {
                assert!(me.cast(Pick::Wanted(0)).is_ok());
                let stopwatch = Stopwatch::start();
                ctx.receive(Duration::from_secs(5), wanted).await.expect("it is there");
                stopwatch.stop(1)
            }
        };
        assert!(ctx.stats().depth >= queued, "what was skipped is still there");
        assert!(done.send(measured).is_ok(), "the driver waits");
        Ok(Next::stop())
    }
}

/// Answers.
struct Echo;

impl GenServer for Echo {
    type Args = ();
    type Call = Call;
    type Cast = ();
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, Call(x, reply): Call, _: &mut Context<Self>) -> Step {
        reply.send(x);
        Ok(Next::go())
    }
}

/// Arrives at the latch when what it monitors has ended.
struct Watcher(Option<Arc<Latch>>);

impl GenServer for Watcher {
    type Args = Option<(ServerRef<Self>, Arc<Latch>)>;
    type Call = Call;
    type Cast = ();
    type Info = Event;

    async fn init(args: &Self::Args, ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        let latch = args.as_ref().map(|(target, latch)| {
            ctx.monitor(target, Watch::Incarnation, |event| event);
            Arc::clone(latch)
        });
        Ok(Init::ok(Self(latch)))
    }

    async fn handle_call(&mut self, Call(x, reply): Call, _: &mut Context<Self>) -> Step {
        reply.send(x);
        Ok(Next::go())
    }

    async fn handle_info(&mut self, event: Event, _: &mut Context<Self>) -> Step {
        assert!(matches!(event, Event::Down(_)));
        if let Some(latch) = &self.0 {
            latch.arrive(1);
        }
        Ok(Next::go())
    }
}
