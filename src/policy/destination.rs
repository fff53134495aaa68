//! Where a connection to an address ends: IPv6 has many notations for an IPv4
//! host, and a rule about the host must hold in each of them.
//!
//! Prefixes that an operator chose freely cannot be known here: a NAT64 prefix
//! out of the operator's own network (RFC 6052, section 2.2), 6rd (RFC 5969),
//! MAP (RFC 7597). Who has one denies it, or what it must not reach, by a rule.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

/// An address that was asked for, and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) way: Way,
    /// The addresses it goes by. The one asked for comes last, because the
    /// IPv4 host behind it explains more.
    pub(super) faces: Vec<IpAddr>,
}

/// How a connection gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As the address says.
    Direct,
    /// The kernel speaks IPv4 with the host in the address.
    Mapped,
    /// A NAT64 speaks IPv4 with the host in the address.
    Nat64,
    /// A NAT64 does, and it alone knows where in the address the host is.
    LocalNat64,
    /// Through a tunnel of this kind, to an IPv4 host or past it.
    Tunnel(&'static str),
}

impl Destination {
    pub(super) fn of(asked: IpAddr) -> Self {
        let (way, hosts) = match asked {
            IpAddr::V4(_) => (Way::Direct, Vec::new()),
            IpAddr::V6(asked) => unwrap(asked),
        };
        let faces = hosts.into_iter().map(IpAddr::from).chain([asked]).collect();
        Self { way, faces }
    }

    /// The first of its faces that lies within `net`. Whoever forbids `net`
    /// forbids the destination by any of them.
    pub(super) fn face_in(&self, net: &IpNet) -> Option<IpAddr> {
        self.faces.iter().copied().find(|face| net.contains(face))
    }

    /// Whether whoever allows `net` means this destination.
    ///
    /// An IPv4 host is meant by IPv4 networks. Behind a translator it is also
    /// meant by a network within the translator's prefix; a wider one, such as
    /// `::/0`, was not written with IPv4 hosts in mind.
    pub(super) fn is_meant_by(&self, net: &IpNet) -> bool {
        let asked = self.asked();
        let names = |prefix| IpNet::V6(prefix).contains(net) && net.contains(&asked);
        match self.way {
            Way::Direct => net.contains(&asked),
            Way::Mapped => net.contains(&self.faces[0]),
            Way::Nat64 => net.contains(&self.faces[0]) || names(NAT64),
            Way::LocalNat64 => names(LOCAL_NAT64),
            Way::Tunnel(_) => false,
        }
    }

    /// The address that best says where the connection would end.
    pub(super) fn end(&self) -> IpAddr {
        match self.way {
            Way::Mapped | Way::Nat64 => self.faces[0],
            Way::Direct | Way::LocalNat64 | Way::Tunnel(_) => self.asked(),
        }
    }

    fn asked(&self) -> IpAddr {
        *self.faces.last().expect("never empty: the address asked for is one")
    }
}

/// The way to an IPv6 address, and the IPv4 hosts it may stand for.
fn unwrap(asked: Ipv6Addr) -> (Way, Vec<Ipv4Addr>) {
    let octets = asked.octets();
    let at = |places: [usize; 4]| Ipv4Addr::from(places.map(|place| octets[place]));
    let last = at([12, 13, 14, 15]);
    if MAPPED.contains(&asked) {
        (Way::Mapped, vec![last])
    } else if NAT64.contains(&asked) {
        (Way::Nat64, vec![last])
    } else if LOCAL_NAT64.contains(&asked) {
        // RFC 6052, section 2.2: where prefixes of 48, 56, 64 and 96 bits put
        // the host; octet 8 is never part of it.
        let places = [at([6, 7, 9, 10]), at([7, 9, 10, 11]), at([9, 10, 11, 12]), last];
        (Way::LocalNat64, likely(places))
    } else {
        (tunnel(asked).map_or(Way::Direct, Way::Tunnel), Vec::new())
    }
}

/// The places that hold a host. The others hold what pads it, mostly zeros:
/// what these spell, an address in 0.0.0.0/8, must not condemn the host.
fn likely(places: [Ipv4Addr; 4]) -> Vec<Ipv4Addr> {
    let mut hosts = places.to_vec();
    hosts.retain(|host| host.octets()[0] != 0);
    if hosts.is_empty() { places.to_vec() } else { hosts }
}

