//! Models: every interleaving (with at most two preemptions) of the few threads that can meet at a mailbox.
//!
//! Run them with
//!
//! ```text
//! RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 cargo test --release -p restante-core --lib loom
//! ```
//!
//! and a target directory of their own (`CARGO_TARGET_DIR=target/loom`), since the flag rebuilds everything. Tokio
//! builds under the flag as a dependency: it keeps its standard atomics, which nothing here relies on. `Arc` is the
//! standard one too (it carries unsized cells), so what loom checks is the state word and everything it guards.
//!
//! A wake-up that is lost shows as a deadlock (where a model blocks) or as a count (where it does not).

use crate::addressable::{Addressable, Lent, OnClose};
use crate::cell::{MailCell, Parked, Runner, Waited};
use crate::dead_letter::DeadCause;
use crate::error::{SendError, TryReceiveError};
use crate::exit::{Exit, ExitReason, Phase};
use crate::handle::Handle;
use crate::lane::Lane;
use crate::link::Linked;
use crate::monitor::{Event, Watch};
use crate::options::SendOptions;
use crate::receiver::Receiver;
use crate::send::{Reserving, Sending};
use crate::settings::Settings;
use crate::word::{self, Entered, RunGuard};
use crate::{Address, Mailbox, SendPermit};
use loom::future::block_on;
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Acquire, Ordering::Release, Ordering::SeqCst};
use loom::thread;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

/// Threads that spin for a lock take many steps.
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    builder.check(f);
}

/// A runner that only counts how often it was to be polled.
#[derive(Debug)]
struct Polls(AtomicUsize);

impl Runner<u32> for Polls {
    fn schedule(&self, _: &Arc<MailCell<u32, Self>>) {
        self.0.fetch_add(1, SeqCst);
    }
}

type Cell = Arc<MailCell<u32, Polls>>;

/// A cell with a reader, which sleeps.
fn cell(capacity: usize) -> Cell {
    Arc::new(MailCell::plain(Some(capacity), word::LEASED, Polls(AtomicUsize::new(0))))
}

fn polls(cell: &Cell) -> usize {
    cell.runner.0.load(SeqCst)
}

/// What a task's poll does: takes all, leaves. Whether it was the one that ran.
fn poll(cell: &Cell, got: &mut Vec<u32>) -> bool {
    let Some(mut permit) = RunGuard::enter(cell) else { return false };
    take_all(&mut permit, got);
    MailCell::leave_by(permit, 0);
    true
}

fn take_all(permit: &mut RunGuard<MailCell<u32, Polls>>, got: &mut Vec<u32>) {
    let (cell, own) = permit.split();
    while let Some(message) = cell.take(own) {
        cell.handled();
        got.push(message);
    }
}

/// Polls as often as it is owed, beginning at the `seen`th.
fn settle_polls(cell: &Cell, mut seen: usize, got: &mut Vec<u32>) {
    while seen < polls(cell) {
        seen += 1;
        assert!(cell.word().bits() & word::SCHED != 0, "each wake-up is for a SCHED");
        assert!(poll(cell, got), "nobody else is left to run");
        assert!(seen <= 8, "the polls end");
    }
    let bits = cell.word().bits();
    assert_eq!(bits & (word::RUN | word::SCHED | word::NOTE | word::DATA | word::LOCK), 0, "{bits:#b}");
}

/// A waker that counts.
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Woken {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(0)))
    }
    fn times(&self) -> usize {
        self.0.load(SeqCst)
    }
}

fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>, woken: &Arc<Woken>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(woken))))
}

fn poll_receiver(receiver: &mut Receiver<u32>, woken: &Arc<Woken>) -> Poll<Option<u32>> {
    receiver.poll_receive(&mut Context::from_waker(&Waker::from(Arc::clone(woken)))).map(Result::ok)
}

fn mailbox(capacity: usize) -> (Mailbox<u32>, Address<u32>) {
    let mailbox = Mailbox::with(Settings::default().capacity(capacity)).expect("settings");
    let address = mailbox.address();
    (mailbox, address)
}

fn drain(receiver: &mut Receiver<u32>) -> Vec<u32> {
    std::iter::from_fn(|| receiver.try_receive().ok()).collect()
}

fn in_order_per_sender(got: &[u32]) {
    for sender in [0, 10] {
        let of: Vec<_> = got.iter().filter(|m| **m / 10 * 10 == sender).collect();
        assert!(of.is_sorted(), "{got:?}");
    }
}

fn is_closed<T>(result: Result<T, SendError<u32>>) -> bool {
    match result {
        Ok(_) => false,
        Err(SendError::Closed(_)) => true,
        Err(other) => unreachable!("{other:?}"),
    }
}

/// Row D1: nothing is lost between two senders and a reader, and each sender's messages stay in order.
#[test]
fn loom_push_push_take() {
    model(|| {
        let (mailbox, a) = mailbox(8);
        let mut r = mailbox.receiver().expect("lease");
        let b = a.clone();
        let one = thread::spawn(move || (0..2).for_each(|i| a.try_send(i).expect("room")));
        let two = thread::spawn(move || b.try_send(10).expect("room"));
        let mut got = drain(&mut r);
        one.join().expect("sender");
        two.join().expect("sender");
        got.extend(drain(&mut r));
        in_order_per_sender(&got);
        got.sort_unstable();
        assert_eq!(got, [0, 1, 10]);
        assert_eq!(r.audit().lost(), 0);
    });
}

/// Failure mode 27: a wake-up is neither lost nor doubled.
#[test]
fn loom_push_and_park_wake_exactly_once() {
    model(|| {
        let (mailbox, a) = mailbox(8);
        let mut r = mailbox.receiver().expect("lease");
        let sender = thread::spawn(move || a.try_send(1).expect("room"));
        let woken = Woken::new();
        let first = poll_receiver(&mut r, &woken);
        sender.join().expect("sender");
        match first {
            Poll::Ready(m) => assert_eq!((m, woken.times()), (Some(1), 0), "awake: nobody wakes it"),
            Poll::Pending => {
                assert_eq!(woken.times(), 1, "a receiver sleeps on a message");
                assert_eq!(r.try_receive(), Ok(1));
            }
        }
    });
}

/// Failure mode 27: of two senders one wakes.
#[test]
fn loom_two_pushes_wake_a_sleeper_once() {
    model(|| {
        let (mailbox, a) = mailbox(8);
        let mut r = mailbox.receiver().expect("lease");
        let woken = Woken::new();
        assert!(poll_receiver(&mut r, &woken).is_pending());
        let b = a.clone();
        let one = thread::spawn(move || b.try_send(1).expect("room"));
        a.try_send(2).expect("room");
        one.join().expect("sender");
        assert_eq!(woken.times(), 1);
        assert_eq!(drain(&mut r).len(), 2);
    });
}

/// Failure mode 27, for a cell with a runner.
#[test]
fn loom_push_and_leave_schedule_exactly_once() {
    model(|| {
        let cell = cell(8);
        let (c, d) = (Arc::clone(&cell), Arc::clone(&cell));
        let one = thread::spawn(move || c.push(1).expect("room"));
        let two = thread::spawn(move || d.push(10).expect("room"));
        let mut got = Vec::new();
        let ran = poll(&cell, &mut got);
        assert!(ran, "nobody else runs it");
        one.join().expect("sender");
        two.join().expect("sender");
        assert!(polls(&cell) <= 2, "at most one wake-up a message");
        // The poll above may have met a SCHED whose wake-up came later: that one finds nothing to do.
        let before = if cell.word().bits() & word::SCHED == 0 { polls(&cell) } else { polls(&cell) - 1 };
        settle_polls(&cell, before, &mut got);
        got.sort_unstable();
        assert_eq!(got, [1, 10]);
    });
}

/// A task, a caller that steps in when the server is idle, and a sender: each message once, no wake-up lost.
#[test]
fn loom_task_and_caller_and_push() {
    model(|| {
        let cell = cell(8);
        let c = Arc::clone(&cell);
        let sender = thread::spawn(move || c.push(1).expect("room"));
        let c = Arc::clone(&cell);
        let caller = thread::spawn(move || {
            let Some(permit) = RunGuard::enter_idle(&c) else {
                c.push(10).expect("room");
                return false;
            };
            c.came_inline();
            c.handled();
            MailCell::leave_by(permit, 0);
            true
        });
        // A wake-up that came from elsewhere (a timer, say).
        let mut got = Vec::new();
        let ran = poll(&cell, &mut got);
        let inline = caller.join().expect("caller");
        sender.join().expect("sender");
        assert!(ran || inline, "a poll finds RUN taken only by the caller");
        let owed = usize::from(cell.word().bits() & word::SCHED != 0);
        assert!(polls(&cell) >= owed);
        settle_polls(&cell, polls(&cell) - owed, &mut got);
        got.sort_unstable();
        assert_eq!(got, if inline { vec![1] } else { vec![1, 10] });
        let ledger = cell.audit().expect("nobody runs");
        assert_eq!((ledger.lost(), ledger.handled), (0, 2));
    });
}

