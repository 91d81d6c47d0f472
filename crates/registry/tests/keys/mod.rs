//! Keys: Elixir's `Registry`, case by case, and what is ours.
//!
//! Cases are named after those of Elixir's own suite (`registry_test.exs`, `registry/unique_test.exs`,
//! `registry/duplicate_test.exs`). Those about partitions, the names of registries, links and atoms that Erlang's match
//! specifications reserve have no counterpart here.

mod duplicate;
mod ends;
mod listeners;
mod lock;
mod threads;
mod unique;

use restante_core::{Address, ExitReason, Mailbox};
use restante_genserver::{Context, GenServer, Init, Next, Reply, Step};
use restante_registry::keys::{Keys, Registered};
use tokio::sync::oneshot;

/// A mailbox that its caller holds open, and its address.
fn mailbox() -> (Mailbox<u32>, Address<u32>) {
    let mailbox = Mailbox::new();
    let address = mailbox.address();
    (mailbox, address)
}

/// The holders and their values, in the order of `entries`.
fn seen<V: Clone>(entries: &[Registered<&'static str, V>]) -> Vec<(uuid::Uuid, V)> {
    entries.iter().map(|entry| (entry.holder_id(), entry.value().clone())).collect()
}

/// A server that does as it is told.
struct Clerk;

enum Tell {
    Panic,
    Stop(ExitReason),
    /// Takes the lock of this key, says so, and waits for ever.
    Lock(Keys<&'static str, u32>, &'static str, oneshot::Sender<()>),
}

impl GenServer for Clerk {
    type Args = ();
    type Call = Reply<u32>;
    type Cast = Tell;
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, incarnation: Reply<u32>, ctx: &mut Context<Self>) -> Step {
        incarnation.send(ctx.incarnation());
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, tell: Tell, _: &mut Context<Self>) -> Step {
        match tell {
            Tell::Panic => panic!("told to"),
            Tell::Stop(reason) => Ok(Next::stop_with(reason)),
            Tell::Lock(keys, key, locked) => {
                let _guard = keys.lock(&key).await;
                let _ = locked.send(());
                std::future::pending().await
            }
        }
    }
}

/// No panic of these tests is worth a line.
fn quiet() {
    // For good: what a server is told to do may come after the test's own end.
    std::mem::forget(restante_testkit::quiet_panics("told to"));
}
