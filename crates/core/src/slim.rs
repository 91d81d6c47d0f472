//! Lists that give their memory back as they get shorter.

/// A list that has become much shorter than it was: moves it to a buffer of twice its length. The old buffer comes back, to be
/// dropped after the lock. (So the moves cost less than the removals before them.)
pub(crate) fn slim<T>(list: &mut Vec<T>) -> Option<Vec<T>> {
    (list.capacity() > KEPT && list.len() * 4 <= list.capacity()).then(|| {
        let mut fresh = Vec::with_capacity(list.len() * 2);
        fresh.append(list);
        std::mem::replace(list, fresh)
    })
}

/// Entries that a list or line keeps room for, however empty it is.
pub(crate) const KEPT: usize = 32;
