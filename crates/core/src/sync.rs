//! The one door through which the crate imports atomics and shared cells, so that loom and shuttle can stand in
//! for the standard ones. What is not shared between threads comes from `std` directly.

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence};
#[cfg(all(shuttle, not(loom)))]
pub use shuttle::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence};
#[cfg(not(any(loom, shuttle)))]
pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence};

pub use std::sync::atomic::Ordering;

#[cfg(loom)]
pub use loom::cell::UnsafeCell;

/// `std`'s cell with loom's closure interface, so that one source serves both.
#[cfg(not(loom))]
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Lends a pointer for reading.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Lends a pointer for writing.
    #[inline(always)]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Bounded spinning, then yielding: the lock holder may have been preempted, and then only the scheduler helps.
#[derive(Debug, Default)]
pub struct Spin(u32);

impl Spin {
    const BEFORE_YIELD: u32 = 64;

    /// Waits a little, longer each time.
    #[inline]
    pub fn wait(&mut self) {
        #[cfg(loom)]
        loom::thread::yield_now();
        #[cfg(all(shuttle, not(loom)))]
        shuttle::thread::yield_now();
        #[cfg(not(any(loom, shuttle)))]
        if self.0 < Self::BEFORE_YIELD {
            self.0 += 1;
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
        #[cfg(any(loom, shuttle))]
        {
            let _ = (self.0, Self::BEFORE_YIELD);
        }
    }
}
