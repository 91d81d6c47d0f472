//! Probes: what they expect, and what they say when something else comes.

use crate::support::{Counter, SECOND, Tell, counter, fails};
use restante_core::monitor::Event;
use restante_core::{ExitReason, Mailbox, Phase};
use restante_genserver::{CallError, Server};
use restante_testkit::{
    CallProbe, MonitorProbe, Probe, Universe, crash, expect_down, expect_matching, expect_restart,
};
use std::time::Duration;

fn sent(messages: &[u32]) -> Probe<u32> {
    let probe = Probe::new();
    for n in messages {
        probe.address().try_send(*n).unwrap();
    }
    probe
}

#[test]
fn a_probe_gives_what_it_was_sent_in_order() {
    Universe::new().run(async |world| {
        let mut probe = sent(&[1, 2, 3, 4, 5, 6]);
        assert_eq!(probe.expect().await, 1);
        probe.expect_eq(2).await;
        assert_eq!(probe.expect_where(|n| *n > 2).await, 3);
        assert_eq!(expect_matching!(probe, n @ 4..=5 => n + 1), 5);
        expect_matching!(probe, n if n == 5);
        assert_eq!(probe.drain(), [6]);
        probe.expect_no_message(3600 * SECOND).await;
        let address = probe.address();
        world.spawn(async move {
            for n in 0..9 {
                tokio::time::sleep(SECOND).await;
                address.send(n).await.unwrap();
            }
        });
        assert_eq!(probe.expect_n(2).await, [0, 1]);
        assert_eq!(probe.fish_for(5 * SECOND, |n| *n == 5).await, 5);
        assert_eq!(probe.expect_within(2 * SECOND).await, 6);
        assert_eq!(probe.audit().lost(), 0);
    });
}

#[test]
fn a_probe_that_waits_in_vain_says_for_what() {
    let nothing = fails(async |_| sent(&[]).expect().await);
    assert!(nothing.contains("a message was expected within 3s, none came"), "{nothing}");
    let limit = fails(async |_| sent(&[]).limit(SECOND).expect_eq(7).await);
    assert!(limit.contains("7 was expected within 1s, nothing came"), "{limit}");
    let within = fails(async |_| sent(&[]).expect_within(Duration::ZERO).await);
    assert!(within.contains("within 0ns"), "{within}");
    let few = fails(async |_| sent(&[1, 2]).expect_n(3).await);
    assert!(few.contains("3 messages were expected within 3s, 2 came"), "{few}");
    assert!(fails(async |_| sent(&[]).expect_where(|_| true).await).contains("none came"));
}

#[test]
fn a_probe_says_what_came_instead() {
    let other = fails(async |_| sent(&[8]).expect_eq(7).await);
    assert!(other.contains("7 was expected, this came: 8"), "{other}");
    let other = fails(async |_| sent(&[8]).expect_where(|n| *n < 8).await);
    assert!(other.contains("another message was expected, this came: 8"), "{other}");
    let other = fails(async |_| expect_matching!(sent(&[8]), n @ 0..4 if n > 0 => n));
    assert!(other.contains("matches `n @ 0..4 if n > 0`"), "{other}");
    assert!(other.contains("this came: 8"), "{other}");
    let some = fails(async |_| sent(&[8]).expect_no_message(SECOND).await);
    assert!(some.contains("no message was expected for 1s, this came after 0ns: 8"), "{some}");
    let past = fails(async |_| sent(&[1, 2]).fish_for(SECOND, |n| *n == 3).await);
    assert!(past.contains("did not come within 1s; 2 others did:\n  - 1\n  - 2"), "{past}");
}

#[test]
fn a_probe_is_as_small_as_it_is_told_to_be() {
    Universe::new().run(async |_| {
        let mut probe = Probe::with(Mailbox::settings().capacity(1)).unwrap();
        probe.recipient().try_send(1).unwrap();
        assert!(probe.recipient().try_send(2).is_err());
        assert_eq!(probe.drain(), [1]);
    });
}

