//! The tree of a seed: supervisors up to three deep, each of its own kind, and workers below them.

use crate::log::Log;
use crate::worker::{Args, Worker};
use restante::{
    AutoShutdown, Backoff, CallerRuns, ChildSpec, Intensity, Restart, Server, ServerRef, Shutdown, Strategy,
    Supervise, Supervisor, SupervisorRef,
};
use std::time::Duration;

/// Messages that a mailbox holds: fewer than a turn handles before it looks at the real clock.
const CAPACITY: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Child {
    Worker(usize),
    Supervisor(usize),
}

impl Child {
    /// What it is called.
    pub(crate) fn id(self) -> String {
        match self {
            Self::Worker(number) => format!("w{number}"),
            Self::Supervisor(number) => format!("s{number}"),
        }
    }

    /// Who is called that.
    pub(crate) fn of(id: &str) -> Self {
        let number = id[1..].parse().expect("all ids here end with a number");
        if id.starts_with('w') { Self::Worker(number) } else { Self::Supervisor(number) }
    }
}

/// A supervisor, and what the story knows of it.
pub(crate) struct Node {
    pub(crate) supervisor: SupervisorRef,
    pub(crate) strategy: Strategy,
    /// At most so many restarts in so long; `None`: without limit.
    pub(crate) limit: Option<(u32, Duration)>,
    pub(crate) restart: Restart,
    /// Children that were added later survive its restart.
    pub(crate) keeps: bool,
    pub(crate) by_hand: bool,
    pub(crate) may_rest: bool,
    /// In the order of their start; those that were added later behind.
    pub(crate) children: Vec<Child>,
}

/// A worker, and what the story knows of it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself")]
pub(crate) struct Leaf {
    pub(crate) server: ServerRef<Worker>,
    /// The number of its supervisor.
    pub(crate) under: usize,
    pub(crate) restart: Restart,
    pub(crate) shutdown: Shutdown,
    /// It was no part of the tree when that was made.
    pub(crate) added: bool,
    /// Somebody may have started it by hand.
    pub(crate) by_hand: bool,
    /// Somebody may have stopped it by hand.
    pub(crate) stopped_by_hand: bool,
    /// It may rest, though it is permanent: somebody stopped it by hand, or its start had nothing to serve.
    pub(crate) may_rest: bool,
    /// The casts that its mailbox has accepted.
    pub(crate) casts: Vec<u64>,
}

/// The whole. The root is the first of the nodes.
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    pub(crate) leaves: Vec<Leaf>,
}

impl Tree {
    /// Makes the tree; nothing of it is started.
    pub(crate) fn grow(log: &Log, dice: &mut fastrand::Rng) -> Self {
        let mut tree = Self { nodes: Vec::new(), leaves: Vec::new() };
        tree.branch(log, dice, 1);
        for node in &tree.nodes {
            log.watch(node.supervisor.clone());
        }
        tree
    }

    pub(crate) fn root(&self) -> &SupervisorRef {
        &self.nodes[0].supervisor
    }

