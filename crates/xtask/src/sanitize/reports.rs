//! What `ThreadSanitizer` reports, and which of it comes from a standard library that is not instrumented.
//!
//! Its own suppressions match any frame, or what the runtime itself puts innermost (`memcpy`). Here the innermost frame of code
//! counts, or that which called the library there; none of ours, nor of a generic function with a type of ours, is suppressed.

use std::fs;
use std::path::Path;

use crate::tools::root;

/// One report, as it was printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report(String);

/// A frame of code that may not be reported, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suppression {
    frame: String,
    reason: String,
}

impl Report {
    /// The reports in the files of `folder`.
    pub(super) fn all(folder: &Path) -> std::io::Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(folder)? {
            all.extend(Self::read(&String::from_utf8_lossy(&fs::read(entry?.path())?)));
        }
        Ok(all)
    }

    fn read(text: &str) -> impl Iterator<Item = Self> {
        text.split("\n==================\n")
            .filter(|part| {
                part.contains("WARNING: ThreadSanitizer") || part.contains("ERROR: AddressSanitizer")
            })
            .map(|part| Self(part.to_owned()))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Of each of the two accesses the innermost frame of code, and the innermost that is not the standard library's: behind
    /// what `ThreadSanitizer` itself puts there.
    fn innermost(&self) -> Vec<&str> {
        let mut found = Vec::new();
        // Two accesses; what follows them says where the memory and the threads come from.
        for access in self.0.split("\n\n").take(2) {
            let frames =
                access.lines().filter_map(|line| line.trim_start().strip_prefix('#')?.split_once(' '));
            let mut code = frames.map(|(_, frame)| frame).filter(|frame| !frame.contains("/compiler-rt/"));
            let first = code.next();
            found.extend(first);
            if first.is_some_and(is_library) {
                found.extend(code.find(|frame| !is_library(frame)));
            }
        }
        found
    }

    /// The suppression that holds for it.
    pub(super) fn suppressed<'a>(&self, by: &'a [Suppression]) -> Option<&'a Suppression> {
        if !self.0.contains("data race") {
            return None;
        }
        let frames = self.innermost();
        by.iter().find(|suppression| frames.iter().any(|frame| suppression.holds(frame)))
    }
}

impl Suppression {
    /// Those of the file: each a line, with its reason before it.
    pub(super) fn all() -> std::io::Result<Vec<Self>> {
        Ok(Self::read(&fs::read_to_string(root().join("crates/xtask/tsan-suppressions.txt"))?))
    }

    fn read(text: &str) -> Vec<Self> {
        let (mut all, mut reason) = (Vec::new(), String::new());
        for line in text.lines() {
            match line.strip_prefix('#') {
                Some(more) => {
                    reason.push(' ');
                    reason.push_str(more.trim());
                }
                None if line.is_empty() => reason.clear(),
                None => all.push(Self { frame: line.to_owned(), reason: reason.clone() }),
            }
        }
        all
    }

    fn holds(&self, frame: &str) -> bool {
        !is_ours(frame) && frame.starts_with(&self.frame)
    }
}

/// Of the standard library, which is generic mostly, and then compiled with its user.
fn is_library(frame: &str) -> bool {
    frame.contains(" /rustc/")
}

/// Of one of our files, or a function with one of our types.
fn is_ours(frame: &str) -> bool {
    let code = without_program(frame);
    code.contains("restante") || code.contains(&*root().to_string_lossy())
}

/// A frame's function and file, without the program that it lies in: a program of ours holds code of the library as well.
fn without_program(frame: &str) -> &str {
    let program = frame.find("+0x").and_then(|offset| frame[..offset].rfind(" ("));
    program.map_or(frame, |program| &frame[..program])
}

#[cfg(test)]
mod tests {
    use super::{Report, Suppression};

    const REPORT: &str = "\
==================
WARNING: ThreadSanitizer: data race (pid=1)
  Write of size 8 at 0x1 by main thread:
    #0 memcpy /rustc/llvm/src/llvm-project/compiler-rt/lib/a.h:1:3 (main+0x1)
    #1 core::ptr::read::<test::Done> /rustc/e/library/core/src/ptr/mod.rs:1:2 (main+0x2)
    #2 scc::peek /cargo/scc/src/lib.rs:1:2 (main+0x2)
    #3 scc::get /cargo/scc/src/lib.rs:9:2 (main+0x2)

  Previous write of size 8 at 0x1 by thread T1:
    #0 restante_core::cell::push /here/cell.rs:3:4 (main+0x3)

SUMMARY: ThreadSanitizer: data race
==================
";

    fn by(frame: &str) -> Vec<Suppression> {
        Suppression::read(&format!("# Because.\n{frame}\n"))
    }

    #[test]
    fn the_innermost_frame_of_code_is_suppressed_and_none_of_ours() {
        let report = Report::read(REPORT).next().expect("there is one");
        assert!(report.suppressed(&by("core::ptr::read::<test::Done>")).is_some());
        assert!(report.suppressed(&by("scc::peek")).is_some(), "it called the library");
        for other in ["memcpy", "scc::get", "restante_core::cell::push", "ptr::read"] {
            assert_eq!(report.suppressed(&by(other)), None, "{other}");
        }
        let ours = REPORT.replace("test::Done", "restante_core::Cell");
        let report = Report::read(&ours).next().expect("there is one");
        assert_eq!(report.suppressed(&by("core::ptr::read")), None, "with a type of ours");
    }

    #[test]
    fn a_program_may_be_called_as_the_house_is() {
        let of_unit_tests = REPORT.replace("(main+0x", "(restante_core-1d23+0x");
        let report = Report::read(&of_unit_tests).next().expect("there is one");
        assert!(report.suppressed(&by("core::ptr::read::<test::Done>")).is_some());
        assert_eq!(report.suppressed(&by("restante_core::cell::push")), None);
    }

    #[test]
    fn what_is_no_race_is_never_suppressed() {
        let text = REPORT.replace("data race", "lock-order-inversion");
        let report = Report::read(&text).next().expect("there is one");
        assert_eq!(report.suppressed(&by("core::ptr::read")), None);
    }

    /// Every suppression says why, and names a frame to its type or file: none could stand for code of ours.
    #[test]
    fn every_suppression_has_a_reason_and_is_not_ours() {
        let all = Suppression::all().expect("they lie beside the manifest");
        for Suppression { frame, reason } in all {
            assert!(!reason.is_empty(), "{frame}: why?");
            assert!(!super::is_ours(&frame) && frame.contains("::") && !frame.contains('*'), "{frame}");
        }
    }
}
