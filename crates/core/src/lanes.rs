//! A FIFO for each lane, and the order in which lanes are read.
//!
//! An entry is the message alone; what few messages carry (deadline, weight, key, attempts) lies in a parallel ring
//! that exists only while a lane holds such a message, and begins with the first such. Lanes other than normal are made at
//! first use.
//!
//! What senders do here they do under their lock, so none of it takes longer the more is queued; but for the search for a key.

use crate::lane::Lane;
use crate::options::Meta;
use crate::quiet;
use std::collections::VecDeque;

/// One lane's queue.
#[derive(Debug)]
pub struct Fifo<M> {
    items: VecDeque<M>,
    metas: Option<Box<Metas>>,
}

/// What the messages of a lane carry. Those in front that carry nothing are only counted, so that the first one that carries
/// something costs the same behind one message and behind a million.
#[derive(Debug)]
struct Metas {
    plain: usize,
    /// Of the others, one each.
    rest: VecDeque<Meta>,
}

impl Metas {
    fn behind(plain: usize) -> Self {
        Self { plain, rest: VecDeque::new() }
    }

    fn get(&self, index: usize) -> Option<&Meta> {
        self.rest.get(index.checked_sub(self.plain)?)
    }

    fn pop(&mut self) -> Meta {
        if self.plain > 0 {
            self.plain -= 1;
            return Meta::default();
        }
        self.rest.pop_front().unwrap_or_default()
    }

    fn remove(&mut self, index: usize) -> Meta {
        if index < self.plain {
            self.plain -= 1;
            return Meta::default();
        }
        self.rest.remove(index - self.plain).unwrap_or_default()
    }

    /// Has one entry each from `index` on.
    fn spell_out(&mut self, index: usize) {
        while self.plain > index {
            self.plain -= 1;
            self.rest.push_front(Meta::default());
        }
    }

    fn replace(&mut self, index: usize, meta: Meta) -> Meta {
        self.spell_out(index);
        self.rest.get_mut(index - self.plain).map(|place| std::mem::replace(place, meta)).unwrap_or_default()
    }

    fn push_front(&mut self, meta: Meta) {
        if meta.is_plain() {
            self.plain += 1;
        } else {
            self.spell_out(0);
            self.rest.push_front(meta);
        }
    }
}

impl<M> Default for Fifo<M> {
    fn default() -> Self {
        Self { items: VecDeque::new(), metas: None }
    }
}

impl<M> Fifo<M> {
    /// How many lie here.
    #[inline]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether none lies here.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Appends a message that carries nothing else.
    #[inline(always)]
    pub fn push_plain(&mut self, message: M) {
        if let Some(metas) = &mut self.metas {
            metas.rest.push_back(Meta::default());
        }
        self.items.push_back(message);
    }

    /// Appends a message with what it carries.
    pub fn push(&mut self, message: M, meta: Meta) {
        if self.metas.is_none() && !meta.is_plain() {
            self.metas = Some(Box::new(Metas::behind(self.items.len())));
        }
        if let Some(metas) = &mut self.metas {
            metas.rest.push_back(meta);
        }
        self.items.push_back(message);
    }

    /// Puts a message back at the front.
    pub fn push_front(&mut self, message: M, meta: Meta) {
        if self.metas.is_none() && !meta.is_plain() {
            self.metas = Some(Box::new(Metas::behind(self.items.len())));
        }
        if let Some(metas) = &mut self.metas {
            metas.push_front(meta);
        }
        self.items.push_front(message);
    }

    /// The oldest, where nothing here carries anything; `None` when empty or when [`Fifo::pop`] is needed.
    #[inline(always)]
    pub fn pop_plain(&mut self) -> Option<M> {
        if self.metas.is_some() { None } else { self.items.pop_front() }
    }

    /// The oldest, with what it carries.
    pub fn pop(&mut self) -> Option<(M, Meta)> {
        let message = self.items.pop_front()?;
        let meta = self.metas.as_mut().map(|m| m.pop()).unwrap_or_default();
        self.left();
        Some((message, meta))
    }

    /// Takes out the one at `index`.
    pub fn remove(&mut self, index: usize) -> Option<(M, Meta)> {
        let message = self.items.remove(index)?;
        let meta = self.metas.as_mut().map(|m| m.remove(index)).unwrap_or_default();
        self.left();
        Some((message, meta))
    }

