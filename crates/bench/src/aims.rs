//! What restante must reach, as far as the report can tell by itself: ratios within one run.

use crate::workload::{Lookup, Population, Registry, Workload};

/// A time of restante, and how much of another time it may be at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim {
    pub(crate) of: Workload,
    pub(crate) against: Against,
    pub(crate) at_most: f64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Against {
    /// The fastest of the peers that have the workload.
    BestPeer,
    /// restante's own time for another workload.
    Itself(Workload),
}

pub(crate) const AIMS: [Aim; 7] = [
    Aim { of: Workload::Restart, against: Against::BestPeer, at_most: 0.5 },
    // An intensity window costs the same, whatever it remembers.
    Aim {
        of: Workload::RestartRemembered12000,
        against: Against::Itself(Workload::RestartRemembered300),
        at_most: 1.20,
    },
    // A child costs the same, however many there are.
    Aim {
        of: Workload::DynamicStart(Population::HundredThousand),
        against: Against::Itself(Workload::DynamicStart(Population::Thousand)),
        at_most: 2.0,
    },
    Aim {
        of: Workload::DynamicStop(Population::HundredThousand),
        against: Against::Itself(Workload::DynamicStop(Population::Thousand)),
        at_most: 2.0,
    },
    Aim { of: Workload::Lookup(Lookup::Alone), against: Against::BestPeer, at_most: 0.6 },
    Aim { of: Workload::Lookup(Lookup::BesideReader), against: Against::BestPeer, at_most: 0.3 },
    Aim { of: Workload::Lookup(Lookup::BesideWriter), against: Against::BestPeer, at_most: 0.6 },
];

/// How much longer, at most, the slowest look-ups of a reader may take during the work than when nothing else goes on.
pub(crate) const READERS: [(Workload, f64); 1] = [(Workload::Registry(Registry::Validate), 2.0)];

/// A time of restante on the reference machine, in ns at most: two virtual cores of an AMD EPYC (Zen 5), 1 MiB of L2
/// each. On another it says little, so the report gives no verdict.
pub(crate) const ON_REFERENCE: [(Workload, f64); 7] = [
    (Workload::Lookup(Lookup::Alone), 25.0),
    (Workload::Lookup(Lookup::BesideReader), 25.0),
    (Workload::Lookup(Lookup::BesideWriter), 30.0),
    (Workload::Lookup(Lookup::Write), 200.0),
    (Workload::Lookup(Lookup::AndCast), 45.0),
    // 300,000 a second.
    (Workload::Registry(Registry::Create), 3333.0),
    // What it costs in the registry that the idea is from.
    (Workload::Registry(Registry::CreateBlocking), 100_000.0),
];
