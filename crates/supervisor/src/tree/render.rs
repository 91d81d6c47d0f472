//! A tree as text: a line for each node, indented under its supervisor.

use super::{SupervisorNode, Tree};
use crate::supervisor::ChildState;
use restante_core::Stats;
use std::fmt;
use std::time::Duration;

impl Tree {
    /// The tree as text: a line for each node, indented. The wording is for people and may change.
    pub fn render(&self) -> String {
        self.to_string()
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        writeln!(f, "{}", Line(self))?;
        let last = self.children.len().checked_sub(1).filter(|_| self.more == 0);
        for (n, child) in self.children.iter().enumerate() {
            let (corner, bar) = if Some(n) == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            write!(f, "{indent}{corner}")?;
            child.write(f, &format!("{indent}{bar}"))?;
        }
        if self.more > 0 {
            writeln!(f, "{indent}└─ … and {} more", self.more)?;
        }
        Ok(())
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "")
    }
}

/// One node.
struct Line<'a>(&'a Tree);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tree { id, type_name, state, restarts, .. } = self.0;
        write!(f, "{}", flat(id))?;
        if let Some(name) = self.0.name.as_ref().filter(|name| *name != id) {
            write!(f, " ({})", flat(name))?;
        }
        write!(f, " [{type_name}] {state}")?;
        if self.0.suspended {
            f.write_str(", suspended")?;
        }
        if let Some((now, since)) = self.0.in_hand.and_then(|now| Some((now, now.since?)))
            && since >= LONG
        {
            write!(f, ", in {} of {} for {since:?}", now.phase, flat(now.name))?;
        }
        if let Some(supervisor) = &self.0.supervisor {
            write!(f, "{}", Rules(supervisor))?;
        }
        if let Some(mailbox) = &self.0.mailbox {
            write!(f, "{}", Queue(mailbox))?;
        }
        if *restarts > 0 {
            write!(f, ", restarts: {restarts}")?;
        }
        if let Some(exit) = &self.0.last_exit {
            write!(f, ", last exit: {}", flat(&exit.to_string()))?;
        }
        Ok(())
    }
}

/// A handler that waits for less is at its usual work.
const LONG: Duration = Duration::from_secs(1);

/// On one line, whatever it is.
fn flat(text: &str) -> String {
    text.replace(char::is_control, " ")
}

struct Rules<'a>(&'a SupervisorNode);

impl fmt::Display for Rules<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SupervisorNode { strategy, intensity, dynamic, .. } = self.0;
        if *dynamic {
            write!(f, ", dynamic")?;
        } else {
            write!(f, ", {strategy}")?;
        }
        match intensity.max {
            Some(max) => write!(f, ", at most {max} restarts in {:?}", intensity.period),
            None => write!(f, ", any number of restarts"),
        }
    }
}

struct Queue<'a>(&'a Stats);

impl fmt::Display for Queue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { depth, capacity, oldest_age, .. } = self.0;
        match capacity {
            Some(capacity) => write!(f, ", {depth} of {capacity} queued")?,
            None => write!(f, ", {depth} queued")?,
        }
        if let Some(age) = oldest_age.filter(|_| *depth > 0) {
            write!(f, " for {age:?}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ChildState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Stopping => "stopping",
            Self::Abandoned => "abandoned",
        })
    }
}
