//! Ends and restarts that a test causes, or waits for.

use crate::DEFAULT_LIMIT;
use crate::eventually::{some, within};
use crate::failure::fail;
use restante_core::Exit;
use restante_genserver::{GenServer, ServerRef};
use std::panic::Location;

/// Kills the server's present incarnation, and waits for its end. (For other ends than a kill:
/// [`CrashPlan`](crate::CrashPlan).)
///
/// # Panics
/// When no incarnation reads, or it does not end within 3 s.
///
/// # Cancel safety
/// The kill stands.
#[track_caller]
pub fn crash<S: GenServer>(server: &ServerRef<S>) -> impl Future<Output = Exit> {
    let at = Location::caller();
    async move {
        let mut end = std::pin::pin!(server.join());
        // Listens first: a supervisor's next incarnation is not to be taken for this one.
        let ended = std::future::poll_fn(|cx| std::task::Poll::Ready(end.as_mut().poll(cx))).await;
        if ended.is_ready() || !server.kill() {
            fail(format_args!("{server:?} was to crash, but it does not run"), at);
        }
        within(DEFAULT_LIMIT, end, "the end of a server", at).await
    }
}

/// Waits for the end of the server's present incarnation (or takes the last one's, where none reads).
///
/// # Panics
/// When it has not ended after 3 s.
///
/// # Cancel safety
/// Nothing is lost.
#[track_caller]
pub fn expect_down<S: GenServer>(server: &ServerRef<S>) -> impl Future<Output = Exit> {
    let at = Location::caller();
    async move { within(DEFAULT_LIMIT, server.join(), "the end of a server", at).await }
}

/// Waits for an incarnation later than `last` ([`ServerRef::incarnation`]) to read: its number. (It may be in its `init` yet.)
///
/// # Panics
/// When none does within 3 s.
///
/// # Cancel safety
/// Nothing is lost.
#[track_caller]
pub fn expect_restart<S: GenServer>(server: &ServerRef<S>, last: u32) -> impl Future<Output = u32> {
    let at = Location::caller();
    async move {
        let later = || Some(server.incarnation()).filter(|n| *n > last && server.is_alive());
        match some(DEFAULT_LIMIT, later).await {
            Some(incarnation) => incarnation,
            None => fail(
                format_args!(
                    "{server:?} was expected to be started again within {DEFAULT_LIMIT:?}, after incarnation {last}"
                ),
                at,
            ),
        }
    }
}
