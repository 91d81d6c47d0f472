//! What a registry keeps of one mailbox.
//!
//! Who may touch what: `labels`, `state`, `grants` and `own` are written under the registry's writers' lock only, and read by
//! anybody at any time; `hold` has a lock of its own, taken for a few instructions and never together with another of ours.
//! The record keeps the mailbox's memory, not its life, unless [`Hold::kept`] does.

use crate::books::Books;
use crate::ending::{Ending, Outcome};
use crate::labels::LabelsCell;
use crate::sync::{AtomicU32, AtomicUsize, Mutex, Ordering};
use futures::future::BoxFuture;
use restante_core::addressable::{GivenUp, Lent, OnClose};
use restante_core::any_lent::AnyLent;
use restante_core::{Addressable, ExitReason, Reaper, quiet};
use std::any::{Any, type_name};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use tokio::sync::oneshot;
use uuid::Uuid;

/// A mailbox whose types are erased.
pub(crate) trait Held: Any + Send + Sync {
    /// The type of its references, for people.
    fn type_name(&self) -> &'static str;
    fn has_closed(&self) -> bool;
    fn why_closed(&self) -> Option<ExitReason>;
    fn close(&self, reason: ExitReason) -> bool;
    /// A reference that keeps it open, unless the last one has gone.
    fn keep(&self) -> Option<Box<dyn Any + Send + Sync>>;
    fn label(&self) -> String;
    /// This reference, for the slot of a name.
    fn lent(&self) -> AnyLent;
    fn tell_first(&self, whom: Weak<dyn OnClose>) -> bool;
    fn tell_no_more_at(&self, whom: usize);
    /// Whether the code that runs here is that of its own server.
    fn is_served_here(&self) -> bool;
    /// See [`Addressable::give_up`].
    fn give_up(&self, since: u64) -> Option<GivenUp>;
    /// A record of it that is in no index. `None`: it has closed.
    fn record(&self, id: Uuid, books: &Arc<Books>) -> Option<Arc<Record>>;
}

impl<R: Addressable> Held for Lent<R> {
    fn type_name(&self) -> &'static str {
        type_name::<R>()
    }
    #[inline(always)]
    fn has_closed(&self) -> bool {
        R::has_closed(self)
    }
    fn why_closed(&self) -> Option<ExitReason> {
        R::why_closed(self)
    }
    fn close(&self, reason: ExitReason) -> bool {
        self.close_mailbox(reason)
    }
    fn keep(&self) -> Option<Box<dyn Any + Send + Sync>> {
        self.counted().map(|r| Box::new(r) as Box<dyn Any + Send + Sync>)
    }
    fn label(&self) -> String {
        R::label(self)
    }
    fn lent(&self) -> AnyLent {
        AnyLent::new::<R>(self)
    }
    fn tell_first(&self, whom: Weak<dyn OnClose>) -> bool {
        R::tell_first(self, whom)
    }
    fn tell_no_more_at(&self, whom: usize) {
        R::tell_no_more_at(self, whom);
    }
    fn is_served_here(&self) -> bool {
        R::is_served_here(self)
    }
    fn give_up(&self, since: u64) -> Option<GivenUp> {
        R::give_up(self, since)
    }
    fn record(&self, id: Uuid, books: &Arc<Books>) -> Option<Arc<Record>> {
        Record::new(&**self, id, books)
    }
}

/// One mailbox in a registry. The mailbox lies at its end, so that a record is one allocation.
pub(crate) struct Record<H: ?Sized + Held = dyn Held> {
    pub(crate) id: Uuid,
    /// Whose.
    books: Weak<Books>,
    /// See [`state`].
    state: AtomicU32,
    /// Those of its grants that its own server has asked for; once there were as many as can be counted it stays so, and
    /// further ones count as others'.
    own: AtomicU32,
    /// Additions that brought it in or labels to it, and were not taken back.
    grants: AtomicUsize,
    pub(crate) labels: LabelsCell,
    hold: Mutex<Hold>,
    pub(crate) mailbox: H,
}

/// Where a record is in its life, as its `state` says: it comes in once and goes once.
mod state {
    /// In no index yet.
    pub(super) const FRESH: u32 = 0;
    /// In the index, as the record of its mailbox.
    pub(super) const IN: u32 = 1;
    /// It is not in the index any more, or will not come in.
    pub(super) const GONE: u32 = 2;
}

/// What goes when the mailbox goes.
enum Hold {
    /// Nothing: as with most.
    Empty,
    Some(Box<Owned>),
    /// It went so.
    Ended(Box<Ending>),
}

#[derive(Default)]
struct Owned {
    /// A reference, where the registration keeps the mailbox open.
    kept: Option<Box<dyn Any + Send + Sync>>,
    /// In the order in which they came; they go in the opposite one.
    resources: Vec<Resource>,
    watchers: Vec<oneshot::Sender<Ending>>,
}

/// The record has ended already.
struct TooLate;

