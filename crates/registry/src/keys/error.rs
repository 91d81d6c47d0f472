//! What can be refused.

use uuid::Uuid;

/// Why a registration was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Keys are unique, and this one is held: by whom. (It may be who asks.)
    #[error("the key is held by mailbox {holder}")]
    KeyTaken {
        /// The id of the holder's mailbox.
        holder: Uuid,
    },
    /// The mailbox that was to hold it has closed.
    #[error("the mailbox that was to hold the key has closed")]
    HolderClosed,
}

impl KeyError {
    /// Whether the mailbox that was to hold the key is gone, for ever ([`HolderClosed`](Self::HolderClosed)).
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::HolderClosed)
    }
}

/// There is no such registration, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such registration, or no longer")]
pub struct NotRegistered;

impl NotRegistered {
    /// Whether what was addressed is gone. Always: there is no such registration, or no longer.
    pub fn is_gone(&self) -> bool {
        true
    }
}

/// Why there is no metadata to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetaError {
    /// Nothing has been put under this name.
    #[error("there is no metadata of this name")]
    Absent,
    /// What was put under this name is of another type.
    #[error("the metadata is a {stored}")]
    WrongType {
        /// Its type's name.
        stored: &'static str,
    },
}

impl MetaError {
    /// Whether what was asked for is gone: there is no metadata of this name, or no longer ([`Absent`](Self::Absent)).
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Absent)
    }
}
