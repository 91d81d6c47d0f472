//! The cell: a mailbox's lanes, counters and bookkeeping in one allocation, with room at its end for whoever runs it.
//!
//! This is the ground on which receivers and behaviours (servers, later state machines) stand, and not meant for their
//! users: it may change in any release. Senders go through [`MailCell::push`]; a reader holds RUN and goes through
//! [`MailCell::take`].
//!
//! Foreign code (wakers, notices, `Drop`s and closures of users, the runner) is never called under the lock: what calls for
//! it is collected in `Aftermath` and dealt with when the lock is free. Mostly RUN is still held then, and more is to be done: so
//! each call goes through the net of [`crate::quiet`], one by one, and a panic of one neither unwinds out of the cell nor
//! keeps the next from being done. Only a closure that the present caller has handed in (`weigh`, `purge`'s predicate)
//! unwinds to that caller, at a point where nothing has moved yet. Should anything else unwind while RUN is held, its
//! [`RunGuard`] gives RUN up (rule 9 of `word`). Design note 0014 has a table of all such calls.
//!
//! Long because the two halves of one protocol (push, take) are best read side by side.

use crate::addressable::{OnClose, ToldFirst};
use crate::clock::{self, Instant};
use crate::counters::{Fate, Ledger, Stats};
use crate::dead_letter::{DeadCause, DeadLetter};
use crate::error::{LeaseError, SendError, closed_reason};
use crate::exit::{Exit, ExitReason};
use crate::hops::hop;
use crate::lanes::{Lane, LaneOrder, Lanes};
use crate::later;
use crate::link::{Linked, Links};
use crate::monitor::{self, Event, Monitor, MonitorId, Monitors, Notify, Watch};
use crate::options::{Meta, SendOptions};
use crate::overflow::{Overflow, Verdict};
use crate::quiet;
use crate::rate::RateState;
use crate::room::Room;
use crate::settings::{Coalesce, Settings};
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use crate::waiters::{Ticket, Waiters};
use crate::word::{self, HasStateWord, Locked, RunGuard, Senders, StateWord};
use std::collections::{BTreeSet, VecDeque};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;
use tracing::Span;
use uuid::Uuid;

/// Whoever reads a cell: told when something is to be done and nobody is doing it.
pub trait Runner<M>: Send + Sync + 'static {
    /// SCHED has been set and its wake-up is owed: see to it that the cell is polled. Neither blocks nor panics.
    fn schedule(&self, cell: &Arc<MailCell<M, Self>>);
    /// Nobody will handle this message: whoever waits for its outcome is to be told. Called once, before it goes to the
    /// dead-letter mailbox or is dropped; outside the lock.
    fn on_dead(&self, message: &M, cause: &DeadCause) {
        let _ = (message, cause);
    }
    /// The mailbox is closed, nobody reads it, and nothing is left in it.
    fn on_settled(&self) {}
    /// The span that a message is being sent in, where that is to be known. Asked while SYS is set, outside the lock.
    fn span(&self) -> Option<Arc<Span>> {
        None
    }
}

/// The runner of a plain mailbox: its receiver parks its waker in the cell itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parked;

impl<M: Send + 'static> Runner<M> for Parked {
    fn schedule(&self, _: &Arc<MailCell<M, Self>>) {}
}

/// The senders' half. What a plain send needs comes first; what follows keeps it a line away from the reader's.
#[derive(Debug)]
#[repr(C)]
pub struct Shared<M> {
    /// When the oldest of `lanes` came (the low bits of coarse ms); 0: not known.
    stamp: u32,
    incarnation: u32,
    lanes: Lanes<M>,
    room: Room,
    waiters: Option<Box<Waiters>>,
    cold: Option<Box<Cold>>,
}

/// A list that has become much shorter than it was: moves it to a buffer of twice its length. The old buffer comes back, to be
/// dropped after the lock. (So the moves cost less than the removals before them.)
pub(crate) fn slim<T>(list: &mut Vec<T>) -> Option<Vec<T>> {
    (list.capacity() > KEPT && list.len() * 4 <= list.capacity()).then(|| {
        let mut fresh = Vec::with_capacity(list.len() * 2);
        fresh.append(list);
        std::mem::replace(list, fresh)
    })
}

/// Entries that a list or line keeps room for, however empty it is.
pub(crate) const KEPT: usize = 32;

/// What few mailboxes need, or few times.
#[derive(Debug, Default)]
struct Cold {
    /// The waker of a parked receiver. (A server's task has its own place.)
    parked: Option<Waker>,
    id: Option<Uuid>,
    /// Fates other than handled, and what the tally's narrower counters have run over.
    ledger: Ledger,
    rate: Option<RateState>,
    monitors: Monitors,
    /// Taken down while the list was out being told.
    demonitored: BTreeSet<MonitorId>,
    /// Somebody has the list out and tells what lies in `untold`.
    telling: bool,
    /// Events so far: a monitor hears of those that come after it.
    events: u64,
    untold: VecDeque<(u64, Event)>,
    links: Links,
    /// Who is told first when the mailbox closes.
    on_close: Vec<Weak<dyn OnClose>>,
    last_exit: Option<Exit>,
    /// Why the present incarnation is to be killed.
    doom: Option<ExitReason>,
    closed: Option<ExitReason>,
}

/// What is spare of lists: to be dropped after the lock.
type SpareLists = (monitor::Spare, Option<Vec<Weak<dyn OnClose>>>, Option<VecDeque<(u64, Event)>>);

impl Cold {
    /// Takes away what the lists hold beyond what they need.
    fn slim(&mut self) -> SpareLists {
        let untold =
            (self.untold.is_empty() && self.untold.capacity() > 0).then(|| std::mem::take(&mut self.untold));
        (self.monitors.slim(), slim(&mut self.on_close), untold)
    }

    fn buffer_bytes(&self) -> usize {
        self.monitors.buffer_bytes()
            + self.on_close.capacity() * size_of::<Weak<dyn OnClose>>()
            + self.untold.capacity() * size_of::<(u64, Event)>()
            + self.links.buffer_bytes()
    }

    /// Drops it, piece by piece.
    fn discard(mut self: Box<Self>) {
        quiet::discard("a waker", self.parked.take());
        self.monitors.take().into_iter().for_each(Monitor::end);
        self.untold.drain(..).for_each(|(_, event)| quiet::discard("an exit reason", event));
        self.links.take().into_iter().for_each(|link| quiet::discard("a link", link));
        quiet::discard("an exit reason", self.last_exit.take());
        quiet::discard("an exit reason", self.doom.take());
        quiet::discard("an exit reason", self.closed.take());
    }
}

impl<M> Shared<M> {
    /// What senders have queued.
    pub(crate) fn lanes(&self) -> &Lanes<M> {
        &self.lanes
    }
    fn cold(&mut self) -> &mut Cold {
        self.cold.get_or_insert_default()
    }
    #[inline]
    fn take_parked(&mut self) -> Option<Waker> {
        self.cold.as_mut().and_then(|cold| cold.parked.take())
    }
    fn ledger(&mut self) -> &mut Ledger {
        &mut self.cold().ledger
    }
    /// Notes an event, under the lock that makes it true; whether anybody is to be told.
    fn note_event(&mut self, event: impl FnOnce() -> Event) -> bool {
        let Some(cold) = self.cold.as_mut().filter(|c| c.telling || !c.monitors.is_empty()) else {
            return false;
        };
        cold.events += 1;
        cold.untold.push_back((cold.events, event()));
        true
    }
}

/// The reader's half. What a plain message needs comes last: see [`Shared`].
#[derive(Debug)]
#[repr(C)]
pub struct Own<M> {
    order: LaneOrder,
    /// How many have left each side lane's front; see [`MarkBase`].
    side_base: [u32; 3],
    /// The batch that was taken.
    lanes: Lanes<M>,
    side_out: u64,
    normal_out: u64,
    /// What the message in hand carried, where it carried anything.
    hand: Option<Box<Meta>>,
    /// The most bytes of buffers that a refill has left with the senders since they were last given back: what the lanes
    /// here no longer show.
    lent: u32,
    /// Whether a lane other than normal holds part of the batch.
    side_pending: bool,
    /// The lane that the message in hand came from, where that is noted: see [`Own::hand_lane`].
    hand_lane: Lane,
    /// Whether a handler has started on a message and not finished it.
    pub in_hand: bool,
}

/// Where a lane's batch begins, counted over the mailbox's life: marks are such numbers.
pub type MarkBase = [u64; 4];

impl<M> Own<M> {
    /// The batch.
    pub fn lanes(&self) -> &Lanes<M> {
        &self.lanes
    }

    /// A refill has left these buffers with the senders.
    #[inline]
    fn lends(&mut self, bytes: usize) {
        self.lent = self.lent.max(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Whether the batch is used up.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.lanes.normal.is_empty() && (!self.side_pending || self.lanes.is_empty())
    }

    /// How many handlers had started on the message in hand before this one.
    pub fn attempts(&self) -> u32 {
        self.hand.as_ref().map_or(0, |m| m.attempts())
    }

    /// The lane of the message in hand, for whoever has called [`Own::note_lane`] before it was taken.
    pub fn hand_lane(&self) -> Lane {
        self.hand_lane
    }

    /// The span that the message in hand was sent in, where that is known.
    pub fn hand_span(&self) -> Option<&Arc<Span>> {
        self.hand.as_ref().and_then(|meta| meta.span())
    }

    /// The lane of what is taken next is to be known. (What is taken the short way comes from the normal lane, and notes
    /// nothing.)
    pub fn note_lane(&mut self) {
        self.hand_lane = Lane::Normal;
    }

    /// Whether a message that was put back is the next of its lane.
    pub fn is_put_back(&self, lane: Lane) -> bool {
        self.lanes.lane(lane).and_then(|l| l.meta(0)).is_some_and(|meta| meta.attempts() > 0)
    }

    /// Where each lane's batch begins.
    pub fn bases(&self) -> MarkBase {
        let [control, high, low] = self.side_base.map(u64::from);
        [control, high, self.normal_out, low]
    }

    /// One message left the batch of `lane`, from wherever in it: everything before it moves up by one. (Marks that
    /// lie further back stay right; those further ahead at worst look at one message again.)
    #[inline]
    fn left(&mut self, lane: Lane) {
        match lane {
            Lane::Normal => self.normal_out += 1,
            Lane::Control => self.side_base[0] = self.side_base[0].wrapping_add(1),
            Lane::High => {
                self.side_base[1] = self.side_base[1].wrapping_add(1);
                self.side_out += 1;
            }
            Lane::Low => {
                self.side_base[2] = self.side_base[2].wrapping_add(1);
                self.side_out += 1;
            }
        }
    }

    /// A message that carries nothing has left the normal lane.
    #[inline(always)]
    fn took_plain(&mut self) {
        self.normal_out += 1;
        if self.hand.is_some() {
            self.put_hand(None);
        }
    }

    /// Notes what the message in hand carries. (What the last one carried may hold a span, whose drop is a subscriber's.)
    #[inline(never)]
    fn put_hand(&mut self, meta: Option<Box<Meta>>) {
        if let Some(last) = std::mem::replace(&mut self.hand, meta) {
            quiet::discard("a span", last);
        }
    }

    fn out(&self) -> u64 {
        self.normal_out + self.side_out
    }
}

/// What the reader tells, with plain stores beside its half; and the little that others tell it, seldom.
#[derive(Debug)]
struct Tally {
    /// Data messages that left the room.
    out: AtomicU64,
    handled: AtomicU64,
    /// Calls that a caller ran itself: sent and taken at once.
    inline: AtomicU64,
    /// The `out` from which waiting senders are to be woken; `MAX` while none waits. Written under the lock. (A hint: the
    /// truth is WAIT, at which the reader looks when it leaves.)
    wake_at: AtomicU64,
    /// When the oldest of the batch came (the low bits of coarse ms); 0: not known.
    batch_since: AtomicU32,
    /// Orders and notices that came since the ledger was last told; counted by senders, under the lock.
    control: AtomicU32,
}

impl Tally {
    fn new() -> Self {
        Self {
            out: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            inline: AtomicU64::new(0),
            wake_at: AtomicU64::new(u64::MAX),
            batch_since: AtomicU32::new(0),
            control: AtomicU32::new(0),
        }
    }
}

/// A mailbox and, at its end, whoever runs it.
// In this order in memory: what senders write, then what the reader does (see `StateWord`).
#[derive(Debug)]
#[repr(C)]
pub struct MailCell<M: 'static, X: ?Sized> {
    /// Addresses, which keep the mailbox open. (The cell's memory is kept by its `Arc`.)
    handles: AtomicUsize,
    settings: Option<Box<Settings<M>>>,
    word: StateWord<Shared<M>, Own<M>>,
    tally: Tally,
    /// The runner.
    pub runner: X,
}

