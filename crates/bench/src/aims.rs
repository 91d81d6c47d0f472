//! What restante must reach, as far as the report can tell by itself: ratios within one run.

use crate::workload::{Population, Workload};

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

pub(crate) const AIMS: [Aim; 4] = [
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
];
