//! Looking up: by name, by id, by a string that may be either; in place, or for keeps.
//!
//! A look-up takes no lock and asks no actor. What it finds is lent to a synchronous closure, which costs no count, or cloned.
//! Why it found nothing is asked next door ([`crate::not_found`]).

use crate::books::Books;
use crate::change::Sizes;
use crate::ending::Ending;
use crate::name_text::NameText;
use crate::not_found::NotFound;
use crate::record::Record;
use crate::registry::Registry;
use restante_core::Addressable;
use std::sync::Arc;
use uuid::Uuid;

/// What is looked for: a name, an id, or a string that is tried as the one, then as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom<'a> {
    /// A name, or, where no mailbox has it, the text of an id.
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

/// Why nothing was found.
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

impl LookupError {
    /// Whether whom it was for is gone: the name or id is not known, or its mailbox has closed. Another may have the name
    /// later.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::Closed { .. })
    }
}

impl Registry {
    /// The mailbox of this name or id, for keeps: a reference like any other, which keeps the mailbox open. Never one that is
    /// closed.
    ///
    /// # Errors
    /// [`LookupError`]. Finding out why takes short locks and compares names: [`Registry::find`] does not.
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
    /// [`LookupError`]; the closure has not run then. Finding out why takes short locks and compares names:
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

    /// Here, and where nothing is found here, in what this is nested in.
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

    /// By id; where no entry here has it, what was looked for is looked for above.
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

    /// By a text that is no name here.
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

    /// How large it is: of one instant each, mailboxes and names by themselves.
    pub fn sizes(&self) -> Sizes {
        self.0.books.sizes()
    }
}

/// What was not there.
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
}
