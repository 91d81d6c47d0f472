//! Under what one mailbox is found, as its record has it: the truth, from which the indexes of names and keys are made.
//!
//! Written under the registry's writers' lock, read by anybody at any time without a lock: each change puts another list in
//! place of the old one, which goes when no reader has it any more.

use crate::name_text::NameText;
use crate::secondary::{Label, SecondaryKey};
use smallvec::SmallVec;
use std::collections::BTreeMap;

#[cfg(not(shuttle))]
use epochs::Shown;
#[cfg(shuttle)]
use stand_in::Shown;

/// Under what a mailbox is found. Mostly one name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Labels {
    names: SmallVec<[PutOn<NameText>; 1]>,
    keys: Vec<PutOn<SecondaryKey>>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// A label, and the number of the change that put it on: one that was taken off and put on again is another.
#[derive(Debug, Clone)]
struct PutOn<T> {
    label: T,
    change: u64,
    /// Additions that asked for it since, and were not taken back.
    grants: u32,
}

impl Labels {
    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.keys.is_empty() && self.metadata.is_empty()
    }

    /// In the order in which they were put on.
    pub(crate) fn names(&self) -> impl Iterator<Item = &NameText> {
        self.names.iter().map(|name| &name.label)
    }

    /// Likewise.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &SecondaryKey> {
        self.keys.iter().map(|key| &key.label)
    }

    /// All of them, names first.
    pub(crate) fn all(&self) -> SmallVec<[Label; 1]> {
        let names = self.names().cloned().map(Label::Name);
        names.chain(self.keys().cloned().map(Label::Key)).collect()
    }

    /// The number of the change that put this one on; `None`: it is not on.
    pub(crate) fn change_of(&self, label: &Label) -> Option<u64> {
        match label {
            Label::Name(name) => self.names.iter().find(|on| on.label == *name).map(|on| on.change),
            Label::Key(key) => self.keys.iter().find(|on| on.label == *key).map(|on| on.change),
        }
    }

    fn put_on(&mut self, label: &Label, change: u64) {
        match label {
            Label::Name(name) => self.names.push(PutOn { label: name.clone(), change, grants: 1 }),
            Label::Key(key) => self.keys.push(PutOn { label: key.clone(), change, grants: 1 }),
        }
    }

    fn grants(&mut self, label: &Label) -> Option<&mut u32> {
        match label {
            Label::Name(name) => self.names.iter_mut().find(|on| on.label == *name).map(|on| &mut on.grants),
            Label::Key(key) => self.keys.iter_mut().find(|on| on.label == *key).map(|on| &mut on.grants),
        }
    }

    /// What is left without this label; `None`: nothing.
    fn but(&self, label: &Label) -> Option<Self> {
        let alone = self.names.len() + self.keys.len() == 1 && self.metadata.is_empty();
        if alone && self.change_of(label).is_some() {
            return None;
        }
        let mut labels = self.clone();
        match label {
            Label::Name(name) => labels.names.retain(|on| on.label != *name),
            Label::Key(key) => labels.keys.retain(|on| on.label != *key),
        }
        (!labels.is_empty()).then_some(labels)
    }
}

/// The labels of one record.
pub(crate) struct LabelsCell(Shown);

impl LabelsCell {
    pub(crate) fn new() -> Self {
        Self(Shown::none())
    }

    /// A look at them; `None`: there is none.
    pub(crate) fn read<T>(&self, f: impl FnOnce(&Labels) -> T) -> Option<T> {
        self.0.read(f)
    }

    /// Under the writers' lock: no other thread changes them meanwhile.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Labels) -> T) -> T {
        let mut labels = self.read(Labels::clone).unwrap_or_default();
        let changed = change(&mut labels);
        self.0.show((!labels.is_empty()).then_some(labels));
        changed
    }

    /// Under the writers' lock: one addition more that asks for this label. False: it is not on.
    pub(crate) fn grant(&self, label: &Label) -> bool {
        if self.read(|labels| labels.change_of(label)).flatten().is_none() {
            return false;
        }
        self.change(|labels| labels.grants(label).map(|grants| *grants = grants.saturating_add(1)));
        true
    }

    /// Under the writers' lock: one less; true for the last, and the label is to be taken off.
    pub(crate) fn take_back(&self, label: &Label) -> bool {
        self.change(|labels| {
            labels.grants(label).is_some_and(|grants| {
                *grants = grants.saturating_sub(1);
                *grants == 0
            })
        })
    }

    /// Under the writers' lock: one label more, by the change of this number.
    pub(crate) fn put_on(&self, label: &Label, change: u64) {
        let mut labels = self.read(Labels::clone).unwrap_or_default();
        labels.put_on(label, change);
        self.0.show(Some(labels));
    }

    /// Under the writers' lock: one less. (Mostly it is the only one, and nothing is left to copy.)
    pub(crate) fn take_off(&self, label: &Label) {
        let left = self.read(|labels| labels.but(label)).flatten();
        self.0.show(left);
    }

    /// Under the writers' lock: no name any more.
    pub(crate) fn take_off_names(&self) {
        self.change(|labels| labels.names.clear());
    }

    /// Under the writers' lock: there is none any more.
    pub(crate) fn clear(&self) {
        self.0.show(None);
    }
}

#[cfg(not(shuttle))]
mod epochs {
    use super::Labels;
    use crate::sync::Ordering;
    use scc::{AtomicShared, Guard, Shared, Tag};

    pub(super) struct Shown(AtomicShared<Labels>);

    impl Shown {
        pub(super) fn none() -> Self {
            Self(AtomicShared::null())
        }

        pub(super) fn read<T>(&self, f: impl FnOnce(&Labels) -> T) -> Option<T> {
            // Acquire pairs with the release of the thread that has shown them.
            self.0.load(Ordering::Acquire, &Guard::new()).as_ref().map(f)
        }

        pub(super) fn show(&self, labels: Option<Labels>) {
            // What was shown goes when those who read it have gone.
            drop(self.0.swap((labels.map(Shared::new), Tag::None), Ordering::AcqRel));
        }
    }
}

#[cfg(shuttle)]
mod stand_in {
    use super::Labels;
    use crate::sync::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};

    pub(super) struct Shown {
        /// A standard lock, under which no other thread gets a turn.
        labels: Mutex<Option<Arc<Labels>>>,
        /// Where shuttle may let others have a turn.
        turn: AtomicUsize,
    }

    impl Shown {
        pub(super) fn none() -> Self {
            Self { labels: Mutex::new(None), turn: AtomicUsize::new(0) }
        }

        pub(super) fn read<T>(&self, f: impl FnOnce(&Labels) -> T) -> Option<T> {
            let _ = self.turn.load(Ordering::Relaxed);
            let labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner).clone();
            labels.as_deref().map(f)
        }

        pub(super) fn show(&self, labels: Option<Labels>) {
            let _ = self.turn.load(Ordering::Relaxed);
            *self.labels.lock().unwrap_or_else(PoisonError::into_inner) = labels.map(Arc::new);
        }
    }
}
