//! Who can be in a group: a mailbox that takes messages of the group's type, by whatever refers to it.

use restante_core::addressable::{Lent, OnClose};
use restante_core::{Address, Addressable, ExitReason, SendError, SendOptions};
use restante_genserver::{GenServer, ServerRef};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};
use uuid::Uuid;

/// A mailbox as the member of a group, or as the subscriber of a topic.
///
/// Its identity is the mailbox's id: two members of one mailbox are equal, however they were made. Cheap to clone. It does
/// **not** keep the mailbox open: when the last address or server reference goes, the mailbox closes, and its memberships
/// are over.
///
/// ```
/// use restante_core::Mailbox;
/// use restante_registry::Member;
/// let mailbox = Mailbox::<u32>::new();
/// let member = Member::address(&mailbox.address());
/// member.try_send(7).expect("it has room");
/// assert_eq!(member.id(), mailbox.id());
/// drop(mailbox);
/// assert!(member.is_closed(), "the last reference has gone");
/// ```
pub struct Member<T> {
    id: Uuid,
    takes: Arc<dyn Takes<T>>,
}

/// What a member needs of whatever it was made of.
trait Takes<T>: Send + Sync {
    fn take(&self, message: T, options: SendOptions) -> Result<(), SendError<T>>;
    fn has_closed(&self) -> bool;
    fn why_closed(&self) -> Option<ExitReason>;
    fn label(&self) -> String;
    fn tell_first(&self, whom: Weak<dyn OnClose>) -> bool;
    fn tell_no_more(&self, whom: &Weak<dyn OnClose>) -> bool;
}

struct Way<R: Addressable, F> {
    reference: Lent<R>,
    deliver: F,
}

impl<T, R, F> Takes<T> for Way<R, F>
where
    R: Addressable,
    F: Fn(&R, T, SendOptions) -> Result<(), SendError<T>> + Send + Sync + 'static,
{
    fn take(&self, message: T, options: SendOptions) -> Result<(), SendError<T>> {
        (self.deliver)(&self.reference, message, options)
    }
    fn has_closed(&self) -> bool {
        self.reference.has_closed()
    }
    fn why_closed(&self) -> Option<ExitReason> {
        self.reference.why_closed()
    }
    fn label(&self) -> String {
        self.reference.label()
    }
    fn tell_first(&self, whom: Weak<dyn OnClose>) -> bool {
        self.reference.tell_first(whom)
    }
    fn tell_no_more(&self, whom: &Weak<dyn OnClose>) -> bool {
        self.reference.tell_no_more(whom)
    }
}

impl<T: Send + 'static> Member<T> {
    /// The mailbox behind an address.
    pub fn address(address: &Address<T>) -> Self {
        Self::new(address, Address::try_send_with)
    }

    /// A server that takes the group's messages as casts.
    pub fn casts<S: GenServer<Cast = T>>(server: &ServerRef<S>) -> Self {
        Self::new(server, ServerRef::cast_with)
    }

    /// A server that takes the group's messages as infos.
    pub fn infos<S: GenServer<Info = T>>(server: &ServerRef<S>) -> Self {
        Self::new(server, ServerRef::info_with)
    }

    /// Whatever refers to a mailbox, with a way to deliver the group's messages to it: for those whose own messages are of
    /// another type. `deliver` must not wait, and must not keep a counted reference to the mailbox.
    ///
    /// ```
    /// use restante_core::{Mailbox, SendError};
    /// use restante_registry::Member;
    /// enum Desk { News(String), Close }
    /// let mailbox = Mailbox::<Desk>::new();
    /// let member = Member::new(&mailbox.address(), |desk, news: String, options| {
    ///     desk.try_send_with(Desk::News(news), options).map_err(|refused| {
    ///         refused.map(|back| match back {
    ///             Desk::News(news) => news,
    ///             Desk::Close => unreachable!("a refusal gives back what went in"),
    ///         })
    ///     })
    /// });
    /// member.try_send("rain".to_owned()).expect("it has room");
    /// ```
    pub fn new<R: Addressable>(
        reference: &R,
        deliver: impl Fn(&R, T, SendOptions) -> Result<(), SendError<T>> + Send + Sync + 'static,
    ) -> Self {
        let way = Way { reference: Lent::new(reference), deliver };
        Self { id: reference.mailbox_id(), takes: Arc::new(way) }
    }

    /// Sends without waiting.
    ///
    /// # Errors
    /// [`SendError`] with the message: `Full`, `Closed`, and what the mailbox's settings add.
    pub fn try_send(&self, message: T) -> Result<(), SendError<T>> {
        self.takes.take(message, SendOptions::new())
    }

    /// Sends without waiting, with options.
    ///
    /// # Errors
    /// As [`Member::try_send`].
    pub fn try_send_with(&self, message: T, options: SendOptions) -> Result<(), SendError<T>> {
        self.takes.take(message, options)
    }
}

impl<T> Member<T> {
    /// The mailbox's id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Whether the mailbox takes nothing any more.
    pub fn is_closed(&self) -> bool {
        self.takes.has_closed()
    }

    /// Why it closed; `None` while it is open.
    pub fn closed_reason(&self) -> Option<ExitReason> {
        self.takes.why_closed()
    }

    pub(super) fn tell_first(&self, whom: Weak<dyn OnClose>) -> bool {
        self.takes.tell_first(whom)
    }

    pub(super) fn tell_no_more(&self, whom: &Weak<dyn OnClose>) -> bool {
        self.takes.tell_no_more(whom)
    }
}

impl<T> Clone for Member<T> {
    fn clone(&self) -> Self {
        Self { id: self.id, takes: Arc::clone(&self.takes) }
    }
}

impl<T> PartialEq for Member<T> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<T> Eq for Member<T> {}

impl<T> Hash for Member<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl<T> fmt::Debug for Member<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Member({})", self.takes.label())
    }
}
