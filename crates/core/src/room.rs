//! Room: what has been sent less what has left. Pure arithmetic; both sides call it, the senders under their lock.
//!
//! `out` is counted by the reader alone, with plain stores on its own line; senders keep the value they last saw and
//! read it anew only when the mailbox looks full. So the bound is exact, and giving room back takes no lock.

/// Room by count and, where a limit is set, by weight. (In this order in memory: what every send needs first.)
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Room {
    /// Data messages that ever entered a lane.
    sent: u64,
    /// The `sent` at which the mailbox looks full: worked out when anything else changes, so that a send compares once.
    full_at: u64,
    /// Data messages that senders took out again (shed, coalesced).
    gone: u64,
    /// The reader's `out`, as last seen.
    seen: u64,
    /// Slots promised to permits and woken waiters.
    reserved: u32,
    /// `u32::MAX`: unbounded. (A bound of more than 4 billion messages is none.)
    capacity: u32,
    /// Only where a limit is set.
    weight: Option<Box<Weights>>,
}

#[derive(Debug, Default)]
struct Weights {
    limit: u64,
    sent: u64,
    gone: u64,
    seen: u64,
    reserved: u64,
}

impl Room {
    /// Room for `capacity` messages (`None`: unbounded) of together at most `weight_limit`.
    pub(crate) fn new(capacity: Option<usize>, weight_limit: Option<u64>) -> Self {
        let mut room = Self {
            sent: 0,
            gone: 0,
            seen: 0,
            reserved: 0,
            capacity: capacity.map_or(u32::MAX, |c| u32::try_from(c).unwrap_or(u32::MAX)),
            full_at: 0,
            weight: weight_limit.map(|limit| Box::new(Weights { limit, ..Weights::default() })),
        };
        room.work_out();
        room
    }

    #[inline(always)]
    fn work_out(&mut self) {
        self.full_at = if self.capacity == u32::MAX {
            u64::MAX
        } else {
            (self.gone + self.seen + u64::from(self.capacity)).saturating_sub(u64::from(self.reserved))
        };
    }

    /// The most messages that may wait; `None` is unbounded.
    pub(crate) fn capacity(&self) -> Option<u64> {
        (self.capacity != u32::MAX).then_some(u64::from(self.capacity))
    }

    /// The most weight that may wait.
    pub(crate) fn weight_limit(&self) -> Option<u64> {
        self.weight.as_ref().map(|w| w.limit)
    }

