//! Who may create: a number of places, taken before anything is queued.
//!
//! A place is an atomic step in the caller's hands, so a refusal comes at once and never waits for the actor that it is to
//! protect.

use crate::sync::{AtomicU64, AtomicUsize, Ordering};
use restante_core::clock::{self, Instant};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How many creations may be under way, unless told otherwise.
pub const DEFAULT_MAX_CONCURRENT_CREATES: usize = 100;
/// The environment's say in it.
pub const MAX_CONCURRENT_CREATES: &str = "RESTANTE_MAX_CONCURRENT_CREATES";
/// The pause suggested to a caller that is refused.
pub const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Too much is under way: a normal answer, to be asked again after a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{active} of {max} creations are under way and {queued} commands wait: to be tried again after {retry_after:?}"
)]
#[non_exhaustive]
pub struct Overloaded {
    /// Creations under way.
    pub active: usize,
    /// How many may be.
    pub max: usize,
    /// Commands that wait for the registry's actor.
    pub queued: usize,
    /// After how long to try again.
    pub retry_after: Duration,
}

/// How much a registry has to do. Read without waiting.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Capacity {
    /// Whether a creation would be admitted now.
    pub can_accept_more: bool,
    /// Creations under way.
    pub active_creates: usize,
    /// How many may be.
    pub max_concurrent: usize,
    /// The one in percent of the other: 0 to 100, or more after the limit was lowered.
    pub load_percentage: u32,
    /// How long a considerate caller waits before its next creation: not at all up to a load of 50 %, and what [`Overloaded`]
    /// says at 100 %.
    pub retry_after: Duration,
    /// Of the creations that succeeded, a moving average over about the last 16; `None`: none has.
    pub average_create_time: Option<Duration>,
    /// Creations that began and ended, well or not, since the registry began.
    pub total_creates: u64,
    /// Those of them that did not succeed. (Who was refused, or gave up before the registry's actor came to it, did not begin.)
    pub total_failures: u64,
    /// Refusals since the registry began.
    pub total_refusals: u64,
    /// Commands that wait for the registry's actor.
    pub queued: usize,
}

/// The places.
pub(crate) struct Admission {
    active: AtomicUsize,
    max: AtomicUsize,
    ended: AtomicU64,
    failures: AtomicU64,
    refusals: AtomicU64,
    /// Nanoseconds; 0: none.
    average: AtomicU64,
    /// At a load of 100 %.
    retry_after: Duration,
}

/// A place. However it is dropped, it is free again.
pub(crate) struct AdmissionPermit {
    of: Arc<Admission>,
    since: Instant,
    used: Used,
}

/// What the place was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Used {
    /// Nothing: the queue refused the caller that took it, or that caller gave up while it waited in the queue.
    No,
    Begun,
    Succeeded,
}

impl Admission {
    pub(crate) fn new(max: usize, retry_after: Duration) -> Self {
        Self {
            active: AtomicUsize::new(0),
            max: AtomicUsize::new(max),
            ended: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            average: AtomicU64::new(0),
            retry_after,
        }
    }

    /// What the environment says, if it says a number.
    pub(crate) fn from_environment() -> Option<usize> {
        let text = std::env::var(MAX_CONCURRENT_CREATES).ok()?;
        let max = text.trim().parse().ok();
        if max.is_none() {
            tracing::warn!(variable = MAX_CONCURRENT_CREATES, value = text, "not a number: ignored");
        }
        max
    }

    pub(crate) fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// From now on: those that are under way stay.
    pub(crate) fn set_max(&self, max: usize) -> usize {
        self.max.swap(max, Ordering::Relaxed)
    }

