//! Instruction counts: the regression check that a machine's noise cannot reach.

use std::path::{Path, PathBuf};

use crate::callgrind::Counter;
use crate::report::{Failure, Report};
use crate::tools::{cargo, installed, root, target_dir};

/// The version of the runner that fits the bench's `gungraun`.
const RUNNER: &str = "0.20.0";

/// A workload of a crate's example `counts`, and what an operation of it may take.
struct Workload {
    /// The crate: its folder.
    of: &'static str,
    name: &'static str,
    rounds: u64,
    /// The sizes of two runs: what the difference executes is divided by its operations.
    ops: [u64; 2],
    instructions_max: f64,
    locked_max: f64,
    /// What the design allows; NaN where it says nothing.
    locked_budget: f64,
}

/// The ceilings: of instructions what was counted with rustc 1.95 and glibc 2.36 on x86-64, and a tenth; of locked ones
/// what was counted and a tenth of one, or two tenths where timers come in. What gets cheaper gets a lower ceiling, what
/// gets dearer needs a reason.
///
/// A hop is above its budget by tokio's part: to schedule a task and run it takes
/// tokio six locked instructions (notified, waker cloned and dropped, driver unparked, running, idle).
///
/// A hop and a start became dearer (by 73 and 210 instructions) when servers could be asked, watched, run on threads and tracked:
/// each poll looks whether anybody watches, and each start at more settings. A call became cheaper, since its caller does not
/// look for more work when it is done. (Design note 0012.)
///
/// A start and a call have two locked ones more than they had: each asks tokio which runtime is entered (tokio clones its handle to
/// say so, on a counter). A note of the last answer, by task and place, was wrong where a task enters another runtime within a poll.
/// A call is above its budget by these.
///
/// Of the registry's, `register` is a name put on by the actor and taken off again. What they take depends a little on where names
/// come to lie, which is chance: their ceilings leave a tenth more.
///
/// A plain receive has one more than it had at first: the fence between what it frees and its look for senders who wait,
/// without which one of them could wait for ever (`loom_a_waiting_send_and_a_receiver_that_stays_awake`).
#[rustfmt::skip]
const WORKLOADS: [Workload; 11] = [
    //                   name            rounds  sizes        instructions  locked  budget
    workload("genserver", "send-receive",  8, [1024, 4096],       320.0,       3.1, f64::NAN),
    workload("genserver", "cast",          4, [1024, 4096],       265.0,       1.2, 1.1),
    workload("genserver", "cast-macro",    4, [1024, 4096],       265.0,       1.2, 1.1),
    workload("genserver", "hop",           8, [64, 1024],        1110.0,       7.4, 4.0),
    workload("genserver", "call",         64, [8, 56],            657.0,       4.1, 3.0),
    workload("genserver", "call-macro",   64, [8, 56],            657.0,       4.1, 3.0),
    workload("genserver", "call-mailbox",  8, [64, 1024],        2130.0,      17.6, 16.0),
    workload("genserver", "start",         8, [64, 512],         1850.0,       9.1, f64::NAN),
    workload("registry", "look-up",       32, [1024, 4096],      310.0,       1.1, f64::NAN),
    workload("registry", "whereis",       32, [1024, 4096],      370.0,       5.1, f64::NAN),
    workload("registry", "register",      32, [256, 1024],      6200.0,      45.0, f64::NAN),
];

/// How much dearer a server that the macro has written may be than the same one written by hand.
const MACRO_MAX: f64 = 1.03;

const fn workload(
    of: &'static str,
    name: &'static str,
    rounds: u64,
    ops: [u64; 2],
    instructions_max: f64,
    locked_max: f64,
    locked_budget: f64,
) -> Workload {
    Workload { of, name, rounds, ops, instructions_max, locked_max, locked_budget }
}

/// The crates that have such an example.
const CRATES: [&str; 2] = ["genserver", "registry"];

/// Of one name in each, both would be built into one place.
fn example(of: &str) -> String {
    if of == "genserver" { "counts".to_owned() } else { format!("{of}_counts") }
}

/// Checks the ceilings, which needs valgrind, and runs the bench `counts`, which also needs gungraun's runner.
pub(crate) fn counts(report: &mut Report) -> Result<(), Failure> {
    if !installed("valgrind") {
        report.skip("counts", "valgrind is not installed");
        return Ok(());
    }
    for of in CRATES {
        let build = format!("build --release -p restante-{of} --example {}", example(of));
        report.run(&format!("counts: build, {of}"), &mut cargo(&build))?;
    }
    report.step("counts: ceilings", ceilings)?;
    if !installed("gungraun-runner") {
        let install = format!("cargo install gungraun-runner --version {RUNNER}");
        report.skip("counts: gungraun", &format!("gungraun-runner is not installed ({install})"));
        return Ok(());
    }
    report.run("counts: gungraun", &mut cargo("bench -p restante-bench --bench counts"))
}

