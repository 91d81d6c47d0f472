//! The lock per key: the cases of Elixir's `Registry.LockTest`, each for the same reason.

use super::{Clerk, Tell, quiet};
use futures::task::noop_waker_ref;
use restante_genserver::start;
use restante_registry::keys::Keys;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Context;
use tokio::sync::oneshot;

type Locks = Keys<&'static str, u32>;

/// Whether it is done, at one look.
fn looks<T>(future: &mut Pin<Box<impl Future<Output = T>>>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(noop_waker_ref())) {
        std::task::Poll::Ready(done) => Some(done),
        std::task::Poll::Pending => None,
    }
}

/// A task that holds the lock until it is told; returns when it does.
async fn holder(
    keys: &Locks,
    ends: impl FnOnce() + Send + 'static,
) -> (tokio::task::JoinHandle<()>, oneshot::Sender<()>) {
    let (locked, told) = oneshot::channel();
    let (unlock, unlocked) = oneshot::channel();
    let keys = keys.clone();
    let task = tokio::spawn(async move {
        let guard = keys.lock(&"ok").await;
        assert_eq!(*guard.key(), "ok");
        let _ = locked.send(());
        let _ = unlocked.await;
        ends();
    });
    told.await.expect("it is locked");
    (task, unlock)
}

/// Case `does not lock when using different keys`. Nor does a registration lock anything.
#[tokio::test]
async fn different_keys_have_different_locks() {
    let (_m, me) = super::mailbox();
    let keys = Locks::unique();
    keys.register(&me, "one", 1).unwrap();
    let one = keys.lock(&"one").await;
    let two = keys.lock(&"two").await;
    assert!(keys.try_lock(&"one").is_none() && keys.try_lock(&"three").is_some());
    assert_eq!(keys.locked(), 2);
    drop((one, two));
    assert_eq!(keys.locked(), 0);
}

/// Case `locks when using the same key`.
#[tokio::test]
async fn the_same_key_is_held_by_one_at_a_time() {
    let keys = Locks::duplicate();
    let (task, unlock) = holder(&keys, || {}).await;
    let mut second = Box::pin(keys.lock(&"ok"));
    assert!(looks(&mut second).is_none());
    unlock.send(()).unwrap();
    task.await.unwrap();
    drop(second.await);
    assert_eq!(keys.locked(), 0);
}

/// Case `locks when the one holding the lock raises`.
#[tokio::test]
async fn a_panic_frees_the_lock() {
    quiet();
    let keys = Locks::unique();
    let (task, unlock) = holder(&keys, || panic!("told to")).await;
    let mut second = Box::pin(keys.lock(&"ok"));
    assert!(looks(&mut second).is_none());
    unlock.send(()).unwrap();
    assert!(task.await.unwrap_err().is_panic());
    drop(second.await);
    drop(keys.lock(&"ok").await);
}

/// Case `locks when the one holding the lock terminates`: an aborted task.
#[tokio::test]
async fn an_aborted_task_frees_the_lock() {
    let keys = Locks::unique();
    let (task, _unlock) = holder(&keys, || {}).await;
    let mut second = Box::pin(keys.lock(&"ok"));
    assert!(looks(&mut second).is_none());
    task.abort();
    drop(second.await);
    assert_eq!(keys.locked(), 0);
}

/// Case `locks when the one holding the lock terminates`: a killed server, in the middle of a handler.
#[tokio::test]
async fn a_killed_server_frees_the_lock() {
    let keys = Locks::unique();
    let clerk = start::<Clerk>(()).await.unwrap();
    let (locked, told) = oneshot::channel();
    clerk.cast(Tell::Lock(keys.clone(), "ok", locked)).unwrap();
    told.await.unwrap();
    assert!(keys.try_lock(&"ok").is_none());
    assert!(clerk.kill());
    drop(keys.lock(&"ok").await);
    assert_eq!(keys.locked(), 0);
}

/// Case `locks when the one waiting for the lock terminates`.
/// Clause 30.6.
#[tokio::test]
async fn a_dead_waiter_is_skipped() {
    let keys = Locks::unique();
    let guard = keys.lock(&"ok").await;
    let mut waiters: Vec<_> = (0..4).map(|_| Box::pin(keys.lock(&"ok"))).collect();
    for waiter in &mut waiters {
        assert!(looks(waiter).is_none());
    }
    // One from the middle, one from the front, and one to whom the lock has just been handed.
    drop(waiters.remove(1));
    drop(waiters.remove(0));
    drop(guard);
    drop(waiters.remove(0));
    let guard = looks(&mut waiters[0]).expect("it is the last one's");
    waiters.clear();
    assert_eq!(keys.locked(), 1);
    drop(guard);
    assert_eq!(keys.locked(), 0);
}

/// First come, first served: no waiter overtakes another.
/// Clause 30.6.
#[tokio::test]
async fn waiters_are_served_in_the_order_in_which_they_came() {
    let keys = Locks::unique();
    let served = Arc::new(Mutex::new(Vec::new()));
    let guard = keys.lock(&"ok").await;
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let (keys, served) = (keys.clone(), Arc::clone(&served));
            tokio::spawn(async move {
                let _guard = keys.lock(&"ok").await;
                served.lock().unwrap().push(n);
                tokio::task::yield_now().await;
            })
        })
        .collect();
    tokio::task::yield_now().await;
    drop(guard);
    assert!(keys.try_lock(&"ok").is_none(), "it has been handed over");
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*served.lock().unwrap(), (0..8).collect::<Vec<_>>());
    assert_eq!(keys.locked(), 0);
}

/// On two threads for real: a counter that only the lock protects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lock_excludes_over_awaits() {
    let keys = Locks::unique();
    let inside = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (keys, inside) = (keys.clone(), Arc::clone(&inside));
            tokio::spawn(async move {
                for _ in 0..200 {
                    let _guard = keys.lock(&"ok").await;
                    assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::Relaxed), 0);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(keys.locked(), 0);
}
