//! From files to results: so many sessions at a time, until all files are done with.

use crate::chaos::Chaos;
use crate::files::{Found, Skipped};
use crate::model::Model;
use crate::progress::Progress;
use crate::report::{Results, Tally};
use crate::tree::Tree;
use restante::registry::{RegisterError, RegistryReport};
use restante::{Exit, ShutdownReport, SpecError, StartChildError, TreeError};
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
    /// What the registry left behind.
    pub(crate) names: RegistryReport,
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
    let (tally, report, names) = tree.stop(results.totals().files).await;
    Ok(Outcome { results, tally, report, names })
}

/// Why there are no results at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Session(#[from] StartChildError),
    /// A tool or a session did not get its name.
    #[error(transparent)]
    Name(#[from] RegisterError),
    #[error("the tree of supervisors ended: {0}")]
    Gone(Exit),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Root, Skip, walk};
    use restante::testkit::{Universe, quiet_panics};
    use std::future::pending;

    fn setup() -> Setup {
        let sessions = NonZeroUsize::new(2).expect("two are some");
        Setup { sessions, chaos: Chaos::default(), kills: false, model: None, progress: Progress::new(0) }
    }

    fn folder(name: &str) -> (std::path::PathBuf, Vec<Found>) {
        let path = std::env::temp_dir().join(format!("restante-agents-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("there is room for a folder");
        for name in ["a.txt", "b.txt", "c.txt"] {
            std::fs::write(path.join(name), "Some words.\n").expect("there is room for a file");
        }
        let found = walk(&[Root { path: path.clone(), prefix: String::new() }]).expect("it is there").found;
        (path, found)
    }

    /// And nothing is left of the tree: no server, timer, monitor or task.
    #[test]
    fn a_file_that_vanishes_before_its_turn_is_named_and_stops_nothing() {
        let (path, found) = folder("vanish");
        std::fs::remove_file(path.join("b.txt")).expect("it is there");
        let outcome =
            Universe::new().run(async |_| run(found, Vec::new(), setup(), async || pending().await).await);
        let Outcome { results, tally, report, names } = outcome.expect("the tree lives");
        std::fs::remove_dir_all(path).expect("it is ours");
        let gone = Skipped { name: "b.txt".to_owned(), why: Skip::Removed };
        assert_eq!(results.skipped(), [gone]);
        assert_eq!((tally.files, results.totals().words, results.totals().unfinished), (2, 4, 0));
        assert!(report.is_clean() && names.is_clean() && tally.lost == 0, "{report}");
    }

    /// Nor of one that was stopped midway.
    #[test]
    fn what_is_stopped_says_what_it_did_not_finish() {
        let (path, found) = folder("stop");
        let outcome =
            Universe::new().run(async |_| run(found, Vec::new(), setup(), async || Command::Stop).await);
        let Outcome { results, tally, report, names } = outcome.expect("the tree lives");
        std::fs::remove_dir_all(path).expect("it is ours");
        assert_eq!((tally.files, results.totals().unfinished), (0, 3));
        assert!(report.is_clean() && names.is_clean() && tally.lost == 0, "{report}");
    }

    /// Their tools and files have the same names, each in a registry of its own.
    #[test]
    fn two_runs_at_once_do_not_meet() {
        let (path, found) = folder("two");
        let (one, other) = Universe::new().run(async |_| {
            let run = || run(found.clone(), Vec::new(), setup(), async || pending().await);
            tokio::join!(run(), run())
        });
        std::fs::remove_dir_all(path).expect("it is ours");
        for outcome in [one, other] {
            let Outcome { results, names, .. } = outcome.expect("the tree lives");
            assert_eq!((results.totals().words, results.totals().unfinished), (6, 0));
            assert!(names.is_clean(), "{names:?}");
        }
    }

    /// Crashes and kills cost no result, and leave nothing behind.
    #[test]
    fn chaos_changes_no_result_and_leaves_nothing() {
        let _quiet = quiet_panics("chaos: ");
        let (path, found) = folder("chaos");
        let rate = "0.5".parse().expect("it is a rate");
        let setup = Setup { chaos: Chaos { rate, seed: 42 }, kills: true, ..setup() };
        let outcome =
            Universe::new().run(async |_| run(found, Vec::new(), setup, async || pending().await).await);
        let Outcome { results, tally, .. } = outcome.expect("the tree lives");
        std::fs::remove_dir_all(path).expect("it is ours");
        assert_eq!((tally.files, results.totals().words, results.totals().unfinished), (3, 6, 0));
        assert!(tally.lost == 0 && tally.restarts > 0, "{tally:?}");
    }
}
