//! Builds `shim.rs.in` for the nightly that is installed, and says how to link it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::TARGET;
use crate::report::{Failure, announce, succeed};

const SOURCE: &str = include_str!("shim.rs.in");

/// What stands for the library in [`SOURCE`].
const PLACE: &str = "@STD@";

/// A function of the library whose name tells the library's.
const BEFORE: &[u8] = b"_RNvMNtNtNtNtCs";
const AFTER: &[u8] = b"_3std3sys4sync5mutex5futexNtB2_5Mutex14lock_contended";

/// Builds it into `folder`: the flags that link it. `None` where this library's functions have other names.
pub(super) fn build(folder: &Path) -> Result<Option<Vec<String>>, Failure> {
    let Some(name) = library()?.as_deref().and_then(library_name) else { return Ok(None) };
    fs::create_dir_all(folder)?;
    let (source, object) = (folder.join("shim.rs"), folder.join("shim.o"));
    let text = SOURCE.replace(PLACE, &name);
    fs::write(&source, &text)?;
    let mut rustc = Command::new("rustup");
    rustc.args([
        "run",
        "nightly",
        "rustc",
        "--edition=2024",
        "--crate-type=lib",
        "--emit=obj",
        "-Cpanic=abort",
        "-O",
    ]);
    rustc.args(["-Zsanitizer=thread", "-Cunsafe-allow-abi-mismatch=sanitizer", "--target", TARGET]);
    rustc.arg(&source).arg("-o").arg(&object);
    announce(&rustc);
    succeed(rustc.status()?)?;
    let wrapped = wrapped(&text).map(|name| format!("-Clink-arg=-Wl,--wrap={name}"));
    Ok(Some(std::iter::once(format!("-Clink-arg={}", object.display())).chain(wrapped).collect()))
}

/// The bytes of the nightly's standard library.
fn library() -> Result<Option<Vec<u8>>, Failure> {
    let mut rustc = Command::new("rustup");
    rustc
        .args(["run", "nightly", "rustc", "--print", "target-libdir", "--target", TARGET])
        .stderr(Stdio::inherit());
    let output = rustc.output()?;
    succeed(output.status)?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("libstd-") && name.ends_with(".rlib") {
            return Ok(Some(fs::read(&path)?));
        }
    }
    Ok(None)
}

/// How the library is called in its functions' names: `Cs…_3std`.
fn library_name(library: &[u8]) -> Option<String> {
    let is_after = |at: &usize| library[*at..].starts_with(AFTER);
    let end = (0..library.len()).find(is_after)?;
    let start = (0..end).rev().take(64).find(|at| library[*at..].starts_with(BEFORE))?;
    let hash = library[start + BEFORE.len()..end].to_vec();
    Some(format!("Cs{}_3std", String::from_utf8(hash).ok()?))
}

/// The functions that are wrapped: what the source exports as `__wrap_…`.
fn wrapped(source: &str) -> impl Iterator<Item = &str> {
    source
        .lines()
        .filter_map(|line| line.strip_prefix("#[unsafe(export_name = \"__wrap_")?.strip_suffix("\")]"))
}

#[cfg(test)]
mod tests {
    use super::{AFTER, BEFORE, SOURCE, library_name, wrapped};

    #[test]
    fn the_library_s_name_is_found_in_a_function_s() {
        let library = [b"..._R", BEFORE, b"ab1C", AFTER, b"_RNv"].concat();
        assert_eq!(library_name(&library).as_deref(), Some("Csab1C_3std"));
        assert_eq!(library_name(AFTER), None);
        assert_eq!(library_name(b""), None);
    }

    #[test]
    fn what_is_wrapped_is_what_the_source_exports() {
        let all: Vec<_> = wrapped(SOURCE).collect();
        assert!(all.contains(&"__tsan_atomic_thread_fence") && all.len() == 9, "{all:?}");
        for name in all {
            assert_eq!(
                SOURCE.matches(&format!("\"__real_{name}\"")).count(),
                usize::from(!name.ends_with("fence"))
            );
        }
    }
}
