//! What a callback may do beside handling its message.

use crate::executor::CellRef;
use crate::executor::Started;
use crate::guarded::fail_orphans;
use crate::in_hand;
use crate::message::{Message, Notice, Order, OrderKind};
use crate::rt::Rt;
use crate::server::{GenServer, Next, NextKind};
use crate::server_ref::ServerRef;
use crate::start::Outcome;
use crate::sys::Open;
use crate::timer::{Every, Idle, TimerId, Timers};
use crate::watches::Watches;
use restante_core::link::Linked;
use restante_core::monitor::{Event, MonitorId, Watch};
use restante_core::{
    Exit, ExitReason, Fate, Lane, Ledger, Phase, SendOptions, Stats, drop_quietly, quiet, word,
};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};

/// What a callback may do: set timers, receive selectively, monitor, link, spawn.
///
/// Belongs to one incarnation of one server; what it holds (timers, tasks, monitors' answers) ends with it.
///
/// It is lent to a callback for as long as that lasts, and works at the place where it was lent, on the thread that runs the
/// callback. A callback that has put another context into that place (`std::mem::swap`) ends its server, without
/// `terminate`, for an error that says so.
///
/// # Panics
/// Everything that it can do but [`Context::incarnation`] panics, and so crashes the server whose callback has asked, in a
/// context that was moved from its place, or is used on another thread than its callback's.
#[expect(clippy::struct_excessive_bools, reason = "each is looked at by itself, on the hot path")]
pub struct Context<S: GenServer> {
    pub(crate) cell: CellRef<S>,
    pub(crate) cold: Option<Box<Cold<S>>>,
    pub(crate) idle: Option<Box<Idle>>,
    /// `handle_continue` is due.
    pub(crate) continues: bool,
    /// Buffers are to be given back once idle.
    pub(crate) hibernates: bool,
    /// Nothing can come before the next message but what [`Context::try_next`] looks at itself.
    pub(crate) quiet: bool,
    /// There are timers.
    pub(crate) timed: bool,
    /// Somebody watches what this server does ([`crate::sys`]).
    pub(crate) watched: bool,
    /// The server is suspended.
    pub(crate) suspended: bool,
    /// A callback has left another server's context, or an earlier incarnation's, in the place of this incarnation's.
    lost: bool,
    incarnation: u32,
}

/// What few servers use.
pub(crate) struct Cold<S: GenServer> {
    pub(crate) timers: Timers<S::Info>,
    /// The wait of a message that was put back.
    pub(crate) back_off: Option<Pin<Box<Sleep>>>,
    /// What is in a handler, and since when, while somebody watches.
    pub(crate) open: Option<Open>,
    trap: Option<Trap<S>>,
    tasks: JoinSet<()>,
    cleanups: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Whose reaper they are handed over to. (A context may be dropped where there is no cell to ask any more.)
    rt: Option<Arc<Rt>>,
    /// Monitors on others.
    watches: Watches,
}

/// What it holds of the user's goes one by one. (Of timers and monitors: see there.)
impl<S: GenServer> Drop for Cold<S> {
    fn drop(&mut self) {
        quiet::discard("a closure that makes infos of exits", self.trap.take());
        self.cleanups.drain(..).for_each(|cleanup| quiet::discard("a clean-up", cleanup));
    }
}

type Trap<S> = Box<dyn FnMut(ExitSignal) -> <S as GenServer>::Info + Send>;

/// A linked server ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExitSignal {
    /// Which one: [`ServerRef::link_id`].
    pub from: usize,
    /// Why.
    pub reason: ExitReason,
}

/// What every server can do.
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
        let id = self.own_extra().timers.once(Instant::now(), after, info);
        self.calm();
        id
    }

    /// Sends what `make` makes to this server again and again, first one period from now. (Periods below 1 ms are taken
    /// as 1 ms.) However long the handlers of ticks take, messages are handled between them: see [`Every`].
    pub fn send_every(&mut self, every: Every, make: impl FnMut() -> S::Info + Send + 'static) -> TimerId {
        let id = self.own_extra().timers.periodic(Instant::now(), every, Box::new(make));
        self.calm();
        id
    }

    /// Gives a timer a key. Another timer that had the key before is cancelled. (A timer that has fired or been cancelled, or
    /// that another incarnation has set, gets none.)
    pub fn key_timer(&mut self, key: &'static str, id: TimerId) {
        self.own_extra().timers.key(key, id);
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
        let old = self.own_extra().trap.replace(Box::new(make));
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

    /// The cell, for what a callback asks for. It is there for sure, and its RUN is the callback's, where its loop is polled on
    /// this very thread and this lies in the place from which the loop has lent its context: what lies there is a context for an
    /// `S`, and its cell is the one that is polled. One that was kept from an earlier incarnation is refused there as well.
    #[inline]
    pub(crate) fn cell(&self) -> &CellRef<S> {
        let lent = self.cell.has_lent(std::ptr::from_ref(self).addr());
        if !lent || self.cell.incarnation() != self.incarnation {
            astray::<S>();
        }
        &self.cell
    }

    /// What few servers use, for what a callback asks for.
    fn own_extra(&mut self) -> &mut Cold<S> {
        self.cell();
        self.cold()
    }

    pub(crate) fn cold(&mut self) -> &mut Cold<S> {
        self.cold.get_or_insert_with(|| {
            Box::new(Cold {
                timers: Timers::counted(crate::tracker::timers(&self.cell)),
                back_off: None,
                open: None,
                trap: None,
                tasks: JoinSet::new(),
                cleanups: Vec::new(),
                rt: None,
                watches: Watches::default(),
            })
        })
    }
}

