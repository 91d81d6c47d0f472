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

use crate::change::{Change, Sizes, What};
use crate::consistency::Repaired;
use crate::ending::{Ending, Outcome};
use crate::error::RegisterError;
use crate::history::{At, History};
use crate::index::{HashIndex, walk};
use crate::name_text::NameText;
use crate::record::Record;
use crate::secondary::{Holder, KeyRef, Label, SecondaryKey};
use crate::sync::{AtomicU64, Mutex, Ordering, lock};
use crate::tracked::TrackedNames;
use foldhash::fast::RandomState;
use restante_core::{ExitReason, Reaper, clock, drop_quietly};
use std::collections::{HashMap, VecDeque};
use std::panic::Location;
use std::sync::Arc;
use tokio::sync::Notify;
use uuid::Uuid;

pub(crate) type By = Option<&'static Location<'static>>;

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
    /// Records that have gone. The index drops its own later, in some write of another's: were that the last, the drop of
    /// what is left of a mailbox (closures in its settings) would run under the lock.
    graves: VecDeque<Arc<Record>>,
    /// No creation and no mailbox comes in any more.
    ended: Option<ExitReason>,
    /// What test kits look at; empty elsewhere.
    tracked: TrackedNames,
}

/// How many graves are looked at after a section.
const GRAVES: usize = 4;

/// A section under the writers' lock: what is to be dropped, told and traced after it.
struct Section<'a> {
    books: &'a Books,
    ledger: &'a mut Ledger,
    by: By,
    /// Changes that fell out of the history.
    out: Vec<Change>,
    ended: Vec<(Arc<Record>, Ending)>,
}

impl Section<'_> {
    fn note(&mut self, id: Uuid, what: What, before: Sizes) {
        let after = self.books.sizes();
        let change = Change { seq: 0, at_ms: clock::coarse_ms(), id, what, before, after, by: self.by };
        self.ledger.history.push(change, &mut self.out);
    }

    fn check_open(&self) -> Result<(), RegisterError> {
        self.ledger.ended.as_ref().map_or(Ok(()), |reason| Err(RegisterError::Ended(reason.clone())))
    }

    /// Whether a label is free for this creation, or for nobody's. A holder that has closed is taken out, were whoever closed it
    /// never to come.
    fn make_free(&mut self, label: &Label, creation: Option<u64>) -> Result<(), RegisterError> {
        let holder = match self.books.holder(label) {
            Some(record) if record.mailbox.has_closed() => {
                self.take_out(&record, Outcome::Closed, closed_reason(&record));
                None
            }
            Some(record) => Some(Holder::Mailbox(record.id)),
            None => None,
        };
        let reserved =
            || self.ledger.reserved.get(label).filter(|by| Some(**by) != creation).map(|_| Holder::Creation);
        match holder.or_else(reserved) {
            None => Ok(()),
            Some(holder) => Err(match label.clone() {
                Label::Name(name) => RegisterError::NameAlreadyExists { name, holder },
                Label::Key(key) => RegisterError::KeyAlreadyExists { key, holder },
            }),
        }
    }

    /// Has the mailbox in the index: this record, or the one that was there.
    fn bring_in(&mut self, record: &Arc<Record>) -> Result<Arc<Record>, RegisterError> {
        if let Some(known) = self.books.find_id(record.id, Arc::clone) {
            if !known.mailbox.has_closed() {
                return Ok(known);
            }
            self.take_out(&known, Outcome::Closed, closed_reason(&known));
        }
        // One that closes after this look goes out again: whoever closes it comes to this lock.
        if record.is_gone() || record.mailbox.has_closed() {
            return Err(RegisterError::MailboxDoesNotExist(record.id));
        }
        let before = self.books.sizes();
        // (Nobody else inserts: the lock is held.)
        let _ = self.books.ids.insert_sync(record.id, Arc::clone(record));
        self.books.mailboxes.fetch_add(1, Ordering::Relaxed);
        self.note(record.id, What::Created, before);
        Ok(Arc::clone(record))
    }

    /// Puts free labels on a mailbox that is in.
    fn put_on(&mut self, record: &Arc<Record>, label: &Label) {
        let before = self.books.sizes();
        match label {
            Label::Name(name) => {
                record.relabel(|labels| labels.names.push(name.clone()));
                let _ = self.books.names.insert_sync(name.clone(), Arc::clone(record));
                self.books.named.fetch_add(1, Ordering::Relaxed);
                self.note(record.id, What::Registered(name.clone()), before);
            }
            Label::Key(key) => {
                record.relabel(|labels| labels.keys.push(key.clone()));
                let _ = self.books.keys.insert_sync(key.clone(), Arc::clone(record));
                self.note(record.id, What::KeyAdded(key.clone()), before);
            }
        }
    }

    /// Takes a label off the mailbox that has it.
    fn take_off(&mut self, record: &Record, label: &Label, ending: Option<&Ending>) {
        let before = self.books.sizes();
        match label {
            Label::Name(name) => {
                self.books.names.remove_sync(&**name);
                // (Asked first: a name that is not there would be hashed.)
                if !self.ledger.tracked.is_empty() {
                    self.ledger.tracked.remove(name);
                }
                self.books.named.fetch_sub(1, Ordering::Relaxed);
                // Release: whoever reads the new count finds the name gone.
                self.books.removals.fetch_add(1, Ordering::Release);
                record.relabel(|labels| labels.names.retain(|other| other != name));
                self.note(record.id, What::Unregistered(name.clone(), ending.cloned()), before);
            }
            Label::Key(key) => {
                self.books.keys.remove_sync(key);
                record.relabel(|labels| labels.keys.retain(|other| other != key));
                self.note(record.id, What::KeyRemoved(key.clone(), ending.cloned()), before);
            }
        }
    }

    /// Takes a mailbox out, if it is in.
    fn take_out(&mut self, record: &Arc<Record>, outcome: Outcome, reason: ExitReason) -> bool {
        if !record.set_gone() {
            return false;
        }
        let ending = Ending::new(outcome, reason);
        if let Some(labels) = record.labels() {
            labels.names.iter().for_each(|n| self.take_off(record, &Label::Name(n.clone()), Some(&ending)));
            labels.keys.iter().for_each(|k| self.take_off(record, &Label::Key(k.clone()), Some(&ending)));
        }
        let before = self.books.sizes();
        if self.books.ids.remove_sync(&record.id) {
            self.books.mailboxes.fetch_sub(1, Ordering::Relaxed);
            self.note(record.id, What::Destroyed(ending.clone()), before);
        }
        self.books.removals.fetch_add(1, Ordering::Release);
        self.ledger.graves.push_back(Arc::clone(record));
        self.ended.push((Arc::clone(record), ending));
        true
    }

    /// The mailbox of this id, which is open.
    fn known(&mut self, id: Uuid) -> Result<Arc<Record>, RegisterError> {
        self.check_open()?;
        self.books
            .find_id(id, Arc::clone)
            .filter(|record| !record.mailbox.has_closed())
            .ok_or(RegisterError::MailboxDoesNotExist(id))
    }
}