#[test]
fn a_call_probe_is_asked_and_answers() {
    Universe::new().run(async |world| {
        let mut probe = CallProbe::<&str, u32>::start().await.unwrap();
        let ask = |question| {
            let asks = probe.recipient();
            world.spawn(async move { asks.call(question).await })
        };
        let (one, two, three) = (ask("one"), ask("two"), ask("three"));
        let first = probe.expect().await;
        assert_eq!(first.asked, "one");
        // The others can be answered first: it is for the test to say.
        assert_eq!(probe.answer(|question| u32::try_from(question.len()).unwrap()).await, "two");
        assert_eq!(two.await.unwrap(), Ok(3));
        drop(probe.expect().await);
        assert_eq!(three.await.unwrap(), Err(CallError::NoReply));
        assert!(first.answer(1));
        assert_eq!(one.await.unwrap(), Ok(1));
        probe.expect_no_question(SECOND).await;
    });
}

#[test]
fn a_call_probe_says_what_went_wrong() {
    let none = fails(async |_| CallProbe::<u8, u8>::start().await.unwrap().limit(SECOND).expect().await);
    assert!(none.contains("a question was expected within 1s, none came"), "{none}");
    let asked = async |world: &restante_testkit::World| {
        let probe = CallProbe::<u8, u8>::start().await.unwrap();
        let asks = probe.recipient();
        let task = world.spawn(async move { asks.call(7).await });
        (probe, task)
    };
    let some = fails(async |world| asked(world).await.0.expect_no_question(SECOND).await);
    assert!(some.contains("this came after 0ns: 7"), "{some}");
    let gone = fails(async |world| {
        let (mut probe, task) = asked(world).await;
        assert_eq!(task.await.unwrap(), Err(CallError::Timeout));
        probe.answer(|_| 1).await;
    });
    assert!(gone.contains("who asked was gone"), "{gone}");
}

#[test]
fn a_monitor_probe_sees_a_servers_life() {
    Universe::new().run(async |_| {
        let server = Server::<Counter>::new("watched");
        let mut life = MonitorProbe::of_mailbox(server.server());
        server.start(0).await.unwrap();
        assert_eq!(life.expect_started().await, 1);
        let mut first = MonitorProbe::of(server.server());
        server.server().cast(Tell::Fail).unwrap();
        let exit = first.expect_down().await;
        assert_eq!((exit.phase, exit.incarnation), (Phase::Cast, 1));
        assert_eq!(life.expect_down().await, exit);
        assert_eq!(expect_down(server.server()).await, exit);
        server.start(0).await.unwrap();
        assert_eq!(expect_restart(server.server(), 1).await, 2);
        assert!(matches!(life.expect().await, Event::Started { incarnation: 2 }));
        first.expect_nothing(SECOND).await;
        assert_eq!(crash(server.server()).await.reason, ExitReason::Killed);
        life.expect_down().await;
        server.server().close(ExitReason::Shutdown);
        assert_eq!(life.expect_closed().await, ExitReason::Shutdown);
    });
}

#[test]
fn a_monitor_probe_takes_its_monitor_down() {
    Universe::new().run(async |world| {
        let server = counter().await;
        let before = world.census();
        drop(MonitorProbe::of(&server));
        assert!(world.census().since(&before).is_empty());
    });
}

#[test]
fn a_monitor_probe_says_what_happened_instead() {
    let alive = fails(async |_| expect_down(&counter().await).await);
    assert!(alive.contains("the end of a server was expected within 3s, nothing came"), "{alive}");
    let alive = fails(async |_| MonitorProbe::of(&counter().await).limit(SECOND).expect_down().await);
    assert!(alive.contains("the end of an incarnation was expected within 1s, nothing came"), "{alive}");
    let other = fails(async |_| {
        let server = counter().await;
        let mut life = MonitorProbe::of_mailbox(&server);
        crash(&server).await;
        life.expect_started().await
    });
    assert!(other.contains("the beginning of an incarnation was expected, this came: Down"), "{other}");
    let down = fails(async |_| {
        let server = counter().await;
        crash(&server).await;
        crash(&server).await
    });
    assert!(down.contains("was to crash, but it does not run"), "{down}");
    let stays = fails(async |_| expect_restart(&counter().await, 1).await);
    assert!(stays.contains("was expected to be started again within 3s, after incarnation 1"), "{stays}");
}
