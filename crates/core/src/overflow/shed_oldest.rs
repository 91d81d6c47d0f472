//! The oldest of the lowest lane makes room.

use super::{Policy, Verdict};
use crate::lane::Lane;
use crate::lanes::Lanes;

pub(super) struct ShedOldest;

impl<M> Policy<M> for ShedOldest {
    fn on_full(&self, lanes: &mut Lanes<M>, incoming: Lane) -> Verdict<M> {
        for lane in [Lane::Low, Lane::Normal, Lane::High] {
            // `Lane` orders from the highest to the lowest: a greater lane is worth less.
            if lane < incoming {
                break;
            }
            if lanes.lane(lane).is_some_and(|l| !l.is_empty())
                && let Some((message, meta)) = lanes.lane_mut(lane).pop()
            {
                return Verdict::Shed(message, meta);
            }
        }
        // Nothing that the reader has not taken is worth as little. If nothing at all is left to compare with, the
        // mailbox is simply full.
        if lanes.len() > lanes.control_len() { Verdict::ShedIncoming } else { Verdict::Refuse { wait: true } }
    }
    fn sheds(&self) -> bool {
        true
    }
    fn name(&self) -> &'static str {
        "shed_oldest"
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    fn shed(queued: &[(Lane, u32)], incoming: Lane) -> Option<u32> {
        let mut lanes = Lanes::default();
        queued.iter().for_each(|(lane, m)| lanes.lane_mut(*lane).push_plain(*m));
        match ShedOldest.on_full(&mut lanes, incoming) {
            Verdict::Shed(m, _) => Some(m),
            Verdict::ShedIncoming => None,
            Verdict::Refuse { .. } | Verdict::Divert(_) => Some(u32::MAX),
        }
    }

    /// Row D4: the oldest of the lowest priority goes first.
    #[test]
    fn the_oldest_of_the_lowest_lane_that_is_not_above_the_new_one_goes() {
        use Lane::{High, Low, Normal};
        assert_eq!(shed(&[(High, 1), (Normal, 2), (Low, 3), (Low, 4)], Normal), Some(3));
        assert_eq!(shed(&[(High, 1), (Normal, 2), (Normal, 3)], Normal), Some(2));
        assert_eq!(shed(&[(High, 1)], High), Some(1));
        assert_eq!(shed(&[(High, 1)], Normal), None, "the new one is worth least");
        assert_eq!(shed(&[(Normal, 1)], Low), None);
        assert_eq!(shed(&[], Normal), Some(u32::MAX), "all is in the reader's batch: full");
    }
}
