//! Senders who ask for it wait for room.

use super::{Policy, Verdict};
use crate::lane::Lane;
use crate::lanes::Lanes;

pub(super) struct Wait;

impl<M> Policy<M> for Wait {
    fn on_full(&self, _: &mut Lanes<M>, _: Lane) -> Verdict<M> {
        Verdict::Refuse { wait: true }
    }
    fn waits(&self) -> bool {
        true
    }
    fn name(&self) -> &'static str {
        "wait"
    }
}
