//! The program behind `cargo xtask chaos`: rounds of chaos, as many as it takes; its last line is `lost = L`.
#![expect(clippy::print_stdout, reason = "a program speaks on standard output")]

use restante_tests::chaos::{Plan, Verdict, quiet};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const HELP: &str = "\
Panics in handlers under load, and a count of what was lost.

Usage: cargo xtask chaos [OPTIONS]

Options:
  --panics N     Handlers that panic, all rounds together (10000000 unless set)
  --seed N       What all chance comes from (by chance unless set; it is printed)
  --from ROUND   The first round to be done (0 unless set)
  --servers N    Supervised servers (100 unless set)
  --senders N    Tasks that send to them (8 unless set)
  --capacity N   Messages that a mailbox holds (1024 unless set); with few, the senders wait in line

A run is cut into numbered rounds of 100000 panics. What a round does is a function of its number and of all options but
--panics and --from; how the threads interleave is not. A run that was broken off goes on with the same options and
--from; its totals are then those of the rounds that it did itself.

The last line is `lost = L`: messages of which nobody knows what became, by the counters of their mailbox or by those of
senders and handlers. The exit code is 0 if that is 0 and nothing else is wrong, 1 if not, 2 for options that make no sense.";

/// Panics of one round.
const ROUND: u64 = 100_000;

/// How often there is something to read.
const PACE: Duration = Duration::from_secs(5);

/// What the command line asks for.
struct Asked {
    plan: Plan,
    panics: u64,
    from: u64,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "-h" || arg == "--help") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let asked = match parse(&args) {
        Ok(asked) => asked,
        Err(complaint) => {
            eprintln!("error: {complaint}\n\nFor the options, try: cargo xtask chaos --help");
            return ExitCode::from(2);
        }
    };
    quiet();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    match runtime.worker_threads(2).enable_all().build() {
        Ok(runtime) => run(&asked, &runtime),
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            ExitCode::from(2)
        }
    }
}

fn parse(args: &[String]) -> Result<Asked, String> {
    let mut asked = Asked { plan: Plan::new(fastrand::u64(..)), panics: 10_000_000, from: 0 };
    let mut words = args.iter();
    while let Some(option) = words.next() {
        let value = words.next().ok_or_else(|| format!("`{option}` wants a number"))?;
        let number = || value.parse::<u64>().map_err(|e| format!("`{option} {value}`: {e}"));
        let count = || match value.parse() {
            Ok(0) => Err(format!("`{option} 0` leaves nothing to do")),
            other => other.map_err(|e| format!("`{option} {value}`: {e}")),
        };
        match option.as_str() {
            "--panics" => asked.panics = number()?,
            "--seed" => asked.plan.seed = number()?,
            "--from" => asked.from = number()?,
            "--servers" => asked.plan.servers = count()?,
            "--senders" => asked.plan.senders = count()?,
            "--capacity" => asked.plan.capacity = count()?,
            unknown => return Err(format!("unknown option `{unknown}`")),
        }
    }
    Ok(asked)
}

fn run(asked: &Asked, runtime: &tokio::runtime::Runtime) -> ExitCode {
    let plan = &asked.plan;
    let rounds = asked.panics.div_ceil(ROUND);
    println!(
        "seed {}: {} panics in {rounds} rounds, {} servers, {} senders, capacity {}",
        plan.seed, asked.panics, plan.servers, plan.senders, plan.capacity
    );
    let (begun, mut told) = (Instant::now(), Instant::now());
    let mut total = Verdict::default();
    for round in asked.from..rounds {
        let panics = ROUND.min(asked.panics - round * ROUND);
        let verdict = runtime.block_on(plan.round(round, panics));
        for fault in &verdict.faults {
            println!("round {round}: {fault}");
        }
        let wrong = !verdict.is_clean();
        total.add(verdict);
        if wrong || told.elapsed() >= PACE || round + 1 == rounds {
            told = Instant::now();
            let took = begun.elapsed().as_secs_f64();
            println!("{took:.0} s, next --from {}: {total}; lost {}", round + 1, total.lost);
        }
    }
    println!("lost = {}", total.lost);
    if total.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
