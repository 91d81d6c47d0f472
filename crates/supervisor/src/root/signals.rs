//! The signals that tell a process to end: SIGTERM and SIGINT (ctrl-c); elsewhere than on Unix, ctrl-c.

use super::{RunOptions, RunOutcome};
use crate::supervisor::SupervisorRef;
use std::future::poll_fn;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{CtrlC, ctrl_c};

#[cfg(unix)]
struct Signals {
    term: Signal,
    int: Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The other signal, if it is there too, is the second signal.
        if self.term.poll_recv(cx) == Poll::Ready(Some(())) {
            return Poll::Ready(());
        }
        self.int.poll_recv(cx).map(drop)
    }
}

#[cfg(windows)]
struct Signals {
    int: CtrlC,
}

#[cfg(windows)]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { int: ctrl_c()? })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.int.poll_recv(cx).map(drop)
    }
}

impl SupervisorRef {
    /// Starts the tree, unless it has been, and runs it until it ends by itself or the process is told to end by SIGTERM or
    /// SIGINT (ctrl-c; elsewhere than on Unix only that). The first signal stops the tree in order, within the deadline of the
    /// options; the second kills what is left at once. One that comes before all children are up gives up the start.
    ///
    /// Only this function takes these signals from the process, when it is first polled. What tokio has taken once it keeps:
    /// they do nothing any more after it has returned, nor does a third one while it runs.
    ///
    /// # Errors
    /// The operating system's, when it does not let the process listen. Nothing was started then.
    ///
    /// # Panics
    /// On a runtime without an I/O driver (built without `enable_io` or `enable_all`).
    ///
    /// # Cancel safety
    /// As [`SupervisorRef::run_until`].
    ///
    /// ```no_run
    /// # use restante_genserver::*;
    /// use restante_supervisor::{RunOptions, RunOutcome, Supervise, Supervisor};
    /// # struct Echo;
    /// # impl GenServer for Echo {
    /// #     type Args = (); type Call = (); type Cast = (); type Info = ();
    /// #     async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> { Ok(Init::ok(Echo)) }
    /// #     async fn handle_call(&mut self, (): (), _: &mut Context<Self>) -> Step { Ok(Next::go()) }
    /// # }
    /// #[tokio::main]
    /// async fn main() -> Result<RunOutcome, Box<dyn std::error::Error>> {
    ///     let app = Supervisor::one_for_one().child(Server::<Echo>::new("echo").child(())).build()?;
    ///     let outcome = app.run(RunOptions::default()).await?;
    ///     eprintln!("{outcome}");
    ///     Ok(outcome) // the process ends with its exit code
    /// }
    /// ```
    pub async fn run(self, options: RunOptions) -> io::Result<RunOutcome> {
        let signals = Mutex::new(Signals::listen()?);
        // Two futures of one pair of listeners, one after the other: a second pair would hear the first signal once more.
        let next = || poll_fn(|cx| signals.lock().unwrap_or_else(PoisonError::into_inner).poll(cx));
        Ok(self.run_until(next(), next(), options).await)
    }
}
