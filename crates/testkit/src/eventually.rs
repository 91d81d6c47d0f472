//! What comes about by itself, within a limit.

use crate::failure::{At, fail};
use std::panic::Location;
use std::time::Duration;
use tokio::time::Instant;

/// Looks that cost no time, before the first pause.
const LOOKS: u32 = 256;

/// How long the wall clock is waited for where time is paused: other runtimes and plain threads live by it.
const GRACE: Duration = Duration::from_secs(2);

/// Waits until `holds` does, at most so long. Under paused time this takes no time at all, unless what is waited for is done
/// by another runtime or a plain thread: they get up to 2 s (or the limit, where that is less) of the wall clock's.
///
/// # Panics
/// When it does not hold by then.
///
/// # Cancel safety
/// Nothing is kept.
#[track_caller]
pub fn eventually(limit: Duration, mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let at = Location::caller();
    async move {
        if some(limit, || holds().then_some(())).await.is_none() {
            fail(format_args!("what should come about by itself did not within {limit:?}"), at);
        }
    }
}

/// Returns when nothing in this runtime can go on without time passing (and a millisecond of it has). For paused time.
///
/// # Cancel safety
/// Nothing is kept.
pub async fn settled() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// What `look` finds, within the limit. The pauses between two looks grow with the time waited, so that an hour takes no more
/// of them than a second.
pub(crate) async fn some<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..LOOKS {
        if let Some(found) = look() {
            return Some(found);
        }
        tokio::task::yield_now().await;
    }
    let (began, really) = (Instant::now(), std::time::Instant::now());
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        let waited = began.elapsed();
        let Some(left) = limit.checked_sub(waited).filter(|left| !left.is_zero()) else { break };
        tokio::time::sleep((waited / 16).max(Duration::from_millis(1)).min(left)).await;
    }
    while really.elapsed() < limit.min(GRACE) {
        // The thread sleeps, not the task: of the clock that is paused there is enough.
        std::thread::sleep(Duration::from_millis(1));
        tokio::task::yield_now().await;
        if let Some(found) = look() {
            return Some(found);
        }
    }
    None
}

/// What a future makes within the limit; else the test fails with `what` was waited for.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>, what: &str, at: At) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => fail(format_args!("{what} was expected within {limit:?}, nothing came"), at),
    }
}
