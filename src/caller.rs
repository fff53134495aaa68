//! Who asks, and on whose account it goes.
//!
//! Shares are counted by account: everyone with the same token has one, and so
//! has everyone at the same IPv4 address or in the same IPv6 network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// Who sent a request. Printed, it is what the log calls them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody with the token of this name.
    Token(String),
    /// Somebody at this address.
    Address(IpAddr),
}

/// Whose share of the service a request uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Account {
    /// All who have the token of this name.
    Token(String),
    /// All who are at one place of the network.
    Neighbourhood(Neighbourhood),
}

/// Where a client is: its IPv4 address or its IPv6 network, of whose addresses
/// every host may take as many as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Neighbourhood {
    /// One address.
    Ipv4(Ipv4Addr),
    /// The first 64 bits of an address.
    Ipv6([u16; 4]),
}

impl Caller {
    /// On whose account the caller's requests go.
    #[must_use]
    pub fn account(&self) -> Account {
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
    /// Where the client at `address` is.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
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
    fn neighbours_are_one_ipv4_address_or_one_ipv6_network() {
        let same = |a: &str, b: &str| {
            Neighbourhood::of(a.parse().unwrap()) == Neighbourhood::of(b.parse().unwrap())
        };
        assert!(same("10.0.0.1", "::ffff:10.0.0.1"));
        assert!(same("2001:db8::1", "2001:db8::ffff:0:0:1"));
        assert!(!same("10.0.0.1", "10.0.0.2"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
    }

    #[test]
    fn a_token_of_the_name_of_an_address_is_not_that_address() {
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let (token, other) = (Caller::Token(address.to_string()), Caller::Address(address));
        assert_eq!(token.to_string(), other.to_string());
        assert_ne!(token.account(), other.account());
    }
}
