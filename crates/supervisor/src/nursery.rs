//! Children and trees that a future starts belong to it until what it makes is taken: the ground for creations under a name.
//!
//! ```text
//!   start, start_child, reconfigure,
//!   polled by the future ──> noted ──> forgotten    the maker has given what it made to its caller
//!                              └─────> ended        it has not, whyever: each is ended for good
//! ```
//!
//! - *noted*: by the poll that adds the child to its supervisor's table, or begins the incarnation of a supervisor without
//!   one above it, on the stack of the future that is tended. A start by a server's handler that happens to run on this
//!   stack is that server's. A task that the future spawns may be taken along ([`tend_here`]), and then may outlive the
//!   future: what it starts after the others were ended is ended at once, and what it starts after they were forgotten is
//!   its own. Any other task's starts are that task's. What one of this crate's own parts starts for itself, as partitions
//!   are for all who use them, is that one's (`apart`).
//! - *ended for good*: a child is ordered to stop within its own limit, by a task in its supervisor's runtime, neither
//!   restarted nor left in the table; its mailbox closes. A child that has left the table is none. A supervisor without one
//!   above it ends as by a shutdown without a limit; one whose incarnation is over has ended.
//!
//! The list belongs to one future and what was taken along with it, and is behind a lock; nothing is called under it. Each
//! child is taken out of it, or found too late for it, under that lock, so by one of the two that end it. The same end is
//! used for a mailbox of which only a reference is known ([`Keeper::end_for_good`]).
//!
//! Not meant for users of supervisors: it may change in any release.
//!
//! [`Keeper::end_for_good`]: restante_genserver::keeper::Keeper::end_for_good

use crate::branch::SupervisorCore;
use crate::perform;
use crate::rt::Mutex;
use restante_core::ExitReason;
use restante_core::addressable::GivenUp;
use restante_genserver::keeper;
use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context as Cx, Poll};
use tokio::sync::oneshot;

#[cfg(shuttle)]
use shuttle::thread_local;

thread_local! {
    /// The nursery of the future that is polled on this thread, and the server whose code polls it.
    static HERE: RefCell<Option<(Nursery, Option<usize>)>> = const { RefCell::new(None) };
}

/// The children and trees that one future has started.
#[derive(Clone)]
pub struct Nursery(Arc<Inner>);

struct Inner {
    children: Mutex<Children>,
    owner: Option<Owner>,
}

/// What a nursery belongs to.
pub type Owner = Arc<dyn Any + Send + Sync>;

enum Children {
    /// What has been noted.
    Noted(Vec<Started>),
    Ended,
    Forgotten,
}

/// One thing that was started.
enum Started {
    /// The child of this key.
    Child(Weak<SupervisorCore>, u64),
    /// This incarnation of a supervisor that has none above it.
    Root(Weak<SupervisorCore>, u32),
}

impl Started {
    fn end_for_good(self) -> Option<GivenUp> {
        match self {
            Self::Child(branch, key) => branch.upgrade()?.end_for_good(key),
            Self::Root(branch, incarnation) => branch.upgrade()?.end_root_for_good(incarnation),
        }
    }
}

impl Default for Nursery {
    fn default() -> Self {
        Self::of(None)
    }
}

/// The future, tended as that whose code runs here: for what that one spawns.
pub fn tend_here<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
    Tended { nursery: Nursery::here(), future: Box::pin(future) }
}

/// The owner of the nursery of the future whose code runs here.
pub fn owner_here() -> Option<Owner> {
    Nursery::here()?.0.owner.clone()
}

impl Nursery {
    /// A nursery of this owner, which code that is tended finds ([`owner_here`]).
    pub fn owned_by(owner: Owner) -> Self {
        Self::of(Some(owner))
    }

    fn of(owner: Option<Owner>) -> Self {
        Self(Arc::new(Inner { children: Mutex::new(Children::Noted(Vec::new())), owner }))
    }