impl<M: Send + 'static, X: Runner<M>> std::task::Wake for MailCell<M, X> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if self.word.notify() {
            self.schedule();
        }
    }
}

#[expect(unsafe_code, reason = "permits rely on the word")]
// SAFETY: the state word is a field, which nothing here replaces or lends but as a state word.
unsafe impl<M: Send + 'static, X: Runner<M> + ?Sized> HasStateWord for MailCell<M, X> {
    type Locked = Shared<M>;
    type Running = Own<M>;
    fn word(&self) -> &StateWord<Shared<M>, Own<M>> {
        &self.word
    }
    #[cold]
    fn abandoned(permit: RunGuard<Self>) {
        let cell = Arc::clone(permit.cell());
        if cfg!(shuttle) && std::thread::panicking() {
            // At a schedule's end the tasks that are left are unwound where they stand: a lock of theirs is given back by none.
            return permit.give_up();
        }
        // Should anything unwind before RUN is given up, this is not tried again.
        let permit = ManuallyDrop::new(permit);
        let mut after = Aftermath::default();
        let mut g = cell.word.lock();
        if g.bits() & word::WAIT != 0 {
            cell.see(&mut g);
            cell.grant(&mut g, &mut after);
        }
        // Something may be left of a batch: a reader that looks in vain clears it.
        g.set(word::DATA);
        after.owes = ManuallyDrop::into_inner(permit).leave_quietly_with(&mut g);
        if after.owes {
            after.parked = g.take_parked();
        }
        drop(g);
        cell.afterwards(after);
        cell.settle_if_closed();
    }
}

/// The last memory of a mailbox: what is in it may be the last of other mailboxes, and goes in its turn.
impl<M: 'static, X: ?Sized> Drop for MailCell<M, X> {
    fn drop(&mut self) {
        let (shared, own) = self.word.get_mut();
        let unread = |lanes: &mut Lanes<M>| (!lanes.is_empty()).then(|| std::mem::take(lanes));
        let left = Remains {
            lanes: [unread(&mut shared.lanes), unread(&mut own.lanes)],
            waiters: shared.waiters.take(),
            cold: shared.cold.take(),
            hand: own.hand.take(),
            settings: self.settings.take(),
        };
        if !left.is_nothing() {
            later::let_go(left, Remains::discard);
        }
    }
}

/// What of the users' is left in a mailbox whose memory goes.
struct Remains<M> {
    lanes: [Option<Lanes<M>>; 2],
    waiters: Option<Box<Waiters>>,
    cold: Option<Box<Cold>>,
    hand: Option<Box<Meta>>,
    settings: Option<Box<Settings<M>>>,
}

impl<M> Remains<M> {
    fn is_nothing(&self) -> bool {
        self.lanes.iter().all(Option::is_none)
            && self.waiters.is_none()
            && self.cold.is_none()
            && self.hand.is_none()
            && self.settings.is_none()
    }

    /// Drops it piece by piece, so that a rude one neither keeps the next from going nor meets it on an unwinding stack.
    fn discard(self) {
        self.lanes.into_iter().flatten().for_each(|mut lanes| lanes.discard());
        if let Some(mut waiters) = self.waiters {
            waiters.dismiss().into_iter().for_each(|waker| quiet::discard("a waker", waker));
        }
        if let Some(cold) = self.cold {
            cold.discard();
        }
        quiet::discard("a span", self.hand);
        if let Some(settings) = self.settings {
            settings.let_go();
        }
    }
}

/// What is left to do after the lock.
struct Aftermath<M> {
    owes: bool,
    parked: Option<Waker>,
    wakers: Vec<Waker>,
    dead: Vec<(M, Meta, DeadCause)>,
    dropped: Option<(M, Meta)>,
    /// What the line of waiting senders needs no more.
    spare: Option<crate::waiters::Spare>,
}

impl<M> Default for Aftermath<M> {
    fn default() -> Self {
        Self { owes: false, parked: None, wakers: Vec::new(), dead: Vec::new(), dropped: None, spare: None }
    }
}

/// What is left to do when a lease has been given back.
struct GivenBack<M> {
    after: Aftermath<M>,
    parked: Option<Waker>,
    links: Vec<Arc<dyn Linked>>,
    /// Monitors are to be told.
    watched: bool,
    /// What the exit has taken the place of. Reasons hold errors of the user's, whose drop is not for under the lock.
    last_exit: Option<Exit>,
    doom: Option<ExitReason>,
}

impl<M> Default for GivenBack<M> {
    fn default() -> Self {
        Self {
            after: Aftermath::default(),
            parked: None,
            links: Vec::new(),
            watched: false,
            last_exit: None,
            doom: None,
        }
    }
}

/// What is left to do when a mailbox has been closed.
struct Closing {
    /// The reader is to be woken, by this waker where it is a parked receiver.
    owes: bool,
    parked: Option<Waker>,
    /// Of those who waited for room.
    wakers: Vec<Waker>,
    /// There is a reader, which settles it when it goes.
    leased: bool,
}

/// A refusal, and whether waiting for room may help.
pub struct Refused<M> {
    /// The refusal.
    pub error: SendError<M>,
    /// Whether the mailbox's policy is to wait.
    pub may_wait: bool,
}

impl<M> std::fmt::Debug for Refused<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Refused({:?}, may_wait {})", self.error, self.may_wait)
    }
}

/// A place in the line of senders who wait for room.
#[derive(Debug, Clone, Copy)]
pub struct WaitTicket {
    ticket: Ticket,
    weight: u32,
}

/// What a waiting sender finds.
#[derive(Debug)]
pub enum Waited {
    /// Still waiting.
    Waiting(WaitTicket),
    /// There is room: try again at once.
    TryNow,
}

type Guard<'a, M> = Locked<'a, Shared<M>, Own<M>>;

impl<M: 'static, X> MailCell<M, X> {
    /// A cell that starts with these bits. Its first handle is counted already.
    pub fn new(settings: Settings<M>, bits: u32, runner: X) -> Self {
        let room = Room::new(settings.capacity, settings.weight_limit);
        let order = LaneOrder::new(settings.starvation_bound);
        let policy = if settings.needs_policy() { word::POLICY } else { 0 };
        let cold = settings
            .rate
            .map(|limit| Box::new(Cold { rate: Some(RateState::new(limit)), ..Cold::default() }));
        let shared = Shared {
            lanes: Lanes::default(),
            room,
            waiters: None,
            cold,
            stamp: 0,
            incarnation: u32::from(bits & word::LEASED != 0),
        };
        Self::build(shared, order, bits | policy, (!settings.is_plain()).then(|| Box::new(settings)), runner)
    }

    /// A cell with the default settings, without looking at them.
    #[inline]
    pub fn plain(capacity: Option<usize>, bits: u32, runner: X) -> Self {
        let shared = Shared {
            lanes: Lanes::default(),
            room: Room::new(capacity, None),
            waiters: None,
            cold: None,
            stamp: 0,
            incarnation: u32::from(bits & word::LEASED != 0),
        };
        Self::build(shared, LaneOrder::new(LaneOrder::DEFAULT_BOUND), bits, None, runner)
    }

    #[inline]
    fn build(
        shared: Shared<M>,
        order: LaneOrder,
        bits: u32,
        settings: Option<Box<Settings<M>>>,
        runner: X,
    ) -> Self {
        let own = Own {
            lanes: Lanes::default(),
            order,
            normal_out: 0,
            side_out: 0,
            side_base: [0; 3],
            hand: None,
            lent: 0,
            side_pending: false,
            hand_lane: Lane::Normal,
            in_hand: false,
        };
        Self {
            word: StateWord::new(bits, shared, own),
            tally: Tally::new(),
            handles: AtomicUsize::new(1),
            settings,
            runner,
        }
    }
}