fn closed_reason(record: &Record) -> ExitReason {
    record.mailbox.why_closed().unwrap_or(ExitReason::Normal)
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
            writers: Mutex::new(Ledger {
                history: History::new(history),
                reserved: HashMap::new(),
                graves: VecDeque::new(),
                ended: None,
                tracked: TrackedNames::new(),
            }),
            changed: Notify::new(),
            reaper,
        }
    }

    /// A section: all that it does is one step for other writers.
    fn write<T>(&self, by: By, f: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let traced = tracing::enabled!(tracing::Level::DEBUG);
        // First in, last out: what others' maps have been rid of on this thread goes when its last guard does, and its drop
        // may run code of a user's.
        let _epoch = scc::Guard::new();
        let mut ledger = lock(&self.writers);
        let first = ledger.history.next();
        let mut section =
            Section { books: self, ledger: &mut ledger, by, out: Vec::new(), ended: Vec::new() };
        let result = f(&mut section);
        let Section { out, ended, .. } = section;
        let changed = ledger.history.next() != first;
        let to_trace: Vec<Change> = if traced && changed {
            // (Of many changes in one section some may have fallen out of a short history already.)
            let fallen = out.iter().filter(|change| change.seq >= first);
            let kept_from = out.last().map_or(first, |change| first.max(change.seq + 1));
            fallen.chain(ledger.history.since(kept_from).into_iter().flatten()).cloned().collect()
        } else {
            Vec::new()
        };
        let buried = bury(&mut ledger.graves);
        drop(ledger);
        if changed {
            self.changed.notify_waiters();
        }
        to_trace.iter().for_each(|change| change.trace(&self.name));
        for (record, ending) in ended {
            record.forsake();
            record.end(&ending, &self.reaper);
        }
        // Reasons hold errors of the user's, mailboxes closures.
        drop_quietly((out, to_trace, buried));
        result
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

    /// The same of names.
    pub(crate) fn each_name(&self, f: impl FnMut(&NameText, &Arc<Record>) -> bool) -> bool {
        walk(&self.names, f)
    }
}

