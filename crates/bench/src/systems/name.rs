//! The systems by name, and which type stands behind each.

use super::{actix, kameo, ractor, restante, tokio, xtra};
use crate::{
    drivers::drive,
    measured::Measured,
    system::System,
    workload::{Policy, Workload},
};

/// A system under measurement, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SystemName {
    Restante,
    Ractor,
    Kameo,
    Actix,
    Xtra,
    /// Hand-written tasks behind `mpsc::channel(1024)`, or `unbounded_channel` where the workload asks for it.
    Tokio,
    /// Hand-written tasks behind `mpsc::unbounded_channel`.
    TokioUnbounded,
}

impl SystemName {
    pub(crate) const ALL: [Self; 7] = [
        Self::Restante,
        Self::Ractor,
        Self::Kameo,
        Self::Actix,
        Self::Xtra,
        Self::Tokio,
        Self::TokioUnbounded,
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|system| system.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Restante => "restante",
            Self::Ractor => "ractor",
            Self::Kameo => "kameo",
            Self::Actix => "actix",
            Self::Xtra => "xtra",
            Self::Tokio => "tokio",
            Self::TokioUnbounded => "tokio-unbounded",
        }
    }

    /// Whether restante is to be compared with it as with an equal.
    pub(crate) fn is_peer(self) -> bool {
        matches!(self, Self::Ractor | Self::Kameo | Self::Actix | Self::Xtra)
    }

    /// Does one measurement; `None` when the system lacks what the workload needs.
    pub(crate) fn measure(self, workload: Workload, threads: usize, ops: u64) -> Option<Measured> {
        match (self, workload.policy()) {
            (Self::Restante, _) => run::<restante::Restante>(workload, threads, ops),
            (Self::Ractor, _) => run::<ractor::Ractor>(workload, threads, ops),
            (Self::Kameo, _) => run::<kameo::Kameo>(workload, threads, ops),
            (Self::Actix, _) => run::<actix::Actix>(workload, threads, ops),
            (Self::Xtra, _) => run::<xtra::Xtra>(workload, threads, ops),
            (Self::Tokio, Policy::Bounded) => run::<tokio::Tokio<tokio::Bounded>>(workload, threads, ops),
            (Self::Tokio | Self::TokioUnbounded, _) => {
                run::<tokio::Tokio<tokio::Unbounded>>(workload, threads, ops)
            }
        }
    }
}

fn run<S: System>(workload: Workload, threads: usize, ops: u64) -> Option<Measured> {
    S::run(threads, drive::<S>(workload, ops))
}

#[cfg(test)]
mod tests {
    use std::panic;

    use super::*;
    use crate::supervised::is_asked_for;

    /// Sizes at which a workload still does all that it does.
    fn tiny(workload: Workload) -> u64 {
        match workload {
            Workload::Fanout => 20_000,
            Workload::SpawnStop => 2000,
            _ => 1000,
        }
    }

    fn has(system: SystemName, workload: Workload) -> bool {
        let ours = system == SystemName::Restante;
        match workload {
            Workload::SelectiveFirst
            | Workload::SelectiveNext
            | Workload::SelectiveCall
            | Workload::RestartRemembered300
            | Workload::RestartRemembered12000
            | Workload::Registry(_) => ours,
            Workload::DynamicStart(_) | Workload::DynamicStop(_) | Workload::Lookup(_) => {
                ours || matches!(system, SystemName::Ractor | SystemName::Kameo)
            }
            _ => true,
        }
    }

    /// Says nothing of crashes that are asked for.
    fn hush() {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !is_asked_for(panic) {
                loud(panic);
            }
        }));
    }

    /// actix is left out: its arbiters serve one driver in a process.
    #[test]
    fn every_workload_comes_out_right_on_the_systems_that_have_it() {
        hush();
        for system in [
            SystemName::Restante,
            SystemName::Tokio,
            SystemName::TokioUnbounded,
            SystemName::Ractor,
            SystemName::Kameo,
            SystemName::Xtra,
        ] {
            for workload in Workload::ALL {
                let measured = system.measure(workload, 2, tiny(workload));
                let expected = has(system, workload);
                assert_eq!(measured.is_some(), expected, "{} on {}", workload.name(), system.name());
            }
        }
    }
}
