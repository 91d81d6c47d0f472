//! The monitors that an incarnation has on others ([`Context::monitor`]): each ends with what it watches, or with the
//! incarnation that set it, whichever comes first.
//!
//! A monitor lies with the mailbox that it watches, and stands in a list that the watcher's context holds. Its notice holds
//! a mark: where the notice goes (told for the last time, taken down, or gone with its mailbox) the mark takes the monitor
//! off the list. When the context goes, the list takes down what is left on it. So neither side keeps what is of no use to
//! the other, and a mailbox that is watched by the thousandth incarnation of a server has one monitor of it.
//!
//! The list's lock is held for the list only: never while a mailbox is looked at, and never while foreign code runs.
//!
//! [`Context::monitor`]: crate::Context::monitor

use crate::executor::Executor;
use crate::message::Message;
use crate::server::GenServer;
use restante_core::cell::MailCell;
use restante_core::monitor::MonitorId;
use restante_core::quiet;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What can be watched: a mailbox of whatever server.
trait Watchable: Send + Sync {
    fn take_down(&self, id: MonitorId);
}

impl<S: GenServer> Watchable for MailCell<Message<S>, Executor<S>> {
    fn take_down(&self, id: MonitorId) {
        self.demonitor(id);
    }
}

/// A monitor on the list.
struct Watch {
    on: Weak<dyn Watchable>,
    /// Unknown while it is being set.
    id: Option<MonitorId>,
}

#[derive(Default)]
struct List {
    set: HashMap<u64, Watch>,
    /// How many there have been.
    count: u64,
}

type Shared = Mutex<List>;

fn lock(list: &Shared) -> MutexGuard<'_, List> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The monitors of one incarnation, taken down when this goes.
#[derive(Default)]
pub(crate) struct Watches(Arc<Shared>);

impl Watches {
    /// A monitor on this mailbox is about to be set: the mark that its notice is to hold.
    pub(crate) fn begin<S: GenServer>(&self, on: &Arc<MailCell<Message<S>, Executor<S>>>) -> Mark {
        let on: Weak<MailCell<Message<S>, Executor<S>>> = Arc::downgrade(on);
        let mut list = lock(&self.0);
        list.count += 1;
        let number = list.count;
        list.set.insert(number, Watch { on, id: None });
        Mark { list: Arc::downgrade(&self.0), number }
    }

    /// The monitor with this mark has been set. (Or it has been told already and is gone.)
    pub(crate) fn set(&self, number: u64, id: MonitorId) {
        if let Some(watch) = lock(&self.0).set.get_mut(&number) {
            watch.id = Some(id);
        }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        let left = std::mem::take(&mut lock(&self.0).set);
        for watch in left.into_values() {
            if let (Some(on), Some(id)) = (watch.on.upgrade(), watch.id) {
                on.take_down(id);
                // The last reference may go here, and with it the user's messages.
                quiet::discard("a mailbox", on);
            }
        }
    }
}

/// Held by a notice: its monitor is on the list as long as this lives.
pub(crate) struct Mark {
    list: Weak<Shared>,
    pub(crate) number: u64,
}

impl Drop for Mark {
    fn drop(&mut self) {
        let gone = self.list.upgrade().and_then(|list| lock(&list).set.remove(&self.number));
        drop(gone);
    }
}
