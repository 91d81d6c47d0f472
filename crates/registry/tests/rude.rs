//! Foreign code at its worst, applied to what waits in a registry: wakers that panic, re-enter or go to another thread, of
//! operations that are dropped, forgotten, moved or finished.

use crate::support::{AGES, Ask, Counter, made, mailbox};
use restante_core::addressable::Addressable as _;
use restante_core::{Address, ExitReason, Mailbox};
use restante_genserver::{ServerRef, start};
use restante_registry::Registry;
use restante_testkit::{Rude, assert_conserved, quiet_panics, rudely, settled};
use std::time::Duration;

/// Longer than a case takes: tokio's timers are not to call a rude waker.
const LIMIT: Duration = Duration::from_secs(1800);

/// A registry with a server in it, and a mailbox that is not.
struct Office {
    registry: Registry,
    server: ServerRef<Counter>,
    outside: Address<u8>,
}

impl Office {
    async fn open() -> Self {
        let (registry, server) = (Registry::start(), start::<Counter>(0).await.expect("it starts"));
        registry.register(&server, "server").await.expect("the name is free");
        Self { registry, server, outside: mailbox() }
    }

    /// The books are in order, others are served, and the end comes.
    async fn suffers_nothing(&self, rude: &Rude) {
        settled().await;
        let look = self.registry.validate_consistency();
        assert!(look.is_consistent() || self.registry.ended().is_some(), "{rude}: {look:?}");
        if self.registry.ended().is_none() {
            let other = mailbox();
            let put = tokio::time::timeout(AGES, self.registry.register(&other, "other")).await;
            assert!(matches!(put, Ok(Ok(()))), "{rude}: {put:?}");
            assert!(self.registry.contains("other"), "{rude}");
        }
        let report = tokio::time::timeout(AGES, self.registry.shutdown(AGES)).await;
        assert!(report.is_ok(), "{rude}: `shutdown` hangs");
        assert_eq!(self.registry.capacity().active_creates, 0, "{rude}");
        let _ = self.server.stop(ExitReason::Normal, AGES).await;
        let joined = tokio::time::timeout(AGES, self.server.join()).await;
        assert!(joined.is_ok(), "{rude}: `join` hangs");
        assert_conserved!(self.server);
    }
}

/// Row H6: rude callers of a registry.
#[tokio::test(start_paused = true)]
async fn rude_users_of_a_registry_harm_nobody_else() {
    let _quiet = quiet_panics("rude");
    rudely! {
        setup: Office::open().await;
        reenter: |office| {
            let registry = office.registry.clone();
            move || { let _ = (registry.contains("server"), registry.sizes(), registry.unregister("none")); }
        };
        meanwhile: |office| { let _ = &office; settled().await };
        after: |office, rude| office.suffers_nothing(rude).await;
        "register": |office| office.registry.register(&office.outside, "outside");
        "register_id": |office| office.registry.register_id(office.server.id(), "also");
        "insert": |office| office.registry.insert(&office.outside);
        "insert_many": |office| office.registry.insert_many([&office.outside]);
        "add_key": |office| office.registry.add_key(office.server.id(), "kind", "key");
        "create_mailbox": |office| office.registry.create_mailbox(Mailbox::<u8>::settings());
        "create": |office| office.registry.create("made", made());
        "a creation that takes long": |office| office.registry.creation().name("late").timeout(LIMIT).run(async {
            settled().await;
            Ok::<_, std::convert::Infallible>(mailbox())
        });
        "call": |office| office.registry.call::<Counter, u64>("server", Ask::Get);
        "stop": |office| office.registry.stop::<Counter>("server", ExitReason::Normal, LIMIT);
        "shutdown": |office| office.registry.shutdown(LIMIT);
    }
}

/// Panics when it is asked whether it listens.
struct Deaf;

impl tracing::Subscriber for Deaf {
    fn register_callsite(&self, _: &'static tracing::Metadata<'static>) -> tracing::subscriber::Interest {
        tracing::subscriber::Interest::sometimes()
    }
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        panic!("as told")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Row H6: a subscriber that panics when a registry asks whether it listens takes nothing from others: not from the actor,
/// not from a caller that closes a mailbox, destroys one or gives an addition up.
#[tokio::test(start_paused = true)]
async fn a_subscriber_that_panics_when_it_is_asked_harms_no_registry() {
    let _quiet = quiet_panics("as told");
    // While there is only one listener, `tracing` remembers for all threads what the first of them said.
    let _other = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let registry = Registry::start();
    #[expect(clippy::disallowed_methods, reason = "this is the way")]
    let listens = tracing::subscriber::set_default(Deaf);
    let (one, two, three) = (mailbox(), mailbox(), mailbox());
    registry.register(&one, "one").await.unwrap();
    registry.register(&two, "two").await.unwrap();
    assert!(registry.unregister("one") && registry.destroy(one.id(), ExitReason::Shutdown));
    assert!(one.is_closed());
    two.clone().close_mailbox(ExitReason::Shutdown);
    assert!(!registry.contains("two"), "it is free before the closing is told of");
    let mut given_up = Box::pin(registry.register(&three, "three"));
    let _ = futures::poll!(&mut given_up);
    drop(given_up);
    assert!(registry.shutdown(AGES).await.is_clean());
    drop(listens);
}
