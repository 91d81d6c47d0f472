//! The lease: one reader at a time, and what the next one finds.

use crate::{drain, with_room};
use restante_core::{LeaseError, Mailbox};

/// Clauses 5.1, 5.2, failure mode 8: the queue belongs to the mailbox, not to its reader.
#[tokio::test]
async fn queued_messages_survive_a_crash_in_order() {
    let (m, a, mut r) = with_room(16);
    (0..8).for_each(|i| a.try_send(i).unwrap());
    let crash = tokio::spawn(async move {
        assert_eq!(r.receive().await, Ok(0));
        assert_eq!(r.receive().await, Ok(1));
        panic!("in the middle of its batch");
    });
    assert!(crash.await.unwrap_err().is_panic());
    (8..12).for_each(|i| a.try_send(i).unwrap());
    let mut next = m.receiver().unwrap();
    assert_eq!(next.incarnation(), 2);
    assert_eq!(drain(&mut next), (2..12).collect::<Vec<_>>());
    assert_eq!(next.audit().lost(), 0);
}

/// Clause 1.1.
#[test]
fn there_is_one_reader_at_a_time() {
    let (m, _a, r) = with_room::<u8>(1);
    assert_eq!(m.receiver().map(drop), Err(LeaseError::Leased));
    drop(r);
    assert_eq!(m.receiver().map(|r| r.incarnation()), Ok(2));
    m.close();
    assert_eq!(m.receiver().map(drop), Err(LeaseError::Closed));
}

/// Clause 5.1.
#[tokio::test]
async fn an_aborted_reader_gives_the_lease_back() {
    let (m, a, mut r) = with_room(4);
    let reading = tokio::spawn(async move { r.receive().await });
    tokio::task::yield_now().await;
    reading.abort();
    assert!(reading.await.unwrap_err().is_cancelled());
    a.try_send(1).unwrap();
    assert_eq!(m.receiver().unwrap().receive().await, Ok(1));
}

/// Clause 17.2.
#[test]
fn an_audit_is_exact_and_leaves_a_sleeping_reader_asleep() {
    let m = Mailbox::<u8>::new();
    m.address().try_send(1).unwrap();
    assert_eq!(m.audit().map(|l| (l.sent, l.queued, l.lost())), Some((1, 1, 0)));
    let mut r = m.receiver().unwrap();
    assert_eq!(r.try_receive(), Ok(1));
    assert_eq!(m.audit(), None, "a receiver that is awake counts for itself");
}
