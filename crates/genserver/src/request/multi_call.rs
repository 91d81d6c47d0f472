//! One question, or one message, to many servers.

use super::collection::Requests;
use crate::call::CallError;
use crate::reply::Reply;
use crate::server::GenServer;
use crate::server_ref::ServerRef;
use restante_core::SendError;
use restante_core::clock;
use std::time::Duration;

/// What came of a [`multi_call`]. Servers are named by their place among those that were asked, and stand in that order.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "what failed is told here, and nowhere else"]
pub struct MultiReplies<T> {
    /// Those that answered.
    pub replies: Vec<(usize, T)>,
    /// Those that did not, and why.
    pub failures: Vec<(usize, CallError)>,
}

/// Asks all of them at once and waits until they have answered, at most so long for all together (the default for calls is
/// [`DEFAULT_CALL_TIMEOUT`](crate::DEFAULT_CALL_TIMEOUT); `Duration::MAX` is for ever). `make` is that of
/// [`ServerRef::call`], and is called once for each.
///
/// Each is sent a request ([`ServerRef::send_request`]): a full mailbox is a failure at once. Who has not answered in time is
/// a failure with [`CallError::Timeout`], and its request is abandoned.
///
/// ```ignore
/// let sizes = multi_call(&shards, DEFAULT_CALL_TIMEOUT, Ask::Size).await;
/// let total: u64 = sizes.replies.iter().map(|(_, size)| size).sum();
/// ```
///
/// # Panics
/// Where it has to wait, in a runtime without a time driver, for a limit that is neither zero nor for ever.
///
/// # Cancel safety
/// Dropping the future abandons all requests.
///
/// Source: OTP `gen_server:multi_call/4`. Differs: over references, where OTP has a name and nodes.
pub async fn multi_call<S: GenServer, T: Send>(
    servers: &[ServerRef<S>],
    limit: Duration,
    make: impl FnMut(Reply<T>) -> S::Call,
) -> MultiReplies<T> {
    let until = clock::now().checked_add(limit);
    let mut make = make;
    let requests: Requests<_, T> =
        servers.iter().map(|server| server.send_request(&mut make)).enumerate().collect();
    let mut responses = requests.wait_all_to(until).await;
    responses.sort_unstable_by_key(|(server, _)| *server);
    let mut all = MultiReplies { replies: Vec::new(), failures: Vec::new() };
    for (server, response) in responses {
        match response {
            Ok(reply) => all.replies.push((server, reply)),
            Err(error) => all.failures.push((server, error)),
        }
    }
    all
}

/// Casts to all of them, at once or not at all; those that refused theirs, by their place, and it.
///
/// Source: OTP `gen_server:abcast/3`. Differs: a mailbox that takes no more says so.
pub fn multi_cast<S: GenServer>(
    servers: &[ServerRef<S>],
    mut make: impl FnMut() -> S::Cast,
) -> Vec<(usize, SendError<S::Cast>)> {
    let refused = servers.iter().map(|server| server.cast(make()).err());
    refused.enumerate().filter_map(|(server, error)| Some((server, error?))).collect()
}
