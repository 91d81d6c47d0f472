//! The books: two indexes and one truth.
//!
//! ```text
//!   ids:   uuid ──────────> record ──> the mailbox's memory         the truth
//!   names: name ──────────> record                                   an index: made from the records' labels
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
//! 3. A mailbox closes first, and goes out of the books then. A reader that comes between finds a closed mailbox, and says
//!    so; whoever wants to register its name takes it out in its stead.
//!
//! What deliberately does not live here: who is admitted ([`crate::admission`]), and waiting.

mod graves;
mod recalled;
mod repair;
mod section;
mod writes;

use crate::change::{Change, Sizes};
use crate::history::{At, History};
use crate::index::{HashIndex, walk};
use crate::name_text::NameText;
use crate::record::Record;
use crate::secondary::{KeyRef, Label, SecondaryKey};
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering, lock};
use crate::tracked::TrackedNames;
use foldhash::fast::RandomState;
use graves::Graves;
use recalled::Recalled;
use restante_core::{ExitReason, Reaper, drop_quietly};
use std::collections::HashMap;
use std::panic::Location;
use std::sync::Arc;
use tokio::sync::Notify;
use uuid::Uuid;

pub(crate) type By = Option<&'static Location<'static>>;

/// What was put in: the record that is in for the mailbox, and the number of the first change after it.
pub(crate) struct Put {
    pub(crate) record: Arc<Record>,
    pub(crate) number: u64,
}

pub(crate) struct Books {
    /// For people.
    pub(crate) name: Arc<str>,
    ids: HashIndex<Uuid, Arc<Record>, RandomState>,
    names: HashIndex<NameText, Arc<Record>, RandomState>,
    keys: HashIndex<SecondaryKey, Arc<Record>, RandomState>,
    mailboxes: AtomicU64,
    named: AtomicU64,
    /// How often a name was taken off: whoever keeps what it found looks again when this has changed.
    pub(crate) removals: AtomicU64,
    /// How often its actor has asked for it to be looked through, since that was begun; 0: nobody looks.
    pub(crate) looks: AtomicUsize,
    writers: Mutex<Ledger>,
    /// Rung after every section that changed something.
    pub(crate) changed: Notify,
    /// Clean-up that entries leave behind.
    pub(crate) reaper: Reaper,
}

/// What only writers touch.
struct Ledger {
    history: History,
    /// Names and keys that creations hold, by the creation's number.
    reserved: HashMap<Label, u64>,
    graves: Graves,
    recalled: Recalled,
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
            ids: HashIndex::with_hasher(hasher()),
            names: HashIndex::with_hasher(hasher()),
            keys: HashIndex::with_hasher(hasher()),
            mailboxes: AtomicU64::new(0),
            named: AtomicU64::new(0),
            removals: AtomicU64::new(0),
            looks: AtomicUsize::new(0),
            writers: Mutex::new(Ledger {
                history: History::new(history),
                reserved: HashMap::new(),
                graves: Graves::new(),
                recalled: Recalled::default(),
                ended: None,
                tracked: TrackedNames::new(),
            }),
            changed: Notify::new(),
            reaper,
        }
    }

    /// How large the registry is.
    pub(crate) fn sizes(&self) -> Sizes {
        Sizes { mailboxes: self.mailboxes.load(Ordering::Relaxed), names: self.named.load(Ordering::Relaxed) }
    }
}

/// Reads: no lock.
impl Books {
    /// What is under this name, lent.
    #[inline(always)]
    pub(crate) fn find_name<T>(&self, name: &str, f: impl FnOnce(&Arc<Record>) -> T) -> Option<T> {
        self.names.peek_with(name, |_, record| f(record))
    }

    pub(crate) fn find_id<T>(&self, id: Uuid, f: impl FnOnce(&Arc<Record>) -> T) -> Option<T> {
        self.ids.peek_with(&id, |_, record| f(record))
    }

    pub(crate) fn find_key<T>(&self, kind: &str, key: &str, f: impl FnOnce(&Arc<Record>) -> T) -> Option<T> {
        self.keys.peek_with(&KeyRef { kind, key }, |_, record| f(record))
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
        walk(&self.ids, |_, record| f(record))
    }

    /// The same of keys.
    pub(crate) fn each_key(&self, f: impl FnMut(&SecondaryKey, &Arc<Record>) -> bool) -> bool {
        walk(&self.keys, f)
    }

    /// The same of names.
    pub(crate) fn each_name(&self, f: impl FnMut(&NameText, &Arc<Record>) -> bool) -> bool {
        walk(&self.names, f)
    }
}

/// Looks at what lies under the writers' lock.
impl Books {
    /// The names that are tracked, under the lock.
    pub(crate) fn with_tracked<T>(&self, f: impl FnOnce(&mut TrackedNames) -> T) -> T {
        f(&mut lock(&self.writers).tracked)
    }

    /// What somebody who follows comes to next, and whether nothing will ever come after it: of one instant.
    pub(crate) fn read(&self, place: &mut u64) -> (At, bool) {
        let ledger = lock(&self.writers);
        let over = ledger.ended.is_some() && self.sizes().mailboxes == 0;
        (ledger.history.read(place), over)
    }

    /// A look at the history, under the lock.
    pub(crate) fn with_history<T>(&self, f: impl FnOnce(&mut History, &mut Vec<Change>) -> T) -> T {
        let mut out = Vec::new();
        let result = f(&mut lock(&self.writers).history, &mut out);
        drop_quietly(out);
        result
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
