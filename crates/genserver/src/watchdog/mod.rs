//! Names the server, and the message, whose handler holds a worker thread of an async runtime for too long: while it still
//! does, and how long it was in the end.
//!
//! ```ignore
//! let _watchdog = Watchdog::start()?;   // warns by `tracing`, above 10 ms, for as long as it lives
//! ```
//!
//! A handler that computes, reads a file or waits for a lock without an await stops its worker, and with it all tasks that the
//! worker would have polled meanwhile. A handler that awaits does not, however long it takes.
//!
//! # What to do about it
//!
//! - **A server that blocks as a rule** belongs on a thread of its own, or on a pool of them:
//!   [`ServerSettings::own_thread`](crate::ServerSettings::own_thread),
//!   [`thread_pool`](crate::ServerSettings::thread_pool). Those are not watched: they may block.
//! - **A single blocking step** of a server that does not otherwise block: `tokio::task::spawn_blocking(..).await` where the
//!   step can be moved into a closure that owns what it needs; else [`blocking`] around `tokio::task::block_in_place`, which
//!   runs a closure that borrows (from the handler's state, say) right here, after it has handed this worker's other tasks to
//!   another thread. `block_in_place` exists on the multi-thread runtime only and panics in a task of any other; each use may
//!   cost a thread of the blocking pool for as long as the closure runs. The server itself handles nothing else meanwhile.
//! - **A long computation** that can be cut into pieces: `tokio::task::yield_now().await` between them.
//!
//! # Cost
//!
//! With no watchdog: one relaxed load for each poll of a server. With one: each such poll (a turn of the server's task, or a
//! call that its caller runs itself) notes server and time, about a tenth of a microsecond; messages cost nothing; and the
//! watchdog's thread wakes up four times per threshold.
//!
//! Rooms: what polls leave for the watchdog (`post`); when that is too long (`rule`, told the time).

mod poll_record;
mod rule;

pub(crate) use poll_record::{Watched, exempt, exempt_for_good, is_on, post};

use restante_core::{ExitReason, Phase, quiet};
use rule::Watch;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// The threshold of a watchdog that is told no other: 10 ms.
pub const DEFAULT_THRESHOLD: Duration = Duration::from_millis(10);

/// A handler that holds, or has held, a worker thread of a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hold {
    /// The server, by its mailbox's name or else by its type.
    pub server: String,
    /// Which callback it is in.
    pub phase: Phase,
    /// The name of the message in hand; empty where there is none.
    pub message: &'static str,
    /// The thread's name, where it has one.
    pub thread: Option<String>,
    /// For how long, so far or in the end: from when the watchdog first saw the handler to when it last did, so the true time is
    /// longer, by at most half of the threshold (and what the system may delay the watchdog's thread by).
    pub held: Duration,
    /// Whether it is over.
    pub ended: bool,
}

type Tell = Box<dyn FnMut(&Hold) + Send>;

/// Watches all servers of the process, on all runtimes, until it is dropped. Several can watch at once, with thresholds of
/// their own.
#[must_use = "it watches for as long as it lives"]
pub struct Watchdog {
    /// Its thread is to end.
    done: Arc<AtomicBool>,
    thread: Thread,
    threshold: Duration,
    _on: poll_record::On,
}

impl Watchdog {
    /// Warns by `tracing` of handlers that hold a worker for more than 10 ms: once while it holds, once when it is over.
    ///
    /// # Errors
    /// The system's, if it makes no thread.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// Settings to fill in.
    pub fn builder() -> WatchdogBuilder {
        WatchdogBuilder { threshold: DEFAULT_THRESHOLD, tell: Box::new(warn) }
    }
}

impl Drop for Watchdog {
    /// Its thread ends soon; the drop does not wait for it.
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").field("threshold", &self.threshold).finish_non_exhaustive()
    }
}

/// What a [`Watchdog`] is made from.
#[must_use]
pub struct WatchdogBuilder {
    threshold: Duration,
    tell: Tell,
}

impl WatchdogBuilder {
    /// From how long on a handler is told of (default [`DEFAULT_THRESHOLD`]; less than 1 ms is taken as 1 ms).
    pub fn threshold(mut self, threshold: Duration) -> Self {
        self.threshold = threshold.max(Duration::from_millis(1));
        self
    }

    /// Is told instead of `tracing`, on the watchdog's thread: once while the handler holds its worker, once when that is over.
    /// While it runs nothing is watched; a panic in it is logged.
    pub fn on_hold(mut self, tell: impl FnMut(&Hold) + Send + 'static) -> Self {
        self.tell = Box::new(tell);
        self
    }

    /// Starts to watch.
    ///
    /// # Errors
    /// The system's, if it makes no thread.
    pub fn start(self) -> io::Result<Watchdog> {
        let Self { threshold, tell } = self;
        let done = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&done);
        let on = poll_record::On::new();
        let thread = thread::Builder::new()
            .name("restante-watch".to_owned())
            .spawn(move || watch(threshold, tell, &seen))?
            .thread()
            .clone();
        Ok(Watchdog { done, thread, threshold, _on: on })
    }
}

impl fmt::Debug for WatchdogBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchdogBuilder").field("threshold", &self.threshold).finish_non_exhaustive()
    }
}

/// Runs a closure that blocks, and that no watchdog is to mind: around `tokio::task::block_in_place`, say, which has found
/// this worker's other tasks another thread. By itself it changes nothing for them.
///
/// ```ignore
/// let text = watchdog::blocking(|| tokio::task::block_in_place(|| std::fs::read_to_string(&self.path)))?;
/// ```
pub fn blocking<R>(f: impl FnOnce() -> R) -> R {
    let _unseen = if is_on() { post(None) } else { None };
    f()
}

/// What a watchdog's thread does.
fn watch(threshold: Duration, mut tell: Tell, done: &AtomicBool) {
    let pause = (threshold / 4).min(Duration::from_millis(250));
    let mut watches: HashMap<u64, (Watch, Option<Hold>)> = HashMap::new();
    loop {
        thread::park_timeout(pause);
        if done.load(Ordering::Acquire) {
            return;
        }
        let posts = poll_record::all();
        watches.retain(|id, _| posts.iter().any(|post| post.id == *id));
        for post in posts {
            let (watch, told) = watches.entry(post.id).or_default();
            let (ended, holds) = post.look(|sight, describe| {
                let look = watch.look(threshold, Instant::now(), sight);
                (look.ended, look.holds.map(describe))
            });
            if let Some(held) = ended {
                if let Some(hold) = told.take() {
                    say(&mut tell, &Hold { held, ended: true, ..hold });
                }
            } else if let Some(hold) = holds {
                say(&mut tell, &hold);
                *told = Some(hold);
            }
        }
    }
}

fn say(tell: &mut Tell, hold: &Hold) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| tell(hold))) {
        let reason = ExitReason::from_panic(payload);
        quiet::run("a subscriber", || tracing::error!(%reason, "a watchdog's callback panicked"));
    }
}

/// Without a callback.
fn warn(hold: &Hold) {
    let Hold { server, phase, message, thread, held, ended } = hold;
    let thread = thread.as_deref().unwrap_or("");
    let said =
        if *ended { "a handler has held its worker thread" } else { "a handler holds its worker thread" };
    tracing::warn!(%server, %phase, message, thread, ?held, "{said}");
}
