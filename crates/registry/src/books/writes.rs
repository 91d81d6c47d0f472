//! What can be done to the books: a section each.

use super::{Books, By};
use crate::ending::Outcome;
use crate::error::RegisterError;
use crate::family::Asker;
use crate::name_text::NameText;
use crate::record::Record;
use crate::secondary::Label;
use restante_core::{ExitReason, quiet};
use std::sync::Arc;
use uuid::Uuid;

impl Books {
    /// A mailbox comes in, under these labels: all or nothing. Its record is the one that is in for it from then on, which has
    /// counted the grant; as each label has, those that it had before among them. The number of the first change after it.
    pub(crate) fn insert(
        &self,
        record: &mut Arc<Record>,
        labels: &[Label],
        creation: Option<u64>,
        by: By,
    ) -> Result<u64, RegisterError> {
        self.insert_for(&Asker::another(), record, labels, creation, by)
    }

    /// As above, for one of whom more is known.
    pub(crate) fn insert_for(
        &self,
        asker: &Asker,
        record: &mut Arc<Record>,
        labels: &[Label],
        creation: Option<u64>,
        by: By,
    ) -> Result<u64, RegisterError> {
        self.add(by, |section| {
            section.check_open()?;
            section.make_free_for(record.id, labels, creation)?;
            section.bring_in(record)?;
            asker.granted(record);
            for label in labels {
                if creation.is_some() {
                    section.ledger.reserved.remove(label);
                }
                section.put_on(record, label);
            }
            Ok(section.ledger.history.next())
        })
    }

    /// More labels for a mailbox that is in: all or nothing. Its record, which has counted the grant, and the number of the first
    /// change after it.
    pub(crate) fn add_labels(
        &self,
        asker: &Asker,
        id: Uuid,
        labels: &[Label],
        by: By,
    ) -> Result<(Arc<Record>, u64), RegisterError> {
        self.add(by, |section| {
            let record = section.known(id)?;
            section.make_free_for(id, labels, None)?;
            // It may have closed since, and have been taken out as the holder of one of these labels.
            if !record.is_in() {
                return Err(RegisterError::MailboxDoesNotExist(id));
            }
            asker.granted(&record);
            labels.iter().for_each(|label| section.put_on(&record, label));
            Ok((record, section.ledger.history.next()))
        })
    }

    /// Takes back a grant that was not accepted, and that was in before the change of this number: of its labels those that no
    /// other addition was granted, and with the last grant the mailbox.
    pub(crate) fn take_back(&self, asker: &Asker, record: &Arc<Record>, labels: &[Label], number: u64) {
        self.write(None, |section| {
            if record.is_gone() {
                return;
            }
            if asker.takes_back(record) {
                section.take_out(record, Outcome::Abandoned, ExitReason::Normal);
                return;
            }
            // A label that was taken off meanwhile is another's, even where it is on this mailbox again.
            let its = |label: &&Label| {
                record.labels.read(|labels| labels.change_of(label)).flatten().is_some_and(|put| put < number)
            };
            for label in labels.iter().filter(its) {
                // A label that was there before, or that was registered again meanwhile, stays.
                if record.labels.take_back(label) {
                    section.take_off(record, label);
                }
            }
        });
    }

    /// Whether a mailbox is in, and has been granted to others than its own server and those to whom so many grants on it
    /// belong.
    pub(crate) fn is_anothers(
        &self,
        record: &Arc<Record>,
        known: impl FnOnce(&Arc<Record>) -> usize,
    ) -> bool {
        let _alone = self.writers.lock();
        !record.is_gone() && record.grants_of_others() > known(record)
    }

    /// Takes a name off. False: no mailbox has it.
    pub(crate) fn remove_name(&self, name: &str, by: By) -> bool {
        self.write(by, |section| {
            let off =
                self.indexed_name(name, |name, record| section.take_off(record, &Label::Name(name.clone())));
            off.is_some()
        })
    }

    /// Takes a key off. False: no mailbox has it.
    pub(crate) fn remove_key(&self, kind: &str, key: &str, by: By) -> bool {
        self.write(by, |section| {
            let off =
                self.indexed_key(kind, key, |key, record| section.take_off(record, &Label::Key(key.clone())));
            off.is_some()
        })
    }

    /// Takes all its names off a mailbox: how many.
    pub(crate) fn remove_names(&self, id: Uuid, by: By) -> usize {
        self.write(by, |section| {
            let Some(record) = self.find_id(id, Arc::clone) else { return 0 };
            section.take_off_names(&record)
        })
    }

