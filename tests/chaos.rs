//! Handlers panic under load by the hundred thousand, and nothing that was queued is lost. The same for as long as one
//! likes: `cargo xtask chaos`.

use restante_tests::chaos::{Plan, Verdict, quiet};

/// Does one round on two workers; a failure says how to have the same again.
fn check(adjust: impl FnOnce(&mut Plan), panics: u64) -> Verdict {
    quiet();
    let given = std::env::var("RESTANTE_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut plan = Plan::new(given.unwrap_or_else(|| fastrand::u64(..)));
    adjust(&mut plan);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("there are threads to be had");
    let verdict = runtime.block_on(plan.round(0, panics));
    assert!(
        verdict.is_clean(),
        "RESTANTE_SEED={}: lost = {}, {:#?}",
        plan.seed,
        verdict.lost,
        verdict.faults
    );
    verdict
}

/// Rows G3, G4, clauses 2.1, 5.1, 5.2, 5.3, 5.4, 5.7, 17.1: 10^5 panics from eight senders over a hundred servers, with calls,
/// errors, stops and kills among them, under all strategies.
#[test]
fn a_hundred_thousand_panics_lose_nothing_that_was_queued() {
    // (A few are killed before they come to it.)
    let verdict = check(|_| {}, 101_000);
    assert!(verdict.panics >= 100_000, "{verdict}");
    assert!(verdict.restarts > verdict.panics, "others were restarted with them: {verdict}");
}

/// Rows D4, G4, clauses 3.3, 5.2, 17.1: the same where the senders wait in line before mailboxes that are full.
#[test]
fn senders_who_wait_in_line_lose_nothing_over_panics() {
    let narrow = |plan: &mut Plan| {
        plan.capacity = 2;
        plan.servers = 10;
    };
    let verdict = check(narrow, 20_000);
    assert!(verdict.panics >= 19_000, "{verdict}");
}
