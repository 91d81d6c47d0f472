//! The concurrent tests under `AddressSanitizer` and `ThreadSanitizer`: what loom and shuttle check in models, on real threads.
//!
//! Both need a nightly compiler, and take the standard library as it is: not instrumented (`-Zbuild-std` would need its
//! sources). `ThreadSanitizer` knows no fences: under `--cfg sanitize_thread` ours become read-modify-writes of one word (core's
//! `sync`). What the library orders out of its sight it is told by a shim (`shim`); what is left is judged report by report
//! (`reports`), by the names in `tsan-suppressions.txt`, each with its reason. `AddressSanitizer` needs none of it.
//!
//! Two faults are planted in core's tests (its `planted.rs`): each must be reported, under the same flags and suppressions
//! as everything else, or the step fails. A test that fails by itself fails the step as a report does; those that say nothing
//! of use under a sanitizer are left out by name ([`LEFT_OUT`]).
//!
//! ```text
//! for each sanitizer:  build ─> planted: reported? ─> list the tests of each crate ─> run them, a slice at a time
//!                                                                                     until the budget is spent
//! ```
//!
//! With a budget, as in `ci`, only the test binaries of `tests/` are built: that is where the threads are, and a build of the
//! unit tests costs as much again.

mod reports;
mod shim;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use self::reports::Suppression;
use crate::programs::{self, Program, Ran};
use crate::report::{Failure, Report, announce};
use crate::tools::{installed, root, target_dir};

/// The only target asked for: the sanitizers' runtimes come with it.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The crates whose tests run, by their folders, and the modules of them that are run before all others: those with threads
/// in their tests. What the budget leaves no time for is at the end of the list.
const CRATES: [(&str, &[&str]); 4] = [
    // Each operation of core, genserver and supervisor under foreign code at its worst. (The registry's are among its own tests.)
    ("testkit", &["rude"]),
    ("core", &["planted", "threads", "waiting", "closing"]),
    ("genserver", &["stress", "own_threads", "thread", "sys_attack", "hand", "calls", "request", "start"]),
    ("registry", &["rude", "keys::threads", "anywhere", "groups", "exits", "lifetimes", "looking"]),
];

/// Tests that run under no sanitizer: crate, name, reason.
const LEFT_OUT: [(&str, &str, &str); 2] = [
    (
        "registry",
        "anywhere::an_actor_that_is_killed_as_it_begins_begins_again",
        "2000 registries, each under the default limit of 5 s by the system's clock: a slow machine is over it",
    ),
    (
        "genserver",
        "deep::a_caller_deep_in_a_small_stack_does_not_run_the_handler",
        "it measures its stack, of which a sanitizer takes more",
    ),
];

/// How many tests are run before what was reported is judged.
const SLICE: usize = 24;

/// How long the run in `ci` may take, building apart: both sanitizers together.
pub(crate) const BUDGET: Duration = Duration::from_secs(120);

struct Sanitizer {
    /// As `-Zsanitizer=` takes it.
    name: &'static str,
    /// The fault that is planted for it, and what its report says of it.
    planted: &'static str,
    says: &'static str,
}

const SANITIZERS: [Sanitizer; 2] = [
    Sanitizer { name: "thread", planted: "planted::planted_race", says: "ThreadSanitizer: data race" },
    Sanitizer {
        name: "address",
        planted: "planted::planted_use_after_free",
        says: "AddressSanitizer: heap-use-after-free",
    },
];

