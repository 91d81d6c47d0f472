//! How many restarts, in how long, are too many.

use restante_core::clock::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// At most so many restarts in a period; one more and the supervisor gives up.
///
/// The window slides, on the clock that tests can pause: at each attempt those made within the last period count, one that is
/// exactly a period old included. Every attempt counts, one whose `init` fails as well.
///
/// A period of zero is refused wherever a limit is given: nothing would ever count.
///
/// A [task](crate::task) that starts again has a limit of its own: with one restart more the task is done, and no
/// supervisor gives up with it.
///
/// Default: 3 in 5 s. Source: OTP `supervisor`, restart intensity (there 1 in 5 s, in whole seconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// `None`: without limit.
    pub(crate) max: Option<u32>,
    pub(crate) period: Duration,
}

impl Intensity {
    /// Restarts without end, as it takes to ride out an outage. (With a back-off, which is on unless turned off, that need not
    /// be a hot loop: see [`Backoff`](crate::Backoff).)
    pub const UNLIMITED: Self = Self { max: None, period: Duration::ZERO };

    /// At most `max` restarts in any `period`, which is more than zero. No restarts: the first crash is one too many.
    pub const fn new(max: u32, period: Duration) -> Self {
        Self { max: Some(max), period }
    }

    /// Whether it would never count anything.
    pub(crate) fn is_void(self) -> bool {
        self.max.is_some() && self.period.is_zero()
    }
}

impl Default for Intensity {
    fn default() -> Self {
        Self::new(3, Duration::from_secs(5))
    }
}

/// So many restarts are remembered in any case, for a longer period that may be set later.
const FEW: usize = 1024;

/// The restarts that may still matter: never more than the limit and one, so that each costs the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    at: VecDeque<Instant>,
}

impl Window {
    /// Notes an attempt. `Err`: with it there are so many within the period, which is one too many.
    pub(crate) fn note(&mut self, now: impl FnOnce() -> Instant, intensity: Intensity) -> Result<(), u32> {
        let Some(max) = intensity.max else { return Ok(()) };
        let now = now();
        // Only the last `max + 1` can tell whether it is too many: the oldest of them is within the period, or it is not.
        while self.at.len() > max as usize {
            self.at.pop_front();
        }
        let within = |at: &Instant| now.saturating_duration_since(*at) <= intensity.period;
        // Where the limit is so high that it never comes to that, what is over goes: two for each that comes.
        for _ in 0..2 {
            if self.at.len() > FEW && self.at.front().is_some_and(|at| !within(at)) {
                self.at.pop_front();
            }
        }
        self.at.push_back(now);
        let full = self.at.len() > max as usize;
        if full && self.at.front().is_some_and(within) { Err(max.saturating_add(1)) } else { Ok(()) }
    }

