//! What those who hear of an end find: the table shows it, and the mailboxes of what ended for good are closed.

use crate::support::{
    AGES, Ask, Log, Tell, crash, quiet, relentless, settled, slow_worker, states, until, worker,
};
use restante_core::ExitReason;
use restante_core::monitor::{Event, Watch};
use restante_genserver::{CallError, ServerRef};
use restante_supervisor::{
    AutoShutdown, Backoff, ChildState, DynamicSupervisor, Restart, Started, Strategy, Supervisor,
    SupervisorRef,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

type At = ServerRef<crate::support::Worker>;

/// What is to be seen in the moment in which the monitors of this incarnation are told of its end.
fn at_its_end<T: Send + 'static>(at: &At, look: impl Fn() -> T + Send + 'static) -> Arc<Mutex<Option<T>>> {
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    at.monitor(Watch::Incarnation, move |_| *note.lock().unwrap() = Some(look()));
    seen
}

/// Clause 12.7: whatever becomes of a child, its supervisor shows it by the time that any caller is told of the end.
#[tokio::test(start_paused = true)]
async fn who_hears_of_an_end_finds_it_in_the_table() {
    quiet();
    let log = Log::new();
    let pause = Backoff::new(AGES, AGES);
    for (restart, reason, then) in [
        (Restart::Temporary, ExitReason::Normal, None),
        (Restart::Temporary, ExitReason::Killed, None),
        (Restart::Transient, ExitReason::Normal, Some(ChildState::Stopped)),
        (Restart::Permanent, ExitReason::Normal, Some(ChildState::Restarting)),
        (Restart::Transient, ExitReason::Killed, Some(ChildState::Restarting)),
    ] {
        for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
            let (a, spec) = worker("a", &log);
            let tree = relentless(Supervisor::new(strategy)).backoff(pause).child(spec.restart(restart));
            let tree = tree.start().await.unwrap();
            if restart == Restart::Permanent || then == Some(ChildState::Restarting) {
                // The first restart has no pause: the end after it is looked at.
                crash(&a).await;
                until(|| a.incarnation() == 2 && a.is_alive()).await;
            }
            let asked = tree.clone();
            let seen = at_its_end(&a, move || states(&asked));
            match reason {
                ExitReason::Killed => drop(a.kill()),
                _ => a.cast(Tell::Stop(ExitReason::Normal)).unwrap(),
            }
            until(|| seen.lock().unwrap().is_some()).await;
            let expected: Vec<_> = then.into_iter().map(|state| ("a".to_owned(), state)).collect();
            assert_eq!(seen.lock().unwrap().take(), Some(expected), "{restart:?} {reason:?} {strategy:?}");
            let _ = tree.shutdown(AGES).await;
        }
    }
}

/// Clause 12.7: so another can have its place, and what rests can be started or deleted.
#[tokio::test(start_paused = true)]
async fn who_hears_of_an_end_can_go_on_from_there() {
    let log = Log::new();
    let nodes = DynamicSupervisor::new().max_children(1).start().await.unwrap();
    for _ in 0..3 {
        let (a, spec) = worker("a", &log);
        nodes.start_child(spec.restart(Restart::Temporary)).await.unwrap();
        let asked = nodes.clone();
        let seen = at_its_end(&a, move || asked.capacity().available);
        a.stop(ExitReason::Normal, AGES).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), Some(1));
    }
    let (a, spec) = worker("a", &log);
    let tree = Supervisor::one_for_one().child(spec.restart(Restart::Transient)).start().await.unwrap();
    a.stop(ExitReason::Normal, AGES).await.unwrap();
    assert_eq!(tree.restart_child("a").await, Ok(Started::Running));
    let asked = tree.clone();
    let seen = at_its_end(&a, move || asked.delete_child("a"));
    a.stop(ExitReason::Normal, AGES).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), Some(Ok(())));
    until(|| a.is_closed()).await;
    assert!(tree.shutdown(AGES).await.is_clean() && nodes.as_supervisor().shutdown(AGES).await.is_clean());
}

