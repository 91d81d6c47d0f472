//! A future of another crate, polled with a waker whose wake-up and drop cannot unwind.
//!
//! Channels, bells and trackers that are not ours call their waiters' wakers one after the other, on the stack and sometimes
//! under the lock of the one who wakes. One that panicked would take the rest of that list with it, and the one who wakes. So
//! what we await of theirs in a user's task is awaited behind a shield: it hands them a waker of our own, which passes a wake-up on
//! through [`quiet`].
//!
//! The user's waker is cloned on the stack of the poll that brings it, and dropped under the net when another one comes or
//! the future goes.

use crate::quiet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// A waker of the user's, under the net.
struct Shield(Option<Waker>);

impl Wake for Shield {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(waker) = &self.0 {
            quiet::wake_by_ref(waker);
        }
    }
}

impl Drop for Shield {
    fn drop(&mut self) {
        quiet::discard("a waker", self.0.take());
    }
}

/// The shield of the waker that came last. What polls several futures hands all of them the same one: had each a clone of the
/// user's waker, the drop of the second could panic while that of the first unwinds, which ends the process.
#[derive(Default)]
pub struct LastShield(Option<Arc<Shield>>);

impl LastShield {
    /// A waker of ours in the place of this one.
    pub fn waker(&mut self, theirs: &Waker) -> Waker {
        let is_known = |shield: &Arc<Shield>| shield.0.as_ref().is_some_and(|waker| waker.will_wake(theirs));
        let shield = match self.0.take().filter(is_known) {
            Some(shield) => shield,
            None => Arc::new(Shield(Some(theirs.clone()))),
        };
        Waker::from(Arc::clone(self.0.insert(shield)))
    }
}

impl fmt::Debug for LastShield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LastShield")
    }
}

/// See the module.
#[must_use = "futures do nothing unless polled"]
pub struct Shielded<F> {
    future: Pin<Box<F>>,
    shield: LastShield,
}

/// The future behind a shield.
pub fn shield<F: Future>(future: F) -> Shielded<F> {
    Shielded { future: Box::pin(future), shield: LastShield::default() }
}

impl<F: Future> Future for Shielded<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let waker = self.shield.waker(cx.waker());
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

impl<F> fmt::Debug for Shielded<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shielded")
    }
}
