//! An addition on its way to whoever asked for it: undone, unless it is accepted.

use crate::books::{Books, Inserted};
use crate::record::Record;
use crate::secondary::Label;
use std::sync::Arc;

/// Labels, or a mailbox with its labels, that came in. Whoever asked may have gone by the time it reaches them: then it is
/// dropped on its way, and nothing has happened.
///
/// Others may have asked for the same mailbox meanwhile. Its record counts the grants that are on their way and remembers
/// whether one has arrived: the mailbox goes out again only with the last of those whom nobody took.
pub(crate) struct Granted {
    books: Arc<Books>,
    record: Arc<Record>,
    labels: Vec<Label>,
    accepted: bool,
}

impl Granted {
    pub(crate) fn inserted(books: &Arc<Books>, inserted: Inserted, labels: Vec<Label>) -> Self {
        Self { books: Arc::clone(books), record: inserted.0, labels, accepted: false }
    }

    /// It has come to whoever asked.
    pub(crate) fn accept(mut self) {
        self.record.grant_arrived();
        self.accepted = true;
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        if !self.accepted {
            self.books.take_back(&self.record, &self.labels);
        }
    }
}
