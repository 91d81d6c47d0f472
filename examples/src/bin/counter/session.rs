//! The program's side: what each command does, and what is printed of it.

use crate::command::{Command, HELP};
use crate::server::{Counter, CounterHandle, CounterInfo};
use restante::prelude::*;
use std::future::poll_fn;
use std::io::{self, Write};
use std::task::Poll;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};

/// The mailbox, calls that are still out, and where lines go.
pub(crate) struct Session<'a, W> {
    server: Server<Counter>,
    pub(crate) counter: ServerRef<Counter>,
    asks: JoinSet<String>,
    asked: u32,
    pub(crate) out: &'a mut W,
}

/// Whether to read on.
#[derive(PartialEq)]
pub(crate) enum Then {
    Go,
    Quit,
}

impl<'a, W: Write> Session<'a, W> {
    /// A mailbox, and nobody who reads it yet.
    pub(crate) fn new(out: &'a mut W) -> Self {
        let server = Server::<Counter>::new("counter");
        let counter = server.address();
        Self { server, counter, asks: JoinSet::new(), asked: 0, out }
    }

    pub(crate) async fn obey(&mut self, line: &str) -> io::Result<Then> {
        match Command::parse(line) {
            Ok(Some(Command::Quit)) => return Ok(Then::Quit),
            Ok(Some(command)) => self.perform(command).await?,
            Ok(None) => return Ok(Then::Go),
            Err(why) => writeln!(self.out, "{why}")?,
        }
        while let Some(answer) = self.asks.try_join_next() {
            show(self.out, answer)?;
        }
        self.let_watchers_hear().await;
        self.out.flush()?;
        Ok(Then::Go)
    }

    async fn perform(&mut self, command: Command) -> io::Result<()> {
        match command {
            Command::Add(n) => self.add(n),
            Command::Queue(n) => self.queue(n),
            Command::Get => self.get().await,
            Command::Ask => self.ask().await,
            Command::Tick => self.tick().await,
            Command::Crash(work) => self.crash(work).await,
            Command::Wait => self.wait().await,
            Command::Kill => self.kill().await,
            Command::Stop => self.stop().await,
            Command::Start => self.start().await,
            Command::Stats => self.stats(),
            Command::Operate(verb) => self.operate(verb).await,
            Command::Help => writeln!(self.out, "{HELP}"),
            Command::Quit => Ok(()),
        }
    }

