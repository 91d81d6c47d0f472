//! Records that have gone, kept until the last reader has left them.
//!
//! The index drops its own later, in some write of another's: were that the last, the drop of what is left of a mailbox (closures
//! in its settings) would run under the lock.

use super::Books;
use crate::record::Record;
use restante_core::quiet;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many aftermath are looked at after a section.
const LOOKED_AT: usize = 4;

/// Under the writers' lock; what comes out is dropped after it.
pub(super) struct Aftermath(VecDeque<Arc<Record>>);

impl Aftermath {
    pub(super) const fn new() -> Self {
        Self(VecDeque::new())
    }

    pub(super) fn push(&mut self, record: Arc<Record>) {
        self.0.push_back(record);
    }

    /// Adds a record that may be in already, and only once: with a second grave each of the two would count the other as a
    /// reader for ever.
    pub(super) fn push_once(&mut self, record: Arc<Record>) {
        if !self.0.iter().any(|other| Arc::ptr_eq(other, &record)) {
            self.push(record);
        }
    }

    /// Takes out the records without readers, of the few that are looked at.
    pub(super) fn bury_some(&mut self) -> Vec<Arc<Record>> {
        let mut buried = Vec::new();
        for _ in 0..LOOKED_AT.min(self.0.len()) {
            let Some(record) = self.0.pop_front() else { break };
            if Arc::strong_count(&record) == 1 {
                buried.push(record);
            } else {
                self.0.push_back(record);
            }
        }
        buried
    }

    /// Takes out all records without readers.
    fn bury_all(&mut self) -> Vec<Arc<Record>> {
        let (visited, buried): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.0).into_iter().partition(|record| Arc::strong_count(record) > 1);
        self.0 = visited.into();
        buried
    }
}

impl Books {
    /// Drops the records that have gone and have no readers any more. Returns how many are left.
    pub(crate) fn compact(&self) -> usize {
        // What the maps keep of removed entries goes when their buckets are walked by a writer.
        self.indexes.ids.retain_sync(|_, _| true);
        self.indexes.names.retain_sync(|_, _| true);
        self.indexes.keys.retain_sync(|_, _| true);
        let (buried, left) = {
            let mut ledger = self.writers.lock_with_epoch();
            (ledger.aftermath.bury_all(), ledger.aftermath.0.len())
        };
        buried.into_iter().for_each(|record| quiet::discard("a record", record));
        left
    }
}
