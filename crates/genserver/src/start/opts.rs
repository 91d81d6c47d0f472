//! What is fixed for a server beside its mailbox.

use super::error::StartError;
use super::settings::DEFAULT_START_TIMEOUT;
use crate::call::{CallerRuns, label};
use crate::executor::{Cell, Executor};
use crate::in_hand::Rule;
use crate::rt::Rt;
use crate::server::GenServer;
use crate::server_ref::ServerRef;
use crate::thread::{ThreadPool, Threads};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How to start, beside the mailbox's settings.
#[derive(Debug)]
pub(crate) struct Opts<S: GenServer> {
    pub(super) caller_runs: CallerRuns,
    pub(super) timeout: Duration,
    pub(super) runtime: Option<tokio::runtime::Handle>,
    /// `None`: as it is; in the beginning, none but the runtime's.
    pub(super) threads: Option<Threads>,
    /// `None`: as it is.
    pub(super) in_hand: Option<Rule<S>>,
    /// Traced from the first message on.
    pub(super) traced: bool,
    /// Where in the program the mailbox was made, where that is known.
    pub(super) made: Option<&'static Location<'static>>,
}

impl<S: GenServer> Default for Opts<S> {
    fn default() -> Self {
        Self {
            caller_runs: CallerRuns::Auto,
            timeout: DEFAULT_START_TIMEOUT,
            runtime: None,
            threads: None,
            in_hand: None,
            traced: false,
            made: None,
        }
    }
}

impl<S: GenServer> Opts<S> {
    /// Whether callers never run handlers.
    pub(super) fn never_inline(&self) -> bool {
        self.caller_runs == CallerRuns::Never
            || self.threads.is_some()
            || self.in_hand.is_some_and(|rule| rule.keeps())
    }

    /// Puts what these say of the message in hand before the cell's next incarnation. RUN is held.
    pub(super) fn equip(&self, cell: &Arc<Cell<S>>) {
        if let Some(rule) = self.in_hand {
            cell.runner.never_inline.store(self.never_inline(), Ordering::Relaxed);
            Executor::equip(cell, rule);
        }
    }

    /// Sees to what is to be watched from the beginning.
    pub(super) fn watch(&self, server: &ServerRef<S>) {
        if self.traced {
            server.sys().trace(true);
        }
    }

    /// The runtime to run on, and whether that is the one that is entered here.
    pub(super) fn rt(&self) -> Result<(Arc<Rt>, bool), StartError> {
        match &self.runtime {
            Some(handle) => {
                let rt = Rt::for_handle(handle);
                let at_home = rt.is_entered();
                Ok((rt, at_home))
            }
            None => Rt::current().map(|rt| (rt, true)).ok_or(StartError::NoRuntime),
        }
    }

    /// The threads to run on, which are there by then: those of the last incarnation, where these say nothing else.
    pub(super) fn threads(&self, cell: &Arc<Cell<S>>) -> Result<Option<ThreadPool>, StartError> {
        let present = cell.runner.threads();
        let threads = match &self.threads {
            None => present,
            Some(Threads::Own) => {
                Some(present.unwrap_or_else(|| ThreadPool::of_one(&label(cell).to_string())))
            }
            Some(Threads::Shared(pool)) => Some(pool.clone()),
        };
        if let Some(threads) = &threads {
            threads.man()?;
        }
        Ok(threads)
    }
}