/// Something that an entry owns.
pub(crate) enum Resource {
    /// Dropped.
    Value(Box<dyn Any + Send>),
    /// Run, by the registry's reaper.
    Cleanup(Box<dyn FnOnce(Ending) -> BoxFuture<'static, ()> + Send>),
}

impl<R: Addressable> Record<Lent<R>> {
    /// A record that is in no index yet. `None`: the mailbox has closed.
    ///
    /// From now on the mailbox tells it of its closing, until it is dropped.
    pub(crate) fn new(of: &R, id: Uuid, books: &Arc<Books>) -> Option<Arc<Record>> {
        let this = Arc::new(Record {
            id,
            books: Arc::downgrade(books),
            state: AtomicU32::new(state::FRESH),
            own: AtomicU32::new(0),
            grants: AtomicUsize::new(0),
            labels: LabelsCell::new(),
            hold: Mutex::new(Hold::Empty),
            mailbox: Lent::new(of),
        });
        let weak = Arc::downgrade(&this);
        this.mailbox.tell_first(weak).then_some(this as Arc<Record>)
    }
}

impl Record {
    /// The mailbox's reference, lent; `None`: it is of another type.
    #[inline(always)]
    pub(crate) fn lend<R: Addressable>(&self) -> Option<&R> {
        (&self.mailbox as &dyn Any).downcast_ref::<Lent<R>>().map(|lent| &**lent)
    }

    /// Whose record it is; `None`: they have gone.
    pub(crate) fn books(&self) -> Option<Arc<Books>> {
        self.books.upgrade()
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.state.load(Ordering::Acquire) == state::GONE
    }

    /// Under the writers' lock: whether the index has it.
    pub(crate) fn is_in(&self) -> bool {
        self.state.load(Ordering::Relaxed) == state::IN
    }

    /// Under the writers' lock.
    pub(crate) fn set_in(&self) {
        self.state.store(state::IN, Ordering::Relaxed);
    }

    /// Under the writers' lock. False when it was gone before.
    pub(crate) fn set_gone(&self) -> bool {
        self.state.swap(state::GONE, Ordering::AcqRel) != state::GONE
    }

    /// Under the writers' lock: one addition more, which its own server has asked for or not.
    pub(crate) fn grant(&self, by_itself: bool) {
        self.grants.fetch_add(1, Ordering::Relaxed);
        let own = self.own.load(Ordering::Relaxed);
        if by_itself && own < u32::MAX {
            self.own.store(own + 1, Ordering::Relaxed);
        }
    }

