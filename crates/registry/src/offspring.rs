//! What a creation makes under supervisors, until its caller has taken it.
//!
//! ```text
//!   growing ──> grown ──> entered ──> taken     the caller has it: it lives on
//!      └──────────┴──────────┴──────> ended     whyever it is dropped: each child is ended under its supervisor
//! ```
//!
//! - *growing*: the creation's future runs, and its supervised children are noted ([`Nursery`]); so are those of tasks that it
//!   has spawned and taken along ([`InScope`](crate::InScope)), which may outlive it: what these start when the rest has been
//!   ended is ended at once.
//! - *grown*: it has returned a mailbox. Where a supervisor has kept that one only since the creation began, it counts as made by
//!   it, whichever task or server started it; one that was kept before is somebody else's.
//! - *entered*: the mailbox is in the registry. Should others have been granted its entry by the time the creation is undone, the
//!   entry stays, and with it what was made. Neither the creation's own code nor the server itself is one of these others
//!   ([`crate::family`]).
//! - *taken*: where the caller is the code of another creation, what was made is that one's, to be taken or undone with it.
//!
//! One owner at a time: the creation's task, the channel to the caller, the caller. What ends is ordered by the drop, wherever
//! that runs, and waited for by the registry's reaper.

use crate::addition::Addition;
use crate::books::Books;
use crate::family::{Family, Made, Taken};
use crate::record::Record;
use crate::rt;
use restante_core::Addressable;
use restante_genserver::keeper;
use restante_supervisor::nursery::Nursery;
use std::sync::Arc;

/// Dropped before it is taken, it ends what was made.
pub(crate) struct Offspring<R: Addressable> {
    nursery: Nursery,
    /// The nursery's owner.
    family: Arc<Family>,
    /// When the creation began, as keepers count.
    since: u64,
    books: Arc<Books>,
    /// `None`: there is none yet, or it has been taken.
    mailbox: Option<R>,
    record: Option<Arc<Record>>,
    taken: bool,
}

impl<R: Addressable> Offspring<R> {
    /// The creation begins.
    pub(crate) fn new(books: &Arc<Books>) -> Self {
        let family = Family::new();
        Self {
            nursery: Nursery::owned_by(Arc::clone(&family) as _),
            family,
            since: keeper::kept_so_far(),
            books: Arc::clone(books),
            mailbox: None,
            record: None,
            taken: false,
        }
    }

    /// Its future, whose children are noted.
    pub(crate) fn tend<F: Future>(&self, make: F) -> impl Future<Output = F::Output> + use<F, R> {
        self.nursery.tend(make)
    }

    /// What the future has returned.
    pub(crate) fn grown(&mut self, mailbox: R) -> &R {
        self.mailbox.insert(mailbox)
    }

    /// It is in the registry.
    pub(crate) fn entered(&mut self, record: &Arc<Record>) {
        self.record = Some(Arc::clone(record));
    }

    /// The caller, whose code runs here, has it, by this grant.
    pub(crate) fn take(mut self, granted: Addition) -> Option<R> {
        self.taken = true;
        if let (Some(outer), Some(record)) = (Family::here(), self.record.take()) {
            let (nursery, books) = (self.nursery.clone(), Arc::clone(&self.books));
            let made = Made { nursery, since: self.since, record, books };
            self.family.joins(&outer, Taken { granted, made });
        } else {
            granted.accept();
            self.nursery.forget();
            self.family.taken();
        }
        self.mailbox.take()
    }
}

impl<R: Addressable> Drop for Offspring<R> {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        let is_anothers = self
            .record
            .as_ref()
            .is_some_and(|record| self.books.is_anothers(record, |record| self.family.grants_on(record)));
        if is_anothers {
            self.nursery.forget();
            self.family.taken();
            return;
        }
        let mut ends = self.nursery.end_all();
        ends.extend(self.mailbox.as_ref().and_then(|mailbox| mailbox.give_up(self.since)));
        for end in ends {
            rt::hand_over(&self.books.reaper, end);
        }
        self.family.undone();
    }
}
