//! What servers need of the runtime they live in: a task now and then, and one timer that watches over all calls that
//! wait with the default limit.
//!
//! The sweep: a call that begins to wait notes the runtime's epoch (one relaxed load) and sees to it that the sweep is
//! armed. The sweep is a task that advances the epoch every [`TICK`] of tokio's time (so that paused tests work), ends
//! what has waited longer than [`DEFAULT_TICKS`], and goes to sleep when nobody waits. So the default limit costs a call
//! neither a clock reading nor a timer, and fires within 5.0 to 5.25 s. On a runtime without a time driver a thread of
//! that runtime keeps the ticks.

use crate::slot;
use restante_core::Reaper;
use restante_core::sync::{AtomicBool, AtomicU32, Ordering};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::sync::atomic::AtomicU32 as StdAtomicU32;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;
use tokio::runtime::{Handle, Id};
use tokio::task::JoinSet;

/// How often the sweep looks.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// The default limit of a call, in ticks: 5 s.
pub(crate) const DEFAULT_TICKS: u32 = 20;

/// One runtime.
pub(crate) struct Rt {
    pub(crate) handle: Handle,
    id: Id,
    /// Names its sweep.
    sweep: u32,
    epoch: AtomicU32,
    armed: AtomicBool,
    /// Whether the runtime can keep time, once that is known.
    timed: OnceLock<bool>,
    /// Clean-up that servers leave behind.
    pub(crate) reaper: Reaper,
    /// Cells whose buffers are big, to be looked at once they have been idle for a tick.
    fat: Mutex<Vec<Look>>,
}

/// Looks at an idle cell; true when it need not be looked at again.
pub(crate) type Look = Box<dyn FnMut() -> bool + Send>;

impl std::fmt::Debug for Rt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rt({})", self.id)
    }
}

static RUNTIMES: Mutex<Vec<Weak<Rt>>> = Mutex::new(Vec::new());

/// A task, and its runtime: it never changes that.
type Looked = (Cell<Option<tokio::task::Id>>, Arc<Rt>);

thread_local! {
    /// What was last looked at on this thread.
    static LAST: RefCell<Option<Looked>> = const { RefCell::new(None) };
}

impl Rt {
    /// The record of this runtime.
    fn of(handle: &Handle) -> Arc<Self> {
        // The next sweep's name; 0 names none.
        static NEXT: StdAtomicU32 = StdAtomicU32::new(1);
        let id = handle.id();
        let mut all = RUNTIMES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.retain(|rt| rt.strong_count() > 0);
        if let Some(rt) = all.iter().filter_map(Weak::upgrade).find(|rt| rt.id == id) {
            return rt;
        }
        warn_of_abort();
        let rt = Arc::new(Self {
            handle: handle.clone(),
            id,
            sweep: NEXT.fetch_add(1, Ordering::Relaxed),
            epoch: AtomicU32::new(0),
            armed: AtomicBool::new(false),
            timed: OnceLock::new(),
            reaper: Reaper::new(handle.clone()),
            fat: Mutex::new(Vec::new()),
        });
        all.push(Arc::downgrade(&rt));
        rt
    }

    /// The runtime that this thread is in, if it is in one.
    pub(crate) fn current() -> Option<Arc<Self>> {
        Self::with_current(Arc::clone)
    }

    /// The runtime that was asked for.
    pub(crate) fn for_handle(handle: &Handle) -> Arc<Self> {
        Self::of(handle)
    }

    #[inline(always)]
    pub(crate) fn with_current<R>(f: impl FnOnce(&Arc<Self>) -> R) -> Option<R> {
        // (Outside of tasks, as in the future of `block_on`, there is no task id: then the runtime's own is asked for.)
        let task = tokio::task::try_id();
        let mut f = Some(f);
        let known = LAST.try_with(|last| {
            // Lent, not cloned: a count would cost more than all the rest. (Should `f` come back here, it reads along.)
            let last = last.try_borrow().ok()?;
            let (id, rt) = last.as_ref()?;
            (task.is_some() && id.get() == task || Self::still_in(rt, id, task))
                .then(|| f.take().map(|f| f(rt)))
                .flatten()
        });
        if let Ok(Some(result)) = known {
            return Some(result);
        }
        let f = f?;
        Self::current_slow(task).map(|rt| f(&rt))
    }

    /// Another task, but of the runtime that was last looked at: noted in its place.
    fn still_in(rt: &Self, id: &Cell<Option<tokio::task::Id>>, task: Option<tokio::task::Id>) -> bool {
        let still = Handle::try_current().is_ok_and(|handle| handle.id() == rt.id);
        if still {
            id.set(task);
        }
        still
    }

