//! A seeded shuffle of 0, 1, … n-1 that is computed place by place, so that it
//! takes no memory however large n is.
//!
//! A Feistel network permutes the smallest power of two that n fits into, and a
//! result beyond n is put in again until one is not: being a permutation, the
//! network comes back into the range (Black and Rogaway, "Ciphers with
//! Arbitrary Finite Domains", 2002). It spreads load and hides nothing.

/// A permutation of the numbers below a length.
#[derive(Clone, Debug)]
pub struct Shuffle {
    len: u64,
    left_bits: u32,
    right_bits: u32,
    keys: [u64; ROUNDS],
}

impl Shuffle {
    /// The shuffle of the numbers below `len` that `seed` stands for.
    #[must_use]
    pub fn new(len: u64, seed: u64) -> Self {
        let bits = (u64::BITS - len.saturating_sub(1).leading_zeros()).max(2);
        let mut state = seed;
        let keys = [(); ROUNDS].map(|()| {
            state = state.wrapping_add(GOLDEN_GAMMA);
            mixed(state)
        });
        Self { len, left_bits: bits / 2, right_bits: bits - bits / 2, keys }
    }

    /// How many numbers there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number at `place`, which is below the length.
    #[must_use]
    pub fn at(&self, place: u64) -> u64 {
        debug_assert!(place < self.len, "a place in the range");
        let mut number = self.permuted(place);
        // On average less than once: the range fills more than half.
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
            // The halves may differ by a bit and change places each round.
            // The upper half of a product depends on every bit of its factors.
            let round = (right ^ key).wrapping_mul(GOLDEN_GAMMA) >> 32;
            let next = left ^ (round & low(left_bits));
            (left, right) = (right, next);
            (left_bits, right_bits) = (right_bits, left_bits);
        }
        left << right_bits | right
    }
}

/// As many ones as bits.
fn low(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// The output function of SplitMix64: near seeds get keys that are far apart.
fn mixed(mut word: u64) -> u64 {
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// What Luby and Rackoff ask for with good round functions; ours are meant to
/// be fast. An even number brings the halves back to their places.
const ROUNDS: usize = 4;

/// The increment of SplitMix64.
const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(len: u64, seed: u64) -> Vec<u64> {
        let shuffle = Shuffle::new(len, seed);
        (0..len).map(|place| shuffle.at(place)).collect()
    }

    proptest! {
        #[test]
        fn every_number_has_one_place(len in 0u64..5_000, seed: u64) {
            let mut numbers = order(len, seed);
            numbers.sort_unstable();
            prop_assert!(numbers.into_iter().eq(0..len));
        }

        #[test]
        fn huge_ranges_are_not_left(len in 1u64..=1 << 60, seed: u64, place: u64) {
            prop_assert!(Shuffle::new(len, seed).at(place % len) < len);
        }
    }

    #[test]
    fn a_seed_stands_for_one_order() {
        assert_eq!(order(1_000, 7), order(1_000, 7));
        assert_ne!(order(1_000, 7), order(1_000, 8));
        assert_eq!((order(0, 7), order(1, 7)), (vec![], vec![0]));
    }

    #[test]
    fn neighbours_are_parted() {
        let order = order(65_536, 1);
        let close = order.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 16);
        // 32 of 65,536 numbers are that close, so that 32 are expected.
        assert!(close.count() < 100);
    }
}
