//! What few mailboxes need, and what becomes of the users' values when a mailbox's memory goes.

use crate::counters::Ledger;
use crate::exit::{Exit, ExitReason};
use crate::link::Links;
use crate::monitor::{self, Event, Monitor, MonitorId, Monitors};
use crate::on_close::OnClose;
use crate::quiet;
use crate::rate::RateState;
use crate::slim::slim;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Weak;
use std::task::Waker;
use uuid::Uuid;

/// What few mailboxes need, or few times.
#[derive(Debug, Default)]
pub(super) struct Cold {
    /// The waker of a parked receiver. (A server's task has its own place.)
    pub(super) parked: Option<Waker>,
    pub(super) id: Option<Uuid>,
    /// Fates other than handled, and what the tally's narrower counters have run over.
    pub(super) ledger: Ledger,
    pub(super) rate: Option<RateState>,
    pub(super) monitors: Monitors,
    /// Taken down while the list was out being told.
    pub(super) demonitored: BTreeSet<MonitorId>,
    /// A thread has taken the list out and tells what lies in `untold`.
    pub(super) telling: bool,
    /// Events so far: a monitor hears of those that come after it.
    pub(super) events: u64,
    pub(super) untold: VecDeque<(u64, Event)>,
    pub(super) links: Links,
    /// Who is told first when the mailbox closes.
    pub(super) on_close: Vec<Weak<dyn OnClose>>,
    pub(super) last_exit: Option<Exit>,
    /// Why the present incarnation is to be killed.
    pub(super) doom: Option<ExitReason>,
    pub(super) closed: Option<ExitReason>,
}

/// What is spare of lists: to be dropped after the lock.
type SpareLists = (monitor::Spare, Option<Vec<Weak<dyn OnClose>>>, Option<VecDeque<(u64, Event)>>);

impl Cold {
    /// Takes away what the lists hold beyond what they need.
    pub(super) fn slim(&mut self) -> SpareLists {
        let untold =
            (self.untold.is_empty() && self.untold.capacity() > 0).then(|| std::mem::take(&mut self.untold));
        (self.monitors.slim(), slim(&mut self.on_close), untold)
    }

    pub(super) fn buffer_bytes(&self) -> usize {
        self.monitors.buffer_bytes()
            + self.on_close.capacity() * size_of::<Weak<dyn OnClose>>()
            + self.untold.capacity() * size_of::<(u64, Event)>()
            + self.links.buffer_bytes()
    }

    /// Drops it, piece by piece.
    pub(super) fn discard(mut self: Box<Self>) {
        quiet::discard("a waker", self.parked.take());
        self.monitors.take().into_iter().for_each(Monitor::end);
        self.untold.drain(..).for_each(|(_, event)| quiet::discard("an exit reason", event));
        self.links.take().into_iter().for_each(|link| quiet::discard("a link", link));
        quiet::discard("an exit reason", self.last_exit.take());
        quiet::discard("an exit reason", self.doom.take());
        quiet::discard("an exit reason", self.closed.take());
    }
}