    /// The future, whose children are noted here.
    pub fn tend<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        Tended { nursery: Some(self.clone()), future: Box::pin(future) }
    }

    /// What has been noted and is there still is ended for good: ordered when this returns; what is returned waits for
    /// the ends.
    pub fn end_all(&self) -> Vec<GivenUp> {
        let Children::Noted(children) = self.put(Children::Ended) else { return Vec::new() };
        children.into_iter().filter_map(Started::end_for_good).collect()
    }

    /// Forgets the children, because what was made has been taken: they stay, and do not belong to this nursery any more.
    pub fn forget(&self) {
        drop(self.put(Children::Forgotten));
    }

    fn put(&self, children: Children) -> Children {
        std::mem::replace(&mut *self.0.children.lock().unwrap_or_else(PoisonError::into_inner), children)
    }

    /// That of the future whose code runs here.
    pub(crate) fn here() -> Option<Self> {
        let here = HERE.try_with(|here| {
            let here = here.borrow();
            let (nursery, whose) = here.as_ref()?;
            // The handler of a server that is polled on this stack starts children of its own.
            (*whose == keeper::on_whose_stack()).then(|| nursery.clone())
        });
        here.ok().flatten()
    }

    /// A child that is in this supervisor's table, under this key.
    pub(crate) fn note(&self, branch: &Arc<SupervisorCore>, key: u64) {
        self.note_one(Started::Child(Arc::downgrade(branch), key));
    }

    /// An incarnation of this supervisor, which has none above it, has begun.
    pub(crate) fn note_root(&self, branch: &Arc<SupervisorCore>, incarnation: u32) {
        self.note_one(Started::Root(Arc::downgrade(branch), incarnation));
    }

    fn note_one(&self, started: Started) {
        let late = match &mut *self.0.children.lock().unwrap_or_else(PoisonError::into_inner) {
            Children::Noted(children) => {
                children.push(started);
                None
            }
            Children::Ended => Some(started),
            Children::Forgotten => None,
        };
        drop(late.and_then(Started::end_for_good));
    }
}

/// The future, which starts nothing for the one whose code runs here: what it starts is noted nowhere.
pub(crate) fn apart<F: Future>(future: F) -> impl Future<Output = F::Output> {
    Apart(Box::pin(future))
}

struct Apart<F>(Pin<Box<F>>);

impl<F: Future> Future for Apart<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<F::Output> {
        let _back = Back(put(None));
        self.0.as_mut().poll(cx)
    }
}

/// A future that is tended. Without a nursery, where the future that it was taken along with was not tended.
struct Tended<F> {
    nursery: Option<Nursery>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Tended<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<F::Output> {
        let here = self.nursery.clone().map(|nursery| (nursery, keeper::on_whose_stack()));
        let _back = here.is_some().then(|| Back(put(here)));
        self.future.as_mut().poll(cx)
    }
}

/// Puts this in the place of what was there. (A thread whose thread-locals have gone notes nothing.)
fn put(here: Option<(Nursery, Option<usize>)>) -> Option<(Nursery, Option<usize>)> {
    HERE.try_with(|place| place.replace(here)).ok().flatten()
}

/// Puts back what was there before a poll, however that ends.
struct Back(Option<(Nursery, Option<usize>)>);

impl Drop for Back {
    fn drop(&mut self) {
        drop(put(self.0.take()));
    }
}

impl SupervisorCore {
    /// Ends a child that no caller wants: within its own limit, and neither restarted nor left in the table. `None`: it has
    /// left the table already, or is about to.
    pub(crate) fn end_for_good(self: &Arc<Self>, key: u64) -> Option<GivenUp> {
        let (gone, rt) = {
            let mut locked = self.lock();
            if locked.rules.get(key)?.discarded {
                return None;
            }
            // Discarded before it is told to end: should it end by itself meanwhile, it is not restarted by hand.
            (locked.rules.discard(key), locked.rt.clone())
        };
        if let Some(gone) = gone {
            self.retire(&gone, &ExitReason::Shutdown);
            return None;
        }
        let (tell, told) = oneshot::channel();
        let branch = Arc::clone(self);
        // Where its runtime has shut down, the child has ended with the runtime.
        rt?.spawn(async move {
            perform::stop_one(&branch, key, true).await;
            // A child that waited for its next incarnation had none that could end.
            branch.dismiss(key);
            let _ = tell.send(());
        });
        Some(Box::pin(async move { drop(told.await) }))
    }

    /// No caller wants this incarnation of a supervisor that has none above it: it ends, with all that is below it. `None`: it
    /// has ended.
    fn end_root_for_good(self: &Arc<Self>, incarnation: u32) -> Option<GivenUp> {
        let told = self.join_incarnation(incarnation)?;
        self.end_incarnation(incarnation, ExitReason::Shutdown, false);
        Some(Box::pin(async move { drop(told.await) }))
    }
}

impl fmt::Debug for Nursery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nursery")
    }
}
