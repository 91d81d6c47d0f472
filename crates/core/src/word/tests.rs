//! What goes with RUN and LOCK, by itself.

use super::*;
use crate::cell::{MailCell, Parked};
use std::sync::Arc;

/// Invariants L and R: no safe function takes RUN or LOCK away from who has it, whatever bits it is given.
#[test]
fn run_goes_with_its_permit_alone() {
    let cell = Arc::new(MailCell::<u8, Parked>::plain(Some(4), LEASED, Parked));
    let permit = RunGuard::enter(&cell).expect("idle");
    let word = cell.word();
    let taken = |by: &str| {
        assert!(word.bits() & RUN != 0, "{by}");
        assert!(RunGuard::enter(&cell).is_none() && RunGuard::enter_quietly(&cell).is_none(), "{by}");
        assert!(word.bits() & LOCK == 0 && RunGuard::enter_idle(&cell).is_none(), "{by}");
    };
    word.change(0, u32::MAX);
    taken("change");
    word.lock().clear(u32::MAX);
    taken("clear under the lock");
    word.raise(u32::MAX);
    taken("raise");
    word.lock().set(u32::MAX);
    taken("set under the lock");
    word.notify();
    word.call_for();
    word.orphan();
    taken("signals");
    permit.give_up();
    taken("parted from its value");
}

/// Rule 5: where senders wait, RUN is given up once they are served, or left to a turn that is sure to come.
#[test]
fn senders_are_left_to_a_turn_that_comes_and_to_no_other() {
    use crate::options::SendOptions;
    use std::task::Waker;
    for (lease, senders, kept, left) in [
        (LEASED, Senders::Unserved, DATA, Left::SendersWait),
        (LEASED, Senders::Unserved, 0, Left::SendersWait),
        (LEASED, Senders::Later, DATA, Left::Owes),
        (LEASED, Senders::Later, 0, Left::SendersWait),
        (LEASED, Senders::Later, DATA | PEND, Left::SendersWait),
        (0, Senders::Later, DATA, Left::SendersWait),
        (LEASED, Senders::Served, 0, Left::Asleep),
    ] {
        let cell = Arc::new(MailCell::<u8, Parked>::plain(Some(4), lease, Parked));
        let mut permit = RunGuard::enter(&cell).expect("idle");
        (0..4).for_each(|n| cell.push(n).expect("room"));
        cell.line_up(&4, &SendOptions::new(), Waker::noop()).expect("open");
        let (of, own) = permit.split();
        assert_eq!(of.take(own), Some(0));
        cell.word().change(0, NOTE);
        permit.give_up();
        #[expect(unsafe_code, reason = "RUN is this test's, whose permit has given it up")]
        // SAFETY: nothing is lent from the permit any more.
        let was = unsafe { cell.word().leave(kept, senders) };
        assert_eq!(was, left, "{senders:?} {kept:b}");
        assert_eq!(cell.word().bits() & RUN != 0, left == Left::SendersWait);
    }
}

/// A lease is ended with the permit of its own cell only: another's would leave two readers there.
#[test]
#[should_panic(expected = "the permit's cell")]
fn a_permit_ends_the_lease_of_its_own_cell() {
    let [one, other] = [(); 2].map(|()| Arc::new(MailCell::<u8, Parked>::plain(None, LEASED, Parked)));
    let permit = RunGuard::enter(&one).expect("idle");
    other.end_lease(permit, None, false);
}