fn ceilings() -> Result<String, Failure> {
    let build = root().join(target_dir());
    let folder = build.join("counts");
    std::fs::create_dir_all(&folder)?;
    let mut counter = Counter::default();
    let mut table = vec![Row::HEAD.to_owned()];
    let mut rows = Vec::new();
    for workload in &WORKLOADS {
        let row = workload.measure(
            &mut counter,
            &build.join("release/examples").join(example(workload.of)),
            &folder,
        )?;
        table.push(row.to_string());
        rows.push(row);
    }
    let above: Vec<_> = rows.iter().filter(|row| row.is_above()).map(|row| row.workload.name).collect();
    let dearer: Vec<_> = rows.iter().filter_map(|row| row.dearer_than_by_hand(&rows)).collect();
    println!("\n{}", table.join("\n"));
    if !Counter::tells_locked() {
        println!("Locked instructions are told on x86-64 with objdump, not here.");
    }
    if !dearer.is_empty() {
        return Err(Failure::Verdict(format!("the macro costs: {}", dearer.join(", "))));
    }
    if above.is_empty() {
        return Ok(format!("{} workloads", WORKLOADS.len()));
    }
    Err(Failure::Verdict(format!("above the ceiling: {}", above.join(", "))))
}

impl Workload {
    fn measure(&self, counter: &mut Counter, program: &Path, folder: &Path) -> Result<Row<'_>, Failure> {
        let mut run = |ops: u64| {
            let args = [self.name.to_owned(), self.rounds.to_string(), ops.to_string()];
            let out: PathBuf = folder.join(format!("{}-{ops}.callgrind", self.name));
            counter.count(program, &args, &out)
        };
        let [few, many] = self.ops;
        let (less, more) = (run(few)?, run(many)?);
        let ops = self.rounds * (many - few);
        Ok(Row {
            workload: self,
            instructions: ratio(more.instructions.saturating_sub(less.instructions), ops),
            locked: ratio(more.locked.saturating_sub(less.locked), ops),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a second's work are far below 2^52")]
fn ratio(count: u64, ops: u64) -> f64 {
    count as f64 / ops as f64
}

/// What an operation takes.
struct Row<'a> {
    workload: &'a Workload,
    instructions: f64,
    locked: f64,
}

impl Row<'_> {
    const HEAD: &'static str = "\
| per operation | instructions | at most | locked | at most | budget |
|---|---:|---:|---:|---:|---:|";

    /// Where this is a workload of a server that the macro has written, and it takes more than it may beside the one that was
    /// written by hand: by how much.
    fn dearer_than_by_hand(&self, rows: &[Row<'_>]) -> Option<String> {
        let name = self.workload.name.strip_suffix("-macro")?;
        let by_hand = rows.iter().find(|row| row.workload.name == name)?;
        let ratio = self.instructions / by_hand.instructions;
        (ratio > MACRO_MAX).then(|| format!("{name} {:.1} %", (ratio - 1.0) * 100.0))
    }

    fn is_above(&self) -> bool {
        self.instructions > self.workload.instructions_max || self.locked > self.workload.locked_max
    }
}

impl std::fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Workload { name, instructions_max, locked_max, locked_budget, .. } = self.workload;
        let Row { instructions, locked, .. } = self;
        write!(f, "| {name} | {instructions:.1} | {instructions_max:.0} | {locked:.2} | {locked_max:.1} | ")?;
        if locked_budget.is_nan() { f.write_str("|") } else { write!(f, "{locked_budget} |") }
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, WORKLOADS};

    #[test]
    fn one_instruction_too_many_is_above() {
        let workload = &WORKLOADS[0];
        let (instructions, locked) = (workload.instructions_max, workload.locked_max);
        assert!(!Row { workload, instructions, locked }.is_above());
        assert!(Row { workload, instructions: instructions + 1.0, locked }.is_above());
        assert!(Row { workload, instructions, locked: locked + 1.0 }.is_above());
    }

    #[test]
    fn the_macro_may_cost_three_per_cent() {
        let of = |name: &str, instructions: f64| {
            let workload =
                WORKLOADS.iter().find(|workload| workload.name == name).expect("it is in the table");
            Row { workload, instructions, locked: 1.0 }
        };
        let dearer = |instructions| {
            let rows = [of("cast", 200.0), of("cast-macro", instructions)];
            rows.iter().filter_map(|row| row.dearer_than_by_hand(&rows)).collect::<Vec<_>>()
        };
        assert!(dearer(206.0).is_empty());
        assert_eq!(dearer(208.0), ["cast 4.0 %"]);
    }
}
