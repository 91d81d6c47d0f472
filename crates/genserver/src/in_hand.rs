//! The message in hand at a crash: what becomes of it.
//!
//! A handler is given its message by value, so a server that crashes has nothing left to deliver again. One with a policy
//! other than [`InHand::Drop`] therefore makes a copy of each message before its handler gets it ([`Redeliver`] says
//! how), and drops the copy when the handler has returned. The copy, the policy and the back-off lie in the turn state, in the
//! cell: they outlive the loop, whatever ends it.
//!
//! The rule ([`InHand::decide`]) is synchronous; what it says is done by [`crashed`], under RUN and outside the handler.
//! What lies elsewhere: how several replies to one call agree (`slot`), how an order wakes a server that waits out a
//! back-off (rule 7 of core's `word`).

use crate::context::Context;
use crate::executor::{Cell, TurnState};
use crate::guarded::fail_orphans;
use crate::message::{CallMessage, Message};
use crate::next::Event;
use crate::server::GenServer;
use restante_core::cell::Own;
use restante_core::{ExitReason, Fate, Lane, drop_quietly, quiet, word};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Cx, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// What becomes of the message that a handler had when its server crashed: by a panic, by an `Err`, or by a kill (an
/// untrapped exit of a linked server and the end of the runtime are kills too). A server that stops, and be it by
/// [`Next::stop`](crate::Next::stop), has handled its message.
///
/// Only a message whose handler had started is concerned: what was queued stays queued, and uncounted. What a handler has
/// received by itself ([`Context::receive`]) was handled when it was received; ticks, `handle_continue` and
/// notices of monitors are not delivered again.
///
/// A policy other than [`Drop`](Self::Drop) costs a copy of each message, and takes the short ways through the mailbox
/// away: callers do not run the handlers of such a server (as with [`CallerRuns::Never`](crate::CallerRuns::Never)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum InHand {
    /// It is dropped, and counted as failed; its caller hears `Exited` at once. The default.
    #[default]
    Drop,
    /// It is put back at the front of its lane, for the next incarnation to take first; its caller goes on waiting, within its
    /// limit. A call that is not waited for any more (answered before the crash, or given up) is dropped as above.
    ///
    /// Without a copy ([`Redeliver`] said `None`, or panicked) it is dropped as above.
    Redeliver {
        /// How often it is put back at most: its handler is started once more than that, and when that one crashes too it
        /// is dead-lettered as below. 0 is [`InHand::DeadLetter`], for messages of which there is a copy.
        max: u32,
        /// How long it waits before the second attempt; twice as long before each further one, and never longer than an
        /// hour. Zero: not at all. Meanwhile no data overtakes it, of whatever lane; orders, notices, timers and all
        /// else that comes in the control lane are served. (So a message that came in the control lane itself does not wait.)
        backoff: Duration,
    },
    /// It goes to the dead-letter mailbox, where one is set, and is counted as dead-lettered; its caller hears `Exited`. Where
    /// there is no copy, the letter has no body.
    DeadLetter,
}

/// The longest back-off.
const BACKOFF_MAX: Duration = Duration::from_secs(3600);

/// What is to be done with a message in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// Back to the front of its lane, for so long.
    PutBack(Duration),
    DeadLetter,
    Drop,
}

/// What is known of a message in hand at a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CrashedMessage {
    /// Handlers that have started on it, the one that crashed included.
    started: u32,
    /// There is a copy of it.
    copied: bool,
    /// Its outcome is waited for, or is one that no caller ever waits for.
    wanted: bool,
}

impl InHand {
    /// [`InHand::Redeliver`] without a back-off.
    #[must_use]
    pub const fn redeliver(max: u32) -> Self {
        Self::Redeliver { max, backoff: Duration::ZERO }
    }

    /// Sets the policy's back-off; a policy that puts nothing back has none.
    #[must_use]
    pub const fn backoff(self, backoff: Duration) -> Self {
        match self {
            Self::Redeliver { max, .. } => Self::Redeliver { max, backoff },
            other => other,
        }
    }

