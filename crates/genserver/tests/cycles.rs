//! Call cycles are errors at once, in debug and release alike; what does not wait closes no ring.

use crate::support::{Gate, law, settle};
use restante_genserver::{
    CallError, CallerRuns, Context, ExitReason, GenServer, Init, Next, Recipient, Reply, SendError, Server,
    ServerRef, Step,
};
use restante_testkit::Probe;
use std::time::Duration;
use tokio::time::Instant;

/// Passes a question along a route of servers.
struct Hop;

enum Ask {
    /// Asks the first of the route with the rest of it; the end of the route answers.
    Along(Vec<ServerRef<Hop>>, Reply<Result<u64, CallError>>),
    /// Asks along the route after an await, so that every handler on the way is half done.
    Slowly(Vec<ServerRef<Hop>>, Reply<Result<u64, CallError>>),
    /// Asks from a task that the handler spawns and does not wait for.
    BySpawned(ServerRef<Hop>, Reply<u64>),
    /// Casts to oneself through another server.
    ByCast(ServerRef<Hop>, Reply<Result<u64, CallError>>),
    Number(Reply<u64>),
}

enum Tell {
    /// Casts on.
    Bounce(ServerRef<Hop>),
    /// Fills the next one's mailbox and goes on waiting for room.
    Push {
        to: ServerRef<Hop>,
        entered: Gate,
        go: Gate,
        told: Recipient<bool>,
    },
    Nothing,
}

impl GenServer for Hop {
    type Args = ();
    type Call = Ask;
    type Cast = Tell;
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, call: Ask, ctx: &mut Context<Self>) -> Step {
        match call {
            Ask::Along(mut route, reply) => {
                let answer = if route.is_empty() {
                    Ok(1)
                } else {
                    let next = route.remove(0);
                    next.call(|r| Ask::Along(route, r)).await.and_then(|deeper| deeper)
                };
                reply.send(answer);
            }
            Ask::Slowly(mut route, reply) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let answer = if route.is_empty() {
                    Ok(1)
                } else {
                    let next = route.remove(0);
                    next.call(|r| Ask::Slowly(route, r)).await.and_then(|deeper| deeper)
                };
                reply.send(answer);
            }
            Ask::BySpawned(to, reply) => {
                tokio::spawn(async move {
                    let n = to.call(Ask::Number).await;
                    reply.send(n.unwrap_or(0));
                });
            }
            Ask::ByCast(to, reply) => {
                to.cast(Tell::Bounce(ctx.server())).map_err(|e| ExitReason::error(e.to_string()))?;
                reply.send(Ok(2));
            }
            Ask::Number(reply) => drop(reply.send(3)),
        }
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, cast: Tell, _: &mut Context<Self>) -> Step {
        match cast {
            Tell::Bounce(to) => drop(to.cast(Tell::Nothing)),
            Tell::Push { to, entered, go, told } => {
                entered.open();
                go.pass().await;
                loop {
                    match to.send(Tell::Nothing).await {
                        Ok(()) => {}
                        Err(SendError::Cycle { .. }) => {
                            break {
                                let _ = told.try_send(true);
                            };
                        }
                        Err(_) => {
                            break {
                                let _ = told.try_send(false);
                            };
                        }
                    }
                }
            }
            Tell::Nothing => {}
        }
        Ok(Next::go())
    }
}