/// A task's wake-up that meets a caller's poll is not lost (rule 3 of `word`).
#[test]
fn loom_a_wake_up_that_meets_a_callers_poll_is_noted() {
    model(|| {
        let cell = cell(8);
        let c = Arc::clone(&cell);
        let waker = thread::spawn(move || c.word().enter() == Entered::Noted);
        let permit = RunGuard::enter_idle(&cell);
        let entered = permit.is_some();
        if let Some(permit) = permit {
            MailCell::leave_by(permit, 0);
        }
        let noted = waker.join().expect("task");
        assert!(!noted || entered);
        assert_eq!(polls(&cell), usize::from(noted), "a note is a wake-up");
    });
}

/// A handler that waits is woken by what it waits for, once, and not by messages.
#[test]
fn loom_a_pending_handler_is_woken_by_notify_and_not_by_push() {
    model(|| {
        let cell = cell(8);
        let permit = RunGuard::enter(&cell).expect("nobody else runs");
        let (c, d) = (Arc::clone(&cell), Arc::clone(&cell));
        let sender = thread::spawn(move || c.push(1).expect("room"));
        let ready = thread::spawn(move || {
            if d.word().notify() {
                d.runner.schedule(&d);
            }
        });
        MailCell::leave_by(permit, word::HALF | word::PEND);
        sender.join().expect("sender");
        ready.join().expect("future");
        assert_eq!(polls(&cell), 1, "one for what it waits for, none for the message");
        let mut got = Vec::new();
        settle_polls(&cell, 0, &mut got);
        assert_eq!((got, polls(&cell)), (vec![1], 1));
    });
}

/// While a handler waits, messages lie still and no caller steps in.
#[test]
fn loom_a_pending_handler_keeps_callers_out() {
    model(|| {
        let cell = cell(8);
        let permit = RunGuard::enter(&cell).expect("nobody else runs");
        let c = Arc::clone(&cell);
        let caller = thread::spawn(move || c.word().enter_idle());
        MailCell::leave_by(permit, word::HALF | word::PEND);
        assert!(!caller.join().expect("caller"), "the handler is half done");
        assert_eq!(polls(&cell), 0);
    });
}

/// While a message waits out its back-off, an order wakes the reader (or is seen by it), and data does not (rule 7 of `word`).
#[test]
fn loom_an_order_wakes_a_reader_that_holds_back() {
    model(|| {
        let cell = cell(8);
        let mut permit = RunGuard::enter(&cell).expect("nobody reads");
        let (c, d) = (Arc::clone(&cell), Arc::clone(&cell));
        let order = thread::spawn(move || push_order(&c));
        let data = thread::spawn(move || d.push(1).expect("room"));
        // As `poll_held` does, once a round.
        let held = |permit: &mut RunGuard<MailCell<u32, Polls>>| {
            let (cell, own) = permit.split();
            cell.word().change(word::HOLD, 0);
            let order = cell.take_order(own);
            if order.is_some() {
                cell.handled();
            }
            assert_eq!(cell.take_order(own), None);
            order
        };
        let mut got = held(&mut permit);
        MailCell::leave_by(permit, word::HALF | word::PEND);
        order.join().expect("order");
        data.join().expect("sender");
        // A note may be left for an order that has been seen by then.
        assert!(got.is_some() || polls(&cell) == 1, "the order is not heard of");
        assert!(polls(&cell) <= 1, "one for the order, none for the message");
        if polls(&cell) == 1 {
            let mut permit = RunGuard::enter(&cell).expect("nobody reads");
            got = got.or(held(&mut permit));
            MailCell::leave_by(permit, word::HALF | word::PEND);
        }
        assert_eq!((got, polls(&cell) <= 1), (Some(ORDER), true));
        // The time is over: all the rest comes.
        let mut permit = RunGuard::enter(&cell).expect("nobody reads");
        cell.word().change(0, word::HOLD);
        let mut rest = Vec::new();
        take_all(&mut permit, &mut rest);
        assert_eq!(rest, [1]);
    });
}

/// An order × a look at the counters: the look takes RUN, and leaves no order unheard of.
#[test]
fn loom_an_order_and_an_audit_while_a_reader_holds_back() {
    model(|| {
        let cell = cell(8);
        let permit = RunGuard::enter(&cell).expect("nobody reads");
        cell.word().change(word::HOLD, 0);
        MailCell::leave_by(permit, word::HALF | word::PEND);
        let (c, d) = (Arc::clone(&cell), Arc::clone(&cell));
        let order = thread::spawn(move || push_order(&c));
        let audit = thread::spawn(move || d.audit().expect("asleep").lost());
        order.join().expect("order");
        assert_eq!(audit.join().expect("audit"), 0);
        assert_eq!(polls(&cell), 1);
    });
}

/// A kill that meets a runner on its way out schedules it once more.
#[test]
fn loom_kill_and_leave() {
    model(|| {
        let cell = cell(8);
        let permit = RunGuard::enter(&cell).expect("nobody else runs");
        let (c, d) = (Arc::clone(&cell), Arc::clone(&cell));
        let killer = thread::spawn(move || {
            if c.word().raise(word::KILL) {
                c.runner.schedule(&c);
            }
        });
        let sender = thread::spawn(move || d.push(1).expect("room"));
        MailCell::leave_by(permit, word::HALF | word::PEND);
        killer.join().expect("killer");
        sender.join().expect("sender");
        assert_eq!(polls(&cell), 1);
        assert!(matches!(cell.word().enter(), Entered::Mine(bits) if bits & word::KILL != 0));
    });
}

/// Row B5: a message that was accepted before the close is received, one after it comes back.
#[test]
fn loom_close_and_send_and_receive() {
    model(|| {
        let (mailbox, a) = mailbox(8);
        let mut r = mailbox.receiver().expect("lease");
        let woken = Woken::new();
        assert!(poll_receiver(&mut r, &woken).is_pending());
        let sender = thread::spawn(move || is_closed(a.try_send(1)));
        mailbox.close();
        let refused = sender.join().expect("sender");
        assert_eq!(woken.times(), 1, "by the message or by the close");
        assert_eq!(drain(&mut r).len(), usize::from(!refused));
        assert_eq!(r.try_receive(), Err(TryReceiveError::Closed));
        assert_eq!(r.audit().lost(), 0);
    });
}

/// Row B5: who waits while the mailbox closes is told, once.
#[test]
fn loom_close_and_park() {
    model(|| {
        let (mailbox, a) = mailbox(8);
        a.try_send(1).expect("room");
        let mut r = mailbox.receiver().expect("lease");
        let closer = thread::spawn(move || {
            mailbox.close();
            mailbox
        });
        let woken = Woken::new();
        assert_eq!(poll_receiver(&mut r, &woken), Poll::Ready(Some(1)));
        let second = poll_receiver(&mut r, &woken);
        drop(closer.join().expect("closer"));
        assert!(second == Poll::Ready(None) || woken.times() == 1, "asleep on a closed mailbox");
        assert_eq!(r.try_receive(), Err(TryReceiveError::Closed));
    });
}

/// A server that is on its way to sleep hears of the close.
#[test]
fn loom_close_and_leave() {
    model(|| {
        let cell = cell(8);
        let permit = RunGuard::enter(&cell).expect("nobody else runs");
        let c = Arc::clone(&cell);
        let closer = thread::spawn(move || assert!(c.close(ExitReason::Shutdown)));
        let knew = cell.is_closed();
        MailCell::leave_by(permit, 0);
        closer.join().expect("closer");
        assert!(knew || polls(&cell) == 1, "the server sleeps on a closed mailbox");
    });
}

/// A receiver that unwinds in the middle of its batch leaves the rest in order, whatever is sent meanwhile.
#[test]
fn loom_lease_returned_on_unwind_and_send() {
    model(|| {
        let (mailbox, a) = mailbox(8);
        (0..3).for_each(|i| a.try_send(i).expect("room"));
        let mut r = mailbox.receiver().expect("lease");
        let sender = thread::spawn(move || a.try_send(3).expect("room"));
        // No hook runs for a resumed panic, which keeps thousands of schedules silent.
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mine = r.try_receive().expect("three wait");
            let _owned = r;
            std::panic::resume_unwind(Box::new(mine));
        }));
        assert_eq!(unwound.expect_err("it unwinds").downcast_ref::<u32>(), Some(&0));
        let mut next = mailbox.receiver().expect("the lease is back");
        sender.join().expect("sender");
        assert_eq!(drain(&mut next), [1, 2, 3]);
        assert_eq!(next.audit().lost(), 0);
    });
}