/// Writes: a section each.
impl Books {
    /// A mailbox comes in, under these labels: all or nothing. The record that is in for it, which has counted the grant.
    pub(crate) fn insert(
        &self,
        record: &Arc<Record>,
        labels: &[Label],
        creation: Option<u64>,
        by: By,
    ) -> Result<Arc<Record>, RegisterError> {
        self.write(by, |section| {
            section.check_open()?;
            labels.iter().try_for_each(|label| section.make_free(label, creation))?;
            let record = section.bring_in(record)?;
            record.grant();
            for label in labels {
                if creation.is_some() {
                    section.ledger.reserved.remove(label);
                }
                section.put_on(&record, label);
            }
            Ok(record)
        })
    }

    /// One label more for a mailbox that is in; its record, which has counted the grant.
    pub(crate) fn add_label(&self, id: Uuid, label: &Label, by: By) -> Result<Arc<Record>, RegisterError> {
        self.write(by, |section| {
            let record = section.known(id)?;
            section.make_free(label, None)?;
            record.grant();
            section.put_on(&record, label);
            Ok(record)
        })
    }

    /// Takes back a grant that nobody took: its labels; and with the last grant the mailbox.
    pub(crate) fn take_back(&self, record: &Arc<Record>, labels: &[Label]) {
        self.write(None, |section| {
            if record.is_gone() {
                return;
            }
            if record.take_back() {
                section.take_out(record, Outcome::Abandoned, ExitReason::Normal);
                return;
            }
            // (What was taken off meanwhile may be another's.)
            let its = |label: &&Label| self.holder(label).is_some_and(|holder| Arc::ptr_eq(&holder, record));
            labels.iter().filter(its).for_each(|label| section.take_off(record, label, None));
        });
    }

    /// Takes a label off. False: nobody has it.
    pub(crate) fn remove_label(&self, label: &Label, by: By) -> bool {
        self.write(by, |section| match self.holder(label) {
            Some(record) => {
                section.take_off(&record, label, None);
                true
            }
            None => false,
        })
    }

    /// Takes all its names off a mailbox: how many.
    pub(crate) fn remove_names(&self, id: Uuid, by: By) -> usize {
        self.write(by, |section| {
            let Some(record) = self.find_id(id, Arc::clone) else { return 0 };
            let names = record.labels().map(|labels| labels.names.clone()).unwrap_or_default();
            names.iter().for_each(|name| section.take_off(&record, &Label::Name(name.clone()), None));
            names.len()
        })
    }

