//! Requests and collections under shuttle, with whole servers: see `crate::shuttle_tests`. There is no time, so that a wait
//! whose time is over is one that is dropped.

use crate::shuttle_tests::{
    Ask, EVER, Probes, Tell, balanced, down, end, end_both, explore, lasting, once, peers, probe, spawn,
};
use crate::*;
use shuttle::thread;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

fn echo(server: &Probes, n: u32) -> Request<u32> {
    server.send_request(|reply| Ask::Echo(n, reply))
}

/// A wait that comes to its end after one poll.
async fn wait_once(request: &mut Request<u32>) -> Option<Result<u32, CallError>> {
    match once(&mut pin!(request.wait(EVER))).await {
        Poll::Ready(response) => response,
        Poll::Pending => None,
    }
}

/// Abandon × its handler × its late reply: it is skipped, or its reply goes nowhere; those of others are not touched.
#[test]
fn shuttle_abandon_and_a_late_reply() {
    explore(|| async {
        let (server, seen) = probe(CallerRuns::Never).await;
        let goes = echo(&server, 100);
        let kept = server.send_request(Ask::Keep);
        let stays = echo(&server, 200);
        let abandons = thread::spawn(move || goes.abandon());
        let answers = {
            let server = server.clone();
            thread::spawn(move || server.cast(Tell::Answer).unwrap())
        };
        let mut kept = kept;
        // Told by the cast, or by the end of the server if that came before the reply was kept.
        let early = wait_once(&mut kept).await;
        assert!(matches!(early, None | Some(Ok(1))), "{early:?}");
        drop(kept);
        assert_eq!(stays.await, Ok(200));
        abandons.join().unwrap();
        answers.join().unwrap();
        let cell = Arc::clone(server.handle.cell());
        end(server).await;
        let ledger = balanced(&cell);
        assert_eq!(ledger.sent, 4, "{ledger}");
        let skipped = u64::from(!seen.all().contains(&100));
        assert!(ledger.cancelled >= skipped && ledger.cancelled <= skipped + 1, "{ledger}");
    });
}

/// A wait comes to its end × the reply comes: the next wait has it.
#[test]
fn shuttle_a_wait_that_ends_as_the_reply_comes() {
    explore(|| async {
        let (server, _) = probe(CallerRuns::Auto).await;
        let mut request = server.send_request(|reply| Ask::Later(100, reply));
        let response = match wait_once(&mut request).await {
            Some(response) => response,
            None => match request.check() {
                Some(response) => response,
                None => {
                    // Waited for by another, with another waker.
                    spawn(async move { request.wait(EVER).await }).await.unwrap()
                }
            },
        };
        assert_eq!(response, Ok(100));
        end(server).await;
    });
}

/// Two servers answer × a collection is waited for, by waits that are dropped and waits that last: every response once.
#[test]
fn shuttle_a_collection_has_every_response_once() {
    explore(|| async {
        let (one, _) = probe(CallerRuns::Auto).await;
        let (other, _) = probe(CallerRuns::Auto).await;
        let mut requests: Requests<u32, u32> = Requests::new();
        requests.add(100, echo(&one, 100));
        requests.add(200, other.send_request(|reply| Ask::Later(200, reply)));
        let mut told = Vec::new();
        if let Poll::Ready(Some((label, response))) = once(&mut pin!(requests.next())).await {
            assert_eq!(response, Ok(label));
            told.push(label);
        }
        requests.add(300, echo(&other, 300));
        while let Some((label, response)) = requests.next().await {
            assert_eq!(response, Ok(label));
            told.push(label);
        }
        // One server answers in the order of its requests.
        let place = |n| told.iter().position(|label| *label == n);
        assert!(place(200) < place(300), "{told:?}");
        told.sort_unstable();
        assert_eq!(told, [100, 200, 300]);
        end(one).await;
        end(other).await;
    });
}

/// A collection is dropped, and one request taken out of it, × the replies come.
#[test]
fn shuttle_a_collection_dropped_as_replies_come() {
    explore(|| async {
        let (server, seen) = probe(CallerRuns::Auto).await;
        let mut requests: Requests<u32, u32> = (1..=3).map(|n| (n, echo(&server, n))).collect();
        let first = once(&mut pin!(requests.next())).await;
        assert!(matches!(first, Poll::Pending | Poll::Ready(Some((1, Ok(1))))), "{first:?}");
        let taken = requests.remove(&2).unwrap();
        let drops = thread::spawn(move || drop(requests));
        assert_eq!(taken.await, Ok(2));
        drops.join().unwrap();
        let cell = Arc::clone(server.handle.cell());
        end(server).await;
        let ledger = balanced(&cell);
        assert_eq!(ledger.handled + ledger.cancelled, 3, "{ledger}");
        assert!(seen.all().contains(&2));
    });
}

/// A server crashes with requests out: those that it has hear of it at once, those that are queued are answered by the next
/// incarnation.
#[test]
fn shuttle_a_crash_with_requests_out() {
    explore(|| async {
        let (server, at, args) = lasting().await;
        let told = down(&at);
        let mut requests: Requests<&str, u32> = Requests::new();
        requests.add("kept", at.send_request(Ask::Keep));
        requests.add("in hand", at.send_request(Ask::Panic));
        requests.add("queued", echo(&at, 100));
        let restarts = spawn(async move {
            told.await.unwrap();
            server.start(args).await.unwrap();
            server
        });
        let (mut exited, mut answered) = (0, 0);
        while let Some((label, response)) = requests.next().await {
            match response {
                Err(CallError::Exited(ExitReason::Panic(_))) => {
                    assert_ne!(label, "queued");
                    exited += 1;
                }
                Ok(100) => answered += 1,
                other => panic!("{label}: {other:?}"),
            }
        }
        assert_eq!((exited, answered), (2, 1));
        drop(restarts.await);
        end(at).await;
    });
}

/// Two handlers collect from each other: either they come after each other, or exactly one is refused. None hangs.
#[test]
fn shuttle_collections_that_close_a_ring() {
    explore(|| async {
        let (a, b) = peers().await;
        let other = {
            let b = b.clone();
            spawn(async move { b.call(Ask::Gather).await.unwrap() })
        };
        let (mine, others) = (a.call(Ask::Gather).await.unwrap(), other.await);
        let refused =
            [&mine, &others].into_iter().filter(|a| matches!(a, Err(CallError::Cycle { .. }))).count();
        let answered = [&mine, &others].into_iter().filter(|a| **a == Ok(7)).count();
        assert!(refused <= 1 && refused + answered == 2, "{mine:?} {others:?}");
        end_both((a, b)).await;
    });
}
