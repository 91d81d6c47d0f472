//! Many requests, waited for together.

use super::one::Request;
use super::ready::Ready;
use crate::call::{self, CallError};
use crate::cycle::{self, Knot, Path, Waiting};
use crate::frame;
use futures::Stream;
use restante_core::clock;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Cx, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// Requests with labels, whose responses are taken in the order in which they come.
///
/// ```
/// use restante_genserver::*;
/// use std::time::Duration;
/// # struct Shard(u64);
/// # enum Ask { Size(Reply<u64>) }
/// # impl GenServer for Shard {
/// #     type Args = u64;
/// #     type Call = Ask;
/// #     type Cast = ();
/// #     type Info = ();
/// #     async fn init(size: &u64, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> { Ok(Init::ok(Shard(*size))) }
/// #     async fn handle_call(&mut self, Ask::Size(reply): Ask, _: &mut Context<Self>) -> Step {
/// #         reply.send(self.0);
/// #         Ok(Next::go())
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let shards = [("a", start::<Shard>(40).await?), ("b", start::<Shard>(2).await?)];
/// let mut requests = Requests::new();
/// for (name, shard) in &shards {
///     requests.add(*name, shard.send_request(Ask::Size));
/// }
/// let deadline = tokio::time::Instant::now() + Duration::from_secs(1);
/// let mut total = 0;
/// while let Some((_name, size)) = requests.next_until(deadline).await {
///     total += size?;
/// }
/// assert!(requests.is_empty(), "whoever had not answered by then would still be in it");
/// assert_eq!(total, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
///
/// A label may be there several times. A request is there once, since adding it takes it. What is added by its label can be
/// taken out again; a request that could not be sent is a response like others.
///
/// Each wait has the limit that it is given, and none of its own; when it is over all that has not been answered stays. A
/// wait that says `None` has found the collection empty, or come to its limit: [`is_empty`](Self::is_empty) tells which.
/// Dropping the collection abandons all ([`Request`]).
///
/// The cost of a request does not depend on how many there are, but for the logarithm of looking it up: one allocation for
/// its waker, and its place in a B-tree. (Inside a handler each wait besides looks for rings, over the servers that it
/// waits for.)
///
/// Inside a handler, waiting ends the requests to each server that (through others) waits for this one, as
/// [`CallError::Cycle`]; also when another's response would come first. As a [`Stream`] it looks for rings whenever it is
/// polled and finds nothing, but is not seen in those that others close later.
///
/// # Ordering
/// Of two responses, that which came first is taken first. Those to requests of one server come as it answers them, and no
/// order is promised where they come from different ones at the same time. What was answered before it was added counts as
/// having come then.
///
/// Source: OTP `gen_server`, request id collections. Differs: the three functions of OTP are one wait and
/// [`abandon_all`](Self::abandon_all).
pub struct Requests<L, T: Send> {
    waiting: BTreeMap<u64, Entry<L, T>>,
    next_id: u64,
    ready: Arc<Ready>,
    /// Tied when a handler first waits.
    knot: Option<Knot>,
}

struct Entry<L, T: Send> {
    label: L,
    request: Request<T>,
    /// The knot counts it.
    tied: bool,
}

impl<L, T: Send> Unpin for Requests<L, T> {}

impl<L, T: Send> Requests<L, T> {
    /// An empty collection.
    pub fn new() -> Self {
        Self { waiting: BTreeMap::new(), next_id: 0, ready: Arc::default(), knot: None }
    }

    /// Adds a request.
    pub fn add(&mut self, label: L, mut request: Request<T>) {
        let id = self.next_id;
        self.next_id += 1;
        if self.waiting.is_empty() {
            // What was told while it was being abandoned.
            self.ready.retain(|_| false);
        }
        let tied = self.knot.is_some();
        if let Some(knot) = &mut self.knot {
            knot.tie(request.asked().id(), || request.asked().label());
        }
        if !request.tell(&mut Cx::from_waker(&self.ready.bell(id))) {
            self.ready.push(id);
        }
        self.waiting.insert(id, Entry { label, request, tied });
    }