    /// Says how many calls were never answered.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        if !self.asks.is_empty() {
            writeln!(self.out, "{} calls were never answered", self.asks.len())?;
        }
        self.out.flush()
    }

    fn add(&mut self, n: u64) -> io::Result<()> {
        match self.counter.add(n) {
            Ok(()) => writeln!(self.out, "added {n}{}", self.waits()),
            Err(refused) => writeln!(self.out, "add: {refused}"),
        }
    }

    fn queue(&mut self, n: u64) -> io::Result<()> {
        for sent in 0..n {
            if let Err(refused) = self.counter.add(1) {
                return writeln!(self.out, "queue: after {sent} of {n}: {refused}{}", self.waits());
            }
        }
        writeln!(self.out, "cast 1, {n} times{}", self.waits())
    }

    /// What to say of messages while nobody handles them.
    pub(crate) fn waits(&self) -> String {
        let nobody = match (self.counter.is_alive(), self.is_suspended()) {
            (true, false) => return String::new(),
            (true, true) => "the server is suspended",
            (false, _) => "no server runs",
        };
        format!("; {nobody}, {} messages wait in the mailbox", self.counter.stats().depth)
    }

    fn is_suspended(&self) -> bool {
        self.counter.sys().status().suspended
    }

    async fn get(&mut self) -> io::Result<()> {
        let limit = Duration::from_millis(500);
        match self.counter.sum_timeout(limit).await {
            Ok(sum) => writeln!(self.out, "sum is {sum}"),
            Err(CallError::Timeout) => {
                let why = match (self.counter.is_alive(), self.is_suspended()) {
                    (true, false) => "the server is busy",
                    (true, true) => "the server is suspended (`resume`)",
                    (false, _) => "no server runs (`start`)",
                };
                writeln!(self.out, "get: no answer within {limit:?}: {why}")
            }
            Err(e) => writeln!(self.out, "get: {e}"),
        }
    }

    async fn ask(&mut self) -> io::Result<()> {
        self.asked += 1;
        let (ask, counter) = (self.asked, self.counter.clone());
        let mut answer = Box::pin(async move {
            match counter.sum_timeout(Duration::from_secs(30)).await {
                Ok(sum) => {
                    format!("answer to ask {ask}: sum is {sum}, from incarnation {}", counter.incarnation())
                }
                Err(e) => format!("ask {ask}: {e}"),
            }
        });
        // A call is sent when it is first polled: here, so that what the next command sends comes after it.
        match poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await {
            Poll::Ready(answer) => writeln!(self.out, "{answer}"),
            Poll::Pending => {
                self.asks.spawn(answer);
                writeln!(self.out, "ask {ask}: the call waits for its answer")
            }
        }
    }

    async fn tick(&mut self) -> io::Result<()> {
        if let Err(refused) = self.counter.info(CounterInfo::Tick) {
            return writeln!(self.out, "tick: {refused}");
        }
        match self.counter.ticks_timeout(Duration::from_millis(500)).await {
            Ok(1) => writeln!(self.out, "1 tick came"),
            Ok(n) => writeln!(self.out, "{n} ticks came"),
            Err(e) => writeln!(self.out, "tick: {e}{}", self.waits()),
        }
    }

    async fn crash(&mut self, work: Option<Duration>) -> io::Result<()> {
        if !self.counter.is_alive() {
            return writeln!(self.out, "crash: no server runs");
        }
        if let Err(refused) = self.counter.crash(work.unwrap_or_default()) {
            return writeln!(self.out, "crash: {refused}");
        }
        match work {
            _ if self.is_suspended() => writeln!(self.out, "the crash waits, too{}", self.waits()),
            Some(work) => writeln!(self.out, "the server works for {work:?}, then it will panic"),
            None => self.wait().await,
        }
    }

    async fn wait(&mut self) -> io::Result<()> {
        let status = self.counter.sys().status();
        if status.running && status.suspended && status.in_hand.is_none() {
            return writeln!(self.out, "wait: the server is suspended, and does nothing that could end it");
        }
        let limit = Duration::from_secs(30);
        match tokio::time::timeout(limit, self.counter.join()).await {
            Ok(exit) if exit.reason.is_orderly() => writeln!(self.out, "ended: {exit}"),
            Ok(exit) => {
                writeln!(self.out, "incarnation {} crashed: {exit}{}", exit.incarnation, self.waits())
            }
            Err(_) => writeln!(self.out, "wait: the server still runs after {limit:?}"),
        }
    }

    async fn kill(&mut self) -> io::Result<()> {
        if !self.counter.kill() {
            return writeln!(self.out, "kill: no server runs");
        }
        let exit = self.counter.join().await;
        writeln!(self.out, "incarnation {} ended: {}", exit.incarnation, exit.reason)
    }

    async fn stop(&mut self) -> io::Result<()> {
        match self.counter.stop(ExitReason::Shutdown, Duration::from_secs(5)).await {
            Ok(()) => writeln!(self.out, "incarnation {} stopped: shutdown", self.counter.incarnation()),
            Err(e) => writeln!(self.out, "stop: {e}"),
        }
    }

    pub(crate) async fn start(&mut self) -> io::Result<()> {
        let waiting = self.counter.stats().depth;
        if let Err(e) = self.server.start(0).await {
            return writeln!(self.out, "start: {e}");
        }
        match self.counter.incarnation() {
            1 => writeln!(self.out, "started: incarnation 1")?,
            n => writeln!(
                self.out,
                "started again: incarnation {n} over the same mailbox, where {waiting} messages wait{}",
                if self.is_suspended() { "; it is still suspended" } else { "" }
            )?,
        }
        // Calls that waited are answered now; the limit is for one that waits behind a slow handler.
        let answers = async {
            while let Some(answer) = self.asks.join_next().await {
                show(self.out, answer)?;
            }
            Ok(())
        };
        tokio::time::timeout(Duration::from_secs(1), answers).await.unwrap_or(Ok(()))
    }

    fn stats(&mut self) -> io::Result<()> {
        match self.counter.audit() {
            Some(ledger) => writeln!(self.out, "stats: {ledger}"),
            None => writeln!(self.out, "stats (at work, so a quick look): {}", self.counter.stats().ledger),
        }
    }
}

fn show(out: &mut impl Write, answer: Result<String, JoinError>) -> io::Result<()> {
    match answer {
        Ok(answer) => writeln!(out, "{answer}"),
        Err(e) => writeln!(out, "an ask failed: {e}"),
    }
}
