//! A group of children that fall together.

use std::time::Duration;

/// A group restart that is due or under way: of all children from one key on, up to the last that was there when the
/// group fell. (Who is added later is not stopped by it.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) from: u64,
    /// The first key that is not in it.
    pub(crate) until: u64,
    pub(crate) pause: Duration,
}

impl Group {
    pub(super) fn takes_in(&self, key: u64) -> bool {
        (self.from..self.until).contains(&key)
    }
}
