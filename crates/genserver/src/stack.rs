//! Where this thread's stack lies.
//!
//! Asked for once per thread (`frame` keeps the answer): a caller may be deep in its stack, and the stack may be small, before
//! any code of ours runs on it. Known on Linux; elsewhere callers' polls are bounded by what they take themselves.

use std::ops::Range;

/// The addresses of this thread's stack, the guard page left out.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(any(loom, shuttle))))]
#[expect(unsafe_code, reason = "the system tells the bounds of a stack through C functions only")]
pub(crate) fn bounds() -> Option<Range<usize>> {
    use std::mem::MaybeUninit;

    let mut attr = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: it needs nothing.
    let this = unsafe { libc::pthread_self() };
    // SAFETY: `this` names the calling thread, which is alive; `attr` is memory for one value, which is written.
    let failed = unsafe { libc::pthread_getattr_np(this, attr.as_mut_ptr()) };
    if failed != 0 {
        return None;
    }
    let (mut start, mut len) = (std::ptr::null_mut(), 0);
    // SAFETY: `pthread_getattr_np` has succeeded, so `attr` is initialised; the two others are ours to be written to.
    let failed = unsafe { libc::pthread_attr_getstack(attr.as_ptr(), &raw mut start, &raw mut len) };
    // SAFETY: `attr` is initialised, and is not used after this.
    unsafe { libc::pthread_attr_destroy(attr.as_mut_ptr()) };
    let start = start.addr();
    (failed == 0 && start != 0).then(|| start..start.saturating_add(len))
}

/// Not known here.
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(any(loom, shuttle)))))]
pub(crate) fn bounds() -> Option<Range<usize>> {
    None
}

#[cfg(all(test, target_os = "linux", not(any(loom, shuttle))))]
mod tests {
    use super::*;

    /// What lies on the stack lies within its bounds, on the first thread and on others.
    #[test]
    fn a_local_lies_within_the_bounds() {
        fn check(size: usize) {
            let here = 0_u8;
            let stack = bounds().expect("it is known on Linux");
            assert!(stack.contains(&(&raw const here).addr()));
            assert!(stack.len() >= size, "{stack:?}");
        }
        check(0);
        let size = 256 << 10;
        let small = std::thread::Builder::new().stack_size(size).spawn(move || check(size / 2));
        small.expect("there is a thread").join().expect("its stack is as it was asked for");
    }
}
