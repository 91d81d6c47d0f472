//! Ends that lead to further ends, without a stack as deep as their chain is long.
//!
//! What keeps a mailbox open may lie in another mailbox: in a queued message, in a server's state, in a monitor's closure, as
//! the place of its dead letters. When the last of a chain goes, each end is within the drop of the one before, and a chain of
//! thousands would need a stack to match. So what ends in the course of a drop goes through [`in_turn`] or [`let_go`]: the
//! closing of a mailbox, what a reader's end leads to, a monitor that is taken down, the last memory of a mailbox, the end of a
//! server whose runtime has gone. A few of them run within one another, as they always did, and what comes deeper waits until the
//! outermost is done, which then performs it on its own stack. Nothing is left over when that returns.
//!
//! The rule: no drop of ours reaches a value of a user's, on the stack of that drop, but through one of the two. (What must be
//! true at once, a lease that is given back or a mailbox that takes nothing any more, is done before.)
//!
//! What deliberately does not live here: what an end is.

use crate::quiet;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::Arc;

type Work = Box<dyn FnOnce()>;

/// Ends that run within one another at most. (A chain that is shorter is ended when the drop that began it returns, each link
/// before the code that dropped it goes on.)
const LEVELS: u32 = 8;

thread_local! {
    /// How many are running within one another here.
    static LEVEL: Cell<u32> = const { Cell::new(0) };
    /// What waits for the outermost; empty, and without a buffer, while there is none.
    ///
    /// It has no destructor, so that it is there until the thread has gone: what the thread's other locals hold may end then.
    static WAITING: RefCell<ManuallyDrop<VecDeque<Work>>> =
        const { RefCell::new(ManuallyDrop::new(VecDeque::new())) };
}

/// Performs `end` now, or, where too many run on this stack already, when the outermost of them is done; what it is the end of is
/// kept until then. What is put off runs under a net.
pub fn in_turn<C: ?Sized + 'static>(of: &Arc<C>, end: impl FnOnce(&Arc<C>) + 'static) {
    // Models run all threads on one, and their chains are short.
    if cfg!(any(loom, shuttle)) {
        return end(of);
    }
    let level = LEVEL.get();
    if level < LEVELS {
        let _level = Level::enter(level);
        end(of);
        return;
    }
    let kept = Arc::clone(of);
    put_off(move || end(&kept));
}

/// As [`in_turn`], for the end of what the caller owns.
pub fn let_go<T: 'static>(what: T, end: impl FnOnce(T) + 'static) {
    if cfg!(any(loom, shuttle)) {
        return end(what);
    }
    let level = LEVEL.get();
    if level < LEVELS {
        let _level = Level::enter(level);
        end(what);
        return;
    }
    put_off(move || end(what));
}

#[cold]
fn put_off(work: impl FnOnce() + 'static) {
    let work: Work = Box::new(work);
    WAITING.with_borrow_mut(|waiting| waiting.push_back(work));
}

/// A level of the stack; the outermost performs what waits when it goes, be it by unwinding.
struct Level(u32);

impl Level {
    fn enter(below: u32) -> Self {
        LEVEL.set(below + 1);
        Self(below)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        if self.0 == 0 {
            // LEVEL is 1 still: what these lead to waits as well, once it is deep.
            while let Some(work) = WAITING.with_borrow_mut(|waiting| waiting.pop_front()) {
                quiet::run("an end", work);
            }
            let buffer = WAITING.with_borrow_mut(|waiting| std::mem::take(&mut **waiting));
            debug_assert!(buffer.is_empty(), "all that waited has been performed");
        }
        LEVEL.set(self.0);
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Mutex, PoisonError};

    #[derive(Default)]
    struct Seen(Mutex<Vec<u32>>);

    impl Seen {
        fn push(&self, n: u32) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(n);
        }
        fn take(&self) -> Vec<u32> {
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    /// Ends `left` more, each within the end of the one before, then does `then` at the bottom; notes in which order they were
    /// done with.
    fn chain(seen: &Arc<Seen>, left: u32, then: fn(&Seen)) {
        in_turn(seen, move |seen| {
            match left {
                0 => then(seen),
                _ => chain(seen, left - 1, then),
            }
            seen.push(left);
        });
    }

    /// Row H6: a short chain ends from the inside, as drops do; a long one all the same, when the outermost is done.
    #[test]
    fn a_few_ends_nest_and_deeper_ones_wait_their_turn() {
        let seen = Arc::new(Seen::default());
        chain(&seen, LEVELS - 1, |_| ());
        assert_eq!(seen.take(), (0..LEVELS).collect::<Vec<_>>());
        chain(&seen, 100_000, |_| ());
        let mut done = seen.take();
        done.sort_unstable();
        assert_eq!(done, (0..=100_000).collect::<Vec<_>>());
        assert_eq!(LEVEL.get(), 0);
    }

    /// Row H6: what a thread's locals hold ends in the same way, even in the destructors that run last: after those of all that
    /// was used later.
    #[test]
    fn what_goes_with_a_threads_locals_waits_its_turn() {
        struct Holds(RefCell<Option<Arc<Seen>>>);
        impl Drop for Holds {
            fn drop(&mut self) {
                if let Some(seen) = self.0.take() {
                    chain(&seen, 100_000, |_| ());
                }
            }
        }
        thread_local! {
            static HOLDS: Holds = const { Holds(RefCell::new(None)) };
        }
        let seen = Arc::new(Seen::default());
        let held = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            let earlier = Arc::new(Seen::default());
            HOLDS.with(|holds| holds.0.replace(Some(held)));
            chain(&earlier, 100, |_| ());
        });
        thread.join().expect("it only ends what it holds");
        assert_eq!(seen.take().len(), 100_001);
    }

    /// Row H6: an end that panics keeps none of those that wait from coming.
    #[test]
    fn what_waits_is_performed_whatever_panics() {
        let seen = Arc::new(Seen::default());
        let outermost = catch_unwind(AssertUnwindSafe(|| {
            in_turn(&seen, |seen| {
                chain(seen, LEVELS, |_| panic!("rude"));
                chain(seen, LEVELS, |seen| seen.push(77));
                panic!("ruder");
            });
        }));
        assert!(outermost.is_err());
        assert!(seen.take().contains(&77));
        assert_eq!(LEVEL.get(), 0);
    }
}
