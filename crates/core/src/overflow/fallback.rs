//! Another mailbox takes what does not fit.

use super::{Policy, Verdict};
use crate::lane::Lane;
use crate::lanes::Lanes;
use crate::recipient::Recipient;

pub(super) struct Fallback<M>(pub(super) Recipient<M>);

impl<M: Send + 'static> Policy<M> for Fallback<M> {
    fn on_full(&self, _: &mut Lanes<M>, _: Lane) -> Verdict<M> {
        Verdict::Divert(self.0.clone())
    }
    fn name(&self) -> &'static str {
        "fallback"
    }
}
