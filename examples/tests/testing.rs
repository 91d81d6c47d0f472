//! The code of `docs/guide/testing.md`: a real server, and the tests that find the bug in it. The page quotes from here, and a
//! test below keeps it to that.

use restante::prelude::*;
use restante::testkit::{
    Crash, CrashPlan, Kind, Probe, StubServer, Universe, World, assert_conserved_when_idle, eventually,
    quiet_panics, settled,
};
use std::collections::HashMap;
use std::time::Duration;

/// Knows users, on another machine: slow, and not always there.
struct Directory;

#[derive(Debug)]
enum Look {
    Up { user: String, reply: Reply<u32> },
}

/// A session cache before the directory: who is asked for the first time is looked up, once for all who ask meanwhile.
struct Sessions {
    directory: ServerRef<Directory>,
    known: HashMap<String, u32>,
    waiting: HashMap<String, Vec<Reply<Result<u32, Unavailable>>>>,
    on_failure: fn(&mut Sessions, &str),
}

struct Setup {
    directory: ServerRef<Directory>,
    on_failure: fn(&mut Sessions, &str),
}

#[derive(Debug)]
enum Ask {
    For { user: String, reply: Reply<Result<u32, Unavailable>> },
}

#[derive(Debug, Clone, PartialEq)]
struct Unavailable;

struct Answer {
    user: String,
    id: Result<u32, CallError>,
}

impl GenServer for Sessions {
    type Args = Setup;
    type Call = Ask;
    type Cast = ();
    type Info = Answer;

    async fn init(setup: &Setup, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Sessions {
            directory: setup.directory.clone(),
            known: HashMap::new(),
            waiting: HashMap::new(),
            on_failure: setup.on_failure,
        }))
    }

    async fn handle_call(&mut self, ask: Ask, ctx: &mut Context<Self>) -> Step {
        let Ask::For { user, reply } = ask;
        if let Some(id) = self.known.get(&user) {
            reply.send(Ok(*id));
            return Ok(Next::go());
        }
        let waiting = self.waiting.entry(user.clone()).or_default();
        waiting.push(reply);
        if waiting.len() == 1 {
            let directory = self.directory.clone();
            ctx.spawn(async move {
                let asked = user.clone();
                let id = directory.call(|reply| Look::Up { user: asked, reply }).await;
                Answer { user, id }
            });
        }
        Ok(Next::go())
    }

    async fn handle_info(&mut self, Answer { user, id }: Answer, _: &mut Context<Self>) -> Step {
        match id {
            Ok(id) => {
                for reply in self.waiting.remove(&user).unwrap_or_default() {
                    reply.send(Ok(id));
                }
                self.known.insert(user, id);
            }
            Err(_) => (self.on_failure)(self, &user),
        }
        Ok(Next::go())
    }

    fn call_name(_: &Ask) -> &'static str {
        "session"
    }
}

/// As it was first written.
fn gives_up(_: &mut Sessions, _user: &str) {
    // The next who asks will have it looked up again.
}

/// As it should be.
fn tells_who_waits(sessions: &mut Sessions, user: &str) {
    for reply in sessions.waiting.remove(user).unwrap_or_default() {
        reply.send(Err(Unavailable));
    }
}

/// The directory itself is somebody else's, and never started here: a stub stands for it.
impl GenServer for Directory {
    type Args = ();
    type Call = Look;
    type Cast = ();
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Err(ExitReason::error("the directory is on another machine"))
    }

    async fn handle_call(&mut self, _: Look, _: &mut Context<Self>) -> Step {
        Ok(Next::go())
    }
}

fn session(user: &str) -> impl FnOnce(Reply<Result<u32, Unavailable>>) -> Ask + use<> {
    let user = user.to_owned();
    move |reply| Ask::For { user, reply }
}

async fn sessions(
    directory: &StubServer<Directory>,
    on_failure: fn(&mut Sessions, &str),
) -> ServerRef<Sessions> {
    start::<Sessions>(Setup { directory: directory.server(), on_failure }).await.expect("it starts")
}

