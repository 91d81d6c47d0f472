//! What happens to a message for which there is no room, and to those that carry a key.

use crate::{drain, opened, with_room};
use restante_core::{Coalesce, DeadCause, Lane, Mailbox, Overflow, SendError, SendOptions};
use std::time::Duration;

fn lane(lane: Lane) -> SendOptions {
    SendOptions::new().lane(lane)
}

/// Row D4, clauses 3.7, 4.5: shed the oldest of the lowest lane, never silently.
#[test]
fn what_is_shed_is_counted_and_dead_lettered() {
    let (_d, dead, mut letters) = with_room(8);
    let settings = Mailbox::settings().capacity(2).overflow(Overflow::shed_oldest());
    let (_m, a, mut r) = opened(settings.dead_letters(dead.recipient()));
    (0..4).for_each(|i| a.try_send(i).unwrap());
    let shed: Vec<_> = drain(&mut letters).into_iter().map(|l| (l.body, l.cause)).collect();
    assert_eq!(shed, [(Some(0), DeadCause::Shed), (Some(1), DeadCause::Shed)]);
    assert_eq!(drain(&mut r), [2, 3]);
    assert_eq!((r.audit().shed, r.audit().lost()), (2, 0));
}

/// Row D4, clause 3.8: what does not fit goes elsewhere and is counted on both sides.
#[test]
fn a_fallback_takes_what_does_not_fit() {
    let (other, b, mut elsewhere) = with_room(1);
    let (m, a, mut r) = opened(Mailbox::settings().capacity(1).overflow(Overflow::fallback(b.recipient())));
    a.try_send(1).unwrap();
    a.try_send(2).unwrap();
    assert!(matches!(a.try_send(3), Err(SendError::Full(3))));
    assert_eq!((drain(&mut r), drain(&mut elsewhere)), (vec![1], vec![2]));
    drop((r, elsewhere));
    let (here, there) = (m.audit().unwrap(), other.audit().unwrap());
    assert_eq!((here.sent, here.handled, here.diverted, here.lost()), (2, 1, 1, 0));
    assert_eq!((there.sent, there.handled, there.lost()), (1, 1, 0));
}

/// Row D4, clause 3.9: rate limit.
#[tokio::test(start_paused = true)]
async fn a_rate_limit_lets_a_burst_pass_and_says_when_to_come_again() {
    let (_m, a, _r) = opened(Mailbox::settings().rate_limit(2, Duration::from_secs(1)));
    a.try_send(1).unwrap();
    a.try_send(2).unwrap();
    let Err(SendError::RateLimited { retry_after, .. }) = a.try_send(3) else { panic!("a third") };
    tokio::time::advance(retry_after).await;
    a.try_send(3).unwrap();
    assert!(a.try_send(4).is_err());
}

#[test]
fn a_rate_beyond_all_time_is_a_rate() {
    let (_m, a, _r) = opened(Mailbox::settings().rate_limit(1, Duration::MAX));
    a.try_send(1).unwrap();
    assert!(matches!(a.try_send(2), Err(SendError::RateLimited { .. })));
}

/// Row D2, clause 4.3: newest wins, in the place of the older one or at the back.
#[test]
fn the_newest_of_a_key_wins() {
    for (place, expected) in [(Coalesce::KeepPlace, [3, 2]), (Coalesce::MoveBack, [2, 3])] {
        let (m, a, mut r) = opened(Mailbox::settings().capacity(2).coalesce(place));
        let keyed = SendOptions::new().key(7_u8);
        a.try_send_with(1, keyed).unwrap();
        a.try_send(2).unwrap();
        a.try_send_with(3, keyed).unwrap();
        assert_eq!(m.stats().depth, 2, "full, and yet a newer one of the same key fits");
        assert_eq!(drain(&mut r), expected);
        assert_eq!((r.audit().coalesced, r.audit().lost()), (1, 0));
    }
}

/// Row D4, clause 3.10: the limit by weight holds for what coalesces too.
#[test]
fn a_heavier_one_of_a_key_does_not_break_the_limit() {
    let (m, a, _r) = opened::<u32>(Mailbox::settings().weight_limit(10, |_| 1));
    let keyed = |w| SendOptions::new().key(7_u8).weight(w);
    a.try_send_with(1, keyed(2)).unwrap();
    a.try_send_with(2, SendOptions::new().weight(5)).unwrap();
    assert!(matches!(a.try_send_with(3, keyed(6)), Err(SendError::Full(3))));
    a.try_send_with(4, keyed(5)).unwrap();
    assert_eq!((m.stats().depth, m.stats().weight), (2, 10));
}

