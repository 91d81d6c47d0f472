//! The cell of a server: who may poll its loop, and the hand-over between its own task and a caller.
//!
//! A server is a [`MailCell`](restante_core::cell::MailCell) with an executor at its end. The executor holds the loop (one
//! future, [`crate::run`]) of the present incarnation. The holder of RUN polls the loop: the server's own task, or the caller of
//! an idle server. Both poll with the cell's own waker, so a handler that goes pending under a caller is polled further by the
//! task.
//!
//! - The task is spawned at the first wake-up that needs one: a server that has had no message has none. The task then
//!   belongs to the cell, not to the incarnation, and lies still between two incarnations.
//! - A crash is never dealt with on a caller's stack: the loop waits for its own task first ([`crate::run`]).
//! - A runtime that shuts down drops the task. The next thread that can take RUN ends the incarnation (killed, no
//!   `terminate`).
//!
//! ```text
//! server_cell  the cell and its executor       begin ── the incarnation starts: lease, loop, first poll
//! turn_state   what lies under RUN             poll ─── the loop is polled by its task
//! loop_slot    where the loop lies             caller_runs ─ the loop is polled by a caller
//! cell_ref     the loop's way to its cell      leave ── RUN is given up after a poll
//! binding      runtime and task                end ──── the incarnation is over; its keeper is asked
//! task         the task, and its wake-ups      again ── the task begins the next incarnation
//! idle         buffers given back              abandon ─ the runtime has ended
//! ```
//!
//! INVARIANT (executor): the turn state and the loop are touched only under RUN (as `Own` in core's `word`); the loop points at
//! the cell that it belongs to and is dropped before the cell's memory goes.

mod abandon;
mod again;
mod begin;
mod binding;
mod caller_runs;
mod cell_ref;
mod end;
mod idle;
mod leave;
mod loop_slot;
mod poll;
mod server_cell;
mod task;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
mod turn_state;

pub(crate) use self::begin::NoLease;
pub(crate) use self::cell_ref::CellRef;
pub(crate) use self::server_cell::{Cell, Executor, NewCell, ServerHandle, new_cell};
pub(crate) use self::task::Task;
pub(crate) use self::turn_state::{Started, TurnState};
