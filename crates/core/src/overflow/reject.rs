//! No sender waits.

use super::{Policy, Verdict};
use crate::lane::Lane;
use crate::lanes::Lanes;

pub(super) struct Reject;

impl<M> Policy<M> for Reject {
    fn on_full(&self, _: &mut Lanes<M>, _: Lane) -> Verdict<M> {
        Verdict::Refuse { wait: false }
    }
    fn name(&self) -> &'static str {
        "reject"
    }
}
