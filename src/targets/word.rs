//! One word of a list of hosts: a name, an address, a network or a range, with or without
//! a port.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

use super::addresses::AddressRange;
use super::shard;
use crate::host::{Host, HostError};
use crate::ports::parse_port;

/// The hosts that one word names: a name, an address, a network (`10.0.0.0/24`) or a
/// range (`10.0.0.1-10.0.0.50`, or short `10.0.0.1-50`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostSpec {
    /// A name for the resolver.
    Name(String),
    /// Addresses.
    Addresses(AddressRange),
}

/// The hosts that one word names, and the port behind them if there is one
/// (`web.internal:443`, `[::1]:22`), as the format plain has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostAndPort {
    /// The hosts.
    pub(crate) hosts: HostSpec,
    /// The port.
    pub(crate) port: Option<u16>,
}

/// Why a word names no hosts. The message says what to write.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum HostSpecError {
    /// It is not a host.
    #[error("{0}")]
    Host(HostError),
    /// A port after the host.
    #[error("holds a port; give the host alone, and ports with -p")]
    Port,
    /// A port after the host that is none.
    #[error("has a port that is none; ports are 1 to 65535")]
    NoPort,
    /// A port after the host that is not scanned.
    #[error("names a port that is not to be scanned; give all ports with -p")]
    OtherPort,
    /// What follows the slash is not a prefix length.
    #[error("must have a prefix length of 0 to {0} after the slash")]
    Prefix(u8),
    /// An invalid range.
    #[error("is not a range; write one like 10.0.0.1-10.0.0.50, or short 10.0.0.1-50")]
    Range,
    /// More addresses than all of IPv4 has.
    #[error("has more than 4294967296 addresses; name a part of it")]
    TooMany,
}

impl HostSpec {
    /// The checksum of a list that goes on with this word.
    pub(super) fn checksum(before: u64, word: &Self) -> u64 {
        match word {
            Self::Name(name) => shard::hash(before.to_le_bytes().into_iter().chain(name.bytes())),
            Self::Addresses(range) => range.checksum(before),
        }
    }
}

impl FromStr for HostAndPort {
    type Err = HostSpecError;

    /// A comma may follow, as in a list that was copied.
    fn from_str(word: &str) -> Result<Self, HostSpecError> {
        let word = word.strip_suffix(',').unwrap_or(word);
        if let Some((host, port)) = word.rsplit_once(':')
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && (!host.contains(':') || (host.starts_with('[') && host.contains(']')))
        {
            let port = parse_port(port).ok_or(HostSpecError::NoPort)?;
            return Ok(Self { hosts: host.parse()?, port: Some(port) });
        }
        Ok(Self { hosts: word.parse()?, port: None })
    }
}

impl FromStr for HostSpec {
    type Err = HostSpecError;

    fn from_str(word: &str) -> Result<Self, HostSpecError> {
        if let Some((address, length)) = word.split_once('/')
            && let Some(address) = parse_address(address)
        {
            return network(address, length).map(Self::Addresses);
        }
        if let Some((first, last)) = word.split_once('-')
            && let Some(first) = parse_address(first)
        {
            return range(first, last).map(Self::Addresses);
        }
        // This is not a name: what follows the last dot of one is never a number.
        let octets = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b',');
        if word.contains(['-', ',']) && word.bytes().all(octets) {
            return Err(HostSpecError::Range);
        }
        match word.parse() {
            Ok(Host::Address(address)) => Ok(Self::Addresses(AddressRange::single(address))),
            Ok(Host::Name(name)) => Ok(Self::Name(name)),
            Err(HostError::Port) => Err(HostSpecError::Port),
            Err(error) => Err(HostSpecError::Host(error)),
        }
    }
}

/// Reads an address, with or without brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok()
}

/// The network that `address` is in.
// Bits below the prefix are not an error as they are in a policy: all network
// scanners take 10.0.0.5/24 as 10.0.0.0/24.
fn network(address: IpAddr, length: &str) -> Result<AddressRange, HostSpecError> {
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let digits = length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse().ok().filter(|_| digits);
    let net = length.and_then(|length| IpNet::new(address, length).ok());
    let net = net.ok_or(HostSpecError::Prefix(longest))?;
    few(AddressRange::try_new(net.network(), net.broadcast()))
}

fn range(first: IpAddr, last: &str) -> Result<AddressRange, HostSpecError> {
    let last = match (first, last.parse::<u8>()) {
        (IpAddr::V4(first), Ok(octet)) => {
            let [a, b, c, _] = first.octets();
            Some(Ipv4Addr::new(a, b, c, octet).into())
        }
        _ => parse_address(last),
    };
    few(last.and_then(|last| AddressRange::try_new(first, last)))
}

/// Refuses a range that could not be scanned in a lifetime.
fn few(range: Option<AddressRange>) -> Result<AddressRange, HostSpecError> {
    match range {
        None => Err(HostSpecError::Range),
        Some(range) if range.span() > u32::MAX.into() => Err(HostSpecError::TooMany),
        Some(range) => Ok(range),
    }
}