/// Sending.
impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// Queues a message in the normal lane, or gives it back.
    ///
    /// # Errors
    /// [`SendError`] with the message.
    #[inline(always)]
    pub fn push(self: &Arc<Self>, message: M) -> Result<(), SendError<M>> {
        let mut g = self.word.lock();
        if g.bits() & (word::CLOSED | word::WAIT | word::POLICY | word::SYS) == 0 {
            if g.room.looks_full() {
                g.room.see(self.tally.out.load(Ordering::Acquire), 0);
            }
            if !g.room.looks_full() {
                g.room.enter();
                g.lanes.normal.push_plain(message);
                Self::stamp(&mut g);
                if g.announce(0) {
                    let parked = g.take_parked();
                    drop(g);
                    self.wake(parked);
                }
                return Ok(());
            }
            if self.is_plain() {
                return Err(SendError::Full(message));
            }
        }
        drop(g);
        self.push_with(message, &SendOptions::default(), false).map_err(|r| r.error)
    }

    /// Whether the settings are the default ones, but for the capacity: then the policy is to wait.
    pub(crate) fn is_plain(&self) -> bool {
        self.settings.is_none()
    }

    /// Queues a message with options, or gives it back. `asks`: the sender will wait if it has to, and does not push
    /// past those who wait already.
    ///
    /// # Errors
    /// [`Refused`] with the message.
    #[cold]
    #[inline(never)]
    pub fn push_with(
        self: &Arc<Self>,
        message: M,
        options: &SendOptions,
        asks: bool,
    ) -> Result<(), Refused<M>> {
        let (message, meta) = self.weighed(message, options, || {});
        let Ok(meta) = meta else {
            return Err(Refused { error: SendError::Expired(message), may_wait: false });
        };
        // Kept here as well: the last one that goes is not to go under the lock.
        let _span = meta.span().cloned();
        // Before the lock: under LOCK no other is taken, and it may be the last to have the policy.
        let policy = self.settings.as_ref().and_then(|s| s.overflow.get());
        let mut after = Aftermath::default();
        let full = Full { policy: policy.as_ref(), asks };
        let result = self.place(self.word.lock(), message, options.lane, meta, &full, &mut after);
        self.afterwards(after);
        quiet::discard("a fallback", policy);
        match result {
            Ok(()) => Ok(()),
            Err(Unplaced::Refused(refused)) => Err(refused),
            Err(Unplaced::Divert(message, to)) => match hop(message, |m| to.try_send_with(m, *options)) {
                Ok(Ok(())) => {
                    let mut g = self.word.lock();
                    let ledger = g.ledger();
                    ledger.sent += 1;
                    ledger.count(Fate::Diverted, 1);
                    Ok(())
                }
                Ok(Err(e)) => Err(Refused { error: SendError::Full(e.into_message()), may_wait: false }),
                Err(message) => Err(Refused { error: SendError::Full(message), may_wait: false }),
            },
        }
    }

    /// The message, and what it will carry (`Err` when it has expired already). Should its measure panic, which goes on to the
    /// sender, `undo` is done first, and the message is dropped before anything unwinds: its drop may panic as well.
    fn weighed(&self, message: M, options: &SendOptions, undo: impl FnOnce()) -> (M, Result<Meta, ()>) {
        match catch_unwind(AssertUnwindSafe(|| self.resolve(&message, options))) {
            Ok(meta) => (message, meta),
            Err(payload) => {
                undo();
                quiet::discard("a message", message);
                resume_unwind(payload);
            }
        }
    }

    /// What the message will carry. `Err` when it has expired already.
    fn resolve(&self, message: &M, options: &SendOptions) -> Result<Meta, ()> {
        let meta = self.resolve_settings(message, options)?;
        // (User code, and so before the lock.)
        Ok(if self.word.bits() & word::SYS == 0 { meta } else { meta.with_span(self.runner.span()) })
    }

    fn resolve_settings(&self, message: &M, options: &SendOptions) -> Result<Meta, ()> {
        // What the settings say of data does not hold for orders and notices: they are neither weighed nor do they expire
        // unless they say so themselves.
        let Some(settings) = self.settings.as_ref().filter(|_| options.lane != Lane::Control) else {
            if options.is_plain() {
                return Ok(Meta::default());
            }
            return Self::meta(options, None, options.weight.unwrap_or(1));
        };
        let weight = match options.weight {
            Some(weight) => weight,
            // User code, and so before the lock.
            None => settings.weigh.get().map_or(1, |weigh| weigh(message)),
        };
        Self::meta(options, settings.ttl, weight)
    }

    fn meta(options: &SendOptions, ttl: Option<Duration>, weight: u32) -> Result<Meta, ()> {
        let mut meta = Meta::default().with_deadline(options.resolve_deadline(ttl)?);
        if let Some(key) = options.get_key() {
            meta = meta.with_key(key);
        }
        if weight > 1 {
            meta = meta.with_weight(weight);
        }
        Ok(meta)
    }

    fn place(
        &self,
        mut g: Guard<'_, M>,
        message: M,
        lane: Lane,
        meta: Meta,
        full: &Full<'_, M>,
        after: &mut Aftermath<M>,
    ) -> Result<(), Unplaced<M>> {
        let refuse = |error| Err(Unplaced::Refused(Refused { error, may_wait: false }));
        if g.bits() & word::CLOSED != 0 {
            return refuse(SendError::Closed(message));
        }
        if lane == Lane::Control {
            Self::put(&mut g, message, lane, meta, after);
            self.count_control(&mut g);
            return Ok(());
        }
        let weight = meta.weight();
        if g.room.is_too_heavy(weight) {
            let limit = g.room.weight_limit().unwrap_or_default();
            return refuse(SendError::TooHeavy { message, weight, limit });
        }
        // First, so that nothing is thrown out for a message that may not come in.
        let mut now = None;
        if let Some(rate) = g.cold.as_ref().and_then(|c| c.rate.as_ref())
            && let Err(retry_after) = rate.check(*now.insert(clock::now()))
        {
            return refuse(SendError::RateLimited { message, retry_after });
        }
        self.see(&mut g);
        if let Some(at) = Self::coalesces_with(&g, lane, &meta) {
            self.coalesce(&mut g, message, lane, meta, at, after);
            return Ok(());
        }
        if g.bits() & word::WAIT != 0 {
            // (Where the policy is not to wait, only reservations do, and they come first like anybody in line.)
            if full.asks && self.settings.as_ref().is_none_or(|s| s.waits()) {
                return Err(Unplaced::Refused(Refused { error: SendError::Full(message), may_wait: true }));
            }
            // Those who wait come first; what is left is for whoever does not wait.
            self.grant(&mut g, after);
        }
        while !g.room.fits(weight) {
            let verdict = match full.policy {
                None => Verdict::Refuse { wait: true },
                Some(overflow) => overflow.policy().on_full(&mut g.lanes, lane),
            };
            match verdict {
                Verdict::Refuse { wait } => {
                    return Err(Unplaced::Refused(Refused {
                        error: SendError::Full(message),
                        may_wait: wait,
                    }));
                }
                Verdict::ShedIncoming => return refuse(SendError::Shed(message)),
                Verdict::Divert(to) => return Err(Unplaced::Divert(message, to)),
                Verdict::Shed(victim, meta) => {
                    g.room.remove(meta.weight());
                    g.ledger().count(Fate::Shed, 1);
                    after.dead.push((victim, meta, DeadCause::Shed));
                }
            }
        }
        // Charged only now that it is sent.
        if let (Some(rate), Some(now)) = (g.cold.as_mut().and_then(|c| c.rate.as_mut()), now) {
            rate.charge(now);
        }
        Self::put(&mut g, message, lane, meta, after);
        g.room.enter();
        g.room.enter_weight(weight);
        Ok(())
    }

    /// One more order or notice has entered: no room counts them.
    fn count_control(&self, g: &mut Guard<'_, M>) {
        let n = self.tally.control.load(Ordering::Relaxed);
        if let Some(n) = n.checked_add(1) {
            self.tally.control.store(n, Ordering::Relaxed);
        } else {
            self.tally.control.store(0, Ordering::Relaxed);
            g.ledger().sent += u64::from(n) + 1;
        }
    }

    /// Into its lane, and the reader told.
    fn put(g: &mut Guard<'_, M>, message: M, lane: Lane, meta: Meta, after: &mut Aftermath<M>) {
        if meta.is_plain() {
            g.lanes.lane_mut(lane).push_plain(message);
        } else {
            g.lanes.lane_mut(lane).push(message, meta);
        }
        Self::stamp(g);
        let owes = match lane {
            Lane::Normal => g.announce(0),
            Lane::Control => g.announce_order(),
            Lane::High | Lane::Low => g.announce(word::SIDE),
        };
        if owes {
            after.owes = true;
            after.parked = g.take_parked();
        }
    }

    /// Where an older message lies whose place this one takes; none if the weight would not fit even then.
    fn coalesces_with(g: &Guard<'_, M>, lane: Lane, meta: &Meta) -> Option<usize> {
        let queue = g.lanes.lane(lane)?;
        let at = queue.find_key(meta.key()?)?;
        let old = queue.meta(at).map_or(1, Meta::weight);
        g.room.fits_instead(old, meta.weight()).then_some(at)
    }

    fn coalesce(
        &self,
        g: &mut Guard<'_, M>,
        message: M,
        lane: Lane,
        meta: Meta,
        at: usize,
        after: &mut Aftermath<M>,
    ) {
        let place = self.settings.as_ref().and_then(|s| s.coalesce).unwrap_or_default();
        let weight = meta.weight();
        let old = match place {
            Coalesce::KeepPlace => g.lanes.lane_mut(lane).replace(at, message, meta),
            Coalesce::MoveBack => {
                let old = g.lanes.lane_mut(lane).remove(at);
                g.lanes.lane_mut(lane).push(message, meta);
                old
            }
        };
        g.room.enter();
        g.room.enter_weight(weight);
        if let Some((old, old_meta)) = old {
            g.room.remove(old_meta.weight());
            g.ledger().count(Fate::Coalesced, 1);
            after.dropped = Some((old, old_meta));
        }
        // The newer one may be lighter.
        self.grant(g, after);
    }

    /// Remembers since when something waits behind a busy reader. (One that is idle will have it in no time.)
    #[inline(always)]
    fn stamp(g: &mut Guard<'_, M>) {
        let busy = g.bits() & word::LEASED == 0 || g.bits() & (word::RUN | word::PEND | word::SCHED) != 0;
        if g.stamp == 0 && busy {
            g.stamp = clock::coarse_ms_u32();
        }
    }

    /// Reads how far the reader is.
    fn see(&self, g: &mut Guard<'_, M>) {
        let weight_out = self.settings.as_ref().map_or(0, |s| s.weight_out.load(Ordering::Acquire));
        g.room.see(self.tally.out.load(Ordering::Acquire), weight_out);
    }

    /// Free slots to those who wait.
    fn grant(&self, g: &mut Guard<'_, M>, after: &mut Aftermath<M>) {
        let shared = &mut **g;
        let Some(waiters) = &mut shared.waiters else { return };
        waiters.grant(&mut shared.room, &mut after.wakers);
        after.spare = waiters.slim().or(after.spare.take());
        if waiters.is_empty() {
            self.nobody_waits(g);
        } else {
            self.somebody_waits(g);
        }
    }

    fn somebody_waits(&self, g: &mut Guard<'_, M>) {
        g.set(word::WAIT);
        // Not before the next slot is free; with hysteresis, so that a fast reader does not wake one at a time.
        self.tally.wake_at.store(g.room.half_empty_at(), Ordering::Relaxed);
    }

    fn nobody_waits(&self, g: &mut Guard<'_, M>) {
        g.clear(word::WAIT);
        self.tally.wake_at.store(u64::MAX, Ordering::Relaxed);
    }

    /// Wakes, drops and dead-letters, now that the lock is free. All of it is foreign code, and RUN may be held.
    fn afterwards(self: &Arc<Self>, after: Aftermath<M>) {
        let Aftermath { owes, parked, wakers, dead, dropped, spare: _ } = after;
        if owes {
            self.wake(parked);
        }
        wakers.into_iter().for_each(quiet::wake);
        dead.into_iter().for_each(|(message, meta, cause)| self.bury(message, meta, cause));
        if let Some((message, meta)) = dropped {
            quiet::discard("a coalesced message", message);
            quiet::discard("a span", meta);
        }
    }

    /// The wake-up that SCHED owes.
    #[inline]
    fn wake(self: &Arc<Self>, parked: Option<Waker>) {
        match parked {
            Some(waker) => quiet::wake(waker),
            None => self.schedule(),
        }
    }

    /// Has the runner see to it that the cell is polled.
    #[inline]
    fn schedule(self: &Arc<Self>) {
        quiet::run("a runner", || self.runner.schedule(self));
    }

    /// Hands a message that nobody will handle to the dead-letter mailbox, where there is one, and says so. Counting
    /// is the caller's, who may hold RUN: nothing unwinds out of here.
    #[cold]
    fn bury(&self, message: M, meta: Meta, cause: DeadCause) {
        let attempts = meta.attempts();
        quiet::run("a subscriber", || {
            tracing::debug!(mailbox = %self.label(), ?cause, attempts, "message not handled");
        });
        quiet::run("a runner", || self.runner.on_dead(&message, &cause));
        self.post(Some(message), None, attempts, cause);
        quiet::discard("a span", meta);
    }

    /// The same for a message that was in hand at a crash, whose handler has had it: what there is of it is a copy.
    #[cold]
    pub fn bury_copy(&self, copy: Option<M>, name: &'static str, attempts: u32, reason: ExitReason) {
        let cause = DeadCause::InHand(reason);
        quiet::run("a subscriber", || {
            tracing::debug!(mailbox = %self.label(), in_hand = name, ?cause, attempts, "message not handled");
        });
        if let Some(copy) = &copy {
            quiet::run("a runner", || self.runner.on_dead(copy, &cause));
        }
        self.post(copy, Some(name), attempts, cause);
    }

    fn post(&self, message: Option<M>, name: Option<&'static str>, attempts: u32, cause: DeadCause) {
        let Some(to) = self.settings.as_ref().and_then(|s| s.dead_letters.get()) else {
            quiet::discard("a message", message);
            quiet::discard("an exit reason", cause);
            return;
        };
        let mut letter = DeadLetter::new(message, self.label(), cause, attempts);
        letter.message = name;
        let posted = || hop(letter, |letter| to.try_send(letter)).unwrap_or_else(|l| Err(SendError::Full(l)));
        if let Some(Err(refused)) = quiet::run("a dead letter's taker", posted) {
            quiet::run("a subscriber", || {
                tracing::warn!(mailbox = %self.label(), %refused, "a dead letter found no taker");
            });
            quiet::discard("a dead letter", refused);
        }
        quiet::discard("a taker of dead letters", to);
    }

    /// Joins the line for room, or says that there is some by now.
    ///
    /// # Errors
    /// [`SendError::Closed`] (without a message) when the mailbox has closed.
    pub fn line_up(
        self: &Arc<Self>,
        message: &M,
        options: &SendOptions,
        waker: &Waker,
    ) -> Result<Waited, ()> {
        let weight = self.resolve(message, options).map_or(1, |m| m.weight());
        // Cloned before the lock.
        let waker = waker.clone();
        let mut g = self.word.lock();
        self.see(&mut g);
        let closed = g.bits() & word::CLOSED != 0;
        if closed || g.bits() & word::WAIT == 0 && g.room.fits(weight) {
            drop(g);
            quiet::discard("a waker", waker);
            return if closed { Err(()) } else { Ok(Waited::TryNow) };
        }
        let ticket = g.waiters.get_or_insert_default().enroll(weight, waker);
        self.somebody_waits(&mut g);
        // What the reader frees from here on it gives back itself, at the latest when it leaves and has no turn to come: rule 5
        // of `word`.
        let seen = g.room.seen();
        drop(g);
        self.look_again(seen);
        Ok(Waited::Waiting(WaitTicket { ticket, weight }))
    }

    /// A plain receiver may stay awake for long after it has freed a slot, without looking at WAIT once more. So either it
    /// sees WAIT, or whoever set it sees the slot: its fence is in [`MailCell::end_look`].
    fn look_again(self: &Arc<Self>, seen: u64) {
        fence(Ordering::SeqCst);
        if self.tally.out.load(Ordering::Acquire) == seen {
            return;
        }
        self.give_back();
    }

    /// Whether the slot has been granted; if not, notes the waker of the latest poll.
    ///
    /// # Errors
    /// The mailbox has closed.
    pub fn in_line(&self, place: WaitTicket, waker: &Waker) -> Result<bool, ()> {
        // Cloned before the lock.
        let waker = waker.clone();
        let mut g = self.word.lock();
        let closed = g.bits() & word::CLOSED != 0;
        let old = match g.waiters.as_mut().filter(|_| !closed) {
            Some(w) => w.refresh(place.ticket, waker),
            None => Err(waker),
        };
        drop(g);
        let waits = old.is_ok();
        quiet::discard("a waker", old);
        if closed { Err(()) } else { Ok(!waits) }
    }

    /// Leaves the line, giving an unused grant to the next.
    pub fn leave_line(self: &Arc<Self>, place: WaitTicket) {
        let mut g = self.word.lock();
        let left = g.waiters.as_mut().and_then(|w| w.leave(place.ticket));
        let mut after = Aftermath::default();
        if g.bits() & word::CLOSED == 0 {
            if left.is_none() {
                g.room.unreserve(place.weight);
            }
            // Also without a slot to give: one who stood behind may be lighter and fit.
            self.see(&mut g);
            self.grant(&mut g, &mut after);
        }
        drop(g);
        self.afterwards(after);
        quiet::discard("a waker", left);
    }

    /// Sends with a slot that was reserved; the slot is used up either way.
    ///
    /// # Errors
    /// Closed or expired, with the message.
    pub fn push_reserved(self: &Arc<Self>, message: M, options: &SendOptions) -> Result<(), SendError<M>> {
        self.push_in(message, options, None).map_err(|e| match e {
            PushError::Waiting(message) => SendError::Full(message),
            PushError::Refused(e) => e,
        })
    }

    /// The same with the slot of a place in line, unless it has not been granted yet.
    ///
    /// # Errors
    /// Still waiting, or refused; both with the message.
    pub fn push_in_line(
        self: &Arc<Self>,
        message: M,
        options: &SendOptions,
        place: WaitTicket,
    ) -> Result<(), PushError<M>> {
        self.push_in(message, options, Some(place))
    }

    fn push_in(
        self: &Arc<Self>,
        message: M,
        options: &SendOptions,
        place: Option<WaitTicket>,
    ) -> Result<(), PushError<M>> {
        let held = place.map_or(1, |p| p.weight);
        // Weighing is user code; if it panics the slot must not go with it.
        let (message, meta) = self.weighed(message, options, || match place {
            Some(place) => self.leave_line(place),
            None => self.give_up_slot(held),
        });
        // As in `push_with`.
        let _span = meta.as_ref().ok().and_then(|meta| meta.span().cloned());
        let mut g = self.word.lock();
        if g.bits() & word::CLOSED != 0 {
            return Err(PushError::Refused(SendError::Closed(message)));
        }
        if place.is_some_and(|p| g.waiters.as_ref().is_some_and(|w| w.holds(p.ticket))) {
            return Err(PushError::Waiting(message));
        }
        g.room.unreserve(held);
        let mut after = Aftermath::default();
        let result = match meta {
            Err(()) => {
                self.see(&mut g);
                self.grant(&mut g, &mut after);
                Err(SendError::Expired(message))
            }
            Ok(meta) if g.room.is_too_heavy(meta.weight()) => {
                let limit = g.room.weight_limit().unwrap_or_default();
                self.grant(&mut g, &mut after);
                Err(SendError::TooHeavy { message, weight: meta.weight(), limit })
            }
            // A slot reserved for nothing in particular holds weight 1; what is heavier must find room for the rest.
            Ok(meta)
                if options.lane != Lane::Control && meta.weight() > held && {
                    self.see(&mut g);
                    !g.room.fits(meta.weight())
                } =>
            {
                self.grant(&mut g, &mut after);
                Err(SendError::Full(message))
            }
            Ok(meta) => {
                let at = Self::coalesces_with(&g, options.lane, &meta);
                if options.lane == Lane::Control {
                    Self::put(&mut g, message, options.lane, meta, &mut after);
                    self.count_control(&mut g);
                } else if let Some(at) = at {
                    self.coalesce(&mut g, message, options.lane, meta, at, &mut after);
                } else {
                    let weight = meta.weight();
                    Self::put(&mut g, message, options.lane, meta, &mut after);
                    g.room.enter();
                    g.room.enter_weight(weight);
                }
                if options.lane == Lane::Control || at.is_some() {
                    // The slot itself was not needed.
                    self.see(&mut g);
                    self.grant(&mut g, &mut after);
                }
                Ok(())
            }
        };
        drop(g);
        self.afterwards(after);
        result.map_err(PushError::Refused)
    }

    /// Promises a slot without waiting; false when there is none.
    ///
    /// # Errors
    /// The mailbox has closed.
    pub fn try_reserve(self: &Arc<Self>) -> Result<bool, ()> {
        let mut g = self.word.lock();
        if g.bits() & word::CLOSED != 0 {
            return Err(());
        }
        self.see(&mut g);
        let mut after = Aftermath::default();
        if g.bits() & word::WAIT != 0 {
            // Those who wait come first.
            self.grant(&mut g, &mut after);
        }
        let free = g.bits() & word::WAIT == 0 && g.room.fits(1);
        if free {
            g.room.reserve(1);
        }
        drop(g);
        self.afterwards(after);
        Ok(free)
    }

    /// Takes back a promised slot that was not used.
    pub fn unreserve(self: &Arc<Self>) {
        self.give_up_slot(1);
    }

    fn give_up_slot(self: &Arc<Self>, weight: u32) {
        let mut g = self.word.lock();
        if g.bits() & word::CLOSED != 0 {
            return;
        }
        g.room.unreserve(weight);
        self.see(&mut g);
        let mut after = Aftermath::default();
        self.grant(&mut g, &mut after);
        drop(g);
        self.afterwards(after);
    }

    /// Joins the line for a slot.
    ///
    /// # Errors
    /// The mailbox has closed.
    pub fn line_up_for_permit(self: &Arc<Self>, waker: &Waker) -> Result<Option<WaitTicket>, ()> {
        // Cloned before the lock.
        let waker = waker.clone();
        let mut g = self.word.lock();
        self.see(&mut g);
        let closed = g.bits() & word::CLOSED != 0;
        if closed || g.bits() & word::WAIT == 0 && g.room.fits(1) {
            if !closed {
                g.room.reserve(1);
            }
            drop(g);
            quiet::discard("a waker", waker);
            return if closed { Err(()) } else { Ok(None) };
        }
        let ticket = g.waiters.get_or_insert_default().enroll(1, waker);
        self.somebody_waits(&mut g);
        let seen = g.room.seen();
        drop(g);
        self.look_again(seen);
        Ok(Some(WaitTicket { ticket, weight: 1 }))
    }
}

