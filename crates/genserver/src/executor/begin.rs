//! An incarnation's begin: lease, loop, first poll.

use super::cell_ref::CellRef;
use super::loop_slot::{first_loop, stage};
use super::poll::Held;
use super::server_cell::{Cell, Executor};
use super::turn_state::Started;
use crate::frame;
use crate::in_hand::{Retry, Rule};
use crate::keeper::Beginner;
use crate::server::GenServer;
use crate::start::{Lent, Outcome, StartSender};
use restante_core::{ExitReason, LeaseError, Phase, quiet, word};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Why an incarnation cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoLease {
    /// The mailbox's keeper says no.
    Refused,
    Closed,
    /// Another one reads.
    Taken,
}

/// Messages that a fresh server may handle on its starter's stack, after `init`.
const FIRST_TURN: u16 = 15;

#[expect(unsafe_code, reason = "RUN is the right to touch turn_state and body")]
impl<S: GenServer> Executor<S> {
    /// What becomes of messages in hand from the next incarnation on. RUN is held.
    pub(crate) fn equip(cell: &Arc<Cell<S>>, rule: Rule<S>) {
        // SAFETY: RUN is held.
        let old = Retry::put_under(&mut unsafe { cell.runner.turn_state() }.retry, rule);
        quiet::discard("a message's copy", old);
    }

    /// Begins an incarnation on a cell that has a home and whose RUN and lease are held, and polls its loop for the first time
    /// if this thread is in the right runtime (`at_home`). Returns `init`'s result if it is there already; else `waiting` will
    /// be told.
    pub(crate) fn begin(
        cell: &Arc<Cell<S>>,
        incarnation: u32,
        lent: Lent<S>,
        at_home: bool,
        waiting: impl FnOnce() -> StartSender,
    ) -> Option<Outcome> {
        let held = Held(cell);
        let here = at_home && frame::has_room() && cell.runner.threads().is_none();
        Self::prepare(cell, incarnation, lent);
        let ended = here && Self::poll(cell, None).is_ready();
        held.done();
        // SAFETY: RUN is held.
        let turn_state = unsafe { cell.runner.turn_state() };
        if ended {
            let outcome = turn_state.outcome();
            if Self::finish(cell) {
                // Not on the starter's stack.
                Self::hand_over(cell);
            }
            return Some(outcome);
        }
        // Of a failure the starter hears when the incarnation has been cleaned away: `finish` tells.
        let started = (turn_state.started == Some(Started::Yes)).then_some(Outcome::Started);
        if started.is_none() {
            turn_state.start = Some(waiting());
        }
        if here {
            // What was queued before may have been passed over as expired, and no poll of the task need come.
            Self::watch_buffers(cell);
            Self::leave(cell);
        } else {
            Self::hand_over(cell);
        }
        started
    }

    /// Leaves a loop that has not been polled yet to the task. RUN is given up.
    pub(super) fn hand_over(cell: &Arc<Cell<S>>) {
        // The note makes leaving wake the task.
        cell.word().notify();
        Self::leave(cell);
    }

    /// Makes the loop of an incarnation. RUN and the lease are held.
    pub(super) fn prepare(cell: &Arc<Cell<S>>, incarnation: u32, lent: Lent<S>) {
        {
            // SAFETY: RUN is held.
            let turn_state = unsafe { cell.runner.turn_state() };
            turn_state.inline = None;
            cell.runner.current.put_down(Phase::Init);
            turn_state.mid = true;
            turn_state.half = 0;
            if std::mem::take(&mut turn_state.held) {
                cell.word().change(0, word::HOLD);
            }
            turn_state.listening = false;
            turn_state.start = None;
            turn_state.started = None;
            turn_state.exit = None;
            turn_state.killed = false;
            // The starter is no caller: what `init` leads to may end on its stack.
            turn_state.by_caller = false;
            turn_state.left = FIRST_TURN;
        }
        if cell.runner.never_inline.load(Ordering::Relaxed) {
            cell.word().change(word::ASIDE, 0);
        }
        // A wish for an incarnation that was made by now is granted by this one.
        Self::is_due_again(cell);
        // SAFETY: the reference goes into the loop's future, which lies in this cell.
        let own = unsafe { CellRef::new(cell) };
        // SAFETY: RUN is held.
        match unsafe { &mut *cell.runner.body.get() } {
            place if cell.runner.casting().is_some() => {
                *place = cell.runner.casting().map(|casting| stage(own, incarnation, lent, casting));
            }
            // Of an incarnation that this one follows in the same breath.
            Some(last) => last.as_mut().begin(own, incarnation, lent),
            none => *none = Some(first_loop(own, incarnation, lent)),
        }
    }

    /// Takes the lease for the next incarnation, if the keeper (where there is one) lets it begin; else RUN, which is held,
    /// is given up. `first` is done just before.
    ///
    /// The keeper is asked before the lease is taken, because a refused incarnation must not look as if it were there. RUN is
    /// held, so no other thread can take the lease meanwhile, and the number is known.
    pub(crate) fn lease(cell: &Arc<Cell<S>>, by: Beginner, first: impl FnOnce()) -> Result<u32, NoLease> {
        let last = cell.incarnation();
        let mut asked = false;
        let leased = if cell.is_closed() {
            Err(NoLease::Closed)
        } else if cell.runner.is_kept()
            && !cell
                .runner
                .keeper()
                .is_some_and(|keeper| quiet::run("a keeper", || keeper.begins(last + 1, by)).unwrap_or(false))
        {
            Err(NoLease::Refused)
        } else {
            asked = true;
            first();
            cell.lease().map_err(|e| match e {
                LeaseError::Closed => NoLease::Closed,
                _ => NoLease::Taken,
            })
        };
        let why = match leased {
            Ok(incarnation) => {
                if let Some(doomed) = cell.runner.doom(None)
                    && doomed.0 == incarnation
                {
                    cell.kill_incarnation(Some(incarnation), doomed.1);
                }
                return leased;
            }
            Err(why) => why,
        };
        // SAFETY: RUN is held by the caller, who hands it over.
        unsafe { cell.leave_quietly() };
        if why == NoLease::Closed && (asked || by == Beginner::Task) {
            Self::tell_closed(cell, last + u32::from(asked));
        }
        Err(why)
    }

    /// An incarnation that the task has begun is still in `init`: it has so long. RUN is held.
    #[cold]
    pub(super) fn watch_start(cell: &Arc<Cell<S>>) {
        // SAFETY: RUN is held.
        let turn_state = unsafe { cell.runner.turn_state() };
        if cell.runner.current.phase() != Phase::Init
            || turn_state.started.is_some()
            || turn_state.start.is_some()
        {
            return;
        }
        let limit = cell.runner.keeper().and_then(|keeper| quiet::run("a keeper", || keeper.start_timeout()));
        let limit = limit.unwrap_or(std::time::Duration::MAX);
        let Some(rt) = cell.runner.rt() else { return };
        let (tell, mut told) = tokio::sync::oneshot::channel();
        turn_state.start = Some(tell);
        let (weak, incarnation) = (Arc::downgrade(cell), cell.incarnation());
        rt.handle.spawn(async move {
            if restante_core::alarm::at_most(limit, &mut told).await.is_none()
                && let Some(cell) = weak.upgrade()
            {
                let late = ExitReason::error("init did not end within the time allowed");
                cell.kill_incarnation(Some(incarnation), late);
            }
        });
    }
}