/// Failure mode 27: reserve × close.
#[test]
fn loom_reserve_and_close() {
    model(|| {
        let (mailbox, a) = mailbox(1);
        a.try_send(0).expect("room");
        let mut r = mailbox.receiver().expect("lease");
        let woken = Woken::new();
        let mut reserving = Box::pin(a.reserve());
        assert!(poll_once(reserving.as_mut(), &woken).is_pending());
        let reader = thread::spawn(move || {
            assert_eq!(r.try_receive(), Ok(0));
            let _ = poll_receiver(&mut r, &Woken::new());
            r
        });
        mailbox.close();
        let mut r = reader.join().expect("reader");
        assert_eq!(woken.times(), 1, "by the slot or by the close");
        match poll_once(reserving.as_mut(), &woken) {
            Poll::Ready(Ok(permit)) => assert!(is_closed(permit.send(1)), "a slot holds no mailbox open"),
            Poll::Ready(Err(crate::Closed)) => {}
            Poll::Pending => unreachable!("a reservation waits for a closed mailbox"),
        }
        assert_eq!(drain(&mut r), [0; 0]);
    });
}

/// A waiter that goes away gives what it was granted to the next.
#[test]
fn loom_a_cancelled_waiter_loses_no_permit() {
    model(|| {
        let (mailbox, a) = mailbox(1);
        a.try_send(0).expect("room");
        let mut r = mailbox.receiver().expect("lease");
        let (woken, next) = (Woken::new(), Woken::new());
        let mut first = Box::pin(a.send(1));
        assert!(poll_once(first.as_mut(), &woken).is_pending());
        let mut second = Box::pin(a.reserve());
        assert!(poll_once(second.as_mut(), &next).is_pending());
        let reader = thread::spawn(move || {
            assert_eq!(r.try_receive(), Ok(0));
            assert!(poll_receiver(&mut r, &Woken::new()).is_pending());
        });
        drop(first);
        reader.join().expect("reader");
        assert_eq!(next.times(), 1, "the slot is lost");
        assert!(poll_once(second.as_mut(), &next).is_ready());
    });
}

/// The bound is exact.
#[test]
fn loom_capacity_is_never_exceeded() {
    model(|| {
        let (mailbox, a) = mailbox(1);
        a.try_send(0).expect("room");
        let mut r = mailbox.receiver().expect("lease");
        let reader = thread::spawn(move || {
            assert_eq!(r.try_receive(), Ok(0));
            r
        });
        let accepted = (1..3).filter(|i| a.try_send(*i).is_ok()).count();
        assert!(accepted <= 1, "one slot came free");
        assert!(a.stats().depth <= 1);
        let mut r = reader.join().expect("reader");
        assert_eq!(drain(&mut r).len(), accepted);
    });
}

/// The bound is exact between senders.
#[test]
fn loom_two_senders_share_the_last_slot() {
    model(|| {
        let (mailbox, a) = mailbox(2);
        a.try_send(0).expect("room");
        let b = a.clone();
        let one = thread::spawn(move || b.try_send(1).is_ok());
        let sent = a.try_send(2).is_ok();
        assert!(sent != one.join().expect("sender"), "one slot, one message");
        assert_eq!(mailbox.stats().depth, 2);
    });
}

/// The bound holds for permits as well: a slot that is promised is taken.
#[test]
fn loom_capacity_counts_permits() {
    model(|| {
        let (mailbox, a) = mailbox(1);
        let b = a.clone();
        let holder = thread::spawn(move || match b.try_reserve() {
            Ok(permit) => {
                permit.send(1).expect("a held slot");
                true
            }
            Err(_) => false,
        });
        let sent = a.try_send(2).is_ok();
        let held = holder.join().expect("holder");
        assert!(sent != held, "one slot, one message");
        assert_eq!(mailbox.stats().depth, 1);
    });
}

/// Rule 5 of `word`: a reader that goes idle leaves no sender waiting for room that there is.
#[test]
fn loom_a_waiting_send_and_a_reader_that_goes_idle() {
    model(|| {
        let cell = cell(1);
        cell.push(0).expect("room");
        let c = Arc::clone(&cell);
        let reader = thread::spawn(move || {
            let mut got = Vec::new();
            assert!(poll(&c, &mut got));
            got
        });
        let woken = Woken::new();
        let mut sending = Sending::new(&cell, 1, SendOptions::new());
        let sent = poll_once(Pin::new(&mut sending), &woken).is_ready();
        let mut got = reader.join().expect("reader");
        if !sent {
            assert_eq!(woken.times(), 1, "a sender waits for room that there is");
            assert!(poll_once(Pin::new(&mut sending), &woken).is_ready());
        }
        let owed = usize::from(cell.word().bits() & word::SCHED != 0);
        settle_polls(&cell, polls(&cell) - owed, &mut got);
        assert_eq!(got, [0, 1]);
    });
}

/// Rule 5 of `word`, for a receiver that parks.
#[test]
fn loom_a_waiting_send_and_a_receiver_that_parks() {
    model(|| {
        let (mailbox, a) = mailbox(1);
        a.try_send(0).expect("room");
        let mut r = mailbox.receiver().expect("lease");
        let reader = thread::spawn(move || {
            let woken = Woken::new();
            assert_eq!(r.try_receive(), Ok(0));
            let second = poll_receiver(&mut r, &woken);
            (r, second, woken)
        });
        let woken = Woken::new();
        let mut sending = Box::pin(a.send(1));
        let sent = poll_once(sending.as_mut(), &woken).is_ready();
        let (mut r, second, read) = reader.join().expect("reader");
        if !sent {
            assert_eq!(woken.times(), 1, "a sender waits for room that there is");
            assert!(poll_once(sending.as_mut(), &woken).is_ready());
        }
        if second.is_pending() {
            assert_eq!(read.times(), 1, "a receiver sleeps on a message");
            assert_eq!(r.try_receive(), Ok(1));
        }
    });
}

/// Rule 5 of `word`, for a receiver that stays awake and does not look again: either the receiver sees the sender who waits, or
/// that sender sees the slot.
#[test]
fn loom_a_waiting_send_and_a_receiver_that_stays_awake() {
    model(|| {
        let (mailbox, a) = mailbox(1);
        a.try_send(0).expect("room");
        let mut r = mailbox.receiver().expect("lease");
        let reader = thread::spawn(move || {
            assert_eq!(r.try_receive(), Ok(0));
            r
        });
        let woken = Woken::new();
        let mut sending = Box::pin(a.send(1));
        let sent = poll_once(sending.as_mut(), &woken).is_ready();
        let _awake = reader.join().expect("reader");
        assert_sent(sent, sending, &woken);
        assert_eq!(mailbox.stats().waiting_senders, 0);
    });
}

/// Two senders wait, the reader gives back while the second lines up: both get through.
#[test]
fn loom_give_back_and_line_up() {
    model(|| {
        let (mailbox, a) = mailbox(2);
        (0..2).for_each(|i| a.try_send(i).expect("room"));
        let mut r = mailbox.receiver().expect("lease");
        let woken = [Woken::new(), Woken::new()];
        let mut one = Box::pin(a.send(2));
        assert!(poll_once(one.as_mut(), &woken[0]).is_pending());
        let reader = thread::spawn(move || {
            assert_eq!(r.try_receive(), Ok(0));
            assert_eq!(r.try_receive(), Ok(1));
            r
        });
        let mut two = Box::pin(a.send(12));
        let sent = poll_once(two.as_mut(), &woken[1]).is_ready();
        let mut r = reader.join().expect("reader");
        let _ = poll_receiver(&mut r, &Woken::new());
        assert_eq!(woken[0].times(), 1, "the first in line has room");
        assert!(poll_once(one.as_mut(), &woken[0]).is_ready());
        if !sent {
            assert_eq!(woken[1].times(), 1, "the second has room too");
            assert!(poll_once(two.as_mut(), &woken[1]).is_ready());
        }
        assert_eq!(mailbox.stats().waiting_senders, 0);
    });
}

/// A waker that panics: when it is woken, and in its drop. (Without a word of the panic hook, in every run.)
struct Rude;

impl Rude {
    fn waker() -> Waker {
        Waker::from(Arc::new(Self))
    }
}

impl Wake for Rude {
    fn wake(self: Arc<Self>) {
        std::panic::resume_unwind(Box::new("woken"));
    }
}

impl Drop for Rude {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::panic::resume_unwind(Box::new("dropped"));
        }
    }
}

fn polled_rudely<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    let waker = std::mem::ManuallyDrop::new(Rude::waker());
    future.poll(&mut Context::from_waker(&waker))
}

