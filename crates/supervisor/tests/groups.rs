//! Restarts of several together: who is stopped, in what order, who comes back, and what happens when that fails half-way.

use crate::support::{
    AGES, Log, OnInit, Tell, counts, crash, noted, quiet, relentless, settled, slow_worker,
};
use crate::support::{states, worker};
use restante_core::ExitReason;
use restante_supervisor::{
    Backoff, ChildError, ChildState, Intensity, Restart, Shutdown, StartChildError, Started, Strategy,
    Supervisor,
};
use std::time::Duration;

const GROUPS: [Strategy; 2] = [Strategy::OneForAll, Strategy::RestForOne];

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Peer bug 1 and 24. No `init` of a new incarnation begins before the last `terminate` of the old ones has returned, and
/// the order is that of the table, however long each takes.
#[tokio::test(start_paused = true)]
async fn every_old_one_is_down_before_the_first_new_one_begins() {
    quiet();
    let log = Log::new();
    let ids = ["z", "m", "a", "q"];
    let workers = ids.map(|id| slow_worker(id, &log, secs(1)));
    let mut supervisor = relentless(Supervisor::one_for_all());
    let mut servers = Vec::new();
    for (server, spec) in workers {
        supervisor = supervisor.child(spec);
        servers.push(server);
    }
    let _tree = supervisor.start().await.unwrap();
    log.take();
    servers[1].cast(Tell::Panic).unwrap();
    tokio::time::sleep(secs(10)).await;
    assert_eq!(log.take(), ["-m", "-q", "-a", "-z", "+z", "+m", "+a", "+q"]);
}

/// OTP `supervisor_SUITE`: `order_of_children`, its second half: a member in the middle falls.
#[tokio::test(start_paused = true)]
async fn the_rest_is_stopped_in_reverse_and_started_in_order() {
    quiet();
    let log = Log::new();
    let workers = ["ch7", "ch3", "ch10", "ch2", "ch5"].map(|id| worker(id, &log));
    let mut supervisor = relentless(Supervisor::rest_for_one());
    let mut servers = Vec::new();
    for (server, spec) in workers {
        supervisor = supervisor.child(spec);
        servers.push(server);
    }
    let _tree = supervisor.start().await.unwrap();
    log.take();
    servers[2].kill();
    settled().await;
    assert_eq!(log.take(), ["-ch5", "-ch2", "+ch10", "+ch2", "+ch5"]);
}

/// Clause 21.5: OTP `supervisor_SUITE`: `one_for_all_other_child_fails_restart`. When a later one does not start, those
/// that were restarted already are stopped again, and all are tried again.
#[tokio::test(start_paused = true)]
async fn one_for_all_begins_anew_when_a_later_child_does_not_start() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let supervisor = Supervisor::one_for_all().intensity(3, AGES).backoff(Backoff::NONE);
    let tree = supervisor.child(sa).child(sb).child(sc).start().await.unwrap();
    log.take();
    log.on_init("b", [OnInit::Fail]);
    a.cast(Tell::Panic).unwrap();
    c.cast(Tell::Note(1)).unwrap();
    settled().await;
    assert_eq!(log.take(), ["-a", "-c", "-b", "+a", "b fails", "-a", "+a", "+b", "+c"]);
    assert_eq!(tree.restarts(), 2, "the failed attempt counts");
    assert_eq!((a.incarnation(), b.incarnation(), c.incarnation()), (3, 3, 2));
    assert!(noted(&c).await.len() <= 1);
}

