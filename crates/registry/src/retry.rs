//! Creating again after a refusal: as late as was asked for, and not all at once.

use crate::create::NewEntry;
use crate::error::CreateError;
use crate::registry::Registry;
use restante_core::Addressable;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// How often, and how spread.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Retry {
    /// How often it is tried, the first time included (default 10; zero counts as 1).
    pub attempts: u32,
    /// Up to how much longer than asked for one waits, as a part of it (default 0.25): those who were refused together do not
    /// come back together. Never less than asked for.
    pub jitter: f64,
    /// Where the jitter's randomness comes from; `None`: elsewhere each time.
    pub seed: Option<u64>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 10, jitter: 0.25, seed: None }
    }
}

impl Retry {
    /// So many tries.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// So much jitter; what is not a number from 0 on counts as 0.
    #[must_use]
    pub fn jitter(mut self, part: f64) -> Self {
        self.jitter = part;
        self
    }

    /// Equal pauses each time.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How long to wait where so long was asked for, by a random number from 0 to 1.
    fn pause(&self, asked: Duration, random: f64) -> Duration {
        let part = if self.jitter.is_finite() { self.jitter.clamp(0.0, 1000.0) } else { 0.0 };
        let more = asked.as_secs_f64() * part * random.clamp(0.0, 1.0);
        asked.saturating_add(Duration::try_from_secs_f64(more).unwrap_or(Duration::MAX))
    }
}

impl Registry {
    /// Creates under this name, and where there is no place tries again after the time that the refusal suggests. `make` is
    /// called once for each try that is admitted or not; its future is polled only where it is.
    ///
    /// # Errors
    /// As [`Creation::run`](crate::Creation::run): the last refusal when the tries are used up, any other error at once.
    ///
    /// # Cancel safety
    /// As [`Creation::run`](crate::Creation::run).
    #[track_caller]
    pub fn create_with_retry<R, T, E, F>(
        &self,
        name: impl AsRef<str>,
        retry: Retry,
        mut make: impl FnMut() -> F + Send,
    ) -> impl Future<Output = Result<R, CreateError<E>>> + Send
    where
        R: Addressable,
        T: Into<NewEntry<R>> + Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (by, name) = (Location::caller(), Arc::<str>::from(name.as_ref()));
        async move {
            let mut tries = Tries::new(retry);
            loop {
                let tried = self.creation_by(by).name(Arc::clone(&name)).run(make()).await;
                let Some(pause) = tries.pause_after(&tried) else { return tried };
                // What came back is a refusal: nothing in it is worth keeping.
                drop(tried);
                self.pause(pause).await;
            }
        }
    }

    /// [`Registry::create_with_retry`] from a plain thread.
    ///
    /// # Errors
    /// As [`Creation::run_blocking`](crate::Creation::run_blocking): the last refusal when the tries are used up, any other
    /// error at once.
    #[track_caller]
    pub fn create_with_retry_blocking<R, T, E, F>(
        &self,
        name: impl AsRef<str>,
        retry: Retry,
        mut make: impl FnMut() -> F,
    ) -> Result<R, CreateError<E>>
    where
        R: Addressable,
        T: Into<NewEntry<R>> + Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let by = Location::caller();
        let mut tries = Tries::new(retry);
        loop {
            let tried = self.creation_by(by).name(name.as_ref()).run_blocking(make());
            let Some(pause) = tries.pause_after(&tried) else { return tried };
            drop(tried);
            std::thread::sleep(pause);
        }
    }
}

/// The tries of one creation.
struct Tries {
    retry: Retry,
    left: u32,
    random: fastrand::Rng,
}

impl Tries {
    fn new(retry: Retry) -> Self {
        let random = retry.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Self { retry, left: retry.attempts.max(1), random }
    }

    /// How long to wait before the next try; `None`: there is none.
    fn pause_after<R, E>(&mut self, tried: &Result<R, CreateError<E>>) -> Option<Duration> {
        self.left -= 1;
        let overloaded = tried.as_ref().err()?.overloaded()?;
        (self.left > 0).then(|| self.retry.pause(overloaded.retry_after, self.random.f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row F3: the suggested delay is honoured.
    #[test]
    fn a_pause_is_never_shorter_than_asked_for() {
        let asked = Duration::from_secs(5);
        let retry = Retry::default();
        assert_eq!([0.0, 1.0].map(|r| retry.pause(asked, r)), [asked, asked.mul_f64(1.25)]);
        for odd in [f64::NAN, -3.0, f64::NEG_INFINITY] {
            assert_eq!(retry.jitter(odd).pause(asked, 1.0), asked);
        }
        assert_eq!(retry.jitter(f64::INFINITY).pause(Duration::MAX, 1.0), Duration::MAX);
        assert_eq!(retry.jitter(1e9).pause(Duration::MAX, 1.0), Duration::MAX);
    }

    fn refused(retry_after: Duration) -> Result<(), CreateError<()>> {
        let places = crate::admission::Admission::new(0, retry_after);
        Err(crate::error::RegisterError::Overloaded(places.refuse(0, 0)).into())
    }

    /// Clause 27.6: so many tries, the first included; no other error, and no success, is tried again.
    #[test]
    fn only_a_refusal_is_tried_again_and_so_often_as_asked() {
        let second = Duration::from_secs(1);
        for (attempts, pauses) in [(0, 0), (1, 0), (2, 1), (3, 2)] {
            let mut tries = Tries::new(Retry::default().attempts(attempts));
            let waited = (0..attempts.max(1)).filter_map(|_| tries.pause_after(&refused(second)));
            let waited: Vec<_> = waited.collect();
            assert_eq!(waited.len(), pauses, "{attempts} attempts");
            assert!(waited.iter().all(|pause| (second..=second.mul_f64(1.25)).contains(pause)), "{waited:?}");
        }
        let mut tries = Tries::new(Retry::default());
        assert_eq!(tries.pause_after(&Ok::<(), CreateError<()>>(())), None);
        assert_eq!(tries.pause_after(&Err::<(), _>(CreateError::Failed(()))), None);
        assert!(tries.pause_after(&refused(second)).is_some());
        assert_eq!(Retry::default(), Retry { attempts: 10, jitter: 0.25, seed: None });
    }

    /// With one seed the pauses are the same, and they differ among themselves.
    #[test]
    fn a_seed_gives_the_same_pauses_each_time() {
        let pauses = |seed| -> Vec<_> {
            let mut tries = Tries::new(Retry::default().seed(seed));
            std::iter::from_fn(|| tries.pause_after(&refused(Duration::from_secs(1)))).take(9).collect()
        };
        let all = pauses(7);
        assert_eq!(all.len(), 9);
        assert_eq!(all, pauses(7));
        assert_ne!(all, pauses(8));
        assert!(all.windows(2).all(|two| two[0] != two[1]), "{all:?}");
    }
}