    /// Metadata is nobody's way to a mailbox: no change of the registry's.
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
            record.relabel(|labels| match value {
                Some(value) => labels.metadata.insert(key, value),
                None => labels.metadata.remove(&key),
            });
            Ok(())
        })
    }

    /// Holds labels for a creation: all or none.
    pub(crate) fn reserve(&self, labels: &[Label], creation: u64, by: By) -> Result<(), RegisterError> {
        self.write(by, |section| {
            section.check_open()?;
            // (The same label twice in one creation is one.)
            labels.iter().try_for_each(|label| section.make_free(label, Some(creation)))?;
            section.ledger.reserved.extend(labels.iter().map(|label| (label.clone(), creation)));
            Ok(())
        })
    }

    /// Lets go what a creation still holds.
    pub(crate) fn release(&self, labels: &[Label], creation: u64) {
        let mut ledger = lock(&self.writers);
        for label in labels {
            if ledger.reserved.get(label) == Some(&creation) {
                ledger.reserved.remove(label);
            }
        }
    }

    /// Whether a creation holds this name.
    pub(crate) fn is_reserved(&self, name: &NameText) -> bool {
        lock(&self.writers).reserved.contains_key(&Label::Name(name.clone()))
    }

    /// How many names and keys creations hold.
    #[cfg(all(shuttle, test))]
    pub(crate) fn reserved(&self) -> usize {
        lock(&self.writers).reserved.len()
    }

    /// Takes a mailbox out; where it is destroyed, closes it. False: it is not in, or not any more.
    pub(crate) fn remove(&self, id: Uuid, outcome: Outcome, reason: ExitReason, by: By) -> bool {
        self.write(by, |section| {
            let known = self.find_id(id, Arc::clone);
            known.is_some_and(|record| section.take_out(&record, outcome, reason))
        })
    }

    /// Takes this one out and closes its mailbox. False: it has gone out already.
    pub(crate) fn destroy_record(&self, record: &Arc<Record>, reason: ExitReason, by: By) -> bool {
        self.write(by, |section| section.take_out(record, Outcome::Destroyed, reason))
    }

    /// From the one who closed it, before anybody else is told.
    pub(crate) fn mailbox_closed(&self, id: Uuid, reason: &ExitReason) {
        self.remove(id, Outcome::Closed, reason.clone(), None);
    }

    /// Nothing comes in any more, and what is in goes. False: it has ended already.
    pub(crate) fn end(&self, reason: &ExitReason) -> bool {
        let ended = self.write(None, |section| {
            let first = section.ledger.ended.is_none();
            section.ledger.ended.get_or_insert_with(|| reason.clone());
            first
        });
        // A section each: others want to get a word in, and ends are to be told as they come.
        let mut ids = Vec::new();
        self.each_mailbox(|record| {
            ids.push(record.id);
            true
        });
        ids.iter().for_each(|id| {
            self.remove(*id, Outcome::RegistryEnded, reason.clone(), None);
        });
        self.changed.notify_waiters();
        ended
    }

    /// Why nothing comes in any more; `None`: it does.
    pub(crate) fn ended(&self) -> Option<ExitReason> {
        lock(&self.writers).ended.clone()
    }

    /// Drops the records that have gone and nobody reads any more; how many are left.
    pub(crate) fn compact(&self) -> usize {
        // What the maps keep of removed entries goes when their buckets are walked by a writer.
        self.ids.retain_sync(|_, _| true);
        self.names.retain_sync(|_, _| true);
        self.keys.retain_sync(|_, _| true);
        let (buried, left) = {
            let mut ledger = lock(&self.writers);
            let all = std::mem::take(&mut ledger.graves);
            let (left, buried): (Vec<_>, Vec<_>) = all.into_iter().partition(|r| Arc::strong_count(r) > 1);
            ledger.graves = left.into();
            (buried, ledger.graves.len())
        };
        drop_quietly(buried);
        left
    }

    /// Makes the index of names from the mailboxes' labels, with the writers waiting.
    pub(crate) fn repair(&self) -> Repaired {
        let mut repaired = Repaired::default();
        self.write(None, |section| {
            let (orphaned, missing) = (self.orphaned(), self.missing());
            if orphaned.is_empty() && missing.is_empty() {
                return;
            }
            // (Whatever put the index wrong may not have counted.)
            self.named.store(self.names.len() as u64, Ordering::Relaxed);
            for (name, record) in orphaned {
                let before = self.sizes();
                if self.names.remove_sync(&*name) {
                    self.named.fetch_sub(1, Ordering::Relaxed);
                    self.removals.fetch_add(1, Ordering::Release);
                    section.note(record.id, What::Unregistered(name, None), before);
                    section.ledger.graves.push_back(record);
                    repaired.removed += 1;
                }
            }
            for (name, record) in missing {
                // (Walked over twice, where the map has just grown.)
                if !self.is_missing(&name, &record) {
                    continue;
                }
                let before = self.sizes();
                if self.names.insert_sync(name.clone(), Arc::clone(&record)).is_ok() {
                    self.named.fetch_add(1, Ordering::Relaxed);
                    section.note(record.id, What::Registered(name), before);
                    repaired.added += 1;
                } else {
                    // It leads to another that has it as well. (Nobody is told: for whoever follows, that one has it.)
                    record.relabel(|labels| labels.names.retain(|other| *other != name));
                    repaired.doubled += 1;
                }
            }
        });
        repaired
    }

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

/// Graves that nobody visits any more, of the few that are looked at.
fn bury(graves: &mut VecDeque<Arc<Record>>) -> Vec<Arc<Record>> {
    let mut buried = Vec::new();
    for _ in 0..GRAVES.min(graves.len()) {
        let Some(record) = graves.pop_front() else { break };
        if Arc::strong_count(&record) == 1 {
            buried.push(record);
        } else {
            graves.push_back(record);
        }
    }
    buried
}

#[cfg(all(test, not(shuttle)))]
mod tests;
