//! The writers' side: one table under one lock, and two indexes that readers read meanwhile.
//!
//! | what | who owns it | who reads it |
//! |---|---|---|
//! | `nodes`: number -> node | the table: the only strong references that last | writers |
//! | `by_key`, `by_holder` | weak | everybody, without locks |
//! | `watches`: holder -> watch | the table; the mailbox has it weakly | the mailbox, when it closes |
//! | `ears` | table and listener | writers put in, listeners take out |
//!
//! The order of writes, and what it protects from:
//! 1. A holder is watched before its first registration is there ([`Held::tell_first`], which fails when it has closed). A
//!    closing that comes later finds the registration: its hook waits for the lock that we hold.
//! 2. What is added is in `nodes` before it is in an index, and leaves both indexes before it leaves `nodes`, so that a reader
//!    who cannot follow a reference knows that things have changed ([`Index`]).
//! 3. Nothing is dropped and no task is woken under the lock: that is done by [`Aftermath`], which is declared before the
//!    guard and so dropped after it. A value may hold the last reference to a mailbox; its drop closes that, and the hook
//!    takes this lock.

use super::entry::{Claim, Node, Registered};
use super::holder::Held;
use super::index::Index;
use super::listener::{KeyEvent, KeySnapshot, Listener, ListenerQueue, Removal};
use super::lock::KeyLocks;
use super::meta::Metadata;
use crate::sync::{Locked, Mutex};
use foldhash::fast::RandomState;
use restante_core::addressable::OnClose;
use restante_core::{ExitReason, quiet};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use uuid::Uuid;

/// How many may hold one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// One registration per key.
    Unique,
    /// As many registrations per key as there are, of the same holder too.
    Duplicate,
}

/// What all handles share.
pub(super) struct Shared<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) kind: KeyKind,
    pub(super) by_key: Index<K, Node<K, V>>,
    pub(super) by_holder: Index<Uuid, Node<K, V>>,
    /// How many nodes the table has: written under its lock.
    pub(super) count: AtomicUsize,
    pub(super) meta: Metadata,
    pub(super) locks: Arc<KeyLocks<K>>,
    table: Mutex<Table<K, V>>,
}

pub(super) struct Table<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    nodes: HashMap<u64, Arc<Node<K, V>>, RandomState>,
    /// Who is to tell us of its closing: exactly those who hold something.
    watches: HashMap<Uuid, Arc<Watch<K, V>>, RandomState>,
    ears: Vec<Arc<ListenerQueue<K, V>>>,
    /// The last registration's number, the last event's number.
    last: u64,
    seq: u64,
}

/// What one change left to be done when the lock is let go.
pub(super) struct Aftermath<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    wake: Vec<Waker>,
    nodes: Vec<Arc<Node<K, V>>>,
    watches: Vec<Arc<Watch<K, V>>>,
    events: Vec<KeyEvent<K, V>>,
    ears: Vec<Arc<ListenerQueue<K, V>>>,
}

impl<K, V> Aftermath<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self {
            wake: Vec::new(),
            nodes: Vec::new(),
            watches: Vec::new(),
            events: Vec::new(),
            ears: Vec::new(),
        }
    }
}

impl<K, V> Drop for Aftermath<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// One by one: values are the user's, and one that panics in its drop keeps none of the others.
    fn drop(&mut self) {
        self.wake.drain(..).for_each(quiet::wake);
        self.events.drain(..).for_each(|event| quiet::discard("an event of a key", event));
        self.nodes.drain(..).for_each(|node| quiet::discard("a registered value", node));
        self.ears.drain(..).for_each(|ear| quiet::discard("a listener's queue", ear));
    }
}

/// What came of a wish to have a key.
pub(super) enum Claimed<K> {
    Yes(Arc<Claim<K>>),
    /// Keys are unique, and it is held by this one.
    Taken(Uuid),
    HolderClosed,
}

/// Is told when a holder's mailbox closes.
pub(super) struct Watch<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    shared: Weak<Shared<K, V>>,
    holder: Uuid,
}

impl<K, V> OnClose for Watch<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn on_close(&self, reason: &ExitReason) {
        if let Some(shared) = self.shared.upgrade() {
            shared.bury(self.holder, reason);
        }
    }
}

