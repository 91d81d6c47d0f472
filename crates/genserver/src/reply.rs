//! The server's side of a call.

use crate::frame;
use crate::slot::{Delivered, SlotPtr};
use restante_core::quiet;
use std::fmt;
use std::marker::PhantomData;

/// Answers a caller: now, later, or from another task or thread.
///
/// Dropped unanswered, it tells the caller at once: [`CallError::Exited`](crate::CallError::Exited) when it went with
/// its server (a crash, a kill, an error of the handler, the end of the state that kept it), else
/// [`CallError::NoReply`](crate::CallError::NoReply). Where there are several ([`Reply::again`]), the last one does.
#[must_use = "a reply that is dropped tells the caller that there will be none"]
pub struct Reply<T> {
    slot: SlotPtr,
    value: PhantomData<fn(T)>,
}

impl<T: Send> Reply<T> {
    #[inline(always)]
    pub(crate) fn new(slot: SlotPtr) -> Self {
        Self { slot, value: PhantomData }
    }

    /// Answers. The value is dropped when the caller has given up, or has been answered by another reply to the same call.
    ///
    /// Returns whether the caller will have it; a late reply is discarded and counted (see [`late_replies`]).
    #[inline(always)]
    pub fn send(self, value: T) -> bool {
        let slot = self.slot;
        // Its drop is for replies that were not sent.
        std::mem::forget(self);
        match slot.answer(value) {
            Delivered::Yes => return true,
            Delivered::Late => count_late(),
            Delivered::Second => {}
        }
        false
    }

    /// Another reply to the same call. The first answer is the caller's; a later one is dropped, and not counted as late.
    /// The caller hears that there will be none when the last of them has been dropped unanswered.
    ///
    /// For [`Redeliver::retry_call`](crate::Redeliver::retry_call), and for a handler that lets several tasks race for an
    /// answer.
    ///
    /// ```ignore
    /// Ask::Get(reply) => Some(Ask::Get(reply.again())),
    /// ```
    pub fn again(&self) -> Self {
        self.slot.claim();
        Self::new(self.slot)
    }

    /// Whether the caller still waits, within its time. A slow handler may ask before it goes to more trouble.
    pub fn is_awaited(&self) -> bool {
        self.slot.is_live()
    }
}

static LATE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

#[cold]
fn count_late() {
    LATE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    quiet::run("a subscriber", || tracing::debug!("a reply came after its caller had given up"));
}

/// How many replies, in this process, came after their callers had given up.
pub fn late_replies() -> u64 {
    LATE.load(std::sync::atomic::Ordering::Relaxed)
}

impl<T> Drop for Reply<T> {
    #[inline(always)]
    fn drop(&mut self) {
        drop_unanswered(self.slot);
    }
}

/// Inside a poll of a server the caller is told when the poll is over and it is known whether the server goes on.
#[cold]
fn drop_unanswered(slot: SlotPtr) {
    if !frame::keep_orphan(slot) {
        slot.fail(None);
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply<{}>", std::any::type_name::<T>())
    }
}
