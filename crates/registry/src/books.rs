//! The books: two indexes and one truth.
//!
//! ```text
//!   ids:   uuid ──────────> record ──> the mailbox's memory         the truth
//!   names: name ──────────> lead: record, and the mailbox itself      an index: made from the records' labels
//!   keys:  kind and key ──> record                                   another
//! ```
//!
//! Reads go to the indexes and take no lock. Every write is one section under the writers' lock, which is short, waits for
//! nothing and runs no code of a user's. Additions come from the registry's actor; removals from wherever something ends,
//! since an end can neither be refused nor wait in a queue.
//!
//! # The order of the writes
//! What a reader can find by name it must find by id, at every instant:
//! 1. A mailbox comes in: `ids` first, then its labels, then `names`. Were the process' thread to end in between, the mailbox
//!    would be there without this name, and [`Books::repair`] would add it.
//! 2. It goes out: `names` and `keys` first, then its labels, then `ids`, then the mailbox's resources. In between it is there
//!    without a name: never a name without its mailbox.
//! 3. A mailbox closes first, and goes out of the books then. A reader that comes between finds a closed mailbox, and says so.
//!    A caller that wants to register its name takes it out instead of the one that closed it.
//!
//! What deliberately does not live here: who is admitted ([`crate::admission`]), and waiting.

mod aftermath;
mod ends;
mod repair;
mod section;
mod writes;

use crate::change::{Change, Sizes};
use crate::history::{At, History};
use crate::index::{HashIndex, walk};
use crate::name_entry::NameEntry;
use crate::name_text::NameText;
use crate::record::Record;
use crate::secondary::{KeyRef, Label, SecondaryKey};
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering};
use crate::tracked::TrackedNames;
use aftermath::Aftermath;
use crossbeam_utils::CachePadded;
use foldhash::fast::RandomState;
use restante_core::{ExitReason, Reaper, quiet};
use std::collections::{HashMap, VecDeque};
use std::panic::Location;
use std::sync::Arc;
use tokio::sync::Notify;
use uuid::Uuid;

pub(crate) type By = Option<&'static Location<'static>>;

pub(crate) struct Books {
    /// For people.
    pub(crate) name: Arc<str>,
    /// Lines of their own: what readers read is not written, as long as the maps do not grow.
    indexes: CachePadded<Indexes>,
    shown: CachePadded<Shown>,
    writers: Mutex<Ledger>,
    /// Rung after every section that changed something, where there are followers.
    pub(crate) changed: Notify,
    /// The number of followers.
    pub(crate) followers: AtomicUsize,
    /// How often the actor has asked for the books to be looked through since the look under way began. 0: no look is under
    /// way.
    pub(crate) looks: AtomicUsize,
    /// Clean-up that entries leave behind.
    pub(crate) reaper: Reaper,
}

struct Indexes {
    ids: HashIndex<Uuid, Arc<Record>, RandomState>,
    names: HashIndex<NameText, NameEntry, RandomState>,
    keys: HashIndex<SecondaryKey, Arc<Record>, RandomState>,
}

/// Numbers that anybody may read: written under the writers' lock.
struct Shown {
    mailboxes: AtomicU64,
    names: AtomicU64,
    /// Apart: who keeps what it found reads it each time, and an addition is nothing to it.
    removals: CachePadded<AtomicU64>,
}

/// What only writers touch.
struct Ledger {
    history: History,
    /// As shown.
    sizes: Sizes,
    removals: u64,
    /// Names and keys that creations hold, by the creation's number.
    reserved: HashMap<Label, u64, RandomState>,
    aftermath: Aftermath,
    /// No creation and no mailbox comes in any more.
    ended: Option<ExitReason>,
    /// What test kits look at; empty elsewhere.
    tracked: TrackedNames,
}

impl Books {
    pub(crate) fn new(name: Arc<str>, history: usize, reaper: Reaper) -> Self {
        let hasher = RandomState::default;
        Self {
            name,
            indexes: CachePadded::new(Indexes {
                ids: HashIndex::with_hasher(hasher()),
                names: HashIndex::with_hasher(hasher()),
                keys: HashIndex::with_hasher(hasher()),
            }),
            shown: CachePadded::new(Shown {
                mailboxes: AtomicU64::new(0),
                names: AtomicU64::new(0),
                removals: CachePadded::new(AtomicU64::new(0)),
            }),
            writers: Mutex::new(Ledger {
                history: History::new(history),
                sizes: Sizes::default(),
                removals: 0,
                reserved: HashMap::default(),
                aftermath: Aftermath::new(),
                ended: None,
                tracked: TrackedNames::new(),
            }),
            changed: Notify::new(),
            followers: AtomicUsize::new(0),
            looks: AtomicUsize::new(0),
            reaper,
        }
    }

