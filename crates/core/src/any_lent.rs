//! A lent reference of any type in a word, so that a registry's index holds it in the slot of its name: a look-up reads no
//! other memory than the index.
//!
//! One of the crate's rooms with `unsafe`. (Without, the slot would lead to a trait object, and a look-up to one cache line
//! more.)

use crate::addressable::{Addressable, Lent};
use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{MaybeUninit, align_of, size_of};

/// A [`Lent`] whose type is erased, in two words: itself where it fits into one (as those of addresses and servers do), else
/// on the heap. Cloning it clones the memory's count.
///
/// INVARIANT (any lent): `word` holds, as `Erased::put` has left it, the `Lent<R>` whose `R` the table is of; it is dropped
/// once, with this. What lies there is `Send` and `Sync`, as every [`Addressable`] is, and so is this.
pub struct AnyLent {
    table: &'static Table,
    word: Word,
}

/// Storage for a [`Lent`] or a pointer to one. Its bytes are moved as they are and never read as a number.
type Word = MaybeUninit<usize>;

/// What can be done with a word without knowing what is in it.
struct Table {
    type_of: fn() -> TypeId,
    clone: unsafe fn(&Word) -> AnyLent,
    drop: unsafe fn(&mut Word),
}

/// What knows.
struct Erased<R>(PhantomData<R>);

#[expect(unsafe_code, reason = "invariant (any lent)")]
impl<R: Addressable> Erased<R> {
    const FITS: bool =
        size_of::<Lent<R>>() <= size_of::<Word>() && align_of::<Lent<R>>() <= align_of::<Word>();
    const TABLE: &'static Table =
        &Table { type_of: TypeId::of::<R>, clone: Self::clone_in, drop: Self::drop_in };

    fn put(lent: Lent<R>) -> Word {
        let mut word = Word::uninit();
        if Self::FITS {
            // SAFETY: it fits, by size and alignment.
            unsafe { word.as_mut_ptr().cast::<Lent<R>>().write(lent) };
        } else {
            // SAFETY: a thin pointer fits.
            unsafe { word.as_mut_ptr().cast::<Box<Lent<R>>>().write(Box::new(lent)) };
        }
        word
    }

    /// # Safety
    /// The word is one of `put`'s.
    #[inline(always)]
    unsafe fn get(word: &Word) -> &Lent<R> {
        if Self::FITS {
            // SAFETY: `put` has written one there.
            unsafe { &*word.as_ptr().cast::<Lent<R>>() }
        } else {
            // SAFETY: `put` has written a box there.
            unsafe { &*word.as_ptr().cast::<Box<Lent<R>>>() }
        }
    }

    /// # Safety
    /// As for `get`.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "a copy of the word would be an owner more")]
    unsafe fn clone_in(word: &Word) -> AnyLent {
        // SAFETY: the caller's.
        AnyLent::new::<R>(unsafe { Self::get(word) })
    }

    /// # Safety
    /// As for `get`, and the word is not used again.
    unsafe fn drop_in(word: &mut Word) {
        if Self::FITS {
            // SAFETY: as in `get`; not used again, says the caller.
            unsafe { word.as_mut_ptr().cast::<Lent<R>>().drop_in_place() };
        } else {
            // SAFETY: likewise.
            unsafe { word.as_mut_ptr().cast::<Box<Lent<R>>>().drop_in_place() };
        }
    }
}

#[expect(unsafe_code, reason = "invariant (any lent)")]
impl AnyLent {
    /// Lends this mailbox.
    pub fn new<R: Addressable>(of: &R) -> Self {
        Self { table: Erased::<R>::TABLE, word: Erased::<R>::put(Lent::new(of)) }
    }

    /// The reference; `None`: it is of another type.
    #[inline(always)]
    pub fn get<R: Addressable>(&self) -> Option<&R> {
        // The table is mostly this very one. The type decides, because a type may have several tables.
        if !std::ptr::eq(self.table, Erased::<R>::TABLE) && (self.table.type_of)() != TypeId::of::<R>() {
            return None;
        }
        // SAFETY: the table is of this type, so the word is.
        Some(unsafe { Erased::<R>::get(&self.word) })
    }
}

