//! What is never scanned, even if a rule allows it.
//!
//! These addresses hand out credentials to every client on the right machine, or
//! are not a single host. A service that connects on behalf of others has no
//! business with them, and a rule as wide as `any` must not allow them by accident.

use std::net::IpAddr;

use ipnet::IpNet;

use super::destination::{Destination, Route};
use super::rules::{v4, v6};

/// The name of the rule that forbids the destination, and the address that it
/// matches. With `metadata`, the addresses of cloud metadata services are not forbidden.
pub(super) fn find(destination: &Destination, metadata: bool) -> Option<(&'static str, IpAddr)> {
    if let Route::Tunnel(kind) = destination.route {
        return Some((kind, destination.end()));
    }
    let translated = matches!(destination.route, Route::Nat64 | Route::LocalNat64);
    let beyond = TRANSLATED.iter().filter(|_| translated);
    let entries = EVERYWHERE.iter().chain(beyond);
    let mut entries = entries.filter(|(name, _)| !(metadata && *name == METADATA));
    entries.find_map(|(name, nets)| {
        let face = nets.iter().find_map(|net| destination.face_in(net))?;
        Some((*name, face))
    })
}

type Entry = (&'static str, &'static [IpNet]);

const METADATA: &str = "cloud-metadata";

// The first entry that matches gives its name, so narrow ones come first.
const EVERYWHERE: &[Entry] = &[
    (
        METADATA,
        &[
            // AWS, Azure, Google, Oracle, OpenStack, DigitalOcean, Hetzner, Vultr,
            // UpCloud, Naver and most others. Amazon EC2 User Guide, "Access
            // instance metadata for an EC2 instance"; the others' pages name the
            // same address.
            v4([169, 254, 169, 254], 32),
            // Amazon ECS Developer Guide, "Task IAM role": the credentials of tasks.
            v4([169, 254, 170, 2], 32),
            // Amazon EKS User Guide, "Understand how EKS Pod Identity works".
            v4([169, 254, 170, 23], 32),
            // Google Kubernetes Engine: the metadata server of a node, to which
            // it redirects what its pods send to 169.254.169.254. "Control
            // communication between Pods and Services using network policies".
            v4([169, 254, 169, 252], 32),
            // Scaleway: cloud-init, DataSourceScaleway.
            v4([169, 254, 42, 42], 32),
            // Tencent Cloud, "Viewing Instance Metadata": metadata.tencentyun.com.
            v4([169, 254, 0, 23], 32),
            // Azure, "What is IP address 168.63.129.16?": the WireServer, which
            // hands out the agent's certificates.
            v4([168, 63, 129, 16], 32),
            // Alibaba Cloud, "Overview of ECS instance metadata".
            v4([100, 100, 100, 200], 32),
            // Volcano Engine: github.com/volcengine/cello asks there for the
            // credentials of the instance's role.
            v4([100, 96, 0, 96], 32),
            // Oracle Cloud at Customer, "Retrieve Predefined Instance Metadata".
            v4([192, 0, 0, 192], 32),
            // Amazon EC2 User Guide, "Access instance metadata for an EC2
            // instance": by IPv6.
            v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254], 128),
            // Amazon EKS User Guide, "Understand how EKS Pod Identity works": by
            // IPv6.
            v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x23], 128),
            // Google Compute Engine, "View and query VM metadata": on instances
            // with IPv6 alone.
            v6([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254], 128),
            // Oracle Cloud Infrastructure: its SDK for Python,
            // src/oci/auth/signers/instance_principals_security_token_signer.py.
            v6([0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128),
            // Akamai (Linode), "Use the Metadata service API",
            // techdocs.akamai.com/cloud-computing/docs/metadata-service-api.
            v6([0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1], 128),
            // Alibaba Cloud: cloud-init, DataSourceAliYun.
            v6([0xfd00, 0x0100, 0, 0, 0, 0, 0x0100, 0x0200], 128),
            // Scaleway: cloud-init, DataSourceScaleway.
            v6([0xfd00, 0x0042, 0, 0, 0, 0, 0, 0x42], 128),
            // OpenStack, "IPv6 support in Metadata service" (Neutron's
            // specifications); also Hetzner and Akamai.
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

// RFC 1122, section 3.2.1.3 (g): 127.0.0.0/8 is the host that uses the address,
// here the translator. A rule that allows this host's loopback does not mean that.
const TRANSLATED: &[Entry] = &[("translated-loopback", &[v4([127, 0, 0, 0], 8)])];
