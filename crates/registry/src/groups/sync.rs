//! The lock of a scope; under `--cfg shuttle` shuttle's.

#[cfg(not(shuttle))]
use std::sync::{Mutex as Inner, MutexGuard as Held};

#[cfg(shuttle)]
use shuttle::sync::{Mutex as Inner, MutexGuard as Held};

/// A lock for short sections. Nobody's panic makes it useless: what it guards is whole between its steps.
#[derive(Debug, Default)]
pub(super) struct Lock<T>(Inner<T>);

impl<T> Lock<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Inner::new(value))
    }

    #[cfg(not(shuttle))]
    pub(super) fn lock(&self) -> Held<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Never slept for: in shuttle a thread and the task that it polls are woken by the same bell, and a wake-up of the task
    /// that came while its thread slept for a lock would be lost.
    #[cfg(shuttle)]
    pub(super) fn lock(&self) -> Held<'_, T> {
        loop {
            match self.0.try_lock() {
                Ok(guard) => return guard,
                Err(std::sync::TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(std::sync::TryLockError::WouldBlock) => shuttle::thread::yield_now(),
            }
        }
    }
}