    fn decide(self, crashed_message: CrashedMessage) -> Decision {
        match self {
            Self::DeadLetter => Decision::DeadLetter,
            Self::Redeliver { max, .. } if crashed_message.copied && crashed_message.started > max => {
                Decision::DeadLetter
            }
            Self::Redeliver { backoff, .. } if crashed_message.copied && crashed_message.wanted => {
                let doublings = crashed_message.started.saturating_sub(1).min(31);
                Decision::PutBack(backoff.saturating_mul(1 << doublings).min(BACKOFF_MAX))
            }
            Self::Redeliver { .. } | Self::Drop => Decision::Drop,
        }
    }
}

/// How to make a copy of a message, before its handler gets it, so that it can be delivered again or dead-lettered.
///
/// `None` says that this message is not to be tried again: if its handler crashes it is dropped, as without a policy; under
/// [`InHand::DeadLetter`] it is dead-lettered without a body. These run on the server between two messages, under a net: one
/// that panics is logged, and its message handled without a copy.
///
/// The copy is dropped when the handler has returned in order. A reply that the handler kept is then still good; one
/// that it dropped unanswered is told of now, and not before.
pub trait Redeliver: GenServer {
    /// A copy of a call: the same request, with [`Reply::again`](crate::Reply::again) for its reply.
    fn retry_call(call: &Self::Call) -> Option<Self::Call>;

    /// A copy of a cast.
    fn retry_cast(cast: &Self::Cast) -> Option<Self::Cast>;

    /// A copy of an info that came through the mailbox. Without one of its own, a server does not try them again.
    fn retry_info(info: &Self::Info) -> Option<Self::Info> {
        let _ = info;
        None
    }
}

/// A policy, and how its server makes copies.
pub(crate) struct Rule<S: GenServer> {
    policy: InHand,
    copy: fn(&Message<S>) -> Option<Message<S>>,
}

impl<S: GenServer> Clone for Rule<S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S: GenServer> Copy for Rule<S> {}

impl<S: GenServer> fmt::Debug for Rule<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.policy.fmt(f)
    }
}

impl<S: GenServer> Rule<S> {
    pub(crate) fn new(policy: InHand) -> Self
    where
        S: Redeliver,
    {
        Self { policy, copy: copy_of::<S> }
    }

    /// Whether there is anything to keep.
    pub(crate) fn keeps(&self) -> bool {
        self.policy != InHand::Drop
    }
}

fn copy_of<S: Redeliver>(message: &Message<S>) -> Option<Message<S>> {
    match message {
        // No caller waits: no handler will have the call.
        Message::Call(call) if !call.slot.is_live() => None,
        Message::Call(CallMessage { call, slot }) => {
            S::retry_call(call).map(|call| Message::Call(CallMessage { call, slot: *slot }))
        }
        Message::Cast(cast) => S::retry_cast(cast).map(Message::Cast),
        Message::Info(info) => S::retry_info(info).map(Message::Info),
        // For one incarnation only.
        Message::Notice(_) | Message::Order(_) => None,
    }
}

/// In the turn state of a server that has a policy.
pub(crate) struct Retry<S: GenServer> {
    rule: Rule<S>,
    /// The copy of the message in hand; of the last one, until the loop comes to the next.
    copy: Option<Message<S>>,
    /// Until when the message that was put back into this lane waits, and all data with it.
    until: Option<(Instant, Lane)>,
}

impl<S: GenServer> Retry<S> {
    /// Under this rule from now on. A message that waits out its back-off goes on waiting, unless nothing is kept any more.
    /// What was there and goes comes back: it may hold a copy, which is the user's.
    pub(crate) fn put_under(retry: &mut Option<Box<Self>>, rule: Rule<S>) -> Option<Box<Self>> {
        match retry {
            Some(retry) if rule.keeps() => {
                retry.rule = rule;
                None
            }
            _ => {
                let new = rule.keeps().then(|| Box::new(Self { rule, copy: None, until: None }));
                std::mem::replace(retry, new)
            }
        }
    }
}

