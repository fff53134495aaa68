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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The same at the prompt, where more is accepted.
    #[error(
        "{0:?} is not a port (1 to 65535), a range (8000-8100, 8000- or -1024), a service (https), \
         top1 to top1000, or all"
    )]
    NotTyped(String),
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

    /// This many of the most common ports; `None` unless it is 1 to 1000.
    #[must_use]
    pub fn most_common(count: usize) -> Option<Self> {
        services::MOST_COMMON.get(..count).and_then(|ports| Self::from_ports(ports.iter().copied()))
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

    /// The ports that are in one of the sets or in both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::from_merged(self.ranges().chain(other.ranges()).collect())
    }

    /// The ports that are in one of many sets or in several; `None` without a set.
    #[must_use]
    pub fn union_of(sets: &[Self]) -> Option<Self> {
        let bounds: Vec<(u16, u16)> = sets.iter().flat_map(Self::ranges).collect();
        (!bounds.is_empty()).then(|| Self::from_merged(bounds))
    }

    /// The ports that are in both sets; `None` when there are none.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        self.overlap(&other.ranges().collect::<Vec<_>>())
    }

    /// The ports of this set that are not in `other`; `None` when there are
    /// none.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<Self> {
        let mut gaps = Vec::new();
        let mut start = Some(1);
        for (first, last) in other.ranges() {
            gaps.extend(start.filter(|&start| start < first).map(|start| (start, first - 1)));
            start = last.checked_add(1);
        }
        gaps.extend(start.map(|start| (start, u16::MAX)));
        self.overlap(&gaps)
    }

    /// What lies within one of `others`, which are sorted and disjoint.
    fn overlap(&self, others: &[(u16, u16)]) -> Option<Self> {
        let mut common = Vec::new();
        for (first, last) in self.ranges() {
            let near = others.partition_point(|other| other.1 < first);
            let reached = others[near..].iter().take_while(|other| other.0 <= last);
            common.extend(reached.map(|other| (first.max(other.0), last.min(other.1))));
        }
        (!common.is_empty()).then(|| Self::from_merged(common))
    }

    /// Reads what a person types: a list as [`Self::from_str`] reads it, and also names
    /// of services (`https`), ranges without one end (`8000-` and `-1024`) or without
    /// both, and a comma at the end.
    ///
    /// # Errors
    /// When an item is none of these.
    pub fn typed(list: &str) -> Result<Self, PortListError> {
        let list = list.strip_suffix(',').filter(|list| !list.is_empty()).unwrap_or(list);
        Self::read(list, typed_item)
    }

    /// Reads a list whose items, other than named sets, are read by `item`.
    fn read(
        list: &str,
        item: impl Fn(&str) -> Result<Item, PortListError>,
    ) -> Result<Self, PortListError> {
        let mut written: Vec<(u16, u16)> = Vec::new();
        let mut named: Vec<(u16, u16)> = Vec::new();
        // A larger named set contains the smaller ones, so only the largest is kept: a
        // list that names a thousand of them takes no more memory.
        let mut most_common: &[u16] = &[];
        for text in list.split(',') {
            if text.is_empty() {
                return Err(PortListError::EmptyItem);
            }
            if text == "all" {
                named = vec![(1, u16::MAX)];
                continue;
            }
            if let Some(ports) = most_common_ports(text) {
                if ports.len() > most_common.len() {
                    most_common = ports;
                }
                continue;
            }
            match item(text)? {
                Item::Range(first, last) if first > last => {
                    return Err(PortListError::Backwards(first, last));
                }
                Item::Range(first, last) => written.push((first, last)),
                Item::Service(ports) => named.extend(ports.into_iter().map(|port| (port, port))),
            }
        }
        written.sort_unstable();
        if let Some(pair) = written.windows(2).find(|pair| pair[1].0 <= pair[0].1) {
            return Err(PortListError::Overlap(pair[1].0));
        }
        written.extend(most_common.iter().map(|&port| (port, port)).chain(named));
        Ok(Self::from_merged(written))
    }

    /// The ranges of successive ports, in ascending order: the first and the last of each.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
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
        Self::read(list, |item| {
            let range = match item.split_once('-') {
                Some((first, last)) => parse_port(first).zip(parse_port(last)),
                None => parse_port(item).map(|port| (port, port)),
            };
            let (first, last) = range.ok_or_else(|| PortListError::NotAnItem(item.into()))?;
            Ok(Item::Range(first, last))
        })
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PortRange {
    first: u16,
    last: u16,
    before: u32,
}

/// An item of a list that is no named set.
enum Item {
    /// The first port and the last.
    Range(u16, u16),
    /// The ports of a service.
    Service(Vec<u16>),
}

/// The ports of `top1` to `top1000`.
fn most_common_ports(item: &str) -> Option<&'static [u16]> {
    let count = item.strip_prefix("top").and_then(parse_port)?;
    services::MOST_COMMON.get(..usize::from(count))
}

fn typed_item(item: &str) -> Result<Item, PortListError> {
    let bound = |text: &str, open| if text.is_empty() { Some(open) } else { parse_port(text) };
    let range = match item.split_once('-') {
        Some((first, last)) => bound(first, 1).zip(bound(last, u16::MAX)),
        None => parse_port(item).map(|port| (port, port)),
    };
    if let Some((first, last)) = range {
        return Ok(Item::Range(first, last));
    }
    match services::ports_of(item) {
        ports if ports.is_empty() => Err(PortListError::NotTyped(item.into())),
        ports => Ok(Item::Service(ports)),
    }
}

#[cfg(test)]
mod tests;
