//! How registrations end by themselves, and what they outlive.

use super::{Clerk, Tell, mailbox, quiet, seen};
use restante_core::monitor::{Event, Watch};
use restante_core::{Address, ExitReason, Mailbox};
use restante_genserver::{Server, ServerRef, start};
use restante_registry::keys::{KeyError, Keys};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

type Names = Keys<&'static str, u32>;

/// Case `clean up registry on process crash`.
#[test]
fn a_closed_mailbox_leaves_nothing_in_the_registry() {
    let ((m, me), (_n, other)) = (mailbox(), mailbox());
    let keys = Names::duplicate();
    for key in ["hello", "hello", "world"] {
        keys.register(&me, key, 1).unwrap();
    }
    keys.register(&other, "hello", 2).unwrap();
    m.close();
    assert_eq!((keys.count(), seen(&keys.lookup("hello"))), (1, vec![(other.id(), 2)]));
    assert!(keys.lookup("world").is_empty() && keys.keys_of(&me).is_empty());
    assert_eq!(keys.register(&me, "late", 3).unwrap_err(), KeyError::HolderClosed);
}

/// Row B10: a registration is memory, not life.
#[test]
fn a_registration_keeps_no_mailbox_open() {
    let keys = Names::unique();
    let (m, me) = mailbox();
    let registration = keys.register(&me, "hello", 1).unwrap();
    let entry = keys.lookup("hello").remove(0);
    drop((m, me));
    assert_eq!((keys.count(), registration.is_registered(), entry.has_closed()), (0, false, true));
    assert!(entry.holder::<Address<u32>>().is_none(), "the last one has gone");
    assert!(entry.lent::<Address<u32>>().unwrap().try_send(1).is_err());
}

/// Row B10: and what one gets out of an entry is life.
#[test]
fn a_holder_that_was_looked_up_counts() {
    let keys = Names::unique();
    let (m, me) = mailbox();
    keys.register(&me, "hello", 1).unwrap();
    let found: Address<u32> = keys.whereis("hello").unwrap();
    drop((m, me));
    assert_eq!(keys.count(), 1);
    drop(found);
    assert_eq!(keys.count(), 0);
}

/// Row G5: keys survive a restart of their server.
/// Clause 30.1.
#[tokio::test]
async fn a_registration_outlives_the_incarnations_of_its_server() {
    quiet();
    let server = Server::<Clerk>::new("clerk");
    let clerk = server.start(()).await.unwrap();
    let keys = Names::unique();
    keys.register(&clerk, "clerk", 1).unwrap();
    clerk.cast(Tell::Panic).unwrap();
    clerk.join().await;
    assert_eq!(keys.value_of("clerk"), Some(1), "also while nobody reads");
    server.start(()).await.unwrap();
    let found: ServerRef<Clerk> = keys.whereis("clerk").unwrap();
    assert_eq!(found.call(|incarnation| incarnation).await.unwrap(), 2);
    // The second incarnation comes by what the first one registered.
    keys.register(&clerk, "clerk", 1).unwrap();
    let [registration] = &keys.registrations_of(&"clerk", &clerk)[..] else { panic!("there is one") };
    assert_eq!(registration.update_value(|n| n + 1), Ok((2, 1)));
}

/// How a server's end comes about.
type End = fn(&ServerRef<Clerk>);

/// Row B5: keys are free again before monitors of the final end fire, however it comes about.
/// Clause 30.1.
#[tokio::test]
async fn a_key_is_free_before_monitors_hear_of_the_end() {
    quiet();
    let ends: [(&str, End); 5] = [
        ("panic", |clerk| clerk.cast(Tell::Panic).unwrap()),
        ("stop", |clerk| clerk.cast(Tell::Stop(ExitReason::Normal)).unwrap()),
        ("error", |clerk| clerk.cast(Tell::Stop(ExitReason::error("no"))).unwrap()),
        ("kill", |clerk| assert!(clerk.kill())),
        ("close", |clerk| assert!(clerk.close(ExitReason::Shutdown))),
    ];
    for (name, end) in ends {
        let clerk = start::<Clerk>(()).await.unwrap();
        let (_m, heir) = mailbox();
        let keys = Names::unique();
        keys.register(&clerk, "clerk", 1).unwrap();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        for watch in [Watch::Incarnation, Watch::Mailbox] {
            let (keys, heir, tell) = (keys.clone(), heir.clone(), tell.clone());
            clerk.monitor(watch, move |event| {
                if matches!(event, Event::Down(_) | Event::Closed(_)) {
                    let taken =
                        keys.register(&heir, "clerk", 2).map(|registration| registration.unregister());
                    let _ = tell.send((keys.count(), taken));
                }
            });
        }
        drop(tell);
        end(&clerk);
        drop(clerk);
        let mut events = 0;
        while let Some(free) = told.recv().await {
            assert_eq!(free, (0, Ok(true)), "{name}");
            events += 1;
        }
        assert_eq!(events, 3, "{name}: one incarnation ended, twice told, and a mailbox closed");
    }
}

