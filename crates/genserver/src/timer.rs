//! A server's timers. They live with the incarnation and fire as infos that never pass through the mailbox: so a tick of
//! a cancelled, replaced or dead timer, or of an earlier incarnation, cannot arrive.
//!
//! Whose turn it is, between ticks and the mailbox, is decided here, by a rule that is told the time ([`Timers::tick`]):
//!
//! - A *round* begins when the loop asks for a tick and none is under way. It notes how far timers are due: those that are
//!   due by then, and were set by then, tick once each. One that is set while their handlers run, or that ticks again,
//!   is due later than that mark, and belongs to the next round, however long the handlers take.
//! - When no tick of the round is left the loop takes a message. That ends the round ([`Timers::end_round`]), and so does
//!   the lack of one.
//! - A timer with a fixed delay has no time at all while its tick is in a handler; it gets one when that is over
//!   ([`Timers::end_tick`]).

use restante_core::quiet;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Names one timer of one incarnation of a server, for cancelling it. No other has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerId {
    /// The incarnation, among all there have been that had timers.
    owner: u64,
    number: u64,
}

/// How a periodic timer keeps its time.
///
/// A timer whose handlers take longer than its period does not lock messages out: of all timers that are due each ticks once,
/// and then comes at least one message, if any waits. Orders to stop, and all else in the control lane, come before ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// At a fixed rate: due at start + n × period, however long handlers take. Ticks that were missed while a handler ran
    /// are not made up for one by one: one comes at once, the next at the next multiple.
    FixedRate(Duration),
    /// With a fixed delay: a period after the handler of the last tick has returned, however long it waited.
    FixedDelay(Duration),
}

/// Makes the info of a tick.
type Make<I> = Box<dyn FnMut() -> I + Send>;

enum Kind<I> {
    Once(I),
    Periodic { every: Every, make: Make<I> },
}

/// When a timer is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    At(Instant),
    /// At no instant that can be reached; or, with a fixed delay, not before the handler of its tick has returned.
    Never,
}

impl From<Option<Instant>> for Due {
    fn from(at: Option<Instant>) -> Self {
        at.map_or(Self::Never, Self::At)
    }
}

/// All timers of one incarnation.
pub(crate) struct Timers<I> {
    owner: u64,
    /// By when they are due; the number keeps those of one instant in order, and names them.
    due: BTreeMap<(Due, u64), Kind<I>>,
    places: HashMap<u64, Due>,
    keys: HashMap<&'static str, u64>,
    next: u64,
    /// The last place whose timer may tick in this round.
    round: Option<(Due, u64)>,
    /// The timer with a fixed delay whose tick is in a handler.
    ticking: Option<u64>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// How many there are, where an observer reads it.
    count: Option<Arc<AtomicUsize>>,
}

impl<I> Default for Timers<I> {
    fn default() -> Self {
        Self::counted(None)
    }
}

/// What a timer holds is the user's, and goes one by one: two that panic in the drop of one map would end the program.
impl<I> Drop for Timers<I> {
    fn drop(&mut self) {
        while let Some((_, kind)) = self.due.pop_first() {
            quiet::discard("a timer", kind);
        }
        self.tell();
    }
}

impl<I> std::fmt::Debug for Timers<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Timers({})", self.due.len())
    }
}

impl<I> Timers<I> {
    /// None yet, and where to say how many there are.
    pub(crate) fn counted(count: Option<Arc<AtomicUsize>>) -> Self {
        static OWNERS: AtomicU64 = AtomicU64::new(1);
        let (due, places, keys) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        let owner = OWNERS.fetch_add(1, Ordering::Relaxed);
        Self { owner, due, places, keys, next: 0, round: None, ticking: None, sleep: None, count }
    }

    fn tell(&self) {
        if let Some(count) = &self.count {
            count.store(self.due.len(), Ordering::Relaxed);
        }
    }

    fn insert(&mut self, number: u64, due: Due, kind: Kind<I>) {
        self.places.insert(number, due);
        self.due.insert((due, number), kind);
        self.tell();
    }

