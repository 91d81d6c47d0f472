//! The tests of a crate as programs: run with one change chosen, ended at the first test that fails or when it takes too long.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long the tests may take without any change.
const BASELINE_MAX: Duration = Duration::from_secs(1200);

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    Passed,
    /// The name of the first test that failed, or what is known instead.
    Failed(String),
    TooLong,
}

/// A test program and what of it is run.
#[derive(Debug, Clone)]
pub(super) struct Tests {
    pub(super) program: PathBuf,
    /// The crate's folder: where cargo would run it.
    pub(super) folder: PathBuf,
    /// Parts of names: what contains one is run; none: all.
    pub(super) only: Vec<String>,
    pub(super) skip: Vec<String>,
}

impl Tests {
    /// Runs them with a change chosen (0: none) for at most so long.
    pub(super) fn run(&self, change: u32, limit: Duration) -> std::io::Result<Ended> {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).args(&self.only);
        for name in &self.skip {
            command.args(["--skip", name]);
        }
        command.env("RESTANTE_MUTANT", change.to_string());
        command
            .env("CARGO_MANIFEST_DIR", &self.folder)
            .env("PROPTEST_CASES", "64")
            .env("RUST_BACKTRACE", "0");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stdout = child.stdout.take().expect("standard output was piped just now");
        let (failed, first) = mpsc::channel();
        // Ends with the program: its output does.
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if let Some(name) = failure(&String::from_utf8_lossy(&line)) {
                    let _ = failed.send(name);
                }
            }
        });
        let ended = match first.recv_timeout(limit) {
            Ok(name) => Ended::Failed(name),
            Err(RecvTimeoutError::Timeout) => Ended::TooLong,
            // The end of its output is its own.
            Err(RecvTimeoutError::Disconnected) => match child.wait()? {
                status if status.success() => Ended::Passed,
                status => Ended::Failed(format!("the test program: {status}")),
            },
        };
        let _ = child.kill();
        child.wait()?;
        let _ = reader.join();
        Ok(ended)
    }

    /// Learns what fails without any change, and how long the rest takes; `None` where that takes longer than `time`.
    pub(super) fn baseline(&mut self, time: Duration) -> std::io::Result<Option<Duration>> {
        let until = Instant::now().checked_add(time.min(BASELINE_MAX));
        loop {
            let began = Instant::now();
            let left = until.map_or(BASELINE_MAX, |until| until.saturating_duration_since(began));
            match self.run(0, left)? {
                Ended::Passed => return Ok(Some(began.elapsed())),
                Ended::TooLong if time < BASELINE_MAX => return Ok(None),
                Ended::Failed(name)
                    if !name.starts_with("the test program") && !self.skip.contains(&name) =>
                {
                    println!("without any change `{name}` fails: left out");
                    self.skip.push(name);
                }
                other => return Err(std::io::Error::other(format!("without any change: {other:?}"))),
            }
        }
    }
}

/// The harness's `test a::b ... FAILED`.
fn failure(line: &str) -> Option<String> {
    let name = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
    Some(name.trim_end_matches(" - should panic").to_owned())
}

#[cfg(test)]
mod tests {
    use super::failure;

    #[test]
    fn the_harness_s_failures_are_read() {
        assert_eq!(failure("test a::b ... FAILED").as_deref(), Some("a::b"));
        assert_eq!(failure("test a::b - should panic ... FAILED").as_deref(), Some("a::b"));
        assert_eq!(failure("test a::b ... ok"), None);
        assert_eq!(failure("test result: FAILED. 1 passed"), None);
    }
}
