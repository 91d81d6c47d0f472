//! How an assertion fails: with what came instead, and where in the test it was asked for.

use std::fmt::{self, Debug};
use std::panic::Location;

/// A place in a test.
pub(crate) type At = &'static Location<'static>;

/// Fails the test. Assertions are futures, in which the place of a panic is not the caller's: so the text names it.
#[expect(clippy::panic, reason = "an assertion that does not hold")]
pub(crate) fn fail(what: impl fmt::Display, at: At) -> ! {
    panic!("{what}\n  asked for at {at}")
}

/// For `expect_matching!`.
#[track_caller]
pub fn mismatch(pattern: &str, came: &impl Debug) -> ! {
    fail(
        format_args!("a message that matches `{pattern}` was expected, this came: {came:?}"),
        Location::caller(),
    )
}

/// Several values, one in a line.
pub(crate) struct Lines<'a, T>(pub(crate) &'a [T]);

impl<T: Debug> fmt::Display for Lines<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|value| write!(f, "\n  - {value:?}"))
    }
}
