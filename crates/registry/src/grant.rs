//! An addition on its way to whoever asked for it: undone, unless it is accepted.

use crate::books::{Books, By, Put};
use crate::record::Record;
use crate::secondary::Label;
use std::sync::Arc;

/// Labels, or a mailbox with its labels, that came in. Whoever asked may have gone by the time it reaches them: then it is
/// dropped on its way, and nothing has happened. What others were granted of the same mailbox meanwhile stays, and the mailbox
/// with it.
pub(crate) struct Granted {
    books: Arc<Books>,
    record: Arc<Record>,
    /// Labels that were taken off from this number on, and are on it again, are another's.
    number: u64,
    /// `None`: it has been accepted.
    labels: Option<Vec<Label>>,
    by: By,
}

impl Granted {
    /// The record has counted it ([`Record::grant`]).
    pub(crate) fn new(books: &Arc<Books>, put: Put, labels: Vec<Label>, by: By) -> Self {
        let Put { record, number } = put;
        Self { books: Arc::clone(books), record, number, labels: Some(labels), by }
    }

    /// It has come to whoever asked.
    pub(crate) fn accept(mut self) {
        if let Some(labels) = self.labels.take() {
            self.record.granted();
            self.books.track(self.record.id, &labels, self.by);
        }
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        if let Some(labels) = self.labels.take() {
            self.books.take_back(&self.record, &labels, self.number);
        }
    }
}
