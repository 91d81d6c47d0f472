//! The loop's side: what it does when it finds SYS between two messages.

use super::log::{LogEntry, Moment, Observed};
use super::trace;
use crate::context::Context;
use crate::message::{Message, Order, OrderKind};
use crate::next::Event;
use crate::server::GenServer;
use restante_core::word::{self, CLOSED};
use restante_core::{ExitReason, Phase, drop_quietly};
use std::task::{Context as Cx, Poll};
use tokio::time::Instant;

/// What is in a handler, while the server is watched.
pub(crate) struct Open {
    phase: Phase,
    name: &'static str,
    since: Instant,
}

impl<S: GenServer> Context<S> {
    /// SYS is set: what comes of it first. `None`: nothing; what else there is goes on.
    #[cold]
    #[inline(never)]
    pub(crate) fn poll_sys(&mut self, bits: &mut u32, cx: &mut Cx<'_>) -> Option<Poll<Event<S>>> {
        if !self.cell.turn_state(|turn_state| turn_state.spans) {
            // Spans are entered at the beginning of a poll, and this one began before it was known that there are any.
            cx.waker().wake_by_ref();
            return Some(Poll::Pending);
        }
        self.tell_done(None);
        let wanted = self.wanted();
        // A call that its caller has brought along has begun already, because a caller that is answered after a suspension is
        // to find nothing under way.
        let brought = self.cell.turn_state(|turn_state| turn_state.inline.is_some());
        if wanted.question && !brought {
            let order = Order { kind: Box::new(OrderKind::Sys), incarnation: self.incarnation() };
            return Some(Poll::Ready(Event::Message(Message::Order(order))));
        }
        self.watched = wanted.watched;
        // A closed mailbox is drained, because no operator may be left to resume it.
        let stays = wanted.suspended && *bits & CLOSED == 0 && !brought;
        if stays && !self.continues {
            return Some(self.poll_suspended());
        }
        if !stays {
            self.end_suspension();
        }
        self.calm();
        if !wanted.any() {
            self.cell.word().change(0, word::SYS);
            // Rule 8 of core's `word`.
            if self.wanted().any() {
                self.cell.word().call_for();
                return self.poll_sys(bits, cx);
            }
            *bits &= !word::SYS;
        }
        None
    }

    fn wanted(&self) -> super::requests::Wanted {
        self.cell.runner.requests().map(|requests| requests.wanted(self.incarnation())).unwrap_or_default()
    }

    /// Only an order to stop comes through.
    fn poll_suspended(&mut self) -> Poll<Event<S>> {
        self.suspended = true;
        self.calm();
        // Before the look into the control lane: rule 7 of core's `word`.
        self.cell.word().change(word::HOLD, 0);
        let cell = &self.cell;
        let order = cell.both(|turn_state, own| {
            turn_state.held = true;
            let order = cell.take_order_where(own, Message::is_order_to_stop);
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
            self.cell.word().change(0, word::HOLD);
            self.cell.turn_state(|turn_state| turn_state.held = false);
        }
    }

    /// Puts the next question to the state, if there is one.
    #[cold]
    #[inline(never)]
    pub(crate) fn serve_sys(&mut self, state: Option<&mut S>) {
        self.take_up(Phase::Idle, "sys");
        let question =
            self.cell.runner.requests().and_then(|requests| requests.next_question(self.incarnation()));
        match (question, state) {
            // Asked under a net of its own: see `state`.
            (Some(question), Some(state)) => question(state),
            // Dropped, it tells its asker that there is no state.
            (question, _) => drop(drop_quietly(question)),
        }
    }

    /// A callback is about to run.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_taken(&mut self, phase: Phase, name: &'static str, message: Option<&Message<S>>) {
        let now = Instant::now();
        self.cold().open = Some(Open { phase, name, since: now });
        let traced = self.tell(phase, name, message, Moment::Taken, now);
        if traced {
            let from = message.and_then(|_| self.cell.both(|_, own| own.hand_span().cloned()));
            let span = trace::span::<S>(&self.cell.label(), self.incarnation(), phase, name, from.as_deref());
            self.cell.runner.requests().inspect(|requests| requests.put_span(span));
        }
    }

    /// It has returned, or failed for this reason.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_done(&mut self, failed: Option<&ExitReason>) {
        let Some(open) = self.cold.as_mut().and_then(|extra| extra.open.take()) else { return };
        let now = Instant::now();
        let took = now.duration_since(open.since);
        let moment = match failed {
            None => Moment::Done { took },
            Some(reason) => Moment::Failed { took, reason: reason.clone() },
        };
        let span = self.cell.runner.requests().and_then(super::SysRequests::take_span);
        if let Some(span) = span {
            trace::exit(&span);
        }
        self.tell(open.phase, open.name, None, moment, now);
    }

    fn tell(
        &self,
        phase: Phase,
        name: &'static str,
        message: Option<&Message<S>>,
        moment: Moment,
        at: Instant,
    ) -> bool {
        let Some(requests) = self.cell.runner.requests() else { return false };
        let incarnation = self.incarnation();
        let step = Observed { incarnation, phase, name, message, moment };
        let entry = || LogEntry { at, incarnation, phase, name, moment: step.moment.clone() };
        let traced = requests.tell(entry, &step);
        if traced {
            trace::event(&self.cell.label(), &step);
        }
        traced
    }
}
