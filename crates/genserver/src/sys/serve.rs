//! The loop's side: what it does when it finds SYS between two messages.

use super::log::{LogEntry, Moment, Observed};
use crate::context::Context;
use crate::message::Message;
use crate::next::Event;
use crate::server::GenServer;
use restante_core::word::{self, CLOSED};
use restante_core::{ExitReason, Phase};
use std::task::Poll;
use tokio::time::Instant;

/// What is in a handler, while somebody watches.
pub(crate) struct Open {
    phase: Phase,
    name: &'static str,
    since: Instant,
}

impl<S: GenServer> Context<S> {
    /// SYS is set: what comes of it first. `None`: nothing; what else there is goes on.
    #[cold]
    #[inline(never)]
    pub(crate) fn poll_sys(&mut self, bits: u32) -> Option<Poll<Event<S>>> {
        let wanted = self.wanted();
        if wanted.question {
            return Some(Poll::Ready(Event::Sys));
        }
        self.watched = wanted.watched;
        // A call that its caller has brought along has begun already; and a closed mailbox is drained, for nobody may be
        // left to resume it.
        let stays = wanted.suspended && bits & CLOSED == 0 && !self.cell.desk(|desk| desk.inline.is_some());
        if stays && !self.continues {
            return Some(self.poll_suspended());
        }
        if !stays {
            self.end_suspension();
        }
        self.calm();
        if !wanted.any() {
            self.cell.gate().change(0, word::SYS);
            // Rule 8 of core's `word`.
            if self.wanted().any() {
                self.cell.gate().call_for();
            }
        }
        None
    }

    fn wanted(&self) -> super::wishes::Wanted {
        self.cell.runner.wishes().map(|wishes| wishes.wanted(self.incarnation())).unwrap_or_default()
    }

    /// Only an order to stop comes through.
    fn poll_suspended(&mut self) -> Poll<Event<S>> {
        self.suspended = true;
        self.calm();
        // Before the look into the control lane: rule 7 of core's `word`.
        self.cell.gate().change(word::HOLD, 0);
        let cell = &self.cell;
        let order = cell.both(|desk, own| {
            desk.held = true;
            let order = cell.take_order_where(own, |message| message.is_order_to_stop());
            own.in_hand = order.is_some();
            order
        });
        match order {
            Some(order) => Poll::Ready(Event::Message(order)),
            None => Poll::Pending,
        }
    }

    fn end_suspension(&mut self) {
        if std::mem::take(&mut self.suspended) {
            self.cell.gate().change(0, word::HOLD);
            self.cell.desk(|desk| desk.held = false);
        }
    }

    /// Puts the next question to the state.
    #[cold]
    #[inline(never)]
    pub(crate) fn serve_sys(&mut self, state: &mut S) {
        self.take_up(Phase::Idle, "sys");
        let question = self.cell.runner.wishes().and_then(|wishes| wishes.next_question(self.incarnation()));
        if let Some(question) = question {
            // (Under a net of its own: see `state`.)
            question(state);
        }
    }

    /// A callback is about to run.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_taken(&mut self, event: &Event<S>) {
        let (phase, name, message) = match event {
            Event::Message(message) if message.is_for(self.incarnation()) => {
                (message.phase(), message.name(), Some(message))
            }
            Event::Tick(info) => (Phase::Info, S::info_name(info), None),
            Event::Continue => (Phase::Continue, "continue", None),
            Event::Idle => (Phase::Idle, "timeout", None),
            Event::Message(_) | Event::Sys | Event::Stop(_) => return,
        };
        let now = Instant::now();
        self.extra().open = Some(Open { phase, name, since: now });
        self.tell(phase, name, message, Moment::Taken, now);
    }

    /// It has returned, or failed for this reason.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_done(&mut self, failed: Option<&ExitReason>) {
        let Some(open) = self.extra.as_mut().and_then(|extra| extra.open.take()) else { return };
        let now = Instant::now();
        let took = now.duration_since(open.since);
        let moment = match failed {
            None => Moment::Done { took },
            Some(reason) => Moment::Failed { took, reason: reason.clone() },
        };
        self.tell(open.phase, open.name, None, moment, now);
    }

    fn tell(
        &self,
        phase: Phase,
        name: &'static str,
        message: Option<&Message<S>>,
        moment: Moment,
        at: Instant,
    ) {
        let Some(wishes) = self.cell.runner.wishes() else { return };
        let incarnation = self.incarnation();
        let step = Observed { incarnation, phase, name, message, moment };
        let entry = || LogEntry { at, incarnation, phase, name, moment: step.moment.clone() };
        if wishes.tell(entry, &step) {
            super::trace::event(&self.cell.label(), &step);
        }
    }
}
