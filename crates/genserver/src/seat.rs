//! The cell of a server: who may poll its loop, and the hand-over between its own task and a caller.
//!
//! A server is a [`MailCell`] with a seat at its end. The seat holds the loop (one future, [`crate::run`]) of the present
//! incarnation; whoever holds RUN polls it: the server's own task, or the caller of an idle server. Both poll with the
//! cell's own waker, so a handler that goes pending under a caller is simply polled further by the task.
//!
//! - The task is spawned at the first wake-up that needs one: a server that nobody has spoken to has none. It then
//!   belongs to the cell, not to the incarnation, and lies still between two of them.
//! - A crash is never dealt with on a caller's stack: the loop waits for its own task first ([`crate::run`]).
//! - A runtime that shuts down drops the task; then whoever can take RUN ends the incarnation (killed, no `terminate`).
//!
//! With `slot`, `frame` and `serve` the rooms of this crate that hold `unsafe`. INVARIANT (seat): `desk` and the future are
//! touched only under RUN (as `Own` in core's `word`); the future points at the cell that it belongs to and is
//! dropped before the cell's memory goes.

use crate::current_message::CurrentMessage;
use crate::frame;
use crate::in_hand::{self, Retry, Rule};
use crate::keeper::{Beginner, End, Keeper, Settle, Verdict};
use crate::message::Message;
use crate::next::LOOK;
use crate::pace::Pace;
use crate::rt::Rt;
use crate::server::GenServer;
use crate::slot::{Dead, SlotPtr};
use crate::stand_in::{self, Casting};
use crate::start::{Lent, Outcome, StartSender};
use crate::sys::{SysRequests, trace};
use crate::thread::{self, ThreadPool};
use crate::turns::{self, Patience, TURN};
use crate::watchdog;
use pin_project_lite::pin_project;
use restante_core::cell::{MailCell, Own, Runner};
use restante_core::handle::Handle;
use restante_core::word::{self, RunGuard};
use restante_core::{
    DeadCause, Exit, ExitReason, Fate, LeaseError, Phase, Settings, clock, drop_quietly, later, quiet,
};
use std::cell::UnsafeCell;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Context as Cx, Poll, Waker};
use tracing::Span;

/// A server's mailbox, bookkeeping and loop.
pub(crate) type Cell<S> = MailCell<Message<S>, Executor<S>>;

/// Who runs a server, and what they need for it.
pub(crate) struct Executor<S: GenServer> {
    turn_state: UnsafeCell<TurnState<S>>,
    /// The loop of the present incarnation (or of the last, until the next one's takes its place). In an allocation of its
    /// own: a mailbox between two servers does without, and everything else of the cell lies at a fixed place behind a thin
    /// pointer.
    body: UnsafeCell<Option<Body<S>>>,
    /// The runtime and task that the mailbox was first served by.
    binding: OnceLock<RuntimeBinding>,
    cold: OnceLock<Box<Cold<S>>>,
    /// What is in a handler now. Written by the loop and its runners, under RUN.
    pub(crate) current: CurrentMessage,
    /// Since when a handler is half done, where one is (the low bits of coarse ms).
    pub(crate) half_since: AtomicU32,
    pub(crate) trapping: AtomicBool,
    /// Callers never run handlers.
    pub(crate) never_inline: AtomicBool,
    /// The mailbox closes with its server (rather than waiting for the next one).
    pub(crate) owned: AtomicBool,
}

type Body<S> = Pin<Box<dyn Loop<S>>>;

/// A loop in an allocation that the next incarnation's can have after it.
trait Loop<S: GenServer>: Future<Output = ()> + Send {
    /// Drops the loop that is there, which is mostly over, and makes the next one in its place.
    fn begin(self: Pin<&mut Self>, cell: CellRef<S>, incarnation: u32, lent: Lent<S>);
}

pin_project! {
    /// What makes loops, and the present one. (A loop's type has no name, but they are all of one.)
    struct LoopSlot<F, Make> {
        make: Make,
        #[pin]
        present: F,
    }
}

impl<F: Future<Output = ()>, Make> Future for LoopSlot<F, Make> {
    type Output = ();
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<()> {
        self.project().present.poll(cx)
    }
}

impl<S, F, Make> Loop<S> for LoopSlot<F, Make>
where
    S: GenServer,
    F: Future<Output = ()> + Send,
    Make: Fn(CellRef<S>, u32, Lent<S>) -> F + Send,
{
    fn begin(self: Pin<&mut Self>, cell: CellRef<S>, incarnation: u32, lent: Lent<S>) {
        let mut this = self.project();
        this.present.set((this.make)(cell, incarnation, lent));
    }
}

/// The first loop of an allocation.
fn first_loop<S: GenServer>(cell: CellRef<S>, incarnation: u32, lent: Lent<S>) -> Body<S> {
    let make = crate::run::run::<S>;
    Box::pin(LoopSlot { make, present: make(cell, incarnation, lent) })
}

/// The loop of a stand-in.
fn stage<S: GenServer>(cell: CellRef<S>, incarnation: u32, lent: Lent<S>, casting: &Casting<S>) -> Body<S> {
    let casting = Arc::clone(casting);
    let make =
        move |cell, incarnation, lent| stand_in::perform::<S>(cell, incarnation, lent, Arc::clone(&casting));
    let present = make(cell, incarnation, lent);
    Box::pin(LoopSlot { make, present })
}

#[expect(unsafe_code, reason = "see the invariant (seat)")]
// SAFETY: desk and body are handed from thread to thread with RUN (invariant (seat)); all that lies in them is Send.
unsafe impl<S: GenServer> Sync for Executor<S> {}

/// A runtime, and the task there once it has been polled.
pub(crate) struct RuntimeBinding {
    pub(crate) rt: Arc<Rt>,
    task: OnceLock<Waker>,
    /// The task was dropped: its runtime has shut down.
    gone: AtomicBool,
}

impl RuntimeBinding {
    fn new(rt: Arc<Rt>) -> Self {
        Self { rt, task: OnceLock::new(), gone: AtomicBool::new(false) }
    }
}

/// What few mailboxes have.
struct Cold<S: GenServer> {
    /// The runtime and task that serve it now, where it has moved to another runtime since.
    moved: OnceLock<Mutex<Arc<RuntimeBinding>>>,
    /// Who decides whether another incarnation comes, where somebody does.
    keeper: OnceLock<Mutex<Option<Weak<dyn Keeper<S>>>>>,
    /// The task is to begin the next incarnation.
    again: AtomicBool,
    /// The threads that it runs on, where it does not run on the runtime's: until the mailbox is closed and nobody reads it.
    threads: Mutex<Option<ThreadPool>>,
    /// An incarnation that was killed between its keeper's word and its lease.
    doomed: Mutex<Option<Box<(u32, ExitReason)>>>,
    /// What operators have asked of it, where any has.
    sys: OnceLock<Box<SysRequests<S>>>,
    /// Who plays its incarnations, where that is not the server itself.
    casting: OnceLock<Casting<S>>,
}

impl<S: GenServer> Default for Cold<S> {
    fn default() -> Self {
        Self {
            moved: OnceLock::new(),
            keeper: OnceLock::new(),
            again: AtomicBool::new(false),
            threads: Mutex::new(None),
            doomed: Mutex::new(None),
            sys: OnceLock::new(),
            casting: OnceLock::new(),
        }
    }
}

