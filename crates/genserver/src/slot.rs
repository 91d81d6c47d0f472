//! Reply slots: where a reply goes, straight to its caller and never through a mailbox. With `frame`, `executor`
//! and `serve` the rooms of this crate that hold `unsafe`.
//!
//! A slot has two sides: the caller's [`Wait`] and the server's: one or several [`Reply`](crate::Reply)s, its *claims*.
//! Its word holds flags in the low byte, above them how many claims there are beside the first, and then a generation:
//!
//! ```text
//!            ┌────────────── KIND: none → VALUE | FAILED | LATE ──────────────┐
//!  caller ── WAKER (a waker lies in the slot) ── CALLER_DONE ─┐               │
//!  server ── CLAIMS … 2, 1, 0 ── SERVER_DONE (the last goes) ─┴── both: back to the pool, generation + 1
//! ```
//!
//! Rules, and what breaks without them:
//! 1. LOCK is held for moving a waker that is published (WAKER); one that is not yet is its caller's alone. (Without it, a
//!    reply and a re-poll would race on the waker.)
//! 2. `value` is written under LOCK while KIND is unset, and KIND is set, once, in the store that unlocks. (Else two
//!    claims write at once, or a late reply overwrites.) One writer needs no lock: the only claim, while its caller lies
//!    below it on the same stack and has published nothing that anybody else could act upon.
//! 3. Whoever sets the second DONE flag returns the slot. (Else it leaks or returns twice.)
//! 4. Slots are never freed, only pooled, so a stale pointer (of a sweep's list) still points at a slot, and the generation in
//!    the word makes its exchange fail.
//! 5. A claim is made only from a claim, and counted before it exists; each ends once, and the last one to end sets
//!    `SERVER_DONE`. So a claim that sees no other is the only one until it makes one. (Else a slot is returned, and used
//!    again, under a claim that is still to answer.) A claim that goes unanswered says so only when it is the last.
//! 6. The count is part of the word, and every change of it an exchange of the whole word: LOCK keeps it still, and a
//!    stale exchange fails on it as on any flag. Once it is full it stays so: the slot is then never returned, and its
//!    caller, unless it is answered, is told by its limit. (Else it would run over into the generation.)

use crate::waits::{Entry, Watched};
use restante_core::sync::{AtomicU64, Ordering, Spin, UnsafeCell};
use restante_core::{ExitReason, quiet};
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
/// One claim beside the first.
const CLAIM: u64 = 1 << 8;
/// All claims beside the first: how many.
const CLAIMS: u64 = 0xffff << 8;
const GENERATION: u64 = 1 << 24;
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
    /// Which sweep watches the wait, and since when.
    watched: Watched,
    waker: UnsafeCell<Option<Waker>>,
    value: UnsafeCell<Room>,
    /// The next free one; only the thread whose pool it lies in touches it.
    next: Cell<Option<SlotPtr>>,
}

#[expect(unsafe_code, reason = "see the rules")]
// SAFETY: `waker` is touched under LOCK or before WAKER is published by the one caller; `value` as rule 2 says until KIND
// is set, and by the caller afterwards; `next` only by the thread that owns the pooled slot.
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
/// The length of the pool of a thread that keeps none: it has not acquired a slot yet, or its last destructors run. It is
/// no smaller than [`POOL`], so that what such a thread returns goes to the others.
const NO_POOL: u32 = u32::MAX;

thread_local! {
    // Without a destructor, so that the hot path need not ask whether it has run; `LAST_RITES` has it instead. A thread's
    // pool is opened with its rites, by the first slot that it acquires: so no thread keeps a slot that it does not hand on
    // at its end, and one that only returns slots keeps none.
    static FREE: Cell<Option<SlotPtr>> = const { Cell::new(None) };
    static FREE_LEN: Cell<u32> = const { Cell::new(NO_POOL) };
    static LAST_RITES: LastRites = const { LastRites };
}

/// Hands a dying thread's free slots to the others, and closes its pool.
struct LastRites;

impl Drop for LastRites {
    fn drop(&mut self) {
        let mut spare = lock(&SPARE);
        while let Some(slot) = FREE.get() {
            FREE.set(slot.0.next.take());
            spare.push(slot);
        }
        FREE_LEN.set(NO_POOL);
    }
}

