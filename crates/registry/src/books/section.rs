//! A section: what happens to the books in one step, under the writers' lock.

use super::{Books, By, Ledger};
use crate::change::{Change, Sizes, What};
use crate::ending::{Ending, Outcome};
use crate::error::RegisterError;
use crate::record::Record;
use crate::secondary::{Holder, Label};
use crate::sync::{Ordering, lock};
use restante_core::{ExitReason, clock, drop_quietly};
use std::sync::Arc;
use uuid::Uuid;

/// A section under the writers' lock: what is to be dropped, told and traced after it.
pub(super) struct Section<'a> {
    books: &'a Books,
    pub(super) ledger: &'a mut Ledger,
    by: By,
    /// Changes that fell out of the history.
    out: Vec<Change>,
    ended: Vec<(Arc<Record>, Ending)>,
}

impl Section<'_> {
    pub(super) fn note(&mut self, id: Uuid, what: What, before: Sizes) {
        let after = self.books.sizes();
        let change = Change { seq: 0, at_ms: clock::coarse_ms(), id, what, before, after, by: self.by };
        self.ledger.history.push(change, &mut self.out);
    }

    pub(super) fn check_open(&self) -> Result<(), RegisterError> {
        self.ledger.ended.as_ref().map_or(Ok(()), |reason| Err(RegisterError::Ended(reason.clone())))
    }

    /// Whether a label is free for this creation, or for nobody's. A holder that has closed is taken out, were whoever closed it
    /// never to come.
    pub(super) fn make_free(&mut self, label: &Label, creation: Option<u64>) -> Result<(), RegisterError> {
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
    pub(super) fn bring_in(&mut self, record: &Arc<Record>) -> Result<Arc<Record>, RegisterError> {
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
    pub(super) fn put_on(&mut self, record: &Arc<Record>, label: &Label) {
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
    pub(super) fn take_off(&mut self, record: &Arc<Record>, label: &Label, ending: Option<&Ending>) {
        let before = self.books.sizes();
        if ending.is_none() {
            let number = self.ledger.history.next();
            self.ledger.recalled.note(record, label, number);
        }
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
    pub(super) fn take_out(&mut self, record: &Arc<Record>, outcome: Outcome, reason: ExitReason) -> bool {
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
        self.ledger.graves.push(Arc::clone(record));
        self.ended.push((Arc::clone(record), ending));
        true
    }

    /// The mailbox of this id, which is open.
    pub(super) fn known(&mut self, id: Uuid) -> Result<Arc<Record>, RegisterError> {
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
    /// A section: all that it does is one step for other writers.
    pub(super) fn write<T>(&self, by: By, f: impl FnOnce(&mut Section<'_>) -> T) -> T {
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
        let buried = ledger.graves.bury_some();
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
}
