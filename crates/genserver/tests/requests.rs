//! Collections of requests: labels, completion order, deadlines, giving up.

use crate::request::{answer, busy};
use crate::support::{Ask, Gate, LONG, Lab, Plan, ask, echo, law, settle};
use futures::StreamExt;
use restante_genserver::{
    CallError, ExitReason, Next, Request, Requests, Server, ServerRef, cycle, late_replies, start,
};
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

async fn labs(count: usize) -> Vec<ServerRef<Lab>> {
    let mut labs = Vec::new();
    for _ in 0..count {
        labs.push(start::<Lab>(Plan::default()).await.unwrap());
    }
    labs
}

/// One request that is kept, at each of them, labelled by its place.
fn kept(labs: &[ServerRef<Lab>]) -> Requests<usize, u64> {
    labs.iter().map(|lab| lab.send_request(Ask::Keep)).enumerate().collect()
}

/// Row G1. OTP `gen_server_SUITE`: `send_request_wait_reqid_collection`. Responses come with their labels in the order in
/// which they were given, whatever that of the requests was.
/// Clause 6.14.
#[tokio::test(start_paused = true)]
async fn responses_come_in_the_order_of_completion() {
    let labs = labs(4).await;
    let mut requests = kept(&labs);
    assert_eq!((requests.len(), requests.is_empty()), (4, false));
    assert_eq!(requests.labels().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    settle().await;
    for n in [2, 0, 3] {
        answer(&labs[n], n as u64 * 10);
        settle().await;
    }
    assert_eq!(requests.next().await, Some((2, Ok(20))));
    assert_eq!(requests.next_within(SECOND).await, Some((0, Ok(0))));
    assert_eq!(requests.check(), Some((3, Ok(30))));
    assert_eq!(requests.check(), None);
    assert_eq!(requests.labels().copied().collect::<Vec<_>>(), [1]);
    let late = labs[1].clone();
    tokio::spawn(async move {
        tokio::time::sleep(SECOND).await;
        answer(&late, 10);
    });
    let began = Instant::now();
    assert_eq!(requests.next().await, Some((1, Ok(10))));
    assert_eq!(began.elapsed(), SECOND);
    assert!(requests.is_empty());
}

/// Row G1. OTP `gen_server_SUITE`: `send_request_wait_reqid_collection`, its time-outs. Several waits share one point in
/// time; when it has come all that has not been answered stays, and may be answered yet.
/// Clause 6.14.
#[tokio::test(start_paused = true)]
async fn waits_share_a_deadline_and_lose_nothing() {
    let labs = labs(3).await;
    let mut requests = kept(&labs);
    settle().await;
    let began = Instant::now();
    let deadline = began + 3 * SECOND;
    let answers = labs.clone();
    tokio::spawn(async move {
        for (n, lab) in (0..).zip(&answers) {
            tokio::time::sleep(2 * SECOND).await;
            answer(lab, n);
        }
    });
    assert_eq!(requests.next_until(deadline).await, Some((0, Ok(0))));
    assert_eq!(requests.next_until(deadline).await, None);
    assert_eq!((Instant::now(), requests.len()), (deadline, 2));
    assert_eq!(requests.next_within(Duration::ZERO).await, None);
    assert_eq!(requests.next_until(began).await, None);
    assert_eq!(requests.next_within(2 * SECOND).await, Some((1, Ok(1))));
    // What has come is taken even when the time is over.
    tokio::time::sleep(LONG).await;
    assert_eq!(requests.next_until(deadline).await, Some((2, Ok(2))));
    assert_eq!(requests.next_until(deadline).await, None);
    assert!(requests.is_empty());
}

/// Row G1. OTP `gen_server_SUITE`: `send_request_wait_reqid_collection`, `no_request`: an empty collection is answered at
/// once, by every wait.
#[tokio::test(start_paused = true)]
async fn an_empty_collection_says_so_at_once() {
    let mut empty = Requests::<&str, u64>::default();
    let began = Instant::now();
    assert_eq!(empty.next().await, None);
    assert_eq!(empty.next_within(LONG).await, None);
    assert_eq!(empty.next_until(began + LONG).await, None);
    assert_eq!(empty.check(), None);
    assert_eq!(StreamExt::next(&mut empty).await, None);
    assert_eq!(empty.remove(&"any").map(drop), None);
    assert_eq!((empty.len(), empty.labels().count()), (0, 0));
    assert_eq!(empty.wait_all_or_abandon(began + LONG).await, []);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// Row G1. OTP `gen_server_SUITE`: `send_request_receive_reqid_collection`. What has not come by the deadline is abandoned:
/// it stands behind what came, and its late replies are counted.
#[tokio::test(start_paused = true)]
async fn what_is_not_there_in_time_is_abandoned() {
    let labs = labs(5).await;
    let requests = kept(&labs);
    settle().await;
    answer(&labs[3], 3);
    settle().await;
    labs[1].kill();
    let began = Instant::now();
    let responses = requests.wait_all_or_abandon(began + SECOND).await;
    assert_eq!(began.elapsed(), SECOND);
    let timeout = Err(CallError::Timeout);
    let killed = Err(CallError::Exited(ExitReason::Killed));
    assert_eq!(
        responses,
        [(3, Ok(3)), (1, killed), (0, timeout.clone()), (2, timeout.clone()), (4, timeout)]
    );
    let before = late_replies();
    for n in [0, 2, 4] {
        answer(&labs[n], 9);
        settle().await;
        law(&labs[n]).await;
    }
    assert!(late_replies() >= before + 3);
}

/// Row G1. OTP `gen_server_SUITE`: `send_request_receive_reqid_collection`, errors. A server that dies is a response like
/// others, there at once; so is a request that could not be sent.
#[tokio::test(start_paused = true)]
async fn failures_are_responses() {
    let labs = labs(3).await;
    let gone = &labs[0];
    gone.stop(ExitReason::Shutdown, SECOND).await.unwrap();
    let mut requests = Requests::new();
    requests.add("gone", gone.send_request(Ask::Keep));
    requests.add("dies", labs[1].send_request(Ask::Fail));
    requests.add("stops", labs[2].send_request(Ask::Keep));
    let began = Instant::now();
    assert_eq!(requests.next().await, Some(("gone", Err(CallError::Exited(ExitReason::Shutdown)))));
    assert_eq!(requests.next().await, Some(("dies", Err(CallError::Exited(ExitReason::error("failed"))))));
    labs[2].stop(ExitReason::Normal, SECOND).await.unwrap();
    assert_eq!(requests.next().await, Some(("stops", Err(CallError::Exited(ExitReason::Normal)))));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// Row G1. OTP `gen_server_SUITE`: `send_request_check_reqid_collection`. Looking never waits, and takes what has come one by
/// one. Differs: no message is looked at, since replies come to no mailbox.
#[tokio::test(start_paused = true)]
async fn looking_takes_what_has_come() {
    let labs = labs(3).await;
    let mut requests = kept(&labs);
    assert_eq!(requests.check(), None);
    settle().await;
    for (n, lab) in (0..).zip(&labs) {
        assert_eq!(requests.check(), None);
        answer(lab, n);
        settle().await;
        assert_eq!(requests.check().map(|(_, r)| r), Some(Ok(n)));
    }
    assert_eq!((requests.check(), requests.len()), (None, 0));
}

/// Row G1. OTP `gen_server_SUITE`: reqid collections, labels. A label may be there several times; what is taken out by its
/// label is the oldest of them, and goes on as it was.
#[tokio::test(start_paused = true)]
async fn labels_may_repeat_and_requests_be_taken_out() {
    let labs = labs(3).await;
    let mut requests = Requests::new();
    for lab in &labs {
        requests.add("same", lab.send_request(Ask::Keep));
    }
    assert_eq!(requests.labels().count(), 3);
    settle().await;
    answer(&labs[1], 1);
    settle().await;
    let mut first: Request<u64> = requests.remove(&"same").unwrap();
    assert_eq!(requests.remove(&"other").map(drop), None);
    assert_eq!(first.check(), None);
    answer(&labs[0], 0);
    assert_eq!(first.wait(SECOND).await, Some(Ok(0)));
    // One whose response had come already.
    let second = requests.remove(&"same").unwrap();
    assert_eq!(requests.check(), None, "it is not the collection's any more");
    assert_eq!((second.await, requests.len()), (Ok(1), 1));
    // And back again: a request that has been waited for before, one that has been answered, one that is over.
    requests.add("first", first);
    answer(&labs[2], 2);
    assert_eq!(requests.next().await, Some(("first", Err(CallError::NoReply))));
    assert_eq!(requests.next().await, Some(("same", Ok(2))));
    assert_eq!(requests.next().await, None);
}

/// Row G1: requests to servers of different types, with replies of one type, wait together.
#[tokio::test(start_paused = true)]
async fn servers_of_different_types_are_waited_for_together() {
    struct Other;
    impl restante_genserver::GenServer for Other {
        type Args = ();
        type Call = restante_genserver::Reply<u64>;
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
            reply: Self::Call,
            _: &mut restante_genserver::Context<Self>,
        ) -> restante_genserver::Step {
            reply.send(2);
            Ok(Next::go())
        }
    }
    let (lab, other) = (&labs(1).await[0], start::<Other>(()).await.unwrap());
    let requests: Requests<_, u64> =
        [("lab", lab.send_request(echo(1))), ("other", other.send_request(|reply| reply))]
            .into_iter()
            .collect();
    let mut responses = requests.collect::<Vec<_>>().await;
    responses.sort_unstable_by_key(|(label, _)| *label);
    assert_eq!(responses, [("lab", Ok(1)), ("other", Ok(2))]);
}

/// Row G1: dropping a collection, or telling it to, gives up all that is in it: what has not been begun never is.
#[tokio::test(start_paused = true)]
async fn a_collection_gives_up_what_is_in_it() {
    for told in [true, false] {
        let (lab, go) = busy(Server::settings()).await;
        let mut requests: Requests<u64, u64> = (0..100).map(|n| (n, lab.send_request(echo(n)))).collect();
        if told {
            requests.abandon_all();
            assert_eq!((requests.len(), requests.next().await), (0, None));
            requests.add(7, lab.send_request(echo(7)));
            go.open();
            assert_eq!(requests.next().await, Some((7, Ok(7))), "it can be used again");
        } else {
            drop(requests);
            go.open();
            settle().await;
        }
        assert_eq!(law(&lab).await.cancelled, 100);
    }
}

/// Row G1: a wait may be dropped at each of its awaits: no response goes with it, and none is told twice.
#[tokio::test(start_paused = true)]
async fn a_wait_for_any_may_be_dropped_at_any_await() {
    let labs = labs(2).await;
    let mut requests = kept(&labs);
    drop(requests.next());
    assert!(tokio::time::timeout(Duration::ZERO, requests.next()).await.is_err());
    assert!(tokio::time::timeout(SECOND, requests.next_within(LONG)).await.is_err());
    answer(&labs[1], 1);
    settle().await;
    drop(requests.next());
    assert_eq!(requests.next().await, Some((1, Ok(1))));
    assert!(tokio::time::timeout(SECOND, requests.wait_all_or_abandon(Instant::now() + LONG)).await.is_err());
    let awaited = labs[0].call(ask(|lab, _, reply| {
        reply.send(u64::from(lab.kept[0].is_awaited()));
        Box::pin(async { Ok(Next::go()) })
    }));
    assert_eq!(awaited.await, Ok(0));
}

/// Row G1: many responses that are there already do not keep a task from its others.
#[tokio::test(start_paused = true)]
async fn a_run_of_responses_lets_others_run() {
    let lab = &labs(1).await[0];
    let mut requests: Requests<u64, u64> = Requests::new();
    for n in 0..1000 {
        requests.add(n, lab.send_request(echo(n)));
    }
    assert_eq!(lab.call(Ask::Total).await, Ok(0), "all are answered");
    let turns = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let beside = tokio::spawn({
        let turns = std::sync::Arc::clone(&turns);
        async move {
            loop {
                turns.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }
    });
    for n in 0..1000 {
        assert_eq!(requests.next().await, Some((n, Ok(n))));
    }
    assert!(turns.load(std::sync::atomic::Ordering::Relaxed) > 3, "a task has a budget");
    beside.abort();
}

/// Row G1: ten thousand requests to a hundred servers: each is polled when it is added and when it is answered, so that
/// twice as many take twice as long.
#[tokio::test(start_paused = true)]
async fn ten_thousand_requests_are_waited_for() {
    let mut labs = Vec::new();
    for _ in 0..100 {
        labs.push(Server::<Lab>::settings().unbounded().start(Plan::default()).await.unwrap());
    }
    let requests: Requests<u64, u64> =
        (0..10_000).map(|n| (n, labs[(n % 100) as usize].send_request(echo(n)))).collect();
    let responses = requests.wait_all_or_abandon(Instant::now() + SECOND).await;
    assert_eq!(responses.len(), 10_000);
    assert!(responses.iter().all(|(label, response)| *response == Ok(*label)));
    for lab in &labs {
        assert_eq!(law(lab).await.handled, 100);
    }
}

/// Row G1: as a stream, with all that streams can do; its end is that nothing is to come.
#[tokio::test(start_paused = true)]
async fn a_collection_is_a_stream() {
    let labs = labs(3).await;
    let mut requests = kept(&labs);
    assert_eq!(futures::Stream::size_hint(&requests), (3, Some(3)));
    tokio::spawn(async move {
        for n in [1, 2, 0] {
            tokio::time::sleep(SECOND).await;
            answer(&labs[n], n as u64);
        }
    });
    let began = Instant::now();
    let all: Vec<_> = requests.by_ref().map(|(label, _)| label).collect().await;
    assert_eq!((all, began.elapsed()), (vec![1, 2, 0], 3 * SECOND));
}

/// Row G1: in a handler, requests to servers that wait for ours end as a ring, and the others are waited for.
/// Clause 6.15.
#[tokio::test(start_paused = true)]
async fn a_collection_that_closes_a_ring_ends_only_that() {
    for stream in [false, true] {
        let labs = labs(3).await;
        let [a, b, c] = <[_; 3]>::try_from(labs).unwrap();
        let (back, to, also) = (a.clone(), b.clone(), c.clone());
        let began = Instant::now();
        let asked = a.call(ask(move |_, _, reply| {
            Box::pin(async move {
                let mut requests = Requests::new();
                let comes_back = back.clone();
                requests.add(
                    "ring",
                    to.send_request(ask(move |_, _, reply| {
                        Box::pin(async move {
                            let answer = comes_back.call(Ask::Total).timeout(LONG).await;
                            reply.send(answer.unwrap_or(99));
                            Ok(Next::go())
                        })
                    })),
                );
                requests.add("kept", also.send_request(Ask::Keep));
                requests.add("queued", to.send_request(Ask::Total));
                settle().await;
                assert_eq!(requests.check(), None, "to look is not to wait");
                answer(&also, 5);
                settle().await;
                let mut told = Vec::new();
                while let Some((label, response)) =
                    if stream { StreamExt::next(&mut requests).await } else { requests.next().await }
                {
                    told.push((label, matches!(response, Err(CallError::Cycle { .. })), response.ok()));
                }
                assert_eq!(
                    told,
                    [("kept", false, Some(5)), ("ring", true, None), ("queued", true, None)],
                    "{stream}"
                );
                reply.send(1);
                Ok(Next::go())
            })
        }));
        assert_eq!(asked.await, Ok(1));
        assert_eq!(b.call(Ask::Total).await, Ok(0));
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
    assert_eq!(cycle::waits(), 0);
}

/// Row G1: while a handler waits for a collection, a call that comes back to it is refused; between two waits, and to a
/// server that has given its answer, it is none.
#[tokio::test(start_paused = true)]
async fn a_wait_for_a_collection_is_known_while_it_lasts() {
    let [a, b, c] = <[_; 3]>::try_from(labs(3).await).unwrap();
    let (back, first, second) = (a.clone(), b.clone(), c.clone());
    let asked = a.call(ask(move |_, _, reply| {
        Box::pin(async move {
            let (early, late, done) = (Gate::new(), Gate::new(), Gate::new());
            // Answers, then calls back: its answer is there, so no caller waits for it.
            let (go, comes_back, told) = (early.clone(), back.clone(), done.clone());
            let mut requests = Requests::new();
            requests.add(
                1,
                first.send_request(ask(move |_, _, reply| {
                    Box::pin(async move {
                        go.pass().await;
                        reply.send(1);
                        tokio::task::yield_now().await;
                        let never = comes_back.call(Ask::Total).timeout(SECOND).await;
                        assert_eq!(never, Err(CallError::Timeout));
                        told.open();
                        Ok(Next::go())
                    })
                })),
            );
            // Calls back, then answers.
            let (go, comes_back) = (late.clone(), back.clone());
            requests.add(
                2,
                second.send_request(ask(move |_, _, reply| {
                    Box::pin(async move {
                        go.pass().await;
                        let refused = comes_back.call(Ask::Total).timeout(LONG).await;
                        reply.send(u64::from(matches!(refused, Err(CallError::Cycle { .. }))));
                        Ok(Next::go())
                    })
                })),
            );
            assert_eq!(requests.next_within(SECOND).await, None);
            assert_eq!(cycle::waits(), 2, "tied to both, and waiting for neither");
            early.open();
            assert_eq!(requests.next().await, Some((1, Ok(1))));
            assert_eq!(cycle::waits(), 1);
            assert_eq!(requests.next_within(2 * SECOND).await, None);
            done.pass().await;
            late.open();
            assert_eq!(requests.next().await, Some((2, Ok(1))));
            assert_eq!(cycle::waits(), 0);
            // What is added to a collection that has been waited for is known as well.
            requests.add(3, back.send_request(Ask::Total));
            let Some((3, Err(CallError::Cycle { .. }))) = requests.next().await else { panic!("no ring") };
            reply.send(1);
            Ok(Next::go())
        })
    }));
    assert_eq!(asked.await, Ok(1));
    assert_eq!(cycle::waits(), 0);
}

/// Row G1: waits for a collection in one runtime whose requests were sent in another, and on plain threads.
#[test]
fn a_collection_may_be_waited_for_anywhere() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (home, other) = (runtime(), runtime());
    let labs = home.block_on(labs(3));
    let mut requests = home.block_on(async { kept(&labs) });
    for lab in &labs {
        answer(lab, 1);
    }
    assert_eq!(other.block_on(requests.next()).map(|(_, r)| r), Some(Ok(1)));
    let (requests, second) = std::thread::spawn(move || {
        let second = futures::executor::block_on(requests.next_within(LONG));
        (requests, second)
    })
    .join()
    .unwrap();
    assert_eq!(second.map(|(_, r)| r), Some(Ok(1)));
    let rest = other.block_on(requests.wait_all_or_abandon(Instant::now() + LONG));
    assert_eq!(rest.len(), 1);
    // On an executor that is none of tokio's the server's runtime keeps the time.
    let mut requests = kept(&labs);
    assert_eq!(futures::executor::block_on(requests.next_within(Duration::from_millis(1))), None);
    drop(home);
    while let Some((_, response)) = other.block_on(requests.next()) {
        assert!(matches!(response, Err(CallError::Exited(_) | CallError::Closed)));
    }
}
