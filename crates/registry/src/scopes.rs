//! Which registries there are in the process, for those who look in the wrong one.

use crate::books::Books;
use std::sync::{Arc, Mutex, PoisonError, Weak};

static ALL: Mutex<Vec<Weak<Books>>> = Mutex::new(Vec::new());

/// From now on others are told of it.
pub(crate) fn note(books: &Arc<Books>) {
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    // Amortised: the list doubles before it is looked through.
    if all.len() == all.capacity() {
        all.retain(|books| books.strong_count() > 0);
    }
    all.push(Arc::downgrade(books));
}

/// The names of other registries that have this name.
pub(crate) fn elsewhere(here: &Books, name: &str) -> Vec<Arc<str>> {
    let others: Vec<Arc<Books>> = {
        let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).collect()
    };
    others
        .iter()
        .filter(|books| !std::ptr::eq(&raw const ***books, here))
        .filter(|books| books.find_name(name, |record| !record.mailbox.has_closed()) == Some(true))
        .map(|books| Arc::clone(&books.name))
        .collect()
}
