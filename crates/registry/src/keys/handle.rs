//! The handle: who registers, unregisters, listens and locks.

use super::entry::Node;
use super::error::{KeyError, MetaError, NotRegistered};
use super::holder::held;
use super::listener::{KeySnapshot, Listener};
use super::lock::KeyGuard;
use super::registration::Registration;
use super::table::{Claimed, KeyKind, Shared};
use restante_core::Addressable;
use std::any::Any;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use uuid::Uuid;

/// Registers mailboxes under keys, each registration with a value.
///
/// The holder of a registration is a mailbox. So it lives as long as that is open: over restarts of its server, not over its
/// end for good. It keeps nothing open itself. When a mailbox closes its registrations have gone before its links, its monitors
/// and those who wait to send to it hear of it.
///
/// Writing takes one short lock. Reading takes none: what [`Keys::lookup`] and its kin return is true at some moment during
/// the call, a registration that is there all the while is always found, and none whose holder has closed is shown.
///
/// Cheap to clone: all clones are one registry. With the last of them (and of its [`Registration`]s) it goes.
///
/// Keys are plain data: their `Hash`, `Eq` and `Clone` run under that lock, must not panic and must not use the registry; a
/// key's memory may go a good while after its registration, on another thread. Values are user code's: none of it runs under
/// a lock, and what has been unregistered or replaced is dropped at once, unless a reader still looks at it.
///
/// ```
/// use restante_core::{Address, Mailbox};
/// use restante_registry::keys::Keys;
///
/// let rooms: Keys<&str, u32> = Keys::duplicate();
/// let (ada, bea) = (Mailbox::<String>::new(), Mailbox::<String>::new());
/// rooms.register(&ada.address(), "lobby", 1)?;
/// rooms.register(&bea.address(), "lobby", 2)?;
///
/// rooms.dispatch("lobby", |entries| {
///     for entry in entries {
///         let guest = entry.lent::<Address<String>>().expect("all were registered as such");
///         guest.try_send(format!("you are number {}", entry.value())).expect("it has room");
///     }
/// });
/// assert_eq!(bea.receiver()?.try_receive()?, "you are number 2");
///
/// ada.close();
/// assert_eq!(rooms.lookup("lobby").len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// **Source**: Elixir's `Registry`.
/// **Differs**: the holder is a mailbox and not a process; it need not be the caller; keys are compared with `Eq`; patterns are
/// predicates; listeners hear of removals at a holder's end too; there are no partitions to choose.
pub struct Keys<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) shared: Arc<Shared<K, V>>,
}