/// Clause 12.7: on threads of their own too, in whichever way the end is heard of; and a worker that the table shows no
/// more is not alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn who_asks_just_when_a_child_ends_hears_the_same_everywhere() {
    let log = Log::new();
    let tree = Supervisor::one_for_one().start().await.unwrap();
    for _ in 0..500 {
        let (a, spec) = worker("a", &log);
        let started = tree.start_child(spec.restart(Restart::Temporary)).await;
        assert_eq!(started, Ok(Started::Running), "the place is free");
        let watchers = ["join", "is_alive", "table"].map(|way| {
            let (a, tree) = (a.clone(), tree.clone());
            tokio::spawn(async move {
                match way {
                    "join" => drop(a.join().await),
                    "is_alive" => {
                        while a.is_alive() {
                            tokio::task::yield_now().await;
                        }
                    }
                    _ => {
                        while !states(&tree).is_empty() {
                            tokio::task::yield_now().await;
                        }
                    }
                }
                (way, states(&tree).len(), a.is_alive())
            })
        });
        a.cast(Tell::Stop(ExitReason::Normal)).unwrap();
        for watcher in watchers {
            let (way, listed, alive) = watcher.await.unwrap();
            assert_eq!((listed, alive), (0, false), "heard by {way}");
        }
    }
    assert!(tree.shutdown(AGES).await.is_clean());
}

/// Clause 12.7: the same of a supervisor below: who joins it finds it in the table of the one above.
#[tokio::test(start_paused = true)]
async fn who_joins_a_supervisor_finds_its_end_in_the_table_above() {
    let log = Log::new();
    let (_a, spec) = worker("a", &log);
    let inner = Supervisor::one_for_one().child(spec).build().unwrap();
    let tree = Supervisor::one_for_one().child(inner.child("inner").restart(Restart::Transient));
    let tree = tree.start().await.unwrap();
    let ended = tokio::spawn({
        let (inner, tree) = (inner.clone(), tree.clone());
        async move {
            let exit = inner.join().await;
            (exit.reason, states(&tree))
        }
    });
    settled().await;
    assert!(inner.shutdown(AGES).await.is_clean());
    let (reason, states) = ended.await.unwrap();
    assert_eq!(reason, ExitReason::Shutdown);
    assert_eq!(states, [("inner".to_owned(), ChildState::Stopped)]);
    let _ = tree.shutdown(AGES).await;
}

/// Whether this supervisor was alive, each time that one of these mailboxes closed.
fn alive_at_each_closing(tree: &SupervisorRef, all: &[At]) -> Arc<Mutex<Vec<bool>>> {
    let seen: Arc<Mutex<Vec<bool>>> = Arc::default();
    for at in all {
        let (note, tree) = (Arc::clone(&seen), tree.clone());
        at.monitor(Watch::Mailbox, move |event| {
            if let Event::Closed(_) = event {
                note.lock().unwrap().push(tree.is_alive());
            }
        });
    }
    seen
}

/// Clause 21.10: a supervisor without one above it is not down, and the callers that join it are not told, before all
/// mailboxes are closed: however it ends, nested supervisors included.
#[tokio::test(start_paused = true)]
async fn all_mailboxes_are_closed_before_a_supervisor_is_down() {
    quiet();
    let log = Log::new();
    for how in 0..3 {
        let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
        let inner = Supervisor::one_for_one().child(sb).into_child("inner").unwrap();
        let (nodes, dynamic) = DynamicSupervisor::new().into_child("nodes");
        let tree = Supervisor::one_for_one().intensity(0, AGES).child(sa).child(inner).child(dynamic);
        let tree = tree.start().await.unwrap();
        nodes.start_child(sc).await.unwrap();
        let all = [a, b, c];
        let seen = alive_at_each_closing(&tree, &all);
        match how {
            0 => assert!(tree.shutdown(AGES).await.is_clean()),
            1 => tree.kill(),
            _ => all[0].cast(Tell::Panic).unwrap(),
        }
        tree.join().await;
        assert!(all.iter().all(ServerRef::is_closed));
        assert_eq!(*seen.lock().unwrap(), [true; 3], "{how}");
    }
}

/// Clause 21.30: in an end for good a mailbox closes when its child has ended, before the next is stopped, whatever the
/// strategy: a handler, or `terminate`, that asks the one that has gone hears so at once.
#[tokio::test(start_paused = true)]
async fn in_an_end_for_good_nobody_waits_for_a_sibling_that_has_gone() {
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        let log = Log::new();
        let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
        // What was stopped by hand before closes when the end begins.
        let inner = Supervisor::one_for_one().child(sb).into_child("inner").unwrap();
        let tree = Supervisor::new(strategy).child(sa).child(inner).child(sc).start().await.unwrap();
        tree.terminate_child("c").await.unwrap();
        assert!(!c.is_closed());
        log.take();
        let begun = Instant::now();
        a.cast(Tell::Sleep(Duration::from_secs(1))).unwrap();
        settled().await;
        // Before the order to stop, in its lane.
        a.cast_with(Tell::Ask(b.clone()), control()).unwrap();
        a.cast_with(Tell::Ask(c.clone()), control()).unwrap();
        let report = tree.shutdown(AGES).await;
        assert!(report.is_clean(), "{report}");
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
        assert_eq!(log.take(), ["-b", "a was not answered", "a was not answered", "-a"]);
        assert!(b.is_closed() && c.is_closed());
    }
}

