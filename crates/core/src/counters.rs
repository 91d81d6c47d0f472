//! The conservation law: every message that was sent ended in exactly one way, or is still here.

use std::fmt;

/// Counts of a mailbox over all its readers. All are messages.
///
/// `sent = handled + failed + expired + shed + coalesced + diverted + dead_lettered + purged + cancelled + in_hand +
/// queued`; [`Ledger::lost`] is the difference, and 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ledger {
    /// Accepted. A redelivery is not sent again.
    pub sent: u64,
    /// Handled to the end (by a plain receiver: received).
    pub handled: u64,
    /// In hand at a crash, and dropped.
    pub failed: u64,
    /// Not handled because their time was over.
    pub expired: u64,
    /// Thrown out to make room.
    pub shed: u64,
    /// Replaced by a newer one of the same key.
    pub coalesced: u64,
    /// Handed to the fallback mailbox, where they count as sent.
    pub diverted: u64,
    /// Left over when the mailbox closed, or given up after too many attempts.
    pub dead_lettered: u64,
    /// Thrown out by their own server.
    pub purged: u64,
    /// Calls not handled because their caller had gone.
    pub cancelled: u64,
    /// In a handler now.
    pub in_hand: u64,
    /// Waiting, counted (not derived).
    pub queued: u64,
    /// Put back after a crash, for another attempt; for information: such a message is still here, or ended in one of the
    /// ways above, and is no part of the sum.
    pub redelivered: u64,
}

impl Ledger {
    /// What has left or is still here, all in all.
    pub fn accounted(&self) -> u64 {
        self.handled
            + self.failed
            + self.expired
            + self.shed
            + self.coalesced
            + self.diverted
            + self.dead_lettered
            + self.purged
            + self.cancelled
            + self.in_hand
            + self.queued
    }

    /// Sent less accounted: 0, or something is wrong in this crate. Meaningful on an exact ledger (`audit`).
    pub fn lost(&self) -> i64 {
        self.sent.cast_signed() - self.accounted().cast_signed()
    }
}

/// The counters of several mailboxes taken together.
impl std::ops::AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.handled += other.handled;
        self.failed += other.failed;
        self.expired += other.expired;
        self.shed += other.shed;
        self.coalesced += other.coalesced;
        self.diverted += other.diverted;
        self.dead_lettered += other.dead_lettered;
        self.purged += other.purged;
        self.cancelled += other.cancelled;
        self.in_hand += other.in_hand;
        self.queued += other.queued;
        self.redelivered += other.redelivered;
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sent {} = handled {}", self.sent, self.handled)?;
        for (name, n) in [
            ("failed", self.failed),
            ("expired", self.expired),
            ("shed", self.shed),
            ("coalesced", self.coalesced),
            ("diverted", self.diverted),
            ("dead-lettered", self.dead_lettered),
            ("purged", self.purged),
            ("cancelled", self.cancelled),
            ("in hand", self.in_hand),
            ("queued", self.queued),
        ] {
            if n != 0 {
                write!(f, " + {name} {n}")?;
            }
        }
        if self.redelivered != 0 {
            write!(f, "; redelivered {}", self.redelivered)?;
        }
        write!(f, "; lost {}", self.lost())
    }
}

/// How a message ended without being handled; the name of its counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// See [`Ledger::failed`].
    Failed,
    /// See [`Ledger::expired`].
    Expired,
    /// See [`Ledger::shed`].
    Shed,
    /// See [`Ledger::coalesced`].
    Coalesced,
    /// See [`Ledger::diverted`].
    Diverted,
    /// See [`Ledger::dead_lettered`].
    DeadLettered,
    /// See [`Ledger::purged`].
    Purged,
    /// See [`Ledger::cancelled`].
    Cancelled,
}

impl Ledger {
    /// Counts `n` messages that ended this way.
    pub fn count(&mut self, fate: Fate, n: u64) {
        *match fate {
            Fate::Failed => &mut self.failed,
            Fate::Expired => &mut self.expired,
            Fate::Shed => &mut self.shed,
            Fate::Coalesced => &mut self.coalesced,
            Fate::Diverted => &mut self.diverted,
            Fate::DeadLettered => &mut self.dead_lettered,
            Fate::Purged => &mut self.purged,
            Fate::Cancelled => &mut self.cancelled,
        } += n;
    }
}

/// A cheap look at a mailbox (tens of ns, no effect on its hot path). May be off by what the reader has taken and not
/// yet finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Data messages that wait or are in the reader's batch.
    pub depth: u64,
    /// Their weight; 0 where no limit by weight is set.
    pub weight: u64,
    /// The most that may wait; `None` is unbounded.
    pub capacity: Option<u64>,
    /// An upper bound of the oldest waiting message's age, to within the coarse clock's few ms. A message that
    /// found the reader idle is stamped by the first look at the mailbox, so for it the age counts from that look.
    pub oldest_age: Option<std::time::Duration>,
    /// Senders who wait for room.
    pub waiting_senders: usize,
    /// The counters.
    pub ledger: Ledger,
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    const FATES: [Fate; 8] = [
        Fate::Failed,
        Fate::Expired,
        Fate::Shed,
        Fate::Coalesced,
        Fate::Diverted,
        Fate::DeadLettered,
        Fate::Purged,
        Fate::Cancelled,
    ];

    /// A ledger in which each way to end has a number of its own, so that none can stand for another.
    fn told_apart() -> Ledger {
        let mut ledger = Ledger {
            sent: 5000,
            handled: 1,
            in_hand: 2,
            queued: 4,
            redelivered: 1 << 30,
            ..Ledger::default()
        };
        for (n, fate) in (3..).zip(FATES) {
            ledger.count(fate, 1 << n);
        }
        ledger
    }

    /// Clause 17.1: each term of the sum counts, once and with its sign.
    #[test]
    fn what_is_missing_is_lost_and_what_is_too_much_as_well() {
        let ledger = told_apart();
        assert_eq!(ledger.accounted(), (1 << 11) - 1);
        assert_eq!(ledger.lost(), 5000 - 2047);
        assert!(ledger.to_string().ends_with("; lost 2953"), "{ledger}");
        assert_eq!(Ledger { sent: 7, handled: 9, ..Ledger::default() }.lost(), -2);
        assert_eq!(Ledger { sent: 9, handled: 9, redelivered: 3, ..Ledger::default() }.lost(), 0);
        for (n, fate) in (3..).zip(FATES) {
            let mut more = ledger;
            more.count(fate, 1);
            assert_eq!(more.lost(), ledger.lost() - 1, "{fate:?}");
            assert_eq!(more.accounted() - ledger.accounted(), 1, "{fate:?}");
            let mut one = Ledger::default();
            one.count(fate, 1 << n);
            assert!(one.to_string().contains(&format!(" {}", 1 << n)), "{fate:?}: {one}");
        }
    }

    /// Ledgers of several mailboxes are added term by term.
    #[test]
    fn ledgers_are_added_term_by_term() {
        let mut sum = told_apart();
        sum += told_apart();
        sum += Ledger::default();
        let mut twice = Ledger {
            sent: 10_000,
            handled: 2,
            in_hand: 4,
            queued: 8,
            redelivered: 1 << 31,
            ..Ledger::default()
        };
        for (n, fate) in (3..).zip(FATES) {
            twice.count(fate, 2 << n);
        }
        assert_eq!(sum, twice);
        assert_eq!(sum.lost(), 2 * told_apart().lost());
    }
}
