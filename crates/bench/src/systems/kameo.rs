//! kameo: `tell(..).send()` and `ask(..).send()`, which box less than awaiting the request itself.

use std::{future::ready, mem, ops::ControlFlow, sync::Arc, time::Duration};

use ::kameo::{
    Actor,
    actor::{ActorId, ActorRef, Spawn, WeakActorRef},
    error::{ActorStopReason, Infallible},
    mailbox,
    message::{Context, Message},
    registry::ACTOR_REGISTRY,
    supervision::RestartPolicy,
};

use crate::{
    directory::Directory,
    latch::Latch,
    supervised::{Case, Crashed, Dynamic, Supervised},
    system::{Behaviour, Start, System, Target, Then},
    workload::CAPACITY,
};

pub(crate) struct Kameo;

/// An actor made of a behaviour.
pub(crate) struct Host<B>(B);

struct Cast(u64, u64);
struct Call(u64);

impl<B: Behaviour<Kameo>> Actor for Host<B> {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(mut host: Self, me: ActorRef<Self>) -> Result<Self, Infallible> {
        if B::STARTS && host.0.started(&me).await == Then::Stop {
            me.stop_gracefully().await.expect("the actor takes its own word");
        }
        Ok(host)
    }
}

impl<B: Behaviour<Kameo>> Message<Cast> for Host<B> {
    type Reply = ();

    async fn handle(&mut self, Cast(a, b): Cast, context: &mut Context<Self, ()>) {
        if self.0.on_cast(a, b) == Then::Stop {
            context.stop();
        }
    }
}

impl<B: Behaviour<Kameo>> Message<Call> for Host<B> {
    type Reply = u64;

    async fn handle(&mut self, Call(x): Call, _: &mut Context<Self, u64>) -> u64 {
        self.0.on_call(x)
    }
}

impl System for Kameo {
    type Ref<B: Behaviour<Self>> = ActorRef<Host<B>>;
    type Supervised = Restarted;
    type Dynamic = Family;
    type Directory = Names;

    fn start<B: Behaviour<Self>>(start: Start, behaviour: B) -> impl Future<Output = Self::Ref<B>> + Send {
        let mailbox = start.capacity.map_or_else(mailbox::unbounded, mailbox::bounded);
        ready(Host::spawn_with_mailbox(Host(behaviour), mailbox))
    }

    async fn stop<B: Behaviour<Self>>(server: Self::Ref<B>) {
        server.stop_gracefully().await.expect("the actor lives");
    }

    fn cast_now<B: Behaviour<Self>>(server: &Self::Ref<B>, a: u64, b: u64) {
        server.tell(Cast(a, b)).try_send().expect("the actor lives and has room");
    }

    async fn cast<B: Behaviour<Self>>(server: &Self::Ref<B>, a: u64, b: u64) {
        server.tell(Cast(a, b)).send().await.expect("the actor lives");
    }

    async fn call<B: Behaviour<Self>>(server: &Self::Ref<B>, x: u64) -> u64 {
        server.ask(Call(x)).send().await.expect("the actor replies")
    }

    fn call_blocking<B: Behaviour<Self>>(server: &Self::Ref<B>, x: u64) -> u64 {
        server.ask(Call(x)).blocking_send().expect("the actor replies")
    }

    /// kameo's bond is the link.
    async fn watched(watchers: u64, latch: Arc<Latch>) -> Option<Target> {
        let target = Watcher::spawn_with_mailbox(Watcher(None), mailbox::unbounded());
        let mut list = Vec::new();
        for _ in 0..watchers {
            let watcher =
                Watcher::spawn_with_mailbox(Watcher(Some(Arc::clone(&latch))), mailbox::unbounded());
            watcher.link(&target).await;
            list.push(watcher);
        }
        Some(Box::new(move || {
            target.kill();
            // A watcher without an address would end of itself.
            mem::forget(list);
        }))
    }

    /// Its own supervision, with a limit that is never reached. Queue and reference survive: the supervisor receives
    /// the queue of the dead child and hands it to the next incarnation. The client needs nothing but its reference.
    async fn supervised(case: Case) -> Option<Restarted> {
        // It counts restarts and remembers none.
        if case.remembers.is_some() {
            return None;
        }
        let supervisor = Keeper::spawn_with_mailbox(Keeper, mailbox::unbounded());
        let patient = Patient::supervise(&supervisor, case)
            .restart_policy(RestartPolicy::Permanent)
            .restart_limit(u32::MAX, Duration::from_secs(1))
            .spawn_with_mailbox(mailbox::bounded(CAPACITY))
            .await;
        Some(Restarted { _supervisor: supervisor, patient })
    }

