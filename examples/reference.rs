//! The reference program: a counter with a call, a cast and a tick each second, found by a typed
//! name, supervised with back-off and a limit, 3 restarts in 5 s. 35 lines at most, without
//! comments and blanks (`examples/tests/programs.rs` counts them).
//!
//! ```sh
//! cargo run -p restante-examples --example reference
//! ```
//!
//! What you will see: the count, and a tick.
#![expect(clippy::print_stdout, reason = "an example prints")]

use {restante::prelude::*, std::time::Duration};

const COUNTER: Name<Counter> = Name::new("counter");

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init(start: &u64) -> Self {
        Self(*start)
    }
    #[call]
    fn get(&self) -> u64 {
        self.0
    }
    #[cast]
    fn add(&mut self, n: u64) {
        self.0 += n;
    }
    #[info(every = "1s")]
    fn tick(&mut self) {
        println!("tick at {}", self.0);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::<Counter>::new(COUNTER.text());
    COUNTER.register(&server.address()).await?; // there already: what comes now waits
    let tree = Supervisor::one_for_one().backoff(Backoff::default());
    let tree = tree.intensity(3, Duration::from_secs(5)).child(server.child(40)).start().await?;
    COUNTER.with(|counter| counter.add(2))??; // lent, whatever incarnation serves
    println!("count: {}", COUNTER.whereis()?.get().await?); // within 5 s, or it is an error
    tokio::time::sleep(Duration::from_millis(1100)).await;
    tree.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
