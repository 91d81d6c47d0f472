//! What the loop and its runners tell each other, under RUN.

use super::server_cell::Executor;
use crate::in_hand::Retry;
use crate::message::Message;
use crate::next::LOOK;
use crate::pace::Pace;
use crate::server::GenServer;
use crate::start::{Outcome, StartSender};
use crate::turns::{self, Patience};
use restante_core::{Exit, ExitReason, clock};

/// What the loop and its runners tell each other, under RUN.
#[expect(clippy::struct_excessive_bools, reason = "each is looked at by itself, on the hot path")]
pub(crate) struct TurnState<S: GenServer> {
    /// The call that a caller brought along.
    pub(crate) inline: Option<Message<S>>,
    /// Messages left in this turn; 0 between two events: it is over, whatever else waits.
    pub(crate) left: u16,
    /// Messages of the next turn on the runtime's workers.
    pub(super) turn: u8,
    /// How often this turn may still be made longer by [`turns::MORE`] messages.
    pub(super) longer: u8,
    /// Whether senders who wait for room are left to the next turn.
    pub(super) patience: Patience,
    /// The future is in the middle of something (rather than waiting for the next message).
    pub(crate) mid: bool,
    /// The middle of something is a selective receive, which wants to be woken by data.
    pub(crate) listening: bool,
    /// This poll is a caller's.
    pub(crate) by_caller: bool,
    /// The incarnation was killed: `terminate` does not run.
    pub(crate) killed: bool,
    /// The server is suspended: nothing but orders is to wake it.
    pub(crate) held: bool,
    /// This poll leaves the span of the message in hand in the end, if it has one.
    pub(crate) spans: bool,
    /// Which handler it was that was last seen half done (some bits of what tells it from others).
    pub(super) half: u32,
    /// When this turn first looked at the clock (the low bits of coarse ms, which last for longer than a turn); 0: not yet.
    pub(super) began: u16,
    /// When this turn first looked at the clock, in microseconds (their low bits).
    pub(super) began_us: u16,
    /// How long handlers take, by sample.
    pub(super) pace: Pace,
    /// The runtime that has been asked for a look at idle buffers, by some bits of its name; 0: none.
    pub(super) watched: u16,
    /// Who waits for `init`'s result, or that result.
    pub(crate) start: Option<StartSender>,
    pub(crate) started: Option<Started>,
    /// How the loop ended.
    pub(crate) exit: Option<Box<Exit>>,
    /// Where the message in hand has a policy: that, and what it needs.
    pub(crate) retry: Option<Box<Retry<S>>>,
}

/// What became of `init`; why is in the exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Started {
    Yes,
    Ignored,
    Stopped,
}

impl<S: GenServer> TurnState<S> {
    /// What a starter hears.
    pub(super) fn outcome(&self) -> Outcome {
        match self.started {
            Some(Started::Yes) => Outcome::Started,
            Some(Started::Ignored) => Outcome::Ignored,
            _ => Outcome::Stopped(self.exit.as_ref().map_or(ExitReason::Killed, |e| e.reason.clone())),
        }
    }

    /// Whether this turn has looked at the clock, and at timers where there are some.
    #[inline(always)]
    pub(crate) fn has_looked(&self) -> bool {
        self.began != 0
    }

    /// Whether the turn, which ends now, has been quick since its first look at the clock.
    pub(super) fn was_quick(&self) -> bool {
        self.has_looked()
            && clock::coarse_ms_u16().wrapping_sub(self.began) <= 1
            && clock::micros_u16().wrapping_sub(self.began_us) < turns::QUICK_TURN_US
    }

    /// Whether the turn has lasted long, or timers want to be looked at.
    #[cold]
    pub(crate) fn must_look(&mut self, timed: bool) -> bool {
        let now = clock::coarse_ms_u16();
        if self.began == 0 {
            self.began = now;
            self.began_us = clock::micros_u16();
            return timed;
        }
        if self.left == LOOK
            && self.longer > 0
            && clock::micros_u16().wrapping_sub(self.began_us) < turns::QUICK_US
        {
            self.longer -= 1;
            self.left += turns::MORE;
        }
        if now.wrapping_sub(self.began) > TURN_MS {
            self.left = 0;
            return true;
        }
        timed
    }
}

/// Milliseconds that a turn lasts at most, once it looks at the clock.
const TURN_MS: u16 = if cfg!(shuttle) { u16::MAX } else { 8 };

#[expect(unsafe_code, reason = "RUN is the right to touch turn_state and body")]
impl<S: GenServer> Executor<S> {
    /// The turn state. RUN is held.
    #[expect(clippy::mut_from_ref, reason = "RUN is the exclusive borrow")]
    #[inline(always)]
    pub(super) unsafe fn turn_state(&self) -> &mut TurnState<S> {
        // SAFETY: invariant (executor), upheld by the caller.
        unsafe { &mut *self.turn_state.get() }
    }
}
