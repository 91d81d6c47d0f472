//! What comes about by itself, within a limit.

use crate::failure::{At, fail};
use std::panic::Location;
use std::time::Duration;
use tokio::time::Instant;

/// Looks that cost no time, before the first pause.
const LOOKS: u32 = 256;

/// Waits until `holds` does, at most so long. Under paused time this takes no time at all.
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
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        let waited = began.elapsed();
        let left = limit.checked_sub(waited).filter(|left| !left.is_zero())?;
        tokio::time::sleep((waited / 16).max(Duration::from_millis(1)).min(left)).await;
    }
}

/// What a future makes within the limit; else the test fails with `what` was waited for.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>, what: &str, at: At) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => fail(format_args!("{what} was expected within {limit:?}, nothing came"), at),
    }
}