async fn ring(names: &[&'static str], runs: CallerRuns, capacity: usize) -> Vec<ServerRef<Hop>> {
    let mut servers = Vec::new();
    for name in names {
        let settings = Server::<Hop>::settings().name(*name).capacity(capacity).caller_runs(runs);
        servers.push(settings.start(()).await.unwrap());
    }
    servers
}

/// Walks a route through the ring; the names that the refusal shows, less the type's path.
async fn walk(servers: &[ServerRef<Hop>], route: &[usize], slowly: bool) -> Result<u64, Vec<String>> {
    let began = Instant::now();
    let rest: Vec<_> = route[1..].iter().map(|i| servers[*i].clone()).collect();
    let first = &servers[route[0]];
    let answer = if slowly {
        first.call(|r| Ask::Slowly(rest, r)).await
    } else {
        first.call(|r| Ask::Along(rest, r)).await
    };
    assert!(began.elapsed() < Duration::from_secs(1), "at once, not at the limit");
    match answer.unwrap() {
        Ok(n) => Ok(n),
        Err(CallError::Cycle { path }) => {
            Err(path.servers().iter().map(|s| s.rsplit("::").next().unwrap_or(s).to_owned()).collect())
        }
        Err(other) => panic!("{other}"),
    }
}

/// Row G1 (`calling_self`), failure mode 4, clauses 8.1, 8.2, 8.3: A→A, A→B→A, A→B→C→A.
#[tokio::test(start_paused = true)]
async fn a_call_that_closes_a_ring_is_refused_at_once() {
    for runs in [CallerRuns::Auto, CallerRuns::Never] {
        let servers = ring(&["a", "b", "c"], runs, 8).await;
        for slowly in [false, true] {
            for (route, length) in [(&[0, 0][..], 1), (&[0, 1, 0], 2), (&[0, 1, 2, 0], 3), (&[0, 1, 2, 1], 2)]
            {
                let path = walk(&servers, route, slowly).await.expect_err("refused");
                assert_eq!(path.len(), length, "{route:?} {path:?}");
            }
            assert_eq!(walk(&servers, &[0, 1, 2], slowly).await, Ok(1), "no ring, no refusal");
        }
        for server in &servers {
            law(server).await;
        }
    }
    assert_eq!(restante_genserver::cycle::waits(), 0, "every wait was taken down");
}

/// Clause 8.2: the refusal names the servers of the ring.
#[tokio::test(start_paused = true)]
async fn the_refusal_names_the_ring() {
    let servers = ring(&["a", "b", "c"], CallerRuns::Never, 8).await;
    assert_eq!(walk(&servers, &[0, 0], true).await, Err(vec!["a".into()]));
    assert_eq!(walk(&servers, &[0, 1, 0], true).await, Err(vec!["a".into(), "b".into()]));
    assert_eq!(walk(&servers, &[0, 1, 2, 0], true).await, Err(vec!["a".into(), "b".into(), "c".into()]));
}

/// Clause 8.2: two rings that close again and again at the same time: calls that cross are refused or answered, and each
/// caller has its answers. How many are refused is the schedule's affair: a wait lasts until its future has been polled to its
/// end, 8.1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crossing_calls_finish() {
    const ANSWERS: u64 = 100;
    let servers = ring(&["a", "b"], CallerRuns::Auto, 64).await;
    let callers: Vec<_> = (0..2)
        .map(|me| {
            let servers = servers.clone();
            tokio::spawn(async move {
                let (mut answered, mut refused) = (0, 0);
                while answered < ANSWERS {
                    let other = servers[1 - me].clone();
                    match servers[me].call(|r| Ask::Along(vec![other], r)).await.unwrap() {
                        Ok(1) => answered += 1,
                        Err(CallError::Cycle { .. }) => refused += 1,
                        other => panic!("{other:?}"),
                    }
                }
                refused
            })
        })
        .collect();
    let mut refused = 0;
    for caller in callers {
        refused += caller.await.unwrap();
    }
    let mut handled = 0;
    for server in &servers {
        let ledger = law(server).await;
        assert_eq!(ledger.failed, 0);
        handled += ledger.handled;
    }
    // Of each call that was answered the servers handled two, of each that was refused one, or two: it may have been begun before
    // its caller was told.
    let answers = 4 * ANSWERS;
    assert!((answers + refused..=answers + 2 * refused).contains(&handled), "{handled}, {refused} refused");
    assert_eq!(restante_genserver::cycle::waits(), 0);
}

/// Clause 8.4: a cast breaks the chain, and a spawned task is not its server.
#[tokio::test(start_paused = true)]
async fn casts_and_spawned_tasks_close_no_ring() {
    for runs in [CallerRuns::Auto, CallerRuns::Never] {
        let servers = ring(&["a", "b"], runs, 8).await;
        assert_eq!(servers[0].call(|r| Ask::ByCast(servers[1].clone(), r)).await, Ok(Ok(2)));
        assert_eq!(servers[0].call(|r| Ask::BySpawned(servers[0].clone(), r)).await, Ok(3));
        settle().await;
        let ledger = law(&servers[0]).await;
        assert_eq!((ledger.handled, ledger.failed), (4, 0));
    }
}

/// Clauses 8.1, 8.2, failure mode 2: a ring of servers with one slot each, all of whose handlers send on until there is
/// no room.
#[tokio::test(start_paused = true)]
async fn a_ring_of_waiting_senders_is_reported() {
    let servers = ring(&["a", "b", "c", "d", "e"], CallerRuns::Auto, 1).await;
    let (entered, go) = (Gate::new(), Gate::new());
    let mut reports = Probe::new();
    let told = reports.recipient();
    for (n, server) in servers.iter().enumerate() {
        let to = servers[(n + 1) % servers.len()].clone();
        server.cast(Tell::Push { to, entered: entered.clone(), go: go.clone(), told: told.clone() }).unwrap();
    }
    for _ in &servers {
        entered.pass().await;
    }
    for _ in &servers {
        go.open();
    }
    // The last wait is refused.
    reports.expect_eq(true).await;
    for server in &servers {
        server.kill();
        server.join().await;
        law(server).await;
    }
    assert_eq!(restante_genserver::cycle::waits(), 0);
}
