//! Universes: nothing is left over, or the list says what.

use crate::support::{Ask, Counter, SECOND, Tell, counter, failure, stays};
use restante_core::monitor::Watch;
use restante_genserver::tracker::{self, Look, Tracked};
use restante_genserver::{Server, link};
use restante_testkit::{Kind, Universe, settled};
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

fn new() -> Universe {
    Universe::new()
}

/// Clause 25.1: servers end when they are not referred to any more, with their timers, tasks and links.
#[test]
fn what_ends_by_itself_is_no_leak() {
    new().run(async |world| {
        let server = counter().await;
        server.cast(Tell::Tick).unwrap();
        server.cast(Tell::Spawn).unwrap();
        link(&server, &counter().await);
        assert_eq!(server.call(Ask::Total).await, Ok(0));
        world.spawn(async { settled().await });
        tokio::spawn(async { settled().await });
        let unread = Server::<Counter>::new("unread");
        unread.server().cast(Tell::Add(1)).unwrap();
    });
}

#[test]
fn the_value_of_the_body_comes_back_and_so_does_its_panic() {
    assert_eq!(new().run(async |_| 7), 7);
    assert_eq!(failure(new(), async |_| panic!("the test's own")), "the test's own");
}

#[test]
fn a_universe_has_paused_time_unless_told_otherwise() {
    let began = std::time::Instant::now();
    new().run(async |_| tokio::time::sleep(Duration::from_secs(1 << 20)).await);
    new().real_time().run(async |_| {
        let paused = tokio::time::Instant::now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(paused.elapsed() >= Duration::from_millis(2));
    });
    assert!(began.elapsed() < Duration::from_secs(1 << 10));
}

/// Clause 25.1: a server is left, and is told by its type and place.
#[test]
fn a_server_that_refers_to_itself_is_a_leak() {
    let line = line!() + 2;
    let body = async |_: &_| {
        let server = restante_genserver::start::<Counter>(0).await.unwrap();
        stays(&server).await;
    };
    let said = failure(new(), body);
    assert!(said.contains("1 server: main::support::Counter"), "{said}");
    assert!(said.contains(&format!("made at crates/testkit/tests/universe.rs:{line}:")), "{said}");
    assert!(!said.contains("task"), "its own task is not another leak: {said}");
    new().allow(Kind::Server).run(body);
    new().allow_named("Counter").run(body);
    assert!(failure(new().allow(Kind::Task).allow_named("Other"), body).contains("server"));
}

/// Clause 25.1: an unread open mailbox, by its name.
#[test]
fn a_mailbox_that_waits_for_its_server_is_a_leak() {
    let body = async |_: &_| {
        let server = Server::<Counter>::new("waits");
        server.server().cast(Tell::Add(1)).unwrap();
        std::mem::forget(server);
    };
    let said = failure(new(), body);
    assert!(said.contains("1 mailbox: of `waits`, a main::support::Counter (1 queued), made at"), "{said}");
    new().allow_named("waits").run(body);
}

/// Clause 25.1: timers.
#[test]
fn a_timer_of_a_server_that_may_stay_is_a_leak() {
    let body = async |_: &_| {
        let server = counter().await;
        stays(&server).await;
        server.cast(Tell::Tick).unwrap();
        server.cast(Tell::Tick).unwrap();
    };
    let said = failure(new().allow(Kind::Server), body);
    assert!(said.contains("2 timers: of main::support::Counter, made at"), "{said}");
    new().allow(Kind::Server).allow(Kind::Timer).run(body);
}

/// Clause 25.1: monitors.
#[test]
fn a_monitor_that_nobody_takes_down_is_a_leak() {
    let body = async |_: &_| {
        let server = counter().await;
        stays(&server).await;
        let id = server.monitor(Watch::Mailbox, |_| {});
        server.monitor(Watch::Incarnation, |_| {});
        assert!(server.demonitor(id));
    };
    let said = failure(new().allow(Kind::Server), body);
    assert!(said.contains("1 monitor: on main::support::Counter, made at"), "{said}");
}

/// Clause 25.1: links, at both ends.
#[test]
fn a_link_of_servers_that_may_stay_is_a_leak() {
    let said = failure(new().allow(Kind::Server), async |_| {
        let (a, b) = (counter().await, counter().await);
        stays(&a).await;
        stays(&b).await;
        link(&a, &b);
    });
    assert_eq!(said.matches("1 link: of main::support::Counter").count(), 2, "{said}");
}

