//! Models of reply slots: every interleaving (with at most two preemptions) of the few threads that can meet at one.
//!
//! Run them with
//!
//! ```text
//! RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 cargo test --release -p restante-genserver --lib loom
//! ```
//!
//! and a target directory of their own (`CARGO_TARGET_DIR=target/loom`), or with `cargo xtask loom`.
//!
//! Each schedule has a slot of its own, which no pool knows of: `release` only turns the generation, so that the
//! generation says how often the slot was returned. What the values and wakers count lies in standard atomics, which
//! are no part of what is modelled.

use super::pool::make;
use super::wait::pair_in;
use super::word::{CALLER_DONE, FLAGS, GENERATION, LOCK, SERVER_DONE, WAKER};
use super::{Dead, Outcome, Seen, SlotPtr, Wait};
use crate::reply::Reply;
use crate::waits::Waits;
use loom::future::block_on;
use loom::sync::atomic::AtomicBool;
use loom::thread;
use restante_core::ExitReason;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

/// Threads that spin for a lock take many steps.
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    builder.check(f);
}

/// Counts its drops.
#[derive(Debug)]
struct Value(Arc<AtomicUsize>);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// As `Value`, but too big for a slot.
#[derive(Debug)]
struct Big([u64; 8], Value);

#[derive(Debug, Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn wakes() -> (Arc<Wakes>, Waker) {
    let wakes = Arc::new(Wakes::default());
    (Arc::clone(&wakes), Waker::from(wakes))
}

fn poll<T: Send>(wait: &mut Wait<T>, waker: &Waker) -> Poll<Outcome<T>> {
    wait.poll(&mut Context::from_waker(waker))
}

fn pair<T: Send>() -> (SlotPtr, Reply<T>, Wait<T>) {
    pair_at(make())
}

fn pair_at<T: Send>(slot: SlotPtr) -> (SlotPtr, Reply<T>, Wait<T>) {
    let (slot, wait) = pair_in(slot);
    (slot, Reply::new(slot), wait)
}

/// Every thread is done: the slot has been returned so many times, holds no waker, and has no flag left.
fn returned(slot: SlotPtr, times: u64) {
    let word = slot.0.word.load(SeqCst);
    assert_eq!(word / GENERATION, times, "returned so often");
    assert_eq!(word & FLAGS, 0, "clean");
    #[expect(unsafe_code, reason = "nobody else is left")]
    // SAFETY: every thread of the model has been joined.
    let waker = slot.0.waker.with(|w| unsafe { (*w).is_some() });
    assert!(!waker, "a waker was left behind");
}

/// A slot whose caller waits.
fn waiting<T: Send>() -> (SlotPtr, Reply<T>, Wait<T>, Arc<Wakes>) {
    let (slot, reply, mut wait) = pair::<T>();
    wait.watch(1, 0);
    let (count, waker) = wakes();
    assert!(poll(&mut wait, &waker).is_pending());
    (slot, reply, wait, count)
}

/// Ends all waits of sweep 1 that began at epoch 0.
fn sweep_late(slot: SlotPtr) -> bool {
    slot.look(1, 30, 20) == Seen::Waits
}

/// What a call does when it has gone pending (`Rt::watch_over`, but for the arming): its entry is in the list.
///
/// Loom takes sequentially consistent accesses for acquire and release ones, so the fence stands here for what the real
/// code has in its exchange.
fn enter(wait: &Wait<u64>, list: &Waits) {
    loom::sync::atomic::fence(SeqCst);
    if let Some(entry) = wait.entry() {
        list.push(entry);
    }
}

/// Row H6: reply × caller polls. The caller, who sleeps where it must, hears of the answer.
#[test]
fn loom_an_answer_wakes_its_caller() {
    model(|| {
        let (slot, reply, mut wait) = pair::<u64>();
        let server = thread::spawn(move || assert!(reply.send(7)));
        let outcome = block_on(poll_fn(|cx| wait.poll(cx)));
        assert!(matches!(outcome, Outcome::Value(7)));
        drop(wait);
        server.join().unwrap();
        returned(slot, 1);
    });
}

