//! What several topics need: a server that counts, and one that ends when it is told.

use restante_core::{Address, ExitReason, Mailbox};
use restante_genserver::{Context, GenServer, Init, Next, Reply, Step};
use restante_registry::{LookupError, Registry, Sizes};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

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
            Ask::Crash(reply) => {
                drop(reply);
                panic!("as told")
            }
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

/// More time than anything here needs.
pub(crate) const AGES: Duration = Duration::from_secs(3600);

/// A mailbox without a server, as its only reference.
pub(crate) fn mailbox() -> Address<u8> {
    Mailbox::new().address()
}

/// Makes one, when it is polled.
pub(crate) fn made() -> impl Future<Output = Result<Address<u8>, Infallible>> + Send + Unpin + 'static {
    futures::future::lazy(|_| Ok(mailbox()))
}

/// Makes nothing, and holds this until it is dropped.
pub(crate) async fn never(held: Arc<()>) -> Result<Address<u8>, Infallible> {
    let never = std::future::pending().await;
    drop(held);
    never
}

pub(crate) fn sizes(mailboxes: u64, names: u64) -> Sizes {
    let mut sizes = Sizes::default();
    (sizes.mailboxes, sizes.names) = (mailboxes, names);
    sizes
}

/// Waits until no creation is under way, and sees that nothing is in the registry.
#[track_caller]
pub(crate) fn nothing_left(registry: &Registry) -> impl Future<Output = ()> {
    let idle = restante_testkit::eventually(AGES, || {
        let capacity = registry.capacity();
        capacity.active_creates == 0 && capacity.queued == 0
    });
    async move {
        idle.await;
        assert_eq!(registry.sizes(), sizes(0, 0), "{:?}", registry.entries());
        assert!(registry.validate_consistency().is_consistent());
        assert_eq!(registry.repair(), restante_registry::Repaired::default());
    }
}

/// Waits until no creation is under way, and sees that the name and a place can be had again: by registering and by creating.
#[track_caller]
pub(crate) fn free_again(registry: &Registry, name: &str) -> impl Future<Output = ()> {
    let idle = restante_testkit::eventually(AGES, || {
        let capacity = registry.capacity();
        capacity.active_creates == 0 && capacity.queued == 0
    });
    async move {
        idle.await;
        assert!(registry.validate_consistency().is_consistent());
        if let Err(LookupError::NotFound(absent)) = registry.whereis::<Address<u8>>(name) {
            assert!(!absent.being_created, "{name:?} is held");
        }
        let before = registry.sizes();
        let registered = mailbox();
        registry.register(&registered, name).await.expect("the name is free");
        assert_eq!(registry.id_of(name), Some(registered.id()));
        drop(registered);
        let created = registry.create(name, async { Ok::<_, Infallible>(mailbox()) }).await;
        let created = created.expect("the name and a place are free");
        assert_eq!(registry.id_of(name), Some(created.id()));
        drop(created);
        assert_eq!((registry.sizes(), registry.capacity().active_creates), (before, 0));
    }
}
