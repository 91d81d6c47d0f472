//! Requests: sent now, waited for later, given up or not. Collections of them are in `requests`.

use crate::support::{
    Alive, Ask, Counted, Gate, LONG, Lab, Plan, Tell, ask, echo, is_panic, law, pass, settle, tell,
};
use restante_genserver::{
    CallError, CallerRuns, ExitReason, InHand, Lane, Message, Next, Overflow, Redeliver, Request,
    SendOptions, Server, ServerRef, cycle, late_replies, multi_call, multi_cast, start,
};
use std::future::IntoFuture;
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

async fn lab() -> ServerRef<Lab> {
    start::<Lab>(Plan::default()).await.unwrap()
}

/// Answers the oldest call that the server keeps.
pub(crate) fn answer(lab: &ServerRef<Lab>, value: u64) {
    let job = tell(move |lab, _| {
        let kept = lab.kept.remove(0);
        Box::pin(async move {
            kept.send(value);
            Ok(Next::go())
        })
    });
    lab.cast(job).unwrap();
}

/// A server that is inside a handler until its gate opens.
pub(crate) async fn busy(settings: restante_genserver::ServerSettings<Lab>) -> (ServerRef<Lab>, Gate) {
    let lab = settings.start(Plan::default()).await.unwrap();
    let (entered, go) = (Gate::new(), Gate::new());
    let gates = (entered.clone(), go.clone());
    lab.cast(tell(move |_, _| {
        Box::pin(async move {
            gates.0.open();
            gates.1.pass().await;
            Ok(Next::go())
        })
    }))
    .unwrap();
    entered.pass().await;
    (lab, go)
}

/// Row G1. OTP `gen_server_SUITE`: `send_request`. A request is sent at once, by any sender, and answered whenever it is
/// waited for; several may be out, and are waited for in any order.
#[tokio::test(start_paused = true)]
async fn a_request_is_waited_for_later() {
    let lab = lab().await;
    let mut first = lab.send_request(echo(1));
    let second = lab.send_request(echo(2));
    let third: Request<()> = lab.send_request(Ask::Unit);
    assert_eq!(first.check(), None, "the server has had no turn, and no caller runs its handler");
    settle().await;
    assert_eq!(third.await, Ok(()));
    assert_eq!(second.wait_or_abandon(SECOND).await, Ok(2));
    assert_eq!(first.wait(SECOND).await, Some(Ok(1)));
    assert_eq!(first.wait(SECOND).await, Some(Err(CallError::NoReply)), "a response comes once");
    assert_eq!(first.check(), Some(Err(CallError::NoReply)));
    assert_eq!(law(&lab).await.handled, 3);
}

/// Row G1. OTP `gen_server_SUITE`: `send_request`, its time-outs: after a wait that has found nothing the request is as
/// good as before.
/// Clause 6.12.
#[tokio::test(start_paused = true)]
async fn a_wait_that_finds_nothing_leaves_the_request() {
    let lab = lab().await;
    // The next reply slot has been under a sweep's eyes, and is not any more.
    assert_eq!(lab.call(Ask::Keep).await, Err(CallError::Timeout));
    answer(&lab, 0);
    settle().await;
    let mut request = lab.send_request(Ask::Keep);
    let began = Instant::now();
    assert_eq!(request.wait(SECOND).await, None);
    assert_eq!(began.elapsed(), SECOND);
    assert_eq!(request.wait(Duration::ZERO).await, None);
    assert_eq!(request.wait_until(began).await, None, "a time that has passed is a look");
    assert_eq!(began.elapsed(), SECOND);
    let deadline = began + 3 * SECOND;
    assert_eq!(request.wait_until(deadline).await, None);
    assert_eq!(Instant::now(), deadline);
    // Longer than any default limit, and no sweep ends it, though one goes round for others.
    let other = lab.send_request(Ask::Keep);
    let swept = tokio::spawn(other.into_future());
    assert_eq!(request.wait(10 * SECOND).await, None);
    assert!(swept.is_finished());
    answer(&lab, 7);
    assert_eq!(request.wait(Duration::MAX).await, Some(Ok(7)));
    assert_eq!(Instant::now(), deadline + 10 * SECOND);
    law(&lab).await;
}

