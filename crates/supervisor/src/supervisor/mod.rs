//! What one writes to have a supervisor, and what one holds of it.
//!
//! | room | its one idea |
//! |---|---|
//! | `builder` | [`Supervisor`]: what one writes. |
//! | `reference` | [`SupervisorRef`]: what one holds; the supervisor's own life. |
//! | `children` | What can be done to single children by hand. |
//! | `info` | What there is to see of children. |
//! | `sound` | Whether settings and specifications make sense. |
//!
//! What deliberately does not live here: how a supervisor works ([`crate::branch`]), the tree as a whole ([`crate::tree`]),
//! changes while it runs ([`crate::reconfigure`]).

mod builder;
mod children;
mod info;
mod reference;
mod sound;

pub use builder::Supervisor;
pub use children::Started;
pub(crate) use info::child_state;
pub use info::{ChildCounts, ChildInfo, ChildState};
pub use reference::SupervisorRef;
pub(crate) use sound::{check, check_options, check_settings, too_slow, warn_of};
