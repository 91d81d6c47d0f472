//! Who listens to what happens to registrations.
//!
//! An event is put into each listener's own queue under the writers' lock, so all hear the same things in the same order; what
//! does not fit pushes out the oldest, which is counted and told. Without listeners nothing is kept: there is no journal.

use super::entry::Registered;
use super::table::Shared;
use crate::sync::Mutex;
use futures::Stream;
use restante_core::{ExitReason, quiet};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

/// How many events a listener's queue holds where nothing else is said.
pub const DEFAULT_LISTENER_CAPACITY: usize = 1024;

/// What happened to a registration. Numbered without gaps, from 1, per [`Keys`](super::Keys), whether anybody listens or not.
#[non_exhaustive]
pub enum KeyEvent<K, V> {
    /// It came about.
    Registered {
        /// The event's number.
        seq: u64,
        /// The registration.
        entry: Registered<K, V>,
    },
    /// It has a new value.
    Updated {
        /// The event's number.
        seq: u64,
        /// The registration with its new value; its number is what it was.
        entry: Registered<K, V>,
    },
    /// It has gone.
    Unregistered {
        /// The event's number.
        seq: u64,
        /// The registration as it was last.
        entry: Registered<K, V>,
        /// Why.
        removal: Removal,
    },
    /// The listener was too slow: so many events were lost, all of them older than what comes next.
    /// [`Listener::resync`] begins anew.
    Missed {
        /// The number of the last of them.
        seq: u64,
        /// How many.
        count: u64,
    },
}

/// Why a registration went.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Removal {
    /// It was unregistered by a call.
    Unregistered,
    /// Its holder's mailbox closed, for this reason.
    HolderClosed(ExitReason),
}

impl<K, V> KeyEvent<K, V> {
    /// The event's number.
    pub fn seq(&self) -> u64 {
        match self {
            Self::Registered { seq, .. }
            | Self::Updated { seq, .. }
            | Self::Unregistered { seq, .. }
            | Self::Missed { seq, .. } => *seq,
        }
    }

    /// The registration that it is about; `None` for [`KeyEvent::Missed`].
    pub fn entry(&self) -> Option<&Registered<K, V>> {
        match self {
            Self::Registered { entry, .. }
            | Self::Updated { entry, .. }
            | Self::Unregistered { entry, .. } => Some(entry),
            Self::Missed { .. } => None,
        }
    }
}

impl<K, V> Clone for KeyEvent<K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::Registered { seq, entry } => Self::Registered { seq: *seq, entry: entry.clone() },
            Self::Updated { seq, entry } => Self::Updated { seq: *seq, entry: entry.clone() },
            Self::Unregistered { seq, entry, removal } => {
                Self::Unregistered { seq: *seq, entry: entry.clone(), removal: removal.clone() }
            }
            Self::Missed { seq, count } => Self::Missed { seq: *seq, count: *count },
        }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for KeyEvent<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered { seq, entry } => write!(f, "Registered({seq}, {entry:?})"),
            Self::Updated { seq, entry } => write!(f, "Updated({seq}, {entry:?})"),
            Self::Unregistered { seq, entry, removal } => {
                write!(f, "Unregistered({seq}, {entry:?}, {removal:?})")
            }
            Self::Missed { seq, count } => write!(f, "Missed({count}, up to {seq})"),
        }
    }
}

/// All registrations of one moment.
pub struct KeySnapshot<K, V> {
    /// The number of the last event before it: the listener that came with it hears of the next one first.
    pub seq: u64,
    /// In the order in which they came about.
    pub entries: Vec<Registered<K, V>>,
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for KeySnapshot<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySnapshot").field("seq", &self.seq).field("entries", &self.entries).finish()
    }
}

/// Hears what happens to registrations, in order: by [`Listener::next`], or as a `Stream`.
///
/// Its queue is bounded. It keeps no mailbox open and no [`Keys`](super::Keys) alive; it ends when the last handle of those
/// has gone and what is queued has been heard.
pub struct Listener<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) ear: Arc<ListenerQueue<K, V>>,
    pub(super) shared: Weak<Shared<K, V>>,
}

