//! Steps: each is announced, run, timed and remembered; the summary at the end tells what became of each.

use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What ran so far in this call of the tool.
#[derive(Debug)]
pub(crate) struct Report {
    title: String,
    started: Instant,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: String,
    outcome: Outcome,
    took: Duration,
}

#[derive(Debug)]
enum Outcome {
    /// With what there is to say about it, or nothing.
    Passed(String),
    /// With the reason.
    Skipped(String),
    Failed(String),
}

/// Why a step failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The tool ran and said no.
    Exit(ExitStatus),
    /// The tool could not be run, or its output not be read.
    Io(io::Error),
    /// The tool was content and we are not.
    Verdict(String),
}

impl Report {
    pub(crate) fn new(title: &str) -> Self {
        Self { title: title.to_owned(), started: Instant::now(), steps: Vec::new() }
    }

    /// Runs `command`; its output goes where ours goes.
    pub(crate) fn run(&mut self, name: &str, command: &mut Command) -> Result<(), Failure> {
        self.step(name, || {
            announce(command);
            succeed(command.status()?)?;
            Ok(String::new())
        })
    }

    /// Runs `command` like [`Report::run`], reads the test harness's own summary along the way, and hands the number of
    /// tests that passed to `judge`, whose verdict is the step's. Returns that number.
    pub(crate) fn run_tests(
        &mut self,
        name: &str,
        command: &mut Command,
        judge: impl FnOnce(u64) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let mut passed = 0;
        self.step(name, || {
            announce(command);
            passed = stream_and_count(command)?;
            judge(passed)?;
            Ok(format!("{passed} passed"))
        })?;
        Ok(passed)
    }

    /// Runs `command` and hands its standard output to `judge`, whose verdict is the step's.
    pub(crate) fn run_and_judge(
        &mut self,
        name: &str,
        command: &mut Command,
        judge: impl FnOnce(&str) -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        self.step(name, || {
            announce(command);
            let output = command.stderr(Stdio::inherit()).output()?;
            succeed(output.status)?;
            judge(&String::from_utf8_lossy(&output.stdout))
        })
    }

    /// Notes that a step is left out, and why.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        println!("\n── {name}: skipped, {reason}");
        self.steps.push(Step {
            name: name.to_owned(),
            outcome: Outcome::Skipped(reason.to_owned()),
            took: Duration::ZERO,
        });
    }

    /// Prints the summary and turns the result into an exit code.
    pub(crate) fn finish(self, result: Result<(), Failure>) -> ExitCode {
        println!("\n── summary");
        for step in &self.steps {
            println!("{step}");
        }
        let took = seconds(self.started.elapsed());
        match result {
            Ok(()) => {
                let skipped =
                    self.steps.iter().filter(|step| matches!(step.outcome, Outcome::Skipped(_))).count();
                let ran = self.steps.len() - skipped;
                println!("{}: ok, steps: {ran} passed, {skipped} skipped, {took}", self.title);
                ExitCode::SUCCESS
            }
            Err(failure) => {
                println!("{}: FAILED, {failure}, {took}", self.title);
                failure.exit_code()
            }
        }
    }

    /// Does `work`, whose result is the step's: with what there is to say about it, or nothing.
    pub(crate) fn step(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        println!("\n── {name}");
        let started = Instant::now();
        let result = work();
        let outcome = match &result {
            Ok(detail) => Outcome::Passed(detail.clone()),
            Err(failure) => Outcome::Failed(failure.to_string()),
        };
        self.steps.push(Step { name: name.to_owned(), outcome, took: started.elapsed() });
        result.map(drop)
    }
}

/// Prints the command as it could be typed into a shell at the root of the workspace.
pub(crate) fn announce(command: &Command) {
    let envs = command.get_envs().filter_map(|(key, value)| {
        Some(format!("{}={}", key.to_string_lossy(), quoted(&value?.to_string_lossy())))
    });
    // Cargo tells us its full path; its name is what one would type.
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit(['/', '\\']).next().unwrap_or(&program).to_owned();
    let args = command.get_args().map(|arg| quoted(&arg.to_string_lossy()));
    let words: Vec<String> = envs.chain([program]).chain(args).collect();
    println!("$ {}", words.join(" "));
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Runs `command`, passes on each line it prints, and sums up the tests that passed.
fn stream_and_count(command: &mut Command) -> Result<u64, Failure> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().expect("standard output was piped just now");
    let mut passed = 0;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        passed += tests_passed(&line).unwrap_or(0);
    }
    succeed(child.wait()?)?;
    Ok(passed)
}

/// Reads the harness's line `test result: ok. 3 passed; 0 failed; …`.
fn tests_passed(line: &str) -> Option<u64> {
    let (_verdict, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let (passed, _rest) = counts.split_once(" passed;")?;
    passed.parse().ok()
}

pub(crate) fn succeed(status: ExitStatus) -> Result<(), Failure> {
    if status.success() { Ok(()) } else { Err(Failure::Exit(status)) }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

impl Failure {
    /// The tool's own exit code, or 1 where it has none to give.
    fn exit_code(&self) -> ExitCode {
        let code = match self {
            Self::Exit(status) => status.code().and_then(|code| u8::try_from(code).ok()),
            Self::Io(_) | Self::Verdict(_) => None,
        };
        ExitCode::from(code.unwrap_or(1))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(status) => write!(f, "{status}"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Verdict(verdict) => f.write_str(verdict),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, detail) = match &self.outcome {
            Outcome::Passed(detail) => ("ok", detail),
            Outcome::Skipped(reason) => ("skipped", reason),
            Outcome::Failed(why) => ("FAILED", why),
        };
        let line = format!("{word:<8}{:<26}{:>9}  {detail}", self.name, seconds(self.took));
        f.write_str(line.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::{quoted, tests_passed};

    #[test]
    fn the_harness_summary_is_counted_and_nothing_else() {
        let summary = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out";
        assert_eq!(tests_passed(summary), Some(12));
        assert_eq!(tests_passed("test result: FAILED. 2 passed; 1 failed; 0 ignored"), Some(2));
        assert_eq!(tests_passed("test loom_send_and_receive ... ok"), None);
        assert_eq!(tests_passed("running 3 tests"), None);
    }

    #[test]
    fn words_that_a_shell_would_split_are_quoted() {
        assert_eq!(quoted("--test-threads=1"), "--test-threads=1");
        assert_eq!(quoted("--cfg loom"), "'--cfg loom'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
