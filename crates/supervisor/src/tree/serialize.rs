//! What a tree holds of other crates, as JSON has it; the names are promised in [`Tree`](super::Tree).

use crate::intensity::Intensity;
use restante_core::{Exit, Ledger, Stats};
use restante_genserver::sys::InHandNow;
use serde::{Serialize, Serializer};
use std::time::Duration;

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
pub(super) fn ms<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    duration.map(whole_ms).serialize(to)
}

#[derive(Serialize)]
struct InHandFields {
    phase: String,
    name: &'static str,
    since_ms: Option<u64>,
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
pub(super) fn in_hand<S: Serializer>(in_hand: &Option<InHandNow>, to: S) -> Result<S::Ok, S::Error> {
    let fields = in_hand.map(|now| InHandFields {
        phase: now.phase.to_string(),
        name: now.name,
        since_ms: now.since.map(whole_ms),
    });
    fields.serialize(to)
}

#[derive(Serialize)]
struct ExitFields {
    reason: String,
    orderly: bool,
    phase: String,
    message: Option<&'static str>,
    incarnation: u32,
    /// How it was ending when `terminate` failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
pub(super) fn exit<S: Serializer>(exit: &Option<Exit>, to: S) -> Result<S::Ok, S::Error> {
    let fields = exit.as_ref().map(|exit| ExitFields {
        reason: exit.reason.to_string(),
        orderly: exit.reason.is_orderly(),
        phase: exit.phase.to_string(),
        message: exit.message,
        incarnation: exit.incarnation,
        before: exit.before.as_ref().map(ToString::to_string),
    });
    fields.serialize(to)
}

#[derive(Serialize)]
struct LedgerFields {
    sent: u64,
    handled: u64,
    failed: u64,
    expired: u64,
    shed: u64,
    coalesced: u64,
    diverted: u64,
    dead_lettered: u64,
    purged: u64,
    cancelled: u64,
    in_hand: u64,
    queued: u64,
    lost: i64,
}

impl From<&Ledger> for LedgerFields {
    fn from(ledger: &Ledger) -> Self {
        Self {
            sent: ledger.sent,
            handled: ledger.handled,
            failed: ledger.failed,
            expired: ledger.expired,
            shed: ledger.shed,
            coalesced: ledger.coalesced,
            diverted: ledger.diverted,
            dead_lettered: ledger.dead_lettered,
            purged: ledger.purged,
            cancelled: ledger.cancelled,
            in_hand: ledger.in_hand,
            queued: ledger.queued,
            lost: ledger.lost(),
        }
    }
}

pub(super) fn ledger<S: Serializer>(ledger: &Ledger, to: S) -> Result<S::Ok, S::Error> {
    LedgerFields::from(ledger).serialize(to)
}

#[derive(Serialize)]
struct StatsFields {
    depth: u64,
    capacity: Option<u64>,
    weight: u64,
    oldest_age_ms: Option<u64>,
    waiting_senders: usize,
    ledger: LedgerFields,
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
pub(super) fn stats<S: Serializer>(stats: &Option<Stats>, to: S) -> Result<S::Ok, S::Error> {
    let fields = stats.as_ref().map(|stats| StatsFields {
        depth: stats.depth,
        capacity: stats.capacity,
        weight: stats.weight,
        oldest_age_ms: stats.oldest_age.map(whole_ms),
        waiting_senders: stats.waiting_senders,
        ledger: LedgerFields::from(&stats.ledger),
    });
    fields.serialize(to)
}

#[derive(Serialize)]
struct IntensityFields {
    max: Option<u32>,
    period_ms: u64,
}

pub(super) fn intensity<S: Serializer>(intensity: &Intensity, to: S) -> Result<S::Ok, S::Error> {
    IntensityFields { max: intensity.max, period_ms: whole_ms(intensity.period) }.serialize(to)
}
