//! Labels that were taken off while an addition to their mailbox was on its way: should it be undone, and the label be on the
//! mailbox again by then, it is another's.

use crate::record::Record;
use crate::secondary::Label;
use std::sync::{Arc, Weak};

/// Under the writers' lock. Mostly empty: nearly every addition has been taken when somebody takes a label off.
#[derive(Default)]
pub(super) struct Recalled(Vec<Recall>);

struct Recall {
    of: Weak<Record>,
    label: Label,
    /// That of the change.
    number: u64,
}

impl Recalled {
    /// This label is taken off, in the change of this number.
    pub(super) fn note(&mut self, of: &Arc<Record>, label: &Label, number: u64) {
        if !of.is_pending() {
            return;
        }
        // Amortised: the list doubles before it is looked through.
        if self.0.len() == self.0.capacity() {
            self.0.retain(|recall| recall.of.upgrade().is_some_and(|record| record.is_pending()));
        }
        self.0.push(Recall { of: Arc::downgrade(of), label: label.clone(), number });
    }

    /// Whether this label was taken off since.
    pub(super) fn since(&self, of: &Arc<Record>, label: &Label, number: u64) -> bool {
        let its = |recall: &&Recall| std::ptr::addr_eq(recall.of.as_ptr(), Arc::as_ptr(of));
        self.0.iter().filter(its).any(|recall| recall.number >= number && recall.label == *label)
    }
}
