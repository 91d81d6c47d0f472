//! What a sweep sees of a wait, and how it ends one that is late.

use super::place::SlotPtr;
use super::word::{CALLER_DONE, KIND, LATE, LOCK, WAKER};
use crate::waits::Watched;
use restante_core::sync::Ordering;

/// What a sweep finds of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It goes on.
    Waits,
    /// It is over, or another's, or was ended now.
    Over,
}

impl SlotPtr {
    /// Turns an overdue wait into a late one. `word` is what the sweep saw.
    pub(super) fn expire(self, word: u64) -> bool {
        let next = word | LATE | LOCK;
        if self.0.word.compare_exchange(word, next, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        self.wake_locked(next);
        true
    }

    /// Which sweep watches it.
    #[inline]
    pub(crate) fn watched(self) -> &'static Watched {
        &self.0.watched
    }

    /// Sweep `sweep` looks at it, in its epoch `epoch`: ends the wait there if it began more than `ticks` epochs ago.
    pub(crate) fn look(self, sweep: u32, epoch: u32, ticks: u16) -> Seen {
        let word = self.0.word.load(Ordering::SeqCst);
        if word & LOCK != 0 {
            // Its waker is being moved: it waits, or is about to be woken.
            return Seen::Waits;
        }
        if word & (WAKER | KIND | CALLER_DONE) != WAKER {
            return Seen::Over;
        }
        match self.0.watched.age(sweep, epoch) {
            Some(age) if age <= ticks => Seen::Waits,
            // Changed this very moment: the next look tells.
            Some(_) if !self.expire(word) => Seen::Waits,
            None | Some(_) => Seen::Over,
        }
    }
}
