//! Whether anything was lost, and what else should not have happened.

use super::sender::Sent;
use super::tree::Forest;
use super::{Args, at_rest};
use restante::Ledger;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// What came of a round, or of several.
#[derive(Debug, Default, Clone)]
#[non_exhaustive]
pub struct Verdict {
    /// Handlers that were told to panic at once and did.
    pub panics: u64,
    /// Those that were to.
    pub planned: u64,
    /// Messages that mailboxes have accepted from senders.
    pub accepted: u64,
    /// Calls among them, and those that heard of the end of their server.
    pub calls: u64,
    /// See `calls`.
    pub exited: u64,
    /// Kills from outside.
    pub kills: u64,
    /// Messages that were in hand when their server ended, before their handler had begun.
    pub unbegun: u64,
    /// Incarnations that followed another.
    pub restarts: u64,
    /// Messages of which nobody knows what became: by the conservation law, or by the senders' own count.
    pub lost: u64,
    /// All else that should not have happened.
    pub faults: Vec<String>,
}

impl Verdict {
    pub(super) fn new(planned: u64) -> Self {
        Self { planned, ..Self::default() }
    }

    /// Whether nothing was lost, and nothing else is wrong.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.faults.is_empty()
    }

    /// Takes another round's verdict into this one.
    pub fn add(&mut self, round: Self) {
        self.panics += round.panics;
        self.planned += round.planned;
        self.accepted += round.accepted;
        self.calls += round.calls;
        self.exited += round.exited;
        self.kills += round.kills;
        self.unbegun += round.unbegun;
        self.restarts += round.restarts;
        self.lost += round.lost;
        self.faults.extend(round.faults);
    }

    pub(super) fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// Looks at everything once it is at rest.
    pub(super) async fn judge(&mut self, forest: &Forest, sent: &[Sent]) {
        for sent in sent {
            self.calls += sent.calls;
            self.exited += sent.exited;
            self.kills += sent.kills;
            self.faults.extend_from_slice(&sent.faults);
        }
        let mut all = Ledger::default();
        for (at, (target, seen)) in forest.targets.iter().enumerate() {
            let Some(ledger) = at_rest(target).await else {
                self.fault(format!("target {at} does not come to rest"));
                continue;
            };
            all += ledger;
            self.restarts += u64::from(target.incarnation().saturating_sub(1));
            let accepted = sent.iter().map(|sent| sent.accepted[at]).sum();
            self.accepted += accepted;
            self.judge_one(at, accepted, &ledger, seen);
        }
        if forest.root.audit() != Some(all) {
            self.fault(format!("the tree's audit is {:?}, that of its mailboxes {all}", forest.root.audit()));
        }
        // Who is killed may have a message in hand whose handler has not begun: that one does not panic.
        if self.panics > self.planned || self.planned - self.panics > self.unbegun {
            self.fault(format!("{} panics of {}, {} unbegun", self.panics, self.planned, self.unbegun));
        }
    }

    fn judge_one(&mut self, at: usize, accepted: u64, ledger: &Ledger, seen: &Args) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (entered, finished) = (count(&seen.entered), count(&seen.finished));
        self.panics += count(&seen.panics);
        self.unbegun += accepted.saturating_sub(entered);
        // By the mailbox's own law, and by those who sent and those who handled: what did not come to the end of its
        // handler was in hand when its server ended, and nothing else can have become of it.
        let by_law = ledger.lost().unsigned_abs();
        let by_count = accepted.abs_diff(finished + ledger.failed);
        self.lost += by_law.max(by_count);
        let elsewhere = ledger.accounted() - ledger.handled - ledger.failed - ledger.cancelled;
        let wrong = by_law + by_count + elsewhere + count(&seen.disorder) + count(&seen.crowded) > 0;
        if wrong || entered > accepted {
            self.fault(format!(
                "target {at}: {accepted} accepted, {entered} begun, {finished} finished, {} out of order, {} \
                 incarnations too many; {ledger}",
                count(&seen.disorder),
                count(&seen.crowded),
            ));
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} panics, {} kills, {} restarts, {} messages ({} calls, {} of them ended with their server)",
            self.panics, self.kills, self.restarts, self.accepted, self.calls, self.exited
        )
    }
}