/// What the loop and its runners tell each other, under RUN.
#[expect(clippy::struct_excessive_bools, reason = "each is looked at by itself, on the hot path")]
pub(crate) struct TurnState<S: GenServer> {
    /// The call that a caller brought along.
    pub(crate) inline: Option<Message<S>>,
    /// Messages left in this turn; 0 between two events: it is over, whatever else waits.
    pub(crate) left: u16,
    /// Messages of the next turn on the runtime's workers.
    turn: u8,
    /// How often this turn may still be made longer by [`turns::MORE`] messages.
    longer: u8,
    /// Whether senders who wait for room are left to the next turn.
    patience: Patience,
    /// The future is in the middle of something (rather than waiting for the next message).
    pub(crate) mid: bool,
    /// The middle of something is a selective receive, which wants to be woken by data.
    pub(crate) listening: bool,
    /// This poll is a caller's.
    pub(crate) by_caller: bool,
    /// The incarnation was killed: `terminate` does not run.
    pub(crate) killed: bool,
    /// The server is suspended: nothing but orders is to wake it.
    pub(crate) held: bool,
    /// This poll leaves the span of the message in hand in the end, if it has one.
    pub(crate) spans: bool,
    /// Which handler it was that was last seen half done (some bits of what tells it from others).
    half: u32,
    /// When this turn first looked at the clock (the low bits of coarse ms, which last for longer than a turn); 0: not yet.
    began: u16,
    /// When this turn first looked at the clock, in microseconds (their low bits).
    began_us: u16,
    /// How long handlers take, by sample.
    pace: Pace,
    /// The runtime that has been asked for a look at idle buffers, by some bits of its name; 0: none.
    watched: u16,
    /// Who waits for `init`'s result, or that result.
    pub(crate) start: Option<StartSender>,
    pub(crate) started: Option<Started>,
    /// How the loop ended.
    pub(crate) exit: Option<Box<Exit>>,
    /// Where the message in hand has a policy: that, and what it needs.
    pub(crate) retry: Option<Box<Retry<S>>>,
}

/// Why an incarnation cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoLease {
    /// The mailbox's keeper says no.
    Refused,
    Closed,
    /// Another one reads.
    Taken,
}

/// What became of `init`; why is in the exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Started {
    Yes,
    Ignored,
    Stopped,
}

impl<S: GenServer> TurnState<S> {
    /// What a starter hears.
    fn outcome(&self) -> Outcome {
        match self.started {
            Some(Started::Yes) => Outcome::Started,
            Some(Started::Ignored) => Outcome::Ignored,
            _ => Outcome::Stopped(self.exit.as_ref().map_or(ExitReason::Killed, |e| e.reason.clone())),
        }
    }

    /// Whether this turn has looked at the clock, and at timers where there are some.
    #[inline(always)]
    pub(crate) fn has_looked(&self) -> bool {
        self.began != 0
    }

    /// Whether the turn, which ends now, has been quick since its first look at the clock.
    fn was_quick(&self) -> bool {
        self.has_looked()
            && clock::coarse_ms_u16().wrapping_sub(self.began) <= 1
            && clock::micros_u16().wrapping_sub(self.began_us) < turns::QUICK_TURN_US
    }

    /// Whether the turn has lasted long, or timers want to be looked at.
    #[cold]
    pub(crate) fn must_look(&mut self, timed: bool) -> bool {
        let now = clock::coarse_ms_u16();
        if self.began == 0 {
            self.began = now;
            self.began_us = clock::micros_u16();
            return timed;
        }
        if self.left == LOOK
            && self.longer > 0
            && clock::micros_u16().wrapping_sub(self.began_us) < turns::QUICK_US
        {
            self.longer -= 1;
            self.left += turns::MORE;
        }
        if now.wrapping_sub(self.began) > TURN_MS {
            self.left = 0;
            return true;
        }
        timed
    }
}

/// A cell that is kept alive by whoever polls the future that holds this.
///
/// INVARIANT: it only exists in a future that lies in that very cell's seat.
pub(crate) struct CellRef<S: GenServer>(ManuallyDrop<Arc<Cell<S>>>);

impl<S: GenServer> Deref for CellRef<S> {
    type Target = Arc<Cell<S>>;
    #[inline(always)]
    fn deref(&self) -> &Arc<Cell<S>> {
        &self.0
    }
}

#[expect(unsafe_code, reason = "a copy of a pointer that owns nothing")]
impl<S: GenServer> CellRef<S> {
    /// # Safety
    /// The invariant is upheld.
    unsafe fn new(cell: &Arc<Cell<S>>) -> Self {
        // SAFETY: the copy is never dropped, so the count stays right; it is used only while the cell lives (invariant).
        Self(ManuallyDrop::new(unsafe { Arc::from_raw(Arc::as_ptr(cell)) }))
    }

    /// One for the loop that is being polled here.
    ///
    /// # Safety
    /// Called from within a poll of the loop of an `S`, for that loop.
    pub(crate) unsafe fn polled_here() -> Self {
        // SAFETY: a frame's pointer is that of the cell's `Arc`, which lives while it is polled; the copy is never dropped.
        Self(ManuallyDrop::new(unsafe { Arc::from_raw(frame::cell().cast()) }))
    }

    /// Whether the loop of this cell is the one that is being polled here: only then is there a cell for sure, and only then
    /// its RUN is held by whoever asks.
    #[inline(always)]
    pub(crate) fn is_polled_here(&self) -> bool {
        std::ptr::eq(frame::cell(), Arc::as_ptr(&self.0).cast())
    }

    /// Whether the loop of this cell is the one that is being polled here, and has lent its context from this address.
    #[inline(always)]
    pub(crate) fn has_lent(&self, context: usize) -> bool {
        frame::has_lent(Arc::as_ptr(&self.0).cast(), context)
    }

    /// Another one, for the same future.
    pub(crate) fn again(&self) -> Self {
        // SAFETY: it stays in the same future.
        unsafe { Self::new(&self.0) }
    }

    /// What the loop and its runners tell each other. For the loop, which only runs while it is polled, that is under RUN.
    #[inline(always)]
    pub(crate) fn turn_state<R>(&self, f: impl FnOnce(&mut TurnState<S>) -> R) -> R {
        // SAFETY: called from within a poll of the loop, so RUN is held by whoever polls; the closure does not call back.
        f(unsafe { &mut *self.0.runner.turn_state.get() })
    }

    /// The desk and the reader's half of the mailbox.
    #[inline(always)]
    pub(crate) fn both<R>(&self, f: impl FnOnce(&mut TurnState<S>, &mut Own<Message<S>>) -> R) -> R {
        // SAFETY: as in `desk`.
        let turn_state = unsafe { &mut *self.0.runner.turn_state.get() };
        // SAFETY: as in `desk`.
        let own = unsafe { self.0.word().running() };
        f(turn_state, own)
    }
}

/// A cell for a server of type `S` that nobody serves yet. `bits` are those of a fresh start, or none.
pub(crate) fn new_cell<S: GenServer>(
    settings: NewCell<S>,
    bits: u32,
    owned: bool,
    binding: Option<Arc<Rt>>,
) -> Arc<Cell<S>> {
    let seat = Executor {
        binding: binding.map_or_else(OnceLock::new, |rt| OnceLock::from(RuntimeBinding::new(rt))),
        cold: OnceLock::new(),
        current: CurrentMessage::new(Phase::Init),
        half_since: AtomicU32::new(0),
        trapping: AtomicBool::new(false),
        never_inline: AtomicBool::new(false),
        owned: AtomicBool::new(owned),
        turn_state: UnsafeCell::new(TurnState {
            inline: None,
            left: 0,
            turn: TURN,
            longer: 0,
            patience: Patience::default(),
            mid: true,
            listening: false,
            by_caller: false,
            killed: false,
            held: false,
            half: 0,
            spans: false,
            began: 0,
            began_us: 0,
            pace: Pace::default(),
            watched: 0,
            start: None,
            started: None,
            exit: None,
            retry: None,
        }),
        body: UnsafeCell::new(None),
    };
    match settings {
        NewCell::Plain(capacity) => Arc::new(MailCell::plain(capacity, bits, seat)),
        NewCell::With(settings) => Arc::new(MailCell::new(*settings, bits, seat)),
    }
}

