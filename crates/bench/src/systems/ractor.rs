//! ractor: `spawn_instant`, `cast`, `call` without a time limit; its mailboxes are unbounded always.

use std::{future::ready, marker::PhantomData, sync::Arc};

use ::ractor::{Actor, ActorProcessingErr, ActorRef, ActorRuntime, RpcReplyPort, SupervisionEvent};
use futures::executor::block_on;

use crate::{
    latch::Latch,
    system::{Behaviour, Start, System, Target, Then},
};

pub(crate) struct Ractor;

/// An actor that holds a behaviour as its state.
struct Host<B>(PhantomData<fn() -> B>);

pub(crate) enum Message {
    Cast(u64, u64),
    Call(u64, RpcReplyPort<u64>),
}

impl<B: Behaviour<Ractor>> Actor for Host<B> {
    type Msg = Message;
    type State = B;
    type Arguments = B;

    async fn pre_start(&self, me: ActorRef<Message>, mut behaviour: B) -> Result<B, ActorProcessingErr> {
        if B::STARTS && behaviour.started(&me).await == Then::Stop {
            me.stop(None);
        }
        Ok(behaviour)
    }

    async fn handle(
        &self,
        me: ActorRef<Message>,
        message: Message,
        behaviour: &mut B,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Cast(a, b) => {
                if behaviour.on_cast(a, b) == Then::Stop {
                    me.stop(None);
                }
            }
            Message::Call(x, port) => {
                let _ = port.send(behaviour.on_call(x));
            }
        }
        Ok(())
    }
}

impl System for Ractor {
    const BOUNDED: bool = false;

    type Ref<B: Behaviour<Self>> = ActorRef<Message>;

    fn start<B: Behaviour<Self>>(_: Start, behaviour: B) -> impl Future<Output = ActorRef<Message>> + Send {
        let (actor, _) =
            ActorRuntime::spawn_instant(None, Host::<B>(PhantomData), behaviour).expect("the actor starts");
        ready(actor)
    }

    fn stop<B: Behaviour<Self>>(server: ActorRef<Message>) -> impl Future<Output = ()> + Send {
        server.stop(None);
        ready(())
    }

    fn cast_now<B: Behaviour<Self>>(server: &ActorRef<Message>, a: u64, b: u64) {
        server.cast(Message::Cast(a, b)).expect("the actor lives");
    }

    fn cast<B: Behaviour<Self>>(
        server: &ActorRef<Message>,
        a: u64,
        b: u64,
    ) -> impl Future<Output = ()> + Send {
        Self::cast_now::<B>(server, a, b);
        ready(())
    }

    async fn call<B: Behaviour<Self>>(server: &ActorRef<Message>, x: u64) -> u64 {
        server.call(|port| Message::Call(x, port), None).await.expect("the actor lives").unwrap()
    }

    fn call_blocking<B: Behaviour<Self>>(server: &ActorRef<Message>, x: u64) -> u64 {
        block_on(Self::call::<B>(server, x))
    }

    async fn watched(watchers: u64, latch: Arc<Latch>) -> Option<Target> {
        let (target, _) = Actor::spawn(None, Watched, ()).await.expect("the target starts");
        for _ in 0..watchers {
            let (watcher, _) =
                Actor::spawn(None, Watcher, Arc::clone(&latch)).await.expect("the watcher starts");
            watcher.monitor(target.get_cell());
        }
        Some(Box::new(move || target.stop(None)))
    }
}

struct Watched;

impl Actor for Watched {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

/// Arrives at the latch when what it monitors has ended.
struct Watcher;

impl Actor for Watcher {
    type Msg = ();
    type State = Arc<Latch>;
    type Arguments = Arc<Latch>;

    async fn pre_start(&self, _: ActorRef<()>, latch: Arc<Latch>) -> Result<Arc<Latch>, ActorProcessingErr> {
        Ok(latch)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        latch: &mut Arc<Latch>,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorTerminated(..) = event {
            latch.arrive(1);
        }
        Ok(())
    }
}
