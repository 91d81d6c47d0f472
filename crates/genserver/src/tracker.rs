//! What there is in a runtime, for test kits and observers: its mailboxes, by weak references, and the replies that are still
//! owed.
//!
//! Not meant for users: it may change in any release. Off unless it is switched on for a runtime; then a start and a new
//! mailbox cost a look into a list, else one relaxed load. Nothing is done for a message. (A call that waits with a limit of
//! its own, and so with a timer of its own, costs the load too: replies that are owed to it are counted by runtime.)
//!
//! What deliberately does not live here: what of all this is a leak.

use crate::executor::{Cell, Executor};
use crate::message::Message;
use crate::rt::Rt;
use crate::server::GenServer;
use crate::slot;
use restante_core::cell::MailCell;
use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::runtime::Handle;

/// How many trackers there are. Relaxed, because the thread that switches one on does not expect to see what others begin
/// meanwhile.
static ON: AtomicUsize = AtomicUsize::new(0);
static TRACKERS: Mutex<Vec<Weak<Tracker>>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Knows the mailboxes that are made or served in one runtime, from when it is switched on until it is dropped.
pub struct Tracker {
    // Kept, so that the runtime's name stays what it is.
    rt: Arc<Rt>,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    all: Vec<Entry>,
    /// At so many, those that have gone are thrown out.
    prune_at: usize,
}

struct Entry {
    /// Names the subject while it is there.
    id: usize,
    subject: Weak<dyn Tracked>,
    made: Option<&'static Location<'static>>,
    timers: Arc<AtomicUsize>,
}

/// Whatever can be looked at: mailboxes of servers here, names in a registry.
pub trait Tracked: Send + Sync {
    /// What it is now; `None`: nothing to speak of.
    fn look(&self) -> Option<Look>;
}

/// What a tracked thing is at the moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Look {
    /// Which sort of thing: `server`.
    pub kind: &'static str,
    /// Its type, in full.
    pub type_name: &'static str,
    /// The name it was given.
    pub name: Option<Arc<str>>,
    /// Which incarnation reads, or read last.
    pub incarnation: u32,
    /// Whether an incarnation reads.
    pub alive: bool,
    /// Whether the mailbox takes nothing any more.
    pub closed: bool,
    /// Monitors that others have on it.
    pub monitors: usize,
    /// Links with others.
    pub links: usize,
    /// Its own timers.
    pub timers: usize,
    /// Messages that wait, or lie in its batch.
    pub queued: u64,
    /// Whether it has a task in its runtime.
    pub has_task: bool,
    /// Where in the program it was made, where that is known.
    pub made: Option<&'static Location<'static>>,
}

impl Look {
    /// A live thing of this kind and type, with nothing else to say of it.
    pub fn new(kind: &'static str, type_name: &'static str) -> Self {
        Self {
            kind,
            type_name,
            name: None,
            incarnation: 0,
            alive: true,
            closed: false,
            monitors: 0,
            links: 0,
            timers: 0,
            queued: 0,
            has_task: false,
            made: None,
        }
    }
}

impl Tracker {
    /// Tracks the runtime that this thread is in; `None` where it is in none.
    pub fn switch_on() -> Option<Arc<Self>> {
        let tracker = Arc::new(Self { rt: Rt::current()?, entries: Mutex::default() });
        lock(&TRACKERS).push(Arc::downgrade(&tracker));
        ON.fetch_add(1, Ordering::Relaxed);
        Some(tracker)
    }

    /// What there is now, in the order in which it was made.
    pub fn looks(&self) -> Vec<Look> {
        let entries = lock(&self.entries);
        // Looked at after the lock: the last reference to a mailbox may go here, and that is anybody's code.
        let subjects: Vec<_> = entries
            .all
            .iter()
            .filter_map(|e| Some((e.subject.upgrade()?, e.made, Arc::clone(&e.timers))))
            .collect();
        drop(entries);
        let look = |(subject, made, timers): (Arc<dyn Tracked>, _, Arc<AtomicUsize>)| {
            let look = subject.look()?;
            Some(Look { made, timers: look.timers.max(timers.load(Ordering::Relaxed)), ..look })
        };
        subjects.into_iter().filter_map(look).collect()
    }

    /// How many replies are still held whose callers waited in this runtime (or wait still).
    pub fn replies(&self) -> usize {
        slot::held(self.rt.name())
    }

