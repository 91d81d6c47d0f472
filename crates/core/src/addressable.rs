//! What can be put under a name: a reference to one mailbox, independently of its reader.
//!
//! The ground for registries. A registry holds the memory of a mailbox and not its life: what it lends is an uncounted
//! reference ([`Lent`]), which costs a reader no count, and it is told of a closing before anybody else is ([`OnClose`]),
//! so that a name is free again by the time a monitor fires.
//!
//! What deliberately does not live here: names.

use crate::exit::ExitReason;
pub use crate::on_close::OnClose;
use crate::quiet;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Weak;
use uuid::Uuid;

/// Whatever refers to one mailbox: an [`Address`](crate::Address), a server's reference.
///
/// Not meant to be implemented by users; its methods are for registries and may change in any release. (What a user wants
/// of them, the references have as their own.)
pub trait Addressable: Clone + fmt::Debug + Send + Sync + 'static {
    /// The mailbox's id.
    #[doc(hidden)]
    fn mailbox_id(&self) -> Uuid;

    /// Whether the mailbox takes nothing any more.
    #[doc(hidden)]
    fn has_closed(&self) -> bool;

    /// Why it closed; `None` while it is open.
    #[doc(hidden)]
    fn why_closed(&self) -> Option<ExitReason>;

    /// Closes the mailbox; false when it was closed already.
    #[doc(hidden)]
    fn close_mailbox(&self, reason: ExitReason) -> bool;

    /// The name that it was given for people, else a type's.
    #[doc(hidden)]
    fn label(&self) -> String;

    /// A reference that counts, unless the last one has gone.
    #[doc(hidden)]
    fn counted(&self) -> Option<Self>;

    /// A reference that does not count. It must end in [`Addressable::drop_uncounted`], and in no `Drop`: [`Lent`] sees
    /// to that.
    #[doc(hidden)]
    #[must_use]
    fn uncounted(&self) -> Self;

    /// Drops a reference without giving back a count: the memory's only.
    #[doc(hidden)]
    fn drop_uncounted(self);

    /// Registers `whom` to be told of the closing before everyone else. False when the mailbox is closed already: `whom` is
    /// not told.
    #[doc(hidden)]
    fn tell_first(&self, whom: Weak<dyn OnClose>) -> bool;

    /// Takes that registration back; false when there was none.
    #[doc(hidden)]
    fn tell_no_more(&self, whom: &Weak<dyn OnClose>) -> bool {
        self.tell_no_more_at(whom.as_ptr().cast::<()>().addr())
    }

    /// Like [`Addressable::tell_no_more`], by the address of the registered value.
    #[doc(hidden)]
    fn tell_no_more_at(&self, whom: usize) -> bool;

    /// Whether the code that runs on this stack is that of the mailbox's own server.
    #[doc(hidden)]
    fn is_served_here(&self) -> bool {
        false
    }

    /// The creation that made this mailbox was not taken. If a supervisor keeps the mailbox served since `since` or later (a
    /// number that servers' keepers give), the supervisor ends the server for good. The end is ordered at once; the returned
    /// future waits for it. `None`: there is nothing to end.
    #[doc(hidden)]
    fn give_up(&self, since: u64) -> Option<GivenUp> {
        let _ = since;
        None
    }
}

/// Waits until what was given up has ended. Dropped, it stops the waiting, not the end.
#[doc(hidden)]
pub type GivenUp = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A reference that does not keep its mailbox open, and is read without a count: for a registry's entries.
///
/// What is cloned out of it counts again. Should the mailbox close meanwhile, the clone is one to a closed mailbox.
pub struct Lent<R: Addressable>(Option<R>);

impl<R: Addressable> Lent<R> {
    /// Lends this mailbox.
    pub fn new(of: &R) -> Self {
        Self(Some(of.uncounted()))
    }
}

impl<R: Addressable> Deref for Lent<R> {
    type Target = R;
    #[inline(always)]
    fn deref(&self) -> &R {
        self.0.as_ref().expect("it is taken out in its drop only")
    }
}

impl<R: Addressable> Drop for Lent<R> {
    fn drop(&mut self) {
        if let Some(reference) = self.0.take() {
            // This may be the last memory of a mailbox, whose settings may hold closures of the user's.
            quiet::discard("a mailbox", Memory(Some(reference)));
        }
    }
}

struct Memory<R: Addressable>(Option<R>);

impl<R: Addressable> Drop for Memory<R> {
    fn drop(&mut self) {
        if let Some(reference) = self.0.take() {
            reference.drop_uncounted();
        }
    }
}

impl<R: Addressable> fmt::Debug for Lent<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lent({:?})", self.0)
    }
}
