//! The caller's side.

use super::claim::Dead;
use super::place::{SlotPtr, read};
use super::pool::{acquire, release};
use super::word::{CALLER_DONE, DEAD, FAILED, KIND, LOCK, SERVER_DONE, SHED, VALUE, WAKER};
use crate::waits::Entry;
use restante_core::sync::{Ordering, Spin};
use restante_core::{ExitReason, quiet};
use std::marker::PhantomData;
use std::task::{Context, Poll};

/// A slot for a reply of this type, and the caller's side of it. The server's side is the pointer.
#[inline(always)]
pub(crate) fn pair<T: Send>() -> (SlotPtr, Wait<T>) {
    pair_in(acquire())
}

/// A slot that has been acquired already, and the caller's side of it.
#[inline(always)]
pub(super) fn pair_in<T: Send>(slot: SlotPtr) -> (SlotPtr, Wait<T>) {
    (slot, Wait { slot, done: false, watched: false, value: PhantomData })
}

/// The caller's side.
pub(crate) struct Wait<T: Send> {
    pub(super) slot: SlotPtr,
    pub(super) done: bool,
    pub(super) watched: bool,
    pub(super) value: PhantomData<T>,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Outcome<T> {
    Value(T),
    Failed(Option<ExitReason>),
    Late,
    Dead(Dead),
}

impl<T: Send> Drop for Wait<T> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.done {
            self.abandon();
        }
    }
}

impl<T: Send> Wait<T> {
    /// Says which sweep is to watch over this wait, and from when on.
    #[inline]
    pub(crate) fn watch(&self, sweep: u32, epoch: u32) {
        self.slot.0.watched.begin(sweep, epoch);
    }

    /// As `watch`, unless this sweep watches it already: what has waited for room goes on waiting from when it began. A caller
    /// that has moved to another runtime is watched over there, from now on: the first one's may have gone with its runtime.
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
                    // No thread takes LOCK any more once a value is there and no claim is left: the slot is ours to return.
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
                // SAFETY: without WAKER only the caller, which we are, touches the waker (rule 1).
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
