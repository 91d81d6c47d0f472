//! The parent: runs the plan, each measurement in a fresh process, the systems interleaved run by run.

use std::{
    env, io,
    process::{Command, ExitCode, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    child::Task,
    measured::Measured,
    report::{Line, Report},
    systems::SystemName,
    workload::{Scale, Workload},
};

/// What the user asked for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) workloads: Vec<Workload>,
    pub(crate) systems: Vec<SystemName>,
    pub(crate) threads: Vec<usize>,
    pub(crate) runs: usize,
    pub(crate) scale: Scale,
    pub(crate) json: bool,
}

pub(crate) fn run(plan: &Plan) -> ExitCode {
    let mut report = Report::new(plan.json);
    let mut all_well = true;
    for &workload in &plan.workloads {
        let mut systems = plan.systems.clone();
        let fits = |threads: &usize| workload.workers().is_none_or(|workers| workers == *threads);
        for threads in plan.threads.iter().copied().filter(fits) {
            let mut cells: Vec<_> =
                systems.iter().map(|&system| Cell::new(workload, system, threads)).collect();
            for _ in 0..plan.runs {
                for cell in &mut cells {
                    cell.measure(plan.scale);
                }
            }
            for cell in &mut cells {
                cell.count_allocations();
                all_well &= cell.state != State::Failed;
                if let Some(line) = cell.line() {
                    report.add(line);
                }
            }
            // What a system lacks, it lacks with any number of threads.
            systems.retain(|&system| {
                cells.iter().all(|cell| cell.system != system || cell.state != State::Lacking)
            });
        }
    }
    report.finish();
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The runs of one workload on one system with one number of threads.
struct Cell {
    workload: Workload,
    system: SystemName,
    threads: usize,
    state: State,
    runs: Vec<Measured>,
    allocs_per_op: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Measuring,
    /// The system lacks the workload.
    Lacking,
    /// A child failed; what it said is on standard error.
    Failed,
}

impl Cell {
    fn new(workload: Workload, system: SystemName, threads: usize) -> Self {
        Self { workload, system, threads, state: State::Measuring, runs: Vec::new(), allocs_per_op: None }
    }

    fn measure(&mut self, scale: Scale) {
        if let Some(measured) = self.run_child(scale, false) {
            self.runs.push(measured);
        }
    }

    /// In a run of its own, as counting takes time. A whole tree is no unit to count by at another size.
    fn count_allocations(&mut self) {
        if self.workload != Workload::Skynet
            && let Some(measured) = self.run_child(Scale::Quick, true)
        {
            self.allocs_per_op = measured.allocs_per_op;
        }
    }

    fn run_child(&mut self, scale: Scale, count: bool) -> Option<Measured> {
        if self.state != State::Measuring {
            return None;
        }
        let ops = self.workload.ops(self.system, self.threads, scale);
        let task = Task { workload: self.workload, system: self.system, threads: self.threads, ops, count };
        match measure_in_child(&task) {
            Ok(Some(measured)) => return Some(measured),
            Ok(None) => {
                self.state = State::Lacking;
                eprintln!("{} lacks {}", self.system.name(), self.workload.name());
            }
            Err(why) => {
                self.state = State::Failed;
                let (system, workload) = (self.system.name(), self.workload.name());
                eprintln!("error: {workload} on {system} with {} threads: {why}", self.threads);
            }
        }
        None
    }

    fn line(&self) -> Option<Line> {
        if self.state != State::Measuring {
            return None;
        }
        let ns = self.all(|run| Some(run.ns_per_op));
        Some(Line {
            workload: self.workload,
            system: self.system,
            threads: self.threads,
            ns_per_op: median(&ns)?,
            min: *ns.first()?,
            max: *ns.last()?,
            runs: ns.len(),
            bytes_per_actor: median(&self.all(|run| run.bytes_per_actor)),
            bytes_per_message: median(&self.all(|run| run.bytes_per_message)),
            allocs_per_op: self.allocs_per_op,
            readers_idle_ns: median(&self.all(|run| run.readers_idle_ns)),
            readers_meanwhile_ns: median(&self.all(|run| run.readers_meanwhile_ns)),
        })
    }

    /// One figure of all runs, sorted.
    fn all(&self, figure: impl Fn(&Measured) -> Option<f64>) -> Vec<f64> {
        let mut figures: Vec<_> = self.runs.iter().filter_map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures
    }
}

/// No measurement may take longer.
const TIME_LIMIT: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(10);

fn measure_in_child(task: &Task) -> Result<Option<Measured>, String> {
    let output = run_to_end(task).map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("the child failed ({})", output.status));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("the child said nothing sensible: {error}"))
}

/// Looks after the child from here: a thread in the child that did so would have its allocator take locks.
fn run_to_end(task: &Task) -> io::Result<Output> {
    let mut child = Command::new(env::current_exe()?)
        .args(task.arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let deadline = Instant::now() + TIME_LIMIT;
    // The child says one line, which the pipe holds until it is asked for.
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            eprintln!("the measurement does not end");
            child.kill()?;
            break;
        }
        thread::sleep(LOOK_EVERY);
    }
    child.wait_with_output()
}

/// The middle one of sorted figures; between the two in the middle where there are two.
fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(sorted[sorted.len() / 2 - 1], upper)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), Some(3.0));
    }
}