/// Every slot there is, for test kits. (The sweeps have lists of their own: see `waits`.)
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
    // (Not in the last destructors of a thread, where the rites have been held already.)
    if FREE_LEN.get() == NO_POOL && LAST_RITES.try_with(|_| ()).is_ok() {
        FREE_LEN.set(0);
    }
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
        watched: Watched::new(),
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
/// KIND is not set, and the caller is the one that may write (rule 2).
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
    /// The caller had gone, its time was over, or it had been told that there will be none.
    Late,
    /// Another claim had answered.
    Second,
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

    /// One more claim, for whoever holds one.
    pub(crate) fn claim(self) {
        let mut spin = Spin::default();
        loop {
            let word = self.0.word.load(Ordering::Relaxed);
            if word & CLAIMS == CLAIMS {
                return;
            }
            // (As with any count of owners, making one orders nothing: whoever gets it gets it by other means.)
            if word & LOCK == 0
                && self
                    .0
                    .word
                    .compare_exchange(word, word + CLAIM, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            {
                return;
            }
            spin.wait();
        }
    }

    /// Answers, and ends the claim. To be called once, by whoever holds the `Reply<T>`.
    #[expect(unsafe_code, reason = "rule 2")]
    #[inline(always)]
    pub(crate) fn answer<T: Send>(self, value: T) -> Delivered {
        let word = self.0.word.load(Ordering::Acquire);
        if word & (KIND | CLAIMS) == 0 && crate::frame::is_inline(self) {
            // SAFETY: KIND is not set, and we are the only claim: the caller is on this very stack, below us, and has
            // published no waker for anybody else to act upon.
            unsafe { write(self, value) };
            self.0.word.store(word | VALUE | SERVER_DONE, Ordering::Release);
            return Delivered::Yes;
        }
        self.answer_across(value)
    }

    #[expect(unsafe_code, reason = "rule 2")]
    fn answer_across<T: Send>(self, value: T) -> Delivered {
        let word = self.lock();
        if word & (CALLER_DONE | KIND) == 0 {
            // SAFETY: LOCK is ours and KIND is not set (rule 2).
            unsafe { write(self, value) };
            self.unlock(less_a_claim(word | VALUE));
            return Delivered::Yes;
        }
        self.unlock(less_a_claim(word));
        // User's code, and so after the lock, and under the net: it runs in the handler that answers.
        quiet::discard("a reply that came too late", value);
        if word & KIND == VALUE { Delivered::Second } else { Delivered::Late }
    }

    /// Drops a reply unanswered. If it was the last one, its caller is told, with a reason if one is known.
    #[expect(unsafe_code, reason = "rule 2")]
    pub(crate) fn fail(self, reason: Option<ExitReason>) {
        let word = self.lock();
        if word & (CALLER_DONE | KIND | CLAIMS) == 0 {
            // SAFETY: LOCK is ours and KIND is not set (rule 2).
            unsafe { write::<Option<ExitReason>>(self, reason) };
            self.unlock(less_a_claim(word | FAILED));
            return;
        }
        self.unlock(less_a_claim(word));
        quiet::discard("a reason", reason);
    }

    /// Takes LOCK; the word as it was without it. For the holder of a claim.
    #[inline]
    fn lock(self) -> u64 {
        let mut spin = Spin::default();
        loop {
            let word = self.0.word.load(Ordering::Relaxed);
            // Acquire: what is done under LOCK comes after what was done under it before.
            if word & LOCK == 0
                && self
                    .0
                    .word
                    .compare_exchange(word, word | LOCK, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return word;
            }
            spin.wait();
        }
    }

    /// Gives LOCK up with this word. A waker that has been told of nothing yet is woken if there is something to tell; the
    /// slot is returned if both sides are done with it.
    #[expect(unsafe_code, reason = "rule 1")]
    #[inline]
    fn unlock(self, word: u64) {
        if word & WAKER != 0 && word & KIND != 0 {
            // SAFETY: LOCK is ours (rule 1).
            let waker = self.0.waker.with_mut(|w| unsafe { (*w).take() });
            // Release pairs with the acquire of whoever looks at KIND or takes LOCK next.
            self.0.word.store(word & !WAKER, Ordering::Release);
            if let Some(waker) = waker {
                quiet::wake(waker);
            }
            return;
        }
        self.0.word.store(word, Ordering::Release);
        if word & CALLER_DONE != 0 && word & SERVER_DONE != 0 {
            release(self);
        }
    }

    /// Takes the waker, unlocks, wakes.
    #[expect(unsafe_code, reason = "rule 1")]
    fn wake_locked(self, locked: u64) {
        // SAFETY: LOCK is ours (rule 1).
        let waker = self.0.waker.with_mut(|w| unsafe { (*w).take() });
        self.0.word.store(locked & !(LOCK | WAKER), Ordering::Release);
        if let Some(waker) = waker {
            quiet::wake(waker);
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

/// The word when a claim has ended (rule 5).
#[inline(always)]
const fn less_a_claim(word: u64) -> u64 {
    match word & CLAIMS {
        0 => word | SERVER_DONE,
        CLAIMS => word,
        _ => word - CLAIM,
    }
}

/// A slot in one of its uses: what a queued call knows of its reply, which its maker may have put anywhere. It is no
/// claim; in any later use of the slot it does nothing.
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

    /// Nobody is to answer the call any more: tells the caller why, however many replies there are and wherever.
    #[expect(unsafe_code, reason = "rule 2")]
    #[cold]
    pub(crate) fn fail(self, reason: ExitReason) {
        let mut spin = Spin::default();
        while let Some(word) = self.word() {
            if word & LOCK != 0 {
                spin.wait();
                continue;
            }
            if word & (CALLER_DONE | KIND) != 0 {
                break;
            }
            // The whole word is compared, the generation with it.
            if self
                .slot
                .0
                .word
                .compare_exchange(word, word | LOCK, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
            {
                // SAFETY: LOCK is ours and KIND is not set (rule 2).
                unsafe { write::<Option<ExitReason>>(self.slot, Some(reason)) };
                self.slot.unlock(word | FAILED);
                return;
            }
        }
        quiet::discard("a reason", reason);
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

/// What a sweep finds of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It goes on.
    Waits,
    /// It is over, or another's, or was ended now.
    Over,
}

impl SlotPtr {
    /// Which sweep watches it.
    #[inline]
    pub(crate) fn watched(self) -> &'static Watched {
        &self.0.watched
    }

    /// Sweep `sweep` looks at it, in its epoch `epoch`: ends the wait there if it began more than `ticks` epochs ago.
    pub(crate) fn look(self, sweep: u32, epoch: u32, ticks: u16) -> Seen {
        let word = self.0.word.load(Ordering::SeqCst);
        if word & LOCK != 0 {
            // Its waker is being moved: it waits, or is about to be woken.
            return Seen::Waits;
        }
        if word & (WAKER | KIND | CALLER_DONE) != WAKER {
            return Seen::Over;
        }
        match self.0.watched.age(sweep, epoch) {
            Some(age) if age <= ticks => Seen::Waits,
            // Changed this very moment: the next look tells.
            Some(_) if !self.expire(word) => Seen::Waits,
            None | Some(_) => Seen::Over,
        }
    }
}

/// How many replies somebody still holds, of calls that have waited (or do) in the runtime of this name.
pub(crate) fn held(name: u32) -> usize {
    let all = lock(&ALL).clone();
    let is_held = |slot: &&SlotPtr| {
        let word = slot.0.word.load(Ordering::Acquire);
        let waited = word & (WAKER | CALLER_DONE | LOCK) != 0;
        waited && word & SERVER_DONE == 0 && slot.0.watched.is_of(name)
    };
    all.iter().filter(is_held).count()
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
        self.slot.0.watched.begin(sweep, epoch);
    }

    /// As `watch`, unless this sweep watches it already: what has waited for room goes on waiting from when it began. A caller that
    /// has moved to another runtime is watched over there, from now on: the first one's may have gone with its runtime.
    #[inline]
    pub(crate) fn watch_once(&mut self, sweep: u32, epoch: u32) {
        if !self.watched || !self.slot.0.watched.is_of(sweep) {
            self.watched = true;
            self.watch(sweep, epoch);
        }
    }

    /// Whether it has been said which sweep watches over it.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.watched
    }

    /// No sweep watches over this wait. It is counted for the runtime of this name ([`held`]; 0: for none).
    #[inline]
    pub(crate) fn unwatch(&self, name: u32) {
        self.slot.0.watched.none(name);
    }

    /// The entry for the list of the sweep that watches, where it has none. To be called after a poll that was pending.
    #[inline]
    pub(crate) fn entry(&self) -> Option<Entry> {
        self.slot.0.watched.enlist().map(|ticket| Entry::new(self.slot, ticket))
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
                if word & SERVER_DONE != 0 {
                    // Nobody takes LOCK any more once a value is there and no claim is left: it is ours to return.
                    release(self.slot);
                } else {
                    self.caller_done();
                }
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

    /// Waits for the outcome; the waker of the latest poll is the one that is woken.
    #[expect(unsafe_code, reason = "rule 1")]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        let mut spin = Spin::default();
        let mut waker = None;
        loop {
            if let Some(outcome) = self.try_take() {
                // Not published, and not needed. Its drop is foreign code, which must not cost the caller its outcome.
                if let Some(waker) = waker {
                    quiet::discard("a waker", waker);
                }
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
                // An exchange that is also the full barrier between "I wait" and "am I listed?" (rule 2 of `waits`).
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
            // A full barrier here as well: another sweep may be to see this wait by now.
            self.slot.0.word.swap(word & !LOCK, Ordering::SeqCst);
            quiet::discard("a waker", old);
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
                quiet::discard("a reply that its caller gave up", outcome);
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
            self.done = true;
            if word & SERVER_DONE != 0 {
                release(self.slot);
            }
            // Last: the slot is out of our hands, so that whatever this runs may use it again.
            quiet::discard("a waker", old);
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

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use crate::reply::Reply;

    /// Rule 6: a count that is full stays so: no claim is the last any more, and the generation is not touched. The first
    /// answer still arrives.
    #[test]
    fn a_full_count_of_claims_stays_full() {
        let slot = make();
        let (slot, mut wait) = pair_in::<u64>(slot);
        let reply = Reply::<u64>::new(slot);
        slot.0.word.store(CLAIMS - CLAIM, Ordering::Relaxed);
        let last = reply.again();
        assert_eq!(slot.0.word.load(Ordering::Relaxed), CLAIMS);
        drop(reply.again());
        drop(reply);
        assert_eq!(slot.0.word.load(Ordering::Relaxed), CLAIMS);
        assert!(last.is_awaited() && last.send(7));
        assert!(matches!(wait.try_take(), Some(Outcome::Value(7))));
        drop(wait);
        assert_eq!(
            slot.0.word.load(Ordering::Relaxed),
            CLAIMS | VALUE | CALLER_DONE,
            "it is never used again"
        );
    }

    /// Gives up `n` calls, whose replies come back.
    fn given_up(n: usize) -> Vec<Reply<u64>> {
        (0..n).map(|_| Reply::new(pair::<u64>().0)).collect()
    }

    /// Issue 13, S5: a thread that has acquired no slot keeps none that it returns.
    #[test]
    fn a_thread_that_only_returns_slots_keeps_none() {
        let replies = given_up(100);
        std::thread::spawn(move || {
            drop(replies);
            assert!(FREE.get().is_none());
            // From its first call on it has a pool.
            drop(given_up(1));
            assert_eq!(FREE_LEN.get(), 1);
        })
        .join()
        .expect("the thread ends");
    }

    /// Issue 13, S5: what a thread keeps is handed on at its end, and used by the next: in its last destructors too.
    #[test]
    fn no_slot_is_lost_with_its_thread() {
        struct Last(std::cell::RefCell<Vec<Reply<u64>>>);
        impl Drop for Last {
            fn drop(&mut self) {
                self.0.take().into_iter().for_each(|reply| _ = reply.send(1));
                drop(given_up(10));
            }
        }
        thread_local!(static LAST: Last = const { Last(std::cell::RefCell::new(Vec::new())) });
        let before = lock(&ALL).len();
        for round in 0..60 {
            let replies = given_up(1000);
            std::thread::spawn(move || {
                if round % 2 == 0 {
                    // Before the thread's own pool, and so dropped after it.
                    LAST.with(|last| last.0.borrow_mut().extend(replies));
                    drop(given_up(1000));
                } else {
                    drop(replies);
                }
            })
            .join()
            .expect("the thread ends");
        }
        let made = lock(&ALL).len() - before;
        assert!(made < 10_000, "{made} slots for what 2000 at a time could do");
    }

    /// The claims of one use are none of the next: they are counted apart from the generation.
    #[test]
    fn a_slot_comes_back_without_claims() {
        let slot = make();
        for n in 1..4 {
            let (slot, mut wait) = pair_in::<u64>(slot);
            let one = Reply::<u64>::new(slot);
            let (two, three) = (one.again(), one.again());
            assert!(two.send(n) && !one.send(0));
            assert!(matches!(wait.try_take(), Some(Outcome::Value(m)) if m == n));
            drop(wait);
            assert_eq!(slot.0.word.load(Ordering::Relaxed) / GENERATION, n - 1, "one claim is left");
            drop(three);
            assert_eq!(slot.0.word.load(Ordering::Relaxed), n * GENERATION);
        }
    }
}