    /// How many there are whose response has not been taken.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether all responses have been taken.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The labels of those whose response has not been taken, in the order in which they were added.
    pub fn labels(&self) -> impl Iterator<Item = &L> {
        self.waiting.values().map(|entry| &entry.label)
    }

    /// Takes the first request with this label out again, as it is. It looks through all.
    pub fn remove(&mut self, label: &L) -> Option<Request<T>>
    where
        L: PartialEq,
    {
        let id = self.waiting.iter().find(|(_, entry)| entry.label == *label).map(|(id, _)| *id)?;
        let entry = self.take(id)?;
        self.ready.retain(|ready| ready != id);
        Some(entry.request)
    }

    /// Gives all up, as dropping the collection does.
    pub fn abandon_all(&mut self) {
        self.knot = None;
        self.waiting.clear();
        self.ready.retain(|_| false);
    }

    /// A response that has come, if there is one.
    pub fn check(&mut self) -> Option<(L, Result<T, CallError>)> {
        while let Some(id) = self.ready.pop() {
            // A number may be without a request: its response came while the request was taken out.
            let Some(entry) = self.waiting.get_mut(&id) else { continue };
            if let Some(response) = entry.request.check() {
                let entry = self.take(id)?;
                return Some((entry.label, response));
            }
        }
        None
    }