/// What a new cell is made from.
pub(crate) enum NewCell<S: GenServer> {
    /// The default settings, but for the capacity.
    Plain(Option<usize>),
    /// These settings.
    With(Box<Settings<Message<S>>>),
}

/// Milliseconds that a turn lasts at most, once it looks at the clock.
const TURN_MS: u16 = if cfg!(shuttle) { u16::MAX } else { 8 };
/// Messages that a fresh server may handle on its starter's stack, after `init`.
const FIRST_TURN: u16 = 15;
/// Handlers that take longer than this are not run by callers.
const SLOW: std::time::Duration =
    if cfg!(shuttle) { std::time::Duration::MAX } else { std::time::Duration::from_micros(2) };

#[expect(unsafe_code, reason = "RUN is the right to touch turn_state and body")]
impl<S: GenServer> Executor<S> {
    /// Polls the loop once. RUN is held.
    #[inline(always)]
    fn poll(cell: &Arc<Cell<S>>, inline: Option<SlotPtr>) -> Poll<()> {
        if watchdog::is_on() || cell.word().bits() & word::SYS != 0 {
            return Self::poll_watched(cell, inline);
        }
        Self::poll_as(cell, inline, |body, cx| body.as_mut().poll(cx))
    }

    /// The same, where somebody watches: seen by a watchdog, and inside the span of the message in hand.
    #[cold]
    #[inline(never)]
    fn poll_watched(cell: &Arc<Cell<S>>, inline: Option<SlotPtr>) -> Poll<()> {
        let _posted =
            watchdog::is_on().then(|| watchdog::post(Some(Arc::clone(cell) as Arc<dyn watchdog::Watched>)));
        Self::poll_as(cell, inline, |body, cx| {
            let requests = cell.runner.requests();
            requests.inspect(|requests| requests.with_span(trace::enter));
            // SAFETY: RUN is held, and the loop is not being polled yet.
            unsafe { cell.runner.turn_state() }.spans = true;
            let polled = body.as_mut().poll(cx);
            // SAFETY: RUN is held, and the loop is not being polled any more.
            unsafe { cell.runner.turn_state() }.spans = false;
            cell.runner.requests().inspect(|requests| requests.with_span(trace::exit));
            polled
        })
    }

