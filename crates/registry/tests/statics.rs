//! What can be known without running: what goes to other threads. (That what is lent stays in its closure, a doc test shows.)

use crate::support::Counter;
use restante_core::{Address, Mailbox};
use restante_genserver::ServerRef;
use restante_registry::{
    Cached, Changes, CreateError, Creation, EntryRef, LookupError, RegisterError, Registry, Retry, Snapshot,
};
use std::convert::Infallible;

type Server = ServerRef<Counter>;

fn can_be_shared<T: Send + Sync + 'static>() {}

fn can_be_sent<T: Send>(value: T) -> T {
    value
}

/// Failure mode 28: nothing that the registry gives away holds a guard of its maps or locks, which could go to no other thread.
#[test]
fn all_that_a_registry_gives_away_goes_to_other_threads() {
    can_be_shared::<Registry>();
    can_be_shared::<EntryRef>();
    can_be_shared::<Cached<Server>>();
    can_be_shared::<Cached<Address<u8>>>();
    can_be_shared::<Snapshot>();
    can_be_shared::<Changes>();
    can_be_shared::<RegisterError>();
    can_be_shared::<CreateError<Infallible>>();
    can_be_shared::<LookupError>();
}

/// Failure mode 28: each of them can be awaited in a task, and holds nothing across its awaits that could not move.
#[tokio::test]
async fn all_that_is_awaited_can_be_awaited_in_a_task() {
    let registry = Registry::start();
    let mailbox = Mailbox::<u8>::new();
    let at = mailbox.address();
    let made = || {
        let at = at.clone();
        async move { Ok::<_, Infallible>(at) }
    };
    can_be_sent(registry.register(&at, "a")).await.unwrap();
    can_be_sent(registry.register_id(at.id(), "b")).await.unwrap();
    can_be_sent(registry.insert(&at)).await.unwrap();
    can_be_sent(registry.insert_many([&at])).await.unwrap();
    can_be_sent(registry.add_key(at.id(), "k", "1")).await.unwrap();
    can_be_sent(registry.create_mailbox(Mailbox::<u8>::settings())).await.unwrap();
    can_be_sent(registry.create::<Address<u8>, _, _, _>("c", made())).await.unwrap();
    let creation: Creation<'_> = can_be_sent(registry.creation()).name("d");
    can_be_sent(creation.run::<Address<u8>, _, _, _>(made())).await.unwrap();
    let retried = registry.create_with_retry::<Address<u8>, _, _, _>("e", Retry::default(), made);
    can_be_sent(retried).await.unwrap();
    let (_, mut changes) = registry.follow();
    mailbox.close();
    can_be_sent(changes.next()).await;
    let other = Mailbox::<u8>::new();
    registry.register(&other.address(), "f").await.unwrap();
    let entry = registry.entry("f").unwrap();
    other.close();
    can_be_sent(entry.closed()).await;
    assert!(can_be_sent(registry.shutdown(std::time::Duration::from_secs(5))).await.is_clean());
}
