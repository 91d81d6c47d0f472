//! Looking up: by name, by id, by a string that may be either; in place, or for keeps.
//!
//! A look-up takes no lock and asks nobody. What it finds is lent to a synchronous closure, which costs no count, or cloned.

use crate::books::Books;
use crate::change::{Change, Sizes, What};
use crate::ending::Ending;
use crate::name_text::NameText;
use crate::record::Record;
use crate::registry::Registry;
use crate::scopes;
use restante_core::Addressable;
use std::any::type_name;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// What is looked for: a name, an id, or a string that is tried as the one, then as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom<'a> {
    /// A name, or, where nobody has it, the text of an id.
    Text(&'a str),
    /// An id.
    Id(Uuid),
}

impl<'a> From<&'a str> for Whom<'a> {
    #[inline(always)]
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Whom<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a NameText> for Whom<'a> {
    fn from(name: &'a NameText) -> Self {
        Self::Text(name)
    }
}

impl From<Uuid> for Whom<'_> {
    fn from(id: Uuid) -> Self {
        Self::Id(id)
    }
}

/// Why nobody was found.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// No mailbox has this name or id here.
    #[error(transparent)]
    NotFound(Box<NotFound>),
    /// There is one, of another type.
    #[error("{whom:?} is a {found}, not a {expected}")]
    WrongType {
        /// What was looked for.
        whom: String,
        /// The type that was asked for.
        expected: &'static str,
        /// The type that it has.
        found: &'static str,
    },
    /// The mailbox that has, or last had, the name or id has closed. (Known for as long as the registry's history goes back.)
    #[error("{whom:?} has closed: {ending}")]
    Closed {
        /// What was looked for.
        whom: String,
        /// How its entry ended.
        ending: Ending,
    },
}

/// What may help whoever looked in vain.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NotFound {
    /// What was looked for.
    pub whom: String,
    /// The registry.
    pub registry: Arc<str>,
    /// How large it is.
    pub sizes: Sizes,
    /// Its names that look most like it, the nearest first; at most 3, of at most 1000 that were looked at, each by its first 64
    /// characters.
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
    /// The mailbox of this name or id, for keeps: a reference like any other, which keeps the mailbox open. Never one that is
    /// closed.
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn whereis<'a, R: Addressable>(&self, whom: impl Into<Whom<'a>>) -> Result<R, LookupError> {
        let whom = whom.into();
        // It may be closing just now, or the last reference be going, which is the same.
        let kept =
            self.with(whom, |mailbox: &R| mailbox.counted().filter(|mailbox| !mailbox.has_closed()))?;
        kept.ok_or_else(|| self.explain::<R>(whom, Missing::Closing))
    }

    /// Lends the mailbox of this name or id to a synchronous closure. The fastest way: no reference is counted, so
    /// readers on several cores don't wait for each other's cache lines.
    ///
    /// A mailbox whose end anybody has been told of is not lent; one that closes just now may be, and refuses what it is sent.
    ///
    /// The closure may do what it likes, send and write to this registry included; it should be short, since memory
    /// of what others take out meanwhile is kept until it returns. What it clones counts like any reference.
    ///
    /// What is lent stays in the closure:
    ///
    /// ```compile_fail
    /// # use restante_core::Address;
    /// # use restante_registry::Registry;
    /// # fn f(registry: &Registry) {
    /// let kept: &Address<u8> = registry.with("name", |address: &Address<u8>| address).unwrap();
    /// # }
    /// ```
    ///
    /// A copy of it may leave:
    ///
    /// ```
    /// # use restante_core::Address;
    /// # use restante_registry::Registry;
    /// # fn f(registry: &Registry) {
    /// let kept: Address<u8> = registry.with("name", |address: &Address<u8>| address.clone()).unwrap();
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`LookupError`]; the closure has not run then. Finding out why takes a short lock and compares names:
    /// [`Registry::find`] does not.
    #[inline]
    pub fn with<'a, R: Addressable, T>(
        &self,
        whom: impl Into<Whom<'a>>,
        f: impl FnOnce(&R) -> T,
    ) -> Result<T, LookupError> {
        let whom = whom.into();
        self.look(whom, f).map_err(|missing| self.explain::<R>(whom, missing))
    }

    /// The same where the reason of a failure is not wanted, which is much cheaper to find out: `None` is all of them.
    #[inline]
    pub fn find<'a, R: Addressable, T>(
        &self,
        whom: impl Into<Whom<'a>>,
        f: impl FnOnce(&R) -> T,
    ) -> Option<T> {
        self.look(whom.into(), f).ok()
    }

    /// The id of the mailbox of this name or id, whatever its type; `None`: there is none that is open.
    pub fn id_of<'a>(&self, whom: impl Into<Whom<'a>>) -> Option<Uuid> {
        self.record(whom.into(), |record| (!record.mailbox.has_closed()).then_some(record.id)).flatten()
    }

    /// Whether there is one.
    pub fn contains<'a>(&self, whom: impl Into<Whom<'a>>) -> bool {
        self.id_of(whom).is_some()
    }

    /// Here, and where nobody is found here, in what this is nested in.
    #[inline(always)]
    fn look<R: Addressable, T>(&self, whom: Whom<'_>, f: impl FnOnce(&R) -> T) -> Result<T, Missing> {
        let name = match whom {
            Whom::Text(name) => name,
            Whom::Id(id) => return self.look_by_id(id, whom, f),
        };
        let mut f = Some(f);
        // (Whether it has closed is not looked at, which would cost a cache line: whoever closes it takes it out before
        // anybody is told. One that closes just now it meets as it would a moment later.)
        let found = self.0.books.lead(name, |lead| match (lead.mailbox.get::<R>(), f.take()) {
            (Some(mailbox), Some(f)) => Ok(f(mailbox)),
            _ => Err(Missing::OtherType(lead.record.mailbox.type_name())),
        });
        match (found, f) {
            (Some(found), _) => found,
            (None, Some(f)) => self.look_by_text(name, f),
            (None, None) => Err(Missing::Nobody),
        }
    }

    /// By id; where nobody here has it, what was looked for is looked for above.
    #[inline]
    fn look_by_id<R: Addressable, T>(
        &self,
        id: Uuid,
        whom: Whom<'_>,
        f: impl FnOnce(&R) -> T,
    ) -> Result<T, Missing> {
        let mut f = Some(f);
        let found = self.0.books.find_id(id, |record| match (record.lend::<R>(), f.take()) {
            (Some(mailbox), Some(f)) => Ok(f(mailbox)),
            _ => Err(Missing::OtherType(record.mailbox.type_name())),
        });
        match (found, f) {
            (Some(found), _) => found,
            (None, Some(f)) => self.look_above(whom, f),
            (None, None) => Err(Missing::Nobody),
        }
    }

    /// By a text that is nobody's name here.
    #[inline(never)]
    fn look_by_text<R: Addressable, T>(&self, text: &str, f: impl FnOnce(&R) -> T) -> Result<T, Missing> {
        match Uuid::try_parse(text) {
            Ok(id) => self.look_by_id(id, Whom::Text(text), f),
            Err(_) => self.look_above(Whom::Text(text), f),
        }
    }

    /// In what this is nested in.
    #[inline(never)]
    fn look_above<R: Addressable, T>(&self, whom: Whom<'_>, f: impl FnOnce(&R) -> T) -> Result<T, Missing> {
        self.parent().map_or(Err(Missing::Nobody), |parent| parent.look(whom, f))
    }

    /// The record under a name or id, open or not.
    #[inline(always)]
    pub(crate) fn record<T>(&self, whom: Whom<'_>, f: impl FnOnce(&Arc<Record>) -> T) -> Option<T> {
        let mut f = Some(f);
        let found = self.0.books.record(whom, |record| f.take().map(|f| f(record))).flatten();
        match (found, f) {
            (None, Some(f)) => self.record_above(whom, f),
            (found, _) => found,
        }
    }

    #[cold]
    fn record_above<T>(&self, whom: Whom<'_>, f: impl FnOnce(&Arc<Record>) -> T) -> Option<T> {
        self.parent()?.record(whom, f)
    }

    /// Why nobody is here.
    pub(crate) fn explain_absence<R>(&self, name: &str) -> LookupError {
        self.explain::<R>(Whom::Text(name), Missing::Nobody)
    }

    /// Here, and where nothing is known here, in what this is nested in.
    #[cold]
    #[inline(never)]
    fn explain<R>(&self, whom: Whom<'_>, missing: Missing) -> LookupError {
        let here = self.0.books.explain::<R>(whom, missing);
        let (LookupError::NotFound(_), Some(parent)) = (&here, self.parent()) else { return here };
        match parent.explain::<R>(whom, missing) {
            closed @ LookupError::Closed { .. } => closed,
            _ => here,
        }
    }

    /// How large it is: of one instant each, mailboxes and names by themselves.
    pub fn sizes(&self) -> Sizes {
        self.0.books.sizes()
    }
}

