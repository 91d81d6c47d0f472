//! The context, and what lies in it.

use super::verbs::ExitSignal;
use crate::executor::CellRef;
use crate::rt::Rt;
use crate::server::GenServer;
use crate::sys::Open;
use crate::timer::{Idle, Timers};
use crate::watches::Watches;
use restante_core::{ExitReason, drop_quietly, quiet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::Sleep;

/// What a callback may do: set timers, receive selectively, monitor, link, spawn.
///
/// Belongs to one incarnation of one server; what it holds (timers, tasks, monitors' answers) ends with it.
///
/// It is lent to a callback for as long as that lasts, and works at the place where it was lent, on the thread that runs the
/// callback. A callback that has put another context into that place (`std::mem::swap`) ends its server, without
/// `terminate`, for an error that says so.
///
/// # Panics
/// Everything that it can do but [`Context::incarnation`] panics, and so crashes the server whose callback has asked, in a
/// context that was moved from its place, or is used on another thread than its callback's.
#[expect(clippy::struct_excessive_bools, reason = "each is looked at by itself, on the hot path")]
pub struct Context<S: GenServer> {
    pub(crate) cell: CellRef<S>,
    pub(crate) cold: Option<Box<Cold<S>>>,
    pub(crate) idle: Option<Box<Idle>>,
    /// `handle_continue` is due.
    pub(crate) continues: bool,
    /// Buffers are to be given back once idle.
    pub(crate) hibernates: bool,
    /// Nothing can come before the next message but what [`Context::try_next`] looks at itself.
    pub(crate) quiet: bool,
    /// There are timers.
    pub(crate) timed: bool,
    /// What this server does is watched ([`crate::sys`]).
    pub(crate) watched: bool,
    /// The server is suspended.
    pub(crate) suspended: bool,
    /// A callback has left another server's context, or an earlier incarnation's, in the place of this incarnation's.
    pub(super) lost: bool,
    pub(super) incarnation: u32,
}

/// What few servers use.
pub(crate) struct Cold<S: GenServer> {
    pub(crate) timers: Timers<S::Info>,
    /// The wait of a message that was put back.
    pub(crate) back_off: Option<Pin<Box<Sleep>>>,
    /// What is in a handler, and since when, while the server is watched.
    pub(crate) open: Option<Open>,
    pub(super) trap: Option<Trap<S>>,
    pub(super) tasks: JoinSet<()>,
    pub(super) cleanups: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Whose reaper they are handed over to. (A context may be dropped where there is no cell to ask any more.)
    pub(super) rt: Option<Arc<Rt>>,
    /// Monitors on others.
    pub(super) watches: Watches,
}

/// What it holds of the user's goes one by one. (Of timers and monitors: see there.)
impl<S: GenServer> Drop for Cold<S> {
    fn drop(&mut self) {
        quiet::discard("a closure that makes infos of exits", self.trap.take());
        self.cleanups.drain(..).for_each(|cleanup| quiet::discard("a clean-up", cleanup));
    }
}

type Trap<S> = Box<dyn FnMut(ExitSignal) -> <S as GenServer>::Info + Send>;

impl<S: GenServer> Drop for Context<S> {
    fn drop(&mut self) {
        let Some(cold) = &mut self.cold else { return };
        if cold.cleanups.is_empty() {
            return;
        }
        if let Some(rt) = cold.rt.take() {
            for cleanup in cold.cleanups.drain(..) {
                // The record stays for `drain` to find, though this may be its last server.
                let keeps = std::sync::Arc::clone(&rt);
                rt.reaper.hand_over(async move {
                    let _keeps = keeps;
                    cleanup.await;
                });
            }
        }
    }
}

/// A context that is not where it was lent: what it leads to may be gone, and is certainly not the asker's to touch.
#[cold]
#[inline(never)]
pub(crate) fn astray<S: GenServer>() -> ! {
    panic!(
        "a context of {} was moved from where it was lent, or is used on another thread than its callback's",
        std::any::type_name::<S>()
    )
}

impl<S: GenServer> fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context<{}>", std::any::type_name::<S>())
    }
}

impl<S: GenServer> Context<S> {
    /// The cell, for what a callback asks for. It is there for sure, and its RUN is the callback's, where its loop is polled on
    /// this very thread and this lies in the place from which the loop has lent its context: what lies there is a context for
    /// an `S`, and its cell is the one that is polled. One that was kept from an earlier incarnation is refused there as well.
    #[inline]
    pub(crate) fn cell(&self) -> &CellRef<S> {
        let lent = self.cell.has_lent(std::ptr::from_ref(self).addr());
        if !lent || self.cell.incarnation() != self.incarnation {
            astray::<S>();
        }
        &self.cell
    }

    /// What few servers use, for what a callback asks for.
    pub(super) fn own_cold(&mut self) -> &mut Cold<S> {
        self.cell();
        self.cold()
    }

    pub(crate) fn cold(&mut self) -> &mut Cold<S> {
        self.cold.get_or_insert_with(|| {
            Box::new(Cold {
                timers: Timers::counted(crate::tracker::timers(&self.cell)),
                back_off: None,
                open: None,
                trap: None,
                tasks: JoinSet::new(),
                cleanups: Vec::new(),
                rt: None,
                watches: Watches::default(),
            })
        })
    }

    pub(crate) fn new(cell: CellRef<S>, incarnation: u32) -> Self {
        Self {
            cell,
            cold: None,
            idle: None,
            continues: false,
            hibernates: false,
            quiet: true,
            timed: false,
            watched: false,
            suspended: false,
            lost: false,
            incarnation,
        }
    }

    /// For a callback that it is lent to, from the place where it lies now and stays: what the callback's poll is to know of
    /// it.
    #[inline(always)]
    pub(crate) fn lend(&self) -> (CellRef<S>, usize) {
        (self.cell.again(), std::ptr::from_ref(self).addr())
    }

    /// Whether this is the context of the server whose loop is being polled here. To be asked whenever a callback has had it.
    #[inline(always)]
    pub(crate) fn is_own(&self) -> bool {
        self.cell.is_polled_here()
    }

    /// A callback has returned: whether it has left the context where it was.
    ///
    /// # Errors
    /// What the callback failed with; or it has left another in the place, and the server is to end for that.
    pub(crate) fn kept<T>(&mut self, returned: Result<T, ExitReason>) -> Result<T, ExitReason> {
        if self.is_own() {
            return returned;
        }
        let misplaced = self.take_over();
        Err(returned.map(drop_quietly).err().unwrap_or(misplaced))
    }

    /// This one serves in the place of the one that is lost, for the loop's sake; no callback is lent it any more. Why the
    /// server is to end.
    #[cold]
    #[expect(unsafe_code, reason = "as where the loop was made")]
    pub(crate) fn take_over(&mut self) -> ExitReason {
        assert!(!crate::frame::cell().is_null(), "a loop is polled inside of its frame");
        // SAFETY: asked for by the loop that owns this place, while it is polled; its context is one for an `S`.
        self.cell = unsafe { CellRef::polled_here() };
        self.incarnation = self.cell.incarnation();
        self.lost = true;
        ExitReason::error("a callback has put another server's context into the place of its own")
    }
}
