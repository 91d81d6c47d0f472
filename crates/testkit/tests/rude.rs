//! Foreign code at its worst, applied to what waits in core, servers and supervisors; the registry's operations: see its tests.

use crate::support::{Ask, Counter, SECOND, Tell, counter};
use restante_core::monitor::{Event, Watch};
use restante_core::{Address, ExitReason, Mailbox, drop_quietly};
use restante_genserver::{Requests, Server, ServerRef, multi_call, start};
use restante_supervisor::task::TaskSupervisor;
use restante_supervisor::{Supervise, Supervisor, SupervisorRef};
use restante_testkit::{
    Ending, MonitorProbe, Rude, RudeValue, assert_conserved, quiet_panics, rudely, settled,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

/// What a monitor was told.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    fn push(&self, event: Event) {
        self.0.lock().expect("nothing panics under it").push(event);
    }

    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().expect("nothing panics under it"))
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// Of an operation: longer than a case takes.
const LIMIT: Duration = Duration::from_secs(1800);

/// A full mailbox that a monitor watches, with a well-behaved sender who waits for room in it.
struct Post {
    mailbox: Mailbox<u32>,
    address: Address<u32>,
    events: Events,
}

impl Post {
    fn full() -> Self {
        let mailbox = Mailbox::with(Mailbox::settings().capacity(1)).expect("these settings make a mailbox");
        let (address, events) = (mailbox.address(), Events::default());
        address.try_send(0).expect("it has room");
        let tell = events.clone();
        address.monitor(Watch::Mailbox, move |event| tell.push(event));
        Self { mailbox, address, events }
    }

    fn empty() -> Self {
        let post = Self::full();
        post.take();
        post
    }

    /// One message, where no other reader is there.
    fn take(&self) {
        if let Ok(mut reader) = self.mailbox.receiver() {
            let _ = reader.try_receive();
        }
    }

    /// Another sender is not forgotten, the monitor hears of the end, nothing is lost.
    async fn suffers_nothing(&self, rude: &Rude) {
        let address = self.address.clone();
        let other: JoinHandle<bool> = tokio::spawn(async move { address.send(9).await.is_ok() });
        settled().await;
        self.take();
        settled().await;
        self.mailbox.close();
        let told = tokio::time::timeout(HOUR, other).await;
        assert!(told.is_ok_and(|joined| joined.is_ok()), "{rude}: another sender hangs");
        settled().await;
        if let Ok(mut reader) = self.mailbox.receiver() {
            while reader.try_receive().is_ok() {}
            assert_eq!(reader.audit().lost(), 0, "{rude}");
        } else {
            // A reader that is forgotten reads for ever.
            return;
        }
        let seen = self.events.take();
        assert!(seen.iter().any(|event| matches!(event, Event::Closed(_))), "{rude}: {seen:?}");
    }
}

/// Row H6: senders who wait for room.
#[tokio::test(start_paused = true)]
async fn rude_senders_harm_nobody_else() {
    let _quiet = quiet_panics("rude");
    rudely! {
        setup: Post::full();
        reenter: |post| { let a = post.address.clone(); move || { let _ = (a.try_send(3), a.stats()); } };
        meanwhile: |post| { post.take(); settled().await };
        after: |post, rude| post.suffers_nothing(rude).await;
        "send": |post| post.address.send(1);
        "send_timeout": |post| post.address.send_timeout(1, LIMIT);
        "reserve": |post| post.address.reserve();
    }
}

/// Row H6: a reader who waits.
#[tokio::test(start_paused = true)]
async fn rude_readers_harm_nobody_else() {
    let _quiet = quiet_panics("rude");
    rudely! {
        setup: Post::empty();
        reenter: |post| { let a = post.address.clone(); move || { let _ = (a.try_send(3), a.stats()); } };
        meanwhile: |post| { let _ = post.address.try_send(7); settled().await };
        after: |post, rude| post.suffers_nothing(rude).await;
        "receive": |post| async { post.mailbox.receiver().expect("the only reader").receive().await };
        "receive_timeout": |post| async {
            post.mailbox.receiver().expect("the only reader").receive_timeout(LIMIT, || 1).await
        };
    }
}

/// A server at work, and a monitor of it.
struct Shop {
    server: ServerRef<Counter>,
    events: Events,
}

impl Shop {
    async fn busy() -> Self {
        let server = counter().await;
        server.cast(Tell::Sleep(SECOND)).expect("it has room");
        let events = Events::default();
        let tell = events.clone();
        server.monitor(Watch::Incarnation, move |event| tell.push(event));
        settled().await;
        Self { server, events }
    }

