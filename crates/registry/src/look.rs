//! Looking at the whole: snapshots, changes, consistency.

use crate::change::Change;
use crate::changes::Changes;
use crate::consistency::{Consistency, Repaired};
use crate::registry::Registry;
use crate::snapshot::Snapshot;
use std::sync::Arc;

impl Registry {
    /// The registry as it was at one instant, without stopping the writers. O(n) in mailboxes and names, in time and space.
    pub fn snapshot(&self) -> Snapshot {
        self.0.books.snapshot()
    }

    /// A snapshot, and every change since: none is missed between the two, and none told twice, as long as the registry
    /// [remembers](crate::RegistryBuilder::history) more than what others do until the first is read.
    pub fn follow(&self) -> (Snapshot, Changes) {
        let snapshot = self.snapshot();
        let next = snapshot.seq() + 1;
        (snapshot, Changes::new(Arc::clone(&self.0.books), next))
    }

    /// Every change from now on.
    pub fn changes(&self) -> Changes {
        let next = self.0.books.with_history(|history, _| history.next());
        Changes::new(Arc::clone(&self.0.books), next)
    }

    /// The last changes, oldest first: so many at most, and at most as many as it remembers.
    pub fn history(&self, count: usize) -> Vec<Change> {
        self.0.books.with_history(|history, _| history.last(count))
    }

    /// Whether every name and every secondary key leads to a mailbox that has it, by a snapshot: the writers are not stopped.
    pub fn validate_consistency(&self) -> Consistency {
        self.0.books.validate()
    }

    /// Makes the indexes of names and of secondary keys from the mailboxes again, with the writers waiting, and says what was
    /// wrong. (Nothing should be: they are put in and taken out in an order that leaves no orphans.)
    pub fn repair(&self) -> Repaired {
        let repaired = self.0.books.repair();
        if repaired != Repaired::default() {
            tracing::error!(
                registry = self.name(),
                ?repaired,
                "a registry's names or keys were inconsistent"
            );
        }
        repaired
    }

    /// Gives back what can be given back: memory of entries that ended and of mailboxes that closed, without waiting for the
    /// writes that would give it back by and by. Returns how many ended entries are still referred to.
    pub fn compact(&self) -> usize {
        self.0.books.compact()
    }
}
