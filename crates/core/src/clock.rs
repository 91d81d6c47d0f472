//! Time. Deadlines use tokio's clock, so that tests can pause it; ages use a coarse clock that costs a quarter of it.

use std::time::Duration;
pub use tokio::time::Instant;

/// Now, on the clock that tests can pause. About 22 ns: never read once per message.
#[inline]
pub fn now() -> Instant {
    Instant::now()
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
