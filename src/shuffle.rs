//! A seeded shuffle of the numbers below n. Each element is computed from its index, so
//! the shuffle takes no memory, however large n is.
//!
//! A Feistel network permutes the numbers below the smallest power of two that is at
//! least n. A result of n or more is permuted again until it is below n, which happens
//! because the network is a permutation (Black and Rogaway, "Ciphers with Arbitrary
//! Finite Domains", 2002). The purpose is to spread load, not to hide the order.

/// A permutation of the numbers below a length.
#[derive(Clone, Debug)]
pub(crate) struct Shuffle {
    len: u64,
    left_bits: u32,
    right_bits: u32,
    keys: [u64; ROUNDS],
}

impl Shuffle {
    /// The shuffle of the numbers below `len` that belongs to `seed`.
    pub(crate) fn new(len: u64, seed: u64) -> Self {
        let bits = (u64::BITS - len.saturating_sub(1).leading_zeros()).max(2);
        let mut state = seed;
        let keys = [(); ROUNDS].map(|()| {
            state = state.wrapping_add(GOLDEN_GAMMA);
            mixed(state)
        });
        Self { len, left_bits: bits / 2, right_bits: bits - bits / 2, keys }
    }

    /// How many numbers there are.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The number at `index`, which has to be below the length.
    pub(crate) fn at(&self, index: u64) -> u64 {
        debug_assert!(index < self.len, "an index below the length");
        let mut number = self.permuted(index);
        // Less than once on average: the numbers below `len` are more than half.
        while number >= self.len {
            number = self.permuted(number);
        }
        number
    }

    /// One pass through the network.
    fn permuted(&self, number: u64) -> u64 {
        let (mut left_bits, mut right_bits) = (self.left_bits, self.right_bits);
        let (mut left, mut right) = (number >> right_bits, number & low(right_bits));
        for key in self.keys {
            // The halves may differ by a bit, and are swapped each round. The upper
            // half of a product depends on every bit of its factors.
            let round = (right ^ key).wrapping_mul(GOLDEN_GAMMA) >> 32;
            let next = left ^ (round & low(left_bits));
            (left, right) = (right, next);
            (left_bits, right_bits) = (right_bits, left_bits);
        }
        left << right_bits | right
    }
}

/// A number whose lowest `bits` bits are set.
fn low(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// The output function of SplitMix64: similar seeds get very different keys.
pub(crate) fn mixed(mut word: u64) -> u64 {
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// Luby and Rackoff need four rounds of good round functions; ours are weaker, but
/// fast. An even number swaps the halves back.
const ROUNDS: usize = 4;

/// The increment of SplitMix64.
const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(len: u64, seed: u64) -> Vec<u64> {
        let shuffle = Shuffle::new(len, seed);
        (0..len).map(|index| shuffle.at(index)).collect()
    }

    proptest! {
        #[test]
        fn every_number_has_one_index(len in 0u64..5_000, seed: u64) {
            let mut numbers = order(len, seed);
            numbers.sort_unstable();
            prop_assert!(numbers.into_iter().eq(0..len));
        }

        #[test]
        fn numbers_stay_below_a_huge_length(len in 1u64..=1 << 60, seed: u64, index: u64) {
            prop_assert!(Shuffle::new(len, seed).at(index % len) < len);
        }
    }

    #[test]
    fn a_seed_always_gives_the_same_order() {
        assert_eq!(order(1_000, 7), order(1_000, 7));
        assert_ne!(order(1_000, 7), order(1_000, 8));
        assert_eq!((order(0, 7), order(1, 7)), (vec![], vec![0]));
    }

    #[test]
    fn neighbours_are_far_apart() {
        let order = order(65_536, 1);
        let close = order.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 16);
        // 32 of 65,536 numbers are that close to any number, so 32 pairs are expected.
        assert!(close.count() < 100);
    }
}
