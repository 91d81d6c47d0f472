//! Typed OTP for Rust, named after *poste restante*: mail that is held until its addressee comes back.
//!
//! **The mailbox is the identity; processes come and go in front of it.** A server that crashes loses its state and the
//! message it had in hand. Its address, its queued messages, the callers among them and their order stay for the next one.
//!
//! ```
//! use restante::prelude::*;
//! use std::time::Duration;
//!
//! struct Counter { n: u64, ticks: u64 }
//!
//! #[gen_server] // writes the messages, the impl of `GenServer` and the handle: by hand it is a `match` or three
//! impl Counter {
//!     #[init]
//!     fn init(start: &u64) -> Self {
//!         Counter { n: *start, ticks: 0 }
//!     }
//!     #[call] // the caller waits for the reply
//!     fn get(&self) -> u64 {
//!         self.n
//!     }
//!     #[call]
//!     fn divide(&self, by: u64) -> u64 {
//!         self.n / by // by zero: a panic, and only this server ends
//!     }
//!     #[cast] // the sender does not wait
//!     fn add(&mut self, n: u64) -> Result<(), ExitReason> {
//!         self.n = self.n.checked_add(n).ok_or_else(|| ExitReason::error("the sum is too big"))?;
//!         Ok(())
//!     }
//!     #[info(every = "1s")] // what comes from elsewhere: ticks, notices, results of tasks
//!     fn tick(&mut self) {
//!         self.ticks += 1;
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Server::<Counter>::new("counter"); // address first: a mailbox without a reader yet
//!     let counter = server.address();
//!     counter.add(2)?; // waits in the mailbox
//!     let tree = Supervisor::one_for_one().child(server.child(40)).start().await?; // process after: `init` has returned
//!     assert_eq!(counter.get().await?, 42);
//!     let crash = counter.divide(0).await;
//!     assert!(matches!(crash, Err(CallError::Exited(ExitReason::Panic(_))))); // told at once, with the reason
//!     counter.add(1)?; // for the next incarnation, which the supervisor starts before the same mailbox
//!     assert_eq!(counter.get_timeout(Duration::from_secs(1)).await?, 41);
//!     assert_eq!((counter.incarnation(), counter.stats().ledger.failed), (2, 1)); // every message is accounted for
//!     tree.shutdown(Duration::from_secs(5)).await;
//!     Ok(())
//! }
//! ```
//!
//! - A call has a **deadline**: 5 s, or [`Call::timeout`]. One that is over is skipped, and a ring of calls is an error.
//! - **Lanes** ([`SendOptions::lane`]): control overtakes all. **Room** ([`ServerSettings`]): 1024 messages, then [`Overflow`].
//! - **In hand at a crash**: dropped, delivered again or dead-lettered, by [`ServerSettings::in_hand`] and [`Redeliver`].
//! - **Selective receive** inside a handler, with a time limit and marks: [`Context::receive`].
//! - **Supervisors**: strategies, limits, back-off, children that come and go, [a tree to look at](Tree), [`task`]s.
//! - **Names** ([`Registry`], [`Name`]): read without locks, written under admission control; groups, topics, keys: [`registry`].
//! - **Ends**: [`ServerRef::stop`], [`ServerRef::kill`], [`ServerRef::monitor`], [`link`]; each has an [`ExitReason`].
//! - **Plain threads**: [`ServerRef::call_blocking`], [`ServerRef::send_blocking`]. A queue without a server: [`Mailbox`].
//! - **Counted**: [`Ledger`] says how each message ended; nothing is lost silently.
//!
//! What exactly is promised stands in the repository's `docs/SEMANTICS.md`, part by part.
//!
//! | feature | crate | default |
//! |---|---|---|
//! | – | `restante-core`: mailboxes, addresses, lanes, exits | always |
//! | `genserver` | `restante-genserver`: servers, calls, timers, selective receive | yes |
//! | `macros` | `restante-macros`: [`gen_server`] and [`protocol`], which write what one would by hand | yes |
//! | `supervisor` | `restante-supervisor`: restarts over the same mailbox, trees, tasks | yes |
//! | `registry` | `restante-registry`: names, scopes, groups, topics, keys | yes |
//! | `signal`, `serde`, `testkit` | `SupervisorRef::run`, which obeys SIGTERM and ctrl-c; `Serialize` for `Tree`; `restante-testkit` | no |

pub use restante_core::{
    Accept, Address, Addressable, Closed, Coalesce, DEFAULT_CAPACITY, DeadCause, DeadLetter, Exit,
    ExitReason, Fate, Lane, LeaseError, Ledger, Mailbox, MailboxBuilder, Overflow, PanicInfo, Phase,
    RateLimit, Reaper, Receiver, Recipient, SendError, SendOptions, SendPermit, Settings, SettingsError,
    Stats, TryReceiveError, WeakAddress, Weigh, install_panic_hook, monitor,
};
#[cfg(feature = "genserver")]
pub use restante_genserver::{
    About, Call, CallError, CallMessage, CallRecipient, CallerRuns, CastPermit, Context,
    DEFAULT_CALL_TIMEOUT, DEFAULT_START_TIMEOUT, Every, ExitSignal, GenServer, InHand, Init, IntoInit,
    IntoStep, Mark, Message, MultiReplies, Named, Next, Notice, Order, PoolReport, ReceiveError, Redeliver,
    Reply, Request, Requests, Response, Selector, Server, ServerRef, ServerSettings, StartError, Step,
    StopError, Sys, SysError, ThreadError, ThreadPool, ThreadPoolBuilder, TimerId, WeakServerRef, drain,
    late_replies, link, multi_call, multi_cast, start, start_again, start_link, start_monitor, sys, unlink,
    watchdog,
};
#[cfg(feature = "macros")]
pub use restante_macros::{gen_server, protocol};
#[cfg(feature = "registry")]
pub use restante_registry::{self as registry, MailboxName, Name, Registry};
#[cfg(feature = "supervisor")]
pub use restante_supervisor::{
    AutoShutdown, Backoff, Capacity, ChildCounts, ChildError, ChildId, ChildInfo, ChildKey, ChildKind,
    ChildNotStarted, ChildOptions, ChildSpec, ChildState, DynamicRef, DynamicSupervisor, Intensity,
    NoPartitions, Partition, PartitionError, PartitionRef, PartitionSupervisor, Reconfigure,
    ReconfigureError, ResizeError, Restart, RestartLimit, RunOptions, RunOutcome, Shutdown, ShutdownReport,
    SpecError, Stage, StartChildError, Started, Strategy, Supervise, Supervisor, SupervisorNode,
    SupervisorRef, Tree, TreeError, TreeIter, task,
};
#[cfg(feature = "testkit")]
pub use restante_testkit as testkit;

pub mod prelude;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
