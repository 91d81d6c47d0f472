//! Requests with a reply: from one client, from many, from a plain thread.

use std::thread;

use tokio::sync::oneshot;

use super::counter::Counter;
use crate::{
    measured::{Measured, Stopwatch},
    system::{Start, System},
};

pub(crate) async fn from_one<S: System>(count: u64, start: Start) -> Measured {
    let server = S::start(start, Counter::default()).await;
    assert_eq!(S::call(&server, 0).await, 0);

    let mut total = 0;
    let watch = Stopwatch::start();
    for x in 0..count {
        total += x;
        assert_eq!(S::call(&server, x).await, total);
    }
    watch.stop(count)
}

pub(crate) async fn from_many<S: System>(count: u64) -> Measured {
    const CLIENTS: u64 = 64;
    let share = count / CLIENTS;
    let server = S::start(Start::BOUNDED, Counter::default()).await;
    assert_eq!(S::call(&server, 0).await, 0);

    let watch = Stopwatch::start();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let server = server.clone();
            S::task(async move {
                let mut last = 0;
                for _ in 0..share {
                    let reply = S::call(&server, 1).await;
                    assert!(reply > last, "the counter grows");
                    last = reply;
                }
            })
        })
        .collect();
    for client in clients {
        client.await;
    }
    let measured = watch.stop(share * CLIENTS);

    assert_eq!(S::call(&server, 0).await, share * CLIENTS);
    measured
}

pub(crate) async fn from_thread<S: System>(count: u64) -> Measured {
    let server = S::start(Start::BOUNDED, Counter::default()).await;
    assert_eq!(S::call(&server, 0).await, 0);

    let (done, measured) = oneshot::channel();
    thread::spawn(move || {
        let mut total = 0;
        let watch = Stopwatch::start();
        for x in 0..count {
            total += x;
            assert_eq!(S::call_blocking(&server, x), total);
        }
        let _ = done.send(watch.stop(count));
    });
    measured.await.expect("the thread ends well")
}
