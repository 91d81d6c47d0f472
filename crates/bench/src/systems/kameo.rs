//! kameo: `tell(..).send()` and `ask(..).send()`, which box less than awaiting the request itself.

use std::{future::ready, mem, ops::ControlFlow, sync::Arc};

use ::kameo::{
    Actor,
    actor::{ActorId, ActorRef, Spawn, WeakActorRef},
    error::{ActorStopReason, Infallible},
    mailbox,
    message::{Context, Message},
};

use crate::{
    latch::Latch,
    system::{Behaviour, Start, System, Target, Then},
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
