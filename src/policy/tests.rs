//! The layers together, over every notation of an address.

use std::net::{Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use ipnet::IpNet;
use proptest::prelude::*;

use super::notation::tests::{some_ports, some_rule, some_rules};
use super::rules::Addresses;
use super::*;

fn policy(allow: &str, deny: &str) -> Policy {
    Policy::new(allow.parse().unwrap(), deny.parse().unwrap())
}

/// The decision as text: `allowed by` the rules, or the refusal's sentence.
fn judge(policy: &Policy, address: &str, ports: &str) -> String {
    match policy.judge(address.parse().unwrap(), &ports.parse().unwrap()) {
        Decision::Allowed { rules } => format!("allowed by {}", Rules(rules)),
        Decision::Refused(refusal) => refusal.to_string(),
    }
}

/// The name of the rule that refuses the address although everything is allowed.
fn refusing(address: IpAddr) -> Option<String> {
    match policy("any", "none").judge(address, &PortSet::all()) {
        Decision::Allowed { .. } => None,
        Decision::Refused(refusal) => Some(refusal.rule.to_string()),
    }
}

/// The notations with which a connection goes to the IPv4 host itself.
fn translated(host: Ipv4Addr) -> Vec<IpAddr> {
    let [a, b, c, d] = host.octets();
    let local = |tail: [u8; 10]| {
        let mut octets = [0, 0x64, 0xff, 0x9b, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        octets[6..].copy_from_slice(&tail);
        IpAddr::from(octets)
    };
    let mut all: Vec<IpAddr> = vec![
        host.into(),
        format!("::ffff:{host}").parse().unwrap(),
        format!("64:ff9b::{host}").parse().unwrap(),
    ];
    let local = [
        local([a, b, 0, c, d, 0, 0, 0, 0, 0]),
        local([0, a, 0, b, c, d, 0, 0, 0, 0]),
        local([0, 0, 0, a, b, c, d, 0, 0, 0]),
        local([0, 0, 0, 0, 0, 0, a, b, c, d]),
        // RFC 6052 leaves the tail to the future; a translator ignores it.
        local([a, b, 0, c, d, 1, 8, 8, 8, 8]),
    ];
    // There, a host of 0.0.0.0/8 cannot be told from padding.
    all.extend(local.iter().filter(|_| a != 0));
    all
}

/// The notations with which a connection goes through a tunnel, to the IPv4 host or
/// beyond it.
fn tunnelled(host: Ipv4Addr) -> Vec<(IpAddr, &'static str)> {
    let [a, b, c, d] = host.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let v6 = |segments: [u16; 8]| IpAddr::from(segments);
    let mut all = vec![
        (v6([0, 0, 0, 0, 0xffff, 0, high, low]), "ipv4-translated"),
        (v6([0x2002, high, low, 0, 0, 0, 0, 1]), "6to4"),
        (v6([0x2001, 0, high, low, 0, 0, 0, 1]), "teredo"),
        (v6([0x2001, 0, 1, 2, 0, 0, !high, !low]), "teredo"),
        (v6([0xfe80, 0, 0, 0, 0, 0x5efe, high, low]), "isatap"),
        (v6([0x2001, 0xdb8, 0, 0, 0x200, 0x5efe, high, low]), "isatap"),
    ];
    // `::` and `::1` are no IPv4 hosts.
    if host.to_bits() > 1 {
        all.push((v6([0, 0, 0, 0, 0, 0, high, low]), "ipv4-compatible"));
    }
    all
}

const NEVER_IPV4: &[(&str, &[&str])] = &[
    (
        "cloud-metadata",
        &[
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "169.254.169.252",
            "169.254.42.42",
            "169.254.0.23",
            "168.63.129.16",
            "100.100.100.200",
            "100.96.0.96",
            "192.0.0.192",
        ],
    ),
    ("unspecified", &["0.0.0.0"]),
    ("this-network", &["0.0.0.1", "0.255.255.255"]),
    ("multicast", &["224.0.0.0", "224.0.0.1", "239.255.255.255"]),
    ("reserved", &["240.0.0.0", "255.255.255.254"]),
    ("broadcast", &["255.255.255.255"]),
];

const NEVER_IPV6: &[(&str, &[&str])] = &[
    (
        "cloud-metadata",
        &[
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "fd00:a9fe:a9fe::1",
            "fd00:100::100:200",
            "fd00:42::42",
            "fe80::a9fe:a9fe",
        ],
    ),
    ("unspecified", &["::"]),
    ("multicast", &["ff00::", "ff02::1", "ff0e::1", "ffff::1"]),
];

#[test]
fn addresses_never_scanned_are_refused_in_every_notation() {
    for (name, hosts) in NEVER_IPV4 {
        for host in hosts.iter().map(|host| host.parse().unwrap()) {
            for address in translated(host) {
                assert_eq!(refusing(address).as_deref(), Some(*name), "{address} of {host}");
            }
            for (address, kind) in tunnelled(host) {
                assert_eq!(refusing(address).as_deref(), Some(kind), "{address} of {host}");
            }
        }
    }
    for (name, addresses) in NEVER_IPV6 {
        for address in *addresses {
            assert_eq!(refusing(address.parse().unwrap()).as_deref(), Some(*name), "{address}");
        }
    }
}

#[test]
fn historic_notations_are_checked_as_the_address_they_resolve_to() {
    for spelling in [
        "169.254.43518",
        "169.16689662",
        "2852039166",
        "0xa9fea9fe",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
    ] {
        for address in (spelling, 0).to_socket_addrs().unwrap() {
            let refused = refusing(address.ip());
            assert_eq!(refused.as_deref(), Some("cloud-metadata"), "{spelling}");
        }
    }
}

#[test]
fn addresses_next_to_those_never_scanned_are_allowed() {
    for address in [
        "169.254.169.253",
        "169.254.170.3",
        "1.0.0.0",
        "223.255.255.255",
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::10.0.0.1",
        "64:ff9b:1:808:8:800::",
        "100.96.0.97",
        "fd00:ec2::253",
        "fd00:c1::a9fe:a9fd",
        "fd00:a9fe:a9fe::2",
        "fd00:100::100:201",
        "fe80::a9fe:a9fd",
        "fe80::1",
        "2001:db8::a9fe:a9fe",
        "feff::1",
    ] {
        assert_eq!(refusing(address.parse().unwrap()), None, "{address}");
    }
    // The loopback of a translator is not this host's.
    let behind = "64:ff9b::127.0.0.1".parse().unwrap();
    assert_eq!(refusing(behind).as_deref(), Some("translated-loopback"));
}

#[test]
fn every_port_must_be_allowed_and_several_rules_may_add_up() {
    let policy = policy("10.0.0.0/8:1-100,10.1.0.0/16:80-200,[fd00::/8]:22,192.0.2.1", "none");
    for (address, ports, decision) in [
        ("10.1.0.1", "1-50", "allowed by 10.0.0.0/8:1-100"),
        ("10.1.0.1", "90", "allowed by 10.0.0.0/8:1-100"),
        ("10.1.0.1", "150", "allowed by 10.1.0.0/16:80-200"),
        ("10.1.0.1", "50-150", "allowed by 10.0.0.0/8:1-100,10.1.0.0/16:80-200"),
        ("10.1.0.1", "50-300", "10.1.0.1 is not in the allow list (ports 201-300)"),
        ("10.2.0.1", "50-150", "10.2.0.1 is not in the allow list (ports 101-150)"),
        ("fd00::1", "22", "allowed by [fd00::/8]:22"),
        ("fd00::1", "22-23", "fd00::1 is not in the allow list (ports 23)"),
        ("192.0.2.1", "all", "allowed by 192.0.2.1"),
        ("192.0.2.2", "all", "192.0.2.2 is not in the allow list (ports 1-65535)"),
        ("192.0.2.2", "top100", "192.0.2.2 is not in the allow list (100 ports from 7 to 49157)"),
    ] {
        assert_eq!(judge(&policy, address, ports), decision);
    }
}

#[test]
fn one_denied_port_refuses_a_scan_and_the_first_rule_is_named() {
    let policy = policy("any", "10.0.0.0/8:25,private:20-30,loopback");
    for (address, ports, decision) in [
        ("10.0.0.1", "24", "10.0.0.1 is denied by private:20-30 (ports 24)"),
        ("10.0.0.1", "1-100", "10.0.0.1 is denied by 10.0.0.0/8:25 (ports 25)"),
        ("10.0.0.1", "31-100", "allowed by any"),
        ("::ffff:10.0.0.1", "25", "10.0.0.1 is denied by 10.0.0.0/8:25 (ports 25)"),
        ("64:ff9b::a00:1", "25", "10.0.0.1 is denied by 10.0.0.0/8:25 (ports 25)"),
        ("fd12::1", "30", "fd12::1 is denied by private:20-30 (ports 30)"),
        ("::1", "1", "::1 is denied by loopback (ports 1)"),
        ("169.254.169.254", "1", "169.254.169.254 is never scanned (cloud-metadata)"),
    ] {
        assert_eq!(judge(&policy, address, ports), decision);
    }
}

#[test]
fn hosts_behind_a_translator_are_allowed_as_ipv4_or_by_its_prefix() {
    let refused = "is not in the allow list (ports 22)";
    for (allow, address, decision) in [
        ("192.0.2.0/24", "64:ff9b::192.0.2.1", "allowed by 192.0.2.0/24".into()),
        ("192.0.2.0/24", "::ffff:192.0.2.1", "allowed by 192.0.2.0/24".into()),
        ("::/0", "64:ff9b::192.0.2.1", format!("192.0.2.1 {refused}")),
        ("::/0", "::ffff:192.0.2.1", format!("192.0.2.1 {refused}")),
        ("::/0", "64:ff9b:1::192.0.2.1", format!("64:ff9b:1::c000:201 {refused}")),
        ("0.0.0.0/0", "64:ff9b:1::192.0.2.1", format!("64:ff9b:1::c000:201 {refused}")),
        ("64:ff9b::/96", "64:ff9b::192.0.2.1", "allowed by 64:ff9b::/96".into()),
        ("64:ff9b:1::/96", "64:ff9b:1::192.0.2.1", "allowed by 64:ff9b:1::/96".into()),
        ("loopback", "::ffff:127.0.0.1", "allowed by loopback".into()),
    ] {
        assert_eq!(judge(&policy(allow, "none"), address, "22"), decision, "{allow}");
    }
    let policy = policy("any", "::/0");
    assert_eq!(judge(&policy, "192.0.2.1", "22"), "allowed by any");
    assert_eq!(
        judge(&policy, "64:ff9b::192.0.2.1", "22"),
        "64:ff9b::c000:201 is denied by ::/0 (ports 22)"
    );
}

#[test]
fn named_rules_match_the_networks_in_their_description() {
    for (word, within, without) in [
        (
            "private",
            "10.255.0.1 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 fc00::1 fd00::1",
            "172.32.0.1 192.169.0.1 100.128.0.1 169.254.1.1 127.0.0.1 8.8.8.8 fe80::1 ::1",
        ),
        ("link-local", "169.254.1.1 fe80::1 febf::1", "169.253.1.1 fec0::1 10.0.0.1"),
        ("loopback", "127.0.0.1 127.255.0.1 ::1", "128.0.0.1 ::ffff:8.8.8.8 fe80::1"),
        ("any", "8.8.8.8 2001:db8::1 127.0.0.1 ::1 64:ff9b:1::808:808", ""),
    ] {
        let policy = policy(word, "none");
        for address in within.split_whitespace() {
            assert_eq!(judge(&policy, address, "all"), format!("allowed by {word}"));
        }
        for address in without.split_whitespace() {
            let decision = judge(&policy, address, "all");
            assert!(decision.contains("not in the allow list"), "{decision}");
        }
    }
}

/// An address in any notation.
fn some_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<Ipv6Addr>().prop_map(IpAddr::from), any::<Ipv4Addr>().prop_flat_map(spelled)]
}

