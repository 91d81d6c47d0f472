//! Slow creation: names held, a task of its own, and one way out of each ending.
//!
//! ```text
//!            place ──> queued ──> held ──> committed ──> taken
//!   caller:  admit     command     task      task         caller
//!              │          │          │          │
//!              └──────────┴──────────┴──────────┴──> every other way out frees names and place
//! ```
//!
//! - *place*: [`crate::admission::AdmissionPermit`], taken by the caller; refused at once where there is none.
//! - *queued*: a command in the actor's mailbox. A caller who gives up takes out of it what it was about ([`Queued`]), place
//!   and future; the actor passes over the rest.
//! - *held*: the actor has reserved the names ([`Reservation`]) and begun the task. A caller who gives up aborts the task.
//! - *committed*: the task has put the mailbox into the books. One section: no instant between held and there.
//! - *taken*: the caller has what was created. Where the caller has gone meanwhile, the entry is taken out again, because
//!   [`Created`] is dropped, and with it the reference, which is the last where no other is held.
//! - What was started under a supervisor lives without references: on every way but *taken* it is ended there
//!   ([`crate::offspring`]).
//!
//! The actor's death concerns none of these: what is queued waits for its next incarnation, what is held goes on.

use crate::addition::Addition;
use crate::admission::AdmissionPermit;
use crate::books::{Books, By};
use crate::ending::{Ending, Outcome};
use crate::error::{CreateError, RegisterError};
use crate::limit::at_most;
use crate::offspring::Offspring;
use crate::record::{Record, Resource};
use crate::rt::{self, AbortHandle};
use crate::secondary::Label;
use crate::sync::Mutex;
use futures::FutureExt;
use futures::future::BoxFuture;
use restante_core::{Addressable, ExitReason, quiet};
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// Names and a place, for one creation. However it is dropped, they are free again, but what was committed.
pub(crate) struct Reservation {
    books: Arc<Books>,
    number: u64,
    labels: Vec<Label>,
    held: bool,
    by: By,
    // Dropped after the names are free: the creation that is admitted in its place finds them so.
    place: Option<AdmissionPermit>,
}

impl Reservation {
    pub(crate) fn new(
        books: Arc<Books>,
        number: u64,
        labels: Vec<Label>,
        by: By,
        place: AdmissionPermit,
    ) -> Self {
        Self { books, number, labels, held: false, by, place: Some(place) }
    }

    pub(crate) fn hold(&mut self) -> Result<(), RegisterError> {
        if let Some(place) = &mut self.place {
            place.begun();
        }
        self.books.reserve(&self.labels, self.number, self.by)?;
        self.held = true;
        Ok(())
    }

    /// The mailbox comes in under the names that are held.
    /// Its record from now on is the one that is in, which was there before perhaps.
    pub(crate) fn commit(&mut self, record: &mut Arc<Record>) -> Result<u64, RegisterError> {
        let number = self.books.insert(record, &self.labels, Some(self.number), self.by)?;
        self.held = false;
        if let Some(place) = &mut self.place {
            place.succeeded();
        }
        Ok(number)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.held {
            self.books.release(&self.labels, self.number);
        }
        drop(self.place.take());
    }
}

/// A creation on its way to the actor.
pub(crate) struct Job {
    reservation: Reservation,
    runtime: Handle,
    tasks: TaskTracker,
    work: Box<dyn FnOnce(Reservation) -> BoxFuture<'static, ()> + Send>,
}

impl Job {
    pub(crate) fn new(
        reservation: Reservation,
        runtime: Handle,
        tasks: TaskTracker,
        work: impl FnOnce(Reservation) -> BoxFuture<'static, ()> + Send + 'static,
    ) -> Self {
        Self { reservation, runtime, tasks, work: Box::new(work) }
    }

    /// Holds the names and begins the task.
    pub(crate) fn begin(mut self) -> Result<Running, RegisterError> {
        if let Err(refused) = self.reservation.hold() {
            // It may panic in its drop, which is nothing to the actor.
            quiet::discard("a creation", self.work);
            return Err(refused);
        }
        let work = (self.work)(self.reservation);
        Ok(Running(rt::spawn_in(&self.tasks, work, &self.runtime)))
    }
}

/// A creation in the queue. The first to come takes it out: the actor to begin it, or the caller who gives up.
pub(crate) struct Queued(Arc<Mutex<Option<Job>>>);

/// The caller's end of it. Dropped, it takes the creation back, if it has not begun.
pub(crate) struct TakesBack(Arc<Mutex<Option<Job>>>);

impl Queued {
    pub(crate) fn new(job: Job) -> (Self, TakesBack) {
        let job = Arc::new(Mutex::new(Some(job)));
        (Self(Arc::clone(&job)), TakesBack(job))
    }

    /// `None`: the caller has gone.
    pub(crate) fn take(self) -> Option<Job> {
        self.0.lock().take()
    }
}

impl Drop for TakesBack {
    fn drop(&mut self) {
        // Dropped after the lock, because it is the user's.
        let job = self.0.lock().take();
        quiet::discard("a creation", job);
    }
}

/// A creation that is under way. Dropped, it is aborted at its next await; nothing happens to one that is done.
pub(crate) struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What comes with a mailbox: what its entry owns, and whether it keeps it open.
#[derive(Default)]
pub(crate) struct Attachments {
    pub(crate) keep_open: bool,
    pub(crate) resources: Vec<Resource>,
    pub(crate) metadata: Vec<(String, String)>,
}

