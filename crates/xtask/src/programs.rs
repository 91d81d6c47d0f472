//! The test programs that cargo has built, and the tests in them: each is run in a process of its own, as nextest does. There are
//! tests of what a process has one of.
//!
//! They are run as cargo would run them, without cargo: it would look through all packages before each run, and build some anew
//! for which fewer packages are asked for.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::report::{Failure, announce, succeed};
use crate::tools::target_dir;

/// A test program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// The folder of its package.
    pub(crate) package: String,
    /// That of `src/`, not of `tests/`.
    pub(crate) unit_tests: bool,
    file: PathBuf,
    /// Where its package lies.
    home: PathBuf,
}

/// Runs `cargo test --no-run`, and says what it has built.
pub(crate) fn built(cargo: &mut Command) -> Result<Vec<Program>, Failure> {
    announce(cargo);
    cargo.arg("--message-format=json-render-diagnostics");
    let output = cargo.stderr(Stdio::inherit()).output()?;
    succeed(output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(Program::read).collect())
}

impl Program {
    /// One of cargo's messages: `{"reason":"compiler-artifact","manifest_path":"…",…,"executable":"…"}`.
    fn read(message: &str) -> Option<Self> {
        let (_, profile) = message.split_once(r#""profile":{"#)?;
        // Examples are built as well.
        if !profile.split('}').next()?.contains(r#""test":true"#) {
            return None;
        }
        let file = field(message, "executable")?;
        let (home, _) = field(message, "manifest_path")?.rsplit_once('/')?;
        let package = home.rsplit('/').next()?;
        Some(Self {
            package: package.to_owned(),
            unit_tests: message.contains(r#""kind":["lib"]"#),
            file: file.into(),
            home: home.into(),
        })
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.file);
        command.current_dir(&self.home).env("CARGO_MANIFEST_DIR", &self.home);
        command
    }

    /// One of its tests.
    pub(crate) fn test(&self, name: &str) -> Command {
        let mut command = self.command();
        command.args(["--quiet", "--exact", name]);
        command
    }

    /// The names of its tests.
    pub(crate) fn tests(&self) -> Result<Vec<String>, Failure> {
        let output =
            self.command().args(["--list", "--format", "terse"]).stderr(Stdio::inherit()).output()?;
        succeed(output.status)?;
        Ok(listed(&String::from_utf8_lossy(&output.stdout)))
    }
}

/// What became of tests that were run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) passed: usize,
    /// Each with how it ended.
    pub(crate) failed: Vec<String>,
}

/// Runs these, as many at a time as there are processors, and prints what those that failed have said. Those that have not ended
/// `until` then are ended, or not begun, and do not count.
pub(crate) fn run_each<T: Sync>(
    tests: &[T],
    command: impl Fn(&T) -> (String, Command) + Sync,
    until: Option<Instant>,
) -> io::Result<Ran> {
    let folder = target_dir().join("said");
    fs::create_dir_all(&folder)?;
    let next = AtomicUsize::new(0);
    let ran = Mutex::new(Ran::default());
    let work = |worker: usize| -> io::Result<()> {
        let said = folder.join(worker.to_string());
        while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (name, mut command) = command(test);
            let file = File::create(&said)?;
            let child = command.stdin(Stdio::null()).stderr(file.try_clone()?).stdout(file).spawn()?;
            let Some(status) = ended(child, until)? else { return Ok(()) };
            let mut ran = ran.lock().expect("no worker panics");
            if status.success() {
                ran.passed += 1;
            } else {
                println!("{}", String::from_utf8_lossy(&fs::read(&said)?));
                ran.failed.push(format!("{name}: {status}"));
            }
        }
        Ok(())
    };
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|worker| scope.spawn(move || work(worker))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
    })?;
    Ok(ran.into_inner().expect("no worker panics"))
}

/// How a process ends; `None`: it was ended, as the time was up.
fn ended(mut child: Child, until: Option<Instant>) -> io::Result<Option<ExitStatus>> {
    let Some(until) = until else { return child.wait().map(Some) };
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A field with a text that needs no unescaping, as paths here do not.
fn field<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = message.split_once(&format!("\"{name}\":\""))?;
    Some(value.split_once('"')?.0)
}

/// The tests in the harness's list, `module::name: test`.
fn listed(list: &str) -> Vec<String> {
    list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{Program, Ran, listed, run_each};
    use std::process::Command;
    use std::time::{Duration, Instant};

    #[test]
    fn a_program_is_read_from_cargo_s_message() {
        let message = r#"{"reason":"compiler-artifact","manifest_path":"/x/crates/core/Cargo.toml","target":{"kind":["test"],"name":"main","test":true},"profile":{"opt_level":"0","test":true},"executable":"/t/main-1"}"#;
        let program = Program::read(message).expect("it is one");
        assert_eq!((program.package.as_str(), program.unit_tests), ("core", false));
        assert_eq!(
            (program.file.to_str(), program.home.to_str()),
            (Some("/t/main-1"), Some("/x/crates/core"))
        );
        let lib = message.replace(r#"["test"]"#, r#"["lib"]"#);
        assert!(Program::read(&lib).is_some_and(|program| program.unit_tests));
        assert_eq!(Program::read(&message.replace(r#""/t/main-1""#, "null")), None, "no program");
        assert_eq!(
            Program::read(&message.replace(r#""0","test":true"#, r#""0","test":false"#)),
            None,
            "an example"
        );
        assert_eq!(Program::read(r#"{"reason":"build-finished","success":true}"#), None);
    }

    #[cfg(unix)]
    #[test]
    fn tests_are_run_until_the_time_is_up() {
        let command = |line: &&str| {
            let mut command = Command::new("sh");
            command.args(["-c", line]);
            ((*line).to_owned(), command)
        };
        let all = ["exit 0", "exit 3"];
        let failed = vec!["exit 3: exit status: 3".to_owned()];
        let ran = run_each(&all, command, None).expect("they can be run");
        assert_eq!(ran, Ran { passed: 1, failed });
        let endless = ["exec sleep 600"; 9];
        let until = Some(Instant::now() + Duration::from_millis(50));
        assert_eq!(run_each(&endless, command, until).expect("they can be run"), Ran::default());
    }

    #[test]
    fn tests_are_read_from_the_harness_s_list() {
        assert_eq!(listed("a::x: test\nb: test\n\n2 tests, 0 benchmarks\n"), ["a::x", "b"]);
    }
}
