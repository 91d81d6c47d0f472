//! A registry as it was at one instant.
//!
//! Taken without stopping the writers: the maps are walked while they change, and what changed meanwhile is put right by the
//! history, from the change before the walk to the last one: the books as they were after that one. Only where more than
//! [`SNAPSHOT_MAX`] changes come during one walk is it done again.

use crate::books::Books;
use crate::change::{Change, Sizes, What};
use crate::history::{History, SNAPSHOT_MAX};
use crate::name_text::NameText;
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// A registry's mailboxes and names as they were after one change. Shares nothing with the registry but the names' texts.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    seq: u64,
    mailboxes: HashSet<Uuid, RandomState>,
    names: HashMap<NameText, Uuid, RandomState>,
}

/// How many changes are taken out of the history at a time.
const CHUNK: usize = 1024;
/// How often a walk that was overrun is done again before it is done with the writers waiting.
const WALKS: usize = 3;

impl Snapshot {
    /// The number of the last change that is in it; 0: none.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// How large the registry was.
    pub fn sizes(&self) -> Sizes {
        Sizes { mailboxes: self.mailboxes.len() as u64, names: self.names.len() as u64 }
    }

    /// Whether this mailbox was in it.
    pub fn contains(&self, id: Uuid) -> bool {
        self.mailboxes.contains(&id)
    }

    /// The mailbox that had this name.
    pub fn whereis(&self, name: &str) -> Option<Uuid> {
        self.names.get(name).copied()
    }

    /// The mailboxes, in no order.
    pub fn mailboxes(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.mailboxes.iter().copied()
    }

    /// The names and who had them, in no order.
    pub fn names(&self) -> impl Iterator<Item = (&NameText, Uuid)> + '_ {
        self.names.iter().map(|(name, id)| (name, *id))
    }

    /// What follows, applied: a snapshot and every change since make the registry as it is.
    pub fn apply(&mut self, change: &Change) {
        match &change.what {
            What::Created => drop(self.mailboxes.insert(change.id)),
            What::Destroyed(_) => drop(self.mailboxes.remove(&change.id)),
            What::Registered(name) => drop(self.names.insert(name.clone(), change.id)),
            What::Unregistered(name, _) => drop(self.names.remove(name)),
            What::KeyAdded(_) | What::KeyRemoved(..) => {}
        }
        self.seq = change.seq;
    }

    /// What the maps show while they change.
    fn walk(books: &Books) -> Self {
        let mut this = Self::default();
        let sizes = books.sizes();
        this.mailboxes.reserve(usize::try_from(sizes.mailboxes).unwrap_or(0));
        this.names.reserve(usize::try_from(sizes.names).unwrap_or(0));
        books.each_mailbox(|record| {
            this.mailboxes.insert(record.id);
            true
        });
        books.each_name(|name, record| {
            this.names.insert(name.clone(), record.id);
            true
        });
        this
    }
}

/// A snapshot is being taken: the history keeps more.
struct Taking<'a>(&'a Books);

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        self.0.with_history(History::taken);
    }
}

impl Books {
    /// A snapshot.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let taking = Taking(self);
        let mut from = self.with_history(|history, _| {
            history.taking();
            history.next()
        });
        for _ in 0..WALKS {
            let mut snapshot = Snapshot::walk(self);
            snapshot.seq = from - 1;
            if self.catch_up(&mut snapshot) {
                return snapshot;
            }
            from = self.with_history(|history, _| history.next());
        }
        drop(taking);
        tracing::warn!(
            registry = &*self.name,
            SNAPSHOT_MAX,
            "a snapshot was overrun: the writers wait for it"
        );
        self.with_history(|history, _| {
            let mut snapshot = Snapshot::walk(self);
            snapshot.seq = history.next() - 1;
            snapshot
        })
    }

    /// Applies what came since the walk began. False: some of it is not there any more.
    fn catch_up(&self, snapshot: &mut Snapshot) -> bool {
        loop {
            let chunk: Option<Vec<Change>> = self.with_history(|history, _| {
                history.since(snapshot.seq + 1).map(|changes| changes.take(CHUNK).cloned().collect())
            });
            let Some(chunk) = chunk else { return false };
            chunk.iter().for_each(|change| snapshot.apply(change));
            if chunk.len() < CHUNK {
                return true;
            }
        }
    }
}
