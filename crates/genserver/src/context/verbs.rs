//! What a callback may do.

use super::own::Context;
use crate::message::{Message, Notice};
use crate::server::GenServer;
use crate::server_ref::ServerRef;
use crate::timer::{Every, TimerId};
use restante_core::monitor::{Event, MonitorId, Watch};
use restante_core::{ExitReason, Lane, Ledger, SendOptions, Stats};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// A linked server ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExitSignal {
    /// Which one: [`ServerRef::link_id`].
    pub from: usize,
    /// Why.
    pub reason: ExitReason,
}

impl<S: GenServer> Context<S> {
    /// An address of this server.
    pub fn server(&self) -> ServerRef<S> {
        ServerRef::of_cell(self.cell())
    }

    /// Which incarnation of its mailbox this is, counted from 1.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// A cheap look at the server's own mailbox.
    pub fn stats(&self) -> Stats {
        self.cell().stats()
    }

    /// The exact counters of the server's own mailbox.
    pub fn audit(&self) -> Ledger {
        let cell = self.cell();
        cell.both(|_, own| cell.audit_as_reader(own))
    }

    /// Throws out every queued message for which `which` holds: how many. They are counted as purged; callers among
    /// them hear [`CallError::NoReply`](crate::CallError::NoReply).
    pub fn purge(&mut self, which: impl FnMut(&Message<S>) -> bool) -> u64 {
        let cell = self.cell();
        cell.both(|_, own| cell.purge(own, which))
    }

    /// Sends `info` to this server once, `after` from now. Zero: as soon as this turn lets it; `Duration::MAX`: never.
    pub fn send_after(&mut self, after: Duration, info: S::Info) -> TimerId {
        let id = self.own_cold().timers.once(Instant::now(), after, info);
        self.calm();
        id
    }

    /// Sends what `make` makes to this server again and again, first one period from now. (Periods below 1 ms are taken
    /// as 1 ms.) However long the handlers of ticks take, messages are handled between them: see [`Every`].
    pub fn send_every(&mut self, every: Every, make: impl FnMut() -> S::Info + Send + 'static) -> TimerId {
        let id = self.own_cold().timers.periodic(Instant::now(), every, Box::new(make));
        self.calm();
        id
    }

    /// Gives a timer a key. Another timer that had the key before is cancelled. (A timer that has fired or been cancelled, or
    /// that another incarnation has set, gets none.)
    pub fn key_timer(&mut self, key: &'static str, id: TimerId) {
        self.own_cold().timers.key(key, id);
        self.calm();
    }

    /// Cancels a timer: its tick will not come, even if it is due already. False when it had fired or been cancelled, or is
    /// another incarnation's or server's.
    pub fn cancel_timer(&mut self, id: TimerId) -> bool {
        self.cell();
        let cancelled = self.cold.as_mut().is_some_and(|e| e.timers.cancel(id));
        self.calm();
        cancelled
    }

    /// Cancels the timer that has this key.
    pub fn cancel_timer_key(&mut self, key: &'static str) -> bool {
        self.cell();
        let cancelled = self.cold.as_mut().is_some_and(|e| e.timers.cancel_key(key));
        self.calm();
        cancelled
    }

    /// Watches another server. Its end (or, with [`Watch::Mailbox`], everything that happens to its mailbox) comes as the
    /// info that `make` makes ([`Message::Notice`] to a selective receive), in the control lane: it may overtake what the
    /// other has sent before. The monitor ends with this incarnation: a later one does not get its notice.
    pub fn monitor<T: GenServer>(
        &mut self,
        other: &ServerRef<T>,
        watch: Watch,
        mut make: impl FnMut(Event) -> S::Info + Send + 'static,
    ) -> MonitorId {
        let me = Arc::downgrade(self.cell());
        let incarnation = self.incarnation();
        let on = other.handle.cell();
        let watches = &self.cold().watches;
        let mark = watches.begin(on);
        let number = mark.number;
        let id = on.monitor(
            watch,
            Box::new(move |event| {
                // Goes with the notice: then the monitor has ended.
                let _mark = &mark;
                let Some(me) = me.upgrade() else { return };
                // The notice is for who asked: the loop of a later incarnation drops it.
                let notice = Message::Notice(Notice { info: make(event), incarnation });
                let _ = me.push_with(notice, &SendOptions::new().lane(Lane::Control), false);
            }),
        );
        watches.set(number, id);
        id
    }

    /// Takes a monitor down. A notice that has been sent already still comes.
    pub fn demonitor<T: GenServer>(&mut self, other: &ServerRef<T>, id: MonitorId) -> bool {
        self.cell();
        other.handle.demonitor(id)
    }

    /// Bonds this server with another: when one ends for another reason than normal, the other ends for the same reason,
    /// at once and without `terminate`, unless it traps exits. Linking with a server that has ended counts as its end.
    pub fn link<T: GenServer>(&mut self, other: &ServerRef<T>) {
        crate::link::link(&self.server(), other);
    }

    /// Ends the bond.
    pub fn unlink<T: GenServer>(&mut self, other: &ServerRef<T>) {
        crate::link::unlink(&self.server(), other);
    }

    /// From now on the ends of linked servers come as the infos that `make` makes, instead of ending this one.
    pub fn trap_exit(&mut self, make: impl FnMut(ExitSignal) -> S::Info + Send + 'static) {
        let old = self.own_cold().trap.replace(Box::new(make));
        self.cell.runner.trapping.store(true, Ordering::Release);
        drop(old);
    }

    /// Runs a future beside this server; what it makes comes as an info in the normal lane, waiting for room. The task is
    /// aborted when this incarnation ends; if it panics, nothing comes and the panic is logged.
    pub fn spawn(&mut self, task: impl Future<Output = S::Info> + Send + 'static) {
        let me = Arc::downgrade(self.cell());
        let Some(rt) = self.cell.runner.rt() else { return };
        let tasks = &mut self.cold().tasks;
        while tasks.try_join_next().is_some() {}
        rt.spawn_in(tasks, async move {
            let info = task.await;
            if let Some(me) = me.upgrade().and_then(|me| ServerRef::upgrade(&me)) {
                let _ = me.send_info(info).await;
            }
        });
    }

    /// Hands over a clean-up that runs when this incarnation has ended, whatever the way (a kill included), on the
    /// runtime's reaper: see [`crate::drain`].
    pub fn at_exit(&mut self, cleanup: impl Future<Output = ()> + Send + 'static) {
        let rt = self.cell().runner.rt();
        let cold = self.cold();
        cold.rt = rt;
        cold.cleanups.push(Box::pin(cleanup));
    }
}
