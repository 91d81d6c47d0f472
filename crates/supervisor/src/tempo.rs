//! How fast restarts have to follow one another for a limit to be reached.
//!
//! A limit of n restarts in a period counts the restarts of a child that fails at once, again and again. It is reached when
//! n pauses lie within the period; longer pauses would have such a child restart for ever, and its supervisor never give
//! up. So a back-off that was not set takes its maximum from the limits ([`Tempo::pause`]).
//!
//! A supervisor above counts how often the one below gives up. What lies between two of these is the time that the
//! lower one takes to give up, and the pause before it is started again: each is given half of the upper one's period
//! by n ([`Tempo::below`]). Where that pause was set, the lower one is given half of what it leaves.
//!
//! ```text
//!  upper:   |<───────────────── period ─────────────────>|     n = 3
//!           |  give up  │ pause │  give up  │ pause │ ...|
//!  lower:   |p p p p p p|       |p p p p p p|                  p: a pause of its own child
//! ```
//!
//! What deliberately does not live here: counting ([`crate::intensity`]), and the pauses themselves ([`crate::backoff`]).

use crate::backoff::Backoff;
use crate::intensity::Intensity;
use std::time::Duration;

/// The limits that count the restarts of one child.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tempo {
    /// Its supervisor's, and its own.
    limits: [Option<Intensity>; 2],
    /// What its supervisor may take to give up, for those further up to be able to; `None`: as long as it likes.
    above: Option<Duration>,
}

impl Tempo {
    pub(crate) fn new(supervisor: Intensity, own: Option<Intensity>, above: Option<Duration>) -> Self {
        Self { limits: [Some(supervisor), own], above }
    }

    /// What each pause of this child, jitter included, must stay below; `None`: any will do. A child that is a
    /// supervisor shares the time with what it does below.
    pub(crate) fn pause(&self, of_supervisor: bool) -> Option<Duration> {
        let fewest = self.fewest()?;
        let bound = self.shortest(self.above.and_then(|above| above.checked_div(fewest)))?;
        Some(if of_supervisor { bound / 2 } else { bound })
    }

    /// What this child, which is a supervisor, may take from its start to its giving up; `None`: as long as it likes.
    /// `escalates`: its supervisor gives up with it, at once. `set`: the longest pause before it is started again, where
    /// that was set.
    pub(crate) fn below(&self, escalates: bool, set: Option<Duration>) -> Option<Duration> {
        if escalates {
            return self.above;
        }
        // The supervisor gives up once more often than it is started again.
        let times = self.fewest()?.saturating_add(1);
        let bound = self.shortest(self.above.map(|above| above / times))?;
        // A pause that leaves nothing keeps the limit from being reached in any case.
        let left = set.and_then(|pause| bound.checked_sub(pause)).filter(|left| !left.is_zero());
        Some(left.unwrap_or(bound) / 2)
    }

    /// How many restarts the limit that is reached first allows; `None`: there is no limit.
    fn fewest(&self) -> Option<u32> {
        self.limits.iter().flatten().filter_map(|limit| limit.max).min()
    }

    /// The least of this and what each limit has for one restart.
    fn shortest(&self, other: Option<Duration>) -> Option<Duration> {
        let each = self.limits.iter().flatten().filter_map(|limit| limit.period.checked_div(limit.max?));
        each.chain(other).min()
    }
}

