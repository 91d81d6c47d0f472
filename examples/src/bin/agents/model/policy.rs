//! How long to wait for a model, how often to ask it, and what to wait in between.

use crate::dice::Throw;
use std::time::Duration;

/// The limits of a model's client.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// For one attempt, from dialling to the last byte of the answer.
    pub(crate) timeout: Duration,
    /// How often one question is asked at most.
    pub(crate) attempts: u32,
    /// The first pause; each further one is twice as long.
    pub(crate) pause: Duration,
    /// The longest pause that we choose.
    pub(crate) pause_max: Duration,
    /// The longest pause that a server may ask for (`Retry-After`); whoever asks for more is not asked again.
    pub(crate) retry_after_max: Duration,
    /// How many questions are out at the same time.
    pub(crate) concurrency: usize,
    /// After how many failures in a row the model is left alone.
    pub(crate) failures_max: u32,
    /// For how long.
    pub(crate) open_for: Duration,
    /// The longest answer, in bytes.
    pub(crate) answer_bytes_max: usize,
    /// What the pauses' lengths are thrown from.
    pub(crate) seed: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            attempts: 4,
            pause: Duration::from_millis(250),
            pause_max: Duration::from_secs(10),
            retry_after_max: Duration::from_secs(30),
            concurrency: 4,
            failures_max: 5,
            open_for: Duration::from_secs(20),
            answer_bytes_max: 256 * 1024,
            seed: 0,
        }
    }
}

impl Policy {
    /// How long to wait before this attempt (1 for the first repetition): what the server wishes, else between half and all of
    /// the pause that is due, so that those who failed together do not come back together. None: longer than we would wait.
    pub(super) fn pause(&self, throw: Throw<'_>, wished: Option<Duration>) -> Option<Duration> {
        if let Some(wished) = wished {
            return (wished <= self.retry_after_max).then_some(wished);
        }
        let doublings = throw.attempt.saturating_sub(1).min(16);
        let due = self.pause.saturating_mul(1 << doublings).min(self.pause_max);
        // The highest 16 bits are as random as any: 0 to 65 535 of 65 536 parts of the half.
        let parts = u32::try_from(throw.with_seed(self.seed) >> 48).unwrap_or(0);
        Some(due / 2 + due / 2 * parts / (1 << 16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throw(attempt: u32) -> Throw<'static> {
        Throw { site: "model", item: "a.txt", ordinal: 0, attempt }
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_are_never_shorter_than_half() {
        let policy =
            Policy { pause: Duration::from_secs(1), pause_max: Duration::from_secs(5), ..Policy::default() };
        for (attempt, due) in [(1, 1), (2, 2), (3, 4), (4, 5), (40, 5)] {
            let due = Duration::from_secs(due);
            let pause = policy.pause(throw(attempt), None).expect("no server asks for more");
            assert!((due / 2..=due).contains(&pause), "{attempt}: {pause:?}");
        }
    }

    #[test]
    fn the_seed_decides_the_pause() {
        let of = |seed| Policy { seed, ..Policy::default() }.pause(throw(1), None);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn a_server_s_wish_is_obeyed_within_reason() {
        let policy = Policy::default();
        let wish = |seconds| policy.pause(throw(1), Some(Duration::from_secs(seconds)));
        assert_eq!(wish(7), Some(Duration::from_secs(7)));
        assert_eq!(wish(0), Some(Duration::ZERO));
        assert_eq!(wish(3600), None);
    }
}
