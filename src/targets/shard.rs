//! Which part of a sweep one of several processes scans.
//!
//! A shard is found by arithmetic alone: no process asks another, and each can be
//! started again. All have to read the same list with the same seed.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use thiserror::Error;

use super::addresses::AddressRange;
use crate::shuffle::mixed;

/// One of several disjoint parts of a sweep, which together are the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    /// From 0.
    index: u32,
    count: NonZeroU32,
}

/// The seed of sweeps that are divided, unless another one is given: the shards have to
/// agree on one.
pub(crate) const SHARED_SEED: u64 = 0;

/// Why a text or two numbers name no shard. The message says what to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum ShardError {
    /// Not two numbers.
    #[error("must be a shard and the number of shards, like 3/16")]
    Form,
    /// No shards at all.
    #[error("must have 1 to {} shards", u32::MAX)]
    Count,
    /// A number that no shard has.
    #[error("must name one of the shards 1/{0} to {0}/{0}")]
    Number(NonZeroU32),
}

impl Shard {
    /// The only shard of a sweep that is not divided.
    pub(crate) const WHOLE: Self = Self { index: 0, count: NonZeroU32::MIN };

    /// The shard `number`, counted from 1, of `count`.
    ///
    /// # Errors
    /// When there is none of that number.
    pub(crate) fn try_new(number: u32, count: u32) -> Result<Self, ShardError> {
        let count = NonZeroU32::new(count).ok_or(ShardError::Count)?;
        match number.checked_sub(1) {
            Some(index) if index < count.get() => Ok(Self { index, count }),
            _ => Err(ShardError::Number(count)),
        }
    }

    /// Its number, from 1.
    #[must_use]
    pub(crate) fn number(self) -> u32 {
        self.index + 1
    }

    /// How many shards there are.
    #[must_use]
    pub(crate) fn count(self) -> u32 {
        self.count.get()
    }

    /// Whether it is the only one.
    #[must_use]
    pub(super) fn is_whole(self) -> bool {
        self.count == NonZeroU32::MIN
    }

    /// How many of the positions below `len` are its own.
    #[must_use]
    pub(super) fn positions(self, len: u64) -> u64 {
        len.saturating_sub(self.index.into()).div_ceil(self.count.get().into())
    }

    /// Its own position of that number, from 0.
    #[must_use]
    pub(super) fn position(self, nth: u64) -> u64 {
        nth * u64::from(self.count.get()) + u64::from(self.index)
    }

    /// Whether a host's name is its own, whatever list it stands in.
    #[must_use]
    pub(super) fn has_name(self, name: &str) -> bool {
        hash(name.bytes()) % u64::from(self.count.get()) == u64::from(self.index)
    }

    /// How many addresses of `range` are its own, whatever list the range stands in.
    #[must_use]
    pub(super) fn addresses_in(self, range: AddressRange) -> u64 {
        let (before, after) = self.outside(range);
        let blocks = self.block(range.last) - self.block(range.first);
        // A range has at most 2^32 addresses.
        u64::try_from(blocks.saturating_add(1)).unwrap_or(u64::MAX)
            - u64::from(before)
            - u64::from(after)
    }

    /// Its own address of that number, from 0, in `range`.
    #[must_use]
    pub(super) fn nth_address_in(self, range: AddressRange, nth: u64) -> Option<u128> {
        let (before, _) = self.outside(range);
        self.address_in_block(
            self.block(range.first) + u128::from(nth) + u128::from(u8::from(before)),
        )
    }

    /// Whether its address in the first block of `range` comes before the range, and
    /// the one in the last block after it.
    fn outside(self, range: AddressRange) -> (bool, bool) {
        let of = |number| self.address_in_block(self.block(number));
        let before = of(range.first).is_some_and(|own| own < range.first);
        let after = of(range.last).is_none_or(|own| own > range.last);
        (before, after)
    }

    /// All addresses are divided into blocks, with one address for each shard.
    fn block(self, number: u128) -> u128 {
        number / u128::from(self.count.get())
    }

    /// Its own address in a block; `None` if that would be after the last address of
    /// all.
    // Which address that is differs from block to block, as if by chance. Otherwise one
    // of 256 shards would get every router of a network of /24s.
    fn address_in_block(self, block: u128) -> Option<u128> {
        if self.is_whole() {
            return Some(block);
        }
        let count = u128::from(self.count.get());
        let turn = hash(block.to_le_bytes().into_iter()) % u64::from(self.count.get());
        let within = (u128::from(self.index) + u128::from(turn)) % count;
        (block * count).checked_add(within)
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits).ok_or(ShardError::Form)
        };
        let (shard, count) = text.split_once('/').ok_or(ShardError::Form)?;
        Self::try_new(number(shard)?, number(count)?)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number(), self.count)
    }
}

