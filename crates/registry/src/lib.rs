//! A registry gives mailboxes names; an actor admits the writes, reads are lock-free.
//!
//! What deliberately does not live here: servers, supervision, flow control, queues on disk or on engines.

#![expect(clippy::inline_always, reason = "a look-up is measured, and falls apart without")]
#![allow(clippy::needless_for_each, reason = "a call for each of a few reads as one step")]

mod actor;
mod addition;
mod admission;
mod background;
mod blocking;
mod books;
mod by_name;
mod cached;
mod change;
mod changes;
mod consistency;
mod create;
mod creation;
mod ending;
mod entry;
mod error;
mod family;
mod groups;
mod history;
mod index;
pub mod keys;
mod labels;
mod life;
mod limit;
mod look;
mod lookup;
mod name;
mod name_entry;
mod name_text;
mod not_found;
mod offspring;
mod record;
mod register;
mod registry;
mod retry;
mod rt;
mod scope;
mod scopes;
mod secondary;
#[cfg(all(shuttle, test))]
mod shuttle_tests;
mod snapshot;
mod starts;
mod sync;
mod topic;
mod tracked;

pub use actor::{ActorArgs, Command, RegistryActor};
pub use admission::{
    Capacity, DEFAULT_MAX_CONCURRENT_CREATES, DEFAULT_RETRY_AFTER, MAX_CONCURRENT_CREATES, Overloaded,
};
pub use by_name::{CallToError, SendToError, StopToError};
pub use cached::Cached;
pub use change::{Change, Sizes, What};
pub use changes::{Changes, Followed};
pub use consistency::{Consistency, Repaired};
pub use create::{Creation, DEFAULT_CREATE_TIMEOUT, NewEntry};
pub use ending::{Ending, Outcome};
pub use entry::{EntryEnded, EntryRef, Signal};
pub use error::{CreateError, RegisterError};
pub use groups::{
    DEFAULT_MONITOR_CAPACITY, GroupChange, GroupEvent, GroupMonitor, GroupName, GroupSendError, Groups,
    JoinError, Member, Members, Missed, NotJoined, Picker, Published, Refused, ScopeMonitor, ScopeSnapshot,
};
pub use lookup::{LookupError, Whom};
pub use name::{MailboxName, Name, NameIn, TypedName};
pub use name_text::{InvalidName, NameText};
pub use not_found::NotFound;
pub use registry::{DEFAULT_HISTORY, DEFAULT_QUEUE, Registry, RegistryBuilder, RegistryReport};
pub use retry::Retry;
pub use scope::InScope;
pub use secondary::{Holder, SecondaryKey};
pub use snapshot::Snapshot;
pub use topic::{Subscription, Topics};
