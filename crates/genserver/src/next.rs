//! What comes next: between two messages. The order: a kill, what operators want ([`crate::sys`]), the call that a caller
//! brought along, orders and all else that lies in the control lane; then one tick of each due timer (looked at at least
//! once a turn), at least one message of data, the mailbox's end, the idle time-out. Ticks are kept from coming one after
//! the other by the rounds of [`crate::timer`].
//!
//! `handle_continue` comes before all messages. One that is asked for by `handle_continue` again and again lets orders
//! through in between.

use crate::context::Context;
use crate::message::Message;
use crate::server::GenServer;
use restante_core::word::{CLOSED, DATA, KILL, SYS};
use restante_core::{ExitReason, Phase};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Cx, Poll};
use tokio::time::Instant;

/// After so many messages a turn looks at the clock, and at timers where there are some.
pub(crate) const LOOK: u16 = 16;

/// What the loop is to do.
pub(crate) enum Event<S: GenServer> {
    Message(Message<S>),
    /// A timer is due.
    Tick(S::Info),
    Continue,
    Idle,
    Stop(ExitReason),
}

impl<S: GenServer> Context<S> {
    /// The next message of this turn, if nothing else can come before it.
    #[inline(always)]
    pub(crate) fn try_next(&mut self) -> Option<Message<S>> {
        if self.quiet {
            let cell = &self.cell;
            return cell.both(|turn_state, own| {
                // The last message of a turn, and some before it, go the long way, which looks at all the rest.
                if turn_state.left <= 1 || turn_state.inline.is_some() {
                    return None;
                }
                let looks = turn_state.left % LOOK == 0 || self.timed && !turn_state.has_looked();
                if looks && turn_state.must_look(self.timed) {
                    return None;
                }
                // Takes nothing where the incarnation was killed: a kill is an alarm.
                let message = cell.take_calmly(own)?;
                turn_state.left -= 1;
                own.in_hand = true;
                Some(message)
            });
        }
        None
    }

    /// What comes next, once it is there.
    #[inline]
    pub(crate) fn poll_event(&mut self, cx: &mut Cx<'_>) -> Poll<Event<S>> {
        let result = self.poll_next(cx);
        // Pending here, and only here, is the place where a caller may step in.
        let cell = &self.cell;
        cell.turn_state(|turn_state| {
            turn_state.mid = result.is_ready();
            if !turn_state.mid {
                cell.runner.current.put_down(Phase::Idle);
            }
        });
        result
    }

