//! A section: what happens to the books in one step, under the writers' lock.

use super::ends::{Ended, Ends};
use super::{Books, By, Ledger, Shown};
use crate::change::{Change, Sizes, What};
use crate::ending::{Ending, Outcome};
use crate::error::RegisterError;
use crate::labels::Labels;
use crate::name_entry::NameEntry;
use crate::record::Record;
use crate::rt;
use crate::secondary::{Holder, Label};
use crate::sync::Ordering;
use restante_core::{ExitReason, clock, quiet};
use std::sync::Arc;
use uuid::Uuid;

/// A section under the writers' lock: what is to be dropped, told and traced after it.
pub(super) struct Section<'a> {
    books: &'a Books,
    pub(super) ledger: &'a mut Ledger,
    by: By,
    /// Whether there is a listener to events.
    traced: bool,
    /// Changes that fell out of the history.
    out: Vec<Change>,
    ended: Vec<Ended>,
}

/// Where entries end that a section takes out.
#[derive(Clone, Copy)]
enum Where {
    Here,
    Beside,
}

impl Section<'_> {
    /// Notes a change after which the registry has these sizes.
    pub(super) fn note(&mut self, id: Uuid, what: What, after: Sizes) {
        let before = std::mem::replace(&mut self.ledger.sizes, after);
        if before != after {
            self.show_sizes();
        }
        let change = Change { seq: 0, at_ms: clock::coarse_ms(), id, what, before, after, by: self.by };
        if let Some(out) = self.ledger.history.push(change) {
            // Names and numbers can be dropped here, but the reason of an ending is the user's.
            if self.traced || out.ending().is_some() {
                self.out.push(out);
            }
        }
    }

    pub(super) fn note_of_names(&mut self, id: Uuid, what: What, names: impl FnOnce(u64) -> u64) {
        let sizes = self.ledger.sizes;
        self.note(id, what, Sizes { names: names(sizes.names), ..sizes });
    }

    fn note_of_mailboxes(&mut self, id: Uuid, what: What, mailboxes: impl FnOnce(u64) -> u64) {
        let sizes = self.ledger.sizes;
        self.note(id, what, Sizes { mailboxes: mailboxes(sizes.mailboxes), ..sizes });
    }

    /// Readers see what the ledger says.
    pub(super) fn show_sizes(&self) {
        let Shown { mailboxes, names, .. } = &*self.books.shown;
        mailboxes.store(self.ledger.sizes.mailboxes, Ordering::Relaxed);
        names.store(self.ledger.sizes.names, Ordering::Relaxed);
    }

    /// Something has been taken out of an index that readers go by.
    pub(super) fn count_removal(&mut self) {
        self.ledger.removals += 1;
        // Release: a reader that sees the new count finds it gone.
        self.books.shown.removals.store(self.ledger.removals, Ordering::Release);
    }

    pub(super) fn check_open(&self) -> Result<(), RegisterError> {
        self.ledger.ended.as_ref().map_or(Ok(()), |reason| Err(RegisterError::Ended(reason.clone())))
    }

    /// Whether each of these labels is free for this creation, or, without a creation, held by none, or is on this mailbox
    /// already. A server registers in its `init` what the incarnation before it has registered.
    pub(super) fn make_free_for(
        &mut self,
        id: Uuid,
        labels: &[Label],
        creation: Option<u64>,
    ) -> Result<(), RegisterError> {
        labels.iter().try_for_each(|label| match self.make_free(label, creation) {
            Err(refused) if refused.holder() == Some(Holder::Mailbox(id)) => Ok(()),
            free => free,
        })
    }

    /// Whether a label is free for this creation, or, without a creation, held by none. A holder that has closed is taken out
    /// here, because the thread that closed it may never come to do it.
    pub(super) fn make_free(&mut self, label: &Label, creation: Option<u64>) -> Result<(), RegisterError> {
        let holder = match self.books.holder(label) {
            Some(record) if record.mailbox.has_closed() => {
                self.take_out_closed(&record);
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

    /// Has the mailbox in the index: this record, or the one that was there, which is its record from now on.
    pub(super) fn bring_in(&mut self, record: &mut Arc<Record>) -> Result<(), RegisterError> {
        // The record that was found a moment ago is mostly there still.
        let known = if record.is_in() { None } else { self.books.find_id(record.id, Arc::clone) };
        if let Some(known) = known {
            *record = known;
        }
        if record.is_in() {
            if !record.mailbox.has_closed() {
                return Ok(());
            }
            self.take_out_closed(record);
        }
        // A mailbox that closes after this look goes out again, because the thread that closes it comes to this lock.
        if record.is_gone() || record.mailbox.has_closed() {
            return Err(RegisterError::MailboxDoesNotExist(record.id));
        }
        // No other thread inserts, because the lock is held.
        let _ = self.books.indexes.ids.insert_sync(record.id, Arc::clone(record));
        record.set_in();
        self.note_of_mailboxes(record.id, What::Created, |mailboxes| mailboxes + 1);
        Ok(())
    }

    /// Puts a label on a mailbox that is in: one that is free, or that it has already, which counts one addition more.
    pub(super) fn put_on(&mut self, record: &Arc<Record>, label: &Label) {
        debug_assert!(record.is_in(), "a label would lead to a mailbox that is not in");
        if record.labels.grant(label) {
            return;
        }
        record.labels.put_on(label, self.ledger.history.next());
        match label {
            Label::Name(name) => {
                let _ = self.books.indexes.names.insert_sync(name.clone(), NameEntry::to(record));
                self.note_of_names(record.id, What::Registered(name.clone()), |names| names + 1);
            }
            Label::Key(key) => {
                let _ = self.books.indexes.keys.insert_sync(key.clone(), Arc::clone(record));
                self.note(record.id, What::KeyAdded(key.clone()), self.ledger.sizes);
            }
        }
    }

    /// Takes a label off the mailbox that has it.
    pub(super) fn take_off(&mut self, record: &Record, label: &Label) {
        self.take_out_of_index(record, label, None);
        record.labels.take_off(label);
    }

    /// Takes all its names off a mailbox: how many.
    pub(super) fn take_off_names(&mut self, record: &Record) -> usize {
        let names: Vec<Label> = record
            .labels
            .read(|labels| labels.names().cloned().map(Label::Name).collect())
            .unwrap_or_default();
        names.iter().for_each(|name| self.take_out_of_index(record, name, None));
        record.labels.take_off_names();
        names.len()
    }

    /// The first half of taking a label off: readers find the mailbox by this label no more.
    fn take_out_of_index(&mut self, record: &Record, label: &Label, ending: Option<&Ending>) {
        match label {
            Label::Name(name) => {
                self.books.indexes.names.remove_sync(&**name);
                // Asked first, because a name that is not there would be hashed.
                if !self.ledger.tracked.is_empty() {
                    self.ledger.tracked.remove(name);
                }
                self.count_removal();
                let what = What::Unregistered(name.clone(), ending.cloned());
                self.note_of_names(record.id, what, |names| names.saturating_sub(1));
            }
            Label::Key(key) => {
                self.books.indexes.keys.remove_sync(key);
                let what = What::KeyRemoved(key.clone(), ending.cloned());
                self.note(record.id, what, self.ledger.sizes);
            }
        }
    }

    /// Takes a mailbox out, if it is in.
    pub(super) fn take_out(&mut self, record: &Arc<Record>, outcome: Outcome, reason: ExitReason) -> bool {
        if !record.set_gone() {
            return false;
        }
        let ending = Ending::new(outcome, reason);
        if let Some(labels) = record.labels.read(Labels::all) {
            labels.iter().for_each(|label| self.take_out_of_index(record, label, Some(&ending)));
            record.labels.clear();
        }
        if self.books.indexes.ids.remove_sync(&record.id) {
            let what = What::Destroyed(ending.clone());
            self.note_of_mailboxes(record.id, what, |mailboxes| mailboxes.saturating_sub(1));
        }
        self.count_removal();
        self.ledger.aftermath.push(Arc::clone(record));
        self.ended.push((Arc::clone(record), ending));
        true
    }

    /// Takes a mailbox out that has closed: for the reason for which it did.
    pub(super) fn take_out_closed(&mut self, record: &Arc<Record>) -> bool {
        self.take_out(record, Outcome::Closed, record.mailbox.why_closed().unwrap_or(ExitReason::Normal))
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

impl Books {
    /// A section: all that it does is one step for other writers. Entries that end in it have ended when it returns.
    pub(super) fn write<T>(&self, by: By, f: impl FnOnce(&mut Section<'_>) -> T) -> T {
        self.section(by, Where::Here, f)
    }

    /// A section that adds. Should entries of others be in the way, they end beside it, because their drops are users' code
    /// and the caller may be the actor.
    pub(super) fn add<T>(&self, by: By, f: impl FnOnce(&mut Section<'_>) -> T) -> T {
        self.section(by, Where::Beside, f)
    }

    fn section<T>(&self, by: By, ends_where: Where, f: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let traced = quiet::run("a subscriber", || tracing::enabled!(tracing::Level::DEBUG)).unwrap_or(false);
        let mut ledger = self.writers.lock_with_epoch();
        let first = ledger.history.next();
        let mut section =
            Section { books: self, ledger: &mut ledger, by, traced, out: Vec::new(), ended: Vec::new() };
        let result = f(&mut section);
        let Section { out, ended, .. } = section;
        let changed = ledger.history.next() != first;
        let to_trace: Vec<Change> = if traced && changed {
            // Where one section made many changes, some may have fallen out of a short history already.
            let fallen = out.iter().filter(|change| change.seq >= first);
            let kept_from = out.last().map_or(first, |change| first.max(change.seq + 1));
            fallen.chain(ledger.history.since(kept_from).into_iter().flatten()).cloned().collect()
        } else {
            Vec::new()
        };
        let buried = ledger.aftermath.bury_some();
        drop(ledger);
        // Relaxed: a follower counts itself before it takes the lock to look. So either it has seen the change, or its count
        // is seen here.
        if changed && self.followers.load(Ordering::Relaxed) > 0 {
            quiet::run("a waker", || self.changed.notify_waiters());
        }
        for change in &to_trace {
            quiet::run("a subscriber", || change.trace(&self.name));
        }
        if !ended.is_empty() {
            let ends = Ends::new(ended, &self.reaper);
            match ends_where {
                Where::Here => ends.perform(),
                Where::Beside => rt::beside(&self.reaper, move || ends.perform()),
            }
        }
        // Reasons hold errors of the user's, mailboxes closures: one by one.
        out.into_iter().chain(to_trace).for_each(|change| quiet::discard("a change", change));
        buried.into_iter().for_each(|record| quiet::discard("a record", record));
        result
    }
}
