//! One registration as its readers see it.

use super::holder::{Held, lent};
use restante_core::Addressable;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// What of a registration stays the same: who, under which key, and which one it is.
pub(super) struct Claim<K> {
    /// Counted from 1 in the order of registration; never used twice.
    pub(super) number: u64,
    pub(super) key: K,
    pub(super) holder: Arc<dyn Held>,
}

/// A registration with its present value: a new value is a new node.
pub(super) struct Node<K, V> {
    pub(super) claim: Arc<Claim<K>>,
    pub(super) value: V,
}

/// A registration as it was when it was read: key, value and holder.
///
/// Cheap to clone. It is a picture: it does not change when the registration does, and it keeps its value, but not its
/// holder's mailbox, alive.
pub struct Registered<K, V> {
    pub(super) node: Arc<Node<K, V>>,
}

impl<K, V> Registered<K, V> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.node.claim.key
    }

    /// The value that was registered, or put in its place since.
    pub fn value(&self) -> &V {
        &self.node.value
    }

    /// The id of the holder's mailbox.
    pub fn holder_id(&self) -> Uuid {
        self.node.claim.holder.id()
    }

    /// The registration's number: they are counted from 1 in the order in which they came about, per [`Keys`](super::Keys),
    /// and none is used twice. A new value leaves it as it is.
    pub fn number(&self) -> u64 {
        self.node.claim.number
    }

    /// The holder, by the type as which it was registered: a `ServerRef<S>`, an `Address<M>`. `None` when it was another type,
    /// or when no such reference is held any more.
    ///
    /// What it returns counts as a reference: it keeps the mailbox open. (To send one message, [`Registered::lent`] costs less.)
    pub fn holder<R: Addressable>(&self) -> Option<R> {
        self.lent::<R>().and_then(Addressable::counted)
    }

    /// The holder, by the type as which it was registered, to be used in place: it costs no count. `None` when it was
    /// registered as another type.
    ///
    /// Should the mailbox close meanwhile, sending through it says so. A clone of it counts as a reference, but comes too
    /// late when the last other one has gone: use [`Registered::holder`] to get one to keep.
    pub fn lent<R: Addressable>(&self) -> Option<&R> {
        lent(&*self.node.claim.holder)
    }

    /// Whether the holder's mailbox has closed since the registration was read.
    pub fn has_closed(&self) -> bool {
        self.node.claim.holder.has_closed()
    }
}

impl<K, V> Clone for Registered<K, V> {
    fn clone(&self) -> Self {
        Self { node: Arc::clone(&self.node) }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Registered<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("key", self.key())
            .field("value", self.value())
            .field("holder", &self.holder_id())
            .field("number", &self.number())
            .finish()
    }
}

/// What one look found: without an allocation where that is one registration, as it is under every unique key.
pub(super) enum Found<K, V> {
    Nothing,
    One(Registered<K, V>),
    Many(Vec<Registered<K, V>>),
}

impl<K, V> Found<K, V> {
    pub(super) fn push(&mut self, node: Arc<Node<K, V>>) {
        let entry = Registered { node };
        *self = match std::mem::replace(self, Self::Nothing) {
            Self::Nothing => Self::One(entry),
            Self::One(first) => Self::Many(vec![first, entry]),
            Self::Many(mut entries) => {
                entries.push(entry);
                Self::Many(entries)
            }
        };
    }

    /// Less those whose holder has closed.
    pub(super) fn open(self) -> Self {
        match self {
            Self::One(entry) if entry.has_closed() => Self::Nothing,
            Self::Many(mut entries) => {
                entries.retain(|entry| !entry.has_closed());
                Self::Many(entries)
            }
            found => found,
        }
    }

    pub(super) fn as_slice(&self) -> &[Registered<K, V>] {
        match self {
            Self::Nothing => &[],
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    pub(super) fn into_vec(self) -> Vec<Registered<K, V>> {
        match self {
            Self::Nothing => Vec::new(),
            Self::One(entry) => vec![entry],
            Self::Many(entries) => entries,
        }
    }
}
