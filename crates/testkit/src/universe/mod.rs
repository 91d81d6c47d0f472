//! A runtime for one test, at whose end nothing may be left over.
//!
//! ```text
//!  run ── body ── wait (servers whose references have gone end, tasks finish) ── census ── leaks? ── fail, with the list
//! ```

mod alarm;
mod census;
mod world;

pub use census::{Census, Kind, Leak};
pub use world::World;

use crate::eventually::{settled, some};
use crate::failure::{At, fail};
use alarm::Alarm;
use census::Allowed;
use std::fmt;
use std::panic::Location;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How long what is left over has for its end, unless told otherwise.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// How long the whole may take, unless told otherwise.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a test in a runtime of its own, of one thread and under paused time. When the body has returned, everything that it
/// began must come to its end by itself: servers that are not referred to any more, tasks, timers, monitors, replies that
/// are owed. What does not is a leak, and fails the test with a list of what and, where that is known, where it was made.
///
/// ```
/// use restante_testkit::Universe;
/// let sum = Universe::new().run(async |world| world.spawn(async { 1 + 1 }).await.expect("it adds up"));
/// assert_eq!(sum, 2);
/// ```
///
/// A test that hangs fails too, after a minute of real time ([`Universe::limit`]): with a list of what there is, when all
/// wait for each other, or a server never comes to rest. It does not fail where a handler keeps the only thread for itself,
/// as by `std::thread::sleep`, because the thread cannot be taken away.
///
/// What is not seen: plain threads, other runtimes, supervisors without children, and what does not come from this
/// framework, but for tokio's tasks.
#[derive(Debug, Default)]
#[must_use = "a universe exists while it runs"]
pub struct Universe {
    allowed: Allowed,
    shutdown: Option<Duration>,
    limit: Option<Duration>,
    real_time: bool,
}

impl Universe {
    /// A universe that allows nothing to be left over.
    pub fn new() -> Self {
        Self::default()
    }

    /// Things of this kind may be left over.
    pub fn allow(mut self, kind: Kind) -> Self {
        self.allowed.kinds.push(kind);
        self
    }

    /// What the server of this name (or whose type's name ends like this) leaves over may be.
    pub fn allow_named(mut self, name: impl Into<String>) -> Self {
        self.allowed.names.push(name.into());
        self
    }

    /// How long what is left over has for its end (default 10 s, of paused time).
    pub fn shutdown(mut self, limit: Duration) -> Self {
        self.shutdown = Some(limit);
        self
    }

    /// How long the whole may take, of real time, paused or not (default 60 s; `Duration::MAX`: as long as it takes).
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Time passes as it does outside: for tests that read files or sockets.
    pub fn real_time(mut self) -> Self {
        self.real_time = true;
        self
    }

    /// Runs the test.
    ///
    /// # Panics
    /// When something is left over at the end, or the end does not come; as the body does, if it does; inside another runtime.
    #[track_caller]
    pub fn run<T>(self, body: impl AsyncFnOnce(&World) -> T) -> T {
        let at = Location::caller();
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(!self.real_time)
            .build()
            .expect("a runtime can be had");
        let limit = self.limit.unwrap_or(LIMIT);
        let (runtime, mut alarm) = (Ends(Some(runtime)), Alarm::after(limit));
        runtime.block_on(async move {
            let world = World::new(self.shutdown.unwrap_or(SHUTDOWN));
            let mut whole = pin!(async {
                let value = body(&world).await;
                world.end(&self.allowed, at).await;
                value
            });
            let ended = std::future::poll_fn(|cx| match whole.as_mut().poll(cx) {
                Poll::Ready(value) => Poll::Ready(Some(value)),
                Poll::Pending => alarm.poll_rung(cx).map(|()| None),
            });
            match ended.await {
                Some(value) => value,
                None => world.hangs(limit, at),
            }
        })
    }
}

/// A runtime that waits for its blocking tasks no longer than for anything else.
struct Ends(Option<Runtime>);

impl Ends {
    fn block_on<T>(&self, body: impl Future<Output = T>) -> T {
        self.0.as_ref().expect("it is there until it is dropped").block_on(body)
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(SHUTDOWN);
        }
    }
}

impl World {
    /// The test has not come to its end.
    fn hangs(&self, limit: Duration, at: At) -> ! {
        let there = self.census().leaks(&Allowed::default());
        fail(
            format_args!("the test has not ended after {limit:?} of real time; there is:{}", List(&there)),
            at,
        )
    }

    /// Waits for the end of everything; what has none is a leak.
    async fn end(&self, allowed: &Allowed, at: At) {
        settled().await;
        let clean = || self.census().leaks(allowed).is_empty().then_some(());
        if some(self.limit, clean).await.is_none() {
            let leaks = self.census().leaks(allowed);
            let limit = self.limit;
            fail(format_args!("left over {limit:?} after the test's end:{}", List(&leaks)), at);
        }
    }
}

/// Leaks, one in a line.
struct List<'a>(&'a [Leak]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|leak| write!(f, "\n  - {leak}"))
    }
}
