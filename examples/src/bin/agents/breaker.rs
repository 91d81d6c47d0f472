//! The circuit breaker: whoever failed too often in a row is left alone for a while.
//!
//! ```text
//!             failures_max failures in a row              open_for has passed: one probe
//!   Closed ────────────────────────────────────▶ Open ─────────────────────────────────▶ HalfOpen
//!     ▲                                           ▲                                        │  │
//!     │                                           └──────────────────── the probe failed ──┘  │
//!     └──────────────────────────────────────────────────────────────── the probe succeeded ──┘
//! ```
//!
//! A rule without a clock: `now` is an argument. A probe of which nothing is heard for `open_for` is given up, and the next
//! one may go.

use std::time::Duration;
use tokio::time::Instant;

/// When to leave whom alone.
#[derive(Debug)]
pub(crate) struct Breaker {
    failures_max: u32,
    open_for: Duration,
    state: State,
    /// Counts the changes of state, so that an answer from before the last one changes nothing.
    epoch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { until: Instant },
}

/// Leave to try once. Tell the breaker how it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the breaker wants to know how it went"]
pub(crate) struct Pass {
    epoch: u64,
}

impl Breaker {
    /// Opens after `failures_max` failures in a row (one at least), for `open_for`.
    pub(crate) fn new(failures_max: u32, open_for: Duration) -> Self {
        Self { failures_max: failures_max.max(1), open_for, state: State::Closed { failures: 0 }, epoch: 0 }
    }

    /// Whether to try now.
    ///
    /// # Errors
    ///
    /// Not now; how long from now until it makes sense to ask again.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<Pass, Duration> {
        match self.state {
            State::Closed { .. } => {}
            State::Open { until } | State::HalfOpen { until } if now < until => return Err(until - now),
            State::Open { .. } | State::HalfOpen { .. } => {
                self.go_to(State::HalfOpen { until: now + self.open_for });
            }
        }
        Ok(Pass { epoch: self.epoch })
    }

    /// It went well.
    pub(crate) fn on_success(&mut self, pass: Pass) {
        if pass.epoch != self.epoch {
            return;
        }
        match &mut self.state {
            State::Closed { failures } => *failures = 0,
            State::Open { .. } => {}
            State::HalfOpen { .. } => self.go_to(State::Closed { failures: 0 }),
        }
    }

    /// It failed.
    pub(crate) fn on_failure(&mut self, pass: Pass, now: Instant) {
        if pass.epoch != self.epoch {
            return;
        }
        let open = State::Open { until: now + self.open_for };
        match &mut self.state {
            State::Closed { failures } if *failures + 1 < self.failures_max => *failures += 1,
            State::Closed { .. } | State::HalfOpen { .. } => self.go_to(open),
            State::Open { .. } => {}
        }
    }

    fn go_to(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(10);

    /// What happens, and when (in seconds).
    #[derive(Clone)]
    enum Event {
        /// A pass is asked for, and given.
        Pass(u64),
        /// A pass is asked for; it would be given so many seconds later.
        Refused(u64, u64),
        /// The last pass but `n` succeeded.
        Success(usize),
        /// The last pass but `n` failed.
        Failure(u64, usize),
    }
    use Event::{Failure, Pass, Refused, Success};

    #[track_caller]
    fn check(events: &[Event]) {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut breaker = Breaker::new(3, OPEN_FOR);
        let mut passes = Vec::new();
        for (n, event) in events.iter().enumerate() {
            match event {
                Pass(now) => {
                    passes.push(breaker.admit(at(*now)).unwrap_or_else(|wait| panic!("event {n}: {wait:?}")));
                }
                Refused(now, wait) => {
                    assert_eq!(breaker.admit(at(*now)), Err(Duration::from_secs(*wait)), "event {n}");
                }
                Success(back) => breaker.on_success(passes[passes.len() - 1 - back]),
                Failure(now, back) => breaker.on_failure(passes[passes.len() - 1 - back], at(*now)),
            }
        }
    }

    #[test]
    fn it_opens_after_failures_in_a_row() {
        check(&[
            Pass(0),
            Failure(0, 0),
            Pass(0),
            Failure(1, 0),
            Pass(1),
            Failure(2, 0),
            Refused(2, 10),
            Refused(11, 1),
        ]);
    }

    #[test]
    fn a_success_in_between_begins_the_count_anew() {
        check(&[
            Pass(0),
            Failure(0, 0),
            Pass(0),
            Failure(0, 0),
            Pass(0),
            Success(0),
            Pass(0),
            Failure(0, 0),
            Pass(0),
        ]);
    }

    #[test]
    fn one_probe_goes_and_its_success_closes() {
        let probe = [
            Pass(0),
            Pass(0),
            Pass(0),
            Failure(0, 0),
            Failure(0, 1),
            Failure(0, 2),
            Pass(10),
            Refused(10, 10),
        ];
        check(&[&probe[..], &[Success(0), Pass(10), Pass(10)]].concat());
    }

    #[test]
    fn a_probe_that_fails_opens_again() {
        check(&[
            Pass(0),
            Pass(0),
            Pass(0),
            Failure(0, 0),
            Failure(0, 1),
            Failure(0, 2),
            Pass(10),
            Failure(12, 0),
            Refused(12, 10),
            Pass(22),
            Success(0),
            Pass(22),
        ]);
    }

    #[test]
    fn a_probe_of_which_nothing_is_heard_is_given_up() {
        check(&[
            Pass(0),
            Pass(0),
            Pass(0),
            Failure(0, 0),
            Failure(0, 1),
            Failure(0, 2),
            Pass(10),
            Refused(19, 1),
            Pass(20),
            Success(1),
            Refused(21, 9),
            Success(0),
            Pass(21),
        ]);
    }

    #[test]
    fn answers_from_before_it_opened_change_nothing() {
        check(&[
            Pass(0),
            Pass(0),
            Pass(0),
            Pass(0),
            Failure(0, 0),
            Failure(0, 1),
            Failure(0, 2),
            Success(3),
            Refused(1, 9),
            Failure(5, 3),
            Refused(5, 5),
        ]);
    }
}
