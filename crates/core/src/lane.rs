//! The lane that a message travels in.

/// The lane a message travels in. Higher lanes are read first; each lane is first in, first out.
///
/// Order among lanes: a message in a higher lane overtakes what already waits in lower ones; `Low` is still read at
/// least once in every [`starvation bound`](crate::Settings::starvation_bound) messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Lane {
    /// Orders and notices: never bounded by data, never shed, always read first.
    Control,
    /// Urgent data.
    High,
    /// Everything that says nothing else.
    #[default]
    Normal,
    /// Data that can wait.
    Low,
}