#[test]
fn who_is_asked_for_twice_is_looked_up_once() {
    Universe::new().run(async |world| {
        let mut directory = StubServer::start().await.expect("it starts");
        let sessions = sessions(&directory, tells_who_waits).await;
        let ask = || {
            let sessions = sessions.clone();
            world.spawn(async move { sessions.call(session("ada")).await })
        };
        let (first, second) = (ask(), ask());
        let Look::Up { user, reply } = directory.expect_call().await;
        assert_eq!(user, "ada");
        reply.send(7);
        assert_eq!(first.await.expect("no panic"), Ok(Ok(7)));
        assert_eq!(second.await.expect("no panic"), Ok(Ok(7)));
        directory.expect_no_message(Duration::from_secs(60)).await;
        assert_conserved_when_idle!(sessions);
    });
}

async fn a_directory_that_fails_leaves_nothing_behind(world: &World, on_failure: fn(&mut Sessions, &str)) {
    let directory = StubServer::start().await.expect("it starts");
    directory.on_call(drop); // it answers nobody
    let sessions = sessions(&directory, on_failure).await;
    let before = world.census();
    for _ in 0..3 {
        let answer = sessions.call(session("ada")).await;
        assert!(!matches!(answer, Ok(Ok(_))), "nobody knows ada");
    }
    world.assert_no_growth(&before).await;
}

#[test]
fn a_failing_directory_leaves_no_caller_waiting() {
    Universe::new().run(async |world| {
        a_directory_that_fails_leaves_nothing_behind(world, tells_who_waits).await;
    });
}

/// What the kit says of the first version.
#[test]
fn the_kit_finds_the_bug() {
    let quiet = quiet_panics("more than before");
    let found = std::panic::catch_unwind(|| {
        Universe::new().run(async |world| {
            a_directory_that_fails_leaves_nothing_behind(world, gives_up).await;
        });
    });
    drop(quiet);
    let said = *found.expect_err("the bug is found").downcast::<String>().expect("a text");
    assert!(said.contains("3 replies: 0 before, 3 now"), "{said}");
}

/// A cache that crashes loses what it knew, and nobody's question: who waited is told, who is queued is served.
#[test]
fn a_crash_of_the_cache_loses_no_question() {
    let _quiet = quiet_panics("injected crash");
    Universe::new().run(async |world| {
        let directory = StubServer::start().await.expect("it starts");
        directory.on_call(|Look::Up { reply, .. }| assert!(reply.send(7), "the cache waits"));
        let server = Server::<Sessions>::new("sessions");
        let plan = CrashPlan::seeded(42).by_chance(0.2, Crash::Panic).at_most(10);
        let log = plan.install(server.server());
        let setup = Setup { directory: directory.server(), on_failure: tells_who_waits };
        let sessions = server.address();
        let tree = Supervisor::one_for_one()
            .intensity(10, Duration::from_secs(1))
            .backoff(Backoff::NONE)
            .child(server.child(setup))
            .start()
            .await
            .expect("it starts");
        let mut answers = Probe::new();
        for n in 0..100 {
            let (sessions, answered) = (sessions.clone(), answers.address());
            world.spawn(async move {
                let answer = sessions.call(session(&"x".repeat(n))).await;
                answered.send(answer).await.expect("the probe has room");
            });
        }
        let all = answers.expect_n(100).await;
        assert_eq!(log.len(), 10);
        assert!(all.iter().all(|a| matches!(a, Ok(Ok(_)) | Err(CallError::Exited(_)))), "{all:?}");
        eventually(Duration::from_secs(1), || world.census().count(Kind::Reply) == 0).await;
        settled().await;
        assert_eq!(assert_conserved_when_idle!(sessions).failed, 10);
        tree.shutdown(Duration::from_secs(5)).await;
    });
}

/// Each piece of code on the page stands in this file, line by line.
#[test]
fn the_page_quotes_this_file() {
    let squeeze = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let here = squeeze(include_str!("testing.rs"));
    let page = include_str!("../../docs/guide/testing.md");
    let mut quotes = 0;
    for block in page.split("```rust\n").skip(1) {
        let code = block.split("```").next().expect("a block ends");
        assert!(here.contains(squeeze(code).trim()), "the page says otherwise:\n{code}");
        quotes += 1;
    }
    assert!(quotes >= 5, "{quotes}");
}
