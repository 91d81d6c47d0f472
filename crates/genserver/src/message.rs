//! What lies in a server's mailbox.

use crate::server::GenServer;
use crate::slot::SlotTag;
use restante_core::{ExitReason, Phase};
use std::fmt;

/// One message to a server.
// A tag of a whole word: with a tag of one byte the compiler copies a message's padding in pieces, and a wider load that
// follows cannot be forwarded from them. (A profile showed those stalls; by itself this did not change a cast's time.)
#[repr(u64)]
#[non_exhaustive]
pub enum Message<S: GenServer> {
    /// A request that a caller waits for.
    Call(CallMessage<S>),
    /// A message that no caller waits for.
    Cast(S::Cast),
    /// What comes from elsewhere than a caller: notices, ticks, results of tasks.
    Info(S::Info),
    /// What a monitor says, as the info that was asked for; for the incarnation that asked.
    Notice(Notice<S>),
    /// An order to the loop itself.
    Order(Order),
}

/// What a monitor says: see [`Context::monitor`](crate::Context::monitor).
pub struct Notice<S: GenServer> {
    pub(crate) info: S::Info,
    pub(crate) incarnation: u32,
}

impl<S: GenServer> Notice<S> {
    /// The info that the monitor's closure made.
    pub fn info(&self) -> &S::Info {
        &self.info
    }

    /// Takes out the info that the monitor's closure made, for the code that took the message out.
    pub fn into_info(self) -> S::Info {
        self.info
    }
}

impl<S: GenServer> fmt::Debug for Notice<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(S::info_name(&self.info))
    }
}

/// A call, and the slot that its caller waits at.
pub struct CallMessage<S: GenServer> {
    pub(crate) call: S::Call,
    pub(crate) slot: SlotTag,
}

impl<S: GenServer> CallMessage<S> {
    /// What is asked.
    pub fn call(&self) -> &S::Call {
        &self.call
    }
}

/// An order to the loop itself.
#[derive(Debug)]
pub struct Order {
    pub(crate) kind: Box<OrderKind>,
    /// For whom: the next incarnation has nothing to do with it.
    pub(crate) incarnation: u32,
}

#[derive(Debug)]
pub(crate) enum OrderKind {
    /// End for this reason.
    Stop(ExitReason),
    /// Answer an operator's question to the state. (Made by the loop itself.)
    Sys,
    /// A linked server ended; only for servers that trap exits.
    Exit(crate::context::ExitSignal),
}

impl<S: GenServer> Message<S> {
    /// Which callback it is for.
    pub(crate) fn phase(&self) -> Phase {
        match self {
            Self::Call(_) => Phase::Call,
            Self::Cast(_) => Phase::Cast,
            Self::Info(_) | Self::Notice(_) => Phase::Info,
            Self::Order(_) => Phase::Idle,
        }
    }

    /// Whether a callback of this incarnation will get it.
    pub(crate) fn is_for(&self, incarnation: u32) -> bool {
        match self {
            Self::Call(call) => call.slot.is_live(),
            Self::Cast(_) | Self::Info(_) => true,
            Self::Notice(notice) => notice.incarnation == incarnation,
            Self::Order(order) => {
                order.incarnation == incarnation && matches!(*order.kind, OrderKind::Exit(_))
            }
        }
    }

    pub(crate) fn is_order_to_stop(&self) -> bool {
        matches!(self, Self::Order(order) if matches!(*order.kind, OrderKind::Stop(_)))
    }

    /// What the message is called, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Call(c) => S::call_name(&c.call),
            Self::Cast(c) => S::cast_name(c),
            Self::Info(i) => S::info_name(i),
            Self::Notice(n) => S::info_name(&n.info),
            Self::Order(_) => "order",
        }
    }
}

impl<S: GenServer> fmt::Debug for Message<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Call(_) => "Call",
            Self::Cast(_) => "Cast",
            Self::Info(_) => "Info",
            Self::Notice(_) => "Notice",
            Self::Order(_) => "Order",
        };
        write!(f, "{kind}({})", self.name())
    }
}

impl<S: GenServer> fmt::Debug for CallMessage<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(S::call_name(&self.call))
    }
}

impl<S: GenServer> CallMessage<S> {
    /// What is asked, to be answered by the code that took the message out.
    pub fn into_call(self) -> S::Call {
        self.call
    }
}
