//! The list of a group's members: what readers look at never changes under them, and the next version shares all but one or
//! two pieces with it.
//!
//! All pieces but the last are full, so that the n-th member is found at once. Who leaves is replaced by the last: the order
//! is not promised.

use super::member::Member;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// How many members a piece holds. A change copies two pieces at most, and one pointer for each piece there is.
const PIECE: usize = 64;

/// A list of members. A member that joined several times is there several times.
pub(super) struct MemberList<T> {
    pieces: Vec<Arc<Vec<Member<T>>>>,
    len: usize,
}

impl<T> MemberList<T> {
    pub(super) fn new() -> Self {
        Self { pieces: Vec::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, at: usize) -> Option<&Member<T>> {
        self.pieces.get(at / PIECE)?.get(at % PIECE)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member<T>> {
        self.pieces.iter().flat_map(|piece| piece.iter())
    }

    /// Adds one; where.
    pub(super) fn push(&mut self, member: Member<T>) -> usize {
        match self.pieces.last_mut() {
            Some(last) if last.len() < PIECE => Arc::make_mut(last).push(member),
            _ => self.pieces.push(Arc::new(vec![member])),
        }
        self.len += 1;
        self.len - 1
    }

    /// Takes the one out that is at `at`; the last takes its place: which, unless it was that one.
    pub(super) fn take(&mut self, at: usize) -> (Member<T>, Option<Uuid>) {
        let piece = self.pieces.last_mut().expect("somebody is at `at`, so there is a last one");
        let last = Arc::make_mut(piece).pop().expect("no piece is empty");
        if piece.is_empty() {
            self.pieces.pop();
        }
        self.len -= 1;
        if at == self.len {
            return (last, None);
        }
        let moved = last.id();
        let place = &mut Arc::make_mut(&mut self.pieces[at / PIECE])[at % PIECE];
        (std::mem::replace(place, last), Some(moved))
    }
}

impl<T> Clone for MemberList<T> {
    fn clone(&self) -> Self {
        Self { pieces: self.pieces.clone(), len: self.len }
    }
}

impl<T> fmt::Debug for MemberList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The members of a group at one instant, lent by [`Groups::with_members`](crate::Groups::with_members) or by a
/// [`ScopeSnapshot`](crate::ScopeSnapshot). A member that joined
/// several times is there several times; in no particular order.
pub struct Members<'a, T>(
    /// `None`: there is no such group.
    pub(super) Option<&'a MemberList<T>>,
);

impl<'a, T> Members<'a, T> {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.map_or(0, MemberList::len)
    }

    /// Whether there are no members: then the group does not exist.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them.
    pub fn get(&self, at: usize) -> Option<&'a Member<T>> {
        self.0?.get(at)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &'a Member<T>> + use<'a, T> {
        self.0.into_iter().flat_map(MemberList::iter)
    }
}

impl<T> Clone for Members<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Members<'_, T> {}

impl<T> fmt::Debug for Members<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use restante_core::Mailbox;

    /// Against a `Vec` with `swap_remove`, over the pieces' borders, with an old version kept beside.
    #[test]
    fn a_roll_is_a_vec_whose_old_versions_stay() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut boxes = Vec::new();
        let (mut list, mut model) = (MemberList::new(), Vec::new());
        let (mut old, mut old_model) = (list.clone(), model.clone());
        for step in 0..2_000 {
            // The list grows first and shrinks later.
            let grows = random.usize(..1_000) < if step < 1_000 { 700 } else { 300 };
            if grows || model.is_empty() {
                let mailbox = Mailbox::<u8>::new();
                let member = Member::address(&mailbox.address());
                boxes.push(mailbox);
                model.push(member.id());
                assert_eq!(list.push(member), model.len() - 1);
            } else {
                let at = random.usize(..model.len());
                let (taken, moved) = list.take(at);
                let last = model.last().copied();
                assert_eq!(taken.id(), model.swap_remove(at));
                assert_eq!(moved, last.filter(|_| at < model.len()));
            }
            assert_eq!(list.iter().map(Member::id).collect::<Vec<_>>(), model);
            assert_eq!((list.len(), list.get(list.len()).is_none()), (model.len(), true));
            if step % 97 == 0 {
                assert_eq!(old.iter().map(Member::id).collect::<Vec<_>>(), old_model);
                (old, old_model) = (list.clone(), model.clone());
            }
        }
    }
}