/// The first in line has a waker that panics: the reader that makes room for it goes on with what it does, and the second in
/// line is served, whenever it lines up.
#[test]
fn loom_a_rude_waiting_send_and_a_receiver_that_parks() {
    model(|| {
        let (mailbox, a) = mailbox(2);
        (0..2).for_each(|i| a.try_send(i).expect("room"));
        let mut r = mailbox.receiver().expect("lease");
        let mut rude = Box::pin(a.send(2));
        assert!(polled_rudely(rude.as_mut()).is_pending());
        let reader = thread::spawn(move || {
            let woken = Woken::new();
            assert_eq!((r.try_receive(), r.try_receive()), (Ok(0), Ok(1)));
            let third = poll_receiver(&mut r, &woken);
            (r, third, woken)
        });
        let woken = Woken::new();
        let mut sending = Box::pin(a.send(3));
        let sent = poll_once(sending.as_mut(), &woken).is_ready();
        let (mut r, third, read) = reader.join().expect("nothing unwinds into the reader");
        if !sent {
            assert_eq!(woken.times(), 1, "a sender waits for room that there is");
            assert!(poll_once(sending.as_mut(), &woken).is_ready());
        }
        if third.is_pending() {
            assert_eq!(read.times(), 1, "a receiver sleeps on a message");
            assert_eq!(r.try_receive(), Ok(3));
        }
        assert!(poll_once(rude.as_mut(), &woken).is_ready(), "its slot is held for it");
        assert_eq!((r.try_receive(), r.audit().lost()), (Ok(2), 0));
    });
}

/// A receiver parks anew, and the waker of its last poll panics in its drop: it is asleep, so that another may look, and awake
/// again when there is something to read.
#[test]
fn loom_a_receiver_parks_over_a_rude_waker_beside_a_look_and_a_push() {
    model(|| {
        let (mailbox, a) = mailbox(2);
        let mut r = mailbox.receiver().expect("lease");
        let waker = Rude::waker();
        assert!(r.poll_receive(&mut Context::from_waker(&waker)).is_pending());
        // The cell has the last one.
        drop(waker);
        let sender = thread::spawn(move || {
            a.audit();
            a.try_send(1).expect("room");
            a
        });
        let woken = Woken::new();
        let first = poll_receiver(&mut r, &woken);
        sender.join().expect("nothing unwinds into the sender");
        if first.is_pending() {
            assert_eq!(mailbox.audit().map(|ledger| ledger.queued), Some(1), "asleep: others may look");
            assert_eq!(woken.times(), 1, "a receiver sleeps on a message");
            assert_eq!(r.try_receive(), Ok(1));
        }
    });
}

/// Rule 9: a reader breaks off with a batch in its half and RUN in its hands. What it has left wakes the next one, as does what
/// is sent meanwhile; a sender that waits for the room it has made gets it.
#[test]
fn loom_run_is_dropped_and_push_and_waiting_send() {
    model(|| {
        let cell = cell(2);
        (0..2).for_each(|i| cell.push(i).expect("room"));
        assert_eq!(polls(&cell), 1);
        let c = Arc::clone(&cell);
        let reader = thread::spawn(move || {
            let mut permit = RunGuard::enter(&c).expect("nobody else runs");
            let (cell, own) = permit.split();
            assert_eq!(cell.take(own), Some(0));
            drop(permit);
        });
        let woken = Woken::new();
        let mut sending = Box::pin(Sending::new(&cell, 2, SendOptions::new()));
        let sent = poll_once(sending.as_mut(), &woken).is_ready();
        reader.join().expect("reader");
        let mut got = vec![0];
        assert_sent(sent, sending, &woken);
        settle_polls(&cell, 1, &mut got);
        assert_eq!(got, [0, 1, 2]);
    });
}

/// Rule 9: a look that breaks off, on a mailbox that is closed meanwhile by another: the end is told all the same.
#[test]
fn loom_a_look_is_dropped_and_close() {
    model(|| {
        let (mailbox, a) = mailbox(2);
        a.try_send(1).expect("room");
        let closed = Arc::new(AtomicUsize::new(0));
        let c = Arc::clone(&closed);
        a.monitor(Watch::Mailbox, move |_| {
            c.fetch_add(1, SeqCst);
        });
        let cell = Arc::clone(mailbox.cell());
        let looker = thread::spawn(move || drop(RunGuard::enter_quietly(&cell)));
        mailbox.close();
        looker.join().expect("looker");
        assert_eq!(closed.load(SeqCst), 1);
        assert_eq!(mailbox.audit().map(|ledger| (ledger.queued, ledger.dead_lettered)), Some((0, 1)));
    });
}

/// A look goes from section to section, and a sender and the reader come in between: what it shows it shows once and in order;
/// all of it, where it kept the reader out; and the wake-up is neither lost nor doubled.
#[test]
fn loom_a_look_and_push_and_read() {
    model(|| {
        let cell = cell(8);
        cell.push(0).expect("room");
        let c = Arc::clone(&cell);
        let looker = thread::spawn(move || {
            let mut seen = Vec::new();
            let looked = c.look_over(9, |_, m, _| seen.push(*m));
            (looked, seen)
        });
        cell.push(1).expect("room");
        // The wake-up that the first push has owed.
        let mut got = Vec::new();
        poll(&cell, &mut got);
        let (looked, seen) = looker.join().expect("looker");
        assert!([&[][..], &[0], &[1], &[0, 1]].contains(&&seen[..]), "{seen:?}");
        assert!(!looked.complete || !got.is_empty() || seen.starts_with(&[0]), "{seen:?} beside {got:?}");
        settle_polls(&cell, 1, &mut got);
        assert_eq!(got, [0, 1]);
    });
}

/// A look at the counters disturbs neither sleep nor wake-up.
#[test]
fn loom_audit_and_push_and_park() {
    model(|| {
        let (mailbox, a) = mailbox(8);
        let mut r = mailbox.receiver().expect("lease");
        let woken = Woken::new();
        assert!(poll_receiver(&mut r, &woken).is_pending());
        let auditor = thread::spawn(move || {
            let ledger = mailbox.audit().expect("asleep: nobody runs");
            assert_eq!(ledger.lost(), 0);
            mailbox
        });
        let sender = thread::spawn(move || {
            a.try_send(1).expect("room");
            a
        });
        sender.join().expect("sender");
        auditor.join().expect("auditor");
        assert_eq!(woken.times(), 1, "a receiver sleeps on a message");
        assert_eq!(r.try_receive(), Ok(1));
    });
}

/// A look at the counters does not swallow the news of a close.
#[test]
fn loom_audit_and_close_and_park() {
    model(|| {
        let (mailbox, _a) = mailbox(8);
        let mut r = mailbox.receiver().expect("lease");
        let woken = Woken::new();
        assert!(poll_receiver(&mut r, &woken).is_pending());
        let cell = Arc::clone(mailbox.cell());
        let auditor = thread::spawn(move || cell.audit());
        mailbox.close();
        auditor.join().expect("auditor");
        assert_eq!(woken.times(), 1, "a receiver sleeps on a closed mailbox");
    });
}

/// A look at the counters does not keep a closed mailbox from being settled.
#[test]
fn loom_audit_and_close_without_a_reader() {
    model(|| {
        let (mailbox, a) = mailbox(8);
        a.try_send(1).expect("room");
        let told = Woken::new();
        let t = Arc::clone(&told);
        a.monitor(Watch::Mailbox, move |event| {
            assert!(matches!(event, Event::Closed(_)));
            t.0.fetch_add(1, SeqCst);
        });
        let cell = Arc::clone(mailbox.cell());
        let c = Arc::clone(&cell);
        let auditor = thread::spawn(move || c.audit());
        assert!(mailbox.close());
        auditor.join().expect("auditor");
        let ledger = cell.audit().expect("nobody runs");
        assert_eq!((ledger.dead_lettered, ledger.queued, ledger.lost()), (1, 0, 0));
        assert_eq!(told.times(), 1);
    });
}

/// The last address goes while a weak one is upgraded: either the mailbox closes or the send arrives, never half.
#[test]
fn loom_last_handle_dropped_and_weak_upgrade() {
    model(|| {
        let (mailbox, a) = mailbox(8);
        let mut r = mailbox.receiver().expect("lease");
        let weak = a.downgrade();
        drop(mailbox);
        let upgrading = thread::spawn(move || weak.upgrade().is_some_and(|a| a.try_send(1).is_ok()));
        drop(a);
        let sent = upgrading.join().expect("upgrade");
        assert_eq!(drain(&mut r).len(), usize::from(sent));
        assert_eq!(r.try_receive(), Err(TryReceiveError::Closed));
    });
}