/// Row G1. OTP `gen_server_SUITE`: `send_request` (`receive_response`): a time-out there abandons the request; the late
/// reply goes nowhere, and is counted.
/// Clause 6.12.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_abandoned_has_a_late_reply() {
    let lab = lab().await;
    let began = Instant::now();
    let request = lab.send_request(Ask::Keep);
    assert_eq!(request.wait_or_abandon(SECOND).await, Err(CallError::Timeout));
    assert_eq!(began.elapsed(), SECOND);
    lab.send_request(Ask::Keep).abandon();
    let dropped = lab.send_request(Ask::Keep);
    settle().await;
    drop(dropped);
    let before = late_replies();
    let told = lab.call(ask(|lab, _, reply| {
        let late = lab.kept.drain(..).map(|kept| u64::from(!kept.is_awaited() && !kept.send(1))).sum();
        reply.send(late);
        Box::pin(async { Ok(Next::go()) })
    }));
    assert_eq!(told.await, Ok(2), "of three, one had not been begun");
    assert!(late_replies() >= before + 2);
    let ledger = law(&lab).await;
    assert_eq!((ledger.sent, ledger.handled, ledger.cancelled), (4, 3, 1));
}

/// Row G1: waiting for a request as such has the default limit of a call, from when the wait begins.
#[tokio::test(start_paused = true)]
async fn awaiting_a_request_has_the_default_limit() {
    let lab = lab().await;
    for waited in [Duration::ZERO, Duration::from_millis(100), 20 * SECOND] {
        let mut request = lab.send_request(Ask::Keep);
        assert_eq!(request.wait(waited).await, None);
        let began = Instant::now();
        assert_eq!(request.await, Err(CallError::Timeout));
        let took = began.elapsed();
        assert!((5 * SECOND..=Duration::from_millis(5250)).contains(&took), "{took:?} after {waited:?}");
    }
    let request = lab.send_request(Ask::Keep);
    tokio::time::sleep(60 * SECOND).await;
    let before = late_replies();
    for _ in 0..4 {
        answer(&lab, 8);
    }
    assert_eq!(request.await, Ok(8), "its time begins with the wait");
    assert!(late_replies() >= before + 3);
}

/// Row G1: a wait may be dropped at each of its awaits, and another begun.
#[tokio::test(start_paused = true)]
async fn a_wait_may_be_dropped_at_any_await() {
    let lab = lab().await;
    let mut request = lab.send_request(Ask::Keep);
    // Never polled, polled once, and waiting.
    drop(request.wait(SECOND));
    assert!(tokio::time::timeout(Duration::ZERO, request.wait(SECOND)).await.is_err());
    assert!(tokio::time::timeout(SECOND, request.wait(Duration::MAX)).await.is_err());
    answer(&lab, 3);
    settle().await;
    drop(request.wait(SECOND));
    assert_eq!(request.check(), Some(Ok(3)), "nor does it take the response along");
    // The waits that own it give it up.
    for waits in [true, false] {
        let request = lab.send_request(Ask::Keep);
        settle().await;
        if waits {
            assert!(tokio::time::timeout(SECOND, request.wait_or_abandon(LONG)).await.is_err());
        } else {
            assert!(tokio::time::timeout(SECOND, request).await.is_err());
        }
        let told = lab.call(ask(|lab, _, reply| {
            reply.send(u64::from(lab.kept.remove(0).is_awaited()));
            Box::pin(async { Ok(Next::go()) })
        }));
        assert_eq!(told.await, Ok(0));
    }
    law(&lab).await;
}

