//! Format, clippy, rustdoc: what a reviewer should not have to say.

use crate::report::{Failure, Report};
use crate::tools::cargo;

/// All three, with warnings as errors; clippy sees the bench and its peers too.
pub(crate) fn lint(report: &mut Report) -> Result<(), Failure> {
    report.run("format", &mut cargo("fmt --all --check"))?;
    report.run("clippy", &mut cargo("clippy --workspace --all-targets -- -D warnings"))?;
    report.run("rustdoc", cargo("doc --no-deps").env("RUSTDOCFLAGS", "-D warnings"))
}
