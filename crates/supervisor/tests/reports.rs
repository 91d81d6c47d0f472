//! What a supervisor has to say of its end.

use crate::support::{Ask, Log, quiet, relentless, slow_worker, worker};
use restante_genserver::CallError;
use restante_supervisor::{Shutdown, Supervisor};
use std::time::Duration;

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