/// Row H6: reply × caller polls. A published waker is woken once, an unpublished one never.
#[test]
fn loom_an_answer_wakes_once() {
    model(|| {
        let (slot, reply, mut wait) = pair::<u64>();
        let server = thread::spawn(move || assert!(reply.send(7)));
        let (count, waker) = wakes();
        let first = poll(&mut wait, &waker);
        server.join().unwrap();
        match first {
            Poll::Ready(outcome) => {
                assert!(matches!(outcome, Outcome::Value(7)));
                assert_eq!(count.count(), 0);
            }
            Poll::Pending => {
                assert_eq!(count.count(), 1);
                assert!(matches!(wait.try_take(), Some(Outcome::Value(7))));
            }
        }
        drop(wait);
        returned(slot, 1);
        drop(waker);
        assert_eq!(Arc::strong_count(&count), 1, "no waker leaks");
    });
}

/// Row H6: reply × caller gone. The value is dropped once, whichever side has it; the slot is returned once.
#[test]
fn loom_an_answer_and_the_caller_gone() {
    model(|| {
        let (slot, reply, wait, count) = waiting::<Value>();
        let dropped = Arc::new(AtomicUsize::new(0));
        let value = Value(Arc::clone(&dropped));
        let server = thread::spawn(move || reply.send(value));
        drop(wait);
        let delivered = server.join().unwrap();
        assert_eq!(dropped.load(SeqCst), 1);
        assert!(count.count() <= usize::from(delivered), "who has gone is not woken");
        returned(slot, 1);
        assert_eq!(Arc::strong_count(&count), 1, "no waker leaks");
    });
}

/// Reply × a caller who never waited: the value is dropped once; the slot is returned once.
#[test]
fn loom_an_answer_and_a_caller_who_never_polled() {
    model(|| {
        let (slot, reply, wait) = pair::<Value>();
        let dropped = Arc::new(AtomicUsize::new(0));
        let value = Value(Arc::clone(&dropped));
        let server = thread::spawn(move || reply.send(value));
        drop(wait);
        server.join().unwrap();
        assert_eq!(dropped.load(SeqCst), 1);
        returned(slot, 1);
    });
}

/// Reply with a value in an allocation of its own × a caller who takes it.
#[test]
fn loom_a_value_too_big_for_the_slot_comes_whole() {
    model(|| {
        let (slot, reply, mut wait) = pair::<Big>();
        let dropped = Arc::new(AtomicUsize::new(0));
        let value = Big([3; 8], Value(Arc::clone(&dropped)));
        let server = thread::spawn(move || assert!(reply.send(value)));
        match block_on(poll_fn(|cx| wait.poll(cx))) {
            Outcome::Value(Big(words, value)) => {
                assert_eq!(words, [3; 8]);
                assert_eq!(dropped.load(SeqCst), 0);
                drop(value);
            }
            other => panic!("{other:?}"),
        }
        drop(wait);
        server.join().unwrap();
        assert_eq!(dropped.load(SeqCst), 1);
        returned(slot, 1);
    });
}

/// Reply with a value in an allocation of its own × a caller who goes.
#[test]
fn loom_a_value_too_big_for_the_slot_and_the_caller_gone() {
    model(|| {
        let (slot, reply, wait, _) = waiting::<Big>();
        let dropped = Arc::new(AtomicUsize::new(0));
        let value = Big([3; 8], Value(Arc::clone(&dropped)));
        let server = thread::spawn(move || reply.send(value));
        drop(wait);
        server.join().unwrap();
        assert_eq!(dropped.load(SeqCst), 1);
        returned(slot, 1);
    });
}

/// A reply that is dropped tells a caller who sleeps.
#[test]
fn loom_a_dropped_reply_wakes_its_caller() {
    model(|| {
        let (slot, reply, mut wait) = pair::<u64>();
        let server = thread::spawn(move || drop(reply));
        let outcome = block_on(poll_fn(|cx| wait.poll(cx)));
        assert!(matches!(outcome, Outcome::Failed(None)));
        drop(wait);
        server.join().unwrap();
        returned(slot, 1);
    });
}

/// An error whose drops are counted.
#[derive(Debug, thiserror::Error)]
#[error("counted")]
struct Counted(Value);

fn counted() -> (ExitReason, Arc<AtomicUsize>) {
    let dropped = Arc::new(AtomicUsize::new(0));
    (ExitReason::from(Counted(Value(Arc::clone(&dropped)))), dropped)
}

/// A failure × the caller gone: the reason is dropped once.
#[test]
fn loom_a_failure_and_the_caller_gone() {
    model(|| {
        let (slot, reply, wait, _) = waiting::<u64>();
        std::mem::forget(reply);
        let (reason, dropped) = counted();
        let server = thread::spawn(move || slot.fail(Some(reason)));
        drop(wait);
        server.join().unwrap();
        assert_eq!(dropped.load(SeqCst), 1);
        returned(slot, 1);
    });
}

