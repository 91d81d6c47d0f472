//! A wait for several servers at once: a handler that stops, shuts down or starts part of a tree waits for every server in
//! it.
//!
//! One edge leads from the server whose handler waits to a node of the wait, and from there one to each server that it
//! waits for. All of them are added and checked under one lock, before anything is ordered: either the wait closes no ring
//! and stands, or nothing has happened. A later wait of one of those servers for the handler's server finds the ring
//! through the node.

use super::{Path, Stack, Waiting, edges};
use crate::frame::{self, Label};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server as the graph of waits knows it.
#[derive(Debug, Clone)]
pub struct Member {
    pub(crate) id: usize,
    pub(crate) label: Label,
}

/// A name for a node that is no server: even and no multiple of four, so it is neither a cell's address nor a knot's.
pub(super) fn node() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(2);
    NEXT.fetch_add(4, Ordering::Relaxed)
}

/// The wait of a handler for several servers, for as long as this lives.
#[derive(Debug)]
#[must_use = "the servers are waited for while this lives"]
pub struct Ends {
    /// Gone first: the node is then led to from nowhere.
    edge: Option<Waiting>,
    node: usize,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.edge = None;
        edges().remove_from(self.node);
    }
}

/// Whether the code that runs here is a handler's: then its waits are edges.
pub fn is_in_handler() -> bool {
    frame::current().is_some()
}

/// The server whose handler runs here begins to wait for all of these, which `what` names in a path. `None`: no handler
/// runs here.
///
/// # Errors
/// A ring that this would close. Nothing has been added.
pub fn wait_for_ends(of: Vec<Member>, what: &str) -> Result<Option<Ends>, Path> {
    let Some(from) = frame::current() else { return Ok(None) };
    let label = Label { kind: "supervisor", name: Some(what.into()) };
    let stack = Stack::here();
    let node = node();
    let mut graph = edges();
    for member in of {
        graph.add(node, member.id, member.label);
    }
    if let Some(path) = stack.ring(&graph, node, &label) {
        graph.remove_from(node);
        return Err(path);
    }
    let edge = Waiting(graph.add(from, node, label));
    Ok(Some(Ends { edge: Some(edge), node }))
}