    /// The same by way of `poll`.
    #[inline(always)]
    fn poll_as(
        cell: &Arc<Cell<S>>,
        inline: Option<SlotPtr>,
        poll: impl FnOnce(&mut Body<S>, &mut Cx<'_>) -> Poll<()>,
    ) -> Poll<()> {
        // SAFETY: RUN is held, so this is the only reference.
        let Some(body) = (unsafe { (*cell.runner.body.get()).as_mut() }) else { return Poll::Ready(()) };
        // SAFETY: the count that this would own is not ours, so neither the Arc nor the waker made of it is ever dropped.
        let waker = ManuallyDrop::new(Waker::from(unsafe { Arc::from_raw(Arc::as_ptr(cell)) }));
        let mut cx = Cx::from_waker(&waker);
        frame::enter(Arc::as_ptr(cell).cast(), std::any::type_name::<S>(), inline, || {
            // The callbacks have a net of their own. This one is for what else may run (a tracing subscriber, say): RUN must
            // be given up whatever happens.
            match catch_unwind(AssertUnwindSafe(|| poll(body, &mut cx))) {
                Ok(polled) => polled,
                Err(payload) => {
                    let reason = ExitReason::from_panic(payload);
                    Self::break_off(cell, &reason);
                    Poll::Ready(())
                }
            }
        })
    }

    /// Drops the loop, if there is one. RUN is held.
    fn clear(cell: &Arc<Cell<S>>) {
        // SAFETY: RUN is held.
        unsafe { *cell.runner.body.get() = None };
    }

    /// Drops the loop in the middle of what it does, without `terminate`. RUN is held, and the cell's frame is on top.
    #[cold]
    fn break_off(cell: &Arc<Cell<S>>, reason: &ExitReason) {
        // SAFETY: RUN is held.
        let turn_state = unsafe { cell.runner.turn_state() };
        // SAFETY: RUN is held.
        let own = unsafe { cell.word().running() };
        let (phase, hand) = cell.runner.current.get();
        let phase = if turn_state.mid { phase } else { Phase::Idle };
        let exit = match turn_state.exit.take() {
            // It was ending already, and has been broken off in `terminate`.
            Some(before) => Exit::of_terminate(reason.clone(), *before),
            None => Exit::new(reason.clone(), phase, own.in_hand.then_some(hand), cell.incarnation()),
        };
        turn_state.exit = Some(Box::new(exit));
        let left = in_hand::crashed(cell, turn_state, own);
        let span = cell.runner.requests().and_then(SysRequests::take_span);
        // (Where the poll was cut short its span is still open.)
        let opened = std::mem::take(&mut turn_state.spans);
        drop_quietly(Clear(|| Self::clear(cell)));
        drop_quietly(Clear(|| span.as_deref().filter(|_| opened).into_iter().for_each(trace::exit)));
        drop_quietly(span);
        quiet::run("the end of a message in hand", || left.clear_away(cell, reason));
        for slot in frame::take_orphans() {
            quiet::run("a caller's waker", || slot.fail(Some(reason.clone())));
        }
    }

    /// The desk. RUN is held.
    #[expect(clippy::mut_from_ref, reason = "RUN is the exclusive borrow")]
    #[inline(always)]
    unsafe fn turn_state(&self) -> &mut TurnState<S> {
        // SAFETY: invariant (seat), upheld by the caller.
        unsafe { &mut *self.turn_state.get() }
    }

    /// Gives RUN up after a poll, waking the task where that is called for.
    #[inline(always)]
    fn leave(cell: &Arc<Cell<S>>) {
        let kept = Self::kept(cell);
        // SAFETY: RUN is held by the caller, who hands it over; what was lent of the reader's half has been used.
        unsafe { cell.leave(kept) };
    }

    /// The same after a turn of the task itself. Where more is to be done, on a worker of the runtime, others have their turns
    /// first, and the driver: see [`turns`].
    #[inline(always)]
    fn leave_turn(cell: &Arc<Cell<S>>, cx: &Cx<'_>, on_worker: bool) {
        let kept = Self::kept(cell);
        // SAFETY: RUN is still held.
        let turn_state = unsafe { cell.runner.turn_state() };
        if !on_worker || turn_state.left != 0 || turn_state.mid {
            // SAFETY: as in `leave`.
            return unsafe { cell.leave(kept) };
        }
        Self::end_turn(cell, kept, cx);
    }

    #[cold]
    #[inline(never)]
    fn end_turn(cell: &Arc<Cell<S>>, kept: u32, cx: &Cx<'_>) {
        // SAFETY: RUN is still held.
        let turn_state = unsafe { cell.runner.turn_state() };
        let end = turns::end();
        turn_state.turn = end.turn;
        let quick = turn_state.was_quick();
        let senders = turn_state.patience.senders(cell.word().bits() & word::WAIT != 0, quick);
        // SAFETY: as in `leave`.
        if unsafe { cell.leave_owing(kept, senders) } {
            if end.deferred {
                turns::defer(cx.waker());
            } else {
                cell.runner.schedule(cell);
            }
        }
    }

    /// What a poll leaves behind, as bits of the word. RUN is held.
    #[inline(always)]
    fn kept(cell: &Arc<Cell<S>>) -> u32 {
        // SAFETY: RUN is still held.
        let turn_state = unsafe { cell.runner.turn_state() };
        if turn_state.mid {
            Self::half_done(cell, turn_state);
            if cell.word().bits() & word::HOLD != 0 {
                // That handler is waited for now: orders need not wake it.
                cell.word().change(0, word::HOLD);
            }
            if turn_state.listening { word::HALF } else { word::HALF | word::PEND }
        } else if turn_state.held {
            word::HALF | word::PEND
        } else {
            // SAFETY: RUN is still held.
            let own = unsafe { cell.word().running() };
            // Rule 4 of core's `word`: what was taken and not handled keeps callers out.
            match own.is_empty() {
                true => 0,
                // What waits out a back-off is nothing to wake up for, and lets no caller in either.
                false if cell.word().bits() & word::HOLD != 0 => word::HALF | word::PEND,
                false => word::DATA,
            }
        }
    }

    /// A handler goes on later: notes since when, once for each.
    #[expect(clippy::cast_possible_truncation, reason = "both halves are in it")]
    #[inline(never)]
    fn half_done(cell: &Arc<Cell<S>>, turn_state: &mut TurnState<S>) {
        let which = cell.runner.current.bits() ^ cell.handled_so_far().rotate_left(32);
        let which = (which ^ which >> 32) as u32;
        if std::mem::replace(&mut turn_state.half, which) != which {
            cell.runner.half_since.store(clock::coarse_ms_u32(), Ordering::Relaxed);
        }
    }

    /// The home that it has moved to, if it has.
    #[inline(always)]
    fn moved(&self) -> Option<&Mutex<Arc<RuntimeBinding>>> {
        self.cold.get().and_then(|cold| cold.moved.get())
    }

    /// The runtime that serves the mailbox, once one does.
    #[inline(always)]
    fn with_binding<R>(&self, f: impl FnOnce(&RuntimeBinding) -> R) -> Option<R> {
        if let Some(moved) = self.moved() {
            let binding = Arc::clone(&moved.lock().unwrap_or_else(PoisonError::into_inner));
            return Some(f(&binding));
        }
        self.binding.get().map(f)
    }

    /// The runtime that serves the mailbox, once one does.
    pub(crate) fn rt(&self) -> Option<Arc<Rt>> {
        self.with_binding(|h| Arc::clone(&h.rt))
    }

    /// Who keeps the mailbox served.
    pub(crate) fn keeper(&self) -> Option<Arc<dyn Keeper<S>>> {
        let keeper = self.cold.get()?.keeper.get()?;
        keeper.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()
    }

    /// Whether anybody has kept it.
    pub(crate) fn is_kept(&self) -> bool {
        let keeper = self.cold.get().and_then(|cold| cold.keeper.get());
        keeper.is_some_and(|keeper| keeper.lock().unwrap_or_else(PoisonError::into_inner).is_some())
    }

    /// Gives the mailbox a keeper, unless it has one.
    pub(crate) fn keep(&self, keeper: Weak<dyn Keeper<S>>) -> bool {
        let present = self.cold.get_or_init(Box::default).keeper.get_or_init(Mutex::default);
        let mut present = present.lock().unwrap_or_else(PoisonError::into_inner);
        let free = present.as_ref().is_none_or(|present| present.strong_count() == 0);
        if free {
            *present = Some(keeper);
        }
        free
    }

    /// The mailbox is nobody's again.
    pub(crate) fn let_go(&self) {
        if let Some(keeper) = self.cold.get().and_then(|cold| cold.keeper.get()) {
            *keeper.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// What operators have asked of it; `None`: nothing so far.
    pub(crate) fn requests(&self) -> Option<&SysRequests<S>> {
        self.cold.get()?.sys.get().map(|requests| &**requests)
    }

    /// The same, made if need be.
    pub(crate) fn wishes_or_new(&self) -> &SysRequests<S> {
        self.cold.get_or_init(Box::default).sys.get_or_init(Box::default)
    }

    /// Who plays its incarnations, where that is not the server itself.
    #[inline]
    pub(crate) fn casting(&self) -> Option<&Casting<S>> {
        self.cold.get()?.casting.get()
    }

    /// Has somebody else play its incarnations, from the next one on. False: somebody does already.
    pub(crate) fn cast(&self, casting: Casting<S>) -> bool {
        self.cold.get_or_init(Box::default).casting.set(casting).is_ok()
    }

    /// Whether a task of the runtime that serves it belongs to it.
    pub(crate) fn has_task(&self) -> bool {
        self.with_binding(|binding| binding.task.get().is_some() && !binding.gone.load(Ordering::Acquire))
            == Some(true)
    }

    /// From now on this runtime serves the mailbox.
    pub(crate) fn settle_in(&self, rt: Arc<Rt>) {
        match self.binding.get() {
            None => {
                let _ = self.binding.set(RuntimeBinding::new(rt));
            }
            Some(_)
                if self.with_binding(|h| Arc::ptr_eq(&h.rt, &rt) && !h.gone.load(Ordering::Acquire))
                    == Some(true) => {}
            Some(_) => {
                let binding = Arc::new(RuntimeBinding::new(rt));
                let moved = self
                    .cold
                    .get_or_init(Box::default)
                    .moved
                    .get_or_init(|| Mutex::new(Arc::clone(&binding)));
                let old =
                    std::mem::replace(&mut *moved.lock().unwrap_or_else(PoisonError::into_inner), binding);
                // The tasks that served it elsewhere find that they are done.
                for left in [old.task.get(), self.binding.get().and_then(|h| h.task.get())] {
                    left.map(quiet::wake_by_ref);
                }
            }
        }
    }

    /// The threads that it runs on, where it does not run on the runtime's.
    pub(crate) fn threads(&self) -> Option<ThreadPool> {
        self.cold.get()?.threads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on it runs on these threads, or (`None`) has none to hold on to.
    pub(crate) fn move_to(&self, threads: Option<ThreadPool>) {
        if threads.is_none() && self.cold.get().is_none() {
            return;
        }
        let place = &self.cold.get_or_init(Box::default).threads;
        let old = std::mem::replace(&mut *place.lock().unwrap_or_else(PoisonError::into_inner), threads);
        drop(old);
    }

    /// The runtime that it runs on counts as gone: no other incarnation can begin there.
    pub(crate) fn evict(&self) {
        self.with_binding(|binding| binding.gone.store(true, Ordering::Release));
    }

    /// Has the task, if there is one, look.
    pub(crate) fn wake_task(&self) {
        self.with_binding(|binding| binding.task.get().map(Waker::wake_by_ref));
    }

    /// What becomes of messages in hand from the next incarnation on. RUN is held.
    pub(crate) fn equip(cell: &Arc<Cell<S>>, rule: Rule<S>) {
        // SAFETY: RUN is held.
        let old = Retry::put_under(&mut unsafe { cell.runner.turn_state() }.retry, rule);
        quiet::discard("a message's copy", old);
    }

    /// Begins an incarnation on a cell that has a home and whose RUN and lease are held, and polls its loop for the first
    /// time if this thread is in the right runtime (`at_home`). Returns `init`'s result if it is there already; else `waiting` will be told.
    pub(crate) fn begin(
        cell: &Arc<Cell<S>>,
        incarnation: u32,
        lent: Lent<S>,
        at_home: bool,
        waiting: impl FnOnce() -> StartSender,
    ) -> Option<Outcome> {
        let held = Held(cell);
        let here = at_home && frame::has_room() && cell.runner.threads().is_none();
        Self::prepare(cell, incarnation, lent);
        let ended = here && Self::poll(cell, None).is_ready();
        held.done();
        // SAFETY: RUN is held.
        let turn_state = unsafe { cell.runner.turn_state() };
        if ended {
            let outcome = turn_state.outcome();
            if Self::finish(cell) {
                // Not on the starter's stack.
                Self::hand_over(cell);
            }
            return Some(outcome);
        }
        // Of a failure the starter hears when the incarnation has been cleaned away: `finish` tells.
        let started = (turn_state.started == Some(Started::Yes)).then_some(Outcome::Started);
        if started.is_none() {
            turn_state.start = Some(waiting());
        }
        if here {
            // What was queued before may have been passed over as expired, and no poll of the task need come.
            Self::watch_buffers(cell);
            Self::leave(cell);
        } else {
            Self::hand_over(cell);
        }
        started
    }

    /// Leaves a loop that nobody has polled yet to the task. RUN is given up.
    fn hand_over(cell: &Arc<Cell<S>>) {
        // The note makes leaving wake the task.
        cell.word().notify();
        Self::leave(cell);
    }

    /// Makes the loop of an incarnation. RUN and the lease are held.
    fn prepare(cell: &Arc<Cell<S>>, incarnation: u32, lent: Lent<S>) {
        {
            // SAFETY: RUN is held.
            let turn_state = unsafe { cell.runner.turn_state() };
            turn_state.inline = None;
            cell.runner.current.put_down(Phase::Init);
            turn_state.mid = true;
            turn_state.half = 0;
            if std::mem::take(&mut turn_state.held) {
                cell.word().change(0, word::HOLD);
            }
            turn_state.listening = false;
            turn_state.start = None;
            turn_state.started = None;
            turn_state.exit = None;
            turn_state.killed = false;
            // The starter is no caller: what `init` leads to may end on its stack.
            turn_state.by_caller = false;
            turn_state.left = FIRST_TURN;
        }
        if cell.runner.never_inline.load(Ordering::Relaxed) {
            cell.word().change(word::ASIDE, 0);
        }
        // Whoever wished for an incarnation by now has it.
        Self::is_due_again(cell);
        // SAFETY: the reference goes into the loop's future, which lies in this cell.
        let own = unsafe { CellRef::new(cell) };
        // SAFETY: RUN is held.
        match unsafe { &mut *cell.runner.body.get() } {
            place if cell.runner.casting().is_some() => {
                *place = cell.runner.casting().map(|casting| stage(own, incarnation, lent, casting));
            }
            // Of an incarnation that this one follows in the same breath.
            Some(last) => last.as_mut().begin(own, incarnation, lent),
            none => *none = Some(first_loop(own, incarnation, lent)),
        }
    }

    /// Takes the lease for the next incarnation, if the keeper (where there is one) lets it begin; else RUN, which is held,
    /// is given up. `first` is done just before.
    ///
    /// The keeper is asked before the lease is taken: one that is refused must not look to anybody as if it were there.
    /// (Nobody else can take the lease meanwhile, so the number is known.)
    pub(crate) fn lease(cell: &Arc<Cell<S>>, by: Beginner, first: impl FnOnce()) -> Result<u32, NoLease> {
        let last = cell.incarnation();
        let mut asked = false;
        let leased = if cell.is_closed() {
            Err(NoLease::Closed)
        } else if cell.runner.is_kept()
            && !cell
                .runner
                .keeper()
                .is_some_and(|keeper| quiet::run("a keeper", || keeper.begins(last + 1, by)).unwrap_or(false))
        {
            Err(NoLease::Refused)
        } else {
            asked = true;
            first();
            cell.lease().map_err(|e| match e {
                LeaseError::Closed => NoLease::Closed,
                _ => NoLease::Taken,
            })
        };
        let why = match leased {
            Ok(incarnation) => {
                if let Some(doomed) = cell.runner.doom(None)
                    && doomed.0 == incarnation
                {
                    cell.kill_incarnation(Some(incarnation), doomed.1);
                }
                return leased;
            }
            Err(why) => why,
        };
        // SAFETY: RUN is held by the caller, who hands it over.
        unsafe { cell.leave_quietly() };
        if why == NoLease::Closed && (asked || by == Beginner::Task) {
            Self::tell_closed(cell, last + u32::from(asked));
        }
        Err(why)
    }

    /// Kills an incarnation that has the lease, or that its keeper has just promised: it will have it in a moment. False: it
    /// is over, or never comes.
    pub(crate) fn kill_kept(cell: &Arc<Cell<S>>, incarnation: u32, reason: &ExitReason) -> bool {
        let mut spin = restante_core::sync::Spin::default();
        loop {
            if cell.kill_incarnation(Some(incarnation), reason.clone()) {
                return true;
            }
            if cell.incarnation() > incarnation {
                return false;
            }
            if !cell.is_leased() {
                break;
            }
            // It has begun this very moment; or the keeper has just said that it goes on ([`Verdict::Again`]), and another
            // thread renews the lease right now.
            spin.wait();
        }
        drop(cell.runner.doom(Some(Box::new((incarnation, reason.clone())))));
        // It may have taken the lease in between; else, if it is still to come, it finds the note when it does.
        cell.kill_incarnation(Some(incarnation), reason.clone())
    }

    /// Replaces the note of an incarnation that is to end as soon as it has begun.
    fn doom(&self, doomed: Option<Box<(u32, ExitReason)>>) -> Option<Box<(u32, ExitReason)>> {
        let cold = self.cold.get()?;
        std::mem::replace(&mut *cold.doomed.lock().unwrap_or_else(PoisonError::into_inner), doomed)
    }

    /// Tells the keeper that no other incarnation can come.
    #[cold]
    fn tell_closed(cell: &Arc<Cell<S>>, incarnation: u32) {
        if let Some(keeper) = cell.runner.keeper() {
            let reason = cell.closed_reason().unwrap_or(ExitReason::Normal);
            let exit = Exit::new(reason, Phase::Init, None, incarnation);
            Self::settle(Self::told(&*keeper, &End::new(exit, true)));
        }
    }

    /// Wakes the task, to begin the next incarnation of a kept mailbox.
    pub(crate) fn again_later(cell: &Arc<Cell<S>>) {
        let Some(cold) = cell.runner.cold.get() else { return };
        // An exchange, as where it is taken back: either the task of a closed mailbox, about to be done for good, sees the
        // wish, or the close is seen here.
        cold.again.swap(true, Ordering::AcqRel);
        if cell.word().bits_acquire() & (word::CLOSED | word::LEASED) != word::CLOSED {
            cell.runner.schedule(cell);
        } else if Self::is_due_again(cell) {
            Self::tell_closed(cell, cell.incarnation());
        }
    }

    /// Begins the next incarnation on the mailbox's own task, if the keeper will have it. True: RUN is held, and the loop
    /// waits to be polled.
    fn renew(cell: &Arc<Cell<S>>) -> bool {
        let Some(keeper) = cell.runner.keeper() else { return false };
        let mut spin = restante_core::sync::Spin::default();
        // (Held for a look, or by a starter who comes first.)
        while !cell.word().enter_quietly() {
            if cell.is_leased() {
                return false;
            }
            spin.wait();
        }
        let Ok(incarnation) = Self::lease(cell, Beginner::Task, || {}) else { return false };
        Self::prepare(cell, incarnation, Lent::Kept(keeper));
        true
    }

    /// An incarnation that the task has begun is still in `init`: it has so long. RUN is held.
    #[cold]
    fn watch_start(cell: &Arc<Cell<S>>) {
        // SAFETY: RUN is held.
        let turn_state = unsafe { cell.runner.turn_state() };
        if cell.runner.current.phase() != Phase::Init
            || turn_state.started.is_some()
            || turn_state.start.is_some()
        {
            return;
        }
        let limit = cell.runner.keeper().and_then(|keeper| quiet::run("a keeper", || keeper.start_timeout()));
        let limit = limit.unwrap_or(std::time::Duration::MAX);
        let Some(rt) = cell.runner.rt() else { return };
        let (tell, mut told) = tokio::sync::oneshot::channel();
        turn_state.start = Some(tell);
        let (weak, incarnation) = (Arc::downgrade(cell), cell.incarnation());
        rt.handle.spawn(async move {
            if restante_core::alarm::at_most(limit, &mut told).await.is_none()
                && let Some(cell) = weak.upgrade()
            {
                let late = ExitReason::error("init did not end within the time allowed");
                cell.kill_incarnation(Some(incarnation), late);
            }
        });
    }

    /// Runs a call on the caller's own stack, if the server is idle and all else allows it; else gives it back.
    #[inline(always)]
    pub(crate) fn run_inline(
        cell: &Arc<Cell<S>>,
        message: Message<S>,
        slot: SlotPtr,
        rt: Option<&Arc<Rt>>,
    ) -> Result<(), Message<S>> {
        if !frame::has_room() || !cell.word().enter_idle() {
            return Err(message);
        }
        let binding = cell.runner.moved().is_none().then(|| cell.runner.binding.get()).flatten();
        // A handler that spawns or sleeps must do so in its own runtime: elsewhere the mailbox is the way.
        let here = match (binding, rt) {
            (Some(binding), None) => binding.rt.is_entered(),
            (Some(binding), Some(rt)) => Arc::ptr_eq(&binding.rt, rt),
            (None, _) => false,
        };
        if !here {
            Self::leave(cell);
            return Err(message);
        }
        // SAFETY: RUN is held since `enter_idle`.
        let turn_state = unsafe { cell.runner.turn_state() };
        turn_state.inline = Some(message);
        turn_state.by_caller = true;
        turn_state.left = 1;
        let timed = turn_state.pace.tick().then(std::time::Instant::now);
        cell.came_inline();
        if Self::poll(cell, Some(slot)).is_ready() {
            // It broke off: see `poll`. (A loop that ends in order waits for its own task.)
            if Self::finish(cell) {
                Self::hand_over(cell);
            }
            return Ok(());
        }
        if let Some(began) = timed {
            // SAFETY: RUN is held until `leave`, and the poll has returned.
            let turn_state = unsafe { cell.runner.turn_state() };
            if turn_state.pace.took(began.elapsed() > SLOW) {
                // Two callers that could run beside each other must not run after each other for a slow handler's sake.
                cell.word().change(word::ASIDE, 0);
            }
        }
        Self::leave(cell);
        Ok(())
    }

    /// One poll of the server's own task: a turn of at most so many messages; on a runtime's worker (`None`) of as many as
    /// were agreed upon at the end of the last one.
    fn poll_task(cell: &Arc<Cell<S>>, cx: &mut Cx<'_>, turn: Option<u16>) -> Poll<()> {
        // Before anything else: whoever finds no task spawns one.
        cell.runner.with_binding(|binding| {
            if binding.task.get().is_none() {
                let _ = binding.task.set(cx.waker().clone());
            }
        });
        // SAFETY: this poll has no reference to the reader's half yet.
        let entered = unsafe { cell.enter_and_refill() };
        let mut renewed = 0;
        if cell.word().bits() & word::LEASED == 0 {
            // Between two incarnations. Whoever else holds RUN now only looks, or is a starter who may be refused: the note
            // that was left there is for an incarnation, and wakes nobody who wants to begin one.
            if entered {
                // SAFETY: RUN has just been taken.
                unsafe { cell.leave_quietly() };
            }
            if !Self::is_due_again(cell) || !Self::renew(cell) {
                return Self::between(cell);
            }
            renewed += 1;
        } else if !entered {
            return Poll::Pending;
        }
        loop {
            let held = Held(cell);
            let polled = Self::poll_turn(cell, turn);
            held.done();
            if polled.is_pending() {
                break;
            }
            if !Self::finish(cell) {
                return Self::between(cell);
            }
            if renewed == RENEWALS {
                // Others want to be polled as well.
                cell.word().notify();
                match turn {
                    None => Self::end_turn(cell, Self::kept(cell), cx),
                    Some(_) => Self::leave(cell),
                }
                return Poll::Pending;
            }
            renewed += 1;
        }
        let held = Held(cell);
        if renewed > 0 {
            Self::watch_start(cell);
        }
        Self::watch_buffers(cell);
        held.done();
        Self::leave_turn(cell, cx, turn.is_none());
        Poll::Pending
    }

    /// A turn on the server's own task. RUN and the lease are held.
    #[inline(always)]
    fn poll_turn(cell: &Arc<Cell<S>>, turn: Option<u16>) -> Poll<()> {
        {
            // SAFETY: RUN is held.
            let turn_state = unsafe { cell.runner.turn_state() };
            turn_state.left = turn.unwrap_or(turn_state.turn.into());
            turn_state.longer = if turn.is_none() { turns::LONGER } else { 0 };
            turn_state.began = 0;
            turn_state.by_caller = false;
            if turn_state.pace.tick()
                && cell.word().bits() & word::ASIDE != 0
                && !cell.runner.never_inline.load(Ordering::Relaxed)
            {
                // Slow once is not slow for ever: the next caller may try again.
                cell.word().change(0, word::ASIDE);
            }
        }
        Self::poll(cell, None)
    }

    /// A poll of the task has unwound, and [`Held`] has ended the incarnation.
    #[cold]
    fn unwound(cell: &Arc<Cell<S>>, payload: Box<dyn std::any::Any + Send>) -> Poll<()> {
        let reason = ExitReason::from_panic(payload);
        quiet::run("a subscriber", || {
            tracing::error!(server = std::any::type_name::<S>(), %reason, "a server's task panicked outside of its callbacks");
        });
        Self::between(cell)
    }

    /// Whether the task has been told to begin the next incarnation.
    fn is_due_again(cell: &Arc<Cell<S>>) -> bool {
        cell.runner.cold.get().is_some_and(|cold| cold.again.swap(false, Ordering::AcqRel))
    }

    /// The task of a mailbox that will never be served again is done.
    fn between(cell: &Arc<Cell<S>>) -> Poll<()> {
        if cell.word().bits_acquire() & (word::CLOSED | word::LEASED) != word::CLOSED {
            return Poll::Pending;
        }
        if Self::is_due_again(cell) {
            Self::tell_closed(cell, cell.incarnation());
        }
        Poll::Ready(())
    }

    /// The loop has ended. RUN is held, and given up; unless whoever keeps the mailbox wants it served on (true): then it is
    /// still held, and the next incarnation's loop waits to be polled.
    fn finish(cell: &Arc<Cell<S>>) -> bool {
        crate::cycle::ended(cell.link_id());
        // SAFETY: RUN is held.
        let turn_state = unsafe { cell.runner.turn_state() };
        let exit = turn_state.exit.take().map_or_else(
            || Exit::new(ExitReason::Killed, cell.runner.current.phase(), None, cell.incarnation()),
            |exit| *exit,
        );
        let sender = turn_state.start.take();
        let ignored = turn_state.started.take() == Some(Started::Ignored);
        let told = sender
            .as_ref()
            .map(|_| if ignored { Outcome::Ignored } else { Outcome::Stopped(exit.reason.clone()) });
        turn_state.mid = true;
        // Killed before it got to the call that its caller had brought along.
        let brought = turn_state.inline.take().map(|message| (message, exit.reason.clone()));
        if brought.is_some() {
            cell.count(Fate::Failed, 1);
        }
        cell.runner.trapping.store(false, Ordering::Relaxed);
        let owned = cell.runner.owned.load(Ordering::Relaxed);
        let keeper = cell.runner.keeper();
        let (renewed, exit, verdict) = match &keeper {
            Some(keeper) => {
                let orphaned =
                    cell.runner.with_binding(|binding| binding.gone.load(Ordering::Acquire)) == Some(true);
                match Self::ask(cell, &**keeper, End { exit, ignored, closed: cell.is_closed(), orphaned }) {
                    Ok(incarnation) => (Some(incarnation), None, None),
                    Err((exit, verdict)) => (None, Some(exit), Some(verdict)),
                }
            }
            None => (None, Some(exit), None),
        };
        let mut settled = None;
        if renewed.is_none() {
            Self::clear(cell);
            // SAFETY: RUN is held and no reference to the reader's half is alive.
            let permit = unsafe { RunGuard::assume(cell) };
            cell.end_lease_and(permit, exit, owned, |give_back| {
                settled = verdict.and_then(|verdict| Self::note(verdict, give_back));
            });
        }
        if let Some((message, reason)) = brought {
            // It was in hand in all but name: as without a policy, its caller hears why, and it goes nowhere else.
            quiet::run("a caller's waker", || cell.runner.on_dead(&message, &DeadCause::InHand(reason)));
            drop_quietly(message);
        }
        if let Some(settle) = settled {
            quiet::run("a keeper", settle);
        }
        let again = renewed.is_some();
        if let (Some(incarnation), Some(keeper)) = (renewed, keeper) {
            Self::prepare(cell, incarnation, Lent::Kept(keeper));
        }
        // After the keeper: who hears of a failed start may ask that one to start it again.
        if let (Some(sender), Some(told)) = (sender, told) {
            quiet::run("a starter's waker", || drop(sender.send(told)));
        }
        again
    }

    /// Tells the keeper of an end, and renews the lease if another incarnation is to come: its number. Else the exit comes
    /// back, with what the keeper said. RUN is held.
    fn ask(cell: &Arc<Cell<S>>, keeper: &dyn Keeper<S>, end: End) -> Result<u32, (Exit, Verdict)> {
        let verdict = Self::told(keeper, &end);
        if !matches!(verdict, Verdict::Again) {
            return Err((end.exit, verdict));
        }
        // SAFETY: RUN is held.
        let own = unsafe { cell.word().running() };
        cell.renew_lease(own, end.exit).map_err(|exit| {
            // Closed this very moment: the next incarnation, which the keeper counts on, is over already.
            let never = Exit::new(exit.reason.clone(), Phase::Init, None, exit.incarnation + 1);
            let verdict = Self::told(keeper, &End::new(never, true));
            (exit, verdict)
        })
    }

    /// What the keeper says to an end. One that panics, against its word, has nothing more to say.
    fn told(keeper: &dyn Keeper<S>, end: &End) -> Verdict {
        quiet::run("a keeper", || keeper.ended(end)).unwrap_or(Verdict::Leave(None))
    }

    /// Has a keeper note an end and give the lease back in one step; what is left to do when all have been told.
    fn note(verdict: Verdict, give_back: &mut dyn FnMut()) -> Option<Settle> {
        match verdict {
            Verdict::Leave(Some(note)) => quiet::run("a keeper", || note(give_back)).flatten(),
            Verdict::Leave(None) | Verdict::Again => None,
        }
    }

    /// Does what a keeper has left to do, for an end without a lease.
    fn settle(verdict: Verdict) {
        if let Some(settle) = Self::note(verdict, &mut || ()) {
            quiet::run("a keeper", settle);
        }
    }

    /// The runtime has dropped the task, or cannot be spawned on: ends the incarnation here and now, if RUN can be had;
    /// whoever has it sees ORPHAN when it leaves.
    fn abandon(cell: &Arc<Cell<S>>) {
        // (Looked at first: mostly there is nothing to end, and then nobody need be waited for.)
        if cell.word().bits_acquire() & word::LEASED == 0 || !cell.word().orphan() {
            return;
        }
        // What its state keeps may be the last of other servers, which end in the same way.
        later::in_turn(cell, Self::abandon_now);
    }

    fn abandon_now(cell: &Arc<Cell<S>>) {
        if !cell.word().enter_quietly() {
            return;
        }
        if cell.word().bits_acquire() & (word::LEASED | word::ORPHAN) != word::LEASED | word::ORPHAN {
            // Somebody else has done it.
            // SAFETY: RUN has just been taken.
            unsafe { cell.leave_quietly() };
            return;
        }
        // By a kill: what lies in the loop goes piece by piece, each under a net of its own.
        cell.kill(ExitReason::Killed);
        // SAFETY: RUN is held.
        unsafe { cell.runner.turn_state() }.by_caller = false;
        if Self::poll(cell, None).is_pending() {
            frame::enter(Arc::as_ptr(cell).cast(), std::any::type_name::<S>(), None, || {
                Self::break_off(cell, &ExitReason::Killed);
            });
        }
        quiet::run("a subscriber", || {
            tracing::warn!(server = std::any::type_name::<S>(), "the runtime ended under a server");
        });
        Self::finish(cell);
    }

    /// Buffers that a burst has left behind are given back once the server has been idle for a tick.
    #[inline]
    fn watch_buffers(cell: &Arc<Cell<S>>) {
        // SAFETY: RUN is held.
        let own = unsafe { cell.word().running() };
        if cell.batch_bytes(own) > FAT {
            Self::watch_fat_buffers(cell);
        }
    }

    #[cold]
    fn watch_fat_buffers(cell: &Arc<Cell<S>>) {
        // SAFETY: RUN is held.
        let turn_state = unsafe { cell.runner.turn_state() };
        // (A runtime that has ended looks no more: the next one is asked anew.)
        let name = cell.runner.with_binding(|binding| binding.rt.name()).unwrap_or_default();
        let name = u16::try_from(name % u32::from(u16::MAX)).unwrap_or_default() + 1;
        if turn_state.watched == name {
            return;
        }
        let Some(rt) = cell.runner.rt() else { return };
        turn_state.watched = name;
        let weak = Arc::downgrade(cell);
        let mut seen = 0;
        rt.watch_fat(Box::new(move || {
            let Some(cell) = weak.upgrade() else { return true };
            let handled = cell.stats().ledger.handled;
            let quiet = std::mem::replace(&mut seen, handled) == handled;
            if !quiet || !cell.word().enter_quietly() {
                return false;
            }
            // SAFETY: RUN has just been taken.
            let own = unsafe { cell.word().running() };
            cell.shrink(own);
            // SAFETY: RUN is held.
            let watched = &mut unsafe { cell.runner.turn_state() }.watched;
            if *watched == name {
                *watched = 0;
            }
            // SAFETY: RUN is held, and what was lent under it has been used.
            unsafe { cell.leave_quietly() };
            true
        }));
    }
}

/// RUN, held without a net by code of ours from which nothing unwinds. Should something all the same, this is dropped on the way,
/// and ends the incarnation: its loop is dropped, its end told, lease and RUN given back.
struct Held<'a, S: GenServer>(&'a Arc<Cell<S>>);

impl<S: GenServer> Held<'_, S> {
    /// RUN is about to be given up in order.
    #[inline(always)]
    fn done(self) {
        std::mem::forget(self);
    }
}

impl<S: GenServer> Drop for Held<'_, S> {
    #[cold]
    fn drop(&mut self) {
        let cell = self.0;
        frame::enter(Arc::as_ptr(cell).cast(), std::any::type_name::<S>(), None, || {
            Executor::break_off(
                cell,
                &ExitReason::error("the server's runner panicked outside of its callbacks"),
            );
        });
        if Executor::finish(cell) {
            Executor::hand_over(cell);
        }
    }
}

/// Incarnations that one poll of the task begins at most.
const RENEWALS: u32 = 16;

/// Buffers above this many bytes are given back after a burst.
const FAT: usize = 4096;

/// Runs a closure when it is dropped: for [`drop_quietly`].
struct Clear<F: FnMut()>(F);

impl<F: FnMut()> Drop for Clear<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl<S: GenServer> Runner<Message<S>> for Executor<S> {
    fn schedule(&self, cell: &Arc<MailCell<Message<S>, Self>>) {
        if cell.word().bits() & word::ORPHAN != 0 {
            return Executor::abandon(cell);
        }
        let woken = self.with_binding(|binding| match binding.task.get() {
            Some(task) => {
                task.wake_by_ref();
                None
            }
            None => Some(Arc::clone(&binding.rt)),
        });
        if let Some(Some(rt)) = woken {
            match self.threads() {
                // On a runtime that has shut down the task is dropped at once, which ends the incarnation.
                None => {
                    rt.handle.spawn(Task::new(cell, &rt));
                }
                Some(threads) => self.schedule_on(cell, rt, threads),
            }
        }
    }

