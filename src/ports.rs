//! Port numbers and sets of them: parsing, merging, counting and iterating.
//!
//! A [`PortSet`] is never empty and its ranges are sorted, disjoint and not
//! adjacent, so equal sets are equal values and print alike. Its ports can be read by
//! index, which is how fan-outs share one set without a queue.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::services;

/// A non-empty set of TCP ports, 1 to 65535.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSet {
    ranges: Vec<PortRange>,
    len: u32,
}

/// Why a port list was rejected. The message says what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PortListError {
    /// The list, or one of its items, is empty.
    #[error("has an empty item; write ports like 22,80,8000-8100")]
    EmptyItem,
    /// An item is neither a port, a range nor a named set.
    #[error("{0:?} is not a port (1 to 65535), a range (8000-8100), top1 to top1000, or all")]
    NotAnItem(String),
    /// A range ends before it starts.
    #[error("{0}-{1} runs backwards; write {1}-{0}")]
    Backwards(u16, u16),
    /// Two items written as numbers share a port.
    #[error("{0} is listed more than once")]
    Overlap(u16),
}

/// Reads one port: decimal digits only, 1 to 65535.
#[must_use]
pub fn parse_port(text: &str) -> Option<u16> {
    // `u16::from_str` alone would take "+80".
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port != 0)
}

impl PortSet {
    /// Every port, 1 to 65535.
    #[must_use]
    pub fn all() -> Self {
        Self::from_merged(vec![(1, u16::MAX)])
    }

    /// The ports `first` to `last`, both included.
    ///
    /// # Errors
    /// When `first` is 0 or above `last`.
    pub fn try_range(first: u16, last: u16) -> Result<Self, PortListError> {
        if first == 0 {
            return Err(PortListError::NotAnItem("0".into()));
        }
        if first > last {
            return Err(PortListError::Backwards(first, last));
        }
        Ok(Self::from_merged(vec![(first, last)]))
    }

    /// These ports; `None` if there are none, or 0 is among them.
    #[must_use]
    pub fn from_ports(ports: impl IntoIterator<Item = u16>) -> Option<Self> {
        let bounds: Vec<(u16, u16)> = ports.into_iter().map(|port| (port, port)).collect();
        let valid = !bounds.is_empty() && bounds.iter().all(|&(port, _)| port != 0);
        valid.then(|| Self::from_merged(bounds))
    }

    /// How many ports the set holds, 1 to 65535.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a set is never empty")]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// The lowest port.
    #[must_use]
    pub fn first(&self) -> u16 {
        self.ranges[0].first
    }

    /// The highest port.
    #[must_use]
    pub fn last(&self) -> u16 {
        self.ranges[self.ranges.len() - 1].last
    }

    /// Whether `port` is in the set.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        let after = self.ranges.partition_point(|range| range.first <= port);
        after > 0 && port <= self.ranges[after - 1].last
    }

    /// The ports in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.ranges.iter().flat_map(|range| range.first..=range.last)
    }

    /// The port at `index` in ascending order, counted from 0.
    #[must_use]
    pub fn nth(&self, index: u32) -> Option<u16> {
        if index >= self.len {
            return None;
        }
        let after = self.ranges.partition_point(|range| range.before <= index);
        let range = self.ranges[after - 1];
        u16::try_from(u32::from(range.first) + (index - range.before)).ok()
    }

    /// The ports that are in both sets; `None` when there are none.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        self.overlap(&other.bounds().collect::<Vec<_>>())
    }

    /// The ports of this set that are not in `other`; `None` when there are
    /// none.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<Self> {
        let mut gaps = Vec::new();
        let mut start = Some(1);
        for (first, last) in other.bounds() {
            gaps.extend(start.filter(|&start| start < first).map(|start| (start, first - 1)));
            start = last.checked_add(1);
        }
        gaps.extend(start.map(|start| (start, u16::MAX)));
        self.overlap(&gaps)
    }

    /// What lies within one of `others`, which are sorted and disjoint.
    fn overlap(&self, others: &[(u16, u16)]) -> Option<Self> {
        let mut common = Vec::new();
        for (first, last) in self.bounds() {
            let near = others.partition_point(|other| other.1 < first);
            let reached = others[near..].iter().take_while(|other| other.0 <= last);
            common.extend(reached.map(|other| (first.max(other.0), last.min(other.1))));
        }
        (!common.is_empty()).then(|| Self::from_merged(common))
    }

    fn bounds(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        self.ranges.iter().map(|range| (range.first, range.last))
    }

    /// Sorts and merges inclusive, non-empty ranges of non-zero ports.
    fn from_merged(mut bounds: Vec<(u16, u16)>) -> Self {
        bounds.sort_unstable();
        let mut ranges: Vec<PortRange> = Vec::new();
        for (first, last) in bounds {
            match ranges.last_mut() {
                Some(open) if u32::from(first) <= u32::from(open.last) + 1 => {
                    open.last = open.last.max(last);
                }
                _ => ranges.push(PortRange { first, last, before: 0 }),
            }
        }
        let mut len = 0;
        for range in &mut ranges {
            range.before = len;
            len += u32::from(range.last - range.first) + 1;
        }
        Self { ranges, len }
    }
}

