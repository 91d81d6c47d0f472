//! What comes of an entry's end, after the section that took it out: its watchers are told, what it owns goes.
//!
//! What an entry owns may keep another mailbox open, whose entry then ends in the middle of this one's end, and so on. Such
//! a one is out of the books at once like any other; the rest of its end waits until the present one is through, on the same thread: a
//! chain of entries of any length needs no stack.

use super::Books;
use crate::ending::Ending;
use crate::record::Record;
use crate::sync::thread_local;
use restante_core::{ExitReason, Reaper};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// An entry that has been taken out, and how it ended.
pub(super) type Ended = (Arc<Record>, Ending);

thread_local! {
    /// Ends that came while this thread was in the middle of one; `None`: it is in none.
    static WAITING: RefCell<Option<VecDeque<(Ended, Reaper)>>> = const { RefCell::new(None) };
}

impl Books {
    /// Outside of any lock.
    pub(super) fn perform_ends(&self, ended: Vec<Ended>) {
        let mine = ended.into_iter().map(|ended| (ended, self.reaper.clone()));
        // (A thread that is being torn down has no list: it performs them where it is.)
        let wait = WAITING.try_with(|waiting| match &mut *waiting.borrow_mut() {
            Some(waiting) => {
                waiting.extend(mine.clone());
                true
            }
            none => {
                *none = Some(VecDeque::new());
                false
            }
        });
        if wait == Ok(true) {
            return;
        }
        mine.for_each(perform);
        loop {
            let next = WAITING.try_with(|waiting| {
                let mut waiting = waiting.borrow_mut();
                let next = waiting.as_mut().and_then(VecDeque::pop_front);
                if next.is_none() {
                    *waiting = None;
                }
                next
            });
            let Ok(Some(next)) = next else { return };
            perform(next);
        }
    }
}

/// A panic of a waker's stays with it: whatever waits is to come to its end as well.
fn perform(((record, ending), reaper): (Ended, Reaper)) {
    let performed = catch_unwind(AssertUnwindSafe(|| {
        record.forsake();
        record.end(&ending, &reaper);
    }));
    if let Err(payload) = performed {
        let reason = ExitReason::from_panic(payload);
        tracing::error!(%reason, mailbox = %record.id, "whoever was told of an entry's end panicked");
    }
}
