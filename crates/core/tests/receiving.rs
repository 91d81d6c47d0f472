//! Receiving, its limits and its cancellation.

use crate::{drain, poll, with_room};
use futures::StreamExt;
use restante_core::cell::{MailCell, Parked};
use restante_core::handle::Handle;
use restante_core::look::Looked;
use restante_core::monitor::Watch;
use restante_core::word::RunGuard;
use restante_core::{Closed, Lane, LeaseError, SendError, SendOptions, TryReceiveError};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// Row B4, clause 1.6: a time-out with a value made on time-out only.
#[tokio::test(start_paused = true)]
async fn a_receive_with_a_limit_gives_the_value_when_none_comes() {
    let (m, a, mut r) = with_room(4);
    let began = Instant::now();
    assert_eq!(r.receive_timeout(Duration::ZERO, || 7).await, Ok(7));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(r.receive_timeout(Duration::from_secs(2), || 8).await, Ok(8));
    assert_eq!(began.elapsed().as_secs(), 2);
    a.try_send(1).unwrap();
    assert_eq!(r.receive_timeout(Duration::ZERO, || unreachable!()).await, Ok(1));
    let sender = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1_000_000)).await;
        a.try_send(2).unwrap();
    });
    assert_eq!(r.receive_timeout(Duration::MAX, || unreachable!()).await, Ok(2));
    sender.await.unwrap();
    m.close();
    assert_eq!(r.receive_timeout(Duration::MAX, || unreachable!()).await, Err(Closed));
    assert_eq!(r.try_receive(), Err(TryReceiveError::Closed));
}

/// Clause 1.8, failure mode 25: a receive that is dropped at any of its awaits loses nothing.
#[tokio::test]
async fn a_cancelled_receive_loses_nothing() {
    let (_m, a, mut r) = with_room(64);
    for i in 0..50 {
        for _ in 0..i % 3 {
            // Dropped while it sleeps.
            assert!(poll(pin!(r.receive())).is_pending());
        }
        a.try_send(i).unwrap();
        // Dropped before its first poll.
        drop(r.receive());
        assert_eq!(r.receive().await, Ok(i));
    }
    assert!(poll(pin!(r.receive())).is_pending());
    let sender = tokio::spawn(async move { a.try_send(99).unwrap() });
    assert_eq!(r.receive().await, Ok(99), "the waker of the latest poll is the one that is woken");
    sender.await.unwrap();
    assert_eq!(r.audit().lost(), 0);
}

#[tokio::test]
async fn as_a_stream_it_ends_with_the_mailbox() {
    let (m, a, r) = with_room(4);
    (0..3).for_each(|i| a.try_send(i).unwrap());
    m.close();
    assert_eq!(r.collect::<Vec<_>>().await, [0, 1, 2]);
}

/// Row D5, clauses 2.2, 2.4: urgent messages overtake, also what the reader has taken over already.
#[test]
fn urgent_messages_are_received_first() {
    let (_m, a, mut r) = with_room(8);
    let send = |lane, m| a.try_send_with(m, SendOptions::new().lane(lane)).unwrap();
    send(Lane::Low, "low");
    send(Lane::Normal, "normal");
    send(Lane::Normal, "normal too");
    assert_eq!(r.try_receive(), Ok("normal"));
    send(Lane::High, "high");
    send(Lane::Control, "control");
    assert_eq!(drain(&mut r), ["control", "high", "normal too", "low"]);
}

/// Row D5, clause 2.4: the control lane is not bounded by data.
#[test]
fn orders_pass_a_full_mailbox() {
    let (m, a, mut r) = with_room(1);
    a.try_send(0).unwrap();
    for i in 1..=100 {
        a.try_send_with(i, SendOptions::new().lane(Lane::Control)).unwrap();
    }
    assert_eq!(m.stats().depth, 1);
    assert_eq!(drain(&mut r), (1..=100).chain([0]).collect::<Vec<_>>());
    assert_eq!(r.audit().lost(), 0);
}

/// Row D2, clause 4.4: a purge takes what its predicate says, and asks once about each.
#[test]
fn a_purge_asks_once_about_each_message() {
    let (_m, a, mut r) = with_room(8);
    (0..6).for_each(|i| a.try_send(i).unwrap());
    let mut asked = Vec::new();
    let purged = r.purge(|m| {
        asked.push(*m);
        m % 2 == 0
    });
    assert_eq!((purged, asked), (3, (0..6).collect()));
    assert_eq!(drain(&mut r), [1, 3, 5]);
    assert_eq!((r.audit().purged, r.audit().lost()), (3, 0));
}