/// What was not there.
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

#[derive(Debug, Clone, Copy)]
pub(crate) enum Missing {
    Nobody,
    OtherType(&'static str),
    /// It is there still, and has closed or is about to.
    Closing,
}

impl Books {
    /// The record under a name or id, open or not.
    #[inline(always)]
    pub(crate) fn record<T>(&self, whom: Whom<'_>, f: impl FnOnce(&Arc<Record>) -> T) -> Option<T> {
        match whom {
            Whom::Id(id) => self.find_id(id, f),
            Whom::Text(text) => {
                let mut f = Some(f);
                let found = self.find_name(text, |record| f.take().map(|f| f(record))).flatten();
                match (found, f) {
                    (None, Some(f)) => self.record_by_text(text, f),
                    (found, _) => found,
                }
            }
        }
    }

    #[cold]
    fn record_by_text<T>(&self, text: &str, f: impl FnOnce(&Arc<Record>) -> T) -> Option<T> {
        self.find_id(Uuid::try_parse(text).ok()?, f)
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn explain<R>(&self, whom: Whom<'_>, missing: Missing) -> LookupError {
        let text = match whom {
            Whom::Text(text) => text.to_owned(),
            Whom::Id(id) => id.to_string(),
        };
        match missing {
            Missing::OtherType(found) => {
                LookupError::WrongType { whom: text, expected: type_name::<R>(), found }
            }
            Missing::Closing | Missing::Nobody => match self.last_ending(whom, missing) {
                Some(ending) => LookupError::Closed { whom: text, ending },
                None => LookupError::NotFound(Box::new(self.not_found(text))),
            },
        }
    }

    /// How the mailbox ended that has, or last had, this name or id.
    fn last_ending(&self, whom: Whom<'_>, missing: Missing) -> Option<Ending> {
        if let Missing::Closing = missing {
            let closed = self.record(whom, |record| {
                let reason = record.mailbox.why_closed().unwrap_or(restante_core::ExitReason::Normal);
                Ending::new(crate::ending::Outcome::Closed, reason)
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
        // (Of one that was taken out, or came for nobody, the mailbox may live on.)
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
            // (What does not look like it at all helps nobody.)
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