/// Row G1. OTP `gen_server`: "a missing name does not raise": whatever keeps a request from its server is its response,
/// and there at once.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_says_so_where_it_is_waited_for() {
    let began = Instant::now();
    // Closed, before anybody was there and after.
    let mailbox = Server::<Lab>::new("closed");
    let closed = mailbox.address();
    closed.close(ExitReason::Normal);
    assert_eq!(closed.send_request(echo(1)).await, Err(CallError::Closed));
    let ended = lab().await;
    ended.stop(ExitReason::shutdown_with("done"), SECOND).await.unwrap();
    let mut request = ended.send_request(echo(1));
    assert_eq!(request.check(), Some(Err(CallError::Exited(ExitReason::shutdown_with("done")))));
    // Full, whether the policy is to wait or to refuse.
    for overflow in [Overflow::wait(), Overflow::reject()] {
        let (lab, go) = busy(Server::settings().capacity(1).overflow(overflow)).await;
        let fits = lab.send_request(echo(1));
        assert_eq!(lab.send_request(echo(2)).wait(SECOND).await, Some(Err(CallError::Full)));
        go.open();
        assert_eq!(fits.await, Ok(1));
        assert_eq!(law(&lab).await.sent, 2);
    }
    // Too heavy, too many.
    let heavy = Server::<Lab>::settings().weight_limit(10, |_| 1).start(Plan::default()).await.unwrap();
    let request = heavy.send_request_with(SendOptions::new().weight(11), echo(1));
    assert_eq!(request.await, Err(CallError::TooHeavy { weight: 11, limit: 10 }));
    let limited = Server::<Lab>::settings().rate_limit(1, LONG).start(Plan::default()).await.unwrap();
    assert_eq!(limited.send_request(echo(1)).await, Ok(1));
    assert!(matches!(limited.send_request(echo(2)).await, Err(CallError::RateLimited { .. })));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// Row G1: what becomes of a request in its queue: shed, too old, purged, or its mailbox closed.
#[tokio::test(start_paused = true)]
async fn a_request_hears_of_its_fate_in_the_queue() {
    let (lab, go) = busy(Server::settings().capacity(2).overflow(Overflow::shed_oldest())).await;
    let mut shed = lab.send_request(echo(1));
    let kept = lab.send_request(echo(2));
    lab.cast(Tell::Add(1)).unwrap();
    assert_eq!(shed.check(), Some(Err(CallError::Shed)), "at once");
    go.open();
    assert_eq!(kept.await, Ok(2));
    assert_eq!(law(&lab).await.shed, 1);

    let (lab, go) = busy(Server::settings()).await;
    let old = lab.send_request_with(SendOptions::new().ttl(SECOND), echo(1));
    let mut purged = lab.send_request(echo(2));
    lab.cast_with(
        tell(|_, ctx| {
            let which =
                |m: &Message<Lab>| matches!(m, Message::Call(c) if matches!(c.call(), Ask::Echo(2, _)));
            assert_eq!(ctx.purge(which), 1);
            Box::pin(async { Ok(Next::go()) })
        }),
        SendOptions::new().lane(Lane::High),
    )
    .unwrap();
    tokio::time::sleep(2 * SECOND).await;
    go.open();
    settle().await;
    assert!(matches!(purged.check(), Some(Err(CallError::NoReply | CallError::Shed))), "{purged:?}");
    assert_eq!(old.await, Err(CallError::Timeout));

    let mailbox = Server::<Lab>::new("unserved");
    let mut queued = mailbox.address().send_request(echo(1));
    assert_eq!(queued.wait(SECOND).await, None, "it waits for a server");
    mailbox.address().close(ExitReason::Shutdown);
    assert_eq!(queued.check(), Some(Err(CallError::Exited(ExitReason::Shutdown))));
}

