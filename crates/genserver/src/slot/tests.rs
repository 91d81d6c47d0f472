//! Claims and the pool, by themselves.

use super::pool::{ALL, FREE, FREE_LEN, locked, make};
use super::wait::pair_in;
use super::word::{CALLER_DONE, CLAIM, CLAIMS, GENERATION, VALUE};
use super::{Outcome, pair};
use crate::reply::Reply;
use restante_core::sync::Ordering;

/// Rule 6: a count that is full stays so: no claim is the last any more, and the generation is not touched. The first
/// answer still arrives.
#[test]
fn a_full_count_of_claims_stays_full() {
    let slot = make();
    let (slot, mut wait) = pair_in::<u64>(slot);
    let reply = Reply::<u64>::new(slot);
    slot.0.word.store(CLAIMS - CLAIM, Ordering::Relaxed);
    let last = reply.again();
    assert_eq!(slot.0.word.load(Ordering::Relaxed), CLAIMS);
    drop(reply.again());
    drop(reply);
    assert_eq!(slot.0.word.load(Ordering::Relaxed), CLAIMS);
    assert!(last.is_awaited() && last.send(7));
    assert!(matches!(wait.try_take(), Some(Outcome::Value(7))));
    drop(wait);
    assert_eq!(slot.0.word.load(Ordering::Relaxed), CLAIMS | VALUE | CALLER_DONE, "it is never used again");
}

/// Gives up `n` calls, whose replies come back.
fn given_up(n: usize) -> Vec<Reply<u64>> {
    (0..n).map(|_| Reply::new(pair::<u64>().0)).collect()
}

/// Issue 13, S5: a thread that has acquired no slot keeps none that it returns.
#[test]
fn a_thread_that_only_returns_slots_keeps_none() {
    let replies = given_up(100);
    std::thread::spawn(move || {
        drop(replies);
        assert!(FREE.get().is_none());
        // From its first call on it has a pool.
        drop(given_up(1));
        assert_eq!(FREE_LEN.get(), 1);
    })
    .join()
    .expect("the thread ends");
}

/// Issue 13, S5: what a thread keeps is handed on at its end, and used by the next: in its last destructors too.
#[test]
fn no_slot_is_lost_with_its_thread() {
    struct Last(std::cell::RefCell<Vec<Reply<u64>>>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.take().into_iter().for_each(|reply| _ = reply.send(1));
            drop(given_up(10));
        }
    }
    thread_local!(static LAST: Last = const { Last(std::cell::RefCell::new(Vec::new())) });
    let before = locked(&ALL).len();
    for round in 0..60 {
        let replies = given_up(1000);
        std::thread::spawn(move || {
            if round % 2 == 0 {
                // Before the thread's own pool, and so dropped after it.
                LAST.with(|last| last.0.borrow_mut().extend(replies));
                drop(given_up(1000));
            } else {
                drop(replies);
            }
        })
        .join()
        .expect("the thread ends");
    }
    let made = locked(&ALL).len() - before;
    assert!(made < 10_000, "{made} slots for what 2000 at a time could do");
}

/// The claims of one use are none of the next: they are counted apart from the generation.
#[test]
fn a_slot_comes_back_without_claims() {
    let slot = make();
    for n in 1..4 {
        let (slot, mut wait) = pair_in::<u64>(slot);
        let one = Reply::<u64>::new(slot);
        let (two, three) = (one.again(), one.again());
        assert!(two.send(n) && !one.send(0));
        assert!(matches!(wait.try_take(), Some(Outcome::Value(m)) if m == n));
        drop(wait);
        assert_eq!(slot.0.word.load(Ordering::Relaxed) / GENERATION, n - 1, "one claim is left");
        drop(three);
        assert_eq!(slot.0.word.load(Ordering::Relaxed), n * GENERATION);
    }
}
