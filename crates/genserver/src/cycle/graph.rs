//! The graph of waits, without rings, in an order that makes the next wait cheap to check.
//!
//! Each server that waits, or is waited for, has a number, and every edge goes from a higher number to a lower one. An edge
//! that agrees with the numbers closes no ring, and nothing is searched for it. One that does not is searched for its ring
//! among the servers whose numbers lie between its two ends, and these are numbered anew (Pearce and Kelly: "a dynamic
//! topological sort algorithm"). A server that is not waited for gets a number above all others, one that does not wait a
//! number below them. So a chain costs its length, whichever end it is tied from, and what is tied, untied and tied again is
//! searched once.
//!
//! Edges lie in a table, each in the list of its source and in that of its target: to take one away costs nothing that
//! grows, however many wait for one server. A key names one edge for ever, so that it takes away no other.

use crate::frame::Label;
use std::collections::HashMap;

/// The waits that there are. A node is a server's address, or a knot's odd number.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<usize, Node>,
    edges: Vec<Option<Edge>>,
    /// Places without an edge.
    free: Vec<u32>,
    /// How many edges there have ever been.
    made: u64,
    /// The highest number and the lowest that were given.
    top: i64,
    bottom: i64,
}

#[derive(Debug, Default)]
struct Node {
    number: i64,
    /// The first edge of those that leave it, and of those that come to it.
    first: [Option<u32>; 2],
}

#[derive(Debug)]
struct Edge {
    /// The how manieth it is.
    number: u64,
    /// Whence and whither.
    ends: [usize; 2],
    /// Names whither.
    label: Label,
    /// The edges before and after it in the list of each end.
    before: [Option<u32>; 2],
    after: [Option<u32>; 2],
}

/// The memory of a burst is given back once no wait is left, if it held more edges than this.
const KEPT: usize = 64;

/// The end of an edge at which it leaves.
const FROM: usize = 0;
/// The end at which it arrives.
const TO: usize = 1;

/// Names an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    at: u32,
    number: u64,
}

/// A way through the graph: its edges, by their places, in order.
pub(super) type Way = Vec<u32>;

impl Graph {
    /// How many edges there are.
    pub(super) fn len(&self) -> usize {
        self.edges.len() - self.free.len()
    }

    fn edge(&self, at: u32) -> Option<&Edge> {
        self.edges.get(at as usize)?.as_ref()
    }

    fn edge_mut(&mut self, at: u32) -> Option<&mut Edge> {
        self.edges.get_mut(at as usize)?.as_mut()
    }

    /// Where the edge at this place leads, and what names that.
    pub(super) fn target(&self, at: u32) -> Option<(usize, &Label)> {
        self.edge(at).map(|edge| (edge.ends[TO], &edge.label))
    }

