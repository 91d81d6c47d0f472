//! Polls of the loop, under RUN.

use super::loop_slot::Body;
use super::server_cell::{Cell, Executor};
use crate::frame;
use crate::in_hand;
use crate::server::GenServer;
use crate::slot::SlotPtr;
use crate::sys::{SysRequests, trace};
use crate::turns;
use crate::watchdog;
use restante_core::{Exit, ExitReason, Phase, drop_quietly, quiet, word};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as Cx, Poll, Waker};

/// RUN, held without a net by code of ours from which nothing unwinds. Should something all the same, this is dropped on the way,
/// and ends the incarnation: its loop is dropped, its end told, lease and RUN given back.
pub(super) struct Held<'a, S: GenServer>(pub(super) &'a Arc<Cell<S>>);

impl<S: GenServer> Held<'_, S> {
    /// RUN is about to be given up in order.
    #[inline(always)]
    pub(super) fn done(self) {
        std::mem::forget(self);
    }
}

impl<S: GenServer> Drop for Held<'_, S> {
    #[cold]
    fn drop(&mut self) {
        let cell = self.0;
        frame::enter(Arc::as_ptr(cell).cast(), std::any::type_name::<S>(), None, || {
            Executor::break_off(
                cell,
                &ExitReason::error("the server's runner panicked outside of its callbacks"),
            );
        });
        if Executor::finish(cell) {
            Executor::hand_over(cell);
        }
    }
}

/// Incarnations that one poll of the task begins at most.
const RENEWALS: u32 = 16;

/// Runs a closure when it is dropped: for [`drop_quietly`].
struct Clear<F: FnMut()>(F);

impl<F: FnMut()> Drop for Clear<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[expect(unsafe_code, reason = "RUN is the right to touch turn_state and body")]
impl<S: GenServer> Executor<S> {
    /// Polls the loop once. RUN is held.
    #[inline(always)]
    pub(super) fn poll(cell: &Arc<Cell<S>>, inline: Option<SlotPtr>) -> Poll<()> {
        if watchdog::is_on() || cell.word().bits() & word::SYS != 0 {
            return Self::poll_watched(cell, inline);
        }
        Self::poll_as(cell, inline, |body, cx| body.as_mut().poll(cx))
    }

    /// Polls the loop where it is watched: seen by a watchdog, and inside the span of the message in hand.
    #[cold]
    #[inline(never)]
    fn poll_watched(cell: &Arc<Cell<S>>, inline: Option<SlotPtr>) -> Poll<()> {
        let _posted =
            watchdog::is_on().then(|| watchdog::post(Some(Arc::clone(cell) as Arc<dyn watchdog::Watched>)));
        Self::poll_as(cell, inline, |body, cx| {
            let requests = cell.runner.requests();
            requests.inspect(|requests| requests.with_span(trace::enter));
            // SAFETY: RUN is held, and the loop is not being polled yet.
            unsafe { cell.runner.turn_state() }.spans = true;
            let polled = body.as_mut().poll(cx);
            // SAFETY: RUN is held, and the loop is not being polled any more.
            unsafe { cell.runner.turn_state() }.spans = false;
            cell.runner.requests().inspect(|requests| requests.with_span(trace::exit));
            polled
        })
    }

