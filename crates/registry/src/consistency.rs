//! Whether the indexes agree with the truth, and how they are made from it again.

use crate::books::Books;
use crate::name_text::NameText;
use crate::record::Record;
use crate::secondary::{Label, SecondaryKey};
use crate::snapshot::Snapshot;
use std::sync::Arc;
use uuid::Uuid;

/// What a validation found. Of the mailboxes without a name the ids, which is no fault.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Consistency {
    /// Names that lead to a mailbox which is not there, or has not this name.
    pub orphaned_names: Vec<(NameText, Uuid)>,
    /// Names that a mailbox has and that do not lead to it.
    pub missing_names: Vec<(NameText, Uuid)>,
    /// Secondary keys that lead to a mailbox which is not there, or has not this key.
    pub orphaned_keys: Vec<(SecondaryKey, Uuid)>,
    /// Secondary keys that a mailbox has and that do not lead to it.
    pub missing_keys: Vec<(SecondaryKey, Uuid)>,
    /// Mailboxes that no name leads to.
    pub unnamed_mailboxes: Vec<Uuid>,
}

impl Consistency {
    /// Whether every name and key leads to a mailbox that has it, and every mailbox is found by its names and keys.
    pub fn is_consistent(&self) -> bool {
        let names = self.orphaned_names.is_empty() && self.missing_names.is_empty();
        names && self.orphaned_keys.is_empty() && self.missing_keys.is_empty()
    }
}

/// What a repair changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Repaired {
    /// Names that a mailbox has and the index did not.
    pub added: usize,
    /// Names in the index that no mailbox has.
    pub removed: usize,
    /// Names that two mailboxes had: one of them has not any more.
    pub doubled: usize,
    /// Secondary keys that a mailbox has and the index did not.
    pub keys_added: usize,
    /// Secondary keys in the index that no mailbox has.
    pub keys_removed: usize,
    /// Secondary keys that two mailboxes had.
    pub keys_doubled: usize,
}

impl Snapshot {
    /// Whether the names of this snapshot lead to mailboxes of it. (Of a mailbox it has no names but those that lead to it, so
    /// none are missing. Keys it has none of.)
    pub fn validate(&self) -> Consistency {
        let mut orphaned_names: Vec<_> =
            self.names().filter(|(_, id)| !self.contains(*id)).map(|(name, id)| (name.clone(), id)).collect();
        let named: std::collections::HashSet<Uuid, foldhash::fast::RandomState> =
            self.names().map(|(_, id)| id).collect();
        let mut unnamed_mailboxes: Vec<_> = self.mailboxes().filter(|id| !named.contains(id)).collect();
        orphaned_names.sort_unstable();
        unnamed_mailboxes.sort_unstable();
        Consistency { orphaned_names, unnamed_mailboxes, ..Consistency::default() }
    }
}

/// Names and keys, and the mailboxes that they lead to, or should.
type Suspects = Vec<(Label, Arc<Record>)>;

impl Books {
    /// Looks at a snapshot, and at each mailbox's names and keys: writers are stopped only where something looks wrong, for a
    /// second look at that.
    pub(crate) fn validate(&self) -> Consistency {
        let mut found = self.snapshot().validate();
        let (mut orphaned, mut missing) = (self.orphaned(), self.missing());
        if !orphaned.is_empty() || !missing.is_empty() {
            // What is left out is dropped after the lock.
            let (orphans, lost): (Suspects, Suspects) = self.with_history(|_, _| {
                let orphans = orphaned.extract_if(.., |(label, record)| self.is_orphaned(label, record));
                let lost = missing.extract_if(.., |(label, record)| self.is_missing(label, record));
                (orphans.collect(), lost.collect())
            });
            sort_into(orphans, &mut found.orphaned_names, &mut found.orphaned_keys);
            sort_into(lost, &mut found.missing_names, &mut found.missing_keys);
        }
        found
    }

    /// Labels that lead to a mailbox that is not there or has not this one. Beside writers some may only look so.
    pub(crate) fn orphaned(&self) -> Suspects {
        let mut orphaned = Vec::new();
        self.each_name(|name, record| {
            if !self.has_name(record, name) {
                orphaned.push((Label::Name(name.clone()), Arc::clone(record)));
            }
            true
        });
        self.each_key(|key, record| {
            if !self.has_key(record, key) {
                orphaned.push((Label::Key(key.clone()), Arc::clone(record)));
            }
            true
        });
        orphaned
    }

    /// Labels that a mailbox has and that do not lead to it. Likewise.
    pub(crate) fn missing(&self) -> Suspects {
        let mut missing = Vec::new();
        self.each_mailbox(|record| {
            record.labels.read(|labels| {
                let names = labels.names().filter(|name| !self.name_leads_to(name, record));
                missing.extend(names.map(|name| (Label::Name(name.clone()), Arc::clone(record))));
                let keys = labels.keys().filter(|key| !self.key_leads_to(key, record));
                missing.extend(keys.map(|key| (Label::Key(key.clone()), Arc::clone(record))));
            });
            true
        });
        missing
    }

    fn is_orphaned(&self, label: &Label, record: &Arc<Record>) -> bool {
        self.leads_to(label, record) && !self.has(record, label)
    }

    pub(crate) fn is_missing(&self, label: &Label, record: &Arc<Record>) -> bool {
        self.has(record, label) && !self.leads_to(label, record)
    }

    fn leads_to(&self, label: &Label, record: &Arc<Record>) -> bool {
        match label {
            Label::Name(name) => self.name_leads_to(name, record),
            Label::Key(key) => self.key_leads_to(key, record),
        }
    }

    fn name_leads_to(&self, name: &NameText, record: &Arc<Record>) -> bool {
        self.find_name(name, |found| Arc::ptr_eq(found, record)) == Some(true)
    }

    fn key_leads_to(&self, key: &SecondaryKey, record: &Arc<Record>) -> bool {
        self.find_key(key.kind, &key.key, |found| Arc::ptr_eq(found, record)) == Some(true)
    }

    /// Whether the mailbox is in and has this label.
    fn has(&self, record: &Arc<Record>, label: &Label) -> bool {
        match label {
            Label::Name(name) => self.has_name(record, name),
            Label::Key(key) => self.has_key(record, key),
        }
    }

    fn has_name(&self, record: &Arc<Record>, name: &NameText) -> bool {
        self.is_in(record) && record.labels.read(|labels| labels.names().any(|on| on == name)) == Some(true)
    }

    fn has_key(&self, record: &Arc<Record>, key: &SecondaryKey) -> bool {
        self.is_in(record) && record.labels.read(|labels| labels.keys().any(|on| on == key)) == Some(true)
    }

    fn is_in(&self, record: &Arc<Record>) -> bool {
        self.find_id(record.id, |known| Arc::ptr_eq(known, record)) == Some(true)
    }
}

/// Each once, in order.
fn sort_into(suspects: Suspects, names: &mut Vec<(NameText, Uuid)>, keys: &mut Vec<(SecondaryKey, Uuid)>) {
    for (label, record) in suspects {
        match label {
            Label::Name(name) => names.push((name, record.id)),
            Label::Key(key) => keys.push((key, record.id)),
        }
    }
    names.sort_unstable();
    names.dedup();
    keys.sort_unstable();
    keys.dedup();
}