/// Row G1, G4: a server that ends with requests: those in hand and those that it kept hear the reason at once, those in the
/// queue wait for the next incarnation; where there is none to come, they hear it too.
#[tokio::test(start_paused = true)]
async fn requests_and_the_ends_of_their_server() {
    let began = Instant::now();
    let mailbox = Server::<Lab>::new("comes and goes");
    let lab = mailbox.start(Plan::default()).await.unwrap();
    let mut kept = lab.send_request(Ask::Keep);
    let mut boom = lab.send_request(Ask::Boom);
    let mut queued = lab.send_request(echo(5));
    lab.join().await;
    for request in [&mut kept, &mut boom] {
        let Some(Err(CallError::Exited(reason))) = request.check() else { panic!("{request:?}") };
        assert!(is_panic(&reason, "boom"));
    }
    assert_eq!(queued.check(), None);
    mailbox.start(Plan::default()).await.unwrap();
    assert_eq!(queued.wait(SECOND).await, Some(Ok(5)));

    let mut never = lab.send_request(Ask::Never);
    let mut queued = lab.send_request(echo(6));
    settle().await;
    lab.kill();
    assert_eq!(never.wait(SECOND).await, Some(Err(CallError::Exited(ExitReason::Killed))));
    mailbox.start(Plan::default()).await.unwrap();
    assert_eq!(queued.wait(SECOND).await, Some(Ok(6)));

    let mut kept = lab.send_request(Ask::Keep);
    settle().await;
    lab.stop(ExitReason::Shutdown, SECOND).await.unwrap();
    assert_eq!(kept.check(), Some(Err(CallError::Exited(ExitReason::Shutdown))));

    // One whose mailbox goes with it.
    let alone = self::lab().await;
    let (first, second) = (alone.send_request(Ask::Fail), alone.send_request(echo(1)));
    assert_eq!(first.await, Err(CallError::Exited(ExitReason::error("failed"))));
    assert_eq!(second.await, Err(CallError::Exited(ExitReason::error("failed"))));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// Row G4: a request in hand at a crash is delivered again like any call, where its server does so.
#[tokio::test(start_paused = true)]
async fn a_request_is_delivered_again() {
    struct Twice;
    impl restante_genserver::GenServer for Twice {
        type Args = ();
        type Call = restante_genserver::Reply<u32>;
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
            ctx: &mut restante_genserver::Context<Self>,
        ) -> restante_genserver::Step {
            assert!(ctx.incarnation() > 1, "the first falls");
            reply.send(ctx.incarnation());
            Ok(Next::go())
        }
    }
    impl Redeliver for Twice {
        fn retry_call(reply: &Self::Call) -> Option<Self::Call> {
            Some(reply.again())
        }
        fn retry_cast((): &()) -> Option<()> {
            None
        }
    }
    let mailbox = Server::<Twice>::settings().in_hand(InHand::redeliver(1)).build().unwrap();
    let server = mailbox.start(()).await.unwrap();
    let mut request = server.send_request(|reply| reply);
    server.join().await;
    assert_eq!(request.check(), None);
    mailbox.start(()).await.unwrap();
    assert_eq!(request.wait(SECOND).await, Some(Ok(2)));
}

/// Row G1: a request keeps nothing open: its server drains, answers it, and ends with its last reference.
/// Clause 6.11.
#[tokio::test(start_paused = true)]
async fn a_request_keeps_no_server() {
    let lab = lab().await;
    let (request, kept) = (lab.send_request(echo(9)), lab.send_request(Ask::Keep));
    let weak = lab.downgrade();
    drop(lab);
    assert_eq!(request.await, Ok(9));
    assert_eq!(kept.await, Err(CallError::Exited(ExitReason::Normal)));
    assert!(weak.upgrade().is_none());
}

/// Row G1: a response that is not taken is dropped once, wherever it is when its request goes.
#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_taken_is_dropped() {
    let lab = lab().await;
    let alive = Alive::default();
    let ask = |alive: &Alive| {
        let value = alive.one();
        lab.send_request(|reply| Ask::Counted(value, reply))
    };
    let (arrived, queued): (Request<Counted>, Request<Counted>) = (ask(&alive), ask(&alive));
    drop(queued);
    settle().await;
    assert_eq!(alive.count(), 1, "that which has arrived");
    drop(arrived);
    assert_eq!(alive.count(), 0);
    let taken = ask(&alive).await.unwrap();
    assert_eq!(alive.count(), 1);
    drop(taken);
    assert_eq!(alive.count(), 0);
}

/// Row G1: between the sender's messages a request keeps its place in its lane.
/// Clause 6.11.
#[tokio::test(start_paused = true)]
async fn requests_keep_their_order() {
    let plan = Plan::default();
    let lab = start::<Lab>(plan.clone()).await.unwrap();
    lab.cast(Tell::Say(1)).unwrap();
    let two = lab.send_request(echo(2));
    lab.cast(Tell::Say(3)).unwrap();
    let four = lab.send_request(echo(4));
    let urgent = lab.send_request_with(SendOptions::new().lane(Lane::High), echo(0));
    assert_eq!((four.await, two.await, urgent.await), (Ok(4), Ok(2), Ok(0)));
    assert_eq!(plan.log.take(), ["0", "1", "2", "3", "4"]);
}

