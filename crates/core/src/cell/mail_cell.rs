//! The cell itself, its runner, and what it is made with.

use super::cold::Cold;
use super::halves::{Own, Shared, Tally};
use crate::dead_letter::DeadCause;
use crate::lane::Lane;
use crate::lanes::{LaneOrder, Lanes};
use crate::rate::RateState;
use crate::room::Room;
use crate::settings::Settings;
use crate::sync::AtomicUsize;
use crate::word::{self, Locked, StateWord};
use std::sync::Arc;
use tracing::Span;
use uuid::Uuid;

/// What runs a cell's reader. It is told when the reader has something to do and does not run.
pub trait Runner<M>: Send + Sync + 'static {
    /// SCHED has been set and its wake-up is owed: see to it that the cell is polled. Neither blocks nor panics.
    fn schedule(&self, cell: &Arc<MailCell<M, Self>>);
    /// This message will not be handled: tell the caller who waits for its outcome. Called once, before the message goes to
    /// the dead-letter mailbox or is dropped; outside the lock.
    fn on_dead(&self, message: &M, cause: &DeadCause) {
        let _ = (message, cause);
    }
    /// The mailbox is closed, has no reader, and nothing is left in it.
    fn on_settled(&self) {}
    /// The span that a message is being sent in, where that is to be known. Asked while SYS is set, outside the lock.
    fn span(&self) -> Option<Arc<Span>> {
        None
    }
}

/// The runner of a plain mailbox: its receiver parks its waker in the cell itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parked;

impl<M: Send + 'static> Runner<M> for Parked {
    fn schedule(&self, _: &Arc<MailCell<M, Self>>) {}
}

/// A mailbox and, at its end, its runner.
// In this order in memory: what senders write, then what the reader does (see `StateWord`).
#[derive(Debug)]
#[repr(C)]
pub struct MailCell<M: 'static, X: ?Sized> {
    /// Addresses, which keep the mailbox open. (The cell's memory is kept by its `Arc`.)
    pub(super) handles: AtomicUsize,
    pub(super) settings: Option<Box<Settings<M>>>,
    pub(super) word: StateWord<Shared<M>, Own<M>>,
    pub(super) tally: Tally,
    /// The runner.
    pub runner: X,
}

impl<M: Send + 'static, X: Runner<M>> std::task::Wake for MailCell<M, X> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if self.word.notify() {
            self.schedule();
        }
    }
}

/// The senders' half, under the lock.
pub(super) type Guard<'a, M> = Locked<'a, Shared<M>, Own<M>>;

impl<M: 'static, X> MailCell<M, X> {
    /// A cell that starts with these bits. Its first handle is counted already.
    pub fn new(settings: Settings<M>, bits: u32, runner: X) -> Self {
        let room = Room::new(settings.capacity, settings.weight_limit);
        let order = LaneOrder::new(settings.starvation_bound);
        let policy = if settings.needs_policy() { word::POLICY } else { 0 };
        let cold = settings
            .rate
            .map(|limit| Box::new(Cold { rate: Some(RateState::new(limit)), ..Cold::default() }));
        let shared = Shared {
            lanes: Lanes::default(),
            room,
            waiters: None,
            cold,
            stamp: 0,
            incarnation: u32::from(bits & word::LEASED != 0),
        };
        Self::build(shared, order, bits | policy, (!settings.is_plain()).then(|| Box::new(settings)), runner)
    }

    /// A cell with the default settings, without looking at them.
    #[inline]
    pub fn plain(capacity: Option<usize>, bits: u32, runner: X) -> Self {
        let shared = Shared {
            lanes: Lanes::default(),
            room: Room::new(capacity, None),
            waiters: None,
            cold: None,
            stamp: 0,
            incarnation: u32::from(bits & word::LEASED != 0),
        };
        Self::build(shared, LaneOrder::new(LaneOrder::DEFAULT_BOUND), bits, None, runner)
    }

    #[inline]
    fn build(
        shared: Shared<M>,
        order: LaneOrder,
        bits: u32,
        settings: Option<Box<Settings<M>>>,
        runner: X,
    ) -> Self {
        let own = Own {
            lanes: Lanes::default(),
            order,
            normal_out: 0,
            side_out: 0,
            side_base: [0; 3],
            hand: None,
            lent: 0,
            side_pending: false,
            hand_lane: Lane::Normal,
            in_hand: false,
        };
        Self {
            word: StateWord::new(bits, shared, own),
            tally: Tally::new(),
            handles: AtomicUsize::new(1),
            settings,
            runner,
        }
    }
}

impl<M: 'static, X: ?Sized> MailCell<M, X> {
    /// The state word and what it guards.
    #[inline(always)]
    pub fn word(&self) -> &StateWord<Shared<M>, Own<M>> {
        &self.word
    }

    /// The mailbox's id: a UUID v7, made when it is first asked for (so its time is that of the asking).
    pub fn id(&self) -> Uuid {
        if let Some(id) = self.word.lock().cold.as_ref().and_then(|c| c.id) {
            return id;
        }
        // Made outside the lock; the first one stays.
        let fresh = Uuid::now_v7();
        *self.word.lock().cold().id.get_or_insert(fresh)
    }

    /// The name that was given, if one was.
    pub fn name(&self) -> Option<&Arc<str>> {
        self.settings.as_ref().and_then(|s| s.name.as_ref())
    }

    /// The name, else the message type's.
    pub fn label(&self) -> String {
        self.name().map_or_else(|| std::any::type_name::<M>().to_owned(), ToString::to_string)
    }
}
