//! Giving RUN up after a poll.

use super::server_cell::{Cell, Executor};
use super::turn_state::TurnState;
use crate::server::GenServer;
use crate::turns;
use restante_core::cell::Runner;
use restante_core::{clock, word};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Context as Cx;

#[expect(unsafe_code, reason = "RUN is the right to touch turn_state and body")]
impl<S: GenServer> Executor<S> {
    /// Gives RUN up after a poll, waking the task where that is called for.
    #[inline(always)]
    pub(super) fn leave(cell: &Arc<Cell<S>>) {
        let kept = Self::kept(cell);
        // SAFETY: RUN is held by the caller, who hands it over; what was lent of the reader's half has been used.
        unsafe { cell.leave(kept) };
    }

    /// Gives RUN up after a turn of the task itself. Where more is to be done, on a worker of the runtime, others have their
    /// turns first, and the driver: see [`turns`].
    #[inline(always)]
    pub(super) fn leave_turn(cell: &Arc<Cell<S>>, cx: &Cx<'_>, on_worker: bool) {
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
    pub(super) fn end_turn(cell: &Arc<Cell<S>>, kept: u32, cx: &Cx<'_>) {
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
    pub(super) fn kept(cell: &Arc<Cell<S>>) -> u32 {
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
}
