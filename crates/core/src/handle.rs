//! Handles: what keeps a mailbox open. The last one to go closes it.
//!
//! One `unsafe` block, for registries: a handle that was made without a count gives up its memory without giving one back.

use crate::cell::{MailCell, Parked, Runner};
use crate::later;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Weak};

/// An address in its rawest form: keeps the mailbox open, gives access to the cell. For behaviours, not for users.
pub struct Handle<M: Send + 'static, X: Runner<M> + ?Sized = Parked>(Arc<MailCell<M, X>>);

impl<M: Send + 'static, X: Runner<M> + ?Sized> Handle<M, X> {
    /// The handle that a new cell has counted already.
    #[inline]
    pub fn first(cell: Arc<MailCell<M, X>>) -> Self {
        Self(cell)
    }

    /// The cell.
    #[inline(always)]
    pub fn cell(&self) -> &Arc<MailCell<M, X>> {
        &self.0
    }

    /// A handle that does not keep the mailbox open.
    pub fn downgrade(&self) -> WeakHandle<M, X> {
        WeakHandle(Arc::downgrade(&self.0))
    }

    /// A handle to a cell that is known, whether or not the mailbox is still open.
    pub fn another(cell: &Arc<MailCell<M, X>>) -> Self {
        cell.add_handle();
        Self(Arc::clone(cell))
    }

    /// A handle that does not count, to be read while its owner watches the mailbox. Ends in
    /// [`Handle::drop_uncounted`]: its `Drop` would take another's count.
    pub fn uncounted(cell: &Arc<MailCell<M, X>>) -> Self {
        Self(Arc::clone(cell))
    }

    /// The end of a handle that does not count: the memory's only.
    pub fn drop_uncounted(self) {
        let this = std::mem::ManuallyDrop::new(self);
        #[expect(unsafe_code, reason = "out of a type with a `Drop` nothing can be moved otherwise")]
        // SAFETY: `this` is neither used again nor dropped: the one field moves out once.
        let memory = unsafe { std::ptr::read(&raw const this.0) };
        drop(memory);
    }

    /// A handle to a cell that is known, unless the last one has gone.
    pub fn upgrade(cell: &Arc<MailCell<M, X>>) -> Option<Self> {
        cell.add_handle_if_any().then(|| Self(Arc::clone(cell)))
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> Deref for Handle<M, X> {
    type Target = MailCell<M, X>;
    #[inline(always)]
    fn deref(&self) -> &MailCell<M, X> {
        &self.0
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> Clone for Handle<M, X> {
    #[inline]
    fn clone(&self) -> Self {
        self.0.add_handle();
        Self(Arc::clone(&self.0))
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> Drop for Handle<M, X> {
    #[inline]
    fn drop(&mut self) {
        if self.0.remove_handle() {
            later::in_turn(&self.0, MailCell::close_unreachable);
        }
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> fmt::Debug for Handle<M, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.0.label())
    }
}

/// A handle that does not keep the mailbox open.
pub struct WeakHandle<M: Send + 'static, X: Runner<M> + ?Sized = Parked>(Weak<MailCell<M, X>>);

impl<M: Send + 'static, X: Runner<M> + ?Sized> WeakHandle<M, X> {
    /// A handle, unless the last one has gone.
    pub fn upgrade(&self) -> Option<Handle<M, X>> {
        Handle::upgrade(&self.0.upgrade()?)
    }

    /// The cell, open or not, while its memory is kept by anybody.
    pub fn cell(&self) -> Option<Arc<MailCell<M, X>>> {
        self.0.upgrade()
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> Clone for WeakHandle<M, X> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> fmt::Debug for WeakHandle<M, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakHandle")
    }
}
