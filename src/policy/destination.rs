//! Where a connection to an address ends. IPv6 has many notations for an IPv4
//! host, and a rule about the host must match all of them.
//!
//! Prefixes that an operator chose freely cannot be known here: a NAT64 prefix
//! from the operator's own network (RFC 6052, section 2.2), 6rd (RFC 5969), MAP
//! (RFC 7597). An operator who uses one writes a rule that denies it, or what it
//! must not reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

/// A requested address, and the addresses that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) route: Route,
    /// The addresses of the destination. The requested one comes last, because the
    /// IPv4 host behind it explains more.
    pub(super) faces: Vec<IpAddr>,
}

/// How a connection gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To the address itself.
    Direct,
    /// The kernel speaks IPv4 with the host in the address.
    Mapped,
    /// A NAT64 speaks IPv4 with the host in the address.
    Nat64,
    /// A NAT64 does so, and only it knows where in the address the host is.
    LocalNat64,
    /// Through a tunnel of this kind, to an IPv4 host or beyond it.
    Tunnel(&'static str),
}

impl Destination {
    pub(super) fn of(asked: IpAddr) -> Self {
        let (route, hosts) = match asked {
            IpAddr::V4(_) => (Route::Direct, Vec::new()),
            IpAddr::V6(asked) => unwrap(asked),
        };
        let faces = hosts.into_iter().map(IpAddr::from).chain([asked]).collect();
        Self { route, faces }
    }

    /// The first of its addresses that is in `net`. A rule that denies `net` denies
    /// the destination if any of them is.
    pub(super) fn face_in(&self, net: &IpNet) -> Option<IpAddr> {
        self.faces.iter().copied().find(|face| net.contains(face))
    }

    /// Whether a rule that allows `net` allows this destination.
    ///
    /// An IPv4 network allows an IPv4 host. Behind a translator, a network within the
    /// translator's prefix allows it too; a wider one, such as `::/0`, was not written
    /// with IPv4 hosts in mind.
    pub(super) fn is_meant_by(&self, net: &IpNet) -> bool {
        let asked = self.asked();
        let names = |prefix| IpNet::V6(prefix).contains(net) && net.contains(&asked);
        match self.route {
            Route::Direct => net.contains(&asked),
            Route::Mapped => net.contains(&self.faces[0]),
            Route::Nat64 => net.contains(&self.faces[0]) || names(NAT64),
            Route::LocalNat64 => names(LOCAL_NAT64),
            Route::Tunnel(_) => false,
        }
    }

    /// The address that best names the end of the connection.
    pub(super) fn end(&self) -> IpAddr {
        match self.route {
            Route::Mapped | Route::Nat64 => self.faces[0],
            Route::Direct | Route::LocalNat64 | Route::Tunnel(_) => self.asked(),
        }
    }

    fn asked(&self) -> IpAddr {
        *self.faces.last().expect("never empty: the requested address is one")
    }
}

/// The route to an IPv6 address, and the IPv4 hosts it may stand for.
fn unwrap(asked: Ipv6Addr) -> (Route, Vec<Ipv4Addr>) {
    let octets = asked.octets();
    let at = |indices: [usize; 4]| Ipv4Addr::from(indices.map(|index| octets[index]));
    let last = at([12, 13, 14, 15]);
    if MAPPED.contains(&asked) {
        (Route::Mapped, vec![last])
    } else if NAT64.contains(&asked) {
        (Route::Nat64, vec![last])
    } else if LOCAL_NAT64.contains(&asked) {
        // RFC 6052, section 2.2: where prefixes of 48, 56, 64 and 96 bits put
        // the host; octet 8 is never part of it.
        let hosts = [at([6, 7, 9, 10]), at([7, 9, 10, 11]), at([9, 10, 11, 12]), last];
        (Route::LocalNat64, likely(hosts))
    } else {
        (tunnel(asked).map_or(Route::Direct, Route::Tunnel), Vec::new())
    }
}

/// The positions that hold a host. The others hold padding, mostly zeros. Read as a
/// host that is an address in 0.0.0.0/8, which must not get the real host refused.
fn likely(candidates: [Ipv4Addr; 4]) -> Vec<Ipv4Addr> {
    let mut hosts = candidates.to_vec();
    hosts.retain(|host| host.octets()[0] != 0);
    if hosts.is_empty() { candidates.to_vec() } else { hosts }
}

/// The kind of tunnel that an address belongs to. All kinds are obsolete, and
/// nothing else uses these addresses, so they are refused whatever they would reach.
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
        // `::` and `::1` mean something else.
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

    fn destination(address: &str) -> (Route, Vec<String>) {
        let Destination { route, faces } = Destination::of(address.parse().unwrap());
        (route, faces.iter().map(IpAddr::to_string).collect())
    }

    #[test]
    fn an_ipv4_host_is_found_in_every_notation() {
        assert_eq!(destination("10.0.0.1"), (Route::Direct, vec!["10.0.0.1".into()]));
        assert_eq!(
            destination("::ffff:10.0.0.1"),
            (Route::Mapped, vec!["10.0.0.1".into(), "::ffff:10.0.0.1".into()])
        );
        assert_eq!(
            destination("64:ff9b::a00:1"),
            (Route::Nat64, vec!["10.0.0.1".into(), "64:ff9b::a00:1".into()])
        );
    }

    #[test]
    fn a_local_nat64_may_hold_the_host_at_four_positions() {
        // RFC 6052, section 2.4, has 192.0.2.33 written under each length.
        for (address, hosts) in [
            ("64:ff9b:1:c000:2:2100::", "192.0.2.33 2.33.0.0"),
            ("64:ff9b:1:aac0:0:221::", "170.192.0.2 192.0.2.33"),
            ("64:ff9b:1:aabb:c0:2:2100::", "170.187.192.0 187.192.0.2 192.0.2.33 33.0.0.0"),
            ("64:ff9b:1::192.0.2.33", "192.0.2.33"),
            ("64:ff9b:1::0.0.2.33", "0.0.0.0 0.0.0.0 0.0.0.0 0.0.2.33"),
        ] {
            let (route, mut faces) = destination(address);
            assert_eq!(faces.pop(), Some(canonical(address)));
            assert_eq!((route, faces.join(" ")), (Route::LocalNat64, hosts.into()), "{address}");
        }
    }

    fn canonical(address: &str) -> String {
        address.parse::<IpAddr>().unwrap().to_string()
    }

    #[test]
    fn tunnels_are_recognised_and_neighbouring_addresses_are_not() {
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
            let route = kind.map_or(Route::Direct, Route::Tunnel);
            assert_eq!(destination(address), (route, vec![canonical(address)]));
        }
    }
}