    fn calls_back(&self) -> impl Fn() + Send + Sync + 'static + use<> {
        let server = self.server.downgrade();
        move || {
            if let Some(server) = server.upgrade() {
                let _ = (server.cast(Tell::Add(1)), server.stats(), server.is_alive());
            }
        }
    }

    /// It answers still, or has ended as it should; its monitor hears of its end, and no message is lost.
    async fn suffers_nothing(&self, rude: &Rude) {
        if self.server.is_alive() {
            let total = self.server.call(Ask::Total).await;
            assert!(total.is_ok() || !self.server.is_alive(), "{rude}: {total:?}");
        }
        let _ = self.server.stop(ExitReason::Shutdown, HOUR).await;
        let joined = tokio::time::timeout(HOUR, self.server.join()).await;
        assert!(joined.is_ok(), "{rude}: `join` hangs");
        settled().await;
        let events = self.events.take();
        assert!(matches!(&*events, [Event::Down(_)]), "{rude}: {events:?}");
        assert_conserved!(self.server);
    }
}

/// Row H6: callers, senders and those who wait for an end.
#[tokio::test(start_paused = true)]
async fn rude_callers_harm_nobody_else() {
    let _quiet = quiet_panics("rude");
    rudely! {
        setup: Shop::busy().await;
        reenter: |shop| shop.calls_back();
        meanwhile: |shop| { let _ = &shop; tokio::time::sleep(2 * SECOND).await };
        after: |shop, rude| shop.suffers_nothing(rude).await;
        "call": |shop| shop.server.call(Ask::Total);
        "a call with a limit": |shop| shop.server.call(Ask::Total).timeout(LIMIT);
        "a call that nobody answers": |shop| shop.server.call(Ask::Keep).timeout(LIMIT);
        "send": |shop| shop.server.send(Tell::Add(1));
        "send_timeout": |shop| shop.server.send_timeout(Tell::Add(1), LIMIT);
        "send_info": |shop| shop.server.send_info(1);
        "reserve": |shop| shop.server.reserve();
        "a request": |shop| async { shop.server.send_request(Ask::Total).wait(LIMIT).await };
        "a request awaited whole": |shop| shop.server.send_request(Ask::Total).wait_or_abandon(LIMIT);
        "a collection": |shop| async {
            let mut requests = Requests::new();
            requests.add(1, shop.server.send_request(Ask::Total));
            requests.add(2, shop.server.send_request(Ask::Keep));
            while requests.next_within(LIMIT).await.is_some() {}
        };
        "multi_call": |shop| multi_call(std::slice::from_ref(&shop.server), LIMIT, Ask::Total);
        "stop": |shop| shop.server.stop(ExitReason::Normal, LIMIT);
        "sys terminate": |shop| async { shop.server.sys().terminate(ExitReason::Normal).await };
        "join": |shop| async {
            shop.server.request_stop(ExitReason::Normal);
            shop.server.join().await
        };
        "a start beside it": |_shop| start::<Counter>(1);
    }
}

/// How long an operation may take whose limit runs out within the case, and before what it waits for.
const BRIEF: Duration = Duration::from_millis(100);

/// Row H6, clause 17.6: what ends an operation's own limit goes on after a waker that panics, and with it the timers of
/// everything else in that runtime.
#[tokio::test(start_paused = true)]
async fn limits_that_run_out_under_rude_wakers_harm_nobody_else() {
    let _quiet = quiet_panics("rude");
    rudely! {
        setup: Shop::busy().await;
        reenter: |shop| shop.calls_back();
        meanwhile: |shop| { let _ = &shop; tokio::time::sleep(2 * BRIEF).await };
        after: |shop, rude| shop.suffers_nothing(rude).await;
        "call": |shop| shop.server.call(Ask::Total).timeout(BRIEF);
        "a request": |shop| async { shop.server.send_request(Ask::Total).wait(BRIEF).await };
        "a collection": |shop| async {
            let mut requests = Requests::new();
            requests.add(1, shop.server.send_request(Ask::Total));
            requests.next_within(BRIEF).await.is_none()
        };
        "multi_call": |shop| multi_call(std::slice::from_ref(&shop.server), BRIEF, Ask::Total);
        "stop": |shop| shop.server.stop(ExitReason::Normal, BRIEF);
        "sys": |shop| async { shop.server.sys().timeout(BRIEF).get_state(|_| ()).await };
        "a task": |_shop| async {
            let tasks = TaskSupervisor::new();
            tasks.async_::<()>(std::future::pending()).expect("it takes tasks").await_(BRIEF).await
        };
    }
    rudely! {
        setup: Post::full();
        reenter: |post| { let a = post.address.clone(); move || { let _ = (a.try_send(3), a.stats()); } };
        meanwhile: |post| { let _ = &post; tokio::time::sleep(2 * BRIEF).await };
        after: |post, rude| post.suffers_nothing(rude).await;
        "send_timeout": |post| post.address.send_timeout(1, BRIEF);
    }
    rudely! {
        setup: Post::empty();
        reenter: |post| { let a = post.address.clone(); move || { let _ = (a.try_send(3), a.stats()); } };
        meanwhile: |post| { let _ = &post; tokio::time::sleep(2 * BRIEF).await };
        after: |post, rude| post.suffers_nothing(rude).await;
        "receive_timeout": |post| async {
            post.mailbox.receiver().expect("the only reader").receive_timeout(BRIEF, || 1).await
        };
    }
}