impl FromStr for PortSet {
    type Err = PortListError;

    /// Reads a comma-separated list of ports (`22`), ranges (`8000-8100`) and
    /// named sets (`top1` to `top1000`, `all`). Named sets may overlap other items; a
    /// port that is listed twice by number is rejected as a mistake.
    fn from_str(list: &str) -> Result<Self, Self::Err> {
        let mut written: Vec<(u16, u16)> = Vec::new();
        // A larger named set contains the smaller ones, so only the largest is kept: a
        // list that names a thousand of them takes no more memory.
        let mut most_common: &[u16] = &[];
        let mut all = None;
        for item in list.split(',') {
            if item.is_empty() {
                return Err(PortListError::EmptyItem);
            }
            if item == "all" {
                all = Some((1, u16::MAX));
            } else if let Some(count) = item.strip_prefix("top") {
                let ports = parse_port(count)
                    .and_then(|count| services::MOST_COMMON.get(..usize::from(count)))
                    .ok_or_else(|| PortListError::NotAnItem(item.into()))?;
                if ports.len() > most_common.len() {
                    most_common = ports;
                }
            } else {
                written.push(parse_range(item)?);
            }
        }
        written.sort_unstable();
        if let Some(pair) = written.windows(2).find(|pair| pair[1].0 <= pair[0].1) {
            return Err(PortListError::Overlap(pair[1].0));
        }
        written.extend(most_common.iter().map(|&port| (port, port)).chain(all));
        Ok(Self::from_merged(written))
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.ranges.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match range {
                PortRange { first, last, .. } if first == last => write!(f, "{first}")?,
                PortRange { first, last, .. } => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// Inclusive bounds, and how many ports the ranges before it hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PortRange {
    first: u16,
    last: u16,
    before: u32,
}

fn parse_range(item: &str) -> Result<(u16, u16), PortListError> {
    let not_an_item = || PortListError::NotAnItem(item.into());
    let (first, last) = match item.split_once('-') {
        Some((first, last)) => (parse_port(first), parse_port(last)),
        None => (parse_port(item), parse_port(item)),
    };
    let (first, last) = first.zip(last).ok_or_else(not_an_item)?;
    if first > last {
        return Err(PortListError::Backwards(first, last));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(list: &str) -> PortSet {
        list.parse().unwrap()
    }

    #[test]
    fn lists_are_sorted_and_neighbours_merge() {
        assert_eq!(set("81,22,80,8000-8100").to_string(), "22,80-81,8000-8100");
        assert_eq!(set("all"), PortSet::all());
        assert_eq!(set("65535").iter().collect::<Vec<_>>(), [65535]);
    }

    #[test]
    fn named_sets_hold_as_many_ports_as_they_say_and_may_overlap_numbers() {
        assert_eq!(set("top100").len(), 100);
        assert_eq!(set("top1000").len(), 1000);
        assert_eq!(set("22,80,top100"), set("top100"));
        assert_eq!(set("top10,top1000,top100,top1000"), set("top1000"));
        assert_eq!(set("all,top10,all"), PortSet::all());
        assert!(set("1,top100").contains(1));
    }

    #[test]
    fn malformed_lists_say_what_is_wrong() {
        use PortListError::*;
        for (list, error) in [
            ("", EmptyItem),
            ("22,", EmptyItem),
            ("0", NotAnItem("0".into())),
            ("65536", NotAnItem("65536".into())),
            ("+80", NotAnItem("+80".into())),
            (" 80", NotAnItem(" 80".into())),
            ("1e3", NotAnItem("1e3".into())),
            ("-5", NotAnItem("-5".into())),
            ("5-", NotAnItem("5-".into())),
            ("1-2-3", NotAnItem("1-2-3".into())),
            ("top0", NotAnItem("top0".into())),
            ("top1001", NotAnItem("top1001".into())),
            ("90-80", Backwards(90, 80)),
            ("80,80", Overlap(80)),
            ("1-100,50", Overlap(50)),
        ] {
            assert_eq!(list.parse::<PortSet>(), Err(error), "{list:?}");
        }
        assert_eq!(PortSet::try_range(0, 5), Err(NotAnItem("0".into())));
        assert_eq!(PortSet::try_range(9, 5), Err(Backwards(9, 5)));
        assert_eq!(PortSet::from_ports([]), None);
        assert_eq!(PortSet::from_ports([80, 0]), None);
    }

    #[test]
    fn nothing_is_left_of_a_set_without_all_ports() {
        assert_eq!(set("1,65535").difference(&PortSet::all()), None);
        assert_eq!(set("1-99").intersection(&set("100-65535")), None);
        assert_eq!(PortSet::all().difference(&set("1,80,65535")), Some(set("2-79,81-65534")));
        assert_eq!(PortSet::all().intersection(&set("1,65535")), Some(set("1,65535")));
    }

    fn some_ports() -> impl Strategy<Value = BTreeSet<u16>> {
        prop_oneof![
            prop::collection::btree_set(1..=u16::MAX, 1..60),
            prop::collection::btree_set(1..=80u16, 1..60),
            prop::collection::btree_set(65_500..=u16::MAX, 1..30),
        ]
    }

    proptest! {
        #[test]
        fn parse_of_print_is_identity(ports in some_ports()) {
            let set = PortSet::from_ports(ports.iter().copied()).unwrap();
            prop_assert_eq!(set.to_string().parse::<PortSet>().unwrap(), set.clone());
            prop_assert!(set.iter().eq(ports.iter().copied()));
            prop_assert_eq!(set.len() as usize, ports.len());
        }

        #[test]
        fn an_index_addresses_every_port_once(ports in some_ports()) {
            let bounds = ports.iter().map(|&port| (port, port)).collect();
            let set = PortSet::from_merged(bounds);
            prop_assert!((0..).map_while(|index| set.nth(index)).eq(set.iter()));
            prop_assert_eq!(set.nth(set.len()), None);
            for port in 1..=u16::MAX {
                prop_assert_eq!(set.contains(port), ports.contains(&port));
            }
        }

        #[test]
        fn sets_combine_port_by_port(one in some_ports(), two in some_ports()) {
            let set = |ports: &BTreeSet<u16>| {
                PortSet::from_merged(ports.iter().map(|&port| (port, port)).collect())
            };
            let ports = |set: Option<PortSet>| {
                set.map_or_else(Vec::new, |set| set.iter().collect())
            };
            let both: Vec<u16> = one.intersection(&two).copied().collect();
            let rest: Vec<u16> = one.difference(&two).copied().collect();
            prop_assert_eq!(ports(set(&one).intersection(&set(&two))), both);
            prop_assert_eq!(ports(set(&one).difference(&set(&two))), rest);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[-0-9,aeltop+ \\PC]{0,40}") {
            if let Ok(set) = text.parse::<PortSet>() {
                prop_assert!(set.len() > 0 && set.first() <= set.last());
            }
        }
    }
}