/// Row G1: waiting inside a handler for a server that waits for us ends at once, whichever wait it is; looking does not
/// wait.
/// Clause 6.13.
#[tokio::test(start_paused = true)]
async fn a_wait_that_closes_a_ring_is_refused_at_once() {
    #[derive(Clone, Copy, Debug)]
    enum Way {
        Wait,
        Await,
        WaitOrAbandon,
    }
    for way in [Way::Wait, Way::Await, Way::WaitOrAbandon] {
        let (a, b) = (lab().await, lab().await);
        let began = Instant::now();
        let (back, to) = (a.clone(), b.clone());
        let asked = a.call(ask(move |_, _, reply| {
            Box::pin(async move {
                // b's handler calls a, which is here: that call waits.
                let mut request = to.send_request(ask(move |_, _, reply| {
                    Box::pin(async move {
                        let answer = back.call(Ask::Total).timeout(LONG).await;
                        reply.send(answer.unwrap_or(99));
                        Ok(Next::go())
                    })
                }));
                settle().await;
                assert_eq!(request.check(), None, "to look is not to wait");
                let response = match way {
                    Way::Wait => request.wait(LONG).await.unwrap(),
                    Way::Await => request.await,
                    Way::WaitOrAbandon => request.wait_or_abandon(LONG).await,
                };
                let Err(CallError::Cycle { path }) = response else { panic!("{response:?}") };
                assert_eq!(path.servers().len(), 2);
                reply.send(1);
                Ok(Next::go())
            })
        }));
        assert_eq!(asked.await, Ok(1));
        assert_eq!(b.call(Ask::Total).await, Ok(0));
        assert_eq!(began.elapsed(), Duration::ZERO, "{way:?}");
        // To oneself.
        let me = a.clone();
        let asked = a.call(ask(move |_, _, reply| {
            Box::pin(async move {
                let response = me.send_request(Ask::Total).await;
                reply.send(u64::from(matches!(response, Err(CallError::Cycle { .. }))));
                Ok(Next::go())
            })
        }));
        assert_eq!(asked.await, Ok(1));
    }
    assert_eq!(cycle::waits(), 0);
}

/// Row G1: while a handler waits for a request, a call that comes back to it is the one that is refused; a wait that was
/// dropped, and one that is over, is no wait.
#[tokio::test(start_paused = true)]
async fn a_wait_for_a_request_is_known_while_it_lasts() {
    let (a, b) = (lab().await, lab().await);
    let (back, to) = (a.clone(), b.clone());
    let asked = a.call(ask(move |_, _, reply| {
        Box::pin(async move {
            let go = Gate::new();
            let (gate, comes_back) = (go.clone(), back.clone());
            let mut request = to.send_request(ask(move |_, _, reply| {
                Box::pin(async move {
                    gate.pass().await;
                    let refused = comes_back.call(Ask::Total).timeout(LONG).await;
                    reply.send(u64::from(matches!(refused, Err(CallError::Cycle { .. }))));
                    Ok(Next::go())
                })
            }));
            assert_eq!(request.wait(SECOND).await, None);
            assert!(tokio::time::timeout(SECOND, request.wait(LONG)).await.is_err());
            assert_eq!(cycle::waits(), 0, "nobody waits now");
            go.open();
            let response = request.wait(LONG).await;
            reply.send(u64::from(response == Some(Ok(1))));
            Ok(Next::go())
        })
    }));
    assert_eq!(asked.await, Ok(1));
    assert_eq!(cycle::waits(), 0);
}

/// Row G1: a plain thread may wait; a thread that drives a runtime may not, and keeps its request.
#[test]
fn plain_threads_wait_for_requests() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let lab = runtime.block_on(lab());
    let mut request = lab.send_request(Ask::Keep);
    assert_eq!(request.wait_blocking(Duration::ZERO), None);
    assert_eq!(request.wait_blocking(Duration::from_millis(1)), None);
    let inside = runtime.enter();
    assert_eq!(request.wait_blocking(LONG), Some(Err(CallError::WouldBlock)));
    drop(inside);
    answer(&lab, 4);
    assert_eq!(request.wait_blocking(LONG), Some(Ok(4)));
    assert_eq!(lab.send_request(Ask::Boom).wait_blocking(LONG).map(|r| r.is_err()), Some(true));
}

/// Row G1, failure mode 1: a request goes where it likes: sent in one runtime, waited for in another, or on an executor
/// that is none of tokio's.
#[test]
fn a_request_may_be_waited_for_in_another_runtime() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (home, other) = (runtime(), runtime());
    let lab = home.block_on(lab());
    let request = home.block_on(async { lab.send_request(echo(1)) });
    assert_eq!(other.block_on(request.into_future()), Ok(1));
    let mut request = other.block_on(async { lab.send_request(Ask::Keep) });
    assert_eq!(other.block_on(request.wait(Duration::from_millis(1))), None);
    let told = futures::executor::block_on(request.wait(Duration::from_millis(1)));
    assert_eq!(told, None, "the server's runtime keeps the time");
    answer(&lab, 2);
    assert_eq!(futures::executor::block_on(request.into_future()), Ok(2));
    // The runtime goes, and the server with it.
    let request = lab.send_request(Ask::Never);
    drop(home);
    assert!(matches!(other.block_on(request.into_future()), Err(CallError::Exited(_) | CallError::Closed)));
}