/// The message in hand, where there is one, has lost its handler. RUN is held; `turn_state` and `own` are those of the cell.
///
/// What is left to do, which is user's code, comes back: to be done when nothing of the cell is borrowed any more.
pub(crate) fn crashed<S: GenServer>(
    cell: &Arc<Cell<S>>,
    turn_state: &mut TurnState<S>,
    own: &mut Own<Message<S>>,
) -> Left<S> {
    let (policy, copy) = match &mut turn_state.retry {
        Some(retry) => (retry.rule.policy, retry.copy.take()),
        None => (InHand::Drop, None),
    };
    if !std::mem::take(&mut own.in_hand) {
        // That of a message that has been handled.
        return Left::Copy(copy);
    }
    let started = own.attempts().saturating_add(1);
    let wanted = !matches!(&copy, Some(Message::Call(call)) if !call.slot.is_live());
    let decision = policy.decide(CrashedMessage { started, copied: copy.is_some(), wanted });
    match (decision, copy) {
        (Decision::PutBack(wait), Some(copy)) => {
            let lane = own.hand_lane();
            cell.put_back(own, copy, lane, started);
            cell.redelivered();
            if let Some(retry) =
                turn_state.retry.as_mut().filter(|_| lane != Lane::Control && !wait.is_zero())
            {
                retry.until = Instant::now().checked_add(wait).map(|until| (until, lane));
            }
            Left::Nothing
        }
        (Decision::DeadLetter, copy) => {
            cell.count(Fate::DeadLettered, 1);
            Left::Letter { copy, name: cell.runner.current.name(), started }
        }
        (Decision::Drop | Decision::PutBack(_), copy) => {
            cell.count(Fate::Failed, 1);
            Left::Copy(copy)
        }
    }
}

/// What a crash leaves to be done with its message.
#[must_use]
pub(crate) enum Left<S: GenServer> {
    Nothing,
    /// A copy that is not needed.
    Copy(Option<Message<S>>),
    /// A dead letter.
    Letter {
        copy: Option<Message<S>>,
        name: &'static str,
        started: u32,
    },
}

impl<S: GenServer> Left<S> {
    /// Clears it away. Replies that go with a copy are told of by the code that tells of this poll's others.
    pub(crate) fn clear_away(self, cell: &Arc<Cell<S>>, reason: &ExitReason) {
        match self {
            Self::Nothing | Self::Copy(None) => {}
            Self::Copy(Some(copy)) => drop_copy(copy),
            Self::Letter { copy, name, started } => cell.bury_copy(copy, name, started, reason.clone()),
        }
    }
}

fn drop_copy<S: GenServer>(copy: Message<S>) {
    if let Some(reason) = drop_quietly(copy) {
        quiet::run("a subscriber", || {
            tracing::error!(server = std::any::type_name::<S>(), %reason, "the copy of a message panicked in its drop");
        });
    }
}

/// For the loop.
impl<S: GenServer> Context<S> {
    /// What is to be done about a message that comes next, where not all is quiet.
    #[cold]
    pub(crate) fn look_at(&mut self, message: &Message<S>) {
        self.keep_copy(message);
        if self.watched && message.is_for(self.incarnation()) {
            self.tell_taken(message.phase(), message.name(), Some(message));
        }
        // Orders are no messages, and a call whose caller has gone is none any more: the server goes on being idle.
        let nothing = match message {
            Message::Order(_) => true,
            Message::Call(call) => !call.slot.is_live(),
            _ => false,
        };
        if !nothing {
            self.idle_over();
        }
    }

    /// Makes a copy of the message that a handler is about to be given, where there is a policy that wants one.
    fn keep_copy(&mut self, message: &Message<S>) {
        let Some(copy) =
            self.cell.turn_state(|turn_state| turn_state.retry.as_ref().map(|retry| retry.rule.copy))
        else {
            return;
        };
        match catch_unwind(AssertUnwindSafe(|| copy(message))) {
            Ok(copy) => {
                let old = self.cell.turn_state(|turn_state| {
                    turn_state.retry.as_mut().and_then(|retry| std::mem::replace(&mut retry.copy, copy))
                });
                if let Some(old) = old {
                    drop_copy(old);
                }
            }
            Err(payload) => {
                let reason = ExitReason::from_panic(payload);
                quiet::run("a subscriber", || {
                    tracing::warn!(
                        server = std::any::type_name::<S>(),
                        %reason,
                        in_hand = message.name(),
                        "no copy was made of a message: it is not delivered again"
                    );
                });
            }
        }
    }

    /// The handler of the last message has returned: its copy is not needed any more. Who has no reply hears it now.
    pub(crate) fn drop_kept(&mut self, reason: Option<&ExitReason>) {
        let copy =
            self.cell.turn_state(|turn_state| turn_state.retry.as_mut().and_then(|retry| retry.copy.take()));
        if let Some(copy) = copy {
            drop_copy(copy);
            fail_orphans(reason);
        }
    }