impl Attachments {
    /// Both.
    pub(crate) fn join(&mut self, other: Self) {
        self.keep_open |= other.keep_open;
        // What was there before the creation began ends last.
        self.resources.splice(0..0, other.resources);
        self.metadata.extend(other.metadata);
    }

    /// Gives all of it to the mailbox' entry; where that has ended meanwhile, it ends likewise.
    fn give_to(self, record: &Record, books: &Books) {
        if self.keep_open {
            record.keep();
        }
        for (key, value) in self.metadata {
            // Fails only for an entry that has ended, which has no metadata.
            let _ = books.set_metadata(record, key, Some(value));
        }
        for resource in self.resources {
            if let Err(resource) = record.own(resource) {
                let ending =
                    record.ending().unwrap_or_else(|| Ending::new(Outcome::Closed, ExitReason::Normal));
                resource.end(&ending, &books.reaper);
            }
        }
    }
}

/// What was made, with its dowry.
pub(crate) struct Made<R> {
    pub(crate) mailbox: R,
    pub(crate) attachments: Attachments,
}

/// What was created, on its way to the caller. Dropped before it is taken, its entry goes with it.
pub(crate) struct Created<R: Addressable> {
    // First, because the entry is to go before the reference, which may be the last, and before the server is ended.
    granted: Addition,
    /// Given when it is taken: an entry that was there before gets nothing from a creation that was not taken.
    attachments: Untaken,
    /// The mailbox, and what else was made.
    offspring: Offspring<R>,
}

impl<R: Addressable> Created<R> {
    pub(crate) fn take(mut self) -> R {
        if let Some(attachments) = self.attachments.attachments.take() {
            attachments.give_to(&self.attachments.record, &self.attachments.books);
        }
        self.offspring.take(self.granted).expect("it is in since before it was created")
    }
}

/// A dowry that waits to be given. Dropped before, what is in it ends as if its entry had been given up.
struct Untaken {
    attachments: Option<Attachments>,
    record: Arc<Record>,
    books: Arc<Books>,
}

impl Drop for Untaken {
    fn drop(&mut self) {
        let Some(attachments) = self.attachments.take() else { return };
        let ending = Ending::new(Outcome::Abandoned, ExitReason::Normal);
        for resource in attachments.resources.into_iter().rev() {
            resource.end(&ending, &self.books.reaper);
        }
    }
}

/// What a creation holds and whom it tells: dropped half done, the names and the place are free before the caller hears.
struct Held<T> {
    // Dropped in this order.
    reservation: Reservation,
    tell: tokio::sync::oneshot::Sender<T>,
}

/// The task: makes, commits, answers. By the time the caller hears of it, names and place are free or used.
pub(crate) fn work<R, E>(
    reservation: Reservation,
    make: impl Future<Output = Result<Made<R>, E>> + Send,
    limit: Duration,
    tell: tokio::sync::oneshot::Sender<Result<Created<R>, CreateError<E>>>,
) -> impl Future<Output = ()> + Send
where
    R: Addressable,
    E: Send,
{
    work_on(Held { reservation, tell }, make, limit)
}

async fn work_on<R, E>(
    mut held: Held<Result<Created<R>, CreateError<E>>>,
    make: impl Future<Output = Result<Made<R>, E>> + Send,
    limit: Duration,
) where
    R: Addressable,
    E: Send,
{
    let offspring = Offspring::new(&held.reservation.books);
    let mut make = Box::pin(AssertUnwindSafe(offspring.tend(make)).catch_unwind());
    let made = at_most(limit, &mut make).await;
    quiet::discard("a creation", make);
    let made = match made {
        None => Err(CreateError::Timeout(limit)),
        Some(Err(payload)) => Err(CreateError::Panicked(ExitReason::from_panic(payload))),
        Some(Ok(Err(error))) => Err(CreateError::Failed(error)),
        Some(Ok(Ok(made))) => Ok(made),
    };
    let result = match made {
        Ok(made) => commit(&mut held.reservation, made, offspring),
        Err(error) => {
            drop(offspring);
            Err(error)
        }
    };
    let Held { reservation, tell } = held;
    if tell.is_closed() {
        // The caller waits no more: what was created undoes itself in its drop, before another creation is admitted in its
        // place.
        quiet::discard("what was created", result);
        return drop(reservation);
    }
    drop(reservation);
    // The caller may have gone just now.
    let untaken = quiet::run("a waker", || tell.send(result).err());
    if let Some(result) = untaken.flatten() {
        quiet::discard("what was created", result);
    }
}

fn commit<R: Addressable, E>(
    reservation: &mut Reservation,
    made: Made<R>,
    mut offspring: Offspring<R>,
) -> Result<Created<R>, CreateError<E>> {
    let Made { mailbox, attachments } = made;
    let mailbox = offspring.grown(mailbox);
    let books = Arc::clone(&reservation.books);
    let closed = |mailbox: &R| CreateError::Closed(mailbox.why_closed().unwrap_or(ExitReason::Normal));
    let Some(mut record) = Record::new(mailbox, mailbox.mailbox_id(), &books) else {
        return Err(closed(mailbox));
    };
    match reservation.commit(&mut record) {
        Ok(number) => {
            let labels = std::mem::take(&mut reservation.labels);
            let granted = Addition::granted(Arc::clone(&record), labels.into(), number, reservation.by);
            offspring.entered(&record);
            let attachments = Untaken { attachments: Some(attachments), record, books };
            Ok(Created { granted, attachments, offspring })
        }
        Err(RegisterError::MailboxDoesNotExist(_)) => Err(closed(mailbox)),
        Err(refused) => Err(CreateError::Refused(refused)),
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reservation({})", self.number)
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({:?})", self.reservation)
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}
