//! What a mailbox's settings hold of others, until the mailbox has settled.
//!
//! ```text
//!   set ──> used by senders and readers, any number at once ──> let go     by the one who settles the mailbox
//! ```
//!
//! A measure, a fallback and a taker of dead letters are the user's, and may be the last to keep another mailbox open. The
//! mailbox's memory outlives its end: weak references, a registry's records and keys have it for as long as they like. So
//! what is here goes when the mailbox is closed, has no reader and nothing is left in it, and not with the memory.
//!
//! A user of it has a clone, taken under a lock of its own that guards nothing else: a user that is in the middle of a call
//! when it is let go keeps it for that long.

use crate::quiet;
use std::sync::{Mutex, PoisonError};

/// See the module.
pub(crate) struct Outlet<T> {
    /// Whether there was anything: most settings have nothing, and ask no lock for it.
    set: bool,
    what: Mutex<Option<T>>,
}

impl<T> Outlet<T> {
    pub(crate) const fn none() -> Self {
        Self { set: false, what: Mutex::new(None) }
    }

    pub(crate) const fn new(what: T) -> Self {
        Self { set: true, what: Mutex::new(Some(what)) }
    }

    /// Whether anything was set, gone by now or not.
    pub(crate) fn is_set(&self) -> bool {
        self.set
    }

    /// `None`: nothing was set, or it has been let go.
    pub(crate) fn get(&self) -> Option<T>
    where
        T: Clone,
    {
        if !self.set {
            return None;
        }
        self.what.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Outside of any lock, and with RUN given up: what goes is the user's.
    pub(crate) fn let_go(&self, name: &'static str) {
        if self.set {
            let what = self.what.lock().unwrap_or_else(PoisonError::into_inner).take();
            quiet::discard(name, what);
        }
    }
}
