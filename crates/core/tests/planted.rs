//! Two planted faults, compiled only under `cargo xtask sanitize`, which expects each to be reported: a check that finds
//! nothing proves something only where it finds what is there. They lie in the test binary of the real tests, so that they
//! run under its flags and its suppressions.
//!
//! Each is a test that is ignored: the command names it, and fails where the sanitizer says nothing of it.

#![expect(unsafe_code, reason = "what is planted")]

use restante_core::sync::{AtomicBool, AtomicU32, Ordering, UnsafeCell, fence};
use std::sync::Arc;

/// A number that two threads touch, and a flag that lets the second one go on.
struct Planted {
    number: UnsafeCell<u32>,
    written: AtomicBool,
}

// SAFETY: none, for the races below are the fault that is planted; `fences_order_what_they_should` orders its accesses.
unsafe impl Sync for Planted {}

/// One thread writes and publishes, the other waits for that and reads.
fn publish(publish: impl FnOnce(&AtomicBool) + Send + 'static, see: impl Fn(&AtomicBool) -> bool) -> u32 {
    let planted = Arc::new(Planted { number: UnsafeCell::new(0), written: AtomicBool::new(false) });
    let other = Arc::clone(&planted);
    let writer = std::thread::spawn(move || {
        // SAFETY: none for the race; else the reader waits until this has been published.
        other.number.with_mut(|number| unsafe { *number = 7 });
        publish(&other.written);
    });
    while !see(&planted.written) {
        std::hint::spin_loop();
    }
    // SAFETY: as above.
    let seen = planted.number.with(|number| unsafe { *number });
    writer.join().expect("it only writes");
    seen
}

/// `ThreadSanitizer` must report it: the flag orders nothing.
#[test]
#[ignore = "a planted race: `cargo xtask sanitize` runs it and expects a report"]
fn planted_race() {
    assert_eq!(publish(|flag| flag.store(true, Ordering::Relaxed), |flag| flag.load(Ordering::Relaxed)), 7);
}

/// `ThreadSanitizer` must not report it: our fences are such as it understands.
#[test]
fn fences_order_what_they_should() {
    let publish_fenced = |flag: &AtomicBool| {
        fence(Ordering::SeqCst);
        flag.store(true, Ordering::Relaxed);
    };
    let see_fenced = |flag: &AtomicBool| {
        let set = flag.load(Ordering::Relaxed);
        fence(Ordering::SeqCst);
        set
    };
    assert_eq!(publish(publish_fenced, see_fenced), 7);
}

/// `AddressSanitizer` must report it: the box has gone.
#[test]
#[ignore = "a planted use after free: `cargo xtask sanitize` runs it and expects a report"]
fn planted_use_after_free() {
    let word = Box::into_raw(Box::new(AtomicU32::new(7)));
    // SAFETY: it came out of a box just now.
    drop(unsafe { Box::from_raw(word) });
    // SAFETY: none, this is the fault.
    let seen = unsafe { (*std::hint::black_box(word)).load(Ordering::Relaxed) };
    assert_ne!(std::hint::black_box(seen), 8);
}
