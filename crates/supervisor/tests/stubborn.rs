//! A server that makes trouble when it is to end.

use restante_core::ExitReason;
use restante_genserver::{Context, GenServer, Init, Next, Server, ServerRef, Step};
use restante_supervisor::{ChildSpec, Supervise};
use std::sync::mpsc;
use tokio::sync::oneshot;

/// See the module.
pub(crate) struct Stubborn;

/// Blocks the thread without an await, from when it says so until the other end is dropped.
pub(crate) type Block = (oneshot::Sender<()>, mpsc::Receiver<()>);

impl GenServer for Stubborn {
    type Args = ();
    type Call = std::convert::Infallible;
    type Cast = Block;
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, never: Self::Call, _: &mut Context<Self>) -> Step {
        match never {}
    }

    async fn handle_cast(&mut self, (blocks, until): Block, _: &mut Context<Self>) -> Step {
        let _ = blocks.send(());
        let _ = until.recv();
        Ok(Next::go())
    }

    async fn terminate(&mut self, _: &ExitReason, _: &mut Context<Self>) -> Result<(), ExitReason> {
        Err(ExitReason::error("no time to die"))
    }
}

/// A mailbox for one, and its specification.
pub(crate) fn stubborn(name: &'static str) -> (ServerRef<Stubborn>, ChildSpec) {
    let server = Server::new(name);
    (server.address(), server.child(()))
}

/// Returns when it blocks its thread; it does so until the sender is dropped.
pub(crate) async fn block(server: &ServerRef<Stubborn>) -> mpsc::Sender<()> {
    let (release, until) = mpsc::channel();
    let (blocks, blocked) = oneshot::channel();
    server.cast((blocks, until)).expect("there is room");
    blocked.await.expect("it handles it");
    release
}
