//! Time for what the library waits for of its own accord, in a runtime of which nothing is known.
//!
//! Tokio tells only by a panic that a runtime has no time driver, and a panic is heard by the process's hook. So nobody asks:
//! pauses that no user has asked for are kept by one thread of the process, which sleeps until the next is over, and
//! goes when there have been none for a while. Where tokio's clock is paused, as in tests, its own timers keep them, for
//! they move it on.
//!
//! ```text
//!   poll ── puts its waker into the list; the first of all tells the thread ──▶ thread: waits for the first in the list,
//!   drop ── takes it out                                                        takes it out, wakes it outside the lock
//! ```
//!
//! Wakers are foreign code: they are cloned, woken and dropped outside the lock.

use crate::{clock, quiet};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The thread goes when it has had nothing to wait for during this time.
const LINGERS: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct List {
    due: BTreeMap<(Instant, u64), Waker>,
    next: u64,
    /// There is a thread.
    kept: bool,
}

static LIST: Mutex<List> = Mutex::new(List { due: BTreeMap::new(), next: 0, kept: false });
static SOONER: Condvar = Condvar::new();

fn list() -> MutexGuard<'static, List> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether tokio's clock, as this thread finds it, is another than the system's: it is paused, or has been.
pub fn is_clock_paused() -> bool {
    let before = Instant::now();
    let now = clock::now().into_std();
    now < before || now > Instant::now()
}

/// A pause, in any runtime or none.
///
/// # Cancel safety
/// Dropped, nothing is left of it.
pub async fn sleep(pause: Duration) {
    let Some(at) = Instant::now().checked_add(pause) else { return std::future::pending().await };
    if is_clock_paused() {
        crate::shield::shield(tokio::time::sleep(pause)).await;
    } else {
        Alarm { at, number: None }.await;
    }
}

/// As [`crate::timeout::at_most`], in any runtime or none.
///
/// # Cancel safety
/// That of the future, which is only lent.
pub async fn at_most<F: Future + Unpin>(limit: Duration, future: &mut F) -> Option<F::Output> {
    let first = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await;
    match first {
        Poll::Ready(output) => return Some(output),
        Poll::Pending if limit.is_zero() => return None,
        Poll::Pending => {}
    }
    let mut sleep = std::pin::pin!(sleep(limit));
    std::future::poll_fn(|cx| match Pin::new(&mut *future).poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Is over at an instant of the system's clock.
struct Alarm {
    at: Instant,
    /// Its number in the list, once it is there.
    number: Option<u64>,
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let mut list = list();
        let number = *self.number.get_or_insert_with(|| {
            list.next += 1;
            list.next
        });
        let old = list.due.insert((self.at, number), waker);
        let first = list.due.first_key_value().is_some_and(|((_, first), _)| *first == number);
        let starts = !std::mem::replace(&mut list.kept, true);
        drop(list);
        quiet::discard("a waker", old);
        if starts {
            start();
        } else if first {
            SOONER.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let waker = list().due.remove(&(self.at, number));
        quiet::discard("a waker", waker);
    }
}

/// Starts the thread.
fn start() {
    let thread = std::thread::Builder::new().name("restante-time".into());
    if let Err(error) = thread.spawn(keep_time) {
        list().kept = false;
        quiet::run("a subscriber", || tracing::error!(%error, "no thread keeps the time: limits are late"));
    }
}

/// What the thread does.
fn keep_time() {
    let mut list = list();
    let mut idle_since = None;
    loop {
        let now = Instant::now();
        let wait = match list.due.first_entry() {
            Some(first) if first.key().0 <= now => {
                let waker = first.remove();
                drop(list);
                quiet::wake(waker);
                list = self::list();
                continue;
            }
            Some(first) => {
                idle_since = None;
                first.key().0 - now
            }
            None => {
                let since = *idle_since.get_or_insert(now);
                let left = LINGERS.saturating_sub(now - since);
                if left.is_zero() {
                    list.kept = false;
                    return;
                }
                left
            }
        };
        list = SOONER.wait_timeout(list, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const MS: Duration = Duration::from_millis(1);

    /// Clause 15.6: a pause needs neither a time driver nor a runtime, and is never over early.
    #[test]
    fn a_pause_needs_no_runtime() {
        let untimed = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for pause in [Duration::ZERO, 3 * MS, 20 * MS] {
            let began = Instant::now();
            crate::send::block_on_until(&mut Box::pin(sleep(pause)), None);
            assert!(began.elapsed() >= pause);
            let began = Instant::now();
            untimed.block_on(sleep(pause));
            assert!(began.elapsed() >= pause);
        }
        assert_eq!(untimed.block_on(at_most(MS, &mut std::future::pending::<()>())), None);
        assert_eq!(untimed.block_on(at_most(Duration::MAX, &mut std::future::ready(1))), Some(1));
        assert_eq!(untimed.block_on(at_most(Duration::ZERO, &mut std::future::pending::<()>())), None);
    }

    /// Clause 15.6: under a paused clock it is that clock which counts.
    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_is_moved_on() {
        assert!(is_clock_paused());
        let (began, real) = (tokio::time::Instant::now(), Instant::now());
        sleep(Duration::from_secs(100_000)).await;
        assert!(
            began.elapsed() >= Duration::from_secs(100_000) && real.elapsed() < Duration::from_secs(10_000)
        );
    }

    /// A clock that runs is the system's.
    #[tokio::test]
    async fn a_clock_that_runs_is_not_paused() {
        for _ in 0..1000 {
            assert!(!is_clock_paused());
        }
    }

    /// Dropped pauses leave the list, and the thread wakes each of the others at the right time, whatever their order.
    #[test]
    fn pauses_end_in_their_order_and_leave_nothing() {
        let woken = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = [9, 1, 5, 3, 7]
            .into_iter()
            .map(|n| {
                let woken = Arc::clone(&woken);
                std::thread::spawn(move || {
                    let long = Duration::from_secs(3600);
                    let mut given_up = Box::pin(sleep(long));
                    let pending =
                        given_up.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
                    crate::send::block_on_until(&mut Box::pin(sleep(n * MS)), None);
                    drop(given_up);
                    woken.fetch_add(usize::from(pending), Ordering::SeqCst);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(woken.load(Ordering::SeqCst), 5);
        assert!(list().due.keys().all(|(at, _)| *at < Instant::now() + Duration::from_secs(1800)));
    }
}
