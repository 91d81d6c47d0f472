//! What servers need of the runtime they live in: a task now and then, and one timer that watches over all calls that
//! wait with the default limit.
//!
//! The sweep: a call that begins to wait notes the runtime's epoch (one relaxed load), and sees to it that it is in the list
//! of its sweep (`waits`) and that the sweep is armed. The sweep is a task that advances the epoch every [`TICK`] (of tokio's
//! time where that is paused), ends what has waited longer than [`DEFAULT_TICKS`], and goes to sleep when no call waits. So
//! the default limit costs a call neither a clock reading nor a timer, and fires within 5.0 to 5.25 s. The runtime need not
//! have a time driver, and is not asked whether it has: see [`alarm`].
//!
//! What the sweep runs for others, wakers and looks at buffers, is foreign code and runs under the net (`quiet`). Should
//! its task end all the same, by a panic or because its runtime drops it, it is not armed any more ([`Armed`]): the next
//! call starts another.

use crate::slot::Wait;
use crate::waits::Waits;
use restante_core::sync::{AtomicBool, AtomicU32, Ordering};
use restante_core::{Reaper, alarm, quiet};
use std::cell::RefCell;
use std::future::Future;
use std::sync::atomic::AtomicU32 as StdAtomicU32;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::runtime::{Handle, Id};
use tokio::task::JoinSet;

/// How often the sweep looks.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// The default limit of a call, in ticks: 5 s.
pub(crate) const DEFAULT_TICKS: u16 = 20;

