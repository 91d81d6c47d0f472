//! Hand-written tasks: an mpsc channel as the mailbox, a oneshot for the reply, one loop.

use std::{future::ready, marker::PhantomData, mem, panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt;
use tokio::sync::{mpsc, oneshot};

use crate::{
    latch::Latch,
    supervised::{Case, Crashed, Lacking, Supervised},
    system::{Behaviour, Start, System, Target, Then},
    workload::CAPACITY,
};

/// The system, over one of the two kinds of channel.
pub(crate) struct Tokio<C>(PhantomData<fn() -> C>);

pub(crate) enum Message {
    Cast(u64, u64),
    Call(u64, oneshot::Sender<u64>),
}

impl<C: Channel> System for Tokio<C> {
    const BOUNDED: bool = C::BOUNDED;

    type Ref<B: Behaviour<Self>> = C::Sender;
    type Supervised = Patient<C>;
    type Dynamic = Lacking;
    type Directory = Lacking;

    fn start<B: Behaviour<Self>>(start: Start, behaviour: B) -> impl Future<Output = C::Sender> + Send {
        let (sender, receiver) = C::open(start.capacity);
        if B::STARTS {
            tokio::spawn(start_and_serve::<C, B>(sender.clone(), receiver, behaviour));
        } else {
            tokio::spawn(serve::<C, B>(receiver, behaviour));
        }
        ready(sender)
    }

    fn stop<B: Behaviour<Self>>(server: C::Sender) -> impl Future<Output = ()> + Send {
        drop(server);
        ready(())
    }

    fn cast_now<B: Behaviour<Self>>(server: &C::Sender, a: u64, b: u64) {
        C::try_send(server, Message::Cast(a, b));
    }

    fn cast<B: Behaviour<Self>>(server: &C::Sender, a: u64, b: u64) -> impl Future<Output = ()> + Send {
        C::send(server, Message::Cast(a, b))
    }

    async fn call<B: Behaviour<Self>>(server: &C::Sender, x: u64) -> u64 {
        let (reply, replied) = oneshot::channel();
        C::send(server, Message::Call(x, reply)).await;
        replied.await.expect("the server replies")
    }

    fn call_blocking<B: Behaviour<Self>>(server: &C::Sender, x: u64) -> u64 {
        let (reply, replied) = oneshot::channel();
        C::send_blocking(server, Message::Call(x, reply));
        replied.blocking_recv().expect("the server replies")
    }

    /// What one writes by hand: the target holds the list of those to tell.
    async fn watched(watchers: u64, latch: Arc<Latch>) -> Option<Target> {
        let mut list = Vec::new();
        for _ in 0..watchers {
            let watcher = Watcher { latch: Arc::clone(&latch) };
            list.push(<Self as System>::start(Start::UNBOUNDED, watcher).await);
        }
        let (end, ended) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let _ = ended.await;
            for watcher in &list {
                <Self as System>::cast_now::<Watcher>(watcher, 1, 0);
            }
            // The watchers live on.
            mem::forget(list);
        });
        Some(Box::new(move || drop(end)))
    }

    /// The floor, what one writes by hand: one task, in whose loop each turn is an incarnation. The queue is the
    /// channel's, which knows nothing of crashes.
    async fn supervised(case: Case) -> Option<Patient<C>> {
        if case.remembers.is_some() {
            return None;
        }
        let (sender, mut receiver) = C::open(Some(CAPACITY));
        tokio::spawn(async move {
            loop {
                let incarnation = AssertUnwindSafe(incarnation::<C>(&mut receiver, &case));
                // After a panic or an error there is a next one.
                if let Ok(Ok(())) = incarnation.catch_unwind().await {
                    return;
                }
            }
        });
        Some(Patient(sender))
    }
}

async fn start_and_serve<C: Channel, B: Behaviour<Tokio<C>>>(
    me: C::Sender,
    receiver: C::Receiver,
    mut behaviour: B,
) {
    if behaviour.started(&me).await == Then::Continue {
        drop(me);
        serve::<C, B>(receiver, behaviour).await;
    }
}

