//! What a test sees of its universe.

use super::List;
use super::census::Census;
use crate::eventually::{settled, some};
use crate::failure::{At, fail};
use restante_genserver::tracker::Tracker;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// The inside of a [`Universe`](super::Universe).
pub struct World {
    tracker: Arc<Tracker>,
    runtime: Handle,
    spawned: Spawned,
    pub(super) limit: Duration,
}

/// The tasks that were spawned through the world and have not ended, by number.
type Spawned = Arc<Mutex<Tasks>>;

#[derive(Default)]
struct Tasks {
    next: u64,
    alive: BTreeMap<u64, At>,
}

impl World {
    /// Called in the runtime.
    pub(super) fn new(limit: Duration) -> Self {
        let tracker = Tracker::switch_on().expect("a universe has a runtime");
        Self { tracker, runtime: Handle::current(), spawned: Spawned::default(), limit }
    }

    /// Spawns a task that is named by this place if it is left over. (Tasks spawned otherwise are counted.)
    #[track_caller]
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        let at = Location::caller();
        let number = {
            let mut tasks = self.spawned.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.next += 1;
            let number = tasks.next;
            tasks.alive.insert(number, at);
            number
        };
        let ends = Ends { tasks: Arc::clone(&self.spawned), number };
        self.runtime.spawn(async move {
            let _ends = ends;
            task.await
        })
    }

    /// What there is now.
    pub fn census(&self) -> Census {
        let spawned = self.spawned.lock().unwrap_or_else(PoisonError::into_inner);
        let spawned = spawned.alive.values().copied().collect();
        let tasks = self.runtime.metrics().num_alive_tasks();
        Census::new(self.tracker.looks(), self.tracker.replies(), tasks, spawned)
    }

    /// Lets everything that is ready run, then waits until there is no more of anything than there was at `before`: for
    /// servers that live on while what they do for others must not add up.
    ///
    /// # Panics
    /// When that does not come about within the time for a shutdown.
    ///
    /// # Cancel safety
    /// Nothing is kept.
    #[track_caller]
    pub fn assert_no_growth(&self, before: &Census) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            settled().await;
            let same = || self.census().since(before).is_empty().then_some(());
            if some(self.limit, same).await.is_none() {
                let more = self.census().since(before);
                let limit = self.limit;
                fail(format_args!("more than before, after {limit:?}:{}", List(&more)), at);
            }
        }
    }
}

/// A task that ends, whichever way, is no longer listed.
struct Ends {
    tasks: Spawned,
    number: u64,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).alive.remove(&self.number);
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("World").field(&self.tracker).finish()
    }
}
