//! Waiting for room: the futures behind `send` and `reserve`, and their blocking twin. For any handle.

use crate::cell::{MailCell, PushError, Runner, WaitTicket, Waited};
use crate::error::SendError;
use crate::options::SendOptions;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// Sends, waiting for room. Dropping it before it is done leaves the line, gives an unused slot to the next, and drops
/// the message.
#[must_use = "futures do nothing unless polled"]
pub struct Sending<'a, M: Send + 'static, X: Runner<M> + ?Sized> {
    cell: &'a Arc<MailCell<M, X>>,
    message: Option<M>,
    /// Only where they differ from the default: a plain send carries as little as it can.
    options: Option<Box<SendOptions>>,
    place: Option<WaitTicket>,
    /// There was no room a moment ago, and the policy is to wait: the next poll need not try.
    refused: bool,
}

const PLAIN: SendOptions = SendOptions::plain();

// Nothing in it is pinned.
impl<M: Send + 'static, X: Runner<M> + ?Sized> Unpin for Sending<'_, M, X> {}

impl<'a, M: Send + 'static, X: Runner<M> + ?Sized> Sending<'a, M, X> {
    /// A send that has not begun.
    #[inline]
    pub fn new(cell: &'a Arc<MailCell<M, X>>, message: M, options: SendOptions) -> Self {
        let options = (!options.is_plain()).then(|| Box::new(options));
        Self { cell, message: Some(message), options, place: None, refused: false }
    }

    /// A plain send whose message has just found no room.
    pub fn refused(cell: &'a Arc<MailCell<M, X>>, message: M) -> Self {
        Self { cell, message: Some(message), options: None, place: None, refused: cell.is_plain() }
    }

    fn options(&self) -> SendOptions {
        self.options.as_deref().copied().unwrap_or(PLAIN)
    }

    /// Whether it has found no room yet and stands in line.
    pub fn is_waiting(&self) -> bool {
        self.place.is_some()
    }

    /// Takes the message back, leaving the line.
    pub fn take_back(&mut self) -> Option<M> {
        if let Some(place) = self.place.take() {
            self.cell.leave_line(place);
        }
        self.message.take()
    }

    fn first(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<M>>> {
        loop {
            let options = self.options();
            if !std::mem::take(&mut self.refused) {
                let Some(message) = self.message.take() else { return Poll::Pending };
                match self.cell.push_with(message, &options, true) {
                    Ok(()) => return Poll::Ready(Ok(())),
                    Err(refused) if !refused.may_wait => return Poll::Ready(Err(refused.error)),
                    Err(refused) => self.message = Some(refused.error.into_message()),
                }
            }
            // It stays here meanwhile: cloning the waker may panic.
            let Some(message) = &self.message else { return Poll::Pending };
            match self.cell.line_up(message, &options, cx.waker()) {
                Err(()) => {
                    let closed = |message| Poll::Ready(Err(SendError::Closed(message)));
                    return self.message.take().map_or(Poll::Pending, closed);
                }
                Ok(Waited::TryNow) => {}
                Ok(Waited::Waiting(place)) => {
                    self.place = Some(place);
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> Future for Sending<'_, M, X> {
    type Output = Result<(), SendError<M>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(place) = self.place else {
            // Where others wait, this one asks to wait too, and does not pass them by being lighter.
            let tries = self.options.is_none() && !self.refused;
            if tries && self.cell.word().bits() & crate::word::WAIT == 0 {
                let Some(message) = self.message.take() else { return Poll::Pending };
                match self.cell.push(message) {
                    Ok(()) => return Poll::Ready(Ok(())),
                    Err(SendError::Full(message)) => {
                        self.message = Some(message);
                        self.refused = self.cell.is_plain();
                    }
                    Err(e) => return Poll::Ready(Err(e)),
                }
            }
            return self.first(cx);
        };
        // Mostly it is polled because it has been granted its slot: a waker is cloned only if not.
        loop {
            let Some(message) = self.message.take() else { return Poll::Pending };
            // From here on the place is the cell's to use up: should anything panic, it is not left a second time.
            self.place = None;
            let pushed = self.cell.push_in_line(message, &self.options(), place);
            let message = match pushed {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(PushError::Refused(e)) => return Poll::Ready(Err(e)),
                Err(PushError::Waiting(message)) => message,
            };
            self.place = Some(place);
            self.message = Some(message);
            // Otherwise the slot has been granted since, or the mailbox has closed.
            if let Ok(false) = self.cell.in_line(place, cx.waker()) {
                return Poll::Pending;
            }
        }
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> Drop for Sending<'_, M, X> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.cell.leave_line(place);
        }
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> fmt::Debug for Sending<'_, M, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("waiting", &self.is_waiting()).finish_non_exhaustive()
    }
}

/// Waits for a slot. Dropping it before it is done leaves the line and gives an unused slot to the next.
#[must_use = "futures do nothing unless polled"]
pub struct Reserving<'a, M: Send + 'static, X: Runner<M> + ?Sized> {
    cell: &'a Arc<MailCell<M, X>>,
    place: Option<WaitTicket>,
}

impl<'a, M: Send + 'static, X: Runner<M> + ?Sized> Reserving<'a, M, X> {
    /// A reservation that has not begun.
    pub fn new(cell: &'a Arc<MailCell<M, X>>) -> Self {
        Self { cell, place: None }
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> Future for Reserving<'_, M, X> {
    /// `Err`: the mailbox is closed.
    type Output = Result<(), ()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match self.place {
            None => match self.cell.line_up_for_permit(cx.waker()) {
                Ok(None) => return Poll::Ready(Ok(())),
                Ok(place) => {
                    self.place = place;
                    return Poll::Pending;
                }
                Err(()) => Err(()),
            },
            Some(place) => self.cell.in_line(place, cx.waker()),
        };
        match result {
            Ok(false) => Poll::Pending,
            Ok(true) => {
                self.place = None;
                Poll::Ready(Ok(()))
            }
            Err(()) => {
                self.place = None;
                Poll::Ready(Err(()))
            }
        }
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> Drop for Reserving<'_, M, X> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.cell.leave_line(place);
        }
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> fmt::Debug for Reserving<'_, M, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reserving")
    }
}

