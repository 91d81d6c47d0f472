//! Waits of servers for servers that begin, end and are left behind in every order: what the graph of waits knows at each
//! moment. (What a plain ring is told: `cycles`.)

use crate::support::{Ask, Gate, LONG, Lab, Plan, Tell, ask, echo, law, pass, settle, tell};
use restante_genserver::{CallError, Next, Requests, Server, ServerRef, cycle, start};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

async fn labs<const N: usize>() -> [ServerRef<Lab>; N] {
    let mut labs = Vec::new();
    for _ in 0..N {
        labs.push(start::<Lab>(Plan::default()).await.unwrap());
    }
    labs.try_into().expect("there are so many")
}

/// A call whose handler opens the first gate, passes the second, calls `to`, and answers 1 if that closed a ring.
fn calls(
    to: &ServerRef<Lab>,
    entered: &Gate,
    go: &Gate,
) -> impl FnOnce(restante_genserver::Reply<u64>) -> Ask + use<> {
    let (to, entered, go) = (to.clone(), entered.clone(), go.clone());
    ask(move |_, _, reply| {
        Box::pin(async move {
            entered.open();
            go.pass().await;
            let told = to.call(Ask::Total).timeout(LONG).await;
            reply.send(u64::from(matches!(told, Err(CallError::Cycle { .. }))));
            Ok(Next::go())
        })
    })
}

/// Clause 8.1, 8.2: a caller that runs another's handler on its own stack waits as well: a ring may close over any server on
/// the stack, not only over the innermost.
#[tokio::test(start_paused = true)]
async fn a_ring_may_close_over_any_server_on_the_stack() {
    let [a, b, x] = labs().await;
    let (entered, go, waits) = (Gate::new(), Gate::new(), Gate::new());
    // `a` waits at a gate, `x` for `a`; then `a` calls `b`, whose handler runs on its stack and calls `x`.
    let (outer, inner, opened, then) = (b.clone(), x.clone(), entered.clone(), go.clone());
    let began = Instant::now();
    let told = tokio::spawn({
        let a = a.clone();
        async move {
            a.call(ask(move |_, _, reply| {
                Box::pin(async move {
                    opened.open();
                    then.pass().await;
                    let asked = outer.call(ask(move |_, _, reply| {
                        Box::pin(async move {
                            let told = inner.call(Ask::Total).timeout(LONG).await;
                            let CallError::Cycle { path } = told.unwrap_err() else { panic!("no ring") };
                            reply.send(path.servers().len() as u64);
                            Ok(Next::go())
                        })
                    }));
                    reply.send(asked.await.unwrap());
                    Ok(Next::go())
                })
            }))
            .await
        }
    });
    entered.pass().await;
    let back = tokio::spawn({
        let call = calls(&a, &waits, &waits);
        let x = x.clone();
        async move { x.call(call).await }
    });
    settle().await;
    assert_eq!(cycle::waits(), 1, "x waits for a");
    go.open();
    assert_eq!(told.await.unwrap(), Ok(3), "x, a, and b on its stack");
    assert_eq!(back.await.unwrap(), Ok(0), "the others go on");
    assert_eq!((began.elapsed(), cycle::waits()), (Duration::ZERO, 0));
}

