//! What a supervisor has to know of a child: how to start it, when to restart it, how to stop it.

use crate::backoff::Backoff;
use crate::child::{Child, ServerChild};
use crate::intensity::Intensity;
use crate::restart::Restart;
use restante_genserver::{GenServer, Server};
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Names a child within its supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildId(Arc<str>);

impl ChildId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for ChildId {
    fn from(id: T) -> Self {
        Self(id.into())
    }
}

impl Borrow<str> for ChildId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a supervisor ends a child.
///
/// A [task](crate::task) has neither a message in hand nor a `terminate`: it is aborted at its next await in any case.
/// `BrutalKill` makes its reason [`ExitReason::Killed`](restante_core::ExitReason::Killed) and waits for it at most 1 s; the
/// other two make it `Shutdown`, and wait as long as they say. Then it is given up.
///
/// Source: OTP `supervisor`, the child specification's `shutdown`. Differs: a server need not trap exits for its
/// `terminate` to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// Killed at once, at its next await; `terminate` does not run.
    BrutalKill,
    /// Ordered to stop after the message in hand, by way of the control lane; killed when it has not ended by then.
    Timeout(Duration),
    /// Ordered to stop, and waited for as long as it takes. (For supervisors; a worker that hangs would hang the tree.)
    Infinity,
}

impl Shutdown {
    /// What workers get unless told otherwise: 5 s.
    pub const WORKER: Self = Self::Timeout(Duration::from_secs(5));
}

/// Worker or supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum ChildKind {
    /// Anything but a supervisor.
    Worker,
    /// A supervisor.
    Supervisor,
}

/// The part of a specification that can be changed while the child lives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildOptions {
    /// When it is restarted (default: permanent).
    pub restart: Restart,
    /// How it is ended (default: workers 5 s, supervisors infinity).
    pub shutdown: Shutdown,
    /// Whether its end may end the supervisor (default: no). See [`AutoShutdown`](crate::AutoShutdown).
    pub significant: bool,
    /// A limit of its own, beside the supervisor's (default: none). A period of zero is refused.
    pub intensity: Option<Intensity>,
    /// A back-off of its own in place of the supervisor's (default: none).
    pub backoff: Option<Backoff>,
    /// Whether what is queued waits while the child is stopped and its specification stays (default: yes); else it is
    /// dead-lettered.
    pub keep_mailbox: bool,
    /// When it is a supervisor that gives up: whether the one above gives up as well, at once, rather than restart
    /// it (default: no).
    pub escalate: bool,
}

impl ChildOptions {
    pub(crate) fn of(kind: ChildKind) -> Self {
        Self {
            restart: Restart::Permanent,
            shutdown: match kind {
                ChildKind::Worker => Shutdown::WORKER,
                ChildKind::Supervisor => Shutdown::Infinity,
            },
            significant: false,
            intensity: None,
            backoff: None,
            keep_mailbox: true,
            escalate: false,
        }
    }
}

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