    /// One has left: with the last that carries something goes the ring.
    fn left(&mut self) {
        if self.metas.as_ref().is_some_and(|m| m.rest.is_empty()) {
            self.metas = None;
        }
    }

    /// The message at `index`.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&M> {
        self.items.get(index)
    }

    /// What the message at `index` carries.
    pub fn meta(&self, index: usize) -> Option<&Meta> {
        self.metas.as_ref().and_then(|m| m.get(index))
    }

    /// At most so many messages from `index` on, each with how many handlers have started on it before.
    pub(crate) fn range(&self, index: usize, most: usize) -> impl Iterator<Item = (&M, u32)> {
        let from = index.min(self.len());
        let to = from.saturating_add(most).min(self.len());
        let attempts = move |at: usize| self.meta(from + at).map_or(0, Meta::attempts);
        self.items.range(from..to).enumerate().map(move |(at, message)| (message, attempts(at)))
    }

    /// All messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &M> {
        self.items.iter()
    }

    /// The place of the newest message with this key.
    pub fn find_key(&self, key: u128) -> Option<usize> {
        let metas = self.metas.as_ref()?;
        Some(metas.plain + metas.rest.iter().rposition(|m| m.key() == Some(key))?)
    }

    /// Puts another message in the place of the one at `index`, which it returns.
    pub fn replace(&mut self, index: usize, message: M, meta: Meta) -> Option<(M, Meta)> {
        let len = self.items.len();
        let place = self.items.get_mut(index)?;
        if self.metas.is_none() && !meta.is_plain() {
            self.metas = Some(Box::new(Metas::behind(len)));
        }
        let old = std::mem::replace(place, message);
        let old_meta = self.metas.as_mut().map(|m| m.replace(index, meta)).unwrap_or_default();
        Some((old, old_meta))
    }

    /// Moves up to `limit` of the oldest of `from` behind what lies here. All of them, into an empty lane: a swap.
    #[inline]
    pub fn take_from(&mut self, from: &mut Self, limit: usize) {
        if self.items.is_empty() && from.items.len() <= limit {
            std::mem::swap(self, from);
            return;
        }
        self.append_from(from, limit);
    }

    fn append_from(&mut self, from: &mut Self, limit: usize) {
        if self.metas.is_none() && from.metas.is_none() {
            if from.items.len() <= limit {
                self.items.append(&mut from.items);
            } else {
                self.items.extend(from.items.drain(..limit));
            }
            return;
        }
        for _ in 0..limit {
            let Some((message, meta)) = from.pop() else { return };
            self.push(message, meta);
        }
    }

    /// Bytes that the buffers hold, used or not.
    pub fn buffer_bytes(&self) -> usize {
        self.items.capacity() * size_of::<M>()
            + self.metas.as_ref().map_or(0, |m| m.rest.capacity() * size_of::<Meta>())
    }

    /// Gives back what the buffers hold beyond what lies in them.
    pub fn shrink(&mut self) {
        self.items.shrink_to_fit();
        if let Some(metas) = &mut self.metas {
            metas.rest.shrink_to_fit();
        }
    }

    /// Drops what lies here, one by one.
    pub(crate) fn discard(&mut self) {
        while let Some((message, meta)) = self.pop() {
            quiet::discard("a message", message);
            quiet::discard("a span", meta);
        }
    }

    /// Takes out all for which `which` holds, in order.
    pub fn extract(&mut self, mut which: impl FnMut(&M, &Meta) -> bool) -> Vec<(M, Meta)> {
        let plain = Meta::default();
        // Asked once each, before anything moves: `which` is user code and may panic.
        let chosen: Vec<bool> =
            self.items.iter().enumerate().map(|(i, m)| which(m, self.meta(i).unwrap_or(&plain))).collect();
        if !chosen.contains(&true) {
            return Vec::new();
        }
        let (mut kept, mut taken) = (Self::default(), Vec::new());
        for chosen in chosen {
            let Some((message, meta)) = self.pop() else { break };
            if chosen { taken.push((message, meta)) } else { kept.push(message, meta) }
        }
        *self = kept;
        taken
    }
}

