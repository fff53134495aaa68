//! Sets of addresses, kept as ranges of any size.

use std::net::{IpAddr, Ipv6Addr};

use super::shard::{Shard, hash};

/// Neighbouring addresses of one family, both ends included.
// As numbers, with IPv4 mapped into IPv6 (::ffff:0:0/96), so that there is one order
// for all, and a mapped address equals its IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AddressRange {
    pub(super) first: u128,
    pub(super) last: u128,
}

/// Addresses in ascending order, which can be read by position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressSet {
    /// Sorted, disjoint and not adjacent.
    ranges: Vec<AddressRange>,
    /// The shard whose addresses of the ranges these are.
    shard: Shard,
    /// For each range, the number of addresses before it.
    before: Vec<u64>,
    len: u64,
}

impl AddressRange {
    /// One address.
    #[must_use]
    pub(crate) fn single(address: IpAddr) -> Self {
        let number = number(address);
        Self { first: number, last: number }
    }

    /// `first` to `last`. `None` when they are of two families, or when `last` comes
    /// before `first`.
    #[must_use]
    pub(crate) fn try_new(first: IpAddr, last: IpAddr) -> Option<Self> {
        let same = first.to_canonical().is_ipv4() == last.to_canonical().is_ipv4();
        let (first, last) = (number(first), number(last));
        (same && first <= last).then_some(Self { first, last })
    }

    /// The lowest address.
    #[must_use]
    pub(crate) fn first(&self) -> IpAddr {
        address(self.first)
    }

    /// The checksum of a list that goes on with this range.
    #[must_use]
    pub(super) fn checksum(&self, before: u64) -> u64 {
        let ends = [self.first.to_le_bytes(), self.last.to_le_bytes()];
        hash(before.to_le_bytes().into_iter().chain(ends.into_iter().flatten()))
    }

    /// Whether it has `address`.
    #[must_use]
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        (self.first..=self.last).contains(&number(address))
    }

    /// The lowest address as a number.
    #[must_use]
    pub(crate) fn number(&self) -> u128 {
        self.first
    }

    /// The number of addresses, less one.
    #[must_use]
    pub(crate) fn span(&self) -> u128 {
        self.last - self.first
    }
}

impl AddressSet {
    /// The addresses of `ranges` that are not in `without`.
    #[must_use]
    pub(crate) fn new(mut ranges: Vec<AddressRange>, without: &Self) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<AddressRange> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(open) if range.first <= open.last.saturating_add(1) => {
                    open.last = open.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        Self::counted(
            merged.into_iter().flat_map(|range| without.cut_out_of(range)).collect(),
            Shard::WHOLE,
        )
    }

    /// Those that are in `shard`, whatever list they stand in.
    #[must_use]
    pub(super) fn in_shard(self, shard: Shard) -> Self {
        Self::counted(self.ranges, shard)
    }

    /// The same without `others`.
    #[must_use]
    pub(super) fn without(&self, others: &Self) -> Self {
        let left = self.ranges.iter().flat_map(|&range| others.cut_out_of(range));
        Self::counted(left.collect(), self.shard)
    }

