//! Who is told of a mailbox's closing before anybody else is.

use crate::exit::ExitReason;
use crate::quiet;
use std::sync::Weak;

/// Is told that a mailbox has closed before links, monitors and waiting senders are. The thread that closed the mailbox tells
/// it, or a thread that is about to tell the others; perhaps two at once, so the second call finds nothing to do and returns
/// when the first is through. An implementation may take short locks and must not wait.
pub trait OnClose: Send + Sync {
    /// Closed, for this reason.
    fn on_close(&self, reason: &ExitReason);
}

/// Those who asked to be told first, and what they are told.
pub(crate) struct ToldFirst {
    pub(crate) whom: Vec<Weak<dyn OnClose>>,
    pub(crate) reason: ExitReason,
}

impl ToldFirst {
    /// Tells them, outside of any lock. A panic of one stays with it.
    pub(crate) fn tell(self) {
        for one in self.whom.iter().filter_map(Weak::upgrade) {
            quiet::run("what is told first of a mailbox's end", || one.on_close(&self.reason));
            // It may be the last reference to it.
            quiet::discard("what is told first of a mailbox's end", one);
        }
        quiet::discard("an exit reason", self.reason);
    }
}
