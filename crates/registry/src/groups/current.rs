//! A value that is read without a lock or a count, and replaced as a whole.
//!
//! Under shuttle, whose threads share the thread-locals that epochs live in, it is a lock around an `Arc`: one step.

#[cfg(not(shuttle))]
use scc::{AtomicShared, Guard, Shared, Tag};
#[cfg(not(shuttle))]
use std::sync::atomic::Ordering::{Acquire, Release};

/// A value that is kept, with a count.
#[cfg(not(shuttle))]
pub(super) type Counted<V> = Shared<V>;
#[cfg(shuttle)]
pub(super) type Counted<V> = std::sync::Arc<V>;

/// The value as it is now.
#[cfg(not(shuttle))]
#[derive(Debug)]
pub(super) struct Current<V: 'static>(AtomicShared<V>);

#[cfg(not(shuttle))]
impl<V: Send + Sync + 'static> Current<V> {
    pub(super) fn new(value: V) -> Self {
        Self(AtomicShared::new(value))
    }

    /// Lends it. What replaces it meanwhile does not show.
    #[inline]
    pub(super) fn with<R>(&self, read: impl FnOnce(&V) -> R) -> R {
        let guard = Guard::new();
        // Acquire pairs with the Release of `set`, so that the value is seen whole.
        let now = self.0.load(Acquire, &guard);
        read(now.as_ref().expect("there is always a value: `set` replaces it in one step"))
    }

    /// Keeps it.
    pub(super) fn counted(&self) -> Counted<V> {
        let guard = Guard::new();
        self.0.get_shared(Acquire, &guard).expect("there is always a value: `set` replaces it in one step")
    }

    /// Replaces the value. The old one is dropped once no reader can have it, by the thread that notices.
    pub(super) fn set(&self, value: V) {
        drop(self.0.swap((Some(Shared::new(value)), Tag::None), Release));
    }
}

#[cfg(shuttle)]
#[derive(Debug)]
pub(super) struct Current<V: 'static>(std::sync::Mutex<std::sync::Arc<V>>);

#[cfg(shuttle)]
impl<V: Send + Sync + 'static> Current<V> {
    pub(super) fn new(value: V) -> Self {
        Self(std::sync::Mutex::new(std::sync::Arc::new(value)))
    }

    pub(super) fn with<R>(&self, read: impl FnOnce(&V) -> R) -> R {
        read(&self.counted())
    }

    pub(super) fn counted(&self) -> Counted<V> {
        std::sync::Arc::clone(&self.0.lock().expect("nothing panics under it"))
    }

    pub(super) fn set(&self, value: V) {
        let new = std::sync::Arc::new(value);
        let old = std::mem::replace(&mut *self.0.lock().expect("nothing panics under it"), new);
        drop(old);
    }
}
