//! Time for rules.

use restante_core::clock::Instant;
use std::time::Duration;

/// Time that stands still until it is told to go on: for synchronous rules, which take `now` as an argument. (What asks the
/// clock itself is tested under tokio's paused time instead.)
///
/// ```
/// use restante_testkit::FakeClock;
/// use std::time::Duration;
/// let mut clock = FakeClock::new();
/// let began = clock.now();
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(clock.now() - began, clock.elapsed());
/// ```
#[derive(Debug, Clone)]
pub struct FakeClock {
    began: Instant,
    elapsed: Duration,
}

impl FakeClock {
    /// A clock that begins now.
    pub fn new() -> Self {
        Self { began: Instant::now(), elapsed: Duration::ZERO }
    }

    /// The present instant: the same until [`FakeClock::advance`].
    pub fn now(&self) -> Instant {
        self.began + self.elapsed
    }

    /// How far it has been advanced.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Goes on by so much; the instant that it then shows.
    pub fn advance(&mut self, by: Duration) -> Instant {
        self.elapsed += by;
        self.now()
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}