    /// Forgets everything: a supervisor that is started anew begins with a clean slate.
    pub(crate) fn clear(&mut self) {
        self.at.clear();
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

    /// Row G3: the window slides; an entry exactly one period old counts. (OTP `supervisor_SUITE`: `one_for_one_escalation`,
    /// and the edge that its `add_restart` defines.)
    #[test]
    fn an_entry_exactly_one_period_old_still_counts() {
        let limit = Intensity::new(2, ms(1000));
        for (third, too_many) in [(999, true), (1000, true), (1001, false)] {
            let (mut clock, mut window) = (FakeClock::new(), Window::default());
            assert_eq!(window.note(|| clock.now(), limit), Ok(()));
            assert_eq!(window.note(|| clock.advance(ms(10)), limit), Ok(()));
            assert_eq!(window.note(|| clock.advance(ms(third - 10)), limit).is_err(), too_many, "{third}");
        }
    }

    /// Failure mode N4 of a peer: crashes 350 ms apart never exceed 2 in 500 ms.
    #[test]
    fn steady_crashes_within_the_limit_go_on_for_ever() {
        let (mut clock, mut window) = (FakeClock::new(), Window::default());
        for n in 0..1000 {
            assert_eq!(window.note(|| clock.advance(ms(350)), Intensity::new(2, ms(500))), Ok(()), "{n}");
        }
    }

    #[test]
    fn intensity_zero_allows_none_and_unlimited_all() {
        let now = restante_core::clock::now();
        assert_eq!(Window::default().note(|| now, Intensity::new(0, ms(1))), Err(1));
        let mut window = Window::default();
        assert!((0..10_000).all(|_| window.note(|| now, Intensity::UNLIMITED).is_ok()));
        assert_eq!(window.at.len(), 0, "nothing is remembered for nothing");
    }

    /// A limit that stands for none costs no more memory than the restarts of one period, however long it goes on.
    #[test]
    fn a_limit_that_is_never_reached_remembers_no_more_than_its_period() {
        let start = restante_core::clock::now();
        let mut window = Window::default();
        for n in 0..100_000 {
            assert_eq!(window.note(|| start + ms(n), Intensity::new(u32::MAX, ms(2000))), Ok(()));
        }
        assert!(window.at.len() <= 2002, "{}", window.at.len());
    }

    proptest! {
        /// Row G3: against the plain definition: count all within the period, compare.
        #[test]
        fn the_window_counts_as_the_definition_does(
            gaps in prop::collection::vec(0_u64..400, 1..200), max in 0_u32..6, period in 1_u64..1500,
        ) {
            let start = restante_core::clock::now();
            let intensity = Intensity::new(max, ms(period));
            let (mut window, mut all, mut at) = (Window::default(), Vec::new(), start);
            for gap in gaps {
                at += ms(gap);
                all.push(at);
                let count = all.iter().filter(|t| at - **t <= ms(period)).count();
                prop_assert_eq!(window.note(|| at, intensity).is_err(), count > max as usize);
                prop_assert!(window.at.len() <= max as usize + 1);
            }
        }
    }

    #[test]
    fn three_in_five_seconds_unless_set() {
        assert_eq!(Intensity::default(), Intensity::new(3, Duration::from_secs(5)));
    }

    /// A limit over no time would count nothing, and is refused wherever one is given. Without a limit nothing is to be
    /// counted.
    #[test]
    fn a_limit_over_no_time_is_void() {
        assert!(Intensity::new(3, Duration::ZERO).is_void() && Intensity::new(0, Duration::ZERO).is_void());
        assert!(!Intensity::UNLIMITED.is_void() && !Intensity::new(0, ms(1)).is_void());
    }

    /// A limit that is higher than what is remembered in any case is exact all the same.
    #[test]
    fn a_high_limit_is_exact() {
        let start = restante_core::clock::now();
        let limit = Intensity::new(2000, ms(1000));
        let mut window = Window::default();
        let mut at = |n: u64| window.note(|| start + ms(n), limit).is_err();
        assert!((0..1030).all(|_| !at(0)));
        // Long after those, so many as are allowed, and one.
        assert!((0..2000).all(|_| !at(10_000)));
        assert!(at(10_000));
    }

    /// After a burst under a limit that stands for none, each restart forgets more than it adds.
    #[test]
    fn what_a_burst_has_left_is_forgotten() {
        let start = restante_core::clock::now();
        let limit = Intensity::new(u32::MAX, ms(1000));
        let mut window = Window::default();
        (0..5000).for_each(|_| assert_eq!(window.note(|| start, limit), Ok(())));
        (1..=4500).for_each(|n| assert_eq!(window.note(|| start + ms(n * 2000), limit), Ok(())));
        assert!(window.at.len() <= FEW + 2, "{}", window.at.len());
    }

    /// A period that is made longer counts what lies in it from before.
    #[test]
    fn a_longer_period_that_is_set_later_finds_what_it_needs() {
        let start = restante_core::clock::now();
        let mut window = Window::default();
        let mut at =
            |s: u64, period: u64| window.note(|| start + ms(s * 1000), Intensity::new(3, ms(period)));
        assert_eq!([at(0, 1000), at(0, 1000), at(5, 1000), at(6, 10_000)], [Ok(()), Ok(()), Ok(()), Err(4)]);
    }
}
