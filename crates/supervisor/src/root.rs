//! The top of a program: a tree runs until it ends by itself or is told to, and then ends within a deadline.
//!
//! ```text
//!  starting ──up──> running ──ends by itself──────────────────────────────> Ended
//!     │ stop           │ stop
//!     └──> ending in order ──all are down──────────────────────────────────> Shutdown
//!               │ deadline ──> killed ──all are down, or abandoned─────────> Shutdown
//!               └ stop again ──> killed ──all are down, or abandoned───────> Killed
//! ```
//!
//! What tells it to stop is given ([`SupervisorRef::run_until`]), so that this can be tested with a paused clock; the
//! signals of a process are one such thing (`signals`, with the feature `signal`). What deliberately does not live here:
//! how a supervisor stops what is below it ([`crate::perform`]).

#[cfg(feature = "signal")]
mod signals;

use crate::rt::at_most;
use crate::shutdown::ShutdownReport;
use crate::supervisor::SupervisorRef;
use futures::future::{Either, pending, select};
use restante_core::shield::shield;
use restante_core::{Exit, ExitReason};
use restante_genserver::StartError;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::process::{ExitCode, Termination};
use std::time::Duration;

/// How a tree is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunOptions {
    /// How long the whole tree may take to end in order, once it is told to (default 30 s). What is left then is killed, and
    /// what does not end even so is abandoned ([`Supervisor::abandon_after`](crate::Supervisor::abandon_after)).
    pub deadline: Duration,
}

impl RunOptions {
    /// See [`RunOptions::deadline`]; `Duration::MAX`: without a deadline.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(30) }
    }
}

/// How a tree that was run came to its end.
///
/// `main` may return it: the process then ends with its [`RunOutcome::exit_code`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[must_use = "it may name what did not stop"]
pub enum RunOutcome {
    /// It never ran. What had been started is stopped again.
    NotStarted(StartError),
    /// It ended by itself.
    Ended(Exit),
    /// It was told to stop, and has; the report names what had to be killed at the deadline, and what is left behind.
    Shutdown(ShutdownReport),
    /// It was told to stop, and then once more, upon which all that was left was killed.
    Killed(ShutdownReport),
}

impl RunOutcome {
    /// What a process would say of it.
    ///
    /// | code | when |
    /// |---|---|
    /// | 0 | it ended by itself for an orderly reason, or stopped with a clean report |
    /// | 1 | it did not start, or ended by itself for another reason |
    /// | 2 | it stopped, but not cleanly: something was killed, left behind, or ended otherwise than it was told to |
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Ended(exit) if exit.reason.is_orderly() => 0,
            Self::Shutdown(report) if report.is_clean() => 0,
            Self::NotStarted(_) | Self::Ended(_) => 1,
            Self::Shutdown(_) | Self::Killed(_) => 2,
        }
    }

    /// What was stopped, where it was.
    pub fn report(&self) -> Option<&ShutdownReport> {
        match self {
            Self::Shutdown(report) | Self::Killed(report) => Some(report),
            Self::NotStarted(_) | Self::Ended(_) => None,
        }
    }
}

impl Termination for RunOutcome {
    fn report(self) -> ExitCode {
        ExitCode::from(self.exit_code())
    }
}

impl fmt::Display for RunOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(error) => write!(f, "did not start: {error}"),
            Self::Ended(exit) => write!(f, "ended: {}", exit.reason),
            Self::Shutdown(report) => write!(f, "shut down: {report}"),
            Self::Killed(report) => write!(f, "killed: {report}"),
        }
    }
}

