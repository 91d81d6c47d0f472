//! What can be done by hand while a child is being restarted, or waits for that.

use crate::support::worker;
use crate::support::{
    AGES, Log, OnInit, Tell, again, counts, crash, noted, quiet, relentless, settled, states,
};
use restante_core::ExitReason;
use restante_supervisor::{
    Backoff, ChildError, ChildState, Intensity, Restart, Shutdown, StartChildError, Strategy, Supervisor,
};
use std::time::Duration;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Never gives up, and waits 10 s before each restart but the first.
fn patient(supervisor: Supervisor) -> Supervisor {
    let backoff = Backoff::new(secs(10), secs(10)).jitter_percent(0).reset_after(AGES);
    supervisor.with_intensity(Intensity::UNLIMITED).backoff(backoff)
}

/// OTP `supervisor_SUITE`: `hanging_restart_loop`. While a child cannot come back, all that can be asked is answered, and both
/// the child and the supervisor can be stopped.
#[tokio::test(start_paused = true)]
async fn a_child_in_a_restart_loop_can_be_stopped() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("child1", &log);
    let tree =
        patient(Supervisor::one_for_one()).child(sa.shutdown(Shutdown::BrutalKill)).start().await.unwrap();
    log.on_init("child1", vec![OnInit::Fail; 100]);
    crash(&a).await;
    let started = tree.start_child(again("child1", &log)).await;
    assert_eq!(started, Err(StartChildError::AlreadyStarted("child1".into())));
    assert_eq!(tree.restart_child("child1").await, Err(ChildError::Restarting));
    assert_eq!(tree.delete_child("child1"), Err(ChildError::Restarting));
    assert_eq!(states(&tree), [("child1".into(), ChildState::Restarting)]);
    assert_eq!(counts(&tree), [1, 0, 0, 1]);

    let begun = tokio::time::Instant::now();
    tree.terminate_child("child1").await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(states(&tree), [("child1".into(), ChildState::Stopped)]);
    let attempts = (tree.restarts(), a.incarnation());
    tokio::time::sleep(AGES).await;
    assert_eq!((tree.restarts(), a.incarnation()), attempts, "the attempt that was due is off");

    log.on_init("child1", []);
    while tree.restart_child("child1").await.is_err() {}
    log.on_init("child1", vec![OnInit::Fail; 100]);
    crash(&a).await;
    let begun = tokio::time::Instant::now();
    assert!(tree.shutdown(AGES).await.is_clean());
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(a.is_closed());
}

/// OTP `supervisor_SUITE`: `hanging_restart_loop_rest_for_one`. The same where those after it wait with it. (There the one that
/// is tried is `restarting` and the rest `undefined`; here all that are to come back are restarting.)
#[tokio::test(start_paused = true)]
async fn a_group_in_a_restart_loop_can_be_stopped() {
    quiet();
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        let log = Log::new();
        let ((a, sa), (b, sb), (c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
        let tree = patient(Supervisor::new(strategy)).child(sa).child(sb).child(sc).start().await.unwrap();
        log.on_init("b", vec![OnInit::Fail; 6]);
        crash(&b).await;
        let first = u64::from(strategy == Strategy::RestForOne);
        assert_eq!(counts(&tree), [3, usize::try_from(first).unwrap(), 0, 3], "{strategy:?}");
        for id in ["b", "c"] {
            assert_eq!(tree.restart_child(id).await, Err(ChildError::Restarting));
            assert_eq!(tree.delete_child(id), Err(ChildError::Restarting));
            let started = tree.start_child(again(id, &log)).await;
            assert_eq!(started, Err(StartChildError::AlreadyStarted(id.into())));
        }
        tree.terminate_child("b").await.unwrap();
        assert_eq!(states(&tree)[1], ("b".into(), ChildState::Stopped));
        // The others come back without it.
        assert!(noted(&c).await.is_empty());
        assert!(noted(&a).await.is_empty());
        assert!(!b.is_alive());
        while tree.restart_child("b").await.is_err() {}
        log.on_init("b", vec![OnInit::Fail; 100]);
        crash(&b).await;
        let begun = tokio::time::Instant::now();
        assert!(tree.shutdown(AGES).await.is_clean());
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}

/// OTP `supervisor_SUITE`: `count_restarting_children`. Those being restarted are specifications and workers, and not active.
#[tokio::test(start_paused = true)]
async fn restarting_children_are_counted_but_not_active() {
    quiet();
    let log = Log::new();
    let workers = ["a", "b", "c"].map(|id| worker(id, &log));
    let servers = workers.each_ref().map(|(server, _)| server.clone());
    let mut supervisor = patient(Supervisor::one_for_one());
    for (_, spec) in workers {
        supervisor = supervisor.child(spec);
    }
    let tree = supervisor.start().await.unwrap();
    for server in &servers {
        crash(server).await;
    }
    assert_eq!(counts(&tree), [3, 3, 0, 3]);
    crash(&servers[0]).await;
    crash(&servers[1]).await;
    assert_eq!(counts(&tree), [3, 1, 0, 3]);
    tokio::time::sleep(secs(11)).await;
    assert_eq!(counts(&tree), [3, 3, 0, 3]);
    tree.terminate_child("c").await.unwrap();
    assert_eq!(counts(&tree), [3, 2, 0, 3]);
}

/// A child in a slow `init` of a restart is told to stop at once, and that is not another failure.
#[tokio::test(start_paused = true)]
async fn a_restart_in_a_slow_init_can_be_stopped() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = relentless(Supervisor::one_for_one()).child(sa).start().await.unwrap();
    log.on_init("a", [OnInit::Hang]);
    crash(&a).await;
    assert_eq!(states(&tree), [("a".into(), ChildState::Restarting)]);
    let begun = tokio::time::Instant::now();
    tree.terminate_child("a").await.unwrap();
    assert_eq!((begun.elapsed(), tree.restarts()), (Duration::ZERO, 1));
    tree.restart_child("a").await.unwrap();
    assert!(noted(&a).await.is_empty());
}

/// Whatever is stopped and started by hand during a back-off, the pause that was running has nothing to say any more.
#[tokio::test(start_paused = true)]
async fn a_pause_that_was_overtaken_starts_nobody() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = patient(Supervisor::one_for_one()).child(sa).start().await.unwrap();
    crash(&a).await;
    crash(&a).await;
    tokio::time::sleep(secs(5)).await;
    tree.terminate_child("a").await.unwrap();
    tree.restart_child("a").await.unwrap();
    // Crashes again: a fresh pause of 10 s, of which the old one must not take off anything.
    a.cast(Tell::Panic).unwrap();
    let begun = tokio::time::Instant::now();
    noted(&a).await;
    let waited = begun.elapsed();
    assert!(waited >= secs(10), "{waited:?}");
}