/// One runtime.
pub(crate) struct Rt {
    pub(crate) handle: Handle,
    id: Id,
    /// Names its sweep.
    sweep: u32,
    epoch: AtomicU32,
    /// What it watches over.
    waits: Waits,
    armed: AtomicBool,
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

thread_local! {
    /// The record of the runtime that this thread was in when it was last asked. The truth is tokio's alone, see
    /// [`Handle::try_current`]: a task may enter another runtime at any depth of its stack, for a part of a poll. So tokio is
    /// asked each time, and this saves the look into the list.
    static LAST: RefCell<Option<Arc<Rt>>> = const { RefCell::new(None) };
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
            waits: Waits::default(),
            armed: AtomicBool::new(false),
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

    /// Whether this thread is in this runtime, as tokio says.
    pub(crate) fn is_entered(&self) -> bool {
        Handle::try_current().is_ok_and(|handle| handle.id() == self.id)
    }

    /// The runtime that was asked for.
    pub(crate) fn for_handle(handle: &Handle) -> Arc<Self> {
        Self::of(handle)
    }

    /// Does this with the record of the runtime that this thread is in, if it is in one.
    #[inline]
    pub(crate) fn with_current<R>(f: impl FnOnce(&Arc<Self>) -> R) -> Option<R> {
        let handle = Handle::try_current().ok()?;
        let mut f = Some(f);
        let known = LAST.try_with(|last| {
            // Lent, not cloned. (Should `f` come back here, it reads along.)
            let last = last.try_borrow().ok()?;
            let rt = last.as_ref().filter(|rt| rt.id == handle.id())?;
            f.take().map(|f| f(rt))
        });
        match (known, f) {
            (Ok(Some(result)), _) => Some(result),
            (_, f) => Some(f?(&Self::note(&handle))),
        }
    }

    /// The record of this runtime, noted as the one that this thread is in.
    #[cold]
    fn note(handle: &Handle) -> Arc<Self> {
        let rt = Self::of(handle);
        let noted = Arc::clone(&rt);
        let old = LAST.try_with(|last| last.try_borrow_mut().ok().and_then(|mut last| last.replace(noted)));
        drop(old);
        rt
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

    /// Sees to it that the sweep watches over this wait, which has been published and begun with this sweep.
    #[inline]
    pub(crate) fn watch_over<T: Send>(self: &Arc<Self>, wait: &Wait<T>) {
        if let Some(entry) = wait.entry() {
            self.waits.push(entry);
        }
        self.arm();
    }

    /// Sees to it that the sweep runs. To be called after the wait has been entered in the list: then either this sees that
    /// the sweep is not armed, or the sweep, about to go to sleep, sees the entry.
    #[inline]
    fn arm(self: &Arc<Self>) {
        if !self.armed.load(Ordering::SeqCst) {
            self.arm_slow();
        }
    }

    #[cold]
    fn arm_slow(self: &Arc<Self>) {
        if !self.armed.swap(true, Ordering::SeqCst) {
            // Made here, and not in the task: a runtime that has ended drops the task unpolled.
            self.handle.spawn(Self::run(Armed(Some(Arc::clone(self)))));
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

    /// The sweep. It keeps the record while a call waits: a caller's runtime may have no server of its own, and then nothing
    /// else keeps it. With no call waiting the sweep ends, and keeps nothing.
    async fn run(mut armed: Armed) {
        let Some(rt) = armed.0.clone() else { return };
        loop {
            alarm::sleep(TICK).await;
            let epoch = rt.epoch.fetch_add(1, Ordering::Relaxed) + 1;
            rt.waits.sweep(rt.sweep, epoch, DEFAULT_TICKS);
            let looks =
                std::mem::take(&mut *rt.fat.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
            let mut again: Vec<_> = looks.into_iter().filter_map(look_again).collect();
            let fat = !again.is_empty();
            rt.fat.lock().unwrap_or_else(std::sync::PoisonError::into_inner).append(&mut again);
            if fat || !rt.waits.is_empty() {
                continue;
            }
            rt.armed.store(false, Ordering::SeqCst);
            // A caller may have begun to wait between the look and the store: see `arm`.
            let late = !rt.waits.is_empty()
                || !rt.fat.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty();
            if !late || rt.armed.swap(true, Ordering::SeqCst) {
                // Not armed, or by a caller who has started another sweep.
                armed.0 = None;
                return;
            }
        }
    }
}

/// The flag `armed`, as the sweep's task holds it from before it is spawned: taken down with the task, whatever ends it,
/// though it was never polled. Where its runtime has ended no sweep will look at buffers there any more.
struct Armed(Option<Arc<Rt>>);

impl Drop for Armed {
    fn drop(&mut self) {
        if let Some(rt) = &self.0 {
            rt.armed.store(false, Ordering::SeqCst);
            if std::thread::panicking() {
                return;
            }
            let looks =
                std::mem::take(&mut *rt.fat.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
            for look in looks {
                quiet::discard("a look at an idle mailbox", look);
            }
        }
    }
}

/// Looks at an idle cell; the look comes back where it is to be taken again. The cell may go with it, and all that lies in
/// it: the user's code, whose panic is not the sweep's.
fn look_again(mut look: Look) -> Option<Look> {
    let done = quiet::run("a look at an idle mailbox", &mut look).unwrap_or(true);
    if done {
        quiet::discard("a look at an idle mailbox", look);
        return None;
    }
    Some(look)
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

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use crate::call::watch_by_sweep;
    use crate::reply::Reply;
    use crate::slot::Outcome;
    use std::future::poll_fn;
    use std::task::{Context, Waker};

    /// Clause 6.1: a sweep whose task has gone, whatever ended it, is started again by the next call that waits.
    #[tokio::test(start_paused = true)]
    async fn a_sweep_that_has_died_is_started_again() {
        let rt = Rt::current().expect("this is a runtime");
        rt.armed.store(true, Ordering::SeqCst);
        let mut sweep = Box::pin(Rt::run(Armed(Some(Arc::clone(&rt)))));
        assert!(sweep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(sweep);
        let (slot, mut wait) = crate::slot::pair::<u8>();
        let _reply = Reply::<u8>::new(slot);
        let waits = poll_fn(|cx| watch_by_sweep(&mut wait, || None, cx));
        let outcome = tokio::time::timeout(Duration::from_secs(60), waits).await;
        assert!(matches!(outcome, Ok(Outcome::Late)), "{outcome:?}");
    }

    /// Clause 6.1: a sweep that its runtime drops unpolled, because it ends, is not armed any more.
    #[test]
    fn a_sweep_that_was_never_polled_is_not_armed() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let rt = Rt::for_handle(runtime.handle());
        rt.arm();
        assert!(rt.armed.load(Ordering::SeqCst));
        drop(runtime);
        assert!(!rt.armed.load(Ordering::SeqCst), "dropped with the runtime");
        rt.arm();
        assert!(!rt.armed.load(Ordering::SeqCst), "dropped at once");
    }

    /// Issue 13, S5: a tick looks at what waits now, and not at what has waited in a burst.
    #[tokio::test(start_paused = true)]
    async fn a_burst_leaves_the_sweep_nothing_to_look_at() {
        let rt = Rt::current().expect("this is a runtime");
        let burst = |n: usize| {
            let mut calls = Vec::new();
            for _ in 0..n {
                let (slot, mut wait) = crate::slot::pair::<u8>();
                let mut cx = Context::from_waker(Waker::noop());
                assert!(watch_by_sweep(&mut wait, || None, &mut cx).is_pending());
                calls.push((Reply::<u8>::new(slot), wait));
            }
            calls
        };
        let one = burst(1);
        let many = burst(1000);
        tokio::time::sleep(2 * TICK).await;
        assert_eq!(rt.waits.len(), 1001);
        drop(many);
        tokio::time::sleep(2 * TICK).await;
        assert_eq!(rt.waits.len(), 1);
        drop(one);
        tokio::time::sleep(2 * TICK).await;
        assert!(rt.waits.is_empty() && !rt.armed.load(Ordering::SeqCst), "and then it sleeps");
    }

    /// Clause 6.1, 1.7: a look at buffers may drop a mailbox, and with it the user's code: its panic is not the sweep's.
    #[tokio::test(start_paused = true)]
    async fn a_look_that_panics_does_not_end_the_sweep() {
        let rt = Rt::current().expect("this is a runtime");
        rt.watch_fat(Box::new(|| panic!("a rude message")));
        let (looked, mut looks) = tokio::sync::mpsc::unbounded_channel();
        rt.watch_fat(Box::new(move || {
            looked.send(()).expect("the test listens");
            false
        }));
        for _ in 0..3 {
            let look = tokio::time::timeout(Duration::from_secs(60), looks.recv()).await;
            assert_eq!(look, Ok(Some(())), "each tick looks at what is left");
        }
    }
}
