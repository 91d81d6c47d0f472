//! Names: putting them on, looking them up, and when they are free again.

use crate::support::{Ask, Counter, Idle, counts as sizes};
use restante_core::monitor::{Event, Watch};
use restante_core::{Address, ExitReason, Mailbox};
use restante_genserver::{ServerRef, start};
use restante_registry::{
    CallToError, Holder, InvalidName, LookupError, Name, Outcome, RegisterError, Registry,
};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// Row B1: a mailbox has an id from the beginning, and no name.
/// Clause 26.4.
#[tokio::test]
async fn a_mailbox_without_a_name_is_reached_by_its_id() {
    let registry = Registry::start();
    let mailbox = registry.create_mailbox(Mailbox::<u8>::settings().capacity(3)).await.unwrap();
    assert_eq!(mailbox.stats().capacity, Some(3));
    assert_eq!(registry.sizes(), sizes(1, 0));
    assert!(registry.names_of(mailbox.id()).is_empty());
    registry.send(mailbox.id(), 7_u8).unwrap();
    registry.send(&mailbox.id().to_string(), 8_u8).unwrap();
    assert_eq!(mailbox.stats().depth, 2);
    assert_eq!(registry.validate_consistency().unnamed_mailboxes, [mailbox.id()]);
}

/// Row B2: all or nothing; several names a mailbox, one mailbox a name.
/// Clause 26.2.
#[tokio::test]
async fn names_are_put_on_and_taken_off() {
    let registry = Registry::start();
    let counter = start::<Counter>(1).await.unwrap();
    let other = start::<Counter>(2).await.unwrap();
    registry.register(&counter, "a").await.unwrap();
    registry.register_id(counter.id(), "b").await.unwrap();
    assert_eq!(registry.names_of(counter.id()), ["a", "b"]);
    assert_eq!(registry.sizes(), sizes(1, 2));
    let taken = |name: &str| {
        Err(RegisterError::NameAlreadyExists {
            name: restante_registry::NameText::new(name).unwrap(),
            holder: Holder::Mailbox(counter.id()),
        })
    };
    assert_eq!(registry.register(&other, "a").await, taken("a"));
    assert_eq!(registry.register(&counter, "a").await, Ok(()), "it is its own");
    assert_eq!(registry.sizes(), sizes(1, 2), "who was refused did not come in");
    let nobody = Uuid::now_v7();
    assert_eq!(registry.register_id(nobody, "c").await, Err(RegisterError::MailboxDoesNotExist(nobody)));
    let id = nobody.to_string();
    let refused = registry.register(&other, id.as_str()).await;
    assert_eq!(refused, Err(RegisterError::InvalidName(InvalidName::ReadsAsId(id))));
    assert_eq!(registry.register(&other, "").await, Err(InvalidName::Empty.into()));
    let found: ServerRef<Counter> = registry.whereis("b").unwrap();
    assert_eq!(found.call(Ask::Get).await, Ok(1));
    assert!(registry.unregister("a"));
    assert!(!registry.unregister("a"));
    registry.register(&other, "a").await.unwrap();
    assert_eq!(registry.with("a", ServerRef::<Counter>::id).unwrap(), other.id());
    assert_eq!(registry.unregister_all(counter.id()), 1);
    assert_eq!(registry.sizes(), sizes(2, 1));
    assert!(registry.contains(counter.id()) && !registry.contains("b"));
}

/// Row B3: absent, of another type, and closed are three errors.
/// Clause 26.6.
#[tokio::test]
async fn a_failed_look_up_says_why() {
    let registry = Registry::builder().name("here").start();
    let counter = start::<Counter>(1).await.unwrap();
    registry.register(&counter, "provisioning_mgr").await.unwrap();
    registry.register(&counter, "config").await.unwrap();
    let absent = registry.whereis::<ServerRef<Counter>>("provisoning_mgr").unwrap_err();
    let LookupError::NotFound(absent) = absent else { panic!("{absent}") };
    assert_eq!(absent.nearest[0], "provisioning_mgr");
    assert_eq!(absent.sizes, sizes(1, 2));
    assert_eq!(absent.recent.len(), 3, "created, and two names");
    let text = absent.to_string();
    assert!(text.contains("(1 mailboxes, 2 names)") && text.contains("names.rs:"), "{text}");
    let other = registry.whereis::<ServerRef<Idle>>("config").unwrap_err();
    assert!(matches!(other, LookupError::WrongType { expected, found, .. }
        if expected.contains("Idle") && found.contains("Counter")));
    let other = registry.whereis::<Address<u8>>("config").unwrap_err();
    assert!(matches!(other, LookupError::WrongType { .. }), "{other}");
    counter.close(ExitReason::shutdown_with("done"));
    let closed = registry.whereis::<ServerRef<Counter>>("config").unwrap_err();
    let LookupError::Closed { ending, .. } = closed else { panic!("{closed}") };
    assert_eq!((ending.outcome, ending.reason), (Outcome::Closed, ExitReason::shutdown_with("done")));
}

/// A failed look-up compares beginnings, and no name with one of quite another length: neither long names nor a long text
/// make it slow. Uncut, these comparisons would take hours.
#[tokio::test]
async fn a_failed_look_up_is_quick_whatever_the_lengths() {
    let registry = Registry::start();
    let kept = Mailbox::<u8>::new().address();
    let long = "long/".repeat(100_000);
    for n in 0..200 {
        registry.register(&kept, format!("{n}/{long}")).await.unwrap();
    }
    registry.register(&kept, "short").await.unwrap();
    let nearest = |whom: &str| match registry.whereis::<Address<u8>>(whom) {
        Err(LookupError::NotFound(absent)) => absent.nearest,
        other => panic!("{other:?}"),
    };
    assert!(nearest(&format!("7/{long}!"))[0].starts_with("7/long"));
    assert_eq!(nearest("shrt"), ["short"]);
    assert!(nearest("s").is_empty(), "of quite another length");
}

