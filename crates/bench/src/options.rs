//! The command line: what the user may ask for, and the hidden form in which the parent speaks to a child.

use std::fmt::Write as _;

use lexopt::prelude::*;

use crate::{
    child::Task,
    parent::Plan,
    systems::SystemName,
    workload::{Scale, Workload},
};

/// What this process is to do.
pub(crate) enum Mode {
    /// Run a plan of measurements, each in a child.
    Parent(Plan),
    /// Do one measurement.
    Child(Task),
    /// Print this text.
    Help(String),
}

const DEFAULT_RUNS: usize = 3;

pub(crate) fn parse(mut arguments: lexopt::Parser) -> Result<Mode, lexopt::Error> {
    let mut workloads = Workload::ALL.to_vec();
    let mut systems = SystemName::ALL.to_vec();
    let mut threads = vec![1, 2];
    let mut runs = None;
    let mut scale = Scale::Full;
    let mut json = false;
    let mut child = false;
    let mut ops = 0;
    let mut count = false;

    while let Some(argument) = arguments.next()? {
        match argument {
            Long("workload" | "workloads") => {
                workloads = list(&arguments.value()?.string()?, Workload::named, "workload")?;
            }
            Long("systems" | "system") => {
                systems = list(&arguments.value()?.string()?, SystemName::named, "system")?;
            }
            Long("threads") => {
                threads = list(&arguments.value()?.string()?, thread_count, "number of threads")?;
            }
            Long("runs") => runs = Some(arguments.value()?.parse::<usize>()?.max(1)),
            Long("quick") => scale = Scale::Quick,
            Long("json") => json = true,
            Long("child") => child = true,
            Long("ops") => ops = arguments.value()?.parse()?,
            Long("count") => count = true,
            Long("help") | Short('h') => return Ok(Mode::Help(help())),
            other => return Err(other.unexpected()),
        }
    }

    if child {
        return Ok(Mode::Child(Task {
            workload: workloads[0],
            system: systems[0],
            threads: threads[0],
            ops,
            count,
        }));
    }
    let runs = runs.unwrap_or(if scale == Scale::Quick { 1 } else { DEFAULT_RUNS });
    Ok(Mode::Parent(Plan { workloads, systems, threads, runs, scale, json }))
}

fn thread_count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|&threads| threads > 0)
}

/// Reads a list with commas; an unknown entry is an error that names it.
fn list<T>(text: &str, read: impl Fn(&str) -> Option<T>, what: &str) -> Result<Vec<T>, lexopt::Error> {
    text.split(',')
        .map(str::trim)
        .map(|entry| read(entry).ok_or_else(|| format!("unknown {what} `{entry}` (try --help)").into()))
        .collect()
}

fn help() -> String {
    let mut text = String::from(
        "restante-bench [--workload W,…] [--systems S,…] [--threads 1,2] [--runs N] [--quick] [--json]\n\n\
         --runs N   fresh processes for each measurement; the median counts (default 3)\n\
         --quick    one run, sizes cut about ten times\n\
         --json     one line of JSON for each measurement in place of the tables\n\nWorkloads:\n",
    );
    for workload in Workload::ALL {
        let _ = writeln!(text, "  {:24} {}", workload.name(), workload.about());
    }
    let systems: Vec<_> = SystemName::ALL.iter().map(|system| system.name()).collect();
    let _ = writeln!(text, "\nSystems: {}", systems.join(", "));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Mode, lexopt::Error> {
        parse(lexopt::Parser::from_args(arguments))
    }

    #[test]
    fn everything_is_measured_three_times_unless_less_is_asked_for() {
        let Ok(Mode::Parent(plan)) = parsed(&[]) else { panic!("a plan") };
        assert_eq!((plan.workloads.len(), plan.systems.len(), plan.runs), (37, 7, 3));
        let Ok(Mode::Parent(plan)) = parsed(&["--quick", "--workload", "cast,call", "--systems=xtra"]) else {
            panic!("a plan")
        };
        assert_eq!((plan.workloads.len(), plan.systems.len(), plan.runs), (2, 1, 1));
    }

    #[test]
    fn an_unknown_name_is_refused() {
        for arguments in [["--workload=cats"], ["--systems=erlang"], ["--threads=0"], ["--fast"]] {
            assert!(parsed(&arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn a_child_understands_its_parent() {
        let told =
            Task { workload: Workload::Ring, system: SystemName::Kameo, threads: 2, ops: 7, count: true };
        let arguments = told.arguments();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let Ok(Mode::Child(heard)) = parsed(&arguments) else { panic!("a child") };
        assert_eq!(heard, told);
    }
}