    /// Polls the loop by way of `poll`.
    #[inline(always)]
    fn poll_as(
        cell: &Arc<Cell<S>>,
        inline: Option<SlotPtr>,
        poll: impl FnOnce(&mut Body<S>, &mut Cx<'_>) -> Poll<()>,
    ) -> Poll<()> {
        // SAFETY: RUN is held, so this is the only reference.
        let Some(body) = (unsafe { (*cell.runner.body.get()).as_mut() }) else { return Poll::Ready(()) };
        // SAFETY: the count that this would own is not ours, so neither the Arc nor the waker made of it is ever dropped.
        let waker = ManuallyDrop::new(Waker::from(unsafe { Arc::from_raw(Arc::as_ptr(cell)) }));
        let mut cx = Cx::from_waker(&waker);
        frame::enter(Arc::as_ptr(cell).cast(), std::any::type_name::<S>(), inline, || {
            // The callbacks have a net of their own. This one is for what else may run (a tracing subscriber, say): RUN must
            // be given up whatever happens.
            match catch_unwind(AssertUnwindSafe(|| poll(body, &mut cx))) {
                Ok(polled) => polled,
                Err(payload) => {
                    let reason = ExitReason::from_panic(payload);
                    Self::break_off(cell, &reason);
                    Poll::Ready(())
                }
            }
        })
    }

    /// Drops the loop, if there is one. RUN is held.
    pub(super) fn clear(cell: &Arc<Cell<S>>) {
        // SAFETY: RUN is held.
        unsafe { *cell.runner.body.get() = None };
    }

    /// Drops the loop in the middle of what it does, without `terminate`. RUN is held, and the cell's frame is on top.
    #[cold]
    pub(super) fn break_off(cell: &Arc<Cell<S>>, reason: &ExitReason) {
        // SAFETY: RUN is held.
        let turn_state = unsafe { cell.runner.turn_state() };
        // SAFETY: RUN is held.
        let own = unsafe { cell.word().running() };
        let (phase, hand) = cell.runner.current.get();
        let phase = if turn_state.mid { phase } else { Phase::Idle };
        let exit = match turn_state.exit.take() {
            // It was ending already, and has been broken off in `terminate`.
            Some(before) => Exit::of_terminate(reason.clone(), *before),
            None => Exit::new(reason.clone(), phase, own.in_hand.then_some(hand), cell.incarnation()),
        };
        turn_state.exit = Some(Box::new(exit));
        let left = in_hand::crashed(cell, turn_state, own);
        let span = cell.runner.requests().and_then(SysRequests::take_span);
        // Where the poll was cut short its span is still open.
        let opened = std::mem::take(&mut turn_state.spans);
        drop_quietly(Clear(|| Self::clear(cell)));
        drop_quietly(Clear(|| span.as_deref().filter(|_| opened).into_iter().for_each(trace::exit)));
        drop_quietly(span);
        quiet::run("the end of a message in hand", || left.clear_away(cell, reason));
        for slot in frame::take_orphans() {
            quiet::run("a caller's waker", || slot.fail(Some(reason.clone())));
        }
    }

    /// One poll of the server's own task: a turn of at most so many messages; on a runtime's worker (`None`) of as many as
    /// were agreed upon at the end of the last one.
    pub(super) fn poll_task(cell: &Arc<Cell<S>>, cx: &mut Cx<'_>, turn: Option<u16>) -> Poll<()> {
        // Comes before anything else, because a thread that finds no task spawns one.
        cell.runner.with_binding(|binding| {
            if binding.task.get().is_none() {
                let _ = binding.task.set(cx.waker().clone());
            }
        });
        // SAFETY: this poll has no reference to the reader's half yet.
        let entered = unsafe { cell.enter_and_refill() };
        let mut renewed = 0;
        if cell.word().bits() & word::LEASED == 0 {
            // Between two incarnations. Another holder of RUN now only looks, or is a starter that may be refused. The note
            // that was left there is for an incarnation, and wakes no task that wants to begin one.
            if entered {
                // SAFETY: RUN has just been taken.
                unsafe { cell.leave_quietly() };
            }
            if !Self::is_due_again(cell) || !Self::renew(cell) {
                return Self::between(cell);
            }
            renewed += 1;
        } else if !entered {
            return Poll::Pending;
        }
        loop {
            let held = Held(cell);
            let polled = Self::poll_turn(cell, turn);
            held.done();
            if polled.is_pending() {
                break;
            }
            if !Self::finish(cell) {
                return Self::between(cell);
            }
            if renewed == RENEWALS {
                // Others want to be polled as well.
                cell.word().notify();
                match turn {
                    None => Self::end_turn(cell, Self::kept(cell), cx),
                    Some(_) => Self::leave(cell),
                }
                return Poll::Pending;
            }
            renewed += 1;
        }
        let held = Held(cell);
        if renewed > 0 {
            Self::watch_start(cell);
        }
        Self::watch_buffers(cell);
        held.done();
        Self::leave_turn(cell, cx, turn.is_none());
        Poll::Pending
    }

    /// A turn on the server's own task. RUN and the lease are held.
    #[inline(always)]
    pub(super) fn poll_turn(cell: &Arc<Cell<S>>, turn: Option<u16>) -> Poll<()> {
        {
            // SAFETY: RUN is held.
            let turn_state = unsafe { cell.runner.turn_state() };
            turn_state.left = turn.unwrap_or(turn_state.turn.into());
            turn_state.longer = if turn.is_none() { turns::LONGER } else { 0 };
            turn_state.began = 0;
            turn_state.by_caller = false;
            if turn_state.pace.tick()
                && cell.word().bits() & word::ASIDE != 0
                && !cell.runner.never_inline.load(Ordering::Relaxed)
            {
                // Slow once is not slow for ever: the next caller may try again.
                cell.word().change(0, word::ASIDE);
            }
        }
        Self::poll(cell, None)
    }

    /// A poll of the task has unwound, and [`Held`] has ended the incarnation.
    #[cold]
    pub(super) fn unwound(cell: &Arc<Cell<S>>, payload: Box<dyn std::any::Any + Send>) -> Poll<()> {
        let reason = ExitReason::from_panic(payload);
        quiet::run("a subscriber", || {
            tracing::error!(server = std::any::type_name::<S>(), %reason, "a server's task panicked outside of its callbacks");
        });
        Self::between(cell)
    }
}
