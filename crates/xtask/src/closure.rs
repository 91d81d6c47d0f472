//! Core's dependency closure: what everybody who uses a mailbox has to compile.

use std::collections::BTreeSet;

use crate::report::{Failure, Report};
use crate::tools::cargo;

/// The most crates that the closure may have, core itself included.
const CRATES_MAX: usize = 40;

/// Counts core's normal dependencies, direct and indirect, with all features, on this platform.
pub(crate) fn closure(report: &mut Report) -> Result<(), Failure> {
    let mut tree = cargo("tree -p restante-core --all-features -e normal --prefix none");
    report.run_and_judge("closure", &mut tree, |tree| {
        let crates = distinct(tree);
        for name in &crates {
            println!("{name}");
        }
        judge(crates.len())
    })
}

fn judge(count: usize) -> Result<String, Failure> {
    let verdict = format!("{count} crates, core itself included; at most {CRATES_MAX}");
    println!("{verdict}");
    match count {
        0 => Err(Failure::Verdict("cargo tree listed nothing".to_owned())),
        1..=CRATES_MAX => Ok(verdict),
        _ => Err(Failure::Verdict(verdict)),
    }
}

/// The crates in the output of `cargo tree --prefix none`: `name v1.2.3`, perhaps followed by a path, by
/// `(proc-macro)`, or by `(*)` where the crate was shown before.
fn distinct(tree: &str) -> BTreeSet<String> {
    tree.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some(format!("{} {}", words.next()?, words.next()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{CRATES_MAX, distinct, judge};

    #[test]
    fn a_crate_counts_once_and_each_of_its_versions_does() {
        let tree = "restante-core v0.1.0 (/somewhere)\n\
                    syn v2.0.1\n\
                    thiserror-impl v2.0.1 (proc-macro)\n\
                    syn v2.0.1 (*)\n\
                    syn v1.0.9\n\
                    \n";
        let crates: Vec<String> = distinct(tree).into_iter().collect();
        assert_eq!(crates, ["restante-core v0.1.0", "syn v1.0.9", "syn v2.0.1", "thiserror-impl v2.0.1"]);
    }

    #[test]
    fn forty_crates_pass_and_one_more_does_not() {
        assert!(judge(CRATES_MAX).is_ok());
        assert!(judge(CRATES_MAX + 1).is_err());
        assert!(judge(0).is_err());
    }
}
