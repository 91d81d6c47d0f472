//! The supervisors of the program, and what they come to.
//!
//! ```text
//!  agents
//!   ├ tools       counter, keywords, sentences, whoever asks the model, the undertaker
//!   └ sessions    one supervisor per file (`session`), as many at a time as were asked for
//! ```

use crate::chaos::Chaos;
use crate::files::Found;
use crate::model::Model;
use crate::pipeline::RunError;
use crate::progress::Progress;
use crate::report::Tally;
use crate::session::{self, ContextChange, Core, Read, Tell};
use crate::tools::tools;
use restante::ShutdownReport;
use restante::prelude::*;
use restante::registry::{EntryRef, RegistryReport};
use std::num::NonZeroUsize;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long the whole may take to stop.
const DEADLINE: Duration = Duration::from_secs(5);

/// The running program.
#[derive(Debug)]
pub(crate) struct Tree {
    root: SupervisorRef,
    tools_supervisor: SupervisorRef,
    sessions: DynamicRef,
    /// Of this run alone: two of them in one process do not meet. Tools and sessions find each other here.
    registry: Registry,
    chaos: Chaos,
    results: mpsc::Sender<Read>,
    /// Supervisors of sessions, the living and the dead.
    all: Vec<SupervisorRef>,
    progress: Progress,
}

/// Under chaos nobody gives up, and nobody waits; else the defaults of restarts, with more patience.
pub(crate) fn relentless(supervisor: Supervisor, chaos: Chaos) -> Supervisor {
    if chaos.rate.is_never() {
        return supervisor.intensity(10, Duration::from_secs(5));
    }
    supervisor.with_intensity(Intensity::UNLIMITED).backoff(Backoff::NONE)
}

impl Tree {
    /// Starts tools and the supervisor of sessions, and no session yet. Results come out of the receiver.
    pub(crate) async fn start(
        sessions: NonZeroUsize,
        chaos: Chaos,
        model: Option<Model>,
        progress: Progress,
    ) -> Result<(Self, mpsc::Receiver<Read>), RunError> {
        let (send, results) = mpsc::channel(sessions.get());
        let registry = Registry::builder().name("agents").start();
        let tools_supervisor =
            tools(relentless(Supervisor::one_for_one(), chaos), &registry, sessions.get(), model).await?;
        let tools_supervisor = tools_supervisor.name("tools").build()?;
        // Sessions outlive their supervisor: their mailboxes hold what the tools are working on.
        let mut dynamic = DynamicSupervisor::new()
            .name("sessions")
            .keep_children(true)
            .default_options(|options| options.restart = Restart::Transient);
        if !chaos.rate.is_never() {
            dynamic = dynamic.with_intensity(Intensity::UNLIMITED).backoff(Backoff::NONE);
        }
        let (dynamic, spec) = dynamic.into_child("sessions");
        let root = relentless(Supervisor::one_for_one(), chaos)
            .name("agents")
            .child(tools_supervisor.child("tools"))
            .child(spec)
            .start()
            .await?;
        let all = Vec::new();
        let tree =
            Self { root, tools_supervisor, sessions: dynamic, registry, chaos, results: send, all, progress };
        Ok((tree, results))
    }

    /// Starts the session of a file.
    pub(crate) async fn read(&mut self, file: Found) -> Result<(), RunError> {
        let name = file.name.clone();
        let (progress, results) = (self.progress.clone(), self.results.clone());
        let session = session::supervisor(file, &self.registry, self.chaos, progress, results).await?;
        self.sessions.start_child(session.child(name).restart(Restart::Transient)).await?;
        self.all.push(session);
        Ok(())
    }

    /// The command to begin all files anew that are being read: what was pending for them is discarded.
    pub(crate) fn switch(&self) {
        let sessions = self.registry.entries();
        for core in sessions.iter().filter_map(EntryRef::mailbox::<ServerRef<Core>>) {
            // (One that is done meanwhile is closed, and wants no command.)
            let _ = core.cast_with(Tell::Command(ContextChange), SendOptions::new().lane(Lane::High));
        }
    }

    /// Kills the branch of the tools and the session that was started last, with all that is below them. Those above start them again.
    pub(crate) fn kill_branches(&self) {
        self.tools_supervisor.kill();
        if let Some(session) = self.all.last() {
            session.kill();
        }
    }

    /// Ends when the tree does, which it should not.
    pub(crate) async fn gone(&self) -> Exit {
        self.root.join().await
    }

    /// Stops everything, and counts.
    pub(crate) async fn stop(self, files: u64) -> (Tally, ShutdownReport, RegistryReport) {
        let report = self.root.shutdown(DEADLINE).await;
        let names = self.registry.shutdown(DEADLINE).await;
        let above = [&self.root, &self.tools_supervisor, self.sessions.as_supervisor()];
        let restarts = above.into_iter().chain(&self.all).map(SupervisorRef::restarts).sum();
        let ledger = self.root.audit();
        let tally = Tally {
            files,
            restarts,
            redeliveries: ledger.map_or(0, |ledger| ledger.redelivered),
            // (Not to be counted exactly means that a server did not stop: the report says which.)
            lost: ledger.map_or(0, |ledger| ledger.lost().unsigned_abs()),
        };
        (tally, report, names)
    }
}
