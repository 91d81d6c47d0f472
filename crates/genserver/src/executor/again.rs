//! The next incarnation of a kept mailbox, begun by the mailbox's own task.

use super::server_cell::{Cell, Executor};
use crate::keeper::Beginner;
use crate::server::GenServer;
use crate::start::Lent;
use restante_core::cell::Runner;
use restante_core::word;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl<S: GenServer> Executor<S> {
    /// Wakes the task, to begin the next incarnation of a kept mailbox.
    pub(crate) fn again_later(cell: &Arc<Cell<S>>) {
        let Some(cold) = cell.runner.cold.get() else { return };
        // An exchange, as where it is taken back: either the task of a closed mailbox, about to be done for good, sees the
        // wish, or the close is seen here.
        cold.again.swap(true, Ordering::AcqRel);
        if cell.word().bits_acquire() & (word::CLOSED | word::LEASED) != word::CLOSED {
            cell.runner.schedule(cell);
        } else if Self::is_due_again(cell) {
            Self::tell_closed(cell, cell.incarnation());
        }
    }

    /// Begins the next incarnation on the mailbox's own task, if the keeper will have it. True: RUN is held, and the loop
    /// waits to be polled.
    pub(super) fn renew(cell: &Arc<Cell<S>>) -> bool {
        let Some(keeper) = cell.runner.keeper() else { return false };
        let mut spin = restante_core::sync::Spin::default();
        // RUN may be held for a look, or by a starter that comes first.
        while !cell.word().enter_quietly() {
            if cell.is_leased() {
                return false;
            }
            spin.wait();
        }
        let Ok(incarnation) = Self::lease(cell, Beginner::Task, || {}) else { return false };
        Self::prepare(cell, incarnation, Lent::Kept(keeper));
        true
    }

    /// Whether the task has been told to begin the next incarnation.
    pub(super) fn is_due_again(cell: &Arc<Cell<S>>) -> bool {
        cell.runner.cold.get().is_some_and(|cold| cold.again.swap(false, Ordering::AcqRel))
    }
}
