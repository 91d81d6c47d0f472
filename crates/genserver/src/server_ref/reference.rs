//! The reference itself, and its weak twin.

use crate::about::About;
use crate::call::who;
use crate::executor::{Cell, Executor, ServerHandle};
use crate::message::Message;
use crate::server::GenServer;
use restante_core::handle::{Handle, WeakHandle};
use restante_core::{Ledger, Stats};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// Refers to a server over all its incarnations: messages go to its mailbox, orders to the incarnation that reads it now.
///
/// Cheap to clone. While one is left the mailbox stays open; when the last goes, the server drains what is queued and
/// ends with [`ExitReason::Normal`](restante_core::ExitReason::Normal).
pub struct ServerRef<S: GenServer> {
    pub(crate) handle: ServerHandle<S>,
}

impl<S: GenServer> Clone for ServerRef<S> {
    #[inline]
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<S: GenServer> fmt::Debug for ServerRef<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerRef({})", self.handle.cell().label())
    }
}

/// A reference that does not keep the mailbox open.
pub struct WeakServerRef<S: GenServer> {
    pub(super) handle: WeakHandle<Message<S>, Executor<S>>,
}

impl<S: GenServer> WeakServerRef<S> {
    /// A reference, unless the last one has gone.
    pub fn upgrade(&self) -> Option<ServerRef<S>> {
        self.handle.upgrade().map(ServerRef::new)
    }
}

impl<S: GenServer> Clone for WeakServerRef<S> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<S: GenServer> fmt::Debug for WeakServerRef<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WeakServerRef<{}>", std::any::type_name::<S>())
    }
}

impl<S: GenServer> ServerRef<S> {
    pub(crate) fn new(handle: ServerHandle<S>) -> Self {
        Self { handle }
    }

    pub(crate) fn upgrade(cell: &Arc<Cell<S>>) -> Option<Self> {
        Handle::upgrade(cell).map(Self::new)
    }

    /// From inside the server itself: also when the last other reference has gone (and the mailbox is closed).
    pub(crate) fn of_cell(cell: &Arc<Cell<S>>) -> Self {
        Self::new(Handle::another(cell))
    }

    /// Whether the mailbox takes nothing any more.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Which incarnation reads, or read last; 0: none yet.
    pub fn incarnation(&self) -> u32 {
        self.handle.incarnation()
    }

    /// Says of an error that this server is the one that it is about: by its mailbox's name, else by its type and id.
    ///
    /// The errors of calls, sends, stops and state verbs are small, and do not carry what their asker knows. Where one is
    /// passed on, the next reader does not know it any more. (Of a call, [`Call::named`](crate::Call::named) does this.)
    ///
    /// ```ignore
    /// stock.stop(ExitReason::Shutdown, LIMIT).await.map_err(|e| stock.about(e))?;
    /// // "stock: the server did not end within the time allowed"
    /// ```
    pub fn about<E>(&self, error: E) -> About<E> {
        About::new(who(self.handle.cell()), error)
    }

    /// The mailbox's id (UUID v7), made when it is first asked for.
    pub fn id(&self) -> Uuid {
        self.handle.id()
    }

    /// The name it was given, for people.
    pub fn name(&self) -> Option<&str> {
        self.handle.cell().name().map(|n| &**n)
    }

    /// A cheap look at the mailbox: depth, weight, age, counters.
    pub fn stats(&self) -> Stats {
        self.handle.stats()
    }

    /// The exact counters; `None` while a poll of the server is under way.
    pub fn audit(&self) -> Option<Ledger> {
        self.handle.cell().audit()
    }

    /// A reference that does not keep the mailbox open.
    pub fn downgrade(&self) -> WeakServerRef<S> {
        WeakServerRef { handle: self.handle.downgrade() }
    }

    /// Whether both refer to the same server.
    pub fn same_server(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.handle.cell(), other.handle.cell())
    }
}
