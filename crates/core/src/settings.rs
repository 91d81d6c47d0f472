//! What is fixed when a mailbox is made.

use crate::dead_letter::DeadLetter;
use crate::error::SettingsError;
use crate::lanes::LaneOrder;
use crate::outlet::Outlet;
use crate::overflow::Overflow;
use crate::rate::RateLimit;
use crate::recipient::Recipient;
use crate::sync::{AtomicU64, Ordering};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The default bound of a mailbox: 1024 messages.
///
/// Enough that a producer is not stopped at every hiccup of its consumer and that wake-ups are shared by hundreds of
/// messages; little enough that a stuck server is noticed after a thousand messages and not by the machine's memory.
/// Memory is taken as messages come, so an idle mailbox does not pay for it.
pub const DEFAULT_CAPACITY: usize = 1024;

/// Where a newer message of the same key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coalesce {
    /// Into the older one's place in the queue: a stream of updates never delays itself. The default.
    #[default]
    KeepPlace,
    /// To the back: it is read after everything that was sent before it.
    MoveBack,
}

/// Measures a message, in the unit of the weight limit.
pub type Weigh<M> = Arc<dyn Fn(&M) -> u32 + Send + Sync>;

/// What is fixed when a mailbox is made. See the methods of [`MailboxBuilder`](crate::MailboxBuilder), which fill it in.
pub struct Settings<M> {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) capacity: Option<usize>,
    pub(crate) weight_limit: Option<u64>,
    pub(crate) weigh: Outlet<Weigh<M>>,
    pub(crate) overflow: Outlet<Overflow<M>>,
    /// What the policy says of itself, for where it is not at hand.
    waits: bool,
    sheds: bool,
    pub(crate) ttl: Option<Duration>,
    pub(crate) dead_letters: Outlet<Recipient<DeadLetter<M>>>,
    pub(crate) coalesce: Option<Coalesce>,
    pub(crate) starvation_bound: u32,
    pub(crate) rate: Option<RateLimit>,
    pub(crate) batch_max: Option<usize>,
    /// Weight that the reader took out; its own line's business, but rare enough to lie here.
    pub(crate) weight_out: AtomicU64,
}

impl<M> Default for Settings<M> {
    fn default() -> Self {
        Self {
            name: None,
            capacity: Some(DEFAULT_CAPACITY),
            weight_limit: None,
            weigh: Outlet::none(),
            overflow: Outlet::none(),
            waits: true,
            sheds: false,
            ttl: None,
            dead_letters: Outlet::none(),
            coalesce: None,
            starvation_bound: LaneOrder::DEFAULT_BOUND,
            rate: None,
            batch_max: None,
            weight_out: AtomicU64::new(0),
        }
    }
}

impl<M> fmt::Debug for Settings<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("capacity", &self.capacity)
            .field("weight_limit", &self.weight_limit)
            .field("overflow", &self.overflow.get())
            .field("ttl", &self.ttl)
            .field("coalesce", &self.coalesce)
            .field("starvation_bound", &self.starvation_bound)
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

impl<M: Send + 'static> Settings<M> {
    /// The name, for people (errors, traces, dead letters); no registry knows it.
    #[must_use]
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The most messages that may wait (default [`DEFAULT_CAPACITY`]), exactly. 0 is refused when the mailbox is made.
    #[must_use]
    pub fn capacity(mut self, messages: usize) -> Self {
        self.capacity = Some(messages);
        self
    }

    /// No bound by count: the queue may grow until memory ends. For mailboxes whose senders are bounded elsewhere.
    #[must_use]
    pub fn unbounded(mut self) -> Self {
        self.capacity = None;
        self
    }

    /// The most weight that may wait, and how a message is weighed (its bytes, say). A message that says its weight
    /// with [`SendOptions::weight`](crate::SendOptions::weight) is not weighed; the least weight is 1.
    #[must_use]
    pub fn weight_limit(mut self, limit: u64, weigh: impl Fn(&M) -> u32 + Send + Sync + 'static) -> Self {
        self.weight_limit = Some(limit);
        self.weigh = Outlet::new(Arc::new(weigh));
        self
    }

    /// What happens to a message for which there is no room (default [`Overflow::wait`]).
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow<M>) -> Self {
        (self.waits, self.sheds) = (overflow.waits(), overflow.policy().sheds());
        self.overflow = Outlet::new(overflow);
        self
    }

    /// How long a message that says nothing else may wait (default: for ever). Zero refuses such messages.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Where messages go that will not be handled: shed, expired, or left over when the mailbox closes.
    #[must_use]
    pub fn dead_letters(mut self, to: Recipient<DeadLetter<M>>) -> Self {
        self.dead_letters = Outlet::new(to);
        self
    }

    /// Where a newer message of an equal key goes (default [`Coalesce::KeepPlace`]). Setting it also keeps the
    /// reader's batches small (at most a quarter of the capacity, and 32), so that there is something to coalesce
    /// with: what the reader has taken already is out of reach. Looking for the key costs time linear in the lane.
    #[must_use]
    pub fn coalesce(mut self, place: Coalesce) -> Self {
        self.coalesce = Some(place);
        self
    }

    /// The normal and low lanes are each read at least once in about so many messages while something waits in them, however
    /// much comes in higher lanes. The default is 64, the least is 1. Control is not held up by this.
    #[must_use]
    pub fn starvation_bound(mut self, messages: u32) -> Self {
        self.starvation_bound = messages.max(1);
        self
    }

    /// At most `messages` at once, and so many per `period` in the long run; others are refused with the time to wait.
    /// Costs a clock reading (22 ns) per send.
    #[must_use]
    pub fn rate_limit(mut self, messages: u32, period: Duration) -> Self {
        self.rate = Some(RateLimit { burst: messages, period });
        self
    }

    /// The reader takes at most so many messages out of each lane at once: what it has not taken others can look at, also
    /// while it is busy for long.
    #[doc(hidden)]
    #[must_use]
    pub fn batch_max(mut self, messages: usize) -> Self {
        self.batch_max = Some(messages.max(1));
        self
    }

    /// Whether these settings make a mailbox.
    ///
    /// # Errors
    /// Each [`SettingsError`] names the setting.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.capacity == Some(0) {
            return Err(SettingsError::ZeroCapacity);
        }
        if self.weight_limit == Some(0) {
            return Err(SettingsError::ZeroWeight);
        }
        if self.rate.is_some_and(|r| r.burst == 0 || r.period.is_zero()) {
            return Err(SettingsError::ZeroRate);
        }
        Ok(())
    }
}