/// For the loop.
impl<S: GenServer> Context<S> {
    pub(crate) fn new(cell: CellRef<S>, incarnation: u32) -> Self {
        Self {
            cell,
            cold: None,
            idle: None,
            continues: false,
            hibernates: false,
            quiet: true,
            timed: false,
            watched: false,
            suspended: false,
            lost: false,
            incarnation,
        }
    }

    /// For a callback that it is lent to, from the place where it lies now and stays: what the callback's poll is to know of it.
    #[inline(always)]
    pub(crate) fn lend(&self) -> (CellRef<S>, usize) {
        (self.cell.again(), std::ptr::from_ref(self).addr())
    }

    /// Whether this is the context of the server whose loop is being polled here. To be asked whenever a callback has had it.
    #[inline(always)]
    pub(crate) fn is_own(&self) -> bool {
        self.cell.is_polled_here()
    }

    /// A callback has returned: whether it has left the context where it was.
    ///
    /// # Errors
    /// What the callback failed with; or it has left another in the place, and the server is to end for that.
    pub(crate) fn kept<T>(&mut self, returned: Result<T, ExitReason>) -> Result<T, ExitReason> {
        if self.is_own() {
            return returned;
        }
        let misplaced = self.take_over();
        Err(returned.map(drop_quietly).err().unwrap_or(misplaced))
    }

    /// This one serves in the place of the one that is lost, for the loop's sake; no callback is lent it any more. Why the
    /// server is to end.
    #[cold]
    #[expect(unsafe_code, reason = "as where the loop was made")]
    pub(crate) fn take_over(&mut self) -> ExitReason {
        assert!(!crate::frame::cell().is_null(), "a loop is polled inside of its frame");
        // SAFETY: asked for by the loop that owns this place, while it is polled; its context is one for an `S`.
        self.cell = unsafe { CellRef::polled_here() };
        self.incarnation = self.cell.incarnation();
        self.lost = true;
        ExitReason::error("a callback has put another server's context into the place of its own")
    }

    /// Works out anew what the next message may have to wait for.
    pub(crate) fn calm(&mut self) {
        let keeps = self.cell.turn_state(|turn_state| turn_state.retry.is_some());
        let ticking = self.cold.as_ref().is_some_and(|e| e.timers.ticking() || e.timers.in_round());
        self.quiet =
            !(self.continues || self.hibernates || self.watched || self.suspended || keeps || ticking)
                && self.idle.is_none();
        self.timed = self.cold.as_ref().is_some_and(|e| e.timers.any());
    }

    #[inline(always)]
    pub(crate) fn idle_over(&mut self) {
        if !self.quiet {
            self.forget_idle();
        }
    }

    #[cold]
    #[inline(never)]
    fn forget_idle(&mut self) {
        self.idle = None;
        self.hibernates = false;
        self.calm();
    }

    /// `init` is done.
    pub(crate) fn started(&mut self) {
        quiet::run("a subscriber", || {
            tracing::debug!(
                server = std::any::type_name::<S>(), mailbox = %self.cell.label(), incarnation = self.incarnation(),
                "server started"
            );
        });
        self.calm();
        self.put_down();
        // (Told outside of the turn state: the starter's waker is foreign code.)
        let sender = self.cell.turn_state(|turn_state| {
            let sender = turn_state.start.take();
            if sender.is_none() {
                turn_state.started = Some(Started::Yes);
            }
            sender
        });
        if let Some(sender) = sender {
            quiet::run("a starter's waker", || drop(sender.send(Outcome::Started)));
        }
    }

    /// `init` came to nothing.
    pub(crate) fn not_started(&mut self, started: Started, reason: &ExitReason) {
        fail_orphans(Some(reason));
        self.note_exit(reason);
        self.cell.turn_state(|turn_state| turn_state.started = Some(started));
    }

