//! A small server, and the text of a test that fails.

use restante_genserver::{Context, Every, ExitReason, GenServer, Init, Next, Reply, ServerRef, Step};
use restante_testkit::{Universe, World, quiet_panics, settled};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Counts; keeps what it is told to keep.
pub(crate) struct Counter {
    total: u64,
    kept: Vec<Box<dyn std::any::Any + Send>>,
}

#[derive(Debug)]
pub(crate) enum Ask {
    Total(Reply<u64>),
    /// Keeps the reply.
    Keep(Reply<u64>),
    /// Forgets the reply altogether.
    Forget(Reply<u64>),
}

#[derive(Debug)]
pub(crate) enum Tell {
    Add(u64),
    /// Ticks once an hour from now on.
    Tick,
    /// Keeps a reference to itself.
    KeepSelf,
    /// Takes so long.
    Sleep(Duration),
    /// A task beside it that does not end.
    Spawn,
    Fail,
}

impl GenServer for Counter {
    type Args = u64;
    type Call = Ask;
    type Cast = Tell;
    type Info = u64;

    async fn init(start: &u64, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self { total: *start, kept: Vec::new() }))
    }

    async fn handle_call(&mut self, ask: Ask, _: &mut Context<Self>) -> Step {
        match ask {
            Ask::Total(reply) => drop(reply.send(self.total)),
            Ask::Keep(reply) => self.kept.push(Box::new(reply)),
            Ask::Forget(reply) => std::mem::forget(reply),
        }
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, tell: Tell, ctx: &mut Context<Self>) -> Step {
        match tell {
            Tell::Add(n) => self.total += n,
            Tell::Tick => drop(ctx.send_every(Every::FixedRate(Duration::from_secs(3600)), || 0)),
            Tell::KeepSelf => self.kept.push(Box::new(ctx.server())),
            Tell::Sleep(time) => tokio::time::sleep(time).await,
            Tell::Spawn => ctx.spawn(std::future::pending()),
            Tell::Fail => return Err(ExitReason::error("told to")),
        }
        Ok(Next::go())
    }

    async fn handle_info(&mut self, n: u64, _: &mut Context<Self>) -> Step {
        self.total += n;
        Ok(Next::go())
    }

    fn call_name(ask: &Ask) -> &'static str {
        match ask {
            Ask::Total(_) => "total",
            Ask::Keep(_) => "keep",
            Ask::Forget(_) => "forget",
        }
    }

    fn cast_name(tell: &Tell) -> &'static str {
        match tell {
            Tell::Add(_) => "add",
            _ => "tell",
        }
    }
}

pub(crate) async fn counter() -> ServerRef<Counter> {
    restante_genserver::start::<Counter>(0).await.expect("it starts")
}

/// From now on it never ends: it refers to itself.
pub(crate) async fn stays(server: &ServerRef<Counter>) {
    server.cast(Tell::KeepSelf).expect("it has room");
    settled().await;
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Runs a test that is to fail: what it says.
#[track_caller]
pub(crate) fn failure<T>(universe: Universe, body: impl AsyncFnOnce(&World) -> T) -> String {
    let quiet = quiet_panics("");
    let result = catch_unwind(AssertUnwindSafe(|| universe.run(body)));
    drop(quiet);
    match result {
        Ok(_) => panic!("this test should fail"),
        Err(payload) => match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => (*payload.downcast::<&str>().expect("a text")).to_owned(),
        },
    }
}

/// Runs a test that is to fail, in a universe with the default settings: what it says.
#[track_caller]
pub(crate) fn fails<T>(body: impl AsyncFnOnce(&World) -> T) -> String {
    let text = failure(Universe::new(), body);
    assert!(text.contains("asked for at crates/testkit/tests/"), "it says where: {text}");
    text
}
