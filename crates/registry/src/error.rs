//! Why a registry refused.

use crate::admission::Overloaded;
use crate::name_text::{InvalidName, NameText};
use crate::secondary::{Holder, SecondaryKey};
use restante_core::{ExitReason, SettingsError};
use restante_genserver::{CallError, cycle};
use std::time::Duration;
use uuid::Uuid;

/// Why a mailbox was not put under a name. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// No mailbox of this id is in the registry, or it has closed.
    #[error("there is no mailbox {0} in the registry")]
    MailboxDoesNotExist(Uuid),
    /// Another mailbox has the name, or a creation that is under way.
    #[error("the name {name:?} is held by {holder}")]
    NameAlreadyExists {
        /// Which name.
        name: NameText,
        /// Who has it.
        holder: Holder,
    },
    /// Another mailbox has the secondary key, or a creation that is under way.
    #[error("the key {key:?} is held by {holder}")]
    KeyAlreadyExists {
        /// Which key.
        key: SecondaryKey,
        /// Who has it.
        holder: Holder,
    },
    /// The text is no name.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// The settings make no mailbox.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Too much is under way: later, as it says.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The registry's actor did not answer in time. Should it come to it yet, it is undone.
    #[error("the registry did not answer within {0:?}")]
    Timeout(Duration),
    /// The registry has ended, or its runtime has.
    #[error("the registry has ended: {0}")]
    Ended(ExitReason),
    /// The registry's actor died with the command in hand; it has been restarted. Nothing has changed.
    #[error("the registry's actor died over the command: {0}")]
    ActorDied(ExitReason),
    /// The registry's actor did not answer, though it has not ended. Should it come to it yet, it is undone.
    #[error("the registry did not answer")]
    Unanswered(#[source] CallError),
    /// A blocking call inside an async runtime would block its worker.
    #[error("a blocking call inside an async runtime would block its worker")]
    WouldBlock,
    /// A handler would wait for the registry's actor, which (through others) waits for it.
    #[error("the wait for the registry would close a ring of waiting servers: {0}")]
    Cycle(cycle::Path),
}

impl RegisterError {
    /// Whether what was addressed is gone: the mailbox that was to be named ([`MailboxDoesNotExist`](Self::MailboxDoesNotExist)),
    /// the registry ([`Ended`](Self::Ended)), or its actor with the command in hand ([`ActorDied`](Self::ActorDied), and what
    /// [`Unanswered`](Self::Unanswered) says; another actor may serve the next command).
    pub fn is_gone(&self) -> bool {
        match self {
            Self::MailboxDoesNotExist(_) | Self::Ended(_) | Self::ActorDied(_) => true,
            Self::Unanswered(error) => error.is_gone(),
            _ => false,
        }
    }

    /// Who has what was asked for, where another has it.
    pub(crate) fn holder(&self) -> Option<Holder> {
        match self {
            Self::NameAlreadyExists { holder, .. } | Self::KeyAlreadyExists { holder, .. } => Some(*holder),
            _ => None,
        }
    }
}

/// Why nothing was created. Whatever name was held for it is free, and its place is.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError<E> {
    /// The registry refused: too much is under way, the name is taken, it has ended.
    #[error(transparent)]
    Refused(#[from] RegisterError),
    /// The creation answered with an error.
    #[error("the creation failed")]
    Failed(#[source] E),
    /// The creation panicked.
    #[error("the creation panicked: {0}")]
    Panicked(ExitReason),
    /// The creation was not done in time; it was dropped.
    #[error("the creation was not done within {0:?}")]
    Timeout(Duration),
    /// What was created had closed before it could be registered.
    #[error("what was created has closed: {0}")]
    Closed(ExitReason),
    /// The creation was dropped before it was done: the registry has ended, or the runtime that it ran in.
    #[error("the creation was given up: its registry or its runtime has ended")]
    GivenUp,
}

impl<E> CreateError<E> {
    /// Whether what the creation was for is gone: what it made ([`Closed`](Self::Closed)), the registry or the runtime
    /// ([`GivenUp`](Self::GivenUp)), or what [`RegisterError::is_gone`] says of a refusal. What the creation itself failed
    /// with is not asked.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Closed(_) | Self::GivenUp => true,
            Self::Refused(error) => error.is_gone(),
            Self::Failed(_) | Self::Panicked(_) | Self::Timeout(_) => false,
        }
    }

    /// The refusal to be tried again later, if it is one.
    pub fn overloaded(&self) -> Option<&Overloaded> {
        match self {
            CreateError::Refused(RegisterError::Overloaded(overloaded)) => Some(overloaded),
            _ => None,
        }
    }
}