/// Why a message did not go in by a slot that was promised.
#[derive(Debug)]
pub enum PushError<M> {
    /// It was not promised yet.
    Waiting(M),
    /// Closed, expired, or heavier than the promise.
    Refused(SendError<M>),
}

/// What is done where there is no room.
struct Full<'a, M> {
    /// `None`: the default one.
    policy: Option<&'a Overflow<M>>,
    /// The sender will wait if it has to.
    asks: bool,
}

enum Unplaced<M> {
    Refused(Refused<M>),
    Divert(M, crate::recipient::Recipient<M>),
}

/// Reading. Whoever calls holds RUN; `own` is the proof.
impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// The next message; `None` when nothing waits.
    #[inline(always)]
    pub fn take(self: &Arc<Self>, own: &mut Own<M>) -> Option<M> {
        self.take_unless(own, 0)
    }

    /// The same; but where one of these (alarming) bits of the word is found set, nothing is taken that came in after it was.
    #[inline(always)]
    pub fn take_unless(self: &Arc<Self>, own: &mut Own<M>, alarms: u32) -> Option<M> {
        if let Some(message) = self.take_calmly(own) {
            return Some(message);
        }
        self.take_slow(own, alarms)
    }

    /// The next message of the batch, if that is sure to be the next of all, without a look at anything that senders write.
    #[inline(always)]
    pub fn take_calmly(self: &Arc<Self>, own: &mut Own<M>) -> Option<M> {
        // (Under a policy even a message that carries nothing has its weight.)
        if !self.word.is_calm() || own.side_pending {
            return None;
        }
        let message = own.lanes.normal.pop_plain()?;
        own.took_plain();
        self.took(own);
        Some(message)
    }

    #[inline(always)]
    fn took(self: &Arc<Self>, own: &Own<M>) {
        let out = own.out();
        // Pairs with the senders' acquire when the mailbox looks full: the slot is empty before it is seen free.
        self.tally.out.store(out, Ordering::Release);
        if out >= self.tally.wake_at.load(Ordering::Relaxed) {
            self.give_back();
        }
    }

    #[inline(never)]
    fn take_slow(self: &Arc<Self>, own: &mut Own<M>, alarms: u32) -> Option<M> {
        let bits = self.word.look();
        if own.is_empty() {
            if bits & (word::DATA | word::WAIT) == 0 {
                return None;
            }
            self.refill(own);
            if self.word.bits() & alarms != 0 {
                return None;
            }
            // What most refills bring: a batch of plain messages.
            if let Some(message) = self.take_calmly(own) {
                return Some(message);
            }
        }
        let mut now = None;
        loop {
            let bits = self.word.bits();
            // DATA without SIDE: of a batch that only the low lane is left of, something may have come in before it.
            let passed_by = own.lanes.normal.is_empty() && bits & word::DATA != 0;
            if bits & word::SIDE != 0 || own.is_empty() || passed_by {
                self.refill(own);
                if self.word.bits() & alarms != 0 {
                    return None;
                }
            }
            let Some(lane) = own.order.next(&own.lanes) else {
                own.side_pending = false;
                return None;
            };
            let Some((message, meta)) = own.lanes.lane_mut(lane).pop() else { continue };
            own.side_pending = own.lanes.side_len() != 0;
            own.hand_lane = lane;
            if let Some(message) = self.leave_lane(own, lane, message, meta, &mut now) {
                return Some(message);
            }
        }
    }

    /// The next message of the control lane, whatever waits in the others.
    pub fn take_order(self: &Arc<Self>, own: &mut Own<M>) -> Option<M> {
        self.take_order_unless(own, 0)
    }

    /// The same; but where one of these bits of the word is found set, nothing is taken that came in after it was.
    pub fn take_order_unless(self: &Arc<Self>, own: &mut Own<M>, alarms: u32) -> Option<M> {
        let mut now = None;
        loop {
            if self.word.bits() & word::SIDE != 0 {
                self.refill(own);
                if self.word.bits() & alarms != 0 {
                    return None;
                }
            }
            own.lanes.lane(Lane::Control).filter(|l| !l.is_empty())?;
            let (message, meta) = own.lanes.lane_mut(Lane::Control).pop()?;
            own.side_pending = own.lanes.side_len() != 0;
            own.hand_lane = Lane::Control;
            if let Some(message) = self.leave_lane(own, Lane::Control, message, meta, &mut now) {
                return Some(message);
            }
        }
    }

    /// The first message of the control lane for which `which` holds, whatever waits before it and in the other lanes.
    pub fn take_order_where(
        self: &Arc<Self>,
        own: &mut Own<M>,
        mut which: impl FnMut(&M) -> bool,
    ) -> Option<M> {
        if self.word.bits() & word::SIDE != 0 {
            self.refill(own);
        }
        let index = own.lanes.lane(Lane::Control)?.iter().position(&mut which)?;
        let message = self.take_at(own, Lane::Control, index);
        own.side_pending = own.lanes.side_len() != 0;
        message
    }

    /// Accounts for a message that was taken out of the batch; `None` when it had expired.
    fn leave_lane(
        self: &Arc<Self>,
        own: &mut Own<M>,
        lane: Lane,
        message: M,
        meta: Meta,
        now: &mut Option<Instant>,
    ) -> Option<M> {
        own.left(lane);
        if lane != Lane::Control {
            if let Some(settings) = &self.settings
                && settings.weight_limit.is_some()
            {
                let out = settings.weight_out.load(Ordering::Relaxed) + u64::from(meta.weight());
                settings.weight_out.store(out, Ordering::Release);
            }
            self.took(own);
        }
        if let Some(due) = meta.deadline()
            && due <= *now.get_or_insert_with(clock::now)
        {
            self.word.lock().ledger().count(Fate::Expired, 1);
            self.bury(message, meta, DeadCause::Expired);
            return None;
        }
        if own.hand.is_some() || !meta.is_plain() {
            own.put_hand((!meta.is_plain()).then(|| Box::new(meta)));
        }
        Some(message)
    }

    /// Becomes the reader and takes over what senders have queued, with one instruction; false, and a note, when somebody
    /// else reads.
    ///
    /// # Safety
    /// As for [`StateWord::running`]: nothing else refers to the reader's half from here on, if RUN is taken.
    #[expect(unsafe_code, reason = "RUN and LOCK are taken in one")]
    #[inline]
    pub unsafe fn enter_and_refill(self: &Arc<Self>) -> bool {
        let Some(guard) = self.word.enter_locked() else { return false };
        // SAFETY: RUN has just been taken.
        let own = unsafe { self.word.running() };
        if own.is_empty() && guard.bits() & word::DATA != 0 {
            self.refill_locked(guard, own);
        }
        true
    }

    /// Takes over what senders have queued. True when there was anything.
    #[inline]
    pub fn refill(self: &Arc<Self>, own: &mut Own<M>) -> bool {
        if self.word.bits() & (word::DATA | word::WAIT) == 0 {
            return false;
        }
        let guard = self.word.lock();
        self.refill_locked(guard, own)
    }

    #[inline]
    fn refill_locked(self: &Arc<Self>, mut g: Guard<'_, M>, own: &mut Own<M>) -> bool {
        if self.settings.is_none()
            && g.bits() & (word::SIDE | word::WAIT) == 0
            && own.lanes.normal.is_empty()
            && g.lanes.side_len() == 0
        {
            // All there is lies in the normal lane: a swap.
            std::mem::swap(&mut own.lanes.normal, &mut g.lanes.normal);
            own.lends(g.lanes.normal.buffer_bytes());
            g.clear(word::DATA);
            let since = std::mem::take(&mut g.stamp);
            self.tally.batch_since.store(since, Ordering::Relaxed);
            return !own.lanes.normal.is_empty();
        }
        self.refill_slow(g, own)
    }

    #[inline(never)]
    fn refill_slow(self: &Arc<Self>, mut g: Guard<'_, M>, own: &mut Own<M>) -> bool {
        let limit = self.settings.as_ref().map_or(usize::MAX, |s| s.batch_limit());
        let any = !g.lanes.is_empty();
        let fresh = own.lanes.is_empty();
        let much = own.lanes.take_quickly(&mut g.lanes, limit);
        own.lends(g.lanes.buffer_bytes());
        own.side_pending =
            own.lanes.side_len() != 0 || much.as_ref().is_some_and(|much| much.side_len() != 0);
        // What is left in a side lane still goes before what is in the batch's lower ones.
        if g.lanes.side_len() == 0 {
            g.clear(word::SIDE);
        }
        let left = !g.lanes.is_empty();
        if left {
            g.set(word::DATA);
        } else {
            g.clear(word::DATA);
        }
        let since = std::mem::take(&mut g.stamp);
        if left {
            g.stamp = since;
        }
        self.note_since(fresh, since);
        let mut after = Aftermath::default();
        if g.bits() & word::WAIT != 0 {
            self.see(&mut g);
            self.grant(&mut g, &mut after);
        }
        drop(g);
        own.lanes.append(much);
        self.afterwards(after);
        any
    }

    /// Since when the oldest of the batch has waited: what was there before is older than what has come.
    fn note_since(&self, fresh: bool, since: u32) {
        if fresh || self.tally.batch_since.load(Ordering::Relaxed) == 0 {
            self.tally.batch_since.store(since, Ordering::Relaxed);
        }
    }

    /// Gives room back to those who wait for it.
    #[cold]
    #[inline(never)]
    fn give_back(self: &Arc<Self>) {
        let mut g = self.word.lock();
        let mut after = Aftermath::default();
        self.see(&mut g);
        self.grant(&mut g, &mut after);
        drop(g);
        self.afterwards(after);
    }

    /// At the end of a turn: slow handlers must not make senders wait for half a mailbox.
    #[inline]
    pub fn end_turn(self: &Arc<Self>) {
        if self.word.bits() & word::WAIT != 0 {
            self.give_back();
        }
    }

    /// For a reader that takes one message and then stays away for nobody knows how long: who waits for room is served now.
    pub(crate) fn end_look(self: &Arc<Self>) {
        // Pairs with the fence of `look_again`.
        fence(Ordering::SeqCst);
        self.end_turn();
    }

    /// Gives RUN up; `kept` as for [`StateWord::leave`]. Senders who wait get what room there is first.
    ///
    /// # Safety
    /// RUN is the caller's, no [`RunGuard`] stands for it, and no reference to the reader's half is alive.
    #[expect(unsafe_code, reason = "the caller's word that RUN is theirs to give up")]
    #[inline(always)]
    pub unsafe fn leave(self: &Arc<Self>, kept: u32) {
        // SAFETY: the caller's.
        if unsafe { self.leave_owing(kept, Senders::Unserved) } {
            self.schedule();
        }
    }

    /// The same, but a wake-up that is owed is left to the caller: true, SCHED is set, and nobody else will see to it. By
    /// [`Senders::Later`] the senders who wait are left to the reader's next turn, if there is more to do for it: while the
    /// mailbox is more than half full they are not woken for a few slots.
    ///
    /// # Safety
    /// As [`MailCell::leave`].
    #[expect(unsafe_code, reason = "the caller's word that RUN is theirs to give up")]
    #[inline(always)]
    #[must_use]
    pub unsafe fn leave_owing(self: &Arc<Self>, kept: u32, senders: Senders) -> bool {
        // SAFETY: the caller's.
        match unsafe { self.word.leave(kept, senders) } {
            word::Left::Asleep => false,
            word::Left::Owes => true,
            // SAFETY: the caller's; RUN has not been given up yet.
            word::Left::SendersWait => unsafe { self.leave_slow(kept) },
        }
    }

    /// # Safety
    /// As [`MailCell::leave`].
    #[expect(unsafe_code, reason = "the caller's word that RUN is theirs to give up")]
    #[cold]
    #[inline(never)]
    unsafe fn leave_slow(self: &Arc<Self>, kept: u32) -> bool {
        self.give_back();
        // SAFETY: the caller's.
        unsafe { self.word.leave(kept, Senders::Served) == word::Left::Owes }
    }

    /// Gives RUN up by its value, as [`MailCell::leave`] does.
    pub fn leave_by(permit: RunGuard<Self>, kept: u32) {
        let cell = Arc::clone(permit.cell());
        if Self::leave_owing_by(permit, kept, Senders::Unserved) {
            cell.schedule();
        }
    }

    /// Gives RUN up by its value, as [`MailCell::leave_owing`] does.
    #[expect(unsafe_code, reason = "the value is RUN")]
    #[must_use]
    pub fn leave_owing_by(permit: RunGuard<Self>, kept: u32, senders: Senders) -> bool {
        let cell = Arc::clone(permit.cell());
        permit.give_up();
        // SAFETY: RUN was the value's, which nothing is lent from any more.
        unsafe { cell.leave_owing(kept, senders) }
    }

    /// How many messages were handled to their end so far.
    pub fn handled_so_far(&self) -> u64 {
        self.tally.handled.load(Ordering::Relaxed)
    }

    /// One more message was handled to its end.
    #[inline(always)]
    pub fn handled(&self) {
        let n = self.tally.handled.load(Ordering::Relaxed);
        self.tally.handled.store(n + 1, Ordering::Relaxed);
    }

    /// One more call was taken from its caller's hand and did not pass through a lane.
    #[inline(always)]
    pub fn came_inline(&self) {
        let n = self.tally.inline.load(Ordering::Relaxed);
        self.tally.inline.store(n + 1, Ordering::Relaxed);
    }

    /// A message was put back for another attempt.
    #[cold]
    pub fn redelivered(&self) {
        self.word.lock().ledger().redelivered += 1;
    }

    /// Counts messages that ended otherwise.
    #[cold]
    pub fn count(&self, fate: Fate, n: u64) {
        self.word.lock().ledger().count(fate, n);
    }

    /// Puts the message in hand, or a copy of it, back at the front of its lane for another attempt, with what it carried.
    /// It is in no sense sent again. (It takes up room again, which others may have been given meanwhile: there may be one
    /// message more than the bound allows, and none comes in before there is room anew.)
    pub fn put_back(&self, own: &mut Own<M>, message: M, lane: Lane, attempts: u32) {
        let meta = own.hand.take().map_or_else(Meta::default, |m| *m).with_attempts(attempts);
        if lane != Lane::Control
            && let Some(settings) = self.settings.as_ref().filter(|s| s.weight_limit.is_some())
        {
            let out = settings.weight_out.load(Ordering::Relaxed) - u64::from(meta.weight());
            settings.weight_out.store(out, Ordering::Release);
        }
        own.lanes.lane_mut(lane).push_front(message, meta);
        own.side_pending = own.lanes.side_len() != 0;
        match lane {
            Lane::Normal => own.normal_out -= 1,
            Lane::Control => own.side_base[0] = own.side_base[0].wrapping_sub(1),
            Lane::High => {
                own.side_base[1] = own.side_base[1].wrapping_sub(1);
                own.side_out -= 1;
            }
            Lane::Low => {
                own.side_base[2] = own.side_base[2].wrapping_sub(1);
                own.side_out -= 1;
            }
        }
        self.tally.out.store(own.out(), Ordering::Release);
    }

    /// Selective reading: takes out of the batch the message at `index` of `lane`; `None` when it has expired.
    pub fn take_at(self: &Arc<Self>, own: &mut Own<M>, lane: Lane, index: usize) -> Option<M> {
        let (message, meta) = own.lanes.lane_mut(lane).remove(index)?;
        // What the handler had in hand before, it still has.
        let hand = own.hand.take();
        let message = self.leave_lane(own, lane, message, meta, &mut None);
        if hand.is_some() || own.hand.is_some() {
            own.put_hand(hand);
        }
        message
    }

    /// For selective reading: takes over all that senders have queued, however small the batches are kept otherwise: what
    /// is skipped must not stand in the way of what comes behind it. True when anything came.
    pub fn refill_all(self: &Arc<Self>, own: &mut Own<M>) -> bool {
        if self.word.bits() & (word::DATA | word::WAIT) == 0 {
            return false;
        }
        let mut g = self.word.lock();
        let any = !g.lanes.is_empty();
        let much = own.lanes.take_quickly(&mut g.lanes, usize::MAX);
        own.lends(g.lanes.buffer_bytes());
        g.clear(word::SIDE | word::DATA);
        let mut after = Aftermath::default();
        self.see(&mut g);
        self.grant(&mut g, &mut after);
        drop(g);
        own.lanes.append(much);
        own.side_pending = own.lanes.side_len() != 0;
        self.afterwards(after);
        any
    }

    /// Throws out every waiting message for which `which` holds; how many.
    pub fn purge(self: &Arc<Self>, own: &mut Own<M>, mut which: impl FnMut(&M) -> bool) -> u64 {
        // Unbounded: what is in the batch can be looked at without the lock.
        let much = {
            let mut g = self.word.lock();
            let fresh = own.lanes.is_empty();
            let much = own.lanes.take_quickly(&mut g.lanes, usize::MAX);
            own.lends(g.lanes.buffer_bytes());
            g.clear(word::SIDE | word::DATA);
            let since = std::mem::take(&mut g.stamp);
            self.note_since(fresh, since);
            much
        };
        own.lanes.append(much);
        own.side_pending = own.lanes.side_len() != 0;
        let mut purged = 0;
        for lane in Lanes::<M>::ORDER {
            if own.lanes.lane(lane).is_none_or(super::lanes::Fifo::is_empty) {
                continue;
            }
            // Should `which` panic, this lane is untouched and those before it are accounted for.
            let out = own.lanes.lane_mut(lane).extract(|m, _| which(m));
            out.iter().for_each(|_| own.left(lane));
            self.tally.out.store(own.out(), Ordering::Release);
            if !out.is_empty() {
                self.count(Fate::Purged, out.len() as u64);
            }
            for (message, meta) in out {
                if lane != Lane::Control
                    && let Some(settings) = &self.settings
                    && settings.weight_limit.is_some()
                {
                    let out = settings.weight_out.load(Ordering::Relaxed) + u64::from(meta.weight());
                    settings.weight_out.store(out, Ordering::Release);
                }
                purged += 1;
                quiet::discard("a purged message", message);
                quiet::discard("a span", meta);
            }
        }
        if purged > 0 {
            self.end_turn();
            quiet::run(
                "a subscriber",
                || tracing::debug!(mailbox = %self.label(), purged, "messages purged"),
            );
        }
        purged
    }

    /// Gives buffers back that are mostly empty; bytes still held, by lanes, line and lists. (Senders do not wait until much is
    /// moved: what a long queue lies in stays, until the reader has taken it.)
    pub fn shrink(&self, own: &mut Own<M>) -> usize {
        own.lanes.shrink();
        own.lent = 0;
        let mut g = self.word.lock();
        // (What goes, goes after the lock.)
        let lanes = g.lanes.slim();
        let line = g.waiters.as_mut().and_then(|w| w.slim());
        let lists = g.cold.as_mut().map(|cold| cold.slim());
        let held = own.lanes.buffer_bytes()
            + g.lanes.buffer_bytes()
            + g.waiters.as_ref().map_or(0, |w| w.buffer_bytes())
            + g.cold.as_ref().map_or(0, |cold| cold.buffer_bytes());
        drop(g);
        drop((lanes, line, lists));
        held
    }

    /// Bytes that the buffers hold: the reader's, and at most those that it has left with the senders.
    pub fn batch_bytes(&self, own: &Own<M>) -> usize {
        own.lanes.buffer_bytes() + own.lent as usize
    }

    /// For a receiver: goes to sleep, unless something came. The waker is one cloned before the lock. The permit comes back
    /// where there is something to read, or the mailbox has closed; else RUN was given up under the lock, and the value that
    /// stood for it with it: whatever the old waker does in its drop, no reader is left that believes itself awake.
    pub(crate) fn park(self: &Arc<Self>, permit: RunGuard<Self>, waker: Waker) -> Option<RunGuard<Self>> {
        let mut g = self.word.lock();
        let mut after = Aftermath::default();
        if g.bits() & word::WAIT != 0 {
            self.see(&mut g);
            self.grant(&mut g, &mut after);
        }
        let (old, kept) = if g.bits() & (word::DATA | word::CLOSED) == 0 {
            permit.leave_with(&mut g);
            (g.cold().parked.replace(waker), None)
        } else {
            (Some(waker), Some(permit))
        };
        drop(g);
        self.afterwards(after);
        quiet::discard("a waker", old);
        kept
    }
}

