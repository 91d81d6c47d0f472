//! How entries end where something is in the way: a waker that panics, a drop that blocks, an end in the middle of another, a
//! thread that goes.

use crate::support::{AGES, mailbox, nothing_left};
use restante_core::addressable::OnClose;
use restante_core::{Address, Addressable, ExitReason};
use restante_registry::{CreateError, Outcome, Registry, Signal, Sizes};
use restante_testkit::{eventually, quiet_panics};
use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Runs when it is dropped.
struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

fn on_drop(f: impl FnOnce() + Send + 'static) -> impl Send + 'static {
    OnDrop(Some(f))
}

struct Rude;

impl Wake for Rude {
    fn wake(self: Arc<Self>) {
        panic!("as told");
    }
}

/// Clause 27.5: each watcher is told, and all goes, though a waker of one of them panics.
#[tokio::test]
async fn a_waker_that_panics_keeps_nobody_from_hearing() {
    let _quiet = quiet_panics("as told");
    let registry = Registry::start();
    let kept = mailbox();
    registry.register(&kept, "x").await.unwrap();
    let entry = registry.entry("x").unwrap();
    let gone = Arc::new(());
    assert!(entry.own(Arc::clone(&gone)).is_ok());
    let (cleaned, cleans) = tokio::sync::oneshot::channel();
    assert!(entry.on_close(|_| async { cleaned.send(()).unwrap() }).is_ok());
    let mut rude = pin!(entry.closed());
    let waker = Waker::from(Arc::new(Rude));
    assert!(rude.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let polite = tokio::spawn({
        let entry = entry.clone();
        async move { entry.closed().await }
    });
    tokio::task::yield_now().await;
    assert!(registry.destroy(kept.id(), ExitReason::Shutdown));
    assert!(kept.is_closed() && Arc::strong_count(&gone) == 1);
    cleans.await.unwrap();
    let Signal::Closed(ending) = polite.await.unwrap() else { panic!("it is closed") };
    assert_eq!((ending.outcome, ending.reason), (Outcome::Destroyed, ExitReason::Shutdown));
    nothing_left(&registry).await;
}

/// Clause 26.7: what is destroyed has ended when `destroy` returns, also in the middle of another end.
#[tokio::test]
async fn a_drop_may_destroy_and_rely_on_it() {
    let registry = Registry::start();
    let (first, second) = (mailbox(), mailbox());
    registry.register(&first, "first").await.unwrap();
    registry.register(&second, "second").await.unwrap();
    let seen = Arc::new(Mutex::new(None));
    let owned = Arc::new(());
    assert!(registry.entry("second").unwrap().own(Arc::clone(&owned)).is_ok());
    let destroys = on_drop({
        let (registry, seen, owned) = (registry.clone(), Arc::clone(&seen), Arc::clone(&owned));
        let second = second.clone();
        move || {
            let destroyed = registry.destroy(second.id(), ExitReason::Killed);
            *seen.lock().unwrap() = Some((destroyed, second.is_closed(), Arc::strong_count(&owned)));
        }
    });
    assert!(registry.entry("first").unwrap().own(destroys).is_ok());
    drop(first);
    // The two references to `owned` are the test's and that of the drop that looked.
    assert_eq!(*seen.lock().unwrap(), Some((true, true, 2)));
    nothing_left(&registry).await;
}

/// Clause 26.7: what is destroyed is not in when `destroy` returns: not even where it was brought in again before it closed,
/// and the thread that closes it is still busy with what comes first.
#[test]
fn a_mailbox_that_was_destroyed_is_not_in_whichever_thread_closes_it() {
    let runtime = Runtime::new().unwrap();
    let entered = runtime.enter();
    let (registry, other) = (Registry::start(), Registry::start());
    drop(entered);
    let at = mailbox();
    let id = at.id();
    // The other registry hears first of the close: it keeps the closing thread busy.
    let (is_closing, wait_for_closing) = mpsc::channel();
    let (let_go, wait_to_go) = mpsc::channel::<()>();
    other.register_blocking(&at, "busy").unwrap();
    let busy = on_drop(move || {
        is_closing.send(()).unwrap();
        let _ = wait_to_go.recv();
    });
    assert!(other.entry("busy").unwrap().own(busy).is_ok());
    registry.register_blocking(&at, "first").unwrap();
    let closer = Arc::new(Mutex::new(None));
    let meanwhile = on_drop({
        let (registry, at, closer) = (registry.clone(), at.clone(), Arc::clone(&closer));
        move || {
            registry.register_blocking(&at, "again").unwrap();
            let closes = thread::spawn(move || at.close_mailbox(ExitReason::Killed));
            wait_for_closing.recv().unwrap();
            *closer.lock().unwrap() = Some(closes);
        }
    });
    assert!(registry.entry("first").unwrap().own(meanwhile).is_ok());
    assert!(registry.destroy(id, ExitReason::Shutdown));
    assert_eq!(at.closed_reason(), Some(ExitReason::Killed), "the other thread was first");
    assert_eq!(registry.find(id, Address::<u8>::id), None);
    assert_eq!(registry.find("again", Address::<u8>::id), None);
    let_go.send(()).unwrap();
    assert!(closer.lock().unwrap().take().unwrap().join().unwrap());
    assert_eq!(registry.sizes(), other.sizes());
}

/// Entries each of which keeps the next one's mailbox open: the first.
async fn chain(registry: &Registry, length: usize) -> Address<u8> {
    let mut next = mailbox();
    registry.insert(&next).await.unwrap();
    for _ in 1..length {
        let first = mailbox();
        registry.insert(&first).await.unwrap();
        assert!(registry.entry(first.id()).unwrap().own(next).is_ok());
        next = first;
    }
    next
}

/// Clause 27.5: a chain of entries may be of any length, also where it goes with the last of a thread.
#[tokio::test]
async fn a_chain_may_end_with_its_thread() {
    thread_local! {
        static KEPT: RefCell<Option<Address<u8>>> = const { RefCell::new(None) };
    }
    let _quiet = quiet_panics("Thread Local Storage");
    let registry = Registry::start();
    let first = chain(&registry, 20_000).await;
    let other = chain(&registry, 2).await;
    std::thread::spawn(move || {
        KEPT.with(|kept| *kept.borrow_mut() = Some(first));
        // Makes what is kept of ends for this thread younger than the chain's keeper.
        drop(other);
    })
    .join()
    .unwrap();
    // What lock-free maps need of the thread may have gone before: then the registry's runtime ends the chain.
    eventually(AGES, || registry.sizes() == Sizes::default()).await;
    nothing_left(&registry).await;
}

/// Clause 27.4: creations are given up when their registry ends, whatever its entries' drops are waiting for.
#[test]
fn a_drop_that_blocks_holds_up_no_creation() {
    let home = Runtime::new().unwrap();
    let registry = Registry::builder().runtime(home.handle().clone()).start();
    let kept = mailbox();
    registry.register_blocking(&kept, "kept").unwrap();
    let (let_go, holds) = mpsc::channel::<()>();
    let blocks = on_drop(move || assert!(holds.recv().is_err()));
    assert!(registry.entry("kept").unwrap().own(blocks).is_ok());
    let elsewhere = Runtime::new().unwrap();
    let (tell, begun) = mpsc::channel();
    let creation = elsewhere.spawn({
        let registry = registry.clone();
        async move {
            let make = async move {
                tell.send(()).unwrap();
                std::future::pending::<Result<Address<u8>, Infallible>>().await
            };
            registry.creation().name("x").timeout(Duration::MAX).run(make).await
        }
    });
    begun.recv().unwrap();
    let ends = std::thread::spawn(move || drop(home));
    let given_up = elsewhere.block_on(async { tokio::time::timeout(AGES, creation).await });
    assert!(matches!(given_up, Ok(Ok(Err(CreateError::GivenUp)))), "{given_up:?}");
    assert_eq!(registry.capacity().active_creates, 0);
    drop(let_go);
    ends.join().unwrap();
}

/// An address of a mailbox that has closed when the flag says so, and whose end has not been told.
#[derive(Clone, Debug)]
struct Untold(Address<u8>, Arc<AtomicBool>);

impl Addressable for Untold {
    fn mailbox_id(&self) -> Uuid {
        self.0.mailbox_id()
    }
    fn has_closed(&self) -> bool {
        self.1.load(Ordering::SeqCst) || self.0.has_closed()
    }
    fn why_closed(&self) -> Option<ExitReason> {
        self.0.why_closed()
    }
    fn close_mailbox(&self, reason: ExitReason) -> bool {
        self.0.close_mailbox(reason)
    }
    fn label(&self) -> String {
        self.0.label()
    }
    fn counted(&self) -> Option<Self> {
        Some(Self(self.0.counted()?, Arc::clone(&self.1)))
    }
    fn uncounted(&self) -> Self {
        Self(self.0.uncounted(), Arc::clone(&self.1))
    }
    fn drop_uncounted(self) {
        self.0.drop_uncounted();
    }
    fn tell_first(&self, whom: Weak<dyn OnClose>) -> bool {
        self.0.tell_first(whom)
    }
    fn tell_no_more_at(&self, whom: usize) -> bool {
        self.0.tell_no_more_at(whom)
    }
}

/// Clause 26.3: a holder that has closed holds up no addition, and what its entry owns does not hold up the actor.
#[tokio::test]
async fn what_a_closed_holder_leaves_holds_up_no_addition() {
    let registry = Registry::start();
    let (kept, closed) = (mailbox(), Arc::new(AtomicBool::new(false)));
    registry.register(&Untold(kept.clone(), Arc::clone(&closed)), "x").await.unwrap();
    let (let_go, holds) = mpsc::channel::<()>();
    let blocks = on_drop(move || assert!(holds.recv().is_err()));
    assert!(registry.entry("x").unwrap().own(blocks).is_ok());
    closed.store(true, Ordering::SeqCst);
    let next = mailbox();
    registry.register(&next, "x").await.unwrap();
    registry.register(&next, "y").await.unwrap();
    assert_eq!(registry.id_of("x"), Some(next.id()));
    drop(let_go);
    drop((next, kept));
    nothing_left(&registry).await;
}