/// Row D2, clause 4.3: one who had to wait coalesces as well.
#[tokio::test]
async fn a_send_that_waited_coalesces_when_its_turn_comes() {
    let (m, a, mut r) = opened(Mailbox::settings().capacity(2).coalesce(Coalesce::KeepPlace));
    let keyed = SendOptions::new().key(7_u8);
    a.try_send(0).unwrap();
    a.try_send(1).unwrap();
    let (mut one, mut two) = (Box::pin(a.send_with(2, keyed)), Box::pin(a.send_with(3, keyed)));
    assert!(crate::poll(one.as_mut()).is_pending() && crate::poll(two.as_mut()).is_pending());
    assert_eq!((r.try_receive(), r.try_receive()), (Ok(0), Ok(1)));
    assert!(crate::poll(one.as_mut()).is_ready() && crate::poll(two.as_mut()).is_ready());
    assert_eq!(m.stats().depth, 1);
    assert_eq!(drain(&mut r), [3]);
    assert_eq!((r.audit().coalesced, r.audit().lost()), (1, 0));
}

/// Row D5, clause 2.2: what did not fit into the reader's small batch is still read before lower lanes.
#[test]
fn small_batches_keep_the_order_of_lanes() {
    let (_m, a, mut r) = opened(Mailbox::settings().capacity(16).coalesce(Coalesce::KeepPlace));
    (0..6).for_each(|i| a.try_send(100 + i).unwrap());
    (0..6).for_each(|i| a.try_send_with(i, lane(Lane::High)).unwrap());
    assert_eq!(drain(&mut r), [0, 1, 2, 3, 4, 5, 100, 101, 102, 103, 104, 105]);
}

/// Row D4: nothing is thrown out for a message that the rate limit keeps out.
#[test]
fn a_message_over_the_rate_sheds_nobody() {
    let settings = Mailbox::settings().capacity(4).overflow(Overflow::shed_oldest());
    let (m, a, _r) = opened(settings.rate_limit(4, Duration::from_secs(60)));
    (0..4).for_each(|i| a.try_send(i).unwrap());
    assert!(matches!(a.try_send(4), Err(SendError::RateLimited { message: 4, .. })));
    assert_eq!((m.stats().depth, m.stats().ledger.shed), (4, 0));
}

/// A measure that panics takes no slot with it.
#[test]
fn a_panicking_measure_gives_the_permits_slot_back() {
    let weigh = |m: &u32| if *m == 9 { panic!("weighed") } else { 1 };
    let (_m, a, _r) = opened(Mailbox::settings().capacity(1).weight_limit(10, weigh));
    let permit = a.try_reserve().unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| permit.send(9)));
    assert!(panicked.is_err());
    a.try_send(1).unwrap();
}

/// Row D4, clause 4.5: a taker of dead letters that panics costs the letter, not the mailbox.
#[test]
fn a_panicking_taker_of_dead_letters_is_survived() {
    struct Rude;
    impl<T: Send + 'static> restante_core::Accept<T> for Rude {
        fn accept(&self, _: T, _: SendOptions) -> Result<(), SendError<T>> {
            panic!("no")
        }
        fn is_closed(&self) -> bool {
            false
        }
    }
    let settings = Mailbox::<u32>::settings().dead_letters(restante_core::Recipient::new(Rude));
    let m = Mailbox::with(settings).unwrap();
    m.address().try_send(1).unwrap();
    assert!(m.close());
    let ledger = m.audit().unwrap();
    assert_eq!((ledger.dead_lettered, ledger.lost()), (1, 0));
}

