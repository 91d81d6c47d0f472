//! The server's side: claims, and what ends them.

use super::place::{SlotPtr, write};
use super::word::{
    CALLER_DONE, CLAIM, CLAIMS, DEAD, FAILED, KIND, LATE, LOCK, SERVER_DONE, SHED, VALUE, WAKER, generation,
    less_a_claim,
};
use restante_core::sync::{Ordering, Spin};
use restante_core::{ExitReason, quiet};

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

/// A slot in one of its uses: what a queued call knows of its reply, which its maker may have put anywhere. It is no
/// claim; in any later use of the slot it does nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotTag {
    pub(super) slot: SlotPtr,
    pub(super) generation: u32,
}

impl SlotTag {
    /// The word, if the slot is still in this use.
    #[inline(always)]
    pub(super) fn word(self) -> Option<u64> {
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

    /// The call will not be answered any more: tells the caller why, however many replies there are and wherever they are.
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

impl SlotPtr {
    /// Whether a caller still waits for this reply, within its time. For the holder of the reply.
    #[inline(always)]
    pub(crate) fn is_live(self) -> bool {
        self.0.word.load(Ordering::Relaxed) & (CALLER_DONE | KIND) == 0
    }

    /// The slot in its present use, for code that does not hold the reply.
    #[inline(always)]
    pub(crate) fn tag(self) -> SlotTag {
        SlotTag { slot: self, generation: generation(self.0.word.load(Ordering::Relaxed)) }
    }

    /// Makes one more claim. The caller holds one.
    pub(crate) fn claim(self) {
        let mut spin = Spin::default();
        loop {
            let word = self.0.word.load(Ordering::Relaxed);
            if word & CLAIMS == CLAIMS {
                return;
            }
            // As with any count of owners, making a claim orders nothing: its new holder gets it by other means.
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

    /// Answers, and ends the claim. To be called once, by the holder of the `Reply<T>`.
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
}