/// The message is found dead while its reply exists, then the reply goes: × the caller gone.
#[test]
fn loom_an_early_failure_and_the_caller_gone() {
    model(|| {
        let (slot, reply, wait, count) = waiting::<u64>();
        let tag = slot.tag();
        let server = thread::spawn(move || {
            tag.kill(Dead::Ended);
            drop(reply);
        });
        drop(wait);
        server.join().unwrap();
        assert!(count.count() <= 1);
        returned(slot, 1);
        assert_eq!(Arc::strong_count(&count), 1, "no waker leaks");
    });
}

/// The message is found dead while its reply exists × a caller who waits: it hears the first reason, once; the reply that
/// follows (dropped, or even sent) changes nothing.
#[test]
fn loom_an_early_failure_is_the_one_heard() {
    for sent in [false, true] {
        model(move || {
            let (slot, reply, mut wait) = pair::<u64>();
            let server = thread::spawn(move || {
                slot.tag().kill(Dead::Ended);
                if sent {
                    assert!(!reply.send(1), "late");
                } else {
                    drop(reply);
                }
            });
            let outcome = block_on(poll_fn(|cx| wait.poll(cx)));
            assert!(matches!(outcome, Outcome::Dead(Dead::Ended)));
            drop(wait);
            server.join().unwrap();
            returned(slot, 1);
        });
    }
}

/// A stale tag × the slot's next use: the tag does nothing there, whichever thread holds it.
#[test]
fn loom_a_stale_tag_does_nothing_to_the_next_use() {
    model(|| {
        let (slot, reply, wait) = pair::<u64>();
        let stale = slot.tag();
        let killer = thread::spawn(move || stale.kill(Dead::Ended));
        // The first to come decides; the kill never writes the value's room.
        reply.send(1);
        drop(wait);
        killer.join().unwrap();
        assert!(!stale.is_live(), "that use is over");
    });
}

/// The time is over × answer: the caller has exactly one of the two, and the server knows which.
#[test]
fn loom_expiry_and_answer() {
    model(|| {
        let (slot, reply, mut wait, count) = waiting::<Value>();
        let dropped = Arc::new(AtomicUsize::new(0));
        let value = Value(Arc::clone(&dropped));
        let server = thread::spawn(move || reply.send(value));
        sweep_late(slot);
        let delivered = server.join().unwrap();
        match wait.try_take() {
            Some(Outcome::Value(value)) => {
                assert!(delivered);
                assert_eq!(dropped.load(SeqCst), 0);
                drop(value);
            }
            Some(Outcome::Late) => assert!(!delivered),
            other => panic!("{other:?}"),
        }
        assert_eq!(dropped.load(SeqCst), 1);
        assert_eq!(count.count(), 1, "woken once");
        drop(wait);
        returned(slot, 1);
    });
}

/// The time is over × answer × the caller polls again, under another waker.
#[test]
fn loom_expiry_and_answer_and_another_poll() {
    model(|| {
        let (slot, reply, mut wait, first) = waiting::<u64>();
        let server = thread::spawn(move || reply.send(7));
        let sweep = thread::spawn(move || sweep_late(slot));
        let (second, waker) = wakes();
        let polled = poll(&mut wait, &waker);
        let delivered = server.join().unwrap();
        sweep.join().unwrap();
        let outcome = match polled {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                assert_eq!((first.count(), second.count()), (0, 1), "the waker of the latest poll");
                wait.try_take().expect("woken for something")
            }
        };
        assert_eq!(matches!(outcome, Outcome::Value(7)), delivered);
        assert_eq!(matches!(outcome, Outcome::Late), !delivered);
        drop(wait);
        returned(slot, 1);
    });
}

/// The time is over × the caller gone × the reply dropped.
#[test]
fn loom_expiry_and_the_caller_gone() {
    model(|| {
        let (slot, reply, wait, count) = waiting::<u64>();
        let sweep = thread::spawn(move || sweep_late(slot));
        let server = thread::spawn(move || drop(reply));
        drop(wait);
        sweep.join().unwrap();
        server.join().unwrap();
        assert!(count.count() <= 1);
        returned(slot, 1);
        assert_eq!(Arc::strong_count(&count), 1, "no waker leaks");
    });
}

