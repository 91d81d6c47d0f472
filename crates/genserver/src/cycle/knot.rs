//! A wait for any of several: one edge from who waits to a knot, and from there one to each server that may still answer.
//!
//! Who collects the answers of ten thousand servers waits ten thousand times. With edges of their own, each of those waits
//! would tie and untie them all; a knot is tied once, loses an edge when a server has given its last answer, and each wait
//! adds one edge. A knot is waited for only while its owner waits, so that a knot that lies about is in no server's way.
//!
//! A knot counts as waiting for all of its servers, and not for any: a server whose answer can come only when our handler
//! has returned ends the requests to it at once, even if another's answer would let the handler go on.

use super::graph::Key;
use super::{Path, Stack, Waiting, edges, fall};
use crate::frame::{self, Label};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The servers that one collection of requests waits for.
#[derive(Debug)]
pub(crate) struct Knot {
    /// Odd: no cell has such an address.
    id: usize,
    /// How many requests there are at each, and the edge to it.
    ties: HashMap<usize, (usize, Key)>,
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
        if let Some((count, _)) = self.ties.get_mut(&to) {
            *count += 1;
            return;
        }
        let label = label();
        let mut graph = edges();
        // A knot that is being tied is not waited for, unless that wait's future was forgotten: such a wait hears of no ring.
        if graph.way(to, &[self.id]).is_none() {
            self.ties.insert(to, (1, graph.add(self.id, to, label)));
        }
    }

    /// One request less.
    pub(crate) fn untie(&mut self, to: usize) {
        let Some((count, key)) = self.ties.get_mut(&to) else { return };
        *count -= 1;
        if *count == 0 {
            edges().remove(*key);
            self.ties.remove(&to);
        }
    }

    /// The server whose handler runs here, if one does, begins to wait for all that is tied, but for those that would close
    /// a ring: they are tied no more.
    pub(crate) fn wait(&mut self) -> Begun {
        let mut refused = HashMap::new();
        let Some(from) = frame::current() else { return Begun { waiting: None, refused } };
        let stack = Stack::here();
        let label = Label { kind: "requests", name: None };
        let mut graph = edges();
        // Few waits close a ring: only then each server is looked at by itself.
        if graph.way(self.id, &stack.ids).is_some() {
            let ways = graph.ways(&stack.ids);
            for (to, label) in graph.targets(self.id) {
                let way: Vec<_> = std::iter::successors(ways.get(&to).copied(), |at| {
                    ways.get(&graph.target(*at)?.0).copied()
                })
                .collect();
                let path = if way.is_empty() {
                    stack.path(to, vec![label.to_string()])
                } else {
                    stack.path_along(&graph, &way, label)
                };
                refused.extend(path.map(|path| (to, path)));
            }
        }
        if fall::are_any() {
            for (to, label) in graph.targets(self.id) {
                if !refused.contains_key(&to) {
                    refused.extend(fall::ring(&stack, &graph, to, label).map(|path| (to, path)));
                }
            }
        }
        for (_, key) in refused.keys().filter_map(|to| self.ties.remove(to)) {
            graph.remove(key);
        }
        let waiting = Some(Waiting(graph.add(from, self.id, label)));
        Begun { waiting, refused }
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        if !self.ties.is_empty() {
            edges().remove_from(self.id);
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn knots_have_names_of_their_own() {
        let names: std::collections::HashSet<_> = (0..100).map(|_| Knot::new().id).collect();
        assert_eq!(names.len(), 100);
        assert!(
            names.iter().all(|name| name % 2 == 1),
            "no cell has such an address, and no other node such a name"
        );
    }
}
