//! Foreign code that panics: wakers, drops, notices, closures. It costs the others nothing: no message, no slot, no notice.

use crate::{drain, opened, poll, with_room};
use restante_core::addressable::{Addressable, OnClose};
use restante_core::cell::{MailCell, Parked};
use restante_core::handle::Handle;
use restante_core::link::Linked;
use restante_core::monitor::{Event, Watch};
use restante_core::word::{self, RunGuard};
use restante_core::{
    Address, Exit, ExitReason, Lane, Mailbox, Phase, Reaper, Recipient, SendError, SendOptions,
    TryReceiveError,
};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// A waker that panics when it is woken.
struct Wakes;
impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        panic!("a rude waker")
    }
}

/// Panics when it is dropped: as a waker, a message, an error, or what a closure has caught.
#[derive(Debug)]
struct Drops;
impl Wake for Drops {
    fn wake(self: Arc<Self>) {}
}
impl Drop for Drops {
    fn drop(&mut self) {
        panic!("a rude drop")
    }
}
impl std::fmt::Display for Drops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("rude")
    }
}
impl std::error::Error for Drops {}

/// Counts how often it was woken.
#[derive(Default)]
struct Counts(AtomicUsize);
impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn polled<F: Future + ?Sized>(
    future: Pin<&mut F>,
    by: Arc<impl Wake + Send + Sync + 'static>,
) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(by)))
}

fn rude_reason() -> ExitReason {
    ExitReason::from(Drops)
}

fn heard<M: Send + 'static>(a: &Address<M>, watch: Watch) -> Arc<Mutex<Vec<Event>>> {
    let heard = Arc::<Mutex<Vec<_>>>::default();
    let h = Arc::clone(&heard);
    a.monitor(watch, move |event| h.lock().unwrap().push(event));
    heard
}

/// Clause 17.6: the message that is being received is not lost when it makes room for a sender whose waker panics, and those
/// who stand behind that one are woken.
#[test]
fn a_waiting_senders_waker_that_panics_costs_neither_the_message_nor_the_next_in_line() {
    let (_m, a, mut r) = with_room(4);
    (0..4).for_each(|i| a.try_send(i).unwrap());
    let (mut rude, mut also, mut calm) = (Box::pin(a.send(4)), Box::pin(a.send(5)), Box::pin(a.send(6)));
    let counts = Arc::<Counts>::default();
    assert!(polled(rude.as_mut(), Arc::new(Wakes)).is_pending());
    assert!(polled(also.as_mut(), Arc::new(Wakes)).is_pending());
    assert!(polled(calm.as_mut(), Arc::clone(&counts)).is_pending());
    assert_eq!(r.purge(|m| *m > 1), 2);
    assert_eq!(r.try_receive(), Ok(0));
    assert_eq!(r.audit().lost(), 0);
    assert_eq!(counts.0.load(SeqCst), 1, "three slots are free: the third in line has one");
    assert!(
        poll(calm.as_mut()).is_ready() && poll(rude.as_mut()).is_ready() && poll(also.as_mut()).is_ready()
    );
    assert_eq!(drain(&mut r), [1, 6, 4, 5]);
    assert_eq!((r.audit().lost(), a.stats().waiting_senders), (0, 0));
}

/// Clause 5.1: a receiver that is asleep does not hold the mailbox's reading half, whatever its old waker does in its drop.
#[test]
fn a_receiver_whose_last_waker_panics_in_its_drop_is_asleep_all_the_same() {
    let (m, a, mut r) = with_room::<u32>(4);
    assert!(polled(pin!(std::future::poll_fn(|cx| r.poll_receive(cx))), Arc::new(Drops)).is_pending());
    assert!(poll(pin!(std::future::poll_fn(|cx| r.poll_receive(cx)))).is_pending());
    assert!(m.audit().is_some(), "asleep: anybody may look");
    a.try_send(1).unwrap();
    assert_eq!(r.try_receive(), Ok(1));
    assert!(m.audit().is_none(), "awake");
    assert_eq!(r.try_receive(), Err(TryReceiveError::Empty));
}

