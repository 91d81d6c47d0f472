//! Rings over waits, stacks, knots, ends and falls. A server is an address here, and its handler a frame on this stack.

use super::*;

/// A server: an address that no other has.
fn server() -> usize {
    std::ptr::from_mut(Box::leak(Box::new(0_u64))).addr()
}

fn label(name: &str) -> Label {
    Label { kind: "server", name: Some(name.into()) }
}

fn member(id: usize, name: &str) -> Member {
    Member { id, label: label(name) }
}

/// Runs as the handler of this server, on the stack of the one that runs here, if one does.
fn inside<R>(server: usize, kind: &'static str, handler: impl FnOnce() -> R) -> R {
    frame::enter(std::ptr::without_provenance(server), kind, None, handler)
}

/// The handler of one server begins to wait for another.
fn waits_for(from: usize, to: usize, name: &str) -> Result<Option<Waiting>, Path> {
    inside(from, "from", || wait_for(to, || label(name)))
}

/// The wait that closes no ring.
fn waiting(from: usize, to: usize, name: &str) -> Waiting {
    waits_for(from, to, name).expect("no ring").expect("a handler waits")
}

/// The names of the ring; none where there is none.
fn ring<T>(waits: Result<T, Path>) -> Vec<String> {
    waits.err().map_or_else(Vec::new, |path| path.servers().to_vec())
}

/// Whether no server waits for this one, directly or not.
fn is_waited_for_by_none(server: usize) -> bool {
    edges().ways(&[server]).is_empty()
}

/// Held by tests with falls: whether there are any concerns all.
pub(super) static FALLING: Mutex<()> = Mutex::new(());

/// Clause 8.4: code outside of a handler waits for no server's sake.
#[test]
fn outside_of_handlers_nothing_is_an_edge() {
    let [a, b] = [(); 2].map(|()| server());
    assert!(!is_in_handler() && inside(a, "A", is_in_handler));
    assert!(wait_for(b, || label("b")).expect("no ring").is_none());
    assert!(wait_for_ends(vec![member(b, "b")], "tree").expect("no ring").is_none());
    let mut knot = Knot::new();
    knot.tie(b, || label("b"));
    let begun = knot.wait();
    assert!(begun.waiting.is_none() && begun.refused.is_empty());
    assert!(waits_for(b, a, "a").is_ok());
}

/// Clause 8.2: the wait that would close a ring is refused, and names it from the one that is called.
#[test]
fn the_last_wait_of_a_ring_is_refused_and_names_it() {
    let [a, b, c] = [(); 3].map(|()| server());
    assert_eq!(ring(waits_for(a, a, "a")), ["a"]);
    let _first = waiting(a, b, "b");
    let _second = waiting(b, c, "c");
    let path = waits_for(c, a, "a").expect_err("it closes the ring");
    assert_eq!(path.servers(), ["a", "b", "c"]);
    assert_eq!(path.to_string(), "a → b → c → a");
    assert!(waits_for(a, c, "c").is_ok(), "two ways to one server are no ring");
}

/// A wait that is over takes its own edge away, and no other between the same two.
#[test]
fn each_wait_is_an_edge_of_its_own() {
    let [a, b] = [(); 2].map(|()| server());
    let (one, other) = (waiting(a, b, "b"), waiting(a, b, "b"));
    drop(one);
    assert_eq!(ring(waits_for(b, a, "a")), ["a", "b"]);
    drop(other);
    assert!(waits_for(b, a, "a").is_ok());
}

/// An edge ends with the incarnation that waits, though its future was forgotten; the future's own end then takes away none of a
/// later incarnation.
#[test]
fn the_waits_of_an_incarnation_end_with_it() {
    let [a, b, c] = [(); 3].map(|()| server());
    let (old, _beside) = (waiting(a, b, "b"), waiting(c, b, "b"));
    let before = waits();
    assert!(before >= 2);
    ended(a);
    assert!(waits_for(b, a, "a").is_ok());
    assert_eq!(ring(waits_for(b, c, "c")), ["c", "b"], "another one's wait goes on");
    let _new = waiting(a, b, "b");
    drop(old);
    assert_eq!(ring(waits_for(b, a, "a")), ["a", "b"]);
}