/// Clause 25.1: held replies, whichever limit the caller had: the default, which the sweep keeps; one of its own; none at all.
#[test]
fn a_reply_that_is_held_is_a_leak() {
    for limit in [None, Some(SECOND), Some(Duration::ZERO)] {
        let said = failure(new(), async |_| {
            let server = counter().await;
            let call = server.call(Ask::Forget);
            let answer = match limit {
                Some(limit) => call.timeout(limit).await,
                None => call.await,
            };
            assert!(answer.is_err());
        });
        assert!(said.contains("1 reply: held and not sent"), "{said}");
    }
}

/// A reply in the state of a server that ends is dropped with it; so is one in a task.
#[test]
fn a_reply_that_goes_with_its_server_is_no_leak() {
    new().run(async |world| {
        let server = counter().await;
        assert!(server.call(Ask::Keep).timeout(SECOND).await.is_err());
        assert_eq!(world.census().count(Kind::Reply), 1);
        drop(server);
        settled().await;
        assert_eq!(world.census().count(Kind::Reply), 0);
    });
}

/// Clause 25.1: tasks.
#[test]
fn a_task_that_does_not_end_is_a_leak_and_its_place_is_known() {
    let line = line!() + 2;
    let said = failure(new(), async |world| {
        world.spawn(std::future::pending::<()>());
        tokio::spawn(std::future::pending::<()>());
    });
    assert!(said.contains(&format!("1 task: spawned at crates/testkit/tests/universe.rs:{line}:")), "{said}");
    assert!(said.contains("1 task: not spawned through the world"), "{said}");
}

/// Clause 25.1: ten seconds, unless told otherwise.
#[test]
fn what_takes_its_time_has_until_the_shutdown() {
    let body = async |_: &_| {
        counter().await.cast(Tell::Sleep(30 * SECOND)).unwrap();
    };
    assert!(failure(new(), body).contains("left over 10s after the test's end"));
    new().shutdown(31 * SECOND).run(body);
}

/// Clause 25.1: names, as a registry would tell of them.
#[test]
fn a_name_that_is_not_given_back_is_a_leak() {
    struct Registered;
    impl Tracked for Registered {
        fn look(&self) -> Option<Look> {
            let mut look = Look::new("name", "u32");
            look.name = Some("counter".into());
            Some(look)
        }
    }
    let body = async |_: &_| {
        let (kept, gone): (Arc<dyn Tracked>, Arc<dyn Tracked>) = (Arc::new(Registered), Arc::new(Registered));
        tracker::track(1, &Arc::downgrade(&gone), Location::caller());
        tracker::track(2, &Arc::downgrade(&kept), Location::caller());
        std::mem::forget(kept);
    };
    let said = failure(new(), body);
    assert_eq!(said.matches("1 name: `counter`, a u32, made at crates/testkit/tests/").count(), 1, "{said}");
    new().allow(Kind::Name).run(body);
}

/// The server lives; what it does for others must not add up.
#[test]
fn growth_is_told_from_what_was_there_before() {
    let said = failure(new(), async |world| {
        let server = counter().await;
        server.cast(Tell::Tick).unwrap();
        server.call(Ask::Total).await.unwrap();
        let before = world.census();
        for _ in 0..3 {
            server.call(Ask::Total).await.unwrap();
        }
        world.assert_no_growth(&before).await;
        server.cast(Tell::Tick).unwrap();
        world.assert_no_growth(&before).await;
    });
    assert!(said.contains("more than before, after 10s:\n  - 1 timer: 1 before, 2 now"), "{said}");
}

/// Two universes at once know nothing of each other.
#[test]
fn universes_beside_each_other_see_their_own_things_only() {
    let run = || {
        new().run(async |world| {
            for _ in 0..50 {
                let server = counter().await;
                assert!(server.call(Ask::Keep).timeout(SECOND).await.is_err());
                assert!(server.call(Ask::Keep).await.is_err());
                assert_eq!(world.census().count(Kind::Server), 1);
                assert_eq!(world.census().count(Kind::Reply), 2);
                drop(server);
                settled().await;
            }
        });
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(run);
        }
    });
}

/// Clause 25.5: who waits for what never comes, and who never rests, are told; time that is paused would stand still for both.
#[test]
fn a_test_that_hangs_fails_and_says_what_there_is() {
    let limit = Duration::from_millis(500);
    let said = failure(new().limit(limit), async |_| {
        let server = counter().await;
        std::future::pending::<()>().await;
        drop(server);
    });
    assert!(
        said.contains("has not ended after 500ms of real time; there is:\n  - 1 server: main::"),
        "{said}"
    );
    let restless = async |world: &restante_testkit::World| {
        world.spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
    };
    let said = failure(new().limit(limit), restless);
    assert!(said.contains("1 task: spawned at crates/testkit/tests/universe.rs"), "{said}");
}
