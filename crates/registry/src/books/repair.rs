//! Making the index of names from the mailboxes' labels again.

use super::Books;
use crate::change::What;
use crate::consistency::Repaired;
use crate::sync::Ordering;
use std::sync::Arc;

impl Books {
    /// Makes the index of names from the mailboxes' labels, with the writers waiting.
    pub(crate) fn repair(&self) -> Repaired {
        let mut repaired = Repaired::default();
        self.write(None, |section| {
            let (orphaned, missing) = (self.orphaned(), self.missing());
            if orphaned.is_empty() && missing.is_empty() {
                return;
            }
            // (Whatever put the index wrong may not have counted.)
            self.named.store(self.names.len() as u64, Ordering::Relaxed);
            for (name, record) in orphaned {
                let before = self.sizes();
                if self.names.remove_sync(&*name) {
                    self.named.fetch_sub(1, Ordering::Relaxed);
                    self.removals.fetch_add(1, Ordering::Release);
                    section.note(record.id, What::Unregistered(name, None), before);
                    section.ledger.graves.push(record);
                    repaired.removed += 1;
                }
            }
            for (name, record) in missing {
                // (Walked over twice, where the map has just grown.)
                if !self.is_missing(&name, &record) {
                    continue;
                }
                let before = self.sizes();
                if self.names.insert_sync(name.clone(), Arc::clone(&record)).is_ok() {
                    self.named.fetch_add(1, Ordering::Relaxed);
                    section.note(record.id, What::Registered(name), before);
                    repaired.added += 1;
                } else {
                    // It leads to another that has it as well. (Nobody is told: for whoever follows, that one has it.)
                    record.relabel(|labels| labels.names.retain(|other| *other != name));
                    repaired.doubled += 1;
                }
            }
        });
        repaired
    }
}