/// Clause 26.6: the last to have it is found however many changes have come since, as long as the history has it.
#[tokio::test]
async fn an_end_is_remembered_over_many_changes() {
    let registry = Registry::builder().history(500).start();
    let first = Mailbox::<u8>::new().address();
    registry.register(&first, "first").await.unwrap();
    drop(first);
    let kept = Mailbox::<u8>::new().address();
    let found = || registry.whereis::<Address<u8>>("first").unwrap_err();
    for n in 0..495 {
        registry.register(&kept, n.to_string()).await.unwrap();
        assert!(matches!(found(), LookupError::Closed { .. }), "{n}: {}", found());
    }
    for n in 495..500 {
        registry.register(&kept, n.to_string()).await.unwrap();
    }
    assert!(matches!(found(), LookupError::NotFound(_)), "{}", found());
}

/// Whatever one does with a name, a typed one does: in the current registry, or in one that is named.
#[tokio::test]
async fn a_typed_name_does_what_a_name_does() {
    const COUNTER: Name<Counter> = Name::new("typed");
    const OTHER: Name<Idle> = Name::new("typed");
    let (registry, elsewhere) = (Registry::start(), Registry::start());
    let counter = start::<Counter>(1).await.unwrap();
    let id = counter.id();
    let mut before = COUNTER.of(&elsewhere).cached();
    registry
        .enter(async {
            assert!(COUNTER.find(|_| ()).is_none());
            assert!(matches!(
                COUNTER.call(Ask::Get).await,
                Err(CallToError::Lookup(LookupError::NotFound(_)))
            ));
            COUNTER.register(&counter).await.unwrap();
            COUNTER.cast(2).unwrap();
            assert_eq!(COUNTER.call(Ask::Get).await.unwrap(), 3);
            assert_eq!(COUNTER.find(ServerRef::id), Some(id));
            assert_eq!(COUNTER.cached().get().unwrap().id(), id);
            assert!(OTHER.find(|_| ()).is_none() && OTHER.cached().get().is_err());
            let crashed = COUNTER.call(Ask::Crash).await;
            assert!(matches!(crashed, Err(CallToError::Call(_))), "{crashed:?}");
        })
        .await;
    assert!(COUNTER.of(&elsewhere).find(|_| ()).is_none() && before.get().is_err());
    let counter = start::<Counter>(1).await.unwrap();
    COUNTER.of(&elsewhere).register(&counter).await.unwrap();
    assert_eq!(COUNTER.of(&elsewhere).call(Ask::Get).await.unwrap(), 1);
    assert_eq!(COUNTER.of(&elsewhere).find(ServerRef::id), Some(counter.id()));
    assert_eq!(before.get().unwrap().id(), counter.id());
    assert_eq!(COUNTER.find(|_| ()), None, "the global one");
}

/// Rows 14 and 15 of the failure modes: a name is free before anybody hears of the end.
/// Clause 26.1.
#[tokio::test]
async fn a_name_is_free_again_before_a_monitor_fires() {
    let registry = Registry::start();
    let counter = start::<Counter>(1).await.unwrap();
    registry.register(&counter, "counter").await.unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    for watch in [Watch::Incarnation, Watch::Mailbox] {
        let (registry, seen) = (registry.clone(), Arc::clone(&seen));
        counter.monitor(watch, move |event| {
            let what = match event {
                Event::Down(_) => "down",
                Event::Closed(_) => "closed",
                _ => "else",
            };
            seen.lock().unwrap().push((what, registry.contains("counter"), registry.sizes()));
        });
    }
    let id = counter.id();
    let reason = ExitReason::shutdown_with("enough");
    counter.stop(reason, std::time::Duration::from_secs(1)).await.unwrap();
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen.iter().all(|(_, found, now)| !found && *now == sizes(0, 0)), "{seen:?}");
    assert!(!registry.contains(id));
}

/// A registration never keeps a server alive.
/// Clause 26.5.
#[tokio::test]
async fn the_last_reference_takes_the_names_along() {
    let registry = Registry::start();
    let mailbox = Mailbox::<u8>::new();
    registry.register(&mailbox.address(), "box").await.unwrap();
    assert!(registry.contains("box"));
    drop(mailbox);
    assert_eq!(registry.sizes(), sizes(0, 0));
}

/// Row B5: a server that is not restarted takes its names along when it crashes.
#[tokio::test]
async fn a_crash_for_good_frees_the_names() {
    let registry = Registry::start();
    let counter = start::<Counter>(1).await.unwrap();
    registry.register(&counter, "counter").await.unwrap();
    assert!(counter.call(Ask::Crash).await.is_err());
    counter.join().await;
    assert_eq!(registry.sizes(), sizes(0, 0));
}

#[test]
fn a_lent_reference_is_one_word() {
    use restante_core::addressable::Lent;
    assert_eq!(size_of::<Lent<restante_core::Address<String>>>(), size_of::<usize>());
    assert_eq!(size_of::<Lent<restante_genserver::ServerRef<crate::support::Counter>>>(), size_of::<usize>());
}
