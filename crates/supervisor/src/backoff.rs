//! How long to wait before a restart.

use restante_core::clock::Instant;
use std::time::Duration;

/// The pause before a restart, during which messages keep queuing.
///
/// A child's very first restart is immediate, and so is the first after a healthy period; the next waits the minimum, and each further one twice as long,
/// up to the maximum. A child that has then been up for the reset time (half of minimum and maximum together, unless set)
/// is healthy again.
///
/// Default: 50 ms to 5 s, up to 20 % longer by chance, reset after 2.525 s. Source: Pekko `restartWithBackoff`. OTP has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    jitter_percent: u32,
    reset_after: Duration,
}

impl Backoff {
    /// No pause, ever: what Erlang does. With [`Intensity::UNLIMITED`](crate::Intensity::UNLIMITED) a child whose `init` always fails
    /// keeps a worker busy.
    pub const NONE: Self =
        Self { min: Duration::ZERO, max: Duration::ZERO, jitter_percent: 0, reset_after: Duration::ZERO };

    /// From `min` to `max` (which is no less), 20 % jitter, reset after half of both together.
    pub fn new(min: Duration, max: Duration) -> Self {
        let max = max.max(min);
        Self { min, max, jitter_percent: 20, reset_after: min.saturating_add(max) / 2 }
    }

    /// How much longer, by chance, a pause may be, in per cent (default 20).
    #[must_use]
    pub fn jitter_percent(mut self, percent: u32) -> Self {
        self.jitter_percent = percent;
        self
    }

    /// How long a child must have been up for its next restart to be immediate.
    #[must_use]
    pub fn reset_after(mut self, up: Duration) -> Self {
        self.reset_after = up;
        self
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(5))
    }
}

/// How often a child has been restarted since it was last healthy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pauses {
    attempt: u32,
    up_since: Option<Instant>,
}

impl Pauses {
    /// The child is up.
    pub(crate) fn started(&mut self, now: Instant) {
        self.up_since = Some(now);
    }

    /// Since when it is up, or was at last.
    pub(crate) fn up_since(&self) -> Option<Instant> {
        self.up_since
    }

    /// The pause before the restart that is due now.
    pub(crate) fn next(
        &mut self,
        backoff: &Backoff,
        now: impl FnOnce() -> Instant,
        rng: &mut fastrand::Rng,
    ) -> Duration {
        if backoff.max.is_zero() {
            return Duration::ZERO;
        }
        let now = now();
        let healthy = |since| now.saturating_duration_since(since) >= backoff.reset_after;
        if self.up_since.take().is_some_and(healthy) {
            self.attempt = 0;
        }
        let attempt = self.attempt;
        self.attempt = attempt.saturating_add(1);
        let Some(doublings) = attempt.checked_sub(1) else { return Duration::ZERO };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let pause = backoff.min.saturating_mul(factor).min(backoff.max);
        let longer = pause.as_nanos() * u128::from(backoff.jitter_percent) / 100;
        let longer = rng.u64(0..=u64::try_from(longer).unwrap_or(u64::MAX));
        pause.saturating_add(Duration::from_nanos(longer))
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use restante_testkit::FakeClock;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Row G3: immediate first, then 50 ms to 5 s; immediate again after (min + max) / 2 of health.
    #[test]
    fn pauses_double_up_to_the_maximum_and_health_resets_them() {
        let backoff = Backoff::default().jitter_percent(0);
        let (mut pauses, mut rng) = (Pauses::default(), fastrand::Rng::with_seed(1));
        let mut clock = FakeClock::new();
        let mut seen = Vec::new();
        for _ in 0..10 {
            pauses.started(clock.now());
            seen.push(pauses.next(&backoff, || clock.advance(ms(1)), &mut rng));
        }
        assert_eq!(seen, [0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000].map(ms));
        for (up, immediate) in [(2524, false), (2525, true)] {
            let mut pauses = pauses.clone();
            pauses.started(clock.now());
            assert_eq!(
                pauses.next(&backoff, || clock.advance(ms(up)), &mut rng).is_zero(),
                immediate,
                "{up}"
            );
        }
    }

    /// Failure mode 12: a child that never comes up does not count as healthy however long its `init` took.
    #[test]
    fn a_child_that_was_never_up_is_not_healthy() {
        let backoff = Backoff::default();
        let (mut pauses, mut rng) = (Pauses::default(), fastrand::Rng::with_seed(1));
        let now = restante_core::clock::now();
        assert_eq!(pauses.next(&backoff, || now, &mut rng), Duration::ZERO);
        assert!(!pauses.next(&backoff, || now + Duration::from_secs(60), &mut rng).is_zero());
    }

    proptest! {
        /// Failure mode 12: whatever the settings and however often, a pause stays within maximum and jitter.
        #[test]
        fn no_pause_is_longer_than_maximum_and_jitter(
            min in 0_u64..10_000, max in 0_u64..100_000, jitter in 0_u32..300, crashes in 1_usize..100, seed: u64,
        ) {
            let backoff = Backoff::new(ms(min), ms(max)).jitter_percent(jitter);
            let (mut pauses, mut rng) = (Pauses::default(), fastrand::Rng::with_seed(seed));
            let now = restante_core::clock::now();
            let most = ms(max.max(min)) * (100 + jitter) / 100;
            for n in 0..crashes {
                let pause = pauses.next(&backoff, || now, &mut rng);
                prop_assert!(pause <= most, "{pause:?}");
                prop_assert!(n == 0 || pause >= ms(min.min(max.max(min))));
            }
        }
    }
}
