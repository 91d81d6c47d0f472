//! The holder of a registration, its type erased: a mailbox, remembered and not kept open.

use restante_core::ExitReason;
use restante_core::addressable::{Addressable, Lent, OnClose};
use std::any::Any;
use std::sync::{Arc, Weak};
use uuid::Uuid;

/// A mailbox, lent. It is the registration's memory of who holds it: it counts for nothing.
pub(super) trait Held: Any + Send + Sync {
    fn id(&self) -> Uuid;
    fn has_closed(&self) -> bool;
    fn why_closed(&self) -> Option<ExitReason>;
    fn tell_first(&self, whom: Weak<dyn OnClose>) -> bool;
    fn tell_no_more(&self, whom: &Weak<dyn OnClose>);
}

impl<R: Addressable> Held for Lent<R> {
    fn id(&self) -> Uuid {
        self.mailbox_id()
    }
    fn has_closed(&self) -> bool {
        Addressable::has_closed(&**self)
    }
    fn why_closed(&self) -> Option<ExitReason> {
        Addressable::why_closed(&**self)
    }
    fn tell_first(&self, whom: Weak<dyn OnClose>) -> bool {
        Addressable::tell_first(&**self, whom)
    }
    fn tell_no_more(&self, whom: &Weak<dyn OnClose>) {
        Addressable::tell_no_more(&**self, whom);
    }
}

/// Lends it.
pub(super) fn held(holder: &impl Addressable) -> Arc<dyn Held> {
    Arc::new(Lent::new(holder))
}

/// What was lent, by its own type; `None` when it was lent as another.
pub(super) fn lent<R: Addressable>(held: &dyn Held) -> Option<&R> {
    let any: &dyn Any = held;
    any.downcast_ref::<Lent<R>>().map(|lent| &**lent)
}
