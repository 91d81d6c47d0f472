//! Reply slots: where a reply goes, straight to its caller and never through a mailbox. With `frame`, `seat`
//! and `serve` the rooms of this crate that hold `unsafe`.
//!
//! A slot has two sides: the caller's [`Wait`] and the server's [`Reply`](crate::Reply). Its word holds flags in the low
//! byte and a generation above them:
//!
//! ```text
//!            ┌────────────── KIND: none → VALUE | FAILED | LATE ──────────────┐
//!  caller ── WAKER (a waker lies in the slot) ── CALLER_DONE ─┐               │
//!  server ── SERVER_DONE (no more writes) ────────────────────┴── both: back to the pool, generation + 1
//! ```
//!
//! Rules, and what breaks without them:
//! 1. LOCK is held for moving a waker that is published (WAKER); one that is not yet is its caller's alone. (Without it, a
//!    reply and a re-poll would race on the waker.)
//! 2. `value` is written by the server's side alone, before KIND is set; KIND is set once. (Else a late reply overwrites.)
//! 3. Whoever sets the second DONE flag returns the slot. (Else it leaks or returns twice.)
//! 4. Slots are never freed, only pooled, so a stale pointer (the sweep's) still points at a slot, and the generation in
//!    the word makes its exchange fail.

use restante_core::ExitReason;
use restante_core::sync::{AtomicU32, AtomicU64, Ordering, Spin, UnsafeCell};
use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::{MaybeUninit, align_of, size_of};
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

const LOCK: u64 = 1;
const WAKER: u64 = 1 << 1;
const CALLER_DONE: u64 = 1 << 2;
const SERVER_DONE: u64 = 1 << 3;
const KIND: u64 = 3 << 4;
const VALUE: u64 = 1 << 4;
const FAILED: u64 = 2 << 4;
const LATE: u64 = 3 << 4;
/// With LATE: not the time is over, but the message is dead.
const DEAD: u64 = 1 << 6;
/// With DEAD: it was shed (else its mailbox closed, or its server ended with it in hand).
const SHED: u64 = 1 << 7;
const GENERATION: u64 = 1 << 8;
const FLAGS: u64 = GENERATION - 1;

/// The low half of the generation: comes round after four billion uses of one slot.
#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
#[inline(always)]
fn generation(word: u64) -> u32 {
    (word >> GENERATION.trailing_zeros()) as u32
}

type Room = [MaybeUninit<u64>; 3];

/// One slot; a cache line.
#[repr(align(64))]
pub(crate) struct Slot {
    word: AtomicU64,
    /// The sweep's epoch at which the caller began to wait.
    epoch: AtomicU32,
    /// Which runtime's sweep watches it.
    sweep: AtomicU32,
    waker: UnsafeCell<Option<Waker>>,
    value: UnsafeCell<Room>,
    /// The next free one; only the thread whose pool it lies in touches it.
    next: Cell<Option<SlotPtr>>,
}

#[expect(unsafe_code, reason = "see the rules")]
// SAFETY: `waker` is touched under LOCK or before WAKER is published by the one caller; `value` by the server's side
// until KIND is set and by the caller's afterwards; `next` only by the thread that owns the pooled slot.
unsafe impl Sync for Slot {}
#[expect(unsafe_code, reason = "see Sync")]
// SAFETY: wakers are Send, values are checked to be (`Reply<T>` and `Wait<T>` ask for `T: Send`).
unsafe impl Send for Slot {}

