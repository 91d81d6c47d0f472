//! What several topics need: a server that counts, and one that ends when it is told.

use restante_core::ExitReason;
use restante_genserver::{Context, GenServer, Init, Next, Reply, Step};
use restante_registry::Sizes;

/// So many mailboxes and names.
pub(crate) fn counts(mailboxes: u64, names: u64) -> Sizes {
    Sizes { mailboxes, names }
}

/// Adds up.
#[derive(Debug)]
pub(crate) struct Counter(u64);

pub(crate) enum Ask {
    Get(Reply<u64>),
    /// Panics.
    Crash(Reply<()>),
}

impl GenServer for Counter {
    type Args = u64;
    type Call = Ask;
    type Cast = u64;
    type Info = ();

    async fn init(start: &u64, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self(*start)))
    }

    async fn handle_call(&mut self, call: Ask, _: &mut Context<Self>) -> Step {
        match call {
            Ask::Get(reply) => drop(reply.send(self.0)),
            Ask::Crash(_) => panic!("as told"),
        }
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, n: u64, _: &mut Context<Self>) -> Step {
        self.0 += n;
        Ok(Next::go())
    }
}

/// Serves nothing.
#[derive(Debug)]
pub(crate) struct Idle;

impl GenServer for Idle {
    type Args = ();
    type Call = Reply<()>;
    type Cast = ();
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Step {
        reply.send(());
        Ok(Next::go())
    }
}
