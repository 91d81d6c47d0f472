//! What a supervisor has to know of a child: how to start it, when to restart it, how to stop it.

use crate::backoff::Backoff;
use crate::child::{Child, ServerChild};
use crate::child_options::{ChildId, ChildOptions, Shutdown};
use crate::intensity::Intensity;
use crate::restart::Restart;
use restante_genserver::{GenServer, Server};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A child, as its supervisor is told of it.
///
/// Made of a server's mailbox ([`Supervise::child`]) or, by
/// [`Supervisor::into_child`](crate::Supervisor::into_child), of a supervisor.
///
/// A supervisor that refuses a child (its id is taken, it runs already, there is no room, it makes no sense) leaves it as
/// it was: a server that runs goes on, the mailbox stays open with what is queued. To have arguments and settings back as
/// well, keep a clone. Clones are one child: the first supervisor that takes a clone has the child, and the other clones
/// are refused ([`SpecError::Supervised`](crate::SpecError::Supervised)).
#[derive(Clone)]
#[must_use = "a specification is for a supervisor"]
pub struct ChildSpec {
    pub(crate) id: ChildId,
    pub(crate) child: Arc<dyn Child>,
    pub(crate) options: ChildOptions,
    /// The id was given, and not made up.
    named: bool,
}

impl ChildSpec {
    pub(crate) fn new(id: ChildId, child: Arc<dyn Child>) -> Self {
        let options = ChildOptions::of(child.kind());
        Self { id, child, options, named: false }
    }

    /// The id to be kept in a table. (Where there may be a million children, not for those that have none.)
    pub(crate) fn table_id(&self, dynamic: bool) -> Option<ChildId> {
        (self.named || !dynamic).then(|| self.id.clone())
    }

    /// Names it (default: the mailbox's name, else the server's type).
    pub fn id(mut self, id: impl Into<ChildId>) -> Self {
        self.id = id.into();
        self.named = true;
        self
    }

    /// See [`ChildOptions::restart`].
    pub fn restart(mut self, restart: Restart) -> Self {
        self.options.restart = restart;
        self
    }

    /// See [`ChildOptions::shutdown`].
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.options.shutdown = shutdown;
        self
    }

    /// See [`ChildOptions::significant`].
    pub fn significant(mut self, significant: bool) -> Self {
        self.options.significant = significant;
        self
    }

    /// See [`ChildOptions::intensity`].
    pub fn intensity(mut self, max: u32, period: Duration) -> Self {
        self.options.intensity = Some(Intensity::new(max, period));
        self
    }

    /// See [`ChildOptions::backoff`].
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.options.backoff = Some(backoff);
        self
    }

    /// See [`ChildOptions::keep_mailbox`].
    pub fn keep_mailbox(mut self, keep: bool) -> Self {
        self.options.keep_mailbox = keep;
        self
    }

    /// See [`ChildOptions::escalate`].
    pub fn escalate(mut self, escalate: bool) -> Self {
        self.options.escalate = escalate;
        self
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Makes a child of a server's mailbox.
pub trait Supervise<S: GenServer> {
    /// The specification of a child that reads this mailbox. `args` are kept, and lent to each `init`. When the
    /// specification is dropped, alone or with a supervisor that is never started, the mailbox closes; unless it was
    /// refused ([`ChildSpec`]), or a server runs there that no supervisor has started.
    fn child(self, args: S::Args) -> ChildSpec;
}

impl<S: GenServer> Supervise<S> for Server<S> {
    fn child(self, args: S::Args) -> ChildSpec {
        let server = self.address();
        let id = server.name().map_or_else(|| ChildId::from(short_name::<S>()), ChildId::from);
        ChildSpec::new(id, ServerChild::new(self, args))
    }
}

/// A type's name without its path.
pub(crate) fn short_name<T>() -> &'static str {
    let name = std::any::type_name::<T>();
    let path_end = name.find('<').unwrap_or(name.len());
    name[..path_end].rfind("::").map_or(name, |at| &name[at + 2..])
}