/// OTP `supervisor_SUITE`: `rest_for_one_other_child_fails_restart`. When a later one does not start, those before it stay up.
#[tokio::test(start_paused = true)]
async fn rest_for_one_goes_on_from_the_child_that_did_not_start() {
    quiet();
    let log = Log::new();
    let ((a, sa), (_b, sb), (_c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let supervisor = Supervisor::rest_for_one().intensity(3, AGES).backoff(Backoff::NONE);
    let tree = supervisor.child(sa).child(sb).child(sc).start().await.unwrap();
    log.take();
    log.on_init("b", [OnInit::Fail]);
    crash(&a).await;
    assert_eq!(log.take(), ["-a", "-c", "-b", "+a", "b fails", "+b", "+c"]);
    assert_eq!((a.incarnation(), tree.restarts()), (2, 2));
}

/// OTP `supervisor_SUITE`: `temporary_bystander`. Peer bug 26. A temporary sibling is stopped with the group and does not come
/// back; its mailbox closes.
#[tokio::test(start_paused = true)]
async fn a_temporary_bystander_is_stopped_and_dropped() {
    quiet();
    for strategy in GROUPS {
        let log = Log::new();
        let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
        let supervisor = Supervisor::new(strategy).intensity(2, secs(300)).child(sa);
        let tree = supervisor.child(sb.restart(Restart::Temporary)).child(sc).start().await.unwrap();
        crash(&a).await;
        assert_eq!(log.take(), ["+a", "+b", "+c", "-a", "-c", "-b", "+a", "+c"], "{strategy:?}");
        assert!(b.is_closed());
        assert_eq!(b.last_exit().unwrap().reason, ExitReason::Shutdown);
        assert_eq!((c.incarnation(), tree.restarts(), counts(&tree)), (2, 1, [2, 2, 0, 2]));
    }
}

/// OTP `supervisor`, `one_for_all`: a child that was stopped by hand is started again with the group; under `rest_for_one`
/// only where it comes after the one that fell.
#[tokio::test(start_paused = true)]
async fn stopped_members_are_started_again_with_the_group() {
    quiet();
    for strategy in GROUPS {
        let log = Log::new();
        let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
        let supervisor = relentless(Supervisor::new(strategy)).child(sa).child(sb).child(sc);
        let tree = supervisor.start().await.unwrap();
        tree.terminate_child("a").await.unwrap();
        tree.terminate_child("c").await.unwrap();
        crash(&b).await;
        let before = u32::from(strategy == Strategy::OneForAll);
        assert_eq!((a.incarnation(), c.incarnation()), (1 + before, 2), "{strategy:?}");
    }
}

/// Peer bug 25. A member that has no process is nothing to wait for.
#[tokio::test(start_paused = true)]
async fn a_group_does_not_wait_for_members_that_are_down() {
    quiet();
    let log = Log::new();
    let ((a, sa), (_b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    log.on_init("b", [OnInit::Ignore, OnInit::Ignore]);
    let supervisor = relentless(Supervisor::one_for_all()).child(sa).child(sb);
    let tree = supervisor.child(sc).start().await.unwrap();
    c.kill();
    a.kill();
    settled().await;
    assert!(noted(&a).await.is_empty() && noted(&c).await.is_empty());
    assert_eq!(tree.which_children()[1].state, ChildState::Stopped, "it has nothing to serve again");
}

/// Clause 21.13: A group restart ends the `init` of a member that is slow, whichever caller waits for that, and does not
/// wait for it.
#[tokio::test(start_paused = true)]
async fn a_group_does_not_wait_for_a_member_in_a_slow_init() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let tree = relentless(Supervisor::one_for_all()).child(sa).child(sb).start().await.unwrap();
    tree.terminate_child("b").await.unwrap();
    log.on_init("b", [OnInit::Sleep(AGES)]);
    let restart = tokio::spawn({
        let tree = tree.clone();
        async move { tree.restart_child("b").await }
    });
    settled().await;
    let begun = tokio::time::Instant::now();
    crash(&a).await;
    assert!(begun.elapsed() < secs(1));
    assert!(matches!(restart.await.unwrap(), Err(ChildError::Start(_))));
    assert_eq!(b.incarnation(), 3);
    assert!(noted(&b).await.is_empty());
    assert_eq!(tree.which_children()[0].state, ChildState::Running);
    assert_eq!(tree.restarts(), 1);
}

/// A child whose first start by hand is under way when a group falls fails to start, and its specification goes: it is not
/// resurrected by the group, and nothing of the attempt is left.
#[tokio::test(start_paused = true)]
async fn a_start_by_hand_that_a_group_restart_ends_leaves_nothing() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let tree = relentless(Supervisor::one_for_all()).child(sa).start().await.unwrap();
    log.on_init("b", [OnInit::Sleep(AGES)]);
    let start = tokio::spawn({
        let tree = tree.clone();
        async move { tree.start_child(sb).await }
    });
    settled().await;
    crash(&a).await;
    assert!(matches!(start.await.unwrap(), Err(StartChildError::Start(_))));
    settled().await;
    assert_eq!(states(&tree), [("a".into(), ChildState::Running)]);
    assert!(b.is_closed());
    let (b, sb) = worker("b", &log);
    tree.start_child(sb).await.unwrap();
    crash(&b).await;
    assert_eq!((b.incarnation(), counts(&tree)), (2, [2, 2, 0, 2]));
}

/// A group restart that is due takes in those that were there when the group fell: who is added while it is being stopped is
/// neither stopped nor forgotten.
#[tokio::test(start_paused = true)]
async fn a_child_that_is_added_during_a_group_restart_lives() {
    quiet();
    let log = Log::new();
    let ((a, sa), (_b, sb), (c, sc)) =
        (worker("a", &log), slow_worker("b", &log, secs(2)), worker("c", &log));
    let tree = relentless(Supervisor::one_for_all()).child(sa).child(sb).start().await.unwrap();
    crash(&a).await;
    assert_eq!(tree.start_child(sc).await, Ok(Started::Running));
    crash(&c).await;
    tokio::time::sleep(secs(10)).await;
    assert!(noted(&a).await.is_empty() && noted(&c).await.is_empty());
    assert_eq!(counts(&tree), [3, 3, 0, 3]);
}

/// A child that is added at the very moment at which the group falls is neither stopped nor forgotten.
#[tokio::test(start_paused = true)]
async fn a_child_that_is_added_when_a_group_has_just_fallen_lives() {
    quiet();
    let log = Log::new();
    let ((a, sa), (c, sc)) = (worker("a", &log), worker("c", &log));
    let tree = relentless(Supervisor::one_for_all()).child(sa).start().await.unwrap();
    a.cast(Tell::Panic).unwrap();
    a.join().await;
    // The supervisor has noted the group restart; its task has not begun.
    tree.start_child(sc).await.unwrap();
    settled().await;
    assert!(noted(&c).await.is_empty());
    assert_eq!(counts(&tree), [2, 2, 0, 2]);
}

/// `terminate_child` during a group restart: a member that waits for its turn stays stopped; and one that is in `init` too,
/// which is no failed attempt.
#[tokio::test(start_paused = true)]
async fn members_can_be_stopped_by_hand_during_a_group_restart() {
    use ChildState::{Restarting, Running, Stopped};
    quiet();
    let log = Log::new();
    let workers = ["a", "b", "c", "d"].map(|id| worker(id, &log));
    let a = workers[0].0.clone();
    let mut supervisor = relentless(Supervisor::one_for_all());
    for (_, spec) in workers {
        supervisor = supervisor.child(spec);
    }
    let tree = supervisor.start().await.unwrap();
    log.on_init("b", [OnInit::Sleep(AGES)]);
    crash(&a).await;
    let shown: Vec<_> = states(&tree).into_iter().map(|(_, state)| state).collect();
    assert_eq!(shown, [Restarting, Restarting, Restarting, Running]);
    assert_eq!(tree.delete_child("c"), Err(ChildError::Restarting));
    assert_eq!(tree.restart_child("c").await, Err(ChildError::Restarting));
    tree.terminate_child("c").await.unwrap();
    tree.delete_child("c").unwrap();
    tree.terminate_child("b").await.unwrap();
    settled().await;
    let (running, stopped) = (Running, Stopped);
    assert_eq!(states(&tree), [("d".into(), running), ("b".into(), stopped), ("a".into(), running)]);
    assert_eq!(tree.restarts(), 1);
    log.take();
    tree.restart_child("b").await.unwrap();
    assert_eq!(log.take(), ["+b"]);
}

/// Clause 21.27: under rest for one a member that is stopped by hand while it is in the `init` of its restart takes the others'
/// restart back: those after it stay stopped, as under OTP. Those before it run.
#[tokio::test(start_paused = true)]
async fn rest_for_one_starts_nobody_after_a_member_that_was_taken_back() {
    use ChildState::{Running, Stopped};
    quiet();
    let log = Log::new();
    let workers = ["a", "b", "c", "d"].map(|id| worker(id, &log));
    let [(_a, sa), (b, sb), (c, sc), (_d, sd)] = workers;
    let supervisor = relentless(Supervisor::rest_for_one());
    let tree = supervisor.child(sa).child(sb).child(sc).child(sd).start().await.unwrap();
    log.on_init("b", [OnInit::Hang]);
    crash(&b).await;
    c.cast(Tell::Note(1)).unwrap();
    tree.terminate_child("b").await.unwrap();
    tokio::time::sleep(AGES).await;
    let shown: Vec<_> = states(&tree).into_iter().map(|(_, state)| state).collect();
    assert_eq!(shown, [Stopped, Stopped, Stopped, Running]);
    for id in ["b", "c", "d"] {
        assert_eq!(tree.restart_child(id).await, Ok(Started::Running));
    }
    assert_eq!(noted(&c).await, [1]);
    crash(&b).await;
    tokio::time::sleep(AGES).await;
    assert_eq!(counts(&tree), [4, 4, 0, 4], "it falls and comes back as ever");
}

/// Clause 21.27: a member that waits behind the one at which the restart stands is left out, and those after it are started:
/// the same as if it had been stopped once it was up.
#[tokio::test(start_paused = true)]
async fn a_member_that_waits_for_its_turn_takes_nobody_with_it() {
    use ChildState::{Running, Stopped};
    quiet();
    for strategy in GROUPS {
        let log = Log::new();
        let workers = ["a", "b", "c"].map(|id| worker(id, &log));
        let [(a, sa), (_b, sb), (_c, sc)] = workers;
        let tree = relentless(Supervisor::new(strategy)).child(sa).child(sb).child(sc).start().await.unwrap();
        log.on_init("a", [OnInit::Sleep(secs(1))]);
        crash(&a).await;
        tree.terminate_child("b").await.unwrap();
        tokio::time::sleep(AGES).await;
        let shown: Vec<_> = states(&tree).into_iter().map(|(_, state)| state).collect();
        assert_eq!(shown, [Running, Stopped, Running], "{strategy:?}");
    }
}

/// Clause 21.27: under one for all the others come back without a member that was taken back.
#[tokio::test(start_paused = true)]
async fn one_for_all_does_without_a_member_that_was_taken_back() {
    use ChildState::{Running, Stopped};
    quiet();
    for hangs in [true, false] {
        let log = Log::new();
        let [(a, sa), (_b, sb)] = ["a", "b"].map(|id| worker(id, &log));
        let supervisor = Supervisor::one_for_all().with_intensity(Intensity::UNLIMITED);
        let supervisor = supervisor.backoff(Backoff::new(secs(10), secs(10)));
        let tree = supervisor.child(sa).child(sb).start().await.unwrap();
        if hangs {
            log.on_init("a", [OnInit::Hang]);
        } else {
            crash(&a).await;
        }
        crash(&a).await;
        tree.terminate_child("a").await.unwrap();
        tokio::time::sleep(AGES).await;
        let shown: Vec<_> = states(&tree).into_iter().map(|(_, state)| state).collect();
        assert_eq!(shown, [Running, Stopped], "{hangs}");
    }
}

/// A second crash before a group is back makes one group restart of the two, with all children that either takes in.
#[tokio::test(start_paused = true)]
async fn a_crash_further_up_widens_a_group_restart_that_is_under_way() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (_c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let tree = relentless(Supervisor::rest_for_one()).child(sa).child(sb).child(sc).start().await.unwrap();
    log.take();
    log.on_init("c", [OnInit::Sleep(AGES)]);
    crash(&b).await;
    crash(&a).await;
    assert_eq!(log.take(), ["-b", "-c", "+b", "c inits", "-a", "-b", "+a", "+b", "+c"]);
    assert_eq!(tree.restarts(), 2);
}

/// A member that crashes while it is about to be stopped by its group falls with it: one restart, one attempt.
#[tokio::test(start_paused = true)]
async fn a_member_that_crashes_while_its_group_is_stopped_counts_no_more() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (_c, sc)) =
        (worker("a", &log), worker("b", &log), slow_worker("c", &log, secs(2)));
    let tree =
        Supervisor::one_for_all().intensity(1, AGES).child(sa).child(sb).child(sc).start().await.unwrap();
    log.take();
    crash(&a).await;
    crash(&b).await;
    tokio::time::sleep(secs(10)).await;
    assert_eq!(log.take(), ["-a", "-b", "-c", "+a", "+b", "+c"]);
    assert_eq!(tree.restarts(), 1);
}