    /// The number of addresses.
    #[must_use]
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether the set has `address`.
    #[must_use]
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let number = number(address);
        let after = self.ranges.partition_point(|range| range.first <= number);
        after > 0 && number <= self.ranges[after - 1].last
    }

    /// The address at `position` in ascending order, from 0.
    #[must_use]
    pub(crate) fn nth(&self, position: u64) -> Option<IpAddr> {
        let after = self.before.partition_point(|&before| before <= position);
        let (range, before) = (self.ranges.get(after.checked_sub(1)?)?, self.before[after - 1]);
        if position >= self.len {
            return None;
        }
        self.shard.nth_address_in(*range, position - before).map(address)
    }

    fn counted(ranges: Vec<AddressRange>, shard: Shard) -> Self {
        let mut len = 0u64;
        let before = ranges.iter().map(|&range| {
            let before = len;
            len = len.saturating_add(shard.addresses_in(range));
            before
        });
        let before = before.collect();
        Self { ranges, shard, before, len }
    }

    /// The checksum of a list that goes on with these addresses.
    #[must_use]
    pub(super) fn checksum(&self, before: u64) -> u64 {
        self.ranges.iter().fold(before, |before, range| range.checksum(before))
    }

    /// What is left of `range` without this set.
    fn cut_out_of(&self, range: AddressRange) -> Vec<AddressRange> {
        let near = self.ranges.partition_point(|cut| cut.last < range.first);
        let mut left = Vec::new();
        let mut first = Some(range.first);
        for cut in self.ranges[near..].iter().take_while(|cut| cut.first <= range.last) {
            let Some(start) = first else { break };
            if start < cut.first {
                left.push(AddressRange { first: start, last: cut.first - 1 });
            }
            first = cut.last.checked_add(1);
        }
        let rest = first.filter(|&first| first <= range.last);
        left.extend(rest.map(|first| AddressRange { first, last: range.last }));
        left
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn address(number: u128) -> IpAddr {
    Ipv6Addr::from_bits(number).to_canonical()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// A range of 10.0.0.0/24, by last octets.
    fn range((first, last): (u8, u8)) -> AddressRange {
        let octet = |last| IpAddr::from([10, 0, 0, last]);
        AddressRange::try_new(octet(first.min(last)), octet(first.max(last))).unwrap()
    }

    fn octets(ranges: &[(u8, u8)]) -> BTreeSet<u8> {
        ranges.iter().flat_map(|&(a, b)| a.min(b)..=a.max(b)).collect()
    }

    proptest! {
        #[test]
        fn a_set_has_the_addresses_of_its_ranges_except_excluded_ones(
            ranges in prop::collection::vec(any::<(u8, u8)>(), 0..12),
            without in prop::collection::vec(any::<(u8, u8)>(), 0..12),
        ) {
            let set_of = |ranges: &[(u8, u8)], without: &AddressSet| {
                AddressSet::new(ranges.iter().copied().map(range).collect(), without)
            };
            let cut = set_of(&without, &AddressSet::default());
            let set = set_of(&ranges, &cut);
            let expected: Vec<IpAddr> = octets(&ranges)
                .difference(&octets(&without))
                .map(|&last| IpAddr::from([10, 0, 0, last]))
                .collect();
            let held: Vec<IpAddr> = (0..set.len()).map_while(|index| set.nth(index)).collect();
            prop_assert_eq!(&held, &expected);
            prop_assert_eq!((set.len(), set.nth(set.len())), (expected.len() as u64, None));
            for last in 0..=u8::MAX {
                let address = IpAddr::from([10, 0, 0, last]);
                prop_assert_eq!(set.contains(address), expected.contains(&address));
            }
        }
    }

    #[test]
    fn the_lowest_and_highest_addresses_can_be_in_a_set() {
        let all = |first: &str, last: &str| {
            AddressRange::try_new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
        };
        let top = all("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0", &"ffff:".repeat(8)[..39]);
        let set = AddressSet::new(vec![all("::", "::f"), top], &AddressSet::default());
        assert_eq!(set.len(), 32);
        let without = AddressSet::new(vec![top], &AddressSet::default());
        assert_eq!(AddressSet::new(vec![top], &without).len(), 0);
        assert_eq!(set.nth(31), Some("ffff:".repeat(8)[..39].parse().unwrap()));
    }

    #[test]
    fn a_range_has_one_family_and_mapped_addresses_are_ipv4() {
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(AddressRange::try_new(parse("10.0.0.1"), parse("fd00::1")), None);
        assert_eq!(AddressRange::try_new(parse("10.0.0.2"), parse("10.0.0.1")), None);
        let mapped = AddressRange::single(parse("::ffff:10.0.0.1"));
        assert_eq!(mapped, AddressRange::single(parse("10.0.0.1")));
    }
}
