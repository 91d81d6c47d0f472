//! Time. Deadlines use tokio's clock, so that tests can pause it; ages use a coarse clock that costs a quarter of it.
//!
//! Tokio's clock lies in the runtime, which is found by a thread-local of tokio's. Once any clock of the process has been paused,
//! to ask for the time in a thread's last destructors, when that local has gone, is a panic (where tokio has its `test-util`). A
//! call, request or send may come from there (clause 6.10), so every limit of ours asks [`now`] and not tokio.

use std::time::Duration;
use tokio::runtime::Handle;
pub use tokio::time::Instant;

/// A local of ours, made after tokio's and so destroyed before it: while it is there, tokio's is.
struct Before {
    tokios: bool,
}

impl Drop for Before {
    fn drop(&mut self) {}
}

thread_local! {
    // To ask for a handle makes tokio's local, if it is not there yet. Where it has gone, this one comes too late.
    static BEFORE: Before = Before { tokios: !tokios_has_gone() };
}

fn tokios_has_gone() -> bool {
    Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed())
}

/// Now, on the clock that tests can pause; the system's, where a thread's last destructors ask. About 22 ns: never read once per
/// message.
#[inline]
pub fn now() -> Instant {
    if BEFORE.try_with(|before| before.tokios).unwrap_or(false) { Instant::now() } else { now_at_last() }
}

#[cold]
fn now_at_last() -> Instant {
    if tokios_has_gone() { Instant::from_std(std::time::Instant::now()) } else { Instant::now() }
}

/// The instant `after` from `now`; an unreachable one (`Duration::MAX`) is `None`, which means never.
pub fn deadline(now: Instant, after: Duration) -> Option<Instant> {
    now.checked_add(after)
}

/// Milliseconds on a coarse monotonic clock (a few ns a reading, a few ms of resolution), never 0.
#[inline]
pub fn coarse_ms() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        t.tv_sec.cast_unsigned().wrapping_mul(1000).wrapping_add(t.tv_nsec.cast_unsigned() / 1_000_000).max(1)
    }
    #[cfg(not(target_os = "linux"))]
    {
        use std::sync::OnceLock;
        static START: OnceLock<std::time::Instant> = OnceLock::new();
        u64::try_from(START.get_or_init(std::time::Instant::now).elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .max(1)
    }
}

/// The low bits of [`coarse_ms`], never 0: for differences of less than 49 days.
#[inline]
pub fn coarse_ms_u32() -> u32 {
    let low = coarse_ms() & u64::from(u32::MAX);
    u32::try_from(low).unwrap_or(1).max(1)
}

/// The low bits of [`coarse_ms`], never 0: for differences of less than a minute.
#[inline]
pub fn coarse_ms_u16() -> u16 {
    let low = coarse_ms() & u64::from(u16::MAX);
    u16::try_from(low).unwrap_or(1).max(1)
}

/// Microseconds on the precise monotonic clock (about 22 ns a reading), the low bits: for differences of less than
/// 65 ms.
#[inline]
pub fn micros_u16() -> u16 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let low = START.get_or_init(std::time::Instant::now).elapsed().as_micros() & u128::from(u16::MAX);
    u16::try_from(low).unwrap_or_default()
}
