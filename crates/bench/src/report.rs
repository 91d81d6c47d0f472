//! What is printed: a line of JSON for each measurement, or Markdown tables at the end.

use serde::{Serialize, Serializer};

use crate::{
    aims::{AIMS, Against, Aim, ON_REFERENCE, READERS},
    systems::SystemName,
    workload::Workload,
};

/// One measurement, over all its runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    #[serde(serialize_with = "workload_name")]
    pub(crate) workload: Workload,
    #[serde(serialize_with = "system_name")]
    pub(crate) system: SystemName,
    pub(crate) threads: usize,
    /// The median.
    pub(crate) ns_per_op: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) runs: usize,
    pub(crate) bytes_per_actor: Option<f64>,
    pub(crate) bytes_per_message: Option<f64>,
    pub(crate) allocs_per_op: Option<f64>,
    pub(crate) readers_idle_ns: Option<f64>,
    pub(crate) readers_meanwhile_ns: Option<f64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn workload_name<S: Serializer>(workload: &Workload, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(workload.name())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn system_name<S: Serializer>(system: &SystemName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(system.name())
}

/// Collects lines and prints them in the form that was asked for.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    lines: Vec<Line>,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, lines: Vec::new() }
    }

    pub(crate) fn add(&mut self, line: Line) {
        if self.json {
            match serde_json::to_string(&line) {
                Ok(text) => print(&text),
                Err(error) => eprintln!("error: {error}"),
            }
        } else {
            self.lines.push(line);
        }
    }

    pub(crate) fn finish(self) {
        if self.json {
            return;
        }
        let mut threads: Vec<_> = self.lines.iter().map(|line| line.threads).collect();
        threads.sort_unstable();
        threads.dedup();
        for count in threads {
            let lines: Vec<_> = self.lines.iter().filter(|line| line.threads == count).collect();
            Table::new(&lines).print(count);
        }
    }
}

/// The lines of one number of threads: a row for each workload, a column for each system.
struct Table<'a> {
    lines: &'a [&'a Line],
    systems: Vec<SystemName>,
    workloads: Vec<Workload>,
}

impl<'a> Table<'a> {
    fn new(lines: &'a [&'a Line]) -> Self {
        let systems =
            SystemName::ALL.into_iter().filter(|&s| lines.iter().any(|line| line.system == s)).collect();
        let workloads =
            Workload::ALL.into_iter().filter(|&w| lines.iter().any(|line| line.workload == w)).collect();
        Self { lines, systems, workloads }
    }

    fn print(&self, threads: usize) {
        let workers = if threads == 1 { "worker thread" } else { "worker threads" };
        print(&format!("\n## {threads} {workers}\n"));
        print("ns an operation, in brackets the ratio to `tokio`; below 1 is faster.\n");
        let names = self.systems.iter().map(|system| system.name().to_owned());
        let header: Vec<_> = names.chain(["restante / best peer".to_owned()]).collect();
        self.rows("workload", &header, |workload| {
            let times = self.systems.iter().map(|&system| self.time(workload, system));
            Some(times.chain([self.against_best_peer(workload)]).collect())
        });
        self.extra("Bytes", |line| line.bytes_per_actor.or(line.bytes_per_message));
        self.extra("Allocations an operation", |line| line.allocs_per_op);
        self.extra("Readers' p99.9 with nothing else going on, ns", |line| line.readers_idle_ns);
        self.extra("Readers' p99.9 meanwhile, ns", |line| line.readers_meanwhile_ns);
        self.aims();
        self.on_reference();
    }

    /// What restante must reach, of that which was measured.
    fn aims(&self) {
        let ratios = AIMS.iter().filter_map(|aim| self.aim(aim));
        let readers = READERS.iter().filter_map(|&(workload, at_most)| self.readers(workload, at_most));
        let rows: Vec<_> = ratios.chain(readers).collect();
        if rows.is_empty() {
            return;
        }
        print("\nMust:\n\n| restante | is | at most | |\n|---|---:|---:|---|");
        for row in rows {
            print(&row);
        }
    }

    fn aim(&self, aim: &Aim) -> Option<String> {
        let ours = self.line(aim.of, SystemName::Restante)?;
        let (other, name) = match aim.against {
            Against::BestPeer => {
                let best = self.best_peer(aim.of)?;
                (best, best.system.name())
            }
            Against::Itself(workload) => (self.line(workload, SystemName::Restante)?, workload.name()),
        };
        let ratio = ours.ns_per_op / other.ns_per_op;
        let verdict = verdict(ratio, aim.at_most);
        Some(format!("| {} / {name} | {ratio:.2} | {:.2} | {verdict} |", aim.of.name(), aim.at_most))
    }

    fn readers(&self, workload: Workload, at_most: f64) -> Option<String> {
        let line = self.line(workload, SystemName::Restante)?;
        let ratio = line.readers_meanwhile_ns? / line.readers_idle_ns?;
        let verdict = verdict(ratio, at_most);
        let name = workload.name();
        Some(format!("| readers' p99.9: {name} / idle | {ratio:.2} | {at_most:.2} | {verdict} |"))
    }

    /// What restante must reach on the reference machine, which this one need not be.
    fn on_reference(&self) {
        let measured = |workload| self.line(workload, SystemName::Restante);
        let aims: Vec<_> =
            ON_REFERENCE.into_iter().filter_map(|(of, ns)| Some((measured(of)?, ns))).collect();
        if aims.is_empty() {
            return;
        }
        print(
            "\nMust on the reference machine:\n\n| restante, ns | is here | at most there |\n|---|---:|---:|",
        );
        for (line, ns) in aims {
            print(&format!("| {} | {} | {} |", line.workload.name(), digits(line.ns_per_op), digits(ns)));
        }
    }

    /// One more table, of a figure that some lines have.
    fn extra(&self, title: &str, figure: impl Fn(&Line) -> Option<f64>) {
        if self.lines.iter().all(|line| figure(line).is_none()) {
            return;
        }
        print(&format!("\n{title}:\n"));
        let header: Vec<_> = self.systems.iter().map(|system| system.name().to_owned()).collect();
        self.rows("workload", &header, |workload| {
            let figures: Vec<_> =
                self.systems.iter().map(|&system| self.line(workload, system).and_then(&figure)).collect();
            let some = figures.iter().any(Option::is_some);
            some.then(|| figures.into_iter().map(|figure| figure.map_or("-".to_owned(), digits)).collect())
        });
    }

    fn rows(&self, corner: &str, header: &[String], cells: impl Fn(Workload) -> Option<Vec<String>>) {
        print(&format!("| {corner} | {} |", header.join(" | ")));
        print(&format!("|---|{}", "---:|".repeat(header.len())));
        for &workload in &self.workloads {
            if let Some(cells) = cells(workload) {
                let (_, unit) = workload.unit();
                print(&format!("| {}{unit} | {} |", workload.name(), cells.join(" | ")));
            }
        }
    }

    fn line(&self, workload: Workload, system: SystemName) -> Option<&Line> {
        self.lines.iter().copied().find(|line| line.workload == workload && line.system == system)
    }

    fn time(&self, workload: Workload, system: SystemName) -> String {
        let Some(line) = self.line(workload, system) else { return "-".to_owned() };
        let shown = line.ns_per_op / workload.unit().0;
        match self.line(workload, SystemName::Tokio) {
            Some(tokio) if system != SystemName::Tokio => {
                format!("{} ({:.2})", digits(shown), line.ns_per_op / tokio.ns_per_op)
            }
            _ => digits(shown),
        }
    }

    fn best_peer(&self, workload: Workload) -> Option<&Line> {
        let peers = self.lines.iter().copied();
        let peers = peers.filter(|line| line.workload == workload && line.system.is_peer());
        peers.min_by(|one, other| one.ns_per_op.total_cmp(&other.ns_per_op))
    }

    fn against_best_peer(&self, workload: Workload) -> String {
        match (self.line(workload, SystemName::Restante), self.best_peer(workload)) {
            (Some(ours), Some(best)) => {
                format!("{:.2} {}", ours.ns_per_op / best.ns_per_op, best.system.name())
            }
            (None, Some(best)) => format!("- {}", best.system.name()),
            (_, None) => "-".to_owned(),
        }
    }
}