/// Clauses 14.3, 17.6: a close tells everyone, whatever the first of them does.
#[test]
fn a_waker_that_panics_keeps_nobody_from_hearing_of_the_close() {
    let (m, a, r) = with_room(1);
    drop(r);
    a.try_send(0).unwrap();
    let told = heard(&a, Watch::Mailbox);
    let counts = Arc::<Counts>::default();
    let mut rude = Box::pin(a.send(1));
    let mut dropped = Box::pin(a.reserve());
    let mut calm = Box::pin(a.send(2));
    assert!(polled(rude.as_mut(), Arc::new(Wakes)).is_pending());
    assert!(polled(dropped.as_mut(), Arc::new(Drops)).is_pending());
    assert!(polled(calm.as_mut(), Arc::clone(&counts)).is_pending());
    assert!(m.close());
    assert_eq!(counts.0.load(SeqCst), 1);
    assert_eq!(*told.lock().unwrap(), [Event::Closed(ExitReason::Normal)]);
    assert!(matches!(poll(rude.as_mut()), Poll::Ready(Err(SendError::Closed(1)))));
    assert!(matches!(poll(calm.as_mut()), Poll::Ready(Err(SendError::Closed(2)))));
    assert!(matches!(poll(dropped.as_mut()), Poll::Ready(Err(_))));
    assert_eq!(m.audit().unwrap().lost(), 0);
}

/// Clause 17.6: the end of a reader is told, though its own waker panics in its drop, and though what ended it does.
#[test]
fn a_rude_waker_or_reason_keeps_no_monitor_from_hearing_of_an_end() {
    let (m, a, mut r) = with_room::<u32>(1);
    let told = heard(&a, Watch::Mailbox);
    assert!(polled(pin!(std::future::poll_fn(|cx| r.poll_receive(cx))), Arc::new(Drops)).is_pending());
    drop(r);
    drop(m.receiver().unwrap());
    m.destroy(rude_reason());
    assert_eq!(told.lock().unwrap().len(), 4, "{told:?}");
    let told = told.lock().unwrap().drain(..).collect::<Vec<_>>();
    // The test's own copies are rude as well.
    for event in told {
        restante_core::drop_quietly(event);
    }
    restante_core::drop_quietly(a);
}

/// Clause 17.6: events hold reasons of the user's; one that is rude in its drop does not end the telling of the next.
#[test]
fn an_event_that_panics_in_its_drop_does_not_end_the_telling() {
    let handle = Handle::first(Arc::new(MailCell::<u32, Parked>::plain(Some(4), word::LEASED, Parked)));
    let count = Arc::new(AtomicUsize::new(0));
    let c = Arc::clone(&count);
    handle.cell().monitor(
        Watch::Mailbox,
        Box::new(move |event| {
            c.fetch_add(1, SeqCst);
            restante_core::drop_quietly(event);
        }),
    );
    for incarnation in 1..4 {
        let permit = RunGuard::enter(handle.cell()).unwrap();
        let exit = Exit::new(rude_reason(), Phase::Idle, None, incarnation);
        handle.cell().end_lease(permit, Some(exit), false);
        handle.cell().lease().unwrap();
    }
    assert_eq!(count.load(SeqCst), 6, "three ends, three beginnings");
}

struct Side(usize, Arc<AtomicUsize>);
impl Linked for Side {
    fn link_id(&self) -> usize {
        self.0
    }
    fn exit_signal(&self, _: usize, _: &ExitReason) {
        self.1.fetch_add(1, SeqCst);
        assert_ne!(self.0, 1, "a rude link");
    }
    fn add_link(&self, _: Arc<dyn Linked>, _: usize) {}
    fn remove_link(&self, _: usize) {}
}
impl Drop for Side {
    fn drop(&mut self) {
        assert_ne!(self.0, 2, "a rude drop of a link");
    }
}

/// Clause 17.6: each link hears of an end, and the monitors after them, whatever one of them does.
#[test]
fn a_link_that_panics_keeps_no_other_from_hearing() {
    for renewed in [false, true] {
        let cell = Arc::new(MailCell::<u32, Parked>::plain(Some(4), word::LEASED, Parked));
        let handle = Handle::first(cell);
        let signals = Arc::new(AtomicUsize::new(0));
        for id in 1..=4 {
            handle.cell().add_link(id, Arc::new(Side(id, Arc::clone(&signals))));
            // A second time: dropped, and not under the lock.
            handle.cell().add_link(id, Arc::new(Side(id, Arc::clone(&signals))));
        }
        let downs = Arc::new(AtomicUsize::new(0));
        let d = Arc::clone(&downs);
        handle.cell().monitor(Watch::Incarnation, Box::new(move |_| assert_eq!(d.fetch_add(1, SeqCst), 0)));
        let mut permit = RunGuard::enter(handle.cell()).unwrap();
        let exit = Exit::new(ExitReason::Killed, Phase::Idle, None, 1);
        if renewed {
            let (cell, own) = permit.split();
            assert_eq!(cell.renew_lease(own, exit), Ok(2));
        } else {
            handle.cell().end_lease(permit, Some(exit), false);
        }
        assert_eq!((signals.load(SeqCst), downs.load(SeqCst)), (4, 1), "renewed: {renewed}");
    }
}

struct First(Arc<AtomicUsize>);
impl OnClose for First {
    fn on_close(&self, _: &ExitReason) {
        self.0.fetch_add(1, SeqCst);
        panic!("a rude registry")
    }
}

