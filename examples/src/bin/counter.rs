//! A counter that is called, cast to, crashed, and started again over the same mailbox.
//!
//! ```sh
//! cargo run --bin counter             # plays the script below
//! cargo run --bin counter -- -        # reads commands from standard input
//! cargo run --bin counter -- FILE     # reads commands from a file
//! ```
//!
//! What you will see: casts and a call wait in the mailbox while the server crashes under them (`crashed`), and the next
//! incarnation (`started again`) reads them in their order. Its state is gone, the mailbox is not: `stats` shows that
//! each message is accounted for.
//!
//! Long because it reads commands; the server itself is the 50 lines around `impl GenServer for Counter`.

use restante::install_panic_hook;
use restante::prelude::*;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::{JoinError, JoinSet};

const SCRIPT: &str = "\
add 40
add 2
get
tick

# A handler works for 200 ms, then panics. Behind it wait a call and a cast.
crash 200
ask
add 7
wait
stats

# Nobody reads; the mailbox takes messages all the same.
queue 3
get
start
get
stats

kill
start
stop
";

const HELP: &str = "\
add N       casts N to the counter; while no server runs, the cast waits
get         calls for the sum, and waits for the answer half a second at most
ask         calls for the sum and goes on; the answer is shown when it comes
tick        sends an info by hand and shows how many ticks came (the timer sends one a second)
crash [MS]  makes a handler panic; with MS it works so long first, and the program goes on
wait        waits for the end of the server
kill        ends the server at once; `terminate` does not run
stop        tells the server to stop; `terminate` runs
start       puts a new server before the same mailbox
queue N     casts 1 N times, and shows how many messages wait
stats       shows what became of every message
help, quit";

/// What the panic says that `crash` asks for, so that the hook can tell it from a mistake of ours.
const ASKED: &str = "asked to crash";

struct Counter {
    sum: u64,
    ticks: u64,
}

enum Ask {
    Sum(Reply<u64>),
    Ticks(Reply<u64>),
}

enum Order {
    Add(u64),
    CrashAfter(Duration),
}

struct Tick;

impl GenServer for Counter {
    type Args = u64;
    type Call = Ask;
    type Cast = Order;
    type Info = Tick;

    async fn init(sum: &u64, ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        ctx.send_every(Every::FixedRate(Duration::from_secs(1)), || Tick);
        Ok(Init::ok(Counter { sum: *sum, ticks: 0 }))
    }

    async fn handle_call(&mut self, call: Ask, _: &mut Context<Self>) -> Step {
        match call {
            Ask::Sum(reply) => reply.send(self.sum),
            Ask::Ticks(reply) => reply.send(self.ticks),
        };
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, cast: Order, _: &mut Context<Self>) -> Step {
        match cast {
            Order::Add(n) => {
                self.sum = self.sum.checked_add(n).ok_or_else(|| ExitReason::error("the sum is too big"))?;
            }
            Order::CrashAfter(work) => {
                tokio::time::sleep(work).await;
                panic!("{ASKED}");
            }
        }
        Ok(Next::go())
    }

    async fn handle_info(&mut self, Tick: Tick, _: &mut Context<Self>) -> Step {
        self.ticks += 1;
        Ok(Next::go())
    }

    fn cast_name(cast: &Order) -> &'static str {
        match cast {
            Order::Add(_) => "add",
            Order::CrashAfter(_) => "crash",
        }
    }
}

/// The program's side: the mailbox, calls that are still out, and where lines go.
struct Session<'a, W> {
    server: Server<Counter>,
    counter: ServerRef<Counter>,
    asks: JoinSet<String>,
    asked: u32,
    out: &'a mut W,
}

/// Whether to read on.
#[derive(PartialEq)]
enum Then {
    Go,
    Quit,
}

