//! Plain threads, several runtimes, and the reaper between them.

use crate::{drain, opened, poll, with_room};
use restante_core::{Address, Closed, Mailbox, Reaper, SendError, SendOptions};
use std::cell::RefCell;
use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

/// Row D1, clause 15.2: senders in another runtime and on plain threads.
#[test]
fn two_runtimes_and_plain_threads_share_a_mailbox() {
    let (m, a, mut r) = with_room(2);
    let (here, there) = (runtime(), runtime());
    let reading = here.spawn(async move {
        let mut got = Vec::new();
        while let Ok(message) = r.receive().await {
            got.push(message);
        }
        (got, r.audit().lost())
    });
    let b = a.clone();
    let sending = there.spawn(async move {
        for i in 0..500 {
            b.send(i).await.unwrap();
        }
    });
    let plain = std::thread::spawn(move || {
        for i in 1000..1500 {
            a.send_blocking(i, Duration::MAX).unwrap();
        }
    });
    plain.join().unwrap();
    there.block_on(sending).unwrap();
    m.close();
    let (got, lost) = here.block_on(reading).unwrap();
    assert_eq!((got.len(), lost), (1000, 0));
    let (ours, theirs): (Vec<_>, Vec<_>) = got.into_iter().partition(|m| *m < 1000);
    assert!(ours.is_sorted() && theirs.is_sorted());
}

/// Clause 3.11.
#[test]
fn a_blocking_send_waits_at_most_so_long() {
    let (m, a, mut r) = with_room(1);
    a.send_blocking(0, Duration::ZERO).unwrap();
    assert!(matches!(a.send_blocking(1, Duration::ZERO), Err(SendError::Timeout(1))));
    assert!(matches!(a.send_blocking(1, Duration::from_millis(1)), Err(SendError::Timeout(1))));
    assert_eq!(a.stats().waiting_senders, 0);
    let b = a.clone();
    let waiting = std::thread::spawn(move || b.send_blocking(2, Duration::MAX));
    while a.stats().waiting_senders == 0 {
        std::thread::yield_now();
    }
    assert_eq!(r.try_receive(), Ok(0));
    waiting.join().unwrap().unwrap();
    let waiting = std::thread::spawn(move || a.send_blocking(3, Duration::MAX));
    while m.stats().waiting_senders == 0 {
        std::thread::yield_now();
    }
    m.close();
    assert!(matches!(waiting.join().unwrap(), Err(SendError::Closed(3))));
    assert_eq!(drain(&mut r), [2]);
}

/// Clause 3.11.
#[test]
fn a_blocking_send_inside_a_runtime_is_refused_where_it_would_wait() {
    let (_m, a, _r) = with_room(1);
    runtime().block_on(async {
        a.send_blocking(0, Duration::MAX).unwrap();
        assert!(matches!(a.send_blocking(1, Duration::MAX), Err(SendError::WouldBlock(1))));
    });
}

/// Clause 3.11: a thread of `spawn_blocking` counts as inside, as one that has entered a runtime does: it sends where it need not
/// wait, and is not kept waiting otherwise, whatever its limit. A plain thread beside it waits.
#[test]
fn a_blocking_send_where_a_runtime_is_entered_sends_or_is_refused() {
    let (m, a, mut r) = with_room(1);
    let runtime = runtime();
    let b = a.clone();
    let sends = move || {
        let first = b.send_blocking(0, Duration::MAX).is_ok();
        let would = [Duration::ZERO, Duration::from_secs(9), Duration::MAX]
            .map(|limit| matches!(b.send_blocking(1, limit), Err(SendError::WouldBlock(1))));
        (first, would)
    };
    let blocking = runtime.block_on(runtime.spawn_blocking(sends.clone())).unwrap();
    assert_eq!(blocking, (true, [true; 3]));
    assert_eq!(drain(&mut r), [0]);
    let entered = {
        let _entered = runtime.enter();
        sends()
    };
    assert_eq!(entered, (true, [true; 3]));
    assert_eq!(a.stats().waiting_senders, 0);
    let plain = std::thread::spawn(move || a.send_blocking(2, Duration::MAX));
    while m.stats().waiting_senders == 0 {
        std::thread::yield_now();
    }
    assert_eq!(r.try_receive(), Ok(0));
    plain.join().unwrap().unwrap();
    assert_eq!(drain(&mut r), [2]);
}

/// A receiver outlives the runtime that polled it.
#[test]
fn a_receiver_goes_on_in_another_runtime() {
    let (m, a, mut r) = with_room(4);
    let first = runtime();
    let parked = first.spawn(async move {
        let _ = r.receive_timeout(Duration::MAX, || 0).await;
    });
    first.shutdown_background();
    while !parked.is_finished() {
        std::thread::yield_now();
    }
    a.try_send(1).unwrap();
    let mut next = m.receiver().unwrap();
    m.close();
    runtime().block_on(async {
        assert_eq!(next.receive().await, Ok(1));
        assert_eq!(next.receive().await, Err(Closed));
    });
}

