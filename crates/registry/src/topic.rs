//! Publish and subscribe: groups whose members get all that is published.
//!
//! What deliberately does not live here: a log of what was published (who subscribes later has missed it), and acknowledgement.

use crate::groups::{GroupName, Groups, JoinError, Member, NotJoined, Published};
use restante_core::{SendError, SendOptions};
use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

/// Topics that messages of type `T` are published to. Cheap to clone; two of them know nothing of each other.
///
/// A subscriber is a [`Member`]: its subscriptions do not keep its mailbox open, survive its server's restarts, and are over
/// when the mailbox closes, before monitors hear of it.
///
/// Source: Elixir's `Registry` with duplicate keys, and Phoenix's `PubSub` over `pg`. Differs: a subscriber's mailbox is
/// bounded, and a publisher is told who had no room.
///
/// ```
/// use restante_core::Mailbox;
/// use restante_registry::{Member, Topics};
/// let topics = Topics::<&str>::new();
/// let mailbox = Mailbox::<&str>::new();
/// topics.subscribe("weather", &Member::address(&mailbox.address()))?;
/// let published = topics.publish("weather", "rain");
/// assert_eq!((published.delivered, published.is_complete()), (1, true));
/// assert_eq!(mailbox.receiver().expect("nobody else reads").try_receive(), Ok("rain"));
/// # Ok::<_, restante_registry::JoinError>(())
/// ```
pub struct Topics<T: Clone + Send + 'static, K: GroupName = Arc<str>> {
    groups: Groups<T, K>,
}

impl<T: Clone + Send + 'static, K: GroupName> Topics<T, K> {
    /// No topics yet.
    pub fn new() -> Self {
        Self { groups: Groups::new() }
    }

    /// Subscribes. Who subscribes k times gets everything k times, and has to unsubscribe k times: in `init`, see
    /// [`Topics::subscribe_once`].
    ///
    /// # Errors
    /// [`JoinError::Closed`]: the mailbox is closed.
    pub fn subscribe(&self, topic: impl Into<K>, member: &Member<T>) -> Result<(), JoinError> {
        self.groups.join(topic, member)
    }

    /// Subscribes, unless it is subscribed already: what a server does in its `init`, which each of its incarnations runs.
    ///
    /// # Errors
    /// As [`Topics::subscribe`].
    pub fn subscribe_once(&self, topic: impl Into<K>, member: &Member<T>) -> Result<(), JoinError> {
        self.groups.join_once(topic, member)
    }

    /// Subscribes for as long as the token lives.
    ///
    /// # Errors
    /// As [`Topics::subscribe`].
    pub fn subscription(
        &self,
        topic: impl Into<K>,
        member: &Member<T>,
    ) -> Result<Subscription<T, K>, JoinError> {
        let topic = topic.into();
        self.groups.join(topic.clone(), member)?;
        Ok(Subscription { groups: self.groups.clone(), topic, member: member.clone() })
    }

    /// Unsubscribes once. A message that is being published meanwhile may still come.
    ///
    /// # Errors
    /// [`NotJoined`]: it was not subscribed.
    pub fn unsubscribe<Q>(&self, topic: &Q, member: &Member<T>) -> Result<(), NotJoined>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.groups.leave(topic, member)
    }

    /// Publishes, in the caller, without waiting for anybody. Nothing is dropped silently: who has no room, or has closed, is
    /// in the outcome, with the message.
    ///
    /// # Ordering
    /// What one thread publishes reaches each subscriber in that order. Nothing is promised between publishers, or between
    /// subscribers.
    ///
    /// # Panics
    /// Where a clone of the message does. Some subscribers have got it then.
    pub fn publish<Q>(&self, topic: &Q, message: T) -> Published<T>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.groups.broadcast(topic, message)
    }

    /// Publishes with options. `on_refused` is given each subscriber that did not take it, with its copy, at once: it must not
    /// wait. How many did take it.
    ///
    /// # Ordering
    /// As [`Topics::publish`].
    ///
    /// # Panics
    /// Where a clone of the message or `on_refused` does.
    pub fn publish_with<Q>(
        &self,
        topic: &Q,
        message: T,
        options: SendOptions,
        on_refused: impl FnMut(&Member<T>, SendError<T>),
    ) -> usize
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.groups.broadcast_with(topic, message, options, on_refused)
    }

    /// How many subscriptions a topic has.
    pub fn count<Q>(&self, topic: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.groups.count(topic)
    }

    /// The topics that have subscribers.
    pub fn which_topics(&self) -> HashSet<K> {
        self.groups.which_groups()
    }

    /// The groups behind it: to monitor who subscribes, to look at subscribers, to send to one of them.
    pub fn groups(&self) -> &Groups<T, K> {
        &self.groups
    }
}

impl<T: Clone + Send + 'static, K: GroupName> Clone for Topics<T, K> {
    fn clone(&self) -> Self {
        Self { groups: self.groups.clone() }
    }
}

impl<T: Clone + Send + 'static, K: GroupName> Default for Topics<T, K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone + Send + 'static, K: GroupName> fmt::Debug for Topics<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topics({:?})", self.groups)
    }
}

/// A subscription that is over when this is dropped.
#[must_use = "dropped, it unsubscribes"]
pub struct Subscription<T: Send + 'static, K: GroupName = Arc<str>> {
    groups: Groups<T, K>,
    topic: K,
    member: Member<T>,
}

impl<T: Send + 'static, K: GroupName> Subscription<T, K> {
    /// The topic.
    pub fn topic(&self) -> &K {
        &self.topic
    }
}

impl<T: Send + 'static, K: GroupName> Drop for Subscription<T, K> {
    fn drop(&mut self) {
        // It may be over already: its mailbox has closed, or the subscriber has unsubscribed by hand.
        let _ = self.groups.leave(&self.topic, &self.member);
    }
}

impl<T: Send + 'static, K: GroupName + fmt::Debug> fmt::Debug for Subscription<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({:?}, {:?})", self.topic, self.member)
    }
}
