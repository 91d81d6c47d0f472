//! Time for what the library waits for of its own accord, in a runtime of which nothing is known.
//!
//! Tokio tells only by a panic that a runtime has no time driver, and a panic is heard by the process's hook. So this
//! room does not ask: pauses that no user has asked for are kept by one thread of the process, which sleeps until the next is
//! over, and goes when there have been none for a while. Where tokio's clock is paused, as in tests, its own timers keep them,
//! for they move it on.
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
use std::io;
use std::pin::Pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The thread goes when it has had nothing to wait for during this time.
const LINGERS: Duration = Duration::from_secs(1);

/// Where no thread can be had: how long until one is asked for again.
const RETRIES: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct List {
    due: BTreeMap<(Instant, u64), Waker>,
    next: u64,
    /// There is a thread.
    kept: bool,
    /// Until then none is asked for: there was none to be had.
    without: Option<Instant>,
}

/// Who wakes whom when.
struct Clock {
    list: Mutex<List>,
    sooner: Condvar,
    /// Starts the thread.
    start: fn(&'static Clock) -> io::Result<()>,
}

static CLOCK: Clock = Clock::new(start);

impl Clock {
    const fn new(start: fn(&'static Self) -> io::Result<()>) -> Self {
        let list = List { due: BTreeMap::new(), next: 0, kept: false, without: None };
        Self { list: Mutex::new(list), sooner: Condvar::new(), start }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is no thread to be had: every pause is polled again, and again, until there is one, since nothing else keeps the
    /// time.
    #[cold]
    fn goes_without(&self, now: Instant, error: &io::Error) {
        let waiting = {
            let mut list = self.list();
            list.kept = false;
            list.without = now.checked_add(RETRIES);
            std::mem::take(&mut list.due)
        };
        quiet::run(
            "a subscriber",
            || tracing::error!(%error, "no thread keeps the time: who waits is polled all the time"),
        );
        waiting.into_values().for_each(quiet::wake);
    }
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
        Alarm { at, number: None, clock: &CLOCK }.await;
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
    clock: &'static Clock,
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        if now >= self.at {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let clock = self.clock;
        let mut list = clock.list();
        if !list.kept && list.without.is_some_and(|until| now < until) {
            drop(list);
            waker.wake();
            return Poll::Pending;
        }
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
            if let Err(error) = (clock.start)(clock) {
                clock.goes_without(now, &error);
            }
        } else if first {
            clock.sooner.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let waker = self.clock.list().due.remove(&(self.at, number));
        quiet::discard("a waker", waker);
    }
}

/// Starts the thread.
fn start(clock: &'static Clock) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("restante-time".into());
    thread.spawn(|| keep_time(clock)).map(drop)
}

/// What the thread does.
fn keep_time(clock: &Clock) {
    let mut list = clock.list();
    let mut idle_since = None;
    loop {
        let now = Instant::now();
        let wait = match list.due.first_entry() {
            Some(first) if first.key().0 <= now => {
                let waker = first.remove();
                drop(list);
                quiet::wake(waker);
                list = clock.list();
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
        list = clock.sooner.wait_timeout(list, wait).unwrap_or_else(PoisonError::into_inner).0;
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
        assert!(CLOCK.list().due.keys().all(|(at, _)| *at < Instant::now() + Duration::from_secs(1800)));
    }

    #[derive(Default)]
    struct Counts(AtomicUsize);
    impl std::task::Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn poll_by(alarm: &mut Alarm, by: &Arc<Counts>) -> Poll<()> {
        Pin::new(alarm).poll(&mut Context::from_waker(&Waker::from(Arc::clone(by))))
    }

    /// Clauses 6.1, 15.6: where no thread can be had each pause is polled until there is one: that of who has asked for it, and
    /// that of another, who found it asked for.
    #[test]
    fn a_thread_that_cannot_be_had_stops_no_pause() {
        static OTHER: Mutex<Option<(Alarm, Arc<Counts>)>> = Mutex::new(None);
        fn none(_: &'static Clock) -> io::Result<()> {
            // Meanwhile another one begins to wait.
            if let Some((alarm, counts)) = &mut *OTHER.lock().unwrap() {
                assert!(poll_by(alarm, counts).is_pending());
            }
            Err(io::Error::other("no thread"))
        }
        static NO_THREAD: Clock = Clock::new(none);
        let alarm = || Alarm { at: Instant::now() + 20 * MS, number: None, clock: &NO_THREAD };
        let (mut mine, counts, others) = (alarm(), Arc::<Counts>::default(), Arc::<Counts>::default());
        *OTHER.lock().unwrap() = Some((alarm(), Arc::clone(&others)));
        assert!(poll_by(&mut mine, &counts).is_pending());
        assert_eq!((counts.0.load(Ordering::SeqCst), others.0.load(Ordering::SeqCst)), (1, 1));
        let (mut other, _) = OTHER.lock().unwrap().take().unwrap();
        for alarm in [&mut mine, &mut other] {
            let at = alarm.at;
            crate::send::block_on_until(alarm, None);
            assert!(Instant::now() >= at);
        }
        assert!(NO_THREAD.list().due.is_empty());
    }

    /// Once there is a thread again it keeps the time.
    #[test]
    fn a_thread_that_can_be_had_again_keeps_the_time() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        fn later(clock: &'static Clock) -> io::Result<()> {
            if ASKED.fetch_add(1, Ordering::SeqCst) < 2 {
                Err(io::Error::other("no thread"))
            } else {
                start(clock)
            }
        }
        static LATE: Clock = Clock::new(later);
        let mut alarm = Alarm { at: Instant::now() + 60 * MS, number: None, clock: &LATE };
        let at = alarm.at;
        crate::send::block_on_until(&mut alarm, None);
        assert!(Instant::now() >= at);
    }
}
