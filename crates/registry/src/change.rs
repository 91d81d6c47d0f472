//! What happened to a registry: one change, as the history, those who follow and `tracing` have it.

use crate::ending::Ending;
use crate::name_text::NameText;
use crate::secondary::SecondaryKey;
use std::fmt;
use std::panic::Location;
use uuid::Uuid;

/// One change, all or nothing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Change {
    /// Its number: the registry's first is 1, and none is left out.
    pub seq: u64,
    /// When, in coarse milliseconds of the monotonic clock (a few ms wide, from an origin of its own): for differences.
    pub at_ms: u64,
    /// Which mailbox.
    pub id: Uuid,
    /// What happened to it.
    pub what: What,
    /// How many mailboxes and names there were before.
    pub before: Sizes,
    /// How many there are since.
    pub after: Sizes,
    /// The line that asked for it; that of the closing is not known, where a mailbox closed.
    pub by: Option<&'static Location<'static>>,
}

/// What happened to a mailbox in a registry.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum What {
    /// It came in, without a name.
    Created,
    /// It has one name more.
    Registered(NameText),
    /// It has one name less: by itself, or since its entry ended.
    Unregistered(NameText, Option<Ending>),
    /// It has one secondary key more.
    KeyAdded(SecondaryKey),
    /// It has one less.
    KeyRemoved(SecondaryKey, Option<Ending>),
    /// It went out; it has neither names nor keys by then.
    Destroyed(Ending),
}

/// How large a registry is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Mailboxes.
    pub mailboxes: u64,
    /// Names; a mailbox has any number.
    pub names: u64,
}

impl Change {
    /// The operation, in a word.
    pub fn operation(&self) -> &'static str {
        match self.what {
            What::Created => "create",
            What::Registered(_) => "register",
            What::Unregistered(..) => "unregister",
            What::KeyAdded(_) => "add_key",
            What::KeyRemoved(..) => "remove_key",
            What::Destroyed(_) => "destroy",
        }
    }

    /// The name that it is about, if it is about one.
    pub fn name(&self) -> Option<&NameText> {
        match &self.what {
            What::Registered(name) | What::Unregistered(name, _) => Some(name),
            _ => None,
        }
    }

    /// How the entry ended, where that is why.
    pub fn ending(&self) -> Option<&Ending> {
        match &self.what {
            What::Unregistered(_, ending) | What::KeyRemoved(_, ending) => ending.as_ref(),
            What::Destroyed(ending) => Some(ending),
            _ => None,
        }
    }

    /// Tells `tracing`, where anybody listens.
    pub(crate) fn trace(&self, registry: &str) {
        tracing::debug!(
            registry,
            seq = self.seq,
            operation = self.operation(),
            name = self.name().map(NameText::as_str),
            mailbox = %self.id,
            mailboxes_before = self.before.mailboxes,
            mailboxes = self.after.mailboxes,
            names_before = self.before.names,
            names = self.after.names,
            by = self.by.map(tracing::field::display),
            reason = self.ending().map(tracing::field::display),
            "a registry changed"
        );
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mailboxes, {} names", self.mailboxes, self.names)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {}", self.seq, self.operation())?;
        match &self.what {
            What::Registered(name) | What::Unregistered(name, _) => write!(f, " {name:?}")?,
            What::KeyAdded(key) | What::KeyRemoved(key, _) => write!(f, " {key:?}")?,
            What::Created | What::Destroyed(_) => {}
        }
        write!(f, " {} ({})", self.id, self.after)?;
        if let Some(ending) = self.ending() {
            write!(f, ": {ending}")?;
        }
        self.by.map_or(Ok(()), |by| write!(f, " at {by}"))
    }
}
