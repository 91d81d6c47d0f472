//! Values that stay where they were put, to be read without a lock.
//!
//! They lie in rows each of which is twice as long as the one before, so that none is ever moved: a reader is lent what lies
//! there for as long as the whole lives. Nothing is taken out.

use std::sync::OnceLock;

/// See the module.
pub(crate) struct Rows<T> {
    rows: [OnceLock<Box<[OnceLock<T>]>>; ROWS],
}

/// Room for 2^32 - 1.
const ROWS: usize = 32;

impl<T> Rows<T> {
    pub(crate) fn new() -> Self {
        Self { rows: [const { OnceLock::new() }; ROWS] }
    }

    /// Row, and place in it.
    fn place(index: usize) -> (usize, usize) {
        let row = (index + 1).ilog2();
        (row as usize, index + 1 - (1 << row))
    }

    /// Puts a value where there is none yet.
    pub(crate) fn put(&self, index: usize, value: T) {
        let (row, place) = Self::place(index);
        let row = self.rows[row].get_or_init(|| (0..1_usize << row).map(|_| OnceLock::new()).collect());
        assert!(row[place].set(value).is_ok(), "a place is filled once");
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        let (row, place) = Self::place(index);
        self.rows.get(row)?.get()?[place].get()
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn places_follow_one_another() {
        let places: Vec<_> = (0..7).map(Rows::<()>::place).collect();
        assert_eq!(places, [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3)]);
    }

    proptest! {
        #[test]
        fn what_is_put_is_found_and_nothing_else(count in 0_usize..500) {
            let rows = Rows::new();
            for n in 0..count {
                rows.put(n, n);
            }
            prop_assert!((0..count).all(|n| rows.get(n) == Some(&n)));
            prop_assert_eq!(rows.get(count), None);
        }
    }
}