/// The lanes that few mailboxes use, made at first use: a mailbox that gets one notice in its life pays for little more
/// than the notice.
#[derive(Debug)]
struct SideLanes<M> {
    control: Fifo<M>,
    data: Option<Box<SideData<M>>>,
}

#[derive(Debug)]
struct SideData<M> {
    high: Fifo<M>,
    low: Fifo<M>,
}

impl<M> Default for SideLanes<M> {
    fn default() -> Self {
        Self { control: Fifo::default(), data: None }
    }
}

impl<M> SideLanes<M> {
    fn len(&self) -> usize {
        self.control.len() + self.data.as_ref().map_or(0, |d| d.high.len() + d.low.len())
    }

    fn data(&mut self) -> &mut SideData<M> {
        self.data.get_or_insert_with(|| Box::new(SideData { high: Fifo::default(), low: Fifo::default() }))
    }

    fn take_from(&mut self, from: &mut Self, limit: usize) {
        self.control.take_from(&mut from.control, usize::MAX);
        if let Some(theirs) = from.data.as_mut().filter(|d| d.high.len() + d.low.len() != 0) {
            let ours = self.data();
            ours.high.take_from(&mut theirs.high, limit.saturating_sub(ours.high.len()));
            ours.low.take_from(&mut theirs.low, limit.saturating_sub(ours.low.len()));
        }
    }
}

/// Messages that may be moved under the lock.
const QUICK: usize = 1024;

/// The four lanes.
#[derive(Debug)]
#[repr(C)]
pub struct Lanes<M> {
    pub(crate) normal: Fifo<M>,
    side: Option<Box<SideLanes<M>>>,
}

impl<M> Default for Lanes<M> {
    fn default() -> Self {
        Self { normal: Fifo::default(), side: None }
    }
}

impl<M> Lanes<M> {
    /// The lane, made if need be.
    pub fn lane_mut(&mut self, lane: Lane) -> &mut Fifo<M> {
        match lane {
            Lane::Normal => &mut self.normal,
            Lane::Control => {
                let control = &mut self.side.get_or_insert_default().control;
                // Mostly there is one at a time.
                if control.items.capacity() == 0 {
                    control.items.reserve_exact(1);
                }
                control
            }
            Lane::High => &mut self.side.get_or_insert_default().data().high,
            Lane::Low => &mut self.side.get_or_insert_default().data().low,
        }
    }

    /// The lane, if it was ever used.
    pub fn lane(&self, lane: Lane) -> Option<&Fifo<M>> {
        let side = self.side.as_ref();
        match lane {
            Lane::Normal => Some(&self.normal),
            Lane::Control => side.map(|s| &s.control),
            Lane::High => side.and_then(|s| s.data.as_ref()).map(|d| &d.high),
            Lane::Low => side.and_then(|s| s.data.as_ref()).map(|d| &d.low),
        }
    }

    /// Every lane in reading order.
    pub const ORDER: [Lane; 4] = [Lane::Control, Lane::High, Lane::Normal, Lane::Low];

    /// How many lie in all lanes.
    pub fn len(&self) -> usize {
        self.normal.len() + self.side_len()
    }

    /// How many lie in lanes other than normal.
    pub fn side_len(&self) -> usize {
        self.side.as_ref().map_or(0, |s| s.len())
    }

    /// How many of them are orders and notices, which no bound counts.
    pub fn control_len(&self) -> usize {
        self.side.as_ref().map_or(0, |s| s.control.len())
    }

    /// Whether nothing lies in any lane.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Moves what lies in `from` behind what lies here, until `limit` lie here in each data lane.
    pub fn take_from(&mut self, from: &mut Self, limit: usize) {
        self.normal.take_from(&mut from.normal, limit.saturating_sub(self.normal.len()));
        if from.side_len() == 0 {
            return;
        }
        // What came first, with its allocations.
        if self.side_len() == 0 && from.side_len() <= limit {
            std::mem::swap(&mut self.side, &mut from.side);
        } else if let Some(theirs) = &mut from.side {
            self.side.get_or_insert_default().take_from(theirs, limit);
        }
    }

