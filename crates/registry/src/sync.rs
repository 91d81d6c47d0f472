//! The one door through which the crate imports locks and atomics, so that shuttle can stand in for the standard ones.
//!
//! The read map has a door of its own ([`crate::index`]).

pub(crate) use restante_core::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
#[cfg(shuttle)]
use shuttle::sync::Mutex as Inner;
#[cfg(shuttle)]
pub(crate) use shuttle::sync::MutexGuard;
#[cfg(shuttle)]
pub(crate) use shuttle::thread_local;
use std::ops::{Deref, DerefMut};
#[cfg(not(shuttle))]
use std::sync::Mutex as Inner;
#[cfg(not(shuttle))]
pub(crate) use std::sync::MutexGuard;
use std::sync::PoisonError;
#[cfg(not(shuttle))]
pub(crate) use std::thread_local;

/// A lock for short sections, in which nothing of a user's runs but `Clone`, `Eq` and `Hash` of keys. It goes on after a panic:
/// each section leaves what it guards whole before it calls anything that can.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(Inner<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Inner::new(value))
    }

    #[cfg(not(shuttle))]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never slept for: under shuttle a thread and the task that it polls are woken by the same bell, and a wake-up of the
    /// task that came while its thread slept for a lock would be lost.
    #[cfg(shuttle)]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        loop {
            match self.0.try_lock() {
                Ok(guard) => return guard,
                Err(std::sync::TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(std::sync::TryLockError::WouldBlock) => shuttle::thread::yield_now(),
            }
        }
    }

    /// The same for where maps are looked at or changed under it: see [`Locked`].
    pub(crate) fn lock_with_epoch(&self) -> Locked<'_, T> {
        let epoch = scc::Guard::new();
        Locked { inside: self.lock(), _epoch: epoch }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a lock guards. First in, last out: what maps have been rid of on this thread goes when its last guard does, and its drop
/// may run code of a user's, which is not for under the lock.
pub(crate) struct Locked<'a, T> {
    inside: MutexGuard<'a, T>,
    _epoch: scc::Guard,
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inside
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inside
    }
}
