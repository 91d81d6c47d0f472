//! From files to results: each file in a task of its own, which calls the tools as functions.

use crate::chaos::Chaos;
use crate::dice::Throw;
use crate::files::{Found, Reader, Skip, Skipped};
use crate::model::Model;
use crate::progress::Progress;
use crate::report::{FileReport, Results, Summariser, Tally};
use crate::text::{Absorbed, Analysis, Chunk, Part, Tool};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinSet;

/// How often a file that changes while it is read is begun anew.
const CHANGES_MAX: u32 = 3;

/// What the files are read with.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) sessions: NonZeroUsize,
    pub(crate) chaos: Chaos,
    pub(crate) model: Option<Model>,
    pub(crate) progress: Progress,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) results: Results,
    pub(crate) tally: Tally,
}

/// What all sessions count together.
#[derive(Debug, Default)]
struct Counters {
    restarts: AtomicU64,
    redeliveries: AtomicU64,
    lost: AtomicU64,
}

/// Reads the files, so many at a time, until all are done with or `stop` is ready. `skipped` is what was left out before.
pub(crate) async fn run(
    files: Vec<Found>,
    mut skipped: Vec<Skipped>,
    setup: Setup,
    stop: impl Future<Output = ()>,
) -> Outcome {
    let (setup, counters) = (Arc::new(setup), Arc::new(Counters::default()));
    let total = files.len() as u64;
    let mut waiting = files.into_iter();
    let mut reading = JoinSet::new();
    let mut reports = Vec::new();
    let mut left_out = 0;
    let mut stop = std::pin::pin!(stop);
    loop {
        while reading.len() < setup.sessions.get() {
            let Some(file) = waiting.next() else { break };
            let (setup, counters) = (Arc::clone(&setup), Arc::clone(&counters));
            reading.spawn(async move {
                let read = session(&file, &setup, &counters).await;
                (file.name, read)
            });
        }
        let read = tokio::select! {
            biased;
            () = &mut stop => break,
            read = reading.join_next() => read,
        };
        match read {
            None => break,
            Some(Ok((_, Ok(report)))) => reports.push(report),
            Some(Ok((name, Err(why)))) => {
                skipped.push(Skipped { name, why });
                left_out += 1;
            }
            Some(Err(e)) => std::panic::resume_unwind(e.into_panic()),
        }
    }
    setup.progress.clear();
    let unfinished = total - reports.len() as u64 - left_out;
    let results = Results::new(reports, skipped, unfinished);
    let tally = Tally {
        files: results.totals().files,
        restarts: counters.restarts.load(Ordering::Relaxed),
        redeliveries: counters.redeliveries.load(Ordering::Relaxed),
        lost: counters.lost.load(Ordering::Relaxed),
    };
    Outcome { results, tally }
}

/// One file, begun anew when it changes.
async fn session(file: &Found, setup: &Setup, counters: &Counters) -> Result<FileReport, Skip> {
    let mut changes = 0;
    let analysis = loop {
        let mut counted = 0;
        match read(file, setup, counters, &mut counted).await {
            Ok(analysis) => break analysis,
            Err(Skip::Changed) if changes < CHANGES_MAX => {
                changes += 1;
                setup.progress.on_again(counted);
            }
            Err(why) => {
                setup.progress.on_bytes(file.len.saturating_sub(counted));
                return Err(why);
            }
        }
    };
    let findings = analysis.finish();
    let digest = findings.digest.clone();
    let mut report = FileReport::new(file.name.clone(), findings);
    // Where nothing can be taken out, there is nothing to ask about.
    if let Some(model) = setup.model.as_ref().filter(|_| !digest.is_empty()) {
        match model.summarise(&file.name, &digest).await {
            Ok(summary) => {
                report.summary = summary;
                report.summarised_by = Summariser::Model;
            }
            Err(e) => report.model_error = Some(e.to_string()),
        }
    }
    Ok(report)
}

async fn read(file: &Found, setup: &Setup, counters: &Counters, counted: &mut u64) -> Result<Analysis, Skip> {
    let mut reader = Reader::open(&file.path).await?;
    let mut analysis = Analysis::default();
    while let Some(chunk) = reader.next().await? {
        for tool in Tool::ALL {
            let absorbed = analysis.absorb(ask(tool, &chunk, file, setup, counters));
            let is_lost = absorbed == Absorbed::Gap || analysis.next(tool) != chunk.end();
            counters.lost.fetch_add(u64::from(is_lost), Ordering::Relaxed);
        }
        *counted += chunk.bytes.len() as u64;
        setup.progress.on_bytes(chunk.bytes.len() as u64);
    }
    Ok(analysis)
}

/// Calls a tool, again and again while chaos strikes it.
fn ask(tool: Tool, chunk: &Chunk, file: &Found, setup: &Setup, counters: &Counters) -> Part {
    let mut attempt = 0;
    loop {
        let throw = Throw { site: tool.name(), item: &file.name, ordinal: chunk.start, attempt };
        if let Ok(part) = catch_unwind(AssertUnwindSafe(|| {
            setup.chaos.strike(throw);
            tool.read(chunk)
        })) {
            return part;
        }
        counters.restarts.fetch_add(1, Ordering::Relaxed);
        counters.redeliveries.fetch_add(1, Ordering::Relaxed);
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Root, walk};
    use std::future::pending;

    fn setup() -> Setup {
        let sessions = NonZeroUsize::new(2).expect("two are some");
        Setup { sessions, chaos: Chaos::default(), model: None, progress: Progress::new(0) }
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

    #[tokio::test]
    async fn a_file_that_vanishes_before_its_turn_is_named_and_stops_nothing() {
        let (path, found) = folder("vanish");
        std::fs::remove_file(path.join("b.txt")).expect("it is there");
        let Outcome { results, tally } = run(found, Vec::new(), setup(), pending()).await;
        std::fs::remove_dir_all(path).expect("it is ours");
        let gone = Skipped { name: "b.txt".to_owned(), why: Skip::Removed };
        assert_eq!(results.skipped(), [gone]);
        assert_eq!((tally.files, results.totals().words, results.totals().unfinished), (2, 4, 0));
    }

    #[tokio::test]
    async fn what_is_stopped_says_what_it_did_not_finish() {
        let (path, found) = folder("stop");
        let Outcome { results, tally } = run(found, Vec::new(), setup(), async {}).await;
        std::fs::remove_dir_all(path).expect("it is ours");
        assert_eq!((tally.files, results.totals().unfinished), (0, 3));
    }
}
