//! For the loop: the message in hand, from its taking up to its end.

use super::own::Context;
use super::verbs::ExitSignal;
use crate::executor::Started;
use crate::guarded::fail_orphans;
use crate::server::{GenServer, Next, NextKind};
use crate::start::Outcome;
use crate::timer::Idle;
use restante_core::{ExitReason, Fate, Phase, drop_quietly, quiet};

impl<S: GenServer> Context<S> {
    /// Works out anew what the next message may have to wait for.
    pub(crate) fn calm(&mut self) {
        let keeps = self.cell.turn_state(|turn_state| turn_state.retry.is_some());
        let ticking = self.cold.as_ref().is_some_and(|e| e.timers.ticking() || e.timers.in_round());
        self.quiet =
            !(self.continues || self.hibernates || self.watched || self.suspended || keeps || ticking)
                && self.idle.is_none();
        self.timed = self.cold.as_ref().is_some_and(|e| e.timers.any());
    }

    #[inline(always)]
    pub(crate) fn idle_over(&mut self) {
        if !self.quiet {
            self.forget_idle();
        }
    }

    #[cold]
    #[inline(never)]
    fn forget_idle(&mut self) {
        self.idle = None;
        self.hibernates = false;
        self.calm();
    }

    /// `init` is done.
    pub(crate) fn started(&mut self) {
        quiet::run("a subscriber", || {
            tracing::debug!(
                server = std::any::type_name::<S>(), mailbox = %self.cell.label(), incarnation = self.incarnation(),
                "server started"
            );
        });
        self.calm();
        self.put_down();
        // Told outside of the turn state, because the starter's waker is foreign code.
        let sender = self.cell.turn_state(|turn_state| {
            let sender = turn_state.start.take();
            if sender.is_none() {
                turn_state.started = Some(Started::Yes);
            }
            sender
        });
        if let Some(sender) = sender {
            quiet::run("a starter's waker", || drop(sender.send(Outcome::Started)));
        }
    }

    /// `init` came to nothing.
    pub(crate) fn not_started(&mut self, started: Started, reason: &ExitReason) {
        fail_orphans(Some(reason));
        self.note_exit(reason);
        self.cell.turn_state(|turn_state| turn_state.started = Some(started));
    }

    /// A callback starts.
    #[inline(always)]
    pub(crate) fn take_up(&mut self, phase: Phase, name: &'static str) {
        self.cell.runner.current.take_up(phase, name);
    }

    /// A callback starts, as in `take_up`, but out of line: the compiler makes the words of all names that the loop knows when
    /// a poll begins, and few polls need these.
    #[inline(never)]
    pub(crate) fn take_up_rare(&mut self, phase: Phase, name: &'static str) {
        self.take_up(phase, name);
    }

    /// Nothing is in hand: whatever happens now is not a message's fault.
    #[inline(always)]
    pub(crate) fn put_down(&self) {
        self.cell.runner.current.put_down(Phase::Idle);
    }

    /// A callback has returned; with a reason, the server stops for it.
    #[inline(always)]
    pub(crate) fn finish(&mut self, stops: Option<&ExitReason>) {
        // Who gets no reply from a server that stops hears why it stops.
        fail_orphans(stops);
        let cell = &self.cell;
        cell.both(|_, own| {
            if own.in_hand {
                own.in_hand = false;
                cell.handled();
            }
        });
    }

    /// A callback has returned: does what it asked for as well. `Some`: the end.
    pub(crate) fn finish_step(&mut self, next: Next) -> Option<ExitReason> {
        self.finish(if let NextKind::Stop(reason) = &next.0 { Some(reason) } else { None });
        self.apply(next)
    }

    /// What is to come before the next message. `Some`: the end.
    #[cold]
    pub(crate) fn apply(&mut self, next: Next) -> Option<ExitReason> {
        match next.0 {
            NextKind::Go => return None,
            NextKind::Continue => self.continues = true,
            NextKind::Hibernate => self.hibernates = true,
            NextKind::Idle(after) => self.idle = Some(Box::new(Idle::new(after))),
            NextKind::Stop(reason) => {
                self.put_down();
                return Some(reason);
            }
        }
        self.calm();
        None
    }

    /// A call whose caller has gone, or whose time is over, never sees a handler.
    #[cold]
    pub(crate) fn skip(&mut self, call: S::Call, slot: crate::slot::SlotTag) {
        let fate = if slot.is_late() { Fate::Expired } else { Fate::Cancelled };
        let cell = &self.cell;
        cell.both(|_, own| own.in_hand = false);
        cell.count(fate, 1);
        if let Some(reason) = drop_quietly(call) {
            quiet::run("a subscriber", || {
                tracing::error!(server = std::any::type_name::<S>(), %reason, "a call panicked in its drop");
            });
        }
        fail_orphans(None);
    }

    /// The info for a linked server's end.
    pub(crate) fn trapped(&mut self, signal: ExitSignal) -> Option<S::Info> {
        let trap = self.cold.as_mut()?.trap.as_mut()?;
        Some(trap(signal))
    }

    /// The message in hand has no handler. Out of line: a handler is compiled into the loop.
    #[cold]
    #[inline(never)]
    pub(crate) fn unhandled(&self, what: &'static str) {
        let cell = self.cell();
        let in_hand = cell.runner.current.name();
        quiet::run("a subscriber", || {
            tracing::warn!(
                server = std::any::type_name::<S>(),
                mailbox = %cell.label(),
                in_hand,
                "{what} that the server does not handle ({in_hand})"
            );
        });
    }
}
