//! Starting servers, and stopping them.

use std::{mem, sync::Arc, time::Duration};

use tokio::{task::yield_now, time::sleep};

use crate::{
    latch::Latch,
    measured::{Measured, Stopwatch, float, growth_each, resident_bytes},
    system::{Behaviour, Start, System, Then},
};

/// After how many starts the driver lets the new servers run.
const YIELD_EVERY: u64 = 256;

/// Starts idle servers and weighs them.
pub(crate) async fn spawn<S: System>(count: u64) -> Measured {
    let latch = Latch::new(count);
    let mut servers = Vec::with_capacity(usize::try_from(count).expect("a count of servers fits"));
    let before = resident_bytes();

    let watch = Stopwatch::start();
    for i in 1..=count {
        servers.push(S::start(Start::UNBOUNDED, Idle { latch: Arc::clone(&latch) }).await);
        if i % YIELD_EVERY == 0 {
            yield_now().await;
        }
    }
    yield_now().await;
    let mut measured = watch.stop(count);

    // Stragglers on the other workers come to rest before the scales are read.
    sleep(Duration::from_millis(200)).await;
    // The driver's list of addresses is its own affair.
    let listed = float(mem::size_of::<S::Ref<Idle>>() as u64);
    measured.bytes_per_actor = growth_each(before, count).map(|bytes| bytes - listed);

    for server in &servers {
        S::cast_now(server, 2, 1);
    }
    assert_eq!(latch.wait().await, 3 * count, "every server lives and answers");
    // What is left goes with the process.
    mem::forget(servers);
    measured
}

/// Sleeps until it is asked for a sign of life.
struct Idle {
    latch: Arc<Latch>,
}

impl<S: System> Behaviour<S> for Idle {
    fn on_cast(&mut self, a: u64, b: u64) -> Then {
        self.latch.arrive(a ^ b);
        Then::Continue
    }
}

/// Starts servers, a thousand at a time, stops them, and waits until their state is gone.
pub(crate) async fn spawn_stop<S: System>(count: u64) -> Measured {
    const GENERATION: u64 = 1000;
    let generations = count / GENERATION;

    let watch = Stopwatch::start();
    for _ in 0..generations {
        let latch = Latch::new(GENERATION);
        let mut servers = Vec::new();
        for _ in 0..GENERATION {
            servers.push(S::start(Start::UNBOUNDED, Mortal { latch: Arc::clone(&latch) }).await);
        }
        for server in servers {
            S::stop(server).await;
        }
        assert_eq!(latch.wait().await, GENERATION);
    }
    watch.stop(generations * GENERATION)
}

/// Tells when its state is dropped.
struct Mortal {
    latch: Arc<Latch>,
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.latch.arrive(1);
    }
}

impl<S: System> Behaviour<S> for Mortal {
    fn on_cast(&mut self, _: u64, _: u64) -> Then {
        Then::Continue
    }
}
