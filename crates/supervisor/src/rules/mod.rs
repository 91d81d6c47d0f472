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

mod aftermath;
#[cfg(all(test, not(shuttle)))]
mod decision_tests;
mod ends;
mod entry;
mod group;
mod groups;
mod settings;
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
pub(crate) use group::Group;
pub(crate) use settings::{Life, Settings};
pub(crate) use stops::Stopping;
pub(crate) use table::{AddError, Rules};
