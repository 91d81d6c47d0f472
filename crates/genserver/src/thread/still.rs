//! Tokio's paused clock, while a thread of ours has something to do.
//!
//! A paused clock moves on when its runtime has nothing to do; of our threads tokio knows nothing. So a start there, or a call,
//! ran into its limit at once. What tokio does wait for is a closure of `spawn_blocking`: one is under way from when a
//! server here is woken until its turn is over. While its handler is parked in a blocking wait of this crate, which may be
//! for something that takes time, there is none: from when the thread parks until another thread wakes it, under one
//! lock, so that there is no moment between being woken and holding the clock again.
//!
//! Only where the clock is paused, which it can be on a runtime of one thread only: elsewhere this costs a look at that.

use restante_core::alarm::is_clock_paused;
use restante_core::send::{Waits, tell_of_waits};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};

/// A handler that blocks for longer than this, of real time, holds up neither the clock nor the end of its runtime.
const LONGEST: Duration = Duration::from_secs(10);

/// Holds the clock while it lives.
#[derive(Debug, Default)]
pub(super) struct Still(Option<Arc<Held>>);

#[derive(Debug)]
struct Held {
    handle: Handle,
    hold: Mutex<Hold>,
}

#[derive(Debug, Default)]
struct Hold {
    /// Dropped, it lets the closure end.
    release: Option<Sender<()>>,
    /// The poll is over: a waker that is still about holds nothing.
    over: bool,
}

impl Still {
    /// Holds the clock of this runtime, if it is paused.
    pub(super) fn hold(handle: &Handle) -> Self {
        let gone = Handle::try_current().is_err_and(|e| e.is_thread_local_destroyed());
        if gone || handle.runtime_flavor() != RuntimeFlavor::CurrentThread {
            return Self::default();
        }
        let paused = {
            let _inside = handle.enter();
            is_clock_paused()
        };
        if !paused {
            return Self::default();
        }
        let held = Arc::new(Held { handle: handle.clone(), hold: Mutex::default() });
        held.woken();
        Self(Some(held))
    }

    /// Holds the clock of the runtime that this thread is in, if it is in one and the clock is paused.
    pub(super) fn hold_here() -> Self {
        Handle::try_current().map_or_else(|_| Self::default(), |handle| Self::hold(&handle))
    }

    /// Holds it for a poll on this thread.
    pub(super) fn during(self, poll: impl FnOnce()) {
        let Some(held) = &self.0 else { return poll() };
        let outer = tell_of_waits(Some(Arc::clone(held) as Arc<dyn Waits>));
        poll();
        tell_of_waits(outer);
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        if let Some(held) = &self.0 {
            *held.hold() = Hold { release: None, over: true };
        }
    }
}

impl Held {
    fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waits for Held {
    fn parks(&self, woken: &dyn Fn() -> bool) {
        let mut hold = self.hold();
        if !woken() {
            hold.release = None;
        }
    }

    fn woken(&self) {
        let mut hold = self.hold();
        if hold.over || hold.release.is_some() {
            return;
        }
        let (release, released) = channel::<()>();
        // Ends when the other end is dropped. (A runtime that has shut down takes it no more.)
        drop(self.handle.spawn_blocking(move || {
            let _ = released.recv_timeout(LONGEST);
        }));
        hold.release = Some(release);
    }
}