    /// A supervisor and all that is below it: its number.
    fn branch(&mut self, log: &Log, dice: &mut fastrand::Rng, depth: u32) -> usize {
        let number = self.nodes.len();
        let strategy = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne][dice.usize(..3)];
        let auto_shutdown = match dice.u32(..12) {
            0 => AutoShutdown::AnySignificant,
            1 => AutoShutdown::AllSignificant,
            _ => AutoShutdown::Never,
        };
        // Most roots have to last for the whole story.
        let limit = (dice.u32(..4) == 0 || depth > 1 && dice.bool()).then(|| limit(dice));
        let keeps = dice.bool();
        let mut supervisor = Supervisor::new(strategy)
            .name(format!("s{number}"))
            .with_intensity(limit.map_or(Intensity::UNLIMITED, |(max, period)| Intensity::new(max, period)))
            .backoff(backoff(dice, limit))
            .auto_shutdown(auto_shutdown)
            .keep_children(keeps)
            .seed(dice.u64(..));
        // Holds the number while those below take theirs.
        self.nodes.push(Node {
            supervisor: Supervisor::one_for_one().build().expect("it is empty"),
            strategy,
            limit,
            restart: Restart::Permanent,
            keeps,
            by_hand: false,
            may_rest: false,
            children: Vec::new(),
        });
        let mut children = Vec::new();
        for _ in 0..dice.usize(1..=if depth == 1 { 4 } else { 3 }) {
            let (child, mut spec) = if depth < 3 && dice.u32(..3) == 0 {
                let below = self.branch(log, dice, depth + 1);
                self.spec_of(below, dice)
            } else {
                let (number, spec) = self.leaf(log, dice, number);
                (Child::Worker(number), spec)
            };
            let passing = match child {
                Child::Worker(leaf) => self.leaves[leaf].restart,
                Child::Supervisor(node) => self.nodes[node].restart,
            } != Restart::Permanent;
            if auto_shutdown != AutoShutdown::Never && passing {
                spec = spec.significant(dice.bool());
            }
            children.push(child);
            supervisor = supervisor.child(spec);
        }
        self.nodes[number].children = children;
        self.nodes[number].supervisor = supervisor.build().expect("the ids are all different");
        number
    }

    fn spec_of(&mut self, below: usize, dice: &mut fastrand::Rng) -> (Child, ChildSpec) {
        let node = &mut self.nodes[below];
        node.restart = restart(dice);
        let mut spec = node.supervisor.child(format!("s{below}")).restart(node.restart);
        spec = spec.escalate(dice.u32(..6) == 0);
        if dice.u32(..4) == 0 {
            spec = spec.shutdown(Shutdown::Timeout(Duration::from_millis(dice.u64(100..20_000))));
        }
        (Child::Supervisor(below), spec)
    }

    /// One more worker under this supervisor, and its specification.
    pub(crate) fn leaf(&mut self, log: &Log, dice: &mut fastrand::Rng, under: usize) -> (usize, ChildSpec) {
        let who = log.worker();
        let settings = Server::settings().name(format!("w{who}")).capacity(CAPACITY);
        let server: Server<Worker> =
            settings.caller_runs(CallerRuns::Never).build().expect("the settings make sense");
        let address = server.address();
        let restart = restart(dice);
        let shutdown = match dice.u32(..6) {
            0 => Shutdown::BrutalKill,
            1 => Shutdown::Infinity,
            2 => Shutdown::Timeout(Duration::from_millis(dice.u64(10..1000))),
            _ => Shutdown::WORKER,
        };
        let args = Args { who, log: log.clone() };
        let mut spec = server.child(args).restart(restart).shutdown(shutdown);
        spec = spec.keep_mailbox(dice.u32(..4) > 0);
        if dice.u32(..6) == 0 {
            spec = spec.backoff(backoff(dice, self.nodes[under].limit));
        }
        self.leaves.push(Leaf {
            server: address,
            under,
            restart,
            shutdown,
            added: false,
            by_hand: false,
            stopped_by_hand: false,
            may_rest: false,
            casts: Vec::new(),
        });
        (who, spec)
    }

    /// Somebody stops this child, or tries to.
    pub(crate) fn stopped_by_hand(&mut self, child: Child) {
        match child {
            Child::Worker(who) => {
                self.leaves[who].stopped_by_hand = true;
                self.leaves[who].may_rest = true;
            }
            Child::Supervisor(number) => self.nodes[number].may_rest = true,
        }
    }

    /// Somebody starts this child, or tries to; if it fails, it rests.
    pub(crate) fn started_by_hand(&mut self, child: Child) {
        match child {
            Child::Worker(who) => {
                self.leaves[who].by_hand = true;
                self.leaves[who].may_rest = true;
            }
            Child::Supervisor(number) => {
                self.nodes[number].by_hand = true;
                self.nodes[number].may_rest = true;
            }
        }
    }

    /// The workers of this child, or this one; not those that somebody may have started by hand, beside all order.
    pub(crate) fn below(&self, child: Child) -> Vec<usize> {
        match child {
            Child::Worker(who) if self.leaves[who].by_hand => Vec::new(),
            Child::Worker(who) => vec![who],
            Child::Supervisor(number) if self.nodes[number].by_hand => Vec::new(),
            Child::Supervisor(number) => {
                self.nodes[number].children.iter().flat_map(|child| self.below(*child)).collect()
            }
        }
    }
}

fn restart(dice: &mut fastrand::Rng) -> Restart {
    match dice.u32(..6) {
        0 => Restart::Temporary,
        1 => Restart::Transient,
        _ => Restart::Permanent,
    }
}

fn limit(dice: &mut fastrand::Rng) -> (u32, Duration) {
    (dice.u32(0..6), Duration::from_millis(dice.u64(1..8000)))
}

/// One beside which this limit can be reached.
fn backoff(dice: &mut fastrand::Rng, limit: Option<(u32, Duration)>) -> Backoff {
    if dice.bool() {
        return Backoff::NONE;
    }
    let [min, max] = [dice.u64(1..100), dice.u64(100..4000)].map(Duration::from_millis);
    match limit {
        Some((restarts, period)) if max * 12 / 10 * restarts >= period => Backoff::default(),
        _ => Backoff::new(min, max),
    }
}