/// The last address goes while one is cloned out of a lent one, and dropped: a thread that is given a counted one meanwhile
/// has an open mailbox for as long as it is kept, and the mailbox closes once.
#[test]
fn loom_last_handle_dropped_and_lent_clone_and_counted() {
    model(|| {
        let (mailbox, a) = mailbox(8);
        let lent = Arc::new(Lent::new(&a));
        drop(mailbox);
        let cloning = {
            let lent = Arc::clone(&lent);
            thread::spawn(move || drop(Address::clone(&lent)))
        };
        let dropping = thread::spawn(move || drop(a));
        let counted = lent.counted();
        let open = counted.as_ref().is_none_or(|kept| !kept.is_closed());
        cloning.join().expect("clone");
        dropping.join().expect("drop");
        assert!(open && counted.as_ref().is_none_or(|kept| kept.try_send(1).is_ok()), "it is kept open");
        drop(counted);
        assert!(lent.is_closed() && lent.counted().is_none(), "nobody has one any more");
        drop(Address::clone(&lent));
        assert_eq!(lent.handle.cell().handles(), 0);
    });
}

/// Counts what it is told.
struct Told(AtomicUsize);

impl OnClose for Told {
    fn on_close(&self, reason: &ExitReason) {
        assert_eq!(*reason, ExitReason::Killed, "whoever closed it says why");
        self.0.fetch_add(1, SeqCst);
    }
}

fn told() -> (Arc<Told>, Weak<dyn OnClose>) {
    let told = Arc::new(Told(AtomicUsize::new(0)));
    let weak: Weak<Told> = Arc::downgrade(&told);
    (told, weak)
}

/// Row B5: one registered to be told first is told once, before the closing thread returns; or is refused, and not told.
#[test]
fn loom_tell_first_and_close() {
    model(|| {
        let (_mailbox, a) = mailbox(8);
        let (early, weak) = told();
        assert!(a.tell_first(weak));
        let close = |a: &Address<u32>, early: &Told| {
            let closed = a.close_mailbox(ExitReason::Killed);
            assert!(!closed || early.0.load(SeqCst) == 1, "told by the one who closed it");
            closed
        };
        let closer = {
            let (a, early) = (a.clone(), Arc::clone(&early));
            thread::spawn(move || close(&a, &early))
        };
        let (late, weak) = told();
        let accepted = a.tell_first(weak);
        let closed = [close(&a, &early), closer.join().expect("close")];
        assert_eq!(closed.into_iter().filter(|c| *c).count(), 1);
        assert_eq!((early.0.load(SeqCst), late.0.load(SeqCst)), (1, usize::from(accepted)));
    });
}

/// Who asks not to be told, and is heard, is not.
#[test]
fn loom_tell_no_more_and_close() {
    model(|| {
        let (_mailbox, a) = mailbox(8);
        let (stays, weak) = told();
        assert!(a.tell_first(weak));
        let (goes, weak) = told();
        assert!(a.tell_first(weak.clone()));
        let closer = {
            let a = a.clone();
            thread::spawn(move || a.close_mailbox(ExitReason::Killed))
        };
        let heard = a.tell_no_more(&weak);
        assert!(closer.join().expect("close"));
        assert_eq!((stays.0.load(SeqCst), goes.0.load(SeqCst)), (1, usize::from(!heard)));
        assert!(!a.tell_no_more(&weak), "once");
    });
}

/// Notes whether one who asked to be told first had been when others are told of the closing. (A panic in there would stay
/// there. What it counts in is no part of the model: standard atomics, at which no other thread gets a turn.)
#[derive(Default)]
struct Order {
    first: std::sync::atomic::AtomicUsize,
    heard: std::sync::atomic::AtomicUsize,
    too_early: std::sync::atomic::AtomicUsize,
}

impl OnClose for Order {
    fn on_close(&self, reason: &ExitReason) {
        assert_eq!(*reason, ExitReason::Killed, "whoever closed it says why");
        self.first.fetch_add(1, SeqCst);
    }
}

impl Order {
    /// The other one is told.
    fn hear(&self) {
        self.heard.fetch_add(1, SeqCst);
        self.too_early.fetch_add(usize::from(self.first.load(SeqCst) == 0), SeqCst);
    }

    fn on_closed(self: &Arc<Self>) -> impl FnMut(Event) + Send + 'static {
        let order = Arc::clone(self);
        move |event| {
            if let Event::Closed(_) = event {
                order.hear();
            }
        }
    }

    fn is_told_first(self: &Arc<Self>) -> Weak<dyn OnClose> {
        let weak: Weak<Self> = Arc::downgrade(self);
        weak
    }

    /// So many others were told, none of them before.
    fn assert_heard(&self, times: usize) {
        assert_eq!((self.heard.load(SeqCst), self.too_early.load(SeqCst)), (times, 0), "(heard, too early)");
    }
}

impl Wake for Order {
    fn wake(self: Arc<Self>) {
        self.hear();
    }
}

impl Linked for Order {
    fn link_id(&self) -> usize {
        1
    }
    fn exit_signal(&self, _: usize, _: &ExitReason) {
        self.hear();
    }
    fn add_link(&self, _: Arc<dyn Linked>, _: usize) {}
    fn remove_link(&self, _: usize) {}
}

/// Clause 26.1: one closes it while its reader goes: whichever of them tells the monitors, who asked to be told first has been.
#[test]
fn loom_told_first_and_a_reader_that_goes() {
    model(|| {
        let (mailbox, a) = mailbox(8);
        let reader = mailbox.receiver().expect("lease");
        let order = Arc::new(Order::default());
        assert!(a.tell_first(order.is_told_first()));
        a.monitor(Watch::Mailbox, order.on_closed());
        let closer = thread::spawn(move || assert!(a.close_mailbox(ExitReason::Killed)));
        drop(reader);
        closer.join().expect("closer");
        order.assert_heard(1);
    });
}

/// Clause 26.1: one closes it while another, who only looks, keeps it from settling it, and does so in its stead.
#[test]
fn loom_told_first_and_an_audit() {
    model(|| {
        let (mailbox, a) = mailbox(8);
        let order = Arc::new(Order::default());
        assert!(a.tell_first(order.is_told_first()));
        a.monitor(Watch::Mailbox, order.on_closed());
        let closer = thread::spawn(move || assert!(a.close_mailbox(ExitReason::Killed)));
        mailbox.audit();
        closer.join().expect("closer");
        order.assert_heard(1);
    });
}

/// Has it noted when a message is buried.
struct Buries(Arc<Order>);

impl Runner<u32> for Buries {
    fn schedule(&self, _: &Arc<MailCell<u32, Self>>) {}
    fn on_dead(&self, _: &u32, _: &DeadCause) {
        self.0.hear();
    }
}

/// Clause 26.1: one closes it while another, who only looks, buries in its stead what is queued: the callers of what is buried
/// hear of it then.
#[test]
fn loom_told_first_and_an_audit_that_buries() {
    model(|| {
        let order = Arc::new(Order::default());
        let cell = Arc::new(MailCell::plain(Some(8), 0, Buries(Arc::clone(&order))));
        assert!(cell.tell_first(order.is_told_first()) && cell.push(1).is_ok());
        let closer = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || assert!(cell.close(ExitReason::Killed)))
        };
        cell.audit();
        closer.join().expect("closer");
        order.assert_heard(1);
    });
}

/// Clause 26.1: as by a look, by a look that is dropped half way.
#[test]
fn loom_told_first_and_a_dropped_look_that_buries() {
    model(|| {
        let order = Arc::new(Order::default());
        let cell = Arc::new(MailCell::plain(Some(8), 0, Buries(Arc::clone(&order))));
        assert!(cell.tell_first(order.is_told_first()) && cell.push(1).is_ok());
        let closer = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || assert!(cell.close(ExitReason::Killed)))
        };
        drop(RunGuard::enter_quietly(&cell));
        closer.join().expect("closer");
        order.assert_heard(1);
    });
}

/// Clause 26.1: one thread closes it while another asks to be told first, and then to be told: in this order, or refused the
/// first.
#[test]
fn loom_told_first_and_a_late_monitor() {
    model(|| {
        let (_mailbox, a) = mailbox(8);
        let early = Arc::new(Order::default());
        assert!(a.tell_first(early.is_told_first()));
        let closer = {
            let a = a.clone();
            thread::spawn(move || assert!(a.close_mailbox(ExitReason::Killed)))
        };
        let late = Arc::new(Order::default());
        let accepted = a.tell_first(late.is_told_first());
        a.monitor(Watch::Mailbox, early.on_closed());
        if accepted {
            a.monitor(Watch::Mailbox, late.on_closed());
        }
        closer.join().expect("closer");
        early.assert_heard(1);
        late.assert_heard(usize::from(accepted));
        assert_eq!(late.first.load(SeqCst) > 0, accepted, "who is refused is not told");
    });
}

