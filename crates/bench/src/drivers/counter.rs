//! The server of casts and calls: it counts.

use crate::system::{Behaviour, System, Then};

/// Adds up what it is sent.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    n: u64,
}

impl<S: System> Behaviour<S> for Counter {
    fn on_cast(&mut self, a: u64, b: u64) -> Then {
        self.n += a ^ b;
        Then::Continue
    }

    fn on_call(&mut self, x: u64) -> u64 {
        self.n += x;
        self.n
    }
}

/// The second half of every cast.
pub(crate) const KEY: u64 = 0b101;

/// What a counter holds after the casts `(i, KEY)` for each `i` below `count`.
pub(crate) fn sum_of_casts(count: u64) -> u64 {
    (0..count).map(|i| i ^ KEY).sum()
}
