//! What becomes of an incarnation whose runtime has ended.

use super::server_cell::{Cell, Executor};
use crate::frame;
use crate::server::GenServer;
use restante_core::{ExitReason, later, quiet, word};
use std::sync::Arc;

#[expect(unsafe_code, reason = "RUN is the right to touch turn_state and body")]
impl<S: GenServer> Executor<S> {
    /// The runtime has dropped the task, or cannot be spawned on: ends the incarnation here and now, if RUN can be had.
    /// Otherwise the holder of RUN sees ORPHAN when it leaves.
    pub(super) fn abandon(cell: &Arc<Cell<S>>) {
        // Looked at first, because mostly there is nothing to end, and then there is nothing to wait for.
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
            // Another thread has done it.
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
}
