//! The one lock of this room: for short sections, in which no code of the user's runs but `Clone`, `Eq` and `Hash` of keys.

#[cfg(shuttle)]
pub(super) use shuttle::sync::MutexGuard;
#[cfg(not(shuttle))]
pub(super) use std::sync::MutexGuard;
use std::sync::PoisonError;

/// A mutex that goes on after a panic: each section leaves what it guards whole before it calls anything that can panic.
#[cfg(not(shuttle))]
#[derive(Debug, Default)]
pub(super) struct Mutex<T>(std::sync::Mutex<T>);

#[cfg(not(shuttle))]
impl<T> Mutex<T> {
    pub(super) fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shuttle's, but never slept for: there a thread and the task that it polls are woken by the same bell, and a wake-up of
/// the task that came while its thread slept for a lock would be lost.
#[cfg(shuttle)]
#[derive(Debug, Default)]
pub(super) struct Mutex<T>(shuttle::sync::Mutex<T>);

#[cfg(shuttle)]
impl<T> Mutex<T> {
    pub(super) fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        loop {
            match self.0.try_lock() {
                Ok(guard) => return guard,
                Err(std::sync::TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(std::sync::TryLockError::WouldBlock) => shuttle::thread::yield_now(),
            }
        }
    }

    pub(super) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}
