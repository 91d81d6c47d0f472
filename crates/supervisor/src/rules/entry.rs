//! One child in the table: where it is in its life, and what is remembered of it. What becomes of it is decided elsewhere.

use super::settings::Settings;
use crate::backoff::Pauses;
use crate::child_options::{ChildId, ChildOptions};
use crate::intensity::Window;
use crate::restart::{Fate, Restart, fate};
use restante_core::clock::Instant;
use restante_core::{Exit, ExitReason};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Where a child is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Stopped,
    Starting,
    /// It is being started again with its group, and is in `init`, or about to be.
    Rejoining,
    Running,
    Restarting,
    Stopping,
    /// It was killed, and still does not end.
    Abandoned,
}

impl State {
    /// Whether it has to be waited for before the supervisor is down.
    pub(crate) fn is_live(self) -> bool {
        !matches!(self, Self::Stopped | Self::Abandoned)
    }

    /// Whether it counts as a child with a process.
    pub(crate) fn is_active(self) -> bool {
        !matches!(self, Self::Stopped | Self::Rejoining | Self::Restarting)
    }
}

/// How a child came into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// With its supervisor.
    Spec,
    /// It is being added by hand and is not up yet: if it does not come up, it will never have been.
    Tentative,
    /// By hand.
    Added,
}

/// One child. Of these there may be a million: a test holds it to 48 bytes.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself, whatever the state")]
pub(crate) struct Entry<C> {
    pub(crate) child: C,
    pub(crate) options: Arc<ChildOptions>,
    /// What only children that have an id, or a history, need.
    pub(super) cold: Option<Box<Cold>>,
    /// The last incarnation that has begun.
    pub(crate) incarnation: u32,
    /// Counts what was decided over it: who comes back to it after a pause sees whether that still holds.
    pub(super) epoch: u32,
    pub(crate) state: State,
    /// The present incarnation has begun.
    pub(super) begun: bool,
    /// A group restart will start it.
    pub(crate) wanted: bool,
    pub(crate) origin: Origin,
    /// It leaves the table when it is down.
    pub(crate) discarded: bool,
    pub(super) supervisor: bool,
    /// It was stopped by hand since it was last started: that it did not start is no failure.
    pub(super) halted: bool,
    /// Whether the supervisor has killed the present incarnation.
    pub(super) kill: Kill,
}

/// See [`Entry::kill`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Kill {
    #[default]
    No,
    /// Without asking it to end.
    Plain,
    /// It had been asked, or its supervisor had, and the time was over.
    Late,
}

/// See [`Entry`].
#[derive(Default)]
pub(super) struct Cold {
    pub(super) id: Option<ChildId>,
    pub(super) pauses: Pauses,
    pub(super) window: Window,
    pub(super) restarts: u64,
    pub(super) last_exit: Option<Exit>,
    /// It does not start with its supervisor either, until a caller starts it by hand.
    pub(super) off: bool,
    /// Who wait for its end.
    pub(super) waiting: Vec<oneshot::Sender<()>>,
    /// Why its start came to nothing, where it leaves the table for that: its mailbox closes for this reason.
    pub(super) why_discarded: Option<Box<ExitReason>>,
    /// A task waits out the pause before its restart, until it is told here that there is nothing more to wait for.
    pub(super) pause: Option<oneshot::Sender<()>>,
}

impl<C> Entry<C> {
    pub(super) fn cold(&mut self) -> &mut Cold {
        self.cold.get_or_insert_default()
    }

    pub(crate) fn id(&self) -> Option<&ChildId> {
        self.cold.as_ref().and_then(|cold| cold.id.as_ref())
    }

    pub(super) fn is_off(&self) -> bool {
        self.cold.as_ref().is_some_and(|cold| cold.off)
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.cold.as_ref().map_or(0, |cold| cold.restarts)
    }

    pub(crate) fn last_exit(&self) -> Option<&Exit> {
        self.cold.as_ref().and_then(|cold| cold.last_exit.as_ref())
    }

    pub(super) fn is_tentative(&self) -> bool {
        self.origin == Origin::Tentative
    }

    /// When its last incarnation that came up did, where that is noted.
    pub(crate) fn pauses_up_since(&self) -> Option<Instant> {
        self.cold.as_ref().and_then(|cold| cold.pauses.up_since())
    }

    /// Whether this start is the last thing that was decided over it, but for its end.
    pub(super) fn is_of(&self, start: u32) -> bool {
        self.epoch == start || self.epoch == start.wrapping_add(1) && self.state == State::Stopped
    }

    /// Whether a child that ends now, for this reason, leaves the table with that end, while its supervisor goes on.
    pub(crate) fn goes_with_its_end(&self, settings: &Settings, reason: &ExitReason) -> bool {
        let goes = match self.state {
            State::Running | State::Stopping if self.options.restart == Restart::Temporary => true,
            State::Running => settings.dynamic && fate(self.options.restart, reason) != Fate::Restarts,
            State::Stopping => settings.dynamic && self.halted,
            _ => false,
        };
        self.discarded || goes
    }

    /// Whether it is down, and comes back with its group.
    pub(crate) fn rests_meanwhile(&self) -> bool {
        self.state == State::Stopped && self.wanted
    }

    pub(super) fn rests(&mut self) -> Vec<oneshot::Sender<()>> {
        self.state = State::Stopped;
        self.begun = false;
        self.kill = Kill::No;
        self.epoch += 1;
        let Some(cold) = self.cold.as_mut() else { return Vec::new() };
        let mut tell = std::mem::take(&mut cold.waiting);
        tell.extend(cold.pause.take());
        tell
    }
}