/// Clause 26.1: one closes it, its reader goes, and one comes to monitor it: three of whom each may be the one to tell. (With
/// one preemption: with two it takes minutes.)
#[test]
fn loom_told_first_and_a_reader_that_goes_and_a_late_monitor() {
    let mut builder = loom::model::Builder::new();
    (builder.max_branches, builder.preemption_bound) = (20_000, Some(1));
    builder.check(|| {
        let cell = cell(1);
        let order = Arc::new(Order::default());
        assert!(cell.tell_first(order.is_told_first()));
        let permit = RunGuard::enter(&cell).expect("nobody else runs");
        let closer = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || assert!(cell.close(ExitReason::Killed)))
        };
        let comes = {
            let (cell, notice) = (Arc::clone(&cell), Box::new(order.on_closed()));
            thread::spawn(move || cell.monitor(Watch::Mailbox, notice))
        };
        cell.end_lease(permit, None, false);
        closer.join().expect("closer");
        comes.join().expect("comes");
        order.assert_heard(1);
    });
}

/// Clause 26.1: one closes it while its reader ends it for good: links and waiting senders hear of it after those who asked to
/// be told first, whichever of the two closes it.
#[test]
fn loom_told_first_and_links_and_a_waiting_sender() {
    model(|| {
        let cell = cell(1);
        cell.push(0).expect("room");
        let [link, waiter] = [(); 2].map(|()| Arc::new(Order::default()));
        assert!(cell.tell_first(link.is_told_first()) && cell.tell_first(waiter.is_told_first()));
        cell.add_link(1, Arc::clone(&link) as Arc<dyn Linked>);
        let mut sending = sending(&cell, 1);
        let waker = Waker::from(Arc::clone(&waiter));
        assert!(sending.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let permit = RunGuard::enter(&cell).expect("nobody else runs");
        let closer = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || cell.close(ExitReason::Killed))
        };
        cell.end_lease(permit, Some(Exit::new(ExitReason::Killed, Phase::Idle, None, 1)), true);
        link.assert_heard(1);
        closer.join().expect("closer");
        waiter.assert_heard(1);
        let polled = sending.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(matches!(polled, Poll::Ready(Err(SendError::Closed(1)))), "{polled:?}");
    });
}

/// Closed twice at once while its reader goes: settled once, told once.
#[test]
fn loom_settle_and_close_twice() {
    model(|| {
        let (mailbox, a) = mailbox(8);
        a.try_send(1).expect("room");
        let r = mailbox.receiver().expect("lease");
        let told = Woken::new();
        let t = Arc::clone(&told);
        a.monitor(Watch::Mailbox, move |event| {
            if let Event::Closed(_) = event {
                t.0.fetch_add(1, SeqCst);
            }
        });
        let cell = Arc::clone(mailbox.cell());
        let closer = thread::spawn(move || cell.close(ExitReason::Shutdown));
        drop(r);
        assert!(mailbox.close() != closer.join().expect("closer"), "closed by one of them");
        assert_eq!(told.times(), 1);
        let ledger = mailbox.audit().expect("nobody runs");
        assert_eq!((ledger.dead_lettered, ledger.queued, ledger.lost()), (1, 0, 0));
    });
}

/// A reader that ends has given waiting senders what room there is.
#[test]
fn loom_lease_end_and_waiting_send() {
    model(|| {
        let (mailbox, a) = mailbox(4);
        (0..4).for_each(|i| a.try_send(i).expect("room"));
        let mut r = mailbox.receiver().expect("lease");
        let sender = thread::spawn(move || block_on(a.send(4)).expect("room comes"));
        assert_eq!(r.try_receive(), Ok(0));
        drop(r);
        sender.join().expect("or a deadlock: one slot is free and nobody reads");
        assert_eq!(mailbox.stats().depth, 4);
    });
}

/// A permit that is dropped gives its slot to who waits.
#[test]
fn loom_a_dropped_permit_and_a_waiting_reserve() {
    model(|| {
        let cell: Arc<MailCell<u32, Parked>> = Arc::new(MailCell::plain(Some(1), 0, Parked));
        let keep = Handle::first(Arc::clone(&cell));
        assert_eq!(cell.try_reserve(), Ok(true));
        let permit = SendPermit::new(&cell);
        let c = Arc::clone(&cell);
        let waiting = thread::spawn(move || {
            block_on(pin!(Reserving::new(&c))).expect("open");
            SendPermit::new(&c).send(1).expect("a held slot");
        });
        drop(permit);
        waiting.join().expect("or a deadlock: the slot is lost");
        assert_eq!(keep.stats().depth, 1);
    });
}

/// A monitor of an incarnation hears how that one ended, not how the one before it did.
#[test]
fn loom_a_monitor_hears_of_its_own_incarnation() {
    model(|| {
        let (mailbox, a) = mailbox(8);
        let first = mailbox.receiver().expect("lease");
        a.monitor(Watch::Mailbox, |_| {});
        let ending = thread::spawn(move || drop(first));
        let heard = Arc::new(AtomicUsize::new(0));
        if let Ok(second) = mailbox.receiver() {
            let h = Arc::clone(&heard);
            a.monitor(Watch::Incarnation, move |event| match event {
                Event::Down(exit) => assert_eq!(h.swap(exit.incarnation as usize, SeqCst), 0),
                other => unreachable!("{other:?}"),
            });
            ending.join().expect("first");
            assert_eq!(heard.load(SeqCst), 0, "the second still reads");
            drop(second);
            assert_eq!(heard.load(SeqCst), 2);
        } else {
            ending.join().expect("first");
        }
    });
}

/// Events that come while others are being told are told too, in order.
#[test]
fn loom_no_event_is_lost_while_another_is_told() {
    model(|| {
        let (mailbox, a) = mailbox(8);
        let first = mailbox.receiver().expect("lease");
        let heard = Arc::new(AtomicUsize::new(0));
        let h = Arc::clone(&heard);
        a.monitor(Watch::Mailbox, move |event| {
            let digit = match event {
                Event::Down(exit) => exit.incarnation as usize,
                Event::Started { incarnation } => incarnation as usize + 4,
                Event::Closed(_) => 9,
            };
            h.store(h.load(SeqCst) * 10 + digit, SeqCst);
        });
        let ending = thread::spawn(move || drop(first));
        let second = mailbox.receiver();
        let restarted = second.is_ok();
        drop(second);
        ending.join().expect("first");
        mailbox.close();
        assert_eq!(heard.load(SeqCst), if restarted { 1629 } else { 19 });
    });
}

/// A server that ends its lease while a message comes in: the next incarnation finds it.
#[test]
fn loom_end_lease_and_push() {
    model(|| {
        let cell = cell(8);
        let c = Arc::clone(&cell);
        let sender = thread::spawn(move || c.push(1).expect("room"));
        let permit = RunGuard::enter(&cell).expect("nobody else runs");
        cell.end_lease(permit, Some(Exit::new(ExitReason::Killed, Phase::Cast, None, 1)), false);
        assert_eq!(cell.lease(), Ok(2));
        let mut got = Vec::new();
        sender.join().expect("sender");
        assert!(poll(&cell, &mut got));
        assert_eq!(got, [1]);
    });
}

/// Clause 12.7: an end that is noted in a table under a lock of its own. Who is told of it, by a monitor that is set at any
/// moment, and who finds the lease given back, finds the note; who finds the note finds the lease given back.
#[test]
fn loom_an_end_that_is_noted_and_a_late_monitor() {
    model(|| {
        let cell = cell(8);
        let table = Arc::new(Mutex::new(false));
        let (c, t) = (Arc::clone(&cell), Arc::clone(&table));
        let ending = thread::spawn(move || {
            let permit = RunGuard::enter(&c).expect("nobody else runs");
            let exit = Exit::new(ExitReason::Killed, Phase::Cast, None, 1);
            c.end_lease_and(permit, Some(exit), false, |give_back| {
                let mut noted = t.lock().expect("nobody panics there");
                *noted = true;
                give_back();
            });
        });
        let is_noted = |table: &Mutex<bool>| *table.lock().expect("nobody panics there");
        let heard = Arc::new(AtomicUsize::new(0));
        let (h, t) = (Arc::clone(&heard), Arc::clone(&table));
        // A panic of its own would go no further than the cell's net.
        let told = move |_| {
            h.fetch_add(if is_noted(&t) { 1 } else { 100 }, SeqCst);
        };
        cell.monitor(Watch::Incarnation, Box::new(told));
        assert!(cell.is_leased() || is_noted(&table), "it has ended, and the table does not show it");
        assert!(!is_noted(&table) || !cell.is_leased(), "the table shows its end, and it has not ended");
        ending.join().expect("the end");
        assert_eq!(heard.load(SeqCst), 1);
    });
}