async fn serve<C: Channel, B: Behaviour<Tokio<C>>>(mut receiver: C::Receiver, mut behaviour: B) {
    while let Some(message) = C::receive(&mut receiver).await {
        match message {
            Message::Cast(a, b) => {
                if behaviour.on_cast(a, b) == Then::Stop {
                    return;
                }
            }
            Message::Call(x, reply) => {
                let _ = reply.send(behaviour.on_call(x));
            }
        }
    }
}

pub(crate) struct Patient<C: Channel>(C::Sender);

impl<C: Channel> Supervised for Patient<C> {
    async fn crash(&mut self) {
        C::send(&self.0, Message::Cast(0, 0)).await;
    }

    async fn number(&mut self) -> u64 {
        let (reply, replied) = oneshot::channel();
        C::send(&self.0, Message::Call(0, reply)).await;
        replied.await.expect("the next incarnation replies")
    }
}

/// One incarnation: serves until it is told to crash, or until its last sender has gone.
async fn incarnation<C: Channel>(receiver: &mut C::Receiver, case: &Case) -> Result<(), Crashed> {
    let number = case.begin();
    while let Some(message) = C::receive(receiver).await {
        match message {
            Message::Cast(..) => match case.crash.happen()? {},
            Message::Call(_, reply) => {
                let _ = reply.send(number);
            }
        }
    }
    Ok(())
}

struct Watcher {
    latch: Arc<Latch>,
}

impl<C: Channel> Behaviour<Tokio<C>> for Watcher {
    fn on_cast(&mut self, a: u64, _: u64) -> Then {
        self.latch.arrive(a);
        Then::Continue
    }
}

/// A kind of mpsc channel.
pub(crate) trait Channel: 'static {
    const BOUNDED: bool;
    type Sender: Clone + Send + Sync + Unpin + 'static;
    type Receiver: Send + 'static;

    fn open(capacity: Option<usize>) -> (Self::Sender, Self::Receiver);
    fn receive(receiver: &mut Self::Receiver) -> impl Future<Output = Option<Message>> + Send;
    fn send(sender: &Self::Sender, message: Message) -> impl Future<Output = ()> + Send;
    fn try_send(sender: &Self::Sender, message: Message);
    fn send_blocking(sender: &Self::Sender, message: Message);
}

/// `mpsc::channel`.
pub(crate) struct Bounded;

impl Channel for Bounded {
    const BOUNDED: bool = true;
    type Sender = mpsc::Sender<Message>;
    type Receiver = mpsc::Receiver<Message>;

    fn open(capacity: Option<usize>) -> (Self::Sender, Self::Receiver) {
        mpsc::channel(capacity.expect("the workload bounds its mailboxes"))
    }

    fn receive(receiver: &mut Self::Receiver) -> impl Future<Output = Option<Message>> + Send {
        receiver.recv()
    }

    async fn send(sender: &Self::Sender, message: Message) {
        sender.send(message).await.expect("the server lives");
    }

    fn try_send(sender: &Self::Sender, message: Message) {
        sender.try_send(message).expect("the server lives and has room");
    }

    fn send_blocking(sender: &Self::Sender, message: Message) {
        sender.blocking_send(message).expect("the server lives");
    }
}

/// `mpsc::unbounded_channel`.
pub(crate) struct Unbounded;

impl Channel for Unbounded {
    const BOUNDED: bool = false;
    type Sender = mpsc::UnboundedSender<Message>;
    type Receiver = mpsc::UnboundedReceiver<Message>;

    fn open(_: Option<usize>) -> (Self::Sender, Self::Receiver) {
        mpsc::unbounded_channel()
    }

    fn receive(receiver: &mut Self::Receiver) -> impl Future<Output = Option<Message>> + Send {
        receiver.recv()
    }

    fn send(sender: &Self::Sender, message: Message) -> impl Future<Output = ()> + Send {
        Self::try_send(sender, message);
        ready(())
    }

    fn try_send(sender: &Self::Sender, message: Message) {
        sender.send(message).expect("the server lives");
    }

    fn send_blocking(sender: &Self::Sender, message: Message) {
        Self::try_send(sender, message);
    }
}
