//! Slow creation as one asks for it: under which names, with what, for how long.

use crate::actor::{Ask, Where};
use crate::creation::{Attachments, Created, Job, Made, Queued, Reservation, Running, work};
use crate::ending::Ending;
use crate::error::{CreateError, RegisterError};
use crate::name_text::{InvalidName, NameText};
use crate::record::Resource;
use crate::registry::Registry;
use crate::secondary::{Label, SecondaryKey};
use restante_core::Addressable;
use restante_core::send::{block_on_until, may_block};
use restante_core::shield::shield;
use restante_genserver::DEFAULT_CALL_TIMEOUT;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How long a creation may take, unless told otherwise.
pub const DEFAULT_CREATE_TIMEOUT: Duration = Duration::from_secs(15);

/// How much longer than that a plain thread waits, before it looks after the limit itself.
const GRACE: Duration = Duration::from_secs(1);

/// A creation to be: the names that are held for it meanwhile, and what its entry will own.
///
/// What is created is whatever a future returns: a server that is started, a mailbox whose connection is made. It runs in a
/// task of its own, in the caller's runtime, else in the registry's.
#[must_use = "nothing is created until it is run"]
pub struct Creation<'a> {
    registry: &'a Registry,
    labels: Result<Vec<Label>, InvalidName>,
    attachments: Attachments,
    limit: Duration,
    by: Where,
}

/// What a creation answers: a mailbox, and what its entry is to own. From a mailbox by `into`, where it owns nothing.
pub struct NewEntry<R>(Made<R>);

impl<R: Addressable> From<R> for NewEntry<R> {
    fn from(mailbox: R) -> Self {
        Self(Made { mailbox, attachments: Attachments::default() })
    }
}

impl<R: Addressable> NewEntry<R> {
    /// An entry for this mailbox.
    pub fn new(mailbox: R) -> Self {
        mailbox.into()
    }

    /// The entry owns this too: it is dropped when the mailbox closes (or the entry is taken out), after what came later. A
    /// channel's sender, a guard, the handle of a task that is to be aborted.
    #[must_use]
    pub fn own(mut self, resource: impl Send + 'static) -> Self {
        self.0.attachments.resources.push(Resource::value(resource));
        self
    }

    /// Asynchronous clean-up, begun when the entry ends, in the registry's runtime, and waited for by
    /// [`Registry::shutdown`].
    #[must_use]
    pub fn on_close<F>(mut self, cleanup: impl FnOnce(Ending) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.attachments.resources.push(Resource::cleanup(cleanup));
        self
    }

    /// The entry keeps the mailbox open, until it is [destroyed](Registry::destroy) or [taken out](Registry::remove).
    #[must_use]
    pub fn keep_open(mut self) -> Self {
        self.0.attachments.keep_open = true;
        self
    }
}

impl<R: fmt::Debug> fmt::Debug for NewEntry<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewEntry({:?})", self.0.mailbox)
    }
}

impl Registry {
    /// A creation without a name, to be told more.
    #[track_caller]
    pub fn creation(&self) -> Creation<'_> {
        self.creation_by(Location::caller())
    }

    pub(crate) fn creation_by(&self, by: Where) -> Creation<'_> {
        Creation {
            registry: self,
            labels: Ok(Vec::new()),
            attachments: Attachments::default(),
            limit: DEFAULT_CREATE_TIMEOUT,
            by,
        }
    }

    /// Creates under this name. See [`Creation::run`].
    ///
    /// # Errors
    /// As [`Creation::run`].
    ///
    /// # Cancel safety
    /// As [`Creation::run`].
    #[track_caller]
    pub fn create<R, T, E, F>(
        &self,
        name: impl AsRef<str>,
        make: F,
    ) -> impl Future<Output = Result<R, CreateError<E>>> + Send
    where
        R: Addressable,
        T: Into<NewEntry<R>> + Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.creation().name(name).run(make)
    }
}

