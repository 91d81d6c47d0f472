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
//! 3. The side that sets the second DONE flag returns the slot. (Else it leaks or returns twice.)
//! 4. Slots are never freed, only pooled, so a stale pointer (of a sweep's list) still points at a slot, and the generation in
//!    the word makes its exchange fail.
//! 5. A claim is made only from a claim, and counted before it exists; each ends once, and the last one to end sets
//!    `SERVER_DONE`. So a claim that sees no other is the only one until it makes one. (Else a slot is returned, and used
//!    again, under a claim that is still to answer.) A claim that goes unanswered says so only when it is the last.
//! 6. The count is part of the word, and every change of it an exchange of the whole word: LOCK keeps it still, and a
//!    stale exchange fails on it as on any flag. Once it is full it stays so: the slot is then never returned, and its
//!    caller, unless it is answered, is told by its limit. (Else it would run over into the generation.)

mod claim;
mod place;
mod pool;
mod sweep;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
mod wait;
mod word;

pub(crate) use self::claim::{Dead, Delivered, SlotTag};
pub(crate) use self::place::SlotPtr;
pub(crate) use self::pool::held;
pub(crate) use self::sweep::Seen;
pub(crate) use self::wait::{Outcome, Wait, pair};

#[cfg(all(loom, test))]
#[path = "../loom_tests.rs"]
mod loom_tests;
