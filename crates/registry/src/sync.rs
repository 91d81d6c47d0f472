//! The one door through which the crate imports locks and atomics, so that shuttle can stand in for the standard ones.
//!
//! The read map (`scc`) is not modelled: under shuttle each of its operations is a single step.

use std::sync::PoisonError;

pub(crate) use restante_core::sync::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Takes a lock. What a panic left is taken as it is: nothing is done under our locks that could leave it half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
