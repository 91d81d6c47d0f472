//! The word of a slot: its flags, its claims, its generation.

pub(super) const LOCK: u64 = 1;

pub(super) const WAKER: u64 = 1 << 1;

pub(super) const CALLER_DONE: u64 = 1 << 2;

pub(super) const SERVER_DONE: u64 = 1 << 3;

pub(super) const KIND: u64 = 3 << 4;

pub(super) const VALUE: u64 = 1 << 4;

pub(super) const FAILED: u64 = 2 << 4;

pub(super) const LATE: u64 = 3 << 4;

/// With LATE: not the time is over, but the message is dead.
pub(super) const DEAD: u64 = 1 << 6;

/// With DEAD: it was shed (else its mailbox closed, or its server ended with it in hand).
pub(super) const SHED: u64 = 1 << 7;

/// One claim beside the first.
pub(super) const CLAIM: u64 = 1 << 8;

/// All claims beside the first: how many.
pub(super) const CLAIMS: u64 = 0xffff << 8;

pub(super) const GENERATION: u64 = 1 << 24;

pub(super) const FLAGS: u64 = GENERATION - 1;

/// The low half of the generation: comes round after four billion uses of one slot.
#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
#[inline(always)]
pub(super) fn generation(word: u64) -> u32 {
    (word >> GENERATION.trailing_zeros()) as u32
}

/// The word when a claim has ended (rule 5).
#[inline(always)]
pub(super) const fn less_a_claim(word: u64) -> u64 {
    match word & CLAIMS {
        0 => word | SERVER_DONE,
        CLAIMS => word,
        _ => word - CLAIM,
    }
}
