//! Who waits for whom: the edges that close no ring, and the ring that the next one would close.
//!
//! A server waits for another when its handler's call (or its wait for room) goes pending; a caller that runs the other's
//! handler on its own stack does not wait yet, but is found on the stack. Edges are added and checked under one lock, so
//! of a ring's edges exactly the last one to come is refused: at once, in debug and release alike. Calls that are
//! answered on the caller's stack add no edge and cost nothing here.
//!
//! A false alarm is possible where a handler does not depend on what it waits for: a call in a `select!` with a timer, or
//! a call whose deferred reply is answered by a spawned task. A spawned task is not its server: calls made from it wait
//! for nobody's sake here.

mod ends;
mod knot;

pub use ends::{Ends, Member, is_in_handler, wait_for_ends};
pub(crate) use knot::Knot;

use crate::frame::{self, Label};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard};

#[derive(Debug)]
struct Edge {
    to: usize,
    label: Label,
}

impl Edge {
    fn new(to: usize, label: Label) -> Self {
        Self { to, label }
    }
}

/// Who waits, and for whom.
type Graph = HashMap<usize, Vec<Edge>>;

static EDGES: Mutex<Option<Graph>> = Mutex::new(None);

fn edges() -> MutexGuard<'static, Option<Graph>> {
    EDGES.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The ring that a call would have closed: each server waits for the next, the last for the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<String>);

impl Path {
    /// The servers, by mailbox name or else by type, beginning with the one that was called.
    pub fn servers(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for server in &self.0 {
            write!(f, "{server} → ")?;
        }
        f.write_str(self.0.first().map_or("", |s| s))
    }
}

/// A wait that is known to the graph, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Waiting {
    from: usize,
    to: usize,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(all) = edges().as_mut() {
            remove(all, self.from, self.to);
        }
    }
}

fn remove(all: &mut Graph, from: usize, to: usize) {
    if let Some(list) = all.get_mut(&from) {
        if let Some(at) = list.iter().position(|e| e.to == to) {
            list.swap_remove(at);
        }
        if list.is_empty() {
            all.remove(&from);
        }
    }
}

/// The server whose handler runs here begins to wait for `to`. `None`: no handler runs here.
///
/// # Errors
/// The ring that this would close.
pub(crate) fn wait_for(to: usize, label: impl FnOnce() -> Label) -> Result<Option<Waiting>, Path> {
    let Some(from) = frame::current() else { return Ok(None) };
    let label = label();
    let mut graph = edges();
    let all = graph.get_or_insert_default();
    if let Some(path) = ring(all, from, to, &label) {
        return Err(path);
    }
    all.entry(from).or_default().push(Edge::new(to, label));
    Ok(Some(Waiting { from, to }))
}

/// The way from `to` back to `from`, over waits and over the callers on this stack.
fn ring(all: &Graph, from: usize, to: usize, label: &Label) -> Option<Path> {
    if from == to {
        return Some(Path(vec![label.to_string()]));
    }
    // On this stack, each server below waits for the one above it; the innermost is `from`.
    let stack = frame::stack();
    if stack.iter().any(|(id, _)| *id == to) {
        let mut ring: Vec<String> =
            stack.iter().take_while(|(id, _)| *id != to).map(|(_, kind)| (*kind).to_owned()).collect();
        ring.push(label.to_string());
        ring.reverse();
        return Some(Path(ring));
    }
    if all.is_empty() {
        return None;
    }
    // Depth first, each server once.
    let mut seen = HashSet::from([to]);
    let mut trail: Vec<(usize, String, usize)> = vec![(to, label.to_string(), 0)];
    while let Some((at, _, next)) = trail.last_mut() {
        let Some(edge) = all.get(at).and_then(|list| list.get(*next)) else {
            trail.pop();
            continue;
        };
        *next += 1;
        if let Some(at) = stack.iter().position(|(id, _)| *id == edge.to) {
            let mut ring: Vec<String> = trail.iter().map(|(_, name, _)| name.clone()).collect();
            ring.push(edge.label.to_string());
            // From there on the ring goes up this stack, to `from`.
            ring.extend(stack[..at].iter().rev().map(|(_, kind)| (*kind).to_owned()));
            return Some(Path(ring));
        }
        if seen.insert(edge.to) {
            trail.push((edge.to, edge.label.to_string(), 0));
        }
    }
    None
}

/// How many waits of servers for servers there are now. The graph itself is shown by later tools.
pub fn waits() -> usize {
    edges().as_ref().map_or(0, |all| all.values().map(Vec::len).sum())
}