    /// Keeps an eye on this. `id` names it among what is tracked, as long as it is there.
    pub fn track(&self, id: usize, subject: Weak<dyn Tracked>, made: Option<&'static Location<'static>>) {
        let mut entries = lock(&self.entries);
        if entries.all.iter().any(|e| e.id == id && e.subject.strong_count() > 0) {
            return;
        }
        if entries.all.len() >= entries.prune_at {
            entries.all.retain(|e| e.subject.strong_count() > 0);
            entries.prune_at = (entries.all.len() * 2).max(64);
        }
        entries.all.push(Entry { id, subject, made, timers: Arc::default() });
    }

    fn timers_of(&self, id: usize) -> Option<Arc<AtomicUsize>> {
        let entries = lock(&self.entries);
        let entry = entries.all.iter().find(|e| e.id == id && e.subject.strong_count() > 0)?;
        Some(Arc::clone(&entry.timers))
    }

    /// The tracker of this runtime, if it has one.
    fn of(rt: &Arc<Rt>) -> Option<Arc<Self>> {
        // All of them before any goes: the last reference to one may go here, and its drop wants the lock.
        let trackers: Vec<_> = lock(&TRACKERS).iter().filter_map(Weak::upgrade).collect();
        trackers.into_iter().find(|tracker| Arc::ptr_eq(&tracker.rt, rt))
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        ON.fetch_sub(1, Ordering::Relaxed);
        lock(&TRACKERS).retain(|tracker| tracker.strong_count() > 0);
    }
}

impl std::fmt::Debug for Tracker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tracker({:?}, {} entries)", self.rt, lock(&self.entries).all.len())
    }
}

/// Whether any runtime is tracked: whether it is worth making what could be.
#[inline(always)]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed) != 0
}

/// A mailbox was made, to be served in this runtime (`None`: its maker's), or an incarnation is begun on it.
#[inline]
pub(crate) fn note<S: GenServer>(
    cell: &Arc<Cell<S>>,
    made: Option<&'static Location<'static>>,
    runtime: Option<&Handle>,
) {
    if is_on() {
        note_slow(cell, made, runtime);
    }
}

#[cold]
fn note_slow<S: GenServer>(
    cell: &Arc<Cell<S>>,
    made: Option<&'static Location<'static>>,
    runtime: Option<&Handle>,
) {
    let rt = cell.runner.rt().or_else(|| runtime.map(Rt::for_handle)).or_else(Rt::current);
    if let Some(tracker) = rt.and_then(|rt| Tracker::of(&rt)) {
        let subject: Weak<Cell<S>> = Arc::downgrade(cell);
        tracker.track(cell.link_id(), subject, made);
    }
}

/// What has something to be seen, as a registry its names, says so where it is made: see [`Tracker::track`]. Does nothing
/// unless the runtime that this thread is in is tracked.
#[inline]
pub fn track(id: usize, subject: &Weak<dyn Tracked>, made: &'static Location<'static>) {
    if is_on()
        && let Some(tracker) = Rt::current().and_then(|rt| Tracker::of(&rt))
    {
        tracker.track(id, Weak::clone(subject), Some(made));
    }
}

/// Where a server's timers are counted, if they are.
pub(crate) fn timers<S: GenServer>(cell: &Arc<Cell<S>>) -> Option<Arc<AtomicUsize>> {
    if !is_on() {
        return None;
    }
    Tracker::of(&cell.runner.rt()?)?.timers_of(cell.link_id())
}

/// For which runtime the waits are counted that no sweep watches over: 0, or its name.
#[inline]
pub(crate) fn unswept() -> u32 {
    if !is_on() {
        return 0;
    }
    Rt::current().map_or(0, |rt| rt.name())
}

impl<S: GenServer> Tracked for MailCell<Message<S>, Executor<S>> {
    fn look(&self) -> Option<Look> {
        let (monitors, links) = self.bonds();
        let (alive, closed) = (self.is_leased(), self.is_closed());
        // The task of a mailbox that is closed and not read ends by itself.
        let has_task = self.runner.has_task() && (alive || !closed);
        Some(Look {
            name: self.name().cloned(),
            incarnation: self.incarnation(),
            alive,
            closed,
            monitors,
            links,
            queued: self.stats().depth,
            has_task,
            ..Look::new("server", std::any::type_name::<S>())
        })
    }
}
