//! One of a group: in turn, or by chance.

use super::member::Member;
use super::member_list::MemberList;
use super::scope::{GroupName, Groups};
use restante_core::SendError;
use scc::Guard;
use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use uuid::Uuid;

/// Which member is next. May be shared between threads.
#[derive(Debug)]
pub struct Picker(Kind);

#[derive(Debug)]
enum Kind {
    InTurn(AtomicUsize),
    ByChance(AtomicU64),
}

impl Picker {
    /// One after the other. While members come and go a turn may be skipped or come twice.
    pub fn round_robin() -> Self {
        Self(Kind::InTurn(AtomicUsize::new(0)))
    }

    /// By chance, each as likely as any other.
    pub fn random() -> Self {
        Self::seeded(fastrand::u64(..))
    }

    /// By chance, the same with the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Kind::ByChance(AtomicU64::new(seed)))
    }

    /// The next of so many.
    fn next(&self, of: usize) -> usize {
        match &self.0 {
            Kind::InTurn(turn) => turn.fetch_add(1, Relaxed) % of,
            Kind::ByChance(seed) => {
                // One generator for each draw: the seeds are a sequence of their own, so that threads need no lock.
                fastrand::Rng::with_seed(seed.fetch_add(1, Relaxed)).usize(..of)
            }
        }
    }
}

/// No member of the group took the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupSendError<T> {
    /// The group has no members, or only members whose mailboxes have closed, which leave at that moment.
    #[error("the group has no members")]
    NoMembers(T),
    /// All of its members refused it.
    #[error("all {tried} members of the group refused the message, the last one because {last}")]
    Refused {
        /// How many there are whose mailboxes are open.
        tried: usize,
        /// What the last one of them said, with the message.
        last: SendError<T>,
    },
}

impl<T> GroupSendError<T> {
    /// Whether the group is gone: it has no member whose mailbox is open ([`NoMembers`](Self::NoMembers)). One may join.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::NoMembers(_))
    }

    /// The message.
    pub fn into_message(self) -> T {
        match self {
            Self::NoMembers(message) => message,
            Self::Refused { last, .. } => last.into_message(),
        }
    }
}

/// Picking one.
impl<T: Send + 'static, K: GroupName> Groups<T, K> {
    /// One member that is open, in turn: each group remembers whose it is. `None`: there is none.
    pub fn pick<Q>(&self, group: &Q) -> Option<Member<T>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.in_turn(group, None, first_open)?
    }

    /// One member that is open, whom the picker says, else one after it. `None`: there is none.
    pub fn pick_by<Q>(&self, group: &Q, picker: &Picker) -> Option<Member<T>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.in_turn(group, Some(picker), first_open)?
    }

    /// Sends to one member, in turn, without waiting: if it refuses, to the next, until each has been asked once. Whose
    /// mailbox took it.
    ///
    /// # Errors
    /// [`GroupSendError`], with the message.
    ///
    /// # Ordering
    /// None: two messages to one group may go to two members.
    pub fn send<Q>(&self, group: &Q, message: T) -> Result<Uuid, GroupSendError<T>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.offer(group, None, message)
    }

    /// Sends to one member, whom the picker says, else as [`Groups::send`].
    ///
    /// # Errors
    /// As [`Groups::send`].
    pub fn send_by<Q>(&self, group: &Q, picker: &Picker, message: T) -> Result<Uuid, GroupSendError<T>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.offer(group, Some(picker), message)
    }

    fn offer<Q>(&self, group: &Q, picker: Option<&Picker>, message: T) -> Result<Uuid, GroupSendError<T>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        // In a cell that survives the closure, because the closure is not run where there is no group.
        let mut message = Some(message);
        let sent = self.in_turn(group, picker, |members| {
            let (mut tried, mut last) = (0, None);
            for member in members {
                match member.try_send(message.take().expect("a refusal gives it back")) {
                    Ok(()) => return Ok(member.id()),
                    // Its membership ends with its mailbox.
                    Err(SendError::Closed(back)) => message = Some(back),
                    Err(refused) => {
                        tried += 1;
                        last = Some(refused.map(|back| message = Some(back)));
                    }
                }
            }
            Err(last.map(|last| (tried, last)))
        });
        let refused = match sent {
            Some(Ok(id)) => return Ok(id),
            Some(Err(refused)) => refused,
            None => None,
        };
        let message = message.expect("a refusal gives it back");
        Err(match refused {
            Some((tried, last)) => GroupSendError::Refused { tried, last: last.map(|()| message) },
            None => GroupSendError::NoMembers(message),
        })
    }

    /// Lends the members, beginning with whose turn it is; `None`: there are none.
    fn in_turn<Q, R>(
        &self,
        group: &Q,
        picker: Option<&Picker>,
        read: impl FnOnce(&mut dyn Iterator<Item = &Member<T>>) -> R,
    ) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let guard = Guard::new();
        let known = self.scope.table.peek(group, &guard)?;
        known.list.with(|list: &MemberList<T>| {
            let len = list.len();
            if len == 0 {
                return None;
            }
            let first = match picker {
                Some(picker) => picker.next(len),
                None => known.turn.fetch_add(1, Relaxed) % len,
            };
            Some(read(&mut (0..len).filter_map(|n| list.get((first + n) % len))))
        })
    }
}

fn first_open<T>(mut members: &mut dyn Iterator<Item = &Member<T>>) -> Option<Member<T>> {
    Iterator::find(&mut members, |member| !member.is_closed()).cloned()
}
