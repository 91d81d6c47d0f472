//! Whose a grant is: the mailbox's own server's, a creation's, or another's.
//!
//! An entry outlives a creation that was not taken, if others have been granted it. So each addition says who asked for it
//! ([`Asker`]): the very server whose mailbox it is about, which registers in its `init` perhaps; the code of a creation, with
//! the tasks that it took along, whose family it is then part of; or another caller. Neither of the first two keeps a creation
//! from being undone.
//!
//! A creation whose caller is the code of another creation becomes part of that one's family when it is taken:
//!
//! ```text
//!             taken by the code of another creation
//!   growing ────────────────────────────────────────> joined: what comes to it goes on to that one's
//!      ├──> taken     with all that it has taken itself
//!      └──> ended     what it has taken is undone with it, but for entries that others have been granted
//! ```
//!
//! A family's lock is taken under the writers' lock of the books, and under no other of ours; nothing is called under it.

use crate::addition::Addition;
use crate::books::Books;
use crate::record::Record;
use crate::rt;
use crate::sync::Mutex;
use restante_supervisor::nursery::{self, Nursery};
use std::sync::{Arc, Weak};

/// Who asks for an addition.
pub(crate) struct Asker {
    /// The server of the mailbox that it is about.
    itself: bool,
    /// The code of a creation.
    family: Option<Arc<Family>>,
}

impl Asker {
    /// Neither the mailbox's own server nor a creation.
    pub(crate) const fn another() -> Self {
        Self { itself: false, family: None }
    }

    /// The code that runs here, which asks for an addition to this mailbox.
    pub(crate) fn here(record: Option<&Record>) -> Self {
        Self { itself: record.is_some_and(|record| record.mailbox.is_served_here()), family: Family::here() }
    }

    /// Under the writers' lock: it is granted.
    pub(crate) fn granted(&self, record: &Arc<Record>) {
        record.grant(self.itself);
        if let Some(family) = &self.family {
            family.granted(record);
        }
    }

    /// Under the writers' lock: its grant is taken back; true for the record's last.
    pub(crate) fn takes_back(&self, record: &Arc<Record>) -> bool {
        if let Some(family) = &self.family {
            family.takes_back(record);
        }
        record.take_back(self.itself)
    }
}

/// A creation, with what its code was granted and has taken.
pub(crate) struct Family(Mutex<State>);

enum State {
    Growing(Members),
    /// It was taken by the code of this one.
    Joined(Arc<Family>),
    /// It is undone, or has been taken by a caller that is no creation's.
    Over {
        undone: bool,
    },
}

#[derive(Default)]
struct Members {
    /// The record of each grant.
    grants: Vec<Weak<Record>>,
    /// What it has taken from other creations.
    taken: Vec<Taken>,
}

/// What a creation has made, and the code of another has taken.
pub(crate) struct Taken {
    pub(crate) granted: Addition,
    pub(crate) made: Made,
}

/// What a creation has made under supervisors, and whose entry that stands or falls with.
pub(crate) struct Made {
    pub(crate) nursery: Nursery,
    /// When the creation began, as keepers count.
    pub(crate) since: u64,
    pub(crate) record: Arc<Record>,
    pub(crate) books: Arc<Books>,
}

impl Family {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State::Growing(Members::default()))))
    }

    /// That of the creation whose code runs here.
    pub(crate) fn here() -> Option<Arc<Self>> {
        nursery::owner_here()?.downcast().ok()
    }

    fn granted(&self, record: &Arc<Record>) {
        let outer = match &mut *self.0.lock() {
            State::Growing(members) => {
                members.note(Arc::downgrade(record));
                return;
            }
            State::Joined(outer) => Arc::clone(outer),
            State::Over { .. } => return,
        };
        outer.granted(record);
    }

    fn takes_back(&self, record: &Arc<Record>) {
        let outer = match &mut *self.0.lock() {
            State::Growing(members) => {
                if let Some(at) = members.grants.iter().position(|of| is_of(of, record)) {
                    members.grants.swap_remove(at);
                }
                return;
            }
            State::Joined(outer) => Arc::clone(outer),
            State::Over { .. } => return,
        };
        outer.takes_back(record);
    }

    /// How many grants on this record are its own.
    pub(crate) fn grants_on(&self, record: &Arc<Record>) -> usize {
        match &*self.0.lock() {
            State::Growing(members) => members.grants_on(record),
            State::Joined(_) | State::Over { .. } => 0,
        }
    }

    /// The creation is taken by a caller that is no creation's.
    pub(crate) fn taken(&self) {
        self.put(State::Over { undone: false }).accept();
    }

    /// It is undone.
    pub(crate) fn undone(&self) {
        self.put(State::Over { undone: true }).undo();
    }

    /// It is taken by the code of that one.
    pub(crate) fn joins(&self, outer: &Arc<Self>, made: Taken) {
        let mut members = self.put(State::Joined(Arc::clone(outer)));
        members.taken.push(made);
        outer.adopt(members);
    }

    fn adopt(&self, members: Members) {
        let late = match &mut *self.0.lock() {
            State::Growing(its) => {
                members.grants.into_iter().for_each(|grant| its.note(grant));
                its.taken.extend(members.taken);
                return;
            }
            State::Joined(outer) => Ok(Arc::clone(outer)),
            State::Over { undone } => Err(*undone),
        };
        match late {
            Ok(outer) => outer.adopt(members),
            Err(true) => members.undo(),
            Err(false) => members.accept(),
        }
    }

    fn put(&self, state: State) -> Members {
        let before = std::mem::replace(&mut *self.0.lock(), state);
        match before {
            State::Growing(members) => members,
            State::Joined(_) | State::Over { .. } => Members::default(),
        }
    }
}

impl Members {
    fn note(&mut self, grant: Weak<Record>) {
        // Records that are there no more make room; amortised, since the list doubles before it is looked through.
        if self.grants.len() == self.grants.capacity() {
            self.grants.retain(|of| of.strong_count() > 0);
        }
        self.grants.push(grant);
    }

    fn grants_on(&self, record: &Arc<Record>) -> usize {
        let taken = self.taken.iter().filter(|taken| Arc::ptr_eq(&taken.made.record, record)).count();
        taken + granted_on(&self.grants, record)
    }

    fn accept(self) {
        for Taken { granted, made } in self.taken {
            granted.accept();
            made.nursery.forget();
        }
    }

    /// What was taken is taken back first, all of it: one may have been made with what another has made.
    fn undo(self) {
        let Self { grants, taken } = self;
        let made = taken.into_iter().map(|Taken { granted, made }| {
            drop(granted);
            made
        });
        let made: Vec<Made> = made.collect();
        for made in made {
            let is_anothers = made.books.is_anothers(&made.record, |record| granted_on(&grants, record));
            if is_anothers {
                made.nursery.forget();
            } else {
                made.end();
            }
        }
    }
}

impl Made {
    fn end(self) {
        let mut ends = self.nursery.end_all();
        ends.extend(self.record.mailbox.give_up(self.since));
        for end in ends {
            rt::hand_over(&self.books.reaper, end);
        }
    }
}

fn granted_on(grants: &[Weak<Record>], record: &Arc<Record>) -> usize {
    grants.iter().filter(|of| is_of(of, record)).count()
}

fn is_of(grant: &Weak<Record>, record: &Arc<Record>) -> bool {
    std::ptr::addr_eq(grant.as_ptr(), Arc::as_ptr(record))
}
