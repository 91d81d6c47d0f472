//! A wait for any of several: one edge from who waits to a knot, and from there one to each server that may still answer.
//!
//! Who collects the answers of ten thousand servers waits ten thousand times. With edges of their own, each of those waits
//! would tie and untie them all; a knot is tied once, loses an edge when a server has given its last answer, and each wait
//! adds one edge. Nobody waits for a knot but while its owner waits, so that a knot that lies about is in nobody's way.
//!
//! A knot counts as waiting for all of its servers, and not for any: a server whose answer can come only when our handler
//! has returned ends the requests to it at once, even if another's answer would let the handler go on.

use super::{Edge, Path, Waiting, edges, remove, ring};
use crate::frame::{self, Label};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The servers that one collection of requests waits for.
#[derive(Debug)]
pub(crate) struct Knot {
    /// Odd: no cell has such an address.
    id: usize,
    /// How many requests there are at each.
    ties: HashMap<usize, usize>,
}

/// What came of beginning to wait.
#[derive(Debug)]
pub(crate) struct Begun {
    /// The edge, for as long as the wait lasts.
    pub(crate) waiting: Option<Waiting>,
    /// The servers that (through others) wait for us.
    pub(crate) refused: HashMap<usize, Path>,
}

impl Knot {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        Self { id: NEXT.fetch_add(2, Ordering::Relaxed), ties: HashMap::new() }
    }

    /// One more request at this server.
    pub(crate) fn tie(&mut self, to: usize, label: impl FnOnce() -> Label) {
        let count = self.ties.entry(to).or_default();
        *count += 1;
        if *count == 1 {
            let label = label();
            edges().get_or_insert_default().entry(self.id).or_default().push(Edge::new(to, label));
        }
    }

    /// One request less.
    pub(crate) fn untie(&mut self, to: usize) {
        let Some(count) = self.ties.get_mut(&to) else { return };
        *count -= 1;
        if *count == 0 {
            self.ties.remove(&to);
            if let Some(all) = edges().as_mut() {
                remove(all, self.id, to);
            }
        }
    }

    /// The server whose handler runs here, if one does, begins to wait for all that is tied, but for those that would close
    /// a ring: they are tied no more.
    pub(crate) fn wait(&mut self) -> Begun {
        let mut refused = HashMap::new();
        let Some(from) = frame::current() else { return Begun { waiting: None, refused } };
        let label = Label { kind: "requests", name: None };
        let mut graph = edges();
        let all = graph.get_or_insert_default();
        // Few waits close a ring: only then each server is looked at by itself.
        if ring(all, from, self.id, &label).is_some() {
            let tied = all.get(&self.id).map_or(&[][..], |list| list);
            refused.extend(
                tied.iter().filter_map(|edge| Some((edge.to, ring(all, from, edge.to, &edge.label)?))),
            );
            for to in refused.keys() {
                self.ties.remove(to);
                remove(all, self.id, *to);
            }
        }
        all.entry(from).or_default().push(Edge::new(self.id, label));
        Begun { waiting: Some(Waiting { from, to: self.id }), refused }
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        if let Some(all) = edges().as_mut() {
            all.remove(&self.id);
        }
    }
}