    fn on_dead(&self, message: &Message<S>, cause: &DeadCause) {
        if let Message::Call(call) = message {
            call.slot.kill(match cause {
                DeadCause::InHand(reason) => return call.slot.fail(reason.clone()),
                DeadCause::Expired => Dead::Expired,
                DeadCause::Shed => Dead::Shed,
                _ => Dead::Ended,
            });
        }
    }

    fn span(&self) -> Option<Arc<Span>> {
        self.requests().filter(|requests| requests.is_traced()).and_then(|_| trace::current())
    }

    fn on_settled(&self) {
        // The task, if there is one, finds that it is done.
        self.wake_task();
        self.move_to(None);
        // Nothing is told to them any more, and the cell's memory may stay for long.
        self.requests().inspect(|requests| requests.drop_hooks());
    }
}

impl<S: GenServer> Executor<S> {
    /// The first wake-up of a server that runs on threads: there it is polled from now on.
    #[cold]
    fn schedule_on(&self, cell: &Arc<Cell<S>>, rt: Arc<Rt>, threads: ThreadPool) {
        self.with_binding(|binding| {
            let mut first = None;
            // Made and noted in one step: there is one task at most.
            let task = binding.task.get_or_init(|| {
                let (runnable, taken_in) = thread::task(Task::new(cell, &rt), cell, rt, threads);
                let waker = runnable.waker();
                first = Some((runnable, taken_in));
                waker
            });
            match first {
                Some((runnable, true)) => runnable.schedule(),
                // As on a runtime that has shut down.
                Some((runnable, false)) => drop(runnable),
                None => task.wake_by_ref(),
            }
        });
    }
}

/// The server's own task, and the runtime ([`Rt::name`]) that it is in.
pub(crate) struct Task<S: GenServer>(Option<Arc<Cell<S>>>, u32);

impl<S: GenServer> Task<S> {
    fn new(cell: &Arc<Cell<S>>, rt: &Rt) -> Self {
        Self(Some(Arc::clone(cell)), rt.name())
    }