/// A tree with one child.
struct Works {
    tree: SupervisorRef,
    child: ServerRef<Counter>,
    events: Events,
}

impl Works {
    async fn at_work() -> Self {
        let child = Server::<Counter>::new("works");
        let address = child.address();
        let spec = child.child(0);
        let tree = Supervisor::one_for_one().child(spec).start().await.expect("it starts");
        let events = Events::default();
        let tell = events.clone();
        address.monitor(Watch::Incarnation, move |event| tell.push(event));
        settled().await;
        Self { tree, child: address, events }
    }

    async fn suffers_nothing(&self, rude: &Rude) {
        let report = tokio::time::timeout(HOUR, self.tree.shutdown(HOUR)).await;
        assert!(report.is_ok(), "{rude}: `shutdown` hangs");
        settled().await;
        assert!(!self.tree.is_alive(), "{rude}");
        let events = self.events.take();
        assert!(matches!(events.first(), Some(Event::Down(_))), "{rude}: {events:?}");
        assert_conserved!(self.child);
    }
}

/// Row H6: those who ask a supervisor.
#[tokio::test(start_paused = true)]
async fn rude_users_of_supervisors_harm_nobody_else() {
    let _quiet = quiet_panics("rude");
    rudely! {
        setup: Works::at_work().await;
        reenter: |works| { let tree = works.tree.clone(); move || { let _ = (tree.count_children(), tree.is_alive()); } };
        meanwhile: |works| { let _ = &works; settled().await };
        after: |works, rude| works.suffers_nothing(rude).await;
        "start_child": |works| works.tree.start_child(
            Server::<Counter>::new("another").child(0));
        "terminate_child": |works| works.tree.terminate_child("works");
        "terminate_child and restart_child": |works| async {
            let _ = works.tree.terminate_child("works").await;
            works.tree.restart_child("works").await
        };
        "shutdown": |works| works.tree.shutdown(HOUR);
        "join": |works| async {
            works.tree.kill();
            works.tree.join().await
        };
    }
}

/// A value that is dropped as a message panics there, and what is behind it is handled.
#[tokio::test(start_paused = true)]
async fn a_rude_value_panics_once_and_is_let_be() {
    let _quiet = quiet_panics("rude");
    let mailbox = Mailbox::<RudeValue>::new();
    for _ in 0..3 {
        mailbox.address().try_send(RudeValue::new()).expect("it has room");
    }
    let mut reader = mailbox.receiver().expect("nobody reads yet");
    assert_eq!(
        drop_quietly(reader.try_receive()).map(|reason| reason.to_string().contains("rude drop")),
        Some(true)
    );
    assert_eq!(reader.purge(|_| true), 2);
    assert_eq!(reader.audit().lost(), 0);
}

/// A case says what it is.
#[test]
fn every_manner_meets_every_ending() {
    let all: Vec<_> = Rude::all().collect();
    assert_eq!(all.len(), 32);
    let forgotten = all.iter().filter(|(_, ending)| *ending == Ending::Forgotten).count();
    assert_eq!(forgotten, 8);
    let rude = Rude::new("a call", all[0].0, all[0].1, || {});
    assert_eq!(rude.to_string(), "a call, polled with a waker that PanicsInWake, then Dropped");
    drop(Arc::new(rude));
}

/// It hears of an end only once, however rude those who wait for it are.
#[tokio::test(start_paused = true)]
async fn a_monitor_beside_rude_waiters_hears_once() {
    let _quiet = quiet_panics("rude");
    let server = counter().await;
    let (mut monitor, mut waiting) = (MonitorProbe::of(&server), Vec::new());
    for (manner, ending) in Rude::all() {
        let rude = Rude::new("join", manner, ending, || {});
        let server = server.clone();
        let mut joining = Box::pin(async move { drop(server.join().await) });
        if !rude.poll(joining.as_mut()).await {
            // It is still waiting when the server ends.
            waiting.push((rude, joining));
        }
    }
    assert!(waiting.len() >= 16, "{}", waiting.len());
    server.stop(ExitReason::Normal, HOUR).await.expect("it ends");
    assert_eq!(monitor.expect_down().await.reason, ExitReason::Normal);
    monitor.expect_nothing(SECOND).await;
}
