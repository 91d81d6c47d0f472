//! The last changes, by number: what a failed look-up prints, followers read and a snapshot is put right with.
//!
//! Lies under the registry's writers' lock. Bounded: it holds the last N changes, and more only while a snapshot is being
//! taken, up to [`SNAPSHOT_MAX`].

use crate::change::Change;
use std::collections::VecDeque;

/// How many changes may come while one snapshot is taken, before it is taken with the writers waiting.
pub(crate) const SNAPSHOT_MAX: usize = 1 << 18;

pub(crate) struct History {
    changes: VecDeque<Change>,
    /// How many are kept.
    keep: usize,
    /// Snapshots that are being taken.
    takers: usize,
    /// The number of the next change.
    next: u64,
}

/// Where a follower is.
pub(crate) enum At {
    /// Here is the next.
    Next(Change),
    /// There is none yet.
    End,
    /// So many were thrown out before they were read; the place is past them.
    Missed(u64),
}

impl History {
    pub(crate) fn new(keep: usize) -> Self {
        Self { changes: VecDeque::new(), keep: keep.max(1), takers: 0, next: 1 }
    }

    /// The number of the next change.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Notes a change; the one that falls out for it is for the caller to drop, after the lock where it holds anything of a
    /// user's.
    #[must_use]
    pub(crate) fn push(&mut self, mut change: Change) -> Option<Change> {
        change.seq = self.next;
        self.next += 1;
        let keep = if self.takers > 0 { self.keep.max(SNAPSHOT_MAX) } else { self.keep };
        let out = if self.changes.len() >= keep { self.changes.pop_front() } else { None };
        self.changes.push_back(change);
        out
    }

    /// From now until [`History::taken`] more is kept.
    pub(crate) fn taking(&mut self) {
        self.takers += 1;
    }

    /// The opposite. What is not kept any more comes out: in one piece, since it may be much.
    pub(crate) fn taken(&mut self, out: &mut VecDeque<Change>) {
        self.takers -= 1;
        let extra = self.changes.len().saturating_sub(self.keep);
        if self.takers == 0 && extra > 0 {
            let kept = self.changes.split_off(extra);
            *out = std::mem::replace(&mut self.changes, kept);
        }
    }

    /// All changes from this number on; `None`: some were thrown out.
    pub(crate) fn since(&self, seq: u64) -> Option<impl Iterator<Item = &Change>> {
        let first = self.next - self.changes.len() as u64;
        let skip = usize::try_from(seq.checked_sub(first)?).ok()?;
        Some(self.changes.iter().skip(skip))
    }

    /// What comes at this place; moves it on.
    pub(crate) fn read(&self, place: &mut u64) -> At {
        if *place >= self.next {
            return At::End;
        }
        let first = self.next - self.changes.len() as u64;
        if *place < first {
            let missed = first - *place;
            *place = first;
            return At::Missed(missed);
        }
        let index = usize::try_from(*place - first).unwrap_or(usize::MAX);
        match self.changes.get(index) {
            Some(change) => {
                *place += 1;
                At::Next(change.clone())
            }
            None => At::End,
        }
    }

    /// The last so many, oldest first.
    pub(crate) fn last(&self, count: usize) -> Vec<Change> {
        let skip = self.changes.len().saturating_sub(count);
        self.changes.iter().skip(skip).cloned().collect()
    }

    /// So many changes before that of this number, the last first; none: there are none that are kept.
    pub(crate) fn before(&self, seq: u64, count: usize) -> impl ExactSizeIterator<Item = &Change> {
        let after = usize::try_from(self.next.saturating_sub(seq)).unwrap_or(usize::MAX);
        let until = self.changes.len().saturating_sub(after);
        self.changes.range(until.saturating_sub(count)..until).rev()
    }
}