impl<K, V> Shared<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new(kind: KeyKind) -> Arc<Self> {
        Arc::new(Self {
            kind,
            by_key: Index::new(),
            by_holder: Index::new(),
            count: AtomicUsize::new(0),
            meta: Metadata::new(),
            locks: KeyLocks::new(),
            table: Mutex::new(Table {
                nodes: HashMap::default(),
                watches: HashMap::default(),
                ears: Vec::new(),
                last: 0,
                seq: 0,
            }),
        })
    }

    fn table(&self) -> Locked<'_, Table<K, V>> {
        self.table.lock_with_epoch()
    }

    /// Registers it, if that may be. A holder that has closed holds nothing: it is replaced, whether its hook has run or not.
    /// What `holder` has itself gets the new value; of duplicate keys only where it is to have it once.
    pub(super) fn claim(self: &Arc<Self>, holder: Arc<dyn Held>, key: K, value: V, once: bool) -> Claimed<K> {
        let id = holder.id();
        let mut after = Aftermath::new();
        let mut table = self.table();
        let mut stale = None;
        let present = match self.kind {
            KeyKind::Unique => self.by_key.first(&key),
            KeyKind::Duplicate if once => self
                .by_key
                .numbers(&key)
                .into_iter()
                .find(|number| table.nodes.get(number).is_some_and(|node| node.claim.holder.id() == id)),
            KeyKind::Duplicate => None,
        };
        if let Some(node) = present.and_then(|number| table.nodes.get(&number)) {
            let other = &node.claim.holder;
            if other.has_closed() {
                stale = Some((node.claim.number, closed_for(&**other)));
            } else if other.id() == id {
                let claim = Arc::clone(&node.claim);
                self.put(&mut table, &claim, value, &mut after);
                return Claimed::Yes(claim);
            } else {
                return Claimed::Taken(other.id());
            }
        }
        if !self.watched(&mut table, &*holder) {
            return Claimed::HolderClosed;
        }
        if let Some((number, reason)) = stale {
            self.remove(&mut table, number, Removal::HolderClosed(reason), &mut after);
        }
        table.last += 1;
        let claim = Arc::new(Claim { number: table.last, key, holder });
        let node = Arc::new(Node { claim: Arc::clone(&claim), value });
        table.nodes.insert(claim.number, Arc::clone(&node));
        self.by_holder.add(&id, claim.number, &node);
        self.by_key.add(&claim.key, claim.number, &node);
        self.count.store(table.nodes.len(), Ordering::Release);
        table.tell(&mut after, |seq| KeyEvent::Registered { seq, entry: Registered { node } });
        Claimed::Yes(claim)
    }

    /// Whether the holder, which is open, will tell us when it closes.
    fn watched(self: &Arc<Self>, table: &mut Table<K, V>, holder: &dyn Held) -> bool {
        let id = holder.id();
        if table.watches.contains_key(&id) {
            // Should it close from here on, its hook comes after us.
            return !holder.has_closed();
        }
        let watch = Arc::new(Watch { shared: Arc::downgrade(self), holder: id });
        let told: Weak<Watch<K, V>> = Arc::downgrade(&watch);
        let open = holder.tell_first(told);
        if open {
            table.watches.insert(id, watch);
        }
        open
    }

    /// Removes what `nodes` are, where it is still the same: how many, and whether any has another value by now.
    pub(super) fn unregister(&self, nodes: &[Arc<Node<K, V>>]) -> (usize, bool) {
        let mut after = Aftermath::new();
        let mut table = self.table();
        let (mut removed, mut changed) = (0, false);
        for node in nodes {
            match table.nodes.get(&node.claim.number) {
                Some(present) if Arc::ptr_eq(present, node) => {
                    self.remove(&mut table, node.claim.number, Removal::Unregistered, &mut after);
                    removed += 1;
                }
                Some(_) => changed = true,
                None => {}
            }
        }
        (removed, changed)
    }

    /// Removes the registration of this number; false when there is none.
    pub(super) fn unregister_one(&self, number: u64) -> bool {
        let mut after = Aftermath::new();
        let mut table = self.table();
        let there = table.nodes.contains_key(&number);
        self.remove(&mut table, number, Removal::Unregistered, &mut after);
        there
    }

    /// Removes what this holder has under this key: how many.
    pub(super) fn unregister_all(&self, key: &K, holder: Uuid) -> usize {
        let mut after = Aftermath::new();
        let mut table = self.table();
        let mut removed = 0;
        for number in self.by_key.numbers(key) {
            if table.nodes.get(&number).is_some_and(|node| node.claim.holder.id() == holder) {
                self.remove(&mut table, number, Removal::Unregistered, &mut after);
                removed += 1;
            }
        }
        removed
    }

    /// Puts `value` in the place of what `old` is, where it is still the same. Gives the value back where it is not.
    pub(super) fn replace(&self, old: &Arc<Node<K, V>>, value: V) -> Result<(), V> {
        let mut after = Aftermath::new();
        let mut table = self.table();
        if table.nodes.get(&old.claim.number).is_none_or(|present| !Arc::ptr_eq(present, old)) {
            return Err(value);
        }
        self.put(&mut table, &old.claim, value, &mut after);
        Ok(())
    }

    /// A registration that is in the table has this value from now on.
    fn put(&self, table: &mut Table<K, V>, claim: &Arc<Claim<K>>, value: V, after: &mut Aftermath<K, V>) {
        let number = claim.number;
        let node = Arc::new(Node { claim: Arc::clone(claim), value });
        after.nodes.extend(table.nodes.insert(number, Arc::clone(&node)));
        self.by_holder.replace(&claim.holder.id(), number, &node);
        self.by_key.replace(&claim.key, number, &node);
        table.tell(after, |seq| KeyEvent::Updated { seq, entry: Registered { node } });
    }

    /// The registration of this number as it is now.
    pub(super) fn present(&self, number: u64) -> Option<Arc<Node<K, V>>> {
        self.table().nodes.get(&number).cloned()
    }

    /// The holder's mailbox has closed: its registrations go, all at once.
    fn bury(&self, holder: Uuid, reason: &ExitReason) {
        let mut after = Aftermath::new();
        let mut table = self.table();
        after.watches.extend(table.watches.remove(&holder));
        let numbers = self.by_holder.numbers(&holder);
        self.by_holder.take(&holder);
        for number in numbers {
            self.forget(&mut table, number, Removal::HolderClosed(reason.clone()), &mut after);
        }
    }

    /// Removes one, and the watch with its holder's last.
    fn remove(&self, table: &mut Table<K, V>, number: u64, why: Removal, after: &mut Aftermath<K, V>) {
        let Some(node) = table.nodes.get(&number).cloned() else { return };
        let holder = &node.claim.holder;
        let id = holder.id();
        if !self.by_holder.remove(&id, number)
            && let Some(watch) = table.watches.remove(&id)
        {
            let told: Weak<Watch<K, V>> = Arc::downgrade(&watch);
            let told: Weak<dyn OnClose> = told;
            // Where its hook is on its way, it will find nothing.
            holder.tell_no_more(&told);
            after.watches.push(watch);
        }
        after.nodes.push(node);
        self.forget(table, number, why, after);
    }

    /// Removes one that `by_holder` has forgotten already.
    fn forget(&self, table: &mut Table<K, V>, number: u64, removal: Removal, after: &mut Aftermath<K, V>) {
        let Some(node) = table.nodes.get(&number).cloned() else { return };
        self.by_key.remove(&node.claim.key, number);
        after.nodes.extend(table.nodes.remove(&number));
        self.count.store(table.nodes.len(), Ordering::Release);
        table.tell(after, |seq| KeyEvent::Unregistered { seq, entry: Registered { node }, removal });
    }

    /// A listener from now on.
    pub(super) fn listen(self: &Arc<Self>, capacity: usize) -> Listener<K, V> {
        self.follow(capacity, false).1
    }

    /// All there is, and a listener to what comes after it.
    pub(super) fn snapshot_and_listen(
        self: &Arc<Self>,
        capacity: usize,
    ) -> (KeySnapshot<K, V>, Listener<K, V>) {
        self.follow(capacity, true)
    }

    fn follow(self: &Arc<Self>, capacity: usize, look: bool) -> (KeySnapshot<K, V>, Listener<K, V>) {
        let ear = Arc::new(ListenerQueue::new(capacity));
        let mut after = Aftermath::new();
        let mut table = self.table();
        let snapshot = if look {
            self.snapshot(&mut table, &mut after)
        } else {
            KeySnapshot { seq: table.seq, entries: Vec::new() }
        };
        table.prune(&mut after);
        table.ears.push(Arc::clone(&ear));
        (snapshot, Listener { ear, shared: Arc::downgrade(self) })
    }

    /// All there is, for a listener that hears what comes after it, and forgets what it has not heard yet.
    pub(super) fn resync(&self, ear: &ListenerQueue<K, V>) -> KeySnapshot<K, V> {
        let mut after = Aftermath::new();
        let mut table = self.table();
        let snapshot = self.snapshot(&mut table, &mut after);
        let forgotten = ear.clear();
        drop(table);
        drop(forgotten);
        snapshot
    }

    /// All there is. Those whose holder has closed go first, as if its hook had run: no snapshot shows them.
    fn snapshot(&self, table: &mut Table<K, V>, after: &mut Aftermath<K, V>) -> KeySnapshot<K, V> {
        let closed: Vec<_> = table
            .nodes
            .values()
            .filter(|node| node.claim.holder.has_closed())
            .map(|node| (node.claim.number, closed_for(&*node.claim.holder)))
            .collect();
        for (number, reason) in closed {
            self.remove(table, number, Removal::HolderClosed(reason), after);
        }
        let mut entries: Vec<_> =
            table.nodes.values().map(|node| Registered { node: Arc::clone(node) }).collect();
        entries.sort_unstable_by_key(Registered::number);
        KeySnapshot { seq: table.seq, entries }
    }
}

