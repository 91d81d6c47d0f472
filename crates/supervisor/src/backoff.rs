//! How long to wait before a restart.

use restante_core::clock::Instant;
use std::time::Duration;

/// The pause before a restart, during which messages keep queuing.
///
/// A child's very first restart is immediate, and so is the first after a healthy period; the next waits the minimum, and
/// each further one twice as long, up to the maximum. A child that has then been up for the reset time (half of minimum and
/// maximum together, unless set) is healthy again.
///
/// Default: from 50 ms, up to 20 % longer by chance. The maximum of the default follows from the limits that count the
/// child's restarts ([`Intensity`](crate::Intensity)): it is at most 1 s, and so short that a child that fails again and again
/// reaches each of them (`restarts × maximum × (1 + jitter) < period`), those of the supervisors further up included. (3 in
/// 5 s: 1 s. 10 in 5 s: 416 ms.) Where there is no limit it is 1 s.
///
/// A back-off with a maximum of its own ([`Backoff::new`]) is taken as it is. Beside a limit that was set as well and that it
/// is too slow for, it is refused ([`SpecError::CannotTrip`](crate::SpecError::CannotTrip)): to ride out an outage, take
/// [`Intensity::UNLIMITED`](crate::Intensity::UNLIMITED).
///
/// Source: Pekko `restartWithBackoff`. OTP has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    /// `None`: as the limits allow.
    max: Option<Duration>,
    jitter_percent: u32,
    /// `None`: half of minimum and maximum together.
    reset_after: Option<Duration>,
}

/// No pause of the default is longer, its jitter apart.
const LONGEST: Duration = Duration::from_secs(1);

impl Backoff {
    /// No pause, ever: what Erlang does. With [`Intensity::UNLIMITED`](crate::Intensity::UNLIMITED) a child whose `init`
    /// always fails keeps a worker busy.
    pub const NONE: Self = Self {
        min: Duration::ZERO,
        max: Some(Duration::ZERO),
        jitter_percent: 0,
        reset_after: Some(Duration::ZERO),
    };