/// The kind of tunnel that an address belongs to. Each is of the past, and
/// nothing else uses these addresses, so that what a tunnel would reach need
/// not be found out.
fn tunnel(asked: Ipv6Addr) -> Option<&'static str> {
    match asked.segments() {
        // RFC 3056; deprecated by RFC 7526.
        [0x2002, ..] => Some("6to4"),
        // RFC 4380.
        [0x2001, 0, ..] => Some("teredo"),
        // RFC 5214, section 6.1: the second with the bit for "globally unique".
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => Some("isatap"),
        // IPv4-translated, RFC 2765, section 2.1; gone with RFC 6145.
        [0, 0, 0, 0, 0xffff, 0, _, _] => Some("ipv4-translated"),
        // `::` and `::1` have meanings of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // IPv4-compatible; deprecated by RFC 4291, section 2.5.5.1.
        [0, 0, 0, 0, 0, 0, _, _] => Some("ipv4-compatible"),
        _ => None,
    }
}

/// IPv4-mapped addresses, RFC 4291, section 2.5.5.2: a socket that connects to
/// one sends IPv4 (RFC 3493, section 3.7).
pub(super) const MAPPED: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

/// The well-known prefix of NAT64, RFC 6052, section 2.1.
const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// The prefix for a network's own NAT64, RFC 8215. Its section 5 forbids to
/// assume anything of where in an address the IPv4 host is.
const LOCAL_NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48);

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(address: &str) -> (Way, Vec<String>) {
        let Destination { way, faces } = Destination::of(address.parse().unwrap());
        (way, faces.iter().map(IpAddr::to_string).collect())
    }

    #[test]
    fn an_ipv4_host_is_found_in_each_notation() {
        assert_eq!(destination("10.0.0.1"), (Way::Direct, vec!["10.0.0.1".into()]));
        assert_eq!(
            destination("::ffff:10.0.0.1"),
            (Way::Mapped, vec!["10.0.0.1".into(), "::ffff:10.0.0.1".into()])
        );
        assert_eq!(
            destination("64:ff9b::a00:1"),
            (Way::Nat64, vec!["10.0.0.1".into(), "64:ff9b::a00:1".into()])
        );
    }

    #[test]
    fn a_network_s_own_nat64_may_write_the_host_at_four_places() {
        // RFC 6052, section 2.4, has 192.0.2.33 written under each length.
        for (address, hosts) in [
            ("64:ff9b:1:c000:2:2100::", "192.0.2.33 2.33.0.0"),
            ("64:ff9b:1:aac0:0:221::", "170.192.0.2 192.0.2.33"),
            ("64:ff9b:1:aabb:c0:2:2100::", "170.187.192.0 187.192.0.2 192.0.2.33 33.0.0.0"),
            ("64:ff9b:1::192.0.2.33", "192.0.2.33"),
            ("64:ff9b:1::0.0.2.33", "0.0.0.0 0.0.0.0 0.0.0.0 0.0.2.33"),
        ] {
            let (way, mut faces) = destination(address);
            assert_eq!(faces.pop(), Some(canonical(address)));
            assert_eq!((way, faces.join(" ")), (Way::LocalNat64, hosts.into()), "{address}");
        }
    }

    fn canonical(address: &str) -> String {
        address.parse::<IpAddr>().unwrap().to_string()
    }

    #[test]
    fn tunnels_are_known_and_their_neighbours_are_not_taken_for_them() {
        for (address, kind) in [
            ("2002:a9fe:a9fe::1", Some("6to4")),
            ("2001::1", Some("teredo")),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Some("teredo")),
            ("fe80::5efe:169.254.169.254", Some("isatap")),
            ("2001:db8::200:5efe:10.0.0.1", Some("isatap")),
            ("::ffff:0:169.254.169.254", Some("ipv4-translated")),
            ("::169.254.169.254", Some("ipv4-compatible")),
            ("::2", Some("ipv4-compatible")),
            ("::", None),
            ("::1", None),
            ("2001:db8::1", None),
            ("2003::1", None),
            ("64:ff9b:0:0:0:1:a9fe:a9fe", None),
            ("64:ff9b:2::a9fe:a9fe", None),
            ("::fffe:0:1", None),
            ("fd00::5efe", None),
        ] {
            let way = kind.map_or(Way::Direct, Way::Tunnel);
            assert_eq!(destination(address), (way, vec![canonical(address)]));
        }
    }
}
