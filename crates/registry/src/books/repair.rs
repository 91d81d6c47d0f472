//! Making the index of names from the mailboxes' labels again.

use super::Books;
use crate::change::What;
use crate::consistency::Repaired;
use crate::lead::Lead;
use crate::secondary::Label;

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
            section.ledger.sizes.names = self.indexes.names.len() as u64;
            section.show_sizes();
            for (name, record) in orphaned {
                if self.indexes.names.remove_sync(&*name) {
                    section.count_removal();
                    section.note_of_names(record.id, What::Unregistered(name, None), |names| names - 1);
                    section.ledger.graves.push(record);
                    repaired.removed += 1;
                }
            }
            for (name, record) in missing {
                // (Walked over twice, where the map has just grown.)
                if !self.is_missing(&name, &record) {
                    continue;
                }
                if self.indexes.names.insert_sync(name.clone(), Lead::to(&record)).is_ok() {
                    section.note_of_names(record.id, What::Registered(name), |names| names + 1);
                    repaired.added += 1;
                } else {
                    // It leads to another that has it as well. (Nobody is told: for whoever follows, that one has it.)
                    record.labels.take_off(&Label::Name(name));
                    repaired.doubled += 1;
                }
            }
        });
        repaired
    }
}
