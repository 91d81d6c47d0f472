//! A registration that ends with its scope.

use super::registration::Registration;
use std::fmt;
use std::hash::Hash;
use std::ops::Deref;

/// A registration that ends when this is dropped (or, as any, when its holder's mailbox closes).
#[must_use = "the registration ends when its guard is dropped"]
pub struct RegistrationGuard<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    registration: Registration<K, V>,
    ends: bool,
}

impl<K, V> RegistrationGuard<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new(registration: Registration<K, V>) -> Self {
        Self { registration, ends: true }
    }

    /// Leaves the registration to its holder again.
    pub fn keep(mut self) -> Registration<K, V> {
        self.ends = false;
        self.registration.clone()
    }
}

impl<K, V> Deref for RegistrationGuard<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    type Target = Registration<K, V>;

    fn deref(&self) -> &Registration<K, V> {
        &self.registration
    }
}

impl<K, V> Drop for RegistrationGuard<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        if self.ends {
            self.registration.unregister();
        }
    }
}

impl<K, V> fmt::Debug for RegistrationGuard<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + fmt::Debug + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RegistrationGuard").field(&self.registration).finish()
    }
}
