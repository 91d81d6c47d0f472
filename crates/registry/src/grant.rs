//! An addition on its way to whoever asked for it: undone, unless it is accepted.

use crate::books::{Books, By};
use crate::record::Record;
use crate::secondary::Label;
use std::sync::Arc;

/// Labels, or a mailbox with its labels, that came in. Whoever asked may have gone by the time it reaches them: then it is
/// dropped on its way, and nothing has happened. What others were granted of the same mailbox meanwhile stays, and the mailbox
/// with it.
pub(crate) struct Granted {
    books: Arc<Books>,
    record: Arc<Record>,
    /// `None`: it has been accepted.
    labels: Option<Vec<Label>>,
    by: By,
}

impl Granted {
    /// The record has counted it ([`Record::grant`]).
    pub(crate) fn new(books: &Arc<Books>, record: Arc<Record>, labels: Vec<Label>, by: By) -> Self {
        Self { books: Arc::clone(books), record, labels: Some(labels), by }
    }

    /// It has come to whoever asked.
    pub(crate) fn accept(mut self) {
        if let Some(labels) = self.labels.take() {
            self.books.track(self.record.id, &labels, self.by);
        }
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        if let Some(labels) = self.labels.take() {
            self.books.take_back(&self.record, &labels);
        }
    }
}
