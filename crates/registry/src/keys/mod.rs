//! Keys: mailboxes registered under keys of the user's, each registration with a value.
//!
//! [`Keys`] is Elixir's `Registry`, typed: unique or duplicate keys, values, metadata, listeners, dispatch, a lock per key.
//! It is a structure, not a process: there is nothing in it that could crash, lag or be restarted.
//!
//! - `handle` and `reads`: the handle, what writes and what only reads.
//! - `table`: the writers' side, which decides; `index` and `group`: what readers read meanwhile, without locks.
//! - `entry`, `registration`, `guard`: one registration, seen by a reader and by its owner.
//! - `listener`: events, snapshots; `lock`: the lock per key; `meta`: metadata.
//!
//! What deliberately does not live here: names, admission, creation of servers.

mod entry;
mod error;
mod group;
mod guard;
mod handle;
mod holder;
mod index;
mod listener;
mod lock;
mod meta;
mod reads;
mod registration;
#[cfg(all(shuttle, test))]
mod shuttle_tests;
mod table;

pub use entry::Registered;
pub use error::{KeyError, MetaError, NotRegistered};
pub use guard::RegistrationGuard;
pub use handle::Keys;
pub use listener::{DEFAULT_LISTENER_CAPACITY, KeyEvent, KeySnapshot, Listener, Removal};
pub use lock::KeyGuard;
pub use registration::Registration;
pub use table::KeyKind;
