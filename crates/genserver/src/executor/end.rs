//! An incarnation's end, and what its keeper says to it.

use super::server_cell::{Cell, Executor};
use super::turn_state::Started;
use crate::keeper::{End, Keeper, Settle, Verdict};
use crate::server::GenServer;
use crate::start::{Lent, Outcome};
use restante_core::cell::Runner;
use restante_core::word::{self, RunGuard};
use restante_core::{DeadCause, Exit, ExitReason, Fate, Phase, drop_quietly, quiet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Poll;

#[expect(unsafe_code, reason = "RUN is the right to touch turn_state and body")]
impl<S: GenServer> Executor<S> {
    /// Kills an incarnation that has the lease, or that its keeper has just promised: it will have it in a moment. False: it
    /// is over, or never comes.
    pub(crate) fn kill_kept(cell: &Arc<Cell<S>>, incarnation: u32, reason: &ExitReason) -> bool {
        let mut spin = restante_core::sync::Spin::default();
        loop {
            if cell.kill_incarnation(Some(incarnation), reason.clone()) {
                return true;
            }
            if cell.incarnation() > incarnation {
                return false;
            }
            if !cell.is_leased() {
                break;
            }
            // It has begun this very moment; or the keeper has just said that it goes on ([`Verdict::Again`]), and another
            // thread renews the lease right now.
            spin.wait();
        }
        drop(cell.runner.doom(Some(Box::new((incarnation, reason.clone())))));
        // It may have taken the lease in between; else, if it is still to come, it finds the note when it does.
        cell.kill_incarnation(Some(incarnation), reason.clone())
    }

    /// Replaces the note of an incarnation that is to end as soon as it has begun.
    pub(super) fn doom(&self, doomed: Option<Box<(u32, ExitReason)>>) -> Option<Box<(u32, ExitReason)>> {
        let cold = self.cold.get()?;
        std::mem::replace(&mut *cold.doomed.lock().unwrap_or_else(PoisonError::into_inner), doomed)
    }

    /// Tells the keeper that no other incarnation can come.
    #[cold]
    pub(super) fn tell_closed(cell: &Arc<Cell<S>>, incarnation: u32) {
        if let Some(keeper) = cell.runner.keeper() {
            let reason = cell.closed_reason().unwrap_or(ExitReason::Normal);
            let exit = Exit::new(reason, Phase::Init, None, incarnation);
            Self::settle(Self::told(&*keeper, &End::new(exit, true)));
        }
    }

    /// The task of a mailbox that will never be served again is done.
    pub(super) fn between(cell: &Arc<Cell<S>>) -> Poll<()> {
        if cell.word().bits_acquire() & (word::CLOSED | word::LEASED) != word::CLOSED {
            return Poll::Pending;
        }
        if Self::is_due_again(cell) {
            Self::tell_closed(cell, cell.incarnation());
        }
        Poll::Ready(())
    }

    /// The loop has ended. RUN is held, and given up. True, where the mailbox's keeper wants it served on: then RUN is still
    /// held, and the next incarnation's loop waits to be polled.
    pub(super) fn finish(cell: &Arc<Cell<S>>) -> bool {
        crate::cycle::ended(cell.link_id());
        // SAFETY: RUN is held.
        let turn_state = unsafe { cell.runner.turn_state() };
        let exit = turn_state.exit.take().map_or_else(
            || Exit::new(ExitReason::Killed, cell.runner.current.phase(), None, cell.incarnation()),
            |exit| *exit,
        );
        let sender = turn_state.start.take();
        let ignored = turn_state.started.take() == Some(Started::Ignored);
        let told = sender
            .as_ref()
            .map(|_| if ignored { Outcome::Ignored } else { Outcome::Stopped(exit.reason.clone()) });
        turn_state.mid = true;
        // Killed before it got to the call that its caller had brought along.
        let brought = turn_state.inline.take().map(|message| (message, exit.reason.clone()));
        if brought.is_some() {
            cell.count(Fate::Failed, 1);
        }
        cell.runner.trapping.store(false, Ordering::Relaxed);
        let owned = cell.runner.owned.load(Ordering::Relaxed);
        let keeper = cell.runner.keeper();
        let (renewed, exit, verdict) = match &keeper {
            Some(keeper) => {
                let orphaned =
                    cell.runner.with_binding(|binding| binding.gone.load(Ordering::Acquire)) == Some(true);
                match Self::ask(cell, &**keeper, End { exit, ignored, closed: cell.is_closed(), orphaned }) {
                    Ok(incarnation) => (Some(incarnation), None, None),
                    Err((exit, verdict)) => (None, Some(exit), Some(verdict)),
                }
            }
            None => (None, Some(exit), None),
        };
        let mut settled = None;
        if renewed.is_none() {
            Self::clear(cell);
            // SAFETY: RUN is held and no reference to the reader's half is alive.
            let permit = unsafe { RunGuard::assume(cell) };
            cell.end_lease_and(permit, exit, owned, |give_back| {
                settled = verdict.and_then(|verdict| Self::note(verdict, give_back));
            });
        }
        if let Some((message, reason)) = brought {
            // It was in hand in all but name: as without a policy, its caller hears why, and it goes nowhere else.
            quiet::run("a caller's waker", || cell.runner.on_dead(&message, &DeadCause::InHand(reason)));
            drop_quietly(message);
        }
        if let Some(settle) = settled {
            quiet::run("a keeper", settle);
        }
        let again = renewed.is_some();
        if let (Some(incarnation), Some(keeper)) = (renewed, keeper) {
            Self::prepare(cell, incarnation, Lent::Kept(keeper));
        }
        // After the keeper: who hears of a failed start may ask that one to start it again.
        if let (Some(sender), Some(told)) = (sender, told) {
            quiet::run("a starter's waker", || drop(sender.send(told)));
        }
        again
    }

    /// Tells the keeper of an end, and renews the lease if another incarnation is to come: its number. Else the exit comes
    /// back, with what the keeper said. RUN is held.
    fn ask(cell: &Arc<Cell<S>>, keeper: &dyn Keeper<S>, end: End) -> Result<u32, (Exit, Verdict)> {
        let verdict = Self::told(keeper, &end);
        if !matches!(verdict, Verdict::Again) {
            return Err((end.exit, verdict));
        }
        // SAFETY: RUN is held.
        let own = unsafe { cell.word().running() };
        cell.renew_lease(own, end.exit).map_err(|exit| {
            // Closed this very moment: the next incarnation, which the keeper counts on, is over already.
            let never = Exit::new(exit.reason.clone(), Phase::Init, None, exit.incarnation + 1);
            let verdict = Self::told(keeper, &End::new(never, true));
            (exit, verdict)
        })
    }

    /// What the keeper says to an end. One that panics, against its word, has nothing more to say.
    pub(super) fn told(keeper: &dyn Keeper<S>, end: &End) -> Verdict {
        quiet::run("a keeper", || keeper.ended(end)).unwrap_or(Verdict::Leave(None))
    }

    /// Has a keeper note an end and give the lease back in one step; what is left to do when all have been told.
    pub(super) fn note(verdict: Verdict, give_back: &mut dyn FnMut()) -> Option<Settle> {
        match verdict {
            Verdict::Leave(Some(note)) => quiet::run("a keeper", || note(give_back)).flatten(),
            Verdict::Leave(None) | Verdict::Again => None,
        }
    }

    /// Does what a keeper has left to do, for an end without a lease.
    fn settle(verdict: Verdict) {
        if let Some(settle) = Self::note(verdict, &mut || ()) {
            quiet::run("a keeper", settle);
        }
    }
}
