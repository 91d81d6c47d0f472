//! Secondary keys: further ways to one entry, such as the conversation that it serves.

use crate::name_text::NameText;
use std::fmt;

/// A key of some kind, such as `conversation` = `42`. Unique within its kind and registry.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecondaryKey {
    /// What sort of key it is.
    pub kind: &'static str,
    /// The key.
    pub key: std::sync::Arc<str>,
}

impl SecondaryKey {
    /// A key of this kind.
    pub fn new(kind: &'static str, key: impl Into<std::sync::Arc<str>>) -> Self {
        Self { kind, key: key.into() }
    }
}

/// The same, borrowed: what a look-up has.
#[derive(Hash)]
pub(crate) struct KeyRef<'a> {
    pub(crate) kind: &'a str,
    pub(crate) key: &'a str,
}

impl scc::Equivalent<SecondaryKey> for KeyRef<'_> {
    fn equivalent(&self, key: &SecondaryKey) -> bool {
        self.key == &*key.key && self.kind == key.kind
    }
}

impl fmt::Display for SecondaryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

impl fmt::Debug for SecondaryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}", self.kind, self.key)
    }
}

/// The holder of a name or a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// The mailbox of this id.
    Mailbox(uuid::Uuid),
    /// A creation that is under way.
    Creation,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Mailbox(id) => write!(f, "the mailbox {id}"),
            Holder::Creation => f.write_str("a creation that is under way"),
        }
    }
}

/// What cannot be had twice: a name, or a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Label {
    Name(NameText),
    Key(SecondaryKey),
}

/// Those of one command: mostly one.
pub(crate) type FewLabels = smallvec::SmallVec<[Label; 1]>;
