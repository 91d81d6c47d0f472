//! What a supervisor decides, and the table that it decides by. Synchronous: an event and the time go in, what is to be
//! done comes out ([`Then`]); [`crate::branch`] and [`crate::perform`] do it.
//!
//! ```text
//!  a child:    Stopped ──start──> Starting ──init──> Running ──order──> Stopping ──end──> Stopped
//!                                     │ fails            │ ends by itself, and fate says so
//!                                     v                  v
//!                                  Stopped          Restarting ──begins, init──> Running
//!                                                        └──fails: counts, and again──┘
//!  the whole:  Down ──start──> Starting ──all are up──> Up ──> Ending(why) ──all are down──> Down
//! ```
//!
//! `Starting` belongs to the caller that waits for `init` and decides over its failure. So does `Rejoining`, which is a
//! start within a group restart, and is a restart to those outside. `Restarting` belongs to the child's own task. A group
//! restart is a note ([`Group`]) that the performer works off: its members are `Stopped` and *wanted* meanwhile. A child's
//! key is never used again, and neither is an incarnation's number, so a late word is known as such.
//!
//! | room | its events |
//! |---|---|
//! | `table` | A child comes into the table or leaves it; what is counted of all. |
//! | `entry` | What is known of one child. |
//! | `starts` | A caller starts a child, begins it, has started it, has failed to. |
//! | `ends` | A child has ended: what becomes of it, and of the whole. |
//! | `groups` | A group falls, and is due again. |
//! | `stops` | A caller stops a child, or the whole. |
//! | `tempo` | Which limits count a child's restarts, those further up included. |
//!
//! What deliberately does not live here: clocks, tasks, locks, and anything that is called on a child. The table does not
//! know what a child is (`C`).

#[cfg(all(test, not(shuttle)))]
mod decision_tests;
mod ends;
mod entry;
mod groups;
mod starts;
mod stops;
mod table;
#[cfg(all(test, not(shuttle)))]
mod table_tests;
mod tempo;
#[cfg(all(test, not(shuttle)))]
mod tests;

pub use ends::RestartLimit;
pub(crate) use ends::{Attempt, Early, Outcome, Then};
pub(crate) use entry::{Entry, Kill, Origin, State};
pub(crate) use groups::Group;
pub(crate) use stops::Stopping;
pub(crate) use table::AddError;

use crate::backoff::Backoff;
use crate::child_spec::{ChildId, ChildOptions};
use crate::intensity::{Intensity, Window};
use crate::strategy::{AutoShutdown, Strategy};
use restante_core::{ExitReason, quiet};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// What a supervisor is told about itself.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) strategy: Strategy,
    pub(crate) intensity: Intensity,
    /// The limit was set, and is not the default.
    pub(crate) limit_given: bool,
    pub(crate) backoff: Backoff,
    pub(crate) auto_shutdown: AutoShutdown,
    /// Children come and go: no order among them, and they go together.
    pub(crate) dynamic: bool,
    pub(crate) max_children: usize,
    /// Children that were added later survive a restart of the supervisor.
    pub(crate) keep_children: bool,
}

/// Where a supervisor is in its life.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Life {
    Down,
    Starting,
    Up,
    Ending(ExitReason),
}

/// The table and what is decided by it.
pub(crate) struct Rules<C> {
    pub(crate) settings: Settings,
    /// By key: in the order of their start.
    pub(crate) children: BTreeMap<u64, Entry<C>>,
    ids: HashMap<ChildId, u64>,
    next_key: u64,
    /// Children that are not down.
    pub(crate) live: usize,
    /// Children that have ended for good, and whose mailboxes are about to be closed.
    pub(crate) leaving: usize,
    /// Children with a process.
    pub(crate) active: usize,
    /// Children that are supervisors.
    pub(crate) supervisors: usize,
    /// The options that the last child was given: a million of them mostly have the same.
    last_options: Option<Arc<ChildOptions>>,
    pub(crate) life: Life,
    pub(crate) group: Option<Group>,
    /// The performer is stopping this group.
    pub(crate) falling: Option<Group>,
    /// What the supervisor may take to give up, for those above to be able to (see [`crate::tempo`]).
    above: Option<Duration>,
    /// Counts what was changed of that or of the settings.
    changes: u64,
    window: Window,
    rng: fastrand::Rng,
    pub(crate) restarts: u64,
    /// Reasons that are not asked for any more. An error in one is user code, and its drop may do anything, so they are not
    /// dropped under the lock.
    pub(crate) aftermath: Aftermath,
}

/// See [`Rules::trash`]. Mostly of one, which costs no memory of its own.
#[derive(Debug, Default)]
pub(crate) struct Aftermath(Option<ExitReason>, Vec<ExitReason>);

impl Aftermath {
    pub(crate) fn put(&mut self, reason: ExitReason) {
        if let Some(before) = self.0.replace(reason) {
            self.1.push(before);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Drops each by itself: the drop of one may panic.
    pub(crate) fn discard(self) {
        self.0.into_iter().chain(self.1).for_each(|reason| quiet::discard("an exit reason", reason));
    }
}
