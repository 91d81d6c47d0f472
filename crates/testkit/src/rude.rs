//! Foreign code at its worst: wakers and values that panic, re-enter, are forgotten or go to another thread.
//!
//! What is shown is not that the operation succeeds, but that nothing else suffers: after it the law holds, nothing hangs, and
//! monitors are told. [`rudely!`](crate::rudely) applies all of it to every operation on a list.
//!
//! ```text
//! for each manner × ending × operation:
//!     setup ─> polls with a rude waker ─> meanwhile (what wakes it) ─> ending: dropped, forgotten, moved or finished ─> after
//! ```
//!
//! A limit of the operation's own may run out while it holds a rude waker: what tokio's timers call then is a shield of ours.
//!
//! A panic that comes out of the operation's own poll or drop is its poller's, and let be; so is one of a waker's `clone`,
//! which runs on that same stack: it is tried in the first poll, and in a later one, for what is held meanwhile.

#[path = "rude_clone.rs"]
mod clones;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// What foreign code does when it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Manner {
    /// Its `wake` panics.
    PanicsInWake,
    /// Its `wake` panics with a payload whose drop panics.
    PanicsWithRudePayload,
    /// Its `wake` is well, its drop panics: of the last clone, which is another's by then.
    PanicsInDrop,
    /// The drop of each of its clones panics, so that an operation that holds two of them must not drop the one while the
    /// drop of the other unwinds.
    PanicsInEveryDrop,
    /// Its `clone` panics, from the first poll on.
    PanicsInClone,
    /// Its `clone` panics, of the wakers after the first one, which is well.
    PanicsInLaterClone,
    /// Its `wake` calls back: sends, looks, closes.
    Reenters,
    /// Its `wake` does its work on another thread, and returns when that has been done.
    GoesElsewhere,
}

/// What becomes of the operation after it has been polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// It is dropped.
    Dropped,
    /// It is never dropped and never polled again.
    Forgotten,
    /// Another thread polls it once and drops it.
    Moved,
    /// It is awaited to its end, with a proper waker.
    Finished,
}

/// How often an operation is polled with the rude waker.
const POLLS: usize = 3;

/// How long an operation may take to its end, on the clock that tests can pause.
const LIMIT: Duration = Duration::from_secs(3600);

/// One case: an operation, a manner and an ending.
pub struct Rude {
    what: &'static str,
    manner: Manner,
    ending: Ending,
    reenter: Arc<dyn Fn() + Send + Sync>,
    /// Wakers that outlive the case behave.
    over: Arc<AtomicBool>,
}

impl Rude {
    /// All manners, each with all endings.
    pub fn all() -> impl Iterator<Item = (Manner, Ending)> {
        let manners = [
            Manner::PanicsInWake,
            Manner::PanicsWithRudePayload,
            Manner::PanicsInDrop,
            Manner::PanicsInEveryDrop,
            Manner::PanicsInClone,
            Manner::PanicsInLaterClone,
            Manner::Reenters,
            Manner::GoesElsewhere,
        ];
        let endings = [Ending::Dropped, Ending::Forgotten, Ending::Moved, Ending::Finished];
        manners.into_iter().flat_map(move |manner| endings.map(|ending| (manner, ending)))
    }

    /// A case. `reenter` is what a waker that re-enters calls, with whatever it has been given.
    pub fn new(
        what: &'static str,
        manner: Manner,
        ending: Ending,
        reenter: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self { what, manner, ending, reenter: Arc::new(reenter), over: Arc::default() }
    }

    /// A waker with these manners.
    pub fn waker(&self) -> Waker {
        let waker = Arc::new(RudeWaker {
            manner: self.manner,
            reenter: Arc::clone(&self.reenter),
            armed: AtomicBool::new(true),
            over: Arc::clone(&self.over),
        });
        match self.manner {
            Manner::PanicsInClone | Manner::PanicsInLaterClone | Manner::PanicsInEveryDrop => {
                clones::waker(waker)
            }
            _ => Waker::from(waker),
        }
    }

