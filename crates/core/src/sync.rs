//! The one door through which the crate imports atomics and shared cells, so that loom and shuttle can stand in
//! for the standard ones. What is not shared between threads comes from `std` directly.

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, fence};
#[cfg(all(shuttle, not(loom)))]
pub use shuttle::sync::atomic::{AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, fence};
#[cfg(all(not(any(loom, shuttle)), not(sanitize_thread)))]
pub use std::sync::atomic::fence;
#[cfg(not(any(loom, shuttle)))]
pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, AtomicUsize};

pub use std::sync::atomic::Ordering;

/// A fence that ThreadSanitizer sees, which models none: all fences read, change and write one word, so each is ordered
/// after those before it. (Stronger than a fence, hence under the checker only: `cargo xtask sanitize` sets the cfg.)
#[cfg(all(sanitize_thread, not(any(loom, shuttle))))]
#[inline]
pub fn fence(_: Ordering) {
    static FENCES: AtomicU32 = AtomicU32::new(0);
    FENCES.fetch_add(1, Ordering::SeqCst);
}

#[cfg(loom)]
pub use loom::sync::Mutex;
#[cfg(all(shuttle, not(loom)))]
pub use shuttle::sync::Mutex;
#[cfg(not(any(loom, shuttle)))]
pub use std::sync::Mutex;

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
