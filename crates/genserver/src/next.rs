//! What comes next: between two messages. The order: a kill, what operators want ([`crate::sys`]), the call that a caller
//! brought along, due timers (at least once a turn), orders and messages by lane, the idle time-out, the mailbox's end.

use crate::context::Context;
use crate::message::Message;
use crate::seat::TURN;
use crate::server::GenServer;
use restante_core::word::{CLOSED, DATA, KILL, SYS};
use restante_core::{ExitReason, Phase};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Cx, Poll};

/// After so many messages a turn looks at the clock, and at timers where there are some.
const LOOK: u16 = 16;

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
            return cell.both(|desk, own| {
                // The last message of a turn, and some before it, go the long way, which looks at all the rest.
                if desk.left <= 1 || desk.inline.is_some() {
                    return None;
                }
                let looks = desk.left % LOOK == 0 || self.timed && desk.left == TURN;
                if looks && desk.must_look(self.timed) {
                    return None;
                }
                // (Not where the incarnation was killed: that is an alarm.)
                let message = cell.take_calmly(own)?;
                desk.left -= 1;
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
        cell.desk(|desk| {
            desk.mid = result.is_ready();
            if !desk.mid {
                cell.runner.hand.put_down(Phase::Idle);
            }
        });
        result
    }

    /// Goes on only on the server's own task.
    pub(crate) fn own_task(&mut self) -> OwnTask<'_, S> {
        OwnTask { ctx: self }
    }

    fn poll_next(&mut self, cx: &mut Cx<'_>) -> Poll<Event<S>> {
        let bits = self.cell.gate().bits();
        if bits & KILL != 0 {
            return Poll::Ready(Event::Stop(self.cell.doom()));
        }
        if (bits & SYS != 0 || !self.quiet)
            && let Some(event) = self.poll_unquiet(bits, cx)
        {
            return event;
        }
        if let Some(message) = self.cell.desk(|desk| desk.inline.take()) {
            self.idle_over();
            self.cell.both(|_, own| own.in_hand = true);
            return Poll::Ready(Event::Message(message));
        }
        // A caller runs the handler of its call and no more: whatever came meanwhile wakes the task when the caller leaves.
        if self.quiet && !self.timed && self.cell.desk(|desk| desk.by_caller) {
            return Poll::Pending;
        }
        if let Some(extra) = &mut self.extra {
            // Making a tick is user code, and no message is to blame for it.
            self.cell.runner.hand.put_down(Phase::Idle);
            if let Poll::Ready(info) = extra.timers.poll_due(cx) {
                if self.watched {
                    self.tell_taken(Phase::Info, S::info_name(&info), None);
                }
                return Poll::Ready(Event::Tick(info));
            }
        }
        let cell = &self.cell;
        let taken = cell.both(|desk, own| {
            if desk.left % LOOK == 0 {
                // (Timers have just been looked at.)
                desk.must_look(false);
            }
            if desk.left == 0 {
                return None;
            }
            let message = cell.take(own);
            if message.is_some() {
                desk.left -= 1;
                own.in_hand = true;
            }
            Some(message)
        });
        match taken {
            Some(Some(message)) => {
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
            Some(None) => self.poll_idle(cx),
        }
    }

    /// What comes first where there is more to see to than messages.
    #[cold]
    #[inline(never)]
    fn poll_unquiet(&mut self, bits: u32, cx: &mut Cx<'_>) -> Option<Poll<Event<S>>> {
        if bits & SYS != 0
            && let Some(event) = self.poll_sys(bits, cx)
        {
            return Some(event);
        }
        self.drop_kept(None);
        if self.continues {
            self.continues = false;
            self.calm();
            if self.watched {
                self.tell_taken(Phase::Continue, "continue", None);
            }
            return Some(Poll::Ready(Event::Continue));
        }
        self.poll_held(cx)
    }

    /// Nothing waits.
    #[inline(never)]
    fn poll_idle(&mut self, cx: &mut Cx<'_>) -> Poll<Event<S>> {
        let bits = self.cell.gate().bits_acquire();
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
        if self.ctx.cell.desk(|desk| desk.by_caller) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}
