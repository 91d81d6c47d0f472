//! The two halves of a cell, and what the reader tells beside its own.

use super::cold::Cold;
use crate::counters::Ledger;
use crate::lane::Lane;
use crate::lanes::{LaneOrder, Lanes};
use crate::monitor::Event;
use crate::options::Meta;
use crate::quiet;
use crate::room::Room;
use crate::sync::{AtomicU32, AtomicU64};
use crate::waiters::Waiters;
use std::sync::Arc;
use std::task::Waker;
use tracing::Span;

/// The senders' half. What a plain send needs comes first; what follows keeps it a line away from the reader's.
#[derive(Debug)]
#[repr(C)]
pub struct Shared<M> {
    /// When the oldest of `lanes` came (the low bits of coarse ms); 0: not known.
    pub(super) stamp: u32,
    pub(super) incarnation: u32,
    pub(super) lanes: Lanes<M>,
    pub(super) room: Room,
    pub(super) waiters: Option<Box<Waiters>>,
    pub(super) cold: Option<Box<Cold>>,
}

impl<M> Shared<M> {
    /// What senders have queued.
    pub(crate) fn lanes(&self) -> &Lanes<M> {
        &self.lanes
    }
    pub(super) fn cold(&mut self) -> &mut Cold {
        self.cold.get_or_insert_default()
    }
    #[inline]
    pub(super) fn take_parked(&mut self) -> Option<Waker> {
        self.cold.as_mut().and_then(|cold| cold.parked.take())
    }
    pub(super) fn ledger(&mut self) -> &mut Ledger {
        &mut self.cold().ledger
    }
    /// Notes an event, under the lock that makes it true; whether anybody is to be told.
    pub(super) fn note_event(&mut self, event: impl FnOnce() -> Event) -> bool {
        let Some(cold) = self.cold.as_mut().filter(|c| c.telling || !c.monitors.is_empty()) else {
            return false;
        };
        cold.events += 1;
        cold.untold.push_back((cold.events, event()));
        true
    }
}

/// The reader's half. What a plain message needs comes last: see [`Shared`].
#[derive(Debug)]
#[repr(C)]
pub struct Own<M> {
    pub(super) order: LaneOrder,
    /// How many have left each side lane's front; see [`MarkBase`].
    pub(super) side_base: [u32; 3],
    /// The batch that was taken.
    pub(super) lanes: Lanes<M>,
    pub(super) side_out: u64,
    pub(super) normal_out: u64,
    /// What the message in hand carried, where it carried anything.
    pub(super) hand: Option<Box<Meta>>,
    /// The most bytes of buffers that a refill has left with the senders since they were last given back: what the lanes
    /// here no longer show.
    pub(super) lent: u32,
    /// Whether a lane other than normal holds part of the batch.
    pub(super) side_pending: bool,
    /// The lane that the message in hand came from, where that is noted: see [`Own::hand_lane`].
    pub(super) hand_lane: Lane,
    /// Whether a handler has started on a message and not finished it.
    pub in_hand: bool,
}

/// Where a lane's batch begins, counted over the mailbox's life: marks are such numbers.
pub type MarkBase = [u64; 4];

impl<M> Own<M> {
    /// The batch.
    pub fn lanes(&self) -> &Lanes<M> {
        &self.lanes
    }

    /// A refill has left these buffers with the senders.
    #[inline]
    pub(super) fn lends(&mut self, bytes: usize) {
        self.lent = self.lent.max(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Whether the batch is used up.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.lanes.normal.is_empty() && (!self.side_pending || self.lanes.is_empty())
    }

    /// How many handlers had started on the message in hand before this one.
    pub fn attempts(&self) -> u32 {
        self.hand.as_ref().map_or(0, |m| m.attempts())
    }

    /// The lane of the message in hand, if [`Own::note_lane`] was called before it was taken.
    pub fn hand_lane(&self) -> Lane {
        self.hand_lane
    }

    /// The span that the message in hand was sent in, where that is known.
    pub fn hand_span(&self) -> Option<&Arc<Span>> {
        self.hand.as_ref().and_then(|meta| meta.span())
    }

    /// The lane of what is taken next is to be known. (What is taken the short way comes from the normal lane, and notes
    /// nothing.)
    pub fn note_lane(&mut self) {
        self.hand_lane = Lane::Normal;
    }

    /// Whether a message that was put back is the next of its lane.
    pub fn is_put_back(&self, lane: Lane) -> bool {
        self.lanes.lane(lane).and_then(|l| l.meta(0)).is_some_and(|meta| meta.attempts() > 0)
    }

    /// Where each lane's batch begins.
    pub fn bases(&self) -> MarkBase {
        let [control, high, low] = self.side_base.map(u64::from);
        [control, high, self.normal_out, low]
    }

    /// One message left the batch of `lane`, from wherever in it: everything before it moves up by one. (Marks that
    /// lie further back stay right; those further ahead at worst look at one message again.)
    #[inline]
    pub(super) fn left(&mut self, lane: Lane) {
        match lane {
            Lane::Normal => self.normal_out += 1,
            Lane::Control => self.side_base[0] = self.side_base[0].wrapping_add(1),
            Lane::High => {
                self.side_base[1] = self.side_base[1].wrapping_add(1);
                self.side_out += 1;
            }
            Lane::Low => {
                self.side_base[2] = self.side_base[2].wrapping_add(1);
                self.side_out += 1;
            }
        }
    }

    /// A message that carries nothing has left the normal lane.
    #[inline(always)]
    pub(super) fn took_plain(&mut self) {
        self.normal_out += 1;
        if self.hand.is_some() {
            self.put_hand(None);
        }
    }

    /// Notes what the message in hand carries. (What the last one carried may hold a span, whose drop is a subscriber's.)
    #[inline(never)]
    pub(super) fn put_hand(&mut self, meta: Option<Box<Meta>>) {
        if let Some(last) = std::mem::replace(&mut self.hand, meta) {
            quiet::discard("a span", last);
        }
    }

    pub(super) fn out(&self) -> u64 {
        self.normal_out + self.side_out
    }
}

/// What the reader tells, with plain stores beside its half; and the little that others tell it, seldom.
#[derive(Debug)]
pub(super) struct Tally {
    /// Data messages that left the room.
    pub(super) out: AtomicU64,
    pub(super) handled: AtomicU64,
    /// Calls that a caller ran itself: sent and taken at once.
    pub(super) inline: AtomicU64,
    /// The `out` from which waiting senders are to be woken; `MAX` while none waits. Written under the lock. (A hint: the
    /// truth is WAIT, at which the reader looks when it leaves.)
    pub(super) wake_at: AtomicU64,
    /// When the oldest of the batch came (the low bits of coarse ms); 0: not known.
    pub(super) batch_since: AtomicU32,
    /// Orders and notices that came since the ledger was last told; counted by senders, under the lock.
    pub(super) control: AtomicU32,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            out: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            inline: AtomicU64::new(0),
            wake_at: AtomicU64::new(u64::MAX),
            batch_since: AtomicU32::new(0),
            control: AtomicU32::new(0),
        }
    }
}
