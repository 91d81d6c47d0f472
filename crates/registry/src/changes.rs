//! Following a registry: every change in order, from a place in its history on.

use crate::books::Books;
use crate::change::Change;
use crate::history::At;
use crate::sync::Ordering;
use restante_core::shield::shield;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;

/// Follows a registry's changes, from a snapshot or from now on. Costs the writers nothing: it reads the history, which holds
/// the last changes (1024, unless the registry was made otherwise).
pub struct Changes {
    // The books do not keep the registry alive. The registry lives by its handles, and ends these changes when the last handle
    // goes.
    books: Arc<Books>,
    /// The number of the next.
    next: u64,
}

/// What a follower is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Followed {
    /// The next change.
    Change(Change),
    /// So many changes came and went before they were read. What the follower has is out of date: a new snapshot by
    /// [`Registry::follow`](crate::Registry::follow) helps.
    Missed(u64),
    /// The registry has ended, and all of its changes have been told.
    Ended,
}

impl Changes {
    pub(crate) fn new(books: Arc<Books>, next: u64) -> Self {
        books.followers.fetch_add(1, Ordering::Relaxed);
        Self { books, next }
    }

    /// The next change, if there is one already.
    pub fn try_next(&mut self) -> Option<Followed> {
        let (at, over) = self.books.read(&mut self.next);
        match at {
            At::Next(change) => Some(Followed::Change(change)),
            At::Missed(count) => Some(Followed::Missed(count)),
            At::End => over.then_some(Followed::Ended),
        }
    }

    /// Waits for the next change.
    ///
    /// # Cancel safety
    /// Nothing is lost: the next one to ask is told it.
    ///
    /// # Ordering
    /// Changes come in the order of their numbers, none twice, and none left out but what [`Followed::Missed`] counts.
    pub async fn next(&mut self) -> Followed {
        let books = Arc::clone(&self.books);
        loop {
            // Listen first, then look.
            let mut rung = pin!(books.changed.notified());
            rung.as_mut().enable();
            if let Some(followed) = self.try_next() {
                return followed;
            }
            shield(rung).await;
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.books.followers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Changes(next: {})", self.next)
    }
}