/// Whether a child with this back-off, whose maximum was set, can reach this limit.
pub(crate) fn can_trip(limit: Intensity, backoff: Backoff) -> bool {
    let (Some(max), Some(longest)) = (limit.max, backoff.longest()) else { return true };
    max == 0 || u128::from(max) * longest.as_nanos() < limit.period.as_nanos()
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn tempo(limit: Intensity, own: Option<Intensity>, above: Option<u64>) -> Tempo {
        Tempo::new(limit, own, above.map(ms))
    }

    /// Clause 21.23: the shortest of what the limits have for one restart; no limit, no bound.
    #[test]
    fn a_pause_is_bounded_by_every_limit_that_counts_the_child() {
        let (three, ten) = (Intensity::new(3, ms(6000)), Intensity::new(10, ms(5000)));
        let (none, zero) = (Intensity::UNLIMITED, Intensity::new(0, ms(1)));
        let cases = [
            (tempo(none, None, None), None),
            (tempo(none, None, Some(100)), None),
            (tempo(three, None, None), Some(2000)),
            (tempo(three, Some(ten), None), Some(500)),
            (tempo(ten, Some(three), None), Some(500)),
            (tempo(none, Some(ten), None), Some(500)),
            (tempo(three, None, Some(3000)), Some(1000)),
            (tempo(ten, Some(three), Some(900)), Some(300)),
            (tempo(zero, Some(three), Some(900)), Some(2000)),
            (tempo(zero, None, Some(900)), None),
        ];
        for (tempo, bound) in cases {
            assert_eq!(tempo.pause(false), bound.map(ms), "{tempo:?}");
            assert_eq!(tempo.pause(true), bound.map(|bound| ms(bound) / 2), "{tempo:?}");
        }
    }

    /// Clause 21.23: what a supervisor below may take to give up.
    #[test]
    fn a_supervisor_below_has_half_of_the_time_for_one_restart() {
        let (three, none) = (Intensity::new(3, ms(6000)), Intensity::UNLIMITED);
        assert_eq!(tempo(three, None, None).below(false, None), Some(ms(1000)));
        assert_eq!(tempo(three, Some(Intensity::new(6, ms(6000))), None).below(false, None), Some(ms(500)));
        assert_eq!(tempo(three, None, Some(800)).below(false, None), Some(ms(100)));
        assert_eq!(tempo(Intensity::new(0, ms(1)), None, Some(800)).below(false, None), Some(ms(400)));
        assert_eq!(tempo(Intensity::new(0, ms(1)), None, None).below(false, None), None);
        assert_eq!(tempo(none, None, Some(800)).below(false, None), None, "it never gives up");
        assert_eq!(tempo(none, None, Some(800)).below(true, None), Some(ms(800)), "it gives up with it");
        for (pause, left) in [(0, 1000), (500, 750), (1900, 50), (2000, 1000), (9000, 1000)] {
            assert_eq!(tempo(three, None, None).below(false, Some(ms(pause))), Some(ms(left)), "{pause}");
        }
        assert_eq!(tempo(three, None, Some(800)).below(false, Some(ms(150))), Some(ms(25)));
    }

    /// Clause 21.24: exactly the period is too long, jitter counts, and no limit can always be reached.
    #[test]
    fn a_pair_that_cannot_trip_is_known() {
        let backoff = |max| Backoff::new(ms(1), ms(max));
        let three = Intensity::new(3, ms(3600));
        assert!(can_trip(three, backoff(999)) && !can_trip(three, backoff(1000)));
        assert!(
            can_trip(three, backoff(1199).jitter_percent(0))
                && !can_trip(three, backoff(1200).jitter_percent(0))
        );
        assert!(can_trip(Intensity::UNLIMITED, backoff(u64::MAX)));
        assert!(can_trip(Intensity::new(0, ms(1)), backoff(u64::MAX)));
        assert!(can_trip(three, Backoff::default()) && can_trip(three, Backoff::NONE));
        assert!(!can_trip(
            Intensity::new(u32::MAX, Duration::MAX),
            Backoff::new(Duration::MAX, Duration::MAX)
        ));
    }

    proptest! {
        /// Clause 21.23: however the limits are, a child that fails at once reaches those of its supervisor and its own; and
        /// with the pauses below, those above are reached as well.
        #[test]
        fn what_is_derived_trips_each_limit(
            limits in prop::collection::vec((1_u32..20, 1_u64..100_000), 1..4), set: Option<u32>, jitter in 0_u32..200, seed: u64,
        ) {
            let backoff = Backoff::default().jitter_percent(jitter);
            // The pause of a supervisor below the top, where it is set: some part of what the top's limit can be reached with.
            let set = set.and_then(|part| {
                let (n, period) = limits[0];
                let pause = ms(period).as_nanos() * 99 / 100 * u128::from(part) / u128::from(u32::MAX) / u128::from(n);
                let pause = Duration::from_nanos(u64::try_from(pause).ok()?);
                let set = Backoff::new(pause, pause).jitter_percent(0);
                can_trip(Intensity::new(n, ms(period)), set).then_some(set)
            });
            let mut rng = fastrand::Rng::with_seed(seed);
            let now = restante_core::clock::now();
            // From the top down; how long each takes to give up, from the bottom up.
            let mut above = None;
            let mut tempi = Vec::new();
            for (n, period) in &limits {
                let tempo = Tempo::new(Intensity::new(*n, ms(*period)), None, above);
                tempi.push((tempo, *n, ms(*period)));
                let set = set.filter(|_| tempi.len() == 1);
                above = tempo.below(false, set.and_then(|set| set.longest()));
            }
            let mut below = Duration::ZERO;
            for (level, (tempo, n, period)) in tempi.iter().rev().enumerate() {
                let mut pauses = crate::backoff::Pauses::default();
                let mut taken = Duration::ZERO;
                let set = set.filter(|_| level + 1 == limits.len() && level > 0);
                let backoff = set.unwrap_or(backoff);
                for _ in 0..*n {
                    taken += pauses.next(&backoff, || tempo.pause(level > 0), || now, &mut rng) + below;
                }
                prop_assert!(taken < *period, "{taken:?}");
                below += taken;
            }
        }
    }

    /// Clause 21.24: one restart in a period that is shorter than a pause is never one too many.
    #[test]
    fn one_restart_with_a_pause_beyond_the_period_cannot_trip() {
        let backoff = Backoff::new(ms(1), ms(2000)).jitter_percent(0);
        assert!(
            !can_trip(Intensity::new(1, ms(2000)), backoff) && can_trip(Intensity::new(1, ms(2001)), backoff)
        );
    }
}