impl<M> Settings<M> {
    /// Whether every send must take the long way.
    pub(crate) fn needs_policy(&self) -> bool {
        self.weight_limit.is_some() || self.ttl.is_some() || self.rate.is_some()
    }

    /// Whether a mailbox without this box would behave the same (but for its capacity).
    pub(crate) fn is_plain(&self) -> bool {
        self.name.is_none()
            && !self.needs_policy()
            && !self.overflow.is_set()
            && !self.dead_letters.is_set()
            && self.coalesce.is_none()
            && self.batch_max.is_none()
            && self.starvation_bound == LaneOrder::DEFAULT_BOUND
    }

    /// The capacity, where nothing else differs from the defaults: such a mailbox needs no settings of its own.
    #[doc(hidden)]
    pub fn only_capacity(&self) -> Option<Option<usize>> {
        self.is_plain().then_some(self.capacity)
    }

    /// The mailbox has settled, or its memory goes: what is the user's goes, piece by piece.
    pub(crate) fn let_go(&self) {
        self.weigh.let_go("a measure of weight");
        self.overflow.let_go("a fallback");
        self.dead_letters.let_go("a taker of dead letters");
    }

    /// A message of this weight has left its lane. Called by the reader, for each that is not of the control lane.
    #[inline]
    pub(crate) fn weight_left(&self, weight: u32) {
        if self.weight_limit.is_some() {
            let out = self.weight_out.load(Ordering::Relaxed) + u64::from(weight);
            self.weight_out.store(out, Ordering::Release);
        }
    }

    /// A message of this weight is put back into its lane, from which it had left.
    pub(crate) fn weight_back(&self, weight: u32) {
        if self.weight_limit.is_some() {
            let out = self.weight_out.load(Ordering::Relaxed) - u64::from(weight);
            self.weight_out.store(out, Ordering::Release);
        }
    }

    /// Whether an asking sender waits for room.
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    /// The most that the reader takes at once out of each lane.
    pub(crate) fn batch_limit(&self) -> usize {
        let small = self.coalesce.is_some() || self.sheds;
        let limit = match self.capacity {
            _ if !small => usize::MAX,
            Some(capacity) => (capacity / 4).clamp(1, 32),
            None => 32,
        };
        self.batch_max.map_or(limit, |max| max.min(limit))
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    /// Clauses 3.7, 4.3: at most 32 messages, and a quarter of the capacity, where what is queued may be taken out again.
    #[test]
    fn batches_are_small_where_something_must_be_left_to_shed_or_replace() {
        let plain = Settings::<u32>::default;
        let small: [fn(Settings<u32>) -> Settings<u32>; 2] =
            [|s| s.overflow(Overflow::shed_oldest()), |s| s.coalesce(Coalesce::KeepPlace)];
        for small in small {
            for (capacity, limit) in
                [(1, 1), (3, 1), (4, 1), (8, 2), (64, 16), (127, 31), (128, 32), (1 << 20, 32)]
            {
                assert_eq!(small(plain().capacity(capacity)).batch_limit(), limit, "capacity {capacity}");
            }
            assert_eq!(small(plain().unbounded()).batch_limit(), 32);
            assert_eq!(small(plain().batch_max(5)).batch_limit(), 5);
            assert_eq!(small(plain().batch_max(50)).batch_limit(), 32);
        }
        for free in [plain(), plain().overflow(Overflow::wait()), plain().overflow(Overflow::reject())] {
            assert_eq!(free.batch_limit(), usize::MAX);
        }
    }

    /// Clauses 2.3, 3.1: what is not set.
    #[test]
    fn unless_set_there_is_room_for_1024_and_low_comes_once_in_64() {
        let settings = Settings::<u32>::default();
        assert_eq!((settings.capacity, settings.starvation_bound), (Some(1024), 64));
        assert!(settings.is_plain() && !settings.overflow.is_set() && settings.ttl.is_none());
        assert_eq!(settings.starvation_bound(0).starvation_bound, 1);
    }
}