    fn remove(&mut self, number: u64) -> Option<Kind<I>> {
        let due = self.places.remove(&number)?;
        let kind = self.due.remove(&(due, number));
        self.tell();
        kind
    }

    fn add(&mut self, at: Option<Instant>, kind: Kind<I>) -> TimerId {
        self.next += 1;
        self.insert(self.next, at.into(), kind);
        TimerId { owner: self.owner, number: self.next }
    }

    /// The timer of this name, if it is one of these and has neither fired nor been cancelled.
    fn number(&self, id: TimerId) -> Option<u64> {
        (id.owner == self.owner && self.places.contains_key(&id.number)).then_some(id.number)
    }

    /// Once, `after` from `now`.
    pub(crate) fn once(&mut self, now: Instant, after: Duration, info: I) -> TimerId {
        self.add(now.checked_add(after), Kind::Once(info))
    }

    /// Again and again, first one period from `now`. A period of zero is taken as 1 ms: it would have no end.
    pub(crate) fn periodic(&mut self, now: Instant, every: Every, make: Make<I>) -> TimerId {
        let every = match every {
            Every::FixedRate(d) => Every::FixedRate(d.max(Duration::from_millis(1))),
            Every::FixedDelay(d) => Every::FixedDelay(d.max(Duration::from_millis(1))),
        };
        let (Every::FixedRate(period) | Every::FixedDelay(period)) = every;
        self.add(now.checked_add(period), Kind::Periodic { every, make })
    }

    /// Gives the timer a key, taking it from (and cancelling) another one that had it. Nothing for a timer that is none any
    /// more, or another incarnation's.
    pub(crate) fn key(&mut self, key: &'static str, id: TimerId) {
        let Some(number) = self.number(id) else { return };
        if let Some(old) = self.keys.insert(key, number)
            && old != number
        {
            self.cancel_number(old);
        }
    }

    /// Cancels; false when it had fired or been cancelled before, or is another incarnation's.
    pub(crate) fn cancel(&mut self, id: TimerId) -> bool {
        self.number(id).is_some_and(|number| self.cancel_number(number))
    }

    fn cancel_number(&mut self, number: u64) -> bool {
        self.keys.retain(|_, n| *n != number);
        self.remove(number).is_some()
    }

    /// Cancels by key.
    pub(crate) fn cancel_key(&mut self, key: &'static str) -> bool {
        self.keys.get(key).copied().is_some_and(|number| self.cancel_number(number))
    }

    /// When the next is due, if ever.
    fn first(&self) -> Option<Instant> {
        match self.due.first_key_value()? {
            ((Due::At(at), _), _) => Some(*at),
            ((Due::Never, _), _) => None,
        }
    }

    /// Whether there is one to wait for.
    pub(crate) fn any(&self) -> bool {
        self.first().is_some()
    }

    /// Whether [`Timers::end_tick`] has something to do when the handler returns.
    pub(crate) fn ticking(&self) -> bool {
        self.ticking.is_some()
    }

