//! One server through its life: called, cast to, crashed, started again over the same mailbox, killed, stopped.

use crate::support::{Ask, LONG, Lab, Plan, Tell, echo, is_panic, law};
use restante_genserver::{CallError, ExitReason, Server, start};

async fn life() {
    let alone = start::<Lab>(Plan::default()).await.unwrap();
    alone.cast(Tell::Add(42)).unwrap();
    assert_eq!(alone.call(Ask::Total).await, Ok(42));
    for i in 0..5000 {
        alone.send(Tell::Add(i)).await.unwrap();
    }
    assert_eq!(alone.call(Ask::Total).await, Ok(42 + 4999 * 5000 / 2));

    let mailbox = Server::<Lab>::new("lab");
    let lab = mailbox.address();
    lab.cast(Tell::Add(5)).unwrap();
    mailbox.start(Plan::default()).await.unwrap();
    assert_eq!(lab.call(Ask::Total).await, Ok(5));
    let Err(CallError::Exited(reason)) = lab.call(Ask::Boom).await else { panic!("no reason") };
    assert!(is_panic(&reason, "boom"));
    lab.cast(Tell::Add(7)).unwrap();
    lab.join().await;
    mailbox.start(Plan::default()).await.unwrap();
    assert_eq!(lab.call(Ask::Total).await, Ok(7), "a fresh state, the old mailbox");
    lab.kill();
    lab.join().await;
    mailbox.start(Plan::default()).await.unwrap();
    assert_eq!(lab.call(echo(3)).await, Ok(3));
    assert_eq!(lab.stop(ExitReason::Shutdown, LONG).await, Ok(()));
    assert_eq!(law(&lab).await.failed, 1);
    law(&alone).await;
}

/// Row A2: call, cast and info over a mailbox that outlives its server.
#[tokio::test]
async fn a_server_lives_on_one_thread() {
    life().await;
}

/// Row A2: the same from a task of a runtime with two workers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_lives_on_two_threads() {
    tokio::spawn(life()).await.unwrap();
}
