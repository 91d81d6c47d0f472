//! Caller-runs: a call that its caller runs on its own stack.

use super::server_cell::{Cell, Executor};
use crate::frame;
use crate::message::Message;
use crate::rt::Rt;
use crate::server::GenServer;
use crate::slot::SlotPtr;
use restante_core::word;
use std::sync::Arc;

/// Handlers that take longer than this are not run by callers.
const SLOW: std::time::Duration =
    if cfg!(shuttle) { std::time::Duration::MAX } else { std::time::Duration::from_micros(2) };

#[expect(unsafe_code, reason = "RUN is the right to touch turn_state and body")]
impl<S: GenServer> Executor<S> {
    /// Runs a call on the caller's own stack, if the server is idle and all else allows it; else gives it back.
    #[inline(always)]
    pub(crate) fn run_inline(
        cell: &Arc<Cell<S>>,
        message: Message<S>,
        slot: SlotPtr,
        rt: Option<&Arc<Rt>>,
    ) -> Result<(), Message<S>> {
        if !frame::has_room() || !cell.word().enter_idle() {
            return Err(message);
        }
        let binding = cell.runner.moved().is_none().then(|| cell.runner.binding.get()).flatten();
        // A handler that spawns or sleeps must do so in its own runtime: elsewhere the mailbox is the way.
        let here = match (binding, rt) {
            (Some(binding), None) => binding.rt.is_entered(),
            (Some(binding), Some(rt)) => Arc::ptr_eq(&binding.rt, rt),
            (None, _) => false,
        };
        if !here {
            Self::leave(cell);
            return Err(message);
        }
        // SAFETY: RUN is held since `enter_idle`.
        let turn_state = unsafe { cell.runner.turn_state() };
        turn_state.inline = Some(message);
        turn_state.by_caller = true;
        turn_state.left = 1;
        let timed = turn_state.pace.tick().then(std::time::Instant::now);
        cell.came_inline();
        if Self::poll(cell, Some(slot)).is_ready() {
            // It broke off: see `poll`. (A loop that ends in order waits for its own task.)
            if Self::finish(cell) {
                Self::hand_over(cell);
            }
            return Ok(());
        }
        if let Some(began) = timed {
            // SAFETY: RUN is held until `leave`, and the poll has returned.
            let turn_state = unsafe { cell.runner.turn_state() };
            if turn_state.pace.took(began.elapsed() > SLOW) {
                // Two callers that could run beside each other must not run after each other for a slow handler's sake.
                cell.word().change(word::ASIDE, 0);
            }
        }
        Self::leave(cell);
        Ok(())
    }
}
