//! Measures the same work on restante, on its peers and on hand-written tokio tasks, side by side.
//!
//! ```text
//! cargo run --release -p restante-bench -- [--workload W,…] [--systems S,…] [--threads 1,2] [--runs N] [--quick] [--json]
//! ```
//!
//! The parent ([`parent`]) starts every measurement in a fresh process, the systems of a workload interleaved
//! run by run, and reports medians. The child ([`child`]) does one measurement: a driver ([`drivers`]), written
//! once for all, on one system ([`systems`]). A wrong count or sum ends the child, and the run with an error.

mod aims;
mod allocations;
mod child;
mod directory;
mod drivers;
mod latch;
mod measured;
mod options;
mod parent;
mod report;
mod supervised;
mod system;
mod systems;
mod workload;

use std::process::ExitCode;

use crate::options::Mode;

fn main() -> ExitCode {
    match options::parse(lexopt::Parser::from_env()) {
        Ok(Mode::Parent(plan)) => parent::run(&plan),
        Ok(Mode::Child(task)) => child::run(&task),
        Ok(Mode::Help(text)) => {
            report::print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("restante-bench: {error}");
            ExitCode::from(2)
        }
    }
}
