//! Planned crashes: a server that is itself, but for them.

use crate::support::{Ask, Counter, Tell};
use restante_core::Phase;
use restante_genserver::{CallError, ExitReason, Server, StartError, start_again};
use restante_supervisor::{Backoff, Intensity, Supervise, Supervisor};
use restante_testkit::{
    Crash, CrashLog, CrashPlan, Moment, Universe, assert_conserved_when_idle, eventually, expect_down,
    quiet_panics,
};
use std::time::Duration;

fn planned(plan: CrashPlan) -> (Server<Counter>, CrashLog) {
    let server = Server::new("planned");
    let log = plan.install(server.server());
    (server, log)
}

fn says(reason: &ExitReason, text: &str) -> bool {
    match reason {
        ExitReason::Panic(panic) => panic.message == text,
        ExitReason::Error(error) => error.to_string() == text,
        _ => false,
    }
}

#[test]
fn a_planned_server_is_itself_until_it_crashes() {
    let _quiet = quiet_panics("injected crash");
    Universe::new().run(async |_| {
        let (server, log) = planned(CrashPlan::new().at_message(4, Crash::Panic));
        let counter = server.start(40).await.unwrap();
        counter.cast(Tell::Add(1)).unwrap();
        counter.info(1).unwrap();
        assert_eq!(counter.call(Ask::Total).await, Ok(42));
        assert!(log.is_empty());
        counter.cast(Tell::Add(1)).unwrap();
        let exit = expect_down(&counter).await;
        let text = "injected crash 1 (seed 0) in handle_cast of `add`, message 4";
        assert!(says(&exit.reason, text), "{exit}");
        assert_eq!((exit.phase, exit.message), (Phase::Cast, Some("add")));
        assert_eq!(log.crashes()[0].to_string(), text);
        server.start(0).await.unwrap();
        assert_eq!(counter.call(Ask::Total).await, Ok(0));
        assert_eq!(assert_conserved_when_idle!(counter).failed, 1);
    });
}

#[test]
fn each_way_to_crash_ends_the_server_that_way() {
    let _quiet = quiet_panics("injected crash");
    Universe::new().run(async |_| {
        let plan = CrashPlan::new().at_name("total", Crash::Error).at_name("add", Crash::Kill);
        let (server, log) = planned(plan);
        let counter = server.start(0).await.unwrap();
        let error = counter.call(Ask::Total).await.unwrap_err();
        let text = "injected crash 1 (seed 0) in handle_call of `total`, message 1";
        assert!(matches!(&error, CallError::Exited(reason) if says(reason, text)), "{error}");
        expect_down(&counter).await;
        server.start(0).await.unwrap();
        counter.cast(Tell::Add(1)).unwrap();
        assert_eq!(expect_down(&counter).await.reason, ExitReason::Killed);
        assert_eq!(log.crashes().iter().map(|c| c.crash).collect::<Vec<_>>(), [Crash::Error, Crash::Kill]);
    });
}

#[test]
fn init_and_terminate_crash_too() {
    let _quiet = quiet_panics("injected crash");
    Universe::new().run(async |_| {
        let plan = CrashPlan::new()
            .in_init(1, Crash::Panic)
            .in_init(2, Crash::Error)
            .in_init(3, Crash::Kill)
            .in_terminate(4, Crash::Panic);
        let (server, log) = planned(plan);
        for _ in 0..3 {
            assert!(matches!(server.start(0).await, Err(StartError::Failed(_))));
        }
        server.start(0).await.unwrap();
        assert!(server.server().stop(ExitReason::Shutdown, Duration::from_secs(1)).await.is_err());
        let exit = expect_down(server.server()).await;
        assert!(says(&exit.reason, "injected crash 4 (seed 0) in terminate"), "{exit}");
        assert_eq!(log.len(), 4);
        start_again(server.server(), 0).await.unwrap();
    });
}

/// The work has been done and the reply sent: only then it crashes.
#[test]
fn a_crash_after_the_work_leaves_the_work_done() {
    let _quiet = quiet_panics("injected crash");
    Universe::new().run(async |_| {
        let (server, _) = planned(CrashPlan::new().at_message(1, Crash::Panic).moment(Moment::After));
        let counter = server.start(5).await.unwrap();
        assert_eq!(counter.call(Ask::Total).await, Ok(5));
        assert_eq!(expect_down(&counter).await.phase, Phase::Call);
    });
}

/// Clause 25.3: a supervised server crashes by chance, and nothing is lost but what was in hand; again with the same seed, the
/// same crashes.
#[test]
fn a_supervised_server_survives_a_storm_and_the_seed_brings_it_again() {
    let _quiet = quiet_panics("injected crash");
    let storm = |seed| {
        Universe::new().run(async |_| {
            let plan = CrashPlan::seeded(seed)
                .by_chance(0.05, Crash::Panic)
                .by_chance(0.05, Crash::Error)
                .by_chance(0.02, Crash::Kill);
            let (server, log) = planned(plan);
            let counter = server.address();
            let tree = Supervisor::one_for_one()
                .with_intensity(Intensity::UNLIMITED)
                .backoff(Backoff::NONE)
                .child(server.child(0))
                .start()
                .await
                .unwrap();
            for _ in 0..500 {
                counter.cast(Tell::Add(1)).unwrap();
            }
            let done = || counter.stats().depth == 0 && counter.is_alive();
            eventually(Duration::from_secs(60), done).await;
            let ledger = assert_conserved_when_idle!(counter);
            assert_eq!(ledger.failed, log.len() as u64);
            assert_eq!(ledger.handled + ledger.failed, 500);
            tree.shutdown(Duration::from_secs(5)).await;
            log.crashes()
        })
    };
    let first = storm(11);
    assert!((20..150).contains(&first.len()), "{}", first.len());
    assert_eq!(storm(11), first);
    assert_ne!(storm(12), first);
}

#[test]
#[should_panic(expected = "one plan for")]
fn a_mailbox_has_one_plan() {
    let (server, _) = planned(CrashPlan::new());
    CrashPlan::new().install(server.server());
}