fn control() -> restante_core::SendOptions {
    restante_core::SendOptions::new().lane(restante_core::Lane::Control)
}

/// Clause 21.30: who waits for an answer already, and whose server is queued behind its own end, hears it as well.
#[tokio::test(start_paused = true)]
async fn a_call_to_a_sibling_ends_when_that_one_has_gone() {
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), slow_worker("b", &log, Duration::from_secs(1)));
    let tree = Supervisor::one_for_one().child(sa).child(sb).start().await.unwrap();
    // `b` is in a handler; what `a` asks it lies behind the order to stop.
    let begun = Instant::now();
    b.cast(Tell::Sleep(Duration::from_secs(1))).unwrap();
    settled().await;
    a.cast(Tell::Ask(b.clone())).unwrap();
    let caller = tokio::spawn({
        let b = b.clone();
        async move { b.call(Ask::Get).timeout(Duration::MAX).await }
    });
    settled().await;
    let report = tree.shutdown(AGES).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    assert_eq!(caller.await.unwrap(), Err(CallError::Exited(ExitReason::Shutdown)));
    assert_eq!(log.take(), ["+a", "+b", "-b", "a was not answered", "-a"]);
}

/// Clause 21.10: a supervisor that is restarted, or may be started again, closes nothing when it ends.
#[tokio::test(start_paused = true)]
async fn an_end_that_is_not_for_good_leaves_the_mailboxes_open() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let inner = Supervisor::one_for_one().intensity(0, AGES).child(sb).child(sc).into_child("inner").unwrap();
    let tree = relentless(Supervisor::one_for_all()).child(sa).child(inner).start().await.unwrap();
    // It gives up and is restarted; it falls with its group; it is stopped by hand.
    crash(&b).await;
    crash(&a).await;
    until(|| tree.which_children().iter().all(|child| child.state == ChildState::Running)).await;
    tree.terminate_child("inner").await.unwrap();
    b.cast(Tell::Note(1)).unwrap();
    c.cast(Tell::Note(2)).unwrap();
    assert_eq!(tree.restart_child("inner").await, Ok(Started::Running));
    assert_eq!((crate::support::noted(&b).await, crate::support::noted(&c).await), (vec![1], vec![2]));
    // One that is temporary goes for good.
    let (d, sd) = worker("d", &log);
    let gone = Supervisor::one_for_one().child(sd).build().unwrap();
    let spec = gone.child("gone").restart(Restart::Temporary);
    tree.start_child(spec).await.unwrap();
    let seen = alive_at_each_closing(&gone, std::slice::from_ref(&d));
    tree.terminate_child("gone").await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [true]);
    assert!(tree.shutdown(AGES).await.is_clean());
}

/// Clause 21.30: one that waits out the pause before its restart is down as well: its mailbox closes when the end begins,
/// and its restart is taken back, however soon it was due.
#[tokio::test(start_paused = true)]
async fn in_an_end_for_good_nobody_waits_for_a_sibling_that_waits_for_its_restart() {
    quiet();
    let sec = Duration::from_secs(1);
    for nested in [false, true] {
        for pause in [AGES, sec] {
            let log = Log::new();
            let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
            let (_c, sc) = slow_worker("c", &log, 2 * sec);
            let pauses = relentless(Supervisor::one_for_one()).backoff(Backoff::new(pause, pause));
            let inner = pauses.child(sa).child(sb).child(sc).build().unwrap();
            let tree = if nested {
                Supervisor::one_for_one().child(inner.child("inner")).start().await.unwrap()
            } else {
                inner.start().await.unwrap();
                inner.clone()
            };
            for incarnation in 1..=2 {
                // The first restart has no pause.
                until(|| b.incarnation() == incarnation && b.is_alive()).await;
                crash(&b).await;
            }
            assert!(states(&inner).contains(&("b".to_owned(), ChildState::Restarting)));
            log.take();
            a.cast(Tell::Ask(b.clone())).unwrap();
            settled().await;
            let begun = Instant::now();
            let seen = at_its_closing(&b, move || begun.elapsed());
            let report = tree.shutdown(AGES).await;
            assert!(report.is_clean(), "{report}");
            assert_eq!(*seen.lock().unwrap(), Some(Duration::ZERO), "{pause:?}");
            assert_eq!(begun.elapsed(), 2 * sec, "{pause:?}");
            assert_eq!(log.take(), ["a was not answered", "-c", "-a"], "{pause:?}");
            assert_eq!(b.incarnation(), 2, "{pause:?}");
        }
    }
}

