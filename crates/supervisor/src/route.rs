//! Which partition a key belongs to.

use std::hash::{Hash, Hasher};

/// Of so many. See [`PartitionRef::of`](crate::PartitionRef::of).
pub(crate) fn partition_of(key: &impl Hash, partitions: usize) -> usize {
    let mut route = Route { integer: None, written: 0, hash: SEED };
    key.hash(&mut route);
    let number = match route.integer {
        Some(integer) if route.written == 1 => integer,
        _ => u128::from(route.finish()),
    };
    usize::try_from(number % partitions as u128).expect("it is less than a usize")
}

/// Hashes in a way that does not change from one run to the next, and notes whether all that there was is one integer.
struct Route {
    integer: Option<u128>,
    written: u32,
    hash: u64,
}

/// Of FNV-1a, with 64 bits.
const SEED: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

impl Route {
    fn integer(&mut self, magnitude: u128, bytes: &[u8]) {
        self.integer = Some(magnitude);
        self.write(bytes);
    }
}

macro_rules! integers {
    ($($unsigned:ident $u:ty, $signed:ident $i:ty;)*) => {$(
        fn $unsigned(&mut self, n: $u) {
            self.integer(n as u128, &n.to_le_bytes());
        }

        fn $signed(&mut self, n: $i) {
            self.integer(n.unsigned_abs() as u128, &n.to_le_bytes());
        }
    )*};
}

#[expect(clippy::cast_lossless, reason = "there is no `From<usize>` for the widest integer")]
impl Hasher for Route {
    fn write(&mut self, bytes: &[u8]) {
        self.written = self.written.saturating_add(1);
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    integers! {
        write_u8 u8, write_i8 i8;
        write_u16 u16, write_i16 i16;
        write_u32 u32, write_i32 i32;
        write_u64 u64, write_i64 i64;
        write_u128 u128, write_i128 i128;
        write_usize usize, write_isize isize;
    }

    fn finish(&self) -> u64 {
        // The low bits of a product know little of the high ones.
        self.hash ^ (self.hash >> 32)
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Elixir `PartitionSupervisor`: "`with_arguments`" (keys 3 and -1 of 3 partitions).
    #[test]
    fn an_integer_belongs_to_its_magnitude_modulo_the_number() {
        #[derive(Hash)]
        struct UserId(u64);
        assert_eq!([0, 1, 2, 3, -1, -2, -3].map(|key| partition_of(&key, 3)), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(partition_of(&UserId(7), 4), 3);
        assert_eq!(partition_of(&i128::MIN, 1000), 728);
        assert_eq!(
            (partition_of(&5_u8, 4), partition_of(&&5_usize, 4), partition_of(&'\u{5}', 4)),
            (1, 1, 1)
        );
    }

    /// What it was in the first release: a change of it would be a change for users.
    #[test]
    fn other_keys_belong_to_their_hash() {
        assert_eq!(["", "a", "b", "user/17"].map(|key| partition_of(&key, 1000)), [90, 262, 945, 290]);
        assert_eq!(partition_of(&"a", 8), partition_of(&String::from("a"), 8));
        assert_ne!(partition_of(&(1, 2), 1 << 20), partition_of(&(2, 1), 1 << 20));
    }

    #[test]
    fn text_spreads_over_all_partitions() {
        let mut counts = [0_u32; 16];
        for n in 0..16_000 {
            counts[partition_of(&format!("user/{n}"), 16)] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    proptest! {
        /// Whatever the key and the number, there is such a partition.
        #[test]
        fn every_key_has_a_partition(key: i64, text: String, bytes: Vec<u8>, partitions in 1_usize..10_000) {
            prop_assert!(partition_of(&key, partitions) < partitions);
            prop_assert_eq!(partition_of(&key, partitions) as u64, key.unsigned_abs() % partitions as u64);
            prop_assert!(partition_of(&text, partitions) < partitions);
            prop_assert!(partition_of(&(text, bytes), partitions) < partitions);
        }
    }
}