/// Runs the tests, or those whose name contains one of `names`; at most for `budget`, where one is given.
pub(crate) fn sanitize(
    report: &mut Report,
    names: &[String],
    budget: Option<Duration>,
) -> Result<(), Failure> {
    if let Some(reason) = missing() {
        report.skip("sanitize", &reason);
        return Ok(());
    }
    let Some(shim) = shim::build(&target_dir().join("sanitize-thread/shim"))? else {
        report.skip("sanitize", "this nightly's library calls its functions by other names: see the shim");
        return Ok(());
    };
    for sanitizer in &SANITIZERS {
        let name = sanitizer.name;
        let sanitizer =
            Run { of: sanitizer, flags: if name == "thread" { shim.clone() } else { Vec::new() } };
        let mut programs = Vec::new();
        report.step(&format!("{name} sanitizer: build"), || {
            programs = sanitizer.build(budget.is_none())?;
            Ok(format!("{} test programs", programs.len()))
        })?;
        report.step(&format!("{name} sanitizer: planted"), || sanitizer.expect_report(&programs))?;
        let share = budget.map(|budget| budget / u32::try_from(SANITIZERS.len()).expect("there are two"));
        report.step(&format!("{name} sanitizer"), || sanitizer.run_tests(&programs, names, share))?;
    }
    Ok(())
}

/// Why nothing can be run here, if so.
fn missing() -> Option<String> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")) {
        return Some(format!("the sanitizers run on {TARGET}"));
    }
    let nightly = installed("rustup")
        && Command::new("rustup").args(["toolchain", "list"]).output().is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).lines().any(|line| line.starts_with("nightly"))
        });
    if !nightly {
        return Some("no nightly toolchain is installed".to_owned());
    }
    // The suppressions go by names.
    if !installed("llvm-symbolizer") && !installed("addr2line") {
        return Some(
            "neither llvm-symbolizer nor addr2line is installed, so that reports would name no function"
                .to_owned(),
        );
    }
    // An older nightly calls its flags by other names.
    let flags = SANITIZERS.iter().all(|sanitizer| {
        let mut rustc = Command::new("rustup");
        rustc.args(["run", "nightly", "rustc", "--target", TARGET, "--print", "cfg"]);
        rustc.args(sanitizer.flags()).output().is_ok_and(|output| output.status.success())
    });
    (!flags).then(|| "the nightly that is installed does not take the sanitizers' flags".to_owned())
}

impl Sanitizer {
    /// The library's crates are built without the sanitizer, which is to be allowed: it changes no layout.
    fn flags(&self) -> [String; 2] {
        [format!("-Zsanitizer={}", self.name), "-Cunsafe-allow-abi-mismatch=sanitizer".to_owned()]
    }
}

/// What became of some tests, none of which failed.
struct Judged {
    passed: usize,
    /// Reports of the library's own.
    of_library: usize,
}

/// A sanitizer and the flags that only it needs.
struct Run {
    of: &'static Sanitizer,
    flags: Vec<String>,
}

impl Run {
    /// Builds the test programs of the crates, their unit tests if they are wanted, in a target folder of its own.
    fn build(&self, unit_tests: bool) -> Result<Vec<Program>, Failure> {
        let name = self.of.name;
        let mut command = Command::new("rustup");
        command.current_dir(root());
        command.args(["run", "nightly", "cargo", "test", "--no-run", "--target", TARGET, "--test", "main"]);
        if unit_tests {
            command.arg("--lib");
        }
        for (folder, _) in CRATES {
            command.args(["-p", &format!("restante-{folder}")]);
        }
        let cfg = ["--cfg".to_owned(), format!("sanitize_{name}")];
        let flags: Vec<&str> = self.flags.iter().chain(&cfg).map(String::as_str).collect();
        command
            .env("RUSTFLAGS", format!("{} {}", self.of.flags().join(" "), flags.join(" ")))
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("CARGO_TARGET_DIR", target_dir().join(format!("sanitize-{name}")))
            // It is built once and read nowhere else.
            .env("CARGO_INCREMENTAL", "0");
        programs::built(&mut command)
    }

