//! Listeners.

use super::{mailbox, quiet};
use futures::StreamExt;
use futures::task::noop_waker_ref;
use restante_core::{ExitReason, Mailbox};
use restante_registry::keys::{DEFAULT_LISTENER_CAPACITY, KeyEvent, Keys, Listener, Removal};
use std::pin::pin;
use std::task::{Context, Poll};

type Names = Keys<&'static str, u32>;

/// What is there: number, kind, key, value.
fn heard(listener: &mut Listener<&'static str, u32>) -> Vec<(u64, String, &'static str, u32)> {
    std::iter::from_fn(|| listener.try_next())
        .map(|event| {
            let kind = match &event {
                KeyEvent::Registered { .. } => "registered".to_owned(),
                KeyEvent::Updated { .. } => "updated".to_owned(),
                KeyEvent::Unregistered { removal: Removal::Unregistered, .. } => "unregistered".to_owned(),
                KeyEvent::Unregistered { removal: Removal::HolderClosed(why), .. } => why.to_string(),
                KeyEvent::Missed { count, .. } => format!("missed {count}"),
                other => panic!("{other:?}"),
            };
            let (key, value) = event.entry().map_or(("", 0), |entry| (*entry.key(), *entry.value()));
            (event.seq(), kind, key, value)
        })
        .collect()
}

fn line(seq: u64, kind: &str, key: &'static str, value: u32) -> (u64, String, &'static str, u32) {
    (seq, kind.to_owned(), key, value)
}

/// Case `allows listeners`. Row B10: of a removal at its holder's end too, with the reason.
/// Clause 30.5.
#[test]
fn listeners_hear_of_all_that_happens_in_order() {
    let ((_m, me), (n, other)) = (mailbox(), mailbox());
    let keys = Names::duplicate();
    keys.register(&me, "before", 0).unwrap();
    let (mut first, mut second) =
        (keys.listen(DEFAULT_LISTENER_CAPACITY), keys.listen(DEFAULT_LISTENER_CAPACITY));
    keys.register(&other, "hello", 1).unwrap();
    let registration = keys.register(&me, "world", 2).unwrap();
    registration.update_value(|n| n + 1).unwrap();
    registration.unregister();
    keys.unregister(&"nothing", &me);
    n.destroy(ExitReason::shutdown_with("moved"));
    let expected = [
        line(2, "registered", "hello", 1),
        line(3, "registered", "world", 2),
        line(4, "updated", "world", 3),
        line(5, "unregistered", "world", 3),
        line(6, "shutdown: moved", "hello", 1),
    ];
    assert_eq!(heard(&mut first), expected);
    assert_eq!(heard(&mut second), expected);
}

/// Row B10: the moment of the snapshot is the moment in which the listener begins.
/// Clause 30.5.
#[test]
fn a_snapshot_is_followed_without_a_gap() {
    let ((_m, me), (n, other)) = (mailbox(), mailbox());
    let keys = Names::unique();
    keys.register(&me, "a", 1).unwrap();
    keys.register(&other, "b", 2).unwrap();
    let (snapshot, mut listener) = keys.snapshot_and_listen(8);
    let seen: Vec<_> = snapshot.entries.iter().map(|entry| (*entry.key(), *entry.value())).collect();
    assert_eq!((snapshot.seq, seen), (2, vec![("a", 1), ("b", 2)]));
    n.close();
    assert_eq!(heard(&mut listener), [line(3, "normal", "b", 2)]);
}

/// Row B10: a listener that is too slow loses the oldest events, is told how many, and can begin anew.
#[test]
fn a_slow_listener_is_told_what_it_missed() {
    let (_m, me) = mailbox();
    let keys = Names::unique();
    let mut listener = keys.listen(2);
    for key in ["a", "b", "c", "d", "e"] {
        keys.register(&me, key, 0).unwrap();
    }
    assert_eq!(
        heard(&mut listener),
        [line(3, "missed 3", "", 0), line(4, "registered", "d", 0), line(5, "registered", "e", 0)]
    );
    keys.unregister(&"a", &me);
    let snapshot = listener.resync().expect("the registry is there");
    assert_eq!((snapshot.seq, snapshot.entries.len()), (6, 4));
    assert!(heard(&mut listener).is_empty(), "the snapshot says it all");
    keys.unregister(&"b", &me);
    assert_eq!(heard(&mut listener), [line(7, "unregistered", "b", 0)]);
}

