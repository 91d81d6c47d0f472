//! Where free slots lie, a thread's own first.

use super::place::{Slot, SlotPtr};
use super::word::{CALLER_DONE, FLAGS, GENERATION, LOCK, SERVER_DONE, WAKER};
use crate::waits::Watched;
use restante_core::sync::{AtomicU64, Ordering, UnsafeCell};
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::Mutex;

/// Most free slots that a thread keeps to itself.
const POOL: u32 = 1024;

/// The length of the pool of a thread that keeps none: it has not acquired a slot yet, or its last destructors run. It is
/// no smaller than [`POOL`], so that what such a thread returns goes to the others.
const NO_POOL: u32 = u32::MAX;

thread_local! {
    // Without a destructor, so that the hot path need not ask whether it has run; `LAST_RITES` has it instead. A thread's
    // pool is opened with its rites, by the first slot that it acquires: so no thread keeps a slot that it does not hand on
    // at its end, and one that only returns slots keeps none.
    pub(super) static FREE: Cell<Option<SlotPtr>> = const { Cell::new(None) };
    pub(super) static FREE_LEN: Cell<u32> = const { Cell::new(NO_POOL) };
    static LAST_RITES: LastRites = const { LastRites };
}

/// Hands a dying thread's free slots to the others, and closes its pool.
struct LastRites;

impl Drop for LastRites {
    fn drop(&mut self) {
        let mut spare = locked(&SPARE);
        while let Some(slot) = FREE.get() {
            FREE.set(slot.0.next.take());
            spare.push(slot);
        }
        FREE_LEN.set(NO_POOL);
    }
}

/// Every slot there is, for test kits. (The sweeps have lists of their own: see `waits`.)
pub(super) static ALL: Mutex<Vec<SlotPtr>> = Mutex::new(Vec::new());

/// Free slots that no thread keeps.
static SPARE: Mutex<Vec<SlotPtr>> = Mutex::new(Vec::new());

pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[inline(always)]
pub(super) fn acquire() -> SlotPtr {
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
    // Not in the last destructors of a thread, where the rites have been held already.
    if FREE_LEN.get() == NO_POOL && LAST_RITES.try_with(|_| ()).is_ok() {
        FREE_LEN.set(0);
    }
    if let Some(slot) = locked(&SPARE).pop() {
        return slot;
    }
    let slot = make();
    locked(&ALL).push(slot);
    slot
}

/// A slot that no pool knows of.
pub(super) fn make() -> SlotPtr {
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
pub(super) fn release(slot: SlotPtr) {
    let word = slot.0.word.load(Ordering::Relaxed);
    slot.0.word.store((word & !FLAGS).wrapping_add(GENERATION), Ordering::Release);
    if cfg!(any(loom, shuttle)) {
        // A slot of a model belongs to one schedule, which no pool outlives.
        return;
    }
    let len = FREE_LEN.get();
    if len >= POOL {
        locked(&SPARE).push(slot);
        return;
    }
    slot.0.next.set(FREE.get());
    FREE.set(Some(slot));
    FREE_LEN.set(len + 1);
}

/// How many replies are still held, of calls that have waited (or do) in the runtime of this name.
pub(crate) fn held(name: u32) -> usize {
    let all = locked(&ALL).clone();
    let is_held = |slot: &&SlotPtr| {
        let word = slot.0.word.load(Ordering::Acquire);
        let waited = word & (WAKER | CALLER_DONE | LOCK) != 0;
        waited && word & SERVER_DONE == 0 && slot.0.watched.is_of(name)
    };
    all.iter().filter(is_held).count()
}
