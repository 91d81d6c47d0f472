//! Making the indexes of names and keys from the mailboxes' labels again.

use super::Books;
use super::section::Section;
use crate::change::What;
use crate::consistency::Repaired;
use crate::record::Record;
use crate::secondary::Label;
use crate::sync::Ordering;
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
            // (Whatever put the index wrong may not have counted.)
            self.named.store(self.names.len() as u64, Ordering::Relaxed);
            for (label, record) in orphaned {
                self.drop_orphan(section, label, record, &mut repaired);
            }
            for (label, record) in missing {
                // (Walked over twice, where the map has just grown.)
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
        let before = self.sizes();
        let what = match label {
            Label::Name(name) if self.names.remove_sync(&*name) => {
                self.named.fetch_sub(1, Ordering::Relaxed);
                self.removals.fetch_add(1, Ordering::Release);
                repaired.removed += 1;
                What::Unregistered(name, None)
            }
            Label::Key(key) if self.keys.remove_sync(&key) => {
                repaired.keys_removed += 1;
                What::KeyRemoved(key, None)
            }
            Label::Name(_) | Label::Key(_) => return,
        };
        section.note(record.id, what, before);
        section.ledger.graves.push(record);
    }

    /// Puts a label that a mailbox has into its index; where it leads to another that has it as well, this one has it no more.
    /// (Nobody is told of that: for whoever follows, the other has it.)
    fn put_back(
        &self,
        section: &mut Section<'_>,
        label: Label,
        record: &Arc<Record>,
        repaired: &mut Repaired,
    ) {
        let before = self.sizes();
        let what = match label {
            Label::Name(name) => {
                if self.names.insert_sync(name.clone(), Arc::clone(record)).is_err() {
                    record.relabel(|labels| labels.names.retain(|other| *other != name));
                    repaired.doubled += 1;
                    return;
                }
                self.named.fetch_add(1, Ordering::Relaxed);
                repaired.added += 1;
                What::Registered(name)
            }
            Label::Key(key) => {
                if self.keys.insert_sync(key.clone(), Arc::clone(record)).is_err() {
                    record.relabel(|labels| labels.keys.retain(|other| *other != key));
                    repaired.keys_doubled += 1;
                    return;
                }
                repaired.keys_added += 1;
                What::KeyAdded(key)
            }
        };
        section.note(record.id, what, before);
    }
}