/// Peer bug 4 and failure mode 8: what is queued at all members of a group survives, and the callers in line are answered
/// by the next incarnation.
#[tokio::test(start_paused = true)]
async fn queues_and_waiting_callers_survive_a_group_restart() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), slow_worker("b", &log, secs(2)));
    let tree = Supervisor::one_for_all().child(sa).child(sb).start().await.unwrap();
    b.cast(Tell::Sleep(secs(1))).unwrap();
    settled().await;
    for n in 0..3 {
        b.cast(Tell::Note(n)).unwrap();
    }
    let asked = tokio::spawn({
        let b = b.clone();
        async move { noted(&b).await }
    });
    settled().await;
    crash(&a).await;
    assert_eq!(asked.await.unwrap(), [0, 1, 2]);
    assert_eq!(b.incarnation(), 2);
    assert_eq!(tree.restarts(), 1);
}

/// Failure mode 13: the time that members take to stop does not count against the window, which goes by attempts.
#[tokio::test(start_paused = true)]
async fn slow_stops_within_a_group_are_one_attempt_each() {
    quiet();
    let log = Log::new();
    let ((a, sa), (_b, sb)) = (worker("a", &log), slow_worker("b", &log, secs(6)));
    let supervisor = Supervisor::one_for_all().intensity(1, secs(5)).backoff(Backoff::NONE);
    let tree = supervisor.child(sa).child(sb.shutdown(Shutdown::Infinity)).start().await.unwrap();
    for n in 1..=5 {
        crash(&a).await;
        assert!(noted(&a).await.is_empty());
        assert_eq!(tree.restarts(), n);
    }
    assert!(tree.is_alive());
}

