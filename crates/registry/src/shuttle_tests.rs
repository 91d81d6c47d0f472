//! The registry under shuttle: random schedules and schedules with few, well placed preemptions (PCT), 10,000 of each for
//! every model, fewer where a whole registry is made in each.
//!
//! Run them with
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" cargo test --release -p restante-registry --lib shuttle
//! ```
//!
//! and a target directory of their own (`CARGO_TARGET_DIR=target/shuttle`), or with `cargo xtask shuttle`. A hang shows as a
//! deadlock, or as a schedule without end. The read map is a stand-in ([`crate::index`]); there is no time.
//!
//! At the end of each schedule ([`settled`]): every name leads to an open mailbox that has it, every mailbox that is in is
//! open and found under all its names, the sizes are those of the indexes, and nothing is held for a creation.

mod books;
mod orphans;
mod whole;

use crate::addition::Addition;
use crate::books::Books;
use crate::change::{Change, Sizes, What};
use crate::ending::{Ending, Outcome};
use crate::error::RegisterError;
use crate::name_text::NameText;
use crate::record::Record;
use crate::secondary::{Label, SecondaryKey};
use restante_core::addressable::Addressable;
use restante_core::{Address, ExitReason, Mailbox, Reaper};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread::{self, JoinHandle};
use std::sync::Arc;

/// Both kinds of schedules.
fn explore(schedules: usize, model: impl Fn() + Send + Sync + Clone + 'static) {
    let config = || {
        let mut config = shuttle::Config::new();
        // The futures of nested creations are large, and lie on the stacks of the model's tasks.
        config.stack_size = 256 << 10;
        config
    };
    shuttle::Runner::new(RandomScheduler::new(schedules), config()).run(model.clone());
    shuttle::Runner::new(PctScheduler::new(3, schedules), config()).run(model);
}

fn mailbox() -> (Mailbox<u32>, Address<u32>) {
    let mailbox = Mailbox::new();
    let address = mailbox.address();
    (mailbox, address)
}

fn books(history: usize) -> Arc<Books> {
    // No clean-up is handed over in these models: the runtime is only named.
    Arc::new(Books::new("model".into(), history, Reaper::new(crate::background::runtime())))
}

fn name(text: &str) -> Label {
    Label::Name(NameText::new(text).unwrap())
}

/// As the actor does it: what is granted is the caller's to accept.
fn ask(books: &Arc<Books>, at: &Address<u32>, labels: &[Label]) -> Result<Addition, RegisterError> {
    let id = at.id();
    let record = Record::new(at, id, books).ok_or(RegisterError::MailboxDoesNotExist(id))?;
    Addition::of(record, labels.into(), None).perform(books).map_err(|error| *error)
}

fn register(books: &Arc<Books>, at: &Address<u32>, text: &str) -> Result<(), RegisterError> {
    ask(books, at, &[name(text)]).map(Addition::accept)
}

fn leads_to(books: &Books, text: &str) -> Option<uuid::Uuid> {
    books.find_name(text, |record| record.id)
}

/// At any instant: what a name was found to lead to is found by its id, and has the name, unless the name leads there no more.
fn looked(books: &Books, text: &str) {
    let Some(found) = books.find_name(text, Arc::clone) else { return };
    let has_it = || found.labels.read(|labels| labels.names().any(|name| **name == *text)) == Some(true);
    if books.find_id(found.id, |record| Arc::ptr_eq(record, &found)) != Some(true) || !has_it() {
        assert_ne!(books.find_name(text, |record| Arc::ptr_eq(record, &found)), Some(true));
    }
}

/// When all is done.
fn settled(books: &Books) {
    let mut sizes = Sizes::default();
    books.each_name(|name, record| {
        sizes.names += 1;
        assert!(!record.mailbox.has_closed(), "{name} leads to a closed mailbox");
        assert_eq!(books.find_id(record.id, |known| Arc::ptr_eq(known, record)), Some(true));
        assert!(record.labels.read(|labels| labels.names().any(|on| on == name)).unwrap());
        true
    });
    books.each_mailbox(|record| {
        sizes.mailboxes += 1;
        assert!(!record.mailbox.has_closed() && !record.is_gone());
        let labels = record.labels.read(Clone::clone).unwrap_or_default();
        labels.names().for_each(|name| assert_eq!(leads_to(books, name), Some(record.id)));
        for key in labels.keys() {
            assert_eq!(books.find_key(key.kind, &key.key, |r| r.id), Some(record.id));
        }
        true
    });
    assert_eq!(books.sizes(), sizes);
    assert_eq!(books.reserved(), 0);
    assert!(books.snapshot().validate().is_consistent());
}

/// How the entries of this mailbox ended, in order; each came in before.
fn endings(books: &Books, id: uuid::Uuid) -> Vec<Ending> {
    let changes: Vec<Change> = books.with_history(|history, _| history.last(usize::MAX));
    let mut is_in = false;
    let mut endings = Vec::new();
    for change in changes.into_iter().filter(|change| change.id == id) {
        match change.what {
            What::Created => assert!(!std::mem::replace(&mut is_in, true), "it comes in twice"),
            What::Destroyed(ending) => {
                assert!(std::mem::replace(&mut is_in, false), "it goes twice");
                endings.push(ending);
            }
            _ => assert!(is_in, "labels are put on and taken off while it is in"),
        }
    }
    endings
}
