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
//! each message is accounted for. Then an operator comes, whom the server need not help: it is halted, looked at,
//! given another state, resumed, traced; asked while a handler works; and its log is read when it has crashed.
//!
//! The server is in `server.rs`, what an operator may ask in `operator.rs`; the rest reads commands and prints.

mod command;
mod operator;
mod server;
mod session;
mod trace;

use crate::command::HELP;
use crate::server::ASKED;
use crate::session::{Session, Then};
use restante::install_panic_hook;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::process::ExitCode;
use tokio::runtime::Runtime;

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

# An operator halts it. Messages wait; who asks as an operator is answered. The state is replaced, and all goes on.
suspend
add 1
add 2
peek
state
replace 39
resume
get

# Each message that a handler gets goes to `tracing`; its name, not what it holds.
trace on
tick
trace off

# A handler works. What can be told without it is told; the state has to wait, and its asker hears for whom.
log 2
crash 1000
status
state
wait
log
statistics

start
kill
start
terminate
start
stop
";

/// Plays all lines of `input`, in order; with `echo` each is shown first.
fn play(runtime: &Runtime, mut input: impl BufRead, echo: bool, out: &mut impl Write) -> io::Result<()> {
    let mut session = Session::new(out);
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
    session.end()
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
    // Traces come from other threads, and are lines there too.
    tracing::subscriber::set_global_default(trace::Lines).map_err(|e| format!("no traces: {e}"))?;
    let mut out = io::stdout();
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
