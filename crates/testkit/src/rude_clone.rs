//! A waker whose `clone` panics, or the drop of each clone: `std::task::Wake` has no word for that, so it has a table of
//! its own.
//!
//! Rule: the data of a waker with this table is what `Arc::into_raw` made of an `Arc<RudeWaker>`, and the waker owns one of its
//! counts: `clone` makes one more, `wake` and `drop` use one up, `wake_by_ref` none. A `clone` that panics has made none.
#![expect(unsafe_code, reason = "a waker with a clone of its own is a raw waker")]

use super::RudeWaker;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::task::{RawWaker, RawWakerVTable, Wake, Waker};

static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

pub(super) fn waker(of: Arc<RudeWaker>) -> Waker {
    // SAFETY: the functions of the table keep the rule, `RudeWaker` is Send and Sync, and the count goes with the waker.
    unsafe { Waker::from_raw(raw(of)) }
}

fn raw(of: Arc<RudeWaker>) -> RawWaker {
    RawWaker::new(Arc::into_raw(of).cast(), &TABLE)
}

/// Lends what a waker owns.
///
/// # Safety
/// `data` is that of a waker with this table, which outlives what is lent.
unsafe fn lent(data: *const ()) -> ManuallyDrop<Arc<RudeWaker>> {
    // SAFETY: the rule; the count stays the waker's, since this one is never dropped.
    ManuallyDrop::new(unsafe { Arc::from_raw(data.cast()) })
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the waker that is cloned outlives the call.
    let this = unsafe { lent(data) };
    this.cloned();
    raw(Arc::clone(&this))
}

unsafe fn wake(data: *const ()) {
    // SAFETY: the rule; the count is used up here.
    let this: Arc<RudeWaker> = unsafe { Arc::from_raw(data.cast()) };
    this.wake();
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the waker that is woken outlives the call.
    let this = unsafe { lent(data) };
    this.wake_by_ref();
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: the rule; the count is used up here, be it by unwinding.
    let this: Arc<RudeWaker> = unsafe { Arc::from_raw(data.cast()) };
    this.dropped();
}