/// A slot that lives for ever.
#[derive(Clone, Copy)]
pub(crate) struct SlotPtr(&'static Slot);

impl PartialEq for SlotPtr {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl std::fmt::Debug for SlotPtr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slot({:#x})", self.0.word.load(Ordering::Relaxed) & FLAGS)
    }
}

/// Most free slots that a thread keeps to itself.
const POOL: u32 = 1024;

thread_local! {
    // Without a destructor, so that the hot path need not ask whether it has run; `LAST_RITES` has it instead.
    static FREE: Cell<Option<SlotPtr>> = const { Cell::new(None) };
    static FREE_LEN: Cell<u32> = const { Cell::new(0) };
    static LAST_RITES: LastRites = const { LastRites };
}

/// Hands a dying thread's free slots to the others.
struct LastRites;

impl Drop for LastRites {
    fn drop(&mut self) {
        let mut spare = lock(&SPARE);
        while let Some(slot) = FREE.get() {
            FREE.set(slot.0.next.take());
            spare.push(slot);
        }
        FREE_LEN.set(0);
    }
}

/// Every slot there is, for the sweep.
static ALL: Mutex<Vec<SlotPtr>> = Mutex::new(Vec::new());
/// Free slots that no thread keeps.
static SPARE: Mutex<Vec<SlotPtr>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[inline(always)]
fn acquire() -> SlotPtr {
    if let Some(slot) = FREE.get() {
        FREE.set(slot.0.next.take());
        FREE_LEN.set(FREE_LEN.get() - 1);
        return slot;
    }
    acquire_slow()
}

#[cold]
fn acquire_slow() -> SlotPtr {
    if cfg!(any(loom, shuttle)) {
        return make();
    }
    // (Not in the last destructors of a thread, where it is gone already.)
    let _ = LAST_RITES.try_with(|_| ());
    if let Some(slot) = lock(&SPARE).pop() {
        return slot;
    }
    let slot = make();
    lock(&ALL).push(slot);
    slot
}

/// A slot that no pool knows of.
fn make() -> SlotPtr {
    SlotPtr(Box::leak(Box::new(Slot {
        word: AtomicU64::new(0),
        epoch: AtomicU32::new(0),
        sweep: AtomicU32::new(0),
        waker: UnsafeCell::new(None),
        value: UnsafeCell::new([MaybeUninit::uninit(); 3]),
        next: Cell::new(None),
    })))
}

/// Both sides are done.
#[inline(always)]
fn release(slot: SlotPtr) {
    let word = slot.0.word.load(Ordering::Relaxed);
    slot.0.word.store((word & !FLAGS).wrapping_add(GENERATION), Ordering::Release);
    if cfg!(any(loom, shuttle)) {
        // A slot of a model belongs to one schedule, which no pool outlives.
        return;
    }
    let len = FREE_LEN.get();
    if len >= POOL {
        lock(&SPARE).push(slot);
        return;
    }
    slot.0.next.set(FREE.get());
    FREE.set(Some(slot));
    FREE_LEN.set(len + 1);
}

/// A slot for a reply of this type, and the caller's side of it. The server's side is the pointer.
#[inline(always)]
pub(crate) fn pair<T: Send>() -> (SlotPtr, Wait<T>) {
    pair_in(acquire())
}

/// The same at a slot that one has.
#[inline(always)]
fn pair_in<T: Send>(slot: SlotPtr) -> (SlotPtr, Wait<T>) {
    (slot, Wait { slot, done: false, watched: false, value: PhantomData })
}

const fn fits<T>() -> bool {
    size_of::<T>() <= size_of::<Room>() && align_of::<T>() <= align_of::<Room>()
}

/// Writes a value into the slot.
///
/// # Safety
/// The caller is the server's side and KIND is not set (rule 2).
#[expect(unsafe_code, reason = "rule 2")]
#[inline(always)]
unsafe fn write<T>(slot: SlotPtr, value: T) {
    slot.0.value.with_mut(|room| {
        if fits::<T>() {
            // SAFETY: the room is big and aligned enough, and ours by rule 2.
            unsafe { room.cast::<T>().write(value) }
        } else {
            // SAFETY: a pointer fits the room, which is ours by rule 2.
            unsafe { room.cast::<*mut T>().write(Box::into_raw(Box::new(value))) }
        }
    });
}

/// Takes the value out of the slot.
///
/// # Safety
/// `write::<T>` has been called in this generation, its value has not been read, and the caller has the right to.
#[expect(unsafe_code, reason = "rule 2")]
#[inline(always)]
unsafe fn read<T>(slot: SlotPtr) -> T {
    slot.0.value.with_mut(|room| {
        if fits::<T>() {
            // SAFETY: `write::<T>` put it there.
            unsafe { room.cast::<T>().read() }
        } else {
            // SAFETY: `write::<T>` put a pointer there.
            let boxed = unsafe { room.cast::<*mut T>().read() };
            // SAFETY: it came out of `Box::into_raw` and is read once.
            *unsafe { Box::from_raw(boxed) }
        }
    })
}

/// What the server's side did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// The caller has it, or will.
    Yes,
    /// The caller had gone or its time was over.
    Late,
}

impl SlotPtr {
    /// Whether a caller still waits for this reply, within its time. For the holder of the reply.
    #[inline(always)]
    pub(crate) fn is_live(self) -> bool {
        self.0.word.load(Ordering::Relaxed) & (CALLER_DONE | KIND) == 0
    }

    /// The slot in its present use, for whoever does not hold the reply.
    #[inline(always)]
    pub(crate) fn tag(self) -> SlotTag {
        SlotTag { slot: self, generation: generation(self.0.word.load(Ordering::Relaxed)) }
    }

    /// Answers. The server's side is done with it. To be called once, by whoever holds the `Reply<T>`.
    #[expect(unsafe_code, reason = "the one reply is the server's side")]
    #[inline(always)]
    pub(crate) fn answer<T: Send>(self, value: T) -> Delivered {
        let word = self.0.word.load(Ordering::Acquire);
        if word & KIND == 0 && crate::frame::is_inline(self) {
            // SAFETY: KIND is not set, and only the server's side, which we are, could set it: the caller is on this
            // very stack, below us, and has published no waker for anybody else to act upon.
            unsafe { write(self, value) };
            self.0.word.store(word | VALUE | SERVER_DONE, Ordering::Release);
            return Delivered::Yes;
        }
        self.answer_across(value)
    }

    #[expect(unsafe_code, reason = "the one reply is the server's side")]
    fn answer_across<T: Send>(self, value: T) -> Delivered {
        if self.0.word.load(Ordering::Acquire) & KIND == FAILED {
            // Failed while the reply lay in a dead message: whoever answers now is late.
            self.server_done(0);
            drop(value);
            return Delivered::Late;
        }
        // SAFETY: we are the server's side; LATE (the sweep's) writes nothing, so the room is ours.
        unsafe { write(self, value) };
        if self.server_done(VALUE) {
            return Delivered::Yes;
        }
        // SAFETY: written above; VALUE was not set, so nobody else reads it, and we are not done yet.
        let value = unsafe { read::<T>(self) };
        self.server_done(0);
        drop(value);
        Delivered::Late
    }

    /// Drops a reply unanswered, for a reason if one is known.
    #[expect(unsafe_code, reason = "the one reply is the server's side")]
    pub(crate) fn fail(self, reason: Option<ExitReason>) {
        if self.0.word.load(Ordering::Acquire) & KIND == FAILED {
            self.server_done(0);
            return;
        }
        // SAFETY: as in `answer_across`.
        unsafe { write::<Option<ExitReason>>(self, reason) };
        if !self.server_done(FAILED) {
            // SAFETY: as in `answer_across`.
            let reason = unsafe { read::<Option<ExitReason>>(self) };
            self.server_done(0);
            drop(reason);
        }
    }

    /// Ends the server's side. With a kind other than 0, also sets it and wakes the caller; or, where the caller has
    /// gone or its time is over, changes nothing and says false: the value is then to be taken out first.
    fn server_done(self, kind: u64) -> bool {
        let mut spin = Spin::default();
        loop {
            let word = self.0.word.load(Ordering::Acquire);
            if word & LOCK != 0 {
                spin.wait();
                continue;
            }
            if kind != 0 && word & (CALLER_DONE | KIND) != 0 {
                return false;
            }
            let wakes = kind != 0 && word & WAKER != 0;
            let next = word | SERVER_DONE | kind | if wakes { LOCK } else { 0 };
            if self.0.word.compare_exchange(word, next, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                spin.wait();
                continue;
            }
            if wakes {
                self.wake_locked(next);
            }
            if word & CALLER_DONE != 0 {
                release(self);
            }
            return true;
        }
    }

    /// Takes the waker, unlocks, wakes.
    #[expect(unsafe_code, reason = "rule 1")]
    fn wake_locked(self, locked: u64) {
        // SAFETY: LOCK is ours (rule 1).
        let waker = self.0.waker.with_mut(|w| unsafe { (*w).take() });
        self.0.word.store(locked & !(LOCK | WAKER), Ordering::Release);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Turns an overdue wait into a late one. `word` is what the sweep saw.
    fn expire(self, word: u64) -> bool {
        let next = word | LATE | LOCK;
        if self.0.word.compare_exchange(word, next, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        self.wake_locked(next);
        true
    }
}

/// A slot in one of its uses: what a queued call knows of its reply, which its maker may have put anywhere. It reads and
/// marks the word, never the value; in any later use of the slot it does nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotTag {
    slot: SlotPtr,
    generation: u32,
}

impl SlotTag {
    /// The word, if the slot is still in this use.
    #[inline(always)]
    fn word(self) -> Option<u64> {
        let word = self.slot.0.word.load(Ordering::Acquire);
        (generation(word) == self.generation).then_some(word)
    }

    /// Whether a caller still waits, within its time.
    #[inline(always)]
    pub(crate) fn is_live(self) -> bool {
        self.word().is_some_and(|word| word & (CALLER_DONE | KIND) == 0)
    }

    /// Whether its time is over (rather than its caller gone, or answered from elsewhere).
    pub(crate) fn is_late(self) -> bool {
        self.word().is_some_and(|word| word & KIND == LATE)
    }

    /// The message that carries the call is dead: tells the caller now, wherever the reply may be.
    pub(crate) fn kill(self, cause: Dead) {
        let mark = LATE
            | match cause {
                Dead::Expired => 0,
                Dead::Ended => DEAD,
                Dead::Shed => DEAD | SHED,
            };
        let mut spin = Spin::default();
        while let Some(word) = self.word() {
            if word & LOCK != 0 {
                spin.wait();
                continue;
            }
            if word & (CALLER_DONE | KIND) != 0 {
                return;
            }
            let wakes = word & WAKER != 0;
            let next = word | mark | if wakes { LOCK } else { 0 };
            // The whole word is compared, the generation with it.
            if self.slot.0.word.compare_exchange(word, next, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                if wakes {
                    self.slot.wake_locked(next);
                }
                return;
            }
        }
    }
}

/// Why no handler will see a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dead {
    /// Its time to live in the queue was over.
    Expired,
    /// It was shed.
    Shed,
    /// Its mailbox closed, or its server ended with it in hand.
    Ended,
}

/// Expires every wait of sweep `sweep` that began more than `ticks` epochs before `epoch`; whether any goes on waiting.
pub(crate) fn sweep(sweep: u32, epoch: u32, ticks: u32) -> bool {
    // The lock is not held while wakers run: they are anybody's code.
    let all = lock(&ALL).clone();
    sweep_over(&all, sweep, epoch, ticks)
}

fn sweep_over(all: &[SlotPtr], sweep: u32, epoch: u32, ticks: u32) -> bool {
    let mut waiting = false;
    for &slot in all {
        let word = slot.0.word.load(Ordering::SeqCst);
        let waits = word & (WAKER | KIND | CALLER_DONE | LOCK) == WAKER;
        if !waits || slot.0.sweep.load(Ordering::Relaxed) != sweep {
            // Locked means that its waker is being moved: it waits, or is about to be woken.
            waiting |= word & LOCK != 0;
            continue;
        }
        let since = epoch.wrapping_sub(slot.0.epoch.load(Ordering::Relaxed));
        if since <= ticks || since > u32::MAX / 2 || !slot.expire(word) {
            waiting = true;
        }
    }
    waiting
}

/// The caller's side.
pub(crate) struct Wait<T: Send> {
    slot: SlotPtr,
    done: bool,
    watched: bool,
    value: PhantomData<T>,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Outcome<T> {
    Value(T),
    Failed(Option<ExitReason>),
    Late,
    Dead(Dead),
}

impl<T: Send> Wait<T> {
    /// Says which sweep is to watch over this wait, and from when on.
    #[inline]
    pub(crate) fn watch(&self, sweep: u32, epoch: u32) {
        self.slot.0.sweep.store(sweep, Ordering::Relaxed);
        self.slot.0.epoch.store(epoch, Ordering::Relaxed);
    }

    /// The same, unless it is watched already: what has waited for room goes on waiting from when it began.
    #[inline]
    pub(crate) fn watch_once(&mut self, sweep: u32, epoch: u32) {
        if !self.watched {
            self.watched = true;
            self.watch(sweep, epoch);
        }
    }

    /// The outcome, if there is one.
    #[expect(unsafe_code, reason = "KIND says what lies in the room")]
    #[inline(always)]
    pub(crate) fn try_take(&mut self) -> Option<Outcome<T>> {
        let word = self.slot.0.word.load(Ordering::Acquire);
        match word & KIND {
            0 => None,
            VALUE => {
                self.done = true;
                // SAFETY: VALUE is set after `write::<T>` and the caller is the only one to read.
                let value = unsafe { read::<T>(self.slot) };
                // VALUE is only set together with SERVER_DONE: ours is the second. But a waker that is being moved out
                // (LOCK) must have been.
                self.release_unlocked(word);
                Some(Outcome::Value(value))
            }
            FAILED => {
                self.done = true;
                // SAFETY: FAILED is set after `write::<Option<ExitReason>>`; read once, here.
                let reason = unsafe { read::<Option<ExitReason>>(self.slot) };
                self.caller_done();
                Some(Outcome::Failed(reason))
            }
            _ => {
                self.done = true;
                self.caller_done();
                Some(match word & (DEAD | SHED) {
                    0 => Outcome::Late,
                    DEAD => Outcome::Dead(Dead::Ended),
                    _ => Outcome::Dead(Dead::Shed),
                })
            }
        }
    }

    #[inline(always)]
    fn release_unlocked(&self, word: u64) {
        if word & LOCK != 0 {
            let mut spin = Spin::default();
            while self.slot.0.word.load(Ordering::Acquire) & LOCK != 0 {
                spin.wait();
            }
        }
        release(self.slot);
    }

    /// Waits for the outcome; the waker of the latest poll is the one that is woken.
    #[expect(unsafe_code, reason = "rule 1")]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        let mut spin = Spin::default();
        let mut waker = None;
        loop {
            if let Some(outcome) = self.try_take() {
                return Poll::Ready(outcome);
            }
            let word = self.slot.0.word.load(Ordering::Acquire);
            if word & (LOCK | KIND) != 0 {
                spin.wait();
                continue;
            }
            let fresh = waker.take().unwrap_or_else(|| cx.waker().clone());
            if word & WAKER == 0 {
                // SAFETY: without WAKER nobody but the caller, which we are, touches the waker (rule 1).
                self.slot.0.waker.with_mut(|w| unsafe { *w = Some(fresh) });
                // An exchange that is also the full barrier between "I wait" and "is the sweep armed?".
                let next = word | WAKER;
                if self.exchange(word, next, Ordering::SeqCst) {
                    return Poll::Pending;
                }
                // SAFETY: as above; it was not published.
                waker = self.slot.0.waker.with_mut(|w| unsafe { (*w).take() });
                continue;
            }
            if !self.exchange(word, word | LOCK, Ordering::AcqRel) {
                waker = Some(fresh);
                continue;
            }
            // SAFETY: LOCK is ours (rule 1).
            let old = self.slot.0.waker.with_mut(|w| unsafe { (*w).replace(fresh) });
            // A full barrier here as well: the sweep that this wait is to be seen by may be another one by now.
            self.slot.0.word.swap(word & !LOCK, Ordering::SeqCst);
            drop(old);
            return Poll::Pending;
        }
    }

    fn exchange(&self, word: u64, next: u64, success: Ordering) -> bool {
        self.slot.0.word.compare_exchange(word, next, success, Ordering::Relaxed).is_ok()
    }

    /// The caller goes without having taken anything (or has taken what is not a value).
    fn caller_done(&self) {
        let mut spin = Spin::default();
        loop {
            let word = self.slot.0.word.load(Ordering::Acquire);
            if word & LOCK != 0 {
                spin.wait();
                continue;
            }
            if self
                .slot
                .0
                .word
                .compare_exchange(word, word | CALLER_DONE, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                if word & SERVER_DONE != 0 {
                    release(self.slot);
                }
                return;
            }
        }
    }

    /// Gives up on a wait with an outcome still to come: drops the waker, or what has come meanwhile.
    #[expect(unsafe_code, reason = "rules 1 and 2")]
    #[cold]
    fn abandon(&mut self) {
        let mut spin = Spin::default();
        loop {
            if let Some(outcome) = self.try_take() {
                drop(outcome);
                return;
            }
            let word = self.slot.0.word.load(Ordering::Acquire);
            if word & (LOCK | KIND) != 0 {
                spin.wait();
                continue;
            }
            if self
                .slot
                .0
                .word
                .compare_exchange(word, word | LOCK, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
            {
                continue;
            }
            // SAFETY: LOCK is ours (rule 1).
            let old = self.slot.0.waker.with_mut(|w| unsafe { (*w).take() });
            let word = word & !(LOCK | WAKER);
            self.slot.0.word.store(word | CALLER_DONE, Ordering::Release);
            drop(old);
            self.done = true;
            if word & SERVER_DONE != 0 {
                release(self.slot);
            }
            return;
        }
    }
}

impl<T: Send> Drop for Wait<T> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.done {
            self.abandon();
        }
    }
}

#[cfg(all(loom, test))]
#[path = "loom_tests.rs"]
mod loom_tests;
