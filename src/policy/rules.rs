//! Rules, and which destinations each matches.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::slice;

use ipnet::IpNet;

use super::destination::Destination;
use crate::ports::PortSet;

/// A list of rules, in the order written.
///
/// It is written as `none`, or as rules separated by commas, with or without spaces
/// around them. A rule is an address (`10.0.0.5`, `fd00::1`), a network
/// (`10.0.0.0/8`, `fd00::/8`) or one of
///
/// - `any`: every address,
/// - `private`: 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16 (RFC 1918),
///   100.64.0.0/10 (RFC 6598) and fc00::/7 (RFC 4193),
/// - `link-local`: 169.254.0.0/16 (RFC 3927) and fe80::/10 (RFC 4291),
/// - `loopback`: 127.0.0.0/8 (RFC 1122) and ::1 (RFC 4291),
///
/// and may end with a port or a range (`10.0.0.0/8:22`, `any:8000-8100`), for
/// IPv6 after brackets (`[fd00::1]:22`, `[fd00::/8]:22`). To give an address
/// several ports, repeat it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(pub(super) Vec<Rule>);

/// Addresses and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub(super) addresses: Addresses,
    pub(super) ports: PortSet,
}

impl Rules {
    /// No rule at all.
    #[must_use]
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// The rule `any`.
    #[must_use]
    pub fn any() -> Self {
        Self(vec![Rule { addresses: Addresses::Any, ports: PortSet::all() }])
    }

    /// Whether there is no rule.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rules in the order written.
    pub(crate) fn iter(&self) -> slice::Iter<'_, Rule> {
        self.0.iter()
    }
}

impl Rule {
    /// The ports that the rule matches.
    #[must_use]
    pub(crate) fn ports(&self) -> &PortSet {
        &self.ports
    }

    pub(super) fn allows(&self, destination: &Destination) -> bool {
        self.addresses.nets().iter().any(|net| destination.is_meant_by(net))
            || self.addresses == Addresses::Any
    }

    /// The address of the destination that the rule denies.
    pub(super) fn denies(&self, destination: &Destination) -> Option<IpAddr> {
        self.addresses.nets().iter().find_map(|net| destination.face_in(net))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    Any,
    Private,
    LinkLocal,
    Loopback,
    Net(IpNet),
}

impl Addresses {
    pub(super) const NAMED: [(&str, Self); 4] = [
        ("any", Self::Any),
        ("private", Self::Private),
        ("link-local", Self::LinkLocal),
        ("loopback", Self::Loopback),
    ];

    fn nets(&self) -> &[IpNet] {
        match self {
            Self::Any => ANY,
            Self::Private => PRIVATE,
            Self::LinkLocal => LINK_LOCAL,
            Self::Loopback => LOOPBACK,
            Self::Net(net) => slice::from_ref(net),
        }
    }
}

const ANY: &[IpNet] = &[v4([0, 0, 0, 0], 0), v6([0; 8], 0)];

// The shared address space is included, although the standard libraries of Python
// and Go do not count it as private: clusters number their pods from it, and an
// operator who denies `private` means everything that is not the internet.
const PRIVATE: &[IpNet] = &[
    v4([10, 0, 0, 0], 8),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    v4([100, 64, 0, 0], 10),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
];

// Not part of `private`: clouds offer services to the machine itself there, and a
// rule about an organisation's own networks should not allow these.
const LINK_LOCAL: &[IpNet] = &[v4([169, 254, 0, 0], 16), v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10)];

const LOOPBACK: &[IpNet] = &[v4([127, 0, 0, 0], 8), v6([0, 0, 0, 0, 0, 0, 0, 1], 128)];

pub(super) const fn v4(octets: [u8; 4], prefix: u8) -> IpNet {
    let [a, b, c, d] = octets;
    IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix)
}

pub(super) const fn v6(segments: [u16; 8], prefix: u8) -> IpNet {
    let [a, b, c, d, e, f, g, h] = segments;
    IpNet::new_assert(IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), prefix)
}
