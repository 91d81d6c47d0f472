//! The copy of the tree in which changes are made: in the target folder, so that the work tree is never touched.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::report::{Failure, announce, succeed};
use crate::tools::{root, target_dir};

/// Until when there is time, for building and asking alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Until(Option<Instant>);

impl Until {
    pub(super) const NEVER: Self = Self(None);

    pub(super) fn within(time: Duration) -> Self {
        Self(Some(Instant::now() + time))
    }

    /// The first of `parts` equal parts of what is left.
    pub(super) fn share(self, parts: usize) -> Self {
        let parts = u32::try_from(parts.max(1)).unwrap_or(u32::MAX);
        self.0.map_or(Self::NEVER, |_| Self::within(self.left() / parts))
    }

    pub(super) fn left(self) -> Duration {
        self.0.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()))
    }

    pub(super) fn is_over(self) -> bool {
        self.left().is_zero()
    }
}

/// What became of a build, with what cargo said.
#[derive(Debug)]
pub(super) enum Built {
    Well(String),
    Badly(String),
    /// It was ended, as the time is up.
    NoTime,
}

/// A copy of the tree, and where it is built.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: PathBuf,
    pub(super) build: PathBuf,
}

impl Tree {
    /// Copies what git knows and what it would: files that are as they were keep their times, so that little is built again.
    pub(super) fn copy() -> Result<Self, Failure> {
        let folder = root().join(target_dir()).join("mutants");
        let tree = Self { root: folder.join("tree"), build: folder.join("build") };
        let mut list = Command::new("git");
        list.current_dir(root()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
        let output = list.output()?;
        succeed(output.status)?;
        for path in String::from_utf8_lossy(&output.stdout).lines() {
            let from = root().join(path);
            if from.is_file() {
                write_if_other(&tree.root.join(path), &fs::read(from)?)?;
            }
        }
        Ok(tree)
    }

    /// Puts a text in the place of a file.
    pub(super) fn write(&self, path: &str, text: &str) -> Result<(), Failure> {
        Ok(write_if_other(&self.root.join(path), text.as_bytes())?)
    }

    /// `cargo` with these arguments, in the copy, while there is time.
    pub(super) fn cargo(&self, args: &str, until: Until) -> io::Result<Built> {
        if until.is_over() {
            return Ok(Built::NoTime);
        }
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).args(args.split_whitespace());
        command.env("CARGO_TARGET_DIR", &self.build).env_remove("CARGO_MANIFEST_DIR");
        // It is never debugged, and built many times.
        command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_TEST_DEBUG", "0");
        // What is woven may warn as it likes.
        command.env("RUSTFLAGS", "--cap-lints=warn -Awarnings").env_remove("CARGO_ENCODED_RUSTFLAGS");
        announce(&command);
        in_a_group_of_its_own(&mut command);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut stderr = child.stderr.take().expect("standard error was piped just now");
        let (said, all) = mpsc::channel();
        // Ends when cargo and all compilers have: they share its standard error.
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            let _ = said.send(String::from_utf8_lossy(&bytes).into_owned());
        });
        let built = match all.recv_timeout(until.left()) {
            Ok(said) if child.wait()?.success() => Built::Well(said),
            Ok(said) => Built::Badly(said),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                end_group(child.id());
                let _ = child.kill();
                child.wait()?;
                Built::NoTime
            }
        };
        let _ = reader.join();
        Ok(built)
    }
}

/// So that the compilers can be ended with the cargo that has started them.
fn in_a_group_of_its_own(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

fn end_group(leader: u32) {
    if cfg!(unix) {
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{leader}")]).status();
    }
}

fn write_if_other(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes)
}

#[cfg(test)]
mod tests {
    use super::{Duration, Until};

    #[test]
    fn time_is_shared_and_comes_to_an_end() {
        assert!(!Until::NEVER.is_over() && !Until::NEVER.share(3).is_over());
        assert!(Until::within(Duration::ZERO).is_over());
        let part = Until::within(Duration::from_secs(3000)).share(3).left();
        assert!(part <= Duration::from_secs(1000) && part > Duration::from_secs(500), "{part:?}");
    }
}
