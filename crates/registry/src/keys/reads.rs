//! What readers ask. No lock is taken here, and none is held while a closure of the caller's runs.

use super::entry::{Found, Registered};
use super::handle::Keys;
use restante_core::Addressable;
use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::atomic::Ordering;

/// Reading. Of one key: as of one moment, but for values that are put in the place of others meanwhile. Of many keys: each
/// as it was when it was looked at.
impl<K, V> Keys<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The registrations under `key`, in the order in which they came about.
    ///
    /// **Source**: `Registry.lookup/2`. **Differs**: no registration whose holder has closed, of duplicate keys neither.
    pub fn lookup<Q>(&self, key: &Q) -> Vec<Registered<K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.find(key).into_vec()
    }

    /// The registrations under `key` whose value is such.
    ///
    /// **Source**: `Registry.match/4`.
    pub fn lookup_match<Q>(&self, key: &Q, mut matches: impl FnMut(&V) -> bool) -> Vec<Registered<K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut entries = self.lookup(key);
        entries.retain(|entry| matches(entry.value()));
        entries
    }

    /// Lends the registrations under `key` to `f`, in the order in which they came about; an empty slice where there are none.
    /// Under a unique key it allocates nothing.
    pub fn with<Q, R>(&self, key: &Q, f: impl FnOnce(&[Registered<K, V>]) -> R) -> R
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        f(self.find(key).as_slice())
    }

    /// Calls `f` with the registrations under `key`, once, here and now; not at all, and `None`, where there are none.
    ///
    /// A panic in it is the caller's: nothing of the registry is held meanwhile. It does not run in parallel: what one does
    /// with an entry is to send to it, which does not wait.
    ///
    /// **Source**: `Registry.dispatch/4`, with `parallel: false`.
    pub fn dispatch<Q, R>(&self, key: &Q, f: impl FnOnce(&[Registered<K, V>]) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let found = self.find(key);
        let entries = found.as_slice();
        (!entries.is_empty()).then(|| f(entries))
    }

    /// The holder of `key`, and of several the first, by the type as which it was registered. `None` where the key has no
    /// holder, or the holder was registered as another type.
    ///
    /// **Source**: `Registry.whereis_name/1`. **Differs**: it answers for duplicate keys too.
    pub fn whereis<R, Q>(&self, key: &Q) -> Option<R>
    where
        R: Addressable,
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.with(key, |entries| entries.first().and_then(Registered::holder))
    }

    /// The value under `key`; where there are several, of the first.
    pub fn value_of<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.with(key, |entries| entries.first().map(|entry| entry.value().clone()))
    }

    /// The values that `holder` has under `key`, in the order in which they were registered.
    ///
    /// **Source**: `Registry.values/3`.
    pub fn values_of(&self, key: &K, holder: &impl Addressable) -> Vec<V> {
        self.nodes_of(key, holder.mailbox_id()).iter().map(|node| node.value.clone()).collect()
    }

    /// The keys of `holder`, in the order in which they were registered, each as often as it was.
    ///
    /// **Source**: `Registry.keys/2`.
    pub fn keys_of(&self, holder: &impl Addressable) -> Vec<K> {
        if holder.has_closed() {
            return Vec::new();
        }
        let mut found = Found::Nothing;
        self.shared.by_holder.read(&holder.mailbox_id(), |node| found.push(node));
        found.as_slice().iter().map(|entry| entry.key().clone()).collect()
    }

    /// How many registrations there are. It costs one load; those whose holder closes in this very moment may be counted.
    ///
    /// **Source**: `Registry.count/1`.
    pub fn count(&self) -> usize {
        self.shared.count.load(Ordering::Acquire)
    }

    /// How many registrations under `key` have such a value.
    ///
    /// **Source**: `Registry.count_match/4`.
    pub fn count_match<Q>(&self, key: &Q, mut matches: impl FnMut(&V) -> bool) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.with(key, |entries| entries.iter().filter(|entry| matches(entry.value())).count())
    }

    /// What `f` makes of the registrations, in the order in which they came about; those of which it makes `None` are left out.
    ///
    /// It looks at all registrations, and first collects a reference to each. Those that are there all the while are among
    /// them, once; those that come or go meanwhile may be or not.
    ///
    /// **Source**: `Registry.select/2`, whose match specifications are a function here.
    pub fn select<T>(&self, f: impl FnMut(&Registered<K, V>) -> Option<T>) -> Vec<T> {
        self.all().iter().filter_map(f).collect()
    }

    /// How many registrations are such. As [`Keys::select`].
    ///
    /// **Source**: `Registry.count_select/2`.
    pub fn count_select(&self, mut matches: impl FnMut(&Registered<K, V>) -> bool) -> usize {
        self.all().iter().filter(|entry| matches(entry)).count()
    }

    fn find<Q>(&self, key: &Q) -> Found<K, V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut found = Found::Nothing;
        self.shared.by_key.read(key, |node| found.push(node));
        found.open()
    }

    fn all(&self) -> Vec<Registered<K, V>> {
        let mut all = Vec::with_capacity(self.count());
        self.shared.by_key.read_all(|node| all.push(Registered { node }));
        all.retain(|entry| !entry.has_closed());
        // While the map grows one may have been seen twice.
        all.sort_by_key(Registered::number);
        all.dedup_by_key(|entry| entry.number());
        all
    }
}
