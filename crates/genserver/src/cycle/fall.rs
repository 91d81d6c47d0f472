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
use std::collections::{HashMap, HashSet};
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
    down: HashSet<usize>,
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
        ways().push(Ways { number, label, down: HashSet::new(), stopping: Vec::new() });
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
    // From one that is down a fall leads to all that it stops: once it has, it leads nowhere else.
    let mut fell = HashSet::new();
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
        for (next, label) in graph.targets(at) {
            reach(&mut reached, &mut open, next, || (at, vec![label.to_string()]));
        }
        for fall in falls.iter().filter(|fall| fall.down.contains(&at)) {
            if !fell.insert(fall.number) {
                continue;
            }
            for member in &fall.stopping {
                let names = || vec![fall.label.to_string(), member.label.to_string()];
                reach(&mut reached, &mut open, member.id, || (at, names()));
            }
        }
    }
    None
}

/// Notes how a server was reached, the first time, to go on from there.
fn reach(
    reached: &mut HashMap<usize, Option<(usize, Vec<String>)>>,
    open: &mut Vec<usize>,
    next: usize,
    from: impl FnOnce() -> (usize, Vec<String>),
) {
    #[cfg(all(test, not(any(loom, shuttle))))]
    tests::LOOKED_AT.set(tests::LOOKED_AT.get() + 1);
    reached.entry(next).or_insert_with(|| {
        open.push(next);
        Some(from())
    });
}

/// Whether a wait may be part of a ring by now, though it was not when it began.
#[inline]
pub(crate) fn may_have_closed() -> bool {
    are_any()
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

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        /// How often a search has come to a server.
        pub(super) static LOOKED_AT: Cell<usize> = const { Cell::new(0) };
    }

    fn named(name: &str) -> Label {
        Label { kind: "server", name: Some(name.into()) }
    }

    /// Clause 21.24: what a search costs is in proportion to those that are down and those that are being stopped, though each
    /// of the first leads to each of the others.
    #[test]
    fn a_search_through_a_large_fall_comes_to_each_member_once() {
        const MEMBERS: usize = 1000;
        let _alone = super::super::tests::FALLING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut graph = Graph::default();
        // Each that is down waits for the next one; those being stopped come after them, the last one's name being that of the
        // server whose handler runs here.
        for id in 1..MEMBERS {
            graph.add(id, id + 1, named("down"));
        }
        let member = |id| Member { id, label: named("stopping") };
        let mut fall = Fall::new("the supervisor");
        fall.down((1..=MEMBERS).map(member).collect());
        fall.stops((MEMBERS + 1..=2 * MEMBERS).map(member).collect());
        let nowhere = Stack { ids: Vec::new(), kinds: Vec::new() };
        LOOKED_AT.set(0);
        assert!(search(&nowhere, &graph, 1, &named("first")).is_none());
        let looked_at = LOOKED_AT.get();
        assert!((2 * MEMBERS - 1..3 * MEMBERS).contains(&looked_at), "{looked_at}");
        let here = Stack { ids: vec![2 * MEMBERS], kinds: vec!["here"] };
        let ring = search(&here, &graph, 1, &named("first")).expect("the fall leads here");
        assert_eq!(ring.servers().last().map(String::as_str), Some("stopping"));
    }
}