/// A caller that runs another's handler on its own stack waits for it, all the way down.
#[test]
fn the_servers_on_the_stack_wait_for_each_other() {
    let [a, b, c, d] = [(); 4].map(|()| server());
    let on_stack = |to: usize, name: &str| {
        inside(a, "A", || inside(b, "B", || inside(c, "C", || ring(wait_for(to, || label(name))))))
    };
    assert_eq!(on_stack(a, "a"), ["a", "B", "C"]);
    assert_eq!(on_stack(b, "b"), ["b", "C"]);
    assert_eq!(on_stack(c, "c"), ["c"]);
    assert!(on_stack(d, "d").is_empty());
    for (last, name, path) in
        [(a, "a", vec!["d", "a", "B", "C"]), (b, "b", vec!["d", "b", "C"]), (c, "c", vec!["d", "c"])]
    {
        let _there = waiting(d, last, name);
        assert_eq!(on_stack(d, "d"), path);
    }
}

/// One wait for the answers of several servers is refused for those that (through others) wait for the handler, and stands for
/// the rest.
#[test]
fn a_collection_waits_for_those_that_close_no_ring() {
    let [a, b, c, d] = [(); 4].map(|()| server());
    let (_b, _d) = (waiting(b, d, "d"), waiting(d, a, "a"));
    let mut knot = Knot::new();
    for (to, name) in [(a, "a"), (b, "b"), (c, "c")] {
        knot.tie(to, || label(name));
    }
    let begun = inside(a, "A", || knot.wait());
    let refused = |to| begun.refused.get(&to).map(|path| path.servers().to_vec());
    assert_eq!(refused(a), Some(vec!["a".to_owned()]));
    assert_eq!(refused(b), Some(["b", "d", "a"].map(str::to_owned).to_vec()));
    assert_eq!(begun.refused.len(), 2);
    assert_eq!(ring(waits_for(c, a, "a")), ["a", "requests", "c"]);
    drop(begun);
    assert!(waits_for(c, a, "a").is_ok(), "nobody waits for the knot any more");
    // What was refused is tied no more.
    let again = inside(a, "A", || knot.wait());
    assert!(again.refused.is_empty() && again.waiting.is_some());
}

/// On the stack of a caller, too.
#[test]
fn a_collection_of_one_that_waits_on_this_stack_is_refused() {
    let [a, b] = [(); 2].map(|()| server());
    let mut knot = Knot::new();
    knot.tie(a, || label("a"));
    let begun = inside(a, "A", || inside(b, "B", || knot.wait()));
    assert_eq!(begun.refused[&a].servers(), ["a", "B"]);
}

/// Of two requests at one server the first answer unties nothing, and the last does. What is left goes with the collection.
#[test]
fn a_server_is_waited_for_until_its_last_answer() {
    let [a, b] = [(); 2].map(|()| server());
    let mut knot = Knot::new();
    (0..2).for_each(|_| knot.tie(b, || label("b")));
    let _waits = inside(a, "A", || knot.wait());
    knot.untie(b);
    assert_eq!(ring(waits_for(b, a, "a")), ["a", "requests", "b"]);
    knot.untie(b);
    assert!(waits_for(b, a, "a").is_ok());
    knot.untie(b);
    knot.tie(b, || label("b"));
    assert_eq!(ring(waits_for(b, a, "a")), ["a", "requests", "b"]);
    drop(knot);
    assert!(waits_for(b, a, "a").is_ok() && is_waited_for_by_none(b));
}

/// Two collections are two: the end of one is not that of the other.
#[test]
fn collections_are_told_apart() {
    let [a, b, c] = [(); 3].map(|()| server());
    let (mut one, mut other) = (Knot::new(), Knot::new());
    one.tie(b, || label("b"));
    other.tie(c, || label("c"));
    let _waits = inside(a, "A", || (one.wait(), other.wait()));
    drop(one);
    assert!(waits_for(b, a, "a").is_ok());
    assert_eq!(ring(waits_for(c, a, "a")), ["a", "requests", "c"]);
}

/// Clause 8.1: a handler that stops several servers waits for each of them.
#[test]
fn a_wait_for_several_ends_is_a_wait_for_each() {
    let [a, b, c] = [(); 3].map(|()| server());
    let of = || vec![member(b, "b"), member(c, "c")];
    let ends = inside(a, "A", || wait_for_ends(of(), "tree")).expect("no ring").expect("a handler waits");
    let other = inside(a, "A", || wait_for_ends(vec![member(c, "c")], "other")).expect("no ring");
    assert_eq!(ring(waits_for(b, a, "a")), ["a", "tree", "b"]);
    assert!(!ring(waits_for(c, a, "a")).is_empty());
    drop(ends);
    assert!(waits_for(b, a, "a").is_ok());
    assert_eq!(ring(waits_for(c, a, "a")), ["a", "other", "c"], "each wait has a node of its own");
    drop(other);
    assert!(waits_for(c, a, "a").is_ok());
    assert!([b, c].iter().all(|server| is_waited_for_by_none(*server)), "nothing is left of the waits");
}