    /// The places of the edges at one end of a node.
    fn edges_at(&self, node: usize, end: usize) -> impl Iterator<Item = u32> + '_ {
        let first = self.nodes.get(&node).and_then(|node| node.first[end]);
        std::iter::successors(first, move |at| self.edge(*at)?.after[end])
    }

    /// Where the edges that leave this node lead.
    pub(super) fn targets(&self, node: usize) -> impl Iterator<Item = (usize, &Label)> + '_ {
        self.edges_at(node, FROM).filter_map(|at| self.target(at))
    }

    /// The way from `to` to the first of `goals` that it finds, `to` not being one.
    pub(super) fn way(&self, to: usize, goals: &[usize]) -> Option<Way> {
        // Servers that are not waited for are not found; below the lowest of the others is nothing to be found.
        let number =
            |goal: &usize| self.nodes.get(goal).filter(|node| node.first[TO].is_some()).map(|n| n.number);
        let lowest = goals.iter().filter_map(number).min()?;
        let reached = self.search(to, FROM, |number| number >= lowest);
        let goal = goals.iter().find(|goal| reached.contains_key(goal))?;
        let mut way: Way = std::iter::successors(reached.get(goal).copied().flatten(), |at| {
            reached.get(&self.edge(*at)?.ends[FROM]).copied().flatten()
        })
        .collect();
        way.reverse();
        Some(way)
    }

    /// All from which one of `goals` can be reached, each with the first edge of its way.
    pub(super) fn ways(&self, goals: &[usize]) -> HashMap<usize, u32> {
        let mut ways = HashMap::new();
        let mut open = goals.to_vec();
        while let Some(node) = open.pop() {
            for at in self.edges_at(node, TO) {
                let Some(edge) = self.edge(at) else { continue };
                let from = edge.ends[FROM];
                if !goals.contains(&from) && !ways.contains_key(&from) {
                    ways.insert(from, at);
                    open.push(from);
                }
            }
        }
        ways
    }

    /// What can be reached from `start`, itself included, along edges that have it at this end and over numbers that are
    /// `within`; each with the edge by which it was reached.
    fn search(&self, start: usize, end: usize, within: impl Fn(i64) -> bool) -> HashMap<usize, Option<u32>> {
        let is_within = |node: &usize| self.nodes.get(node).is_some_and(|node| within(node.number));
        let mut reached = HashMap::new();
        if !is_within(&start) {
            return reached;
        }
        reached.insert(start, None);
        let mut open = vec![start];
        while let Some(node) = open.pop() {
            for at in self.edges_at(node, end) {
                let Some(edge) = self.edge(at) else { continue };
                let next = edge.ends[1 - end];
                if is_within(&next) && !reached.contains_key(&next) {
                    reached.insert(next, Some(at));
                    open.push(next);
                }
            }
        }
        reached
    }

    /// Adds an edge that closes no ring: the caller has looked ([`Graph::way`]).
    pub(super) fn add(&mut self, from: usize, to: usize, label: Label) -> Key {
        self.make_room(from, to);
        self.made += 1;
        let number = self.made;
        let mut edge = Edge { number, ends: [from, to], label, before: [None; 2], after: [None; 2] };
        let at = self.free.pop().unwrap_or_else(|| {
            self.edges.push(None);
            u32::try_from(self.edges.len() - 1).expect("there are fewer waits than that")
        });
        for end in [FROM, TO] {
            let first = self.nodes.entry(edge.ends[end]).or_default().first[end].replace(at);
            edge.after[end] = first;
            if let Some(first) = first.and_then(|first| self.edge_mut(first)) {
                first.before[end] = Some(at);
            }
        }
        self.edges[at as usize] = Some(edge);
        Key { at, number }
    }

    /// Numbers both ends so that the edge between them goes downwards.
    fn make_room(&mut self, from: usize, to: usize) {
        if self.edges_at(from, TO).next().is_none() {
            self.top += 1;
            self.nodes.entry(from).or_default().number = self.top;
        }
        if self.edges_at(to, FROM).next().is_none() {
            self.bottom -= 1;
            self.nodes.entry(to).or_default().number = self.bottom;
        }
        let number = |node: &usize| self.nodes.get(node).map_or(0, |node| node.number);
        let (low, high) = (number(&from), number(&to));
        if low > high {
            return;
        }
        // What `to` waits for comes below what waits for `from`; within each, the order stays. Both share their numbers.
        let mut below: Vec<_> = self.search(to, FROM, |number| number >= low).into_keys().collect();
        let mut above: Vec<_> = self.search(from, TO, |number| number <= high).into_keys().collect();
        below.sort_unstable_by_key(number);
        above.sort_unstable_by_key(number);
        below.append(&mut above);
        let mut numbers: Vec<_> = below.iter().map(number).collect();
        numbers.sort_unstable();
        for (node, number) in below.into_iter().zip(numbers) {
            self.nodes.entry(node).or_default().number = number;
        }
    }

    /// Takes an edge away, if it is there still.
    pub(super) fn remove(&mut self, key: Key) {
        if self.edge(key.at).is_some_and(|edge| edge.number == key.number) {
            self.remove_at(key.at);
        }
    }

    fn remove_at(&mut self, at: u32) {
        let Some(edge) = self.edges.get_mut(at as usize).and_then(Option::take) else { return };
        self.free.push(at);
        for end in [FROM, TO] {
            match edge.before[end] {
                Some(before) => {
                    if let Some(before) = self.edge_mut(before) {
                        before.after[end] = edge.after[end];
                    }
                }
                None => {
                    if let Some(node) = self.nodes.get_mut(&edge.ends[end]) {
                        node.first[end] = edge.after[end];
                    }
                }
            }
            if let Some(after) = edge.after[end].and_then(|after| self.edge_mut(after)) {
                after.before[end] = edge.before[end];
            }
            if self.nodes.get(&edge.ends[end]).is_some_and(|node| node.first == [None; 2]) {
                self.nodes.remove(&edge.ends[end]);
            }
        }
        if self.nodes.is_empty() && self.edges.len() > KEPT {
            *self = Self { made: self.made, ..Self::default() };
        }
    }

    /// Takes away all edges that leave this node.
    pub(super) fn remove_from(&mut self, node: usize) {
        loop {
            let first = self.edges_at(node, FROM).next();
            let Some(at) = first else { return };
            self.remove_at(at);
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    fn label() -> Label {
        Label { kind: "server", name: None }
    }

    /// Adds an edge unless it closes a ring.
    fn tie(graph: &mut Graph, from: usize, to: usize) -> Option<Key> {
        (from != to && graph.way(to, &[from]).is_none()).then(|| graph.add(from, to, label()))
    }

    /// Every edge goes downwards, and stands in the lists of both its ends.
    fn check(graph: &Graph) {
        let mut seen = 0;
        for (node, what) in &graph.nodes {
            assert_ne!(what.first, [None; 2], "a node without edges");
            for at in graph.edges_at(*node, FROM) {
                seen += 1;
                let to = graph.target(at).expect("it is there").0;
                assert!(what.number > graph.nodes[&to].number, "{node} → {to}");
                assert!(graph.edges_at(to, TO).any(|other| other == at));
            }
        }
        assert_eq!(seen, graph.len());
    }

    /// Any ties and unties, each beside a search of the whole graph: a tie is refused if, and only if, it closes a ring, and
    /// the way that is named is one.
    #[test]
    fn a_tie_is_refused_if_it_closes_a_ring() {
        let mut seed = 0x9e37_79b9_u64;
        let mut random = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % below).expect("it is small")
        };
        for _ in 0..200 {
            let mut graph = Graph::default();
            let mut edges: Vec<(usize, usize, Key)> = Vec::new();
            for _ in 0..60 {
                if !edges.is_empty() && random(3) == 0 {
                    let (.., key) = edges.swap_remove(random(edges.len() as u64));
                    graph.remove(key);
                    graph.remove(key);
                } else {
                    let (from, to) = (random(12), random(12));
                    let closes = from == to || {
                        let (mut open, mut seen) = (vec![to], vec![to]);
                        while let Some(at) = open.pop() {
                            for (_, next, _) in edges.iter().filter(|(from, ..)| *from == at) {
                                if !seen.contains(next) {
                                    seen.push(*next);
                                    open.push(*next);
                                }
                            }
                        }
                        seen.contains(&from)
                    };
                    if closes && from != to {
                        let way = graph.way(to, &[from]).expect("there is one");
                        let mut at = to;
                        for edge in way {
                            let edge = graph.edge(edge).expect("it is there");
                            assert_eq!(edge.ends[FROM], at);
                            at = edge.ends[TO];
                        }
                        assert_eq!(at, from);
                        assert!(graph.ways(&[from]).contains_key(&to));
                    }
                    let key = tie(&mut graph, from, to);
                    assert_eq!(key.is_none(), closes);
                    edges.extend(key.map(|key| (from, to, key)));
                }
                check(&graph);
                assert_eq!(graph.len(), edges.len());
            }
        }
    }

    /// How many nodes a tie looks at: the sum over a chain of this length, tied in this order.
    fn looked_at(order: impl Iterator<Item = usize>) -> usize {
        let mut graph = Graph::default();
        let mut sum = 0;
        for n in order {
            let (from, to) = (n, n + 1);
            let before: HashMap<_, _> = graph.nodes.iter().map(|(id, node)| (*id, node.number)).collect();
            if let (Some(low), Some(high)) = (before.get(&from), before.get(&to)) {
                sum += graph.search(to, FROM, |number| number >= *low).len();
                sum += graph.search(from, TO, |number| number <= *high).len();
            }
            assert!(tie(&mut graph, from, to).is_some());
        }
        check(&graph);
        sum
    }

    /// Issue 13, S11: a chain of waits costs no walk along it, from whichever end it is tied, nor in the middle.
    #[test]
    fn a_chain_is_tied_without_walking_along_it() {
        const N: usize = 600;
        assert_eq!(looked_at(0..N), 0, "from its beginning");
        assert_eq!(looked_at((0..N).rev()), 0, "from its end");
        let mixed = looked_at((0..N).map(|n| n * 271 % N));
        assert!(mixed < 20 * N, "{mixed} looks in any order");
    }

    /// What is tied again after it was untied is not searched for again.
    #[test]
    fn two_chains_are_joined_again_and_again() {
        let mut graph = Graph::default();
        for n in (0..100).chain(200..300) {
            assert!(tie(&mut graph, n, n + 1).is_some());
        }
        for _ in 0..3 {
            let joint = tie(&mut graph, 100, 200).expect("no ring");
            assert!(graph.nodes[&100].number > graph.nodes[&200].number);
            check(&graph);
            graph.remove(joint);
            assert!(graph.nodes[&100].number > graph.nodes[&200].number, "and they stay so");
        }
    }

    /// Goals that wait for each other are no ways to themselves.
    #[test]
    fn the_ways_to_several_goals_leave_the_goals_out() {
        let mut graph = Graph::default();
        let edges: [_; 4] = [(2, 1), (3, 2), (4, 3), (4, 2)].map(|(from, to)| graph.add(from, to, label()));
        let mut ways: Vec<_> = graph.ways(&[1, 2]).into_iter().collect();
        ways.sort_unstable();
        assert_eq!(ways.iter().map(|(from, _)| *from).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(ways[0].1, edges[1].at);
    }

    /// A search goes no further than the numbers that it is to stay within.
    #[test]
    fn a_search_stays_within_its_numbers() {
        let mut graph = Graph::default();
        for n in 1..5 {
            graph.add(n, n + 1, label());
        }
        let third = graph.nodes[&3].number;
        let mut reached: Vec<_> = graph.search(1, FROM, |number| number >= third).into_keys().collect();
        reached.sort_unstable();
        assert_eq!(reached, [1, 2, 3]);
        assert!(graph.search(5, FROM, |number| number >= third).is_empty());
    }

    /// A key of an edge that has gone takes no other away, though that lies in its place.
    #[test]
    fn an_old_key_takes_nothing_away() {
        let mut graph = Graph::default();
        let old = graph.add(1, 2, label());
        graph.remove(old);
        let new = graph.add(1, 2, label());
        assert_eq!(old.at, new.at);
        graph.remove(old);
        assert_eq!(graph.len(), 1);
        graph.remove_from(1);
        graph.remove(new);
        assert_eq!(graph.len(), 0);
    }

    /// Of a burst of waits nothing is kept when they are over, of a few their place is; a key of the burst's takes away no edge
    /// of those that come later.
    #[test]
    fn a_burst_gives_its_memory_back() {
        for (waits, kept) in [(64, true), (65, false)] {
            let mut graph = Graph::default();
            let keys: Vec<_> = (0..waits).map(|n| graph.add(n, n + 1, label())).collect();
            assert_eq!(graph.len(), waits);
            for key in &keys {
                graph.remove(*key);
            }
            assert_eq!((graph.len(), graph.nodes.len(), graph.edges.len() == waits), (0, 0, kept));
            for n in 0..waits {
                graph.add(n, n + 1, label());
            }
            for key in &keys {
                graph.remove(*key);
            }
            assert_eq!(graph.len(), waits, "they are others");
            check(&graph);
        }
    }

    /// Many waits for one server, and of one server: each can go first, in the middle and last.
    #[test]
    fn edges_go_in_any_order() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut graph = Graph::default();
            let keys: Vec<_> =
                (1..4).flat_map(|n| [graph.add(0, n, label()), graph.add(n + 10, 0, label())]).collect();
            assert_eq!(graph.targets(0).count(), 3);
            for (gone, at) in order.into_iter().enumerate() {
                graph.remove(keys[2 * at]);
                graph.remove(keys[2 * at + 1]);
                assert_eq!((graph.targets(0).count(), graph.len()), (2 - gone, 2 * (2 - gone)));
                assert!(graph.targets(0).all(|(to, _)| order[..=gone].iter().all(|n| n + 1 != to)));
                check(&graph);
            }
        }
        let mut graph = Graph::default();
        for n in 1..4 {
            graph.add(0, n, label());
        }
        let other = graph.add(9, 3, label());
        graph.remove_from(0);
        assert_eq!((graph.len(), graph.way(9, &[3]).map(|way| way.len())), (1, Some(1)));
        graph.remove(other);
        assert_eq!(graph.len(), 0);
    }
}
