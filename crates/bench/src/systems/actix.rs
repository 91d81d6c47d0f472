//! actix: one arbiter a thread, the actors dealt out among them; with one thread all are on the system's own.
//!
//! A bounded cast is `try_send`, and a yield where the mailbox is full; an unbounded one is `do_send`.

use std::{
    cell::Cell,
    future::ready,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use ::actix::{
    Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Supervisor, prelude::SendError,
};
use actix_rt::{Arbiter, ArbiterHandle};
use futures::executor::block_on;
use tokio::{sync::oneshot, task::yield_now};

use crate::{
    supervised::{Case, Crash, Crashed, Lacking, Supervised},
    system::{Behaviour, Start, System, Then},
};

pub(crate) struct Actix;

static ARBITERS: OnceLock<Vec<ArbiterHandle>> = OnceLock::new();
/// The arbiter for the next actor or task. The driver is on the first, so the first server goes to the second.
static NEXT: AtomicUsize = AtomicUsize::new(1);
thread_local!(static HERE: Cell<Option<usize>> = const { Cell::new(None) });

/// The arbiter whose turn it is, and whether it is the one of this thread.
fn next_arbiter() -> (&'static ArbiterHandle, bool) {
    let arbiters = ARBITERS.get().expect("the arbiters run");
    let turn = NEXT.fetch_add(1, Ordering::Relaxed) % arbiters.len();
    (&arbiters[turn], HERE.get() == Some(turn))
}

/// An actor made of a behaviour.
pub(crate) struct Host<B> {
    behaviour: B,
    capacity: Option<usize>,
}

struct Cast(u64, u64);
struct Call(u64);

impl Message for Cast {
    type Result = ();
}

impl Message for Call {
    type Result = u64;
}

impl<B: Behaviour<Actix>> Actor for Host<B> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        if let Some(capacity) = self.capacity {
            context.set_mailbox_capacity(capacity);
        }
        // The only start that waits is at a closed gate: its arbiter has nothing else to do.
        if B::STARTS && block_on(self.behaviour.started(&context.address())) == Then::Stop {
            context.stop();
        }
    }
}

impl<B: Behaviour<Actix>> Handler<Cast> for Host<B> {
    type Result = ();

    fn handle(&mut self, Cast(a, b): Cast, context: &mut Context<Self>) {
        if self.behaviour.on_cast(a, b) == Then::Stop {
            context.stop();
        }
    }
}

impl<B: Behaviour<Actix>> Handler<Call> for Host<B> {
    type Result = u64;

    fn handle(&mut self, Call(x): Call, _: &mut Context<Self>) -> u64 {
        self.behaviour.on_call(x)
    }
}

impl System for Actix {
    type Ref<B: Behaviour<Self>> = Addr<Host<B>>;
    type Supervised = Addr<Patient>;
    type Dynamic = Lacking;
    type Directory = Lacking;

    fn run<D>(threads: usize, driver: D) -> D::Output
    where
        D: Future + Send + 'static,
        D::Output: Send + 'static,
    {
        let system = actix_rt::System::new();
        if threads == 1 {
            // The system's own arbiter, on this thread: a process of one thread, whose allocator needs no locks.
            HERE.set(Some(0));
            return system.block_on(async {
                ARBITERS.get_or_init(|| vec![Arbiter::current()]);
                actix_rt::spawn(driver).await.expect("the driver ends well")
            });
        }
        let arbiters: Vec<_> = (0..threads)
            .map(|index| {
                let arbiter = Arbiter::new();
                arbiter.spawn_fn(move || HERE.set(Some(index)));
                arbiter
            })
            .collect();
        ARBITERS.get_or_init(|| arbiters.iter().map(Arbiter::handle).collect());
        let (end, ended) = mpsc::channel();
        arbiters[0].spawn(async move {
            let _ = end.send(driver.await);
        });
        ended.recv().expect("the driver ends well")
    }

    fn task<D>(driver: D) -> impl Future<Output = D::Output> + Send
    where
        D: Future + Send + 'static,
        D::Output: Send + 'static,
    {
        let (end, ended) = oneshot::channel();
        next_arbiter().0.spawn(async move {
            let _ = end.send(driver.await);
        });
        async move { ended.await.expect("the driver task ends well") }
    }

    fn start<B: Behaviour<Self>>(start: Start, behaviour: B) -> impl Future<Output = Self::Ref<B>> + Send {
        let host = Host { behaviour, capacity: start.capacity };
        let (arbiter, here) = next_arbiter();
        ready(if here { host.start() } else { Host::start_in_arbiter(arbiter, move |_| host) })
    }

    fn stop<B: Behaviour<Self>>(server: Self::Ref<B>) -> impl Future<Output = ()> + Send {
        drop(server);
        ready(())
    }

    fn cast_now<B: Behaviour<Self>>(server: &Self::Ref<B>, a: u64, b: u64) {
        server.do_send(Cast(a, b));
    }

    async fn cast<B: Behaviour<Self>>(server: &Self::Ref<B>, a: u64, b: u64) {
        let mut message = Cast(a, b);
        loop {
            match server.try_send(message) {
                Ok(()) => return,
                Err(SendError::Full(back)) => message = back,
                Err(SendError::Closed(_)) => panic!("the actor has gone"),
            }
            yield_now().await;
        }
    }

    async fn call<B: Behaviour<Self>>(server: &Self::Ref<B>, x: u64) -> u64 {
        server.send(Call(x)).await.expect("the actor replies")
    }

    fn call_blocking<B: Behaviour<Self>>(server: &Self::Ref<B>, x: u64) -> u64 {
        block_on(Self::call::<B>(server, x))
    }

    /// A panic ends the context and the supervisor with it; nothing is restarted. What `Supervisor` does restart is
    /// an actor that has stopped itself: the same value goes on, after `restarting`, on the same queue. The client
    /// needs nothing but its address.
    fn supervised(case: Case) -> impl Future<Output = Option<Addr<Patient>>> + Send {
        if case.crash == Crash::Panic || case.remembers.is_some() {
            return ready(None);
        }
        let (arbiter, here) = next_arbiter();
        let patient = Patient { number: case.begin(), case };
        ready(Some(if here {
            Supervisor::start(|_| patient)
        } else {
            Supervisor::start_in_arbiter(arbiter, |_| patient)
        }))
    }
}

pub(crate) struct Patient {
    number: u64,
    case: Case,
}

struct DoCrash;
struct Number;

impl Message for DoCrash {
    type Result = ();
}

impl Message for Number {
    type Result = u64;
}

impl Actor for Patient {
    type Context = Context<Self>;
}

impl ::actix::Supervised for Patient {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.number = self.case.begin();
    }
}

impl Handler<DoCrash> for Patient {
    type Result = ();

    fn handle(&mut self, _: DoCrash, context: &mut Context<Self>) {
        let Err(Crashed) = self.case.crash.happen();
        context.stop();
    }
}

impl Handler<Number> for Patient {
    type Result = u64;

    fn handle(&mut self, _: Number, _: &mut Context<Self>) -> u64 {
        self.number
    }
}

impl Supervised for Addr<Patient> {
    fn crash(&mut self) -> impl Future<Output = ()> + Send {
        self.try_send(DoCrash).expect("the actor lives and has room");
        ready(())
    }

    async fn number(&mut self) -> u64 {
        self.send(Number).await.expect("the next incarnation replies")
    }
}
