//! Who is restarted together, and when a supervisor ends because its children have.

use std::fmt;

/// Which children are restarted when one has to be.
///
/// Source: OTP `supervisor`, restart strategies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Strategy {
    /// That one.
    #[default]
    OneForOne,
    /// All of them: the others are stopped in reverse order of their start, then all are started in order.
    OneForAll,
    /// That one and those started after it, in the same way. Those before it are let be.
    RestForOne,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneForOne => "one_for_one",
            Self::OneForAll => "one_for_all",
            Self::RestForOne => "rest_for_one",
        })
    }
}

/// Whether a supervisor ends when significant children have.
///
/// Counted are children that end by themselves and are not restarted; not those that a caller or the supervisor stops.
///
/// Source: OTP `supervisor`, automatic shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum AutoShutdown {
    /// No child may be significant.
    #[default]
    Never,
    /// When the first of them ends.
    AnySignificant,
    /// When the last of them has ended.
    AllSignificant,
}
