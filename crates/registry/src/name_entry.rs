//! What a name leads to: the mailbox itself, lent, in the slot of the name.
//!
//! A look-up reads the slot and no other memory. All else (who holds the name, what else the mailbox is found under) is in the
//! record.

use crate::record::Record;
use restante_core::any_lent::AnyLent;
use std::fmt;
use std::sync::Arc;

/// What lies in a name's slot.
#[derive(Clone)]
pub(crate) struct NameEntry {
    // First: by the time a record has no holder but its grave, nothing of a slot keeps the mailbox's memory.
    pub(crate) mailbox: AnyLent,
    pub(crate) record: Arc<Record>,
}

impl NameEntry {
    pub(crate) fn to(record: &Arc<Record>) -> Self {
        Self { mailbox: record.mailbox.lent(), record: Arc::clone(record) }
    }
}

impl fmt::Debug for NameEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NameEntry({:?})", self.record)
    }
}