fn closed_for(holder: &dyn Held) -> ExitReason {
    holder.why_closed().unwrap_or(ExitReason::Normal)
}

impl<K, V> Table<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Numbers an event and puts it into each listener's queue; those who listen no more are let go. (What the event refers to
    /// is in the table, or in `after`: so it may be dropped here.)
    fn tell(&mut self, after: &mut Aftermath<K, V>, event: impl FnOnce(u64) -> KeyEvent<K, V>) {
        self.seq += 1;
        self.prune(after);
        if self.ears.is_empty() {
            return;
        }
        let event = event(self.seq);
        for ear in &self.ears {
            let (pushed_out, waker) = ear.tell(event.clone());
            after.events.extend(pushed_out);
            after.wake.extend(waker);
        }
        after.events.push(event);
    }

    fn prune(&mut self, after: &mut Aftermath<K, V>) {
        after.ears.extend(self.ears.extract_if(.., |ear| ear.is_closed()));
    }
}

impl<K, V> Drop for Shared<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The last handle has gone: mailboxes need not remember us, listeners hear that no more comes.
    fn drop(&mut self) {
        let table = self.table.get_mut();
        for node in table.nodes.values() {
            if let Some(watch) = table.watches.remove(&node.claim.holder.id()) {
                let told: Weak<Watch<K, V>> = Arc::downgrade(&watch);
                let told: Weak<dyn OnClose> = told;
                node.claim.holder.tell_no_more(&told);
            }
        }
        let wake: Vec<_> = table.ears.drain(..).filter_map(|ear| ear.end()).collect();
        let nodes: Vec<_> = table.nodes.drain().map(|(_, node)| node).collect();
        wake.into_iter().for_each(quiet::wake);
        nodes.into_iter().for_each(|node| quiet::discard("a registered value", node));
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::super::Keys;
    use restante_core::Mailbox;

    /// Case `links and unlinks on register/unregister`: a mailbox is watched exactly as long as it holds something.
    #[test]
    fn a_holder_is_watched_while_it_holds_something() {
        let (mailbox, other) = (Mailbox::<()>::new(), Mailbox::<()>::new());
        let me = mailbox.address();
        let keys: Keys<&str, ()> = Keys::unique();
        let watched = || keys.shared.table().watches.len();
        keys.register(&me, "hello", ()).expect("it is free");
        keys.register(&me, "world", ()).expect("it is free");
        assert_eq!(watched(), 1);
        keys.register(&other.address(), "hello", ()).expect_err("it is taken");
        assert_eq!(watched(), 1, "who was refused is not watched");
        keys.unregister(&"hello", &me);
        assert_eq!(watched(), 1);
        keys.unregister(&"world", &me);
        assert_eq!(watched(), 0);
        keys.register(&me, "hello", ()).expect("it is free");
        mailbox.close();
        assert_eq!((watched(), keys.shared.table().nodes.len()), (0, 0));
    }

    /// The house rule: those who listen no more are let go, also where nothing happens any more.
    #[test]
    fn dropped_listeners_are_let_go() {
        let keys: Keys<&str, ()> = Keys::unique();
        for _ in 0..3 {
            drop(keys.listen(1));
        }
        let _listener = keys.listen(1);
        assert_eq!(keys.shared.table().ears.len(), 1);
    }
}