    /// Data messages that entered.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Data messages inside, as far as `out` has been seen.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.sent - self.gone - self.seen
    }

    /// Weight inside, as far as seen; 0 where no limit is set.
    pub(crate) fn weight(&self) -> u64 {
        self.weight.as_ref().map_or(0, |w| w.sent - w.gone - w.seen)
    }

    fn bound(&self) -> u64 {
        if self.capacity == u32::MAX { u64::MAX } else { u64::from(self.capacity) }
    }

    /// Whether one more message does not fit, as far as seen. Weight is not looked at.
    #[inline(always)]
    pub(crate) fn looks_full(&self) -> bool {
        self.sent >= self.full_at
    }

    /// Takes note of how far the reader is.
    #[inline(always)]
    pub(crate) fn see(&mut self, out: u64, weight_out: u64) {
        self.seen = out;
        self.work_out();
        if let Some(w) = &mut self.weight {
            w.seen = weight_out;
        }
    }

    /// How far the reader has been seen to be.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether one more message of this weight fits, as far as seen.
    pub(crate) fn fits(&self, weight: u32) -> bool {
        !self.looks_full()
            && self
                .weight
                .as_ref()
                .is_none_or(|w| w.sent - w.gone - w.seen + w.reserved + u64::from(weight) <= w.limit)
    }

    /// Whether a message of this weight fits where one of weight `old` goes, as far as seen.
    pub(crate) fn fits_instead(&self, old: u32, weight: u32) -> bool {
        weight <= old
            || self.weight.as_ref().is_none_or(|w| {
                w.sent - w.gone - w.seen + w.reserved + u64::from(weight) - u64::from(old) <= w.limit
            })
    }

    /// Whether a message of this weight can never fit.
    pub(crate) fn is_too_heavy(&self, weight: u32) -> bool {
        self.weight.as_ref().is_some_and(|w| u64::from(weight) > w.limit)
    }

    /// One more message is inside.
    #[inline(always)]
    pub(crate) fn enter(&mut self) {
        self.sent += 1;
    }

    /// The weight of a message that entered.
    pub(crate) fn enter_weight(&mut self, weight: u32) {
        if let Some(w) = &mut self.weight {
            w.sent += u64::from(weight);
        }
    }

    /// A sender took a message out again.
    pub(crate) fn remove(&mut self, weight: u32) {
        self.gone += 1;
        self.work_out();
        if let Some(w) = &mut self.weight {
            w.gone += u64::from(weight);
        }
    }

    /// Promises a slot.
    pub(crate) fn reserve(&mut self, weight: u32) {
        self.reserved += 1;
        self.work_out();
        if let Some(w) = &mut self.weight {
            w.reserved += u64::from(weight);
        }
    }

    /// Takes a promise back.
    pub(crate) fn unreserve(&mut self, weight: u32) {
        debug_assert!(self.reserved > 0, "a promise is taken back once");
        self.reserved -= 1;
        self.work_out();
        if let Some(w) = &mut self.weight {
            w.reserved -= u64::from(weight);
        }
    }

    /// The value of `out` at which the mailbox is half empty: when waiting senders are woken.
    pub(crate) fn half_empty_at(&self) -> u64 {
        (self.sent - self.gone).saturating_sub(self.bound() / 2)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_only_when_the_reader_has_been_seen_to_pass() {
        let mut r = Room::new(Some(2), None);
        r.enter();
        r.enter();
        assert!(r.looks_full());
        r.see(1, 0);
        assert!(r.fits(1));
        r.reserve(1);
        assert!(r.looks_full(), "a promised slot is taken");
        r.unreserve(1);
        assert!(r.fits(1));
    }

    #[test]
    fn weight_is_bounded_beside_the_count() {
        let mut r = Room::new(Some(10), Some(100));
        assert!(r.is_too_heavy(101) && !r.is_too_heavy(100));
        r.enter();
        r.enter_weight(70);
        assert!(r.fits(30) && !r.fits(31));
        r.see(1, 70);
        assert!(r.fits(100));
    }

    /// A promise that is taken back gives its weight back, so that the limit is not used up by promises.
    #[test]
    fn a_promise_holds_its_weight_until_it_is_taken_back() {
        let mut r = Room::new(None, Some(10));
        for _ in 0..5 {
            r.reserve(6);
            assert!(r.fits(4) && !r.fits(5));
            assert!(r.fits_instead(1, 5) && !r.fits_instead(1, 6));
            r.unreserve(6);
            assert!(r.fits(10) && !r.fits(11));
        }
    }

    /// Clause 3.2.
    #[test]
    fn unbounded_is_never_full() {
        let mut r = Room::new(None, None);
        (0..10_000).for_each(|_| r.enter());
        assert!(r.fits(u32::MAX));
    }

    /// Clause 3.10: what has left gives its weight back, whether the reader took it or a sender.
    #[test]
    fn what_has_left_weighs_nothing_any_more() {
        let mut r = Room::new(None, Some(100));
        for _ in 0..2 {
            r.enter();
            r.enter_weight(40);
        }
        assert_eq!((r.weight(), r.fits(20), r.fits(21)), (80, true, false));
        assert!(r.fits_instead(10, 30) && !r.fits_instead(10, 31));
        r.remove(40);
        assert_eq!((r.len(), r.weight(), r.fits(60), r.fits(61)), (1, 40, true, false));
        assert!(r.fits_instead(10, 70) && !r.fits_instead(10, 71));
        r.see(1, 40);
        assert_eq!((r.len(), r.weight(), r.fits(100), r.fits(101)), (0, 0, true, false));
        assert!(r.fits_instead(10, 110) && !r.fits_instead(10, 111));
    }

    /// What is put back may lie above the limit. One that is no heavier than what it replaces makes that no worse.
    #[test]
    fn one_that_is_no_heavier_always_fits_where_another_goes() {
        let mut r = Room::new(None, Some(10));
        r.enter();
        r.enter_weight(25);
        assert!(!r.fits(1));
        assert!(r.fits_instead(25, 25) && r.fits_instead(25, 24) && !r.fits_instead(25, 26));
    }

    #[test]
    fn where_no_weight_is_limited_none_is_counted() {
        let mut r = Room::new(Some(2), None);
        assert_eq!((r.weight(), r.weight_limit(), r.capacity()), (0, None, Some(2)));
        r.enter();
        r.enter_weight(7);
        assert_eq!((r.weight(), r.len()), (0, 1));
        assert!(r.fits_instead(1, 1000) && !r.is_too_heavy(u32::MAX));
    }

    /// Clause 3.3: those who wait are given room when the mailbox is half empty. Without a bound no sender waits for that.
    #[test]
    fn half_empty_is_when_half_of_the_bound_is_inside() {
        let mut r = Room::new(Some(10), None);
        (0..10).for_each(|_| r.enter());
        assert_eq!(r.half_empty_at(), 5);
        r.see(5, 0);
        assert_eq!((r.half_empty_at(), r.seen()), (5, 5));
        (0..5).for_each(|_| r.enter());
        assert_eq!(r.half_empty_at(), 10);
        r.remove(1);
        assert_eq!((r.half_empty_at(), r.seen()), (9, 5), "what a sender took out is out");
        let mut few = Room::new(Some(10), None);
        (0..5).for_each(|_| few.enter());
        assert_eq!(few.half_empty_at(), 0, "it is half empty now");
        few.enter();
        assert_eq!(few.half_empty_at(), 1);
        let mut unbounded = Room::new(None, None);
        (0..100).for_each(|_| unbounded.enter());
        assert_eq!(unbounded.half_empty_at(), 0);
    }

    /// Clause 3.1: what a sender takes out again gives its place back at once.
    #[test]
    fn what_a_sender_takes_out_gives_its_place_back() {
        let mut r = Room::new(Some(2), None);
        (0..2).for_each(|_| r.enter());
        assert!(r.looks_full());
        r.remove(1);
        assert!(!r.looks_full());
        assert_eq!((r.sent(), r.len()), (2, 1));
        r.enter();
        assert!(r.looks_full() && r.sent() == 3);
        assert_eq!(Room::new(None, Some(7)).weight_limit(), Some(7));
    }
}
