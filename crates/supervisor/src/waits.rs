//! What a handler that waits for a supervisor waits for: every server below it, or below one of its children.
//!
//! A handler that stops, shuts down or starts part of a tree waits until each server there has ended, or has begun. Where
//! one of these waits for the handler's own server, or is it, neither would ever go on: such a wait is refused before
//! anything is ordered. What is collected are the servers that are below at that moment; outside of a handler nothing is
//! collected, and the wait costs nothing.
//!
//! Those of a group that are stopped to be started again wait for each other as well ([`Falling`]): one that is down comes back
//! when those that are being stopped have ended. So a handler, or `terminate`, of one of these that asks one that is down hears
//! of the ring, and need not be killed.
//!
//! So it is with those who wait to resize partitions: they wait for what the resize that has its turn waits for ([`Resizing`]).
//!
//! What deliberately does not live here: the graph of waits itself (genserver's `cycle`).

use crate::branch::SupervisorCore;
use crate::child::Child;
use restante_genserver::cycle::{Ends, Fall, Member, Path, Taken, Turn, is_in_handler, wait_for_ends};
use std::sync::Arc;

impl SupervisorCore {
    /// The handler that runs here, if one does, begins to wait for all that is below this supervisor.
    pub(crate) fn wait_for_all(&self) -> Result<Option<Ends>, Path> {
        wait_for(self, self.label())
    }

    /// The handler that runs here, if one does, begins to wait for these children and all that is below them.
    pub(crate) fn wait_for_children(&self, keys: &[u64]) -> Result<Option<Ends>, Path> {
        if !is_in_handler() {
            return Ok(None);
        }
        let children: Vec<Arc<dyn Child>> = {
            let locked = self.lock();
            keys.iter().filter_map(|key| Some(Arc::clone(&locked.rules.get(*key)?.child))).collect()
        };
        let mut members = Vec::new();
        for child in &children {
            child.members(&mut members);
        }
        wait_for_ends(members, self.label())
    }
}

/// The handler that runs here, if one does, begins to wait for a child and all that is below it.
pub(crate) fn wait_for(child: &dyn Child, what: &str) -> Result<Option<Ends>, Path> {
    if !is_in_handler() {
        return Ok(None);
    }
    let mut members = Vec::new();
    child.members(&mut members);
    wait_for_ends(members, what)
}

/// Children that are stopped one after the other, or together, and come back when all of them have been.
pub(crate) struct Falling {
    fall: Fall,
    /// Held, so that no other server has the address of one that the graph knows.
    down: Vec<Arc<dyn Child>>,
}

impl Falling {
    pub(crate) fn new(branch: &SupervisorCore) -> Self {
        Self { fall: Fall::new(branch.label()), down: Vec::new() }
    }

    /// This one is down, and comes back.
    pub(crate) fn down(&mut self, child: &Arc<dyn Child>) {
        self.fall.down(members(child));
        self.down.push(Arc::clone(child));
    }

    /// These are being stopped now. A handler that runs in one of them, and has asked a child that is down, is to look.
    pub(crate) fn stops<'a>(&mut self, children: impl Iterator<Item = &'a Arc<dyn Child>> + Clone) {
        self.fall.stops(children.clone().flat_map(members).collect());
        children.for_each(|child| child.nudge());
    }
}

/// A resize that has its turn: who waits for the next one waits for the partitions that this one waits for.
pub(crate) struct Resizing {
    taken: Taken,
    /// Held, as [`Falling`] holds them.
    waited_for: Vec<Arc<dyn Child>>,
}

impl Resizing {
    pub(crate) fn new(branch: &SupervisorCore, turn: &Turn) -> Self {
        Self { taken: turn.taken(branch.label()), waited_for: Vec::new() }
    }

    /// These, and those before, are waited for. A handler there that waits for its own turn is to look.
    pub(crate) fn waits_for(&mut self, children: &[Arc<dyn Child>]) {
        self.taken.waits_for(children.iter().flat_map(members));
        self.waited_for.extend(children.iter().map(Arc::clone));
        for child in children {
            child.nudge();
        }
    }
}

fn members(child: &Arc<dyn Child>) -> Vec<Member> {
    let mut members = Vec::new();
    child.members(&mut members);
    members
}