impl Creation<'_> {
    /// Creates under this name; several are possible. The name is held while the creation is under way, and look-ups do not
    /// find it.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.labels = self.labels.and_then(|mut labels| {
            let label = Label::Name(NameText::new(name)?);
            if !labels.contains(&label) {
                labels.push(label);
            }
            Ok(labels)
        });
        self
    }

    /// With this secondary key, held likewise.
    pub fn key(mut self, kind: &'static str, key: impl Into<Arc<str>>) -> Self {
        if let Ok(labels) = &mut self.labels {
            let label = Label::Key(SecondaryKey::new(kind, key));
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        self
    }

    /// With this metadata.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attachments.metadata.push((key.into(), value.into()));
        self
    }

    /// How long it may take (default 15 s; `Duration::MAX`: for ever). Then its future is dropped.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The entry keeps the mailbox open: see [`NewEntry::keep_open`].
    pub fn keep_open(mut self) -> Self {
        self.attachments.keep_open = true;
        self
    }

    /// The entry owns this: see [`NewEntry::own`]. Where nothing is created it is dropped.
    pub fn own(mut self, resource: impl Send + 'static) -> Self {
        self.attachments.resources.push(Resource::value(resource));
        self
    }

    /// Asynchronous clean-up: see [`NewEntry::on_close`]. Where nothing is created it is not run.
    pub fn on_close<F>(mut self, cleanup: impl FnOnce(Ending) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.attachments.resources.push(Resource::cleanup(cleanup));
        self
    }

    /// Creates: takes a place, has the names held, runs the future in a task of its own, registers what it returns.
    ///
    /// # Errors
    /// [`CreateError`]; by then names and place are free again. Where no place is free, it is
    /// [`Overloaded`](RegisterError::Overloaded), at once and before the future is polled.
    ///
    /// # Cancel safety
    /// Dropped, the creation is given up: its future is dropped at its next await, and names and place are free. Where it had
    /// just succeeded, its entry goes, and the mailbox closes unless others refer to it.
    pub async fn run<R, T, E, F>(self, make: F) -> Result<R, CreateError<E>>
    where
        R: Addressable,
        T: Into<NewEntry<R>> + Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let registry = self.registry;
        let (job, told) = self.job(make)?;
        let (job, takes_back) = Queued::new(job);
        let running = registry.ask(|reply| Ask::Begin { job, reply }).await.and_then(|begun| begun)?;
        drop(takes_back);
        let told = shield(told).await;
        answer(running, told)
    }

    /// Creates from a plain thread; the future runs in the registry's runtime.
    ///
    /// It ends whatever becomes of that runtime. Where the runtime shuts down, it ends with [`CreateError::GivenUp`]. Where
    /// the runtime does not see to the creation's time, it ends with [`CreateError::Timeout`], a second after that time at the
    /// latest: that is where no thread drives the runtime, where the registry's actor does not come to the creation, or where
    /// the future blocks its thread. Where the future runs then, the names may be held a while longer, until it has been
    /// dropped. The actor is waited for no longer than by others, 5 s ([`RegisterError::Timeout`]).
    ///
    /// # Errors
    /// As [`Creation::run`], and [`RegisterError::WouldBlock`] inside a runtime.
    pub fn run_blocking<R, T, E, F>(self, make: F) -> Result<R, CreateError<E>>
    where
        R: Addressable,
        T: Into<NewEntry<R>> + Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        if !may_block() {
            return Err(RegisterError::WouldBlock.into());
        }
        let (registry, limit) = (self.registry, self.limit);
        // One limit for both waits: for the actor, and for what it has begun.
        let until = Instant::now().checked_add(limit.saturating_add(GRACE));
        let (job, mut told) = self.job(make)?;
        let (job, takes_back) = Queued::new(job);
        let for_actor = limit.saturating_add(GRACE).min(DEFAULT_CALL_TIMEOUT);
        let running = match registry.ask_blocking_for(for_actor, |reply| Ask::Begin { job, reply }) {
            Err(RegisterError::Timeout(_)) if for_actor < DEFAULT_CALL_TIMEOUT => {
                return Err(CreateError::Timeout(limit));
            }
            begun => begun.and_then(|begun| begun)?,
        };
        drop(takes_back);
        match block_on_until(&mut told, until) {
            Some(told) => answer(running, told),
            None => Err(CreateError::Timeout(limit)),
        }
    }

    #[expect(clippy::type_complexity, reason = "it has one reader")]
    fn job<R, T, E, F>(
        self,
        make: F,
    ) -> Result<(Job, oneshot::Receiver<Result<Created<R>, CreateError<E>>>), RegisterError>
    where
        R: Addressable,
        T: Into<NewEntry<R>> + Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let Self { registry, labels, attachments, limit, by } = self;
        let labels = labels?;
        let place = registry.admit()?;
        let inner = &registry.0;
        let number = registry.next_creation();
        let reservation = Reservation::new(Arc::clone(&inner.books), number, labels, Some(by), place);
        let runtime = Handle::try_current().unwrap_or_else(|_| inner.runtime.clone());
        let cancel = inner.cancel.clone();
        let (tell, told) = oneshot::channel();
        let job = Job::new(reservation, runtime, inner.tasks.clone(), move |reservation| {
            let make = async move {
                let NewEntry(mut made) = make.await?.into();
                made.attachments.join(attachments);
                Ok(made)
            };
            let work = work(reservation, make, limit, tell);
            // The registry's end drops this future; a waiting caller is then told that no answer comes.
            Box::pin(async move {
                let _ = cancel.run_until_cancelled_owned(work).await;
            })
        });
        Ok((job, told))
    }
}

fn answer<R: Addressable, E>(
    running: Running,
    told: Result<Result<Created<R>, CreateError<E>>, oneshot::error::RecvError>,
) -> Result<R, CreateError<E>> {
    drop(running);
    match told {
        Ok(created) => created.map(Created::take),
        Err(_) => Err(CreateError::GivenUp),
    }
}

impl fmt::Debug for Creation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Creation({:?})", self.labels)
    }
}
