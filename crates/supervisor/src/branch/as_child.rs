//! What a supervisor is to the one above it: a child that is started, told to end, killed and closed as any other is. What
//! these do to it lies in [`super::life`].

use super::SupervisorCore;
use crate::child::Child;
use crate::child_options::ChildKind;
use crate::error::SpecError;
use crate::nursery::Nursery;
use crate::parent_link::{NotAdopted, ParentLink};
use crate::rules::Life;
use futures::future::BoxFuture;
use restante_core::{ExitReason, Ledger, Stats};
use restante_genserver::StartError;
use restante_genserver::cycle::Member;
use std::sync::{Arc, PoisonError};
use tokio::sync::oneshot;

impl Child for SupervisorCore {
    fn adopt(self: Arc<Self>, post: ParentLink) -> Result<(), NotAdopted> {
        // Two that come below each other at once must not both look before either has its place.
        static PLACING: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _alone = PLACING.lock().unwrap_or_else(PoisonError::into_inner);
        // A supervisor that is up has none above it, and must not come under itself. Nor must one that is down.
        let is_down = self.lock().rules.life == Life::Down;
        let adopted = is_down && !self.is_above(&post) && self.post.take_up(post);
        if adopted { Ok(()) } else { Err(NotAdopted::Supervised) }
    }

    fn release(&self) {
        self.post.give_up();
    }

    fn refused(&self) {
        self.post.refuse();
    }

    fn start(self: Arc<Self>) -> BoxFuture<'static, Result<(), StartError>> {
        self.start_noted(None)
    }

    fn again(self: Arc<Self>) {
        if self.begin(None, false).is_ok() {
            self.ensure_performer();
        }
    }

    fn order_stop(&self, incarnation: u32, reason: ExitReason) {
        self.end_incarnation(incarnation, reason, false);
    }

    fn kill(&self, incarnation: u32, reason: ExitReason) {
        self.end_incarnation(incarnation, reason, true);
    }

    fn close(&self, reason: ExitReason) {
        let children: Vec<_> = {
            let mut locked = self.lock();
            locked.closed = true;
            if locked.rules.life != Life::Down {
                // It closes them when it is down.
                return;
            }
            let keys: Vec<u64> = locked.rules.children.keys().copied().collect();
            keys.into_iter().filter_map(|key| locked.rules.remove(key)).collect()
        };
        for child in children {
            self.retire(&child, &reason);
        }
    }

    fn clear_out(&self, reason: &ExitReason) {
        let children: Vec<_> = self.lock().rules.children.values().map(|e| Arc::clone(&e.child)).collect();
        for child in children {
            child.clear_out(reason);
        }
    }

    fn give_up(&self, reason: &ExitReason) {
        Child::close(self, reason.clone());
        let left: Vec<_> = self.lock().rules.children.values().map(|e| Arc::clone(&e.child)).collect();
        for child in left {
            child.give_up(reason);
        }
    }

    fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn kind(&self) -> ChildKind {
        ChildKind::Supervisor
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn type_name(&self) -> &'static str {
        "Supervisor"
    }

    fn stats(&self) -> Option<Stats> {
        None
    }

    fn nudge(&self) {
        let children: Vec<_> = self.lock().rules.children.values().map(|e| Arc::clone(&e.child)).collect();
        for child in children {
            child.nudge();
        }
    }

    fn members(&self, into: &mut Vec<Member>) {
        let children: Vec<_> = self.lock().rules.children.values().map(|e| Arc::clone(&e.child)).collect();
        for child in children {
            child.members(into);
        }
    }

    fn audit(&self) -> Option<Ledger> {
        self.settle_accounts(usize::MAX);
        let (mut sum, children): (Ledger, Vec<_>) = {
            let locked = self.lock();
            let present = locked.rules.children.values().map(|e| &e.child);
            (locked.retired, present.chain(&locked.unsettled).map(Arc::clone).collect())
        };
        for child in children {
            sum += child.audit()?;
        }
        Some(sum)
    }

    fn as_branch(self: Arc<Self>) -> Option<Arc<SupervisorCore>> {
        Some(self)
    }

    fn unsound(&self) -> Option<SpecError> {
        self.unsound.clone()
    }
}

impl SupervisorCore {
    /// Begins an incarnation, noted there as one without a supervisor above it, and waits until it is up.
    pub(crate) fn start_noted(
        self: Arc<Self>,
        nursery: Option<Nursery>,
    ) -> BoxFuture<'static, Result<(), StartError>> {
        Box::pin(async move {
            let (tell, told) = oneshot::channel();
            let incarnation = self.begin(Some(tell), false)?;
            self.ensure_performer();
            let mut guard = StartGuard { branch: &self, incarnation, done: false };
            if let Some(nursery) = nursery {
                nursery.note_root(&self, incarnation);
            }
            let started = told.await;
            guard.done = true;
            started.unwrap_or(Err(StartError::Failed(ExitReason::Killed)))
        })
    }

    /// Whether this place lies somewhere below it.
    fn is_above(&self, post: &ParentLink) -> bool {
        let mut at = post.branch.upgrade();
        while let Some(branch) = at {
            if branch.serial == self.serial {
                return true;
            }
            at = branch.parent().map(|(above, _)| above);
        }
        false
    }
}

/// Ends a start that is no longer awaited.
struct StartGuard<'a> {
    branch: &'a Arc<SupervisorCore>,
    incarnation: u32,
    done: bool,
}

impl Drop for StartGuard<'_> {
    fn drop(&mut self) {
        self.branch.start_settled(self.incarnation, self.done);
    }
}
