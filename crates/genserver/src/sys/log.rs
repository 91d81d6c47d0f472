//! What a watched server does, as hooks, the log and traces are told of it.

use crate::message::Message;
use crate::server::GenServer;
use restante_core::{ExitReason, Phase, quiet};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// One step of a server, as a hook sees it.
#[non_exhaustive]
pub struct Observed<'a, S: GenServer> {
    /// Which incarnation of its mailbox it is.
    pub incarnation: u32,
    /// Which callback: a call's, a cast's, an info's (of timers too), `handle_continue`, or the idle time-out's.
    pub phase: Phase,
    /// What the message is called.
    pub name: &'static str,
    /// The message, before its handler gets it; none where a callback is given none, for ticks of timers, and when it is done.
    pub message: Option<&'a Message<S>>,
    /// Whether it begins or is done.
    pub moment: Moment,
}

impl<S: GenServer> fmt::Debug for Observed<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observed({} {}, {:?})", self.phase, self.name, self.moment)
    }
}

/// Where a handler is with its message.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Moment {
    /// It is about to get it.
    Taken,
    /// It has returned.
    Done {
        /// How long it took, waits included.
        took: Duration,
    },
    /// It has failed or panicked, or was killed: the incarnation ends.
    Failed {
        /// How long it took, waits included.
        took: Duration,
        /// Why.
        reason: ExitReason,
    },
}

/// One step of a server, as the log keeps it: names, never contents.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LogEntry {
    /// When.
    pub at: Instant,
    /// Which incarnation of its mailbox it was.
    pub incarnation: u32,
    /// Which callback.
    pub phase: Phase,
    /// What the message is called.
    pub name: &'static str,
    /// Whether it began or was done.
    pub moment: Moment,
}

impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} {}", self.incarnation, self.phase, self.name)?;
        match &self.moment {
            Moment::Taken => f.write_str(": taken"),
            Moment::Done { took } => write!(f, ": done in {took:?}"),
            Moment::Failed { took, reason } => write!(f, ": failed after {took:?}: {reason}"),
        }
    }
}

/// The most that a log keeps.
const LOG_MAX: usize = 10_000;

/// The last few entries.
#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<LogEntry>,
    most: usize,
}

impl Drop for Ring {
    fn drop(&mut self) {
        discard_each(self.entries.drain(..));
    }
}

/// Drops entries one by one: their reasons hold errors of the user's, and two that panic in one drop would end the program.
pub(super) fn discard_each(entries: impl IntoIterator<Item = LogEntry>) {
    entries.into_iter().for_each(|entry| quiet::discard("an exit reason", entry));
}

impl Ring {
    /// Keeps so many; `None`: none at all. What is kept already stays, as far as there is room; the rest comes back.
    pub(super) fn resized(old: Option<Self>, most: usize) -> (Option<Self>, VecDeque<LogEntry>) {
        let most = most.min(LOG_MAX);
        let mut gone = old.map(|mut ring| std::mem::take(&mut ring.entries)).unwrap_or_default();
        if most == 0 {
            return (None, gone);
        }
        let entries = gone.split_off(gone.len().saturating_sub(most));
        (Some(Self { entries, most }), gone)
    }

    /// The entry that had to go for this one.
    #[must_use]
    pub(super) fn push(&mut self, entry: LogEntry) -> Option<LogEntry> {
        let gone = if self.entries.len() == self.most { self.entries.pop_front() } else { None };
        self.entries.push_back(entry);
        gone
    }

    pub(super) fn entries(&self) -> Vec<LogEntry> {
        self.entries.iter().cloned().collect()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Rude;
    impl Drop for Rude {
        fn drop(&mut self) {
            panic!("a rude drop");
        }
    }
    impl fmt::Display for Rude {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("rude")
        }
    }
    impl std::error::Error for Rude {}

    /// Clause 17.6: reasons of which each panics in its drop, whatever unwinds already, go one by one: with a log that is made
    /// shorter, and with one that goes.
    #[test]
    fn rude_reasons_leave_a_log_one_by_one() {
        let (ring, _) = Ring::resized(None, 9);
        let mut ring = ring.expect("it keeps some");
        for incarnation in 1..=9 {
            let moment = Moment::Failed { took: Duration::ZERO, reason: ExitReason::from(Rude) };
            let entry = LogEntry { at: Instant::now(), incarnation, phase: Phase::Idle, name: "one", moment };
            assert!(ring.push(entry).is_none());
        }
        let (ring, gone) = Ring::resized(Some(ring), 4);
        assert_eq!(gone.len(), 5);
        discard_each(gone);
        assert_eq!(ring.as_ref().map(|ring| ring.entries.len()), Some(4));
        drop(ring);
    }
}
