//! The order in which hosts were typed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{AddressRange, HostSpec};

/// The words that were typed, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct TypedOrder {
    /// The position of the first word that is this name.
    names: HashMap<String, usize>,
    /// The position of the first word that is this address alone.
    addresses: HashMap<IpAddr, usize>,
    /// Words that are several addresses, and their positions.
    ranges: Vec<(AddressRange, usize)>,
}

/// The position of a host: by the word that names it, then by its number as an address.
/// Hosts of a list come after all words, addresses first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostPosition {
    word: usize,
    number: u128,
    host: Arc<str>,
}

impl TypedOrder {
    /// The order of `words`.
    #[must_use]
    pub(crate) fn new(words: &[HostSpec]) -> Self {
        let mut order = Self::default();
        for (position, word) in words.iter().enumerate() {
            match word {
                HostSpec::Name(name) => {
                    order.names.entry(name.clone()).or_insert(position);
                }
                HostSpec::Addresses(range) if range.span() == 0 => {
                    order.addresses.entry(range.first()).or_insert(position);
                }
                HostSpec::Addresses(range) => order.ranges.push((*range, position)),
            }
        }
        order
    }

    /// The position of `host`, a name or an address.
    #[must_use]
    pub(crate) fn position(&self, host: &str) -> HostPosition {
        let name = Arc::from(host);
        let Ok(address) = host.parse::<IpAddr>() else {
            let word = self.names.get(host).copied().unwrap_or(usize::MAX);
            return HostPosition { word, number: u128::MAX, host: name };
        };
        let range = self.ranges.iter().find(|(range, _)| range.contains(address));
        let range = range.map(|&(_, position)| position);
        let alone = self.addresses.get(&address).copied();
        let word = alone.into_iter().chain(range).min().unwrap_or(usize::MAX);
        let number = AddressRange::single(address).number();
        HostPosition { word, number, host: name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_come_in_the_order_typed_and_those_of_a_list_behind_them() {
        let words = ["web", "10.0.0.9", "10.0.0.0/28", "fd00::1", "10.0.0.3", "db", "web"];
        let words: Vec<HostSpec> = words.iter().map(|word| word.parse().unwrap()).collect();
        let order = TypedOrder::new(&words);
        let mut hosts = vec![
            "zone",
            "10.0.0.3",
            "10.0.0.10",
            "db",
            "fd00::2",
            "10.0.0.9",
            "10.1.0.1",
            "alone",
            "web",
            "10.0.0.2",
            "fd00::1",
        ];
        hosts.sort_by_cached_key(|host| order.position(host));
        assert_eq!(
            hosts,
            [
                "web",
                "10.0.0.9",
                "10.0.0.2",
                "10.0.0.3",
                "10.0.0.10",
                "fd00::1",
                "db",
                "10.1.0.1",
                "fd00::2",
                "alone",
                "zone"
            ]
        );
    }
}
