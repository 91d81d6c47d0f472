//! A limit on a future that is only lent, so that what is in it can be taken back.

use crate::clock;
use crate::shield::{Shielded, shield};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// A timer of the runtime that is entered. Tokio's time driver calls the wakers of all timers of a runtime one after the other:
/// the shield keeps a waker that panics from ending the driver, and with it the timers of everything else there.
///
/// # Panics
/// In a runtime without a time driver, and outside of any.
pub fn sleep_until(at: Instant) -> Shielded<Sleep> {
    shield(tokio::time::sleep_until(at))
}

/// Polls `future` until it is done (`Some`) or the time is over (`None`). `Duration::MAX` sets no timer; zero polls
/// once. Outside a tokio runtime, where there is no timer, the limit cannot be kept and the future is only polled.
///
/// # Panics
/// Where it has to wait in a runtime without a time driver.
pub async fn at_most<F: Future + Unpin>(limit: Duration, future: &mut F) -> Option<F::Output> {
    let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await;
    match first {
        Poll::Ready(output) => return Some(output),
        Poll::Pending if limit.is_zero() => return None,
        Poll::Pending => {}
    }
    let until = clock::now().checked_add(limit);
    let (Some(until), true) = (until, tokio::runtime::Handle::try_current().is_ok()) else {
        return Some(future.await);
    };
    let mut sleep = sleep_until(until);
    poll_fn(|cx| {
        if let Poll::Ready(output) = Pin::new(&mut *future).poll(cx) {
            return Poll::Ready(Some(output));
        }
        Pin::new(&mut sleep).poll(cx).map(|()| None)
    })
    .await
}
