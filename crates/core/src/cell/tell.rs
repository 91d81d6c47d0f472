//! Monitors and links, and how they are told.

use super::mail_cell::{MailCell, Runner};
use crate::error::closed_reason;
use crate::exit::{Exit, ExitReason};
use crate::later;
use crate::link::Linked;
use crate::monitor::{Event, Monitor, MonitorId, Notify, Watch};
use crate::quiet;
use crate::word;
use std::collections::VecDeque;
use std::sync::Arc;

impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// Tells the other sides, each of which is told whatever those before it did.
    pub(super) fn tell_links(self: &Arc<Self>, links: Vec<Arc<dyn Linked>>, reason: &ExitReason) {
        let id = self.link_id();
        for other in links {
            quiet::run("a link", || other.exit_signal(id, reason));
            quiet::discard("a link", other);
        }
    }

    /// What names this cell for links: the same over all incarnations.
    pub fn link_id(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).cast::<()>().addr()
    }

    /// Tells the monitors what is untold, in order. That is user code, so the list is out of the cell meanwhile. If another
    /// thread is telling already, that thread goes on with what has come since.
    pub(super) fn tell(&self) {
        let (mut event, mut list) = {
            let mut g = self.word.lock();
            let Some(cold) = g.cold.as_mut().filter(|c| !c.telling) else { return };
            let Some(event) = cold.untold.pop_front() else { return };
            cold.telling = true;
            (event, cold.monitors.take())
        };
        loop {
            self.announce_closing();
            let (number, what) = (event.0, &event.1);
            let mut kept = Vec::new();
            for mut monitor in list {
                if monitor.notify.is_none() {
                    continue;
                }
                if !monitor.concerns(number, what) {
                    kept.push(monitor);
                    continue;
                }
                if !self.was_demonitored(monitor.id) {
                    monitor.tell(what.clone());
                }
                if monitor.ends_with(what) {
                    monitor.end();
                } else {
                    kept.push(monitor);
                }
            }
            let mut ended = Vec::new();
            let mut g = self.word.lock();
            g.clear(word::UNWATCH);
            let cold = g.cold();
            let gone = std::mem::take(&mut cold.demonitored);
            if !gone.is_empty() {
                let (stay, go): (Vec<_>, Vec<_>) = kept.into_iter().partition(|m| !gone.contains(&m.id));
                kept = stay;
                ended.extend(go);
            }
            cold.monitors.put_back(kept);
            let next = cold.untold.pop_front();
            let mut spare = VecDeque::new();
            list = if next.is_some() {
                cold.monitors.take()
            } else {
                cold.telling = false;
                spare = std::mem::take(&mut cold.untold);
                Vec::new()
            };
            drop(g);
            drop(spare);
            ended.into_iter().for_each(Monitor::end);
            quiet::discard("an exit reason", event.1);
            match next {
                Some(next) => event = next,
                None => return,
            }
        }
    }

    fn was_demonitored(&self, id: MonitorId) -> bool {
        // Looked at first: mostly no monitor is taken down while it is told.
        self.word.bits_acquire() & word::UNWATCH != 0
            && self.word.lock().cold.as_ref().is_some_and(|c| c.demonitored.contains(&id))
    }

    /// Sets up a monitor. Of an incarnation when none reads, or of a closed mailbox: told at once.
    pub fn monitor(self: &Arc<Self>, watch: Watch, notify: Notify) -> MonitorId {
        let mut g = self.word.lock();
        // Under the lock, so that numbers ascend in the list.
        let id = MonitorId::next();
        let mut monitor = Monitor { id, watch, since: 0, notify: Some(notify) };
        let bits = g.bits();
        let at_once = if watch == Watch::Incarnation && bits & word::LEASED == 0 {
            Some(Event::Down(
                g.cold()
                    .last_exit
                    .clone()
                    .unwrap_or_else(|| Exit::new(ExitReason::NoProcess, crate::exit::Phase::Idle, None, 0)),
            ))
        } else if bits & (word::CLOSED | word::LEASED) == word::CLOSED {
            Some(Event::Closed(closed_reason(g.cold().closed.as_ref())))
        } else {
            None
        };
        if let Some(event) = at_once {
            drop(g);
            self.announce_closing();
            monitor.tell(event);
            monitor.end();
        } else {
            let cold = g.cold();
            monitor.since = cold.events;
            cold.monitors.push(monitor);
        }
        id
    }

    /// Takes a monitor down: nothing is told any more, but what is being told right now. False when it was gone, and
    /// while an event is being told (the monitor is out then, and goes when it comes back).
    pub fn demonitor(&self, id: MonitorId) -> bool {
        let mut g = self.word.lock();
        let Some(cold) = g.cold.as_mut() else { return false };
        if let Some((notify, spare)) = cold.monitors.take_down(id) {
            drop(g);
            drop(spare);
            later::let_go(notify, |notify| quiet::discard("a monitor's notice", notify));
            return true;
        }
        if cold.telling {
            cold.demonitored.insert(id);
            g.set(word::UNWATCH);
        }
        false
    }

    /// Remembers a link.
    pub fn add_link(&self, id: usize, other: Arc<dyn Linked>) {
        let twice = self.word.lock().cold().links.add(id, other);
        quiet::discard("a link", twice);
    }

    /// Forgets a link; whether there was one.
    pub fn remove_link(&self, id: usize) -> bool {
        let removed = {
            let mut g = self.word.lock();
            g.cold.as_mut().and_then(|c| c.links.remove(id))
        };
        let was_there = removed.is_some();
        quiet::discard("a link", removed);
        was_there
    }
}

impl<M: 'static, X: ?Sized> MailCell<M, X> {
    /// How many monitors and links it has. (A list of monitors that is out being told is not seen.)
    pub fn bonds(&self) -> (usize, usize) {
        let g = self.word.lock();
        g.cold.as_ref().map_or((0, 0), |cold| (cold.monitors.len(), cold.links.len()))
    }
}