    /// Sets metadata. Metadata leads to no mailbox, so this is no change of the registry's.
    pub(crate) fn set_metadata(
        &self,
        record: &Record,
        key: String,
        value: Option<String>,
    ) -> Result<(), RegisterError> {
        self.write(None, |section| {
            section.check_open()?;
            if record.is_gone() || record.mailbox.has_closed() {
                return Err(RegisterError::MailboxDoesNotExist(record.id));
            }
            record.labels.change(|labels| match value {
                Some(value) => labels.metadata.insert(key, value),
                None => labels.metadata.remove(&key),
            });
            Ok(())
        })
    }

    /// Holds labels for a creation: all or none.
    pub(crate) fn reserve(&self, labels: &[Label], creation: u64, by: By) -> Result<(), RegisterError> {
        self.add(by, |section| {
            section.check_open()?;
            // A label that a creation asks for twice counts once.
            labels.iter().try_for_each(|label| section.make_free(label, Some(creation)))?;
            section.ledger.reserved.extend(labels.iter().map(|label| (label.clone(), creation)));
            Ok(())
        })
    }

    /// Lets go what a creation still holds.
    pub(crate) fn release(&self, labels: &[Label], creation: u64) {
        let mut ledger = self.writers.lock();
        for label in labels {
            if ledger.reserved.get(label) == Some(&creation) {
                ledger.reserved.remove(label);
            }
        }
    }

    /// Whether a creation holds this name.
    pub(crate) fn is_reserved(&self, name: &NameText) -> bool {
        self.writers.lock().reserved.contains_key(&Label::Name(name.clone()))
    }

    /// How many names and keys creations hold.
    #[cfg(all(shuttle, test))]
    pub(crate) fn reserved(&self) -> usize {
        self.writers.lock().reserved.len()
    }

    /// Takes a mailbox out; where the outcome is that it is destroyed, closes it. False: it is not in, or not any more.
    pub(crate) fn remove(&self, id: Uuid, outcome: Outcome, reason: ExitReason, by: By) -> bool {
        self.write(by, |section| {
            let known = self.find_id(id, Arc::clone);
            known.is_some_and(|record| section.take_out(&record, outcome, reason))
        })
    }

    /// Takes a mailbox out and closes it: it is in no more when this returns. False: it is not in, or not any more.
    pub(crate) fn destroy(&self, id: Uuid, reason: ExitReason, by: By) -> bool {
        let destroyed = self.remove(id, Outcome::Destroyed, reason, by);
        if destroyed {
            self.leave_closed_out(id, by);
        }
        destroyed
    }

    /// Destroys the mailbox of this record. False: the record has gone out already.
    pub(crate) fn destroy_record(&self, record: &Arc<Record>, reason: ExitReason, by: By) -> bool {
        let destroyed = self.write(by, |section| section.take_out(record, Outcome::Destroyed, reason));
        if destroyed {
            self.leave_closed_out(record.id, by);
        }
        destroyed
    }

    /// Takes the mailbox out if it has closed. Another writer may have brought it in again before it closed, and the thread
    /// that closes it takes it out, but perhaps only after the caller has returned.
    fn leave_closed_out(&self, id: Uuid, by: By) {
        self.write(by, |section| {
            let again = self.find_id(id, Arc::clone).filter(|record| record.mailbox.has_closed());
            if let Some(record) = again {
                section.take_out_closed(&record);
            }
        });
    }

    /// From the one who closed it, before anybody else is told.
    pub(crate) fn mailbox_closed(&self, id: Uuid, reason: &ExitReason) {
        self.remove(id, Outcome::Closed, reason.clone(), None);
    }

    /// Nothing comes in any more, and what is in goes; `then` is in between. False: it has ended already.
    pub(crate) fn end(&self, reason: &ExitReason, then: impl FnOnce()) -> bool {
        let ended = self.write(None, |section| {
            let first = section.ledger.ended.is_none();
            section.ledger.ended.get_or_insert_with(|| reason.clone());
            first
        });
        then();
        // A section each: others want to get a word in, and ends are to be told as they come.
        let mut ids = Vec::new();
        self.each_mailbox(|record| {
            ids.push(record.id);
            true
        });
        ids.iter().for_each(|id| {
            self.remove(*id, Outcome::RegistryEnded, reason.clone(), None);
        });
        quiet::run("a waker", || self.changed.notify_waiters());
        ended
    }

    /// Why nothing comes in any more; `None`: it does.
    pub(crate) fn ended(&self) -> Option<ExitReason> {
        self.writers.lock().ended.clone()
    }
}
