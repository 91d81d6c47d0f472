//! A message to all of a group.

use super::member::Member;
use super::scope::{GroupName, Groups};
use restante_core::{SendError, SendOptions};
use std::borrow::Borrow;
use std::hash::Hash;

/// What became of a message to many: how many mailboxes took it, and who did not, each with its copy.
#[derive(Debug)]
#[must_use = "it says who did not get the message"]
#[non_exhaustive]
pub struct Published<T> {
    /// How many mailboxes took it.
    pub delivered: usize,
    /// Who did not.
    pub refused: Vec<Refused<T>>,
}

/// A member that did not take a message.
#[derive(Debug)]
#[non_exhaustive]
pub struct Refused<T> {
    /// Who.
    pub member: Member<T>,
    /// Why, with the message.
    pub error: SendError<T>,
}

impl<T> Published<T> {
    /// Whether everybody took it.
    pub fn is_complete(&self) -> bool {
        self.refused.is_empty()
    }

    /// How many had no room.
    pub fn full(&self) -> usize {
        self.refused.iter().filter(|refused| matches!(refused.error, SendError::Full(_))).count()
    }
}

/// Sending to all.
impl<T: Clone + Send + 'static, K: GroupName> Groups<T, K> {
    /// Sends to all members of a group, in the caller, without waiting for anybody. The members are those of one instant; who
    /// joined k times gets it k times. Nothing is dropped silently: who has no room, or has closed, is in the outcome, with
    /// the message.
    ///
    /// # Ordering
    /// What one thread sends reaches each member in that order. Nothing is promised between senders, or between members.
    ///
    /// # Panics
    /// Where a clone of the message does. Some members have got it then.
    pub fn broadcast<Q>(&self, group: &Q, message: T) -> Published<T>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut refused = Vec::new();
        let delivered = self.broadcast_with(group, message, SendOptions::new(), |member, error| {
            refused.push(Refused { member: member.clone(), error });
        });
        Published { delivered, refused }
    }

    /// Sends to all members of a group with options. `on_refused` is given each member that did not take it, with its copy, at
    /// once: it must not wait. How many did take it.
    ///
    /// # Ordering
    /// As [`Groups::broadcast`].
    ///
    /// # Panics
    /// Where a clone of the message or `on_refused` does.
    pub fn broadcast_with<Q>(
        &self,
        group: &Q,
        message: T,
        options: SendOptions,
        mut on_refused: impl FnMut(&Member<T>, SendError<T>),
    ) -> usize
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.with_members(group, |members| {
            let mut delivered = 0;
            let mut send = |member: &Member<T>, message| match member.try_send_with(message, options) {
                Ok(()) => delivered += 1,
                Err(error) => on_refused(member, error),
            };
            let Some(last) = members.len().checked_sub(1) else { return 0 };
            members.iter().take(last).for_each(|member| send(member, message.clone()));
            // The last member gets the original.
            members
                .iter()
                .skip(last)
                .take(1)
                .zip([message])
                .for_each(|(member, message)| send(member, message));
            delivered
        })
    }
}
