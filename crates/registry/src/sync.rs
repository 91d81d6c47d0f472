//! The one door through which the crate imports locks and atomics, so that shuttle can stand in for the standard ones.
//!
//! The read map has a door of its own ([`crate::index`]).

#[cfg(not(shuttle))]
use std::sync::PoisonError;

pub(crate) use restante_core::sync::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Takes a lock. What a panic left is taken as it is: nothing is done under our locks that could leave it half done.
#[cfg(not(shuttle))]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same, but never slept for: under shuttle a thread and the task that it polls are woken by the same bell, and a wake-up
/// of the task that came while its thread slept for a lock would be lost.
#[cfg(shuttle)]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => shuttle::thread::yield_now(),
        }
    }
}
