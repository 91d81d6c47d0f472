//! Chaos: a program of the tests, built for speed, with everything said to it passed on.

use std::process::ExitCode;

use crate::report::announce;
use crate::tools::cargo;

/// Runs it. No report around it: its own last line is the result.
pub(crate) fn chaos(args: &[String]) -> ExitCode {
    let mut command = cargo("run --release --quiet -p restante-tests --example chaos --");
    command.args(args);
    announce(&command);
    match command.status() {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1).into(),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
