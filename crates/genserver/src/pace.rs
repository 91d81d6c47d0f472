//! Whether handlers are fast enough for callers to run them: a rule that is told how long the ones that it asked about took.

/// One call in so many is timed.
const EVERY: u8 = 64;

/// What is known of a server's handlers.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Calls and turns so far, modulo 256.
    count: u8,
    /// The last one that was timed was slow, which may have been an interruption: the next call is timed as well.
    suspect: bool,
}

impl Pace {
    /// One more; whether it is the one in so many.
    #[inline(always)]
    pub(crate) fn tick(&mut self) -> bool {
        self.count = self.count.wrapping_add(1);
        self.count % EVERY == 1
    }

    /// One that was timed is over; whether handlers are slow: two that were timed in a row have been.
    pub(crate) fn took(&mut self, slow: bool) -> bool {
        let twice = slow && self.suspect;
        self.suspect = slow && !twice;
        if self.suspect {
            self.count = 0;
        }
        twice
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    /// How many calls go by until one is timed, itself included.
    fn until_timed(pace: &mut Pace) -> u32 {
        (1..=256).find(|_| pace.tick()).unwrap()
    }

    /// Clause 7.1.
    #[test]
    fn one_interruption_makes_no_slow_handler() {
        let mut pace = Pace::default();
        assert_eq!(until_timed(&mut pace), 1);
        assert!(!pace.took(false));
        assert_eq!(until_timed(&mut pace), 64);
        assert!(!pace.took(true), "it may have been interrupted");
        assert_eq!(until_timed(&mut pace), 1, "the next one is timed at once");
        assert!(!pace.took(false));
        assert_eq!(until_timed(&mut pace), 64);
    }

    /// Clause 7.1.
    #[test]
    fn two_in_a_row_do_and_then_two_more_are_needed() {
        let mut pace = Pace::default();
        for _ in 0..3 {
            until_timed(&mut pace);
            assert!(!pace.took(true));
            assert_eq!(until_timed(&mut pace), 1);
            assert!(pace.took(true));
        }
    }
}
