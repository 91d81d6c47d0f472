//! So many messages per time (the generic cell rate algorithm): a rule, told what time it is.

use crate::clock::Instant;
use std::time::Duration;

/// At most `burst` messages at once, and `burst` per `period` in the long run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Messages.
    pub burst: u32,
    /// Per this time.
    pub period: Duration,
}

const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Where a mailbox stands against its limit.
#[derive(Debug)]
pub(crate) struct RateState {
    interval: Duration,
    tolerance: Duration,
    /// When the next message would come if all came evenly spaced.
    due: Option<Instant>,
}

impl RateState {
    /// Nothing sent yet.
    pub(crate) fn new(limit: RateLimit) -> Self {
        let interval = limit.period / limit.burst.max(1);
        Self { interval, tolerance: limit.period.saturating_sub(interval), due: None }
    }

    /// Whether one may pass at `now`; nothing is charged yet.
    ///
    /// # Errors
    /// The time after which one may pass.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Duration> {
        let ahead = self.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now));
        if ahead > self.tolerance { Err(ahead.saturating_sub(self.tolerance)) } else { Ok(()) }
    }

    /// One has passed.
    pub(crate) fn charge(&mut self, now: Instant) {
        let due = self.due.map_or(now, |due| due.max(now));
        // A period that reaches beyond all time lets a burst pass, and nothing after it for thirty years.
        self.due = Some(due + self.interval.min(FAR));
    }

    /// Lets one pass, or says how long to wait.
    #[cfg(all(test, not(any(loom, shuttle))))]
    fn pass(&mut self, now: Instant) -> Result<(), Duration> {
        self.check(now).map(|()| self.charge(now))
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    /// Row D4: rate limit.
    #[test]
    fn a_burst_passes_and_then_one_per_interval() {
        let t0 = Instant::now();
        let mut r = RateState::new(RateLimit { burst: 4, period: Duration::from_secs(1) });
        assert!((0..4).all(|_| r.pass(t0).is_ok()));
        assert_eq!(r.pass(t0), Err(Duration::from_millis(250)));
        assert_eq!(r.pass(t0 + Duration::from_millis(250)), Ok(()));
        assert!(r.pass(t0 + Duration::from_millis(250)).is_err());
        let later = t0 + Duration::from_secs(60);
        assert_eq!(
            (0..10).filter(|_| r.pass(later).is_ok()).count(),
            4,
            "rest is not saved up beyond a burst"
        );
    }
}
