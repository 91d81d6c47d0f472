//! Panics at random, the same ones for the same seed.
//!
//! Whether a message meets one depends on the seed, the site, the file, the message and how often it was tried; not on the
//! schedule, so a run can be repeated. A message that was tried [`CALM_AFTER`] times is left alone: at any rate, the program
//! ends.

use crate::dice::Throw;
use std::fmt;
use std::str::FromStr;

/// How often the same message is made to fail at most.
pub(crate) const CALM_AFTER: u32 = 5;

/// What each of these panics says first; tells them from mistakes of ours.
const SAID: &str = "chaos: ";

/// A probability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rate(f64);

impl Rate {
    /// Whether nothing ever happens at this rate.
    pub(crate) fn is_never(self) -> bool {
        self.0 <= 0.0
    }

    /// Whether it happens, by the number that was thrown.
    #[expect(clippy::cast_precision_loss, reason = "a probability needs no more than 53 bits")]
    fn happens(self, thrown: u64) -> bool {
        ((thrown >> 11) as f64) < self.0 * (1_u64 << 53) as f64
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
        if (0.0..=1.0).contains(&rate) { Ok(Self(rate)) } else { Err("not from 0 to 1".to_owned()) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Decides who panics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chaos {
    pub(crate) rate: Rate,
    pub(crate) seed: u64,
}

impl Chaos {
    /// Whether this message meets a panic.
    pub(crate) fn strikes(&self, throw: Throw<'_>) -> bool {
        throw.attempt < CALM_AFTER && self.rate.happens(throw.with_seed(self.seed))
    }

    /// Does nothing, mostly.
    ///
    /// # Panics
    ///
    /// If chaos strikes here.
    pub(crate) fn strike(&self, throw: Throw<'_>) {
        if self.strikes(throw) {
            let Throw { site, item, ordinal, attempt } = throw;
            panic!("{SAID}{site}, {item}, message {ordinal}, attempt {attempt}");
        }
    }
}

/// Keeps the panics of [`Chaos::strike`] off standard error; others are as loud as ever.
pub(crate) fn be_quiet_about_our_panics() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<String>().is_none_or(|said| !said.starts_with(SAID)) {
            loud(info);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(rate: &str, seed: u64, attempt: u32) -> Vec<bool> {
        let chaos = Chaos { rate: rate.parse().expect("it is a rate"), seed };
        let throw = |ordinal| Throw { site: "counter", item: "a.txt", ordinal, attempt };
        (0..10_000).map(|ordinal| chaos.strikes(throw(ordinal))).collect()
    }

    fn share(struck: &[bool]) -> usize {
        struck.iter().filter(|struck| **struck).count()
    }

    #[test]
    fn it_strikes_as_often_as_the_rate_says() {
        assert_eq!(share(&strikes("0", 1, 0)), 0);
        assert_eq!(share(&strikes("1", 1, 0)), 10_000);
        for (rate, expected) in [("0.5", 5000), ("0.1", 1000), ("0.01", 100)] {
            let struck = share(&strikes(rate, 1, 0));
            assert!(struck.abs_diff(expected) < expected / 4, "{rate}: {struck}");
        }
    }

    #[test]
    fn the_seed_and_the_message_decide_and_nothing_else() {
        assert_eq!(strikes("0.3", 7, 0), strikes("0.3", 7, 0));
        assert_ne!(strikes("0.3", 7, 0), strikes("0.3", 8, 0));
        assert_ne!(strikes("0.3", 7, 0), strikes("0.3", 7, 1));
        let of = |site, item| Throw { site, item, ordinal: 0, attempt: 0 }.with_seed(1);
        assert_ne!(of("ab", "c"), of("a", "bc"));
    }

    #[test]
    fn a_message_that_was_tried_often_is_left_alone() {
        assert_eq!(share(&strikes("1", 1, CALM_AFTER)), 0);
    }

    #[test]
    fn a_rate_is_from_0_to_1() {
        for text in ["-0.1", "1.1", "NaN", "inf", "", "x"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