    /// A test of a program, in a process of its own.
    fn test(&self, program: &Program, test: &str) -> Command {
        let mut command = program.test(test);
        // What is captured goes through a lock of the library's that is not seen.
        command.arg("--no-capture");
        // Reports are judged afterwards, all of them.
        let log = format!("allow_addr2line=1 log_path={}/report", self.reports().display());
        command
            .env("TSAN_OPTIONS", format!("exitcode=0 report_thread_leaks=0 {log}"))
            // What statics hold at the end is no leak that matters here; valgrind looks for those. Locals lie on the stack itself:
            // callers run handlers as long as there is room on it.
            .env("ASAN_OPTIONS", format!("detect_leaks=0 detect_stack_use_after_return=0 {log}"))
            .env("RUST_BACKTRACE", "0")
            .env("PROPTEST_CASES", "16");
        command
    }

    /// Where `ThreadSanitizer` writes its reports.
    fn reports(&self) -> PathBuf {
        root().join(target_dir()).join(format!("sanitize-{}", self.of.name)).join("reports")
    }

    /// Runs these tests, until then, and judges what was reported. A report of ours is a failure, and a test that fails is one as
    /// well.
    fn judged(
        &self,
        program: &Program,
        tests: &[String],
        suppressions: &[Suppression],
        until: Option<Instant>,
    ) -> Result<Judged, Failure> {
        self.forget_reports()?;
        println!("{} {}: {} tests", self.of.name, program.package, tests.len());
        let Ran { passed, mut failed } =
            programs::run_each(tests, |test| (test.clone(), self.test(program, test)), until)?;
        let all = reports::Report::all(&self.reports())?;
        let ours: Vec<_> = all.iter().filter(|report| report.suppressed(suppressions).is_none()).collect();
        if let Some(first) = ours.first() {
            println!("{}", first.text());
            failed.push(format!("{} reports, the first is above", ours.len()));
        }
        if failed.is_empty() {
            return Ok(Judged { passed, of_library: all.len() });
        }
        Err(Failure::Verdict(failed.join("; ")))
    }

    fn forget_reports(&self) -> Result<(), Failure> {
        let folder = self.reports();
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        Ok(fs::create_dir_all(&folder)?)
    }

    /// Runs the planted fault, which must end in a report that names it.
    fn expect_report(&self, programs: &[Program]) -> Result<String, Failure> {
        let Sanitizer { planted, says, .. } = *self.of;
        let of_core = programs.iter().find(|program| program.package == "core" && !program.unit_tests);
        let of_core = of_core.ok_or_else(|| Failure::Verdict("core's tests were not built".to_owned()))?;
        let mut command = self.test(of_core, planted);
        command.arg("--ignored");
        self.forget_reports()?;
        announce(&command);
        let Output { stdout, stderr, .. } = command.output()?;
        let mut said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
        let suppressions = Suppression::all()?;
        for report in reports::Report::all(&self.reports())? {
            if report.suppressed(&suppressions).is_none() {
                said.push_str(report.text());
            }
        }
        if !is_reported(&said, says) {
            println!("{said}");
            return Err(Failure::Verdict(format!("{planted} is a fault and was not reported")));
        }
        Ok(format!("{planted}: reported"))
    }