/// What one step of a server's loop comes upon.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Kill,
    Message(u32),
    Nothing,
}

/// One step of a server's loop: the next of the batch while all is calm, else a look at the word.
fn step(permit: &mut RunGuard<MailCell<u32, Polls>>) -> Found {
    let (cell, own) = permit.split();
    if let Some(message) = cell.take_calmly(own) {
        return Found::Message(message);
    }
    if cell.word().bits() & word::KILL != 0 {
        return Found::Kill;
    }
    cell.take(own).map_or(Found::Nothing, Found::Message)
}

/// A message in the control lane.
const ORDER: u32 = 100;

fn push_order(cell: &Cell) {
    let order = SendOptions::new().lane(Lane::Control);
    assert!(cell.push_with(ORDER, &order, false).is_ok(), "control is never full");
}

/// A cell whose runner has just begun on a batch of `plain` messages. With `alarmed` it was an order that it has handled
/// first: the alarm is still up, with no bit for it, so that the next step takes it down.
fn in_a_batch(plain: u32, alarmed: bool) -> (Cell, RunGuard<MailCell<u32, Polls>>) {
    let cell = cell(8);
    (0..plain).for_each(|i| cell.push(i).expect("room"));
    if alarmed {
        push_order(&cell);
    }
    let mut permit = RunGuard::enter(&cell).expect("nobody else runs");
    assert_eq!(step(&mut permit), Found::Message(if alarmed { ORDER } else { 0 }));
    assert_eq!(cell.word().is_calm(), !alarmed);
    (cell, permit)
}

/// Says that something is done, so that who hears of it has to see what was done.
#[derive(Default)]
struct Done(AtomicBool);

impl Done {
    fn say(&self) {
        self.0.store(true, Release);
    }
    fn is_said(&self) -> bool {
        self.0.load(Acquire)
    }
}

/// Some steps of a batch beside a kill: a step that begins when the kill is known to be over comes upon it, and the kill
/// is there after the last step whatever the steps did with the alarm.
fn steps_beside_a_kill(
    cell: &Cell,
    permit: &mut RunGuard<MailCell<u32, Polls>>,
    killer: thread::JoinHandle<()>,
    done: &Done,
    steps: usize,
) -> Vec<Found> {
    let mut found = Vec::new();
    while found.len() < steps {
        let over = done.is_said();
        let step = step(permit);
        if step == Found::Kill {
            break;
        }
        assert!(!over, "a message is handled after the kill: {step:?}");
        found.push(step);
    }
    killer.join().expect("killer");
    assert!(!permit.split().1.is_empty(), "the batch goes on, so that only the alarm can end it");
    assert_eq!(step(permit), Found::Kill, "the kill is lost");
    assert!(cell.word().bits() & word::NOTE != 0);
    found
}

fn kill_then_say(cell: &Cell, done: &Arc<Done>) -> thread::JoinHandle<()> {
    let (cell, done) = (Arc::clone(cell), Arc::clone(done));
    thread::spawn(move || {
        assert!(cell.kill(ExitReason::Killed));
        done.say();
    })
}

/// Rule 6 of `word`: a kill in the middle of a batch ends it at the next message.
#[test]
fn loom_a_kill_is_seen_within_a_batch() {
    model(|| {
        let (cell, mut permit) = in_a_batch(4, false);
        let done = Arc::new(Done::default());
        let killer = kill_then_say(&cell, &done);
        let found = steps_beside_a_kill(&cell, &mut permit, killer, &done, 2);
        assert!([Found::Message(1), Found::Message(2)].starts_with(&found), "{found:?}");
        assert_eq!(polls(&cell), 1, "whoever runs has been left a note instead");
    });
}

/// Rule 6 of `word`: the same while the reader takes the alarm down.
#[test]
fn loom_a_kill_meets_a_reader_that_takes_the_alarm_down() {
    model(|| {
        let (cell, mut permit) = in_a_batch(4, true);
        let done = Arc::new(Done::default());
        let killer = kill_then_say(&cell, &done);
        let found = steps_beside_a_kill(&cell, &mut permit, killer, &done, 2);
        assert!([Found::Message(0), Found::Message(1)].starts_with(&found), "{found:?}");
    });
}

/// Rule 6 of `word`: two raise the alarm while the reader takes it down. Neither hides the other.
#[test]
fn loom_a_kill_and_an_order_within_a_batch() {
    model(|| {
        let (cell, mut permit) = in_a_batch(4, true);
        let done = Arc::new(Done::default());
        let killer = kill_then_say(&cell, &done);
        let c = Arc::clone(&cell);
        let orders = thread::spawn(move || push_order(&c));
        let mut found = steps_beside_a_kill(&cell, &mut permit, killer, &done, 1);
        orders.join().expect("orders");
        // A server would end here. What it had not taken is there for the next reader, the order first.
        let mut rest = Vec::new();
        take_all(&mut permit, &mut rest);
        let came = found.contains(&Found::Message(ORDER));
        assert!(came || rest[0] == ORDER, "{rest:?}");
        found.retain(|f| *f != Found::Message(ORDER));
        assert!(found.is_empty() || found == [Found::Message(0)], "{found:?}");
        let (cell, own) = permit.split();
        assert_eq!((cell.audit_as_reader(own).sent, own.lanes().len()), (6, 0));
    });
}

/// A kill that one runner has not come upon, the next one does: the alarm is handed over with RUN.
#[test]
fn loom_a_kill_and_a_batch_that_changes_hands() {
    model(|| {
        let (cell, mut permit) = in_a_batch(4, true);
        let done = Arc::new(Done::default());
        let killer = kill_then_say(&cell, &done);
        let c = Arc::clone(&cell);
        let next = thread::spawn(move || {
            let mut permit = RunGuard::enter(&c)?;
            let over = done.is_said();
            let found = step(&mut permit);
            MailCell::leave_by(permit, word::DATA);
            Some((over, found))
        });
        let first = step(&mut permit);
        MailCell::leave_by(permit, word::DATA);
        if let Some((over, found)) = next.join().expect("next") {
            assert!(!over || found == Found::Kill, "handled after the kill: {found:?}");
            assert!(first != Found::Kill || found == Found::Kill, "the kill is forgotten: {found:?}");
        }
        killer.join().expect("killer");
        let mut permit = RunGuard::enter(&cell).expect("nobody else runs");
        assert!(!permit.split().1.is_empty());
        assert_eq!(step(&mut permit), Found::Kill, "the kill is lost");
    });
}

/// An order that was pushed while the reader works through a batch of plain messages comes before the rest of them.
fn an_order_within_a_batch(alarmed: bool) {
    let (cell, mut permit) = in_a_batch(4, alarmed);
    let done = Arc::new(Done::default());
    let (c, d) = (Arc::clone(&cell), Arc::clone(&done));
    let pusher = thread::spawn(move || {
        push_order(&c);
        d.say();
    });
    let mut got = Vec::new();
    while got.len() < 2 {
        let over = done.is_said();
        let (cell, own) = permit.split();
        let message = cell.take(own).expect("the batch goes on");
        assert!(!over || message == ORDER || got.contains(&ORDER), "{message} comes before the order");
        got.push(message);
    }
    pusher.join().expect("pusher");
    let (cell, own) = permit.split();
    if !got.contains(&ORDER) {
        assert_eq!(cell.take(own), Some(ORDER), "the batch ends before the order comes");
    }
    got.retain(|m| *m != ORDER);
    got.extend(std::iter::from_fn(|| cell.take(own)));
    assert!(got.into_iter().eq(u32::from(!alarmed)..4), "the rest in order, and the order once");
    assert!(cell.word().is_calm(), "nothing is left to be alarmed about");
    assert_eq!(polls(cell), 1, "whoever runs needs no wake-up");
}

/// Rule 6 of `word`, for orders.
#[test]
fn loom_an_order_overtakes_a_batch() {
    model(|| an_order_within_a_batch(false));
}

/// Rule 6 of `word`, for orders: the same while the reader takes the alarm down.
#[test]
fn loom_an_order_meets_a_reader_that_takes_the_alarm_down() {
    model(|| an_order_within_a_batch(true));
}

/// A send that waits for room, with its cell, so that it can go from thread to thread.
fn sending(cell: &Cell, message: u32) -> Pin<Box<dyn Future<Output = Result<(), SendError<u32>>> + Send>> {
    let cell = Arc::clone(cell);
    Box::pin(async move { Sending::new(&cell, message, SendOptions::new()).await })
}

/// A sender that found no room has been woken for it once, and sends.
fn assert_sent<F: Future<Output = Result<(), SendError<u32>>> + ?Sized>(
    sent: bool,
    mut sending: Pin<Box<F>>,
    woken: &Arc<Woken>,
) {
    if !sent {
        assert_eq!(woken.times(), 1, "a sender waits for room that there is");
        assert!(matches!(poll_once(sending.as_mut(), woken), Poll::Ready(Ok(()))));
    }
}

