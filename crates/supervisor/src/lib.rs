//! A supervisor puts a new reader in front of a mailbox whose reader died.
//!
//! - [`Supervisor`] is what one writes: strategy, intensity, children ([`Supervise::child`]); [`SupervisorRef`] is what one
//!   holds of it.
//! - [`DynamicSupervisor`] is for children that come and go, up to millions of them; [`PartitionSupervisor`] for several of
//!   one kind, among which keys are distributed.
//! - A tree is looked at ([`SupervisorRef::tree`]), changed while it runs ([`SupervisorRef::reconfigure`]), run until its
//!   process is told to end ([`SupervisorRef::run_until`], and `run` with the feature `signal`), and stopped within a
//!   deadline, with a report of what did not ([`ShutdownReport`]).
//! - A crash, a restart and what survives them: the repository's `docs/SEMANTICS.md`, parts 5 and 21; the life of a tree:
//!   part 22.
//!
//! | feature | what | default |
//! |---|---|---|
//! | `signal` | `SupervisorRef::run`: SIGTERM and ctrl-c | no |
//! | `serde` | `Serialize` for [`Tree`] | no |
//!
//! What deliberately does not live here: the loop of a server and how it ends (genserver), names.

mod backoff;
mod branch;
mod child;
mod child_options;
mod child_spec;
mod dynamic;
mod error;
mod intensity;
#[doc(hidden)]
pub mod nursery;
mod parent_link;
mod partition;
mod path;
mod perform;
mod reconfigure;
mod restart;
mod root;
mod route;
mod rows;
mod rt;
mod rules;
mod shutdown;
#[cfg(all(shuttle, test))]
mod shuttle_tests;
mod strategy;
mod supervisor;
mod tempo;
mod tree;
mod waits;

pub use backoff::Backoff;
pub use child_options::{ChildId, ChildKind, ChildOptions, Shutdown};
pub use child_spec::{ChildSpec, Supervise};
pub use dynamic::{Capacity, ChildKey, DynamicRef, DynamicSupervisor};
pub use error::{ChildError, SpecError, StartChildError, TreeError};
pub use intensity::Intensity;
pub use partition::{
    NoPartitions, Partition, PartitionError, PartitionRef, PartitionSupervisor, ResizeError,
};
pub use perform::ChildNotStarted;
pub use reconfigure::{Reconfigure, ReconfigureError};
pub use restart::Restart;
pub use root::{RunOptions, RunOutcome};
pub use rules::RestartLimit;
pub use shutdown::{ShutdownReport, Stage};
pub use strategy::{AutoShutdown, Strategy};
pub use supervisor::{ChildCounts, ChildInfo, ChildState, Started, Supervisor, SupervisorRef};
pub mod task;
pub use tree::{SupervisorNode, Tree, TreeIter};
