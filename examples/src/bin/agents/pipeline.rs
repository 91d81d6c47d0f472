//! From files to results: so many sessions at a time, until all files are done with.

use crate::chaos::Chaos;
use crate::files::{Found, Skipped};
use crate::model::Model;
use crate::progress::Progress;
use crate::report::{Results, Tally};
use crate::tree::Tree;
use restante::{Exit, ShutdownReport, StartChildError, TreeError};
use std::collections::HashSet;
use std::num::NonZeroUsize;

/// What the files are read with.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) sessions: NonZeroUsize,
    pub(crate) chaos: Chaos,
    /// Kill branches of the tree, midway.
    pub(crate) kills: bool,
    pub(crate) model: Option<Model>,
    pub(crate) progress: Progress,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) results: Results,
    pub(crate) tally: Tally,
    /// What did not stop as it should.
    pub(crate) report: ShutdownReport,
}

/// What somebody outside wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// No more: what is finished is enough.
    Stop,
    /// What is being read is to be begun anew.
    Switch,
}

/// Reads the files, so many at a time, until all are done with or a command says so. `skipped` is what was left out before.
///
/// # Errors
///
/// The tree did not start, took no session, or ended: nothing in the files can be the reason.
pub(crate) async fn run(
    files: Vec<Found>,
    mut skipped: Vec<Skipped>,
    setup: Setup,
    mut commands: impl AsyncFnMut() -> Command,
) -> Result<Outcome, RunError> {
    let Setup { sessions, chaos, mut kills, model, progress } = setup;
    let total = files.len();
    let mut waiting = files.into_iter();
    let (mut tree, mut results) = Tree::start(sessions, chaos, model, progress.clone()).await?;
    let (mut reports, mut done, mut begun) = (Vec::new(), HashSet::new(), 0);
    loop {
        while begun - done.len() < sessions.get() {
            let Some(file) = waiting.next() else { break };
            tree.read(file).await?;
            begun += 1;
        }
        if kills && 2 * begun >= total {
            kills = false;
            tree.kill_branches();
        }
        if done.len() == total {
            break;
        }
        let (name, read) = tokio::select! {
            biased;
            command = commands() => match command {
                Command::Stop => break,
                Command::Switch => {
                    tree.switch();
                    continue;
                }
            },
            Some(read) = results.recv() => read,
            gone = tree.gone() => return Err(RunError::Gone(gone)),
        };
        // A session that was killed when it had just sent its result sends it again.
        if !done.insert(name.clone()) {
            continue;
        }
        match read {
            Ok(report) => reports.push(report),
            Err(why) => skipped.push(Skipped { name, why }),
        }
    }
    progress.clear();
    let unfinished = (total - done.len()) as u64;
    let results = Results::new(reports, skipped, unfinished);
    let (tally, report) = tree.stop(results.totals().files).await;
    Ok(Outcome { results, tally, report })
}

/// Why there are no results at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(transparent)]
    Session(#[from] StartChildError),
    #[error("the tree of supervisors ended: {0}")]
    Gone(Exit),
}