impl<K, V> Keys<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// One registration per key.
    pub fn unique() -> Self {
        Self { shared: Shared::new(KeyKind::Unique) }
    }

    /// As many registrations per key as there are, of the same holder too.
    pub fn duplicate() -> Self {
        Self { shared: Shared::new(KeyKind::Duplicate) }
    }

    /// Whether keys are unique.
    pub fn kind(&self) -> KeyKind {
        self.shared.kind
    }

    /// Registers `holder` under `key`.
    ///
    /// A unique key whose holder's mailbox has closed is free, even in the moment before that has been tidied up. One that
    /// `holder` has already gets the new value, and stays the registration that it was, with its number: so a server may register
    /// in its `init`, which each of its incarnations runs. Of duplicate keys it gets one more: see [`Keys::register_once`].
    ///
    /// # Errors
    /// [`KeyError::KeyTaken`] where keys are unique and another holds it; [`KeyError::HolderClosed`] where `holder` can hold
    /// nothing any more.
    ///
    /// **Source**: `Registry.register/3`. **Differs**: anybody who has a reference to a mailbox may register it; a holder may
    /// register its unique key again.
    pub fn register(
        &self,
        holder: &impl Addressable,
        key: K,
        value: V,
    ) -> Result<Registration<K, V>, KeyError> {
        self.claim(holder, key, value, false)
    }

    /// Registers `holder` under `key`, once: what it has there already gets the new value, of several registrations the first.
    /// For `init`, of duplicate keys as of unique ones.
    ///
    /// # Errors
    /// As [`Keys::register`].
    pub fn register_once(
        &self,
        holder: &impl Addressable,
        key: K,
        value: V,
    ) -> Result<Registration<K, V>, KeyError> {
        self.claim(holder, key, value, true)
    }

    fn claim(
        &self,
        holder: &impl Addressable,
        key: K,
        value: V,
        once: bool,
    ) -> Result<Registration<K, V>, KeyError> {
        match self.shared.claim(held(holder), key, value, once) {
            Claimed::Yes(claim) => Ok(Registration { keys: self.clone(), claim }),
            Claimed::Taken(holder) => Err(KeyError::KeyTaken { holder }),
            Claimed::HolderClosed => Err(KeyError::HolderClosed),
        }
    }

    /// Ends what `holder` has under `key`, all of it where keys are not unique: how many. It is no error when that is none.
    ///
    /// **Source**: `Registry.unregister/2`.
    pub fn unregister(&self, key: &K, holder: &impl Addressable) -> usize {
        self.shared.unregister_all(key, holder.mailbox_id())
    }

    /// Ends what `holder` has under `key` where the value is such: how many.
    ///
    /// No lock is held while `matches` runs. Where a value changes meanwhile it is asked again.
    ///
    /// **Source**: `Registry.unregister_match/4`.
    pub fn unregister_match(
        &self,
        key: &K,
        holder: &impl Addressable,
        mut matches: impl FnMut(&V) -> bool,
    ) -> usize {
        let mut total = 0;
        loop {
            let mut nodes = self.nodes_of(key, holder.mailbox_id());
            nodes.retain(|node| matches(&node.value));
            let (removed, changed) = self.shared.unregister(&nodes);
            total += removed;
            if !changed {
                return total;
            }
        }
    }

    /// Puts `f(value)` in the place of the value that `holder` registered under `key`: the new value and the old one. Where it
    /// registered several, of the first. See [`Registration::update_value`].
    ///
    /// # Errors
    /// [`NotRegistered`] when `holder` has nothing there: `f` is not called.
    ///
    /// **Source**: `Registry.update_value/3`. **Differs**: it works for duplicate keys too.
    pub fn update_value(
        &self,
        key: &K,
        holder: &impl Addressable,
        f: impl FnMut(&V) -> V,
    ) -> Result<(V, V), NotRegistered> {
        let first = self.registrations_of(key, holder).into_iter().next();
        first.ok_or(NotRegistered)?.update_value(f)
    }

    /// What `holder` has under `key`, in the order in which it was registered: how a server that was restarted comes by what
    /// the incarnation before it registered.
    pub fn registrations_of(&self, key: &K, holder: &impl Addressable) -> Vec<Registration<K, V>> {
        let nodes = self.nodes_of(key, holder.mailbox_id());
        nodes
            .into_iter()
            .map(|node| Registration { keys: self.clone(), claim: Arc::clone(&node.claim) })
            .collect()
    }

    /// What this holder has under this key, if it is open.
    pub(super) fn nodes_of(&self, key: &K, holder: Uuid) -> Vec<Arc<Node<K, V>>> {
        let mut nodes = Vec::new();
        self.shared.by_key.read(key, |node| nodes.push(node));
        nodes.retain(|node| node.claim.holder.id() == holder && !node.claim.holder.has_closed());
        nodes
    }

    /// Hears what happens from now on. A listener's queue holds so many events (one at least); when it is full the oldest is
    /// lost, and it is told. [`DEFAULT_LISTENER_CAPACITY`](super::DEFAULT_LISTENER_CAPACITY) is a good number.
    ///
    /// To have events sent to a mailbox, have a task send them on:
    ///
    /// ```
    /// # use restante_core::{Address, Mailbox};
    /// # use restante_registry::keys::{DEFAULT_LISTENER_CAPACITY, KeyEvent, Keys};
    /// async fn forward(keys: Keys<String, u32>, to: Address<KeyEvent<String, u32>>) {
    ///     let mut listener = keys.listen(DEFAULT_LISTENER_CAPACITY);
    ///     drop(keys);
    ///     while let Some(event) = listener.next().await {
    ///         if to.send(event).await.is_err() {
    ///             return;
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// **Source**: `Registry`'s option `listeners`. **Differs**: a listener hears of removals at a holder's end, with the
    /// reason, and of new values; its events are numbered; what it does not take in time it is told that it missed.
    pub fn listen(&self, capacity: usize) -> Listener<K, V> {
        self.shared.listen(capacity)
    }

    /// All registrations of one moment, and a listener that hears all that comes after that moment, and nothing else.
    ///
    /// Writers wait while it copies references, some nanoseconds for each registration; readers do not.
    pub fn snapshot_and_listen(&self, capacity: usize) -> (KeySnapshot<K, V>, Listener<K, V>) {
        self.shared.snapshot_and_listen(capacity)
    }

    /// Waits for the lock of `key`, first come (that is: first polled), first served. It is held until the guard is dropped,
    /// over awaits if need be. Locks of different keys have nothing to do with each other, nor with registrations: a key
    /// need not be registered to be locked.
    ///
    /// A caller that waits for the lock of a key while it holds that lock waits for ever.
    ///
    /// # Cancel safety
    /// Who is dropped while it waits has lost its place, and those behind it move up; so it is when the lock had just been
    /// handed to it.
    ///
    /// **Source**: `Registry.lock/3`. **Differs**: a guard instead of a function; the lock is free when the guard has gone,
    /// which is when the holder's future or state is dropped.
    pub async fn lock(&self, key: &K) -> KeyGuard<K> {
        self.shared.locks.lock(key).await
    }

    /// The lock of `key`, if it is neither held nor waited for.
    pub fn try_lock(&self, key: &K) -> Option<KeyGuard<K>> {
        self.shared.locks.try_lock(key)
    }

    /// How many keys are locked.
    pub fn locked(&self) -> usize {
        self.shared.locks.held()
    }

    /// Puts a value that concerns the registry as a whole under this name, instead of what was there.
    ///
    /// **Source**: `Registry.put_meta/3`.
    pub fn put_meta<T: Any + Send + Sync>(&self, name: &str, value: T) {
        self.shared.meta.put(name, value);
    }

    /// What was put under this name.
    ///
    /// # Errors
    /// [`MetaError::Absent`], or [`MetaError::WrongType`] where it was a value of another type.
    ///
    /// **Source**: `Registry.meta/2`.
    pub fn meta<T: Any + Clone>(&self, name: &str) -> Result<T, MetaError> {
        self.shared.meta.get(name)
    }

    /// Takes away what was put under this name; false when that was nothing.
    ///
    /// **Source**: `Registry.delete_meta/2`.
    pub fn delete_meta(&self, name: &str) -> bool {
        self.shared.meta.delete(name)
    }
}

impl<K, V> Clone for Keys<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K, V> fmt::Debug for Keys<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("kind", &self.shared.kind)
            .field("count", &self.shared.count.load(Ordering::Acquire))
            .field("locked", &self.locked())
            .field("meta", &self.shared.meta)
            .finish()
    }
}