/// Failure mode 20: clean-up is handed over from anywhere, and a panic in it stops no other.
#[test]
fn the_reaper_takes_clean_up_from_a_plain_thread() {
    let runtime = runtime();
    let reaper = Reaper::new(runtime.handle().clone());
    let (done, was_done) = mpsc::channel();
    let other = reaper.clone();
    std::thread::spawn(move || {
        other.hand_over(async { panic!("in a clean-up") });
        other.hand_over(async move { done.send(()).unwrap() });
    })
    .join()
    .unwrap();
    assert_eq!(runtime.block_on(reaper.drain(Duration::MAX)), 0);
    was_done.try_recv().unwrap();
    runtime.shutdown_background();
    reaper.hand_over(async { unreachable!("its runtime is gone") });
}

#[tokio::test(start_paused = true)]
async fn a_drain_has_a_deadline_and_counts_what_is_left() {
    let reaper = Reaper::new(tokio::runtime::Handle::current());
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    reaper.hand_over(async { drop(gone.await) });
    assert_eq!(reaper.drain(Duration::ZERO).await, 1);
    assert_eq!(reaper.drain(Duration::from_secs(1)).await, 1);
    let other = reaper.clone();
    let for_ever = tokio::spawn(async move { other.drain(Duration::MAX).await });
    tokio::task::yield_now().await;
    assert_eq!(reaper.drain(Duration::ZERO).await, 1, "does not keep the other from seeing the end");
    drop(go);
    assert_eq!(for_ever.await.unwrap(), 0);
    assert_eq!(reaper.pending(), 0);
}

/// Clause 15.2: a thread's last destructors are code on a plain thread like any other: they send, and wait for room.
#[test]
fn a_threads_last_destructors_may_wait_for_room() {
    /// Sends when its thread's locals go, after those that the thread has used later.
    struct Farewell(RefCell<Option<Address<u8>>>);
    impl Drop for Farewell {
        fn drop(&mut self) {
            if let Some(a) = self.0.take() {
                a.send_blocking(3, Duration::MAX).expect("it is open");
            }
        }
    }
    thread_local! {
        static FAREWELL: Farewell = const { Farewell(RefCell::new(None)) };
    }
    let (m, a, mut r) = with_room(1);
    let thread = std::thread::spawn(move || {
        FAREWELL.with(|farewell| farewell.0.replace(Some(a.clone())));
        a.send_blocking(1, Duration::MAX).expect("it has room");
        a.send_blocking(2, Duration::MAX).expect("it is open");
    });
    for taken in [1, 2] {
        while m.stats().waiting_senders == 0 {
            std::thread::yield_now();
        }
        assert_eq!(r.try_receive(), Ok(taken));
    }
    thread.join().expect("it only sends");
    assert_eq!(drain(&mut r), [3]);
}

/// Clauses 6.10, 15.2: they may set limits, though the process has paused a clock, which is found by a local that has gone.
#[test]
fn a_threads_last_destructors_may_set_limits() {
    /// Sends with limits when its thread's locals go, after tokio's, which the thread has used later.
    struct Farewell(RefCell<Option<Address<u8>>>);
    impl Drop for Farewell {
        fn drop(&mut self) {
            let Some(a) = self.0.take() else { return };
            let long = Duration::from_secs(1000);
            a.try_send_with(1, SendOptions::new().ttl(long)).expect("it has room");
            a.send_blocking(2, long).expect("it has room");
            let (mut sending, mut calm) =
                (Box::pin(a.send_timeout(3, long)), Box::pin(a.send_timeout(4, long)));
            assert!(poll(sending.as_mut()).is_pending() && poll(calm.as_mut()).is_pending());
            assert!(!restante_core::alarm::is_clock_paused());
        }
    }
    thread_local! {
        static FAREWELL: Farewell = const { Farewell(RefCell::new(None)) };
    }
    // From here on tokio looks which clock it is.
    let paused = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (_m, a, mut r) = opened(Mailbox::settings().capacity(2).rate_limit(9, Duration::from_secs(1)));
    // One thread has asked for the time before, and one has not.
    for asked in [false, true] {
        let (a, handle) = (a.clone(), paused.handle().clone());
        let thread = std::thread::spawn(move || {
            FAREWELL.with(|farewell| farewell.0.replace(Some(a)));
            drop(handle.enter());
            if asked {
                restante_core::clock::now();
            }
        });
        thread.join().expect("it only sends");
        assert_eq!(drain(&mut r), [1, 2]);
    }
}