#[expect(unsafe_code, reason = "invariant (any lent)")]
impl Clone for AnyLent {
    fn clone(&self) -> Self {
        // SAFETY: table and word go together.
        unsafe { (self.table.clone)(&self.word) }
    }
}

#[expect(unsafe_code, reason = "invariant (any lent)")]
impl Drop for AnyLent {
    fn drop(&mut self) {
        // SAFETY: table and word go together; this is its end.
        unsafe { (self.table.drop)(&mut self.word) }
    }
}

impl fmt::Debug for AnyLent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyLent")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::cell::{MailCell, Parked};
    use crate::{Address, ExitReason, Mailbox};
    use std::sync::{Arc, Weak};
    use uuid::Uuid;

    /// An address that does not fit into a word.
    #[derive(Clone, Debug)]
    struct Wide(Address<u8>, Arc<()>);

    impl Addressable for Wide {
        fn mailbox_id(&self) -> Uuid {
            self.0.mailbox_id()
        }
        fn has_closed(&self) -> bool {
            self.0.has_closed()
        }
        fn why_closed(&self) -> Option<ExitReason> {
            self.0.why_closed()
        }
        fn close_mailbox(&self, reason: ExitReason) -> bool {
            self.0.close_mailbox(reason)
        }
        fn label(&self) -> String {
            self.0.label()
        }
        fn counted(&self) -> Option<Self> {
            Some(Self(self.0.counted()?, Arc::clone(&self.1)))
        }
        fn uncounted(&self) -> Self {
            Self(self.0.uncounted(), Arc::clone(&self.1))
        }
        fn drop_uncounted(self) {
            self.0.drop_uncounted();
        }
        fn tell_first(&self, whom: Weak<dyn crate::addressable::OnClose>) -> bool {
            self.0.tell_first(whom)
        }
        fn tell_no_more_at(&self, whom: usize) -> bool {
            self.0.tell_no_more_at(whom)
        }
    }

    /// A mailbox whose memory can be told from outside.
    fn mailbox() -> (Mailbox<u8>, Weak<MailCell<u8, Parked>>) {
        let mailbox = Mailbox::new();
        let memory = Arc::downgrade(mailbox.address().handle.cell());
        (mailbox, memory)
    }

    #[test]
    fn it_is_of_one_type_and_keeps_memory_not_life() {
        let (mailbox, memory) = mailbox();
        let at = mailbox.address();
        let lent = AnyLent::new(&at);
        let again = lent.clone();
        assert!(lent.get::<Address<u16>>().is_none() && lent.get::<Wide>().is_none());
        assert_eq!(lent.get::<Address<u8>>().unwrap().id(), at.id());
        drop((at, mailbox));
        assert!(lent.get::<Address<u8>>().unwrap().is_closed());
        drop(lent);
        assert!(again.get::<Address<u8>>().unwrap().is_closed() && memory.strong_count() == 1);
        drop(again);
        assert_eq!(memory.strong_count(), 0);
    }

    #[test]
    fn what_does_not_fit_lies_elsewhere() {
        let (mailbox, memory) = mailbox();
        let count = Arc::new(());
        let wide = Wide(mailbox.address(), Arc::clone(&count));
        let lent = AnyLent::new(&wide);
        let again = lent.clone();
        assert!(lent.get::<Address<u8>>().is_none());
        assert_eq!(lent.get::<Wide>().unwrap().0.id(), mailbox.id());
        assert_eq!(Arc::strong_count(&count), 4);
        drop((wide, lent, mailbox));
        assert!(again.get::<Wide>().unwrap().0.is_closed());
        drop(again);
        assert_eq!((Arc::strong_count(&count), memory.strong_count()), (1, 0));
    }

    #[test]
    fn it_is_two_words() {
        assert_eq!(size_of::<AnyLent>(), 2 * size_of::<usize>());
        const { assert!(Erased::<Address<String>>::FITS && !Erased::<Wide>::FITS) };
    }
}
