//! A process that runs a tree, and the signals that tell it to end (`programs/signals.rs`).
#![cfg(unix)]

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// Runs the program with these words.
fn program(words: &[&str]) -> Program {
    let mut child = Command::new(env!("CARGO_BIN_EXE_restante-signals"))
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is built with its tests");
    let lines = BufReader::new(child.stdout.take().expect("piped above")).lines();
    Program { child, lines }
}

impl Program {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is our child, and not waited for yet");
    }

    /// Reads the lines that come next.
    #[track_caller]
    fn says(&mut self, expected: &[&str]) {
        for line in expected {
            let said = self.lines.next().map(|said| said.expect("it prints text"));
            assert_eq!(said.as_deref(), Some(*line));
        }
    }

    /// How it ends, with nothing more to say.
    #[track_caller]
    fn ends(mut self) -> ExitStatus {
        let rest: Vec<_> = self.lines.by_ref().map(|said| said.expect("it prints text")).collect();
        assert!(rest.is_empty(), "{rest:?}");
        self.child.wait().expect("it is our child")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // (Where a test has failed in the middle.)
        let _ = self.child.kill();
    }
}

/// Row G7, clause 22.4: SIGTERM and SIGINT end a tree in order.
#[test]
fn a_signal_ends_the_tree_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut program = program(&[]);
        program.says(&["a starts", "b starts", "up"]);
        program.signal(signal);
        program.says(&["b ends", "a ends", "shut down: 2 stopped"]);
        assert_eq!(program.ends().code(), Some(0));
    }
}

/// Row G7, clause 22.4: at the deadline what is left is killed, and the process says so.
#[test]
fn a_tree_that_is_late_is_killed_at_its_deadline() {
    let mut program = program(&["ending", "hurried"]);
    program.says(&["a starts", "b starts", "up"]);
    program.signal(Signal::TERM);
    program.says(&["b ends", "shut down: 2 stopped; b was killed"]);
    assert_eq!(program.ends().code(), Some(2));
}

/// Row G7, clause 22.4: a second signal, the same or the other one, does not wait for the deadline.
#[test]
fn a_second_signal_kills_what_is_left() {
    for second in [Signal::TERM, Signal::INT] {
        let mut program = program(&["ending"]);
        program.says(&["a starts", "b starts", "up"]);
        program.signal(Signal::TERM);
        program.says(&["b ends"]);
        program.signal(second);
        program.says(&["killed: 2 stopped; b was killed"]);
        assert_eq!(program.ends().code(), Some(2));
    }
}

/// Row G7, clause 22.4: a signal that comes before the tree is up gives up its start.
#[test]
fn a_signal_gives_up_a_start() {
    let mut program = program(&["starting"]);
    program.says(&["a starts", "b starts"]);
    program.signal(Signal::INT);
    program.says(&["a ends", "shut down: 2 stopped"]);
    assert_eq!(program.ends().code(), Some(0));
}

/// Row G7, clause 22.4: a tree that ends by itself ends its process.
#[test]
fn a_tree_that_gives_up_ends_its_process() {
    let mut program = program(&["crashing"]);
    program.says(&["a starts", "b starts", "up", "b ends", "a ends"]);
    program.says(&["ended: error: child b was restarted too often: 1 attempts in 1s"]);
    assert_eq!(program.ends().code(), Some(1));
}

/// Clause 22.4: whoever does not run a tree so keeps the signals.
#[test]
fn without_run_a_signal_does_what_it_always_did() {
    let mut program = program(&["unused"]);
    program.says(&["a starts", "b starts", "up"]);
    program.signal(Signal::TERM);
    assert_eq!(program.ends().signal(), Some(Signal::TERM.as_raw()));
}