    /// Runs the tests in slices, the first modules first, until the budget is spent.
    fn run_tests(
        &self,
        programs: &[Program],
        names: &[String],
        budget: Option<Duration>,
    ) -> Result<String, Failure> {
        let until = budget.map(|budget| Instant::now() + budget);
        let mut slices = Vec::new();
        for program in programs {
            let all = program.tests()?;
            let first = CRATES.iter().find(|(folder, _)| *folder == program.package);
            let tests = chosen(&all, first.map_or(&[], |(_, first)| first), names);
            let tests = without_those_left_out(program, &all, tests)?;
            slices.extend(tests.chunks(SLICE).enumerate().map(|(at, tests)| (at, program, tests.to_vec())));
        }
        // A slice of each program in turn: none is left out for lack of time while another is run whole.
        slices.sort_by_key(|(at, ..)| *at);
        let all: usize = slices.iter().map(|(.., tests)| tests.len()).sum();
        if all == 0 {
            return Err(Failure::Verdict("no test has such a name".to_owned()));
        }
        let (mut ran, mut suppressed, mut failed) = (0, 0, Vec::new());
        let suppressions = Suppression::all()?;
        for (_, program, tests) in slices {
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            match self.judged(program, &tests, &suppressions, until) {
                Ok(Judged { passed, of_library }) => {
                    (ran, suppressed) = (ran + passed, suppressed + of_library);
                }
                Err(Failure::Io(error)) => return Err(error.into()),
                Err(failure) => failed.push(failure.to_string()),
            }
        }
        if !failed.is_empty() {
            return Err(Failure::Verdict(failed.join("; ")));
        }
        let left =
            if ran < all { format!(", the budget left no time for {}", all - ran) } else { String::new() };
        let of_library = if suppressed > 0 {
            format!(", {suppressed} reports of the library's own")
        } else {
            String::new()
        };
        Ok(format!("{ran} tests{left}{of_library}"))
    }
}

/// What is left out must be there: a name that no test has any more is a mistake.
fn without_those_left_out(
    program: &Program,
    all: &[String],
    tests: Vec<String>,
) -> Result<Vec<String>, Failure> {
    if program.unit_tests {
        return Ok(tests);
    }
    let left_out: Vec<&str> =
        LEFT_OUT.iter().filter(|(of, ..)| *of == program.package).map(|(_, name, _)| *name).collect();
    if let Some(name) = left_out.iter().find(|name| !all.iter().any(|test| test == *name)) {
        return Err(Failure::Verdict(format!("{name} is left out, and no test is called so")));
    }
    Ok(tests.into_iter().filter(|test| !left_out.contains(&test.as_str())).collect())
}

/// The report must name the planted function itself: another fault's report is none of this one.
fn is_reported(said: &str, says: &str) -> bool {
    said.split_once(says).is_some_and(|(_, report)| report.contains("planted"))
}

/// Those to run, in order: those of the modules `first`, then the others.
fn chosen(all: &[String], first: &[&str], names: &[String]) -> Vec<String> {
    let rank = |test: &str| {
        let of_module = |module: &&str| test.strip_prefix(module).is_some_and(|rest| rest.starts_with("::"));
        first.iter().position(of_module).unwrap_or(first.len())
    };
    let mut tests: Vec<String> = all
        .iter()
        .filter(|test| names.is_empty() || names.iter().any(|name| test.contains(name.as_str())))
        .filter(|test| !is_planted(test))
        .cloned()
        .collect();
    tests.sort_by_key(|test| rank(test));
    tests.dedup();
    tests
}

fn is_planted(test: &str) -> bool {
    SANITIZERS.iter().any(|sanitizer| sanitizer.planted == test)
}

#[cfg(test)]
mod tests {
    use super::{LEFT_OUT, chosen, is_reported};

    #[test]
    fn tests_of_the_first_modules_come_first_and_planted_ones_never() {
        let all = ["a::x", "planted::planted_race", "thread::y", "threads::z"].map(str::to_owned);
        assert_eq!(chosen(&all, &["thread"], &[]), ["thread::y", "a::x", "threads::z"]);
        assert_eq!(chosen(&all, &[], &["threads".to_owned()]), ["threads::z"]);
    }

    #[test]
    fn what_is_left_out_has_a_reason() {
        for (of, name, reason) in LEFT_OUT {
            assert!(super::CRATES.iter().any(|(folder, _)| *folder == of), "{name} is of no crate that runs");
            assert!(!reason.is_empty(), "{name}: why?");
        }
    }

    #[test]
    fn a_report_counts_where_it_is_of_what_was_planted() {
        assert!(is_reported("WARNING: X: data race\n #0 core::planted::it", "X: data race"));
        assert!(!is_reported("planted\nWARNING: X: data race\n #0 another", "X: data race"));
        assert!(!is_reported("planted", "X: data race"));
    }
}
