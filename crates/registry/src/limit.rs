//! Limits and pauses wherever one waits: in a runtime, with or without a time driver, or on another executor.

#[cfg(not(shuttle))]
pub(crate) use restante_core::alarm::{at_most, sleep};
#[cfg(shuttle)]
pub(crate) use restante_core::timeout::at_most;
#[cfg(shuttle)]
pub(crate) use tokio::time::sleep;
