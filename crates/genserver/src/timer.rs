//! A server's timers. They live with the incarnation and fire as infos that never pass through the mailbox: so a tick of
//! a cancelled, replaced or dead timer, or of an earlier incarnation, cannot arrive.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Names one timer of a server, for cancelling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerId(u64);

/// How a periodic timer keeps its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// At a fixed rate: due at start + n × period, however long handlers take. Ticks that were missed while a handler ran
    /// are not made up for one by one: one comes at once, the next at the next multiple.
    FixedRate(Duration),
    /// With a fixed delay: a period after the last tick was taken up.
    FixedDelay(Duration),
}

/// Makes the info of a tick.
type Make<I> = Box<dyn FnMut() -> I + Send>;

enum Kind<I> {
    Once(I),
    Periodic { every: Every, make: Make<I> },
}

/// All timers of one incarnation.
pub(crate) struct Timers<I> {
    /// By when they are due; the number keeps those of one instant in order, and names them.
    due: BTreeMap<(Instant, u64), Kind<I>>,
    places: HashMap<u64, Instant>,
    keys: HashMap<&'static str, u64>,
    next: u64,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Where somebody reads how many there are.
    count: Option<Arc<AtomicUsize>>,
}

impl<I> Default for Timers<I> {
    fn default() -> Self {
        Self::counted(None)
    }
}

impl<I> Drop for Timers<I> {
    fn drop(&mut self) {
        self.due.clear();
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
        let (due, places, keys) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        Self { due, places, keys, next: 0, sleep: None, count }
    }

    fn tell(&self) {
        if let Some(count) = &self.count {
            count.store(self.due.len(), Ordering::Relaxed);
        }
    }

    fn insert(&mut self, number: u64, at: Instant, kind: Kind<I>) {
        self.places.insert(number, at);
        self.due.insert((at, number), kind);
        self.tell();
    }

    fn add(&mut self, at: Option<Instant>, kind: Kind<I>) -> TimerId {
        self.next += 1;
        // An instant that cannot be reached is never: the timer exists, and can be cancelled, but is not kept.
        if let Some(at) = at {
            self.insert(self.next, at, kind);
        }
        TimerId(self.next)
    }

    /// Once, `after` from `now`.
    pub(crate) fn once(&mut self, now: Instant, after: Duration, info: I) -> TimerId {
        self.add(now.checked_add(after), Kind::Once(info))
    }

    /// Again and again, first one period from `now`. A period of zero is taken as 1 ms: a timer that is always due would
    /// let no message through.
    pub(crate) fn periodic(&mut self, now: Instant, every: Every, make: Make<I>) -> TimerId {
        let every = match every {
            Every::FixedRate(d) => Every::FixedRate(d.max(Duration::from_millis(1))),
            Every::FixedDelay(d) => Every::FixedDelay(d.max(Duration::from_millis(1))),
        };
        let (Every::FixedRate(period) | Every::FixedDelay(period)) = every;
        self.add(now.checked_add(period), Kind::Periodic { every, make })
    }

    /// Gives the timer a key, taking it from (and cancelling) the one that had it.
    pub(crate) fn key(&mut self, key: &'static str, id: TimerId) {
        if let Some(old) = self.keys.insert(key, id.0) {
            self.cancel(TimerId(old));
            self.keys.insert(key, id.0);
        }
    }

    /// Cancels; false when it had fired or been cancelled before.
    pub(crate) fn cancel(&mut self, id: TimerId) -> bool {
        self.keys.retain(|_, number| *number != id.0);
        match self.places.remove(&id.0) {
            Some(at) => {
                let removed = self.due.remove(&(at, id.0)).is_some();
                self.tell();
                removed
            }
            None => false,
        }
    }

    /// Cancels by key.
    pub(crate) fn cancel_key(&mut self, key: &'static str) -> bool {
        self.keys.get(key).copied().is_some_and(|number| self.cancel(TimerId(number)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// The rule: the info of the timer that is due at `now`, if one is.
    pub(crate) fn fire(&mut self, now: Instant) -> Option<I> {
        let (&(at, number), _) = self.due.first_key_value()?;
        if at > now {
            return None;
        }
        let kind = self.due.remove(&(at, number))?;
        self.places.remove(&number);
        match kind {
            Kind::Once(info) => {
                self.tell();
                self.keys.retain(|_, n| *n != number);
                Some(info)
            }
            Kind::Periodic { every, mut make } => {
                let next = match every {
                    Every::FixedDelay(period) => now.checked_add(period),
                    Every::FixedRate(period) => next_multiple(at, period, now),
                };
                let info = make();
                if let Some(next) = next {
                    self.insert(number, next, Kind::Periodic { every, make });
                }
                Some(info)
            }
        }
    }

    /// Waits for the next that is due.
    #[inline(never)]
    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<I> {
        loop {
            let Some((&(at, _), _)) = self.due.first_key_value() else {
                self.sleep = None;
                return Poll::Pending;
            };
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            if sleep.deadline() != at {
                sleep.as_mut().reset(at);
            }
            std::task::ready!(sleep.as_mut().poll(cx));
            if let Some(info) = self.fire(Instant::now()) {
                return Poll::Ready(info);
            }
        }
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

    #[test]
    fn timers_fire_in_the_order_in_which_they_are_due() {
        let t0 = Instant::now();
        let mut timers = Timers::default();
        timers.once(t0, secs(2), "b");
        timers.once(t0, secs(1), "a");
        timers.once(t0, secs(2), "c");
        assert_eq!(timers.fire(t0), None);
        let at = t0 + secs(5);
        assert_eq!(std::iter::from_fn(|| timers.fire(at)).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(timers.is_empty() && timers.places.is_empty());
    }

    #[test]
    fn a_fixed_rate_keeps_its_grid_and_a_fixed_delay_does_not() {
        let t0 = Instant::now();
        let mut timers = Timers::default();
        timers.periodic(t0, Every::FixedRate(secs(10)), Box::new(|| "rate"));
        // 25 s late: one tick now, then 40 s after the start.
        assert_eq!(timers.fire(t0 + secs(35)), Some("rate"));
        assert_eq!(timers.fire(t0 + secs(39)), None);
        assert_eq!(timers.fire(t0 + secs(40)), Some("rate"));
        let mut timers = Timers::default();
        timers.periodic(t0, Every::FixedDelay(secs(10)), Box::new(|| "delay"));
        assert_eq!(timers.fire(t0 + secs(35)), Some("delay"));
        assert_eq!(timers.fire(t0 + secs(44)), None);
        assert_eq!(timers.fire(t0 + secs(45)), Some("delay"));
    }

    #[test]
    fn a_key_belongs_to_its_latest_timer() {
        let t0 = Instant::now();
        let mut timers = Timers::default();
        let first = timers.once(t0, secs(1), 1);
        timers.key("k", first);
        let second = timers.once(t0, secs(2), 2);
        timers.key("k", second);
        assert!(!timers.cancel(first), "replaced");
        assert_eq!(timers.fire(t0 + secs(3)), Some(2));
        assert!(!timers.cancel_key("k"), "fired");
        let never = timers.once(t0, Duration::MAX, 3);
        assert!(!timers.cancel(never));
    }
}
