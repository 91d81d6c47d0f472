//! Sending, and every way in which it is refused.

use crate::{drain, opened, with_room};
use restante_core::cell::{MailCell, Parked};
use restante_core::word::{self, RunGuard};
use restante_core::{Closed, Fate, Lane, Mailbox, Overflow, SendError, SendOptions, SettingsError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Row D1, clause 2.1: in order, with senders that wait for room.
#[tokio::test]
async fn messages_arrive_in_the_order_in_which_they_were_sent() {
    let (_m, a, mut r) = with_room(4);
    let sender = tokio::spawn(async move {
        for i in 0..1000 {
            a.send(i).await.unwrap();
        }
    });
    for i in 0..1000 {
        assert_eq!(r.receive().await, Ok(i));
    }
    sender.await.unwrap();
    assert_eq!(r.audit().lost(), 0);
}

/// Row D4, clause 1.5: whatever is refused comes back, and says why.
#[tokio::test(start_paused = true)]
async fn every_refusal_is_its_own_variant_and_gives_the_message_back() {
    let (m, a, _r) = with_room(1);
    a.try_send(String::from("first")).unwrap();
    let full = a.try_send("full".into()).unwrap_err();
    assert!(matches!(&full, SendError::Full(m) if m == "full"));
    assert!(full.is_temporary());
    let expired = a.try_send_with("old".into(), SendOptions::new().ttl(Duration::ZERO)).unwrap_err();
    assert!(matches!(&expired, SendError::Expired(m) if m == "old"));
    let late = a.send_timeout("late".into(), Duration::from_millis(1)).await.unwrap_err();
    assert!(matches!(&late, SendError::Timeout(m) if m == "late"));
    let here = a.send_blocking("here".into(), Duration::from_secs(1)).unwrap_err();
    assert!(matches!(&here, SendError::WouldBlock(m) if m == "here"));
    m.close();
    let closed = a.send("closed".into()).await.unwrap_err();
    assert!(matches!(&closed, SendError::Closed(m) if m == "closed"));
    assert!(!closed.is_temporary());
    assert_eq!(closed.map(|m| m.len()).into_message(), 6);

    let (_m, a, _r) = opened::<&str>(Mailbox::settings().weight_limit(10, |_| 1));
    let heavy = a.try_send_with("heavy", SendOptions::new().weight(11)).unwrap_err();
    assert!(matches!(heavy, SendError::TooHeavy { message: "heavy", weight: 11, limit: 10 }));

    let (_m, a, _r) = opened::<&str>(Mailbox::settings().rate_limit(1, Duration::from_secs(1)));
    a.try_send("one").unwrap();
    let limited = a.try_send("two").unwrap_err();
    assert!(
        matches!(limited, SendError::RateLimited { message: "two", retry_after } if retry_after == Duration::from_secs(1))
    );

    let (_m, a, _r) = opened::<&str>(Mailbox::settings().capacity(1).overflow(Overflow::shed_oldest()));
    a.try_send_with("high", SendOptions::new().lane(Lane::High)).unwrap();
    assert!(matches!(a.try_send("normal").unwrap_err(), SendError::Shed("normal")));
}

/// Row B1: capacity is set at creation; what makes no mailbox is refused by name.
#[test]
fn settings_that_make_no_mailbox_are_refused() {
    let with = |s| Mailbox::<u32>::with(s).map(drop);
    assert_eq!(with(Mailbox::settings().capacity(0)), Err(SettingsError::ZeroCapacity));
    assert_eq!(with(Mailbox::settings().weight_limit(0, |_| 1)), Err(SettingsError::ZeroWeight));
    assert_eq!(with(Mailbox::settings().rate_limit(0, Duration::MAX)), Err(SettingsError::ZeroRate));
    assert_eq!(with(Mailbox::settings().rate_limit(1, Duration::ZERO)), Err(SettingsError::ZeroRate));
}

/// Clause 4.1.
#[tokio::test(start_paused = true)]
async fn time_to_live_from_zero_to_for_ever() {
    let (_m, a, mut r) = with_room(8);
    let send = |m, o: SendOptions| a.try_send_with(m, o);
    let now = Instant::now();
    assert!(matches!(send(1, SendOptions::new().ttl(Duration::ZERO)), Err(SendError::Expired(1))));
    assert!(matches!(send(2, SendOptions::new().deadline(now)), Err(SendError::Expired(2))));
    send(3, SendOptions::new().ttl(Duration::MAX)).unwrap();
    send(4, SendOptions::new().ttl(Duration::from_secs(1))).unwrap();
    send(5, SendOptions::new().ttl(Duration::MAX).deadline(now + Duration::from_secs(1))).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(matches!(send(6, SendOptions::new().deadline(now)), Err(SendError::Expired(6))));
    assert_eq!(drain(&mut r), [3]);
    let ledger = r.audit();
    assert_eq!((ledger.sent, ledger.handled, ledger.expired, ledger.lost()), (3, 1, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_limit_on_waiting_from_zero_to_for_ever() {
    let (_m, a, mut r) = with_room(1);
    a.send_timeout(1, Duration::ZERO).await.unwrap();
    let began = Instant::now();
    assert!(matches!(a.send_timeout(2, Duration::ZERO).await, Err(SendError::Timeout(2))));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(matches!(a.send_timeout(2, Duration::from_secs(3)).await, Err(SendError::Timeout(2))));
    assert_eq!(began.elapsed().as_secs(), 3);
    assert_eq!(a.stats().waiting_senders, 0);
    let b = a.clone();
    let for_ever = tokio::spawn(async move { b.send_timeout(3, Duration::MAX).await });
    tokio::time::advance(Duration::from_secs(1_000_000)).await;
    assert_eq!(r.receive().await, Ok(1));
    for_ever.await.unwrap().unwrap();
    assert_eq!(r.receive().await, Ok(3));
}

/// Clause 3.1.
#[tokio::test]
async fn a_permit_cannot_be_refused_as_full() {
    let (m, a, mut r) = with_room(1);
    let permit = a.try_reserve().unwrap();
    assert!(matches!(a.try_send(1), Err(SendError::Full(1))));
    assert!(matches!(a.try_reserve(), Err(SendError::Full(()))));
    permit.send(2).unwrap();
    assert_eq!(r.receive().await, Ok(2));
    drop(a.reserve().await.unwrap());
    a.try_send(3).unwrap();
    assert_eq!(r.receive().await, Ok(3));
    let late = a.reserve().await.unwrap();
    m.close();
    assert!(matches!(late.send(4), Err(SendError::Closed(4))));
    assert_eq!(a.reserve().await.map(drop), Err(Closed));
}

/// Row B1, clause 1.2: the mailbox's id is a UUID, version 7, always the same.
#[test]
fn a_mailbox_has_one_uuid() {
    let m = Mailbox::<u8>::new();
    assert_eq!(m.id().get_version_num(), 7);
    assert_eq!(m.id(), m.address().id());
    assert_ne!(m.id(), Mailbox::<u8>::new().id());
    assert!(m.address().same_mailbox(&m.address()) && !m.address().same_mailbox(&Mailbox::new().address()));
}

/// Clauses 17.2, 17.3, failure mode 30: looking counts what lies there without a reader's help.
#[test]
fn stats_tell_depth_and_counters() {
    let (m, a, mut r) = opened(Mailbox::settings().capacity(8).weight_limit(100, |w: &u32| *w));
    for w in [10, 20, 30] {
        a.try_send(w).unwrap();
    }
    r.try_receive().unwrap();
    let stats = m.stats();
    assert_eq!((stats.depth, stats.weight, stats.capacity), (2, 50, Some(8)));
    assert_eq!((stats.ledger.sent, stats.ledger.handled, stats.ledger.queued), (3, 1, 2));
    assert!(stats.oldest_age.is_some());
    drain(&mut r);
    assert_eq!((m.stats().depth, m.stats().oldest_age), (0, None));
}

/// Clause 3.1: 1024 unless set, exactly; by settings and without.
#[test]
fn unless_set_a_mailbox_holds_1024_messages() {
    let named = Mailbox::with(Mailbox::settings().name("named")).unwrap();
    for m in [Mailbox::new(), named] {
        let a = m.address();
        assert_eq!(m.stats().capacity, Some(1024));
        (0..1024).for_each(|i| a.try_send(i).unwrap());
        assert!(matches!(a.try_send(1024), Err(SendError::Full(1024))));
    }
}

/// Clause 17.1: the oracle sees a message that has gone another way than those that are counted, and one that is counted and
/// was never there.
#[test]
fn a_message_that_is_not_accounted_for_shows() {
    let cell = Arc::new(MailCell::<u32, Parked>::plain(Some(4), word::LEASED, Parked));
    (0..3).for_each(|i| cell.push(i).unwrap());
    assert_eq!(cell.audit().unwrap().lost(), 0);
    let mut permit = RunGuard::enter(&cell).unwrap();
    let (c, own) = permit.split();
    c.take(own).unwrap();
    assert_eq!(c.audit_as_reader(own).lost(), 1, "taken, and neither in hand nor handled");
    own.in_hand = true;
    assert_eq!(c.audit_as_reader(own).lost(), 0);
    own.in_hand = false;
    c.handled();
    assert_eq!(c.audit_as_reader(own).lost(), 0);
    c.count(Fate::Failed, 2);
    assert_eq!(c.audit_as_reader(own).lost(), -2);
    MailCell::leave_by(permit, word::DATA);
    assert_eq!(cell.audit().unwrap().lost(), -2);
}
