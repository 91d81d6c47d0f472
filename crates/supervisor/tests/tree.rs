//! What a look at the tree shows, and that it waits for nothing.

use crate::support::{Log, OnInit, Tell, noted, quiet, relentless, slow_worker, worker};
use restante_core::{ExitReason, Phase};
use restante_supervisor::{
    Backoff, ChildKind, ChildSpec, ChildState, Intensity, Restart, Shutdown, Stage, Strategy, Supervisor,
    SupervisorRef, Tree,
};
use std::time::Duration;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn ids(tree: &Tree) -> Vec<&str> {
    tree.children.iter().map(|child| child.id.as_str()).collect()
}

fn paths(tree: &Tree) -> Vec<String> {
    tree.iter().map(|(path, _)| path).collect()
}

/// Waits until the tree looks like that.
async fn seen(tree: &SupervisorRef, holds: impl Fn(&Tree) -> bool) -> Tree {
    loop {
        let now = tree.tree();
        if holds(&now) {
            return now;
        }
        // On a clock that is paused, every task that has something to do does it first.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Clause 22.1: each supervisor and child, those in the order of their start.
#[tokio::test(start_paused = true)]
async fn a_look_shows_every_supervisor_and_child() {
    let log = Log::new();
    let ((_a, sa), (_b, sb), (_c, sc)) = (worker("a", &log), worker("b", &log), worker("mail", &log));
    let sub = Supervisor::rest_for_one().intensity(7, secs(60)).child(sb).child(sc.id("c"));
    let tree = Supervisor::one_for_all().name("app").child(sa).child(sub.into_child("sub").unwrap());
    let tree = tree.start().await.unwrap();
    tokio::time::advance(secs(3)).await;
    let seen = tree.tree();

    let top = seen.supervisor.as_ref().unwrap();
    assert_eq!((seen.id.as_str(), seen.name.as_deref()), ("app", Some("app")));
    assert_eq!((seen.kind, seen.state, seen.incarnation), (ChildKind::Supervisor, ChildState::Running, 1));
    assert_eq!(
        (top.strategy, top.intensity, top.dynamic),
        (Strategy::OneForAll, Intensity::default(), false)
    );
    assert_eq!((seen.up, seen.restarts), (Some(secs(3)), 0));
    assert!(seen.last_exit.is_none() && seen.mailbox.is_none());
    assert_eq!(ids(&seen), ["a", "sub"]);

    let sub = seen.find("sub").unwrap();
    let rules = sub.supervisor.as_ref().unwrap();
    assert_eq!((rules.strategy, rules.intensity), (Strategy::RestForOne, Intensity::new(7, secs(60))));
    assert_eq!((ids(sub), sub.up), (vec!["b", "c"], Some(secs(3))));

    let c = seen.find("sub/c").unwrap();
    assert_eq!((c.name.as_deref(), c.type_name, c.kind), (Some("mail"), "Worker", ChildKind::Worker));
    assert_eq!((c.state, c.incarnation, c.up), (ChildState::Running, 1, Some(secs(3))));
    assert!(c.supervisor.is_none() && c.children.is_empty() && c.mailbox.is_some());
}

/// Clause 22.1: what waits in a mailbox is seen, whether or not it has a reader.
#[tokio::test]
async fn a_look_shows_what_waits_in_a_mailbox() {
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = Supervisor::one_for_one().child(sa).start().await.unwrap();
    a.cast(Tell::Note(1)).unwrap();
    assert_eq!(noted(&a).await, [1]);
    tree.terminate_child("a").await.unwrap();
    for n in 0..3 {
        a.cast(Tell::Note(n)).unwrap();
    }
    let seen = tree.tree();
    let a = seen.find("a").unwrap();
    let mailbox = a.mailbox.unwrap();
    assert_eq!((a.state, a.up), (ChildState::Stopped, None));
    assert_eq!((mailbox.depth, mailbox.capacity, mailbox.ledger.queued), (3, Some(1024), 3));
    assert!(mailbox.oldest_age.is_some());
    assert_eq!(seen.ledger().queued, 3);
    assert_eq!(seen.ledger().lost(), 0);
}

/// Clause 22.1: a crash is seen with its reason, phase and message, and how often the child was restarted.
#[tokio::test(start_paused = true)]
async fn a_look_shows_crashes_and_restarts() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = Supervisor::one_for_one().child(sa).start().await.unwrap();
    a.cast(Tell::Panic).unwrap();
    noted(&a).await;
    a.cast(Tell::Fail("no luck")).unwrap();
    a.join().await;
    let seen = seen(&tree, |tree| tree.children[0].state == ChildState::Restarting).await;
    let node = &seen.children[0];
    let exit = node.last_exit.as_ref().unwrap();
    assert_eq!((node.restarts, node.incarnation, node.up), (2, 2, None));
    assert_eq!((&exit.reason, exit.phase), (&ExitReason::error("no luck"), Phase::Cast));
    assert!(exit.message == Some("cast") && exit.incarnation == 2);
    assert_eq!((seen.restarts(), seen.supervisor.unwrap().restarts), (2, 2));
}

/// Clause 22.1, row G6: a server that is suspended, also when its supervisor has restarted it.
#[tokio::test(start_paused = true)]
async fn a_look_shows_who_is_suspended() {
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = Supervisor::one_for_one().backoff(Backoff::NONE).child(sa).start().await.unwrap();
    assert!(!tree.tree().children[0].suspended);
    a.sys().suspend();
    a.cast(Tell::Note(1)).unwrap();
    a.kill();
    let again = seen(&tree, |tree| tree.children[0].incarnation == 2 && tree.children[0].up.is_some()).await;
    assert!(again.children[0].suspended && !again.suspended);
    let printed = again.render();
    assert!(printed.contains("a [Worker] running, suspended, 1 of 1024 queued"), "{printed}");
    a.sys().resume();
    assert_eq!(noted(&a).await, [1]);
    let after = tree.tree();
    assert!(!after.children[0].suspended && !after.render().contains("suspended"), "{after}");
}

/// Clause 22.1, row G6: what a handler has; as text only where it has waited for a second.
#[tokio::test(start_paused = true)]
async fn a_look_shows_what_a_handler_waits_with() {
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = Supervisor::one_for_one().child(sa).start().await.unwrap();
    a.cast(Tell::Sleep(secs(10))).unwrap();
    let waits = |tree: &Tree| tree.children[0].in_hand.is_some_and(|now| now.since.is_some());
    let mut seen = seen(&tree, waits).await;
    let mut now = seen.children[0].in_hand.unwrap();
    assert_eq!((now.phase, now.name), (Phase::Cast, "cast"));
    // The time in hand is told by a clock that tests cannot pause.
    for (since, expected) in [(999, ""), (1000, ", in handle_cast of cast for 1s")] {
        now.since = Some(Duration::from_millis(since));
        seen.children[0].in_hand = Some(now);
        let expected = format!("a [Worker] running{expected}, 0 of 1024 queued");
        assert!(seen.render().contains(&expected), "{seen}");
    }
    #[cfg(feature = "serde")]
    {
        let json = serde_json::to_value(&seen).unwrap();
        let expected = serde_json::json!({"phase": "handle_cast", "name": "cast", "since_ms": 1000});
        assert_eq!(json["children"][0]["in_hand"], expected);
        assert_eq!((&json["in_hand"], &json["suspended"]), (&serde_json::Value::Null, &false.into()));
    }
    noted(&a).await;
    assert_eq!(tree.tree().children[0].in_hand, None);
}

/// Clause 22.2: not for an `init` that hangs, a handler that runs, a start or an end.
#[tokio::test(start_paused = true)]
async fn a_look_waits_for_nobody() {
    let log = Log::new();
    let ((_a, sa), (b, sb), (_c, sc)) =
        (slow_worker("a", &log, secs(10)), worker("b", &log), worker("c", &log));
    log.on_init("c", [OnInit::Sleep(secs(5))]);
    let tree = Supervisor::one_for_one().child(sa).child(sb).child(sc.shutdown(Shutdown::Infinity));
    let tree = tree.build().unwrap();
    let starting = tokio::spawn({
        let tree = tree.clone();
        async move { tree.start().await }
    });
    let state = |tree: &Tree| tree.children.iter().map(|child| child.state).collect::<Vec<_>>();
    let mid = seen(&tree, |tree| tree.children[1].state == ChildState::Running).await;
    assert_eq!(mid.state, ChildState::Starting);
    assert_eq!(state(&mid), [ChildState::Running, ChildState::Running, ChildState::Starting]);
    starting.await.unwrap().unwrap();

    b.cast(Tell::Sleep(secs(1))).unwrap();
    seen(&tree, |tree| tree.children[1].mailbox.unwrap().ledger.in_hand == 1).await;
    let stopping = tokio::spawn({
        let tree = tree.clone();
        async move { tree.shutdown(secs(60)).await }
    });
    let mid = seen(&tree, |tree| tree.children[0].state == ChildState::Stopping).await;
    assert_eq!(mid.state, ChildState::Stopping);
    assert_eq!(state(&mid), [ChildState::Stopping, ChildState::Stopped, ChildState::Stopped]);
    assert_eq!(stopping.await.unwrap().killed, [("a".to_owned(), secs(5))]);
    let end = tree.tree();
    assert_eq!((end.state, end.children.len()), (ChildState::Stopped, 0));
    assert_eq!(end.last_exit.unwrap().reason, ExitReason::Shutdown);
}

/// Clause 22.1: a limit holds for each supervisor; the rest is counted. (Around the number that is looked at under one lock.)
#[tokio::test]
async fn a_look_may_be_limited_to_the_first_children_of_each() {
    let log = Log::new();
    let tree = wide(600, &log).await;
    for limit in [0, 1, 255, 256, 257, 511, 512, 599, 600, 601, usize::MAX] {
        let seen = tree.tree_with(limit);
        let shown = limit.min(600);
        assert_eq!((seen.children.len(), seen.more), (shown, 600 - shown), "{limit}");
        assert!(seen.children.iter().enumerate().all(|(n, child)| child.id == format!("w{n}")), "{limit}");
    }
    let above = Supervisor::one_for_one().child(wide_spec(5, &log)).start().await.unwrap();
    let seen = above.tree_with(2);
    assert_eq!(paths(&seen), ["", "wide", "wide/w0", "wide/w1"]);
    assert!(seen.render().ends_with("   └─ … and 3 more\n"), "{seen}");
}

fn wide_spec(n: usize, log: &Log) -> ChildSpec {
    many(n, log).into_child("wide").unwrap()
}

fn many(n: usize, log: &Log) -> Supervisor {
    (0..n).fold(Supervisor::one_for_one(), |tree, n| tree.child(worker("w", log).1.id(format!("w{n}"))))
}

async fn wide(n: usize, log: &Log) -> SupervisorRef {
    many(n, log).start().await.unwrap()
}

/// Clause 22.1: paths lead from the top down, parents before children, and back.
#[tokio::test]
async fn nodes_are_walked_and_found_by_their_paths() {
    let log = Log::new();
    let sub = Supervisor::one_for_one().child(worker("x", &log).1).child(worker("y", &log).1);
    let tree = Supervisor::one_for_one()
        .child(sub.into_child("a/b").unwrap())
        .child(worker("a", &log).1)
        .child(worker("ab", &log).1)
        .start()
        .await
        .unwrap();
    let seen = tree.tree();
    assert_eq!(paths(&seen), ["", "a%2Fb", "a%2Fb/x", "a%2Fb/y", "a", "ab"]);
    assert_eq!(seen.find("a/b/x").unwrap().id, "x", "ids as they are, where nothing else lies there");
    for (path, node) in &seen {
        assert!(std::ptr::eq(seen.find(&path).unwrap(), node), "{path}");
    }
    for nothing in ["a/", "/a", "b", "a/b/", "a/b/z", "a/b/x/", "x"] {
        assert!(seen.find(nothing).is_none(), "{nothing}");
    }
}

/// Clause 22.1: a supervisor that has one above is seen as that one sees it.
#[tokio::test]
async fn a_branch_is_seen_as_the_supervisor_above_sees_it() {
    quiet();
    let log = Log::new();
    let (x, sx) = worker("x", &log);
    let sub = Supervisor::one_for_one().intensity(0, secs(1)).name("inner").child(sx).build().unwrap();
    let tree = relentless(Supervisor::one_for_one()).child(sub.child("sub")).start().await.unwrap();
    x.cast(Tell::Panic).unwrap();
    noted(&x).await;
    let seen = sub.tree();
    assert_eq!((seen.id.as_str(), seen.name.as_deref()), ("sub", Some("inner")));
    assert_eq!((seen.restarts, seen.incarnation), (1, 2));
    assert!(seen.last_exit.unwrap().reason.to_string().contains("child x was restarted too often"));
    assert_eq!(tree.tree().restarts(), 2, "one by each: the first gave up at its first");
}

/// Clause 22.1: totals count what children that are gone have left.
#[tokio::test(start_paused = true)]
async fn totals_include_those_that_are_gone() {
    quiet();
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let sub = relentless(Supervisor::one_for_one()).child(sa.restart(Restart::Temporary));
    let tree =
        Supervisor::one_for_one().child(sub.into_child("sub").unwrap()).child(sb).start().await.unwrap();
    for n in 0..5 {
        a.cast(Tell::Note(n)).unwrap();
        b.cast(Tell::Note(n)).unwrap();
    }
    a.cast(Tell::Stop(ExitReason::Normal)).unwrap();
    noted(&b).await;
    a.join().await;
    let seen = seen(&tree, |tree| tree.find("sub/a").is_none()).await;
    let ledger = seen.ledger();
    assert_eq!((ledger.sent, ledger.handled), (12, 12), "{ledger}");
    assert_eq!(seen.find("sub").unwrap().supervisor.as_ref().unwrap().gone.handled, 6);
}

/// Clause 22.1: what is printed, line by line.
#[tokio::test(start_paused = true)]
async fn a_tree_prints_as_indented_text() {
    quiet();
    let log = Log::new();
    let ((a, sa), (_b, sb), (_c, sc), (d, sd)) =
        (worker("a", &log), worker("b", &log), worker("c", &log), worker("dd", &log));
    let inner = Supervisor::one_for_all().child(sb).into_child("inner").unwrap();
    let sub = Supervisor::rest_for_one().with_intensity(Intensity::UNLIMITED).child(inner).child(sc);
    let tree = Supervisor::one_for_one().name("app").child(sa).child(sub.into_child("sub").unwrap());
    let tree = tree.child(sd.id("d")).start().await.unwrap();
    a.cast(Tell::Fail("first line\nsecond line")).unwrap();
    noted(&a).await;
    tree.terminate_child("d").await.unwrap();
    let seen = tree.tree();
    let message = seen.children[0].last_exit.as_ref().unwrap().message.unwrap();
    let expected = format!(
        "app [Supervisor] running, one_for_one, at most 3 restarts in 5s\n\
         ├─ a [Worker] running, 0 of 1024 queued, restarts: 1, last exit: error: first line second line in handle_cast of {message}\n\
         ├─ sub [Supervisor] running, rest_for_one, any number of restarts\n\
         │  ├─ inner [Supervisor] running, one_for_all, at most 3 restarts in 5s\n\
         │  │  └─ b [Worker] running, 0 of 1024 queued\n\
         │  └─ c [Worker] running, 0 of 1024 queued\n\
         └─ d (dd) [Worker] stopped, 0 of 1024 queued, last exit: shutdown in terminate\n"
    );
    let printed = tree.tree().render();
    // In which phase an order finds an idle server is not the matter here.
    let printed = printed.replace("shutdown in idle", "shutdown in terminate");
    assert_eq!(printed, expected);
    assert_eq!(seen.render(), seen.to_string());
    d.cast(Tell::Note(1)).unwrap();
    assert!(tree.tree().render().contains("stopped, 1 of 1024 queued for "));
}

/// Row G7: a tree deeper than any that is built.
#[tokio::test(start_paused = true)]
async fn a_tree_of_depth_fifty_starts_and_shuts_down() {
    let log = Log::new();
    let deepest = worker("leaf", &log);
    let mut spec = deepest.1;
    for n in (0..50).rev() {
        spec = Supervisor::one_for_one().child(spec).into_child(format!("s{n}")).unwrap();
    }
    let tree = Supervisor::one_for_one().child(spec).start().await.unwrap();
    let seen = tree.tree();
    let (path, leaf) = seen.iter().last().unwrap();
    assert_eq!((path.split('/').count(), leaf.id.as_str()), (51, "leaf"));
    assert!(path.starts_with("s0/s1/s2/") && path.ends_with("/s49/leaf"), "{path}");
    let report = tree.shutdown(secs(5)).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.stopped, deepest.0.is_closed()), (1, true));
    assert_eq!(log.take(), ["+leaf", "-leaf"]);
}

