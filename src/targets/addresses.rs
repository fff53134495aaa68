//! Sets of addresses as ranges, however many addresses they hold. Pure.

use std::net::{IpAddr, Ipv6Addr};

/// Neighbouring addresses of one family, both ends included.
// As numbers, IPv4 in its place among IPv6 (::ffff:0:0/96), so that there is one
// order for all and what maps to IPv4 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressRange {
    first: u128,
    last: u128,
}

/// Addresses in ascending order, each reachable by its position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    /// Sorted, disjoint and not adjacent.
    ranges: Vec<AddressRange>,
    /// For each range, how many addresses there are before it.
    before: Vec<u64>,
    len: u64,
}

impl AddressRange {
    /// One address.
    #[must_use]
    pub fn single(address: IpAddr) -> Self {
        let number = number(address);
        Self { first: number, last: number }
    }

    /// `first` to `last`, which is `None` when they are of two families or the
    /// wrong way round.
    #[must_use]
    pub fn try_new(first: IpAddr, last: IpAddr) -> Option<Self> {
        let same = first.to_canonical().is_ipv4() == last.to_canonical().is_ipv4();
        let (first, last) = (number(first), number(last));
        (same && first <= last).then_some(Self { first, last })
    }

    /// The first of them.
    #[must_use]
    pub fn first(&self) -> IpAddr {
        address(self.first)
    }

    /// How many addresses there are, less one.
    #[must_use]
    pub fn span(&self) -> u128 {
        self.last - self.first
    }
}

impl AddressSet {
    /// The addresses of `ranges` that are not in `without`.
    #[must_use]
    pub fn new(mut ranges: Vec<AddressRange>, without: &Self) -> Self {
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
        let ranges: Vec<AddressRange> =
            merged.into_iter().flat_map(|range| without.cut_out_of(range)).collect();
        let mut len = 0u64;
        let before = ranges.iter().map(|range| {
            let before = len;
            let count = u64::try_from(range.span()).unwrap_or(u64::MAX).saturating_add(1);
            len = len.saturating_add(count);
            before
        });
        let before = before.collect();
        Self { ranges, before, len }
    }

    /// How many addresses there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let number = number(address);
        let after = self.ranges.partition_point(|range| range.first <= number);
        after > 0 && number <= self.ranges[after - 1].last
    }

    /// The address at `position` in ascending order, counted from 0.
    #[must_use]
    pub fn nth(&self, position: u64) -> Option<IpAddr> {
        let after = self.before.partition_point(|&before| before <= position);
        let (range, before) = (self.ranges.get(after.checked_sub(1)?)?, self.before[after - 1]);
        let number = range.first + u128::from(position - before);
        (number <= range.last).then(|| address(number))
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
        fn sets_hold_what_their_ranges_do_without_what_is_taken_out(
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
            let held: Vec<IpAddr> = (0..set.len()).map_while(|place| set.nth(place)).collect();
            prop_assert_eq!(&held, &expected);
            prop_assert_eq!((set.len(), set.nth(set.len())), (expected.len() as u64, None));
            for last in 0..=u8::MAX {
                let address = IpAddr::from([10, 0, 0, last]);
                prop_assert_eq!(set.contains(address), expected.contains(&address));
            }
        }
    }

    #[test]
    fn the_ends_of_all_addresses_are_no_edge() {
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
    fn families_are_not_mixed_and_mapped_is_ipv4() {
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(AddressRange::try_new(parse("10.0.0.1"), parse("fd00::1")), None);
        assert_eq!(AddressRange::try_new(parse("10.0.0.2"), parse("10.0.0.1")), None);
        let mapped = AddressRange::single(parse("::ffff:10.0.0.1"));
        assert_eq!(mapped, AddressRange::single(parse("10.0.0.1")));
    }
}