/// Clause 14.3: who asked to be told first may panic: the others are told.
#[test]
fn one_that_is_told_first_and_panics_keeps_nobody_from_hearing() {
    let (m, a, _r) = with_room(1);
    a.try_send(0).unwrap();
    let first = Arc::<AtomicUsize>::default();
    let all: Vec<Arc<dyn OnClose>> = (0..2).map(|_| Arc::new(First(Arc::clone(&first))) as _).collect();
    for one in &all {
        assert!(a.tell_first(Arc::downgrade(one) as Weak<dyn OnClose>));
    }
    let mut sending = Box::pin(a.send(1));
    assert!(poll(sending.as_mut()).is_pending());
    m.close();
    assert!(poll(sending.as_mut()).is_ready());
    assert_eq!(first.load(SeqCst), 2);
}

/// Clauses 1.5, 17.6: a message that was accepted is accepted, whatever the waker of its reader does.
#[test]
fn a_send_is_accepted_though_the_readers_waker_panics() {
    let (_m, a, mut r) = with_room(4);
    let options =
        [SendOptions::new(), SendOptions::new().lane(Lane::High), SendOptions::new().lane(Lane::Control)];
    for (n, options) in options.into_iter().enumerate() {
        let waiting = polled(pin!(std::future::poll_fn(|cx| r.poll_receive(cx))), Arc::new(Wakes));
        assert!(waiting.is_pending());
        a.try_send_with(n, options).unwrap();
        assert_eq!(r.try_receive(), Ok(n));
    }
    let waiting = polled(pin!(std::future::poll_fn(|cx| r.poll_receive(cx))), Arc::new(Wakes));
    assert!(waiting.is_pending());
    a.try_send(9).unwrap();
    assert_eq!((drain(&mut r), r.audit().lost()), (vec![9], 0));
}

/// Clauses 3.4, 17.6: a waiting send that goes away gives its slot to the next, though its waker panics in its drop; and a waker that
/// is not needed any more takes no slot with it.
#[test]
fn a_waker_that_panics_in_its_drop_takes_no_slot_with_it() {
    let (_m, a, mut r) = opened(Mailbox::settings().capacity(4).weight_limit(10, |w: &u32| *w));
    a.try_send(6).unwrap();
    let mut heavy = Box::pin(a.send(9));
    let mut light = Box::pin(a.send(3));
    let counts = Arc::<Counts>::default();
    assert!(polled(heavy.as_mut(), Arc::new(Drops)).is_pending());
    assert!(polled(light.as_mut(), Arc::clone(&counts)).is_pending());
    drop(heavy);
    assert_eq!(counts.0.load(SeqCst), 1);
    assert!(poll(light.as_mut()).is_ready());
    assert_eq!(drain(&mut r), [6, 3]);

    // Polled by another task: the first one's waker goes.
    (0..4).for_each(|_| a.try_send(1).unwrap());
    let mut moved = Box::pin(a.send(2));
    assert!(polled(moved.as_mut(), Arc::new(Drops)).is_pending());
    assert!(polled(moved.as_mut(), Arc::clone(&counts)).is_pending());
    assert_eq!(r.try_receive(), Ok(1));
    assert_eq!(counts.0.load(SeqCst), 2);
    assert!(poll(moved.as_mut()).is_ready());
    assert_eq!(drain(&mut r), [1, 1, 1, 2]);

    // There is room at once: the waker that was cloned in vain goes.
    let mut reserving = Box::pin(a.reserve());
    let waker = Waker::from(Arc::new(Drops));
    let Poll::Ready(Ok(permit)) = reserving.as_mut().poll(&mut Context::from_waker(&waker)) else {
        panic!("there is room")
    };
    std::mem::forget(waker);
    drop(permit);
    drop(reserving);
    (0..4).for_each(|_| a.try_send(1).unwrap());
}

/// Clause 4.4: a purge goes through with what it has begun, and serves who waits, whatever the purged messages do.
#[test]
fn messages_that_panic_in_their_drop_are_purged_one_by_one() {
    let (_m, a, mut r) = with_room::<Option<Drops>>(3);
    (0..3).for_each(|_| a.try_send(Some(Drops)).unwrap());
    let mut sending = Box::pin(a.send(None));
    assert!(poll(sending.as_mut()).is_pending());
    assert_eq!(r.purge(|_| true), 3);
    assert!(poll(sending.as_mut()).is_ready());
    let ledger = r.audit();
    assert_eq!((ledger.purged, ledger.queued, ledger.lost()), (3, 1, 0));
}