    /// How large the registry is.
    pub(crate) fn sizes(&self) -> Sizes {
        let Shown { mailboxes, names, .. } = &*self.shown;
        Sizes { mailboxes: mailboxes.load(Ordering::Relaxed), names: names.load(Ordering::Relaxed) }
    }

    /// How often something was taken out. A reader that keeps what it found looks again when this has changed.
    pub(crate) fn removals(&self) -> u64 {
        // Acquire pairs with the Release of the writer that took something out: reads after it see the index without it.
        self.shown.removals.load(Ordering::Acquire)
    }
}

/// Reads: no lock.
impl Books {
    /// What this name leads to, lent.
    #[inline(always)]
    pub(crate) fn lead<T>(&self, name: &str, f: impl FnOnce(&NameEntry) -> T) -> Option<T> {
        self.indexes.names.peek_with(name, |_, lead| f(lead))
    }

    /// The record of who has this name, lent.
    pub(crate) fn find_name<T>(&self, name: &str, f: impl FnOnce(&Arc<Record>) -> T) -> Option<T> {
        self.lead(name, |lead| f(&lead.record))
    }

    /// The name as it lies in the index, and the record of who has it, lent.
    fn indexed_name<T>(&self, name: &str, f: impl FnOnce(&NameText, &Arc<Record>) -> T) -> Option<T> {
        self.indexes.names.peek_with(name, |name, lead| f(name, &lead.record))
    }

    /// The key as it lies in the index, and the record of the mailbox that has it, lent.
    fn indexed_key<T>(
        &self,
        kind: &str,
        key: &str,
        f: impl FnOnce(&SecondaryKey, &Arc<Record>) -> T,
    ) -> Option<T> {
        self.indexes.keys.peek_with(&KeyRef { kind, key }, f)
    }

    pub(crate) fn find_id<T>(&self, id: Uuid, f: impl FnOnce(&Arc<Record>) -> T) -> Option<T> {
        self.indexes.ids.peek_with(&id, |_, record| f(record))
    }

    pub(crate) fn find_key<T>(&self, kind: &str, key: &str, f: impl FnOnce(&Arc<Record>) -> T) -> Option<T> {
        self.indexed_key(kind, key, |_, record| f(record))
    }

    fn holder(&self, label: &Label) -> Option<Arc<Record>> {
        match label {
            Label::Name(name) => self.find_name(name, Arc::clone),
            Label::Key(key) => self.find_key(key.kind, &key.key, Arc::clone),
        }
    }

    /// Every mailbox that is in from the beginning of the walk to its end, more than once where the map grows meanwhile; of
    /// those that come or go, some. No lock. False: `f` said to stop.
    pub(crate) fn each_mailbox(&self, mut f: impl FnMut(&Arc<Record>) -> bool) -> bool {
        walk(&self.indexes.ids, |_, record| f(record))
    }

    /// Walks over the index of keys, as `each_mailbox` does over the ids. False: `f` said to stop.
    pub(crate) fn each_key(&self, f: impl FnMut(&SecondaryKey, &Arc<Record>) -> bool) -> bool {
        walk(&self.indexes.keys, f)
    }

    /// Walks over the index of names, as `each_mailbox` does over the ids. False: `f` said to stop.
    pub(crate) fn each_name(&self, mut f: impl FnMut(&NameText, &Arc<Record>) -> bool) -> bool {
        walk(&self.indexes.names, |name, lead| f(name, &lead.record))
    }
}

/// Looks at what lies under the writers' lock.
impl Books {
    /// The names that are tracked, under the lock.
    pub(crate) fn with_tracked<T>(&self, f: impl FnOnce(&mut TrackedNames) -> T) -> T {
        f(&mut self.writers.lock_with_epoch().tracked)
    }

    /// What a follower at `place` comes to next, and whether nothing will ever come after it. Both are of one instant.
    pub(crate) fn read(&self, place: &mut u64) -> (At, bool) {
        let ledger = self.writers.lock();
        let over = ledger.ended.is_some() && ledger.sizes.mailboxes == 0;
        (ledger.history.read(place), over)
    }

    /// A look at the history, under the lock. What comes out of it is dropped after the lock.
    pub(crate) fn with_history<T>(&self, f: impl FnOnce(&mut History, &mut VecDeque<Change>) -> T) -> T {
        let mut out = VecDeque::new();
        let result = f(&mut self.writers.lock_with_epoch().history, &mut out);
        out.into_iter().for_each(|change| quiet::discard("a change", change));
        result
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
#[cfg(all(test, not(shuttle)))]
mod write_tests;