/// Wakes a thread that waits in [`block_on_until`].
struct Unpark(std::thread::Thread, std::sync::atomic::AtomicBool, Option<Arc<dyn Waits>>);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.1.store(true, std::sync::atomic::Ordering::Release);
        if let Some(waits) = &self.2 {
            waits.woken();
        }
        self.0.unpark();
    }
}

/// The end of a blocking wait.
struct Over<'a>(&'a Unpark);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if let Some(waits) = &self.0.2 {
            waits.woken();
        }
    }
}

/// How long a blocking caller looks before it parks: a wake-up from parking costs tens of microseconds, a look costs
/// nanoseconds.
const SPINS: u32 = 200;

/// Drives a future on a plain thread until it is done or `until` (`None`: for ever) has come. The future is lent, so
/// that the caller can take back what is in it.
pub fn block_on_until<F: Future + Unpin>(future: &mut F, until: Option<Instant>) -> Option<F::Output> {
    // A thread's last destructors may wait as well: nothing hears of it then.
    let waits = WAITS.try_with(|waits| waits.borrow().clone()).ok().flatten();
    let unpark = Arc::new(Unpark(std::thread::current(), std::sync::atomic::AtomicBool::new(false), waits));
    let _over = Over(&unpark);
    let waker = Waker::from(Arc::clone(&unpark));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = Pin::new(&mut *future).poll(&mut cx) {
            return Some(output);
        }
        let mut spins = 0;
        while !unpark.1.swap(false, std::sync::atomic::Ordering::Acquire) {
            if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
                continue;
            }
            if let Some(waits) = &unpark.2 {
                waits.parks(&|| unpark.1.load(std::sync::atomic::Ordering::Acquire));
            }
            match until {
                None => std::thread::park(),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    std::thread::park_timeout(left);
                }
            }
        }
    }
}

thread_local! {
    /// What says, on a thread of a server's own, whether the code that runs there now may block.
    static ASKED: Cell<Option<fn() -> bool>> = const { Cell::new(None) };
    /// Who is told, on such a thread, of its blocking waits.
    static WAITS: RefCell<Option<Arc<dyn Waits>>> = const { RefCell::new(None) };
}

/// Hears of a thread that waits in [`block_on_until`]. Neither blocks nor panics.
pub trait Waits: Send + Sync {
    /// The thread is about to park, unless it has been woken since.
    fn parks(&self, woken: &dyn Fn() -> bool);
    /// It has been woken, by another thread as a rule; or what it waited for is over.
    fn woken(&self);
}

/// From now on `waits` hears of this thread's blocking waits; who has heard of them so far.
pub fn tell_of_waits(waits: Option<Arc<dyn Waits>>) -> Option<Arc<dyn Waits>> {
    WAITS.replace(waits)
}

/// From now on this thread, which has entered a runtime and drives none of its tasks, may block where `may` says so.
pub fn allow_blocking(may: fn() -> bool) {
    ASKED.set(Some(may));
}

/// Whether this thread may block: not while it drives an async runtime's tasks.
pub fn may_block() -> bool {
    tokio::runtime::Handle::try_current().is_err() || ASKED.get().is_some_and(|may| may())
}

/// Sends on a plain thread, waiting for room at most so long (`Duration::MAX`: for ever).
///
/// # Errors
/// As `send`, and [`SendError::WouldBlock`] inside an async runtime, [`SendError::Timeout`] when the time is over.
pub fn send_blocking<M: Send + 'static, X: Runner<M> + ?Sized>(
    cell: &Arc<MailCell<M, X>>,
    message: M,
    options: SendOptions,
    limit: Duration,
) -> Result<(), SendError<M>> {
    send_blocking_as(cell, message, options, limit, || Ok(()))
}

/// [`send_blocking`] for a sender that may wait in a ring: `begin` is asked before it waits, for what it holds meanwhile or for
/// the ring.
///
/// # Errors
/// As [`send_blocking`], and [`SendError::Cycle`].
pub fn send_blocking_as<M: Send + 'static, X: Runner<M> + ?Sized, W>(
    cell: &Arc<MailCell<M, X>>,
    message: M,
    options: SendOptions,
    limit: Duration,
    begin: impl FnOnce() -> Result<W, String>,
) -> Result<(), SendError<M>> {
    let message = match cell.push_with(message, &options, true) {
        Ok(()) => return Ok(()),
        Err(refused) if !refused.may_wait => return Err(refused.error),
        Err(refused) => refused.error.into_message(),
    };
    if !may_block() {
        return Err(SendError::WouldBlock(message));
    }
    let _waiting = match begin() {
        Ok(waiting) => waiting,
        Err(path) => return Err(SendError::Cycle { message, path }),
    };
    let until = Instant::now().checked_add(limit);
    let mut sending = Sending::new(cell, message, options);
    match block_on_until(&mut sending, until) {
        Some(result) => result,
        None => match sending.take_back() {
            Some(message) => Err(SendError::Timeout(message)),
            None => Ok(()),
        },
    }
}