/// A wait that is not overdue is left alone, and reported.
#[test]
fn loom_a_young_wait_is_seen_and_left() {
    model(|| {
        let (slot, reply, mut wait, count) = waiting::<u64>();
        let sweep = thread::spawn(move || assert!(slot.look(1, 20, 20) == Seen::Waits, "it waits"));
        let (second, waker) = wakes();
        assert!(poll(&mut wait, &waker).is_pending());
        sweep.join().unwrap();
        assert_eq!((count.count(), second.count()), (0, 0));
        assert!(reply.send(1));
        assert_eq!((count.count(), second.count()), (0, 1));
        drop(wait);
        returned(slot, 1);
    });
}

/// Answer × another poll with another waker: the latest is woken.
#[test]
fn loom_the_latest_waker_is_woken() {
    model(|| {
        let (slot, reply, mut wait, first) = waiting::<u64>();
        let server = thread::spawn(move || assert!(reply.send(7)));
        let (second, waker) = wakes();
        let polled = poll(&mut wait, &waker);
        server.join().unwrap();
        match polled {
            // The answer was there, and its wake-up was on its way to the first waker.
            Poll::Ready(outcome) => {
                assert!(matches!(outcome, Outcome::Value(7)));
                assert_eq!((first.count(), second.count()), (1, 0));
            }
            Poll::Pending => {
                assert_eq!((first.count(), second.count()), (0, 1));
                assert!(matches!(wait.try_take(), Some(Outcome::Value(7))));
            }
        }
        drop(wait);
        returned(slot, 1);
        drop(waker);
        assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (1, 1), "no waker leaks");
    });
}

/// A slot is used again while a sweep holds what it saw in the first generation: the second caller is not touched by it.
#[test]
fn loom_a_stale_sweep_does_nothing() {
    model(|| {
        let (slot, reply, mut wait, first) = waiting::<u64>();
        let seen = slot.0.word.load(SeqCst);
        let sweep = thread::spawn(move || slot.expire(seen));
        let delivered = reply.send(1);
        let outcome = wait.try_take();
        drop(wait);
        assert_eq!(matches!(outcome, Some(Outcome::Value(1))), delivered);
        assert_eq!(matches!(outcome, Some(Outcome::Late)), !delivered);
        // Both are done, so the slot is free at once.
        let (_, reply, mut wait) = pair_at::<u64>(slot);
        wait.watch(1, 29);
        let (second, waker) = wakes();
        assert!(poll(&mut wait, &waker).is_pending());
        assert_eq!(sweep.join().unwrap(), !delivered);
        assert_eq!((first.count(), second.count()), (1, 0));
        assert!(reply.send(2));
        assert_eq!(second.count(), 1);
        assert!(matches!(wait.try_take(), Some(Outcome::Value(2))));
        drop(wait);
        returned(slot, 2);
    });
}

/// A slot is used again × the whole of a sweep, which looks at the words itself: a wait that has just begun in a slot that was
/// overdue a moment ago is not ended.
#[test]
fn loom_a_sweep_over_a_slot_in_use_again() {
    model(|| {
        let (slot, reply, wait, _) = waiting::<u64>();
        drop(wait);
        let sweep = thread::spawn(move || {
            sweep_late(slot);
        });
        drop(reply);
        let (_, reply, mut wait) = pair_at::<u64>(slot);
        wait.watch(1, 29);
        let (count, waker) = wakes();
        assert!(poll(&mut wait, &waker).is_pending());
        sweep.join().unwrap();
        assert_eq!(count.count(), 0);
        assert!(reply.send(2));
        assert!(matches!(wait.try_take(), Some(Outcome::Value(2))));
        drop(wait);
        returned(slot, 2);
    });
}

/// Two generations with two servers: the second one begins on a slot whose first server may still be waking.
#[test]
fn loom_a_slot_is_used_again_at_once() {
    model(|| {
        let slot = make();
        let mut servers = Vec::new();
        for n in 1..=2u64 {
            let (_, reply, mut wait) = pair_at::<u64>(slot);
            servers.push(thread::spawn(move || assert!(reply.send(n))));
            match block_on(poll_fn(|cx| wait.poll(cx))) {
                Outcome::Value(m) => assert_eq!(m, n),
                other => panic!("{other:?}"),
            }
        }
        servers.into_iter().for_each(|s| s.join().unwrap());
        returned(slot, 2);
    });
}