impl SupervisorRef {
    /// Starts the tree, unless it has been, and runs it until it ends by itself, or `stop` is there or
    /// [`SupervisorRef::request_stop`] is called; then stops it as [`SupervisorRef::shutdown`] does. When `kill` is there
    /// while it stops, all that is left is killed at once. (`kill` is not polled before `stop` is there.)
    ///
    /// When `stop` is there before all children are up, the start is given up, and those that are up are stopped.
    ///
    /// # Cancel safety
    /// Dropped before all children are up, it stops those that are; later, the tree goes on without it, and with it goes the
    /// deadline, if it has begun.
    ///
    /// ```
    /// # use restante_genserver::*;
    /// use restante_supervisor::{RunOptions, RunOutcome, Supervise, Supervisor};
    /// # struct Echo;
    /// # impl GenServer for Echo {
    /// #     type Args = (); type Call = (); type Cast = (); type Info = ();
    /// #     async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> { Ok(Init::ok(Echo)) }
    /// #     async fn handle_call(&mut self, (): (), _: &mut Context<Self>) -> Step { Ok(Next::go()) }
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let tree = Supervisor::one_for_one().child(Server::<Echo>::new("echo").child(())).build()?;
    /// let (tell, told) = tokio::sync::oneshot::channel::<()>();
    /// let running = tokio::spawn(tree.run_until(
    ///     async { drop(told.await) },
    ///     std::future::pending(),
    ///     RunOptions::default(),
    /// ));
    /// drop(tell); // whatever it is that tells this program to end
    /// let outcome = running.await?;
    /// assert!(matches!(&outcome, RunOutcome::Shutdown(report) if report.is_clean()));
    /// assert_eq!(outcome.exit_code(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn run_until(
        self,
        stop: impl Future<Output = ()>,
        kill: impl Future<Output = ()>,
        options: RunOptions,
    ) -> RunOutcome {
        // It waits for several ends at once, each of which would hold a waker of its own.
        shield(self.run_on_until(stop, kill, options)).await
    }

    async fn run_on_until(
        self,
        stop: impl Future<Output = ()>,
        kill: impl Future<Output = ()>,
        options: RunOptions,
    ) -> RunOutcome {
        let mut stop = pin!(stop);
        let started = {
            let start = pin!(self.start());
            match select(start, stop.as_mut()).await {
                Either::Left((started, _)) => Some(started),
                // The start is dropped, which tells the tree to end.
                Either::Right(_) => None,
            }
        };
        match started {
            None => return self.stop_within(options.deadline, kill).await,
            Some(Ok(()) | Err(StartError::AlreadyStarted)) => {}
            Some(Err(error)) => {
                let ended = self.last_exit().filter(|_| error == StartError::Closed);
                return ended.map_or(RunOutcome::NotStarted(error), RunOutcome::Ended);
            }
        }
        let ended = pin!(self.join());
        let requested = pin!(self.branch.is_requested());
        match select(select(requested, stop), ended).await {
            Either::Right((exit, _)) => RunOutcome::Ended(exit),
            Either::Left(_) => self.stop_within(options.deadline, kill).await,
        }
    }

    /// Tells it to end, and waits for nothing: its children are stopped in reverse order of their start, each within its own
    /// limit and after the message in hand. This is how a handler ends the tree that its own server is in (a "quit"
    /// command): the order is obeyed once the handler has returned.
    ///
    /// A tree that is run ([`SupervisorRef::run_until`], `run`) ends within the deadline of its [`RunOptions`], as if `stop`
    /// had been there; any other has no deadline for the whole. False: it was not running.
    pub fn request_stop(&self) -> bool {
        self.branch.request_stop()
    }

    /// Stops it: its children in reverse order of their start, each within its own limit. At the deadline for the whole all
    /// that is left is killed; what has not ended even so is abandoned. Says what did not go as it should; of a supervisor
    /// that is not running, nothing.
    ///
    /// Where another supervisor is above, that one is told of a shutdown, and restarts a permanent child.
    ///
    /// In a handler of a server that is below, or that one below waits for, it would wait for ever: nothing is ordered, and
    /// the report says so ([`ShutdownReport::cycle`]). A handler that wants its own tree to end uses
    /// [`SupervisorRef::request_stop`].
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting, and with it the deadline; the supervisor ends all the same.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        if !self.is_alive() {
            return ShutdownReport::default();
        }
        match self.stop_within(deadline, pending()).await {
            RunOutcome::Shutdown(report) | RunOutcome::Killed(report) => report,
            RunOutcome::NotStarted(_) | RunOutcome::Ended(_) => ShutdownReport::default(),
        }
    }

    /// Ends in order until the deadline, or until `kill` is there; then all that is left is killed.
    async fn stop_within(&self, deadline: Duration, kill: impl Future<Output = ()>) -> RunOutcome {
        let branch = &self.branch;
        let Ok(mut ended) = branch.join() else { return RunOutcome::Shutdown(self.report()) };
        let _waits = match branch.wait_for_all() {
            Ok(waits) => waits,
            Err(path) => {
                return RunOutcome::Shutdown(ShutdownReport {
                    cycle: Some(path),
                    ..ShutdownReport::default()
                });
            }
        };
        branch.end(ExitReason::Shutdown, false);
        let (in_time, killed) = {
            let in_time = pin!(at_most(deadline, &mut ended));
            match select(in_time, pin!(kill)).await {
                Either::Left((ended, _)) => (ended.is_some(), false),
                Either::Right(_) => (false, true),
            }
        };
        if !in_time {
            branch.end(ExitReason::Shutdown, true);
            // The tree is down when what does not end has been abandoned.
            let _ = ended.await;
        }
        let report = self.report();
        if killed { RunOutcome::Killed(report) } else { RunOutcome::Shutdown(report) }
    }
}
