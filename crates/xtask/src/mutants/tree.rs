//! The copy of the tree in which changes are made: in the target folder, so that the work tree is never touched.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::report::{Failure, succeed};
use crate::tools::{root, target_dir};

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

    /// `cargo` with these arguments, in the copy.
    pub(super) fn cargo(&self, args: &str) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).args(args.split_whitespace());
        command.env("CARGO_TARGET_DIR", &self.build).env_remove("CARGO_MANIFEST_DIR");
        // What is woven may warn as it likes.
        command.env("RUSTFLAGS", "--cap-lints=warn -Awarnings").env_remove("CARGO_ENCODED_RUSTFLAGS");
        command
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