fn spelled(host: Ipv4Addr) -> impl Strategy<Value = IpAddr> {
    prop::sample::select(translated(host))
}

/// An address that is never scanned.
fn some_never() -> impl Strategy<Value = IpAddr> {
    let listed = |list: &[(&str, &[&'static str])]| {
        let all: Vec<_> = list.iter().flat_map(|(_, addresses)| addresses.to_vec()).collect();
        prop::sample::select(all)
    };
    let of_a_range = prop_oneof![0..1u32 << 24, 0xe000_0000..=u32::MAX].prop_map(Ipv4Addr::from);
    let listed_ipv4 = listed(NEVER_IPV4).prop_map(|host| host.parse().unwrap());
    let tunnel_end = any::<Ipv4Addr>().prop_flat_map(|host| prop::sample::select(tunnelled(host)));
    prop_oneof![
        prop_oneof![listed_ipv4, of_a_range].prop_flat_map(spelled),
        listed(NEVER_IPV6).prop_map(|address| address.parse().unwrap()),
        tunnel_end.prop_map(|(address, _)| address),
    ]
}

/// Rules that are not far from the address, so that they often decide.
fn rules_near(address: IpAddr) -> impl Strategy<Value = Rules> {
    let near = (0..=8u8, any::<prop::sample::Index>(), some_ports());
    let rule = prop_oneof![
        near.prop_map(move |(length, which, ports)| {
            let face = *which.get(&Destination::of(address).faces);
            let net = IpNet::new(face, length).expect("32 at most").trunc();
            Rule { addresses: Addresses::Net(net), ports }
        }),
        some_rule(),
    ];
    prop::collection::vec(rule, 0..5).prop_map(Rules)
}

proptest! {
    #[test]
    fn no_allow_rule_overrides_what_is_never_scanned(
        address in some_never(), allow in some_rules(), deny in some_rules(), ports in some_ports(),
    ) {
        let mut allow = allow;
        allow.0.extend(Rules::any().0);
        let decision = Policy::new(allow, deny).judge(address, &ports);
        let never = matches!(
            &decision,
            Decision::Refused(Refusal { rule: RefusingRule::Never(_), .. })
        );
        prop_assert!(never, "{:?}", decision);
    }

    #[test]
    fn no_allow_rule_overrides_a_deny_rule_in_any_notation(
        (host, address) in any::<Ipv4Addr>().prop_flat_map(|host| (Just(host), spelled(host))),
        length in 0..=32u8, ports in some_ports(), allow in some_rules(), others in some_rules(),
    ) {
        let net = IpNet::new(host.into(), length).unwrap().trunc();
        let (mut allow, mut deny) = (allow, others);
        allow.0.extend(Rules::any().0);
        deny.0.push(Rule { addresses: Addresses::Net(net), ports: ports.clone() });
        let decision = Policy::new(allow, deny).judge(address, &ports);
        let denied = matches!(
            &decision,
            Decision::Refused(Refusal { rule: RefusingRule::Never(_) | RefusingRule::Deny(_), .. })
        );
        prop_assert!(denied, "{:?}", decision);
    }

    #[test]
    fn ports_are_allowed_together_when_each_is_allowed_alone(
        (address, allow, deny) in some_address().prop_flat_map(|address| {
            let deny = prop_oneof![Just(Rules::none()), rules_near(address)];
            (Just(address), rules_near(address), deny)
        }),
        ports in some_ports(), more in some_ports(),
    ) {
        let policy = Policy::new(allow, deny);
        let ports: PortSet = if ports.intersection(&more).is_none() {
            format!("{ports},{more}").parse().unwrap()
        } else {
            ports
        };
        let alone = |port| policy.judge(address, &PortSet::try_range(port, port).unwrap());
        let is_allowed = |decision: &Decision| matches!(decision, Decision::Allowed { .. });
        let together = policy.judge(address, &ports);
        prop_assert_eq!(
            is_allowed(&together),
            ports.iter().all(|port| is_allowed(&alone(port)))
        );
        match together {
            Decision::Allowed { rules } => {
                let rest = rules.iter().try_fold(ports, |left, rule| left.difference(rule.ports()));
                prop_assert_eq!(rest, None);
                prop_assert!(rules.iter().all(|rule| policy.allow.iter().any(|one| one == rule)));
            }
            Decision::Refused(refusal) => {
                prop_assert_eq!(refusal.ports.difference(&ports), None);
                for port in refusal.ports.iter() {
                    prop_assert!(!is_allowed(&alone(port)));
                }
                prop_assert!(!refusal.to_string().is_empty());
            }
        }
    }
}
