//! What is dropped once the lock is free.

use restante_core::{ExitReason, quiet};

/// Reasons that are not asked for any more. Mostly one, which costs no memory of its own.
#[derive(Debug, Default)]
pub(crate) struct Aftermath(Option<ExitReason>, Vec<ExitReason>);

impl Aftermath {
    pub(crate) fn put(&mut self, reason: ExitReason) {
        if let Some(before) = self.0.replace(reason) {
            self.1.push(before);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Drops each by itself: the drop of one may panic.
    pub(crate) fn discard(self) {
        self.0.into_iter().chain(self.1).for_each(|reason| quiet::discard("an exit reason", reason));
    }
}