    /// The next response, however long it takes. `None`, at once: there are none to come.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<(L, Result<T, CallError>)> {
        self.next_to(None).await
    }

    /// The next response, waited for at most so long. `None`: there is none by then, and all that has not been answered
    /// stays; or there are none to come. Zero is [`check`](Self::check), `Duration::MAX` for ever.
    ///
    /// # Panics
    /// Where it has to wait, in a runtime without a time driver, for a limit that is neither.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next_within(&mut self, limit: Duration) -> Option<(L, Result<T, CallError>)> {
        self.next_to(clock::now().checked_add(limit)).await
    }

    /// The next response until a point in time, which several waits may share. One that has passed is [`check`](Self::check).
    ///
    /// # Panics
    /// As [`next_within`](Self::next_within).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next_until(&mut self, deadline: Instant) -> Option<(L, Result<T, CallError>)> {
        self.next_to(Some(deadline)).await
    }

    /// All responses that come by then, in the order in which they come; then the rest, which is abandoned, as
    /// [`CallError::Timeout`], in the order in which it was added.
    ///
    /// # Panics
    /// As [`next_within`](Self::next_within).
    ///
    /// # Cancel safety
    /// Dropping the future abandons all; the responses that had come by then are lost.
    pub async fn wait_all_or_abandon(self, deadline: Instant) -> Vec<(L, Result<T, CallError>)> {
        self.wait_all_to(Some(deadline)).await
    }

    pub(crate) async fn wait_all_to(self, until: Option<Instant>) -> Vec<(L, Result<T, CallError>)> {
        let mut me = self;
        let mut responses = Vec::with_capacity(me.len());
        while let Some(response) = me.next_to(until).await {
            responses.push(response);
        }
        let rest = std::mem::take(&mut me.waiting).into_values();
        responses.extend(rest.map(|entry| (entry.label, Err(CallError::Timeout))));
        responses
    }

    async fn next_to(&mut self, until: Option<Instant>) -> Option<(L, Result<T, CallError>)> {
        if until.is_some_and(|until| until <= clock::now()) {
            return self.check();
        }
        let first = poll_fn(|cx| Poll::Ready(self.poll_ready(cx))).await;
        if let Poll::Ready(response) = first {
            return response;
        }
        let _waiting = self.begin();
        let mut timer = until.and_then(|until| {
            let any = self.waiting.values().next()?;
            call::timer(until, || any.request.asked().rt())
        });
        poll_fn(|cx| match (self.poll_in_a_handler(cx), &mut timer) {
            (Poll::Ready(response), _) => Poll::Ready(response),
            // What has come, and had no turn because the task had had many, comes before the end of the time.
            (Poll::Pending, Some(timer)) => Pin::new(timer).poll(cx).map(|()| self.check()),
            (Poll::Pending, None) => Poll::Pending,
        })
        .await
    }

    fn poll_ready(&mut self, cx: &mut Cx<'_>) -> Poll<Option<(L, Result<T, CallError>)>> {
        if self.waiting.is_empty() {
            return Poll::Ready(None);
        }
        // A run of responses that have all come must let other tasks live.
        let coop = ready!(tokio::task::coop::poll_proceed(cx));
        loop {
            if let Some(response) = self.check() {
                coop.made_progress();
                return Poll::Ready(Some(response));
            }
            if self.ready.wait(cx.waker()) {
                return Poll::Pending;
            }
        }
    }

    /// Polls, where a ring may close later than the wait begins.
    fn poll_in_a_handler(&mut self, cx: &mut Cx<'_>) -> Poll<Option<(L, Result<T, CallError>)>> {
        let polled = self.poll_ready(cx);
        if polled.is_ready() || !self.refuse_what_has_closed() {
            return polled;
        }
        self.poll_ready(cx)
    }

    /// Refuses the requests that have become part of a ring since the wait began: whether there are such.
    fn refuse_what_has_closed(&mut self) -> bool {
        if !cycle::may_have_closed() {
            return false;
        }
        let mut looked_at = HashSet::new();
        let mut closed = HashMap::new();
        for entry in self.waiting.values() {
            let asked = entry.request.asked();
            if looked_at.insert(asked.id())
                && let Some(path) = cycle::has_closed(asked.id(), || asked.label())
            {
                closed.insert(asked.id(), path);
            }
        }
        if let Some(knot) = &mut self.knot {
            let tied = self.waiting.values().filter(|entry| entry.tied);
            let ids = tied.map(|entry| entry.request.asked().id()).filter(|id| closed.contains_key(id));
            for id in ids {
                knot.untie(id);
            }
        }
        self.refuse(&closed);
        !closed.is_empty()
    }

    /// From here on the handler that runs here, if one does, waits for all that is still to come.
    fn begin(&mut self) -> Option<Waiting> {
        frame::current()?;
        let waiting = &mut self.waiting;
        let knot = self.knot.get_or_insert_with(|| {
            let mut knot = Knot::new();
            for entry in waiting.values_mut() {
                entry.tied = true;
                let asked = entry.request.asked();
                knot.tie(asked.id(), || asked.label());
            }
            knot
        });
        let begun = knot.wait();
        if !begun.refused.is_empty() {
            self.refuse(&begun.refused);
        }
        begun.waiting
    }

    /// What these servers would answer, if this one did not wait for it.
    #[cold]
    fn refuse(&mut self, refused: &HashMap<usize, Path>) {
        for (id, entry) in &mut self.waiting {
            let Some(path) = refused.get(&entry.request.asked().id()) else { continue };
            entry.tied = false;
            // What has been answered meanwhile is no part of a ring.
            if entry.request.refuse(CallError::Cycle { path: path.clone() }) {
                self.ready.push(*id);
            }
        }
    }

    fn take(&mut self, id: u64) -> Option<Entry<L, T>> {
        let entry = self.waiting.remove(&id)?;
        if let Some(knot) = self.knot.as_mut().filter(|_| entry.tied) {
            knot.untie(entry.request.asked().id());
        }
        Some(entry)
    }
}

impl<L, T: Send> Default for Requests<L, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L, T: Send> FromIterator<(L, Request<T>)> for Requests<L, T> {
    fn from_iter<I: IntoIterator<Item = (L, Request<T>)>>(requests: I) -> Self {
        let mut all = Self::new();
        requests.into_iter().for_each(|(label, request)| all.add(label, request));
        all
    }
}

/// Ends when there is nothing to come; what is added afterwards is a stream again.
impl<L, T: Send> Stream for Requests<L, T> {
    type Item = (L, Result<T, CallError>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.poll_ready(cx);
        if polled.is_ready() || self.begin().is_none() || self.ready.is_empty() {
            return polled;
        }
        self.poll_ready(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

impl<L: fmt::Debug, T: Send> fmt::Debug for Requests<L, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.waiting.values().map(|entry| (&entry.label, &entry.request))).finish()
    }
}
