//! Whether the indexes agree with the truth, and how they are made from it again.

use crate::books::Books;
use crate::name_text::NameText;
use crate::snapshot::Snapshot;
use uuid::Uuid;

/// What a validation found. Of the mailboxes without a name the ids, which is no fault.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Consistency {
    /// Names that lead to a mailbox which is not there.
    pub orphaned_names: Vec<(NameText, Uuid)>,
    /// Mailboxes that have no name.
    pub unnamed_mailboxes: Vec<Uuid>,
}

impl Consistency {
    /// Whether every name leads to a mailbox.
    pub fn is_consistent(&self) -> bool {
        self.orphaned_names.is_empty()
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
}

impl Snapshot {
    /// Whether the names of this snapshot lead to mailboxes of it.
    pub fn validate(&self) -> Consistency {
        let mut orphaned_names: Vec<_> =
            self.names().filter(|(_, id)| !self.contains(*id)).map(|(name, id)| (name.clone(), id)).collect();
        let named: std::collections::HashSet<Uuid, foldhash::fast::RandomState> =
            self.names().map(|(_, id)| id).collect();
        let mut unnamed_mailboxes: Vec<_> = self.mailboxes().filter(|id| !named.contains(id)).collect();
        orphaned_names.sort_unstable();
        unnamed_mailboxes.sort_unstable();
        Consistency { orphaned_names, unnamed_mailboxes }
    }
}

impl Books {
    /// Looks at a snapshot: writers are not stopped.
    pub(crate) fn validate(&self) -> Consistency {
        self.snapshot().validate()
    }
}