    /// The loop is over: this is why the incarnation ends.
    pub(crate) fn over(&mut self, served: Result<ExitReason, ExitReason>) -> ExitReason {
        let killed = self.lost || self.cell.word().bits() & word::KILL != 0;
        self.cell.turn_state(|turn_state| turn_state.killed = killed);
        if self.watched {
            self.tell_done(served.as_ref().err());
        }
        let reason = match served {
            Ok(reason) => {
                self.drop_kept(Some(&reason));
                reason
            }
            Err(reason) => {
                self.failed(&reason);
                reason
            }
        };
        self.note_exit(&reason);
        reason
    }

    /// Everything has been done that the state was needed for.
    pub(crate) fn bury<T>(self, state: T, reason: &ExitReason) {
        self.report(reason);
        if let Some(in_drop) = drop_quietly(state) {
            quiet::run("a subscriber", || {
                tracing::error!(server = std::any::type_name::<S>(), reason = %in_drop, "the state panicked in its drop");
            });
        }
        // Replies lie in the state, and in what the context keeps (timers): their callers hear the reason.
        drop_quietly(self);
        fail_orphans(Some(reason));
    }

    /// A callback starts.
    #[inline(always)]
    pub(crate) fn take_up(&mut self, phase: Phase, name: &'static str) {
        self.cell.runner.current.take_up(phase, name);
    }

    /// The same, out of line: the compiler makes the words of all names that the loop knows when a poll begins, and few
    /// polls need these.
    #[inline(never)]
    pub(crate) fn take_up_rare(&mut self, phase: Phase, name: &'static str) {
        self.take_up(phase, name);
    }

    /// Nothing is in hand: whatever happens now is not a message's fault.
    #[inline(always)]
    pub(crate) fn put_down(&self) {
        self.cell.runner.current.put_down(Phase::Idle);
    }

    /// A callback has returned; with a reason, the server stops for it.
    #[inline(always)]
    pub(crate) fn finish(&mut self, stops: Option<&ExitReason>) {
        // Who gets no reply from a server that stops hears why it stops.
        fail_orphans(stops);
        let cell = &self.cell;
        cell.both(|_, own| {
            if own.in_hand {
                own.in_hand = false;
                cell.handled();
            }
        });
    }

    /// The same, and what the callback asked for. `Some`: the end.
    pub(crate) fn finish_step(&mut self, next: Next) -> Option<ExitReason> {
        self.finish(if let NextKind::Stop(reason) = &next.0 { Some(reason) } else { None });
        self.apply(next)
    }

    /// A callback has failed, or was killed.
    #[cold]
    pub(crate) fn failed(&mut self, reason: &ExitReason) {
        fail_orphans(Some(reason));
        let cell = &self.cell;
        // The phase and the message stay in the turn state, for the report.
        let left = cell.both(|turn_state, own| in_hand::crashed(cell, turn_state, own));
        left.clear_away(cell, reason);
        fail_orphans(Some(reason));
    }

    /// What is to come before the next message. `Some`: the end.
    #[cold]
    pub(crate) fn apply(&mut self, next: Next) -> Option<ExitReason> {
        match next.0 {
            NextKind::Go => return None,
            NextKind::Continue => self.continues = true,
            NextKind::Hibernate => self.hibernates = true,
            NextKind::Idle(after) => self.idle = Some(Box::new(Idle::new(after))),
            NextKind::Stop(reason) => {
                self.put_down();
                return Some(reason);
            }
        }
        self.calm();
        None
    }

    /// A call whose caller has gone, or whose time is over, never sees a handler.
    #[cold]
    pub(crate) fn skip(&mut self, call: S::Call, slot: crate::slot::SlotTag) {
        let fate = if slot.is_late() { Fate::Expired } else { Fate::Cancelled };
        let cell = &self.cell;
        cell.both(|_, own| own.in_hand = false);
        cell.count(fate, 1);
        if let Some(reason) = drop_quietly(call) {
            quiet::run("a subscriber", || {
                tracing::error!(server = std::any::type_name::<S>(), %reason, "a call panicked in its drop");
            });
        }
        fail_orphans(None);
    }

    /// The info for a linked server's end.
    pub(crate) fn trapped(&mut self, signal: ExitSignal) -> Option<S::Info> {
        let trap = self.cold.as_mut()?.trap.as_mut()?;
        Some(trap(signal))
    }

