//! The rule by which a child task starts again: its restart type, and how often within how long.

use super::spec::Restart;
use restante_core::ExitReason;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// How many restarts within how long are still normal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Intensity {
    pub(super) max: u32,
    pub(super) period: Duration,
}

impl Default for Intensity {
    /// OTP's: 3 in 5 s.
    fn default() -> Self {
        Self { max: 3, period: Duration::from_secs(5) }
    }
}

/// What is to be done about a child that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It starts again.
    Again,
    /// It is done.
    Done,
    /// It has started again too often.
    GiveUp,
}

/// The rule, and the restarts that it remembers: at most `max` of them.
#[derive(Debug)]
pub(super) struct Restarts {
    restart: Restart,
    intensity: Intensity,
    times: VecDeque<Instant>,
}

impl Restarts {
    pub(super) fn new(restart: Restart, intensity: Intensity) -> Self {
        Self { restart, intensity, times: VecDeque::new() }
    }

    /// The child has ended for this reason, now.
    pub(super) fn on_exit(&mut self, reason: &ExitReason, now: Instant) -> Verdict {
        match (self.restart, reason.is_orderly()) {
            (Restart::Temporary, _) | (Restart::Transient, true) => return Verdict::Done,
            (Restart::Permanent, _) | (Restart::Transient, false) => {}
        }
        let period = self.intensity.period;
        // One that is exactly a period old still counts.
        while self.times.front().is_some_and(|at| now.duration_since(*at) > period) {
            self.times.pop_front();
        }
        if self.times.len() >= self.intensity.max as usize {
            return Verdict::GiveUp;
        }
        self.times.push_back(now);
        Verdict::Again
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    fn reasons() -> [ExitReason; 5] {
        use ExitReason::{Killed, Normal, Shutdown};
        [Normal, Shutdown, ExitReason::shutdown_with("full"), Killed, ExitReason::error("oops")]
    }

    /// Row G3: the restart types.
    #[test]
    fn the_restart_type_says_who_starts_again() {
        let check = |restart, again: [bool; 5]| {
            for (reason, again) in reasons().iter().zip(again) {
                let verdict = Restarts::new(restart, Intensity::default()).on_exit(reason, Instant::now());
                let expected = if again { Verdict::Again } else { Verdict::Done };
                assert_eq!(verdict, expected, "{restart:?} {reason}");
            }
        };
        check(Restart::Permanent, [true; 5]);
        check(Restart::Transient, [false, false, false, true, true]);
        check(Restart::Temporary, [false; 5]);
    }

    /// Row G3: intensity and period, with a window that slides.
    #[test]
    fn restarts_are_counted_over_a_sliding_window() {
        let mut restarts =
            Restarts::new(Restart::Permanent, Intensity { max: 2, period: Duration::from_secs(5) });
        let start = Instant::now();
        let mut at = |ms| restarts.on_exit(&ExitReason::Normal, start + Duration::from_millis(ms));
        assert_eq!(at(0), Verdict::Again);
        assert_eq!(at(3000), Verdict::Again);
        assert_eq!(at(5000), Verdict::GiveUp, "exactly a period old");
        assert_eq!(at(5001), Verdict::Again);
        assert_eq!(at(5002), Verdict::GiveUp);
        assert_eq!(at(8001), Verdict::Again);
    }
}
