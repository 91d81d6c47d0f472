//! How often an actor that is killed as it begins is begun again. (Once it is up, its supervisor sees to that.)

use restante_core::clock::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// The attempts that may still matter: at most so many are within a period that slides, as with a supervisor's restarts.
pub(crate) struct Starts {
    max: usize,
    period: Duration,
    at: VecDeque<Instant>,
}

impl Starts {
    /// At most `max` in a `period`.
    pub(crate) fn new(max: u32, period: Duration) -> Self {
        Self { max: max as usize, period, at: VecDeque::new() }
    }

    /// Notes an attempt. False: it is one too many.
    #[must_use]
    pub(crate) fn again(&mut self, now: Instant) -> bool {
        // One that is exactly a period old counts.
        while self.at.front().is_some_and(|at| now.saturating_duration_since(*at) > self.period) {
            self.at.pop_front();
        }
        let may = self.at.len() < self.max;
        if may {
            self.at.push_back(now);
        }
        may
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    /// Clause 26.9.
    #[test]
    fn attempts_count_for_a_period() {
        let began = restante_core::clock::now();
        let mut starts = Starts::new(2, Duration::from_secs(5));
        let mut again = |ms| starts.again(began + Duration::from_millis(ms));
        assert_eq!(
            [0, 1, 2, 5000, 5001, 5002, 5003].map(&mut again),
            [true, true, false, false, true, true, false]
        );
        // However many there are in all.
        assert!((2..1000).all(|period| again(period * 5002)));
        assert!(!Starts::new(0, Duration::from_secs(5)).again(began));
    }

    /// Only what is older than the period is forgotten.
    #[test]
    fn the_oldest_attempts_are_forgotten_first() {
        let began = restante_core::clock::now();
        let mut starts = Starts::new(2, Duration::from_secs(5));
        let again = [0, 4000, 5001, 5002, 9001].map(|ms| starts.again(began + Duration::from_millis(ms)));
        assert_eq!(again, [true, true, true, false, true]);
    }
}