    /// Polls the operation with rude wakers, a new one each time; others may run in between. Whether it is ready.
    ///
    /// # Cancel safety
    /// None is needed: what is dropped midway is a test.
    pub async fn poll<F: Future<Output = ()>>(&self, mut operation: Pin<&mut F>) -> bool {
        for poll in 0..POLLS {
            let is_well = poll == 0 && self.manner == Manner::PanicsInLaterClone;
            let waker = if is_well { Waker::noop().clone() } else { self.waker() };
            let poll =
                catch_unwind(AssertUnwindSafe(|| operation.as_mut().poll(&mut Context::from_waker(&waker))));
            // The operation's clone is the last one now.
            let _ = swallowed(|| drop(waker));
            match poll {
                Ok(Poll::Pending) => tokio::task::yield_now().await,
                Ok(Poll::Ready(())) => return true,
                Err(payload) => {
                    let _ = swallowed(|| drop(payload));
                    return true;
                }
            }
        }
        false
    }

    /// Does with the operation what the case asks for; `ready`: as [`Rude::poll`] said.
    ///
    /// # Panics
    /// When an operation that is awaited does not come to its end within an hour of the clock that tests can pause.
    ///
    /// # Cancel safety
    /// As [`Rude::poll`].
    #[track_caller]
    pub fn end<F: Future<Output = ()> + Send>(
        &self,
        operation: Pin<Box<F>>,
        ready: bool,
    ) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            match self.ending {
                Ending::Forgotten => std::mem::forget(operation),
                Ending::Finished if !ready => {
                    if tokio::time::timeout(LIMIT, swallowing(operation)).await.is_err() {
                        crate::failure::fail(
                            format_args!("{self} did not come to its end within {LIMIT:?}"),
                            at,
                        );
                    }
                }
                Ending::Moved => elsewhere(operation, ready),
                Ending::Dropped | Ending::Finished => {
                    let _ = swallowed(|| drop(operation));
                }
            }
        }
    }
}

/// What the operation's poll panics with is its poller's.
async fn swallowing<F: Future<Output = ()>>(mut operation: Pin<Box<F>>) {
    std::future::poll_fn(|cx| match swallowed(|| operation.as_mut().poll(cx)) {
        Some(Poll::Pending) => Poll::Pending,
        Some(Poll::Ready(())) | None => Poll::Ready(()),
    })
    .await;
    let _ = swallowed(|| drop(operation));
}

/// Polls it once more and drops it, on a thread of its own in this runtime.
fn elsewhere<F: Future<Output = ()> + Send>(mut operation: Pin<Box<F>>, ready: bool) {
    let runtime = tokio::runtime::Handle::current();
    on_another_thread(move || {
        let _inside = runtime.enter();
        if !ready {
            let _ = swallowed(|| operation.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        }
        let _ = swallowed(|| drop(operation));
    });
}

/// Joined by hand: `ThreadSanitizer` does not see how a scope waits for its threads.
fn on_another_thread(work: impl FnOnce() + Send) {
    let joined = std::thread::scope(|scope| scope.spawn(work).join());
    if let Err(payload) = joined {
        std::panic::resume_unwind(payload);
    }
}

/// Runs it; a panic's payload may panic in its drop.
fn swallowed<R>(f: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Some(value),
        Err(payload) => {
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                std::mem::forget(again);
            }
            None
        }
    }
}

impl fmt::Display for Rude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, polled with a waker that {:?}, then {:?}", self.what, self.manner, self.ending)
    }
}

impl fmt::Debug for Rude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A value whose drop panics, with the text `rude drop`: as a message, an argument, a state or a panic's payload. Once only:
/// where it is dropped while a panic unwinds already it behaves, unless it is [ruder](RudeValue::ruder).
#[derive(Debug, Default)]
pub struct RudeValue {
    always: bool,
}

impl RudeValue {
    /// One that has not panicked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that panics though a panic unwinds already, which ends the process: for values that must be dropped one by one, and
    /// never two of them as a list. Not for a panic's payload.
    pub fn ruder() -> Self {
        Self { always: true }
    }
}

impl Drop for RudeValue {
    fn drop(&mut self) {
        if self.always || !std::thread::panicking() {
            panic_any("rude drop");
        }
    }
}