    /// How this incarnation ends. A second note is that of a `terminate` that failed: it replaces the first, and keeps it.
    pub(crate) fn note_exit(&mut self, reason: &ExitReason) {
        let incarnation = self.incarnation();
        let cell = &self.cell;
        cell.both(|turn_state, own| {
            if let Some(before) = turn_state.exit.take() {
                turn_state.exit = Some(Box::new(Exit::of_terminate(reason.clone(), *before)));
                return;
            }
            let (phase, hand) = cell.runner.current.get();
            let message = matches!(phase, Phase::Call | Phase::Cast | Phase::Info).then_some(hand);
            own.in_hand = false;
            turn_state.exit = Some(Box::new(Exit::new(reason.clone(), phase, message, incarnation)));
        });
    }

    /// The message in hand has no handler. Out of line: a handler is compiled into the loop.
    #[cold]
    #[inline(never)]
    pub(crate) fn unhandled(&self, what: &'static str) {
        let cell = self.cell();
        let in_hand = cell.runner.current.name();
        quiet::run("a subscriber", || {
            tracing::warn!(
                server = std::any::type_name::<S>(),
                mailbox = %cell.label(),
                in_hand,
                "{what} that the server does not handle ({in_hand})"
            );
        });
    }

    /// One event for each end that calls for one. (A supervisor reports its children's itself: it knows more.) A subscriber is
    /// foreign code: its panic does not change how the server ends.
    pub(crate) fn report(&self, reason: &ExitReason) {
        // The end of a runtime is told by the server's task.
        if !self.cell.runner.is_kept() && self.cell.word().bits() & word::ORPHAN == 0 {
            quiet::run("a subscriber", || self.tell_of_end(reason));
        }
    }

    fn tell_of_end(&self, reason: &ExitReason) {
        if reason.is_orderly() {
            tracing::debug!(server = std::any::type_name::<S>(), mailbox = %self.cell.label(), %reason, "server ended");
            return;
        }
        let (phase, message, before) = self.cell.turn_state(|turn_state| match &turn_state.exit {
            Some(exit) => (exit.phase, exit.message, exit.before.clone()),
            None => (self.cell.runner.current.phase(), None, None),
        });
        tracing::error!(
            server = std::any::type_name::<S>(),
            mailbox = %self.cell.label(),
            incarnation = self.incarnation(),
            %reason,
            %phase,
            // (Not `message`, which is what tracing calls the text.)
            in_hand = message.unwrap_or_default(),
            // Why it was ending when `terminate` failed.
            before = before.map(tracing::field::display),
            "server crashed"
        );
    }
}

impl<S: GenServer> Drop for Context<S> {
    fn drop(&mut self) {
        let Some(cold) = &mut self.cold else { return };
        if cold.cleanups.is_empty() {
            return;
        }
        if let Some(rt) = cold.rt.take() {
            for cleanup in cold.cleanups.drain(..) {
                // The record stays for `drain` to find, though this may be its last server.
                let keeps = std::sync::Arc::clone(&rt);
                rt.reaper.hand_over(async move {
                    let _keeps = keeps;
                    cleanup.await;
                });
            }
        }
    }
}

/// A context that is not where it was lent: what it leads to may be gone, and is certainly not the asker's to touch.
#[cold]
#[inline(never)]
pub(crate) fn astray<S: GenServer>() -> ! {
    panic!(
        "a context of {} was moved from where it was lent, or is used on another thread than its callback's",
        std::any::type_name::<S>()
    )
}

impl<S: GenServer> fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context<{}>", std::any::type_name::<S>())
    }
}

/// A link's end, as the other side keeps it.
pub(crate) struct LinkEnd<S: GenServer>(
    pub(crate) std::sync::Weak<crate::executor::Cell<S>>,
    pub(crate) usize,
);

impl<S: GenServer> Linked for LinkEnd<S> {
    fn link_id(&self) -> usize {
        self.1
    }

    fn exit_signal(&self, from: usize, reason: &ExitReason) {
        let Some(cell) = self.0.upgrade() else { return };
        // A link binds two incarnations: one that this side has forgotten (or told of already) says nothing any more.
        if !cell.remove_link(from) {
            return;
        }
        if cell.runner.trapping.load(Ordering::Acquire) {
            let signal = OrderKind::Exit(ExitSignal { from, reason: reason.clone() });
            let order = Message::Order(Order { kind: Box::new(signal), incarnation: cell.incarnation() });
            let _ = cell.push_with(order, &SendOptions::new().lane(Lane::Control), false);
        } else if *reason != ExitReason::Normal {
            cell.kill(reason.clone());
        }
    }

    fn add_link(&self, other: Arc<dyn Linked>, id: usize) {
        if let Some(cell) = self.0.upgrade() {
            cell.add_link(id, other);
        }
    }

    fn remove_link(&self, id: usize) {
        if let Some(cell) = self.0.upgrade() {
            cell.remove_link(id);
        }
    }
}
