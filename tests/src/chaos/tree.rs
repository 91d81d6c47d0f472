//! The tree above the targets: supervisors of all strategies, up to three deep, that never give up and never wait.

use super::target::{Seen, Target};
use super::{Args, Plan, name};
use restante::{
    Backoff, ChildSpec, Intensity, Server, ServerRef, Strategy, Supervise, Supervisor, SupervisorRef,
};

/// What one round is about.
pub(super) struct Forest {
    pub(super) root: SupervisorRef,
    /// The supervisors below the root.
    pub(super) branches: Vec<SupervisorRef>,
    pub(super) targets: Vec<(ServerRef<Target>, Args)>,
}

impl Forest {
    /// Makes a random tree over all targets and starts it.
    pub(super) async fn plant(plan: &Plan, dice: &mut fastrand::Rng) -> Self {
        let mut targets = Vec::new();
        let mut specs = Vec::new();
        for number in 0..plan.servers {
            let settings = Server::settings().name(name("target", number)).capacity(plan.capacity);
            let server: Server<Target> = settings.build().expect("the settings make sense");
            let seen = Seen::new(plan.senders + 1);
            targets.push((server.address(), Args::clone(&seen)));
            specs.push(server.child(seen));
        }
        let mut branches = Vec::new();
        let mut root = relentless(Strategy::OneForOne, dice);
        while !specs.is_empty() {
            let branch = grow(&mut specs, &mut branches, dice, 2);
            root = root.child(branch);
        }
        let root = root.start().await.expect("no `init` here fails");
        Self { root, branches, targets }
    }
}

/// A supervisor over the next few targets, and over another supervisor where it is not too deep.
fn grow(
    specs: &mut Vec<ChildSpec>,
    branches: &mut Vec<SupervisorRef>,
    dice: &mut fastrand::Rng,
    depth: u32,
) -> ChildSpec {
    let (strategy, most) = match dice.u32(..4) {
        0 => (Strategy::OneForAll, 4),
        1 => (Strategy::RestForOne, 5),
        _ => (Strategy::OneForOne, 12),
    };
    let mut branch = relentless(strategy, dice);
    for _ in 0..dice.usize(1..=most) {
        if let Some(spec) = specs.pop() {
            branch = branch.child(spec);
        }
    }
    if depth > 1 && !specs.is_empty() && dice.u32(..4) == 0 {
        branch = branch.child(grow(specs, branches, dice, depth - 1));
    }
    let branch = branch.build().expect("the ids are all different");
    let spec = branch.child(name("branch", branches.len()));
    branches.push(branch);
    spec
}

fn relentless(strategy: Strategy, dice: &mut fastrand::Rng) -> Supervisor {
    Supervisor::new(strategy).with_intensity(Intensity::UNLIMITED).backoff(Backoff::NONE).seed(dice.u64(..))
}
