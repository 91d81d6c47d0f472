//! Instruction counts: the regression check that a machine's noise cannot reach.

use crate::report::{Failure, Report};
use crate::tools::{cargo, installed};

/// Runs the bench `counts`, which needs callgrind and gungraun's runner.
pub(crate) fn counts(report: &mut Report) -> Result<(), Failure> {
    let missing = ["valgrind", "gungraun-runner"].into_iter().find(|tool| !installed(tool));
    if let Some(tool) = missing {
        report.skip("counts", &format!("{tool} is not installed"));
        return Ok(());
    }
    report.run("counts", &mut cargo("bench -p restante-bench --bench counts"))
}
