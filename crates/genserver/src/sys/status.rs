//! What is told of a server without its help.

use super::{Sys, SysError, SysRequests};
use crate::executor::Executor;
use crate::server::GenServer;
use restante_core::{Exit, Phase, Stats, clock, word};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What is told of a server. As text ([`fmt::Display`]): a few lines for people.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a thing of its own, and may be so or not with any other"
)]
pub struct Status {
    /// The server's type.
    pub server: &'static str,
    /// The mailbox's name, else what it holds.
    pub mailbox: String,
    /// Which incarnation reads, or read last; 0: none yet.
    pub incarnation: u32,
    /// Whether one reads now.
    pub running: bool,
    /// Whether its handlers are given nothing, until it is resumed.
    pub suspended: bool,
    /// What a callback has now.
    pub in_hand: Option<InHandNow>,
    /// Depth, weight, age, counters of the mailbox.
    pub stats: Stats,
    /// Whether it is traced.
    pub traced: bool,
    /// Whether a log is kept.
    pub logged: bool,
    /// The names of the hooks, in the order in which they run.
    pub hooks: Vec<Arc<str>>,
    /// How the last incarnation ended, if one has.
    pub last_exit: Option<Exit>,
    /// What the server shows of its state ([`GenServer::format_status`]), where it was asked.
    pub state: Option<String>,
}

/// What a callback has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InHandNow {
    /// Which callback.
    pub phase: Phase,
    /// What the message is called; of a callback without one, what that is called.
    pub name: &'static str,
    /// For how long the handler has been waiting for something, to within some ms; `None` where it has not waited yet: it
    /// runs, or blocks, right now.
    pub since: Option<Duration>,
}

/// What a server has done so far, over all its incarnations.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Statistics {
    /// How many incarnations there were, this one included.
    pub incarnations: u32,
    /// Messages that came in.
    pub messages_in: u64,
    /// Messages that handlers have returned from.
    pub handled: u64,
    /// Messages that wait: `message_queue_len`.
    pub message_queue_len: u64,
    /// All there is.
    pub stats: Stats,
}

impl<S: GenServer> Sys<'_, S> {
    /// What can be told without the server's help.
    pub fn status(&self) -> Status {
        let cell = self.cell();
        let requests = cell.runner.requests();
        let (traced, logged, hooks) = requests.map_or((false, false, Vec::new()), SysRequests::watched);
        let running = cell.is_leased();
        Status {
            server: std::any::type_name::<S>(),
            mailbox: cell.label(),
            incarnation: cell.incarnation(),
            running,
            suspended: self.is_suspended(),
            in_hand: self.in_hand().filter(|_| running),
            stats: cell.stats(),
            traced,
            logged,
            hooks,
            last_exit: cell.last_exit(),
            state: None,
        }
    }

    /// Whether its handlers are given nothing, until it is resumed: [`Status::suspended`] by itself.
    pub fn is_suspended(&self) -> bool {
        self.cell().runner.requests().is_some_and(SysRequests::is_suspended)
    }

    /// What a callback has now: [`Status::in_hand`] by itself.
    pub fn in_hand(&self) -> Option<InHandNow> {
        let cell = self.cell();
        cell.runner.in_hand_now_of(cell.word().bits()).filter(|_| cell.is_leased())
    }

    /// What can be told without the server's help, and what the server shows of its state ([`GenServer::format_status`]): a
    /// state verb. Where that fails a placeholder stands in its place.
    ///
    /// # Errors
    /// [`SysError`].
    ///
    /// # Panics
    /// As [`Sys::get_state`].
    ///
    /// # Cancel safety
    /// As [`Sys::get_state`].
    pub async fn status_with_state(&self) -> Result<Status, SysError> {
        let state = self.get_state(shown).await?;
        Ok(Status { state: Some(state), ..self.status() })
    }

    /// What the server has done so far. Always on.
    pub fn statistics(&self) -> Statistics {
        let cell = self.cell();
        let stats = cell.stats();
        Statistics {
            incarnations: cell.incarnation(),
            messages_in: stats.ledger.sent,
            handled: stats.ledger.handled,
            message_queue_len: self.message_queue_len(),
            stats,
        }
    }

    /// How many messages wait, orders and notices included. (While the server is in the middle of something those of the
    /// control lane that it has taken already are not known, and not counted.)
    pub fn message_queue_len(&self) -> u64 {
        let cell = self.cell();
        cell.audit().map_or_else(|| cell.stats().ledger.queued, |ledger| ledger.queued)
    }
}

/// What a state shows of itself.
fn shown<S: GenServer>(state: &S) -> String {
    struct Shown<'a, S>(&'a S);
    impl<S: GenServer> fmt::Display for Shown<'_, S> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.format_status(f)
        }
    }
    let shown = catch_unwind(AssertUnwindSafe(|| {
        use fmt::Write;
        let mut text = String::new();
        write!(text, "{}", Shown(state)).map(|()| text)
    }));
    match shown {
        Ok(Ok(text)) => text,
        Ok(Err(fmt::Error)) => FAILED.to_owned(),
        Err(payload) => {
            // The message of the panic is not told: it may be what was to be hidden.
            drop(restante_core::ExitReason::from_panic(payload));
            FAILED.to_owned()
        }
    }
}

/// Stands for a state whose hook failed.
const FAILED: &str = "<format_status failed>";

impl<S: GenServer> Executor<S> {
    /// What a callback has now, as far as anybody can see.
    pub(crate) fn in_hand_now_of(&self, bits: u32) -> Option<InHandNow> {
        let (phase, name) = self.current.get();
        let name = match phase {
            Phase::Idle if name.is_empty() => return None,
            Phase::Init => "init",
            _ => name,
        };
        let half = bits & (word::HALF | word::RUN | word::HOLD) == word::HALF;
        let since = half.then(|| {
            let since = self.half_since.load(Ordering::Relaxed);
            Duration::from_millis(u64::from(clock::coarse_ms_u32().wrapping_sub(since)))
        });
        Some(InHandNow { phase, name, since })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, mailbox, incarnation, stats, .. } = self;
        writeln!(f, "{mailbox} ({server}), incarnation {incarnation}")?;
        f.write_str(match (self.running, self.suspended) {
            (false, false) => "not running",
            (false, true) => "not running, suspended",
            (true, false) => "running",
            (true, true) => "suspended",
        })?;
        if let Some(InHandNow { phase, name, since }) = &self.in_hand {
            write!(f, ", in {phase} of {name}")?;
            if let Some(since) = since.filter(|since| !since.is_zero()) {
                write!(f, " for {since:?}")?;
            }
        }
        write!(f, "\nqueued {}", stats.ledger.queued)?;
        if let Some(capacity) = stats.capacity {
            write!(f, " of {capacity}")?;
        }
        if let Some(age) = stats.oldest_age {
            write!(f, ", the oldest for {age:?}")?;
        }
        write!(f, "\n{}", stats.ledger)?;
        for (on, what) in [(self.traced, "traced"), (self.logged, "logged")] {
            if on {
                write!(f, "\n{what}")?;
            }
        }
        if !self.hooks.is_empty() {
            write!(f, "\nhooks: {}", self.hooks.join(", "))?;
        }
        if let Some(exit) = &self.last_exit {
            write!(f, "\nlast exit: {exit}")?;
        }
        if let Some(state) = &self.state {
            write!(f, "\nstate: {state}")?;
        }
        Ok(())
    }
}
