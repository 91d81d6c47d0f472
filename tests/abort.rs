//! What is left under `panic = "abort"`: a program of its own (`programs/abort.rs`), built in a target folder of its own,
//! since each crate below it is built another time.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};

/// Builds the program, with the crates that the tests were built from and without the network.
fn program() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("abort");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let status = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--locked", "--offline", "--example", "abort"])
        .args(["--config", r#"profile.dev.panic="abort""#, "--config", "profile.dev.debug=false"])
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_INCREMENTAL", "0")
        .status()
        .expect("cargo ran this test");
    assert!(status.success(), "it does not build: {status}");
    target.join("debug/examples").join(format!("abort{}", std::env::consts::EXE_SUFFIX))
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[cfg(unix)]
fn aborted(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    const SIGABRT: i32 = 6;
    status.signal() == Some(SIGABRT)
}

#[cfg(not(unix))]
fn aborted(status: ExitStatus) -> bool {
    !status.success()
}

/// Failure mode 22: a program built with `panic = "abort"` builds, serves, and is warned once; a handler's panic ends it.
#[test]
fn under_abort_a_server_serves_and_a_panic_ends_the_process() {
    let program = program();
    let warning =
        "WARN built with panic = \"abort\": a panic in a handler ends the process, not the server\n";

    let serves = Command::new(&program).output().expect("it was built just now");
    assert!(serves.status.success(), "{serves:?}");
    assert_eq!(printed(&serves), format!("{warning}twice 21 is 42\ntwice 21 is 42\n"));

    let panics = Command::new(&program).arg("panic").output().expect("it was built just now");
    assert!(aborted(panics.status), "{panics:?}");
    assert_eq!(printed(&panics), format!("{warning}twice 21 is 42\n"));
    let said = String::from_utf8_lossy(&panics.stderr);
    assert!(said.contains("nothing to double"), "the panic is reported as any is: {said}");
}