    /// Drops what lies in them, one by one.
    pub(crate) fn discard(&mut self) {
        if !self.is_empty() {
            Self::ORDER.into_iter().for_each(|lane| self.lane_mut(lane).discard());
        }
    }

    /// As [`Lanes::take_from`], under the lock of `from`. Where that would move many messages, `from` is taken as it is
    /// instead, for [`Lanes::append`] after the lock.
    #[must_use]
    pub(crate) fn take_quickly(&mut self, from: &mut Self, limit: usize) -> Option<Self> {
        let much = limit > QUICK && !self.is_empty() && (from.len() > QUICK || from.len() > self.spare());
        if much {
            return Some(std::mem::take(from));
        }
        self.take_from(from, limit);
        None
    }

    /// Puts what was taken behind what lies here.
    pub(crate) fn append(&mut self, much: Option<Self>) {
        if let Some(mut much) = much {
            self.take_from(&mut much, usize::MAX);
        }
    }

    /// How many more fit into the normal lane's buffer.
    fn spare(&self) -> usize {
        self.normal.items.capacity() - self.normal.items.len()
    }

    /// As [`Lanes::shrink`], under the lock: what is to be dropped comes back, and what would have to be moved stays where it
    /// is, if it is much.
    #[must_use]
    pub(crate) fn slim(&mut self) -> Option<Self> {
        if self.is_empty() {
            return Some(std::mem::take(self));
        }
        if self.len() <= QUICK {
            self.shrink();
        }
        None
    }

    /// Bytes that the buffers hold, used or not.
    pub fn buffer_bytes(&self) -> usize {
        let side = self.side.as_ref().map_or(0, |s| {
            let data = s
                .data
                .as_ref()
                .map_or(0, |d| size_of::<SideData<M>>() + d.high.buffer_bytes() + d.low.buffer_bytes());
            size_of::<SideLanes<M>>() + s.control.buffer_bytes() + data
        });
        self.normal.buffer_bytes() + side
    }

    /// Gives back what the buffers hold beyond what lies in them.
    pub fn shrink(&mut self) {
        self.normal.shrink();
        if self.side_len() == 0 {
            self.side = None;
        }
        if let Some(side) = &mut self.side {
            side.control.shrink();
            if side.data.as_ref().is_some_and(|d| d.high.len() + d.low.len() == 0) {
                side.data = None;
            }
            if let Some(data) = &mut side.data {
                data.high.shrink();
                data.low.shrink();
            }
        }
    }
}

/// Which lane is read next: the highest that holds something, but each lower one at least once in `bound` messages.
#[derive(Debug, Clone, Copy)]
pub struct LaneOrder {
    /// Messages read past a waiting normal one.
    passed_normal: u32,
    /// Messages read past a waiting low one.
    passed_low: u32,
    bound: u32,
}

impl LaneOrder {
    /// One low message in 64 at the latest.
    pub const DEFAULT_BOUND: u32 = 64;

    /// An order with this starvation bound (at least 1).
    pub fn new(bound: u32) -> Self {
        Self { passed_normal: 0, passed_low: 0, bound: bound.max(1) }
    }

    /// Decides, given which lanes hold something; `None` when none does.
    pub fn next<M>(&mut self, lanes: &Lanes<M>) -> Option<Lane> {
        let Some(side) = &lanes.side else { return (!lanes.normal.is_empty()).then_some(Lane::Normal) };
        if !side.control.is_empty() {
            return Some(Lane::Control);
        }
        let normal = !lanes.normal.is_empty();
        let (high, low) =
            side.data.as_ref().map_or((false, false), |d| (!d.high.is_empty(), !d.low.is_empty()));
        let low_is_due = low && self.passed_low + 1 >= self.bound;
        let normal_is_due = normal && self.passed_normal + 1 >= self.bound;
        let lane = match (high, normal, low) {
            _ if low_is_due && (high || normal) => Lane::Low,
            (true, ..) if normal_is_due => Lane::Normal,
            (true, ..) => Lane::High,
            (_, true, _) => Lane::Normal,
            (.., true) => Lane::Low,
            _ => return None,
        };
        self.passed_normal = if normal && lane != Lane::Normal { self.passed_normal + 1 } else { 0 };
        self.passed_low = if low && lane != Lane::Low { self.passed_low + 1 } else { 0 };
        Some(lane)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
