//! The slot itself: what lies in it, and the lock on it.

use super::pool::release;
use super::word::{CALLER_DONE, FLAGS, KIND, LOCK, SERVER_DONE, WAKER};
use crate::waits::Watched;
use restante_core::quiet;
use restante_core::sync::{AtomicU64, Ordering, Spin, UnsafeCell};
use std::cell::Cell;
use std::mem::{MaybeUninit, align_of, size_of};
use std::task::Waker;

type Room = [MaybeUninit<u64>; 3];

/// One slot; a cache line.
#[repr(align(64))]
pub(crate) struct Slot {
    pub(super) word: AtomicU64,
    /// Which sweep watches the wait, and since when.
    pub(super) watched: Watched,
    pub(super) waker: UnsafeCell<Option<Waker>>,
    pub(super) value: UnsafeCell<Room>,
    /// The next free one; only the thread whose pool it lies in touches it.
    pub(super) next: Cell<Option<SlotPtr>>,
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
pub(crate) struct SlotPtr(pub(super) &'static Slot);

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

const fn fits<T>() -> bool {
    size_of::<T>() <= size_of::<Room>() && align_of::<T>() <= align_of::<Room>()
}

/// Writes a value into the slot.
///
/// # Safety
/// KIND is not set, and the caller is the one that may write (rule 2).
#[expect(unsafe_code, reason = "rule 2")]
#[inline(always)]
pub(super) unsafe fn write<T>(slot: SlotPtr, value: T) {
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
pub(super) unsafe fn read<T>(slot: SlotPtr) -> T {
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

impl SlotPtr {
    /// Takes LOCK; the word as it was without it. For the holder of a claim.
    #[inline]
    pub(super) fn lock(self) -> u64 {
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
    pub(super) fn unlock(self, word: u64) {
        if word & WAKER != 0 && word & KIND != 0 {
            // SAFETY: LOCK is ours (rule 1).
            let waker = self.0.waker.with_mut(|w| unsafe { (*w).take() });
            // Release pairs with the acquire of the next thread that looks at KIND or takes LOCK.
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
    pub(super) fn wake_locked(self, locked: u64) {
        // SAFETY: LOCK is ours (rule 1).
        let waker = self.0.waker.with_mut(|w| unsafe { (*w).take() });
        self.0.word.store(locked & !(LOCK | WAKER), Ordering::Release);
        if let Some(waker) = waker {
            quiet::wake(waker);
        }
    }
}