/// OTP `supervisor`: a child that is up and gone again while it is in a loop comes back even if it is transient: what counts
/// is that it was to be restarted.
#[tokio::test(start_paused = true)]
async fn a_transient_child_whose_restart_fails_in_order_is_still_restarted() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree =
        relentless(Supervisor::one_for_one()).child(sa.restart(Restart::Transient)).start().await.unwrap();
    log.on_init("a", [OnInit::Fail, OnInit::Panic, OnInit::Fail]);
    crash(&a).await;
    assert_eq!((tree.restarts(), a.incarnation(), a.is_alive()), (4, 5, true));
}

/// OTP `supervisor_SUITE`: `simple_one_for_one_restart_ignore`, of a static child: a restart that finds nothing to serve ends
/// the attempts; the specification stays.
#[tokio::test(start_paused = true)]
async fn a_restart_with_nothing_to_serve_rests() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = relentless(Supervisor::one_for_one()).child(sa).start().await.unwrap();
    log.on_init("a", [OnInit::Ignore]);
    crash(&a).await;
    assert_eq!((states(&tree), tree.restarts()), (vec![("a".into(), ChildState::Stopped)], 1));
    a.cast(Tell::Note(7)).unwrap();
    tree.restart_child("a").await.unwrap();
    assert_eq!(noted(&a).await, [7]);
}

/// Peer bug 18. A full mailbox does not keep its next reader from being woken, nor its stop order from being heard.
#[tokio::test(start_paused = true)]
async fn a_full_mailbox_is_read_after_a_crash_and_can_be_stopped() {
    use crate::support::{Args, Worker};
    use restante_supervisor::Supervise;
    quiet();
    let log = Log::new();
    let server = restante_genserver::Server::<Worker>::settings().name("a").capacity(4).build().unwrap();
    let a = server.address();
    let spec = server.child(Args { name: "a", log: log.clone(), terminate: Duration::ZERO });
    let tree = patient(Supervisor::one_for_one()).child(spec).start().await.unwrap();
    crash(&a).await;
    crash(&a).await;
    let mut sent = 0;
    while a.cast(Tell::Note(sent)).is_ok() {
        sent += 1;
    }
    assert_eq!(noted(&a).await, (0..sent).collect::<Vec<_>>());
    a.cast(Tell::Sleep(AGES)).unwrap();
    settled().await;
    while a.cast(Tell::Note(0)).is_ok() {}
    let report = tree.shutdown(AGES).await;
    assert_eq!(report.killed, [("a".to_owned(), secs(5))]);
    assert_eq!(a.last_exit().unwrap().reason, ExitReason::Killed);
}

/// Peer bug 6. What has to be told to a child's supervisor needs no room in any mailbox: a child of capacity 1 with a message
/// queued before its start starts, crashes and comes back.
#[tokio::test(start_paused = true)]
async fn a_start_needs_no_room_in_the_mailbox() {
    use crate::support::{Args, Worker};
    use restante_supervisor::Supervise;
    quiet();
    let log = Log::new();
    let server = restante_genserver::Server::<Worker>::settings().name("a").capacity(1).build().unwrap();
    let a = server.address();
    a.cast(Tell::Panic).unwrap();
    let spec = server.child(Args { name: "a", log: log.clone(), terminate: Duration::ZERO });
    let tree = relentless(Supervisor::one_for_one()).child(spec).start().await.unwrap();
    settled().await;
    assert_eq!((a.incarnation(), tree.restarts(), counts(&tree)), (2, 1, [1, 1, 0, 1]));
}

/// Peer bug 19. A panic in `terminate` or in `init` of a restart kills no task but ends an incarnation: the next one comes.
#[tokio::test(start_paused = true)]
async fn panics_in_hooks_end_an_incarnation_and_no_more() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = relentless(Supervisor::one_for_one()).child(sa).start().await.unwrap();
    log.on_init("a", [OnInit::Panic, OnInit::Panic]);
    crash(&a).await;
    assert_eq!((a.incarnation(), tree.restarts(), a.is_alive()), (4, 3, true));
}
