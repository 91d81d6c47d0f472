//! Calls: a message with a reply slot, and the caller who waits at it.
//!
//! A call to an idle server of the same runtime runs its handler on the caller's own stack, and then costs no wake-up at
//! all (`executor`); otherwise the message goes through the mailbox and the reply straight to the slot.

mod blocking;
mod error;
mod future;
mod limit;

pub(crate) use self::blocking::call_blocking;
pub use self::error::CallError;
pub(crate) use self::error::{label, refusal, settle, who};
pub use self::future::Call;
pub use self::limit::{CallerRuns, DEFAULT_CALL_TIMEOUT};
pub(crate) use self::limit::{timer, watch_by_sweep};
