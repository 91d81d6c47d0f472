//! Developer commands of the workspace: `cargo xtask --help` lists them.
//!
//! What lives here is the order in which tools are called, and what counts as a failure. What does not: anything a
//! user of the crates could want. There are no dependencies, so that a fresh clone reaches its first test soon.
//!
//! ```text
//! main (which command) ─> suite, sanitize, mutants, lint, prose, closure, deny, counts ─> report (runs, prints, sums up)
//!                     └──> chaos (a program of the tests, which sums up itself)
//! ```
#![expect(clippy::print_stdout, reason = "a command-line tool speaks on standard output")]

mod callgrind;
mod chaos;
mod closure;
mod counts;
mod deny;
mod lint;
mod mutants;
mod programs;
mod prose;
mod report;
mod sanitize;
mod suite;
mod tools;

use std::env;
use std::process::ExitCode;

use crate::report::{Failure, Report};

const HELP: &str = "\
Developer commands of restante.

Usage: cargo xtask <COMMAND> [ARGS]

Commands:
  test              All tests: unit and integration tests (with nextest where it is
                    installed), doctests, loom models, shuttle tests
  loom [NAME]...    The loom models, or those whose name contains a NAME
  shuttle [NAME]... The shuttle tests, or those whose name contains a NAME
  valgrind [NAME]...
                    The unit tests of core and genserver under valgrind's memcheck
  sanitize [NAME]...
                    The tests of core, genserver, registry and testkit under
                    ThreadSanitizer and AddressSanitizer, a planted fault for each (nightly)
  mutants [FILE]... Small changes of the rules, or of those whose path contains a FILE: at
                    least 90 % of each crate's must be noticed by the tests. `mutants changed`
                    is what `ci` does: those of changed lines, two minutes at most
  lint              Format, clippy for the whole workspace, rustdoc; warnings are errors
  prose [PATH]...   Comment lines that name no role or lean on their neighbour: at most 60
  closure           Count the crates that core depends on, itself included: at most 40
  deny [CHECK]...   cargo deny: bans, licenses and sources, or the CHECKs named
                    (`advisories` fetches a database from the network)
  counts            Instructions of send, receive, call and start, and the locked ones among
                    them (valgrind): no more than the ceilings; then gungraun's benchmark
  chaos [OPTION]... Ten million panics under load, or as many as asked for, and the number of
                    messages lost, in the last line; `chaos --help` lists the options
  ci                lint, closure, deny, test, at most two minutes of mutants (of the lines that
                    have changed), and two of sanitize, building apart

Options:
  -h, --help        Print this

A step whose tool is not installed is skipped, and the summary says so. The first step that
fails ends the run with its exit code.

Environment:
  LOOM_MAX_PREEMPTIONS   How deep loom searches (2 unless set)
  PROPTEST_CASES         Property cases under valgrind (16 unless set)
  CARGO_TARGET_DIR       Where everything is built; loom, shuttle and the sanitizers get a
                         folder each in it";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match Asked::parse(&args) {
        Ok(Asked::Help) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Asked::Chaos(options)) => chaos::chaos(&options),
        Ok(Asked::Task(task)) => perform(&task, &args),
        Err(complaint) => {
            eprintln!("error: {complaint}\n\nFor the commands, try: cargo xtask --help");
            ExitCode::from(2)
        }
    }
}

fn perform(task: &Task, args: &[String]) -> ExitCode {
    let mut report = Report::new(&format!("cargo xtask {}", args.join(" ")));
    let result = task.run(&mut report);
    report.finish(result)
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Help,
    /// With options that are the program's own.
    Chaos(Vec<String>),
    Task(Task),
}

/// One command, with the arguments it takes.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Test,
    Loom(Vec<String>),
    Shuttle(Vec<String>),
    Valgrind(Vec<String>),
    Sanitize(Vec<String>),
    Mutants(Vec<String>),
    Lint,
    Prose(Vec<String>),
    Closure,
    Deny(Vec<String>),
    Counts,
    Ci,
}

impl Asked {
    fn parse(args: &[String]) -> Result<Self, String> {
        let Some((command, rest)) = args.split_first() else {
            return Ok(Self::Help);
        };
        if command == "chaos" {
            return Ok(Self::Chaos(rest.to_vec()));
        }
        if command == "help" || args.iter().any(|arg| arg == "-h" || arg == "--help") {
            return Ok(Self::Help);
        }
        if let Some(option) = args.iter().find(|arg| arg.starts_with('-')) {
            return Err(format!("unknown option `{option}`"));
        }
        let task = match command.as_str() {
            "loom" => Task::Loom(rest.to_vec()),
            "shuttle" => Task::Shuttle(rest.to_vec()),
            "valgrind" => Task::Valgrind(rest.to_vec()),
            "sanitize" => Task::Sanitize(rest.to_vec()),
            "mutants" => Task::Mutants(rest.to_vec()),
            "deny" => Task::Deny(rest.to_vec()),
            "prose" => Task::Prose(rest.to_vec()),
            bare => {
                let task = match bare {
                    "test" => Task::Test,
                    "lint" => Task::Lint,
                    "closure" => Task::Closure,
                    "counts" => Task::Counts,
                    "ci" => Task::Ci,
                    unknown => return Err(format!("unknown command `{unknown}`")),
                };
                if let Some(extra) = rest.first() {
                    return Err(format!("`{bare}` takes no arguments, found `{extra}`"));
                }
                task
            }
        };
        Ok(Self::Task(task))
    }
}

impl Task {
    fn run(&self, report: &mut Report) -> Result<(), Failure> {
        match self {
            Self::Test => suite::test(report),
            Self::Loom(names) => suite::loom(report, names),
            Self::Shuttle(names) => suite::shuttle(report, names),
            Self::Valgrind(names) => suite::valgrind(report, names),
            Self::Sanitize(names) => sanitize::sanitize(report, names, None),
            Self::Mutants(names) if *names == ["changed"] => mutants::mutants_of_change(report),
            Self::Mutants(names) => mutants::mutants(report, names),
            Self::Lint => lint::lint(report),
            Self::Prose(names) => prose::prose(report, names),
            Self::Closure => closure::closure(report),
            Self::Deny(checks) => deny::deny(report, checks),
            Self::Counts => counts::counts(report),
            Self::Ci => {
                lint::lint(report)?;
                closure::closure(report)?;
                deny::deny(report, &[])?;
                suite::test(report)?;
                mutants::mutants_of_change(report)?;
                sanitize::sanitize(report, &[], Some(sanitize::BUDGET))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Task};

    fn parse(line: &str) -> Result<Asked, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Asked::parse(&args)
    }

    #[test]
    fn help_is_given_when_asked_for_and_when_nothing_is() {
        for line in ["", "help", "-h", "--help", "test --help"] {
            assert_eq!(parse(line), Ok(Asked::Help), "{line}");
        }
    }

    #[test]
    fn commands_keep_the_names_they_are_given() {
        assert_eq!(parse("ci"), Ok(Asked::Task(Task::Ci)));
        assert_eq!(parse("loom"), Ok(Asked::Task(Task::Loom(vec![]))));
        assert_eq!(parse("loom close"), Ok(Asked::Task(Task::Loom(vec!["close".to_owned()]))));
    }

    #[test]
    fn options_of_chaos_are_its_own_concern() {
        let options = ["--panics", "5", "--help"].map(str::to_owned).to_vec();
        assert_eq!(parse("chaos --panics 5 --help"), Ok(Asked::Chaos(options)));
        assert_eq!(parse("--help chaos"), Ok(Asked::Help));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["tset", "test now", "loom --fast", "--verbose"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