/// Row B5: a key is free before waiting senders hear of its holder's end.
#[tokio::test]
async fn a_key_is_free_before_waiting_senders_hear_of_the_end() {
    let mailbox = Mailbox::<u32>::with(Mailbox::settings().capacity(1)).unwrap();
    let holder = mailbox.address();
    let keys = Names::unique();
    keys.register(&holder, "hello", 1).unwrap();
    holder.try_send(1).unwrap();
    let waits = tokio::spawn({
        let (holder, keys) = (holder.clone(), keys.clone());
        async move {
            let refused = holder.send(2).await;
            (refused.is_err(), keys.count())
        }
    });
    tokio::task::yield_now().await;
    mailbox.close();
    assert_eq!(waits.await.unwrap(), (true, 0));
}

/// Says when it is dropped.
#[derive(Clone)]
struct Told(Arc<AtomicUsize>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What has been unregistered or replaced is not kept for readers that may still come.
#[test]
fn values_are_dropped_at_once() {
    let (m, me) = mailbox();
    let drops = Arc::new(AtomicUsize::new(0));
    let dropped = || drops.swap(0, Ordering::Relaxed);
    let keys: Keys<u32, Told> = Keys::duplicate();
    let registrations: Vec<_> =
        (0..100).map(|_| keys.register(&me, 0, Told(Arc::clone(&drops))).unwrap()).collect();
    assert_eq!(dropped(), 0);
    let looked = keys.lookup(&0);
    registrations[0].unregister();
    assert_eq!(dropped(), 0, "somebody still looks at it");
    drop(looked);
    assert_eq!(dropped(), 1);
    registrations[1].unregister();
    assert_eq!(dropped(), 1);
    drop(registrations[2].update_value(|_| Told(Arc::clone(&drops))));
    assert_eq!(dropped(), 3, "the old one, and what came back: new and old");
    m.close();
    assert_eq!(dropped(), 98);
    drop((keys, registrations));
    assert_eq!(dropped(), 0);
}

/// A value's drop closes a mailbox, whose end comes to the registry that drops it.
#[test]
fn a_value_may_be_the_last_to_hold_a_mailbox() {
    let keys: Keys<&str, Option<Address<u32>>> = Keys::unique();
    let (m, last) = mailbox();
    let (n, me) = mailbox();
    keys.register(&last, "held by what me holds", None).unwrap();
    let registration = keys.register(&me, "me", Some(last)).unwrap();
    drop(m);
    assert_eq!(keys.count(), 2);
    // Each way in which a value goes.
    registration.update_value(|_| None).unwrap();
    assert_eq!(keys.count(), 1);

    let (m, last) = mailbox();
    keys.register(&last, "held by what me holds", None).unwrap();
    registration.update_value(|_| Some(last.clone())).unwrap();
    drop((m, last));
    assert_eq!(keys.count(), 2);
    n.close();
    assert_eq!(keys.count(), 0);

    let (m, last) = mailbox();
    let (_n, me) = mailbox();
    keys.register(&last, "held by what me holds", None).unwrap();
    keys.register(&me, "me", Some(last)).unwrap();
    drop(m);
    assert_eq!((keys.unregister(&"me", &me), keys.count()), (1, 0));

    let (m, last) = mailbox();
    let seen = last.downgrade();
    keys.register(&me, "me", Some(last)).unwrap();
    // A registration's reference keeps its registry.
    drop((m, keys, registration));
    assert!(seen.upgrade().is_none());
}

/// A guard ends its registration, on an unwinding stack too.
#[test]
fn a_guard_ends_its_registration() {
    quiet();
    let (m, me) = mailbox();
    let keys = Names::unique();
    let guard = keys.register(&me, "hello", 1).unwrap().into_guard();
    assert_eq!((keys.count(), guard.value()), (1, Some(1)));
    drop(guard);
    assert_eq!(keys.count(), 0);
    let panics = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let _guard = keys.register(&me, "hello", 1).unwrap().into_guard();
        panic!("told to");
    }));
    assert!(panics.is_err());
    assert_eq!(keys.count(), 0);
    let kept = keys.register(&me, "hello", 1).unwrap().into_guard().keep();
    assert!(kept.is_registered());
    // One that comes too late ends nothing of others.
    let guard = kept.into_guard();
    m.close();
    let (_n, other) = mailbox();
    keys.register(&other, "hello", 2).unwrap();
    drop(guard);
    assert_eq!(keys.value_of("hello"), Some(2));
}

/// A registry may go before its mailboxes.
#[test]
fn mailboxes_do_not_mind_the_end_of_a_registry() {
    let (m, me) = mailbox();
    let keys = Names::unique();
    keys.register(&me, "hello", 1).unwrap();
    drop(keys);
    assert!(m.close());
}
