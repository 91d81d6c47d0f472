//! Replies: what lies in a slot is dropped once, whichever side gives up first.

use crate::support::{Alive, Ask, Lab, Plan, law, settle};
use restante_genserver::{CallError, CallerRuns, ExitReason, GenServer, Server, ServerRef, start};
use std::time::Duration;

/// Values of every size come through the slot.
#[tokio::test(start_paused = true)]
async fn values_of_every_size_are_answered() {
    for runs in [CallerRuns::Auto, CallerRuns::Never] {
        let lab = Server::<Lab>::settings().caller_runs(runs).start(Plan::default()).await.unwrap();
        assert_eq!(lab.call(Ask::Big).await, Ok([7; 9]));
        assert_eq!(lab.call(Ask::Unit).await, Ok(()));
        assert_eq!(lab.call(Ask::Total).await, Ok(0));
        law(&lab).await;
    }
}

/// A request and its reply are dropped once: answered, late, unread, refused, in a crash, in a closed mailbox.
#[tokio::test(start_paused = true)]
async fn what_a_call_carries_is_dropped_once() {
    let alive = Alive::default();
    for runs in [CallerRuns::Auto, CallerRuns::Never] {
        let mailbox = Server::<Lab>::settings().capacity(2).caller_runs(runs).build().unwrap();
        let lab = mailbox.address();
        let call = |lab: &ServerRef<Lab>, limit| {
            let (lab, value) = (lab.clone(), alive.one());
            async move { lab.call(|reply| Ask::Counted(value, reply)).timeout(limit).await.map(drop) }
        };
        // Unread and out of time; in the line for room and out of time.
        for _ in 0..4 {
            assert_eq!(call(&lab, Duration::from_millis(1)).await, Err(CallError::Timeout));
        }
        assert_eq!(alive.count(), 2);
        mailbox.start(Plan::default()).await.unwrap();
        assert_eq!(call(&lab, Duration::from_secs(1)).await, Ok(()));
        assert_eq!(alive.count(), 0);
        // Never polled; polled and dropped before the answer is taken.
        drop(call(&lab, Duration::MAX));
        let unread = tokio::spawn(call(&lab, Duration::MAX));
        unread.abort();
        let _ = unread.await;
        settle().await;
        assert_eq!(alive.count(), 0);
        lab.kill();
        lab.join().await;
        let queued = tokio::spawn(call(&lab, Duration::MAX));
        settle().await;
        assert_eq!(alive.count(), 1);
        lab.close(ExitReason::Shutdown);
        assert_eq!(queued.await.unwrap(), Err(CallError::Exited(ExitReason::Shutdown)));
        assert!(call(&lab, Duration::MAX).await.is_err());
        assert_eq!(alive.count(), 0);
        law(&lab).await;
    }
}

/// Answers that come while their callers are just giving up: none is lost, none dropped twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_may_race_with_its_caller() {
    let alive = Alive::default();
    let lab = Server::<Lab>::settings().caller_runs(CallerRuns::Never).start(Plan::default()).await.unwrap();
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (lab, alive) = (lab.clone(), alive.clone());
            tokio::spawn(async move {
                for n in 0..2000u32 {
                    let value = alive.one();
                    let call = lab.call(|reply| Ask::Counted(value, reply));
                    let mut call = std::pin::pin!(call);
                    // A few polls, then gone.
                    for _ in 0..n % 4 {
                        if futures::poll!(call.as_mut()).is_ready() {
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    lab.stop(ExitReason::Normal, Duration::from_secs(10)).await.unwrap();
    // The end is told before what is left in the mailbox is settled.
    while law(&lab).await.queued != 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(alive.count(), 0);
}

/// Asks for a reply that it hands to the request's maker.
struct Odd;
impl GenServer for Odd {
    type Args = ();
    type Call = ();
    type Cast = ();
    type Info = ();
    async fn init(
        (): &(),
        _: &mut restante_genserver::Context<Self>,
    ) -> Result<restante_genserver::Init<Self>, ExitReason> {
        Ok(restante_genserver::Init::ok(Self))
    }
    async fn handle_call(
        &mut self,
        (): (),
        _: &mut restante_genserver::Context<Self>,
    ) -> restante_genserver::Step {
        Ok(restante_genserver::Next::go())
    }
}

/// Clause 6.4: a request whose maker keeps the reply to itself: the holder of the reply answers.
#[tokio::test(start_paused = true)]
async fn a_reply_need_not_travel_with_its_request() {
    let odd = start::<Odd>(()).await.unwrap();
    let (kept, reply) = tokio::sync::oneshot::channel();
    let asked = odd.call(|reply| drop(kept.send(reply)));
    let (answer, _) = tokio::join!(asked, async { reply.await.unwrap().send(5) });
    assert_eq!(answer, Ok(5));
    assert_eq!(odd.call(|reply: restante_genserver::Reply<u64>| drop(reply)).await, Err(CallError::NoReply));
    law(&odd).await;
}

/// A call whose reply was answered from elsewhere while it still lay in the mailbox touches no other call's slot.
#[tokio::test(start_paused = true)]
async fn a_call_that_was_answered_early_touches_no_other_slot() {
    let mailbox = Server::<Odd>::new("never served");
    let odd = mailbox.address();
    let (kept, reply) = tokio::sync::oneshot::channel();
    let early = tokio::spawn({
        let odd = odd.clone();
        async move { odd.call(|reply: restante_genserver::Reply<u64>| drop(kept.send(reply))).await }
    });
    assert!(reply.await.unwrap().send(5));
    assert_eq!(early.await.unwrap(), Ok(5));
    // The slot is free again, and the next call has it.
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    let next = tokio::spawn({
        let lab = lab.clone();
        async move { lab.call(Ask::Keep).await }
    });
    settle().await;
    odd.close(ExitReason::Shutdown);
    settle().await;
    assert!(!next.is_finished(), "told of another server's end");
    next.abort();
    law(&odd).await;
}
