//! A name that remembers where it led, and notices when it leads there no more.

use crate::lookup::LookupError;
use crate::registry::Registry;
use restante_core::Addressable;
use restante_core::addressable::Lent;
use std::fmt;
use std::sync::Arc;

/// A name, with what it was found to lead to. Asking again costs one read of a number that changes when any name is taken off
/// in the registry, or any mailbox goes; only then it is looked up anew. It does not keep the mailbox open.
pub struct Cached<R: Addressable> {
    registry: Registry,
    name: Arc<str>,
    /// And how often names had been taken off before it was found.
    found: Option<(Lent<R>, u64)>,
}

impl Registry {
    /// This name, or the text of an id, to be asked for often. The first look-up is made by `get`.
    pub fn cached<R: Addressable>(&self, name: impl Into<Arc<str>>) -> Cached<R> {
        Cached { registry: self.clone(), name: name.into(), found: None }
    }
}

impl<R: Addressable> Cached<R> {
    /// Its mailbox, lent.
    ///
    /// # Errors
    /// [`LookupError`]; the next time it is looked up again.
    pub fn get(&mut self) -> Result<&R, LookupError> {
        let books = &self.registry.0.books;
        // Read before the look-up, so that a name that is taken off after it is noticed the next time.
        let removals = books.removals();
        // What a nested registry found above, or might no longer find there, is not remembered.
        let alone = self.registry.parent().is_none();
        let fresh = alone && self.found.as_ref().is_some_and(|(_, then)| *then == removals);
        if !fresh {
            self.found = None;
            let lent = self.registry.with(&*self.name, Lent::new)?;
            self.found = Some((lent, removals));
        }
        match &self.found {
            Some((mailbox, _)) => Ok(mailbox),
            None => Err(self.registry.explain_absence::<R>(&self.name)),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<R: Addressable> Clone for Cached<R> {
    fn clone(&self) -> Self {
        self.registry.cached(Arc::clone(&self.name))
    }
}

impl<R: Addressable> fmt::Debug for Cached<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cached({:?})", self.name)
    }
}
