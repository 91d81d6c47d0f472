//! For the loop: the end of an incarnation, noted and told.

use super::own::Context;
use crate::guarded::fail_orphans;
use crate::in_hand;
use crate::server::GenServer;
use restante_core::{Exit, ExitReason, Phase, drop_quietly, quiet, word};

impl<S: GenServer> Context<S> {
    /// The loop is over: this is why the incarnation ends.
    pub(crate) fn over(&mut self, served: Result<ExitReason, ExitReason>) -> ExitReason {
        let killed = self.lost || self.cell.word().bits() & word::KILL != 0;
        self.cell.turn_state(|turn_state| turn_state.killed = killed);
        if self.watched {
            self.tell_done(served.as_ref().err());
        }
        let reason = match served {
            Ok(reason) => {
                self.drop_kept(Some(&reason));
                reason
            }
            Err(reason) => {
                self.failed(&reason);
                reason
            }
        };
        self.note_exit(&reason);
        reason
    }

    /// Everything has been done that the state was needed for.
    pub(crate) fn bury<T>(self, state: T, reason: &ExitReason) {
        self.report(reason);
        if let Some(in_drop) = drop_quietly(state) {
            quiet::run("a subscriber", || {
                tracing::error!(server = std::any::type_name::<S>(), reason = %in_drop, "the state panicked in its drop");
            });
        }
        // Replies lie in the state, and in what the context keeps (timers): their callers hear the reason.
        drop_quietly(self);
        fail_orphans(Some(reason));
    }

    /// A callback has failed, or was killed.
    #[cold]
    pub(crate) fn failed(&mut self, reason: &ExitReason) {
        fail_orphans(Some(reason));
        let cell = &self.cell;
        // The phase and the message stay in the turn state, for the report.
        let left = cell.both(|turn_state, own| in_hand::crashed(cell, turn_state, own));
        left.clear_away(cell, reason);
        fail_orphans(Some(reason));
    }

    /// How this incarnation ends. A second note is that of a `terminate` that failed: it replaces the first, and keeps it.
    pub(crate) fn note_exit(&mut self, reason: &ExitReason) {
        let incarnation = self.incarnation();
        let cell = &self.cell;
        cell.both(|turn_state, own| {
            if let Some(before) = turn_state.exit.take() {
                turn_state.exit = Some(Box::new(Exit::of_terminate(reason.clone(), *before)));
                return;
            }
            let (phase, hand) = cell.runner.current.get();
            let message = matches!(phase, Phase::Call | Phase::Cast | Phase::Info).then_some(hand);
            own.in_hand = false;
            turn_state.exit = Some(Box::new(Exit::new(reason.clone(), phase, message, incarnation)));
        });
    }

    /// One event for each end that calls for one. (A supervisor reports its children's itself: it knows more.) A subscriber is
    /// foreign code: its panic does not change how the server ends.
    pub(crate) fn report(&self, reason: &ExitReason) {
        // The end of a runtime is told by the server's task.
        if !self.cell.runner.is_kept() && self.cell.word().bits() & word::ORPHAN == 0 {
            quiet::run("a subscriber", || self.tell_of_end(reason));
        }
    }

    fn tell_of_end(&self, reason: &ExitReason) {
        if reason.is_orderly() {
            tracing::debug!(server = std::any::type_name::<S>(), mailbox = %self.cell.label(), %reason, "server ended");
            return;
        }
        let (phase, message, before) = self.cell.turn_state(|turn_state| match &turn_state.exit {
            Some(exit) => (exit.phase, exit.message, exit.before.clone()),
            None => (self.cell.runner.current.phase(), None, None),
        });
        tracing::error!(
            server = std::any::type_name::<S>(),
            mailbox = %self.cell.label(),
            incarnation = self.incarnation(),
            %reason,
            %phase,
            // Not `message`, because tracing calls the text so.
            in_hand = message.unwrap_or_default(),
            // Why it was ending when `terminate` failed.
            before = before.map(tracing::field::display),
            "server crashed"
        );
    }
}