/// FNV-1a, whose lowest bits alone would depend on too little, mixed. Shards may be
/// scanned by several builds of this program, which the standard library's hashes
/// do not promise to be the same in.
pub(super) fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
    mixed(bytes.fold(FNV_BASIS, step))
}

// The parameters of FNV-1a for 64 bits.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every shard of `count`.
    fn shards(count: u32) -> impl Iterator<Item = Shard> {
        (1..=count).map(move |number| Shard::try_new(number, count).unwrap())
    }

    fn own_addresses(shard: Shard, range: AddressRange) -> Vec<u128> {
        let nth = |nth| shard.nth_address_in(range, nth).unwrap();
        (0..shard.addresses_in(range)).map(nth).collect()
    }

    #[test]
    fn a_shard_is_a_number_and_how_many_there_are() {
        for (text, number, count) in [("1/1", 1, 1), ("3/16", 3, 16), ("16/16", 16, 16)] {
            let shard: Shard = text.parse().unwrap();
            assert_eq!((shard.number(), shard.count()), (number, count));
            assert_eq!(shard.to_string(), text);
        }
        assert!(Shard::WHOLE.is_whole() && Shard::WHOLE == "1/1".parse().unwrap());
        for (text, error) in [
            ("0/4", "must name one of the shards 1/4 to 4/4"),
            ("5/4", "must name one of the shards 1/4 to 4/4"),
            ("1/0", "must have 1 to 4294967295 shards"),
            ("3", "must be a shard and the number of shards, like 3/16"),
            ("/", "must be a shard and the number of shards, like 3/16"),
            ("3/", "must be a shard and the number of shards, like 3/16"),
            ("+3/4", "must be a shard and the number of shards, like 3/16"),
            ("3/4/5", "must be a shard and the number of shards, like 3/16"),
            ("3/4294967296", "must be a shard and the number of shards, like 3/16"),
        ] {
            assert_eq!(text.parse::<Shard>().unwrap_err().to_string(), error, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_position_is_in_one_shard(len in 0u64..500, count in 1u32..40) {
            let mut all: Vec<u64> = shards(count)
                .flat_map(|shard| (0..shard.positions(len)).map(move |nth| shard.position(nth)))
                .collect();
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..len));
            let lens: Vec<u64> = shards(count).map(|shard| shard.positions(len)).collect();
            prop_assert!(lens.iter().max().unwrap() - lens.iter().min().unwrap() <= 1);
        }

        #[test]
        fn every_address_of_a_range_is_in_one_shard(
            first: u128, more in 0u128..300, count in 1u32..40
        ) {
            let range = AddressRange { first, last: first.saturating_add(more) };
            let mut all: Vec<u128> =
                shards(count).flat_map(|shard| own_addresses(shard, range)).collect();
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(range.first..=range.last));
        }

        #[test]
        fn an_address_is_in_the_same_shard_in_every_range(
            first in 0u128..1000, left in 0u128..100, right in 0u128..100, count in 1u32..40
        ) {
            let address = first + left;
            let owner = |range| shards(count).position(|shard| {
                own_addresses(shard, range).contains(&address)
            });
            let alone = AddressRange { first: address, last: address };
            let wide = AddressRange { first, last: address + right };
            prop_assert!(owner(alone).is_some());
            prop_assert_eq!(owner(alone), owner(wide));
        }
    }

    #[test]
    fn the_last_address_of_all_is_in_one_shard() {
        for count in 1..40 {
            let range = AddressRange { first: u128::MAX - 5, last: u128::MAX };
            let sum: u64 = shards(count).map(|shard| shard.addresses_in(range)).sum();
            assert_eq!(sum, 6, "{count} shards");
        }
    }

    #[test]
    fn addresses_and_names_are_spread_evenly() {
        let range = AddressRange { first: 0, last: (1 << 16) - 1 };
        for shard in shards(256) {
            assert_eq!(shard.addresses_in(range), 256);
            // The same last octet in every block would be all of them.
            let routers = own_addresses(shard, range).iter().filter(|&it| it % 256 == 1).count();
            assert!(routers < 16, "{shard}: {routers}");
        }
        let names: Vec<String> = (0..16_000).map(|number| format!("host-{number}.lan")).collect();
        for shard in shards(16) {
            let own = names.iter().filter(|name| shard.has_name(name)).count();
            assert!((850..1150).contains(&own), "{shard}: {own}");
        }
    }
}
