//! A registry gives mailboxes names; an actor admits the writes, reads are lock-free.
//!
//! What deliberately does not live here: servers, supervision, flow control, queues on disk or on engines.

mod groups;
mod topic;

pub use groups::{
    Change, DEFAULT_MONITOR_CAPACITY, GroupEvent, GroupMonitor, GroupName, GroupSendError, Groups, JoinError,
    Member, Members, Missed, NotJoined, Picker, Published, Refused, ScopeMonitor, ScopeSnapshot,
};
pub use topic::{Subscription, Topics};