/// Rule 5 of `word`: a reader that leaves in the middle of its batch leaves no sender waiting for room that there is.
#[test]
fn loom_a_waiting_send_and_a_reader_that_leaves_half_way() {
    model(|| {
        let cell = cell(2);
        (0..2).for_each(|i| cell.push(i).expect("room"));
        let c = Arc::clone(&cell);
        let reader = thread::spawn(move || {
            let mut permit = RunGuard::enter(&c).expect("nobody else runs");
            assert_eq!(step(&mut permit), Found::Message(0));
            MailCell::leave_by(permit, word::DATA);
        });
        let woken = Woken::new();
        let mut sending = sending(&cell, 2);
        let sent = poll_once(sending.as_mut(), &woken).is_ready();
        reader.join().expect("reader");
        assert_sent(sent, sending, &woken);
        assert_eq!((cell.stats().waiting_senders, cell.wake_at()), (0, u64::MAX));
        let mut got = Vec::new();
        settle_polls(&cell, polls(&cell) - 1, &mut got);
        assert_eq!(got, [1, 2]);
    });
}

/// What happens beside a reader that leaves its senders to the next turn.
#[derive(Clone, Copy)]
enum Beside {
    /// An audit takes RUN for a look.
    Look,
    /// Another sender comes.
    Sender,
    /// The sender who waits gives up, and another comes.
    Cancelled,
}

/// Rule 5 of `word`: a reader that leaves the senders who wait to its next turn has one, and they are served in it.
#[test]
fn loom_a_waiting_send_and_a_reader_that_will_be_back() {
    for beside in [Beside::Look, Beside::Sender, Beside::Cancelled] {
        model(move || {
            let cell = cell(4);
            (0..4).for_each(|i| cell.push(i).expect("room"));
            let (mut first, firsts) = (sending(&cell, 4), Woken::new());
            assert!(poll_once(first.as_mut(), &firsts).is_pending());
            let mut permit = RunGuard::enter(&cell).expect("nobody else runs");
            assert_eq!(step(&mut permit), Found::Message(0));
            let c = Arc::clone(&cell);
            let reader = thread::spawn(move || {
                let owes = MailCell::leave_owing_by(permit, word::DATA, word::Senders::Later);
                if owes {
                    c.runner.schedule(&c);
                }
            });
            let (mut second, seconds) = (sending(&cell, 5), Woken::new());
            let mut sent = true;
            match beside {
                Beside::Look => {
                    let look = RunGuard::enter_quietly(&cell);
                    if look.is_some_and(RunGuard::leave_quietly) {
                        cell.runner.schedule(&cell);
                    }
                }
                Beside::Sender => sent = poll_once(second.as_mut(), &seconds).is_ready(),
                Beside::Cancelled => {
                    sent = poll_once(second.as_mut(), &seconds).is_ready();
                    first = Box::pin(std::future::ready(Ok(())));
                }
            }
            reader.join().expect("reader");
            let owed = |cell: &Cell| usize::from(cell.word().bits() & word::SCHED != 0);
            let mut got = vec![0];
            settle_polls(&cell, polls(&cell) - owed(&cell), &mut got);
            assert_eq!((cell.stats().waiting_senders, cell.wake_at()), (0, u64::MAX));
            if !matches!(beside, Beside::Cancelled) {
                assert_sent(false, first, &firsts);
            }
            if !matches!(beside, Beside::Look) {
                assert_sent(sent, second, &seconds);
            }
            settle_polls(&cell, polls(&cell) - owed(&cell), &mut got);
            got.sort_unstable();
            let expected: &[u32] = match beside {
                Beside::Look => &[0, 1, 2, 3, 4],
                Beside::Sender => &[0, 1, 2, 3, 4, 5],
                Beside::Cancelled => &[0, 1, 2, 3, 5],
            };
            assert_eq!(got, expected);
        });
    }
}

/// One sender waits and another lines up beside a reader that takes all and leaves: neither waits for ever.
#[test]
fn loom_two_waiting_sends_and_a_reader_that_leaves() {
    model(|| {
        let cell = cell(2);
        (0..2).for_each(|i| cell.push(i).expect("room"));
        let (mut first, firsts) = (sending(&cell, 2), Woken::new());
        assert!(poll_once(first.as_mut(), &firsts).is_pending());
        let c = Arc::clone(&cell);
        let reader = thread::spawn(move || {
            let mut got = Vec::new();
            poll(&c, &mut got);
            got
        });
        let (mut second, seconds) = (sending(&cell, 12), Woken::new());
        let sent = poll_once(second.as_mut(), &seconds).is_ready();
        let mut got = reader.join().expect("reader");
        assert_sent(false, first, &firsts);
        assert_sent(sent, second, &seconds);
        assert_eq!((cell.stats().waiting_senders, cell.wake_at()), (0, u64::MAX));
        let owed = usize::from(cell.word().bits() & word::SCHED != 0);
        settle_polls(&cell, polls(&cell) - owed, &mut got);
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 12]);
    });
}

/// Who is known to wait is woken when the mailbox is half empty, and not only when the reader leaves.
#[test]
fn loom_a_waiting_send_is_woken_within_a_batch() {
    model(|| {
        let cell = cell(2);
        (0..2).for_each(|i| cell.push(i).expect("room"));
        let mut permit = RunGuard::enter(&cell).expect("nobody else runs");
        let (waits, woken) = (Arc::new(Done::default()), Woken::new());
        let (c, d, w) = (Arc::clone(&cell), Arc::clone(&waits), Waker::from(Arc::clone(&woken)));
        let sender = thread::spawn(move || {
            let line = c.line_up(&2, &SendOptions::new(), &w).expect("open");
            if let Waited::Waiting(_) = line {
                d.say();
            }
            matches!(line, Waited::TryNow)
        });
        for i in 0..2 {
            let waited = waits.is_said();
            assert_eq!(step(&mut permit), Found::Message(i));
            assert!(!waited || woken.times() == 1, "a sender waits at {i}");
        }
        // A sender that lined up just now may have been missed so far: to the reader `wake_at` is a hint.
        MailCell::leave_by(permit, 0);
        let free = sender.join().expect("sender");
        assert_eq!(woken.times(), usize::from(!free));
        assert_eq!((cell.stats().waiting_senders, cell.wake_at()), (0, u64::MAX));
    });
}

/// Row B5: a sender who waits while the mailbox closes is told, and the drain after it has no sender to give room back to.
#[test]
fn loom_close_and_waiting_send_and_drain() {
    model(|| {
        let cell = cell(2);
        (0..2).for_each(|i| cell.push(i).expect("room"));
        let (mut sending, woken) = (sending(&cell, 2), Woken::new());
        assert!(poll_once(sending.as_mut(), &woken).is_pending());
        assert_eq!(cell.wake_at(), 1, "half empty");
        let c = Arc::clone(&cell);
        let closer = thread::spawn(move || assert!(c.close(ExitReason::Shutdown)));
        let mut permit = RunGuard::enter(&cell).expect("nobody else runs");
        assert_eq!(step(&mut permit), Found::Message(0));
        closer.join().expect("closer");
        assert_eq!(woken.times(), 1, "by the slot or by the close");
        assert_eq!(
            (cell.stats().waiting_senders, cell.wake_at()),
            (0, u64::MAX),
            "somebody is left to be woken"
        );
        assert_eq!(step(&mut permit), Found::Message(1));
        assert_eq!(step(&mut permit), Found::Nothing);
        assert_eq!(cell.wake_at(), u64::MAX);
        // A slot that was granted before the close has come to nothing.
        assert!(matches!(poll_once(sending.as_mut(), &woken), Poll::Ready(Err(SendError::Closed(2)))));
    });
}

/// Row B5: who lines up while the mailbox closes is told, or refused at once.
#[test]
fn loom_close_and_line_up() {
    model(|| {
        let cell = cell(1);
        cell.push(0).expect("room");
        let c = Arc::clone(&cell);
        let closer = thread::spawn(move || assert!(c.close(ExitReason::Shutdown)));
        let (mut sending, woken) = (sending(&cell, 1), Woken::new());
        let mut polled = poll_once(sending.as_mut(), &woken);
        closer.join().expect("closer");
        if polled.is_pending() {
            assert_eq!(woken.times(), 1, "a sender waits for a closed mailbox");
            polled = poll_once(sending.as_mut(), &woken);
        }
        assert!(matches!(polled, Poll::Ready(Err(SendError::Closed(1)))), "{polled:?}");
        assert_eq!((cell.stats().waiting_senders, cell.wake_at()), (0, u64::MAX));
    });
}