    /// Goes on only on the server's own task.
    pub(crate) fn own_task(&mut self) -> OwnTask<'_, S> {
        OwnTask { ctx: self }
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Cx<'_>) -> Poll<Event<S>> {
        let mut bits = self.cell.word().bits();
        if bits & KILL != 0 {
            return Poll::Ready(Event::Stop(self.cell.doom()));
        }
        if (bits & SYS != 0 || !self.quiet)
            && let Some(event) = self.poll_unquiet(&mut bits, cx)
        {
            return event;
        }
        if let Some(message) = self.cell.turn_state(|turn_state| turn_state.inline.take()) {
            self.idle_over();
            self.cell.both(|_, own| own.in_hand = true);
            return Poll::Ready(Event::Message(message));
        }
        // A caller runs the handler of its call and no more: whatever came meanwhile wakes the task when the caller leaves.
        if self.quiet && !self.timed && self.cell.turn_state(|turn_state| turn_state.by_caller) {
            return Poll::Pending;
        }
        if self.timed
            && let Some(event) = self.poll_first(bits, cx)
        {
            return event;
        }
        let cell = &self.cell;
        let taken = cell.both(|turn_state, own| {
            if turn_state.left % LOOK == 0 {
                // Timers have just been looked at.
                turn_state.must_look(false);
            }
            if turn_state.left == 0 {
                return None;
            }
            // What is sent after an operator was heard is not to be handled before the operator is obeyed.
            let message = cell.take_unless(own, SYS & !bits);
            if message.is_some() {
                turn_state.left -= 1;
                own.in_hand = true;
            }
            Some(message)
        });
        match taken {
            Some(Some(message)) => {
                self.end_round();
                if !self.quiet {
                    self.look_at(&message);
                }
                Poll::Ready(Event::Message(message))
            }
            // The turn is over, whatever else waits.
            None => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(None) if self.heard_operator(bits) => self.poll_next(cx),
            Some(None) => {
                self.end_round();
                match self.poll_idle(cx) {
                    Poll::Pending if self.poll_round(cx).is_ready() => self.poll_next(cx),
                    event => event,
                }
            }
        }
    }

    /// A message of data has been taken, or there is none.
    #[inline(always)]
    fn end_round(&mut self) {
        if let Some(extra) = &mut self.cold
            && extra.timers.in_round()
        {
            extra.timers.end_round();
            self.calm();
        }
    }

    /// An operator has been heard since the word was looked at.
    pub(crate) fn heard_operator(&self, bits: u32) -> bool {
        self.cell.word().bits() & SYS & !bits != 0
    }

    /// What comes before data: what lies in the control lane, then a tick of this round. `None`: neither.
    #[inline(never)]
    pub(crate) fn poll_first(&mut self, bits: u32, cx: &mut Cx<'_>) -> Option<Poll<Event<S>>> {
        if self.is_turn_over(cx) {
            return Some(Poll::Pending);
        }
        if let Some(order) = self.take_order(bits) {
            return Some(Poll::Ready(Event::Message(order)));
        }
        let extra = self.cold.as_mut()?;
        // Making a tick is user code, and no message is to blame for it.
        self.cell.runner.current.put_down(Phase::Idle);
        let info = extra.timers.tick(Instant::now())?;
        self.calm();
        self.spend();
        if self.watched {
            self.tell_taken(Phase::Info, S::info_name(&info), None);
        }
        Some(Poll::Ready(Event::Tick(info)))
    }

    /// The next of the control lane.
    fn take_order(&mut self, bits: u32) -> Option<Message<S>> {
        let cell = &self.cell;
        let order = cell.both(|turn_state, own| {
            let order = cell.take_order_unless(own, SYS & !bits)?;
            turn_state.left = turn_state.left.saturating_sub(1);
            own.in_hand = true;
            Some(order)
        })?;
        if !self.quiet {
            self.look_at(&order);
        }
        Some(order)
    }

    /// Nothing is to be done before the next round of ticks: ready when that can begin.
    pub(crate) fn poll_round(&mut self, cx: &mut Cx<'_>) -> Poll<()> {
        match &mut self.cold {
            Some(extra) => extra.timers.poll_round(cx),
            None => Poll::Pending,
        }
    }

    /// Whether the turn is over, whatever else waits; then there is another one.
    fn is_turn_over(&mut self, cx: &mut Cx<'_>) -> bool {
        let over = self.cell.turn_state(|turn_state| turn_state.left == 0);
        if over {
            cx.waker().wake_by_ref();
        }
        over
    }

    /// What is no message uses up the turn as well.
    fn spend(&mut self) {
        self.cell.turn_state(|turn_state| {
            turn_state.left = turn_state.left.saturating_sub(1);
            turn_state.must_look(false);
        });
    }

    /// What comes first where there is more to see to than messages.
    #[cold]
    #[inline(never)]
    fn poll_unquiet(&mut self, bits: &mut u32, cx: &mut Cx<'_>) -> Option<Poll<Event<S>>> {
        // First: whose reply the last handler has dropped is not to wait for a suspended server.
        self.drop_kept(None);
        if let Some(extra) = self.cold.as_mut().filter(|extra| extra.timers.ticking()) {
            extra.timers.end_tick(Instant::now());
            self.calm();
        }
        if *bits & SYS != 0
            && let Some(event) = self.poll_sys(bits, cx)
        {
            return Some(event);
        }
        if self.continues {
            if self.is_turn_over(cx) {
                return Some(Poll::Pending);
            }
            // The first comes at once; but no chain of them keeps an order to stop out.
            if self.cell.runner.current.phase() == Phase::Continue
                && let Some(order) = self.take_order(*bits)
            {
                return Some(Poll::Ready(Event::Message(order)));
            }
            self.spend();
            self.continues = false;
            self.calm();
            if self.watched {
                self.tell_taken(Phase::Continue, "continue", None);
            }
            return Some(Poll::Ready(Event::Continue));
        }
        self.poll_held(*bits, cx)
    }

    /// Nothing waits.
    #[inline(never)]
    fn poll_idle(&mut self, cx: &mut Cx<'_>) -> Poll<Event<S>> {
        let bits = self.cell.word().bits_acquire();
        if bits & CLOSED != 0 && bits & DATA == 0 {
            return Poll::Ready(Event::Stop(self.cell.closed_reason().unwrap_or(ExitReason::Normal)));
        }
        if self.hibernates {
            self.hibernates = false;
            self.calm();
            let cell = &self.cell;
            cell.both(|_, own| cell.shrink(own));
        }
        if let Some(idle) = &mut self.idle
            && idle.poll(cx).is_ready()
        {
            self.idle_over();
            self.spend();
            if let Some(extra) = &mut self.cold {
                extra.timers.end_round();
            }
            if self.watched {
                self.tell_taken(Phase::Idle, "timeout", None);
            }
            return Poll::Ready(Event::Idle);
        }
        Poll::Pending
    }
}

/// See [`Context::own_task`].
pub(crate) struct OwnTask<'a, S: GenServer> {
    ctx: &'a mut Context<S>,
}

impl<S: GenServer> Future for OwnTask<'_, S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<()> {
        if self.ctx.cell.turn_state(|turn_state| turn_state.by_caller) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}
