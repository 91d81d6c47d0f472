//! What most programs need: `use restante::prelude::*`.

pub use crate::monitor::{Event, Watch};
pub use crate::{
    Address, Exit, ExitReason, Lane, Mailbox, Overflow, Receiver, Recipient, SendError, SendOptions,
};
#[cfg(feature = "supervisor")]
pub use crate::{
    AutoShutdown, Backoff, DynamicRef, DynamicSupervisor, Intensity, Restart, Shutdown, Supervise,
    Supervisor, SupervisorRef,
};
#[cfg(feature = "genserver")]
pub use crate::{
    CallError, Context, Every, GenServer, InHand, Init, Message, Next, ReceiveError, Redeliver, Reply,
    Server, ServerRef, StartError, Step, start,
};
#[cfg(feature = "registry")]
pub use crate::{MailboxName, Name, Registry};
#[cfg(feature = "macros")]
pub use crate::{gen_server, protocol};