impl<K, V> Listener<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The next event; `None` when no more can come.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// # Ordering
    /// In the order in which it happened: of all registrations, over all keys.
    pub async fn next(&mut self) -> Option<KeyEvent<K, V>> {
        poll_fn(|cx| self.ear.poll(cx)).await
    }

    /// What is there already; `None` when that is nothing.
    pub fn try_next(&mut self) -> Option<KeyEvent<K, V>> {
        self.ear.hear()
    }

    /// Forgets what is queued and begins anew, from all that there is now: the way on after [`KeyEvent::Missed`]. `None` when
    /// the last [`Keys`](super::Keys) handle has gone.
    pub fn resync(&mut self) -> Option<KeySnapshot<K, V>> {
        Some(self.shared.upgrade()?.resync(&self.ear))
    }
}

impl<K, V> Stream for Listener<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    type Item = KeyEvent<K, V>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<KeyEvent<K, V>>> {
        self.ear.poll(cx)
    }
}

impl<K, V> Drop for Listener<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.ear.close();
    }
}

impl<K, V> fmt::Debug for Listener<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.ear.state.lock();
        f.debug_struct("Listener")
            .field("queued", &state.queue.len())
            .field("missed", &state.missed)
            .finish_non_exhaustive()
    }
}

/// A listener's queue. Its lock is taken under the writers' one, never the other way round.
pub(super) struct ListenerQueue<K, V> {
    capacity: usize,
    state: Mutex<EarState<K, V>>,
}

struct EarState<K, V> {
    queue: VecDeque<KeyEvent<K, V>>,
    /// How many were pushed out since the listener was last told, and the number of the last of them.
    missed: u64,
    missed_to: u64,
    waker: Option<Waker>,
    /// Nothing comes any more, or the listener has gone.
    closed: bool,
}

impl<K, V> ListenerQueue<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            state: Mutex::new(EarState {
                queue: VecDeque::new(),
                missed: 0,
                missed_to: 0,
                waker: None,
                closed: false,
            }),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Queues an event. What it pushed out and whom to wake, both for when no lock is held.
    pub(super) fn tell(&self, event: KeyEvent<K, V>) -> (Option<KeyEvent<K, V>>, Option<Waker>) {
        let mut state = self.state.lock();
        if state.closed {
            return (Some(event), None);
        }
        let mut pushed_out = None;
        if state.queue.len() >= self.capacity {
            pushed_out = state.queue.pop_front();
            state.missed += 1;
            state.missed_to = pushed_out.as_ref().map_or(0, KeyEvent::seq);
        }
        state.queue.push_back(event);
        (pushed_out, state.waker.take())
    }

    /// Empties it. What was in it, for when no lock is held.
    pub(super) fn clear(&self) -> VecDeque<KeyEvent<K, V>> {
        let mut state = self.state.lock();
        state.missed = 0;
        std::mem::take(&mut state.queue)
    }

    /// Nothing comes any more: the waiting listener is to be woken.
    pub(super) fn end(&self) -> Option<Waker> {
        let mut state = self.state.lock();
        state.closed = true;
        state.waker.take()
    }

    /// The listener has gone.
    fn close(&self) {
        quiet::discard("a waker", self.end());
        self.clear().into_iter().for_each(|event| quiet::discard("an event of a key", event));
    }

    fn hear(&self) -> Option<KeyEvent<K, V>> {
        self.state.lock().hear()
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<KeyEvent<K, V>>> {
        // Cloned and dropped outside of the lock, because a waker is foreign code.
        let waker = cx.waker().clone();
        let (heard, unused) = {
            let mut state = self.state.lock();
            match state.hear() {
                None if !state.closed => (Poll::Pending, state.waker.replace(waker)),
                heard => (Poll::Ready(heard), Some(waker)),
            }
        };
        quiet::discard("a waker", unused);
        heard
    }
}

impl<K, V> EarState<K, V> {
    fn hear(&mut self) -> Option<KeyEvent<K, V>> {
        match std::mem::take(&mut self.missed) {
            0 => self.queue.pop_front(),
            count => Some(KeyEvent::Missed { seq: self.missed_to, count }),
        }
    }
}
