//! Servers that come back only when others have ended: a group, or all of a supervisor, that is being stopped in order to be
//! started again.
//!
//! One that is down already waits for those that are being stopped, as it cannot serve before they have ended. So each such
//! server has an edge to a node of the fall, and the node one to each server that is being stopped now: a call of one of these
//! to one that is down closes a ring, and is refused. (Others may wait for the one that comes back.)
//!
//! A wait that was there before closes the ring when the edges come. It is told by being polled again: its server is woken,
//! and a call, or a wait for room, that goes on waiting while anything falls looks whether it is part of a ring by now.

use super::ends::node;
use super::{Edge, Member, Path, edges, remove, ring};
use crate::frame::{self, Label};
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many falls there are. Relaxed: who is to look is woken after the edges of a fall have come, and that orders the two.
static FALLS: AtomicUsize = AtomicUsize::new(0);

/// Those that are down and those that are being stopped. Its edges are there as long as it lives.
#[derive(Debug)]
pub struct Fall {
    node: usize,
    label: Label,
    down: Vec<usize>,
}

impl Fall {
    /// Nothing has been stopped yet; `what` names it in a path.
    pub fn new(what: &str) -> Self {
        FALLS.fetch_add(1, Ordering::Relaxed);
        Self { node: node(), label: Label { kind: "supervisor", name: Some(what.into()) }, down: Vec::new() }
    }

    /// These are down, and come back when it is over.
    pub fn down(&mut self, members: Vec<Member>) {
        let mut graph = edges();
        let all = graph.get_or_insert_default();
        for Member { id, .. } in members {
            all.entry(id).or_default().push(Edge::new(self.node, self.label.clone()));
            self.down.push(id);
        }
    }

    /// These, and no others any more, are being stopped.
    pub fn stops(&mut self, members: Vec<Member>) {
        let tied: Vec<Edge> = members.into_iter().map(|member| Edge::new(member.id, member.label)).collect();
        let before = edges().get_or_insert_default().insert(self.node, tied);
        drop(before);
    }
}

impl Drop for Fall {
    fn drop(&mut self) {
        {
            let mut graph = edges();
            let all = graph.get_or_insert_default();
            all.remove(&self.node);
            for id in &self.down {
                remove(all, *id, self.node);
            }
        }
        FALLS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The ring that the wait of the handler that runs here for `to` is part of by now, though it was not when it began.
#[inline]
pub(crate) fn has_closed(to: usize, label: impl FnOnce() -> Label) -> Option<Path> {
    if FALLS.load(Ordering::Relaxed) == 0 {
        return None;
    }
    look(to, &label())
}

#[cold]
fn look(to: usize, label: &Label) -> Option<Path> {
    let from = frame::current()?;
    let mut graph = edges();
    ring(graph.get_or_insert_default(), from, to, label)
}