/// Row D2: a purge whose predicate panics has thrown out nothing that is not counted.
#[test]
fn a_panic_in_a_purges_predicate_loses_nothing() {
    let (m, a, mut r) = with_room(4);
    a.try_send_with(10, SendOptions::new().lane(Lane::High)).unwrap();
    (0..3).for_each(|i| a.try_send(i).unwrap());
    let purging = std::panic::AssertUnwindSafe(|| r.purge(|m| if *m == 2 { panic!("at 2") } else { true }));
    assert!(std::panic::catch_unwind(purging).is_err());
    assert_eq!(drain(&mut r), [0, 1, 2], "the lane in which it panicked is as it was");
    let ledger = r.audit();
    assert_eq!((ledger.purged, ledger.lost(), m.stats().depth), (1, 0, 0));
}

/// Clause 1.7, failure mode 1: memory grows on use and is given back.
#[test]
fn a_burst_gives_its_memory_back() {
    let (_m, a, mut r) = with_room::<[u64; 8]>(100_000);
    (0..50_000).for_each(|_| a.try_send([0; 8]).unwrap());
    assert!(r.shrink() >= 50_000 * 64);
    drain(&mut r);
    assert_eq!(r.shrink(), 0);
}

/// Clause 2.2: the reader looks between any two messages, also for what came into a lane that its batch holds nothing of.
#[test]
fn what_comes_into_a_higher_lane_is_read_before_the_rest_of_a_lower_ones_batch() {
    let (_m, a, mut r) = with_room(8);
    (0..3).for_each(|i| a.try_send_with(i, SendOptions::new().lane(Lane::Low)).unwrap());
    assert_eq!(r.try_receive(), Ok(0));
    a.try_send(10).unwrap();
    assert_eq!(r.try_receive(), Ok(10));
    a.try_send_with(20, SendOptions::new().lane(Lane::High)).unwrap();
    assert_eq!(drain(&mut r), [20, 1, 2]);
}

/// Clause 2.3: unless set, 64; for the low lane under a flood of normal, and for the normal lane under a flood of high. Control
/// is not held up by it.
#[test]
fn unless_set_a_lower_lane_is_read_once_in_64_messages() {
    for (flood, lower) in [(Lane::Normal, Lane::Low), (Lane::High, Lane::Normal), (Lane::High, Lane::Low)] {
        let (_m, a, mut r) = with_room(1024);
        (0..3).for_each(|_| a.try_send_with(1, SendOptions::new().lane(lower)).unwrap());
        (0..300).for_each(|_| a.try_send_with(0, SendOptions::new().lane(flood)).unwrap());
        let mut read: Vec<_> = (0..63).map(|_| r.try_receive().unwrap()).collect();
        a.try_send_with(9, SendOptions::new().lane(Lane::Control)).unwrap();
        assert_eq!(r.try_receive(), Ok(9));
        read.extend(drain(&mut r));
        let at: Vec<_> = (0..read.len()).filter(|i| read[*i] == 1).collect();
        assert_eq!(at, [63, 127, 191], "{lower:?} under {flood:?}");
    }
}

/// Clause 1.7: a plain receiver gives back what a burst has left in any lane.
#[test]
fn what_a_burst_has_left_in_a_side_lane_is_given_back() {
    for lane in [Lane::Control, Lane::High, Lane::Low] {
        let (_m, a, mut r) = with_room(10_000);
        (0..5000_u64).for_each(|i| a.try_send_with(i, SendOptions::new().lane(lane)).unwrap());
        drain(&mut r);
        assert_eq!(r.shrink(), 0, "{lane:?}");
    }
}

/// Clause 1.7: neither senders who waited once nor monitors that were taken down are paid for ever after.
#[test]
fn what_waiting_senders_and_monitors_have_left_is_given_back() {
    let (_m, a, mut r) = with_room(1);
    a.try_send(0).unwrap();
    let mut waiting: Vec<_> = (0..50_000).map(|n| Box::pin(a.send(n))).collect();
    for sending in &mut waiting {
        assert!(poll(sending.as_mut()).is_pending());
    }
    assert!(r.shrink() > 1_000_000, "they are in line");
    drop(waiting);
    let ids: Vec<_> = (0..5000).map(|_| a.monitor(Watch::Mailbox, |_| ())).collect();
    assert!(r.shrink() > 100_000);
    assert!(ids.into_iter().all(|id| a.demonitor(id)));
    assert_eq!(r.try_receive(), Ok(0));
    let held = r.shrink();
    assert!(held < 4096, "{held} bytes are held for those who have gone");
    assert_eq!(a.stats().waiting_senders, 0);
}

