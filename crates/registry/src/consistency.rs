//! Whether the indexes agree with the truth, and how they are made from it again.

use crate::books::Books;
use crate::name_text::NameText;
use crate::record::Record;
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
    /// Mailboxes that no name leads to.
    pub unnamed_mailboxes: Vec<Uuid>,
}

impl Consistency {
    /// Whether every name leads to a mailbox that has it, and every mailbox is found by its names.
    pub fn is_consistent(&self) -> bool {
        self.orphaned_names.is_empty() && self.missing_names.is_empty()
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
}

impl Snapshot {
    /// Whether the names of this snapshot lead to mailboxes of it. (Of a mailbox it has no names but those that lead to it, so
    /// none are missing.)
    pub fn validate(&self) -> Consistency {
        let mut orphaned_names: Vec<_> =
            self.names().filter(|(_, id)| !self.contains(*id)).map(|(name, id)| (name.clone(), id)).collect();
        let named: std::collections::HashSet<Uuid, foldhash::fast::RandomState> =
            self.names().map(|(_, id)| id).collect();
        let mut unnamed_mailboxes: Vec<_> = self.mailboxes().filter(|id| !named.contains(id)).collect();
        orphaned_names.sort_unstable();
        unnamed_mailboxes.sort_unstable();
        Consistency { orphaned_names, missing_names: Vec::new(), unnamed_mailboxes }
    }
}

/// Names and the mailboxes that they lead to, or should.
type Suspects = Vec<(NameText, Arc<Record>)>;

impl Books {
    /// Looks at a snapshot, and at each mailbox's names: writers are stopped only where something looks wrong, for a second
    /// look at that.
    pub(crate) fn validate(&self) -> Consistency {
        let mut found = self.snapshot().validate();
        let (mut orphaned, mut missing) = (self.orphaned(), self.missing());
        if !orphaned.is_empty() || !missing.is_empty() {
            // (What is left out is dropped after the lock.)
            let (orphans, lost): (Vec<_>, Vec<_>) = self.with_history(|_, _| {
                let orphans = orphaned.extract_if(.., |(name, record)| self.is_orphaned(name, record));
                let lost = missing.extract_if(.., |(name, record)| self.is_missing(name, record));
                (orphans.collect(), lost.collect())
            });
            let ids = |of: &Suspects| of.iter().map(|(name, r)| (name.clone(), r.id)).collect::<Vec<_>>();
            found.orphaned_names.extend(ids(&orphans));
            found.missing_names = ids(&lost);
        }
        found.orphaned_names.sort_unstable();
        found.orphaned_names.dedup();
        found.missing_names.sort_unstable();
        found.missing_names.dedup();
        found
    }

    /// Names that lead to a mailbox that is not there or has not this name. Beside writers some may only look so.
    pub(crate) fn orphaned(&self) -> Suspects {
        let mut orphaned = Vec::new();
        self.each_name(|name, record| {
            if !self.has(record, name) {
                orphaned.push((name.clone(), Arc::clone(record)));
            }
            true
        });
        orphaned
    }

    /// Names that a mailbox has and that do not lead to it. Likewise.
    pub(crate) fn missing(&self) -> Suspects {
        let mut missing = Vec::new();
        self.each_mailbox(|record| {
            let names = record.labels.read(|labels| labels.names.clone()).unwrap_or_default();
            let lost = names.into_iter().filter(|name| !self.leads_to(name, record));
            missing.extend(lost.map(|name| (name, Arc::clone(record))));
            true
        });
        missing
    }

    fn is_orphaned(&self, name: &NameText, record: &Arc<Record>) -> bool {
        self.leads_to(name, record) && !self.has(record, name)
    }

    pub(crate) fn is_missing(&self, name: &NameText, record: &Arc<Record>) -> bool {
        self.has(record, name) && !self.leads_to(name, record)
    }

    fn leads_to(&self, name: &NameText, record: &Arc<Record>) -> bool {
        self.find_name(name, |found| Arc::ptr_eq(found, record)) == Some(true)
    }

    /// Whether the mailbox is in and has this name.
    fn has(&self, record: &Arc<Record>, name: &NameText) -> bool {
        self.find_id(record.id, |known| Arc::ptr_eq(known, record)) == Some(true)
            && record.labels.read(|labels| labels.names.contains(name)) == Some(true)
    }
}
