//! A server is a loop that reads a mailbox: call, cast, info.
//!
//! - [`GenServer`] is what one writes; [`start`] (or [`Server`], for a mailbox that outlives its server) runs it.
//! - [`ServerRef`] sends: [`call`](ServerRef::call), [`cast`](ServerRef::cast), [`info`](ServerRef::info); it also stops,
//!   kills and monitors.
//! - [`Context`] is what a handler may do beside handling: timers, selective receive, monitors, links, tasks.
//!
//! A server's end, by panic, error, stop or kill, is the end of one incarnation: queued messages and their callers stay in its
//! mailbox for the next, where that outlives its server ([`Server`]). What exactly is promised stands in the repository's
//! `docs/SEMANTICS.md`: survival in part 5, calls in 6, what caller-runs lets one notice in 7, cycles in 8, timers in 9,
//! selective receive in 10, starts in 11, ends in 13 and 14.
//!
//! What deliberately does not live here: supervision, names, flow control.

#![expect(clippy::inline_always, reason = "the hot path is measured, and falls apart without")]

mod about;
mod call;
mod context;
mod current_message;
#[doc(hidden)]
pub mod cycle;
mod executor;
mod frame;
mod guarded;
mod in_hand;
#[doc(hidden)]
pub mod keeper;
#[cfg(all(shuttle, test))]
mod keeper_shuttle;
mod link;
mod message;
mod next;
mod outcome;
mod pace;
mod receive;
mod reply;
mod request;
#[cfg_attr(shuttle, path = "rt_shuttle.rs")]
mod rt;
mod run;
mod serve;
#[cfg(all(test, not(any(loom, shuttle))))]
mod serve_tests;
mod server;
mod server_ref;
#[cfg(all(shuttle, test))]
mod shuttle_tests;
mod slot;
mod stack;
#[doc(hidden)]
pub mod stand_in;
mod start;
pub mod sys;
mod thread;
mod timer;
#[doc(hidden)]
pub mod tracker;
mod turns;
mod waits;
pub mod watchdog;
mod watches;

pub use about::{About, Named};
pub use call::{Call, CallError, CallerRuns, DEFAULT_CALL_TIMEOUT};
pub use context::{Context, ExitSignal};
pub use in_hand::{InHand, Redeliver};
pub use link::{link, unlink};
pub use message::{CallMessage, Message, Notice, Order};
pub use outcome::{IntoInit, IntoStep};
pub use receive::{Mark, ReceiveError, Selector};
pub use reply::{Reply, late_replies};
pub use request::{MultiReplies, Request, Requests, Response, multi_call, multi_cast};
pub use rt::drain;
pub use server::{GenServer, Init, Next, Step};
pub use server_ref::{CallRecipient, CastPermit, ServerRef, StopError, WeakServerRef};
pub use start::{
    DEFAULT_START_TIMEOUT, Server, ServerSettings, StartError, start, start_again, start_link, start_monitor,
};
pub use sys::{Sys, SysError};
pub use thread::{PoolReport, ThreadError, ThreadPool, ThreadPoolBuilder};
pub use timer::{Every, TimerId};

pub use restante_core::{
    Closed, Coalesce, DeadCause, DeadLetter, Exit, ExitReason, Lane, Ledger, Overflow, Phase, Recipient,
    SendError, SendOptions, Stats, monitor,
};
