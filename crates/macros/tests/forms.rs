//! Every form of a handler, as its users write them.

use restante::prelude::*;
use std::time::Duration;

/// A counter.
struct Counter {
    n: u64,
    ticks: u64,
}

#[gen_server]
impl Counter {
    #[init]
    fn init(start: &u64) -> Self {
        Self { n: *start, ticks: 0 }
    }

    /// The count.
    #[call]
    fn get(&self) -> u64 {
        self.n
    }

    #[call]
    fn ticks(&self) -> u64 {
        self.ticks
    }

    #[cast]
    fn add(&mut self, n: u64) {
        self.n += n;
    }

    #[info(every = "1s")]
    fn tick(&mut self) {
        self.ticks += 1;
    }
}

/// Row G1: a call, a cast and a tick, by the methods that handle them.
#[tokio::test(start_paused = true)]
async fn a_counter_counts_and_ticks() -> Result<(), Box<dyn std::error::Error>> {
    let counter = start::<Counter>(40).await?;
    counter.add(2)?;
    assert_eq!(counter.get().await?, 42);
    assert_eq!(counter.ticks().await?, 0);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(counter.ticks().await?, 2);
    Ok(())
}