    /// Under the writers' lock: one less; true for the last.
    pub(crate) fn take_back(&self, by_itself: bool) -> bool {
        let own = self.own.load(Ordering::Relaxed);
        if by_itself && own < u32::MAX {
            self.own.store(own.saturating_sub(1), Ordering::Relaxed);
        }
        self.grants.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// Under the writers' lock: how many there are that its own server has not asked for.
    pub(crate) fn grants_of_others(&self) -> usize {
        let own = usize::try_from(self.own.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        self.grants.load(Ordering::Relaxed).saturating_sub(own)
    }

    /// A new record of the same mailbox, to come in where this one has gone out. `None`: the mailbox has closed.
    pub(crate) fn again(&self, books: &Arc<Books>) -> Option<Arc<Record>> {
        self.mailbox.record(self.id, books)
    }

    /// The mailbox is not to tell it of its closing any more.
    pub(crate) fn forsake(self: &Arc<Self>) {
        self.mailbox.tell_no_more_at(Arc::as_ptr(self).cast::<()>().addr());
    }

    /// Keeps the mailbox open until the record goes. False: the last reference has gone already, or the record has.
    pub(crate) fn keep(&self) -> bool {
        let Some(kept) = self.mailbox.keep() else { return false };
        let mut kept = Some(kept);
        // What is not taken is dropped here, after the lock.
        let taken = self.with_owned(|owned| {
            owned.kept.is_some() || {
                owned.kept = kept.take();
                true
            }
        });
        quiet::discard("a mailbox's reference", kept);
        taken.is_ok()
    }

    /// The opposite.
    pub(crate) fn keep_no_more(&self) {
        let kept = self.with_owned(|owned| owned.kept.take());
        quiet::discard("a mailbox's reference", kept.ok());
    }

    /// Gives it something to own; given back where it has ended.
    pub(crate) fn own(&self, resource: Resource) -> Result<(), Resource> {
        let mut resource = Some(resource);
        let _ = self.with_owned(|owned| owned.resources.extend(resource.take()));
        resource.map_or(Ok(()), Err)
    }

    /// The same, made only where it is not too late; else how the record ended.
    pub(crate) fn own_with(&self, make: impl FnOnce() -> Option<Resource>) -> Result<(), Ending> {
        match self.with_owned(|owned| owned.resources.extend(make())) {
            Ok(()) => Ok(()),
            Err(TooLate) => self.ending().map_or(Ok(()), Err),
        }
    }

    /// Will be told how it ended; `Err`: it has ended already.
    pub(crate) fn watch(&self) -> Result<oneshot::Receiver<Ending>, Ending> {
        let (tell, told) = oneshot::channel();
        let mut gone = Vec::new();
        let watched = self.with_owned(|owned| {
            // Those who do not wait any more make room; amortised, since the list doubles before it is looked through.
            if owned.watchers.len() == owned.watchers.capacity() {
                gone.extend(owned.watchers.extract_if(.., |watcher| watcher.is_closed()));
            }
            owned.watchers.push(tell);
        });
        // After the lock: each has the last waker that waited for it.
        gone.into_iter().for_each(|watcher| quiet::discard("a waker", watcher));
        match (watched, self.ending()) {
            (Err(TooLate), Some(ending)) => Err(ending),
            _ => Ok(told),
        }
    }

    /// How it ended; `None`: it has not.
    pub(crate) fn ending(&self) -> Option<Ending> {
        match &*self.hold.lock() {
            Hold::Ended(ending) => Some((**ending).clone()),
            Hold::Empty | Hold::Some(_) => None,
        }
    }

    fn with_owned<T>(&self, f: impl FnOnce(&mut Owned) -> T) -> Result<T, TooLate> {
        let mut hold = self.hold.lock();
        if let Hold::Empty = *hold {
            *hold = Hold::Some(Box::default());
        }
        match &mut *hold {
            Hold::Some(owned) => Ok(f(owned)),
            Hold::Empty | Hold::Ended(_) => Err(TooLate),
        }
    }

    /// It is in no index any more: tells the watchers, drops what it owns, hands clean-up over, and closes the mailbox where it
    /// was destroyed. Outside of any lock. False: that has been done.
    pub(crate) fn end(&self, ending: &Ending, reaper: &Reaper) -> bool {
        let owned = {
            let mut hold = self.hold.lock();
            match &*hold {
                Hold::Ended(_) => return false,
                Hold::Empty | Hold::Some(_) => {
                    std::mem::replace(&mut *hold, Hold::Ended(Box::new(ending.clone())))
                }
            }
        };
        let Hold::Some(owned) = owned else {
            self.close_if_destroyed(ending);
            return true;
        };
        let Owned { kept, resources, watchers } = *owned;
        for watcher in watchers {
            // The one who waited may have gone: all right.
            quiet::run("a waker", || drop(watcher.send(ending.clone())));
        }
        for resource in resources.into_iter().rev() {
            resource.end(ending, reaper);
        }
        self.close_if_destroyed(ending);
        quiet::discard("a mailbox's reference", kept);
        true
    }
}

impl Record {
    /// Before the reference goes that the entry keeps, which may be the last: the mailbox closes for the reason that was given.
    fn close_if_destroyed(&self, ending: &Ending) {
        if ending.outcome == Outcome::Destroyed {
            self.mailbox.close(ending.reason.clone());
        }
    }
}

impl Resource {
    pub(crate) fn value(value: impl Send + 'static) -> Self {
        Resource::Value(Box::new(value))
    }

    pub(crate) fn cleanup<F>(make: impl FnOnce(Ending) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Resource::Cleanup(Box::new(move |ending| Box::pin(make(ending))))
    }

    pub(crate) fn end(self, ending: &Ending, reaper: &Reaper) {
        match self {
            Resource::Value(value) => quiet::discard("what a registered mailbox owned", value),
            Resource::Cleanup(make) => {
                let ending = ending.clone();
                // Made there, not here: it is the user's code. (Where the runtime has gone, it is dropped here.)
                quiet::run("a clean-up", || reaper.hand_over(async move { make(ending).await }));
            }
        }
    }
}

/// The mailbox has closed, and no other has heard of it yet.
impl<H: Held> OnClose for Record<H> {
    fn on_close(&self, reason: &ExitReason) {
        let Some(books) = self.books.upgrade() else { return };
        let closed = catch_unwind(AssertUnwindSafe(|| books.mailbox_closed(self.id, reason)));
        if let Err(payload) = closed {
            // On a thread whose thread-locals are going the maps' epochs may have gone: another thread has to do it, a little
            // later.
            let (id, reason, why) = (self.id, reason.clone(), ExitReason::from_panic(payload));
            quiet::run("a subscriber", || {
                tracing::warn!(mailbox = %id, %why, "a mailbox closed where its registry could not be told");
            });
            let later = Arc::clone(&books);
            books.reaper.hand_over(async move { later.mailbox_closed(id, &reason) });
        }
    }
}

impl<H: ?Sized + Held> Drop for Record<H> {
    fn drop(&mut self) {
        self.mailbox.tell_no_more_at(std::ptr::from_ref(self).cast::<()>().addr());
    }
}

impl<H: ?Sized + Held> fmt::Debug for Record<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({})", self.id)
    }
}
