//! Foreign code that panics where it should not: wakers, drops of values, subscribers. The panic is its owner's affair. It
//! concerns neither the writer that runs the code nor the next one in line.

use crate::support::{AGES, mailbox, sizes};
use futures::FutureExt;
use restante_core::{ExitReason, Mailbox};
use restante_registry::keys::{KeyEvent, Keys};
use restante_registry::{Followed, Groups, Member, NewEntry, Registry};
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

const RUDE: &str = "rude";

/// Panics when it is woken, or when it is dropped.
struct Rude {
    wakes: bool,
}

impl Wake for Rude {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        assert!(!self.wakes, "{RUDE}");
    }
}

impl Drop for Rude {
    fn drop(&mut self) {
        assert!(self.wakes || std::thread::panicking(), "{RUDE}");
    }
}

fn rude(wakes: bool) -> Waker {
    Waker::from(Arc::new(Rude { wakes }))
}

/// Counts its wake-ups.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Panics in its drop, and counts it.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        assert!(std::thread::panicking(), "{RUDE}");
    }
}

/// A rude one waits, then one that is not, each for what `wait` waits for; `happen` then does not unwind, and wakes the second.
fn check<F: Future>(what: &str, mut wait: impl FnMut() -> F, happen: impl Fn()) {
    for wakes in [true, false] {
        let (first, second) = (wait(), wait());
        let (mut first, mut second) = (pin!(first), pin!(second));
        let waker = rude(wakes);
        assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "{what}");
        let woken = Arc::new(Woken::default());
        let quiet = Waker::from(Arc::clone(&woken));
        assert!(second.as_mut().poll(&mut Context::from_waker(&quiet)).is_pending(), "{what}");
        // The last reference to the waker is the one that `first` waits with.
        std::mem::forget(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(waker))));
        happen();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1, "{what}: wakes {wakes}");
        assert!(second.as_mut().poll(&mut Context::from_waker(&quiet)).is_ready(), "{what}");
    }
}

/// Row H6: a waker that panics wakes the others all the same, and the writer goes on.
#[test]
fn a_waker_that_panics_is_nobody_elses_affair() {
    let _quiet = restante_testkit::quiet_panics(RUDE);
    let registry = Registry::start();
    let at = mailbox();
    registry.insert_blocking(&at).unwrap();
    let follow = || {
        let (_, mut changes) = registry.follow();
        async move { changes.next().await }
    };
    check("changes", follow, || {
        registry.register_blocking(&at, "x").unwrap();
        assert!(registry.unregister("x"));
    });
    let groups = Groups::<u8>::new();
    let monitor = || {
        let (_, mut monitor) = groups.monitor("g");
        async move { monitor.next().await.is_some() }
    };
    let (inside, member) = (Mailbox::new(), |of: &Mailbox<u8>| Member::address(&of.address()));
    check("a group's monitor", monitor, || groups.join("g", &member(&inside)).unwrap());
    let keys = Keys::<&str, u8>::duplicate();
    let listen = || {
        let mut listener = keys.listen(8);
        async move { listener.next().await.is_some() }
    };
    check("a key's listener", listen, || drop(keys.register(&at, "k", 1).unwrap()));
    let closing = std::sync::Mutex::new(None);
    let watch = || {
        let at = closing.lock().unwrap().get_or_insert_with(mailbox).clone();
        registry.insert_blocking(&at).unwrap();
        let entry = registry.entry(at.id()).unwrap();
        async move { entry.closed().await }
    };
    check("an entry's end", watch, || drop(closing.lock().unwrap().take()));
}

