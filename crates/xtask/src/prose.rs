//! Comments that make a reader search: for the subject of a sentence, or for the sentence that it leans on.

use std::fs;
use std::path::Path;

use crate::report::{Failure, Report};
use crate::tools::root;

/// The most lines that `crates/` may have.
const LINES_MAX: usize = 60;

/// Words in whose place the role should stand.
const NO_ROLES: [&str; 4] = ["whoever", "whomever", "somebody", "nobody"];

/// Lists the comment lines under `crates/`, or those whose path contains one of `names`, that begin with a parenthesis or "The
/// same", or name no role. Fails above [`LINES_MAX`].
pub(crate) fn prose(report: &mut Report, names: &[String]) -> Result<(), Failure> {
    report.step("prose", || {
        let mut found = Vec::new();
        collect(&root().join("crates"), &mut found)?;
        let wanted =
            |line: &&String| names.is_empty() || names.iter().any(|name| line.contains(name.as_str()));
        let found: Vec<&String> = found.iter().filter(wanted).collect();
        for line in &found {
            println!("{line}");
        }
        let verdict = format!("{} lines, at most {LINES_MAX}", found.len());
        if found.len() > LINES_MAX { Err(Failure::Verdict(verdict)) } else { Ok(verdict) }
    })
}

fn collect(folder: &Path, found: &mut Vec<String>) -> std::io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
            for (at, line) in fs::read_to_string(&path)?.lines().enumerate() {
                if is_unclear(line) {
                    found.push(format!("{name}:{}: {}", at + 1, line.trim()));
                }
            }
        }
    }
    Ok(())
}

fn is_unclear(line: &str) -> bool {
    let Some(comment) = line.trim().strip_prefix("//") else { return false };
    let comment = comment.trim_start_matches(['/', '!']).trim_start();
    let mut words = comment.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    comment.starts_with('(')
        || comment.starts_with("The same ")
        || comment.starts_with("The same,")
        || words.any(|word| NO_ROLES.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::is_unclear;

    #[test]
    fn comments_without_a_role_are_found_and_code_is_not() {
        for line in [
            "    // (Asked first.)",
            "/// The same, but later.",
            "//! Told by whoever holds it.",
            "/// Nobody waits.",
        ] {
            assert!(is_unclear(line), "{line}");
        }
        for line in ["let nobody = 1;", "/// The sender waits (for room).", "// The sameness of both.", ""] {
            assert!(!is_unclear(line), "{line}");
        }
    }
}
