//! A loop's reference to the cell that it lies in.

use super::server_cell::Cell;
use super::turn_state::TurnState;
use crate::frame;
use crate::message::Message;
use crate::server::GenServer;
use restante_core::cell::Own;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::Arc;

/// A cell that is kept alive by the poller of the future that holds this.
///
/// INVARIANT: it only exists in a future that lies in that very cell's executor.
pub(crate) struct CellRef<S: GenServer>(ManuallyDrop<Arc<Cell<S>>>);

impl<S: GenServer> Deref for CellRef<S> {
    type Target = Arc<Cell<S>>;
    #[inline(always)]
    fn deref(&self) -> &Arc<Cell<S>> {
        &self.0
    }
}

#[expect(unsafe_code, reason = "a copy of a pointer that owns nothing")]
impl<S: GenServer> CellRef<S> {
    /// # Safety
    /// The invariant is upheld.
    pub(super) unsafe fn new(cell: &Arc<Cell<S>>) -> Self {
        // SAFETY: the copy is never dropped, so the count stays right; it is used only while the cell lives (invariant).
        Self(ManuallyDrop::new(unsafe { Arc::from_raw(Arc::as_ptr(cell)) }))
    }

    /// One for the loop that is being polled here.
    ///
    /// # Safety
    /// Called from within a poll of the loop of an `S`, for that loop.
    pub(crate) unsafe fn polled_here() -> Self {
        // SAFETY: a frame's pointer is that of the cell's `Arc`, which lives while it is polled; the copy is never dropped.
        Self(ManuallyDrop::new(unsafe { Arc::from_raw(frame::cell().cast()) }))
    }

    /// Whether the loop of this cell is the one that is being polled here: only then is the cell sure to be there, and only
    /// then does the caller hold its RUN.
    #[inline(always)]
    pub(crate) fn is_polled_here(&self) -> bool {
        std::ptr::eq(frame::cell(), Arc::as_ptr(&self.0).cast())
    }

    /// Whether the loop of this cell is the one that is being polled here, and has lent its context from this address.
    #[inline(always)]
    pub(crate) fn has_lent(&self, context: usize) -> bool {
        frame::has_lent(Arc::as_ptr(&self.0).cast(), context)
    }

    /// Another one, for the same future.
    pub(crate) fn again(&self) -> Self {
        // SAFETY: it stays in the same future.
        unsafe { Self::new(&self.0) }
    }

    /// What the loop and its runners tell each other. For the loop, which only runs while it is polled, that is under RUN.
    #[inline(always)]
    pub(crate) fn turn_state<R>(&self, f: impl FnOnce(&mut TurnState<S>) -> R) -> R {
        // SAFETY: called from within a poll of the loop, so the poller holds RUN; the closure does not call back.
        f(unsafe { &mut *self.0.runner.turn_state.get() })
    }

    /// The turn state and the reader's half of the mailbox.
    #[inline(always)]
    pub(crate) fn both<R>(&self, f: impl FnOnce(&mut TurnState<S>, &mut Own<Message<S>>) -> R) -> R {
        // SAFETY: as in `turn_state`.
        let turn_state = unsafe { &mut *self.0.runner.turn_state.get() };
        // SAFETY: as in `turn_state`.
        let own = unsafe { self.0.word().running() };
        f(turn_state, own)
    }
}
