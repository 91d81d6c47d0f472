//! Why nothing was found, and what may help: the nearest names, the last changes, other holders.
//!
//! Asked after a look-up that failed, by those who want to know: it takes short locks and compares names.

use crate::books::Books;
use crate::change::{Change, Sizes, What};
use crate::ending::{Ending, Outcome};
use crate::lookup::{LookupError, Missing, Whom};
use crate::name_text::NameText;
use crate::registry::Registry;
use crate::scopes;
use restante_core::ExitReason;
use std::any::type_name;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// What may help a caller that looked in vain.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NotFound {
    /// What was looked for.
    pub whom: String,
    /// The registry.
    pub registry: Arc<str>,
    /// How large it is.
    pub sizes: Sizes,
    /// Its names that look most like it, the nearest first; at most 3, of at most 1000 that were looked at, each by its first
    /// 64 characters.
    pub nearest: Vec<NameText>,
    /// Whether a creation under this name is under way.
    pub being_created: bool,
    /// Other registries of this process that have the name. (Those of tenants are not asked.)
    pub elsewhere: Vec<Arc<str>>,
    /// The registry's last changes, oldest first; at most 5.
    pub recent: Vec<Change>,
}

/// How many names a failed look-up compares.
const COMPARED: usize = 1000;
/// Of each so many characters. (A comparison takes the product of both lengths.)
const COMPARED_CHARS: usize = 64;
/// Changes that a failed look-up looks at under one lock.
const AT_ONCE: usize = 64;
const NEAREST: usize = 3;
const RECENT: usize = 5;

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nobody is called {:?} in the registry {:?} ({})", self.whom, self.registry, self.sizes)?;
        if self.being_created {
            f.write_str("; it is being created")?;
        }
        if let Some((first, rest)) = self.nearest.split_first() {
            write!(f, "; the nearest names are {first:?}")?;
            rest.iter().try_for_each(|name| write!(f, ", {name:?}"))?;
        }
        if let Some((first, rest)) = self.elsewhere.split_first() {
            write!(f, "; the name is known in {first:?}")?;
            rest.iter().try_for_each(|registry| write!(f, ", {registry:?}"))?;
        }
        if let Some((first, rest)) = self.recent.split_first() {
            write!(f, "; the last changes were {first}")?;
            rest.iter().try_for_each(|change| write!(f, ", {change}"))?;
        }
        Ok(())
    }
}

impl std::error::Error for NotFound {}

impl Registry {
    /// Why there is no entry here.
    pub(crate) fn explain_absence<R>(&self, name: &str) -> LookupError {
        self.explain::<R>(Whom::Text(name), Missing::Nobody)
    }

    /// What was missing, and more where that helps.
    #[cold]
    #[inline(never)]
    pub(crate) fn explain<R>(&self, whom: Whom<'_>, missing: Missing) -> LookupError {
        let text = match whom {
            Whom::Text(text) => text.to_owned(),
            Whom::Id(id) => id.to_string(),
        };
        if let Missing::OtherType(found) = missing {
            return LookupError::WrongType { whom: text, expected: type_name::<R>(), found };
        }
        match self.last_ending(whom, missing) {
            Some(ending) => LookupError::Closed { whom: text, ending },
            None => LookupError::NotFound(Box::new(self.0.books.not_found(text))),
        }
    }

    /// How the mailbox ended that has, or last had, this name or id: here, and where nothing is known here, in what this is
    /// nested in.
    fn last_ending(&self, whom: Whom<'_>, missing: Missing) -> Option<Ending> {
        let here = self.0.books.last_ending(whom, missing);
        here.or_else(|| self.parent()?.last_ending(whom, missing))
    }
}

impl Books {
    /// How the mailbox ended that has, or last had, this name or id.
    fn last_ending(&self, whom: Whom<'_>, missing: Missing) -> Option<Ending> {
        if let Missing::Closing = missing {
            let closed = self.record(whom, |record| {
                let reason = record.mailbox.why_closed().unwrap_or(ExitReason::Normal);
                Ending::new(Outcome::Closed, reason)
            });
            if closed.is_some() {
                return closed;
            }
        }
        let id = match whom {
            Whom::Id(id) => Some(id),
            Whom::Text(text) => Uuid::try_parse(text).ok(),
        };
        let last = self.last_change(|change| match (&change.what, whom) {
            (What::Destroyed(_) | What::Created, _) => id == Some(change.id),
            (What::Registered(name) | What::Unregistered(name, _), Whom::Text(text)) => *name == *text,
            _ => false,
        })?;
        // The mailbox of an entry that was taken out, or that no caller took, may live on.
        last.ending().filter(|ending| ending.is_of_the_mailbox()).cloned()
    }

    /// The last change that was about something, of those that are kept. A few at a time: writers are not to wait for a failed
    /// look-up.
    fn last_change(&self, which: impl Fn(&Change) -> bool) -> Option<Change> {
        let mut before = self.with_history(|history, _| history.next());
        loop {
            let (found, some) = self.with_history(|history, _| {
                let mut some = history.before(before, AT_ONCE);
                let count = some.len();
                (some.find(|change| which(change)).cloned(), count)
            });
            if found.is_some() || some == 0 {
                return found;
            }
            before = before.saturating_sub(some as u64);
        }
    }

    fn not_found(&self, whom: String) -> NotFound {
        let mut near: Vec<(f64, NameText)> = Vec::new();
        let mut compared = 0;
        self.each_name(|name, _| {
            let likeness = likeness(&whom, name);
            // What does not look like it at all is no help to the caller.
            if likeness > 0.6 {
                let at = near.partition_point(|(other, n)| (*other, name) > (likeness, n));
                near.insert(at, (likeness, name.clone()));
                near.truncate(NEAREST);
            }
            compared += 1;
            compared < COMPARED
        });
        let being_created = NameText::new(whom.as_str()).is_ok_and(|name| self.is_reserved(&name));
        NotFound {
            registry: Arc::clone(&self.name),
            sizes: self.sizes(),
            nearest: near.into_iter().map(|(_, name)| name).collect(),
            being_created,
            elsewhere: scopes::elsewhere(self, &whom),
            recent: self.with_history(|history, _| history.last(RECENT)),
            whom,
        }
    }
}

/// How much a name looks like what was looked for, from 0 to 1, by their beginnings. One that is more than three times as long
/// is not looked at.
fn likeness(whom: &str, name: &str) -> f64 {
    let (short, long) = (whom.len().min(name.len()), whom.len().max(name.len()));
    if short.saturating_mul(3) < long {
        return 0.0;
    }
    let beginning = |text: &str| text.chars().take(COMPARED_CHARS).collect::<String>();
    if long <= COMPARED_CHARS {
        strsim::jaro_winkler(whom, name)
    } else {
        strsim::jaro_winkler(&beginning(whom), &beginning(name))
    }
}
