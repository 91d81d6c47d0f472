//! `cargo deny`: licences, duplicate versions and sources of what we depend on, by the rules of `deny.toml`.

use crate::report::{Failure, Report};
use crate::tools::{cargo, installed};

/// The checks that need nothing from the network; advisories fetch a database, so they run when they are named.
const CHECKS: [&str; 3] = ["bans", "licenses", "sources"];

/// Runs the `checks`, or [`CHECKS`] where none is named.
pub(crate) fn deny(report: &mut Report, checks: &[String]) -> Result<(), Failure> {
    if !installed("cargo-deny") {
        report.skip("deny", "cargo-deny is not installed");
        return Ok(());
    }
    let mut command = cargo("deny check");
    if checks.is_empty() {
        command.args(CHECKS);
    } else {
        command.args(checks);
    }
    report.run("deny", &mut command)
}
