//! Two-way bonds: when one side ends, the other is told. What it then does is its own affair: a server that does not
//! trap exits ends too, unless the reason was normal.

use crate::exit::ExitReason;
use crate::slim::{KEPT, slim};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One side of a link, as the other side keeps it: it must not keep its server's mailbox open.
pub trait Linked: Send + Sync {
    /// What names this side: the same for all its incarnations.
    fn link_id(&self) -> usize;
    /// The other side, `from`, ended for this reason. Neither blocks nor panics.
    fn exit_signal(&self, from: usize, reason: &ExitReason);
    /// Remembers the other side.
    fn add_link(&self, other: Arc<dyn Linked>, id: usize);
    /// Forgets the other side.
    fn remove_link(&self, id: usize);
}

/// Bonds two sides; once, however often it is called. Linking a side with itself does nothing.
pub fn link(a: &Arc<dyn Linked>, b: &Arc<dyn Linked>) {
    let (a_id, b_id) = (a.link_id(), b.link_id());
    if a_id != b_id {
        a.add_link(Arc::clone(b), b_id);
        b.add_link(Arc::clone(a), a_id);
    }
}

/// Ends the bond; does nothing where there is none.
pub fn unlink(a: &dyn Linked, b: &dyn Linked) {
    a.remove_link(b.link_id());
    b.remove_link(a.link_id());
}

/// The other sides that one side is bonded with, in the order in which they are told.
///
/// It is touched under the senders' lock: in a long list one is found by an index.
#[derive(Default)]
pub struct Links {
    list: Vec<(usize, Arc<dyn Linked>)>,
    /// Where in the list each lies; kept only while the list is long.
    places: Option<BTreeMap<usize, usize>>,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Links({})", self.list.len())
    }
}

impl Links {
    /// Adds one, unless it is there: then it comes back, to be dropped outside any lock.
    #[must_use]
    pub fn add(&mut self, id: usize, other: Arc<dyn Linked>) -> Option<Arc<dyn Linked>> {
        if self.place(id).is_some() {
            return Some(other);
        }
        let at = self.list.len();
        self.list.push((id, other));
        match &mut self.places {
            Some(places) => _ = places.insert(id, at),
            None if at >= KEPT => {
                self.places = Some(self.list.iter().enumerate().map(|(at, (id, _))| (*id, at)).collect());
            }
            None => {}
        }
        None
    }

    /// Where it lies.
    fn place(&self, id: usize) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(&id).copied(),
            None => self.list.iter().position(|(i, _)| *i == id),
        }
    }

    /// Forgets one, which is returned so that it is dropped outside any lock.
    pub fn remove(&mut self, id: usize) -> Option<Arc<dyn Linked>> {
        let at = self.place(id)?;
        let (_, other) = self.list.swap_remove(at);
        if let Some(places) = &mut self.places {
            places.remove(&id);
            // The last one has come here.
            if let Some((moved, _)) = self.list.get(at) {
                places.insert(*moved, at);
            }
        }
        if self.list.len() < KEPT / 2 {
            self.places = None;
        }
        drop(slim(&mut self.list));
        Some(other)
    }

    /// All of them, forgotten here.
    pub fn take(&mut self) -> Vec<Arc<dyn Linked>> {
        std::mem::take(self).list.into_iter().map(|(_, other)| other).collect()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Bytes that the list holds, used or not.
    pub(crate) fn buffer_bytes(&self) -> usize {
        // Of the index it is about as much as it has entries.
        self.list.capacity() * size_of::<(usize, Arc<dyn Linked>)>()
            + self.places.as_ref().map_or(0, |places| places.len() * size_of::<(usize, usize)>())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    struct Side(usize);
    impl Linked for Side {
        fn link_id(&self) -> usize {
            self.0
        }
        fn exit_signal(&self, _: usize, _: &ExitReason) {}
        fn add_link(&self, _: Arc<dyn Linked>, _: usize) {}
        fn remove_link(&self, _: usize) {}
    }

    proptest::proptest! {
        /// Clause 12.1: each side once, and what is forgotten is the side that was named, however many there are.
        #[test]
        fn a_link_is_found_in_a_list_of_any_length(
            steps in proptest::collection::vec((0_usize..80, proptest::prelude::any::<bool>()), 0..400)
        ) {
            let mut links = Links::default();
            let mut plain: Vec<usize> = Vec::new();
            for (id, adds) in steps {
                let place = plain.iter().position(|other| *other == id);
                if adds {
                    let twice = links.add(id, Arc::new(Side(id)));
                    proptest::prop_assert_eq!(twice.is_some(), place.is_some());
                    if place.is_none() {
                        plain.push(id);
                    }
                } else {
                    let gone = links.remove(id);
                    proptest::prop_assert_eq!(gone.map(|gone| gone.link_id()), place.map(|_| id));
                    if let Some(place) = place {
                        plain.swap_remove(place);
                    }
                }
                proptest::prop_assert_eq!(links.len(), plain.len());
            }
            let told: Vec<usize> = links.take().iter().map(|side| side.link_id()).collect();
            proptest::prop_assert_eq!(told, plain);
            proptest::prop_assert!(links.is_empty());
        }
    }
}
