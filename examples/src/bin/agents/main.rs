//! Agents that read: each text file below a path has a session of its own, which counts its words, finds its terms, and
//! summarises it in three sentences.
//!
//! ```sh
//! cargo run --release --bin agents                       # reads this repository's docs/ and crates/
//! cargo run --release --bin agents -- ~/notes            # reads what is below ~/notes
//! cargo run --release --bin agents -- ~/notes --json     # results for machines, on standard output
//! cargo run --release --bin agents -- --chaos 0.05       # tools panic, the results are the same
//! cargo run --release --bin agents -- --model-url http://localhost:11434/v1 --model llama3.2
//! ```
//!
//! What you will see: a table of the files (or JSON), what was left out and why, and at the end, on standard error, what the
//! crashes came to: `files = F, restarts = R, redeliveries = D, lost = L`. Ctrl-c prints what was finished by then.
//!
//! The rooms: `text` computes, `files` reads, `model` asks a model, `report` prints, `pipeline` brings them together.

mod breaker;
mod chaos;
mod dice;
mod files;
mod model;
mod options;
mod pipeline;
mod progress;
mod report;
mod session;
mod text;
mod tools;
mod tree;

use chaos::Chaos;
use clap::Parser;
use files::Walk;
use model::{Model, Policy, Tcp};
use options::{EXIT_INTERRUPTED, EXIT_OUTPUT, EXIT_USAGE, Options};
use pipeline::{Command, Outcome, Setup};
use progress::Progress;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use tokio::runtime::Runtime;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How wide a table is that goes to no terminal, in columns.
const COLUMNS: u16 = 120;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(EXIT_USAGE));
        }
    };
    match run(&options) {
        Ok(code) => code,
        Err((code, why)) => {
            say(&format!("agents: {why}"));
            ExitCode::from(code)
        }
    }
}

fn run(options: &Options) -> Result<ExitCode, (u8, String)> {
    let Walk { found, skipped } = files::walk(&options.roots())
        .map_err(|(path, e)| (EXIT_USAGE, format!("cannot read {}: {e}", path.display())))?;
    // Nothing is random without chaos, but the pauses between questions to a model.
    let seed = options.seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    if !options.chaos.is_never() {
        say(&format!("chaos {}, seed = {seed}", options.chaos));
        chaos::be_quiet_about_our_panics();
    }
    let setup = Setup {
        sessions: options.sessions,
        chaos: Chaos { rate: options.chaos, seed },
        kills: options.kill_supervisor,
        model: model(options, seed),
        progress: Progress::new(found.iter().map(|file| file.len).sum()),
    };
    let runtime = Runtime::new().map_err(|e| (EXIT_OUTPUT, format!("no runtime: {e}")))?;
    let outcome = runtime.block_on(async {
        let mut commands = Commands::listen().map_err(|e| format!("cannot listen to signals: {e}"))?;
        let run = pipeline::run(found, skipped, setup, async || commands.next().await);
        run.await.map_err(|e| e.to_string())
    });
    let Outcome { results, tally, report, names } = outcome.map_err(|why| (EXIT_OUTPUT, why))?;
    // Not waited for: what a file system still keeps is no reason to stay.
    runtime.shutdown_background();

    let stdout = io::stdout();
    let columns = if stdout.is_terminal() { console::Term::stdout().size().1 } else { COLUMNS };
    let out = BufWriter::new(stdout.lock());
    match if options.json { results.write_json(out) } else { results.write_table(out, columns) } {
        Ok(()) => {}
        // Whoever reads has seen enough.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => {}
        Err(e) => return Err((EXIT_OUTPUT, format!("cannot write: {e}"))),
    }
    if !report.is_clean() {
        say(&format!("agents: {report}"));
    }
    if !names.is_clean() {
        say(&format!("agents: the registry left something behind: {names:?}"));
    }
    say(&tally.to_string());
    Ok(if results.totals().unfinished > 0 { ExitCode::from(EXIT_INTERRUPTED) } else { ExitCode::SUCCESS })
}

fn model(options: &Options, seed: u64) -> Option<Model> {
    let endpoint = options.model_url.clone()?;
    let key = std::env::var(&options.model_key_env).ok().filter(|key| !key.is_empty());
    let policy = Policy {
        timeout: options.model_timeout,
        concurrency: options.model_concurrency.get(),
        seed,
        ..Policy::default()
    };
    Some(Model::new(Tcp, endpoint, options.model.clone(), key, policy))
}

/// What signals say: ctrl-c and SIGTERM stop, SIGHUP begins anew what is being read.
#[cfg(unix)]
struct Commands {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

#[cfg(unix)]
impl Commands {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next command.
    ///
    /// # Cancel safety
    ///
    /// A signal that came meanwhile is not lost.
    async fn next(&mut self) -> Command {
        tokio::select! {
            _ = self.interrupt.recv() => Command::Stop,
            _ = self.terminate.recv() => Command::Stop,
            _ = self.hangup.recv() => Command::Switch,
        }
    }
}

/// Where there are no signals but ctrl-c.
#[cfg(not(unix))]
struct Commands;

#[cfg(not(unix))]
impl Commands {
    #[expect(clippy::unnecessary_wraps, reason = "as with signals")]
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Command {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Command::Stop
    }
}

fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
