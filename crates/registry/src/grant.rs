//! An addition on its way to whoever asked for it: undone, unless it is accepted.

use crate::books::{Books, Inserted};
use crate::ending::Outcome;
use crate::secondary::Label;
use restante_core::ExitReason;
use std::sync::Arc;
use uuid::Uuid;

/// Labels, or a mailbox with its labels, that came in. Whoever asked may have gone by the time it reaches them: then it is
/// dropped on its way, and nothing has happened.
pub(crate) struct Granted {
    books: Arc<Books>,
    id: Uuid,
    undo: Undo,
}

enum Undo {
    Nothing,
    Labels(Vec<Label>),
    Entry,
}

impl Granted {
    pub(crate) fn inserted(books: &Arc<Books>, inserted: &Inserted, labels: Vec<Label>) -> Self {
        let undo = if inserted.fresh { Undo::Entry } else { Undo::Labels(labels) };
        Self { books: Arc::clone(books), id: inserted.record.id, undo }
    }

    pub(crate) fn label(books: &Arc<Books>, id: Uuid, label: Label) -> Self {
        Self { books: Arc::clone(books), id, undo: Undo::Labels(vec![label]) }
    }

    /// It has come to whoever asked.
    pub(crate) fn accept(mut self) {
        self.undo = Undo::Nothing;
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.undo, Undo::Nothing) {
            Undo::Nothing => {}
            Undo::Entry => drop(self.books.remove(self.id, Outcome::Abandoned, &ExitReason::Normal, None)),
            Undo::Labels(labels) => {
                for label in labels {
                    self.books.remove_label(&label, Some(self.id), None);
                }
            }
        }
    }
}
