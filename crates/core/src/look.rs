//! A look at what is queued, that senders hardly notice.
//!
//! What senders have queued lies under their lock. It is shown in sections of a bounded length, between which senders come in;
//! and of no more messages than were asked for. How many lie there is known without looking. RUN is held throughout where it
//! was free, so that no reader takes anything away meanwhile. (A sender may: what is shed or replaced between two sections
//! moves what lies behind it, of which one message may be passed over or shown in its new place as well.)

use crate::cell::{MailCell, Runner};
use crate::lane::Lane;
use crate::lanes::Lanes;
use crate::word::RunGuard;
use std::sync::Arc;

/// Messages that are shown under the lock at a time.
const SECTION: usize = if cfg!(loom) { 1 } else { 64 };

/// What became of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// False: a reader is at work, and the look saw only what the reader has not taken yet.
    pub complete: bool,
    /// How many lie where could be looked, shown or not.
    pub queued: u64,
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// Shows the first `most` messages that are queued, lane by lane in the order of reading, with how many handlers have
    /// started on each before.
    ///
    /// What senders have queued is shown under their lock: `show` must do nothing but look, and not panic.
    pub fn look_over(self: &Arc<Self>, most: usize, mut show: impl FnMut(Lane, &M, u32)) -> Looked {
        let mut permit = RunGuard::enter_quietly(self);
        let mut left = most;
        for lane in Lanes::<M>::ORDER {
            if let Some(permit) = &mut permit {
                left -= section(permit.split().1.lanes(), lane, 0, left, &mut show);
            }
            let mut from = 0;
            while left > 0 {
                let shown = {
                    let shared = self.word().lock();
                    section(shared.lanes(), lane, from, left.min(SECTION), &mut show)
                };
                if shown == 0 {
                    break;
                }
                from += shown;
                left -= shown;
            }
        }
        let taken = permit.as_mut().map_or(0, |permit| permit.split().1.lanes().len());
        let queued = (taken + self.word().lock().lanes().len()) as u64;
        let complete = permit.is_some();
        if let Some(permit) = permit {
            Self::leave_quietly_by(permit);
        }
        Looked { complete, queued }
    }
}

/// Shows at most `most` messages of a lane, from one on: how many there were.
fn section<M>(
    lanes: &Lanes<M>,
    lane: Lane,
    from: usize,
    most: usize,
    show: &mut impl FnMut(Lane, &M, u32),
) -> usize {
    let mut shown = 0;
    for (message, attempts) in lanes.lane(lane).into_iter().flat_map(|queue| queue.range(from, most)) {
        show(lane, message, attempts);
        shown += 1;
    }
    shown
}