/// Arming (`rt`) and the list (`waits`): a caller publishes its wait, sees to its entry and looks whether the sweep is
/// armed; the sweep drops the entry of the slot's last use, disarms itself and looks whether there is an entry. At least one
/// of them sees the other, and the slot has one entry in the end.
#[test]
fn loom_arming_and_the_sweep_going_to_sleep() {
    model(|| {
        let (slot, reply, mut wait) = pair::<u64>();
        let list = Arc::new(Waits::default());
        wait.watch(1, 0);
        enter(&wait, &list);
        let armed = Arc::new(AtomicBool::new(true));
        let sweep = {
            let (armed, list) = (Arc::clone(&armed), Arc::clone(&list));
            thread::spawn(move || {
                // `Rt::run`, from the end of one tick on; true: it goes on.
                list.sweep(1, 1, 20);
                if !list.is_empty() {
                    return true;
                }
                armed.store(false, SeqCst);
                !list.is_empty() && !armed.swap(true, SeqCst)
            })
        };
        wait.watch(1, 0);
        let (_, waker) = wakes();
        assert!(poll(&mut wait, &waker).is_pending());
        enter(&wait, &list);
        // `Rt::arm`; true: spawns another sweep.
        let spawned = !armed.load(SeqCst) && !armed.swap(true, SeqCst);
        let goes_on = sweep.join().unwrap();
        assert!(spawned || goes_on, "nobody watches");
        assert!(!(spawned && goes_on), "two sweeps");
        assert!(armed.load(SeqCst));
        let word = slot.0.word.load(SeqCst);
        assert_eq!(word & (WAKER | LOCK | CALLER_DONE | SERVER_DONE), WAKER);
        list.sweep(1, 2, 20);
        assert_eq!(list.len(), 1, "one entry, and that a valid one");
        drop((reply, wait));
        list.sweep(1, 3, 20);
        assert!(list.is_empty(), "nothing waits any more");
        returned(slot, 1);
    });
}

/// A slot that has waited under one sweep, whose list still has its entry, waits under another × the first sweep: that one
/// drops its entry, ends nothing, and does not take the second one's entry for its own.
#[test]
fn loom_a_slot_goes_to_another_sweep() {
    model(|| {
        let (slot, reply, mut wait) = pair::<u64>();
        let (one, two) = (Arc::new(Waits::default()), Waits::default());
        wait.watch(1, 0);
        enter(&wait, &one);
        let sweep = {
            let one = Arc::clone(&one);
            thread::spawn(move || one.sweep(1, 30, 20))
        };
        wait.watch(2, 5);
        let (count, waker) = wakes();
        assert!(poll(&mut wait, &waker).is_pending());
        enter(&wait, &two);
        sweep.join().unwrap();
        one.sweep(1, 31, 20);
        two.sweep(2, 6, 20);
        assert_eq!((one.len(), two.len(), count.count()), (0, 1, 0));
        assert!(reply.send(7));
        assert!(matches!(wait.try_take(), Some(Outcome::Value(7))));
        drop(wait);
        returned(slot, 1);
    });
}

/// A wait that is published, and young, under one sweep begins anew under another × both sweeps: neither takes the epoch
/// that it has with the other for its own.
#[test]
fn loom_a_wait_that_changes_its_sweep_is_not_late() {
    model(|| {
        let (slot, reply, mut wait, count) = waiting::<u64>();
        let first = thread::spawn(move || slot.look(1, 20, 20));
        let second = thread::spawn(move || slot.look(2, 41, 20));
        wait.watch(2, 40);
        first.join().unwrap();
        second.join().unwrap();
        assert_eq!(count.count(), 0, "it has waited for twenty ticks, and for one");
        assert!(reply.send(7));
        assert!(matches!(wait.try_take(), Some(Outcome::Value(7))));
        drop(wait);
        returned(slot, 1);
    });
}

/// Several claims. Two answer at once: the caller has one of the answers, and only that one's giver believes so.
#[test]
fn loom_two_claims_answer_at_once() {
    model(|| {
        let (slot, one, mut wait, count) = waiting::<Value>();
        let two = one.again();
        let dropped = Arc::new(AtomicUsize::new(0));
        let values = [Value(Arc::clone(&dropped)), Value(Arc::clone(&dropped))];
        let [first, second] = values;
        let other = thread::spawn(move || one.send(first));
        let delivered = two.send(second);
        assert_ne!(delivered, other.join().unwrap());
        assert_eq!((dropped.load(SeqCst), count.count()), (1, 1), "that of the other one; woken once");
        assert!(matches!(wait.try_take(), Some(Outcome::Value(_))));
        drop(wait);
        assert_eq!(dropped.load(SeqCst), 2);
        returned(slot, 1);
    });
}

