//! What an operator may ask of the server, by [`ServerRef::sys`]: it is answered without the server's help, or between two
//! messages.

use crate::command::Verb;
use crate::server::Counter;
use crate::session::Session;
use restante::SysError;
use restante::prelude::*;
use restante::sys::{Peek, Sys};
use std::io::{self, Write};
use std::time::Duration;

/// How long the state is waited for; the default would be 5 s.
const PATIENCE: Duration = Duration::from_millis(100);

/// How often it is waited for before the next command is read, where somebody watches.
const WATCHERS_TRIES: usize = 10_000;

/// How many messages `peek` names.
const PEEK_MAX: usize = 10;

impl<W: Write> Session<'_, W> {
    fn sys(&self) -> Sys<'_, Counter> {
        self.counter.sys().timeout(PATIENCE)
    }

    pub(crate) async fn operate(&mut self, verb: Verb) -> io::Result<()> {
        match verb {
            Verb::Suspend => self.suspend(),
            Verb::Resume => self.resume(),
            Verb::Peek => self.peek(),
            Verb::Status => self.status(),
            Verb::Statistics => self.statistics(),
            Verb::State => self.state().await,
            Verb::Replace(sum) => self.replace(sum).await,
            Verb::Trace(on) => self.trace(on),
            Verb::KeepLog(entries) => self.keep_log(entries),
            Verb::ShowLog => self.show_log(),
            Verb::Terminate => self.terminate().await,
        }
    }

    fn suspend(&mut self) -> io::Result<()> {
        if self.sys().suspend() {
            writeln!(self.out, "suspended: messages wait, until `resume`")
        } else {
            writeln!(self.out, "suspend: it is suspended already")
        }
    }

    fn resume(&mut self) -> io::Result<()> {
        let waiting = self.sys().message_queue_len();
        if self.sys().resume() {
            writeln!(self.out, "resumed: {waiting} messages have waited")
        } else {
            writeln!(self.out, "resume: it is not suspended")
        }
    }

    fn peek(&mut self) -> io::Result<()> {
        let Peek { messages, more, partial, .. } = self.sys().peek(PEEK_MAX);
        let names: Vec<_> = messages.iter().map(|message| message.name).collect();
        let unseen = if partial { " (some are out of sight, while a handler runs)" } else { "" };
        match (names.len(), more) {
            (0, 0) => writeln!(self.out, "peek: nothing waits"),
            (0, more) => writeln!(self.out, "peek: {more} messages wait{unseen}"),
            (_, 0) => writeln!(self.out, "peek: {}", names.join(", ")),
            (_, more) => writeln!(self.out, "peek: {}, and {more} more{unseen}", names.join(", ")),
        }
    }

    fn status(&mut self) -> io::Result<()> {
        let status = self.sys().status().to_string();
        status.lines().try_for_each(|line| writeln!(self.out, "  {line}"))
    }

    fn statistics(&mut self) -> io::Result<()> {
        let so_far = self.sys().statistics();
        writeln!(
            self.out,
            "statistics: {} incarnations; {} messages came in, {} were handled, {} wait",
            so_far.incarnations, so_far.messages_in, so_far.handled, so_far.message_queue_len
        )
    }

    async fn state(&mut self) -> io::Result<()> {
        match self.sys().get_state(|counter| format!("{counter:?}")).await {
            Ok(state) => writeln!(self.out, "state: {state}"),
            Err(e) => writeln!(self.out, "state: {}", told(&e)),
        }
    }

    async fn replace(&mut self, sum: u64) -> io::Result<()> {
        match self.sys().replace_state(move |old| Ok(Counter { sum, ticks: old.ticks })).await {
            Ok(()) => writeln!(self.out, "replaced: the sum is {sum} now"),
            Err(e) => writeln!(self.out, "replace: {}", told(&e)),
        }
    }

    fn trace(&mut self, on: bool) -> io::Result<()> {
        match (on, self.sys().trace(on)) {
            (true, true) => writeln!(self.out, "trace: it was on already"),
            (true, false) => writeln!(self.out, "trace is on"),
            (false, true) => writeln!(self.out, "trace is off"),
            (false, false) => writeln!(self.out, "trace: it was off already"),
        }
    }

    fn keep_log(&mut self, entries: u64) -> io::Result<()> {
        self.sys().keep_log(usize::try_from(entries).unwrap_or(usize::MAX));
        match entries {
            0 => writeln!(self.out, "log: forgotten, and off"),
            1..=10_000 => writeln!(self.out, "log: the last {entries} steps are kept"),
            _ => writeln!(self.out, "log: the last 10000 steps are kept, which is the most"),
        }
    }

    fn show_log(&mut self) -> io::Result<()> {
        let log = self.sys().log();
        if log.is_empty() {
            let hint = if self.sys().status().logged { "" } else { ", for none is kept (`log N`)" };
            return writeln!(self.out, "log: there is nothing in it{hint}");
        }
        log.iter().try_for_each(|step| writeln!(self.out, "  {step}"))
    }

    async fn terminate(&mut self) -> io::Result<()> {
        match self.sys().terminate(ExitReason::Shutdown).await {
            Ok(()) => {
                writeln!(
                    self.out,
                    "incarnation {} terminated: shutdown{}",
                    self.counter.incarnation(),
                    self.waits()
                )
            }
            Err(e) => writeln!(self.out, "terminate: {e}"),
        }
    }

    /// A handler that has replied is not done yet, and a trace or a log hears of it only then. So what the command has sent
    /// is to be out of the queue; then the state is looked at, which can be done only between two messages.
    pub(crate) async fn let_watchers_hear(&self) {
        // A machine that is busy elsewhere is no reason to go on early; a handler that waits for something is.
        for _ in 0..WATCHERS_TRIES {
            let status = self.sys().status();
            let waits = status.in_hand.is_some_and(|now| now.since.is_some());
            if !(status.traced || status.logged) || !status.running || status.suspended || waits {
                return;
            }
            // (What asks for the state overtakes what is queued.)
            let queued = self.sys().message_queue_len() > 0;
            match self.sys().get_state(|_| ()).await {
                Ok(()) if queued => tokio::task::yield_now().await,
                Err(SysError::Busy { .. }) => {}
                // Where there is no state to look at, there is nothing more to hear of now.
                Ok(()) | Err(_) => return,
            }
        }
    }
}

fn told(e: &SysError) -> String {
    match e {
        SysError::NotRunning => "no server runs (`start`)".to_owned(),
        e => e.to_string(),
    }
}
