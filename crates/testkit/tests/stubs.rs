//! Stubs: a server that answers as told, and that callers cannot tell from a real one.

use crate::support::{Ask, Counter, SECOND, Tell, counter, fails};
use restante_core::monitor::Watch;
use restante_genserver::{CallError, ExitReason, SendError, Server, StartError, StopError, link};
use restante_testkit::{
    Kind, MonitorProbe, Received, StubServer, Universe, crash, expect_down, quiet_panics, settled,
};
use std::time::Duration;

async fn stub() -> StubServer<Counter> {
    StubServer::start().await.expect("it starts")
}

/// Clause 25.2: none of the server's own code runs.
#[test]
fn a_stub_answers_as_it_is_told() {
    Universe::new().run(async |world| {
        let mut stub = stub().await;
        let server = stub.server();
        // By the test, when it likes.
        let asks = server.clone();
        let task = world.spawn(async move { asks.call(Ask::Total).await });
        let Ask::Total(reply) = stub.expect_call().await else { panic!("it asks for the total") };
        assert!(reply.send(7));
        assert_eq!(task.await.unwrap(), Ok(7));
        server.cast(Tell::Add(1)).unwrap();
        server.info(2).unwrap();
        assert!(matches!(stub.expect_cast().await, Tell::Add(1)));
        assert_eq!(stub.expect_info().await, 2);
        // By closures.
        let (tell, mut told) = tokio::sync::mpsc::channel(8);
        let infos = tell.clone();
        stub.on_call(|ask| match ask {
            Ask::Total(reply) => drop(reply.send(8)),
            other => drop(other),
        })
        .on_cast(move |cast| tell.try_send(format!("{cast:?}")).unwrap())
        .on_info(move |n| infos.try_send(n.to_string()).unwrap());
        assert_eq!(server.call(Ask::Total).await, Ok(8));
        assert_eq!(server.call(Ask::Keep).await, Err(CallError::NoReply));
        server.cast(Tell::Add(3)).unwrap();
        server.info(4).unwrap();
        stub.expect_no_message(SECOND).await;
        assert_eq!([told.recv().await.unwrap(), told.recv().await.unwrap()], ["Add(3)", "4"]);
    });
}

/// Clause 25.2: what code that holds a `ServerRef` can see of a server, it sees of a stub.
#[test]
fn a_stub_has_a_server_s_life() {
    let quiet = quiet_panics("told to");
    Universe::new().run(async |_| {
        let stub = stub().await;
        let server = stub.server();
        assert!(server.is_alive() && !server.is_closed() && server.incarnation() == 1);
        // A caller gives up; a link hears of a crash, and so does a monitor.
        assert_eq!(server.call(Ask::Total).timeout(SECOND).await, Err(CallError::Timeout));
        let linked = counter().await;
        link(&linked, &server);
        let mut monitor = MonitorProbe::of(&server);
        stub.on_cast(|_| panic!("told to"));
        server.cast(Tell::Add(1)).unwrap();
        let exit = monitor.expect_down().await;
        assert_eq!(exit.message, Some("add"));
        assert!(matches!(expect_down(&linked).await.reason, ExitReason::Panic(_)));
        // Calls wait for the next incarnation.
        stub.on_call(|ask| match ask {
            Ask::Total(reply) => drop(reply.send(1)),
            other => drop(other),
        });
        let call = tokio::spawn({
            let server = server.clone();
            async move { server.call(Ask::Total).await }
        });
        stub.start_again().await.unwrap();
        assert_eq!(call.await.unwrap(), Ok(1));
        assert_eq!(stub.start_again().await, Err(StartError::AlreadyStarted));
        // It is told to stop, and killed.
        assert_eq!(server.stop(ExitReason::Shutdown, SECOND).await, Ok(()));
        assert_eq!(server.stop(ExitReason::Shutdown, SECOND).await, Err(StopError::NotRunning));
        stub.start_again().await.unwrap();
        assert_eq!(crash(&server).await.incarnation, 3);
        server.close(ExitReason::Normal);
        assert_eq!(stub.start_again().await, Err(StartError::Closed));
        assert!(server.cast(Tell::Add(1)).is_err());
        assert_eq!(server.stats().ledger.lost(), 0);
    });
    drop(quiet);
}

/// Clause 25.2: its mailbox has the bound that it was given, and its casts their order.
#[test]
fn a_stub_that_is_held_lets_its_mailbox_fill() {
    Universe::new().run(async |_| {
        let settings = Server::<Counter>::settings().capacity(2);
        let mut stub = StubServer::start_with(settings).await.unwrap();
        let server = stub.server();
        let hold = stub.hold();
        let mut taken = 0;
        while server.cast(Tell::Add(taken)).is_ok() {
            taken += 1;
            tokio::task::yield_now().await;
        }
        assert_eq!(taken, 3, "one in hand and two that wait");
        assert!(matches!(server.cast(Tell::Add(9)), Err(SendError::Full(_))));
        drop(hold);
        for n in 0..taken {
            assert!(matches!(stub.expect_cast().await, Tell::Add(m) if m == n));
        }
        // A kill ends one that is held.
        let hold = stub.hold();
        server.cast(Tell::Add(9)).unwrap();
        settled().await;
        assert_eq!(crash(&server).await.reason, ExitReason::Killed);
        drop(hold);
        assert_eq!(server.stats().ledger.failed, 1);
    });
}

/// Nothing is left of a stub that the test lets go of; who still has its reference sees it end.
#[test]
fn a_stub_goes_when_it_is_let_go_of() {
    Universe::new().run(async |world| {
        let stub = stub().await;
        let server = stub.server().downgrade();
        stub.server().monitor(Watch::Mailbox, |_| {});
        assert_eq!(world.census().count(Kind::Monitor), 1);
        drop(stub);
        assert!(server.upgrade().is_none());
    });
}

#[test]
fn a_stub_says_what_came_instead() {
    let other = fails(async |_| {
        let mut stub = stub().await;
        stub.server().cast(Tell::Add(1)).unwrap();
        stub.expect_call().await
    });
    assert!(other.contains("a call was expected, this came: `add` for handle_cast"), "{other}");
    let other = fails(async |_| {
        let mut stub = stub().await;
        stub.server().info(1).unwrap();
        stub.expect_cast().await
    });
    assert!(other.contains("a cast was expected, this came: `info` for handle_info"), "{other}");
    let none = fails(async |_| stub().await.limit(SECOND).expect_info().await);
    assert!(none.contains("an info was expected within 1s, nothing came"), "{none}");
    let none = fails(async |_| stub().await.expect().await);
    assert!(none.contains("a message was expected within 3s, none came"), "{none}");
    let some = fails(async |_| {
        let mut stub = stub().await;
        stub.server().cast(Tell::Add(1)).unwrap();
        stub.expect_no_message(Duration::MAX).await;
    });
    assert!(some.contains("no message was expected"), "{some}");
}

#[test]
fn a_stub_gives_whatever_comes() {
    Universe::new().run(async |_| {
        let mut stub = stub().await;
        stub.server().info(1).unwrap();
        assert!(matches!(stub.expect().await, Received::Info(1)));
    });
}
