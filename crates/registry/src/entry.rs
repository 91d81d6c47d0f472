//! One mailbox in a registry, seen from outside, whatever its type.

use crate::books::Books;
use crate::ending::{Ending, Outcome};
use crate::error::RegisterError;
use crate::lookup::Whom;
use crate::name_text::NameText;
use crate::record::{Record, Resource};
use crate::registry::Registry;
use crate::secondary::SecondaryKey;
use restante_core::shield::shield;
use restante_core::{Addressable, ExitReason};
use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use uuid::Uuid;

/// One mailbox in a registry: its names, keys and metadata, and what it owns. Cheap to clone; it keeps the mailbox's memory,
/// not its life.
#[derive(Clone)]
pub struct EntryRef {
    record: Arc<Record>,
    books: Arc<Books>,
}

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Signal {
    /// The entry ended.
    Closed(Ending),
}

/// Given back: the entry has ended already, so nothing would ever see to this.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the entry has ended: {ending}")]
pub struct EntryEnded<T> {
    /// How.
    pub ending: Ending,
    /// What was to be its.
    pub resource: T,
}

impl<T> EntryEnded<T> {
    /// Whether what was addressed is gone. Always: the entry has ended.
    pub fn is_gone(&self) -> bool {
        true
    }
}

impl Registry {
    /// The entry of this name, id, or text of an id; `None`: there is none whose mailbox is open.
    pub fn entry<'a>(&self, whom: impl Into<Whom<'a>>) -> Option<EntryRef> {
        let record = self.record(whom.into(), Arc::clone)?;
        let books = record.books()?;
        let open = !record.mailbox.has_closed();
        open.then_some(EntryRef { record, books })
    }

    /// The entry of this secondary key.
    pub fn entry_by_key(&self, kind: &str, key: &str) -> Option<EntryRef> {
        let books = &self.0.books;
        match books.find_key(kind, key, Arc::clone) {
            Some(record) if record.mailbox.has_closed() => None,
            Some(record) => Some(EntryRef { record, books: Arc::clone(books) }),
            None => self.parent()?.entry_by_key(kind, key),
        }
    }

    /// The names of the mailbox of this id, in the order in which it got them; none where there is no such mailbox.
    pub fn names_of(&self, id: Uuid) -> Vec<NameText> {
        self.entry(id).map(|entry| entry.names()).unwrap_or_default()
    }

    /// Every entry that is in from the beginning of the walk to its end, once, in no order; of those that come or go
    /// meanwhile, some. The entries of one instant are in [`Registry::snapshot`]. Does not wait.
    pub fn entries(&self) -> Vec<EntryRef> {
        self.search(|_| true)
    }

    /// Those of them that `which` picks: by name, key, metadata.
    pub fn search(&self, mut which: impl FnMut(&EntryRef) -> bool) -> Vec<EntryRef> {
        let books = &self.0.books;
        let mut all = Vec::new();
        books.each_mailbox(|record| {
            if !record.mailbox.has_closed() {
                all.push(EntryRef { record: Arc::clone(record), books: Arc::clone(books) });
            }
            true
        });
        // The walk may come to one entry twice, while the map grows.
        let mut seen = HashSet::with_capacity_and_hasher(all.len(), foldhash::fast::RandomState::default());
        // Asked after the walk, because `which` is the user's code.
        all.retain(|entry| seen.insert(entry.record.id) && which(entry));
        all
    }

    /// How many entries `which` picks.
    pub fn count(&self, which: impl FnMut(&EntryRef) -> bool) -> usize {
        self.search(which).len()
    }
}

impl EntryRef {
    /// The mailbox's id.
    pub fn id(&self) -> Uuid {
        self.record.id
    }

