//! Where the halves lie, and what lists give back.

use super::{MailCell, Parked, Waited};
use crate::exit::{Exit, ExitReason};
use crate::link::Linked;
use crate::monitor::Watch;
use crate::on_close::OnClose;
use crate::options::SendOptions;
use crate::word::{self, RunGuard};
use std::sync::Arc;
use std::task::Waker;

/// What a plain send writes and what a plain read needs share no cache line, wherever the cell lies.
#[test]
fn senders_and_reader_lie_a_cache_line_apart() {
    let cell = Arc::new(MailCell::<u64, Parked>::plain(Some(4), word::LEASED, Parked));
    let room = {
        let g = cell.word.lock();
        std::ptr::from_ref(&g.room).addr()
    };
    // `sent` and `full_at` come first in it.
    let senders_end = room + 2 * size_of::<u64>();
    let mut permit = RunGuard::enter(&cell).expect("nobody reads");
    let (_, own) = permit.split();
    let reader = std::ptr::from_ref(&own.lanes).addr();
    assert!(reader >= senders_end + 64, "{} bytes", reader.wrapping_sub(senders_end));
}

/// Clause 3.3: a slot that is asked for at once comes after those who wait, who are given their room first.
#[test]
fn a_slot_asked_for_at_once_comes_after_the_line() {
    let cell = Arc::new(MailCell::<u64, Parked>::plain(Some(4), word::LEASED, Parked));
    (0..4).for_each(|n| assert!(cell.push(n).is_ok()));
    let Ok(Waited::Waiting(ticket)) = cell.line_up(&4, &SendOptions::new(), Waker::noop()) else {
        panic!("there is no room")
    };
    let mut run = RunGuard::enter(&cell).expect("nobody reads");
    let (of, own) = run.split();
    assert_eq!(of.take(own), Some(0));
    assert_eq!(cell.in_line(ticket, Waker::noop()), Ok(false), "the mailbox is more than half full");
    assert_eq!(cell.try_reserve(), Ok(false), "the one slot is the line's");
    assert_eq!(cell.in_line(ticket, Waker::noop()), Ok(true));
    assert_eq!(of.take(own), Some(1));
    assert_eq!(cell.try_reserve(), Ok(true));
}

/// Clause 1.7: the memory of a line whose senders have gone is given back without being asked for; so is that of lists.
#[test]
fn the_line_and_the_lists_follow_those_who_have_gone() {
    struct Side;
    impl Linked for Side {
        fn link_id(&self) -> usize {
            0
        }
        fn exit_signal(&self, _: usize, _: &ExitReason) {}
        fn add_link(&self, _: Arc<dyn Linked>, _: usize) {}
        fn remove_link(&self, _: usize) {}
    }
    impl OnClose for Side {
        fn on_close(&self, _: &ExitReason) {}
    }
    const MANY: usize = 2000;
    let cell = Arc::new(MailCell::<u64, Parked>::plain(Some(1), 0, Parked));
    assert!(cell.push(0).is_ok());
    let held = || {
        let g = cell.word.lock();
        let line = g.waiters.as_ref().map_or(0, |w| w.buffer_bytes());
        (line, g.cold.as_ref().map_or(0, |cold| cold.buffer_bytes()))
    };
    let line_up = |n| cell.line_up(&n, &SendOptions::new(), Waker::noop());
    let places: Vec<_> = (0..MANY as u64).map(line_up).collect();
    let told: Vec<Arc<dyn OnClose>> = (0..MANY).map(|_| Arc::new(Side) as _).collect();
    let monitors: Vec<_> = (0..MANY).map(|_| cell.monitor(Watch::Mailbox, Box::new(|_| ()))).collect();
    for (id, one) in told.iter().enumerate() {
        cell.add_link(id, Arc::new(Side));
        assert!(cell.tell_first(Arc::downgrade(one)));
    }
    let (line, lists) = held();
    assert!(line > MANY * 16 && lists > MANY * 60);
    for place in places {
        let Ok(Waited::Waiting(place)) = place else { panic!("there is no room") };
        cell.leave_line(place);
    }
    for (id, (one, monitor)) in told.iter().zip(monitors).enumerate() {
        assert!(cell.demonitor(monitor) && cell.remove_link(id));
        assert!(cell.tell_no_more(Arc::as_ptr(one).cast::<()>().addr()));
    }
    let (line, lists) = held();
    assert!(line < 2000 && lists < 8000, "{line} bytes of the line, {lists} of lists");
    // Those who have come during a long telling are not kept either.
    cell.monitor(Watch::Mailbox, Box::new(|_| ()));
    for _ in 0..3 {
        cell.lease().expect("nobody reads");
        let permit = RunGuard::enter(&cell).expect("nobody reads");
        cell.end_lease(permit, Some(Exit::new(ExitReason::Normal, crate::exit::Phase::Idle, None, 1)), false);
    }
    assert_eq!(cell.word.lock().cold.as_ref().map(|cold| cold.untold.capacity()), Some(0));
}