/// A listener that waits is woken; a `next` that is dropped loses nothing.
#[tokio::test]
async fn a_cancelled_wait_loses_no_event() {
    let (_m, me) = mailbox();
    let keys = Names::unique();
    let mut listener = keys.listen(8);
    {
        let mut waits = pin!(listener.next());
        assert!(waits.as_mut().poll(&mut Context::from_waker(noop_waker_ref())).is_pending());
        keys.register(&me, "a", 0).unwrap();
    }
    assert!(matches!(listener.next().await, Some(KeyEvent::Registered { seq: 1, .. })));
    let waits = tokio::spawn(async move { (listener.next().await.map(|event| event.seq()), listener) });
    tokio::task::yield_now().await;
    keys.register(&me, "b", 0).unwrap();
    let (seq, listener) = waits.await.unwrap();
    assert_eq!(seq, Some(2));
    // The stream is the same thing.
    keys.register(&me, "c", 0).unwrap();
    drop(keys);
    let rest: Vec<_> = listener.map(|event| event.seq()).collect().await;
    assert_eq!(rest, [3], "and it ends with the registry");
}

/// A listener ends with the last handle, one that waits too.
#[tokio::test]
async fn a_waiting_listener_ends_with_the_registry() {
    let keys = Names::unique();
    let mut listener = keys.listen(8);
    let waits = tokio::spawn(async move { (listener.next().await.is_none(), listener.resync().is_none()) });
    tokio::task::yield_now().await;
    drop(keys);
    assert_eq!(waits.await.unwrap(), (true, true));
}

/// The house rule: no queue keeps what no listener will hear.
#[test]
fn a_dropped_listener_keeps_no_value() {
    let (_m, me) = mailbox();
    let keys: Keys<&str, std::sync::Arc<()>> = Keys::unique();
    let value = std::sync::Arc::new(());
    let listener = keys.listen(8);
    let registration = keys.register(&me, "a", std::sync::Arc::clone(&value)).unwrap();
    registration.unregister();
    assert_eq!(std::sync::Arc::strong_count(&value), 2, "it is in an event");
    drop(listener);
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
    keys.register(&me, "b", std::sync::Arc::clone(&value)).unwrap().unregister();
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
}

/// A waker is foreign code: it runs when no lock is held.
#[test]
fn a_waker_may_use_the_registry() {
    struct Uses(Names, std::sync::atomic::AtomicUsize);
    impl std::task::Wake for Uses {
        fn wake(self: std::sync::Arc<Self>) {
            let (mailbox, me) = mailbox();
            self.0.register(&me, "woken", 1).unwrap();
            drop((mailbox, me));
            self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    quiet();
    let (_m, me) = mailbox();
    let keys = Names::unique();
    let mut listener = keys.listen(8);
    let uses = std::sync::Arc::new(Uses(keys.clone(), std::sync::atomic::AtomicUsize::new(0)));
    let waker = std::task::Waker::from(std::sync::Arc::clone(&uses));
    let polled = pin!(listener.next()).poll(&mut Context::from_waker(&waker));
    assert!(matches!(polled, Poll::Pending));
    keys.register(&me, "a", 0).unwrap();
    assert_eq!(uses.1.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(heard(&mut listener).len(), 3);
}

/// What the documentation of `Keys::listen` shows.
#[tokio::test]
async fn events_are_sent_on_to_a_mailbox() {
    let (_m, me) = mailbox();
    let keys = Names::unique();
    let events = Mailbox::new();
    let (mut listener, to) = (keys.listen(8), events.address());
    let forward = tokio::spawn(async move {
        while let Some(event) = listener.next().await {
            if to.send(event).await.is_err() {
                return;
            }
        }
    });
    keys.register(&me, "a", 0).unwrap();
    drop(keys);
    forward.await.unwrap();
    assert_eq!(events.receiver().unwrap().receive().await.unwrap().seq(), 1);
}
