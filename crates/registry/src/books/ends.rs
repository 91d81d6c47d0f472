//! What comes of an entry's end, after the section that took it out: its watchers are told, what it owns goes.
//!
//! What an entry owns may keep another mailbox open, whose entry then ends in the middle of this one's end, and so on. Such an
//! entry is out of the books at once like any other; the rest of its end waits until the present one is through, on the same
//! thread: a chain of entries of any length needs no stack.

use crate::ending::{Ending, Outcome};
use crate::record::Record;
use crate::sync::thread_local;
use restante_core::{Reaper, quiet};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// An entry that has been taken out, and how it ended.
pub(super) type Ended = (Arc<Record>, Ending);

struct Pending {
    record: Arc<Record>,
    ending: Ending,
    reaper: Reaper,
}

thread_local! {
    /// Ends that came while this thread was in the middle of one; `None`: it is in none.
    ///
    /// Without a destructor, so that it is there until the thread has gone: what the thread's other thread-locals hold may end
    /// entries.
    static WAITING: RefCell<ManuallyDrop<Option<VecDeque<Pending>>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Entries that have been taken out, and are to end: outside of any lock. However it is dropped, they do.
pub(super) struct Ends(VecDeque<Pending>);

impl Ends {
    pub(super) fn new(ended: Vec<Ended>, reaper: &Reaper) -> Self {
        let pending =
            ended.into_iter().map(|(record, ending)| Pending { record, ending, reaper: reaper.clone() });
        Self(pending.collect())
    }

    /// Performs the ends. An end that comes in the middle of another end on this thread, and that no caller asked for because
    /// its mailbox has closed, waits until that other one is through. What was asked for is done when this returns.
    pub(super) fn perform(self) {
        drop(self);
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        let outermost = Outermost::enter();
        for pending in self.0.drain(..) {
            if outermost.is_none() && pending.ending.outcome == Outcome::Closed {
                WAITING.with(|waiting| waiting.borrow_mut().get_or_insert_default().push_back(pending));
            } else {
                perform(pending);
            }
        }
        let Some(outermost) = outermost else { return };
        while let Some(next) = outermost.next() {
            perform(next);
        }
    }
}

/// This thread performs ends, until this is dropped.
struct Outermost;

impl Outermost {
    /// `None`: it does so already.
    fn enter() -> Option<Self> {
        WAITING.with(|waiting| {
            let mut waiting = waiting.borrow_mut();
            waiting.is_none().then(|| {
                **waiting = Some(VecDeque::new());
                Self
            })
        })
    }

    /// What has come to wait.
    #[expect(clippy::unused_self, reason = "who has it may ask")]
    fn next(&self) -> Option<Pending> {
        WAITING.with(|waiting| waiting.borrow_mut().as_mut().and_then(VecDeque::pop_front))
    }
}

impl Drop for Outermost {
    fn drop(&mut self) {
        let left = WAITING.with(|waiting| waiting.borrow_mut().take());
        debug_assert!(left.is_none_or(|left| left.is_empty()), "they are performed one and all");
    }
}

/// Whatever panics in it, or in the drop of what it was about, stays with it.
fn perform(pending: Pending) {
    let Pending { record, ending, reaper } = pending;
    quiet::run("an entry's end", || {
        record.forsake();
        record.end(&ending, &reaper);
    });
    quiet::discard("the reason of an entry's end", ending);
    quiet::discard("a record", record);
}
