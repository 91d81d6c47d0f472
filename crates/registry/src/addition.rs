//! An addition. It carries to the actor what is asked for, and back to the caller what is in effect. It is undone, unless the
//! caller accepts it.
//!
//! It travels in one box both ways, so a command is two words and an answer is.

use crate::books::{Books, By};
use crate::error::RegisterError;
use crate::family::Asker;
use crate::record::Record;
use crate::secondary::FewLabels;
use restante_genserver::tracker;
use std::sync::Arc;
use uuid::Uuid;

/// Labels, or a mailbox with its labels. The caller may have gone by the time the answer arrives: then the addition is dropped
/// on its way, and nothing has happened. What others were granted of that mailbox meanwhile stays, and the mailbox with it.
pub(crate) struct Addition(Box<Body>);

struct Body {
    to: Target,
    labels: FewLabels,
    by: By,
    asker: Asker,
    stage: Stage,
}

/// To which mailbox.
enum Target {
    /// This one, which comes in if it is not in yet.
    Record(Arc<Record>),
    /// The one of this id, which is in.
    Id(Uuid),
}

#[derive(Clone, Copy)]
enum Stage {
    Asked,
    /// In effect, since before the change of this number. The target is the record, which has counted it ([`Record::grant`]).
    Granted(u64),
    Accepted,
}

pub(crate) type Answer = Result<Addition, Box<RegisterError>>;

impl Addition {
    fn new(to: Target, labels: FewLabels, by: By, asker: Asker, stage: Stage) -> Self {
        Self(Box::new(Body { to, labels, by, asker, stage }))
    }

    /// This mailbox is to come in, under these labels. Made by the code that asks, on its stack.
    pub(crate) fn of(record: Arc<Record>, labels: FewLabels, by: By) -> Self {
        let asker = Asker::here(Some(&record));
        Self::new(Target::Record(record), labels, by, asker, Stage::Asked)
    }

    /// The mailbox of this id is to have these labels. Made likewise.
    pub(crate) fn to_id(books: &Books, id: Uuid, labels: FewLabels, by: By) -> Self {
        let asker = Asker::here(books.find_id(id, Arc::clone).as_deref());
        Self::new(Target::Id(id), labels, by, asker, Stage::Asked)
    }

    /// A creation's, which is in effect, since before the change of this number; and the record has counted it.
    pub(crate) fn granted(record: Arc<Record>, labels: FewLabels, number: u64, by: By) -> Self {
        Self::new(Target::Record(record), labels, by, Asker::another(), Stage::Granted(number))
    }

    /// Puts it into effect: all or nothing.
    pub(crate) fn perform(mut self, books: &Arc<Books>) -> Answer {
        let Body { to, labels, by, asker, stage } = &mut *self.0;
        let number = match to {
            Target::Record(record) => {
                let mut inserted = books.insert_for(asker, record, labels, None, *by);
                if let Err(RegisterError::MailboxDoesNotExist(_)) = inserted
                    // The record was in when the command was given, and has been taken out since; the mailbox may be open.
                    && let Some(again) = record.again(books)
                {
                    *record = again;
                    inserted = books.insert_for(asker, record, labels, None, *by);
                }
                inserted?
            }
            Target::Id(id) => {
                let (record, number) = books.add_labels(asker, *id, labels, *by)?;
                *to = Target::Record(record);
                number
            }
        };
        *stage = Stage::Granted(number);
        Ok(self)
    }

    /// The addition has reached the caller.
    pub(crate) fn accept(mut self) {
        let Body { to, labels, by, stage, .. } = &mut *self.0;
        *stage = Stage::Accepted;
        if tracker::is_on()
            && let Target::Record(record) = to
            && let Some(books) = record.books()
        {
            books.track(record.id, labels, *by);
        }
    }
}

impl Drop for Addition {
    fn drop(&mut self) {
        let Body { to, labels, asker, stage, .. } = &*self.0;
        if let (Stage::Granted(number), Target::Record(record)) = (stage, to)
            && let Some(books) = record.books()
        {
            books.take_back(asker, record, labels, *number);
        }
    }
}
