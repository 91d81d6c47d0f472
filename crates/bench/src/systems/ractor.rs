//! ractor: `spawn_instant`, `cast`, `call` without a time limit; its mailboxes are unbounded always.

use std::{future::ready, marker::PhantomData, sync::Arc};

use ::ractor::{Actor, ActorProcessingErr, ActorRef, ActorRuntime, RpcReplyPort, SupervisionEvent, registry};
use futures::executor::block_on;
use tokio::sync::mpsc;

use crate::{
    directory::Directory,
    latch::Latch,
    supervised::{Case, Dynamic, Supervised},
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
    type Supervised = Restarted;
    type Dynamic = Family;
    type Directory = Names;

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

    /// Queue and address go with the actor: its supervisor starts another, in `handle_supervisor_evt`, and has to
    /// tell the client its address. That is what the client waits for before it calls.
    async fn supervised(case: Case) -> Option<Restarted> {
        if case.remembers.is_some() {
            return None;
        }
        let (tell, told) = mpsc::unbounded_channel();
        let (_supervisor, _) = Actor::spawn(None, Restarter, (case, tell)).await.expect("it starts");
        Some(Restarted { told, patient: None })
    }

    async fn dynamic() -> Option<Family> {
        let (supervisor, _) = Actor::spawn(None, Keeper, ()).await.expect("the supervisor starts");
        Some(Family(supervisor))
    }

    fn directory() -> impl Future<Output = Option<Names>> + Send {
        ready(Some(Names))
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

pub(crate) struct Restarted {
    told: mpsc::UnboundedReceiver<ActorRef<Message>>,
    /// The incarnation that is known to live.
    patient: Option<ActorRef<Message>>,
}

impl Supervised for Restarted {
    fn crash(&mut self) -> impl Future<Output = ()> + Send {
        let patient = self.patient.take().expect("it has been called since the last crash");
        patient.cast(Message::Cast(0, 0)).expect("the actor lives");
        ready(())
    }

    async fn number(&mut self) -> u64 {
        let patient = self.told.recv().await.expect("the supervisor lives");
        let number = patient.call(|port| Message::Call(0, port), None).await.expect("it lives").unwrap();
        self.patient = Some(patient);
        number
    }
}

/// Starts its one child again whenever that ends, and tells where the new one is.
struct Restarter;

type Restarts = (Case, mpsc::UnboundedSender<ActorRef<Message>>);

impl Restarter {
    fn start_child(me: &ActorRef<()>, (case, tell): &Restarts) -> Result<(), ActorProcessingErr> {
        let (child, _) = ActorRuntime::spawn_linked_instant(None, Patient, case.clone(), me.get_cell())?;
        // The driver listens no more once it is done.
        let _ = tell.send(child);
        Ok(())
    }
}

impl Actor for Restarter {
    type Msg = ();
    type State = Restarts;
    type Arguments = Restarts;

    async fn pre_start(&self, me: ActorRef<()>, restarts: Restarts) -> Result<Restarts, ActorProcessingErr> {
        Self::start_child(&me, &restarts)?;
        Ok(restarts)
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<()>,
        event: SupervisionEvent,
        restarts: &mut Restarts,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(..) | SupervisionEvent::ActorFailed(..) => {
                Self::start_child(&me, restarts)
            }
            _ => Ok(()),
        }
    }
}

/// Its state is its number beside the case.
struct Patient;

impl Actor for Patient {
    type Msg = Message;
    type State = (u64, Case);
    type Arguments = Case;

    async fn pre_start(&self, _: ActorRef<Message>, case: Case) -> Result<(u64, Case), ActorProcessingErr> {
        Ok((case.begin(), case))
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        (number, case): &mut (u64, Case),
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Cast(..) => match case.crash.happen()? {},
            Message::Call(_, port) => {
                let _ = port.send(*number);
            }
        }
        Ok(())
    }
}

/// A supervisor that lets its children go.
pub(crate) struct Family(ActorRef<()>);

impl Dynamic for Family {
    type Child = ActorRef<()>;

    async fn start(&mut self) -> ActorRef<()> {
        let (child, _) =
            Actor::spawn_linked(None, Watched, (), self.0.get_cell()).await.expect("the child starts");
        child
    }

    async fn stop(&mut self, child: ActorRef<()>) {
        child.stop_and_wait(None, None).await.expect("the child lives");
    }
}

struct Keeper;

impl Actor for Keeper {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    /// By default the supervisor would end with the first child.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        _: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

/// The one registry of the process: a `DashMap`, which hands out clones. An actor is named when it starts, and only
/// then; its end frees the name.
pub(crate) struct Names;

impl Directory<Ractor> for Names {
    fn start<B: Behaviour<Ractor>>(
        &self,
        name: &str,
        behaviour: B,
    ) -> impl Future<Output = ActorRef<Message>> + Send {
        let host = Host::<B>(PhantomData);
        let (actor, _) =
            ActorRuntime::spawn_instant(Some(name.to_owned()), host, behaviour).expect("the name is free");
        ready(actor)
    }

    async fn register<B: Behaviour<Ractor>>(&self, name: &str, _: &ActorRef<Message>, instead: B) {
        Directory::start(self, name, instead).await;
    }

    async fn unregister(&self, name: &str) {
        let actor = registry::where_is(name).expect("it is registered");
        actor.stop_and_wait(None, None).await.expect("it stops");
    }

    fn with<B: Behaviour<Ractor>, R>(
        &self,
        name: &str,
        used: impl FnOnce(&ActorRef<Message>) -> R,
    ) -> Option<R> {
        ActorRef::<Message>::where_is(name).map(|actor| used(&actor))
    }
}
