//! Process groups: receivers of messages of one type, under common names. Erlang's `pg`.
//!
//! [`Groups`] is a scope: groups with members. A [`Member`] is a mailbox, by whatever refers to it. A membership holds the
//! memory of the mailbox and not its life, and is over before anybody else hears of the mailbox's end.
//!
//! ```text
//!   join, leave, close ──> Scope: one lock, short ──> Books (who is where)
//!                             │            └────────> Feed (a ring of events) ──> GroupMonitor, ScopeMonitor
//!                             └─ publishes ─> table: group -> Roll (an immutable list) <── members, pick, broadcast
//! ```
//!
//! Readers look into the table under an epoch guard: no lock, no count. Writers change one group at a time, under the
//! scope's lock, and replace its list in one step.
//!
//! What deliberately does not live here: names of single mailboxes, and groups over several nodes.

mod books;
mod broadcast;
mod current;
mod feed;
mod member;
mod member_list;
mod monitor;
mod pick;
mod scope;
#[cfg(all(shuttle, test))]
mod shuttle_tests;
mod snapshot;

pub use broadcast::{Published, Refused};
pub use feed::Missed;
pub use member::Member;
pub use member_list::Members;
pub use monitor::{GroupChange, GroupEvent, GroupMonitor, ScopeMonitor};
pub use pick::{GroupSendError, Picker};
pub use scope::{DEFAULT_MONITOR_CAPACITY, GroupName, Groups, JoinError, NotJoined};
pub use snapshot::ScopeSnapshot;