    /// The rule: the info of the next tick of this round, if there is one. Without a round, one begins `now`.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<I> {
        let last = *self.round.get_or_insert((Due::At(now), self.next));
        let (&place, _) = self.due.first_key_value()?;
        if place > last {
            return None;
        }
        let (Due::At(at), number) = place else { return None };
        match self.remove(number)? {
            Kind::Once(info) => {
                self.keys.retain(|_, n| *n != number);
                Some(info)
            }
            Kind::Periodic { every, mut make } => {
                let info = match catch_unwind(AssertUnwindSafe(&mut make)) {
                    Ok(info) => info,
                    Err(payload) => {
                        // Not on the stack that it unwinds: what it holds may panic as well.
                        quiet::discard("a timer", make);
                        resume_unwind(payload)
                    }
                };
                let next = match every {
                    Every::FixedDelay(_) => {
                        self.ticking = Some(number);
                        None
                    }
                    Every::FixedRate(period) => next_multiple(at, period, now),
                };
                self.insert(number, next.into(), Kind::Periodic { every, make });
                Some(info)
            }
        }
    }

    /// The handler of the last tick has returned: a fixed delay begins `now`, unless the timer was cancelled meanwhile.
    pub(crate) fn end_tick(&mut self, now: Instant) {
        let Some(number) = self.ticking.take() else { return };
        let Some(kind) = self.remove(number) else { return };
        let next = match &kind {
            Kind::Periodic { every: Every::FixedDelay(period), .. } => now.checked_add(*period),
            _ => None,
        };
        self.insert(number, next.into(), kind);
    }

    /// Whether a round is under way: the next message ends it, and is not to be taken past this.
    pub(crate) fn in_round(&self) -> bool {
        self.round.is_some()
    }

    /// A message has been taken, or there is none: who is due by now may tick once more.
    pub(crate) fn end_round(&mut self) {
        self.round = None;
    }

    /// Nothing else is to be done: ends the round, and waits until the next can begin.
    #[inline(never)]
    pub(crate) fn poll_round(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.end_round();
        let Some(at) = self.first() else {
            self.sleep = None;
            return Poll::Pending;
        };
        // A sleep would round that up to the next millisecond.
        if at <= Instant::now() {
            return Poll::Ready(());
        }
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}

/// The first of `at + n × period`, n ≥ 1, that lies after `now`.
fn next_multiple(at: Instant, period: Duration, now: Instant) -> Option<Instant> {
    let behind = now.saturating_duration_since(at).as_nanos();
    let skipped = behind / period.as_nanos().max(1);
    let ahead = u64::try_from(period.as_nanos().checked_mul(skipped + 1)?).ok()?;
    at.checked_add(Duration::from_nanos(ahead))
}

