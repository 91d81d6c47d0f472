//! The workloads: their names, and how large each is.

use crate::systems::SystemName;

/// The capacity of every mailbox in a workload whose mailboxes are bounded.
pub(crate) const CAPACITY: usize = 1024;

/// How many creations are asked for at once where admission is measured, whatever the scale.
pub(crate) const ADMISSIONS: u64 = 200;

/// One kind of work that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    Cast,
    CastFanin,
    Call,
    CallMailbox,
    CallContended,
    CallThread,
    Pingpong,
    Ring,
    Neighbour,
    NeighbourSlow,
    Spawn,
    SpawnStop,
    Skynet,
    Fanout,
    Backlog,
    BacklogEnqueue,
    SelectiveFirst,
    SelectiveNext,
    SelectiveCall,
    Monitors,
    Restart,
    RestartErr,
    RestartRemembered300,
    RestartRemembered12000,
    DynamicStart(Population),
    DynamicStop(Population),
    Lookup(Lookup),
    Registry(Registry),
}

/// What is measured where servers are looked up by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    Alone,
    BesideReader,
    BesideWriter,
    /// The writer, beside a reader.
    Write,
    AndCast,
}

/// What is measured of a registry that admits creations, alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registry {
    Create,
    Validate,
    Admission,
    CreateBlocking,
}

/// How many children one dynamic supervisor is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Population {
    Thousand,
    TenThousand,
    HundredThousand,
}

/// Whether the mailboxes of a workload have a capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// [`CAPACITY`], in every system that knows one.
    Bounded,
    /// None.
    Unbounded,
}

/// How large a workload is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Full,
    /// About a tenth.
    Quick,
}