/// Row H6: a rude waiter for a key's lock does not keep the lock from the next waiter.
#[test]
fn a_waker_that_panics_keeps_no_key_locked() {
    let _quiet = restante_testkit::quiet_panics(RUDE);
    for wakes in [true, false] {
        let keys = Keys::<u8, u8>::unique();
        let held = keys.try_lock(&1).unwrap();
        let waker = rude(wakes);
        let mut first = Box::pin(keys.lock(&1));
        assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        std::mem::forget(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(waker))));
        let mut second = Box::pin(keys.lock(&1));
        assert!((&mut second).now_or_never().is_none());
        drop(held);
        drop(first);
        assert!((&mut second).now_or_never().is_some(), "it is its turn");
        drop(second);
        assert_eq!(keys.locked(), 0);
    }
}

/// Row H6: values that panic in their drops neither unwind into a writer, nor keep each other from going.
#[test]
fn values_that_panic_in_their_drops_go_one_by_one() {
    let _quiet = restante_testkit::quiet_panics(RUDE);
    let gone = Arc::new(AtomicUsize::new(0));
    let bomb = || Arc::new(Bomb(Arc::clone(&gone)));
    let count = || gone.swap(0, Ordering::Relaxed);
    let at = mailbox();
    let keys = Keys::<u8, Arc<Bomb>>::unique();
    for key in 0..3 {
        keys.register(&at, key, bomb()).unwrap();
    }
    keys.register(&at, 0, bomb()).unwrap();
    assert_eq!(count(), 1, "its old value");
    assert!(keys.registrations_of(&1, &at)[0].unregister());
    assert_eq!(count(), 1);
    let mut listener = keys.listen(1);
    for _ in 0..3 {
        keys.register(&at, 2, bomb()).unwrap();
    }
    assert!(count() >= 1, "what was pushed out has gone");
    assert!(matches!(listener.try_next(), Some(KeyEvent::Missed { .. })));
    drop(listener);
    drop(at);
    assert_eq!(keys.count(), 0, "its holder has closed");
    keys.put_meta("m", bomb());
    keys.put_meta("m", bomb());
    assert!(keys.delete_meta("m"));
    let at = mailbox();
    for key in 0..3 {
        keys.register(&at, key, bomb()).unwrap();
    }
    gone.store(0, Ordering::Relaxed);
    drop(keys);
    assert_eq!(count(), 3, "with the last handle");
}

/// Row H6: what entries own panics in each drop: all of it goes, the watchers are told, and the registry ends.
#[tokio::test]
async fn an_entry_ends_whatever_what_it_owns_does() {
    let _quiet = restante_testkit::quiet_panics(RUDE);
    let gone = Arc::new(AtomicUsize::new(0));
    let bomb = || Bomb(Arc::clone(&gone));
    let registry = Registry::start();
    let (one, two, at) = (bomb(), bomb(), mailbox());
    let (_, mut changes) = registry.follow();
    let make = {
        let at = at.clone();
        async move { Ok::<_, Infallible>(NewEntry::new(at).own(one).own(two)) }
    };
    registry.create("x", make).await.unwrap();
    let entry = registry.entry("x").unwrap();
    let mut closed = Box::pin(entry.closed());
    assert!((&mut closed).now_or_never().is_none());
    registry.destroy(at.id(), ExitReason::Shutdown);
    assert_eq!((gone.load(Ordering::Relaxed), at.is_closed()), (2, true));
    assert!(closed.now_or_never().is_some());
    while !matches!(changes.try_next(), None | Some(Followed::Ended)) {}
    assert_eq!(registry.sizes(), sizes(0, 0));
    // A creation whose caller has gone ends likewise.
    let (one, two) = (bomb(), bomb());
    let make = async move { Ok::<_, Infallible>(NewEntry::new(mailbox()).own(one).own(two)) };
    let mut create = Box::pin(registry.create("x", make));
    let waker = rude(true);
    let first = create.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(matches!(first, Poll::Pending));
    restante_testkit::settled().await;
    drop(create);
    assert_eq!(gone.load(Ordering::Relaxed), 4);
    assert!(registry.shutdown(AGES).await.is_clean());
    std::mem::forget(waker);
}
