//! What one gets for registering.

use super::entry::{Claim, Node};
use super::error::NotRegistered;
use super::guard::RegistrationGuard;
use super::handle::Keys;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use uuid::Uuid;

/// Refers to one registration: changes its value, ends it.
///
/// It is inert: dropping it does nothing, since a registration lives as long as its holder's mailbox is open, over all restarts
/// of the server that reads it. (A server's next incarnation finds its registrations again with
/// [`Keys::registrations_of`].) [`Registration::into_guard`] makes one that ends with its scope.
///
/// Cheap to clone. It keeps the [`Keys`] alive, and not the holder's mailbox open.
///
/// **Source**: Elixir's `Registry`, where the process itself is the proof of ownership.
/// **Differs**: a registration has a number, and so a reference of its own. Among duplicate keys it is clear which one is meant.
pub struct Registration<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) keys: Keys<K, V>,
    pub(super) claim: Arc<Claim<K>>,
}

impl<K, V> Registration<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The key.
    pub fn key(&self) -> &K {
        &self.claim.key
    }

    /// Which registration it is: see [`Registered::number`](super::Registered::number).
    pub fn number(&self) -> u64 {
        self.claim.number
    }

    /// The id of the holder's mailbox.
    pub fn holder_id(&self) -> Uuid {
        self.claim.holder.id()
    }

    /// Whether it is still there.
    pub fn is_registered(&self) -> bool {
        self.present().is_some()
    }

    /// Its present value; `None` when it is no longer there.
    pub fn value(&self) -> Option<V> {
        self.present().map(|node| node.value.clone())
    }

    /// Puts `f(value)` in the place of its value: the new value and the old one.
    ///
    /// No lock is held while `f` runs. Where another changes the value meanwhile, `f` is called again with what is there then:
    /// nothing is lost. A panic in it changes nothing.
    ///
    /// # Errors
    /// [`NotRegistered`] when it is no longer there. Then `f` was not called, or what it made is dropped.
    ///
    /// **Source**: `Registry.update_value/3`.
    pub fn update_value(&self, mut f: impl FnMut(&V) -> V) -> Result<(V, V), NotRegistered> {
        loop {
            let old = self.present().ok_or(NotRegistered)?;
            let new = f(&old.value);
            if self.keys.shared.replace(&old, new.clone()).is_ok() {
                return Ok((new, old.value.clone()));
            }
        }
    }

    /// Ends it; false when it was no longer there.
    pub fn unregister(&self) -> bool {
        self.keys.shared.unregister_one(self.claim.number)
    }

    /// One that ends when it is dropped.
    pub fn into_guard(self) -> RegistrationGuard<K, V> {
        RegistrationGuard::new(self)
    }

    fn present(&self) -> Option<Arc<Node<K, V>>> {
        let node = self.keys.shared.present(self.claim.number)?;
        (!self.claim.holder.has_closed()).then_some(node)
    }
}

impl<K, V> Clone for Registration<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn clone(&self) -> Self {
        Self { keys: self.keys.clone(), claim: Arc::clone(&self.claim) }
    }
}

impl<K, V> fmt::Debug for Registration<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + fmt::Debug + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("key", &self.claim.key)
            .field("holder", &self.holder_id())
            .field("number", &self.number())
            .finish_non_exhaustive()
    }
}
