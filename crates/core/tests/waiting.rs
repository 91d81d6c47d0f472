//! Waiting for room: no sender waits while there is some, and no slot is lost.

use crate::{drain, opened, poll, with_room};
use restante_core::{Lane, Mailbox, Overflow, SendError, SendOptions};
use std::pin::pin;
use std::task::Poll;

/// Row D1, clause 3.3: first come, first served.
#[tokio::test]
async fn waiting_senders_are_served_in_order() {
    let (_m, a, mut r) = with_room(1);
    a.try_send(0).unwrap();
    let (mut one, mut two) = (pin!(a.send(1)), pin!(a.send(2)));
    assert!(poll(one.as_mut()).is_pending() && poll(two.as_mut()).is_pending());
    assert_eq!(a.stats().waiting_senders, 2);
    assert!(matches!(a.try_send(9), Err(SendError::Full(9))));
    assert_eq!(r.try_receive(), Ok(0));
    assert!(poll(one.as_mut()).is_ready() && poll(two.as_mut()).is_pending());
    assert_eq!(r.try_receive(), Ok(1));
    assert!(poll(two.as_mut()).is_ready());
    assert_eq!(r.try_receive(), Ok(2));
}

/// Clause 3.3.
#[tokio::test]
async fn a_receiver_that_goes_off_after_one_message_leaves_no_sender_waiting() {
    let (_m, a, mut r) = with_room(4);
    (0..4).for_each(|i| a.try_send(i).unwrap());
    let mut waiting = pin!(a.send(4));
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!(r.try_receive(), Ok(0));
    assert!(
        poll(waiting.as_mut()).is_ready(),
        "a slot is free, and the reader need not come back for the sender"
    );
}

/// Clause 3.4, failure mode 25: a send that is cancelled gives its slot to the next.
#[tokio::test]
async fn a_cancelled_send_gives_its_slot_to_the_next() {
    let (_m, a, mut r) = with_room(1);
    a.try_send(0).unwrap();
    let mut first = Box::pin(a.send(1));
    let mut second = pin!(a.send(2));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    assert_eq!(r.try_receive(), Ok(0));
    // Granted and not taken up.
    drop(first);
    assert!(poll(second.as_mut()).is_ready());
    assert_eq!(drain(&mut r), [2]);
}

/// Clause 2.5: what does not wait may be accepted before an earlier send of the same sender that does.
#[tokio::test]
async fn a_waiting_send_may_be_overtaken_by_one_that_does_not_wait() {
    let (_m, a, mut r) = with_room(2);
    (0..2).for_each(|i| a.try_send(i).unwrap());
    let mut waiting = pin!(a.send(2));
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!((r.try_receive(), r.try_receive()), (Ok(0), Ok(1)));
    a.try_send(3).unwrap();
    assert!(poll(waiting.as_mut()).is_ready(), "it has had its slot since the first was read");
    assert_eq!(drain(&mut r), [3, 2]);
}

#[tokio::test]
async fn one_who_stands_behind_a_heavier_one_gets_in_when_that_goes() {
    let (_m, a, _r) = opened(Mailbox::settings().weight_limit(10, |w: &u32| *w));
    a.try_send(6).unwrap();
    let mut heavy = Box::pin(a.send(9));
    let mut light = pin!(a.send(3));
    assert!(poll(heavy.as_mut()).is_pending());
    assert!(poll(light.as_mut()).is_pending(), "a lighter one does not pass by");
    drop(heavy);
    assert!(poll(light.as_mut()).is_ready());
}

#[tokio::test]
async fn a_permit_used_for_an_order_gives_its_slot_to_the_next() {
    let (_m, a, _r) = with_room(1);
    let permit = a.try_reserve().unwrap();
    let mut waiting = pin!(a.send(1));
    assert!(poll(waiting.as_mut()).is_pending());
    permit.send_with(0, SendOptions::new().lane(Lane::Control)).unwrap();
    assert!(poll(waiting.as_mut()).is_ready());
}

/// Row D4, clause 3.6: where the policy is to reject, no sender waits; those who reserve do.
#[tokio::test]
async fn a_waiting_reservation_makes_no_sender_wait_where_the_policy_is_to_reject() {
    let (_m, a, _r) = opened(Mailbox::settings().capacity(1).overflow(Overflow::reject()));
    a.try_send(0).unwrap();
    let mut reserving = pin!(a.reserve());
    assert!(poll(reserving.as_mut()).is_pending());
    assert!(matches!(poll(pin!(a.send(1))), Poll::Ready(Err(SendError::Full(1)))));
}

/// Clause 3.3.
#[tokio::test]
async fn a_reader_that_ends_leaves_no_sender_waiting_for_room_that_there_is() {
    let (_m, a, mut r) = with_room(8);
    (0..8).for_each(|i| a.try_send(i).unwrap());
    let mut waiting = pin!(a.send(8));
    assert!(poll(waiting.as_mut()).is_pending());
    r.purge(|m| *m == 3);
    drop(r);
    assert!(poll(waiting.as_mut()).is_ready());
}

/// Row B5, clause 14.3: who waits when the mailbox closes gets the message back.
#[tokio::test]
async fn close_sends_the_waiting_away_with_their_messages() {
    let (m, a, _r) = with_room(1);
    a.try_send(String::new()).unwrap();
    let senders: Vec<_> = (0..3)
        .map(|i| {
            let a = a.clone();
            tokio::spawn(async move { a.send(i.to_string()).await })
        })
        .collect();
    let reserving = tokio::spawn({
        let a = a.clone();
        async move { a.reserve().await.map(drop) }
    });
    while a.stats().waiting_senders < 4 {
        tokio::task::yield_now().await;
    }
    m.close();
    for (i, sender) in senders.into_iter().enumerate() {
        assert!(matches!(sender.await.unwrap(), Err(SendError::Closed(m)) if m == i.to_string()));
    }
    assert!(reserving.await.unwrap().is_err());
}

/// Row D1: no permit is lost, nor given back twice: here a foreign waker panics after the slot has been used.
#[test]
fn a_slot_is_used_up_once_though_a_waker_panics() {
    struct Rude;
    impl std::task::Wake for Rude {
        fn wake(self: std::sync::Arc<Self>) {
            panic!("a rude waker");
        }
    }
    let (_m, a, mut rx) = with_room(1);
    a.try_send(1).unwrap();
    let mut sending = Box::pin(a.send(2));
    let noop = std::task::Waker::noop();
    let mut calm = std::task::Context::from_waker(noop);
    assert!(sending.as_mut().poll(&mut calm).is_pending());
    assert_eq!(rx.try_receive(), Ok(1));
    let rude = std::task::Waker::from(std::sync::Arc::new(Rude));
    assert!(rx.poll_receive(&mut std::task::Context::from_waker(&rude)).is_pending());
    assert!(sending.as_mut().poll(&mut calm).is_ready(), "sent, whatever the reader's waker does");
    drop(sending);
    assert_eq!(rx.try_receive(), Ok(2));
    a.try_send(3).unwrap();
    assert!(matches!(a.try_send(4), Err(SendError::Full(4))), "the bound is what it was");
}
