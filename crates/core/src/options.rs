//! What a message may carry beside itself: lane, deadline, weight, key.

use crate::clock::{self, Instant};
use crate::lane::Lane;
use std::sync::Arc;
use std::time::Duration;
use tracing::Span;

/// How one message is to be sent. The default: normal lane, no limit, weight 1, no key.
///
/// ```
/// use restante_core::{Lane, SendOptions};
/// use std::time::Duration;
/// let urgent = SendOptions::new().lane(Lane::High).ttl(Duration::from_secs(2));
/// # let _ = urgent;
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[must_use]
pub struct SendOptions {
    pub(crate) lane: Lane,
    pub(crate) ttl: Option<Duration>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) weight: Option<u32>,
    key: Option<(u64, u64)>,
}

impl SendOptions {
    /// The default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// The lane (default: [`Lane::Normal`]).
    pub fn lane(mut self, lane: Lane) -> Self {
        self.lane = lane;
        self
    }

    /// How long the message may wait in the queue (default: the mailbox's, else for ever). Zero expires at once: the
    /// send is refused with [`SendError::Expired`](crate::SendError::Expired). `Duration::MAX` is for ever.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The instant from which the message is not worth handling any more. With [`SendOptions::ttl`] the earlier counts.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The weight (default: the mailbox's measure, else 1), in the unit that the mailbox's limit is in.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = Some(weight);
        self
    }

    /// Messages with an equal key coalesce: while one waits in the queue, a newer one takes its place. Looking for the key costs
    /// this and other senders time linear in the number of messages that wait in the lane behind the first that carries
    /// anything: keyed messages are for bounded mailboxes.
    pub fn key(mut self, key: impl Into<u128>) -> Self {
        self.key = Some(halves(key.into()));
        self
    }

    /// The default, as a constant.
    pub(crate) const fn plain() -> Self {
        Self { lane: Lane::Normal, ttl: None, deadline: None, weight: None, key: None }
    }

    /// The key in one piece.
    pub(crate) fn get_key(&self) -> Option<u128> {
        self.key.map(whole)
    }

    /// Normal lane and nothing carried.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.lane == Lane::Normal
            && self.ttl.is_none()
            && self.deadline.is_none()
            && self.weight.is_none()
            && self.key.is_none()
    }

    /// The deadline that holds, given the mailbox's own time to live; `Err` when it has passed already.
    pub(crate) fn resolve_deadline(&self, mailbox_ttl: Option<Duration>) -> Result<Option<Instant>, ()> {
        let ttl = self.ttl.or(mailbox_ttl);
        if ttl.is_none() && self.deadline.is_none() {
            return Ok(None);
        }
        let now = clock::now();
        let from_ttl = ttl.and_then(|t| clock::deadline(now, t));
        let due = match (from_ttl, self.deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if due.is_some_and(|d| d <= now) { Err(()) } else { Ok(due) }
    }
}

/// A key in two words: a `u128` would align everything around it to 16 bytes.
#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
fn halves(key: u128) -> (u64, u64) {
    ((key >> 64) as u64, (key & u128::from(u64::MAX)) as u64)
}

fn whole((high, low): (u64, u64)) -> u128 {
    (u128::from(high) << 64) | u128::from(low)
}

/// What a queued message carries; lies beside the message only where it is not plain.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Meta {
    deadline: Option<Instant>,
    key: Option<(u64, u64)>,
    /// 0 means 1: the weight of a message that says nothing.
    weight: u32,
    /// How many handlers started on it before.
    attempts: u32,
    /// In which span it was sent, where the mailbox is traced. (Shared: its drop is a subscriber's code, and not for every
    /// place that drops a `Meta`.)
    span: Option<Arc<Span>>,
}

impl Meta {
    /// Nothing that would need a place of its own.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// With this deadline.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// With this key.
    #[must_use]
    pub fn with_key(mut self, key: u128) -> Self {
        self.key = Some(halves(key));
        self
    }

    /// With this weight.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// With this count of attempts.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// With the span that the message was sent in.
    #[must_use]
    pub fn with_span(mut self, span: Option<Arc<Span>>) -> Self {
        self.span = span;
        self
    }

    /// The span that it was sent in.
    pub fn span(&self) -> Option<&Arc<Span>> {
        self.span.as_ref()
    }

    /// From when on it is not handled any more.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Its coalescing key.
    pub fn key(&self) -> Option<u128> {
        self.key.map(whole)
    }

    /// Its weight.
    pub fn weight(&self) -> u32 {
        if self.weight == 0 { 1 } else { self.weight }
    }

    /// How many handlers started on it before.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}