    /// Takes a place, or none. How many commands wait is asked for a refusal only: it is a look into the actor's mailbox.
    pub(crate) fn admit(
        self: &Arc<Self>,
        queued: impl FnOnce() -> usize,
    ) -> Result<AdmissionPermit, Overloaded> {
        let max = self.max();
        // Nothing is published by the count: relaxed.
        let taken = self.active.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |active| {
            (active < max).then_some(active + 1)
        });
        match taken {
            Ok(_) => Ok(AdmissionPermit { of: Arc::clone(self), since: clock::now(), used: Used::No }),
            Err(active) => Err(self.refuse(active, queued())),
        }
    }

    /// A refusal, counted.
    pub(crate) fn refuse(&self, active: usize, queued: usize) -> Overloaded {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        Overloaded { active, max: self.max(), queued, retry_after: self.retry_after }
    }

    pub(crate) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    pub(crate) fn capacity(&self, queued: usize) -> Capacity {
        let (active, max) = (self.active(), self.max());
        let load = load_percentage(active, max);
        let average = self.average.load(Ordering::Relaxed);
        Capacity {
            can_accept_more: active < max,
            active_creates: active,
            max_concurrent: max,
            load_percentage: load,
            retry_after: suggested(load, self.retry_after),
            average_create_time: (average > 0).then(|| Duration::from_nanos(average)),
            total_creates: self.ended.load(Ordering::Relaxed),
            total_failures: self.failures.load(Ordering::Relaxed),
            total_refusals: self.refusals.load(Ordering::Relaxed),
            queued,
        }
    }

    fn leave(&self, took: Duration, used: Used) {
        if used != Used::No {
            self.ended.fetch_add(1, Ordering::Relaxed);
        }
        if used == Used::Begun {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        if used == Used::Succeeded {
            let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
            // Two updates at once may lose one of the two, which an average can bear.
            let old = self.average.load(Ordering::Relaxed);
            self.average.store(averaged(old, took), Ordering::Relaxed);
        }
        self.active.fetch_sub(1, Ordering::Relaxed);
    }
}

fn load_percentage(active: usize, max: usize) -> u32 {
    match max {
        0 => 100,
        _ => u32::try_from(active.saturating_mul(100) / max).unwrap_or(u32::MAX),
    }
}

/// The source's steps: 0, 100, 500, 2000 and 5000 ms at loads of up to 50, 75, 90, 99 and 100 %, in proportion where
/// `full` is not 5 s.
fn suggested(load: u32, full: Duration) -> Duration {
    match load {
        0..=50 => Duration::ZERO,
        51..=75 => full / 50,
        76..=90 => full / 10,
        91..=99 => full / 5 * 2,
        _ => full,
    }
}

/// A moving average: one part in 16 is new.
fn averaged(old: u64, new: u64) -> u64 {
    if old == 0 { new } else { (old - old / 16).saturating_add(new / 16).max(1) }
}

impl AdmissionPermit {
    /// The actor has come to the creation.
    pub(crate) fn begun(&mut self) {
        self.used = Used::Begun;
    }

    /// It was used well.
    pub(crate) fn succeeded(&mut self) {
        self.used = Used::Succeeded;
    }
}

impl Drop for AdmissionPermit {
    fn drop(&mut self) {
        self.of.leave(self.since.elapsed(), self.used);
    }
}