/// One claim answers × the caller goes, then another answers.
#[test]
fn loom_two_claims_answer_and_the_caller_gone() {
    model(|| {
        let (slot, one, wait, count) = waiting::<Big>();
        let two = one.again();
        let dropped = Arc::new(AtomicUsize::new(0));
        let first = Big([1; 8], Value(Arc::clone(&dropped)));
        let second = Big([2; 8], Value(Arc::clone(&dropped)));
        let server = thread::spawn(move || one.send(first));
        drop(wait);
        assert!(!two.send(second));
        server.join().unwrap();
        assert_eq!(dropped.load(SeqCst), 2);
        returned(slot, 1);
        assert_eq!(Arc::strong_count(&count), 1, "no waker leaks");
    });
}

/// The caller takes its value × the last claim goes: the slot is returned by the second of them.
#[test]
fn loom_a_value_is_taken_while_the_last_claim_goes() {
    model(|| {
        let (slot, one, mut wait) = pair::<u64>();
        let two = one.again();
        let server = thread::spawn(move || {
            assert!(one.send(7));
            drop(two);
        });
        let outcome = block_on(poll_fn(|cx| wait.poll(cx)));
        assert!(matches!(outcome, Outcome::Value(7)));
        drop(wait);
        server.join().unwrap();
        returned(slot, 1);
    });
}

/// Two claims are dropped unanswered: the last one tells, once.
#[test]
fn loom_the_last_claim_to_go_tells() {
    model(|| {
        let (slot, one, mut wait, count) = waiting::<u64>();
        let two = one.again();
        let server = thread::spawn(move || drop(one));
        drop(two);
        server.join().unwrap();
        assert_eq!(count.count(), 1);
        assert!(matches!(wait.try_take(), Some(Outcome::Failed(None))));
        drop(wait);
        returned(slot, 1);
    });
}

/// Two claims are dropped unanswered × the caller polls: it does not hear of the first.
#[test]
fn loom_claims_go_while_their_caller_polls() {
    model(|| {
        let (slot, one, mut wait) = pair::<u64>();
        let two = one.again();
        let server = thread::spawn(move || drop(one));
        let (count, waker) = wakes();
        assert!(poll(&mut wait, &waker).is_pending());
        server.join().unwrap();
        assert_eq!(count.count(), 0);
        drop(two);
        assert_eq!(count.count(), 1);
        assert!(matches!(wait.try_take(), Some(Outcome::Failed(None))));
        drop(wait);
        returned(slot, 1);
    });
}

/// One claim answers while another goes: the caller has the answer, whichever comes first.
#[test]
fn loom_a_claim_goes_while_another_answers() {
    model(|| {
        let (slot, one, mut wait, count) = waiting::<u64>();
        let two = one.again();
        let server = thread::spawn(move || drop(one));
        assert!(two.send(7));
        server.join().unwrap();
        assert_eq!(count.count(), 1);
        assert!(matches!(wait.try_take(), Some(Outcome::Value(7))));
        drop(wait);
        returned(slot, 1);
    });
}

/// A claim is made of one while the other goes: the caller hears of the one that is left.
#[test]
fn loom_a_claim_is_made_while_another_goes() {
    model(|| {
        let (slot, one, mut wait, count) = waiting::<u64>();
        let two = one.again();
        let server = thread::spawn(move || drop(one));
        let three = two.again();
        drop(two);
        assert!(three.send(7));
        server.join().unwrap();
        assert_eq!(count.count(), 1);
        assert!(matches!(wait.try_take(), Some(Outcome::Value(7))));
        drop(wait);
        returned(slot, 1);
    });
}

/// A claim is made × the caller polls again, under another waker: neither change of the word undoes the other.
#[test]
fn loom_a_claim_is_made_while_the_caller_polls() {
    model(|| {
        let (slot, one, mut wait, first) = waiting::<u64>();
        let server = thread::spawn(move || {
            let two = one.again();
            drop(one);
            two
        });
        let (second, waker) = wakes();
        assert!(poll(&mut wait, &waker).is_pending());
        let two = server.join().unwrap();
        assert!(two.send(7));
        assert_eq!((first.count(), second.count()), (0, 1));
        assert!(matches!(wait.try_take(), Some(Outcome::Value(7))));
        drop(wait);
        returned(slot, 1);
    });
}

