//! The tests: unit, integration and doc tests; loom models; shuttle tests; unit tests under valgrind.

use std::env;
use std::process::Command;
use std::sync::Arc;

use crate::programs::{self, Program, Ran};
use crate::report::{Failure, Report};
use crate::tools::{cargo, env_or, installed, root, sources_contain, target_dir};

/// The crates with `unsafe`, which have models and are run under valgrind: folder and package. (But for the testkit, whose one
/// room shows what the others do with a waker.)
const UNSAFE: [(&str, &str); 2] = [("core", "restante-core"), ("genserver", "restante-genserver")];

/// The crates with models.
const MODELLED: [(&str, &str); 4] =
    [UNSAFE[0], UNSAFE[1], ("supervisor", "restante-supervisor"), ("registry", "restante-registry")];

/// Everything that must pass before a change is worth showing.
pub(crate) fn test(report: &mut Report) -> Result<(), Failure> {
    if installed("cargo-nextest") {
        // A young workspace may have no test yet: that is no failure.
        report.run("tests (nextest)", &mut cargo("nextest run --no-tests=pass"))?;
    } else {
        report.step("tests (without nextest)", each_by_itself)?;
    }
    report.run_tests("doctests", &mut cargo("test --doc"), |_| Ok(()))?;
    loom(report, &[])?;
    shuttle(report, &[])
}

/// The tests as nextest runs them, where it is not installed: each in a process of its own.
fn each_by_itself() -> Result<String, Failure> {
    let mut tests = Vec::new();
    for program in programs::built(&mut cargo("test --no-run"))? {
        let program = Arc::new(program);
        tests.extend(program.tests()?.into_iter().map(|test| (Arc::clone(&program), test)));
    }
    let named = |(program, test): &(Arc<Program>, String)| {
        (format!("{} {test}", program.package), program.test(test))
    };
    let Ran { passed, failed } = programs::run_each(&tests, named, None)?;
    if failed.is_empty() {
        return Ok(format!("{passed} passed"));
    }
    Err(Failure::Verdict(format!("{passed} passed, {} failed: {}", failed.len(), failed.join("; "))))
}

/// The loom models, each a walk over all schedules up to a number of preemptions.
pub(crate) fn loom(report: &mut Report, names: &[String]) -> Result<(), Failure> {
    let preemptions = env_or("LOOM_MAX_PREEMPTIONS", "2");
    models(report, "loom", names, |command| {
        command.env("LOOM_MAX_PREEMPTIONS", &preemptions);
    })
}

/// The shuttle tests, each many random schedules of whole servers.
pub(crate) fn shuttle(report: &mut Report, names: &[String]) -> Result<(), Failure> {
    models(report, "shuttle", names, |command| {
        // A task that is left at the end of a schedule is torn down on its own stack: drops that would wait panic there, and a
        // backtrace of theirs overflows it. A failing schedule is repeated by its seed.
        command.env("RUST_BACKTRACE", "0");
    })
}

/// Builds each crate under `--cfg <checker>` and runs its tests named `<checker>_*`, or those that `names` pick.
fn models(
    report: &mut Report,
    checker: &str,
    names: &[String],
    adjust: impl Fn(&mut Command),
) -> Result<(), Failure> {
    let mut total = 0;
    for (folder, package) in MODELLED {
        // Asked first: a build for nothing takes a minute.
        if !has_models(folder, checker)? {
            println!("crates/{folder} has no {checker} test");
            continue;
        }
        let mut command = cargo(&format!("test --release -p {package} --lib --"));
        if names.is_empty() {
            command.arg(checker);
        } else {
            command.args(names);
        }
        build_under_cfg(&mut command, checker);
        adjust(&mut command);
        let judge =
            |passed| if passed == 0 && names.is_empty() { not_found(folder, checker) } else { Ok(()) };
        total += report.run_tests(&format!("{checker}: {folder}"), &mut command, judge)?;
    }
    if total == 0 && !names.is_empty() {
        return Err(Failure::Verdict(format!("no {checker} test is named {}", names.join(" or "))));
    }
    Ok(())
}

/// Sets what `--cfg <checker>` needs, in a target folder of its own, since another `RUSTFLAGS` rebuilds everything.
///
/// Optimised, because a model walks many thousands of schedules; with debug assertions, because a model is where
/// they bite; without link-time optimisation, which costs more here than it gives.
fn build_under_cfg(command: &mut Command, checker: &str) {
    let flags = env::var("RUSTFLAGS").unwrap_or_default();
    let flags = format!("{flags} --cfg {checker}");
    command
        .env("RUSTFLAGS", flags.trim_start())
        // It would win over RUSTFLAGS, and no model would be compiled.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_TARGET_DIR", target_dir().join(checker))
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
}

/// Whether a crate has models of this kind.
fn has_models(folder: &str, checker: &str) -> Result<bool, Failure> {
    let sources = root().join("crates").join(folder).join("src");
    Ok(sources_contain(&sources, &format!("fn {checker}_"))?)
}

/// A crate whose models did not run does not pass.
fn not_found(folder: &str, checker: &str) -> Result<(), Failure> {
    Err(Failure::Verdict(format!(
        "crates/{folder} has functions named {checker}_*, yet none ran as a test: is their module compiled?"
    )))
}

/// The unit tests of the crates that may use `unsafe`, under memcheck.
pub(crate) fn valgrind(report: &mut Report, names: &[String]) -> Result<(), Failure> {
    if !installed("valgrind") {
        report.skip("valgrind", "valgrind is not installed");
        return Ok(());
    }
    // Only definite leaks count: threads that still live at the end hold memory that memcheck calls possibly lost.
    // Valgrind runs one thread at a time; fair scheduling keeps a spinning one from starving the one it waits for.
    let runner = concat!(
        r#"target."cfg(all())".runner=["valgrind","--quiet","--error-exitcode=97","--leak-check=full","#,
        r#""--show-leak-kinds=definite","--errors-for-leak-kinds=definite","--fair-sched=try"]"#
    );
    for (folder, package) in UNSAFE {
        let mut command = cargo(&format!("test -p {package} --lib --config"));
        // One test has a panic's payload forgotten on purpose: a definite leak.
        command.arg(runner).args(["--", "--test-threads=1", "--skip", "rude_drops_are_caught"]).args(names);
        command.env("PROPTEST_CASES", env_or("PROPTEST_CASES", "16"));
        report.run_tests(&format!("valgrind: {folder}"), &mut command, |_| Ok(()))?;
    }
    Ok(())
}
