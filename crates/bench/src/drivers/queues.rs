//! A mailbox that fills without a reader, and many that are told of one death.

use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::sleep};

use super::counter::{KEY, sum_of_casts};
use crate::{
    latch::Latch,
    measured::{Measured, Stopwatch, growth_each, resident_bytes},
    system::{Behaviour, Start, System, Then},
};

/// What comes of one pile of messages.
pub(crate) struct Backlog {
    pub(crate) enqueue: Measured,
    pub(crate) drain: Measured,
}

/// Piles up messages before a closed gate, then opens it.
pub(crate) async fn backlog<S: System>(count: u64) -> Backlog {
    let latch = Latch::new(1);
    let (gate, opened) = oneshot::channel();
    let reader = GatedReader { gate: Some(opened), sum: 0, left: count, latch: Arc::clone(&latch) };
    let server = S::start(Start::UNBOUNDED, reader).await;

    let before = resident_bytes();
    let watch = Stopwatch::start();
    for value in 0..count {
        S::cast_now(&server, value, KEY);
    }
    let enqueue = watch.stop(count);
    let bytes_per_message = growth_each(before, count);

    let watch = Stopwatch::start();
    gate.send(()).expect("the reader waits at the gate");
    let sum = latch.wait().await;
    let drain = Measured { bytes_per_message, ..watch.stop(count) };

    assert_eq!(sum, sum_of_casts(count));
    Backlog { enqueue, drain }
}

/// Reads nothing before its gate opens.
struct GatedReader {
    gate: Option<oneshot::Receiver<()>>,
    sum: u64,
    left: u64,
    latch: Arc<Latch>,
}

impl<S: System> Behaviour<S> for GatedReader {
    const STARTS: bool = true;

    async fn started(&mut self, _: &S::Ref<Self>) -> Then {
        if let Some(gate) = self.gate.take() {
            gate.await.expect("the driver opens the gate");
        }
        Then::Continue
    }

    fn on_cast(&mut self, a: u64, b: u64) -> Then {
        self.sum += a ^ b;
        self.left -= 1;
        if self.left == 0 {
            self.latch.arrive(self.sum);
        }
        Then::Continue
    }
}

/// Ends one server that many monitor; one operation is one notice.
pub(crate) async fn monitors<S: System>(watchers: u64) -> Option<Measured> {
    let latch = Latch::new(watchers);
    let end_target = S::watched(watchers, Arc::clone(&latch)).await?;
    // All watchers have started and are at rest.
    sleep(Duration::from_millis(300)).await;

    let watch = Stopwatch::start();
    end_target();
    let noticed = latch.wait().await;
    let measured = watch.stop(watchers);

    assert_eq!(noticed, watchers);
    Some(measured)
}
