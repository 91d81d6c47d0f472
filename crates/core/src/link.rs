//! Two-way bonds: when one side ends, the other is told. What it then does is its own affair: a server that does not
//! trap exits ends too, unless the reason was normal.

use crate::cell::slim;
use crate::exit::ExitReason;
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

/// The other sides that one side is bonded with.
#[derive(Default)]
pub struct Links(Vec<(usize, Arc<dyn Linked>)>);

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Links({})", self.0.len())
    }
}

impl Links {
    /// Adds one, unless it is there: then it comes back, to be dropped outside any lock.
    #[must_use]
    pub fn add(&mut self, id: usize, other: Arc<dyn Linked>) -> Option<Arc<dyn Linked>> {
        if self.0.iter().any(|(i, _)| *i == id) {
            return Some(other);
        }
        self.0.push((id, other));
        None
    }

    /// Forgets one, which is returned so that it is dropped outside any lock.
    pub fn remove(&mut self, id: usize) -> Option<Arc<dyn Linked>> {
        let at = self.0.iter().position(|(i, _)| *i == id)?;
        let (_, other) = self.0.swap_remove(at);
        drop(slim(&mut self.0));
        Some(other)
    }

    /// All of them, forgotten here.
    pub fn take(&mut self) -> Vec<Arc<dyn Linked>> {
        std::mem::take(&mut self.0).into_iter().map(|(_, other)| other).collect()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes that the list holds, used or not.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.0.capacity() * size_of::<(usize, Arc<dyn Linked>)>()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
