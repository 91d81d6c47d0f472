//! The read map, and what stands in for it under shuttle.
//!
//! The real one is not modelled: it knows neither shuttle's locks nor its threads, and keeps what was removed for as long as
//! it likes, past the end of a schedule. In the stand-in each operation is a single step, and a walk is one step for each
//! entry, so that writers come in between.

#[cfg(not(shuttle))]
pub(crate) use scc::HashIndex;
#[cfg(not(shuttle))]
use std::hash::{BuildHasher, Hash};

#[cfg(shuttle)]
pub(crate) use stand_in::{HashIndex, walk};

/// Every entry that is in from the beginning of the walk to its end, more than once where the map grows meanwhile; of those
/// that come or go, some. No lock. False: `f` said to stop.
#[cfg(not(shuttle))]
pub(crate) fn walk<K: Clone + Eq + Hash, V: Clone, S: BuildHasher>(
    index: &HashIndex<K, V, S>,
    mut f: impl FnMut(&K, &V) -> bool,
) -> bool {
    index.iter(&scc::Guard::new()).all(|(key, value)| f(key, value))
}

#[cfg(shuttle)]
mod stand_in {
    use crate::sync::{AtomicUsize, Ordering};
    use scc::Equivalent;
    use shuttle::rand::{Rng, thread_rng};
    use std::hash::Hash;
    use std::marker::PhantomData;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    pub(crate) struct HashIndex<K, V, S> {
        /// Few, in the order in which they came. The lock is a standard one, under which no other thread gets a turn.
        entries: Mutex<Vec<(K, V)>>,
        /// Where shuttle may let others have a turn.
        turn: AtomicUsize,
        hasher: PhantomData<S>,
    }

    impl<K: Eq + Hash + Clone, V: Clone, S> HashIndex<K, V, S> {
        pub(crate) fn with_hasher(_: S) -> Self {
            Self { entries: Mutex::default(), turn: AtomicUsize::new(0), hasher: PhantomData }
        }

        fn entries(&self) -> MutexGuard<'_, Vec<(K, V)>> {
            let _ = self.turn.load(Ordering::Relaxed);
            self.entries.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn find<Q: Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<(K, V)> {
            self.entries().iter().find(|(k, _)| key.equivalent(k)).cloned()
        }

        pub(crate) fn peek_with<Q: Equivalent<K> + Hash + ?Sized, R>(
            &self,
            key: &Q,
            f: impl FnOnce(&K, &V) -> R,
        ) -> Option<R> {
            self.find(key).map(|(k, v)| f(&k, &v))
        }

        pub(crate) fn insert_sync(&self, key: K, value: V) -> Result<(), (K, V)> {
            let mut entries = self.entries();
            if entries.iter().any(|(k, _)| *k == key) {
                return Err((key, value));
            }
            entries.push((key, value));
            Ok(())
        }

        pub(crate) fn remove_sync<Q: Equivalent<K> + Hash + ?Sized>(&self, key: &Q) -> bool {
            let removed = {
                let mut entries = self.entries();
                entries.iter().position(|(k, _)| key.equivalent(k)).map(|at| entries.remove(at))
            };
            removed.is_some()
        }

        pub(crate) fn len(&self) -> usize {
            self.entries().len()
        }

        pub(crate) fn retain_sync(&self, mut f: impl FnMut(&K, &V) -> bool) {
            self.entries().retain(|(k, v)| f(k, v));
        }
    }

    /// Of those that come or go meanwhile some are met, as chance will have it.
    pub(crate) fn walk<K: Eq + Hash + Clone, V: Clone, S>(
        index: &HashIndex<K, V, S>,
        mut f: impl FnMut(&K, &V) -> bool,
    ) -> bool {
        let mut walked: Vec<K> = Vec::new();
        loop {
            let next = index.entries().iter().find(|(k, _)| !walked.contains(k)).cloned();
            let Some((key, value)) = next else { return true };
            // The entry may be gone by now, and be met all the same, as one that was read from its bucket just before.
            if (thread_rng().gen_bool(0.5) || index.find(&key).is_some()) && !f(&key, &value) {
                return false;
            }
            walked.push(key);
        }
    }
}
