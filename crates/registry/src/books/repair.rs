//! Making the indexes of names and keys from the mailboxes' labels again.

use super::Books;
use super::section::Section;
use crate::change::What;
use crate::consistency::Repaired;
use crate::name_entry::NameEntry;
use crate::record::Record;
use crate::secondary::Label;
use std::sync::Arc;

impl Books {
    /// Makes the indexes of names and keys from the mailboxes' labels, with the writers waiting.
    pub(crate) fn repair(&self) -> Repaired {
        let mut repaired = Repaired::default();
        self.write(None, |section| {
            let (orphaned, missing) = (self.orphaned(), self.missing());
            if orphaned.is_empty() && missing.is_empty() {
                return;
            }
            // Recount, because what put the index wrong may not have counted.
            section.ledger.sizes.names = self.indexes.names.len() as u64;
            section.show_sizes();
            for (label, record) in orphaned {
                self.drop_orphan(section, label, record, &mut repaired);
            }
            for (label, record) in missing {
                // Asked again, because the walk comes to one twice where the map has just grown.
                if self.is_missing(&label, &record) {
                    self.put_back(section, label, &record, &mut repaired);
                }
            }
        });
        repaired
    }

    /// Takes a label that no mailbox has out of its index.
    fn drop_orphan(
        &self,
        section: &mut Section<'_>,
        label: Label,
        record: Arc<Record>,
        repaired: &mut Repaired,
    ) {
        match label {
            Label::Name(name) if self.indexes.names.remove_sync(&*name) => {
                section.count_removal();
                repaired.removed += 1;
                section.note_of_names(record.id, What::Unregistered(name, None), |names| names - 1);
            }
            Label::Key(key) if self.indexes.keys.remove_sync(&key) => {
                repaired.keys_removed += 1;
                section.note(record.id, What::KeyRemoved(key, None), section.ledger.sizes);
            }
            Label::Name(_) | Label::Key(_) => return,
        }
        // A record that is in goes there when it goes out.
        if !record.is_in() {
            section.ledger.aftermath.push_once(record);
        }
    }

    /// Puts a label that a mailbox has into its index. Where the label leads to another mailbox that has it as well, this
    /// mailbox has it no more. Followers are not told of that, because for them the other one has it.
    fn put_back(
        &self,
        section: &mut Section<'_>,
        label: Label,
        record: &Arc<Record>,
        repaired: &mut Repaired,
    ) {
        let put = match &label {
            Label::Name(name) => self.indexes.names.insert_sync(name.clone(), NameEntry::to(record)).is_ok(),
            Label::Key(key) => self.indexes.keys.insert_sync(key.clone(), Arc::clone(record)).is_ok(),
        };
        if !put {
            record.labels.take_off(&label);
        }
        match (label, put) {
            (Label::Name(name), true) => {
                repaired.added += 1;
                section.note_of_names(record.id, What::Registered(name), |names| names + 1);
            }
            (Label::Key(key), true) => {
                repaired.keys_added += 1;
                section.note(record.id, What::KeyAdded(key), section.ledger.sizes);
            }
            (Label::Name(_), false) => repaired.doubled += 1,
            (Label::Key(_), false) => repaired.keys_doubled += 1,
        }
    }
}
