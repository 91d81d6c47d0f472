//! From a key to what stands under it: read without locks by everybody, written by one at a time.
//!
//! ```text
//! map: key -> cell -> group -> slot ~> node        ~> weak: the table owns the nodes
//! ```
//!
//! The map's entries never change (its buckets move them about as they grow): the cell they lead to does. A cell that has been
//! emptied stays empty; who comes later makes a new one. So a reader that still has the old cell finds nothing, which was true
//! for a moment.
//!
//! A reader that follows a slot to a node that has gone looks again: either the registration went, or it got a new value.
//! A registration that is there all the while is therefore always found.

use super::group::{Group, Slot};
use foldhash::fast::RandomState;
use scc::{AtomicShared, Guard, HashIndex, Shared, Tag};
use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// See the module. The caller of `add`, `replace`, `remove` and `take` holds the writers' lock.
pub(super) struct Index<Q, T: 'static> {
    map: HashIndex<Q, Arc<Cell<T>>, RandomState>,
}

/// What stands under a key now. Written with release, read with acquire: who sees a group sees the nodes it leads to.
struct Cell<T: 'static>(AtomicShared<Group<T>>);

impl<T> Cell<T> {
    fn group<'g>(&self, guard: &'g Guard) -> Option<&'g Group<T>> {
        self.0.load(Ordering::Acquire, guard).as_ref()
    }

    fn put(&self, group: Option<Group<T>>) {
        drop(self.0.swap((group.map(Shared::new), Tag::None), Ordering::AcqRel));
    }

    /// What stands there, owned for the time being.
    fn each(&self, guard: &Guard, mut f: impl FnMut(Arc<T>)) {
        let Some(group) = self.group(guard) else { return };
        group.each(|slot| {
            if let Some(node) = slot.what.upgrade().or_else(|| self.again(slot, guard)) {
                f(node);
            }
        });
    }

    /// The node has gone: the slot's registration has gone too, or it has a new one by now.
    fn again(&self, slot: &Slot<T>, guard: &Guard) -> Option<Arc<T>> {
        loop {
            let node = self.group(guard)?.get(slot.number)?.what.upgrade();
            if node.is_some() {
                return node;
            }
        }
    }
}

impl<Q: Hash + Eq + 'static, T: 'static> Index<Q, T> {
    pub(super) fn new() -> Self {
        Self { map: HashIndex::with_hasher(RandomState::default()) }
    }

    /// Hands over what stands under this key, in order.
    pub(super) fn read<B>(&self, key: &B, f: impl FnMut(Arc<T>))
    where
        Q: Borrow<B>,
        B: Hash + Eq + ?Sized,
    {
        let guard = Guard::new();
        if let Some(cell) = self.map.peek(key, &guard) {
            cell.each(&guard, f);
        }
    }

    /// The numbers of what stands under this key, in order.
    pub(super) fn numbers<B>(&self, key: &B) -> Vec<u64>
    where
        Q: Borrow<B>,
        B: Hash + Eq + ?Sized,
    {
        let mut numbers = Vec::new();
        let guard = Guard::new();
        if let Some(group) = self.map.peek(key, &guard).and_then(|cell| cell.group(&guard)) {
            group.each(|slot| numbers.push(slot.number));
        }
        numbers
    }

    /// The first number under this key.
    pub(super) fn first(&self, key: &Q) -> Option<u64> {
        let guard = Guard::new();
        match self.map.peek(key, &guard)?.group(&guard)? {
            Group::One(slot) => Some(slot.number),
            Group::Many(chunks) => chunks.first().map(|chunk| chunk[0].number),
        }
    }

    /// Hands over all that there is. What is there all the while is seen (maybe more than once, while the map grows); what
    /// comes or goes meanwhile may be or not.
    pub(super) fn read_all(&self, mut f: impl FnMut(Arc<T>)) {
        let guard = Guard::new();
        for (_, cell) in self.map.iter(&guard) {
            cell.each(&guard, &mut f);
        }
    }

    /// One more under this key; its number is greater than all there are.
    pub(super) fn add(&self, key: &Q, number: u64, what: &Arc<T>)
    where
        Q: Clone,
    {
        let guard = Guard::new();
        if let Some(cell) = self.map.peek(key, &guard)
            && let Some(group) = cell.group(&guard)
        {
            return cell.put(Some(group.with(number, what)));
        }
        let cell = Arc::new(Cell(AtomicShared::new(Group::one(number, what))));
        let added = self.map.insert_sync(key.clone(), cell);
        debug_assert!(added.is_ok(), "an emptied cell has left the map under the same lock");
    }

    /// Another in the place of the one with this number.
    pub(super) fn replace(&self, key: &Q, number: u64, what: &Arc<T>) {
        let guard = Guard::new();
        if let Some(cell) = self.map.peek(key, &guard)
            && let Some(group) = cell.group(&guard).and_then(|group| group.replaced(number, what))
        {
            cell.put(Some(group));
        }
    }

    /// Whether anything is left under this key without this number.
    pub(super) fn remove(&self, key: &Q, number: u64) -> bool {
        let guard = Guard::new();
        let Some(cell) = self.map.peek(key, &guard) else { return false };
        let left = cell.group(&guard).and_then(|group| group.without(number));
        let any = left.is_some();
        cell.put(left);
        if !any {
            self.map.remove_sync(key);
        }
        any
    }

    /// Takes away all that stands under this key.
    pub(super) fn take(&self, key: &Q) {
        let guard = Guard::new();
        if let Some(cell) = self.map.peek(key, &guard) {
            cell.put(None);
            self.map.remove_sync(key);
        }
    }
}
