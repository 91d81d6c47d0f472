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

/// Thirty years.
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

    /// Lets one pass, or says how long to wait.
    ///
    /// # Errors
    /// The time after which one may pass.
    pub(crate) fn check(&mut self, now: Instant) -> Result<(), Duration> {
        let due = self.due.map_or(now, |d| d.max(now));
        let ahead = due - now;
        if ahead > self.tolerance {
            return Err(ahead.saturating_sub(self.tolerance));
        }
        // A period beyond all time lets the burst pass and then nothing for ever so long.
        self.due = Some(due.checked_add(self.interval).unwrap_or(due + FAR));
        Ok(())
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
        assert!((0..4).all(|_| r.check(t0).is_ok()));
        assert_eq!(r.check(t0), Err(Duration::from_millis(250)));
        assert_eq!(r.check(t0 + Duration::from_millis(250)), Ok(()));
        assert!(r.check(t0 + Duration::from_millis(250)).is_err());
        let later = t0 + Duration::from_secs(60);
        assert_eq!(
            (0..10).filter(|_| r.check(later).is_ok()).count(),
            4,
            "rest is not saved up beyond a burst"
        );
    }
}
