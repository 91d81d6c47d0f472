//! A mailbox holds messages for one reader at a time, bounded, and outlives that reader.
//!
//! - [`Mailbox`] owns the queue and its [`Settings`]; [`Address`] sends, [`Receiver`] is the exclusive lease to read.
//! - Dropping a receiver, by return, cancellation or panic, gives the lease back with every unread message in order.
//! - Every message ends in exactly one way, and is counted: [`Ledger`].
//!
//! Waiting for room and for messages is async; `try_send`, `try_receive` and drops never wait. What exactly is promised
//! stands in the repository's `docs/SEMANTICS.md`: mailboxes in part 1, lanes in 2, room in 3, time to live and keys in 4, the
//! lease in 5, links and monitors in 12, the conservation law in 17.
//!
//! What deliberately does not live here: servers (crate `restante-genserver`), names, engines, wire formats.

#![expect(clippy::inline_always, reason = "the hot path is measured, and falls apart without")]
#![expect(
    clippy::result_unit_err,
    reason = "in hidden modules: the mailbox has closed, and the caller holds the message"
)]
#![allow(clippy::needless_for_each, reason = "a call for each of a few reads as one step")]

mod address;
#[doc(hidden)]
pub mod addressable;
pub mod alarm;
#[doc(hidden)]
pub mod any_lent;
#[doc(hidden)]
pub mod cell;
pub mod clock;
mod counters;
mod dead_letter;
mod error;
mod exit;
#[doc(hidden)]
pub mod handle;
mod hops;
mod lane;
mod lanes;
#[doc(hidden)]
pub mod later;
pub mod link;
#[doc(hidden)]
pub mod look;
#[cfg(all(loom, test))]
mod loom_tests;
mod mailbox;
pub mod monitor;
mod on_close;
mod options;
mod outlet;
mod overflow;
mod permit;
#[doc(hidden)]
pub mod quiet;
mod rate;
mod reaper;
mod receiver;
mod recipient;
mod room;
#[doc(hidden)]
pub mod send;
mod settings;
#[doc(hidden)]
pub mod shield;
mod slim;
#[doc(hidden)]
pub mod sync;
#[doc(hidden)]
pub mod timeout;
mod waiters;
#[doc(hidden)]
pub mod word;

pub use address::{Address, WeakAddress};
pub use addressable::Addressable;
pub use counters::{Fate, Ledger, Stats};
pub use dead_letter::{DeadCause, DeadLetter};
pub use error::{Closed, LeaseError, SendError, SettingsError, TryReceiveError};
pub use exit::{Exit, ExitReason, PanicInfo, Phase, drop_quietly, install_panic_hook};
pub use lane::Lane;
pub use lanes::LaneOrder;
pub use mailbox::{Mailbox, MailboxBuilder};
pub use options::SendOptions;
pub use overflow::Overflow;
pub use permit::SendPermit;
pub use rate::RateLimit;
pub use reaper::Reaper;
pub use receiver::Receiver;
pub use recipient::{Accept, Recipient};
pub use settings::{Coalesce, DEFAULT_CAPACITY, Settings, Weigh};
