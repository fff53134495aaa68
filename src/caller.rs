//! The caller of a request, and the account that its limits are counted by.
//!
//! All who use one token share an account. Without tokens, all at one IPv4
//! address, or in one IPv6 network, share one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// Who sent a request, printed as in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A client with the token of this name.
    Token(String),
    /// A client at this address.
    Address(IpAddr),
}

/// What the limits of one caller are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Account {
    /// All clients with the token of this name.
    Token(String),
    /// All clients in one neighbourhood.
    Neighbourhood(Neighbourhood),
}

/// Where a client is: its IPv4 address, or its IPv6 network, because a host may
/// use any number of addresses there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Neighbourhood {
    /// One address.
    Ipv4(Ipv4Addr),
    /// The first 64 bits of an address.
    Ipv6([u16; 4]),
}

impl Caller {
    /// The account of the caller's requests.
    #[must_use]
    pub(crate) fn account(&self) -> Account {
        match self {
            Self::Token(name) => Account::Token(name.clone()),
            Self::Address(address) => Account::Neighbourhood(Neighbourhood::of(*address)),
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl Neighbourhood {
    /// The neighbourhood of `address`.
    #[must_use]
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::Ipv4(address),
            IpAddr::V6(address) => {
                let [network @ .., _, _, _, _] = address.segments();
                Self::Ipv6(network)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbourhood_is_an_ipv4_address_or_an_ipv6_network() {
        let same = |a: &str, b: &str| {
            Neighbourhood::of(a.parse().unwrap()) == Neighbourhood::of(b.parse().unwrap())
        };
        assert!(same("10.0.0.1", "::ffff:10.0.0.1"));
        assert!(same("2001:db8::1", "2001:db8::ffff:0:0:1"));
        assert!(!same("10.0.0.1", "10.0.0.2"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
    }

    #[test]
    fn a_token_named_like_an_address_has_an_account_of_its_own() {
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let (token, other) = (Caller::Token(address.to_string()), Caller::Address(address));
        assert_eq!(token.to_string(), other.to_string());
        assert_ne!(token.account(), other.account());
    }
}
