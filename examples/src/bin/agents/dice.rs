//! Chance that can be thrown again: a number that depends on a seed and on what it is thrown for, and on nothing else.
//!
//! No generator with a state, which would give each number to whoever asks first: what one server draws must not depend on
//! when another one runs.

/// What is thrown for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throw<'a> {
    /// Where: a tool, a session.
    pub(crate) site: &'a str,
    /// For which item: a file.
    pub(crate) item: &'a str,
    /// Which of the item's messages.
    pub(crate) ordinal: u64,
    /// How often this message was tried before.
    pub(crate) attempt: u32,
}

impl Throw<'_> {
    /// Any of the 2⁶⁴ numbers, each as likely; the same one for the same seed, on each machine.
    pub(crate) fn with_seed(self, seed: u64) -> u64 {
        let site = self.site.bytes().chain([0]);
        let item = self.item.bytes().chain([0]);
        let numbers = self.ordinal.to_le_bytes().into_iter().chain(self.attempt.to_le_bytes());
        // FNV-1a takes the bytes in, the finisher of SplitMix64 spreads them.
        let mut hash = mix(seed) ^ 0xCBF2_9CE4_8422_2325;
        for byte in site.chain(item).chain(numbers) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        mix(hash)
    }
}

fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
