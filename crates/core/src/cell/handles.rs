//! Addresses: how many there are, and when the last has gone.

use super::mail_cell::MailCell;
use crate::sync::Ordering;

/// Among the handles: the last one has gone. (What is cloned out of a lent handle afterwards is counted beside it.)
const GONE: usize = 1 << (usize::BITS - 1);

impl<M: 'static, X: ?Sized> MailCell<M, X> {
    /// One more address.
    #[inline]
    pub(crate) fn add_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// One more address, unless there is none left.
    pub(crate) fn add_handle_if_any(&self) -> bool {
        let mut n = self.handles.load(Ordering::Relaxed);
        while n != 0 && n & GONE == 0 {
            match self.handles.compare_exchange(n, n + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => n = now,
            }
        }
        false
    }

    /// One address less; true for the last.
    #[inline]
    pub(crate) fn remove_handle(&self) -> bool {
        // Release pairs with the acquire of the last: what went before is before the closing.
        self.handles.fetch_sub(1, Ordering::AcqRel) == 1 && self.last_handle_goes()
    }

    /// A lent handle may be cloned while the last counted one drops. Exactly one wins: GONE is set and the clone fails, or the
    /// mailbox stays open.
    #[cold]
    fn last_handle_goes(&self) -> bool {
        self.handles.compare_exchange(0, GONE, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// How many addresses there are.
    pub fn handles(&self) -> usize {
        self.handles.load(Ordering::Relaxed) & !GONE
    }
}