/// Row G1. OTP `gen_server_SUITE`: `multicall`. Every server is asked once, and answers stand in the order of the servers.
#[tokio::test(start_paused = true)]
async fn a_multi_call_asks_them_all() {
    let mut servers = Vec::new();
    for _ in 0..5 {
        servers.push(lab().await);
    }
    for (n, server) in (0..).zip(&servers) {
        server.cast(Tell::Add(n * n)).unwrap();
    }
    let all = multi_call(&servers, SECOND, Ask::Total).await;
    assert_eq!(all.replies, [(0, 0), (1, 1), (2, 4), (3, 9), (4, 16)]);
    assert_eq!(all.failures, []);
    let none = multi_call::<Lab, u64>(&[], SECOND, Ask::Total).await;
    assert!(none.replies.is_empty() && none.failures.is_empty());
    for server in &servers {
        assert_eq!(law(server).await.handled, 2);
    }
}

/// Row G1. OTP `gen_server_SUITE`: `multicall_down`, `multicall_remote` (its time-out): one deadline for all; those who do not
/// answer are told apart, and keep no caller.
/// Clause 6.16.
#[tokio::test(start_paused = true)]
async fn a_multi_call_has_one_deadline_for_all() {
    let (alive, slow, slower, gone, full) = (lab().await, lab().await, lab().await, lab().await, {
        busy(Server::settings().capacity(1)).await.0
    });
    gone.stop(ExitReason::Normal, SECOND).await.unwrap();
    full.cast(Tell::Add(1)).unwrap();
    let servers = [slow.clone(), alive, gone, slower, full];
    let mut asked = 0;
    let began = Instant::now();
    let all = multi_call(&servers, SECOND, |reply| {
        asked += 1;
        if matches!(asked, 1 | 4) { Ask::Keep(reply) } else { Ask::Echo(asked, reply) }
    })
    .await;
    assert_eq!(began.elapsed(), SECOND, "not one second each");
    assert_eq!(all.replies, [(1, 2)]);
    let exited = CallError::Exited(ExitReason::Normal);
    assert_eq!(
        all.failures,
        [(0, CallError::Timeout), (2, exited), (3, CallError::Timeout), (4, CallError::Full)]
    );
    let awaited = slow.call(ask(|lab, _, reply| {
        reply.send(u64::from(lab.kept[0].is_awaited()));
        Box::pin(async { Ok(Next::go()) })
    }));
    assert_eq!(awaited.await, Ok(0), "abandoned");
}

/// Row G1. OTP `gen_server_SUITE`: `multicall_remote` (a server dies meanwhile): the answer is there with the last one
/// that lives, however long its time; giving up gives up all.
#[tokio::test(start_paused = true)]
async fn a_multi_call_ends_with_the_last_answer() {
    let (one, dies, other) = (lab().await, lab().await, lab().await);
    let servers = [one.clone(), dies.clone(), other.clone()];
    let began = Instant::now();
    let asked = tokio::spawn(async move { multi_call(&servers, Duration::MAX, Ask::Keep).await });
    settle().await;
    dies.kill();
    answer(&other, 3);
    tokio::time::sleep(100 * SECOND).await;
    assert!(!asked.is_finished());
    answer(&one, 1);
    let all = asked.await.unwrap();
    assert_eq!(all.replies, [(0, 1), (2, 3)]);
    assert_eq!(all.failures, [(1, CallError::Exited(ExitReason::Killed))]);
    assert_eq!(began.elapsed(), 100 * SECOND);
    let servers = [one.clone(), other];
    assert!(tokio::time::timeout(SECOND, multi_call(&servers, LONG, Ask::Keep)).await.is_err());
    let awaited = one.call(ask(|lab, _, reply| {
        reply.send(u64::from(lab.kept[0].is_awaited()));
        Box::pin(async { Ok(Next::go()) })
    }));
    assert_eq!(awaited.await, Ok(0));
}

