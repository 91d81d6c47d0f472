//! How a driver learns that many servers have done their part.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::Notify;

/// Counts arrivals and adds up what they bring; opens with the last one.
#[derive(Debug)]
pub(crate) struct Latch {
    left: AtomicU64,
    sum: AtomicU64,
    opened: Notify,
}

impl Latch {
    pub(crate) fn new(arrivals: u64) -> Arc<Self> {
        Arc::new(Self { left: AtomicU64::new(arrivals), sum: AtomicU64::new(0), opened: Notify::new() })
    }

    /// # Panics
    ///
    /// When there are more arrivals than were expected.
    pub(crate) fn arrive(&self, value: u64) {
        self.sum.fetch_add(value, Ordering::Relaxed);
        // Release: what this one added is seen by whom the last one wakes. Acquire: the last one has seen all.
        match self.left.fetch_sub(1, Ordering::AcqRel) {
            0 => panic!("one arrival too many"),
            1 => self.opened.notify_one(),
            _ => {}
        }
    }

    /// Waits for the last arrival; the sum of what all brought. For one waiter.
    pub(crate) async fn wait(&self) -> u64 {
        self.opened.notified().await;
        self.sum.load(Ordering::Relaxed)
    }
}
