//! The concurrent tests under `AddressSanitizer` and `ThreadSanitizer`: what loom and shuttle check in models, on real threads.
//!
//! Both need a nightly compiler, and take the standard library as it is: not instrumented (`-Zbuild-std` would need its
//! sources). `ThreadSanitizer` knows no fences: under `--cfg sanitize_thread` ours become read-modify-writes of one word (core's
//! `sync`). What the library orders out of its sight it is told by a shim (`shim`); what is left is judged report by report
//! (`reports`), by the names in `tsan-suppressions.txt`, each with its reason. `AddressSanitizer` needs none of it.
//!
//! Two faults are planted in core's tests (its `planted.rs`): each must be reported, under the same flags and suppressions
//! as everything else, or the step fails.
//!
//! ```text
//! for each sanitizer:  build ─> planted: reported? ─> list the tests of each crate ─> run them, a slice at a time
//!                                                                                     until the budget is spent
//! ```

mod reports;
mod shim;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use self::reports::Suppression;
use crate::report::{Failure, Report, announce, succeed};
use crate::tools::{installed, root, target_dir};

/// The only target asked for: the sanitizers' runtimes come with it.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The crates whose tests run, and the modules of them that are run before all others: those with threads in their tests.
/// What the budget leaves no time for is at the end of the list.
const CRATES: [(&str, &[&str]); 3] = [
    ("restante-core", &["planted", "threads", "waiting", "closing"]),
    (
        "restante-genserver",
        &["stress", "own_threads", "thread", "sys_attack", "hand", "calls", "request", "start"],
    ),
    (
        "restante-registry",
        &["keys::threads", "anywhere", "groups", "exits", "instants", "lifetimes", "looking"],
    ),
];

/// Tests that run under no sanitizer: each with its reason.
const LEFT_OUT: [(&str, &str); 0] = [];

/// How many tests one slice runs: the budget is looked at between two slices.
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
        report.run(
            &format!("{name} sanitizer: build"),
            sanitizer.cargo(&CRATES.map(|(name, _)| name)).arg("--no-run"),
        )?;
        report.step(&format!("{name} sanitizer: planted"), || sanitizer.expect_report())?;
        let share = budget.map(|budget| budget / u32::try_from(SANITIZERS.len()).expect("there are two"));
        report.step(&format!("{name} sanitizer"), || sanitizer.run_tests(names, share))?;
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
    (!installed("llvm-symbolizer") && !installed("addr2line")).then(|| {
        "neither llvm-symbolizer nor addr2line is installed, so that reports would name no function"
            .to_owned()
    })
}

/// A sanitizer and the flags that only it needs.
struct Run {
    of: &'static Sanitizer,
    flags: Vec<String>,
}

impl Run {
    /// `cargo test` of the tests of these packages, with this sanitizer, in a target folder of its own.
    fn cargo(&self, packages: &[&str]) -> Command {
        let name = self.of.name;
        let mut command = Command::new("rustup");
        command.current_dir(root());
        command.args(["run", "nightly", "cargo", "test", "--target", TARGET, "--lib", "--test", "main"]);
        for package in packages {
            command.args(["-p", package]);
        }
        // The library's crates are built without the sanitizer, which is to be allowed: it changes no layout.
        let mut flags =
            format!("-Zsanitizer={name} -Cunsafe-allow-abi-mismatch=sanitizer --cfg sanitize_{name}");
        for flag in &self.flags {
            flags = format!("{flags} {flag}");
        }
        command
            .env("RUSTFLAGS", flags)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("CARGO_TARGET_DIR", target_dir().join(format!("sanitize-{name}")))
            // Reports are judged afterwards, all of them.
            .env(
                "TSAN_OPTIONS",
                format!(
                    "exitcode=0 report_thread_leaks=0 allow_addr2line=1 log_path={}/report",
                    self.reports().display()
                ),
            )
            // What statics hold at the end is no leak that matters here; valgrind looks for those.
            .env(
                "ASAN_OPTIONS",
                format!("detect_leaks=0 allow_addr2line=1 log_path={}/report", self.reports().display()),
            )
            .env("RUST_BACKTRACE", "0")
            .env("PROPTEST_CASES", "16");
        command
    }

    /// Where `ThreadSanitizer` writes its reports.
    fn reports(&self) -> PathBuf {
        root().join(target_dir()).join(format!("sanitize-{}", self.of.name)).join("reports")
    }

