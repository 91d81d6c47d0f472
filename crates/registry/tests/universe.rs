//! What a universe says of names that are left over.

use crate::support::{Counter, Idle};
use restante_core::{ExitReason, Mailbox};
use restante_genserver::start;
use restante_registry::{NewEntry, Registry};
use restante_testkit::{Kind, Universe, World};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// For registries that live in other runtimes, whose answers paused time would not wait for. The shutdown's limit is a little
/// more than the watch over calls takes to see that no caller waits any more.
fn real_time() -> Universe {
    Universe::new().real_time().shutdown(Duration::from_secs(1))
}

/// What the universe says when this is left over.
fn failure(body: impl AsyncFnOnce(&World)) -> String {
    let failed = catch_unwind(AssertUnwindSafe(|| real_time().run(body)));
    let payload = failed.expect_err("something is left over");
    payload.downcast_ref::<String>().expect("it says what").clone()
}

fn place(line: u32) -> String {
    format!("made at crates/registry/tests/universe.rs:{line}:")
}

/// Clause 25.1: names that are gone by the end, each way a name goes, are no leak; nor is a registry that has ended.
#[test]
fn a_test_that_gives_its_names_back_passes() {
    Universe::new().run(async |world| {
        let registry = Registry::start();
        let counter = start::<Counter>(1).await.unwrap();
        registry.register(&counter, "by itself").await.unwrap();
        registry.register_id(counter.id(), "with its mailbox").await.unwrap();
        assert_eq!(world.census().count(Kind::Name), 2);
        assert!(registry.unregister("by itself"));
        assert_eq!(world.census().count(Kind::Name), 1);
        counter.close(ExitReason::Shutdown);
        assert_eq!(world.census().count(Kind::Name), 0);
        let idle = registry.create("with its registry", start::<Idle>(())).await.unwrap();
        assert_eq!(world.census().count(Kind::Name), 1);
        drop(registry);
        assert_eq!(world.census().count(Kind::Name), 0);
        drop(idle);
    });
}

/// Clause 25.1: a name that is still registered is a leak, told by its text and the line that put it on. The global registry
/// is no exception, though it lives in another runtime.
#[test]
fn a_name_that_is_not_given_back_is_told_by_its_text_and_place() {
    let mailbox = Mailbox::<u8>::new();
    let line = line!() + 2;
    let said = failure(async |_| {
        Registry::global().register(&mailbox.address(), "left over").await.unwrap();
    });
    let expected = format!("1 name: `left over`, a restante_core::address::Address<u8>, {}", place(line));
    assert!(said.contains(&expected), "{said}");
    assert_eq!(said.matches("\n  - ").count(), 1, "and nothing else: {said}");
    // The name goes with its mailbox: no other test finds it.
    drop(mailbox);
    assert!(!Registry::global().contains("left over"));
}

/// A name that came with a creation, and keeps its mailbox open, is a leak too; it may be allowed, by its text or by its kind.
#[test]
fn a_name_may_be_allowed() {
    let registry = Registry::builder().name("outside").start();
    let create = async |name: &'static str| {
        let made = async {
            let mailbox = Mailbox::<u8>::new();
            Ok::<_, Infallible>(NewEntry::new(mailbox.address()).own(mailbox))
        };
        registry.create::<_, _, _, _>(name, made).await.unwrap();
    };
    let said = failure(async |_| create("first").await);
    assert!(said.contains("1 name: `first`"), "{said}");
    real_time().allow_named("second").run(async |_| create("second").await);
    real_time().allow(Kind::Name).run(async |_| create("third").await);
    assert_eq!(registry.sizes().names, 3);
}

/// A name that was put on again is one name, at its new place.
#[test]
fn a_name_that_was_put_on_twice_is_told_of_once() {
    let registry = Registry::builder().name("outside").start();
    let mailbox = Mailbox::<u8>::new();
    let line = line!() + 4;
    let said = failure(async |_| {
        registry.register(&mailbox.address(), "again").await.unwrap();
        registry.unregister("again");
        registry.register(&mailbox.address(), "again").await.unwrap();
    });
    assert_eq!(said.matches("`again`").count(), 1, "{said}");
    assert!(said.contains(&place(line)), "{said}");
}

/// A registry that is left over shows by its actor.
#[test]
fn a_registry_that_does_not_end_is_a_leak() {
    let mut kept = None;
    let said = failure(async |_| kept = Some(Registry::builder().name("kept").start()));
    assert!(said.contains("1 server: `kept`, a restante_registry::actor::RegistryActor"), "{said}");
}