impl fmt::Debug for AdmissionPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdmissionPermit")
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} creations ({} %)", self.active_creates, self.max_concurrent, self.load_percentage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row F3: the steps of the source.
    #[test]
    fn the_suggested_delay_grows_with_the_load() {
        let ms = |load| suggested(load, DEFAULT_RETRY_AFTER).as_millis();
        assert_eq!(
            [0, 50, 51, 75, 76, 90, 91, 99, 100, 250].map(ms),
            [0, 0, 100, 100, 500, 500, 2000, 2000, 5000, 5000]
        );
    }

    #[test]
    fn a_place_is_free_again_however_it_is_dropped() {
        let places = Arc::new(Admission::new(2, DEFAULT_RETRY_AFTER));
        let mut first = places.admit(unasked).unwrap();
        let mut second = places.admit(unasked).unwrap();
        let refused = places.admit(|| 7).unwrap_err();
        assert_eq!((refused.active, refused.max, refused.queued), (2, 2, 7));
        first.begun();
        second.succeeded();
        drop((first, second));
        // A place in which nothing was begun is no creation.
        drop(places.admit(unasked).unwrap());
        let capacity = places.capacity(0);
        assert_eq!((capacity.active_creates, capacity.total_creates), (0, 2));
        assert_eq!((capacity.total_failures, capacity.total_refusals), (1, 1));
        assert!(capacity.average_create_time.is_some());
    }

    /// For places where no caller is refused, so that this is not called.
    fn unasked() -> usize {
        panic!("only a refusal says how many wait")
    }

    #[test]
    fn a_limit_that_is_lowered_lets_be_what_is_under_way() {
        let places = Arc::new(Admission::new(2, DEFAULT_RETRY_AFTER));
        let both = [places.admit(unasked).unwrap(), places.admit(unasked).unwrap()];
        assert_eq!(places.set_max(1), 2);
        assert_eq!(places.capacity(0).load_percentage, 200);
        assert!(places.admit(|| 0).is_err());
        drop(both);
        assert!(places.admit(unasked).is_ok());
        places.set_max(0);
        assert_eq!(places.capacity(0).load_percentage, 100);
        assert!(places.admit(|| 0).is_err());
    }

    #[test]
    fn an_average_follows() {
        assert_eq!(averaged(0, 5), 5);
        let settled = (0..200).fold(1600, |old, _| averaged(old, 160_000));
        assert!((150_000..=160_000).contains(&settled), "{settled}");
    }

    /// One part in 16 is new, and an average that there is never falls to nothing.
    #[test]
    fn one_part_in_sixteen_of_an_average_is_new() {
        assert_eq!(averaged(1600, 160_000), 1500 + 10_000);
        assert_eq!(averaged(160_000, 1600), 150_000 + 100);
        assert_eq!((averaged(1, 1), averaged(15, 15), averaged(16, 0)), (1, 15, 15));
        assert_eq!(averaged(u64::MAX, u64::MAX), u64::MAX - u64::MAX / 16 + u64::MAX / 16);
        let places = Admission::new(1, DEFAULT_RETRY_AFTER);
        places.leave(Duration::from_nanos(3200), Used::Succeeded);
        for unused in [Used::No, Used::Begun] {
            places.leave(Duration::from_secs(9), unused);
        }
        assert_eq!(places.capacity(0).average_create_time, Some(Duration::from_nanos(3200)));
        places.leave(Duration::from_nanos(16), Used::Succeeded);
        assert_eq!(places.capacity(0).average_create_time, Some(Duration::from_nanos(3001)));
        let quick = Admission::new(1, DEFAULT_RETRY_AFTER);
        assert_eq!(quick.capacity(0).average_create_time, None);
        quick.leave(Duration::ZERO, Used::Succeeded);
        assert_eq!(quick.capacity(0).average_create_time, Some(Duration::from_nanos(1)));
    }

    /// Row F3: the load is in percent of the limit, and the steps are in proportion to what is suggested at 100 %.
    #[test]
    fn the_load_is_in_percent_and_the_delay_in_proportion() {
        assert_eq!(
            [(0, 3), (1, 3), (2, 3), (3, 3), (4, 3)].map(|(a, m)| load_percentage(a, m)),
            [0, 33, 66, 100, 133]
        );
        assert_eq!((load_percentage(0, 0), load_percentage(usize::MAX, 1)), (100, u32::MAX));
        let full = Duration::from_secs(500);
        assert_eq!([50, 51, 76, 91, 100].map(|load| suggested(load, full).as_secs()), [0, 10, 50, 200, 500]);
        let places = Arc::new(Admission::new(4, full));
        let taken: Vec<_> = (0..3).map(|_| places.admit(unasked).unwrap()).collect();
        let capacity = places.capacity(9);
        assert!(capacity.can_accept_more);
        assert_eq!((capacity.active_creates, capacity.max_concurrent, capacity.queued), (3, 4, 9));
        assert_eq!((capacity.load_percentage, capacity.retry_after.as_secs()), (75, 10));
        assert_eq!(capacity.to_string(), "3 of 4 creations (75 %)");
        let last = places.admit(unasked).unwrap();
        assert!(!places.capacity(0).can_accept_more);
        assert_eq!(places.admit(|| 2).unwrap_err().retry_after, full);
        drop((taken, last));
        assert_eq!(places.active(), 0);
    }

    /// The documented numbers.
    #[test]
    fn unless_set_a_hundred_creations_are_admitted_and_five_seconds_suggested() {
        assert_eq!(DEFAULT_MAX_CONCURRENT_CREATES, 100);
        assert_eq!(DEFAULT_RETRY_AFTER, Duration::from_secs(5));
    }
}
