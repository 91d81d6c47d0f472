//! A limit on a future that is only lent, so that what is in it can be taken back.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

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
    let until = tokio::time::Instant::now().checked_add(limit);
    let (Some(until), true) = (until, tokio::runtime::Handle::try_current().is_ok()) else {
        return Some(future.await);
    };
    let mut sleep = pin!(tokio::time::sleep_until(until));
    poll_fn(|cx| {
        if let Poll::Ready(output) = Pin::new(&mut *future).poll(cx) {
            return Poll::Ready(Some(output));
        }
        sleep.as_mut().poll(cx).map(|()| None)
    })
    .await
}
