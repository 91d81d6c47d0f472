//! One event for each end that calls for one, with all that is known of it; none where no subscriber listens.

use crate::stubborn::stubborn;
use crate::support::{Ask, Log, OnInit, Tell, listen, noted, quiet, relentless, slow_worker, worker};
use restante_core::ExitReason;
use restante_genserver::CallError;
use restante_supervisor::{Backoff, Restart, Shutdown, Supervisor};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What was said on this thread, of errors only: fields by name.
#[derive(Debug, Clone, Default)]
struct Heard(Arc<Mutex<Vec<Fields>>>);

#[derive(Debug, Clone, Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Fields {
    #[track_caller]
    fn says(&self, expected: &[(&'static str, &str)]) {
        for (name, value) in expected {
            assert_eq!(self.0.get(name).map(String::as_str), Some(*value), "{name} of {self:?}");
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Heard {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::ERROR
    }
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Heard {
    /// Listens on this thread, which is the only one of its runtime.
    fn listen() -> (Self, DefaultGuard) {
        quiet();
        let heard = Self::default();
        (heard.clone(), listen(heard))
    }

    fn take(&self) -> Vec<Fields> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    #[track_caller]
    fn one(&self) -> Fields {
        let mut all = self.take();
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }
}

/// Clause 22.12: a panic of a handler: the chain of supervisors, the child, the reason, the phase, the message, the count.
#[tokio::test]
async fn a_crash_is_one_event_with_all_that_is_known() {
    let (heard, _guard) = Heard::listen();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let sub = relentless(Supervisor::one_for_one()).child(sa).into_child("sub").unwrap();
    let _tree = Supervisor::one_for_one().name("app").child(sub).start().await.unwrap();
    a.cast(Tell::Panic).unwrap();
    noted(&a).await;
    heard.one().says(&[
        ("message", "child ended"),
        ("supervisors", "app/sub"),
        ("child", "a"),
        ("server", "Worker"),
        ("incarnation", "1"),
        ("restarts", "1"),
        ("reason", "panic: told to"),
        ("phase", "handle_cast"),
        ("in_hand", "cast"),
        ("outcome", "it is restarted"),
    ]);

    a.cast(Tell::Fail("no luck")).unwrap();
    noted(&a).await;
    heard.one().says(&[("reason", "error: no luck"), ("incarnation", "2"), ("restarts", "2")]);
}

/// Clause 22.12: an `init` that fails in a restart, alone or in a group.
#[tokio::test(start_paused = true)]
async fn a_failed_init_in_a_restart_is_one_event() {
    for strategy in [Supervisor::one_for_one(), Supervisor::one_for_all()] {
        let (heard, _guard) = Heard::listen();
        let log = Log::new();
        let (a, sa) = worker("a", &log);
        let _tree = relentless(strategy).child(sa).start().await.unwrap();
        log.on_init("a", [OnInit::Fail, OnInit::Panic]);
        a.cast(Tell::Panic).unwrap();
        noted(&a).await;
        let events = heard.take();
        let reasons: Vec<_> = events.iter().map(|event| event.0["reason"].as_str()).collect();
        assert_eq!(reasons, ["panic: told to", "error: init failed", "panic: init panicked"]);
        events[1].says(&[
            ("phase", "init"),
            ("restarts", "2"),
            ("outcome", "it is restarted"),
            ("in_hand", ""),
        ]);
        events[2].says(&[
            ("phase", "init"),
            ("restarts", "3"),
            ("child", "a"),
            ("supervisors", "supervisor"),
        ]);
    }
}

/// Clause 22.12: the crash that is one too many, and, above, the supervisor's own end.
#[tokio::test]
async fn giving_up_is_one_event_for_the_child_and_one_for_each_supervisor_that_gives_up() {
    let (heard, _guard) = Heard::listen();
    let log = Log::new();
    let ((_a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let sub = Supervisor::one_for_one().intensity(0, secs(9)).child(sa).child(sb);
    let tree = Supervisor::one_for_one().name("app").intensity(0, secs(1));
    let tree = tree.child(sub.into_child("sub").unwrap()).start().await.unwrap();
    b.cast(Tell::Panic).unwrap();
    tree.join().await;
    let events = heard.take();
    assert_eq!(events.len(), 2, "{events:#?}");
    let gives_up = "restarted too often: its supervisor gives up";
    events[0].says(&[("supervisors", "app/sub"), ("child", "b"), ("outcome", gives_up), ("restarts", "1")]);
    events[1].says(&[
        ("supervisors", "app"),
        ("child", "sub"),
        ("server", "Supervisor"),
        ("outcome", gives_up),
        ("reason", "error: child b was restarted too often: 1 attempts in 9s"),
    ]);
}

/// Clause 22.12: the same where the supervisor above gives up at once.
#[tokio::test]
async fn an_escalation_says_so() {
    let (heard, _guard) = Heard::listen();
    let log = Log::new();
    let (b, sb) = worker("b", &log);
    let sub = Supervisor::one_for_one().intensity(0, secs(9)).child(sb).into_child("sub").unwrap();
    let tree = Supervisor::one_for_one().child(sub.escalate(true)).start().await.unwrap();
    b.cast(Tell::Panic).unwrap();
    tree.join().await;
    let events = heard.take();
    assert_eq!(events.len(), 2, "{events:#?}");
    events[1].says(&[("child", "sub"), ("outcome", "its supervisor gives up with it"), ("restarts", "0")]);
}

/// Clause 22.12: nothing that ends in order is worth an event.
#[tokio::test(start_paused = true)]
async fn an_orderly_end_is_no_event() {
    let (heard, _guard) = Heard::listen();
    let log = Log::new();
    let ((a, sa), (b, sb), (_c, sc)) = (worker("a", &log), worker("b", &log), worker("c", &log));
    let tree = relentless(Supervisor::one_for_one())
        .child(sa.restart(Restart::Transient))
        .child(sb.restart(Restart::Temporary))
        .child(sc)
        .child(slow_worker("d", &log, secs(1)).1)
        .child(worker("e", &log).1.shutdown(Shutdown::BrutalKill))
        .start()
        .await
        .unwrap();
    a.cast(Tell::Stop(ExitReason::Normal)).unwrap();
    b.cast(Tell::Stop(ExitReason::shutdown_with("done"))).unwrap();
    a.join().await;
    b.join().await;
    tree.terminate_child("c").await.unwrap();
    let report = tree.shutdown(secs(60)).await;
    assert!(report.is_clean() && report.stopped == 2, "{report}");
    let killed = Supervisor::one_for_one().child(worker("f", &log).1).start().await.unwrap();
    killed.kill();
    killed.join().await;
    assert!(heard.take().is_empty(), "{heard:?}");
}

/// Clause 22.12: a permanent child that ends in order is started again, which is no failure; one too many of these is. So is no
/// end in order of a child whose mailbox was closed, nor one while it was told to stop.
#[tokio::test(start_paused = true)]
async fn an_orderly_end_of_a_permanent_child_is_no_error() {
    let (heard, _guard) = Heard::listen();
    let log = Log::new();
    for strategy in [Supervisor::one_for_one(), Supervisor::one_for_all(), Supervisor::rest_for_one()] {
        let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
        let tree =
            strategy.intensity(3, secs(5)).backoff(Backoff::NONE).child(sa).child(sb).start().await.unwrap();
        for reason in [ExitReason::Normal, ExitReason::Shutdown, ExitReason::shutdown_with("done")] {
            a.cast(Tell::Stop(reason)).unwrap();
            noted(&a).await;
        }
        b.close(ExitReason::Normal);
        b.join().await;
        assert!(heard.take().is_empty(), "{heard:?}");
        a.cast(Tell::Stop(ExitReason::Normal)).unwrap();
        tree.join().await;
        heard
            .one()
            .says(&[("outcome", "restarted too often: its supervisor gives up"), ("reason", "normal")]);
    }
}

/// Clause 22.12: told to stop, and ended for another reason.
#[tokio::test(start_paused = true)]
async fn an_unexpected_reason_at_shutdown_is_one_event() {
    let (heard, _guard) = Heard::listen();
    let (_x, sx) = stubborn("x");
    let tree = Supervisor::one_for_one().child(sx).start().await.unwrap();
    tree.shutdown(secs(60)).await;
    heard.one().says(&[
        ("child", "x"),
        ("reason", "error: no time to die"),
        ("outcome", "it was told to stop, and ended otherwise"),
        ("restarts", "0"),
    ]);
}

/// Clause 22.12: told to stop, and killed because it did not: one event, and not as an unexpected end.
#[tokio::test(start_paused = true)]
async fn a_child_that_is_killed_at_its_limit_is_one_event() {
    let (heard, _guard) = Heard::listen();
    let log = Log::new();
    let (_a, sa) = slow_worker("a", &log, secs(100));
    let tree = Supervisor::one_for_one().child(sa).start().await.unwrap();
    let report = tree.shutdown(secs(60)).await;
    assert_eq!((report.killed.len(), report.unexpected.len()), (1, 0), "{report}");
    heard.one().says(&[
        ("child", "a"),
        ("reason", "killed"),
        ("outcome", "it was told to stop, did not in its time, and was killed"),
    ]);
}

/// Clause 22.12: a temporary child that is gone, and a transient one that rests: by name, though the table has let go of it.
#[tokio::test]
async fn a_child_that_is_gone_is_reported_by_its_name() {
    let (heard, _guard) = Heard::listen();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree = Supervisor::one_for_one().name("app");
    let tree = tree.child(sa.restart(Restart::Temporary)).start().await.unwrap();
    a.cast(Tell::Panic).unwrap();
    a.join().await;
    while tree.count_children().specs > 0 {
        tokio::task::yield_now().await;
    }
    heard.one().says(&[
        ("supervisors", "app"),
        ("child", "a"),
        ("server", "Worker"),
        ("restarts", "0"),
        ("outcome", "it is gone for good"),
        ("phase", "handle_cast"),
        ("in_hand", "cast"),
    ]);
}

/// Clause 22.12: a start that fails and is rolled back: the child that failed, and each supervisor that failed with it.
#[tokio::test]
async fn a_start_that_fails_is_one_event_at_each_level() {
    let (heard, _guard) = Heard::listen();
    let log = Log::new();
    log.on_init("b", [OnInit::Fail]);
    let sub = Supervisor::one_for_one().child(worker("a", &log).1).child(worker("b", &log).1);
    let tree = Supervisor::one_for_one().name("app").child(sub.into_child("sub").unwrap());
    tree.start().await.unwrap_err();
    let events = heard.take();
    assert_eq!(events.len(), 2, "{events:#?}");
    let outcome = "it did not start: its supervisor is rolled back";
    events[0].says(&[
        ("supervisors", "app/sub"),
        ("child", "b"),
        ("reason", "error: init failed"),
        ("phase", "init"),
        ("incarnation", "1"),
        ("outcome", outcome),
    ]);
    events[1].says(&[
        ("supervisors", "app"),
        ("child", "sub"),
        ("outcome", outcome),
        ("reason", "error: child b did not start: init failed: error: init failed"),
    ]);
}

/// Clause 22.11: the chain of supervisors, at depth four.
#[tokio::test]
async fn the_chain_of_supervisors_is_told_from_the_top() {
    let (heard, _guard) = Heard::listen();
    let log = Log::new();
    let (leaf, mut spec) = worker("leaf", &log);
    for level in ["three", "two", "one"] {
        spec = relentless(Supervisor::one_for_one()).name("a name").child(spec).into_child(level).unwrap();
    }
    let _tree = Supervisor::one_for_one().name("top").child(spec).start().await.unwrap();
    leaf.cast(Tell::Panic).unwrap();
    noted(&leaf).await;
    heard.one().says(&[("supervisors", "top/one/two/three"), ("child", "leaf")]);
}

/// Clause 22.12: where no subscriber listens, an error is not asked what it has to say.
#[tokio::test]
async fn nothing_is_put_into_words_where_nobody_listens() {
    #[derive(Debug)]
    struct Counting(Arc<AtomicU32>);
    impl fmt::Display for Counting {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fetch_add(1, Ordering::Relaxed);
            f.write_str("counted")
        }
    }
    impl std::error::Error for Counting {}
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let _tree = relentless(Supervisor::one_for_one()).backoff(Backoff::NONE).child(sa).start().await.unwrap();
    let said = Arc::new(AtomicU32::new(0));
    let crash = async || {
        a.cast(Tell::Stop(ExitReason::from(Counting(Arc::clone(&said))))).unwrap();
        noted(&a).await;
        said.swap(0, Ordering::Relaxed)
    };
    assert_eq!(crash().await, 0);
    let (heard, guard) = Heard::listen();
    assert!(crash().await > 0);
    heard.one().says(&[("reason", "error: counted")]);
    drop(guard);
    assert_eq!(crash().await, 0);
}

/// Rows G3, G7, clause 21.4: what was stopped or killed in a group restart is no part of the supervisor's own end, however
/// many of these there were.
#[tokio::test(start_paused = true)]
async fn a_report_is_about_the_last_end_and_not_about_restarts() {
    quiet();
    let log = Log::new();
    let hour = Duration::from_secs(3600);
    let ((a, sa), (_, sb)) = (worker("a", &log), slow_worker("b", &log, hour));
    let below = relentless(Supervisor::one_for_all()).child(sa).child(sb.shutdown(Shutdown::BrutalKill));
    let below = below.into_child("below").unwrap();
    let ((c, sc), (d, sd)) = (worker("c", &log), slow_worker("d", &log, hour));
    let tree = relentless(Supervisor::one_for_all()).child(sc).child(below).child(sd);
    let tree = tree.start().await.unwrap();
    for crash in [&a, &c, &a, &c] {
        let told = crash.call(Ask::Panic).await;
        assert!(matches!(told, Err(CallError::Exited(_))), "{told:?}");
        for up in [&a, &c, &d] {
            while up.call(Ask::Incarnation).await.is_err() {}
        }
    }
    let report = tree.report();
    assert!(report.is_clean(), "before its end there is nothing to report: {report}");
    let report = tree.shutdown(hour * 2).await;
    assert_eq!(report.stopped, 4, "{report}");
    assert_eq!(report.killed, [("d".to_owned(), Duration::from_secs(5))]);
}
