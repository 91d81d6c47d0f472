//! The server. (By hand, it would be two enums and a `match` for each: so are those of the examples `priorities` and
//! `selective`.)

use restante::prelude::*;
use std::time::Duration;

/// What the panic says that `crash` asks for, so that the hook can tell it from a mistake of ours.
pub(crate) const ASKED: &str = "asked to crash";

#[derive(Debug)]
pub(crate) struct Counter {
    pub(crate) sum: u64,
    pub(crate) ticks: u64,
}

#[gen_server(pub(crate))]
impl Counter {
    #[init]
    fn init(sum: &u64) -> Self {
        Counter { sum: *sum, ticks: 0 }
    }
    /// The sum.
    #[call]
    fn sum(&self) -> u64 {
        self.sum
    }
    /// How many ticks came.
    #[call]
    fn ticks(&self) -> u64 {
        self.ticks
    }
    /// Adds to the sum. One that is too big ends the server.
    #[cast]
    fn add(&mut self, n: u64) -> Result<(), ExitReason> {
        self.sum = self.sum.checked_add(n).ok_or_else(|| ExitReason::error("the sum is too big"))?;
        Ok(())
    }
    /// Works so long, then panics.
    #[cast]
    async fn crash(&mut self, work: Duration) {
        tokio::time::sleep(work).await;
        panic!("{ASKED}");
    }
    #[info(every = "1s")]
    fn tick(&mut self) {
        self.ticks += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use restante::testkit::{
        Universe, assert_conserved, assert_conserved_when_idle, expect_restart, quiet_panics,
    };

    #[test]
    fn it_adds_and_the_timer_ticks_once_a_second() {
        Universe::new().run(async |_| {
            let counter = start::<Counter>(40).await.expect("it starts");
            counter.add(2).expect("there is room");
            tokio::time::sleep(Duration::from_millis(3500)).await;
            assert_eq!((counter.sum().await, counter.ticks().await), (Ok(42), Ok(3)));
            assert_conserved_when_idle!(counter);
        });
    }

    /// Row D1: what was added before is gone, what comes after is there, and none of it is lost.
    #[test]
    fn a_crash_costs_what_was_in_hand_and_nothing_that_waited() {
        let _quiet = quiet_panics(ASKED);
        Universe::new().run(async |_| {
            let server = Server::<Counter>::new("counter");
            let counter = server.address();
            let tree = Supervisor::one_for_one().child(server.child(0)).start().await.expect("it starts");
            counter.add(1).expect("there is room");
            counter.crash(Duration::from_secs(1)).expect("there is room");
            counter.add(2).expect("there is room");
            assert_conserved!(counter);
            assert_eq!(expect_restart(&counter, 1).await, 2);
            assert_eq!(counter.sum().await, Ok(2));
            assert_eq!(assert_conserved_when_idle!(tree).failed, 1);
            tree.shutdown(Duration::from_secs(5)).await;
        });
    }

    /// Row G6: an operator who replaces the state while messages wait is before all of them.
    #[test]
    fn a_state_is_replaced_before_what_waits() {
        Universe::new().run(async |_| {
            let counter = start::<Counter>(0).await.expect("it starts");
            counter.sys().suspend();
            counter.add(2).expect("there is room");
            let replaced = counter.sys().replace_state(|old| Ok(Counter { sum: old.sum + 40, ..*old })).await;
            assert_eq!((replaced, counter.sys().get_state(|state| state.sum).await), (Ok(()), Ok(40)));
            counter.sys().resume();
            assert_eq!(counter.sum().await, Ok(42));
            assert_conserved_when_idle!(counter);
        });
    }
}