    /// Runs what has been made by [`Run::cargo`] and judges what was reported: how many reports come from the library,
    /// and whether all tests passed. (What a test asserts is judged where it is not ten times slower: by `test`.)
    fn judged(&self, command: &mut Command, suppressions: &[Suppression]) -> Result<(usize, bool), Failure> {
        self.forget_reports()?;
        announce(command);
        let status = command.status()?;
        let all = reports::Report::all(&self.reports())?;
        let ours: Vec<_> = all.iter().filter(|report| report.suppressed(suppressions).is_none()).collect();
        if let Some(first) = ours.first() {
            println!("{}", first.text());
            return Err(Failure::Verdict(format!("{} reports, the first is above", ours.len())));
        }
        Ok((all.len(), status.success()))
    }

    fn forget_reports(&self) -> Result<(), Failure> {
        let folder = self.reports();
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        Ok(fs::create_dir_all(&folder)?)
    }

    /// Runs the planted fault, which must end in a report that names it.
    fn expect_report(&self) -> Result<String, Failure> {
        let Sanitizer { planted, says, .. } = *self.of;
        let mut command = self.cargo(&["restante-core"]);
        command.args(["--", "--exact", planted, "--ignored"]);
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
    fn run_tests(&self, names: &[String], budget: Option<Duration>) -> Result<String, Failure> {
        let began = Instant::now();
        let mut slices = Vec::new();
        for (package, first) in CRATES {
            let tests = chosen(&self.list(package)?, first, names);
            slices.extend(tests.chunks(SLICE).enumerate().map(|(at, tests)| (at, package, tests.to_vec())));
        }
        // A slice of each crate in turn: none is left out for lack of time while another is run whole.
        slices.sort_by_key(|(at, _, _)| *at);
        let all: usize = slices.iter().map(|(_, _, tests)| tests.len()).sum();
        if all == 0 {
            return Err(Failure::Verdict("no test has such a name".to_owned()));
        }
        let (mut ran, mut suppressed, mut failed) = (0, 0, 0);
        let suppressions = Suppression::all()?;
        for (_, package, tests) in slices {
            if budget.is_some_and(|budget| began.elapsed() >= budget) {
                break;
            }
            let mut command = self.cargo(&[package]);
            // What is captured goes through a lock of the library's that is not seen.
            command.args(["--quiet", "--", "--no-capture", "--exact"]).args(&tests);
            let (of_library, passed) = self.judged(&mut command, &suppressions)?;
            suppressed += of_library;
            failed += usize::from(!passed);
            ran += tests.len();
        }
        let left =
            if ran < all { format!(", the budget left no time for {}", all - ran) } else { String::new() };
        let of_library = if suppressed > 0 {
            format!(", {suppressed} reports of the library's own")
        } else {
            String::new()
        };
        let failed =
            if failed > 0 { format!(", in {failed} slices a test failed by itself") } else { String::new() };
        Ok(format!("{ran} tests{left}{of_library}{failed}"))
    }

    fn list(&self, package: &str) -> Result<Vec<String>, Failure> {
        let mut command = self.cargo(&[package]);
        command.args(["--quiet", "--", "--list"]).stderr(Stdio::inherit());
        let output = command.output()?;
        succeed(output.status)?;
        Ok(listed(&String::from_utf8_lossy(&output.stdout)))
    }
}

/// The report must name the planted function itself: another fault's report is none of this one.
fn is_reported(said: &str, says: &str) -> bool {
    said.split_once(says).is_some_and(|(_, report)| report.contains("planted"))
}

/// The tests in the harness's list, `module::name: test`.
fn listed(list: &str) -> Vec<String> {
    list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
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
        .filter(|test| !is_planted(test) && !LEFT_OUT.iter().any(|(left_out, _)| test.ends_with(left_out)))
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
    use super::{chosen, is_reported, listed};

    #[test]
    fn tests_of_the_first_modules_come_first_and_planted_ones_never() {
        let list = "a::x: test\nplanted::planted_race: test\nthread::y: test\nthreads::z: test\n\n4 tests, 0 benchmarks\n";
        let all = listed(list);
        assert_eq!(all.len(), 4);
        assert_eq!(chosen(&all, &["thread"], &[]), ["thread::y", "a::x", "threads::z"]);
        assert_eq!(chosen(&all, &[], &["threads".to_owned()]), ["threads::z"]);
    }

    #[test]
    fn a_report_counts_where_it_is_of_what_was_planted() {
        assert!(is_reported("WARNING: X: data race\n #0 core::planted::it", "X: data race"));
        assert!(!is_reported("planted\nWARNING: X: data race\n #0 another", "X: data race"));
        assert!(!is_reported("planted", "X: data race"));
    }
}