struct RudeWaker {
    manner: Manner,
    reenter: Arc<dyn Fn() + Send + Sync>,
    /// A drop panics once, and a call-back does not call itself.
    armed: AtomicBool,
    over: Arc<AtomicBool>,
}

impl Drop for Rude {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Wake for RudeWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        match self.manner {
            _ if self.over.load(Ordering::Relaxed) => {}
            Manner::PanicsInWake => panic_any("rude wake"),
            Manner::PanicsWithRudePayload => panic_any(RudeValue::new()),
            Manner::PanicsInDrop
            | Manner::PanicsInEveryDrop
            | Manner::PanicsInClone
            | Manner::PanicsInLaterClone => {}
            Manner::Reenters => {
                if self.armed.swap(false, Ordering::Relaxed) {
                    (self.reenter)();
                }
            }
            Manner::GoesElsewhere => {
                on_another_thread(|| (self.reenter)());
            }
        }
    }
}

impl RudeWaker {
    /// It is about to be cloned, by a table of its own.
    fn cloned(&self) {
        let rude = matches!(self.manner, Manner::PanicsInClone | Manner::PanicsInLaterClone);
        if rude && !self.over.load(Ordering::Relaxed) && !std::thread::panicking() {
            panic_any("rude clone");
        }
    }

    /// One of its clones goes, by a table of its own. (While a panic unwinds as well: then the process aborts.)
    fn dropped(&self) {
        if self.manner == Manner::PanicsInEveryDrop && !self.over.load(Ordering::Relaxed) {
            panic_any("rude drop");
        }
    }
}

impl Drop for RudeWaker {
    fn drop(&mut self) {
        let rude = self.manner == Manner::PanicsInDrop && self.armed.swap(false, Ordering::Relaxed);
        if rude && !self.over.load(Ordering::Relaxed) && !std::thread::panicking() {
            panic_any("rude drop");
        }
    }
}

/// Applies every [`Manner`] with every [`Ending`] to each operation of a list: polls it with a rude waker, does
/// `meanwhile` (what wakes it), ends it, and does `after`, which asserts that nothing else has suffered. Each case has a
/// `setup` of its own; all see it by reference. In an async test under paused time, since what hangs is told by a
/// time-out.
///
/// ```
/// use restante_testkit::rudely;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let _quiet = restante_testkit::quiet_panics("rude");
/// use restante_core::{Mailbox, SendError};
/// rudely! {
///     setup: Mailbox::with(Mailbox::<u32>::settings().capacity(1)).expect("good settings");
///     reenter: |mailbox| { let a = mailbox.address(); move || drop(a.try_send(3)) };
///     meanwhile: |mailbox| drop(mailbox.receiver().map(|mut reader| reader.try_receive()));
///     after: |mailbox, case| {
///         let mut reader = mailbox.receiver().expect("no reader is left");
///         while reader.try_receive().is_ok() {}
///         assert_eq!(reader.audit().lost(), 0, "{case}");
///     };
///     "a send": |mailbox| async {
///         mailbox.address().try_send(1)?;
///         mailbox.address().send(2).await
///     };
/// }
/// # }
/// ```
#[macro_export]
macro_rules! rudely {
    (
        setup: $setup:expr;
        reenter: |$r:ident| $reenter:expr;
        meanwhile: |$m:ident| $meanwhile:expr;
        after: |$a:ident, $case:ident| $after:expr;
        $($what:literal: |$f:ident| $operation:expr;)+
    ) => {
        for (manner, ending) in $crate::Rude::all() {
            $({
                let fixture = $setup;
                let rude = {
                    let $r = &fixture;
                    $crate::Rude::new($what, manner, ending, $reenter)
                };
                {
                    let $f = &fixture;
                    let mut operation = ::std::boxed::Box::pin(async move {
                        let _ = $operation.await;
                    });
                    let ready = rude.poll(operation.as_mut()).await;
                    {
                        let $m = &fixture;
                        $meanwhile;
                    }
                    rude.end(operation, ready).await;
                }
                let ($a, $case) = (&fixture, &rude);
                $after;
            })+
        }
    };
}