    /// One turn, of so many messages at most where the thread is one of ours.
    #[inline(always)]
    pub(crate) fn poll_turn(&mut self, cx: &mut Cx<'_>, turn: Option<u16>) -> Poll<()> {
        let Some(cell) = &self.0 else { return Poll::Ready(()) };
        let result = if self.is_home(cell) {
            // (With its incarnation ended, see `Held`, the task goes on: the next one may come.)
            catch_unwind(AssertUnwindSafe(|| Executor::poll_task(cell, cx, turn)))
                .unwrap_or_else(|payload| Executor::unwound(cell, payload))
        } else {
            Poll::Ready(())
        };
        if result.is_ready() {
            self.0 = None;
        }
        result
    }

    /// Whether the mailbox is served from this task's runtime (still, or again).
    fn is_home(&self, cell: &Arc<Cell<S>>) -> bool {
        cell.runner.moved().is_none()
            || cell.runner.with_binding(|binding| binding.rt.name() == self.1) == Some(true)
    }
}

impl<S: GenServer> Future for Task<S> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<()> {
        self.poll_turn(cx, None)
    }
}

impl<S: GenServer> Drop for Task<S> {
    fn drop(&mut self) {
        if let Some(cell) = self.0.take()
            && self.is_home(&cell)
        {
            cell.runner.with_binding(|binding| binding.gone.store(true, Ordering::Release));
            Executor::abandon(&cell);
        }
    }
}

