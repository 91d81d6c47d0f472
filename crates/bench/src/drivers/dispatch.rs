//! Which driver does which workload.

use std::time::Duration;

use super::{
    calls, casts, children, hops, lifecycle,
    lookups::{self, Beside},
    neighbours, queues, restarts, skynet,
};
use crate::{
    measured::Measured,
    supervised::Crash,
    system::{Start, System},
    workload::{Lookup, Workload},
};

/// Runs one workload on a system; `None` when the system lacks what it needs.
pub(crate) async fn drive<S: System>(workload: Workload, ops: u64) -> Option<Measured> {
    Some(match workload {
        Workload::Cast => casts::one_to_one::<S>(ops).await,
        Workload::CastFanin => casts::fan_in::<S>(ops).await,
        Workload::Fanout => casts::fan_out::<S>(ops).await,
        Workload::Call => calls::from_one::<S>(ops, Start::BOUNDED).await,
        Workload::CallMailbox => calls::from_one::<S>(ops, Start::THROUGH_MAILBOX).await,
        Workload::CallContended => calls::from_many::<S>(ops).await,
        Workload::CallThread => calls::from_thread::<S>(ops).await,
        Workload::Pingpong => hops::around::<S>(2, ops).await,
        Workload::Ring => hops::around::<S>(1000, ops).await,
        Workload::Neighbour => neighbours::of_relays::<S>(Duration::ZERO, ops).await,
        Workload::NeighbourSlow => neighbours::of_relays::<S>(Duration::from_micros(2), ops).await,
        Workload::Spawn => lifecycle::spawn::<S>(ops).await,
        Workload::SpawnStop => lifecycle::spawn_stop::<S>(ops).await,
        Workload::Skynet => skynet::tree::<S>(ops).await,
        Workload::Backlog => queues::backlog::<S>(ops).await.drain,
        Workload::BacklogEnqueue => queues::backlog::<S>(ops).await.enqueue,
        Workload::SelectiveFirst | Workload::SelectiveNext | Workload::SelectiveCall => {
            S::selective(workload, ops).await?
        }
        Workload::Monitors => queues::monitors::<S>(ops).await?,
        Workload::Restart => restarts::sustained::<S>(Crash::Panic, ops).await?,
        Workload::RestartErr => restarts::sustained::<S>(Crash::Error, ops).await?,
        Workload::RestartRemembered300 => restarts::remembered::<S>(300, ops).await?,
        Workload::RestartRemembered12000 => restarts::remembered::<S>(12_000, ops).await?,
        Workload::DynamicStart(population) => {
            children::come_and_go::<S>(population.count(), ops).await?.start
        }
        Workload::DynamicStop(population) => children::come_and_go::<S>(population.count(), ops).await?.stop,
        Workload::Lookup(Lookup::Alone) => lookups::by_name::<S>(Beside::Nobody, ops).await?.read,
        Workload::Lookup(Lookup::BesideReader) => lookups::by_name::<S>(Beside::Reader, ops).await?.read,
        Workload::Lookup(Lookup::BesideWriter) => lookups::by_name::<S>(Beside::Writer, ops).await?.read,
        Workload::Lookup(Lookup::Write) => lookups::by_name::<S>(Beside::Writer, ops).await?.write?,
        Workload::Lookup(Lookup::AndCast) => lookups::and_cast::<S>(ops).await?,
        Workload::Registry(work) => S::registry(work, ops).await?,
    })
}
