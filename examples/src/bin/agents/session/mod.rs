//! One file, one session: three servers under a supervisor of their own.
//!
//! ```text
//!  session (rest for one, ends with its core)
//!   ├ persistence   keeps the last checkpoint
//!   ├ core          folds what the tools say; grants chunks to the background; the only one who knows the result
//!   └ background    reads the file, one granted chunk after the other; beats the time for checkpoints
//! ```
//!
//! A core that crashes goes on from the last checkpoint, and the background, which is started after it, from there in
//! the file. A background that crashes asks the core where to go on. What is under way carries a *context*: which incarnation of the core asked
//! for it, and for which content of the file. What comes back for another context is let fall.

mod background;
mod core;
mod persistence;

pub(crate) use self::core::{ContextChange, Core, Tell, ToolResult};

use self::core::CoreArgs;
use crate::chaos::Chaos;
use crate::dice::Throw;
use crate::files::{Found, Mark, Skip};
use crate::pipeline::RunError;
use crate::progress::Progress;
use crate::report::FileReport;
use background::{Background, BackgroundArgs};
use persistence::{Persistence, PersistenceArgs};
use restante::Coalesce;
use restante::prelude::*;
use restante::registry::LookupError;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// What became of a file.
pub(crate) type Read = (String, Result<FileReport, Skip>);

/// How many chunks of one file are under way at most.
pub(crate) const WINDOW: u32 = 4;

/// Which asking: the core's incarnation, and how often the file had changed by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) incarnation: u32,
    pub(crate) content: u32,
}

/// What all servers of a session know of it. Outlives their incarnations.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) file: Found,
    /// Where its core, and the tools, are found.
    pub(crate) registry: Registry,
    /// Under which name its core is, over all of its crashes: `session/` and the file's.
    name: String,
    /// How often the file was begun anew, because it changed or by command.
    pub(crate) content: AtomicU32,
    /// How often it changed.
    pub(crate) changes: AtomicU32,
    /// What the file was when it was first opened, by content: a reader that begins in the middle must find the same.
    pub(crate) mark: Mutex<Option<(u32, Mark)>>,
    pub(crate) strikes: Strikes,
    progress: Progress,
    /// How far the file has been read.
    read: AtomicU64,
}

impl Session {
    /// Its core.
    ///
    /// # Errors
    ///
    /// It has gone: the session has ended.
    pub(crate) fn core(&self) -> Result<ServerRef<Core>, LookupError> {
        self.registry.whereis(&self.name)
    }

    /// The file has been read up to here, perhaps not for the first time.
    fn on_read(&self, end: u64) {
        let before = self.read.fetch_max(end, Ordering::Relaxed);
        self.progress.on_bytes(end.saturating_sub(before));
    }
}

/// Panics at random: which message is made to fail how often.
#[derive(Debug, Default)]
pub(crate) struct Strikes {
    chaos: Chaos,
    tried: Mutex<HashMap<(&'static str, u64), u32>>,
}

impl Strikes {
    pub(crate) fn new(chaos: Chaos) -> Self {
        Self { chaos, tried: Mutex::default() }
    }

    /// A message is about to be handled.
    ///
    /// # Panics
    ///
    /// If chaos strikes.
    pub(crate) fn on_message(&self, site: &'static str, item: &str, ordinal: u64) {
        if self.chaos.rate.is_never() {
            return;
        }
        let attempt = {
            let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
            let attempt = tried.entry((site, ordinal)).or_default();
            *attempt += 1;
            *attempt - 1
        };
        self.chaos.strike(Throw { site, item, ordinal, attempt });
    }
}

/// The session of a file, which has its name already; its supervisor ends, in order, when the result has been sent.
///
/// # Errors
///
/// The name was not to be had.
pub(crate) async fn supervisor(
    file: Found,
    registry: &Registry,
    chaos: Chaos,
    progress: Progress,
    results: mpsc::Sender<Read>,
) -> Result<SupervisorRef, RunError> {
    let session = Arc::new(Session {
        registry: registry.clone(),
        name: format!("session/{}", file.name),
        content: AtomicU32::new(0),
        changes: AtomicU32::new(0),
        mark: Mutex::new(None),
        strikes: Strikes::new(chaos),
        progress,
        read: AtomicU64::new(0),
        file,
    });
    // Addresses first: the core and the background know each other before either runs.
    let settings = Server::<Persistence>::settings().name("persistence").coalesce(Coalesce::KeepPlace);
    let persistence = settings.build().expect("sound settings");
    let core = Server::<Core>::new("core");
    let background = Server::<Background>::new("background");
    let core_args = CoreArgs {
        session: Arc::clone(&session),
        persistence: persistence.address(),
        background: background.address(),
        results,
    };
    let background_args = BackgroundArgs { session: Arc::clone(&session), core: core.address() };
    // Named before it runs: the tools' answers find it.
    registry.register(&core.address(), session.name.as_str()).await?;
    // None of them has anything to clean up, and the background may be waiting for the very core that is gone.
    let killed = Shutdown::BrutalKill;
    let supervisor = crate::tree::relentless(Supervisor::rest_for_one(), chaos)
        .name(session.file.name.as_str())
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(persistence.child(PersistenceArgs { session: Arc::clone(&session) }).shutdown(killed))
        .child(core.child(core_args).restart(Restart::Transient).significant(true).shutdown(killed))
        .child(background.child(background_args).shutdown(killed))
        .build()?;
    Ok(supervisor)
}
