//! How deep mailboxes lead into each other on one stack: what does not fit here is diverted there, where something is shed for
//! it, which is a dead letter to a third.
//!
//! Each is a call within a call, and neither the length of such a chain nor that it is no ring is anybody's to see. So it ends
//! after a fixed number of hops: as if the next mailbox were full.

use std::cell::Cell;

/// Mailboxes that one message may lead into.
const MOST: u32 = 16;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Goes back to where it was, on an unwinding stack too.
struct Back(u32);

impl Drop for Back {
    fn drop(&mut self) {
        let _ = DEPTH.try_with(|depth| depth.set(self.0));
    }
}

/// Hands `message` to the next mailbox by way of `to`; back it comes where this is too deep already.
pub(crate) fn hop<M, R>(message: M, to: impl FnOnce(M) -> R) -> Result<R, M> {
    // A thread whose locals are gone has no stack for many either.
    let depth = DEPTH.try_with(Cell::get).unwrap_or(MOST);
    if depth >= MOST {
        return Err(message);
    }
    let _back = Back(depth);
    let _ = DEPTH.try_with(|now| now.set(depth + 1));
    Ok(to(message))
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    fn dive(n: u32) -> u32 {
        hop(n, |n| dive(n + 1)).unwrap_or_else(|deepest| deepest)
    }

    /// It ends, and begins anew: also when something has unwound on the way.
    #[test]
    fn a_chain_ends_and_the_next_one_begins_at_its_beginning() {
        assert_eq!(dive(0), MOST);
        let unwound = std::panic::catch_unwind(|| hop((), |()| hop((), |()| panic!("deep"))));
        assert!(unwound.is_err());
        assert_eq!(dive(0), MOST);
    }
}
