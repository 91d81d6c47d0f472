//! The tools that the steps call: cargo, and whether others are installed.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here)
        .ancestors()
        .nth(2)
        .expect("this package lies two levels below the root of the workspace")
        .to_owned()
}

/// The cargo that runs us, at the root of the workspace, with `args` split at spaces.
pub(crate) fn cargo(args: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(args.split_whitespace());
    command
}

/// Where cargo builds.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The variable's value, or `default` where it is unset.
pub(crate) fn env_or(key: &str, default: &str) -> OsString {
    env::var_os(key).unwrap_or_else(|| default.into())
}

/// Whether `program` is installed: on the path, or where `cargo install` puts it.
///
/// Looked up rather than tried, since a tool that fails to say its version would count as absent.
pub(crate) fn installed(program: &str) -> bool {
    let file = format!("{program}{}", env::consts::EXE_SUFFIX);
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(cargo_bin()).any(|folder| folder.join(&file).is_file())
}

fn cargo_bin() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")))?;
    Some(home.join("bin"))
}

/// Whether a file with Rust source under `folder` contains `text`.
pub(crate) fn sources_contain(folder: &Path, text: &str) -> std::io::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let found = if path.is_dir() {
            sources_contain(&path, text)?
        } else {
            path.extension() == Some(OsStr::new("rs")) && std::fs::read_to_string(&path)?.contains(text)
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::{installed, root, sources_contain};

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("crates/xtask/Cargo.toml").is_file());
    }

    #[test]
    fn a_tool_is_installed_or_it_is_not() {
        assert!(installed("cargo"));
        assert!(!installed("a-tool-that-nobody-wrote"));
    }

    #[test]
    fn sources_are_searched_in_all_folders() -> std::io::Result<()> {
        let here = root().join("crates/xtask");
        assert!(sources_contain(&here, "fn sources_are_searched_in_all_folders")?);
        assert!(!sources_contain(&here, &["no", "such", "text"].join("~"))?);
        Ok(())
    }
}