    /// From `min` to `max` (which is no less), 20 % jitter, reset after half of both together.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max: Some(max.max(min)), jitter_percent: 20, reset_after: None }
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
        self.reset_after = Some(up);
        self
    }

    /// The longest pause, jitter included, where a maximum was set.
    pub(crate) fn longest(&self) -> Option<Duration> {
        self.max.map(|max| max.saturating_add(self.jitter(max)))
    }

    /// The most that is added to such a pause.
    fn jitter(&self, pause: Duration) -> Duration {
        let nanos = pause.as_nanos() * u128::from(self.jitter_percent) / 100;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Minimum and maximum, where no pause, jitter included, may be as long as `bound`.
    fn within(&self, bound: impl FnOnce() -> Option<Duration>) -> (Duration, Duration) {
        let max = self.max.unwrap_or_else(|| {
            let Some(bound) = bound() else { return LONGEST };
            let most =
                (bound.as_nanos() * 100).saturating_sub(1) / u128::from(100 + u64::from(self.jitter_percent));
            u64::try_from(most).map_or(LONGEST, |nanos| LONGEST.min(Duration::from_nanos(nanos)))
        });
        (self.min.min(max), max)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { min: Duration::from_millis(50), max: None, jitter_percent: 20, reset_after: None }
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

    /// The pause before the restart that is due now. `bound`: what it must stay below where the back-off has no
    /// maximum of its own, as [`Tempo::pause`](crate::tempo::Tempo::pause) says.
    pub(crate) fn next(
        &mut self,
        backoff: &Backoff,
        bound: impl FnOnce() -> Option<Duration>,
        now: impl FnOnce() -> Instant,
        rng: &mut fastrand::Rng,
    ) -> Duration {
        if backoff.max == Some(Duration::ZERO) {
            return Duration::ZERO;
        }
        let up_since = self.up_since.take();
        if self.attempt == 0 {
            self.attempt = 1;
            return Duration::ZERO;
        }
        let (min, max) = backoff.within(bound);
        let reset_after = backoff.reset_after.unwrap_or_else(|| min.saturating_add(max) / 2);
        let now = now();
        if up_since.is_some_and(|since| now.saturating_duration_since(since) >= reset_after) {
            self.attempt = 1;
            return Duration::ZERO;
        }
        let factor = 1_u32.checked_shl(self.attempt - 1).unwrap_or(u32::MAX);
        self.attempt = self.attempt.saturating_add(1);
        let pause = min.saturating_mul(factor).min(max);
        let nanos = u64::try_from(backoff.jitter(pause).as_nanos()).unwrap_or(u64::MAX);
        pause.saturating_add(Duration::from_nanos(rng.u64(0..=nanos)))
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

    /// Row G3, clause 21.7: immediate first, then 50 ms to 1 s; immediate again after (min + max) / 2 of health.
    #[test]
    fn pauses_double_up_to_the_maximum_and_health_resets_them() {
        let backoff = Backoff::default().jitter_percent(0);
        let (mut pauses, mut rng) = (Pauses::default(), fastrand::Rng::with_seed(1));
        let mut clock = FakeClock::new();
        let mut seen = Vec::new();
        for _ in 0..10 {
            pauses.started(clock.now());
            seen.push(pauses.next(&backoff, || None, || clock.advance(ms(1)), &mut rng));
        }
        assert_eq!(seen, [0, 50, 100, 200, 400, 800, 1000, 1000, 1000, 1000].map(ms));
        for (up, immediate) in [(524, false), (525, true)] {
            let mut pauses = pauses.clone();
            pauses.started(clock.now());
            assert_eq!(
                pauses.next(&backoff, || None, || clock.advance(ms(up)), &mut rng).is_zero(),
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
        assert_eq!(pauses.next(&backoff, || None, || now, &mut rng), Duration::ZERO);
        assert!(!pauses.next(&backoff, || None, || now + Duration::from_secs(60), &mut rng).is_zero());
    }

    /// Clause 21.7: up to 20 % longer by chance unless set, and neither always nor never.
    #[test]
    fn a_pause_is_up_to_a_fifth_longer_by_chance() {
        let now = restante_core::clock::now();
        for backoff in [Backoff::default(), Backoff::new(ms(50), ms(60_000))] {
            let pauses = (0..400).map(|seed| {
                let (mut pauses, mut rng) = (Pauses::default(), fastrand::Rng::with_seed(seed));
                pauses.next(&backoff, || None, || now, &mut rng);
                pauses.next(&backoff, || None, || now, &mut rng)
            });
            let pauses: Vec<_> = pauses.collect();
            assert!(pauses.iter().all(|pause| (ms(50)..=ms(60)).contains(pause)), "{pauses:?}");
            let of = |from, to| pauses.iter().filter(|pause| (ms(from)..ms(to)).contains(pause)).count();
            assert!((50..350).contains(&of(50, 55)), "{pauses:?}");
            assert!(of(50, 51) > 0 && of(59, 60) > 0, "{pauses:?}");
        }
        let none = Backoff::new(ms(50), ms(50)).jitter_percent(0);
        let mut pauses = Pauses::default();
        let mut rng = fastrand::Rng::with_seed(1);
        let seen: Vec<_> = (0..3).map(|_| pauses.next(&none, || None, || now, &mut rng)).collect();
        assert_eq!(seen, [ms(0), ms(50), ms(50)]);
    }

    /// Clause 21.23: no pause, its jitter included, is as long as the bound, nor is the minimum then.
    #[test]
    fn a_bound_is_never_reached() {
        let now = restante_core::clock::now();
        for bound in [1, 30, 500, 10_000] {
            for jitter in [0, 20, 250] {
                let backoff = Backoff::default().jitter_percent(jitter);
                let (mut pauses, mut rng) = (Pauses::default(), fastrand::Rng::with_seed(bound));
                let longest =
                    (0..60).map(|_| pauses.next(&backoff, || Some(ms(bound)), || now, &mut rng)).max();
                let longest = longest.expect("there are some");
                assert!(longest < ms(bound) && longest <= ms(1000 + 10 * u64::from(jitter)), "{longest:?}");
                assert!(longest * 4 >= ms(bound.min(1000)), "{longest:?} of {bound}");
            }
        }
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
                let pause = pauses.next(&backoff, || None, || now, &mut rng);
                prop_assert!(pause <= most, "{pause:?}");
                prop_assert!(n == 0 || pause >= ms(min.min(max.max(min))));
            }
        }
    }

    /// Clause 21.23: the numbers of the default, and the longest pause that stays below a bound with its jitter.
    #[test]
    fn the_longest_pause_is_a_second_or_just_below_the_bound() {
        let default = Backoff::default();
        let least = Duration::from_millis(50);
        assert_eq!(default.within(|| None), (least, Duration::from_secs(1)));
        assert_eq!(default.within(|| Some(Duration::MAX)), (least, Duration::from_secs(1)));
        let within = |bound| default.within(|| Some(bound)).1.as_nanos();
        assert_eq!(within(Duration::from_secs(1)), 833_333_333);
        assert_eq!(within(Duration::from_millis(500)), 416_666_666, "10 in 5 s: 416 ms");
        let narrow =
            |bound| default.jitter_percent(1).within(|| Some(Duration::from_nanos(bound))).1.as_nanos();
        assert_eq!((narrow(100), narrow(101), narrow(102)), (99, 99, 100));
        assert_eq!(default.jitter(Duration::from_secs(1)), Duration::from_millis(200));
        assert_eq!(Backoff::new(least, least).jitter(Duration::from_secs(1)), Duration::from_millis(200));
    }

    /// A reset time of one's own takes the place of half of minimum and maximum together.
    #[test]
    fn a_child_that_was_up_for_the_reset_time_is_healthy() {
        let ms = Duration::from_millis;
        let start = restante_core::clock::now();
        let backoff = Backoff::new(ms(100), ms(1000)).jitter_percent(0);
        for (backoff, up, healthy) in [
            (backoff, 549, false),
            (backoff, 550, true),
            (backoff.reset_after(ms(2000)), 1999, false),
            (backoff.reset_after(ms(2000)), 2000, true),
        ] {
            let (mut pauses, mut rng) = (Pauses::default(), fastrand::Rng::with_seed(1));
            assert_eq!(pauses.up_since(), None);
            assert_eq!(pauses.next(&backoff, || None, || start, &mut rng), Duration::ZERO);
            pauses.started(start);
            assert_eq!(pauses.up_since(), Some(start));
            let pause = pauses.next(&backoff, || None, || start + ms(up), &mut rng);
            assert_eq!(pause.is_zero(), healthy, "up for {up} ms");
        }
    }
}
