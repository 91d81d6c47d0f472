//! What a measurement yields, and the instruments that take it.

use std::{fs, time::Instant};

use serde::{Deserialize, Serialize};

use crate::allocations;

/// One measurement of one workload on one system.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) ns_per_op: f64,
    pub(crate) bytes_per_actor: Option<f64>,
    pub(crate) bytes_per_message: Option<f64>,
    pub(crate) allocs_per_op: Option<f64>,
    /// Of a thread that reads: the 99.9th percentile of its look-ups, in ns, with nothing else going on.
    pub(crate) readers_idle_ns: Option<f64>,
    /// The same during what was measured.
    pub(crate) readers_meanwhile_ns: Option<f64>,
}

/// Takes the time, and the allocations of all threads where they are counted.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    allocations: Option<u64>,
    started: Instant,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { allocations: allocations::counted(), started: Instant::now() }
    }

    pub(crate) fn stop(self, ops: u64) -> Measured {
        let elapsed = self.started.elapsed();
        let allocated = allocations::counted().zip(self.allocations).map(|(after, before)| after - before);
        Measured {
            ns_per_op: elapsed.as_secs_f64() * 1e9 / float(ops),
            allocs_per_op: allocated.map(|count| float(count) / float(ops)),
            ..Measured::default()
        }
    }
}

/// The memory of this process that is resident, in bytes; `None` where the kernel does not tell.
pub(crate) fn resident_bytes() -> Option<f64> {
    // `status` counts in KiB, `statm` in pages, whose size could be had by unsafe code only.
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

/// By how much the resident memory grew since, for each of `count`.
pub(crate) fn growth_each(before: Option<f64>, count: u64) -> Option<f64> {
    resident_bytes().zip(before).map(|(after, before)| (after - before) / float(count))
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