impl<W: Write> Session<'_, W> {
    async fn obey(&mut self, line: &str) -> io::Result<Then> {
        let mut words = line.split_whitespace();
        let Some(command) = words.next().filter(|word| !word.starts_with('#')) else { return Ok(Then::Go) };
        let argument = words.next();
        if words.next().is_some() {
            writeln!(self.out, "too many words: `{line}` (try `help`)")?;
            return Ok(Then::Go);
        }
        match (command, argument) {
            ("add", Some(n)) => match number(n) {
                Ok(n) => self.add(n)?,
                Err(why) => writeln!(self.out, "add: {why}")?,
            },
            ("queue", Some(n)) => match number(n) {
                Ok(n) => self.queue(n)?,
                Err(why) => writeln!(self.out, "queue: {why}")?,
            },
            ("crash", None) => self.crash(None).await?,
            ("crash", Some(ms)) => match number(ms) {
                Ok(ms) => self.crash(Some(Duration::from_millis(ms))).await?,
                Err(why) => writeln!(self.out, "crash: {why}")?,
            },
            ("add" | "queue", None) => writeln!(self.out, "{command}: how many? (try `help`)")?,
            ("get", None) => self.get().await?,
            ("ask", None) => self.ask().await?,
            ("tick", None) => self.tick().await?,
            ("wait", None) => self.wait().await?,
            ("kill", None) => self.kill().await?,
            ("stop", None) => self.stop().await?,
            ("start", None) => self.start().await?,
            ("stats", None) => self.stats()?,
            ("help", None) => writeln!(self.out, "{HELP}")?,
            ("quit", None) => return Ok(Then::Quit),
            _ => writeln!(self.out, "unknown command: `{line}` (try `help`)")?,
        }
        while let Some(answer) = self.asks.try_join_next() {
            show(self.out, answer)?;
        }
        self.out.flush()?;
        Ok(Then::Go)
    }

    fn add(&mut self, n: u64) -> io::Result<()> {
        match self.counter.cast(Order::Add(n)) {
            Ok(()) => writeln!(self.out, "added {n}{}", self.waits()),
            Err(refused) => writeln!(self.out, "add: {refused}"),
        }
    }

    fn queue(&mut self, n: u64) -> io::Result<()> {
        for sent in 0..n {
            if let Err(refused) = self.counter.cast(Order::Add(1)) {
                return writeln!(self.out, "queue: after {sent} of {n}: {refused}{}", self.waits());
            }
        }
        writeln!(self.out, "cast 1, {n} times{}", self.waits())
    }

    /// What to say of messages while nobody reads them.
    fn waits(&self) -> String {
        if self.counter.is_alive() {
            return String::new();
        }
        format!("; no server runs, {} messages wait in the mailbox", self.counter.stats().depth)
    }

    async fn get(&mut self) -> io::Result<()> {
        let limit = Duration::from_millis(500);
        match self.counter.call(Ask::Sum).timeout(limit).await {
            Ok(sum) => writeln!(self.out, "sum is {sum}"),
            Err(CallError::Timeout) => {
                let state =
                    if self.counter.is_alive() { "the server is busy" } else { "no server runs (`start`)" };
                writeln!(self.out, "get: no answer within {limit:?}: {state}")
            }
            Err(e) => writeln!(self.out, "get: {e}"),
        }
    }

    async fn ask(&mut self) -> io::Result<()> {
        self.asked += 1;
        let (ask, counter) = (self.asked, self.counter.clone());
        let mut answer = Box::pin(async move {
            match counter.call(Ask::Sum).timeout(Duration::from_secs(30)).await {
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
        if let Err(refused) = self.counter.info(Tick) {
            return writeln!(self.out, "tick: {refused}");
        }
        match self.counter.call(Ask::Ticks).timeout(Duration::from_millis(500)).await {
            Ok(1) => writeln!(self.out, "1 tick came"),
            Ok(n) => writeln!(self.out, "{n} ticks came"),
            Err(e) => writeln!(self.out, "tick: {e}{}", self.waits()),
        }
    }

    async fn crash(&mut self, work: Option<Duration>) -> io::Result<()> {
        if !self.counter.is_alive() {
            return writeln!(self.out, "crash: no server runs");
        }
        if let Err(refused) = self.counter.cast(Order::CrashAfter(work.unwrap_or_default())) {
            return writeln!(self.out, "crash: {refused}");
        }
        match work {
            Some(work) => writeln!(self.out, "the server works for {work:?}, then it will panic"),
            None => self.wait().await,
        }
    }

    async fn wait(&mut self) -> io::Result<()> {
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

    async fn start(&mut self) -> io::Result<()> {
        let waiting = self.counter.stats().depth;
        if let Err(e) = self.server.start(0).await {
            return writeln!(self.out, "start: {e}");
        }
        match self.counter.incarnation() {
            1 => writeln!(self.out, "started: incarnation 1")?,
            n => writeln!(
                self.out,
                "started again: incarnation {n} over the same mailbox, where {waiting} messages wait"
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

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|e| format!("`{word}` is no number to count with: {e}"))
}

/// Plays all lines of `input`, in order; with `echo` each is shown first.
fn play(runtime: &Runtime, mut input: impl BufRead, echo: bool, out: &mut impl Write) -> io::Result<()> {
    let server = Server::<Counter>::new("counter");
    let counter = server.address();
    let mut session = Session { server, counter, asks: JoinSet::new(), asked: 0, out };
    runtime.block_on(session.start())?;
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).map_err(|e| io::Error::other(Unreadable(e)))? > 0 {
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        if echo && !text.is_empty() {
            writeln!(session.out, "> {text}")?;
        }
        if runtime.block_on(session.obey(&text))? == Then::Quit {
            break;
        }
        line.clear();
    }
    if !session.asks.is_empty() {
        writeln!(session.out, "{} calls were never answered", session.asks.len())?;
    }
    session.out.flush()
}

/// The input could not be read: told from an output that could not be written.
#[derive(Debug)]
struct Unreadable(io::Error);

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unreadable {}

/// The panic that `crash` asks for is shown where the crash is; others are as loud as ever.
fn be_quiet_about_our_panic() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<String>().is_none_or(|said| said != ASKED) {
            loud(info);
        }
    }));
    // So that the exit knows where the panic was.
    install_panic_hook();
}

fn run(arguments: &[String]) -> Result<(), String> {
    let runtime = Runtime::new().map_err(|e| format!("no runtime: {e}"))?;
    let mut out = io::stdout().lock();
    let played = match arguments {
        [] => play(&runtime, SCRIPT.as_bytes(), true, &mut out),
        [one] if one == "--help" || one == "-h" => {
            writeln!(out, "usage: counter [- | FILE]   (without: a script of its own)\n\n{HELP}")
        }
        [one] if one == "-" => play(&runtime, io::stdin().lock(), false, &mut out),
        [file] => {
            let opened = File::open(file).map_err(|e| format!("cannot open {file}: {e}"))?;
            play(&runtime, BufReader::new(opened), true, &mut out)
        }
        _ => return Err("usage: counter [- | FILE]".to_owned()),
    };
    match played {
        // Whoever reads our lines has seen enough.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(e) if e.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Unreadable>) => {
            Err(format!("cannot read the commands: {e}"))
        }
        Err(e) => Err(format!("cannot write: {e}")),
        Ok(()) => Ok(()),
    }
}

fn main() -> ExitCode {
    be_quiet_about_our_panic();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(io::stderr(), "counter: {why}");
            ExitCode::from(2)
        }
    }
}
