//! The networks that this host is attached to, whose addresses take entries of the
//! neighbour table.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The first and last addresses of the attached networks; empty if the kernel does not
/// show its routes.
pub(crate) fn attached_networks() -> Vec<(IpAddr, IpAddr)> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let mut networks: Vec<_> = read("/proc/net/route").lines().filter_map(ipv4_route).collect();
    networks.extend(read("/proc/net/ipv6_route").lines().filter_map(ipv6_route));
    networks
}

/// The network of a line of /proc/net/route, if it has no gateway. The numbers are in
/// the byte order of this machine (fib_route_seq_show in net/ipv4/fib_trie.c).
fn ipv4_route(line: &str) -> Option<(IpAddr, IpAddr)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let &[interface, network, gateway, flags, _, _, _, mask, ..] = &fields[..] else {
        return None;
    };
    let number = |field| u32::from_str_radix(field, 16).ok();
    let address = |field| Some(Ipv4Addr::from(number(field)?.to_ne_bytes()).to_bits());
    let (network, mask) = (address(network)?, address(mask)?);
    let is_attached = number(gateway)? == 0 && number(flags)? & (UP | REJECT) == UP;
    // A route to everything that needs no gateway leads into a tunnel.
    (is_attached && mask != 0 && interface != LOOPBACK).then(|| {
        let [first, last] = [network, network | !mask].map(|it| IpAddr::V4(it.into()));
        (first, last)
    })
}

/// The network of a line of /proc/net/ipv6_route, if it has no gateway
/// (rt6_info_route in net/ipv6/ip6_fib.c).
fn ipv6_route(line: &str) -> Option<(IpAddr, IpAddr)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let &[network, length, _, _, gateway, _, _, _, flags, interface] = &fields[..] else {
        return None;
    };
    let address = |field| u128::from_str_radix(field, 16).ok();
    let number = |field| u32::from_str_radix(field, 16).ok();
    let (network, length) = (address(network)?, number(length)?);
    let is_attached = address(gateway)? == 0 && number(flags)? & (UP | REJECT | LOCAL) == UP;
    let is_multicast = Ipv6Addr::from_bits(network).is_multicast();
    (is_attached && !is_multicast && length != 0 && interface != LOOPBACK).then(|| {
        let hosts = u128::MAX.checked_shr(length).unwrap_or(0);
        let [first, last] = [network, network | hosts].map(|it| IpAddr::V6(it.into()));
        (first, last)
    })
}

const LOOPBACK: &str = "lo";

// RTF_UP, RTF_REJECT and RTF_LOCAL of linux/route.h and linux/ipv6_route.h.
const UP: u32 = 0x1;
const REJECT: u32 = 0x200;
const LOCAL: u32 = 0x8000_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_without_a_gateway_lead_to_attached_networks() {
        let hex = |address: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(address));
        let route = |interface: &str, network, gateway, flags: &str, mask| {
            let [network, gateway, mask] = [network, gateway, mask].map(hex);
            ipv4_route(&format!(
                "{interface}\t{network}\t{gateway}\t{flags}\t0\t0\t0\t{mask}\t0\t0"
            ))
        };
        let (net, none, mask) = ([10, 1, 0, 0], [0; 4], [255, 255, 0, 0]);
        let both = (IpAddr::from([10, 1, 0, 0]), IpAddr::from([10, 1, 255, 255]));
        assert_eq!(route("eth0", net, none, "0001", mask), Some(both));
        assert_eq!(route("eth0", net, [10, 0, 0, 1], "0003", mask), None);
        assert_eq!(route("lo", net, none, "0001", mask), None);
        assert_eq!(route("tun0", none, none, "0001", none), None);
        assert_eq!(route("*", net, none, "0201", mask), None);
        assert_eq!(
            ipv4_route("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask"),
            None
        );
    }

    #[test]
    fn so_do_those_of_ipv6_except_multicast_and_own_addresses() {
        let zero = "0".repeat(32);
        let route = |network: &str, length: &str, gateway: &str, flags: &str, interface: &str| {
            ipv6_route(&format!(
                "{network} {length} {zero} 00 {gateway} 00000100 00000001 00000000 {flags} {interface}"
            ))
        };
        let net = "fd000000000000010000000000000000";
        let both =
            ("fd00:0:0:1::".parse().unwrap(), "fd00:0:0:1:ffff:ffff:ffff:ffff".parse().unwrap());
        assert_eq!(route(net, "40", &zero, "00000001", "eth0"), Some(both));
        let one = "fd00:0:0:1::".parse().unwrap();
        assert_eq!(route(net, "80", &zero, "00000001", "eth0"), Some((one, one)));
        let router = "fe800000000000000000000000000001";
        assert_eq!(route(net, "40", router, "00000003", "eth0"), None);
        assert_eq!(route(net, "80", &zero, "80200001", "eth0"), None);
        assert_eq!(route(net, "40", &zero, "00000001", "lo"), None);
        let multicast = "ff000000000000000000000000000000";
        assert_eq!(route(multicast, "08", &zero, "00000001", "eth0"), None);
        assert_eq!(route(&zero, "00", &zero, "00000001", "tun0"), None);
    }
}