/// Clause 17.6: a measure that panics goes on to its sender, and takes neither slot nor process with it where the message is rude as well.
#[test]
fn a_measure_and_a_message_may_both_panic() {
    let (_m, a, _r) = opened(Mailbox::settings().capacity(1).weight_limit(5, |_: &Drops| panic!("weighed")));
    assert!(catch_unwind(AssertUnwindSafe(|| a.try_send(Drops))).is_err());
    let permit = a.try_reserve().unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| permit.send(Drops))).is_err());
    let permit = a.try_reserve().unwrap();
    drop(permit);
    assert_eq!(a.audit().unwrap().sent, 0);
}

/// The last address may be dropped anywhere, on an unwinding stack as well: what its mailbox was made with goes in silence.
#[test]
fn the_last_memory_of_a_mailbox_goes_without_a_panic() {
    struct Taker(#[allow(dead_code, reason = "for its drop")] Drops);
    impl<T: Send + 'static> restante_core::Accept<T> for Taker {
        fn accept(&self, message: T, _: SendOptions) -> Result<(), SendError<T>> {
            Err(SendError::Full(message))
        }
        fn is_closed(&self) -> bool {
            false
        }
    }
    let rude = Drops;
    let weigh = move |_: &u32| {
        let _ = &rude;
        1
    };
    let settings = Mailbox::settings().weight_limit(9, weigh).dead_letters(Recipient::new(Taker(Drops)));
    let mailbox = Mailbox::with(settings).unwrap();
    mailbox.address().try_send(1).unwrap();
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _last = mailbox;
        panic!("a panic on whose way the mailbox lies");
    }));
    let payload = unwound.unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"a panic on whose way the mailbox lies"));
}

/// Rule 9 of `word`: what unwinds while RUN is held as a permit leaves a mailbox that is read on and wakes its reader.
#[test]
fn run_that_an_unwinding_stack_carries_away_is_given_up() {
    let handle = Handle::first(Arc::new(MailCell::<u32, Parked>::plain(Some(4), word::LEASED, Parked)));
    handle.cell().push(1).unwrap();
    let looked =
        catch_unwind(AssertUnwindSafe(|| handle.cell().look_over(9, |_, _, _| panic!("a rude look"))));
    assert!(looked.is_err());
    assert_eq!(handle.cell().audit().map(|ledger| ledger.queued), Some(1), "RUN is free");
    let mut permit = RunGuard::enter(handle.cell()).unwrap();
    handle.cell().push(2).unwrap();
    let dropped = catch_unwind(AssertUnwindSafe(move || {
        let (cell, own) = permit.split();
        assert_eq!(cell.take(own), Some(1));
        panic!("a reader that breaks off in the middle of a batch");
    }));
    assert!(dropped.is_err());
    assert_ne!(handle.cell().word().bits() & word::SCHED, 0, "what is left wakes the next reader");
    let mut permit = RunGuard::enter(handle.cell()).expect("RUN is free");
    let (cell, own) = permit.split();
    assert_eq!(cell.take(own), Some(2));
}

/// Clause 15.5: an address may go with a thread's locals, when the thread has little left to tell a panic with.
#[test]
fn an_address_among_a_threads_locals_goes_quietly() {
    thread_local! {
        static HELD: std::cell::RefCell<Vec<Address<Drops>>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let (done, was_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let m = Mailbox::new();
        m.address().try_send(Drops).unwrap();
        m.address().monitor(Watch::Mailbox, move |event| done.send(event).unwrap());
        HELD.with_borrow_mut(|held| held.push(m.address()));
        // What a caught panic's place is noted in is made after that, and goes before it.
        restante_core::install_panic_hook();
        restante_core::drop_quietly(Drops);
    })
    .join()
    .unwrap();
    assert_eq!(was_done.recv(), Ok(Event::Closed(ExitReason::Normal)));
}

/// Row H6: of those who wait until the clean-ups are done one has a waker that panics; the others are woken.
#[tokio::test]
async fn a_waker_that_panics_keeps_nobody_from_hearing_that_the_clean_ups_are_done() {
    let reaper = Reaper::new(tokio::runtime::Handle::current());
    let (done, told) = tokio::sync::oneshot::channel::<()>();
    reaper.hand_over(async { drop(told.await) });
    let (mut rude, mut calm) = (Box::pin(reaper.drain(Duration::MAX)), Box::pin(reaper.drain(Duration::MAX)));
    let counts = Arc::<Counts>::default();
    assert!(polled(rude.as_mut(), Arc::new(Wakes)).is_pending());
    assert!(polled(calm.as_mut(), Arc::clone(&counts)).is_pending());
    drop(done);
    while reaper.pending() > 0 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    assert_eq!(counts.0.load(SeqCst), 1);
    assert_eq!((calm.await, rude.await), (0, 0));
}
