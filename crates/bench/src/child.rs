//! The child: one measurement, one line of JSON on standard output (`null` where the system lacks it).

use std::{panic, process, process::ExitCode};

use crate::{allocations, report, supervised::is_asked_for, systems::SystemName, workload::Workload};

/// What one child is to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) workload: Workload,
    pub(crate) system: SystemName,
    pub(crate) threads: usize,
    pub(crate) ops: u64,
    /// Whether allocations are counted, which disturbs the time.
    pub(crate) count: bool,
}

impl Task {
    /// The arguments that make a process the child of this task.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "--child".to_owned(),
            format!("--workload={}", self.workload.name()),
            format!("--systems={}", self.system.name()),
            format!("--threads={}", self.threads),
            format!("--ops={}", self.ops),
        ];
        if self.count {
            arguments.push("--count".to_owned());
        }
        arguments
    }
}

pub(crate) fn run(task: &Task) -> ExitCode {
    // Whichever actor or task panics, the measurement has failed, though the system may survive it; but for the
    // crashes that are the measurement.
    panic::set_hook(Box::new(|panic| {
        if !is_asked_for(panic) {
            fail(&panic.to_string());
        }
    }));
    if task.count {
        allocations::enable();
    }
    let measured = task.system.measure(task.workload, task.threads, task.ops);
    match serde_json::to_string(&measured) {
        Ok(line) => report::print(&line),
        Err(error) => fail(&error.to_string()),
    }
    // Not by return: servers and workers that are left need no farewell.
    leave(0)
}

fn fail(why: &str) -> ! {
    eprintln!("{why}");
    leave(1)
}

#[expect(clippy::exit, reason = "a measurement that failed, or is done, must not wait for what still runs")]
fn leave(code: i32) -> ! {
    process::exit(code)
}