    #[cold]
    fn current_slow(task: Option<tokio::task::Id>) -> Option<Arc<Self>> {
        let rt = Self::of(&Handle::try_current().ok()?);
        let noted = Some((Cell::new(task), Arc::clone(&rt)));
        let old = LAST
            .try_with(|last| last.try_borrow_mut().ok().and_then(|mut l| std::mem::replace(&mut *l, noted)));
        drop(old);
        Some(rt)
    }

    /// Whether this thread is in this runtime.
    #[inline(always)]
    pub(crate) fn is_current(self: &Arc<Self>) -> bool {
        Self::with_current(|rt| Arc::ptr_eq(rt, self)).unwrap_or(false)
    }

    /// Names this runtime (and its sweep) among all there have been.
    #[inline]
    pub(crate) fn name(&self) -> u32 {
        self.sweep
    }

    /// The sweep's name and its present epoch.
    #[inline]
    pub(crate) fn epoch(&self) -> (u32, u32) {
        (self.sweep, self.epoch.load(Ordering::Relaxed))
    }

    /// Sees to it that the sweep runs. To be called after the wait has been published: then either this sees that the
    /// sweep is not armed, or the sweep, about to go to sleep, sees the wait.
    #[inline]
    pub(crate) fn arm(self: &Arc<Self>) {
        if !self.armed.load(Ordering::SeqCst) {
            self.arm_slow();
        }
    }

    #[cold]
    fn arm_slow(self: &Arc<Self>) {
        if !self.armed.swap(true, Ordering::SeqCst) {
            self.handle.spawn(Self::run(Arc::clone(self)));
        }
    }

    /// Spawns a task that ends with the set.
    pub(crate) fn spawn_in(&self, tasks: &mut JoinSet<()>, task: impl Future<Output = ()> + Send + 'static) {
        tasks.spawn_on(task, &self.handle);
    }

    /// Looks at a fat cell after a tick of idleness, again and again until `look` says that it is done.
    pub(crate) fn watch_fat(self: &Arc<Self>, look: Look) {
        self.fat.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(look);
        self.arm();
    }

    /// A tick of time, from within the runtime; false when that is shutting down.
    async fn tick(&self) -> bool {
        // (Tokio says by a panic, and in no other way, that there is no time driver.)
        let timed =
            *self.timed.get_or_init(|| std::panic::catch_unwind(|| drop(tokio::time::sleep(TICK))).is_ok());
        if timed {
            tokio::time::sleep(TICK).await;
            return true;
        }
        warn_of_no_timer();
        tokio::task::spawn_blocking(|| std::thread::sleep(TICK)).await.is_ok()
    }

    /// The sweep. It keeps the record while anybody waits: a caller's runtime may have no server of its own, and then
    /// nobody else does. With nobody waiting it ends, and keeps nothing.
    async fn run(rt: Arc<Self>) {
        while rt.tick().await {
            let epoch = rt.epoch.fetch_add(1, Ordering::Relaxed) + 1;
            let waiting = slot::sweep(rt.sweep, epoch, DEFAULT_TICKS);
            let looks =
                std::mem::take(&mut *rt.fat.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
            let mut again: Vec<_> =
                looks.into_iter().filter_map(|mut look| (!look()).then_some(look)).collect();
            let fat = !again.is_empty();
            rt.fat.lock().unwrap_or_else(std::sync::PoisonError::into_inner).append(&mut again);
            if waiting || fat {
                continue;
            }
            rt.armed.store(false, Ordering::SeqCst);
            // Somebody may have begun to wait between the look and the store: see `arm`.
            let late = slot::sweep(rt.sweep, epoch, DEFAULT_TICKS)
                || !rt.fat.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty();
            if !late || rt.armed.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }
}

/// Waits until the clean-ups that servers of this runtime left behind are done ([`Context::at_exit`]), at most so long;
/// how many were left then. Outside a runtime: nothing to wait for.
///
/// [`Context::at_exit`]: crate::Context::at_exit
pub async fn drain(limit: Duration) -> usize {
    match Rt::current() {
        Some(rt) => rt.reaper.drain(limit).await,
        None => 0,
    }
}

/// Without a time driver most limits cannot be kept: said once, since what goes wrong later shows elsewhere.
fn warn_of_no_timer() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            "servers run on a tokio runtime without a time driver: calls keep their default limit, but limits of their \
             own and timers panic; call `enable_time` on its builder"
        );
    });
}

/// Under `panic = "abort"` no crash can be caught: said once, since nothing else would.
fn warn_of_abort() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    if cfg!(panic = "abort") {
        ONCE.call_once(|| {
            tracing::warn!(
                "built with panic = \"abort\": a panic in a handler ends the process, not the server"
            );
        });
    }
}