    async fn dynamic() -> Option<Family> {
        Some(Family(Keeper::spawn_with_mailbox(Keeper, mailbox::unbounded())))
    }

    fn directory() -> impl Future<Output = Option<Names>> + Send {
        ready(Some(Names))
    }
}

/// Arrives at the latch when what it is linked to has ended.
struct Watcher(Option<Arc<Latch>>);

impl Actor for Watcher {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(watcher: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(watcher)
    }

    async fn on_link_died(
        &mut self,
        _: WeakActorRef<Self>,
        _: ActorId,
        _: ActorStopReason,
    ) -> Result<ControlFlow<ActorStopReason>, Infallible> {
        if let Some(latch) = &self.0 {
            latch.arrive(1);
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// A supervisor, which ends with its last address.
pub(crate) struct Keeper;

impl Actor for Keeper {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(keeper: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(keeper)
    }
}

pub(crate) struct Restarted {
    _supervisor: ActorRef<Keeper>,
    patient: ActorRef<Patient>,
}

impl Supervised for Restarted {
    async fn crash(&mut self) {
        self.patient.tell(DoCrash).send().await.expect("the mailbox lives");
    }

    async fn number(&mut self) -> u64 {
        self.patient.ask(Number).send().await.expect("the next incarnation replies")
    }
}

struct Patient {
    number: u64,
    case: Case,
}

struct DoCrash;
struct Number;

impl Actor for Patient {
    type Args = Case;
    type Error = Infallible;

    async fn on_start(case: Case, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self { number: case.begin(), case })
    }
}

impl Message<DoCrash> for Patient {
    type Reply = Result<(), Crashed>;

    async fn handle(&mut self, _: DoCrash, _: &mut Context<Self, Self::Reply>) -> Result<(), Crashed> {
        match self.case.crash.happen()? {}
    }
}

impl Message<Number> for Patient {
    type Reply = u64;

    async fn handle(&mut self, _: Number, _: &mut Context<Self, u64>) -> u64 {
        self.number
    }
}

/// A supervisor of children that are not started again once they have stopped in good order.
pub(crate) struct Family(ActorRef<Keeper>);

impl Dynamic for Family {
    type Child = ActorRef<Member>;

    async fn start(&mut self) -> ActorRef<Member> {
        let member = Member::supervise(&self.0, Member).restart_policy(RestartPolicy::Transient);
        member.spawn_with_mailbox(mailbox::unbounded()).await
    }

    async fn stop(&mut self, child: ActorRef<Member>) {
        child.stop_gracefully().await.expect("the child lives");
        child.wait_for_shutdown().await;
    }
}

#[derive(Clone)]
pub(crate) struct Member;

impl Actor for Member {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(member: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(member)
    }
}

/// The one registry of the process: a map behind a mutex, which hands out clones.
pub(crate) struct Names;

impl Directory<Kameo> for Names {
    async fn start<B: Behaviour<Kameo>>(&self, name: &str, behaviour: B) -> ActorRef<Host<B>> {
        let server = Kameo::start(Start::UNBOUNDED, behaviour).await;
        server.register(name.to_owned()).expect("the name is free");
        server
    }

    fn register<B: Behaviour<Kameo>>(
        &self,
        name: &str,
        server: &ActorRef<Host<B>>,
        _: B,
    ) -> impl Future<Output = ()> + Send {
        server.register(name.to_owned()).expect("the name is free");
        ready(())
    }

    fn unregister(&self, name: &str) -> impl Future<Output = ()> + Send {
        assert!(ACTOR_REGISTRY.lock().expect("nobody panics in it").remove(name));
        ready(())
    }

    fn with<B: Behaviour<Kameo>, R>(
        &self,
        name: &str,
        used: impl FnOnce(&ActorRef<Host<B>>) -> R,
    ) -> Option<R> {
        let server = ActorRef::<Host<B>>::lookup(name).expect("the name is one of such a server");
        server.map(|server| used(&server))
    }
}
