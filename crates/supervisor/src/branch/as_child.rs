//! What a supervisor is to the one above it: a child that is started, told to end, killed and closed as any other is. What
//! these do to it lies in [`super::life`].

use super::Branch;
use crate::child::{Child, Post};
use crate::child_spec::ChildKind;
use crate::rules::Life;
use futures::future::BoxFuture;
use restante_core::{ExitReason, Ledger, Stats};
use restante_genserver::StartError;
use std::sync::Arc;
use tokio::sync::oneshot;

impl Child for Branch {
    fn adopt(self: Arc<Self>, post: Post) -> bool {
        // (One that is up has nobody above it, and must not come under itself.)
        let is_down = self.desk().rules.life == Life::Down;
        is_down && self.post.set(post).is_ok()
    }

    fn is_free(&self) -> bool {
        self.post.get().is_none()
    }

    fn start(self: Arc<Self>) -> BoxFuture<'static, Result<(), StartError>> {
        Box::pin(async move {
            let (tell, told) = oneshot::channel();
            let incarnation = self.begin(Some(tell), false)?;
            self.ensure_performer();
            let mut guard = StartGuard { branch: &self, incarnation, done: false };
            let started = told.await;
            guard.done = true;
            started.unwrap_or(Err(StartError::Failed(ExitReason::Killed)))
        })
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
            let mut desk = self.desk();
            desk.closed = true;
            if desk.rules.life != Life::Down {
                // It closes them when it is down.
                return;
            }
            let keys: Vec<u64> = desk.rules.children.keys().copied().collect();
            keys.into_iter().filter_map(|key| desk.rules.remove(key)).collect()
        };
        for child in children {
            self.retire(&*child, &reason);
        }
    }

    fn clear_out(&self, reason: &ExitReason) {
        let children: Vec<_> = self.desk().rules.children.values().map(|e| Arc::clone(&e.child)).collect();
        for child in children {
            child.clear_out(reason);
        }
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

    fn audit(&self) -> Option<Ledger> {
        let (mut sum, children): (Ledger, Vec<_>) = {
            let desk = self.desk();
            (desk.retired, desk.rules.children.values().map(|e| Arc::clone(&e.child)).collect())
        };
        for child in children {
            sum += child.audit()?;
        }
        Some(sum)
    }

    fn as_branch(self: Arc<Self>) -> Option<Arc<Branch>> {
        Some(self)
    }
}

/// A start that nobody waits for any more ends.
struct StartGuard<'a> {
    branch: &'a Arc<Branch>,
    incarnation: u32,
    done: bool,
}

impl Drop for StartGuard<'_> {
    fn drop(&mut self) {
        self.branch.start_settled(self.incarnation, self.done);
    }
}
