//! Which requests of a collection have their response: told by their wakers, in the order in which the responses came.

use restante_core::quiet;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Wake, Waker};

/// Holds at most one number for each request that has been added and not been taken out yet, and those few whose response
/// came while they were taken out.
#[derive(Debug, Default)]
pub(crate) struct Ready(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Numbers of requests.
    ids: VecDeque<u64>,
    /// The waker of the waiter for the next number.
    waker: Option<Waker>,
}

/// Tells which request has its response.
struct Bell {
    ready: Arc<Ready>,
    id: u64,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.id);
    }
}

impl Ready {
    /// The waker for this request.
    pub(crate) fn bell(self: &Arc<Self>, id: u64) -> Waker {
        Waker::from(Arc::new(Bell { ready: Arc::clone(self), id }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn push(&self, id: u64) {
        let waker = {
            let mut inner = self.lock();
            inner.ids.push_back(id);
            inner.waker.take()
        };
        if let Some(waker) = waker {
            quiet::wake(waker);
        }
    }

    pub(crate) fn pop(&self) -> Option<u64> {
        self.lock().ids.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().ids.is_empty()
    }

    /// Has the next response wake the waiter. False: a response is there already.
    pub(crate) fn wait(&self, waker: &Waker) -> bool {
        // Wakers are anybody's code: copied and dropped outside of the lock.
        let fresh = waker.clone();
        let (waits, old) = {
            let mut inner = self.lock();
            if inner.ids.is_empty() { (true, inner.waker.replace(fresh)) } else { (false, Some(fresh)) }
        };
        quiet::discard("a waker", old);
        waits
    }

    /// These are asked for no more.
    pub(crate) fn retain(&self, wanted: impl Fn(u64) -> bool) {
        self.lock().ids.retain(|id| wanted(*id));
    }
}

/// Its waker is dropped on the stack of the thread that drops the collection, with timers that may hold another of its clones.
impl Drop for Inner {
    fn drop(&mut self) {
        quiet::discard("a waker", self.waker.take());
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    struct Rude;
    impl Wake for Rude {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Rude {
        fn drop(&mut self) {
            panic!("a rude drop")
        }
    }

    /// Row H6: the waker of who waits goes under the net with the collection.
    #[test]
    fn a_waker_that_panics_in_its_drop_goes_quietly() {
        let ready = Arc::new(Ready::default());
        let waker = Waker::from(Arc::new(Rude));
        assert!(ready.wait(&waker));
        drop(waker);
        drop(ready);
    }
}