/// Row G1. OTP `gen_server_SUITE`: `multicall_recv_opt_success`, `multicall_recv_opt_timeout`,
/// `multicall_recv_opt_noconnection`: from inside a server with a huge queue of its own, which no reply passes through.
#[tokio::test(start_paused = true)]
async fn a_huge_queue_does_not_slow_a_multi_call() {
    let caller = Server::<Lab>::settings().unbounded().start(Plan::default()).await.unwrap();
    let (one, other, gone) = (lab().await, lab().await, lab().await);
    gone.stop(ExitReason::Normal, SECOND).await.unwrap();
    let asked = caller.send_request(ask(move |_, ctx, reply| {
        let me = ctx.server();
        Box::pin(async move {
            for _ in 0..100_000 {
                me.cast(Tell::Add(1)).map_err(|e| ExitReason::error(e.to_string()))?;
            }
            let mut right = 0;
            for _ in 0..100 {
                let both = multi_call(&[one.clone(), other.clone()], Duration::MAX, Ask::Total).await;
                right += u64::from(both.replies == [(0, 0), (1, 0)] && both.failures.is_empty());
                let with_gone = multi_call(&[gone.clone(), other.clone()], SECOND, Ask::Total).await;
                right += u64::from(with_gone.replies == [(1, 0)] && with_gone.failures.len() == 1);
            }
            let late = multi_call::<_, u64>(&[one, other], SECOND, Ask::Keep).await;
            right += u64::from(late.replies.is_empty() && late.failures.len() == 2);
            assert_eq!(me.stats().depth, 100_000);
            reply.send(right);
            Ok(Next::go())
        })
    }));
    assert_eq!(asked.await, Ok(201));
}

/// Row G1. OTP `gen_server_SUITE`: `abcast`. Every server has the cast; differs: who refuses it is named, with it.
/// Clause 6.16.
#[tokio::test(start_paused = true)]
async fn a_multi_cast_tells_who_refused() {
    let (one, other, gone) = (lab().await, lab().await, lab().await);
    gone.stop(ExitReason::Normal, SECOND).await.unwrap();
    let servers = [one.clone(), gone, other.clone()];
    let refused = multi_cast(&servers, || Tell::Add(2));
    let [(1, error)] = <[_; 1]>::try_from(refused).unwrap_or_else(|r| panic!("{}", r.len())) else {
        panic!("another")
    };
    assert!(matches!(error.into_message(), Tell::Add(2)));
    for server in [one, other] {
        assert_eq!(server.call(Ask::Total).await, Ok(2));
    }
}

/// Row G1. OTP `gen_server_SUITE`: `call_with_huge_message_queue`. A reply goes to its request and through no queue: how
/// many messages lie in the caller's mailbox makes no difference to it.
#[tokio::test(start_paused = true)]
async fn a_huge_queue_does_not_slow_a_request() {
    let caller = Server::<Lab>::settings().unbounded().start(Plan::default()).await.unwrap();
    let server =
        Server::<Lab>::settings().caller_runs(CallerRuns::Never).start(Plan::default()).await.unwrap();
    let asked = caller.send_request(ask(move |_, ctx, reply| {
        let me = ctx.server();
        Box::pin(async move {
            for n in 0..100_000 {
                me.cast(Tell::Add(n % 2)).map_err(|e| ExitReason::error(e.to_string()))?;
            }
            let mut answered = 0;
            for n in 0..1000 {
                answered += u64::from(server.send_request(echo(n)).await == Ok(n));
            }
            assert_eq!(me.stats().depth, 100_000);
            reply.send(answered);
            Ok(Next::go())
        })
    }));
    assert_eq!(asked.await, Ok(1000));
    assert_eq!(caller.call(Ask::Total).await, Ok(50_000));
}

/// Row G1: a request to a server that callers might run is not run by its sender.
/// Clause 6.11.
#[tokio::test(start_paused = true)]
async fn sending_a_request_runs_no_handler() {
    let lab = lab().await;
    let (entered, go) = (Gate::new(), Gate::new());
    let mut first = lab.send_request(pass(&entered, &go));
    let mut second = lab.send_request(Ask::Total);
    assert_eq!((first.check(), second.check()), (None, None));
    assert_eq!(lab.stats().depth, 2);
    entered.pass().await;
    go.open();
    assert_eq!((first.wait(SECOND).await, second.wait(SECOND).await), (Some(Ok(1)), Some(Ok(0))));
}