/// The names that are given to waits for several servers are no server's and no collection's.
#[test]
fn nodes_have_names_of_their_own() {
    let names: std::collections::HashSet<_> = (0..100).map(|_| ends::node()).collect();
    assert_eq!(names.len(), 100);
    assert!(names.iter().all(|name| name % 4 == 2), "neither aligned as a cell nor odd as a knot");
}

/// Of several servers on the stack each may be the one that the ring goes through, whichever server waits for the others.
#[test]
fn a_ring_is_found_through_any_server_of_the_stack() {
    for turned in [false, true] {
        let [a, b, c, other] = [(); 4].map(|()| server());
        let mut waits = vec![(other, b, "b"), (c, a, "a")];
        if turned {
            waits.reverse();
        }
        let _waits: Vec<_> = waits.into_iter().map(|(from, to, name)| waiting(from, to, name)).collect();
        let found = inside(a, "A", || inside(b, "B", || ring(wait_for(c, || label("c")))));
        assert_eq!(found, ["c", "a", "B"]);
        let found = inside(a, "A", || inside(b, "B", || ring(wait_for(other, || label("other")))));
        assert_eq!(found, ["other", "b"]);
    }
}

/// Clause 8.2: where one of them waits for the handler, directly or not, nothing is waited for.
#[test]
fn a_wait_for_several_ends_that_closes_a_ring_leaves_nothing() {
    let [a, b, c] = [(); 3].map(|()| server());
    let waits = waiting(b, a, "a");
    let of = || vec![member(c, "c"), member(b, "b")];
    let path = inside(a, "A", || wait_for_ends(of(), "tree")).expect_err("b waits for a");
    assert_eq!(path.servers(), ["tree", "b", "a"]);
    let itself = inside(a, "A", || wait_for_ends(vec![member(a, "a")], "tree"));
    assert_eq!(ring(itself), ["tree", "a"]);
    drop(waits);
    assert!(waits_for(b, a, "a").is_ok() && waits_for(c, a, "a").is_ok());
    assert!([b, c].iter().all(|server| is_waited_for_by_none(*server)), "nothing was added");
}

/// A server that is being stopped may not wait for one that is down until it has ended; others may.
#[test]
fn one_that_is_stopped_may_not_wait_for_one_that_comes_back() {
    let _alone = FALLING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    assert!(!fall::are_any());
    let [down, also, stopping, other] = [(); 4].map(|()| server());
    let mut fall = Fall::new("tree");
    fall.down(vec![member(down, "down")]);
    assert!(waits_for(stopping, down, "down").is_ok(), "it is not told to stop yet");
    fall.stops(vec![member(stopping, "stopping")]);
    assert_eq!(ring(waits_for(stopping, down, "down")), ["down", "tree", "stopping"]);
    assert!(waits_for(other, down, "down").is_ok() && waits_for(stopping, also, "also").is_ok());
    let ring_now = |from: usize, to: usize, name: &str| {
        inside(from, "from", || has_closed(to, || label(name))).map(|path| path.servers().to_vec())
    };
    assert_eq!(
        ring_now(stopping, down, "down"),
        Some(["down", "tree", "stopping"].map(str::to_owned).to_vec())
    );
    assert_eq!(ring_now(other, down, "down"), None);
    assert_eq!(has_closed(down, || label("down")), None, "no handler waits");
    // It has ended, and the next one is stopped: each is down from then on.
    fall.down(vec![member(also, "also")]);
    fall.stops(vec![member(other, "other")]);
    assert!(waits_for(stopping, down, "down").is_ok());
    for (to, name) in [(down, "down"), (also, "also")] {
        assert_eq!(ring(waits_for(other, to, name)), [name, "tree", "other"]);
    }
    assert!(fall::are_any());
    drop(fall);
    assert!(!fall::are_any());
    assert!(waits_for(other, down, "down").is_ok());
    assert_eq!(ring_now(other, down, "down"), None);
}

