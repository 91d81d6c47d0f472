//! The cell: a mailbox's lanes, counters and bookkeeping in one allocation, with room at its end for its runner.
//!
//! This is the ground on which receivers and behaviours (servers, later state machines) stand, and not meant for their
//! users: it may change in any release. Senders go through [`MailCell::push`]; a reader holds RUN and goes through
//! [`MailCell::take`].
//!
//! Foreign code (wakers, notices, `Drop`s and closures of users, the runner) is never called under the lock: what calls for
//! it is collected in `Aftermath` and dealt with when the lock is free. Mostly RUN is still held then, and more is to be done:
//! so each call goes through the net of [`crate::quiet`], one by one, and a panic of one neither unwinds out of the cell nor
//! keeps the next from being done. Only a closure that the present caller has handed in (`weigh`, `purge`'s predicate)
//! unwinds to that caller, at a point where nothing has moved yet. Should anything else unwind while RUN is held, its
//! [`RunGuard`](crate::word::RunGuard) gives RUN up (rule 9 of `word`). Design note 0014 has a table of all such calls.
//!
//! The rooms, each beside what it is about:
//!
//! ```text
//! mail_cell  the cell and its runner                               handles  addresses, and the last of them
//! halves     the senders' half, the reader's, the tally beside it  count    counters
//! cold       what few mailboxes need                               remains  what goes with the memory
//!
//! senders:   push ── line (waits for room)                         lease    an incarnation's begin and end
//! reader:    refill ── take ── leave                               kill     orders to end it
//! between:   grant (room for those who wait)                       close    no more sends; drained; settled
//!            after (what is done once the lock is free)            tell     monitors and links
//! ```

mod after;
mod close;
mod cold;
mod count;
mod grant;
mod halves;
mod handles;
mod kill;
mod lease;
mod leave;
mod line;
mod mail_cell;
mod push;
mod refill;
mod remains;
mod take;
mod tell;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;

pub use self::halves::{MarkBase, Own, Shared};
pub use self::line::{PushError, WaitTicket, Waited};
pub use self::mail_cell::{MailCell, Parked, Runner};
pub use self::push::Refused;