    /// While a message that was put back waits out its back-off: what may come all the same. `None` when none does, or its
    /// time has come.
    pub(crate) fn poll_held(&mut self, bits: u32, cx: &mut Cx<'_>) -> Option<Poll<Event<S>>> {
        let until = self.cell.both(|turn_state, own| {
            own.note_lane();
            let (until, lane) = turn_state.retry.as_ref()?.until?;
            // A tick's handler may have purged or received the message.
            own.is_put_back(lane).then_some(until)
        });
        // Before the look into the control lane: rule 7 of core's `word`.
        let over = match until {
            Some(until) => {
                self.cell.word().change(word::HOLD, 0);
                self.poll_back_off(until, cx).is_ready()
            }
            None => true,
        };
        if over {
            self.end_back_off();
            return None;
        }
        loop {
            if let Some(event) = self.poll_first(bits, cx) {
                return Some(event);
            }
            if self.heard_operator(bits) {
                return Some(self.poll_next(cx));
            }
            if self.poll_round(cx).is_pending() {
                return Some(Poll::Pending);
            }
        }
    }

    fn poll_back_off(&mut self, until: Instant, cx: &mut Cx<'_>) -> Poll<()> {
        let sleep = &mut self.cold().back_off;
        let sleep = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        Pin::new(sleep).poll(cx)
    }

    fn end_back_off(&mut self) {
        let held = self
            .cell
            .turn_state(|turn_state| turn_state.retry.as_mut().and_then(|retry| retry.until.take()))
            .is_some();
        if held {
            self.cell.word().change(0, word::HOLD);
            self.cold().back_off = None;
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    /// Row G4, failure mode 9: the whole rule.
    #[test]
    fn what_becomes_of_a_message_in_hand() {
        let secs = Duration::from_secs;
        let (back, letter, drop) = (Decision::PutBack(Duration::ZERO), Decision::DeadLetter, Decision::Drop);
        let thrice = InHand::redeliver(3);
        let slowly = thrice.backoff(secs(2));
        for (policy, started, copied, wanted, expected) in [
            (InHand::Drop, 1, false, true, drop),
            (InHand::Drop, 1, true, true, drop),
            (InHand::DeadLetter, 1, true, true, letter),
            (InHand::DeadLetter, 1, false, true, letter),
            (InHand::DeadLetter, 1, true, false, letter),
            (thrice, 1, true, true, back),
            (thrice, 3, true, true, back),
            (thrice, 4, true, true, letter),
            (thrice, u32::MAX, true, true, letter),
            (thrice, 1, true, false, drop),
            (thrice, 4, true, false, letter),
            (thrice, 1, false, true, drop),
            (thrice, 4, false, true, drop),
            (InHand::redeliver(0), 1, true, true, letter),
            (slowly, 1, true, true, Decision::PutBack(secs(2))),
            (slowly, 2, true, true, Decision::PutBack(secs(4))),
            (slowly, 3, true, true, Decision::PutBack(secs(8))),
            (InHand::redeliver(99).backoff(secs(1)), 90, true, true, Decision::PutBack(secs(3600))),
            (
                InHand::redeliver(99).backoff(Duration::from_micros(1)),
                32,
                true,
                true,
                Decision::PutBack(Duration::from_micros(1 << 31)),
            ),
            (InHand::redeliver(9).backoff(Duration::MAX), 2, true, true, Decision::PutBack(secs(3600))),
        ] {
            let crashed_message = CrashedMessage { started, copied, wanted };
            assert_eq!(policy.decide(crashed_message), expected, "{policy:?}, {crashed_message:?}");
        }
    }

    #[test]
    fn only_redelivery_has_a_back_off() {
        let second = Duration::from_secs(1);
        assert_eq!(InHand::Drop.backoff(second), InHand::Drop);
        assert_eq!(InHand::DeadLetter.backoff(second), InHand::DeadLetter);
        assert_eq!(InHand::redeliver(2).backoff(second), InHand::Redeliver { max: 2, backoff: second });
        assert_eq!(InHand::default(), InHand::Drop);
    }
}
