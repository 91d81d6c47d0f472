//! Those who live through it: a server that starts, handles and ends as it is told.

use crate::log::{Event, Log, There};
use restante::{Context, ExitReason, GenServer, Init, Next, Reply, Step};
use std::time::Duration;

/// What all panics and errors here begin with.
const TOLD: &str = "told to";

#[derive(Debug, Clone, Copy)]
pub(crate) enum OnInit {
    Succeed,
    Fail,
    Panic,
    Ignore,
    Slow(Duration),
    SlowFail(Duration),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    Note,
    Panic,
    Fail,
    Stop,
    Sleep(Duration),
    LatePanic(Duration),
}

/// A message: its number, which no other has, and what it does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tell(pub(crate) u64, pub(crate) What);

/// The same, with somebody who waits for the answer.
pub(crate) struct Ask(pub(crate) Tell, pub(crate) Reply<u64>);

#[derive(Clone)]
pub(crate) struct Args {
    pub(crate) who: usize,
    pub(crate) log: Log,
}

pub(crate) struct Worker(There);

impl GenServer for Worker {
    type Args = Args;
    type Call = Ask;
    type Cast = Tell;
    type Info = ();

    async fn init(args: &Args, ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        let there = args.log.enters(args.who, ctx.incarnation());
        match args.log.next_init(args.who) {
            OnInit::Succeed => {}
            OnInit::Fail => return Err(ExitReason::error("told to fail at the start")),
            OnInit::Panic => panic!("told to panic at the start"),
            OnInit::Ignore => return Ok(Init::ignore()),
            OnInit::Slow(long) => tokio::time::sleep(long).await,
            OnInit::SlowFail(long) => {
                tokio::time::sleep(long).await;
                return Err(ExitReason::error("told to fail after a while"));
            }
        }
        args.log.note(Event::Up(args.who, ctx.incarnation()));
        Ok(Init::ok(Self(there)))
    }

    async fn handle_call(&mut self, Ask(tell, reply): Ask, _: &mut Context<Self>) -> Step {
        let step = self.handle(tell).await;
        if step.is_ok() {
            reply.send(tell.0);
        }
        step
    }

    async fn handle_cast(&mut self, tell: Tell, _: &mut Context<Self>) -> Step {
        self.handle(tell).await
    }

    async fn terminate(&mut self, reason: &ExitReason, _: &mut Context<Self>) -> Result<(), ExitReason> {
        let (log, who) = (self.0.log(), self.0.who());
        log.note(Event::Terminates(who, self.0.incarnation(), reason.to_string()));
        let long = log.next_terminate(who);
        if !long.is_zero() {
            tokio::time::sleep(long).await;
        }
        Ok(())
    }
}

impl Worker {
    async fn handle(&self, Tell(id, what): Tell) -> Step {
        self.0.log().handles(self.0.who(), self.0.incarnation(), id);
        match what {
            What::Note => {}
            What::Panic => panic!("told to panic"),
            What::Fail => return Err(ExitReason::error("told to fail")),
            What::Stop => return Ok(Next::stop()),
            What::Sleep(long) => tokio::time::sleep(long).await,
            What::LatePanic(long) => {
                tokio::time::sleep(long).await;
                panic!("told to panic late");
            }
        }
        Ok(Next::go())
    }
}

/// Installs a panic hook that has nothing to say of the panics here, and leaves all others to the one before.
pub(crate) fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let said = payload.downcast_ref::<&str>().copied();
            let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            if !said.is_some_and(|said| said.starts_with(TOLD)) {
                usual(info);
            }
        }));
    });
}
