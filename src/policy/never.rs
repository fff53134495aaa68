//! What is never scanned, whatever the rules say.
//!
//! These addresses hand out credentials to whoever asks from the right place,
//! or are no single host. A service that connects on behalf of others has no
//! business with them, and a rule as wide as `any` must not open them by the way.

use std::net::IpAddr;

use ipnet::IpNet;

use super::destination::{Destination, Way};
use super::rules::{v4, v6};

/// The name of what forbids the destination, and which of its faces it found.
pub(super) fn find(destination: &Destination) -> Option<(&'static str, IpAddr)> {
    if let Way::Tunnel(kind) = destination.way {
        return Some((kind, destination.end()));
    }
    let translated = matches!(destination.way, Way::Nat64 | Way::LocalNat64);
    let beyond = TRANSLATED.iter().filter(|_| translated);
    EVERYWHERE.iter().chain(beyond).find_map(|(name, nets)| {
        let face = nets.iter().find_map(|net| destination.face_in(net))?;
        Some((*name, face))
    })
}

type Entry = (&'static str, &'static [IpNet]);

// The first entry that holds gives its name, so the narrow come first.
const EVERYWHERE: &[Entry] = &[
    (
        "cloud-metadata",
        &[
            // The instance metadata of AWS, Azure, Google, Oracle, OpenStack,
            // DigitalOcean, Hetzner and most others.
            v4([169, 254, 169, 254], 32),
            // AWS ECS: task metadata and credentials (Task IAM role).
            v4([169, 254, 170, 2], 32),
            // AWS EKS: Pod Identity agent.
            v4([169, 254, 170, 23], 32),
            // Scaleway, in cloud-init's data source; its IPv6 is below.
            v4([169, 254, 42, 42], 32),
            // Tencent Cloud: metadata.tencentyun.com.
            v4([169, 254, 0, 23], 32),
            // Azure: WireServer, which hands out the agent's certificates.
            v4([168, 63, 129, 16], 32),
            // Alibaba Cloud: ECS metadata.
            v4([100, 100, 100, 200], 32),
            // Oracle Cloud Infrastructure Classic.
            v4([192, 0, 0, 192], 32),
            // AWS: instance metadata by IPv6 (Nitro).
            v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254], 128),
            // AWS EKS: Pod Identity agent by IPv6.
            v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x23], 128),
            // Google Compute Engine: metadata on IPv6-only instances.
            v6([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254], 128),
            // Scaleway.
            v6([0xfd00, 0x0042, 0, 0, 0, 0, 0, 0x42], 128),
            // OpenStack: 169.254.169.254 written as an interface identifier.
            v6([0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128),
        ],
    ),
    (
        // RFC 1122, section 3.2.1.3 (a), and RFC 4291, section 2.5.2: never a
        // destination. Linux connects to itself instead.
        "unspecified",
        &[v4([0, 0, 0, 0], 32), v6([0; 8], 128)],
    ),
    // RFC 791, section 3.2, and RFC 1122, section 3.2.1.3 (b): only a source.
    ("this-network", &[v4([0, 0, 0, 0], 8)]),
    // RFC 5771 and RFC 4291, section 2.7: TCP has no use for groups.
    ("multicast", &[v4([224, 0, 0, 0], 4), v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8)]),
    // RFC 919, section 7: the limited broadcast. Others depend on a network's
    // mask, which only its routers know.
    ("broadcast", &[v4([255, 255, 255, 255], 32)]),
    // RFC 1112, section 4: class E.
    ("reserved", &[v4([240, 0, 0, 0], 4)]),
];

// RFC 1122, section 3.2.1.3 (g): 127.0.0.0/8 is whichever host looks at it,
// here the translator. A rule that opens this host's loopback does not mean it.
const TRANSLATED: &[Entry] = &[("translated-loopback", &[v4([127, 0, 0, 0], 8)])];
