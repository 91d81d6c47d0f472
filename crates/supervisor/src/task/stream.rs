//! One task per item of a stream, a few at a time.
//!
//! ```text
//! input ──► running (at most max_concurrency) ──► waiting (ordered: for an earlier one) ──► consumer
//!           └───────────── in hand: at most max_concurrency + buffer ─────────────┘
//! ```

use super::handle::{Task, TaskError};
use super::start::TaskStartError;
use super::supervisor::TaskSupervisor;
use futures::stream::{FusedStream, FuturesUnordered, Iter};
use futures::{Stream, StreamExt as _};
use pin_project_lite::pin_project;
use restante_core::{ExitReason, drop_quietly};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Cx, Poll, ready};
use std::time::Duration;

/// How long the task of one item may take, unless told otherwise: 5 s.
pub const DEFAULT_ITEM_TIMEOUT: Duration = Duration::from_secs(5);

/// What an [`AsyncStream`] does when the task of an item takes too long. The task is dropped in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnItemTimeout {
    /// The item is [`TaskError::Timeout`] and the stream goes on.
    #[default]
    KillTask,
    /// The stream says [`TaskError::Timeout`] at once and ends: its other tasks are aborted, what they made is dropped.
    Exit,
}

impl TaskSupervisor {
    /// Runs `f` in a task of its own for each item, a few at a time, and yields what comes of them: see [`AsyncStream`].
    pub fn async_stream<I, F, Fut, T>(&self, items: I, f: F) -> AsyncStream<Iter<I::IntoIter>, F, T>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        F: Fn(I::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, ExitReason>> + Send + 'static,
        T: Send + 'static,
    {
        self.async_stream_of(futures::stream::iter(items), f)
    }

    /// Runs `f` in a task of its own for each item of a stream.
    pub fn async_stream_of<St, F, Fut, T>(&self, items: St, f: F) -> AsyncStream<St, F, T>
    where
        St: Stream,
        St::Item: Send + 'static,
        F: Fn(St::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, ExitReason>> + Send + 'static,
        T: Send + 'static,
    {
        let max_concurrency = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        AsyncStream {
            input: Some(items),
            rest: Rest {
                supervisor: self.clone(),
                f: Arc::new(f),
                max_concurrency,
                buffer: None,
                ordered: true,
                timeout: DEFAULT_ITEM_TIMEOUT,
                on_timeout: OnItemTimeout::KillTask,
                running: FuturesUnordered::new(),
                waiting: BTreeMap::new(),
                pulled: 0,
                yielded: 0,
                over: false,
            },
        }
    }
}

pin_project! {
    /// Yields what the tasks of its items make: in the order of the items, unless told otherwise.
    ///
    /// Nothing happens before it is polled. An item is pulled when there is a free place for its task, and only in a
    /// poll; tasks go on between polls. Both the closure and its future run in the task. A failure or a panic there is
    /// an item, [`TaskError::Exited`], and the stream goes on. After a panic of the input itself, which is an item too,
    /// nothing more is pulled. A start that is refused ([`TaskError::Start`]) ends the stream at once, as
    /// [`OnItemTimeout::Exit`] does.
    ///
    /// Dropped half-way, it aborts its tasks; they are gone as soon as the runtime gets to them. It keeps its supervisor
    /// alive.
    ///
    /// Source: Elixir `Task.Supervisor.async_stream`. Differs: a [`buffer`](AsyncStream::buffer) bounds what waits for an
    /// earlier item; a task that takes too long does not end the stream, unless told to; the time is kept by the task
    /// itself, so one that blocks its thread is late with its time-out and keeps its place.
    ///
    /// # Cancel safety
    /// Dropping the future of `next` loses nothing.
    ///
    /// ```
    /// # use futures::StreamExt;
    /// # use restante_supervisor::task::TaskSupervisor;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let tasks = TaskSupervisor::new();
    /// let squares = tasks.async_stream(1..=4, |n: u32| async move { Ok(n * n) }).max_concurrency(2);
    /// let squares: Vec<u32> = squares.map(Result::unwrap).collect().await;
    /// assert_eq!(squares, [1, 4, 9, 16]);
    /// # });
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct AsyncStream<St, F, T> {
        // `None`: it has ended, or panicked.
        #[pin]
        input: Option<St>,
        rest: Rest<F, T>,
    }
}

/// All but the input.
struct Rest<F, T> {
    supervisor: TaskSupervisor,
    f: Arc<F>,
    max_concurrency: usize,
    buffer: Option<usize>,
    ordered: bool,
    timeout: Duration,
    on_timeout: OnItemTimeout,
    running: FuturesUnordered<Job<T>>,
    /// Ended, and not the next to be yielded.
    waiting: BTreeMap<u64, Result<T, TaskError>>,
    pulled: u64,
    yielded: u64,
    over: bool,
}

/// How it is to be; before it is first polled.
impl<St, F, T> AsyncStream<St, F, T> {
    /// How many tasks run at a time, at most: as many as the machine has cores, unless set. (Zero is taken as 1.)
    pub fn max_concurrency(mut self, max: usize) -> Self {
        self.rest.max_concurrency = max.max(1);
        self
    }

    /// How many more items may be in hand than may run: in hand are those that run and those that are done and wait for
    /// an earlier one. When so many are, nothing is pulled until the earlier one is done. As many as may run, unless set;
    /// with 0, those that wait take the places of tasks. It does not concern an unordered stream, where none wait.
    pub fn buffer(mut self, buffer: usize) -> Self {
        self.rest.buffer = Some(buffer);
        self
    }

    /// Whether results come in the order of the items (the default), or as they are made.
    pub fn ordered(mut self, ordered: bool) -> Self {
        self.rest.ordered = ordered;
        self
    }

    /// How long the task of one item may take, from its first poll: 5 s unless set. `Duration::MAX` is for ever.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.rest.timeout = timeout;
        self
    }

    /// What becomes of the stream when one takes longer: it goes on, unless set.
    pub fn on_timeout(mut self, on_timeout: OnItemTimeout) -> Self {
        self.rest.on_timeout = on_timeout;
        self
    }
}

impl<St, F, Fut, T> Stream for AsyncStream<St, F, T>
where
    St: Stream,
    St::Item: Send + 'static,
    F: Fn(St::Item) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, ExitReason>> + Send + 'static,
    T: Send + 'static,
{
    type Item = Result<T, TaskError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let (mut input, rest) = (this.input, this.rest);
        if rest.over {
            return Poll::Ready(None);
        }
        loop {
            if let Err(refused) = rest.fill(input.as_mut(), cx) {
                return rest.end_with(input, refused.into());
            }
            if let Some(item) = rest.next_waiting() {
                return Poll::Ready(Some(item));
            }
            match ready!(rest.running.poll_next_unpin(cx)) {
                Some((_, Err(TaskError::Timeout))) if rest.on_timeout == OnItemTimeout::Exit => {
                    return rest.end_with(input, TaskError::Timeout);
                }
                Some((index, outcome)) => drop(rest.waiting.insert(index, outcome)),
                None if input.is_none() => {
                    rest.over = true;
                    return Poll::Ready(None);
                }
                None => return Poll::Pending,
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.rest.over {
            return (0, Some(0));
        }
        // At least nothing: it may end early.
        let in_hand = self.rest.in_hand();
        let input = self.input.as_ref().map_or(Some(0), |input| input.size_hint().1);
        // One more for a panic of the input.
        (0, input.and_then(|most| most.checked_add(in_hand)?.checked_add(1)))
    }
}

impl<St, F, Fut, T> FusedStream for AsyncStream<St, F, T>
where
    St: Stream,
    St::Item: Send + 'static,
    F: Fn(St::Item) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, ExitReason>> + Send + 'static,
    T: Send + 'static,
{
    fn is_terminated(&self) -> bool {
        self.rest.over
    }
}

impl<F, T> Rest<F, T> {
    fn in_hand(&self) -> usize {
        self.running.len() + self.waiting.len()
    }

    fn has_room(&self) -> bool {
        let buffer = self.buffer.unwrap_or(self.max_concurrency);
        self.running.len() < self.max_concurrency
            && self.in_hand() < self.max_concurrency.saturating_add(buffer)
    }

    /// Pulls items and starts their tasks while there is room.
    fn fill<St, Fut>(
        &mut self,
        mut input: Pin<&mut Option<St>>,
        cx: &mut Cx<'_>,
    ) -> Result<(), TaskStartError>
    where
        St: Stream,
        St::Item: Send + 'static,
        F: Fn(St::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, ExitReason>> + Send + 'static,
        T: Send + 'static,
    {
        while self.has_room() {
            let Some(stream) = input.as_mut().as_pin_mut() else { break };
            match catch_unwind(AssertUnwindSafe(|| stream.poll_next(cx))) {
                Ok(Poll::Pending) => break,
                Ok(Poll::Ready(Some(item))) => {
                    let task = start(&self.supervisor, &self.f, self.timeout, item)?;
                    self.running.push(Job { index: self.pulled, task });
                    self.pulled += 1;
                }
                Ok(Poll::Ready(None)) => input.set(None),
                Err(payload) => {
                    let reason = ExitReason::from_panic(payload);
                    drop_quietly(OnDrop(|| input.set(None)));
                    self.waiting.insert(self.pulled, Err(TaskError::Exited(reason)));
                    self.pulled += 1;
                }
            }
        }
        Ok(())
    }

    fn next_waiting(&mut self) -> Option<Result<T, TaskError>> {
        let first = self.waiting.first_entry()?;
        if self.ordered && *first.key() != self.yielded {
            return None;
        }
        self.yielded += 1;
        Some(first.remove())
    }

    /// The last item. What still runs is aborted.
    fn end_with<St>(
        &mut self,
        mut input: Pin<&mut Option<St>>,
        error: TaskError,
    ) -> Poll<Option<Result<T, TaskError>>> {
        self.over = true;
        self.running.clear();
        self.waiting.clear();
        input.set(None);
        Poll::Ready(Some(Err(error)))
    }
}

fn start<I, F, Fut, T>(
    supervisor: &TaskSupervisor,
    f: &Arc<F>,
    limit: Duration,
    item: I,
) -> Result<Task<Option<T>>, TaskStartError>
where
    I: Send + 'static,
    F: Fn(I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, ExitReason>> + Send + 'static,
    T: Send + 'static,
{
    let f = Arc::clone(f);
    supervisor.task().name(std::any::type_name::<Fut>()).async_(async move {
        let run = async move { f(item).await };
        if limit == Duration::MAX {
            return run.await.map(Some);
        }
        tokio::time::timeout(limit, run).await.map_or(Ok(None), |outcome| outcome.map(Some))
    })
}

/// The task of one item.
struct Job<T> {
    index: u64,
    /// `None`: it took too long.
    task: Task<Option<T>>,
}

impl<T> Future for Job<T> {
    type Output = (u64, Result<T, TaskError>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        let outcome = match ready!(Pin::new(&mut self.task).poll(cx)) {
            Ok(made) => made.ok_or(TaskError::Timeout),
            Err(error) => Err(error),
        };
        Poll::Ready((self.index, outcome))
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl<St, F, T> fmt::Debug for AsyncStream<St, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = &self.rest;
        write!(f, "AsyncStream({} running, {} waiting)", rest.running.len(), rest.waiting.len())
    }
}
