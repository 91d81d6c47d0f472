//! Under `--cfg shuttle` this stands in for `still`: there is no time.

use crate::rt::Handle;

/// Holds nothing.
#[derive(Debug, Default)]
pub(super) struct Still;

impl Still {
    pub(super) fn hold(_: &Handle) -> Self {
        Self
    }

    pub(super) fn hold_here() -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "as `still`")]
    pub(super) fn during(self, poll: impl FnOnce()) {
        poll();
    }
}