/// Clause 8.1: a wait lasts as long as itself, and not only until another wait of its server is over.
#[tokio::test(start_paused = true)]
async fn a_wait_goes_on_when_another_of_its_server_is_over() {
    let [a, b, c] = labs().await;
    let (entered, go, to_b, to_c) = (Gate::new(), Gate::new(), b.clone(), c.clone());
    let ((b_entered, b_go), ask_c) = ((Gate::new(), Gate::new()), calls(&a, &entered, &go));
    let ask_b = pass(&b_entered, &b_go);
    let both = tokio::spawn({
        let a = a.clone();
        async move {
            a.call(ask(move |_, _, reply| {
                Box::pin(async move {
                    let (one, two) = tokio::join!(to_b.call(ask_b), to_c.call(ask_c).timeout(LONG));
                    reply.send(one.unwrap() + 10 * two.unwrap());
                    Ok(Next::go())
                })
            }))
            .await
        }
    });
    entered.pass().await;
    b_entered.pass().await;
    assert_eq!(cycle::waits(), 2);
    b_go.open();
    settle().await;
    assert_eq!(cycle::waits(), 1, "for c it still waits");
    go.open();
    assert_eq!(both.await.unwrap(), Ok(11), "and c is told so");
    // Two waits for one server are two: the first that ends leaves the other.
    let (first, second) = ((Gate::new(), Gate::new()), calls(&a, &entered, &go));
    let (to_b, to_b_too, quick) = (b.clone(), b.clone(), pass(&first.0, &first.1));
    let both = tokio::spawn({
        let a = a.clone();
        async move {
            a.call(ask(move |_, _, reply| {
                Box::pin(async move {
                    let (one, two) = tokio::join!(to_b.call(quick), to_b_too.call(second).timeout(LONG));
                    reply.send(one.unwrap() + 10 * two.unwrap());
                    Ok(Next::go())
                })
            }))
            .await
        }
    });
    first.0.pass().await;
    first.1.open();
    entered.pass().await;
    go.open();
    assert_eq!(both.await.unwrap(), Ok(11));
    assert_eq!(cycle::waits(), 0);
    for lab in [&a, &b, &c] {
        law(lab).await;
    }
}

/// Clause 6.15: a collection waits for a server until that has given its last answer, not its first.
#[tokio::test(start_paused = true)]
async fn a_collection_waits_for_a_server_until_its_last_answer() {
    let [a, b] = labs().await;
    let (entered, go, to) = (Gate::new(), Gate::new(), b.clone());
    let second = calls(&a, &entered, &go);
    go.open();
    let asked = a.call(ask(move |_, _, reply| {
        Box::pin(async move {
            let mut requests = Requests::new();
            requests.add(1, to.send_request(echo(5)));
            requests.add(2, to.send_request(second));
            assert_eq!(requests.next().await, Some((1, Ok(5))));
            assert_eq!(requests.next().await, Some((2, Ok(1))), "the call back closes a ring");
            reply.send(1);
            Ok(Next::go())
        })
    }));
    assert_eq!(asked.timeout(LONG).await, Ok(1));
    assert_eq!(cycle::waits(), 0);
}

/// Clause 5.6: what an incarnation waited for ends with it, wherever the wait's future has gone: a later incarnation is in no
/// other server's way.
#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_its_incarnation() {
    let server = Server::<Lab>::new("forgetful");
    let a = server.start(Plan::default()).await.unwrap();
    let [b] = labs().await;
    let (entered, go) = (Gate::new(), Gate::new());
    let to: &'static ServerRef<Lab> = Box::leak(Box::new(b.clone()));
    let calls_back = calls(&a, &entered, &go);
    let moved = Arc::new(Mutex::new(None));
    let keeps = Arc::clone(&moved);
    a.cast(tell(move |_, _| {
        Box::pin(async move {
            let mut call = Box::pin(to.call(calls_back).timeout(LONG));
            assert!(futures::poll!(&mut call).is_pending());
            *keeps.lock().unwrap() = Some(call);
            Ok(Next::go())
        })
    }))
    .unwrap();
    entered.pass().await;
    assert_eq!(cycle::waits(), 1);
    a.cast(Tell::Boom).unwrap();
    a.join().await;
    assert_eq!(cycle::waits(), 0);
    server.start(Plan::default()).await.unwrap();
    go.open();
    let call = moved.lock().unwrap().take().expect("it was left there");
    assert_eq!(call.await, Ok(0), "b may call the new incarnation, which does not wait for it");
    assert_eq!(cycle::waits(), 0);
}
