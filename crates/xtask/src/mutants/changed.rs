//! Which lines a change has touched: those that differ from where it left the main branch.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::Command;

use crate::tools::root;

/// File → lines, in the tree as it is now.
pub(super) type Lines = BTreeMap<String, Vec<Range<usize>>>;

/// The lines that differ from the merge base with `RESTANTE_BASE`, else with `origin/main`, else with `main`; in a clone that
/// stands on it, or knows none, from the commit before. `None` where there is no history to compare with (a clone of depth 1).
/// With the commit that is meant.
pub(super) fn lines() -> Option<(String, Lines)> {
    let head = git(&["rev-parse", "HEAD"])?;
    let named = std::env::var("RESTANTE_BASE").ok();
    let bases = named.iter().map(String::as_str).chain(["origin/main", "origin/HEAD", "main"]);
    let base = bases
        .filter_map(|base| git(&["merge-base", "HEAD", base]))
        .find(|base| *base != head)
        .or_else(|| git(&["rev-parse", "--verify", "--quiet", "HEAD^"]))?;
    let diff =
        git(&["diff", "--unified=0", "--no-color", "--no-ext-diff", "--no-prefix", &base, "--", "crates"])?;
    Some((base, parse(&diff)))
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").current_dir(root()).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Reads `+++ path` and `@@ -a,b +c,d @@`.
fn parse(diff: &str) -> Lines {
    let mut lines = Lines::new();
    let mut file = None;
    for line in diff.lines() {
        if let Some(path) = line.strip_prefix("+++ ") {
            file = Some(path.trim().to_owned());
        } else if let Some(hunk) = line.strip_prefix("@@ ") {
            let added = hunk.split(' ').find_map(|part| part.strip_prefix('+'));
            if let (Some(file), Some((first, count))) = (&file, added.and_then(range)) {
                lines.entry(file.clone()).or_default().push(first..first + count);
            }
        }
    }
    lines
}

/// `12,3` or `12`.
fn range(text: &str) -> Option<(usize, usize)> {
    let (first, count) = text.split_once(',').unwrap_or((text, "1"));
    Some((first.parse().ok()?, count.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_new_lines_of_each_file_are_read() {
        let diff = "--- a.rs\n+++ a.rs\n@@ -1,2 +1,3 @@ fn a()\n+x\n@@ -9 +10 @@\n+y\n--- b.rs\n+++ b.rs\n@@ -4,2 +3,0 @@\n";
        let lines = parse(diff);
        assert_eq!(lines["a.rs"], [1..4, 10..11]);
        assert_eq!((lines["b.rs"].len(), lines["b.rs"][0].clone()), (1, 3..3));
    }
}