/// The last memory of a server: what lies in it is the user's, and goes piece by piece. (Mostly nothing is left.)
impl<S: GenServer> Drop for Executor<S> {
    fn drop(&mut self) {
        quiet::discard("a server's loop", self.body.get_mut().take());
        let turn_state = self.turn_state.get_mut();
        quiet::discard("a call", turn_state.inline.take());
        quiet::discard("a message's copy", turn_state.retry.take());
        quiet::discard("a starter's waker", turn_state.start.take());
        quiet::discard("an exit's reason", turn_state.exit.take());
    }
}

impl<S: GenServer> std::fmt::Debug for Executor<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Executor<{}>", std::any::type_name::<S>())
    }
}

/// A handle of a server's cell.
pub(crate) type ServerHandle<S> = Handle<Message<S>, Executor<S>>;

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use crate::{Context, Init, Next, Reply, Step};

    struct Adder(u64);

    enum Ask {
        Add(u64, Reply<u64>),
    }

    impl GenServer for Adder {
        type Args = u64;
        type Call = Ask;
        type Cast = u64;
        type Info = ();
        async fn init(start: &u64, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
            Ok(Init::ok(Self(*start)))
        }
        async fn handle_call(&mut self, Ask::Add(n, reply): Ask, _: &mut Context<Self>) -> Step {
            self.0 += n;
            reply.send(self.0);
            Ok(Next::go())
        }
    }

    /// Row H6: whatever unwinds where RUN is held by code of ours ends the incarnation, and RUN is given up: who waits for the end
    /// hears of it, and the next incarnation can come.
    #[tokio::test]
    async fn what_unwinds_under_run_ends_the_incarnation() {
        let server = crate::Server::<Adder>::settings().build().expect("they are good");
        let at = server.start(1).await.expect("it starts");
        let cell = Arc::clone(at.handle.cell());
        assert!(cell.word().enter_quietly());
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _held = Held(&cell);
            panic!("nobody has foreseen this");
        }));
        assert!(unwound.is_err());
        assert_eq!(
            at.join().await.reason.to_string(),
            "error: the server's runner panicked outside of its callbacks"
        );
        server.start(5).await.expect("it starts again");
        assert_eq!(at.call(|reply| Ask::Add(1, reply)).await, Ok(6));
    }

    /// What an idle server takes: its cell and its loop. Both are budgeted: a million servers pay for each byte.
    #[tokio::test]
    async fn an_idle_server_is_small() {
        fn size_of_loop<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        // With the counts of its `Arc` and the allocator's own word it fills a block of 512.
        assert!(size_of::<Cell<Adder>>() <= 488, "{}", size_of::<Cell<Adder>>());
        // With the allocator's own word it fills a block of 240.
        assert!(size_of_loop(crate::run::run::<Adder>) <= 232, "{}", size_of_loop(crate::run::run::<Adder>));
        assert!(size_of::<Message<Adder>>() <= 40);
        let server = crate::start::<Adder>(1).await.expect("it starts");
        assert_eq!(server.call(|reply| Ask::Add(1, reply)).await, Ok(2));
    }
}