/// The idle time-out: runs from when the server goes idle.
#[derive(Debug)]
pub(crate) struct Idle {
    after: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    pub(crate) fn new(after: Duration) -> Self {
        Self { after, sleep: None }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.after.is_zero() {
            return Poll::Ready(());
        }
        let sleep = match &mut self.sleep {
            Some(sleep) => sleep,
            None => match Instant::now().checked_add(self.after) {
                Some(at) => self.sleep.insert(Box::pin(tokio::time::sleep_until(at))),
                None => return Poll::Pending,
            },
        };
        sleep.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    /// All ticks of the round that begins at `now`.
    fn round<I>(timers: &mut Timers<I>, now: Instant) -> Vec<I> {
        timers.end_round();
        let ticks = std::iter::from_fn(|| {
            timers.end_tick(now);
            timers.tick(now)
        });
        ticks.collect()
    }

    /// Clause 9.2.
    #[test]
    fn timers_fire_in_the_order_in_which_they_are_due() {
        let t0 = Instant::now();
        let mut timers = Timers::default();
        timers.once(t0, secs(2), "b");
        timers.once(t0, secs(1), "a");
        timers.once(t0, secs(2), "c");
        assert!(round(&mut timers, t0).is_empty());
        assert_eq!(round(&mut timers, t0 + secs(5)), ["a", "b", "c"]);
        assert!(!timers.any() && timers.places.is_empty());
    }

    /// Clause 9.3.
    #[test]
    fn a_fixed_rate_keeps_its_grid() {
        let t0 = Instant::now();
        let mut timers = Timers::default();
        timers.periodic(t0, Every::FixedRate(secs(10)), Box::new(|| ()));
        // 25 s late: one tick now, then 40 s after the start.
        for (at, ticks) in [(9, 0), (35, 1), (39, 0), (40, 1), (41, 0), (60, 1)] {
            assert_eq!(round(&mut timers, t0 + secs(at)).len(), ticks, "{at}");
        }
    }

    /// Clause 9.3.
    #[test]
    fn a_fixed_delay_begins_when_the_handler_has_returned() {
        let t0 = Instant::now();
        let mut timers = Timers::default();
        timers.periodic(t0, Every::FixedDelay(secs(10)), Box::new(|| ()));
        assert_eq!(timers.tick(t0 + secs(35)), Some(()));
        // Its handler waits for an hour, and is not overtaken by the next tick.
        assert!(timers.ticking() && !timers.any());
        timers.end_round();
        assert_eq!(timers.tick(t0 + secs(3600)), None);
        timers.end_tick(t0 + secs(3635));
        assert!(!timers.ticking() && timers.any());
        for (at, ticks) in [(3644, 0), (3645, 1), (3655, 1)] {
            assert_eq!(round(&mut timers, t0 + secs(at)).len(), ticks, "{at}");
        }
    }

    /// Clause 9.2: a timer that its own tick's handler sets anew, due at that very moment, waits for the next round.
    #[test]
    fn what_is_set_in_a_round_ticks_in_the_next() {
        let t0 = Instant::now();
        let mut timers = Timers::default();
        timers.once(t0, Duration::ZERO, 1);
        timers.periodic(t0, Every::FixedRate(secs(1)), Box::new(|| 2));
        let now = t0 + secs(1);
        assert_eq!(timers.tick(now), Some(1));
        timers.once(now, Duration::ZERO, 3);
        // This handler takes ten periods.
        assert_eq!(timers.tick(now), Some(2));
        let now = now + secs(10);
        assert_eq!(timers.tick(now), None, "a message comes first");
        assert_eq!(round(&mut timers, now), [3, 2]);
    }

    proptest::proptest! {
        /// Clause 9.2: whatever timers there are, and however long their ticks' handlers take: in one round each that was
        /// due when it began ticks once, in order, and no other does.
        #[test]
        fn in_one_round_each_timer_that_was_due_ticks_once(
            set in proptest::collection::vec((0..3_u8, 0..20_u64), 0..8),
            takes in proptest::collection::vec(0..30_u64, 8),
            anew in proptest::collection::vec(proptest::option::of(0..3_u64), 8),
        ) {
            let t0 = Instant::now();
            let mut timers = Timers::default();
            for (n, (kind, after)) in set.iter().enumerate() {
                let after = secs(*after);
                match kind {
                    0 => timers.once(t0, after, n),
                    1 => timers.periodic(t0, Every::FixedRate(after), Box::new(move || n)),
                    _ => timers.periodic(t0, Every::FixedDelay(after), Box::new(move || n)),
                };
            }
            let mut now = t0 + secs(10);
            for _ in 0..4 {
                let due: Vec<_> = timers
                    .due
                    .keys()
                    .take_while(|(due, _)| *due <= Due::At(now))
                    .map(|(_, number)| *number)
                    .collect();
                let before: Vec<_> = timers.due.keys().map(|(_, number)| *number).collect();
                for (n, number) in due.iter().enumerate() {
                    proptest::prop_assert_eq!(timers.due.first_key_value().map(|((_, n), _)| *n), Some(*number));
                    proptest::prop_assert!(timers.tick(now).is_some());
                    now += secs(takes[n % 8]);
                    if let Some(after) = anew[n % 8].filter(|_| before.len() < 16) {
                        timers.once(now, secs(after), 99);
                    }
                    timers.end_tick(now);
                }
                proptest::prop_assert_eq!(timers.tick(now), None);
                timers.end_round();
                now += secs(1);
            }
        }
    }

    /// Clause 9.1.
    #[test]
    fn a_key_belongs_to_its_latest_timer() {
        let t0 = Instant::now();
        let mut timers = Timers::default();
        let first = timers.once(t0, secs(1), 1);
        timers.key("k", first);
        timers.key("k", first);
        let second = timers.once(t0, secs(2), 2);
        timers.key("k", second);
        assert!(!timers.cancel(first), "replaced");
        timers.key("k", first);
        assert_eq!(round(&mut timers, t0 + secs(3)), [2], "the key of one that has gone is no one's");
        assert!(!timers.cancel_key("k"), "fired");
    }

    /// Clause 9.1: the timer whose tick is in a handler can be cancelled there, by name, by key and by another that takes
    /// its key.
    #[test]
    fn a_periodic_timer_is_cancelled_from_its_own_tick() {
        let t0 = Instant::now();
        for every in [Every::FixedRate(secs(1)), Every::FixedDelay(secs(1))] {
            for how in 0..3 {
                let mut timers = Timers::default();
                let id = timers.periodic(t0, every, Box::new(|| 1));
                timers.key("k", id);
                assert_eq!(timers.tick(t0 + secs(1)), Some(1));
                timers.key("k", id);
                match how {
                    0 => assert!(timers.cancel(id)),
                    1 => assert!(timers.cancel_key("k")),
                    _ => {
                        let other = timers.once(t0, secs(5), 2);
                        timers.key("k", other);
                    }
                }
                timers.end_tick(t0 + secs(1));
                assert_eq!(round(&mut timers, t0 + secs(9)), [2][..usize::from(how == 2)], "{every:?} {how}");
                assert!(!timers.cancel(id));
                assert!(timers.places.is_empty() && timers.keys.is_empty(), "{every:?} {how}");
            }
        }
    }

    /// Clause 9.1: a name is one timer's, of all servers and incarnations.
    #[test]
    fn a_timer_is_not_cancelled_by_another_ones_name() {
        let t0 = Instant::now();
        let (mut mine, mut other) = (Timers::default(), Timers::default());
        let (a, b) = (mine.once(t0, secs(1), 1), other.once(t0, secs(1), 2));
        assert!(a != b && !mine.cancel(b) && !other.cancel(a));
        mine.key("k", a);
        mine.key("k", b);
        assert!(mine.cancel_key("k"), "the key has stayed where it was");
        assert!(other.cancel(b));
    }

    /// Clause 9.4: one that is never due is a timer like others.
    #[test]
    fn a_timer_that_is_never_due_can_be_cancelled() {
        let t0 = Instant::now();
        let mut timers = Timers::default();
        let never = timers.once(t0, Duration::MAX, 3);
        let rate = timers.periodic(t0, Every::FixedRate(Duration::MAX), Box::new(|| 4));
        assert!(!timers.any());
        assert!(timers.cancel(never) && !timers.cancel(never) && timers.cancel(rate));
        assert!(timers.due.is_empty() && timers.places.is_empty());
    }

    /// Clause 9.4: a period of zero is taken as a millisecond; one that is longer is taken as it is.
    #[test]
    fn a_period_is_a_millisecond_at_least() {
        let t0 = Instant::now();
        let us = Duration::from_micros;
        for (period, due) in [(us(0), us(1000)), (us(999), us(1000)), (us(1500), us(1500))] {
            for every in [Every::FixedRate(period), Every::FixedDelay(period)] {
                let mut timers = Timers::default();
                timers.periodic(t0, every, Box::new(|| ()));
                assert_eq!(
                    round(&mut timers, t0 + due.checked_sub(us(1)).expect("it is more")).len(),
                    0,
                    "{every:?}"
                );
                assert_eq!(round(&mut timers, t0 + due).len(), 1, "{every:?}");
                assert_eq!(round(&mut timers, t0 + 2 * due).len(), 1, "{every:?}");
            }
        }
    }

    /// How many there are can be read at any time from elsewhere, and none are left of an incarnation that has ended.
    #[test]
    fn how_many_there_are_is_told() {
        let t0 = Instant::now();
        let count = Arc::new(AtomicUsize::new(7));
        let there = || count.load(Ordering::Relaxed);
        let mut timers = Timers::counted(Some(Arc::clone(&count)));
        let first = timers.once(t0, secs(1), 1);
        timers.periodic(t0, Every::FixedRate(secs(2)), Box::new(|| 2));
        assert_eq!(there(), 2);
        assert_eq!(timers.tick(t0 + secs(1)), Some(1));
        assert_eq!((there(), timers.cancel(first)), (1, false));
        timers.once(t0, secs(9), 3);
        timers.key("k", TimerId { owner: timers.owner, number: timers.next });
        assert_eq!((there(), timers.cancel_key("k"), there()), (2, true, 1));
        drop(timers);
        assert_eq!(there(), 0);
    }

    /// A key leads to one timer until that has fired or was cancelled, whatever keys others have.
    #[test]
    fn keys_go_with_their_own_timers() {
        let t0 = Instant::now();
        let mut timers = Timers::default();
        for (key, after, info) in [("a", 1, 1), ("b", 2, 2), ("c", 3, 3)] {
            let id = timers.once(t0, secs(after), info);
            timers.key(key, id);
        }
        assert_eq!(round(&mut timers, t0 + secs(1)), [1]);
        assert_eq!(
            (timers.cancel_key("a"), timers.cancel_key("b"), timers.cancel_key("b")),
            (false, true, false)
        );
        assert!(timers.cancel_key("c") && !timers.any());
    }

    /// The grid of a fixed rate: the next multiple after now, one period on where it is just due.
    #[test]
    fn the_next_of_a_grid_is_the_first_after_now() {
        let at = Instant::now();
        for (period, late, next) in
            [(10, 0, 10), (10, 9, 10), (10, 10, 20), (10, 11, 20), (1, 5, 6), (7, 700, 707)]
        {
            assert_eq!(
                next_multiple(at, secs(period), at + secs(late)),
                Some(at + secs(next)),
                "{period} {late}"
            );
        }
        assert_eq!(next_multiple(at + secs(5), secs(10), at), Some(at + secs(15)), "it is not due yet");
        assert_eq!(next_multiple(at, Duration::MAX, at), None);
    }

    /// How long it takes until the next round can begin.
    async fn until_round(timers: &mut Timers<u8>) -> Duration {
        let began = Instant::now();
        std::future::poll_fn(|cx| timers.poll_round(cx)).await;
        began.elapsed()
    }

    /// Whether nothing is to be done now.
    async fn sleeps(timers: &mut Timers<u8>) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(timers.poll_round(cx).is_pending())).await
    }

    /// Clause 9.2: with nothing else to do the loop sleeps until the first is due, whichever that is by then.
    #[tokio::test(start_paused = true)]
    async fn the_next_round_begins_when_the_first_is_due() {
        let mut timers = Timers::default();
        assert!(sleeps(&mut timers).await, "there is none");
        let t0 = Instant::now();
        timers.once(t0, Duration::ZERO, 1);
        assert!(!sleeps(&mut timers).await, "one is due at this very moment");
        assert_eq!(timers.tick(t0), Some(1));
        timers.once(t0, secs(5), 2);
        assert!(sleeps(&mut timers).await);
        let earlier = timers.once(t0, secs(2), 3);
        assert_eq!(until_round(&mut timers).await, secs(2));
        assert!(timers.cancel(earlier));
        assert_eq!(until_round(&mut timers).await, secs(3));
        assert_eq!(timers.tick(Instant::now()), Some(2));
        timers.once(t0, Duration::MAX, 4);
        assert!(sleeps(&mut timers).await && !timers.any());
        // A sleep begins a new round: what was set meanwhile may tick.
        timers.once(Instant::now(), Duration::ZERO, 5);
        assert_eq!(timers.tick(Instant::now()), Some(5));
        timers.once(Instant::now(), Duration::ZERO, 6);
        assert_eq!(timers.tick(Instant::now()), None, "it was set in this round");
        assert_eq!(until_round(&mut timers).await, Duration::ZERO);
        assert_eq!(timers.tick(Instant::now()), Some(6));
    }

    /// Clause 9.5: the idle time-out runs from when the server goes idle; zero is at once.
    #[tokio::test(start_paused = true)]
    async fn an_idle_time_out_runs_from_its_first_look() {
        let look =
            async |idle: &mut Idle| std::future::poll_fn(|cx| Poll::Ready(idle.poll(cx).is_ready())).await;
        assert!(look(&mut Idle::new(Duration::ZERO)).await);
        let mut idle = Idle::new(secs(3));
        tokio::time::advance(secs(10)).await;
        assert!(!look(&mut idle).await, "nobody had looked");
        tokio::time::advance(secs(2)).await;
        assert!(!look(&mut idle).await);
        let began = Instant::now();
        std::future::poll_fn(|cx| idle.poll(cx)).await;
        assert_eq!(began.elapsed(), secs(1));
        let mut never = Idle::new(Duration::MAX);
        assert!(!look(&mut never).await);
    }
}
