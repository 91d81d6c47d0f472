//! One-way notices: of an incarnation's end, or of everything that happens to a mailbox.

use crate::exit::{Exit, ExitReason};
use crate::quiet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names one monitor, for taking it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MonitorId(u64);

impl MonitorId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a monitor is told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A new incarnation reads the mailbox; the first is 1. Only monitors of a mailbox hear of it.
    Started {
        /// Which.
        incarnation: u32,
    },
    /// The incarnation ended. A monitor of an incarnation hears this once and is then gone; when nobody reads the
    /// mailbox at the time of monitoring it hears at once how the last reader ended.
    Down(Exit),
    /// The mailbox closed for good. Monitors hear nothing after it.
    Closed(ExitReason),
}

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// The incarnation that reads now, to its end.
    Incarnation,
    /// The mailbox, over all its incarnations, to its closing.
    Mailbox,
}

/// How a monitor is told: runs on the thread that ends the server, so it must neither block nor panic (a panic is
/// caught). Usually it sends a message.
pub type Notify = Box<dyn FnMut(Event) + Send>;

pub(crate) struct Monitor {
    pub(crate) id: MonitorId,
    pub(crate) watch: Watch,
    /// The number of the last event before it.
    pub(crate) since: u64,
    pub(crate) notify: Notify,
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Monitor({:?}, {:?})", self.id, self.watch)
    }
}

impl Monitor {
    /// Whether it is to be told of this event.
    pub(crate) fn concerns(&self, number: u64, event: &Event) -> bool {
        number > self.since && (self.watch == Watch::Mailbox || matches!(event, Event::Down(_)))
    }

    /// Whether nothing comes for it after this event.
    pub(crate) fn ends_with(&self, event: &Event) -> bool {
        self.watch == Watch::Incarnation || matches!(event, Event::Closed(_))
    }

    /// Drops it; a panic in user code ends here.
    pub(crate) fn end(self) {
        quiet::discard("a monitor's notice", self.notify);
    }

    /// Tells it; a panic in user code ends here.
    pub(crate) fn tell(&mut self, event: Event) {
        quiet::run("a monitor's notice", || (self.notify)(event));
    }
}
