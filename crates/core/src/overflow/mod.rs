//! What happens to a message for which there is no room: a policy per mailbox, a file per policy.

mod fallback;
mod reject;
mod shed_oldest;
mod wait;

use crate::lane::Lane;
use crate::lanes::Lanes;
use crate::options::Meta;
use crate::recipient::Recipient;
use std::fmt;
use std::sync::Arc;

/// What a policy decides, under the senders' lock: no user code runs in it.
pub(crate) enum Verdict<M> {
    /// The sender gets its message back as full; with `wait`, an asking sender may wait for room.
    Refuse {
        /// Whether `send` waits.
        wait: bool,
    },
    /// This one was taken out for the incoming one; ask again if that is not enough.
    Shed(M, Meta),
    /// The incoming message is itself what is worth least.
    ShedIncoming,
    /// The incoming message goes there.
    Divert(Recipient<M>),
}

/// A policy for a full mailbox.
pub(crate) trait Policy<M>: Send + Sync {
    /// Decides over a message for `lane` that does not fit. `lanes` is what the reader has not yet taken.
    fn on_full(&self, lanes: &mut Lanes<M>, lane: Lane) -> Verdict<M>;
    /// Whether queued messages may be taken out again: the reader then takes small batches, to leave something to shed.
    fn sheds(&self) -> bool {
        false
    }
    /// Whether an asking sender waits for room.
    fn waits(&self) -> bool {
        false
    }
    /// Its name.
    fn name(&self) -> &'static str;
}

/// What a mailbox does with a message for which it has no room.
///
/// Whatever it does is counted, and where a message is dropped it goes to the dead-letter mailbox, if one is set.
pub struct Overflow<M>(Arc<dyn Policy<M>>);

impl<M: Send + 'static> Overflow<M> {
    /// `send` waits for room, `try_send` gives the message back as full. The default.
    pub fn wait() -> Self {
        Self(Arc::new(wait::Wait))
    }

    /// No sender waits: it gets its message back as full, at once.
    pub fn reject() -> Self {
        Self(Arc::new(reject::Reject))
    }

    /// The oldest message of the lowest lane that the reader has not yet taken makes room, unless all are in higher
    /// lanes than the new one: then the new one is refused as shed. What was taken out is dead-lettered.
    pub fn shed_oldest() -> Self {
        Self(Arc::new(shed_oldest::ShedOldest))
    }

    /// The new message goes to another mailbox (without waiting there); refused as full when that refuses it too.
    pub fn fallback(to: Recipient<M>) -> Self {
        Self(Arc::new(fallback::Fallback(to)))
    }
}

impl<M> Overflow<M> {
    pub(crate) fn policy(&self) -> &dyn Policy<M> {
        &*self.0
    }

    pub(crate) fn waits(&self) -> bool {
        self.0.waits()
    }
}

impl<M> Clone for Overflow<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for Overflow<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Overflow({})", self.0.name())
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    /// Clauses 3.5 to 3.8: who waits, and whether queued messages make room. (Of shedding, what it takes is in its own file.)
    #[test]
    fn each_policy_answers_as_it_is_described() {
        let elsewhere = crate::Mailbox::<u32>::new();
        let to = || elsewhere.address().recipient();
        for (policy, name, waits, sheds) in [
            (Overflow::wait(), "wait", true, false),
            (Overflow::reject(), "reject", false, false),
            (Overflow::shed_oldest(), "shed_oldest", false, true),
            (Overflow::fallback(to()), "fallback", false, false),
        ] {
            assert_eq!((policy.waits(), policy.policy().sheds()), (waits, sheds), "{name}");
            assert_eq!(format!("{policy:?}"), format!("Overflow({name})"));
            // All that waits is an order: nothing that could be shed.
            let mut lanes = Lanes::default();
            lanes.lane_mut(Lane::Control).push_plain(0);
            let verdict = policy.policy().on_full(&mut lanes, Lane::Normal);
            let as_described = match name {
                "wait" | "shed_oldest" => matches!(verdict, Verdict::Refuse { wait: true }),
                "reject" => matches!(verdict, Verdict::Refuse { wait: false }),
                _ => matches!(verdict, Verdict::Divert(_)),
            };
            assert!(as_described && lanes.len() == 1, "{name}");
        }
    }
}
