//! Runs one of the workloads whose instructions are counted: `counts NAME ROUNDS OPS`. It prints nothing.
//!
//! `cargo xtask counts` runs it under valgrind, twice with two sizes, and counts what the difference takes: what comes
//! before and after the work, the process itself included, is the same in both. Each round has a runtime and servers of
//! its own.

mod workloads;
mod written;

use std::process::ExitCode;

use workloads::{Call, CallMailbox, Cast, Counter, Hop, SendReceive, Start, Workload};
use written::Written;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, rounds, ops] = args.as_slice() else { return usage() };
    let (Ok(rounds), Ok(ops)) = (rounds.parse(), ops.parse()) else { return usage() };
    let run = match name.as_str() {
        "send-receive" => rounds_of::<SendReceive>,
        "cast" => rounds_of::<Cast<Counter>>,
        "cast-macro" => rounds_of::<Cast<Written>>,
        "hop" => rounds_of::<Hop>,
        "call" => rounds_of::<Call<Counter>>,
        "call-macro" => rounds_of::<Call<Written>>,
        "call-mailbox" => rounds_of::<CallMailbox>,
        "start" => rounds_of::<Start>,
        _ => return usage(),
    };
    run(rounds, ops);
    ExitCode::SUCCESS
}

fn rounds_of<W: Workload>(rounds: u64, ops: u64) {
    for _ in 0..rounds {
        W::ready().run(ops);
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: counts send-receive|cast|cast-macro|hop|call|call-macro|call-mailbox|start ROUNDS OPS");
    ExitCode::from(2)
}