/// A mailbox that was closed while its child was stopped is no reason for the others not to come back.
#[tokio::test(start_paused = true)]
async fn a_group_comes_back_without_a_member_whose_mailbox_was_closed() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let tree = Supervisor::one_for_all().child(sa).child(sb).child(sc).start().await.unwrap();
    tree.terminate_child("b").await.unwrap();
    b.close(ExitReason::Shutdown);
    crash(&a).await;
    assert!(noted(&c).await.is_empty());
    let running = ChildState::Running;
    assert_eq!(states(&tree), [("c".into(), running), ("a".into(), running)]);
    assert_eq!(tree.restarts(), 1);
}

/// The pause of a group is the back-off of the child that fell; no member of the group is up meanwhile, and those before it
/// are.
#[tokio::test(start_paused = true)]
async fn a_group_waits_out_the_back_off_of_the_one_that_fell() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let supervisor = Supervisor::rest_for_one().with_intensity(Intensity::UNLIMITED);
    let supervisor = supervisor.backoff(Backoff::new(secs(10), secs(10)).jitter_percent(0));
    let tree = supervisor.child(sa).child(sb).child(sc).start().await.unwrap();
    crash(&b).await;
    crash(&b).await;
    assert!(a.is_alive() && !b.is_alive() && !c.is_alive());
    assert_eq!(counts(&tree), [3, 1, 0, 3]);
    let begun = tokio::time::Instant::now();
    noted(&c).await;
    let waited = begun.elapsed();
    assert!(waited > secs(9) && waited <= secs(10), "{waited:?}");
}

/// Clause 21.27: what a member takes back is the restart that it was part of. Where its group has fallen anew meanwhile,
/// that goes its way, and takes the member along (21.4).
#[tokio::test(start_paused = true)]
async fn a_member_that_is_taken_back_does_not_take_a_later_fall_with_it() {
    quiet();
    for strategy in GROUPS {
        let log = Log::new();
        let workers = ["a", "b", "c"].map(|id| worker(id, &log));
        let [(a, sa), (b, sb), (c, sc)] = workers;
        let tree = relentless(Supervisor::new(strategy)).child(sa).child(sb).child(sc).start().await.unwrap();
        log.on_init("b", [OnInit::Hang]);
        crash(&b).await;
        c.cast(Tell::Note(1)).unwrap();
        // Both are heard of by the time that the restart goes on.
        tree.request_stop_child("b").unwrap();
        a.kill();
        settled().await;
        assert_eq!(counts(&tree), [3, 3, 0, 3], "{strategy:?}");
        assert_eq!((noted(&c).await, a.incarnation()), (vec![1], if strategy == GROUPS[0] { 3 } else { 2 }));
        assert!(tree.shutdown(AGES).await.is_clean());
    }
}