/// Row G7: the same when the deepest does not end: the path says which.
#[tokio::test(start_paused = true)]
async fn a_deep_tree_that_is_late_is_killed_from_the_top() {
    let log = Log::new();
    let mut spec = slow_worker("leaf", &log, secs(1000)).1.shutdown(Shutdown::Infinity);
    for n in (0..50).rev() {
        spec = Supervisor::one_for_one().child(spec).into_child(format!("s{n}")).unwrap();
    }
    let tree = Supervisor::one_for_one().child(spec).start().await.unwrap();
    let report = tree.shutdown(secs(5)).await;
    assert_eq!((report.stage, report.stopped, report.abandoned.len()), (Stage::Cancel, 1, 0));
    let (path, limit) = report.killed.last().unwrap();
    assert!(path.ends_with("/s49/leaf") && path.split('/').count() == 51, "{report}");
    assert_eq!((report.killed.len(), *limit), (51, secs(5)));
}

/// Row G7: a thousand static children start in order and stop in reverse.
#[tokio::test]
async fn a_thousand_children_start_in_order_and_stop_in_reverse() {
    let log = Log::new();
    let tree = (0..1000).fold(Supervisor::one_for_one(), |tree, n| {
        tree.child(worker(Box::leak(format!("w{n}").into_boxed_str()), &log).1)
    });
    let tree = tree.start().await.unwrap();
    assert_eq!(log.take(), (0..1000).map(|n| format!("+w{n}")).collect::<Vec<_>>());
    let report = tree.shutdown(secs(60)).await;
    assert!(report.is_clean() && report.stopped == 1000, "{report}");
    assert_eq!(log.take(), (0..1000).rev().map(|n| format!("-w{n}")).collect::<Vec<_>>());
}