impl Workload {
    pub(crate) const ALL: [Self; 39] = [
        Self::Cast,
        Self::CastFanin,
        Self::Call,
        Self::CallMailbox,
        Self::CallContended,
        Self::CallThread,
        Self::Pingpong,
        Self::Ring,
        Self::Neighbour,
        Self::NeighbourSlow,
        Self::Spawn,
        Self::SpawnStop,
        Self::Skynet,
        Self::Fanout,
        Self::Backlog,
        Self::BacklogEnqueue,
        Self::SelectiveFirst,
        Self::SelectiveNext,
        Self::SelectiveCall,
        Self::Monitors,
        Self::Restart,
        Self::RestartErr,
        Self::RestartRemembered300,
        Self::RestartRemembered12000,
        Self::DynamicStart(Population::Thousand),
        Self::DynamicStart(Population::TenThousand),
        Self::DynamicStart(Population::HundredThousand),
        Self::DynamicStop(Population::Thousand),
        Self::DynamicStop(Population::TenThousand),
        Self::DynamicStop(Population::HundredThousand),
        Self::Lookup(Lookup::Alone),
        Self::Lookup(Lookup::BesideReader),
        Self::Lookup(Lookup::BesideWriter),
        Self::Lookup(Lookup::Write),
        Self::Lookup(Lookup::AndCast),
        Self::Registry(Registry::Create),
        Self::Registry(Registry::Validate),
        Self::Registry(Registry::Admission),
        Self::Registry(Registry::CreateBlocking),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|workload| workload.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cast => "cast",
            Self::CastFanin => "cast-fanin",
            Self::Call => "call",
            Self::CallMailbox => "call-mailbox",
            Self::CallContended => "call-contended",
            Self::CallThread => "call-thread",
            Self::Pingpong => "pingpong",
            Self::Ring => "ring",
            Self::Neighbour => "neighbour",
            Self::NeighbourSlow => "neighbour-2us",
            Self::Spawn => "spawn",
            Self::SpawnStop => "spawn-stop",
            Self::Skynet => "skynet",
            Self::Fanout => "fanout",
            Self::Backlog => "backlog",
            Self::BacklogEnqueue => "backlog-enqueue",
            Self::SelectiveFirst => "selective-first",
            Self::SelectiveNext => "selective-next",
            Self::SelectiveCall => "selective-call",
            Self::Monitors => "monitors",
            Self::Restart => "restart",
            Self::RestartErr => "restart-err",
            Self::RestartRemembered300 => "restart-remembered-300",
            Self::RestartRemembered12000 => "restart-remembered-12000",
            Self::DynamicStart(Population::Thousand) => "dynamic-start-1000",
            Self::DynamicStart(Population::TenThousand) => "dynamic-start-10000",
            Self::DynamicStart(Population::HundredThousand) => "dynamic-start-100000",
            Self::DynamicStop(Population::Thousand) => "dynamic-stop-1000",
            Self::DynamicStop(Population::TenThousand) => "dynamic-stop-10000",
            Self::DynamicStop(Population::HundredThousand) => "dynamic-stop-100000",
            Self::Lookup(Lookup::Alone) => "lookup-1r",
            Self::Lookup(Lookup::BesideReader) => "lookup-2r",
            Self::Lookup(Lookup::BesideWriter) => "lookup-1r1w",
            Self::Lookup(Lookup::Write) => "lookup-write",
            Self::Lookup(Lookup::AndCast) => "lookup-cast",
            Self::Registry(Registry::Create) => "registry-create",
            Self::Registry(Registry::Validate) => "registry-validate",
            Self::Registry(Registry::Admission) => "registry-admission",
            Self::Registry(Registry::CreateBlocking) => "registry-blocking-create",
        }
    }

    /// What one operation is.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Cast => "a message of 16 bytes from one task to one server",
            Self::CastFanin => "the same from eight tasks",
            Self::Call => "a request and its reply, one client, idle server",
            Self::CallMailbox => "the same, never run by the caller",
            Self::CallContended => "the same from 64 clients at once",
            Self::CallThread => "a request and its reply from a plain thread outside the runtime",
            Self::Pingpong => "a hop between two servers",
            Self::Ring => "a hop in a ring of 1000 servers",
            Self::Neighbour => {
                "a wait for the next look at the driver, beside 8 servers that pass 4096 tokens (us in the table)"
            }
            Self::NeighbourSlow => "the same, where a server takes 2 us for each (us)",
            Self::Spawn => "starting a server that stays idle",
            Self::SpawnStop => "starting and stopping a server",
            Self::Skynet => "a whole tree of 10^6 leaves, ten children a node (ms in the table)",
            Self::Fanout => "a message from one task to one of 10,000 servers",
            Self::Backlog => "draining one of the messages that piled up",
            Self::BacklogEnqueue => "piling up one message",
            Self::SelectiveFirst => "the first selective receive behind 100,000 messages that do not match",
            Self::SelectiveNext => "the next selective receives behind them",
            Self::SelectiveCall => "a call made by a server in whose mailbox they wait",
            Self::Monitors => "one of 100,000 notices that a server has ended",
            Self::Restart => "a panic, the restart, and the next incarnation's reply (us in the table)",
            Self::RestartErr => "the same after an error or a stop, without a panic (us)",
            Self::RestartRemembered300 => {
                "the same, 300 times under a supervisor that remembers them all (us)"
            }
            Self::RestartRemembered12000 => "the same, 12,000 times (us)",
            Self::DynamicStart(_) => "starting one of so many children of one supervisor",
            Self::DynamicStop(_) => "stopping one of them, in no order, and waiting for its end",
            Self::Lookup(Lookup::Alone) => {
                "looking up one of 10,000 names, its address at hand; one thread reads"
            }
            Self::Lookup(Lookup::BesideReader) => "the same in each of two threads",
            Self::Lookup(Lookup::BesideWriter) => {
                "the same in one, beside a task that registers and unregisters other names"
            }
            Self::Lookup(Lookup::Write) => "registering or unregistering a name in that task",
            Self::Lookup(Lookup::AndCast) => {
                "looking up a name, and a cast to its server, which does not run meanwhile"
            }
            Self::Registry(Registry::Create) => {
                "creating one of 10^6 mailboxes without a name through the registry's actor"
            }
            Self::Registry(Registry::Validate) => {
                "checking one of 10^6 entries of a snapshot, while a thread looks up names"
            }
            Self::Registry(Registry::Admission) => {
                "200 creations of 30 ms at once, 100 at a time, the others again (ms in the table)"
            }
            Self::Registry(Registry::CreateBlocking) => {
                "creating an entry from a plain thread (us in the table)"
            }
        }
    }

    pub(crate) fn policy(self) -> Policy {
        match self {
            Self::Neighbour
            | Self::NeighbourSlow
            | Self::Spawn
            | Self::SpawnStop
            | Self::Skynet
            | Self::Backlog
            | Self::BacklogEnqueue
            | Self::SelectiveFirst
            | Self::SelectiveNext
            | Self::SelectiveCall
            | Self::Monitors
            | Self::DynamicStart(_)
            | Self::DynamicStop(_)
            | Self::Lookup(_)
            | Self::Registry(_) => Policy::Unbounded,
            _ => Policy::Bounded,
        }
    }

    /// How its times are shown: nanoseconds to the unit, and what the table adds to the name.
    pub(crate) fn unit(self) -> (f64, &'static str) {
        match self {
            Self::Skynet | Self::Registry(Registry::Admission) => (1e6, ", ms"),
            Self::Neighbour
            | Self::NeighbourSlow
            | Self::Restart
            | Self::RestartErr
            | Self::RestartRemembered300
            | Self::RestartRemembered12000
            | Self::Registry(Registry::CreateBlocking) => (1e3, ", us"),
            _ => (1.0, ""),
        }
    }

    /// How many workers its runtime must have; `None`: as many as are asked for. Where readers are threads of their
    /// own, one worker is left a core.
    pub(crate) fn workers(self) -> Option<usize> {
        match self {
            Self::Neighbour | Self::NeighbourSlow | Self::Lookup(_) | Self::Registry(_) => Some(1),
            _ => None,
        }
    }

    /// How many operations one measurement does; for `skynet` the number of leaves, for `selective-*` the
    /// number of messages in the way.
    ///
    /// Two exceptions keep a whole run within the hour and change no figure: ractor and kameo start fewer
    /// servers, and actix on two arbiters, where each switch wakes another thread, makes fewer of them.
    pub(crate) fn ops(self, system: SystemName, threads: usize, scale: Scale) -> u64 {
        let full = match self {
            Self::Lookup(Lookup::AndCast) => 2_000_000,
            Self::Cast | Self::CastFanin | Self::Lookup(_) => 5_000_000,
            Self::Call | Self::CallMailbox | Self::SpawnStop | Self::Restart | Self::RestartErr => 200_000,
            Self::RestartRemembered300 | Self::RestartRemembered12000 => 120_000,
            // Not cut: the largest population is to be there once.
            Self::DynamicStart(_) | Self::DynamicStop(_) => return 100_000,
            Self::CallContended => 320_000,
            Self::CallThread | Self::Registry(Registry::CreateBlocking) => 20_000,
            Self::Registry(Registry::Admission) => return ADMISSIONS,
            Self::Neighbour => 5000,
            Self::NeighbourSlow => 500,
            Self::Spawn => match system {
                SystemName::Ractor | SystemName::Kameo => 200_000,
                _ => 1_000_000,
            },
            Self::Pingpong
            | Self::Ring
            | Self::Skynet
            | Self::Fanout
            | Self::Backlog
            | Self::BacklogEnqueue
            | Self::Registry(_) => 1_000_000,
            Self::SelectiveFirst | Self::SelectiveNext | Self::SelectiveCall | Self::Monitors => 100_000,
        };
        let switches = matches!(
            self,
            Self::Call | Self::CallMailbox | Self::Pingpong | Self::Ring | Self::Restart | Self::RestartErr
        );
        let slow = system == SystemName::Actix && threads > 1 && switches;
        full / if slow { 10 } else { 1 } / if scale == Scale::Quick { 10 } else { 1 }
    }
}

impl Population {
    pub(crate) fn count(self) -> u64 {
        match self {
            Self::Thousand => 1000,
            Self::TenThousand => 10_000,
            Self::HundredThousand => 100_000,
        }
    }
}