/// A look at a long queue shows what it was asked for and knows how many there are. (Under the senders' lock it shows a few at a
/// time.)
#[test]
fn a_look_shows_no_more_than_was_asked_for() {
    let cell = Handle::first(Arc::new(MailCell::<u32, Parked>::plain(None, 0, Parked)));
    for i in 0..600 {
        cell.cell().push(i).unwrap();
    }
    let high = SendOptions::new().lane(Lane::High);
    assert!(cell.cell().push_with(9999, &high, false).is_ok());
    let look = |most| {
        let mut seen = Vec::new();
        let looked = cell.cell().look_over(most, |_, m, _| seen.push(*m));
        assert_eq!(looked, Looked { complete: true, queued: 601 });
        seen
    };
    assert_eq!(look(0), []);
    assert_eq!(look(1), [9999]);
    assert_eq!(look(66), std::iter::once(9999).chain(0..65).collect::<Vec<_>>());
    assert_eq!(look(usize::MAX), std::iter::once(9999).chain(0..600).collect::<Vec<_>>());
    // What the reader has taken comes first, lane by lane; while it reads, only the rest is seen.
    let mut permit = RunGuard::enter(cell.cell()).unwrap();
    let (c, own) = permit.split();
    assert_eq!((c.take(own), c.take(own)), (Some(9999), Some(0)));
    cell.cell().push(600).unwrap();
    let mut seen = Vec::new();
    let looked = cell.cell().look_over(9, |_, m, _| seen.push(*m));
    assert_eq!((looked, seen), (Looked { complete: false, queued: 1 }, vec![600]));
    MailCell::leave_by(permit, restante_core::word::DATA);
    let mut seen = Vec::new();
    let looked = cell.cell().look_over(700, |_, m, _| seen.push(*m));
    assert_eq!(looked, Looked { complete: true, queued: 600 });
    assert!(seen.into_iter().eq(1..601));
}

/// Clause 6.17: nothing comes any more, and nothing can be sent any more: gone. All else is not.
#[test]
fn an_error_says_whether_its_mailbox_is_gone() {
    assert!(Closed.is_gone());
    assert!(TryReceiveError::Closed.is_gone() && !TryReceiveError::Empty.is_gone());
    assert!(LeaseError::Closed.is_gone() && !LeaseError::Leased.is_gone());
    assert!(SendError::Closed(1).is_gone());
    let retry_after = Duration::ZERO;
    for there in [
        SendError::Full(1),
        SendError::Expired(1),
        SendError::Shed(1),
        SendError::RateLimited { message: 1, retry_after },
        SendError::TooHeavy { message: 1, weight: 2, limit: 1 },
        SendError::Timeout(1),
        SendError::Cycle { message: 1, path: String::new() },
        SendError::WouldBlock(1),
    ] {
        assert!(!there.is_gone(), "{there}");
    }
}

/// Clause 9.9: a task that only receives from a deep queue, message by message or as a stream, lets others run after at most 128 of
/// them.
#[tokio::test]
async fn a_task_that_only_receives_lets_others_run() {
    const DEEP: usize = 2000;
    for as_stream in [false, true] {
        let (_m, a, mut r) = with_room(DEEP);
        for n in 0..DEEP {
            a.try_send(n).unwrap();
        }
        let received = AtomicUsize::new(0);
        let mut reads = pin!(async {
            for n in 0..DEEP {
                let message = if as_stream { r.next().await } else { r.receive().await.ok() };
                assert_eq!(message, Some(n));
                received.store(n + 1, SeqCst);
            }
        });
        let mut turns = 0;
        std::future::poll_fn(|cx| {
            let before = received.load(SeqCst);
            let polled = reads.as_mut().poll(cx);
            let now = received.load(SeqCst);
            assert!(now - before <= 128, "{} messages in one turn", now - before);
            turns += 1;
            polled
        })
        .await;
        assert!(turns >= DEEP / 128, "{turns}");
    }
}

/// Clauses 9.9, 1.6: a look finds what is there, however much the task has taken in this turn; and outside of tokio nothing is
/// charged.
#[test]
fn a_look_is_not_charged() {
    const DEEP: usize = 300;
    let run = |charged: bool| async move {
        let (_m, a, mut r) = with_room(3 * DEEP);
        for n in 0..3 * DEEP {
            a.try_send(n).unwrap();
        }
        for n in 0..DEEP {
            assert_eq!(r.receive_timeout(Duration::ZERO, || unreachable!()).await, Ok(n));
        }
        for n in DEEP..2 * DEEP {
            assert_eq!(r.try_receive(), Ok(n));
        }
        let mut pending = 0;
        for n in 2 * DEEP..3 * DEEP {
            let mut receive = pin!(r.receive());
            let polled = std::future::poll_fn(|cx| match receive.as_mut().poll(cx) {
                Poll::Ready(message) => Poll::Ready(message),
                Poll::Pending => {
                    pending += 1;
                    Poll::Pending
                }
            });
            assert_eq!(polled.await, Ok(n));
        }
        assert_eq!(pending > 0, charged);
    };
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run(true));
    assert!(poll(pin!(run(false)).as_mut()).is_ready());
}
