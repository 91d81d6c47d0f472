//! Servers that come back only when others have ended: a group, or all of a supervisor, that is being stopped in order to be
//! started again.
//!
//! A server that is down waits for those that are being stopped, as it cannot serve before they have ended. So while a
//! supervisor falls, each server that is down leads to each server that is being stopped now: a call of one of these to one
//! that is down closes a ring, and is refused. A server that is not part of the fall may wait for the one that comes back.
//!
//! These ways are no edges of `graph`, which has no rings: a wait that was there before closes a ring when the ways come. They
//! lie beside it, under a lock of their own that is taken after that of the graph, and are looked at only while a
//! supervisor falls.
//!
//! A wait that was there before is told by being polled again: its server is woken, and a call, or a wait for room, that
//! goes on waiting while anything falls looks whether it is part of a ring by now.

use super::graph::Graph;
use super::{Member, Path, Stack, edges};
use crate::frame::{self, Label};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many falls there are. Relaxed: a server that is to look is woken after the ways of a fall have come, and that orders
/// the two.
static FALLS: AtomicUsize = AtomicUsize::new(0);

/// What the falls add to the graph.
static WAYS: Mutex<Vec<Ways>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Ways {
    /// Names the fall.
    number: u64,
    /// Names the supervisor in a path.
    label: Label,
    down: Vec<usize>,
    stopping: Vec<Member>,
}

fn ways() -> MutexGuard<'static, Vec<Ways>> {
    WAYS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Those that are down and those that are being stopped. Its ways are there as long as it lives.
#[derive(Debug)]
pub struct Fall(u64);

impl Fall {
    /// Nothing has been stopped yet; `what` names the fall in a path.
    pub fn new(what: &str) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let label = Label { kind: "supervisor", name: Some(what.into()) };
        FALLS.fetch_add(1, Ordering::Relaxed);
        ways().push(Ways { number, label, down: Vec::new(), stopping: Vec::new() });
        Self(number)
    }

    /// These are down, and come back when it is over.
    pub fn down(&mut self, members: Vec<Member>) {
        // A wait that is being tied sees all of this, or none.
        let _graph = edges();
        if let Some(fall) = ways().iter_mut().find(|fall| fall.number == self.0) {
            fall.down.extend(members.into_iter().map(|member| member.id));
        }
    }

    /// These, and no others any more, are being stopped.
    pub fn stops(&mut self, members: Vec<Member>) {
        let _graph = edges();
        if let Some(fall) = ways().iter_mut().find(|fall| fall.number == self.0) {
            fall.stopping = members;
        }
    }
}

impl Drop for Fall {
    fn drop(&mut self) {
        let _graph = edges();
        ways().retain(|fall| fall.number != self.0);
        FALLS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a supervisor falls.
#[inline]
pub(super) fn are_any() -> bool {
    FALLS.load(Ordering::Relaxed) != 0
}

/// The ring that a wait of this stack's innermost server for `to` closes by way of a fall.
#[inline]
pub(super) fn ring(stack: &Stack, graph: &Graph, to: usize, label: &Label) -> Option<Path> {
    if are_any() { search(stack, graph, to, label) } else { None }
}

/// Goes from `to` over waits and falls, each server once, until it is on this stack.
#[cold]
fn search(stack: &Stack, graph: &Graph, to: usize, label: &Label) -> Option<Path> {
    let falls = ways();
    // Each server that was reached: the one before it, and the names on the way from there.
    let mut reached: HashMap<usize, Option<(usize, Vec<String>)>> = HashMap::from([(to, None)]);
    let mut open = vec![to];
    while let Some(at) = open.pop() {
        if stack.ids.contains(&at) {
            let mut names = Vec::new();
            let mut back = reached.remove(&at).flatten();
            while let Some((before, mut way)) = back {
                way.append(&mut names);
                names = way;
                back = reached.remove(&before).flatten();
            }
            names.insert(0, label.to_string());
            return stack.path(at, names);
        }
        let waits = graph.targets(at).map(|(next, label)| (next, vec![label.to_string()]));
        let falling = falls.iter().filter(|fall| fall.down.contains(&at)).flat_map(|fall| {
            let name = |member: &Member| vec![fall.label.to_string(), member.label.to_string()];
            fall.stopping.iter().map(move |member| (member.id, name(member)))
        });
        for (next, names) in waits.chain(falling) {
            reached.entry(next).or_insert_with(|| {
                open.push(next);
                Some((at, names))
            });
        }
    }
    None
}

/// The ring that the wait of the handler that runs here for `to` is part of by now, though it was not when it began.
#[inline]
pub(crate) fn has_closed(to: usize, label: impl FnOnce() -> Label) -> Option<Path> {
    if are_any() { look(to, &label()) } else { None }
}

#[cold]
fn look(to: usize, label: &Label) -> Option<Path> {
    frame::current()?;
    search(&Stack::here(), &edges(), to, label)
}