/// A ring may go over waits and over several falls.
#[test]
fn a_ring_goes_over_waits_and_falls() {
    let _alone = FALLING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let [a, b, c, d, beside] = [(); 5].map(|()| server());
    let (mut one, mut other, unrelated) = (Fall::new("one"), Fall::new("other"), Fall::new("unrelated"));
    one.down(vec![member(b, "b")]);
    one.stops(vec![member(c, "c")]);
    let _c = waiting(c, d, "d");
    other.down(vec![member(d, "d")]);
    other.stops(vec![member(a, "a")]);
    assert_eq!(ring(waits_for(a, b, "b")), ["b", "one", "c", "d", "other", "a"]);
    drop(unrelated);
    let mut knot = Knot::new();
    for (to, name) in [(b, "b"), (beside, "beside")] {
        knot.tie(to, || label(name));
    }
    let begun = inside(a, "A", || knot.wait());
    assert_eq!(begun.refused.len(), 1);
    assert_eq!(begun.refused[&b].servers(), ["b", "one", "c", "d", "other", "a"]);
    assert_eq!(ring(waits_for(beside, a, "a")), ["a", "requests", "beside"]);
    drop(other);
    assert!(waits_for(a, b, "b").is_ok() && fall::are_any());
    drop(one);
    assert!(!fall::are_any());
}

/// An edge is taken away with its incarnation, also where it is the only one.
#[test]
fn the_only_wait_ends_with_its_incarnation() {
    let [a, b] = [(); 2].map(|()| server());
    let _wait = waiting(a, b, "b");
    ended(a);
    assert!(waits_for(b, a, "a").is_ok());
}

/// Only while something falls can a wait that began in order have come to be part of a ring.
#[test]
fn a_wait_is_looked_at_again_while_something_falls() {
    let _alone = FALLING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    assert!(!may_have_closed());
    let fall = Fall::new("tree");
    assert!(may_have_closed());
    drop(fall);
    assert!(!may_have_closed());
}

/// Polls a wait once, as the handler of this server.
fn poll_in<T>(
    server: usize,
    wait: &mut std::pin::Pin<Box<impl Future<Output = Result<T, Path>>>>,
) -> std::task::Poll<Result<T, Path>> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    inside(server, "waits", || wait.as_mut().poll(&mut cx))
}

/// Clause 21.30: a handler of a server that is waited for during a turn does not wait for that turn, whether it comes before the
/// server is waited for or after. Others wait, and their wait is an edge as long as it lasts.
#[test]
fn a_turn_leads_to_all_that_are_waited_for_during_it() {
    let _alone = FALLING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let [a, b, c, d] = [(); 4].map(|()| server());
    let turn = Turn::new("resize");
    let mut taken = turn.taken("pool");
    let never = std::future::pending::<()>;
    let (mut early, mut other) = (Box::pin(turn.wait(never())), Box::pin(turn.wait(never())));
    assert!(poll_in(a, &mut early).is_pending() && poll_in(c, &mut other).is_pending());
    let waits_for_c = waits_for(d, c, "c").expect("no ring");
    taken.waits_for([member(d, "d")]);
    let std::task::Poll::Ready(refused) = poll_in(c, &mut other) else { panic!("it waits in a ring") };
    assert_eq!(ring(refused), ["resize", "pool", "d", "c"]);
    drop(waits_for_c);
    assert!(poll_in(a, &mut early).is_pending());
    taken.waits_for([member(a, "a")]);
    taken.waits_for([member(b, "b")]);
    for (server, name) in [(a, "a"), (b, "b"), (d, "d")] {
        let mut late = Box::pin(turn.wait(never()));
        let std::task::Poll::Ready(refused) = poll_in(server, &mut late) else { panic!("{name} waits") };
        assert_eq!(ring(refused), ["resize", "pool", name]);
    }
    let std::task::Poll::Ready(refused) = poll_in(a, &mut early) else { panic!("it waits in a ring") };
    assert_eq!(ring(refused), ["resize", "pool", "a"]);
    // What is given is given.
    let mut given = Box::pin(turn.wait(std::future::ready(7)));
    assert!(matches!(poll_in(a, &mut given), std::task::Poll::Ready(Ok(7))));
    // The wait is an edge, for as long as it lasts.
    let mut wait = Box::pin(turn.wait(never()));
    assert!(poll_in(c, &mut wait).is_pending());
    assert_eq!(ring(waits_for(a, c, "c")), ["c", "resize", "pool", "a"]);
    drop(wait);
    assert!(waits_for(a, c, "c").is_ok());
    drop(taken);
    assert!(poll_in(a, &mut Box::pin(turn.wait(never()))).is_pending(), "the turn is free");
}
