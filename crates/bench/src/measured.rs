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
    /// Its value during what was measured.
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

/// What 999 of 1000 do not exceed: the 99.9th percentile by the nearest rank. `None` of nothing.
pub(crate) fn percentile_999(mut values: Vec<u32>) -> Option<f64> {
    values.sort_unstable();
    let rank = (values.len() * 999).div_ceil(1000);
    values.get(rank.checked_sub(1)?).copied().map(f64::from)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_thousand_may_exceed_the_percentile() {
        assert_eq!(percentile_999(vec![]), None);
        assert_eq!(percentile_999(vec![7]), Some(7.0));
        assert_eq!(percentile_999((1..=1000).rev().collect()), Some(999.0));
        assert_eq!(percentile_999((1..=2001).collect()), Some(1999.0));
    }
}
