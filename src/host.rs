//! A host to scan: a name or an address, and which of its addresses.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// A host to scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address; IPv4-mapped IPv6 addresses are the IPv4 address they map.
    Address(IpAddr),
    /// A name for the system's resolver. It is well-formed by RFC 1123, except that
    /// underscores are allowed, which are common in practice.
    Name(String),
}

/// Which address families to scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Family {
    /// Both.
    #[default]
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

impl Family {
    const NAMES: [(&str, Self); 3] =
        [("any", Self::Any), ("ipv4", Self::Ipv4), ("ipv6", Self::Ipv6)];

    /// The family that people call so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|&(_, family)| family)
    }

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, known)| *known == self).expect("each has a name").0
    }
}

/// Why a host was rejected. The message says what to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HostError {
    /// An empty text.
    #[error("is empty; give a host name, an IPv4 or an IPv6 address")]
    Empty,
    /// A URL.
    #[error("is a URL; give only its host, like example.org")]
    Url,
    /// A port after the host.
    #[error("holds a port; give the host alone, and ports in toPort or ports")]
    Port,
    /// An IPv6 zone.
    #[error("holds a zone id; give the address without % and what follows it")]
    Zone,
    /// A malformed IPv6 address.
    #[error("is not an IPv6 address; write one like 2001:db8::1 or [2001:db8::1]")]
    Ipv6,
    /// Letters outside ASCII.
    #[error("has letters outside ASCII; write the name in its xn-- form")]
    NotAscii,
    /// A name, or a label of it, that is too long.
    #[error("is too long; a name has at most 253 characters, and 63 between two dots")]
    TooLong,
    /// Any other malformed name.
    #[error("is not a host name; use letters, digits, hyphens and dots")]
    Malformed,
}

impl Family {
    /// Whether addresses like this one are scanned.
    #[must_use]
    pub(crate) fn includes(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
        }
    }
}

impl fmt::Display for Host {
    /// As reports name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if text.contains('/') {
            return Err(HostError::Url);
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Some(address) = bare {
            return match address.parse::<Ipv6Addr>() {
                Ok(address) => Ok(Self::Address(address.to_canonical())),
                Err(_) if address.contains('%') => Err(HostError::Zone),
                Err(_) => Err(HostError::Ipv6),
            };
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        let colons = text.bytes().filter(|&byte| byte == b':').count();
        match colons {
            _ if text.contains('%') => Err(HostError::Zone),
            0 => check_name(text).map(|()| Self::Name(text.to_owned())),
            _ if colons == 1 || text.starts_with('[') => Err(HostError::Port),
            _ => Err(HostError::Ipv6),
        }
    }
}

fn check_name(name: &str) -> Result<(), HostError> {
    if !name.is_ascii() {
        return Err(HostError::NotAscii);
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > 253 || name.split('.').any(|label| label.len() > 63) {
        return Err(HostError::TooLong);
    }
    let well_formed = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty()
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.split('.').all(well_formed) { Ok(()) } else { Err(HostError::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses_with_or_without_brackets() {
        let address = |text: &str| Host::Address(text.parse().unwrap());
        for (text, host) in [
            ("127.0.0.1", address("127.0.0.1")),
            ("::1", address("::1")),
            ("[::1]", address("::1")),
            ("[::ffff:10.0.0.1]", address("10.0.0.1")),
            ("example.org.", Host::Name("example.org.".into())),
            ("_sip.example.org", Host::Name("_sip.example.org".into())),
            // The resolver decides what these mean.
            ("127.1", Host::Name("127.1".into())),
            ("0x7f000001", Host::Name("0x7f000001".into())),
        ] {
            assert_eq!(text.parse(), Ok(host), "{text}");
        }
    }

    #[test]
    fn malformed_hosts_say_what_to_write() {
        use HostError::*;
        for (text, error) in [
            ("", Empty),
            ("http://example.org", Url),
            ("example.org/", Url),
            ("example.org:80", Port),
            ("10.0.0.1:80", Port),
            ("[::1]:80", Port),
            ("fe80::1%eth0", Zone),
            ("[fe80::1%eth0]", Zone),
            ("1:2:3", Ipv6),
            ("[1.2.3.4]", Ipv6),
            ("[]", Ipv6),
            ("bücher.example", NotAscii),
            ("a b", Malformed),
            ("a..b", Malformed),
            (".", Malformed),
            ("-a.example", Malformed),
            ("a-.example", Malformed),
            ("a\0b", Malformed),
        ] {
            assert_eq!(text.parse::<Host>(), Err(error), "{text:?}");
        }
        let label = "a".repeat(63);
        let name = [label.as_str(); 4].join(".");
        assert_eq!(name[..253].parse(), Ok(Host::Name(name[..253].into())));
        assert_eq!(name[..254].parse::<Host>(), Err(TooLong));
        assert_eq!("a".repeat(64).parse::<Host>(), Err(TooLong));
    }
}
