//! One-way notices: of an incarnation's end, or of everything that happens to a mailbox.

use crate::exit::{Exit, ExitReason};
use crate::quiet;
use crate::slim::{KEPT, slim};
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
    /// The incarnation ended. A monitor of an incarnation hears this once and is then gone. If the mailbox has
    /// no reader at the time of monitoring, the monitor hears at once how the last reader ended.
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
    /// `None`: it has been taken down.
    pub(crate) notify: Option<Notify>,
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
        if let Some(notify) = &mut self.notify {
            quiet::run("a monitor's notice", || notify(event));
        }
    }
}

/// The monitors of a mailbox, in the order in which they are told.
///
/// It is touched under the senders' lock, so to take one down must not cost as much as there are others: it is found by its
/// number, and what was in its place stays empty until half of the places are. INVARIANT: numbers ascend, since each is given
/// under that lock.
#[derive(Debug, Default)]
pub(crate) struct Monitors {
    list: Vec<Monitor>,
    /// Places of those that were taken down.
    gone: usize,
}

/// A buffer that is not needed any more: to be dropped after the lock. (What it holds was taken down.)
pub(crate) type Spare = Option<Vec<Monitor>>;

impl Monitors {
    pub(crate) fn push(&mut self, monitor: Monitor) {
        debug_assert!(self.list.last().is_none_or(|last| last.id < monitor.id), "numbers ascend");
        self.list.push(monitor);
    }

    /// Takes one down.
    pub(crate) fn take_down(&mut self, id: MonitorId) -> Option<(Notify, Spare)> {
        let at = self.list.binary_search_by_key(&id, |monitor| monitor.id).ok()?;
        let notify = self.list.get_mut(at)?.notify.take()?;
        self.gone += 1;
        Some((notify, self.close_up()))
    }

    /// Closes the gaps, once they are half of the list.
    fn close_up(&mut self) -> Spare {
        if self.gone * 2 <= self.list.len() {
            return None;
        }
        let stays = |monitor: &Monitor| monitor.notify.is_some();
        let left = self.len();
        self.gone = 0;
        if self.list.len() <= KEPT {
            self.list.retain(stays);
            return None;
        }
        let mut fresh = Vec::with_capacity(left * 2);
        fresh.extend(self.list.drain(..).filter(stays));
        Some(std::mem::replace(&mut self.list, fresh))
    }

    /// All of them, to be told; they come back by [`Monitors::put_back`].
    pub(crate) fn take(&mut self) -> Vec<Monitor> {
        std::mem::take(self).list
    }

    /// Puts those back that are told of later events, before those that have come meanwhile.
    pub(crate) fn put_back(&mut self, mut kept: Vec<Monitor>) {
        kept.append(&mut self.list);
        self.list = kept;
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len() - self.gone
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`slim`].
    pub(crate) fn slim(&mut self) -> Spare {
        slim(&mut self.list)
    }

    /// Bytes that the list holds, used or not.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.list.capacity() * size_of::<Monitor>()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    fn of(list: &Monitors) -> Vec<MonitorId> {
        list.list.iter().filter(|monitor| monitor.notify.is_some()).map(|monitor| monitor.id).collect()
    }

    fn monitor() -> Monitor {
        Monitor { id: MonitorId::next(), watch: Watch::Mailbox, since: 0, notify: Some(Box::new(|_| ())) }
    }

    proptest::proptest! {
        /// The list does what a plain one does, whatever is taken down, and keeps little more than what it holds.
        #[test]
        fn a_monitor_is_taken_down_from_wherever_it_is(
            set in 1_usize..200, taken in proptest::collection::vec((0_usize..250, proptest::prelude::any::<bool>()), 0..300)
        ) {
            let mut monitors = Monitors::default();
            let mut plain = Vec::new();
            let set_one = |monitors: &mut Monitors, plain: &mut Vec<MonitorId>| {
                let monitor = monitor();
                plain.push(monitor.id);
                monitors.push(monitor);
            };
            (0..set).for_each(|_| set_one(&mut monitors, &mut plain));
            let all = plain.clone();
            for (at, one_more) in taken {
                let Some(id) = all.get(at).copied() else { continue };
                let place = plain.iter().position(|other| *other == id);
                proptest::prop_assert_eq!(monitors.take_down(id).is_some(), place.is_some());
                if let Some(place) = place {
                    plain.remove(place);
                }
                if one_more {
                    set_one(&mut monitors, &mut plain);
                }
                proptest::prop_assert_eq!(of(&monitors), plain.clone());
                proptest::prop_assert_eq!(monitors.len(), plain.len());
                proptest::prop_assert!(monitors.list.len() <= (2 * plain.len()).max(KEPT));
            }
            // While they are out being told others come.
            let out = monitors.take();
            set_one(&mut monitors, &mut plain);
            monitors.put_back(out.into_iter().filter(|monitor| monitor.notify.is_some()).collect());
            proptest::prop_assert_eq!(of(&monitors), plain);
        }
    }
}
