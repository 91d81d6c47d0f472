//! Pools of threads, as users hold them.

use super::ThreadError;
use super::workers::Workers;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Threads for servers whose handlers block: in files, in C libraries, in computations.
///
/// Each server that is started with [`ServerSettings::thread_pool`](crate::ServerSettings::thread_pool) runs on one of these
/// threads at a time, and nowhere else: `init`, handlers, `terminate` and the drop of its state. What is asked of its
/// reference is as elsewhere, with these differences:
///
/// - **Blocking is allowed**: [`call_blocking`](crate::ServerRef::call_blocking) and
///   [`send_blocking`](crate::ServerRef::send_blocking) wait, and a wait that would close a ring is refused as one of async
///   code is (`Cycle`). Handlers are async functions nevertheless, inside the server's runtime: they may await, spawn, and set
///   timers.
/// - **Callers never run its handlers** on their own stacks, and neither does a starter run its `init`.
/// - **A kill waits for the handler's next await**, as it does everywhere; a handler that blocks has none. One that never returns
///   keeps its thread: it is left behind when the program goes on without it, and is never waited for in a drop.
/// - **Batches are of one message**, so that what is queued while a handler blocks can be looked at. That costs about a
///   tenth of a microsecond a message, beside the microseconds that it takes to wake a thread.
/// - **Tokio's paused clock** stands still while a handler runs or blocks here, but not while it waits in a blocking call or
///   send of this crate.
///
/// A server that always has something to do does not hold up others on the same thread: after at most 64 messages it goes to
/// the back of the queue, and after each single one while they take more than a millisecond. Servers whose handlers take long
/// hold up as many others as there are threads fewer than such servers.
///
/// A pool is cheap to clone. Its threads are made when its first server starts, and end when the last clone and the last of
/// its servers' mailboxes has gone; no thread waits for that. [`ThreadPool::shutdown`] does.
#[derive(Clone)]
pub struct ThreadPool(Arc<Lease>);

/// What keeps the threads: counted by pools and by the servers on them.
struct Lease(Arc<Workers>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.dismiss();
    }
}

impl ThreadPool {
    /// At most so many threads (0 is taken as 1), with the system's or Rust's default stack.
    pub fn new(threads: usize) -> Self {
        Self::builder(threads).build()
    }

    /// Settings to fill in.
    pub fn builder(threads: usize) -> ThreadPoolBuilder {
        ThreadPoolBuilder { threads, name: "restante-pool".to_owned(), stack: None }
    }

    /// For a server of its own.
    pub(crate) fn of_one(name: &str) -> Self {
        // Of a type's path the end says most; the system shows 15 bytes.
        let name = name.split('<').next().and_then(|path| path.rsplit("::").next()).unwrap_or(name);
        Self::builder(1).name(name).build()
    }

    /// The pool's name, which its threads have as well.
    pub fn name(&self) -> &str {
        self.0.0.name()
    }

    /// The threads that there are now.
    pub fn threads(&self) -> usize {
        self.0.0.count().0
    }

    /// The servers' mailboxes that are served from here now, those between two incarnations included.
    pub fn servers(&self) -> usize {
        self.0.0.count().1
    }

    /// Ends the pool: no server begins here any more, those that are here are told to stop (reason shutdown; `terminate` runs),
    /// and their threads end. After the limit (`Duration::MAX`: never) those that are left are killed, which ends them at their
    /// next await, and the report names them: their threads are left behind.
    ///
    /// To a supervisor above them they end as if their runtime had, and it ends as well, killed: shut the tree down first.
    /// Mailboxes that are not their server's own stay, and can be served elsewhere. Not to be awaited by a server of this very
    /// pool, which would wait for itself.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting, and no server is killed; the pool ends all the same.
    pub async fn shutdown(&self, limit: Duration) -> PoolReport {
        let workers = &self.0.0;
        let residents = workers.shut();
        for resident in &residents {
            resident.move_out();
        }
        let mut emptied = Box::pin(workers.emptied());
        let left = match restante_core::timeout::at_most(limit, &mut emptied).await {
            Some(()) => Vec::new(),
            None => workers.residents(),
        };
        let left: Vec<String> = left
            .iter()
            .map(|resident| {
                resident.kill();
                resident.label()
            })
            .collect();
        if !left.is_empty() {
            tracing::warn!(pool = self.name(), ?left, "servers did not end with their thread pool");
        }
        PoolReport {
            ended: residents.len().saturating_sub(left.len()),
            left,
            threads_left: workers.count().0,
        }
    }

    /// Sees to it that there are threads for another server.
    pub(crate) fn man(&self) -> Result<(), ThreadError> {
        self.0.0.man()
    }

    pub(super) fn workers(&self) -> &Arc<Workers> {
        &self.0.0
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (threads, servers) = self.0.0.count();
        f.debug_struct("ThreadPool")
            .field("name", &self.name())
            .field("size", &self.0.0.size())
            .field("threads", &threads)
            .field("servers", &servers)
            .finish()
    }
}

/// What a [`ThreadPool`] is made from.
#[derive(Debug, Clone)]
#[must_use]
pub struct ThreadPoolBuilder {
    threads: usize,
    name: String,
    stack: Option<usize>,
}

impl ThreadPoolBuilder {
    /// The name of the pool and of its threads (default `restante-pool`; Linux shows its first 15 bytes). What cannot be in a
    /// thread's name, a zero byte, is left out.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into().replace('\0', "");
        self
    }

    /// Bytes of stack of each thread (default: Rust's, 2 MiB unless `RUST_MIN_STACK` says otherwise).
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack = Some(bytes);
        self
    }

    /// Makes the pool. Its threads come with its first server.
    pub fn build(self) -> ThreadPool {
        ThreadPool(Arc::new(Lease(Arc::new(Workers::new(&self.name, self.threads, self.stack)))))
    }
}

/// What came of [`ThreadPool::shutdown`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "it names what did not end"]
pub struct PoolReport {
    /// How many servers' mailboxes have left in time.
    pub ended: usize,
    /// Those that have not, by mailbox name or else by type. They have been killed.
    pub left: Vec<String>,
    /// How many threads have not ended.
    pub threads_left: usize,
}
