//! Messages without a reply: one to one, many to one, one to many.

use std::{ops::Range, sync::Arc};

use tokio::task::yield_now;

use super::counter::{Counter, KEY, sum_of_casts};
use crate::{
    latch::Latch,
    measured::{Measured, Stopwatch},
    system::{Behaviour, Start, System, Then},
    workload::CAPACITY,
};

/// After how many messages a driver lets others run where nothing else stops it.
const YIELD_EVERY: u64 = 256;

pub(crate) async fn one_to_one<S: System>(count: u64) -> Measured {
    let server = S::start(Start::BOUNDED, Counter::default()).await;
    let sum = sum_of_casts(count);
    assert_eq!(S::call(&server, 0).await, 0);

    let watch = Stopwatch::start();
    flood::<S>(&server, 0..count).await;
    wait_for_sum::<S>(&server, sum).await;
    watch.stop(count)
}

pub(crate) async fn fan_in<S: System>(count: u64) -> Measured {
    const PRODUCERS: u64 = 8;
    let share = count / PRODUCERS;
    let sum = sum_of_casts(share * PRODUCERS);
    let server = S::start(Start::BOUNDED, Counter::default()).await;
    assert_eq!(S::call(&server, 0).await, 0);

    let watch = Stopwatch::start();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let server = server.clone();
            S::task(async move { flood::<S>(&server, producer * share..(producer + 1) * share).await })
        })
        .collect();
    for producer in producers {
        producer.await;
    }
    wait_for_sum::<S>(&server, sum).await;
    watch.stop(share * PRODUCERS)
}

async fn flood<S: System>(server: &S::Ref<Counter>, values: Range<u64>) {
    for value in values {
        S::cast(server, value, KEY).await;
        if !S::BOUNDED && value % YIELD_EVERY == YIELD_EVERY - 1 {
            yield_now().await;
        }
    }
}

/// Asks the server what it holds, behind the last cast: all of them, where order is kept.
async fn wait_for_sum<S: System>(server: &S::Ref<Counter>, sum: u64) {
    loop {
        let held = S::call(server, 0).await;
        if held == sum {
            return;
        }
        assert!(!S::ORDERED && held < sum, "the server holds {held} of {sum}");
        yield_now().await;
    }
}

/// In each round one message to each of the servers. The rounds do not wait for each other, nor does the driver
/// for room: a mailbox has it for all rounds.
pub(crate) async fn fan_out<S: System>(count: u64) -> Measured {
    const SERVERS: u64 = 10_000;
    let rounds = count / SERVERS;
    assert!(rounds <= CAPACITY as u64, "all rounds fit into a mailbox");
    let latch = Latch::new(SERVERS);
    let mut servers = Vec::new();
    for _ in 0..SERVERS {
        let listener = Listener { sum: 0, left: rounds, latch: Arc::clone(&latch) };
        servers.push(S::start(Start::BOUNDED, listener).await);
    }
    for server in &servers {
        assert_eq!(S::call(server, 1).await, 1);
    }

    let watch = Stopwatch::start();
    for round in 0..rounds {
        for server in &servers {
            S::cast_now(server, round, KEY);
        }
    }
    let total = latch.wait().await;
    let measured = watch.stop(rounds * SERVERS);

    assert_eq!(total, SERVERS * sum_of_casts(rounds));
    measured
}

/// Adds up the messages of its rounds, and brings the sum to the latch after the last.
struct Listener {
    sum: u64,
    left: u64,
    latch: Arc<Latch>,
}

impl<S: System> Behaviour<S> for Listener {
    fn on_cast(&mut self, a: u64, b: u64) -> Then {
        self.sum += a ^ b;
        self.left -= 1;
        if self.left == 0 {
            self.latch.arrive(self.sum);
        }
        Then::Continue
    }
}