/// Clause 22.3: the names that a dashboard reads.
#[cfg(feature = "serde")]
#[tokio::test(start_paused = true)]
async fn a_tree_serializes_with_the_names_that_are_promised() {
    use serde_json::json;
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let sub = Supervisor::rest_for_one().with_intensity(Intensity::UNLIMITED).child(sa).build().unwrap();
    let tree = Supervisor::one_for_one().name("app").child(sub.child("sub")).start().await.unwrap();
    tokio::time::advance(Duration::from_millis(1500)).await;
    a.cast(Tell::Fail("no")).unwrap();
    noted(&a).await;
    sub.terminate_child("a").await.unwrap();
    a.cast(Tell::Note(1)).unwrap();
    let json = serde_json::to_value(tree.tree()).unwrap();
    let mut child = json["children"][0]["children"][0].clone();
    assert!(child["mailbox"]["oldest_age_ms"].is_u64());
    child["mailbox"]["oldest_age_ms"] = json!(null);
    child["last_exit"]["phase"] = json!("idle");
    let ledger = json!({
        "sent": 4, "handled": 2, "failed": 1, "expired": 0, "shed": 0, "coalesced": 0, "diverted": 0,
        "dead_lettered": 0, "purged": 0, "cancelled": 0, "in_hand": 0, "queued": 1, "lost": 0,
    });
    assert_eq!(
        child,
        json!({
            "id": "a", "name": "a", "kind": "worker", "type_name": "Worker", "state": "stopped",
            "suspended": false, "in_hand": null, "incarnation": 2, "restarts": 1, "up_ms": null,
            "last_exit": {
                "reason": "shutdown", "orderly": true, "phase": "idle", "message": null, "incarnation": 2,
            },
            "mailbox": {
                "depth": 1, "capacity": 1024, "weight": 0, "oldest_age_ms": null, "waiting_senders": 0,
                "ledger": ledger,
            },
            "supervisor": null, "children": [], "more": 0,
        })
    );
    assert_eq!(json["up_ms"], 1500);
    assert_eq!(
        json["children"][0]["supervisor"],
        json!({
            "strategy": "rest_for_one", "intensity": {"max": null, "period_ms": 0}, "auto_shutdown": "never",
            "dynamic": false, "restarts": 1,
            "gone": serde_json::to_value(json["children"][0]["supervisor"]["gone"].clone()).unwrap(),
        })
    );
    assert_eq!(json["children"][0]["supervisor"]["gone"]["sent"], 0);
    assert_eq!(json["supervisor"]["intensity"], json!({"max": 3, "period_ms": 5000}));
}

