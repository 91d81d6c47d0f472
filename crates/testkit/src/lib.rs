//! Probes, paused time, crash injection, leak checks: for our tests and our users'.
//!
//! - [`Probe`] keeps what it is sent and [expects](Probe::expect) it; [`CallProbe`] is asked and lets the test answer;
//!   [`MonitorProbe`] watches a server.
//! - [`StubServer`] stands for a server: the holders of its reference cannot tell.
//! - [`Universe`] runs a test in a runtime of its own, under paused time, and fails at its end when something is left over:
//!   servers, tasks, timers, monitors, replies that were not given.
//! - [`CrashPlan`] has a server crash: at the n-th message, at one of a name, by chance from a seed, in `init`, in `terminate`.
//! - [`rudely!`] applies foreign code at its worst ([`Rude`], [`RudeValue`]) to every operation on a list.
//! - [`assert_conserved!`] asserts the conservation law, [`eventually`] what comes about by itself; [`FakeClock`] is time
//!   for rules that take `now`.
//!
//! Everything that waits has a limit, on the clock that tests can pause. What a failure says ends with the place in the test
//! that asked for it. The kit prints nothing and installs nothing uninvited ([`quiet_panics`] is an invitation).
//!
//! ```
//! use restante_testkit::{Probe, Universe};
//! Universe::new().run(async |_| {
//!     let mut probe = Probe::new();
//!     probe.address().try_send("poste restante").expect("it has room");
//!     probe.expect_eq("poste restante").await;
//! });
//! ```
//!
//! What deliberately does not live here: mocks that are made from a trait, network simulation, property testing.

mod call_probe;
mod clock;
mod conserved;
mod crash_plan;
mod crashing;
mod eventually;
mod failure;
mod lifecycle;
mod monitor_probe;
mod probe;
mod quiet;
mod rude;
mod stub;
mod universe;

pub use call_probe::{CallProbe, Question};
pub use clock::FakeClock;
pub use conserved::{Audited, conserved};
pub use crash_plan::{Crash, CrashPlan, Crashed, Moment};
pub use crashing::CrashLog;
pub use eventually::{eventually, settled};
pub use lifecycle::{crash, expect_down, expect_restart};
pub use monitor_probe::MonitorProbe;
pub use probe::Probe;
pub use quiet::{QuietPanics, quiet_panics};
pub use rude::{Ending, Manner, Rude, RudeValue};
pub use stub::{Hold, Received, StubServer};
pub use universe::{Census, Kind, Leak, Universe, World};

/// How long a probe waits for what is expected, unless told otherwise.
pub const DEFAULT_LIMIT: std::time::Duration = std::time::Duration::from_secs(3);

/// What the macros expand to.
#[doc(hidden)]
pub mod expanded {
    pub use crate::conserved::{At, at_idle, at_rest, total};
    pub use crate::failure::mismatch;
}
