//! Chaos: senders keep supervised servers busy while these panic, fail, stop and are killed, and at the end every message
//! is asked after.
//!
//! A run is cut into numbered rounds. What a round does (the tree, who sends what to whom, which messages panic) is a
//! function of seed and round; how the threads interleave is not. Each round makes its own tree, and ends by proving that
//! nothing of it was lost.
//!
//! ```text
//!  senders ──casts, calls──> 100 mailboxes ──> targets, which panic ──> one_for_one, one_for_all, rest_for_one
//!     └── what each had accepted ─────┐   └── what came in, in which order ──┐
//!                                     └──────────> verdict <─────────────────┘ and the ledgers
//! ```

mod sender;
mod target;
mod tree;
mod verdict;

pub use target::quiet;
pub use verdict::Verdict;

use restante::ExitReason;
use sender::{Sender, Sent};
use std::sync::Arc;
use std::time::Duration;
use target::{Ask, Seen, Target, Tell, What};
use tree::Forest;

/// Nothing in a round takes so long, unless it never ends.
const STUCK: Duration = Duration::from_secs(60);

/// What a run is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// All chance comes from it.
    pub seed: u64,
    /// Servers under supervision.
    pub servers: usize,
    /// Tasks that send to all of them.
    pub senders: usize,
    /// Messages that a mailbox holds.
    pub capacity: usize,
}

impl Plan {
    /// 100 servers of the usual capacity, 8 senders.
    pub fn new(seed: u64) -> Self {
        Self { seed, servers: 100, senders: 8, capacity: restante::DEFAULT_CAPACITY }
    }

    /// The source of chance of one part of a round.
    fn dice(&self, round: u64, part: usize) -> fastrand::Rng {
        let mut dice = fastrand::Rng::with_seed(self.seed);
        let round = dice.u64(..) ^ round;
        let part = fastrand::Rng::with_seed(round).u64(..) ^ part as u64;
        fastrand::Rng::with_seed(part)
    }

    /// Does one round, of so many panics, and judges it. To be run on a runtime of several threads.
    ///
    /// # Panics
    /// A fault of this check itself.
    pub async fn round(&self, round: u64, panics: u64) -> Verdict {
        let forest = Forest::plant(self, &mut self.dice(round, 0)).await;
        let mut tasks = Vec::new();
        for number in 0..self.senders {
            let share =
                panics / self.senders as u64 + u64::from((number as u64) < panics % self.senders as u64);
            let sender = Sender::new(number, share, &forest, self.dice(round, number + 1));
            tasks.push(tokio::spawn(sender.run()));
        }
        let mut sent: Vec<Sent> = Vec::new();
        for task in tasks {
            sent.push(task.await.expect("a sender does not panic"));
        }
        let mut verdict = Verdict::new(panics);
        sent.push(drain(&forest, self.senders).await);
        let report = forest.root.shutdown(STUCK).await;
        if !report.is_clean() {
            verdict.fault(format!("the shutdown was not clean: {report}"));
        }
        verdict.judge(&forest, &sent).await;
        verdict
    }
}

/// Asks each server for a last answer: behind everything that was queued.
async fn drain(forest: &Forest, number: usize) -> Sent {
    let mut sent = Sent::new(forest.targets.len());
    for (at, (target, _)) in forest.targets.iter().enumerate() {
        // A target may still be on its way down, with others of its group.
        for n in 1.. {
            let tell = Tell { from: number, n, what: What::Note };
            let answer = target.call(|reply| Ask { tell, reply }).timeout(STUCK).await;
            if sent.answered(at, answer) {
                break;
            }
        }
    }
    sent
}

/// A name that tells which of many.
fn name(kind: &str, number: usize) -> String {
    format!("{kind}{number}")
}

/// What a target's ledger is asked for again and again, until it is at rest.
async fn at_rest(target: &restante::ServerRef<Target>) -> Option<restante::Ledger> {
    let look = async {
        loop {
            if let Some(ledger) = target.audit() {
                return ledger;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(STUCK, look).await.ok()
}

/// What `init` of a target is lent.
type Args = Arc<Seen>;

/// Whether this is how a target ends here.
fn is_ours(reason: &ExitReason) -> bool {
    match reason {
        ExitReason::Panic(panic) => panic.message.starts_with(target::CHAOS),
        ExitReason::Error(error) => error.to_string().starts_with(target::CHAOS),
        ExitReason::Normal | ExitReason::Killed | ExitReason::Shutdown => true,
        _ => false,
    }
}