/// Clause 22.13: a child whose id contains what paths are made of, beside one that lies where it seems to: each is found by
/// its own path, and reports name each by it.
#[tokio::test(start_paused = true)]
async fn ids_that_look_like_paths_are_told_apart() {
    let log = Log::new();
    let slow = |id: &'static str| crate::support::slow_worker(id, &log, Duration::from_secs(100)).1;
    let below = Supervisor::one_for_one().child(slow("b")).child(slow("")).into_child("a").unwrap();
    let tree = Supervisor::one_for_one().child(slow("a/b")).child(slow("a%2Fb")).child(slow("")).child(below);
    let tree = tree.start().await.unwrap();
    let seen = tree.tree();
    let paths: Vec<String> = seen.iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["", "a%2Fb", "a%252Fb", "%", "a", "a/b", "a/%"]);
    for (path, node) in &seen {
        assert!(std::ptr::eq(seen.find(&path).unwrap(), node), "{path}");
    }
    assert_eq!(seen.find("a/b").unwrap().id, "b");
    let report = tree.shutdown(Duration::from_secs(3600)).await;
    let mut killed: Vec<_> = report.killed.iter().map(|(path, _)| path.as_str()).collect();
    killed.sort_unstable();
    assert_eq!(killed, ["%", "a%252Fb", "a%2Fb", "a/%", "a/b"]);
}
