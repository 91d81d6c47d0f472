//! Who waits for whom: the edges that close no ring, and the ring that the next one would close.
//!
//! A server waits for another when its handler's call (or its wait for room) goes pending; a caller that runs the other's
//! handler on its own stack does not wait yet, but is found on the stack. Edges are added and checked under one lock, so
//! of a ring's edges exactly the last one to come is refused: at once, in debug and release alike. Calls that are
//! answered on the caller's stack add no edge and cost nothing here. How the check is kept cheap: `graph`.
//!
//! An edge ends with its wait, and with the incarnation that waits, whichever comes first (`ended`): a future that was
//! forgotten, or has gone to another task, holds up no later incarnation.
//!
//! A false alarm is possible where a handler does not depend on what it waits for: a call in a `select!` with a timer, or a
//! call whose deferred reply is answered by a spawned task. A spawned task is not its server: calls made from it are no
//! server's waits here.

mod ends;
mod fall;
mod graph;
mod knot;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
mod turn;

pub use ends::{Ends, Member, is_in_handler, wait_for_ends};
pub use fall::Fall;
pub(crate) use fall::{has_closed, may_have_closed};
pub(crate) use knot::Knot;
pub use turn::{Taken, Turn};

use crate::frame::{self, Label};
use graph::{Graph, Key, Way};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

static EDGES: Mutex<Option<Graph>> = Mutex::new(None);
/// How many edges there are, for [`ended`]. Relaxed will do, because the thread that looks has made those that matter to it.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The graph, under its lock.
struct Edges(MutexGuard<'static, Option<Graph>>);

fn edges() -> Edges {
    Edges(EDGES.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

impl std::ops::Deref for Edges {
    type Target = Graph;
    fn deref(&self) -> &Graph {
        // Empty, because the graph is made where it is first changed.
        static NONE: std::sync::LazyLock<Graph> = std::sync::LazyLock::new(Graph::default);
        self.0.as_ref().unwrap_or(&NONE)
    }
}

impl std::ops::DerefMut for Edges {
    fn deref_mut(&mut self) -> &mut Graph {
        self.0.get_or_insert_default()
    }
}

impl Drop for Edges {
    fn drop(&mut self) {
        COUNT.store(self.len(), Ordering::Relaxed);
    }
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
pub(crate) struct Waiting(Key);

impl Drop for Waiting {
    fn drop(&mut self) {
        edges().remove(self.0);
    }
}

/// The server whose handler runs here begins to wait for `to`. `None`: no handler runs here.
///
/// # Errors
/// The ring that this would close.
pub(crate) fn wait_for(to: usize, label: impl FnOnce() -> Label) -> Result<Option<Waiting>, Path> {
    let Some(from) = frame::current() else { return Ok(None) };
    let (stack, label) = (Stack::here(), label());
    let mut graph = edges();
    if let Some(path) = stack.ring(&graph, to, &label) {
        return Err(path);
    }
    Ok(Some(Waiting(graph.add(from, to, label))))
}

/// The incarnation whose mailbox has this id has ended: it waits for nothing any more.
pub(crate) fn ended(id: usize) {
    if COUNT.load(Ordering::Relaxed) != 0 {
        edges().remove_from(id);
    }
}

/// The servers on this stack, innermost first: each waits for the one before it. The innermost is to wait.
struct Stack {
    ids: Vec<usize>,
    kinds: Vec<&'static str>,
}

impl Stack {
    fn here() -> Self {
        let (ids, kinds) = frame::stack().into_iter().unzip();
        Self { ids, kinds }
    }

    /// The ring that a wait for `to` would close, over waits and over the callers on this stack.
    fn ring(&self, graph: &Graph, to: usize, label: &Label) -> Option<Path> {
        if self.ids.contains(&to) {
            return self.path(to, vec![label.to_string()]);
        }
        match graph.way(to, &self.ids) {
            Some(way) => self.path_along(graph, &way, label),
            None => fall::ring(self, graph, to, label),
        }
    }

    /// The ring that goes along this way, whose beginning has this name, and then up the stack.
    fn path_along(&self, graph: &Graph, way: &Way, label: &Label) -> Option<Path> {
        let mut names = vec![label.to_string()];
        names.extend(way.iter().filter_map(|at| graph.target(*at)).map(|(_, label)| label.to_string()));
        let (last, _) = graph.target(*way.last()?)?;
        self.path(last, names)
    }

    /// The ring of these names, the last of which is on this stack, and of those above it there.
    fn path(&self, last: usize, mut names: Vec<String>) -> Option<Path> {
        let at = self.ids.iter().position(|id| *id == last)?;
        names.extend(self.kinds[..at].iter().rev().map(|kind| (*kind).to_owned()));
        Some(Path(names))
    }
}

/// How many waits of servers for servers there are now. The graph itself is shown by later tools.
pub fn waits() -> usize {
    edges().len()
}
