//! Buffers that are given back once a server is idle.

use super::server_cell::{Cell, Executor};
use crate::server::GenServer;
use std::sync::Arc;

/// Buffers above this many bytes are given back after a burst.
const FAT: usize = 4096;

#[expect(unsafe_code, reason = "RUN is the right to touch turn_state and body")]
impl<S: GenServer> Executor<S> {
    /// Buffers that a burst has left behind are given back once the server has been idle for a tick.
    #[inline]
    pub(super) fn watch_buffers(cell: &Arc<Cell<S>>) {
        // SAFETY: RUN is held.
        let own = unsafe { cell.word().running() };
        if cell.batch_bytes(own) > FAT {
            Self::watch_fat_buffers(cell);
        }
    }

    #[cold]
    fn watch_fat_buffers(cell: &Arc<Cell<S>>) {
        // SAFETY: RUN is held.
        let turn_state = unsafe { cell.runner.turn_state() };
        // A runtime that has ended looks no more, so the next one is asked anew.
        let name = cell.runner.with_binding(|binding| binding.rt.name()).unwrap_or_default();
        let name = u16::try_from(name % u32::from(u16::MAX)).unwrap_or_default() + 1;
        if turn_state.watched == name {
            return;
        }
        let Some(rt) = cell.runner.rt() else { return };
        turn_state.watched = name;
        let weak = Arc::downgrade(cell);
        let mut seen = 0;
        rt.watch_fat(Box::new(move || {
            let Some(cell) = weak.upgrade() else { return true };
            let handled = cell.stats().ledger.handled;
            let quiet = std::mem::replace(&mut seen, handled) == handled;
            if !quiet || !cell.word().enter_quietly() {
                return false;
            }
            // SAFETY: RUN has just been taken.
            let own = unsafe { cell.word().running() };
            cell.shrink(own);
            // SAFETY: RUN is held.
            let watched = &mut unsafe { cell.runner.turn_state() }.watched;
            if *watched == name {
                *watched = 0;
            }
            // SAFETY: RUN is held, and what was lent under it has been used.
            unsafe { cell.leave_quietly() };
            true
        }));
    }
}
