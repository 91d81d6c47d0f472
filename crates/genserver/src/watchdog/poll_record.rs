//! What the polls of servers leave for a watchdog: on each thread, which server is polled now, and since when.

use super::Hold;
use super::rule::Sight;
use crate::executor::Cell as ServerCell;
use crate::server::GenServer;
use restante_core::Phase;
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// How many watchdogs there are.
static WATCHDOGS: AtomicU32 = AtomicU32::new(0);

/// Whether anybody watches.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    // A poll that begins a moment before a watchdog is not seen by it.
    WATCHDOGS.load(Ordering::Relaxed) != 0
}

/// A watchdog that counts.
#[derive(Debug)]
pub(super) struct On;

impl On {
    pub(super) fn new() -> Self {
        WATCHDOGS.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for On {
    fn drop(&mut self) {
        WATCHDOGS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A server, as a watchdog sees it: from another thread, while it is polled.
pub(crate) trait Watched: Send + Sync {
    fn label(&self) -> String;
    fn in_hand(&self) -> (Phase, &'static str);
    /// Is another one for each message.
    fn mark(&self) -> (u64, u64);
}

impl<S: GenServer> Watched for ServerCell<S> {
    fn label(&self) -> String {
        match self.name() {
            Some(name) => name.to_string(),
            None => std::any::type_name::<S>().to_owned(),
        }
    }

    fn in_hand(&self) -> (Phase, &'static str) {
        self.runner.current.get()
    }

    fn mark(&self) -> (u64, u64) {
        (self.runner.current.bits(), self.handled_so_far())
    }
}

/// One thread's.
pub(super) struct PollRecord {
    pub(super) id: u64,
    thread: Option<String>,
    board: Mutex<Board>,
}

#[derive(Default)]
struct Board {
    polls: u64,
    now: Option<Poll>,
}

/// A poll that is under way.
struct Poll {
    number: u64,
    since: Instant,
    /// `None`: whatever runs here is not to be minded.
    what: Option<(Arc<dyn Watched>, (u64, u64))>,
}

static POSTS: Mutex<Vec<Weak<PollRecord>>> = Mutex::new(Vec::new());

thread_local! {
    static POST: Arc<PollRecord> = PollRecord::new();
    static EXEMPT: Cell<bool> = const { Cell::new(false) };
}

/// Those of all threads that live.
pub(super) fn all() -> Vec<Arc<PollRecord>> {
    let mut posts = POSTS.lock().unwrap_or_else(PoisonError::into_inner);
    posts.retain(|post| post.strong_count() > 0);
    posts.iter().filter_map(Weak::upgrade).collect()
}

impl PollRecord {
    fn new() -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let post = Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            thread: thread::current().name().map(str::to_owned),
            board: Mutex::default(),
        });
        POSTS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&post));
        post
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what is polled here now, and what makes a report of it.
    pub(super) fn look<R>(&self, f: impl FnOnce(Option<Sight>, &dyn Fn(Duration) -> Hold) -> R) -> R {
        let board = self.board();
        let watched = board.now.as_ref().and_then(|poll| Some((poll, poll.what.as_ref()?)));
        let Some((poll, (what, first))) = watched else {
            return f(None, &|_| unreachable!("there is nothing to tell of"));
        };
        let mark = what.mark();
        let sight = Sight { poll: poll.number, mark, begun: (mark == *first).then_some(poll.since) };
        f(Some(sight), &|held| {
            let (phase, message) = what.in_hand();
            Hold { server: what.label(), phase, message, thread: self.thread.clone(), held, ended: false }
        })
    }
}

/// Lets watchdogs see, until what comes back is dropped, that this server is polled here; `None`: that there is nothing to
/// see.
pub(crate) fn post(what: Option<Arc<dyn Watched>>) -> Option<Posted> {
    if EXEMPT.try_with(Cell::get).unwrap_or(true) {
        return None;
    }
    let post = POST.try_with(Arc::clone).ok()?;
    let began = Instant::now();
    let what = what.map(|what| {
        let mark = what.mark();
        (what, mark)
    });
    let mut board = post.board();
    board.polls += 1;
    let poll = Poll { number: board.polls, since: began, what };
    let below = board.now.replace(poll);
    drop(board);
    Some(Posted { post, began, below })
}

/// See [`post`].
pub(crate) struct Posted {
    post: Arc<PollRecord>,
    began: Instant,
    /// Whose handler has called it, on the same stack.
    below: Option<Poll>,
}

impl Drop for Posted {
    fn drop(&mut self) {
        let mut below = self.below.take();
        if let Some(poll) = &mut below {
            // Not its own time.
            poll.since += self.began.elapsed();
        }
        let done = std::mem::replace(&mut self.post.board().now, below);
        drop(done);
    }
}

/// This thread is no runtime's worker.
pub(crate) fn exempt_for_good() {
    let _ = EXEMPT.try_with(|exempt| exempt.set(true));
}

/// This thread counts as no runtime's worker until what comes back is dropped.
pub(crate) fn exempt() -> Exempt {
    Exempt(EXEMPT.try_with(|exempt| exempt.replace(true)).unwrap_or(true))
}

/// See [`exempt`].
pub(crate) struct Exempt(bool);

impl Drop for Exempt {
    fn drop(&mut self) {
        let _ = EXEMPT.try_with(|exempt| exempt.set(self.0));
    }
}