/// Clause 3.7: what the reader has in its batch is out of reach, and that is at most 32 messages, and a quarter of the capacity.
#[test]
fn shedding_reaches_all_but_a_small_batch() {
    for (capacity, batch) in [(256, 32), (64, 16), (8, 2)] {
        let (_m, a, mut r) = opened(Mailbox::settings().capacity(capacity).overflow(Overflow::shed_oldest()));
        let capacity = u32::try_from(capacity).unwrap();
        (0..capacity).for_each(|i| a.try_send(i).unwrap());
        assert_eq!(r.try_receive(), Ok(0), "the first of a batch");
        (0..2 * capacity).for_each(|i| a.try_send(capacity + i).unwrap());
        let left = drain(&mut r);
        let kept = left.iter().take_while(|m| **m < capacity).count();
        assert_eq!(kept + 1, batch, "of capacity {capacity}");
        assert_eq!(left.len(), capacity as usize, "the newest have come in for the others");
        assert_eq!(r.audit().lost(), 0);
    }
}

/// Clause 3.10: weight that was promised and not used is free again.
#[tokio::test]
async fn a_promise_that_is_not_used_gives_its_weight_back() {
    let (m, a, mut r) = opened(Mailbox::settings().weight_limit(10, |w: &u32| *w));
    for _ in 0..20 {
        drop(a.try_reserve().unwrap());
        a.try_send(10).unwrap();
        let mut waiting = Box::pin(a.send(7));
        assert!(crate::poll(waiting.as_mut()).is_pending());
        assert_eq!(r.try_receive(), Ok(10));
        // Granted; and given up.
        drop(waiting);
        a.try_send(10).unwrap();
        let mut waiting = Box::pin(a.send(8));
        assert!(crate::poll(waiting.as_mut()).is_pending());
        assert_eq!(r.try_receive(), Ok(10));
        assert!(crate::poll(waiting.as_mut()).is_ready(), "granted, and used");
        assert_eq!((r.try_receive(), m.stats().weight), (Ok(8), 0));
    }
}

/// Clause 3.8: a chain of fallbacks ends, so that neither its length nor a ring overflows the sender's stack.
#[test]
fn a_chain_of_fallbacks_ends() {
    let (last, end, mut r) = with_room::<u32>(1);
    let mut chain = vec![last];
    let mut next = end.recipient();
    for _ in 0..10_000 {
        let settings = Mailbox::settings().capacity(1).overflow(Overflow::fallback(next));
        let mailbox = Mailbox::with(settings).unwrap();
        next = mailbox.address().recipient();
        chain.push(mailbox);
    }
    let before = chain.len();
    let (mut taken, mut refused) = (0, 0);
    for message in 0..40 {
        match next.try_send(message) {
            Ok(()) => taken += 1,
            Err(SendError::Full(m)) => refused += u32::from(m == message),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((taken, refused), (17, 23), "as many as the first and sixteen more hold");
    assert_eq!(drain(&mut r), []);
    assert!(chain.iter().all(|m| m.stats().ledger.lost() == 0) && chain.len() == before);
    // Not one in the other's drop.
    chain.into_iter().for_each(std::mem::forget);
    std::mem::forget(next);
}

/// Clause 4.5: dead letters that find no room lead to dead letters of another mailbox; in a ring they end.
#[test]
fn a_ring_of_dead_letters_ends() {
    use restante_core::{Accept, Address, DeadLetter, Recipient};
    use std::sync::{Arc, OnceLock};
    #[derive(Clone, Default)]
    struct Around(Arc<OnceLock<Address<u32>>>);
    impl Accept<DeadLetter<u32>> for Around {
        fn accept(
            &self,
            letter: DeadLetter<u32>,
            options: SendOptions,
        ) -> Result<(), SendError<DeadLetter<u32>>> {
            let Some(body) = letter.body else { return Ok(()) };
            let sent = self.0.get().map_or(Ok(()), |a| a.try_send_with(body, options));
            sent.map_err(|e| e.map(|body| DeadLetter::new(Some(body), letter.name, letter.cause, 0)))
        }
        fn is_closed(&self) -> bool {
            false
        }
    }
    let around = Around::default();
    let settings = Mailbox::settings().capacity(1).overflow(Overflow::shed_oldest());
    let (m, a, r) = opened(settings.dead_letters(Recipient::new(around.clone())));
    around.0.set(a.downgrade().upgrade().unwrap()).unwrap();
    drop(r);
    a.try_send(1).unwrap();
    a.try_send(2).unwrap();
    let ledger = m.audit().unwrap();
    assert_eq!((ledger.queued, ledger.lost()), (1, 0));
    assert_eq!(ledger.shed, 17, "sixteen of them by letters");
}
