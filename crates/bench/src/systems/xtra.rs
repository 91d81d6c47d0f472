//! xtra: `send(..).detach()` for casts, `send(..)` for calls.

use std::{future::ready, mem, sync::Arc};

use ::xtra::{Actor, Address, Context, Handler, Mailbox, WeakAddress, spawn_tokio};
use futures::{FutureExt, executor::block_on};

use crate::{
    latch::Latch,
    supervised::{Case, Crashed, Lacking, Supervised},
    system::{Behaviour, Start, System, Target, Then},
    workload::CAPACITY,
};

pub(crate) struct Xtra;

/// An actor made of a behaviour.
pub(crate) struct Host<B>(B);

struct Cast(u64, u64);
struct Call(u64);

impl<B: Behaviour<Xtra>> Actor for Host<B> {
    type Stop = ();

    async fn started(&mut self, mailbox: &Mailbox<Self>) -> Result<(), ()> {
        if B::STARTS {
            let me = mailbox.address().try_upgrade().expect("whoever started it holds its address");
            if self.0.started(&me).await == Then::Stop {
                return Err(());
            }
        }
        Ok(())
    }

    async fn stopped(self) {}
}

impl<B: Behaviour<Xtra>> Handler<Cast> for Host<B> {
    type Return = ();

    async fn handle(&mut self, Cast(a, b): Cast, context: &mut Context<Self>) {
        if self.0.on_cast(a, b) == Then::Stop {
            context.stop_self();
        }
    }
}

impl<B: Behaviour<Xtra>> Handler<Call> for Host<B> {
    type Return = u64;

    async fn handle(&mut self, Call(x): Call, _: &mut Context<Self>) -> u64 {
        self.0.on_call(x)
    }
}

impl System for Xtra {
    /// xtra 0.6 keeps a mailbox in a heap by priority, which does not remember the order of equals.
    const ORDERED: bool = false;

    type Ref<B: Behaviour<Self>> = Address<Host<B>>;
    type Supervised = Address<Patient>;
    type Dynamic = Lacking;
    type Directory = Lacking;

    fn start<B: Behaviour<Self>>(start: Start, behaviour: B) -> impl Future<Output = Self::Ref<B>> + Send {
        let mailbox = start.capacity.map_or_else(Mailbox::unbounded, Mailbox::bounded);
        ready(spawn_tokio(Host(behaviour), mailbox))
    }

    fn stop<B: Behaviour<Self>>(server: Self::Ref<B>) -> impl Future<Output = ()> + Send {
        drop(server);
        ready(())
    }

    fn cast_now<B: Behaviour<Self>>(server: &Self::Ref<B>, a: u64, b: u64) {
        let queued = server.send(Cast(a, b)).detach().now_or_never().expect("the mailbox has room");
        drop(queued.expect("the actor lives"));
    }

    async fn cast<B: Behaviour<Self>>(server: &Self::Ref<B>, a: u64, b: u64) {
        drop(server.send(Cast(a, b)).detach().await.expect("the actor lives"));
    }

    async fn call<B: Behaviour<Self>>(server: &Self::Ref<B>, x: u64) -> u64 {
        server.send(Call(x)).await.expect("the actor replies")
    }

    fn call_blocking<B: Behaviour<Self>>(server: &Self::Ref<B>, x: u64) -> u64 {
        block_on(Self::call::<B>(server, x))
    }

    /// xtra tells the end of an actor by a future, which the watcher joins while it serves its own mailbox.
    async fn watched(watchers: u64, latch: Arc<Latch>) -> Option<Target> {
        let target = spawn_tokio(Watched, Mailbox::unbounded());
        let mut list = Vec::new();
        for _ in 0..watchers {
            let watcher = Watcher { target: target.downgrade(), latch: Arc::clone(&latch) };
            list.push(spawn_tokio(watcher, Mailbox::unbounded()));
        }
        Some(Box::new(move || {
            drop(target);
            // A watcher without an address would end of itself.
            mem::forget(list);
        }))
    }

    /// xtra catches no panic and has no supervisor. What it has is a mailbox of which one can keep a clone: while
    /// there is one, queue and addresses survive the actor. So each incarnation is a task of its own, whose end the
    /// task that keeps the clone waits for. The client needs nothing but its address.
    async fn supervised(case: Case) -> Option<Address<Patient>> {
        if case.remembers.is_some() {
            return None;
        }
        let (address, mailbox) = Mailbox::bounded(CAPACITY);
        tokio::spawn(async move {
            while mailbox.address().try_upgrade().is_some() {
                let patient = Patient { number: case.begin(), case: case.clone() };
                let ended = tokio::spawn(::xtra::run(mailbox.clone(), patient)).await;
                if ended.is_err_and(|error| error.is_cancelled()) {
                    return;
                }
            }
        });
        Some(address)
    }
}

/// Told to crash without a panic it stops itself: handlers of xtra return no errors.
pub(crate) struct Patient {
    number: u64,
    case: Case,
}

struct DoCrash;
struct Number;

impl Actor for Patient {
    type Stop = ();

    async fn stopped(self) {}
}

impl Handler<DoCrash> for Patient {
    type Return = ();

    async fn handle(&mut self, _: DoCrash, context: &mut Context<Self>) {
        let Err(Crashed) = self.case.crash.happen();
        context.stop_self();
    }
}

impl Handler<Number> for Patient {
    type Return = u64;

    async fn handle(&mut self, _: Number, _: &mut Context<Self>) -> u64 {
        self.number
    }
}

impl Supervised for Address<Patient> {
    async fn crash(&mut self) {
        drop(self.send(DoCrash).detach().await.expect("the mailbox lives"));
    }

    async fn number(&mut self) -> u64 {
        self.send(Number).await.expect("the next incarnation replies")
    }
}

struct Watched;

impl Actor for Watched {
    type Stop = ();

    async fn stopped(self) {}
}

/// Arrives at the latch when its target has ended.
struct Watcher {
    target: WeakAddress<Watched>,
    latch: Arc<Latch>,
}

impl Actor for Watcher {
    type Stop = ();

    async fn started(&mut self, mailbox: &Mailbox<Self>) -> Result<(), ()> {
        let ended = self.target.join();
        ::xtra::join(mailbox, self, ended).await;
        self.latch.arrive(1);
        Ok(())
    }

    async fn stopped(self) {}
}