    /// The type of its references, in full.
    pub fn type_name(&self) -> &'static str {
        self.record.mailbox.type_name()
    }

    /// What the mailbox itself is called, for people.
    pub fn label(&self) -> String {
        self.record.mailbox.label()
    }

    /// The mailbox, for keeps; `None`: it is of another type, or has closed.
    pub fn mailbox<R: Addressable>(&self) -> Option<R> {
        self.record.lend::<R>().filter(|mailbox| !mailbox.has_closed()).and_then(R::counted)
    }

    /// Its names, in the order in which it got them.
    pub fn names(&self) -> Vec<NameText> {
        self.record.labels.read(|labels| labels.names().cloned().collect()).unwrap_or_default()
    }

    /// Its secondary keys.
    pub fn keys(&self) -> Vec<SecondaryKey> {
        self.record.labels.read(|labels| labels.keys().cloned().collect()).unwrap_or_default()
    }

    /// Its metadata under this key.
    pub fn metadata(&self, key: &str) -> Option<String> {
        self.record.labels.read(|labels| labels.metadata.get(key).cloned()).flatten()
    }

    /// Sets metadata, or with `None` takes it away. It goes with the entry.
    ///
    /// # Errors
    /// [`RegisterError::MailboxDoesNotExist`]: it has ended. [`RegisterError::Ended`]: the registry has.
    pub fn set_metadata(&self, key: impl Into<String>, value: Option<String>) -> Result<(), RegisterError> {
        self.books.set_metadata(&self.record, key.into(), value)
    }

    /// Has the entry own this too: dropped when it ends, after what came later.
    ///
    /// # Errors
    /// [`EntryEnded`] gives it back.
    pub fn own<T: Send + 'static>(&self, resource: T) -> Result<(), EntryEnded<T>> {
        let mut resource = Some(resource);
        // Asked first, because a boxed resource is not given back as what it was.
        match self.record.own_with(|| resource.take().map(Resource::value)) {
            Ok(()) => Ok(()),
            Err(ending) => match resource {
                Some(resource) => Err(EntryEnded { ending, resource }),
                None => Ok(()),
            },
        }
    }

    /// Asynchronous clean-up, begun when the entry ends, in the registry's runtime, and waited for by
    /// [`Registry::shutdown`].
    ///
    /// # Errors
    /// [`EntryEnded`] gives it back.
    pub fn on_close<C, F>(&self, cleanup: C) -> Result<(), EntryEnded<C>>
    where
        C: FnOnce(Ending) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut cleanup = Some(cleanup);
        match self.record.own_with(|| cleanup.take().map(Resource::cleanup)) {
            Ok(()) => Ok(()),
            Err(ending) => match cleanup {
                Some(resource) => Err(EntryEnded { ending, resource }),
                None => Ok(()),
            },
        }
    }

    /// From now on the entry keeps the mailbox open, until it ends. False: it has ended, or the last reference has gone.
    pub fn keep_open(&self) -> bool {
        self.record.keep()
    }

    /// The opposite: the mailbox closes when the last other reference goes, perhaps now.
    pub fn keep_open_no_more(&self) {
        self.record.keep_no_more();
    }

    /// How it ended; `None`: it has not.
    pub fn ending(&self) -> Option<Ending> {
        self.record.ending()
    }

    /// Waits for its end.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting.
    pub async fn closed(&self) -> Signal {
        let ending = match self.record.watch() {
            Ok(told) => shield(told).await.ok(),
            Err(ending) => Some(ending),
        };
        // The thread that ends an entry tells before it lets go: only a torn-down process leaves without a word.
        Signal::Closed(ending.unwrap_or_else(|| Ending::new(Outcome::Closed, ExitReason::Killed)))
    }

    /// Takes it out and closes the mailbox: see [`Registry::destroy`]. False: it has ended already.
    #[track_caller]
    pub fn destroy(&self, reason: ExitReason) -> bool {
        self.books.destroy_record(&self.record, reason, Some(std::panic::Location::caller()))
    }
}

impl fmt::Debug for EntryRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryRef({}, {:?})", self.record.id, self.names())
    }
}