/// What is to be seen in the moment in which this mailbox closes.
fn at_its_closing<T: Send + 'static>(
    at: &At,
    look: impl Fn() -> T + Send + 'static,
) -> Arc<Mutex<Option<T>>> {
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    at.monitor(Watch::Mailbox, move |event| {
        if let Event::Closed(_) = event {
            *note.lock().unwrap() = Some(look());
        }
    });
    seen
}

/// Clause 21.30: a transient supervisor that ends in order under a dynamic one leaves its table by that: its children's
/// mailboxes close one by one as they end, and all before it is down.
#[tokio::test(start_paused = true)]
async fn a_transient_supervisor_under_a_dynamic_one_ends_for_good() {
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let inner = Supervisor::one_for_one().auto_shutdown(AutoShutdown::AnySignificant);
    let significant = sc.restart(Restart::Transient).significant(true);
    let inner = inner.child(sa).child(sb).child(significant).build().unwrap();
    let nodes = DynamicSupervisor::new().start().await.unwrap();
    nodes.start_child(inner.child("inner").restart(Restart::Transient)).await.unwrap();
    log.take();
    let seen = alive_at_each_closing(&inner, &[a.clone(), b.clone(), c.clone()]);
    let begun = Instant::now();
    a.cast(Tell::Sleep(Duration::from_secs(1))).unwrap();
    settled().await;
    a.cast_with(Tell::Ask(b.clone()), control()).unwrap();
    c.cast(Tell::Stop(ExitReason::Normal)).unwrap();
    assert_eq!(inner.join().await.reason, ExitReason::Shutdown);
    assert!([&a, &b, &c].iter().all(|at| at.is_closed()));
    assert_eq!(*seen.lock().unwrap(), [true; 3]);
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
    assert_eq!(log.take(), ["-c", "-b", "a was not answered", "-a"]);
    assert_eq!(nodes.count_children().specs, 0);
    assert!(nodes.as_supervisor().shutdown(AGES).await.is_clean());
}

/// Clause 21.10: a supervisor by whose end the one above gives up, or ends with it, has ended for good: all mailboxes are
/// closed by the time that a listener is told.
#[tokio::test(start_paused = true)]
async fn a_supervisor_whose_end_is_that_of_the_one_above_closes_first() {
    quiet();
    for how in 0..3 {
        let log = Log::new();
        let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
        let inner = Supervisor::one_for_one().intensity(0, AGES);
        let inner = inner.auto_shutdown(AutoShutdown::AnySignificant).child(sa);
        let inner = inner.child(sb.restart(Restart::Transient).significant(true)).build().unwrap();
        let spec = inner.child("inner");
        let above = match how {
            0 => Supervisor::one_for_one().intensity(0, AGES).child(spec),
            1 => Supervisor::one_for_one().child(spec.escalate(true)),
            _ => {
                let significant = spec.restart(Restart::Transient).significant(true);
                Supervisor::one_for_one().auto_shutdown(AutoShutdown::AnySignificant).child(significant)
            }
        };
        let tree = above.start().await.unwrap();
        let all = [a, b];
        let seen = alive_at_each_closing(&inner, &all);
        let closed = at_its_end_of(&inner, &all);
        if how == 2 {
            all[1].cast(Tell::Stop(ExitReason::Normal)).unwrap();
        } else {
            all[0].cast(Tell::Panic).unwrap();
        }
        assert!(closed.await.unwrap(), "{how}");
        assert_eq!(*seen.lock().unwrap(), [true; 2], "{how}");
        tree.join().await;
    }
}

/// Whether all of these were closed when those who join this supervisor were told.
fn at_its_end_of(tree: &SupervisorRef, all: &[At]) -> tokio::task::JoinHandle<bool> {
    let (tree, all) = (tree.clone(), all.to_vec());
    tokio::spawn(async move {
        tree.join().await;
        all.iter().all(ServerRef::is_closed)
    })
}