/// Expiry × one claim's answer, then another one goes.
#[test]
fn loom_expiry_and_two_claims() {
    model(|| {
        let (slot, one, mut wait, count) = waiting::<u64>();
        let two = one.again();
        let server = thread::spawn(move || one.send(7));
        sweep_late(slot);
        drop(two);
        let delivered = server.join().unwrap();
        match wait.try_take() {
            Some(Outcome::Value(7)) => assert!(delivered),
            Some(Outcome::Late) => assert!(!delivered),
            other => panic!("{other:?}"),
        }
        assert_eq!(count.count(), 1, "woken once");
        drop(wait);
        returned(slot, 1);
    });
}

/// A message is given up for a reason × its reply is answered elsewhere: the caller hears one of the two, and the reason, if
/// it is not needed, is dropped.
#[test]
fn loom_a_call_is_given_up_while_it_is_answered() {
    model(|| {
        let (slot, reply, mut wait, count) = waiting::<Value>();
        let dropped = Arc::new(AtomicUsize::new(0));
        let value = Value(Arc::clone(&dropped));
        let (reason, reasons) = counted();
        let tag = slot.tag();
        let server = thread::spawn(move || reply.send(value));
        tag.fail(reason);
        let delivered = server.join().unwrap();
        assert_eq!(count.count(), 1, "woken once");
        let outcome = wait.try_take();
        match &outcome {
            Some(Outcome::Value(_)) => assert!(delivered),
            Some(Outcome::Failed(Some(_))) => assert!(!delivered),
            other => panic!("{other:?}"),
        }
        drop((outcome, wait));
        assert_eq!((dropped.load(SeqCst), reasons.load(SeqCst)), (1, 1));
        returned(slot, 1);
    });
}

/// A message is given up for a reason × the caller gone × the reply dropped.
#[test]
fn loom_a_call_is_given_up_while_its_caller_goes() {
    model(|| {
        let (slot, reply, wait, count) = waiting::<u64>();
        let (reason, reasons) = counted();
        let tag = slot.tag();
        let server = thread::spawn(move || {
            tag.fail(reason);
            drop(reply);
        });
        drop(wait);
        server.join().unwrap();
        assert_eq!(reasons.load(SeqCst), 1);
        assert!(count.count() <= 1);
        returned(slot, 1);
        assert_eq!(Arc::strong_count(&count), 1, "no waker leaks");
    });
}

/// A stale tag × the slot's next use: giving up the old call does nothing to the new one.
#[test]
fn loom_a_stale_tag_gives_up_nothing() {
    model(|| {
        let (slot, reply, wait) = pair::<u64>();
        let stale = slot.tag();
        let (reason, reasons) = counted();
        drop(wait);
        let server = thread::spawn(move || stale.fail(reason));
        drop(reply);
        let (_, reply, mut wait) = pair_at::<u64>(slot);
        let (count, waker) = wakes();
        assert!(poll(&mut wait, &waker).is_pending());
        server.join().unwrap();
        assert_eq!((count.count(), reasons.load(SeqCst)), (0, 1));
        assert!(reply.send(2));
        assert!(matches!(wait.try_take(), Some(Outcome::Value(2))));
        drop(wait);
        returned(slot, 2);
    });
}

/// Row H6: a request that waits without a sweep begins to wait with one × the sweep. It is found, if at all, with the epoch
/// at which that wait began, and so is not late.
#[test]
fn loom_a_wait_that_comes_under_a_sweep_is_not_late() {
    model(|| {
        let (slot, reply, mut wait) = pair::<u64>();
        wait.unwatch(0);
        let (_, waker) = wakes();
        assert!(poll(&mut wait, &waker).is_pending());
        let sweeper = thread::spawn(move || slot.look(1, 40, 20));
        wait.watch(1, 30);
        assert!(poll(&mut wait, &waker).is_pending(), "it has waited for ten ticks");
        sweeper.join().unwrap();
        assert!(reply.send(7));
        assert!(matches!(wait.try_take(), Some(Outcome::Value(7))));
        drop(wait);
        returned(slot, 1);
    });
}
