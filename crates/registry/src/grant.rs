//! An addition on its way to whoever asked for it: undone, unless it is accepted.

use crate::books::By;
use crate::record::Record;
use crate::secondary::FewLabels;
use restante_genserver::tracker;
use std::sync::Arc;

/// Labels, or a mailbox with its labels, that came in. Whoever asked may have gone by the time it reaches them: then it is
/// dropped on its way, and nothing has happened. What others were granted of the same mailbox meanwhile stays, and the mailbox
/// with it.
pub(crate) struct Granted {
    record: Arc<Record>,
    /// `None`: it has been accepted.
    labels: Option<FewLabels>,
    by: By,
}

impl Granted {
    /// The record has counted it ([`Record::grant`]).
    pub(crate) fn new(record: Arc<Record>, labels: FewLabels, by: By) -> Self {
        Self { record, labels: Some(labels), by }
    }

    /// It has come to whoever asked.
    pub(crate) fn accept(mut self) {
        if let Some(labels) = self.labels.take()
            && tracker::is_on()
            && let Some(books) = self.record.books()
        {
            books.track(self.record.id, &labels, self.by);
        }
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        if let Some(labels) = self.labels.take()
            && let Some(books) = self.record.books()
        {
            books.take_back(&self.record, &labels);
        }
    }
}
