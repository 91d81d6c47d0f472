//! What a worker's other business sees of servers with deep queues.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::yield_now;

use crate::{
    measured::{Measured, Stopwatch},
    system::{Behaviour, Start, System, Then},
};

const SERVERS: usize = 8;
/// Messages that they pass around, all together.
const TOKENS: usize = 4096;

/// Waits for the runtime's driver, again and again, beside servers that pass tokens around and take so long for each.
pub(crate) async fn of_relays<S: System>(takes: Duration, looks: u64) -> Measured {
    let circle = Arc::new(OnceLock::new());
    let over = Arc::new(AtomicBool::new(false));
    let mut members = Vec::new();
    for place in 0..SERVERS {
        let next = (place + 1) % SERVERS;
        let relay = Relay::<S> { circle: Arc::clone(&circle), next, over: Arc::clone(&over), takes };
        members.push(S::start(Start::UNBOUNDED, relay).await);
    }
    for member in &members {
        assert_eq!(S::call(member, 1).await, 1);
    }
    for token in 0..TOKENS {
        S::cast_now(&members[token % SERVERS], 0, 0);
    }
    assert!(circle.set(members).is_ok());
    for _ in 0..looks / 10 {
        yield_now().await;
    }

    let watch = Stopwatch::start();
    for _ in 0..looks {
        // Goes on after the next look at the driver.
        yield_now().await;
    }
    let measured = watch.stop(looks);
    over.store(true, Ordering::Relaxed);
    measured
}

/// Hands each message on.
struct Relay<S: System> {
    /// All of them: see `hops`.
    circle: Arc<OnceLock<Vec<S::Ref<Self>>>>,
    next: usize,
    over: Arc<AtomicBool>,
    takes: Duration,
}

impl<S: System> Behaviour<S> for Relay<S> {
    fn on_cast(&mut self, a: u64, b: u64) -> Then {
        if !self.takes.is_zero() {
            let began = Instant::now();
            while began.elapsed() < self.takes {}
        }
        if let Some(circle) = self.circle.get()
            && !self.over.load(Ordering::Relaxed)
        {
            S::cast_now(&circle[self.next], a, b);
        }
        Then::Continue
    }
}