fn verdict(ratio: f64, at_most: f64) -> &'static str {
    if ratio <= at_most { "met" } else { "missed" }
}

/// Three digits or so, whatever the size.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Prints a line on standard output: the results, and nothing else, go there.
#[expect(clippy::print_stdout, reason = "the results are the output of this program")]
pub(crate) fn print(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Population;

    fn line(workload: Workload, system: SystemName, ns_per_op: f64) -> Line {
        Line {
            workload,
            system,
            threads: 1,
            ns_per_op,
            min: ns_per_op,
            max: ns_per_op,
            runs: 1,
            bytes_per_actor: None,
            bytes_per_message: None,
            allocs_per_op: None,
            readers_idle_ns: None,
            readers_meanwhile_ns: None,
        }
    }

    fn rows(lines: &[Line]) -> Vec<String> {
        let lines: Vec<_> = lines.iter().collect();
        let table = Table::new(&lines);
        AIMS.iter().filter_map(|aim| table.aim(aim)).collect()
    }

    #[test]
    fn what_must_be_reached_is_compared_within_the_run() {
        let few = Workload::DynamicStop(Population::Thousand);
        let many = Workload::DynamicStop(Population::HundredThousand);
        let lines = [
            line(Workload::Restart, SystemName::Restante, 2000.0),
            line(Workload::Restart, SystemName::Tokio, 1000.0),
            line(Workload::Restart, SystemName::Kameo, 5000.0),
            line(Workload::Restart, SystemName::Xtra, 4000.0),
            line(few, SystemName::Restante, 100.0),
            line(many, SystemName::Restante, 201.0),
        ];
        assert_eq!(
            rows(&lines),
            [
                "| restart / xtra | 0.50 | 0.50 | met |",
                "| dynamic-stop-100000 / dynamic-stop-1000 | 2.01 | 2.00 | missed |",
            ]
        );
    }

    #[test]
    fn what_was_not_measured_is_no_aim() {
        assert!(rows(&[line(Workload::Restart, SystemName::Restante, 2000.0)]).is_empty());
        assert!(rows(&[line(Workload::Restart, SystemName::Xtra, 2000.0)]).is_empty());
    }
}
