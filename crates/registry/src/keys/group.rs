//! What stands under one key, never changed in place: each change makes a new group that shares what it can with the old.
//!
//! A group does not own what stands in it. So the memory of old groups, which goes when no reader can look at it any more,
//! on whichever thread that turns out, never is the last to hold a value of the user's.

use std::sync::{Arc, Weak};

/// How many slots a chunk has at most: what a change of a large group copies, beside one pointer per chunk.
const CHUNK: usize = 64;

/// One of a group: its number, by which slots are in order, and what it refers to.
pub(super) struct Slot<T> {
    pub(super) number: u64,
    pub(super) what: Weak<T>,
}

impl<T> Slot<T> {
    fn new(number: u64, what: &Arc<T>) -> Self {
        Self { number, what: Arc::downgrade(what) }
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self { number: self.number, what: Weak::clone(&self.what) }
    }
}

/// See the module. Never empty.
pub(super) enum Group<T> {
    One(Slot<T>),
    /// Each chunk has one slot at least.
    Many(Vec<Arc<[Slot<T>]>>),
}

impl<T> Group<T> {
    pub(super) fn one(number: u64, what: &Arc<T>) -> Self {
        Self::One(Slot::new(number, what))
    }

    /// In order of their numbers.
    pub(super) fn each(&self, mut f: impl FnMut(&Slot<T>)) {
        match self {
            Self::One(slot) => f(slot),
            Self::Many(chunks) => chunks.iter().flat_map(|chunk| chunk.iter()).for_each(f),
        }
    }

    pub(super) fn get(&self, number: u64) -> Option<&Slot<T>> {
        match self {
            Self::One(slot) => (slot.number == number).then_some(slot),
            Self::Many(chunks) => {
                let (chunk, at) = find(chunks, number)?;
                Some(&chunks[chunk][at])
            }
        }
    }

    /// With one more, whose number is greater than all there are.
    pub(super) fn with(&self, number: u64, what: &Arc<T>) -> Self {
        let slot = Slot::new(number, what);
        match self {
            Self::One(first) => Self::Many(vec![[first.clone(), slot].into()]),
            Self::Many(chunks) => {
                let mut chunks = chunks.clone();
                match chunks.last_mut() {
                    Some(last) if last.len() < CHUNK => {
                        *last = last.iter().cloned().chain([slot]).collect();
                    }
                    _ => chunks.push([slot].into()),
                }
                Self::Many(chunks)
            }
        }
    }

    /// With another in the place of the one with this number; `None` when there is no such.
    pub(super) fn replaced(&self, number: u64, what: &Arc<T>) -> Option<Self> {
        match self {
            Self::One(slot) => (slot.number == number).then(|| Self::one(number, what)),
            Self::Many(chunks) => {
                let (chunk, at) = find(chunks, number)?;
                let mut chunks = chunks.clone();
                let mut slots = chunks[chunk].to_vec();
                slots[at] = Slot::new(number, what);
                chunks[chunk] = slots.into();
                Some(Self::Many(chunks))
            }
        }
    }

    /// Without the one with this number. `None`: nothing is left.
    pub(super) fn without(&self, number: u64) -> Option<Self> {
        match self {
            Self::One(slot) => (slot.number != number).then(|| Self::One(slot.clone())),
            Self::Many(chunks) => {
                let mut chunks = chunks.clone();
                if let Some((chunk, at)) = find(&chunks, number) {
                    let mut slots = chunks[chunk].to_vec();
                    slots.remove(at);
                    if slots.is_empty() {
                        chunks.remove(chunk);
                    } else {
                        chunks[chunk] = slots.into();
                    }
                }
                (!chunks.is_empty()).then_some(Self::Many(chunks))
            }
        }
    }
}

/// In which chunk, and where there.
fn find<T>(chunks: &[Arc<[Slot<T>]>], number: u64) -> Option<(usize, usize)> {
    let chunk = chunks.partition_point(|chunk| chunk[0].number <= number).checked_sub(1)?;
    let at = chunks[chunk].binary_search_by_key(&number, |slot| slot.number).ok()?;
    Some((chunk, at))
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(group: Option<&Group<u64>>) -> Vec<(u64, u64)> {
        let mut seen = Vec::new();
        if let Some(group) = group {
            group.each(|slot| seen.push((slot.number, *slot.what.upgrade().expect("the test owns it"))));
        }
        seen
    }

    #[derive(Debug, Clone)]
    enum Change {
        Add,
        Remove(usize),
        Replace(usize),
        RemoveAbsent,
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            4 => Just(Change::Add),
            2 => any::<usize>().prop_map(Change::Remove),
            1 => any::<usize>().prop_map(Change::Replace),
            1 => Just(Change::RemoveAbsent),
        ]
    }

    proptest! {
        /// Against a vector, over many chunks.
        #[test]
        fn a_group_is_an_ordered_list(changes in prop::collection::vec(change(), 0..400)) {
            let mut owned = Vec::new();
            let mut model: Vec<(u64, u64)> = Vec::new();
            let mut group: Option<Group<u64>> = None;
            for (number, change) in (1..).zip(changes) {
                match change {
                    Change::Add => {
                        let what = Arc::new(number);
                        group = Some(match &group {
                            Some(group) => group.with(number, &what),
                            None => Group::one(number, &what),
                        });
                        owned.push(what);
                        model.push((number, number));
                    }
                    Change::Remove(at) if !model.is_empty() => {
                        let (number, _) = model.remove(at % model.len());
                        group = group.as_ref().and_then(|group| group.without(number));
                    }
                    Change::Replace(at) if !model.is_empty() => {
                        let at = at % model.len();
                        let what = Arc::new(number + 1_000);
                        model[at].1 = number + 1_000;
                        group = group.as_ref().and_then(|group| group.replaced(model[at].0, &what));
                        owned.push(what);
                    }
                    _ => {
                        prop_assert!(group.as_ref().is_none_or(|group| group.get(number).is_none()));
                        prop_assert!(group.as_ref().is_none_or(|group| group.replaced(number, &Arc::new(0)).is_none()));
                        group = group.as_ref().and_then(|group| group.without(number));
                    }
                }
                prop_assert_eq!(seen(group.as_ref()), model.clone());
            }
            for (number, value) in model {
                let slot = group.as_ref().and_then(|group| group.get(number)).expect("it is there");
                prop_assert_eq!(*slot.what.upgrade().expect("the test owns it"), value);
            }
        }
    }
}
