//! What a registry keeps of one mailbox.
//!
//! Who may touch what: `labels` and `gone` are written under the registry's writers' lock only, and read by anybody at any
//! time; `hold` has a lock of its own, taken for a few instructions and never together with another of ours. The record keeps
//! the mailbox's memory, not its life, unless [`Hold::kept`] does.

use crate::books::Books;
use crate::ending::Ending;
use crate::name_text::NameText;
use crate::secondary::SecondaryKey;
use crate::sync::{AtomicBool, Mutex, Ordering, lock};
use arc_swap::ArcSwapOption;
use futures::future::BoxFuture;
use restante_core::addressable::{Lent, OnClose};
use restante_core::{Addressable, ExitReason, drop_quietly};
use std::any::{Any, type_name};
use std::collections::BTreeMap;
use std::fmt;
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
    fn tell_first(&self, whom: Weak<dyn OnClose>) -> bool;
    fn tell_no_more(&self, whom: &Weak<dyn OnClose>) -> bool;
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
    fn tell_first(&self, whom: Weak<dyn OnClose>) -> bool {
        R::tell_first(self, whom)
    }
    fn tell_no_more(&self, whom: &Weak<dyn OnClose>) -> bool {
        R::tell_no_more(self, whom)
    }
}

/// One mailbox in a registry. The mailbox lies at its end, so that a record is one allocation.
pub(crate) struct Record<H: ?Sized = dyn Held> {
    pub(crate) id: Uuid,
    /// Whose.
    books: Weak<Books>,
    /// It is not in the index any more, or will not come in.
    gone: AtomicBool,
    labels: ArcSwapOption<Labels>,
    hold: Mutex<Option<Box<Hold>>>,
    pub(crate) mailbox: H,
}

/// Under what a mailbox is found. The truth; the indexes are made from it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Labels {
    pub(crate) names: Vec<NameText>,
    pub(crate) keys: Vec<SecondaryKey>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// What goes when the mailbox goes.
#[derive(Default)]
struct Hold {
    /// A reference, where the registration keeps the mailbox open.
    kept: Option<Box<dyn Any + Send + Sync>>,
    /// In the order in which they came; they go in the opposite one.
    resources: Vec<Resource>,
    watchers: Vec<oneshot::Sender<Ending>>,
}

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
    /// From now on the mailbox tells it of its closing: whoever does not put it into an index calls
    /// [`Record::forsake`].
    pub(crate) fn new(of: &R, id: Uuid, books: &Arc<Books>) -> Option<Arc<Record>> {
        let this = Arc::new(Record {
            id,
            books: Arc::downgrade(books),
            gone: AtomicBool::new(false),
            labels: ArcSwapOption::empty(),
            hold: Mutex::new(None),
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

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Under the writers' lock. False when it was gone before.
    pub(crate) fn set_gone(&self) -> bool {
        !self.gone.swap(true, Ordering::AcqRel)
    }

    /// A look at what it is found under.
    pub(crate) fn labels(&self) -> Option<Arc<Labels>> {
        self.labels.load_full()
    }

    /// Under the writers' lock: nobody else changes them meanwhile.
    pub(crate) fn relabel<T>(&self, change: impl FnOnce(&mut Labels) -> T) -> T {
        let mut labels = self.labels.load_full().map(Arc::unwrap_or_clone).unwrap_or_default();
        let changed = change(&mut labels);
        let empty = labels.names.is_empty() && labels.keys.is_empty() && labels.metadata.is_empty();
        self.labels.store((!empty).then(|| Arc::new(labels)));
        changed
    }

    /// The mailbox is not to tell it of its closing any more.
    pub(crate) fn forsake(self: &Arc<Self>) {
        self.mailbox.tell_no_more_at(Arc::as_ptr(self).cast::<()>().addr());
    }

    /// Keeps the mailbox open until the record goes. False: the last reference has gone already, or the record has.
    pub(crate) fn keep(&self) -> bool {
        let Some(kept) = self.mailbox.keep() else { return false };
        self.with_hold(|hold| hold.kept = Some(kept)).is_ok()
    }

    /// Gives it something to own; given back where it is too late.
    pub(crate) fn own(&self, resource: Resource) -> Result<(), Resource> {
        let mut resource = Some(resource);
        let taken = self.with_hold(|hold| hold.resources.extend(resource.take()));
        match (taken, resource) {
            (Err(TooLate), Some(resource)) => Err(resource),
            _ => Ok(()),
        }
    }

    /// Will be told how it ended; `None`: it has ended already.
    pub(crate) fn watch(&self) -> Option<oneshot::Receiver<Ending>> {
        let (tell, told) = oneshot::channel();
        self.with_hold(|hold| {
            // Those who do not wait any more make room; amortised, since the list doubles before it is looked through.
            if hold.watchers.len() == hold.watchers.capacity() {
                hold.watchers.retain(|w| !w.is_closed());
            }
            hold.watchers.push(tell);
        })
        .ok()
        .map(|()| told)
    }

    /// How it ended; `None`: it has not.
    pub(crate) fn ending(&self) -> Option<Ending> {
        match &*lock(&self.hold) {
            Hold::Ended(ending) => Some(ending.clone()),
            _ => None,
        }
    }

    fn with_hold<T>(&self, f: impl FnOnce(&mut Held) -> T) -> Result<T, TooLate> {
        todo!()
    }
}
