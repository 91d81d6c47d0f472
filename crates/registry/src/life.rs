//! The task of a registry's tree: it begins the actor, and when that is over, whyever, the registry ends.

use crate::actor::RegistryActor;
use crate::books::Books;
use crate::rt;
use crate::starts::Starts;
use crate::sync::{AtomicU32, Ordering};
use restante_core::{ExitReason, clock, quiet};
use restante_genserver::{ServerRef, StartError};
use restante_supervisor::{ChildError, ChildSpec, Reconfigure, SupervisorRef};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Whether its actor has begun, and whether that is over.
pub(crate) struct Life {
    stage: AtomicU32,
    over: CancellationToken,
}

mod stage {
    pub(super) const NEW: u32 = 0;
    pub(super) const BEGUN: u32 = 1;
    /// It ended before.
    pub(super) const NEVER: u32 = 2;
}

impl Life {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { stage: AtomicU32::new(stage::NEW), over: CancellationToken::new() })
    }

    /// False: it is not to begin any more.
    fn begin(&self) -> bool {
        self.enter(stage::BEGUN)
    }

    /// It is not to begin any more; false: it has.
    pub(crate) fn forbid(&self) -> bool {
        self.enter(stage::NEVER) || self.stage.load(Ordering::Acquire) == stage::NEVER
    }

    fn enter(&self, to: u32) -> bool {
        self.stage.compare_exchange(stage::NEW, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Nothing runs, nor will.
    pub(crate) fn is_over(&self) -> bool {
        self.stage.load(Ordering::Acquire) == stage::NEVER || self.over.is_cancelled()
    }

    /// Waits for that.
    pub(crate) async fn over(&self) {
        if !self.is_over() {
            self.over.cancelled().await;
        }
    }
}

/// A registry's actor may be restarted so many times (as it begins, and again when it is up), ...
pub(crate) const RESTARTS: u32 = 100;
/// ... within so long.
pub(crate) const RESTART_PERIOD: Duration = Duration::from_secs(5);

/// Starts the tree in its runtime, and tells the books when it has ended.
pub(crate) fn begin(runtime: &Handle, tree: SupervisorRef, actor: ChildSpec, guard: EndsBooks) {
    // On a runtime that has shut down the task is dropped, and with it the guard.
    rt::spawn(runtime, async move {
        let guard = guard;
        if !guard.life.begin() {
            return guard.end(&ExitReason::Shutdown);
        }
        match start(&tree, actor).await {
            Ok(()) => {
                // A caller that ended the registry before it was up had no tree to tell.
                if guard.books.ended().is_some() {
                    tree.kill();
                }
                let exit = tree.join().await;
                guard.end(&exit.reason);
            }
            Err(reason) => {
                guard.end(&reason);
                tree.kill();
            }
        }
    });
}

/// The id of the one child.
pub(crate) const ACTOR: &str = "actor";

/// Starts the tree, then the actor under it. A tree does not start whose child is killed before it is up, as in OTP; this one
/// is up by then, and its actor begins again, as it does later.
async fn start(tree: &SupervisorRef, actor: ChildSpec) -> Result<(), ExitReason> {
    let told = |error: &dyn fmt::Display| ExitReason::error(error.to_string());
    tree.start().await.map_err(|error| told(&error))?;
    tree.reconfigure(Reconfigure::new().add_child(actor)).map_err(|error| told(&error))?;
    let mut starts = Starts::new(RESTARTS, RESTART_PERIOD);
    loop {
        match tree.restart_child(ACTOR).await {
            Err(ChildError::Start(StartError::Failed(_))) if starts.again(clock::now()) => {}
            // Up, or its supervisor sees to it.
            Ok(_) | Err(ChildError::Running | ChildError::Restarting) => return Ok(()),
            Err(error) => return Err(told(&error)),
        }
    }
}

/// Ends the books when the tree ends, or the task that would tell of it does with its runtime.
pub(crate) struct EndsBooks {
    pub(crate) books: Arc<Books>,
    pub(crate) actor: ServerRef<RegistryActor>,
    /// Ends creations that run in runtimes of their own.
    pub(crate) cancel: CancellationToken,
    pub(crate) life: Arc<Life>,
}

impl EndsBooks {
    fn end(&self, reason: &ExitReason) {
        // Before the entries end, which runs what users have given them.
        let first = self.books.end(reason, || {
            self.cancel.cancel();
            // Its supervisor has closed it, unless it never came to begin: no caller is to wait for it.
            self.actor.close(reason.clone());
        });
        if first && !reason.is_orderly() {
            quiet::run("a subscriber", || {
                tracing::error!(registry = &*self.books.name, %reason, critical = true, "a registry has ended: it answers no more");
            });
        }
    }
}

impl Drop for EndsBooks {
    fn drop(&mut self) {
        self.end(&ExitReason::error("the runtime of the registry has ended"));
        self.life.over.cancel();
    }
}
