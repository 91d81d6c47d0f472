//! Where a child stands: taken when a supervisor takes it in, and given up again when that refuses it after all.
//!
//! ```text
//!    ┌─────────────── take_up ──────────────────┐
//!    │            take_up                       v
//!  offered     refused ──────────────────────> taken ──> (begins, ends, …) ──> closed
//!    │ ^          ^                             │
//!    │ └──────────┼────────── give_up ──────────┘ (nothing has begun there)
//!    └── refuse ──┘
//! ```
//!
//! Refused is what its offerer was told of: when the specification is dropped then, the mailbox is as it was before.

use crate::branch::SupervisorCore;
use restante_genserver::keeper;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A supervisor, and a key in its table.
#[derive(Debug, Clone)]
pub(crate) struct ParentLink {
    pub(crate) branch: Weak<SupervisorCore>,
    pub(crate) key: u64,
    /// Since which moment ([`keeper::kept_so_far`]).
    since: u64,
}

impl ParentLink {
    pub(crate) fn new(branch: &Arc<SupervisorCore>, key: u64) -> Self {
        Self { branch: Arc::downgrade(branch), key, since: keeper::take_number() }
    }
}

/// Why a child was not taken in. It is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAdopted {
    /// It has a supervisor, or is one that runs by itself.
    Supervised,
    /// A server reads its mailbox that no supervisor has started.
    Running,
}

/// See the module. (A lock of the standard library, also under a model: it is held for a look, and nothing is called under it.)
#[derive(Debug, Default)]
pub(crate) struct Standing(Mutex<At>);

#[derive(Debug, Default)]
enum At {
    #[default]
    Offered,
    Refused,
    Taken(ParentLink),
}

impl Standing {
    fn at(&self) -> MutexGuard<'_, At> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False when there is a post already.
    pub(crate) fn take_up(&self, post: ParentLink) -> bool {
        let mut at = self.at();
        let free = !matches!(*at, At::Taken(_));
        if free {
            *at = At::Taken(post);
        }
        free
    }

    /// To be called by who has taken it.
    pub(crate) fn give_up(&self) {
        let old = std::mem::take(&mut *self.at());
        drop(old);
    }

    /// Of no effect where it is taken: it is another's then.
    pub(crate) fn refuse(&self) {
        let mut at = self.at();
        if matches!(*at, At::Offered) {
            *at = At::Refused;
        }
    }

    pub(crate) fn is_taken(&self) -> bool {
        matches!(*self.at(), At::Taken(_))
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(*self.at(), At::Refused)
    }

    /// Since when it has been taken.
    pub(crate) fn since(&self) -> Option<u64> {
        match &*self.at() {
            At::Taken(post) => Some(post.since),
            At::Offered | At::Refused => None,
        }
    }

    /// The supervisor, while it is there, and the key.
    pub(crate) fn get(&self) -> Option<(Arc<SupervisorCore>, u64)> {
        match &*self.at() {
            At::Taken(ParentLink { branch, key, .. }) => Some((branch.upgrade()?, *key)),
            At::Offered | At::Refused => None,
        }
    }
}