/// Among the handles: the last one has gone. (What is cloned out of a lent handle afterwards is counted beside it.)
const GONE: usize = 1 << (usize::BITS - 1);

/// Life.
impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// Takes the lease to read. RUN is not taken.
    ///
    /// # Errors
    /// Somebody reads already, or the mailbox is closed.
    pub fn lease(self: &Arc<Self>) -> Result<u32, LeaseError> {
        let mut g = self.word.lock();
        if g.bits() & word::CLOSED != 0 {
            return Err(LeaseError::Closed);
        }
        if g.bits() & word::LEASED != 0 {
            return Err(LeaseError::Leased);
        }
        g.set(word::LEASED);
        g.clear(word::KILL | word::HALF | word::PEND | word::HOLD | word::ASIDE | word::ORPHAN);
        g.incarnation += 1;
        let incarnation = g.incarnation;
        let watched = g.note_event(|| Event::Started { incarnation });
        drop(g);
        if watched {
            self.tell();
        }
        Ok(incarnation)
    }

    /// Gives the lease back, with RUN, and tells links and monitors how the incarnation ended. Unread messages stay
    /// where they are. With `close` the mailbox closes too.
    ///
    /// The lease is back when this returns; the rest has its turn, where this is deep within other ends.
    pub fn end_lease(self: &Arc<Self>, permit: RunGuard<Self>, exit: Option<Exit>, close: bool) {
        let given = self.return_lease(permit, exit.as_ref(), close);
        self.announce_closing();
        later::in_turn(self, |cell| cell.tell_of_end(given, exit));
    }

    /// [`MailCell::end_lease`], where the end is noted somewhere else as well: `note` does that under a lock of its own, and calls
    /// what it is handed, which gives the lease back, before it lets go of that lock. So the two happen at once for all who look
    /// at both:
    ///
    /// - Who finds the lease given back, in whatever way (a look, a monitor or link that is set late, a start), and then reads
    ///   the note's table, waits there for the lock and finds the end noted.
    /// - Who finds the end noted finds the lease given back.
    ///
    /// Links and monitors are told after `note`. It must not unwind, and must run no foreign code under its lock. The cell's LOCK
    /// is taken under that lock, never the other way round.
    ///
    /// All is done when this returns: where it may be deep within other ends, the caller has its turn already.
    pub fn end_lease_and(
        self: &Arc<Self>,
        permit: RunGuard<Self>,
        exit: Option<Exit>,
        close: bool,
        note: impl FnOnce(&mut dyn FnMut()),
    ) {
        let mut permit = Some(permit);
        let mut given = GivenBack::default();
        {
            let mut give_back = || {
                if let Some(permit) = permit.take() {
                    given = self.return_lease(permit, exit.as_ref(), close);
                }
            };
            note(&mut give_back);
            // A note that has not come to it leaves it to this.
            give_back();
        }
        self.announce_closing();
        self.tell_of_end(given, exit);
    }

    /// What a lease that was given back leads to.
    fn tell_of_end(self: &Arc<Self>, given: GivenBack<M>, exit: Option<Exit>) {
        self.afterwards(given.after);
        quiet::discard("a waker", given.parked);
        quiet::discard("an exit reason", given.last_exit);
        quiet::discard("an exit reason", given.doom);
        if let Some(exit) = exit {
            self.tell_links(given.links, &exit.reason);
            quiet::discard("an exit reason", exit);
        }
        let mut watched = given.watched;
        // Unless the next incarnation has begun: then what is queued is its to drain. (Once closed, none begins.) Before
        // the monitors are told, so that whoever joins finds nothing half done.
        if self.word.bits_acquire() & (word::CLOSED | word::LEASED) == word::CLOSED {
            // The thread that settles it in our stead tells the monitors afterwards.
            watched &= self.settle();
        }
        if watched {
            self.tell();
        }
    }

    /// Gives lease and RUN back, under the lock.
    fn return_lease(&self, mut permit: RunGuard<Self>, exit: Option<&Exit>, close: bool) -> GivenBack<M> {
        let (_, own) = permit.split();
        own.in_hand = false;
        // Part of a batch has not been read.
        let left = !own.is_empty();
        let mut given = GivenBack::default();
        let mut g = self.word.lock();
        // Together with the lease: nobody is to slip in between.
        if let Some(exit) = exit.filter(|_| close && g.bits() & word::CLOSED == 0) {
            given.after.wakers = self.close_locked(&mut g, exit.reason.clone());
        }
        if g.bits() & word::WAIT != 0 {
            // Rule 5 of `word`: nobody may be there to give room back for a long time.
            self.see(&mut g);
            self.grant(&mut g, &mut given.after);
        }
        permit.leave_with(&mut g);
        g.clear(
            word::LEASED
                | word::SCHED
                | word::KILL
                | word::HALF
                | word::PEND
                | word::HOLD
                | word::ASIDE
                | word::ORPHAN,
        );
        if left {
            g.set(word::DATA);
        }
        given.parked = g.take_parked();
        if let Some(exit) = exit {
            let cold = g.cold();
            given.last_exit = cold.last_exit.replace(exit.clone());
            given.doom = cold.doom.take();
            given.links = cold.links.take();
            given.watched = g.note_event(|| Event::Down(exit.clone()));
        }
        given
    }

    /// Ends an incarnation and begins the next one in the same breath: lease and RUN stay where they are, so nobody can slip in
    /// between. Links and monitors are told as by [`MailCell::end_lease`] and [`MailCell::lease`]. The number of the next.
    ///
    /// # Errors
    /// The mailbox is closed: nothing has happened, and the exit comes back.
    pub fn renew_lease(self: &Arc<Self>, own: &mut Own<M>, exit: Exit) -> Result<u32, Exit> {
        let mut g = self.word.lock();
        if g.bits() & word::CLOSED != 0 {
            return Err(exit);
        }
        own.in_hand = false;
        g.clear(word::KILL | word::HALF | word::PEND | word::ASIDE | word::ORPHAN);
        g.incarnation += 1;
        let incarnation = g.incarnation;
        let watched = g.note_event(|| Event::Down(exit.clone()));
        g.note_event(|| Event::Started { incarnation });
        let cold = g.cold();
        let links = cold.links.take();
        let linked = (!links.is_empty()).then(|| exit.reason.clone());
        // (Dropped below: reasons hold errors of the user's.)
        let old = (cold.last_exit.replace(exit), cold.doom.take());
        drop(g);
        quiet::discard("an exit reason", old.0);
        quiet::discard("an exit reason", old.1);
        if let Some(reason) = linked {
            self.tell_links(links, &reason);
            quiet::discard("an exit reason", reason);
        }
        if watched {
            self.tell();
        }
        Ok(incarnation)
    }

    /// Tells the other sides, each of which is told whatever those before it did.
    fn tell_links(self: &Arc<Self>, links: Vec<Arc<dyn Linked>>, reason: &ExitReason) {
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

    /// No more sends; senders who wait are told. What is queued can still be read; where nobody reads, it is
    /// dead-lettered. False when it was closed already.
    ///
    /// It takes nothing any more when this returns; the rest has its turn, where this is deep within other ends.
    pub fn close(self: &Arc<Self>, reason: ExitReason) -> bool {
        let Some(closing) = self.begin_closing(reason) else { return false };
        later::in_turn(self, |cell| cell.go_on_closing(closing));
        true
    }

    /// Closes a mailbox whose last handle has gone, by who has its turn already.
    pub(crate) fn close_unreachable(self: &Arc<Self>) {
        if let Some(closing) = self.begin_closing(ExitReason::Normal) {
            self.go_on_closing(closing);
        }
    }

    /// No more sends, and those who asked to be told first are; `None` where that was so already.
    fn begin_closing(self: &Arc<Self>, reason: ExitReason) -> Option<Closing> {
        let mut g = self.word.lock();
        if g.bits() & word::CLOSED != 0 {
            drop(g);
            quiet::discard("an exit reason", reason);
            return None;
        }
        let wakers = self.close_locked(&mut g, reason);
        let owes = g.bits() & word::LEASED != 0 && g.bits() & (word::RUN | word::SCHED) == 0;
        if owes {
            g.set(word::SCHED);
        } else if g.bits() & word::RUN != 0 {
            // Whoever runs may have looked for the close already.
            g.set(word::NOTE);
        }
        let parked = if owes { g.take_parked() } else { None };
        let leased = g.bits() & word::LEASED != 0;
        drop(g);
        self.announce_closing();
        Some(Closing { owes, parked, wakers, leased })
    }

    fn go_on_closing(self: &Arc<Self>, closing: Closing) {
        let Closing { owes, parked, wakers, leased } = closing;
        if owes {
            self.wake(parked);
        }
        wakers.into_iter().for_each(quiet::wake);
        if !leased {
            self.settle();
        }
    }

    /// An open mailbox takes nothing any more; the wakers of those who waited for room.
    fn close_locked(&self, g: &mut Guard<'_, M>, reason: ExitReason) -> Vec<Waker> {
        g.set(word::CLOSED);
        self.nobody_waits(g);
        if reason != ExitReason::Normal || g.cold.is_some() {
            g.cold().closed = Some(reason);
        }
        g.waiters.as_mut().map(|w| w.dismiss()).unwrap_or_default()
    }

    /// Where the mailbox has closed: tells those who asked to be told first, unless that has been done. By whoever is about to
    /// tell anybody else of anything: who closed it may not have come to it yet. (So two may tell the same ones at once, and
    /// neither goes on before they have heard.)
    fn announce_closing(&self) {
        if self.word.bits_acquire() & word::CLOSED == 0 {
            return;
        }
        let told_first = {
            let g = self.word.lock();
            let Some(cold) = g.cold.as_ref().filter(|cold| !cold.on_close.is_empty()) else { return };
            ToldFirst { whom: cold.on_close.clone(), reason: closed_reason(cold.closed.as_ref()) }
        };
        told_first.tell();
        let told = self.word.lock().cold.as_mut().map(|cold| std::mem::take(&mut cold.on_close));
        drop(told);
    }

    /// Has `whom` told of the closing before anybody else hears of it. False, and nobody will be told: it is closed.
    pub fn tell_first(&self, whom: Weak<dyn OnClose>) -> bool {
        let mut g = self.word.lock();
        let open = g.bits() & word::CLOSED == 0;
        // (Dropped under the lock where it is closed: a weak reference frees memory at most.)
        if open {
            g.cold().on_close.push(whom);
        }
        open
    }

    /// The opposite, by the address of who was to be told; false when it was not, or is told already.
    pub fn tell_no_more(&self, whom: usize) -> bool {
        let mut g = self.word.lock();
        if g.bits() & word::CLOSED != 0 {
            return false;
        }
        let Some(cold) = g.cold.as_mut() else { return false };
        match cold.on_close.iter().position(|other| other.as_ptr().cast::<()>().addr() == whom) {
            Some(at) => {
                let gone = cold.on_close.swap_remove(at);
                let spare = slim(&mut cold.on_close);
                drop(g);
                drop((gone, spare));
                true
            }
            None => false,
        }
    }

    /// Closed and nobody reads: what is left is dead-lettered, monitors hear of the end. False when somebody
    /// else is just looking: then that one does it when it leaves.
    fn settle(self: &Arc<Self>) -> bool {
        let Some(mut permit) = RunGuard::enter_quietly(self) else { return false };
        // The thread that closed it may not have come to it yet; those who sent what is buried are about to hear of the end. (Under RUN, so
        // that one who looks from in there does not settle it once more.)
        self.announce_closing();
        let reason = closed_reason(self.word.lock().cold.as_ref().and_then(|c| c.closed.as_ref()));
        let (_, own) = permit.split();
        // A net for our own mistakes: who waits for the end must hear of it.
        quiet::run("settling a mailbox", || self.bury_all(own, &reason));
        permit.leave_with(&mut self.word.lock());
        if self.word.lock().note_event(|| Event::Closed(reason.clone())) {
            self.tell();
        }
        quiet::run("a runner", || self.runner.on_settled());
        if let Some(settings) = &self.settings {
            settings.let_go();
        }
        quiet::discard("an exit reason", reason);
        true
    }

    /// Dead-letters what is queued, for this reason, while nobody reads: how many. Open mailboxes go on taking messages.
    pub fn clear_out(self: &Arc<Self>, reason: &ExitReason) -> u64 {
        let Some(mut permit) = RunGuard::enter_quietly(self) else { return 0 };
        if self.is_leased() {
            Self::leave_quietly_by(permit);
            return 0;
        }
        let (_, own) = permit.split();
        let left = self.bury_all(own, reason);
        self.end_turn();
        Self::leave_quietly_by(permit);
        left
    }

    /// Dead-letters what senders have queued in a mailbox whose reader was killed and does not end: it will take none
    /// of that any more. How many. (What lies in its batch is out of reach until it ends.) An open mailbox has room again then, for
    /// those who wait for it.
    pub fn bury_unread(self: &Arc<Self>, reason: &ExitReason) -> u64 {
        let mut dead = Vec::new();
        let mut after = Aftermath::default();
        {
            let mut g = self.word.lock();
            let hopeless = word::LEASED | word::KILL;
            if g.bits() & hopeless != hopeless {
                return 0;
            }
            for lane in Lanes::<M>::ORDER {
                while let Some((message, meta)) = g.lanes.lane_mut(lane).pop() {
                    if lane != Lane::Control {
                        g.room.remove(meta.weight());
                    }
                    dead.push((message, meta));
                }
            }
            g.ledger().count(Fate::DeadLettered, dead.len() as u64);
            if g.bits() & word::CLOSED == 0 {
                self.see(&mut g);
                self.grant(&mut g, &mut after);
            }
        }
        self.afterwards(after);
        let buried = dead.len() as u64;
        for (message, meta) in dead {
            self.bury(message, meta, DeadCause::Closed(reason.clone()));
        }
        buried
    }

    /// Buries all that is queued; how many.
    fn bury_all(self: &Arc<Self>, own: &mut Own<M>, reason: &ExitReason) -> u64 {
        let mut left = 0;
        loop {
            self.refill(own);
            let Some(lane) =
                Lanes::<M>::ORDER.into_iter().find(|l| own.lanes.lane(*l).is_some_and(|l| !l.is_empty()))
            else {
                break;
            };
            while let Some((message, meta)) = own.lanes.lane_mut(lane).pop() {
                own.left(lane);
                left += 1;
                if lane != Lane::Control
                    && let Some(settings) = self.settings.as_ref().filter(|s| s.weight_limit.is_some())
                {
                    let out = settings.weight_out.load(Ordering::Relaxed) + u64::from(meta.weight());
                    settings.weight_out.store(out, Ordering::Release);
                }
                self.bury(message, meta, DeadCause::Closed(reason.clone()));
            }
        }
        self.tally.out.store(own.out(), Ordering::Release);
        if left > 0 {
            self.count(Fate::DeadLettered, left);
        }
        self.shrink(own);
        left
    }

    /// Tells the monitors what is untold, in order; user code, so the list is out of the cell meanwhile. Where somebody
    /// is at it already, that one goes on with what has come since.
    fn tell(&self) {
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
        // (Looked at first: mostly none is taken down just while it is told.)
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

    /// Ends the present incarnation at its next await, for this reason (the first one given counts). False when none
    /// reads.
    pub fn kill(self: &Arc<Self>, reason: ExitReason) -> bool {
        self.kill_incarnation(None, reason)
    }

    /// The same for one incarnation, where one is named: a later one is let be.
    pub fn kill_incarnation(self: &Arc<Self>, which: Option<u32>, reason: ExitReason) -> bool {
        let mut g = self.word.lock();
        if g.bits() & word::LEASED == 0 || which.is_some_and(|n| n != g.incarnation) {
            drop(g);
            quiet::discard("an exit reason", reason);
            return false;
        }
        let cold = g.cold();
        let late = if cold.doom.is_none() { cold.doom.replace(reason) } else { Some(reason) };
        g.set(word::KILL);
        let owes = g.bits() & (word::RUN | word::SCHED) == 0;
        g.set(if owes { word::SCHED } else { 0 });
        if g.bits() & word::RUN != 0 {
            g.set(word::NOTE);
        }
        let parked = if owes { g.take_parked() } else { None };
        drop(g);
        if owes {
            self.wake(parked);
        }
        quiet::discard("an exit reason", late);
        true
    }

    /// Why the present incarnation is to be killed.
    pub fn doom(&self) -> ExitReason {
        self.word.lock().cold.as_ref().and_then(|c| c.doom.clone()).unwrap_or(ExitReason::Killed)
    }

    /// As above; `None`: there is no reader, or it is not to be killed.
    pub fn doomed(&self) -> Option<ExitReason> {
        let g = self.word.lock();
        let doomed = word::LEASED | word::KILL;
        (g.bits() & doomed == doomed).then(|| g.cold.as_ref().and_then(|c| c.doom.clone()))?
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

    /// How the last incarnation ended.
    pub fn last_exit(&self) -> Option<Exit> {
        self.word.lock().cold.as_ref().and_then(|c| c.last_exit.clone())
    }

    /// Why the mailbox closed; `None` while it is open.
    pub fn closed_reason(&self) -> Option<ExitReason> {
        let g = self.word.lock();
        (g.bits() & word::CLOSED != 0).then(|| closed_reason(g.cold.as_ref().and_then(|c| c.closed.as_ref())))
    }

    /// Which incarnation reads, or read last; 0: none yet.
    pub fn incarnation(&self) -> u32 {
        self.word.lock().incarnation
    }
}

/// Counting.
impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// The exact counters, with what is queued counted one by one; `None` while a handler or receiver is at work.
    pub fn audit(self: &Arc<Self>) -> Option<Ledger> {
        let mut permit = RunGuard::enter_quietly(self)?;
        let (_, own) = permit.split();
        let ledger = self.audit_as_reader(own);
        Self::leave_quietly_by(permit);
        Some(ledger)
    }

    /// Gives RUN up after a mere look, and does what others could not do meanwhile: wakes, or settles a mailbox that was
    /// closed under the look.
    ///
    /// # Safety
    /// RUN is the caller's, no [`RunGuard`] stands for it, and no reference to the reader's half is alive.
    #[expect(unsafe_code, reason = "the caller's word that RUN is theirs to give up")]
    pub unsafe fn leave_quietly(self: &Arc<Self>) {
        // SAFETY: the caller's.
        let permit = unsafe { RunGuard::assume(self) };
        Self::leave_quietly_by(permit);
    }

    /// Gives RUN up by its value, as [`MailCell::leave_quietly`] does.
    pub fn leave_quietly_by(permit: RunGuard<Self>) {
        let cell = Arc::clone(permit.cell());
        if permit.leave_quietly() {
            let parked = cell.word.lock().take_parked();
            cell.wake(parked);
        }
        cell.settle_if_closed();
    }

    /// Settles a mailbox that was closed while RUN was taken for a look.
    fn settle_if_closed(self: &Arc<Self>) {
        if self.word.bits_acquire() & (word::CLOSED | word::LEASED) == word::CLOSED {
            later::in_turn(self, |cell| _ = cell.settle());
        }
    }

    /// The same for whoever holds RUN.
    pub fn audit_as_reader(&self, own: &Own<M>) -> Ledger {
        let g = self.word.lock();
        let mut ledger = g.cold.as_ref().map(|c| c.ledger).unwrap_or_default();
        ledger.sent += g.room.sent()
            + u64::from(self.tally.control.load(Ordering::Relaxed))
            + self.tally.inline.load(Ordering::Relaxed);
        ledger.handled = self.tally.handled.load(Ordering::Relaxed);
        ledger.in_hand = u64::from(own.in_hand);
        ledger.queued = (own.lanes.len() + g.lanes.len()) as u64;
        ledger
    }
}

/// Looking.
impl<M: 'static, X: ?Sized> MailCell<M, X> {
    /// The state word and what it guards.
    #[inline(always)]
    pub fn word(&self) -> &StateWord<Shared<M>, Own<M>> {
        &self.word
    }

    /// One more address.
    #[inline]
    pub(crate) fn add_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// One more address, unless there is none left.
    pub(crate) fn add_handle_if_any(&self) -> bool {
        let mut n = self.handles.load(Ordering::Relaxed);
        while n != 0 && n & GONE == 0 {
            match self.handles.compare_exchange(n, n + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => n = now,
            }
        }
        false
    }

    /// One address less; true for the last.
    #[inline]
    pub(crate) fn remove_handle(&self) -> bool {
        // Release pairs with the acquire of the last: what went before is before the closing.
        self.handles.fetch_sub(1, Ordering::AcqRel) == 1 && self.last_handle_goes()
    }

    /// Out of a lent handle one can be cloned when the last has just gone. Either it is too late for that one, for good, or that
    /// one is the last now: whoever is given a handle meanwhile has one to a mailbox that stays open.
    #[cold]
    fn last_handle_goes(&self) -> bool {
        self.handles.compare_exchange(0, GONE, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// How many addresses there are.
    pub fn handles(&self) -> usize {
        self.handles.load(Ordering::Relaxed) & !GONE
    }

    /// The mailbox's id: a UUID v7, made when it is first asked for (so its time is that of the asking).
    pub fn id(&self) -> Uuid {
        if let Some(id) = self.word.lock().cold.as_ref().and_then(|c| c.id) {
            return id;
        }
        // Made outside the lock; the first one stays.
        let fresh = Uuid::now_v7();
        *self.word.lock().cold().id.get_or_insert(fresh)
    }

    /// The name that was given, if one was.
    pub fn name(&self) -> Option<&Arc<str>> {
        self.settings.as_ref().and_then(|s| s.name.as_ref())
    }

    /// The name, else the message type's.
    pub fn label(&self) -> String {
        self.name().map_or_else(|| std::any::type_name::<M>().to_owned(), ToString::to_string)
    }

    /// Whether it takes nothing any more.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.word.bits() & word::CLOSED != 0
    }

    /// Whether it is closed and has no reader: it will have none.
    pub fn is_closed_unread(&self) -> bool {
        self.word.bits() & (word::CLOSED | word::LEASED) == word::CLOSED
    }

    /// From which message on waiting senders are to be woken, for models.
    #[cfg(all(loom, test))]
    pub(crate) fn wake_at(&self) -> u64 {
        self.tally.wake_at.load(Ordering::Relaxed)
    }

    /// How many monitors and links it has. (A list of monitors that is out being told is not seen.)
    pub fn bonds(&self) -> (usize, usize) {
        let g = self.word.lock();
        g.cold.as_ref().map_or((0, 0), |cold| (cold.monitors.len(), cold.links.len()))
    }

    /// Whether somebody holds the lease.
    pub fn is_leased(&self) -> bool {
        self.word.bits() & word::LEASED != 0
    }

    /// See [`Stats`].
    pub fn stats(&self) -> Stats {
        let handled = self.tally.handled.load(Ordering::Acquire);
        let inline = self.tally.inline.load(Ordering::Acquire);
        let mut g = self.word.lock();
        let weight_out = self.settings.as_ref().map_or(0, |s| s.weight_out.load(Ordering::Acquire));
        g.room.see(self.tally.out.load(Ordering::Acquire), weight_out);
        let depth = g.room.len();
        let shared = g.lanes.len() as u64;
        let mut stamp = self.tally.batch_since.load(Ordering::Relaxed);
        if depth <= shared || stamp == 0 {
            if shared > 0 && g.stamp == 0 {
                g.stamp = clock::coarse_ms_u32();
            }
            stamp = g.stamp;
        }
        let mut ledger = g.cold.as_ref().map(|c| c.ledger).unwrap_or_default();
        ledger.sent += g.room.sent() + u64::from(self.tally.control.load(Ordering::Relaxed)) + inline;
        ledger.handled = handled;
        ledger.queued = depth + g.lanes.control_len() as u64;
        ledger.in_hand = ledger.sent.saturating_sub(ledger.accounted());
        Stats {
            depth,
            weight: g.room.weight(),
            capacity: g.room.capacity(),
            oldest_age: (depth > 0 && stamp > 0)
                .then(|| Duration::from_millis(u64::from(clock::coarse_ms_u32().wrapping_sub(stamp)))),
            waiting_senders: g.waiters.as_ref().map_or(0, |w| w.len()),
            ledger,
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    /// What a plain send writes and what a plain read needs share no cache line, wherever the cell lies.
    #[test]
    fn senders_and_reader_lie_a_cache_line_apart() {
        let cell = Arc::new(MailCell::<u64, Parked>::plain(Some(4), word::LEASED, Parked));
        let room = {
            let g = cell.word.lock();
            std::ptr::from_ref(&g.room).addr()
        };
        // `sent` and `full_at` come first in it.
        let senders_end = room + 2 * size_of::<u64>();
        let mut permit = RunGuard::enter(&cell).expect("nobody reads");
        let (_, own) = permit.split();
        let reader = std::ptr::from_ref(&own.lanes).addr();
        assert!(reader >= senders_end + 64, "{} bytes", reader.wrapping_sub(senders_end));
    }

    /// Clause 1.7: nobody has to ask for the memory of a line that nobody stands in any more, nor for that of lists.
    #[test]
    fn the_line_and_the_lists_follow_those_who_have_gone() {
        struct Side;
        impl Linked for Side {
            fn link_id(&self) -> usize {
                0
            }
            fn exit_signal(&self, _: usize, _: &ExitReason) {}
            fn add_link(&self, _: Arc<dyn Linked>, _: usize) {}
            fn remove_link(&self, _: usize) {}
        }
        impl OnClose for Side {
            fn on_close(&self, _: &ExitReason) {}
        }
        const MANY: usize = 2000;
        let cell = Arc::new(MailCell::<u64, Parked>::plain(Some(1), 0, Parked));
        assert!(cell.push(0).is_ok());
        let held = || {
            let g = cell.word.lock();
            let line = g.waiters.as_ref().map_or(0, |w| w.buffer_bytes());
            (line, g.cold.as_ref().map_or(0, |cold| cold.buffer_bytes()))
        };
        let line_up = |n| cell.line_up(&n, &SendOptions::new(), Waker::noop());
        let places: Vec<_> = (0..MANY as u64).map(line_up).collect();
        let told: Vec<Arc<dyn OnClose>> = (0..MANY).map(|_| Arc::new(Side) as _).collect();
        let monitors: Vec<_> = (0..MANY).map(|_| cell.monitor(Watch::Mailbox, Box::new(|_| ()))).collect();
        for (id, one) in told.iter().enumerate() {
            cell.add_link(id, Arc::new(Side));
            assert!(cell.tell_first(Arc::downgrade(one)));
        }
        let (line, lists) = held();
        assert!(line > MANY * 16 && lists > MANY * 60);
        for place in places {
            let Ok(Waited::Waiting(place)) = place else { panic!("there is no room") };
            cell.leave_line(place);
        }
        for (id, (one, monitor)) in told.iter().zip(monitors).enumerate() {
            assert!(cell.demonitor(monitor) && cell.remove_link(id));
            assert!(cell.tell_no_more(Arc::as_ptr(one).cast::<()>().addr()));
        }
        let (line, lists) = held();
        assert!(line < 2000 && lists < 8000, "{line} bytes of the line, {lists} of lists");
        // Those who have come during a long telling are not kept either.
        cell.monitor(Watch::Mailbox, Box::new(|_| ()));
        for _ in 0..3 {
            cell.lease().expect("nobody reads");
            let permit = RunGuard::enter(&cell).expect("nobody reads");
            cell.end_lease(
                permit,
                Some(Exit::new(ExitReason::Normal, crate::exit::Phase::Idle, None, 1)),
                false,
            );
        }
        assert_eq!(cell.word.lock().cold.as_ref().map(|cold| cold.untold.capacity()), Some(0));
    }
}
